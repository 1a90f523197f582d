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
    /// How others reach it.
    pub outside: Outside,
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
            global_url: self.outside.global_url(&target.url),
            last_error: status.last_error,
            last_scrape: format_rfc3339(status.last_scrape),
            last_scrape_duration: status.last_duration,
            health: status.health.as_str().to_string(),
            scrape_interval: format_duration(target.interval),
            scrape_timeout: format_duration(target.timeout),
        }
    }
}

/// How this server is reached from outside.
#[derive(Clone, Debug)]
pub struct Outside {
    scheme: String,
    /// Host, and port if the URL has one.
    place: String,
    /// The port it listens on.
    port: String,
}

impl Outside {
    /// By its external URL, and the address that it listens on.
    pub fn new(external_url: &str, address: &str) -> Outside {
        let (scheme, rest) = external_url.split_once("://").unwrap_or(("http", ""));
        Outside {
            scheme: scheme.to_string(),
            place: rest.split('/').next().unwrap_or("").to_string(),
            port: address.rsplit(':').next().unwrap_or("").to_string(),
        }
    }

    /// The URL with a local host replaced by the name that others know. Of this server itself they know the port, too.
    fn global_url(&self, url: &str) -> String {
        let Some((scheme, rest)) = url.split_once("://") else {
            return url.to_string();
        };
        for local in ["localhost", "127.0.0.1", "[::1]"] {
            let Some(tail) = rest.strip_prefix(local) else {
                continue;
            };
            if !(tail.is_empty() || tail.starts_with([':', '/', '?'])) {
                continue;
            }
            let end = tail.find(['/', '?']).unwrap_or(tail.len());
            let (port, tail) = tail.split_at(end);
            if port.strip_prefix(':') == Some(&self.port) {
                return format!("{}://{}{tail}", self.scheme, self.place);
            }
            let host = match self.place.rsplit_once(':') {
                Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
                _ => &self.place,
            };
            return format!("{scheme}://{host}{port}{tail}");
        }
        url.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn local_addresses_get_the_name_others_know() {
        let outside = Outside::new("https://m:444/prom", "127.0.0.1:9090");
        for (url, global) in [
            ("http://localhost:9100/metrics", "http://m:9100/metrics"),
            (
                "http://localhost:9090/metrics?x=1",
                "https://m:444/metrics?x=1",
            ),
            ("https://[::1]/x", "https://m/x"),
            ("http://127.0.0.1?x=1", "http://m?x=1"),
            ("http://localhost.example/x", "http://localhost.example/x"),
        ] {
            assert_eq!(outside.global_url(url), global, "{url}");
        }
    }
}
