//! All jobs: brings pools in line with the configuration and with what discovery finds.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use configfile::Config;
use configfile::scrape::ScrapeConfig;
use discovery::Targets;
use discovery::manager::Subscription;
use env::{Clock, Registry};
use model::duration::format_go_duration;
use model::{Metadata, MetricFamily, MetricType};
use net::shutdown::Shutdown;
use parking_lot::Mutex;
use storage::Appendable;

use crate::failure_log::{FailureLogs, open_all};
use crate::fetch::Buffers;
use crate::metadata::{Interner, TargetMetadata};
use crate::metrics::ScrapeMetrics;
use crate::options::ScrapeOptions;
use crate::pool::{FetchFactory, Pool, PoolView};
use crate::schedule::offset_seed;
use crate::target::Target;
use crate::worker::Surroundings;

/// All jobs. Clones share them.
#[derive(Clone)]
pub struct Manager(Arc<Inner>);

struct Inner {
    clock: Arc<dyn Clock>,
    storage: Arc<dyn Appendable>,
    fetches: FetchFactory,
    metrics: ScrapeMetrics,
    host: String,
    seed: u64,
    interner: Interner,
    buffers: Arc<Buffers>,
    pools: Mutex<BTreeMap<String, Pool>>,
    offset_seed: Mutex<u64>,
    targets: Mutex<Targets>,
    options: ScrapeOptions,
    failures: Mutex<FailureLogs>,
}

impl Manager {
    /// No jobs as yet. `host` tells this server from its peers; `seed` goes into hashes of foreign text.
    pub fn new(
        clock: Arc<dyn Clock>,
        storage: Arc<dyn Appendable>,
        fetches: FetchFactory,
        registry: &Registry,
        host: String,
        seed: u64,
        options: ScrapeOptions,
    ) -> Manager {
        let manager = Manager(Arc::new(Inner {
            clock,
            storage,
            fetches,
            metrics: ScrapeMetrics::new(registry),
            host,
            seed,
            interner: Interner::default(),
            buffers: Arc::default(),
            pools: Mutex::default(),
            offset_seed: Mutex::new(0),
            targets: Mutex::default(),
            options,
            failures: Mutex::default(),
        }));
        manager.show_metadata(registry);
        manager
    }

    /// How much is known of families, computed whenever somebody looks.
    fn show_metadata(&self, registry: &Registry) {
        for (name, help, figure) in [
            (
                "prometheus_target_metadata_cache_entries",
                "Total number of metric metadata entries in the cache",
                TargetMetadata::len as fn(&TargetMetadata) -> usize,
            ),
            (
                "prometheus_target_metadata_cache_bytes",
                "The number of bytes that are currently used for storing metric metadata in the cache",
                TargetMetadata::bytes,
            ),
        ] {
            let inner = Arc::downgrade(&self.0);
            let fill = move |family: &mut MetricFamily| {
                let Some(inner) = inner.upgrade() else { return };
                let pools: Vec<_> = inner
                    .pools
                    .lock()
                    .iter()
                    .map(|(job, pool)| (job.clone(), pool.memories()))
                    .collect();
                for (job, memories) in pools {
                    let sum: usize = memories
                        .iter()
                        .map(|(_, memory)| figure(&memory.lock().metadata))
                        .sum();
                    family.push(vec![("scrape_job".into(), job)], sum as f64);
                }
            };
            registry.computed(name, help, MetricType::Gauge, fill);
        }
    }

    /// Takes up a configuration: new jobs start, changed ones restart, those that are gone end. Whole or not at all:
    /// `Err` names the jobs that cannot be with the reasons, and nothing has changed.
    pub fn apply(&self, config: &Config) -> Result<(), String> {
        let inner = &self.0;
        let seed = offset_seed(&inner.host, &config.global.external_labels);
        let mut pools = inner.pools.lock();
        let seed_changed = *inner.offset_seed.lock() != seed;
        let wanted = config.jobs();
        let mut faults = Vec::new();
        let mut changed = Vec::new();
        for (job, job_config) in &wanted {
            let running = pools.get(*job);
            if running.is_some_and(|pool| pool.config() == *job_config) && !seed_changed {
                continue;
            }
            match (inner.fetches)(job_config) {
                Ok(fetch) => changed.push((*job, *job_config, fetch)),
                Err(error) => {
                    let metrics = &inner.metrics;
                    match running {
                        Some(_) => metrics.pool_reloads_failed.inc(),
                        None => metrics.pools_failed.inc(),
                    }
                    faults.push(format!("job {job:?}: {error}"));
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults.join("; "));
        }
        let paths = wanted
            .values()
            .map(|job| job.scrape_failure_log_file.as_str());
        *inner.failures.lock() = open_all(paths)?;
        *inner.offset_seed.lock() = seed;
        let gone: Vec<String> = pools
            .keys()
            .filter(|job| !wanted.contains_key(job.as_str()))
            .cloned()
            .collect();
        for job in gone {
            if let Some(pool) = pools.remove(&job) {
                pool.remove();
            }
        }
        // Settings may turn the same groups into other targets.
        let targets = inner.targets.lock();
        for (job, job_config, fetch) in changed {
            let (job_config, around) = (job_config.clone(), self.surroundings());
            let began = inner.clock.monotonic();
            let interval = format_go_duration(job_config.scrape_interval);
            let mut pool = match pools.remove(job) {
                Some(old) => {
                    inner.metrics.pool_reloads.inc();
                    let pool = old.replace(job_config, fetch, around);
                    let took = inner.clock.monotonic().saturating_sub(began);
                    let lengths = inner.metrics.reload_length.with(&[&interval]);
                    lengths.observe(took.as_secs_f64());
                    pool
                }
                None => {
                    inner.metrics.pools.inc();
                    Pool::new(
                        job_config,
                        fetch,
                        around,
                        inner.interner.clone(),
                        inner.seed,
                    )
                }
            };
            if let Some(groups) = targets.get(job) {
                pool.sync(groups);
            }
            pools.insert(job.to_string(), pool);
        }
        Ok(())
    }

    fn surroundings(&self) -> Arc<Surroundings> {
        let inner = &self.0;
        Arc::new(Surroundings {
            clock: inner.clock.clone(),
            storage: inner.storage.clone(),
            buffers: inner.buffers.clone(),
            metrics: inner.metrics.clone(),
            offset_seed: *inner.offset_seed.lock(),
            options: inner.options,
            failures: inner.failures.lock().clone(),
        })
    }

    /// Brings all pools in line with `targets`.
    pub fn sync(&self, targets: Targets) {
        let mut pools = self.0.pools.lock();
        for (job, pool) in pools.iter_mut() {
            pool.sync(targets.get(job).map_or(&[], |groups| groups.as_slice()));
        }
        *self.0.targets.lock() = targets;
        drop(pools);
        self.0.interner.sweep();
    }

    /// Follows discovery until the stop, then ends all loops.
    pub async fn run(&self, mut discovered: Subscription, shutdown: Shutdown) {
        let clock = &self.0.clock;
        while shutdown.or(discovered.changed()).await == Some(true) {
            let began = clock.monotonic();
            self.sync(discovered.targets());
            let took = clock.monotonic().saturating_sub(began);
            let rest = rest_after(took, self.0.options.sync_interval);
            if shutdown.or(clock.sleep(rest)).await.is_none() {
                break;
            }
        }
        shutdown.wait().await;
        let pools = std::mem::take(&mut *self.0.pools.lock());
        for pool in pools.into_values() {
            pool.stop().await;
        }
    }

    /// All targets by job.
    pub fn view(&self) -> BTreeMap<String, PoolView> {
        self.0
            .pools
            .lock()
            .iter()
            .map(|(job, pool)| (job.clone(), pool.view()))
            .collect()
    }

    /// The settings of a job.
    pub fn job_config(&self, job: &str) -> Option<ScrapeConfig> {
        self.0
            .pools
            .lock()
            .get(job)
            .map(|pool| pool.config().clone())
    }

    /// What targets say about their families: of `metric` only, if given.
    pub fn metadata(&self, metric: Option<&str>) -> Vec<(Arc<Target>, Arc<str>, Arc<Metadata>)> {
        let memories: Vec<_> = self
            .0
            .pools
            .lock()
            .values()
            .flat_map(Pool::memories)
            .collect();
        let mut found = Vec::new();
        for (target, memory) in memories {
            let memory = memory.lock();
            for (name, metadata) in memory.metadata.all() {
                if metric.is_none_or(|metric| *metric == *name) {
                    found.push((target.clone(), name, metadata));
                }
            }
        }
        found
    }
}

/// How long news of targets wait after others have been taken up in `took`: as long as keeps that work to a tenth of the
/// time, and no longer than `most`. Where little changes, what is new is scraped at once.
fn rest_after(took: Duration, most: Duration) -> Duration {
    const LEAST: Duration = Duration::from_millis(250);
    (took * 9).max(LEAST).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pools_are_spared_by_what_they_cost() {
        let rest = |took: u64, most: u64| {
            let rest = rest_after(Duration::from_millis(took), Duration::from_millis(most));
            rest.as_millis()
        };
        assert_eq!(rest(0, 5000), 250);
        assert_eq!(rest(100, 5000), 900);
        assert_eq!(rest(10_000, 5000), 5000);
        assert_eq!(rest(0, 5), 5);
    }
}
