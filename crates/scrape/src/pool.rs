//! The targets of one job.

use std::collections::HashMap;
use std::sync::Arc;

use configfile::scrape::ScrapeConfig;
use discovery::TargetGroup;
use env::Registry;
use exposition::Protocol;
use model::Labels;
use net::dials::Dials;
use net::http_client::ClientError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::body::Room;
use crate::failure_log::FailureLog;
use crate::fetch::{Fetch, HttpFetch, fallback};
use crate::ingest::IngestRules;
use crate::labels::LabelRules;
use crate::metadata::{Interner, TargetMetadata};
use crate::native::NativeLimits;
use crate::options::ScrapeOptions;
use crate::target::{Outcome, Target, targets_of};
use crate::worker::{Memory, Order, SharedMemory, Surroundings, Worker};

/// A job's settings as its loops use them.
pub struct JobRules {
    /// The job.
    pub job: String,
    /// How bodies are taken.
    pub ingest: IngestRules,
    /// What bodies without a usable content type are taken for.
    pub fallback: Option<Protocol>,
    /// More report series.
    pub extra_metrics: bool,
    /// Where failed scrapes are noted.
    pub failures: Option<Arc<FailureLog>>,
}

/// How a job's bodies are taken.
pub fn rules_of(config: &ScrapeConfig, options: &ScrapeOptions) -> IngestRules {
    IngestRules {
        labels: LabelRules {
            honor_labels: config.honor_labels,
            metric_relabel: config.metric_relabel_configs.clone(),
            limits: config.limits,
        },
        honor_timestamps: config.honor_timestamps,
        track_timestamps_staleness: config.track_timestamps_staleness,
        name_validation: config.name_validation,
        native_limits: NativeLimits::new(
            config.native_histogram_bucket_limit,
            config.native_histogram_min_bucket_factor,
        ),
        start_zeros: options.start_zeros,
        store_metadata: options.store_metadata,
        type_and_unit_labels: options.type_and_unit_labels,
    }
}

/// Makes what gets pages for a job; tests put their own in.
pub type FetchFactory =
    Arc<dyn Fn(&ScrapeConfig) -> Result<Arc<dyn Fetch>, ClientError> + Send + Sync>;

/// The factory of real HTTP clients.
pub fn http_fetches(user_agent: String, registry: Registry) -> FetchFactory {
    let room = Room::default();
    Arc::new(move |config| {
        let dials = Dials::of(&registry, &config.job_name);
        let fetch = HttpFetch::new(config, &user_agent, &dials, &room)?;
        Ok(Arc::new(fetch))
    })
}

/// A job with its running loops.
pub struct Pool {
    config: ScrapeConfig,
    rules: Arc<JobRules>,
    fetch: Arc<dyn Fetch>,
    around: Arc<Surroundings>,
    interner: Interner,
    loops: HashMap<u64, Loop>,
    dropped: Vec<Labels>,
    dropped_count: usize,
    forced_error: watch::Sender<Option<Arc<str>>>,
    seed: u64,
}

struct Loop {
    target: Arc<Target>,
    memory: SharedMemory,
    orders: watch::Sender<Order>,
    task: JoinHandle<()>,
}

/// What a pool tells about its targets.
#[derive(Clone, Default)]
pub struct PoolView {
    /// Targets that are scraped.
    pub active: Vec<Arc<Target>>,
    /// Labels of targets that relabelling dropped, as many as are kept.
    pub dropped: Vec<Labels>,
    /// How many were dropped.
    pub dropped_count: usize,
}

impl Pool {
    /// A job without targets as yet.
    pub fn new(
        config: ScrapeConfig,
        fetch: Arc<dyn Fetch>,
        around: Arc<Surroundings>,
        interner: Interner,
        seed: u64,
    ) -> Pool {
        let rules = Arc::new(JobRules {
            job: config.job_name.clone(),
            ingest: rules_of(&config, &around.options),
            failures: around
                .failures
                .get(&config.scrape_failure_log_file)
                .cloned(),
            fallback: fallback(config.fallback_scrape_protocol),
            extra_metrics: config.extra_scrape_metrics,
        });
        let limit = config.limits.targets as f64;
        around
            .metrics
            .pool_target_limit
            .with(&[&config.job_name])
            .set(limit);
        around
            .metrics
            .pool_symbols
            .with(&[&config.job_name])
            .set(0.0);
        Pool {
            config,
            rules,
            fetch,
            around,
            interner,
            loops: HashMap::new(),
            dropped: Vec::new(),
            dropped_count: 0,
            forced_error: watch::Sender::new(None),
            seed,
        }
    }

    /// The job's settings.
    pub fn config(&self) -> &ScrapeConfig {
        &self.config
    }

    /// Brings the loops in line with what discovery found. Must be called within the runtime.
    pub fn sync(&mut self, groups: &[Arc<TargetGroup>]) {
        let started = self.around.clock.monotonic();
        let job = self.config.job_name.clone();
        // Made before the first failure, so that its rate has a beginning.
        let failed = self.around.metrics.sync_failed.with(&[&job]);
        let mut wanted: HashMap<u64, Box<Target>> = HashMap::new();
        self.dropped.clear();
        self.dropped_count = 0;
        for group in groups {
            for (index, outcome) in targets_of(group, &self.config).into_iter().enumerate() {
                match outcome {
                    Outcome::Keep(target) => {
                        // Of several that are the same once relabelled, the last is shown.
                        wanted.insert(target.hash(), target);
                    }
                    Outcome::Drop(labels) => {
                        self.dropped_count += 1;
                        let limit = self.config.limits.keep_dropped_targets as usize;
                        if limit == 0 || self.dropped.len() < limit {
                            self.dropped.push(labels);
                        }
                    }
                    Outcome::Fault(fault) => {
                        failed.inc();
                        let fault = format!("instance {index} in group {}: {fault}", group.source);
                        tracing::error!(component = "scrape manager", scrape_pool = %job, err = %fault, "Creating target failed");
                    }
                    Outcome::Empty => {}
                }
            }
        }
        let gone: Vec<u64> = self
            .loops
            .keys()
            .filter(|hash| !wanted.contains_key(hash))
            .copied()
            .collect();
        for hash in gone {
            if let Some(gone) = self.loops.remove(&hash) {
                gone.orders.send_replace(Order::Remove);
            }
        }
        for (hash, target) in wanted {
            match self.loops.get(&hash) {
                Some(running) => running.target.rediscover(&target),
                None => {
                    let started = self.start(Arc::from(target), None);
                    self.loops.insert(hash, started);
                }
            }
        }
        self.apply_target_limit();
        let metrics = &self.around.metrics;
        metrics
            .pool_targets
            .with(&[&job])
            .set(self.loops.len() as f64);
        metrics.pool_syncs.with(&[&job]).inc();
        let took = self.around.clock.monotonic().saturating_sub(started);
        let took = took.as_secs_f64();
        metrics.sync_length.with(&[&job]).observe(took);
        metrics.sync_histogram.with(&[&job]).observe(took);
    }

    fn apply_target_limit(&self) {
        let (count, limit) = (self.loops.len() as u64, self.config.limits.targets);
        let error = (limit > 0 && count > limit).then(|| {
            self.around.metrics.pool_exceeded_target_limit.inc();
            Arc::from(format!(
                "target_limit exceeded (number of targets: {count}, limit: {limit})"
            ))
        });
        self.forced_error.send_replace(error);
    }

    fn start(&self, target: Arc<Target>, memory: Option<SharedMemory>) -> Loop {
        let memory = memory.unwrap_or_else(|| {
            let metadata = TargetMetadata::new(self.interner.clone());
            Arc::new(parking_lot::Mutex::new(Memory::new(self.seed, metadata)))
        });
        let (orders, receiver) = watch::channel(Order::Run);
        let worker = Worker {
            target: target.clone(),
            rules: self.rules.clone(),
            fetch: self.fetch.clone(),
            memory: memory.clone(),
            around: self.around.clone(),
            forced_error: self.forced_error.subscribe(),
        };
        let task = tokio::spawn(worker.run(receiver));
        Loop {
            target,
            memory,
            orders,
            task,
        }
    }

    /// Gives way to a pool with other settings. What is remembered of the series goes over to it where the settings
    /// differ in nothing that decides which series there are; else their end is marked.
    pub fn replace(
        self,
        config: ScrapeConfig,
        fetch: Arc<dyn Fetch>,
        around: Arc<Surroundings>,
    ) -> Pool {
        let keep = same_series(&self.config, &config);
        let mut next = Pool::new(config, fetch, around, self.interner.clone(), self.seed);
        next.dropped = self.dropped;
        next.dropped_count = self.dropped_count;
        for (hash, old) in self.loops {
            if keep {
                // The scrape that is going on ends first: both loops lock the memory to ingest.
                old.orders.send_replace(Order::Stop);
                let started = next.start(old.target, Some(old.memory));
                next.loops.insert(hash, started);
            } else {
                old.orders.send_replace(Order::Remove);
            }
        }
        next
    }

    /// Ends all loops because the job is gone: the end of all series is marked.
    pub fn remove(self) {
        self.around.metrics.forget(&self.config.job_name);
        for running in self.loops.into_values() {
            running.orders.send_replace(Order::Remove);
        }
    }

    /// Ends all loops because the process stops; waits for scrapes that are going on.
    pub async fn stop(self) {
        for running in self.loops.values() {
            running.orders.send_replace(Order::Stop);
        }
        for running in self.loops.into_values() {
            let _ = running.task.await;
        }
    }

    /// What there is to show.
    pub fn view(&self) -> PoolView {
        let mut active: Vec<Arc<Target>> = self
            .loops
            .values()
            .map(|running| running.target.clone())
            .collect();
        active.sort_by(|a, b| (&a.labels, &a.url).cmp(&(&b.labels, &b.url)));
        PoolView {
            active,
            dropped: self.dropped.clone(),
            dropped_count: self.dropped_count,
        }
    }

    /// Targets with what they say about their families.
    pub fn memories(&self) -> Vec<(Arc<Target>, SharedMemory)> {
        self.loops
            .values()
            .map(|l| (l.target.clone(), l.memory.clone()))
            .collect()
    }
}

/// Whether two settings differ at most in intervals, timeouts, the sample limit and how to ask.
fn same_series(a: &ScrapeConfig, b: &ScrapeConfig) -> bool {
    let blank = |config: &ScrapeConfig| {
        let mut config = config.clone();
        config.scrape_interval = 0;
        config.scrape_timeout = 0;
        config.limits.samples = 0;
        config.http = Default::default();
        config
    };
    blank(a) == blank(b)
}
