//! What has to be done from time to time: cut blocks from the head, merge blocks, delete old ones.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use ondisk::meta::{Meta, Ulid};

use super::{Db, deletable};
use crate::block::{Block, read_meta};
use crate::block_writer::DELETING;
use crate::compact::{self, Target};
use crate::failure::DbError;
use crate::head::Visible;
use crate::plan;

/// What a round of maintenance did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Work {
    /// Blocks cut from the head.
    pub head_blocks: usize,
    /// Compactions of blocks.
    pub compactions: usize,
}

/// End of the aligned window that contains `t`, with Go's truncating division.
fn window_end(t: i64, range: i64) -> i64 {
    (t / range * range).saturating_add(range)
}

impl Db {
    fn target(&self) -> Target<'_> {
        Target {
            disk: &self.disk,
            parent: &self.dir,
            ulid: self.new_ulid(),
            segment_max: self.options.block_segment_bytes,
            metrics: &self.metrics,
        }
    }

    /// Does all that is due. To be called about once a minute, from one thread; blocks while it works.
    ///
    /// A failure leaves everything usable and is tried again by the next call.
    pub fn maintain(&self) -> Result<Work, DbError> {
        let _busy = self.busy.lock();
        let mut work = Work::default();
        self.head.collect_pending()?;
        // A full disk shows here, and must not keep old blocks from being deleted.
        let flushed = self
            .head
            .wal
            .sync_finished()
            .and_then(|()| self.head.files.flush());
        self.reload(false)?;
        flushed?;
        self.metrics.compactions_triggered.inc();
        while self.head_is_due() {
            match self.cut_head() {
                Ok(true) => work.head_blocks += 1,
                Ok(false) => break,
                Err(err) => {
                    self.metrics.compactions_failed.inc();
                    return Err(err);
                }
            }
        }
        if work.head_blocks > 0 {
            self.cut_late()?;
        }
        if !self.compaction.load(Relaxed) {
            self.metrics.compactions_skipped.inc();
            return Ok(work);
        }
        while self.compact_once()? {
            work.compactions += 1;
            if self.head.is_compactable() {
                break;
            }
        }
        Ok(work)
    }

    /// Whether a block has to be cut from the head now: there is one, and it is not put off.
    fn head_is_due(&self) -> bool {
        let mut since = self.delayed_since.lock();
        if !self.head.is_compactable() {
            *since = None;
            return false;
        }
        let now = self.clock.monotonic();
        let since = *since.get_or_insert(now);
        now.saturating_sub(since) >= self.compaction_delay
    }

    /// Cuts the oldest window from the head. False when somebody may still append to it.
    fn cut_head(&self) -> Result<bool, DbError> {
        let min = self.head.min_time.load(Relaxed);
        let max = window_end(min, self.options.min_block_duration);
        // New appenders stay out of the window from here on; older ones may still be at it.
        self.head
            .min_valid
            .fetch_max(max.min(self.head.appendable_from()), Relaxed);
        if self.head.isolation.appends_before(max) {
            return Ok(false);
        }
        let started = self.clock.monotonic();
        compact::head_block(&self.head, (min, max), Visible::InOrder, &self.target())?;
        self.metrics.compactions.inc();
        self.reload(false)?;
        self.head.truncate_memory(max)?;
        let took = self.clock.monotonic().saturating_sub(started);
        self.metrics.compaction_duration.observe(took.as_secs_f64());
        self.metrics.gc_duration.observe(took.as_secs_f64());
        let truncating = self.clock.monotonic();
        let truncated = self.head.truncate_log(self.head.min_time.load(Relaxed));
        let took = self.clock.monotonic().saturating_sub(truncating);
        self.metrics
            .wal_truncate_duration
            .observe(took.as_secs_f64());
        truncated?;
        Ok(true)
    }

    /// Makes blocks of all samples that came late.
    fn cut_late(&self) -> Result<(), DbError> {
        let Some(wbl) = self.head.wbl.read().clone() else {
            return Ok(());
        };
        if self.head.late_min.load(Relaxed) > self.head.late_max.load(Relaxed) {
            return Ok(());
        }
        // What comes while this works goes to the new segment and to newer chunks.
        let segment = wbl.next_segment()?;
        let Some(last) = self.head.flush_late() else {
            return Ok(());
        };
        self.head.files.flush()?;
        let range = self.options.min_block_duration;
        for from in self.head.windows(true) {
            self.metrics.compactions.inc();
            let window = (from, from.saturating_add(range));
            compact::head_block(&self.head, window, Visible::Late, &self.target())?;
        }
        self.reload(false)?;
        self.head.forget_late(last);
        self.metrics.wbl_truncations.inc();
        let removed = wbl.remove_before(segment);
        if removed.is_err() {
            self.metrics.wbl_truncations_failed.inc();
        }
        removed
    }

    /// Does one compaction of blocks. False when there is none to do.
    fn compact_once(&self) -> Result<bool, DbError> {
        let blocks = self.blocks();
        let metas: Vec<Meta> = blocks.iter().map(|b| b.meta()).collect();
        let ranges = plan::block_ranges(
            self.options.min_block_duration,
            self.options.max_block_duration,
        );
        let now = self.clock.monotonic();
        let uploaded = self.uploaded.list(&*self.disk, now);
        let may = |meta: &Meta| uploaded.as_ref().is_none_or(|list| list.may_compact(meta));
        let picked = plan::plan(&metas, &ranges, self.options.overlapping_compaction, may);
        if picked.is_empty() {
            return Ok(false);
        }
        let inputs: Vec<Arc<Block>> = picked.iter().map(|i| blocks[*i].clone()).collect();
        let mut end = i64::MIN;
        let vertical = picked.iter().any(|i| {
            let overlaps = metas[*i].min_time < end;
            end = end.max(metas[*i].max_time);
            overlaps
        });
        let started = self.clock.monotonic();
        let merged = match &inputs[..] {
            [only] => compact::clean_block(only, &self.target()),
            _ => compact::merge_blocks(&inputs, &self.target()),
        };
        match merged {
            Ok(Some(_)) => {}
            Ok(None) => {
                for block in &inputs {
                    block.mark(|meta| meta.compaction.deletable = true)?;
                }
            }
            Err(err) => {
                self.metrics.compactions_failed.inc();
                // A damaged block must not stop the others from being compacted; a full disk is no fault of theirs.
                if !matches!(err, DbError::Io { .. }) {
                    for block in &inputs {
                        block.mark(|meta| meta.compaction.failed = true)?;
                    }
                }
                return Err(err);
            }
        }
        let took = self.clock.monotonic().saturating_sub(started);
        self.metrics.compactions.inc();
        self.metrics.compaction_duration.observe(took.as_secs_f64());
        if vertical {
            self.metrics.vertical_compactions.inc();
        }
        self.reload(false)?;
        Ok(true)
    }

    /// Writes the whole head to blocks, window by window, as an end of service wants it.
    pub fn flush_head(&self) -> Result<(), DbError> {
        let _busy = self.busy.lock();
        let min = self.head.min_time.load(Relaxed);
        for window in self.head.windows(false) {
            let to = window.saturating_add(self.options.min_block_duration);
            let from = window.max(min);
            if from < to {
                let range = (from, to);
                compact::head_block(&self.head, range, Visible::InOrder, &self.target())?;
            }
        }
        self.reload(false)
    }

    /// Loads blocks that appeared, and drops those that are replaced or beyond retention.
    pub(super) fn reload(&self, at_start: bool) -> Result<(), DbError> {
        self.metrics.reloads.inc();
        let reloaded = self.reload_blocks(at_start);
        if reloaded.is_err() {
            self.metrics.reloads_failed.inc();
        }
        reloaded
    }

    fn reload_blocks(&self, at_start: bool) -> Result<(), DbError> {
        let loaded = self.blocks();
        let mut blocks = Vec::new();
        let mut broken = Vec::new();
        for entry in self
            .disk
            .list(&self.dir)
            .map_err(DbError::io("list", &self.dir))?
        {
            let Ok(ulid) = entry.name.parse::<Ulid>() else {
                continue;
            };
            let dir = self.dir.join(&entry.name);
            if !entry.is_dir {
                continue;
            }
            if let Some(block) = loaded.iter().find(|b| b.meta().ulid == ulid) {
                blocks.push(block.clone());
                continue;
            }
            // A meta that cannot be read is skipped, as upstream does; anything worse stops the reload.
            if let Err(err) = read_meta(&*self.disk, &dir) {
                tracing::error!(%err, block = %ulid, "skip block without a readable meta file");
                continue;
            }
            match Block::open(self.disk.clone(), &dir) {
                Ok(block) => blocks.push(Arc::new(block)),
                Err(err) => broken.push((ulid, err)),
            }
        }
        let metas: Vec<Meta> = blocks.iter().map(|b| b.meta()).collect();
        let sizes: Vec<u64> = blocks.iter().map(|b| b.size()).collect();
        let retention = *self.retention.lock();
        let others = match retention.bytes {
            0 => 0,
            _ => self.other_bytes(),
        };
        let (gone, by_time, by_size) = deletable(&metas, &sizes, others, retention);
        // A block that does not open but was replaced is no loss. Any other stays where it is, for people to look at:
        // its samples are missing from answers, and that is no reason to answer nothing at all and to scrape nothing.
        broken.retain(|(ulid, _)| !gone.contains(ulid));
        for (ulid, err) in &broken {
            let err = DbError::Blocks(ulid.to_string(), err.to_string());
            tracing::error!(%err, block = %ulid, "skip block that cannot be opened");
        }
        if !broken.is_empty() {
            self.metrics.reloads_failed.inc();
        }
        self.metrics.time_retentions.add(u64::from(by_time));
        self.metrics.size_retentions.add(u64::from(by_size));
        let mut kept: Vec<Arc<Block>> = blocks
            .iter()
            .filter(|b| !gone.contains(&b.meta().ulid))
            .cloned()
            .collect();
        kept.sort_by_key(|b| {
            let meta = b.meta();
            (meta.min_time, meta.ulid)
        });
        *self.blocks.write() = kept;
        self.delete(&gone, at_start)
    }

    /// Bytes of log and head chunk files.
    pub(super) fn other_bytes(&self) -> u64 {
        let wbl = self.head.wbl.read().as_ref().map_or(0, |wbl| wbl.size());
        self.head.wal.size() + wbl + self.head.files.size()
    }

    fn delete(&self, gone: &HashSet<Ulid>, at_start: bool) -> Result<(), DbError> {
        for ulid in gone {
            let from = self.dir.join(ulid.to_string());
            if !self.disk.exists(&from) {
                continue;
            }
            tracing::info!(block = %ulid, at_start, "delete block");
            // The name goes first: a crash in between leaves no half of a block behind.
            let to = self.dir.join(format!("{ulid}{DELETING}"));
            if self.disk.exists(&to) {
                self.disk
                    .remove_dir_all(&to)
                    .map_err(DbError::io("remove", &to))?;
            }
            self.disk
                .rename(&from, &to)
                .map_err(DbError::io("rename", &from))?;
            self.disk
                .remove_dir_all(&to)
                .map_err(DbError::io("remove", &to))?;
        }
        Ok(())
    }
}
