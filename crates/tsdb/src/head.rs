//! The head: the newest hours of every series, in memory and head chunk files, and in the log.
//!
//! Lock order: shard, then slot, then chunk files; shard, then postings, then symbols. Nobody takes a slot while holding
//! postings, symbols or chunk files. The log's lock comes before all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering::Relaxed};

use env::Disk;
use hashbrown::HashTable;
use hashbrown::hash_map::HashMap;
use model::Labels;
use parking_lot::{Mutex, RwLock};
use storage::{AppendError, SeriesRef};

use crate::chunk_files::{ChunkFiles, FileRef};
use crate::exemplars::ExemplarRing;
use crate::isolation::Isolation;
use crate::metrics::Metrics;
use crate::postings::HeadPostings;
use crate::series::{ChunkPolicy, Series, Standing};
use crate::slots::Slots;
use crate::symbols::Symbols;
use crate::wal::Wal;

mod appender;
mod collect;
mod read;
mod replay;
mod selected;
mod stats;

pub(crate) use appender::HeadAppender;
pub(crate) use read::{HeadReader, Visible};
pub(crate) use replay::{Found as FoundChunks, Replay};
pub(crate) use selected::Selected;
pub use stats::{HeadStats, NamedCount};

const SHARDS: usize = 64;

/// Entries of a shard: 32 bits of the label set's hash, and the slot.
type Shard = RwLock<HashTable<(u32, u32)>>;

/// The head of a database.
pub(crate) struct Head {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) policy: ChunkPolicy,
    /// Metadata goes to the log.
    pub(crate) log_metadata: bool,
    pub(crate) wal: Wal,
    /// The out-of-order log; there since the window was first above zero.
    pub(crate) wbl: RwLock<Option<Arc<Wal>>>,
    pub(crate) files: ChunkFiles,
    pub(crate) slots: Slots,
    shards: Box<[Shard]>,
    pub(crate) symbols: RwLock<Symbols>,
    pub(crate) postings: RwLock<HeadPostings>,
    pub(crate) isolation: Arc<Isolation>,
    pub(crate) exemplars: ExemplarRing,
    pub(crate) metrics: Arc<Metrics>,
    /// Newest reference given to a series.
    pub(crate) last_reference: AtomicU64,
    /// Oldest time in order; `i64::MAX` in an empty head.
    pub(crate) min_time: AtomicI64,
    /// Newest time in order; `i64::MIN` in an empty head.
    pub(crate) max_time: AtomicI64,
    /// Nothing older is taken in order: blocks have it.
    pub(crate) min_valid: AtomicI64,
    /// Range of out-of-order samples not in blocks yet.
    pub(crate) late_min: AtomicI64,
    pub(crate) late_max: AtomicI64,
    /// Milliseconds behind the newest sample that are still taken.
    pub(crate) window: AtomicI64,
    pub(crate) series_count: AtomicI64,
    pub(crate) stale_count: AtomicI64,
    pub(crate) histogram_count: AtomicI64,
    pub(crate) bucket_count: AtomicI64,
    pub(crate) chunk_count: AtomicI64,
    /// Series whose record is not in the log yet.
    unlogged: Mutex<Vec<u32>>,
    /// Until when the record of a series that left the head has to stay in checkpoints.
    pub(crate) expiries: Mutex<HashMap<u64, i64>>,
    /// Batches of finished appenders, to be used again.
    spare: Mutex<Vec<appender::Batch>>,
    /// A truncation that waits for readers that began before an epoch: up to which time, and the epoch.
    pub(crate) pending_collect: Mutex<Option<(i64, u64)>>,
    pub(crate) last_wal_truncation: AtomicI64,
}

/// What a head is made of; the log and files are open.
pub(crate) struct HeadParts {
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) policy: ChunkPolicy,
    pub(crate) log_metadata: bool,
    pub(crate) wal: Wal,
    pub(crate) wbl: Option<Arc<Wal>>,
    pub(crate) files: ChunkFiles,
    pub(crate) window: i64,
    pub(crate) exemplars: usize,
    pub(crate) metrics: Arc<Metrics>,
}

/// A series found or made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Found {
    pub(crate) slot: u32,
    pub(crate) reference: u64,
}

impl Found {
    /// What appenders are given: the slot, and enough of the reference to notice that it was reused.
    pub(crate) fn handle(self) -> SeriesRef {
        let bits = self.reference << 32 | (u64::from(self.slot) + 1);
        // The slot counts from one.
        SeriesRef(std::num::NonZeroU64::new(bits).unwrap_or(std::num::NonZeroU64::MIN))
    }
}

impl Head {
    pub(crate) fn new(parts: HeadParts) -> Head {
        Head {
            disk: parts.disk,
            policy: parts.policy,
            log_metadata: parts.log_metadata,
            wal: parts.wal,
            wbl: RwLock::new(parts.wbl),
            files: parts.files,
            slots: Slots::new(),
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            symbols: RwLock::default(),
            postings: RwLock::default(),
            isolation: Isolation::new(),
            exemplars: ExemplarRing::new(parts.exemplars),
            metrics: parts.metrics,
            last_reference: AtomicU64::new(0),
            min_time: AtomicI64::new(i64::MAX),
            max_time: AtomicI64::new(i64::MIN),
            min_valid: AtomicI64::new(i64::MIN),
            late_min: AtomicI64::new(i64::MAX),
            late_max: AtomicI64::new(i64::MIN),
            window: AtomicI64::new(parts.window),
            series_count: AtomicI64::new(0),
            stale_count: AtomicI64::new(0),
            histogram_count: AtomicI64::new(0),
            bucket_count: AtomicI64::new(0),
            chunk_count: AtomicI64::new(0),
            unlogged: Mutex::default(),
            expiries: Mutex::default(),
            spare: Mutex::default(),
            pending_collect: Mutex::default(),
            last_wal_truncation: AtomicI64::new(i64::MIN),
        }
    }

    fn shard(&self, hash: u64) -> &Shard {
        &self.shards[(hash >> 58) as usize % SHARDS]
    }

    fn find(&self, table: &HashTable<(u32, u32)>, hash: u64, labels: &Labels) -> Option<Found> {
        let short = hash as u32;
        let mut found = None;
        table.find(spread(short), |&(h, slot)| {
            if h != short {
                return false;
            }
            // The set is copied out, since no slot is held while symbols are read.
            let Some((set, reference)) = self
                .slots
                .lock(slot)
                .map(|s| (s.labels.clone(), s.reference))
            else {
                return false;
            };
            let same = reference != 0 && self.symbols.read().is(&set, labels);
            if same {
                found = Some(Found { slot, reference });
            }
            same
        });
        found
    }

    /// Finds or makes a series. `reference` is its number in the log when that is known already.
    pub(crate) fn find_or_create(
        &self,
        labels: &Labels,
        reference: Option<u64>,
    ) -> Result<Found, AppendError> {
        let hash = labels.hash64();
        let shard = self.shard(hash);
        if let Some(found) = self.find(&shard.read(), hash, labels) {
            return Ok(found);
        }
        let mut table = shard.write();
        if let Some(found) = self.find(&table, hash, labels) {
            return Ok(found);
        }
        let full = |what: &str| AppendError::Other(format!("head is full: {what}"));
        let set = self
            .symbols
            .write()
            .add(labels)
            .map_err(|_| full("symbols"))?;
        let slot = match self.slots.take(self.isolation.lowest_reader()) {
            Ok(slot) => slot,
            Err(_) => {
                self.symbols.write().remove(&set);
                return Err(full("series"));
            }
        };
        let logged = reference.is_some();
        let reference = reference.unwrap_or_else(|| self.last_reference.fetch_add(1, Relaxed) + 1);
        let pairs: Vec<(u32, u32)> = self.symbols.read().pairs(&set).collect();
        if !logged {
            // Before anybody can find it: whoever commits first writes its record.
            self.unlogged.lock().push(slot);
        }
        if let Some(mut series) = self.slots.lock(slot) {
            *series = Series::new(reference, set);
            series.logged = logged;
        }
        self.postings.write().add(slot, pairs.into_iter());
        table.insert_unique(spread(hash as u32), (hash as u32, slot), |(h, _)| {
            spread(*h)
        });
        self.series_count.fetch_add(1, Relaxed);
        self.metrics.series_created.inc();
        Ok(Found { slot, reference })
    }

    /// A series' labels.
    pub(crate) fn labels_of(&self, slot: u32) -> Option<Labels> {
        let set = match self.slots.lock(slot) {
            Some(series) if series.reference != 0 => series.labels.clone(),
            _ => return None,
        };
        Some(self.symbols.read().labels(&set))
    }

    /// Moves the gauges of stale series and histograms.
    pub(crate) fn stand(&self, change: Standing) {
        if change != Standing::default() {
            self.stale_count.fetch_add(change.stale, Relaxed);
            self.histogram_count.fetch_add(change.histograms, Relaxed);
            self.bucket_count.fetch_add(change.buckets, Relaxed);
        }
    }

    /// Widens the in-order range.
    pub(crate) fn extend(&self, min: i64, max: i64) {
        self.max_time.fetch_max(max, Relaxed);
        self.min_time.fetch_min(min, Relaxed);
    }

    /// Widens the range of out-of-order samples.
    pub(crate) fn extend_late(&self, min: i64, max: i64) {
        self.late_max.fetch_max(max, Relaxed);
        self.late_min.fetch_min(min, Relaxed);
    }

    /// The least time an appender begun now may append in order: an hour before the newest sample, and nothing that
    /// is in blocks.
    pub(crate) fn appendable_from(&self) -> i64 {
        let newest = self.max_time.load(Relaxed);
        let half = self.policy.range / 2;
        self.min_valid
            .load(Relaxed)
            .max(newest.saturating_sub(half))
    }

    /// Whether it spans enough time to cut a block from it.
    pub(crate) fn is_compactable(&self) -> bool {
        let (min, max) = (self.min_time.load(Relaxed), self.max_time.load(Relaxed));
        min <= max && max.saturating_sub(min) > self.policy.range / 2 * 3
    }

    /// Whether nothing was ever appended.
    pub(crate) fn is_empty(&self) -> bool {
        self.min_time.load(Relaxed) == i64::MAX
    }

    /// Writes what the head holds back, and syncs.
    pub(crate) fn close(&self) -> Result<(), crate::failure::DbError> {
        self.wal.close()?;
        if let Some(wbl) = &*self.wbl.read() {
            wbl.close()?;
        }
        self.files.close()
    }

    /// Applies a flushed out-of-order chunk's place.
    pub(crate) fn marker(&self, series: u64, at: FileRef) -> ondisk::record::RefMarker {
        ondisk::record::RefMarker {
            series,
            chunk: at.packed(),
        }
    }
}

/// Spreads 32 bits of a good hash over 64, as the table wants them.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
