//! A database: one folder of blocks, with the head in front of them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use env::{Clock, Disk, DiskLock, Random, Registry};
use model::{Exemplar, Labels, Matcher};
use ondisk::meta::{Meta, Ulid};
use parking_lot::{Mutex, RwLock};
use storage::{AppendError, Appendable, Appender, Querier, Queryable, StorageError, TimeRange};

use crate::block::Block;
use crate::failure::DbError;
use crate::head::{Head, HeadAppender, HeadReader, HeadStats, Replay};
use crate::metrics::{Appended, Metrics};
use crate::options::{Options, Retention};
use crate::plan;
use crate::querier::DbQuerier;
use crate::uploaded::Uploaded;
use crate::wal::Wal;

mod erase;
mod maintain;
mod open;
mod report;

pub use maintain::Work;
pub(crate) use open::take_lock;

/// An open database.
pub struct Db {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    options: Options,
    clock: Arc<dyn Clock>,
    head: Arc<Head>,
    metrics: Arc<Metrics>,
    /// Blocks in use, by time.
    blocks: RwLock<Vec<Arc<Block>>>,
    /// One maintenance, deletion or snapshot at a time.
    busy: Mutex<()>,
    random: Mutex<Random>,
    /// Changeable while running.
    retention: Mutex<Retention>,
    compaction: AtomicBool,
    /// Blocks a sidecar has uploaded.
    uploaded: Uploaded,
    /// By how much the first of several head compactions is put off, and since when it is.
    compaction_delay: Duration,
    delayed_since: Mutex<Option<Duration>>,
    closed: AtomicBool,
    lock: Mutex<Option<Box<dyn DiskLock>>>,
}

/// A replay that can be watched while it runs.
#[derive(Debug, Clone, Default)]
pub struct ReplayProgress(pub(crate) Arc<Replay>);

impl ReplayProgress {
    /// First and last segment to replay, and the one being replayed.
    pub fn get(&self) -> (i64, i64, i64) {
        (
            self.0.min.load(Relaxed),
            self.0.max.load(Relaxed),
            self.0.current.load(Relaxed),
        )
    }
}

impl Db {
    /// Opens a folder: takes its lock, loads blocks, replays the log.
    pub fn open(
        dir: &Path,
        options: Options,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
    ) -> Result<Arc<Db>, DbError> {
        let progress = ReplayProgress::default();
        open::open(dir, options, disk, clock, registry, &progress)
    }

    /// As [`Db::open`], while others watch the progress of the replay.
    pub fn open_watched(
        dir: &Path,
        options: Options,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn Clock>,
        registry: &Registry,
        progress: &ReplayProgress,
    ) -> Result<Arc<Db>, DbError> {
        open::open(dir, options, disk, clock, registry, progress)
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Folder of the log, for a [`crate::wal::Cursor`].
    pub fn wal_dir(&self) -> &Path {
        self.head.wal.dir()
    }

    /// Counts of what is appended.
    pub fn appended(&self) -> Appended {
        let samples = &self.metrics.samples_appended;
        Appended {
            floats: samples.with(&["float"]),
            histograms: samples.with(&["histogram"]),
            exemplars: self.metrics.exemplars_appended.clone(),
        }
    }

    /// The blocks in use, by time.
    pub fn blocks(&self) -> Vec<Arc<Block>> {
        self.blocks.read().clone()
    }

    /// Metas of the blocks in use, by time.
    pub fn metas(&self) -> Vec<Meta> {
        self.blocks.read().iter().map(|b| b.meta()).collect()
    }

    /// Statistics of the head, with at most `limit` entries a list.
    pub fn head_stats(&self, limit: usize) -> HeadStats {
        self.head.stats(model::labels::METRIC_NAME, limit)
    }

    /// As [`Db::head_stats`], with the first list by another label than the metric name.
    pub fn head_stats_by(&self, label: &str, limit: usize) -> HeadStats {
        self.head.stats(label, limit)
    }

    /// Oldest time in the folder, unix milliseconds; `None` when it is empty.
    pub fn start_time(&self) -> Option<i64> {
        let first = self.blocks.read().first().map(|b| b.meta().min_time);
        let head = self.head.min_time.load(Relaxed);
        first.or((head != i64::MAX).then_some(head))
    }

    /// Exemplars of series that fulfil all matchers of any of the sets, sorted by labels.
    pub fn exemplars(
        &self,
        range: TimeRange,
        sets: &[Vec<Matcher>],
    ) -> Vec<(Labels, Vec<Exemplar>)> {
        self.head.exemplars.select(range, sets)
    }

    /// Changes what may be changed while running: retention, out-of-order window, exemplars.
    pub fn reconfigure(
        &self,
        retention: Retention,
        out_of_order_window: i64,
        max_exemplars: usize,
    ) -> Result<(), DbError> {
        *self.retention.lock() = retention;
        self.head.exemplars.resize(max_exemplars);
        if out_of_order_window > 0 && self.head.wbl.read().is_none() {
            let dir = self.dir.join("wbl");
            let syncs = self.metrics.wbl_sync_duration.clone();
            let wbl = Wal::prepare(self.disk.clone(), &dir, self.options.wal())?
                .timing_syncs(self.clock.clone(), syncs);
            wbl.start()?;
            *self.head.wbl.write() = Some(Arc::new(wbl));
        }
        self.head.window.store(out_of_order_window.max(0), Relaxed);
        Ok(())
    }

    /// Switches compaction of blocks on or off; the head is cut in any case.
    pub fn set_compaction(&self, on: bool) {
        self.compaction.store(on, Relaxed);
    }

    fn new_ulid(&self) -> Ulid {
        let mut random = self.random.lock();
        loop {
            let mut bytes = [0; 10];
            random.fill(&mut bytes);
            let ulid = Ulid::new(self.clock.now(), bytes);
            // Two lives with one seed in one millisecond would give the same name; that of a block which was replaced
            // would even get the new one deleted.
            let known = |m: &Meta| {
                m.compaction.sources.contains(&ulid)
                    || m.compaction.parents.iter().any(|p| p.ulid == ulid)
            };
            let used = self.disk.exists(&self.dir.join(ulid.to_string()));
            if !used && !self.metas().iter().any(known) {
                return ulid;
            }
        }
    }

    /// Writes out what is held back, syncs and gives the folder free. Appending fails afterwards.
    pub fn close(&self) -> Result<(), DbError> {
        let _busy = self.busy.lock();
        if self.closed.swap(true, Relaxed) {
            return Ok(());
        }
        let closed = self.head.close();
        if self.lock.lock().take().is_some() {
            let path = self.dir.join("lock");
            // Only a clean end removes the file: the next start tells by it.
            if closed.is_ok()
                && let Err(err) = self.disk.remove_file(&path)
            {
                tracing::warn!(%err, "remove lock file");
            }
        }
        closed
    }

    fn overlapping(&self, range: TimeRange) -> Vec<Arc<Block>> {
        self.blocks
            .read()
            .iter()
            .filter(|b| b.overlaps(range))
            .cloned()
            .collect()
    }
}

impl Queryable for Db {
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, StorageError> {
        // The head first: what leaves it meanwhile is in blocks by the time these are listed.
        let head = self
            .head
            .overlaps(range)
            .then(|| HeadReader::new(self.head.clone(), range));
        Ok(Box::new(DbQuerier::new(
            range,
            self.overlapping(range),
            head,
        )))
    }

    fn at_most(&self, range: TimeRange, matchers: &[Matcher]) -> Option<u64> {
        let mut all = 0;
        if self.head.overlaps(range) {
            all += self.head.at_most(matchers)?;
        }
        for block in self.overlapping(range) {
            all += block.at_most(matchers)?;
        }
        Some(all)
    }
}

/// Takes nothing: the database is closed.
struct ClosedAppender;

impl Appendable for Db {
    fn appender(&self) -> Box<dyn Appender + '_> {
        if self.closed.load(Relaxed) {
            return Box::new(ClosedAppender);
        }
        Box::new(HeadAppender::new(&self.head))
    }
}

fn closed<T>() -> Result<T, AppendError> {
    Err(AppendError::Other("appender closed".to_owned()))
}

impl Appender for ClosedAppender {
    fn series(&mut self, _: &Labels) -> Result<storage::SeriesRef, AppendError> {
        closed()
    }

    fn append(&mut self, _: storage::SeriesRef, _: i64, _: f64) -> Result<(), AppendError> {
        closed()
    }

    fn append_histogram(
        &mut self,
        _: storage::SeriesRef,
        _: i64,
        _: storage::HistogramSample<'_>,
    ) -> Result<(), AppendError> {
        closed()
    }

    fn append_exemplar(&mut self, _: storage::SeriesRef, _: &Exemplar) -> Result<(), AppendError> {
        closed()
    }

    fn append_start(
        &mut self,
        _: storage::SeriesRef,
        _: i64,
        _: i64,
        _: Option<storage::HistogramSample<'_>>,
    ) -> Result<(), AppendError> {
        closed()
    }

    fn update_metadata(
        &mut self,
        _: storage::SeriesRef,
        _: &model::Metadata,
    ) -> Result<(), AppendError> {
        closed()
    }

    fn commit(self: Box<Self>) -> Result<(), AppendError> {
        closed()
    }

    fn rollback(self: Box<Self>) {}
}

impl Drop for Db {
    fn drop(&mut self) {
        // A database that is dropped without being closed leaves its lock file, like a process that died.
        self.lock.get_mut().take();
    }
}

/// Positions as the set of names behind them.
fn names(metas: &[Meta], positions: &[usize]) -> HashSet<Ulid> {
    positions.iter().map(|i| metas[*i].ulid).collect()
}

/// Blocks that are to go: replaced, empty, too old or too much.
fn deletable(
    metas: &[Meta],
    sizes: &[u64],
    others: u64,
    retention: Retention,
) -> (HashSet<Ulid>, bool, bool) {
    let mut gone: HashSet<Ulid> = metas
        .iter()
        .flat_map(|m| m.compaction.parents.iter().map(|p| p.ulid))
        .collect();
    gone.extend(
        metas
            .iter()
            .filter(|m| m.compaction.deletable)
            .map(|m| m.ulid),
    );
    let left: Vec<usize> = (0..metas.len())
        .filter(|i| !gone.contains(&metas[*i].ulid))
        .collect();
    let kept: Vec<Meta> = left.iter().map(|i| metas[*i].clone()).collect();
    let kept_sizes: Vec<u64> = left.iter().map(|i| sizes[*i]).collect();
    let by_time = names(&kept, &plan::beyond_time(&kept, retention.time));
    let by_size = names(
        &kept,
        &plan::beyond_size(&kept, &kept_sizes, others, retention.bytes),
    );
    let (time, size) = (!by_time.is_empty(), !by_size.is_empty());
    gone.extend(by_time);
    gone.extend(by_size);
    (gone, time, size)
}
