//! The API's view of what is scraped.

use std::collections::BTreeMap;
use std::sync::Arc;

use apiv1::targets::{ActiveTarget, PoolTargets, TargetFamily, TargetSource};
use apiv1::time::format_rfc3339;
use configfile::scrape::ScrapeConfig;
use model::duration::format_duration;
use model::relabel::RelabelRule;
use scrape::{Manager, Target};

use crate::status::ServerState;

/// Targets of a scrape manager.
pub struct ScrapedTargets {
    /// Whose.
    pub manager: Manager,
    /// The configuration in force.
    pub state: Arc<ServerState>,
    /// The name others know this machine by, in place of a local address.
    pub host: String,
}

impl TargetSource for ScrapedTargets {
    fn pools(&self) -> BTreeMap<String, PoolTargets> {
        let shown = |job: &str, target: &Target| self.show(job, target);
        self.manager
            .view()
            .into_iter()
            .map(|(job, view)| {
                let active = view
                    .active
                    .iter()
                    .map(|target| shown(&job, target))
                    .collect();
                let (dropped, dropped_count) = (view.dropped, view.dropped_count);
                (
                    job,
                    PoolTargets {
                        active,
                        dropped,
                        dropped_count,
                    },
                )
            })
            .collect()
    }

    fn families(&self, metric: Option<&str>) -> Vec<TargetFamily> {
        self.manager
            .metadata(metric)
            .into_iter()
            .map(|(target, metric, metadata)| TargetFamily {
                target: target.labels.clone(),
                metric,
                metadata,
            })
            .collect()
    }

    fn pool_config(&self, pool: &str) -> Option<String> {
        job_of(&self.state, pool, configfile::print::print_scrape_config)
    }

    fn relabel_rules(&self, pool: &str) -> Option<Vec<RelabelRule>> {
        job_of(&self.state, pool, |job| job.relabel_configs.clone())
    }
}

/// Something of a job, if there is such a job.
pub fn job_of<T>(
    state: &ServerState,
    job: &str,
    take: impl FnOnce(&ScrapeConfig) -> T,
) -> Option<T> {
    let applied = state.config.read();
    let jobs = &applied.config.scrape_configs;
    jobs.iter().find(|config| config.job_name == job).map(take)
}

impl ScrapedTargets {
    fn show(&self, job: &str, target: &Target) -> ActiveTarget {
        let status = target.status.lock().clone();
        ActiveTarget {
            discovered_labels: target.discovered(),
            labels: target.labels.clone(),
            scrape_pool: job.to_string(),
            scrape_url: target.url.clone(),
            global_url: global_url(&target.url, &self.host),
            last_error: status.last_error,
            last_scrape: format_rfc3339(status.last_scrape),
            last_scrape_duration: status.last_duration,
            health: status.health.as_str().to_string(),
            scrape_interval: format_duration(target.interval),
            scrape_timeout: format_duration(target.timeout),
        }
    }
}

/// The URL with a local host replaced by the name that others know.
fn global_url(url: &str, host: &str) -> String {
    for local in ["localhost", "127.0.0.1", "[::1]"] {
        let Some((scheme, rest)) = url.split_once("://") else {
            break;
        };
        if let Some(tail) = rest.strip_prefix(local)
            && (tail.is_empty() || tail.starts_with([':', '/']))
        {
            return format!("{scheme}://{host}{tail}");
        }
    }
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_get_the_name_others_know() {
        assert_eq!(
            global_url("http://localhost:9090/metrics", "m"),
            "http://m:9090/metrics"
        );
        assert_eq!(global_url("https://[::1]/x", "m"), "https://m/x");
        assert_eq!(
            global_url("http://localhost.example/x", "m"),
            "http://localhost.example/x"
        );
    }
}
