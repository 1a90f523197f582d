//! Agent storage: a log and nothing else, for those who only send on what they scrape.
//!
//! The folder is the same as Prometheus' in agent mode. Of a series only labels and the newest time are in memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use env::instruments::{Counter, Summary, Vector};
use env::{Clock, Disk, DiskLock, Registry};
use hashbrown::hash_map::HashMap;
use model::{Exemplar, Labels};
use ondisk::record::{self, RecordError, RecordKind};
use parking_lot::Mutex;
use storage::{Appendable, Appender, Querier, Queryable, StorageError, TimeRange};

use crate::checkpoint;
use crate::db::take_lock;
use crate::failure::DbError;
use crate::metrics::Appended;
use crate::wal::{self, Wal, WalError, WalOptions};

mod appender;

const SHARDS: usize = 64;

/// A series of the agent.
#[derive(Debug)]
struct AgentSeries {
    labels: Labels,
    /// Time of the newest sample; `i64::MIN` without any.
    last: i64,
    last_exemplar: Option<Box<Exemplar>>,
    /// Open appenders with samples for it.
    pending: u32,
}

#[derive(Default)]
struct Metrics {
    deleted: Counter,
    samples: Option<Vector<Counter>>,
    exemplars: Counter,
    out_of_order: Counter,
    truncate: Option<Summary>,
    corruptions: Counter,
    checkpoints: Counter,
    checkpoints_failed: Counter,
    checkpoint_deletions: Counter,
    checkpoint_deletions_failed: Counter,
}

/// An open agent folder.
pub struct Agent {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    clock: Arc<dyn Clock>,
    wal: Wal,
    /// Milliseconds a sample may be behind the newest of its series.
    window: i64,
    /// References by labels, sharded by hash.
    by_labels: Box<[Mutex<HashMap<Labels, u64>>]>,
    /// Series by reference, sharded by it.
    series: Box<[Mutex<HashMap<u64, AgentSeries>>]>,
    last_reference: AtomicU64,
    unlogged: Mutex<Vec<u64>>,
    /// Series that went, with the last segment that may hold samples of them.
    gone: Mutex<HashMap<u64, u32>>,
    metrics: Metrics,
    _lock: Option<Box<dyn DiskLock>>,
}

/// From when on samples are kept: what has been sent (less a margin) goes, and what is older than `max_age` in any case.
/// All in milliseconds.
pub fn truncation_time(lowest_sent: i64, now: i64, min_age: i64, max_age: i64) -> i64 {
    lowest_sent
        .saturating_sub(min_age)
        .max(0)
        .max(now.saturating_sub(max_age))
}

impl Metrics {
    fn new(registry: &Registry) -> Metrics {
        let counter =
            |name: &str, help: &str| registry.counter(&format!("prometheus_agent_{name}"), help);
        let samples = registry.counters(
            "prometheus_agent_samples_appended_total",
            "Samples appended.",
            &["type"],
        );
        for kind in ["float", "histogram"] {
            samples.with(&[kind]);
        }
        Metrics {
            deleted: counter(
                "deleted_series",
                "Series removed from memory whose records are still in the log.",
            ),
            samples: Some(samples),
            exemplars: counter("exemplars_appended_total", "Exemplars appended."),
            out_of_order: counter(
                "out_of_order_samples_total",
                "Samples refused for being out of order.",
            ),
            truncate: Some(registry.summary(
                "prometheus_agent_truncate_duration_seconds",
                "Duration of log truncations.",
                &[],
            )),
            corruptions: counter("corruptions_total", "Corruptions found in the log."),
            checkpoints: counter(
                "checkpoint_creations_total",
                "Checkpoint creations attempted.",
            ),
            checkpoints_failed: counter(
                "checkpoint_creations_failed_total",
                "Checkpoint creations that failed.",
            ),
            checkpoint_deletions: counter(
                "checkpoint_deletions_total",
                "Checkpoint deletions attempted.",
            ),
            checkpoint_deletions_failed: counter(
                "checkpoint_deletions_failed_total",
                "Checkpoint deletions that failed.",
            ),
        }
    }
}

impl Agent {
    /// Opens a folder: takes its lock and replays the log.
    pub fn open(
        dir: &Path,
        options: WalOptions,
        window: i64,
        lock: bool,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Arc<Agent>, DbError> {
        disk.create_dir_all(dir)
            .map_err(DbError::io("create", dir))?;
        let clean_start = registry.gauge(
            "prometheus_agent_clean_start",
            "-1: lockfile is disabled. 0: a lockfile from a previous execution was replaced. 1: lockfile creation was clean",
        );
        let lock = take_lock(&*disk, dir, lock, &clean_start)?;
        let wal_dir = dir.join("wal");
        checkpoint::remove_unfinished(&*disk, &wal_dir)?;
        let agent = Agent {
            wal: Wal::prepare(disk.clone(), &wal_dir, options)?,
            disk,
            dir: dir.to_owned(),
            clock,
            window: window.max(0),
            by_labels: (0..SHARDS).map(|_| Mutex::default()).collect(),
            series: (0..SHARDS).map(|_| Mutex::default()).collect(),
            last_reference: AtomicU64::new(0),
            unlogged: Mutex::default(),
            gone: Mutex::default(),
            metrics: Metrics::new(registry),
            _lock: lock,
        };
        let started = agent.clock.monotonic();
        agent.replay()?;
        let took = agent.clock.monotonic().saturating_sub(started);
        registry
            .gauge(
                "prometheus_agent_data_replay_duration_seconds",
                "Time the last replay took.",
            )
            .set(took.as_secs_f64());
        let agent = Arc::new(agent);
        let weak = Arc::downgrade(&agent);
        registry.computed(
            "prometheus_agent_active_series",
            "Series in memory.",
            model::MetricType::Gauge,
            move |family| {
                if let Some(agent) = weak.upgrade() {
                    family.push(Vec::new(), agent.series_count() as f64);
                }
            },
        );
        Ok(agent)
    }

    fn names(&self, labels: &Labels) -> &Mutex<HashMap<Labels, u64>> {
        &self.by_labels[labels.hash64() as usize % SHARDS]
    }

    fn shard(&self, reference: u64) -> &Mutex<HashMap<u64, AgentSeries>> {
        &self.series[reference as usize % SHARDS]
    }

    /// Series in memory.
    pub fn series_count(&self) -> usize {
        self.series.iter().map(|s| s.lock().len()).sum()
    }

    /// Counts of what is appended.
    pub fn appended(&self) -> Appended {
        let of = |kind: &str| {
            let samples = self.metrics.samples.as_ref();
            samples
                .map(|samples| samples.with(&[kind]))
                .unwrap_or_default()
        };
        Appended {
            floats: of("float"),
            histograms: of("histogram"),
            exemplars: self.metrics.exemplars.clone(),
        }
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Folder of the log, for a [`crate::wal::Cursor`].
    pub fn wal_dir(&self) -> &Path {
        self.wal.dir()
    }

    fn create(&self, labels: &Labels, reference: u64) {
        let series = AgentSeries {
            labels: labels.clone(),
            last: i64::MIN,
            last_exemplar: None,
            pending: 0,
        };
        self.shard(reference).lock().insert(reference, series);
    }

    fn find_or_create(&self, labels: &Labels) -> u64 {
        let mut names = self.names(labels).lock();
        if let Some(reference) = names.get(labels) {
            return *reference;
        }
        let reference = self.last_reference.fetch_add(1, Relaxed) + 1;
        self.create(labels, reference);
        // Before anybody can find it: whoever commits first writes its record.
        self.unlogged.lock().push(reference);
        names.insert(labels.clone(), reference);
        reference
    }

    fn replay_record(
        &self,
        bytes: &[u8],
        alias: &mut HashMap<u64, u64>,
    ) -> Result<(), RecordError> {
        let touch = |alias: &HashMap<u64, u64>, reference: u64, t: i64| {
            let reference = alias.get(&reference).copied().unwrap_or(reference);
            if let Some(series) = self.shard(reference).lock().get_mut(&reference) {
                series.last = series.last.max(t);
            }
        };
        match RecordKind::of(bytes) {
            Some(RecordKind::Series) => record::series(bytes, |reference, pairs| {
                self.last_reference.fetch_max(reference, Relaxed);
                let labels = Labels::from_refs(pairs);
                let mut names = self.names(&labels).lock();
                match names.get(&labels) {
                    Some(known) if *known != reference => drop(alias.insert(reference, *known)),
                    Some(_) => {}
                    None => {
                        self.create(&labels, reference);
                        names.insert(labels, reference);
                    }
                }
            }),
            Some(RecordKind::Samples | RecordKind::SamplesV2) => {
                let mut samples = Vec::new();
                record::samples(bytes, &mut samples)?;
                samples.iter().for_each(|s| touch(alias, s.series, s.t));
                Ok(())
            }
            None
            | Some(
                RecordKind::Tombstones
                | RecordKind::Exemplars
                | RecordKind::Metadata
                | RecordKind::MmapMarkers,
            ) => Ok(()),
            Some(_) => {
                let mut histograms = Vec::new();
                record::histograms(bytes, &mut histograms)?;
                histograms.iter().for_each(|h| touch(alias, h.series, h.t));
                Ok(())
            }
        }
    }

    fn replay(&self) -> Result<(), DbError> {
        let dir = self.wal.dir();
        let mut alias = HashMap::new();
        let mut apply = |bytes: &[u8]| {
            if let Err(err) = self.replay_record(bytes, &mut alias) {
                tracing::warn!(%err, "skip a log record");
                self.metrics.corruptions.inc();
            }
            Ok(())
        };
        let mut segments = wal::segments(&*self.disk, dir)?;
        if let Some((covered, folder)) = checkpoint::newest(&*self.disk, dir)? {
            for segment in wal::segments(&*self.disk, &folder)? {
                wal::walk_segment(&*self.disk, &folder, segment, 0, &mut apply)
                    .map_err(|err| err.into_error(&folder))?;
            }
            segments.retain(|s| *s > covered);
        }
        let newest = segments.last().copied().unwrap_or(0);
        for segment in segments {
            match wal::walk_segment(&*self.disk, dir, segment, 0, &mut apply) {
                Ok(_) => {}
                Err(WalError::Damaged {
                    segment,
                    offset,
                    cause,
                }) => {
                    tracing::warn!(segment, offset, %cause, "log is damaged; cutting it there");
                    self.metrics.corruptions.inc();
                    wal::repair(&*self.disk, dir, segment, offset)?;
                    break;
                }
                Err(err) => return Err(err.into_error(dir)),
            }
        }
        // Samples may stand under other names of a series, whose records have to stay as long.
        self.gone
            .lock()
            .extend(alias.into_keys().map(|reference| (reference, newest)));
        self.wal.start()
    }

    /// Forgets series without samples since `min`, and folds the older two thirds of the log into a checkpoint.
    pub fn truncate(&self, min: i64) -> Result<(), DbError> {
        let started = self.clock.monotonic();
        let truncated = self.truncate_log(min);
        let took = self.clock.monotonic().saturating_sub(started);
        if let Some(summary) = &self.metrics.truncate {
            summary.observe(took.as_secs_f64());
        }
        truncated
    }

    fn truncate_log(&self, min: i64) -> Result<(), DbError> {
        let dir = self.wal.dir();
        let first = wal::segments(&*self.disk, dir)?
            .first()
            .copied()
            .unwrap_or(0);
        let last = self.wal.next_segment()?.saturating_sub(1);
        self.forget_series(min, last);
        if last <= first {
            return Ok(());
        }
        let last = first + (last - first) * 2 / 3;
        if last <= first {
            return Ok(());
        }
        let gone = self.gone.lock().clone();
        let keep = |reference: u64| {
            self.shard(reference).lock().contains_key(&reference)
                || gone.get(&reference).is_some_and(|segment| *segment > last)
        };
        self.metrics.checkpoints.inc();
        let compression = self.wal.compression();
        let made = checkpoint::create(&self.disk, dir, (first, last), min, compression, keep);
        if let Err(err) = made {
            self.metrics.checkpoints_failed.inc();
            return Err(err);
        }
        if let Err(err) = self.wal.remove_before(last + 1) {
            tracing::warn!(%err, "remove log segments that a checkpoint replaced");
        }
        self.gone.lock().retain(|_, segment| *segment > last);
        self.metrics.checkpoint_deletions.inc();
        if let Err(err) = checkpoint::remove_before(&*self.disk, dir, last) {
            self.metrics.checkpoint_deletions_failed.inc();
            tracing::warn!(%err, "remove older checkpoints");
        }
        Ok(())
    }

    fn forget_series(&self, min: i64, segment: u32) {
        for names in &*self.by_labels {
            let mut names = names.lock();
            let mut gone = Vec::new();
            names.retain(|_, reference| {
                let mut shard = self.shard(*reference).lock();
                let idle = shard
                    .get(reference)
                    .is_none_or(|s| s.last < min && s.pending == 0);
                if idle {
                    shard.remove(reference);
                    gone.push(*reference);
                }
                !idle
            });
            if !gone.is_empty() {
                self.metrics.deleted.add(gone.len() as u64);
                self.unlogged.lock().retain(|r| !gone.contains(r));
                self.gone
                    .lock()
                    .extend(gone.into_iter().map(|reference| (reference, segment)));
            }
        }
    }

    /// Syncs finished segments. To be called now and then.
    pub fn maintain(&self) -> Result<(), DbError> {
        self.wal.sync_finished()
    }

    /// Syncs everything and gives the folder free.
    pub fn close(&self) -> Result<(), DbError> {
        self.wal.close()?;
        let path = self.dir.join("lock");
        if self._lock.is_some() && self.disk.exists(&path) {
            self.disk
                .remove_file(&path)
                .map_err(DbError::io("remove", &path))?;
        }
        Ok(())
    }
}

impl Appendable for Agent {
    fn appender(&self) -> Box<dyn Appender + '_> {
        Box::new(appender::AgentAppender::new(self))
    }
}

impl Queryable for Agent {
    fn querier(&self, _: TimeRange) -> Result<Box<dyn Querier>, StorageError> {
        Err(StorageError::Other(
            "unsupported operation with WAL-only storage".to_owned(),
        ))
    }
}
