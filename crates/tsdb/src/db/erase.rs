//! Deleting series, cleaning up after it, and snapshots.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use model::Matcher;
use ondisk::record::{self, RefTombstone};
use ondisk::tombstones::Interval;
use storage::TimeRange;

use super::Db;
use crate::compact::{self, Target};
use crate::failure::DbError;
use crate::head::{HeadReader, Visible};

impl Db {
    /// Deletes the samples of a range from the series that fulfil all matchers. They are gone from queries at once, and
    /// from disk when their blocks are compacted or cleaned.
    pub fn delete_series(&self, matchers: &[Matcher], range: TimeRange) -> Result<(), DbError> {
        let _busy = self.busy.lock();
        for block in self.overlapping(range) {
            block.delete(matchers, range)?;
        }
        if self.head.overlaps(range) {
            self.delete_in_head(matchers, range)?;
        }
        Ok(())
    }

    fn delete_in_head(&self, matchers: &[Matcher], range: TimeRange) -> Result<(), DbError> {
        let head = &self.head;
        let found = HeadReader::new(head.clone(), range).series(matchers)?;
        let mut tombstones = Vec::new();
        for slot in found.slots() {
            let Some(series) = head.slots.lock(slot) else {
                continue;
            };
            // Late samples count as well, or they would come back with their block.
            let late = series.out_of_order.as_ref().and_then(|o| o.range());
            let in_order = series.first_time().map(|first| (first, series.last_time()));
            let Some((first, last)) = [late, in_order]
                .into_iter()
                .flatten()
                .reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))
            else {
                continue;
            };
            let interval = Interval {
                min: range.min.max(first),
                max: range.max.min(last),
            };
            if interval.min <= interval.max {
                tombstones.push((
                    slot,
                    RefTombstone {
                        series: series.reference,
                        interval,
                    },
                ));
            }
        }
        if tombstones.is_empty() {
            return Ok(());
        }
        let mut buf = Vec::new();
        let records: Vec<RefTombstone> = tombstones.iter().map(|(_, t)| *t).collect();
        record::put_tombstones(&mut buf, &records);
        head.wal.log(vec![buf])?;
        for (slot, t) in tombstones {
            if let Some(mut series) = head.slots.lock(slot)
                && series.reference == t.series
            {
                series.deleted.get_or_insert_default().add(t.interval);
            }
        }
        Ok(())
    }

    /// Writes every block that has deleted samples anew without them.
    pub fn clean_tombstones(&self) -> Result<(), DbError> {
        let _busy = self.busy.lock();
        let started = self.clock.monotonic();
        for block in self.blocks() {
            if block.tombstones().is_empty() {
                continue;
            }
            let target = Target {
                disk: &self.disk,
                parent: &self.dir,
                ulid: self.new_ulid(),
                segment_max: self.options.block_segment_bytes,
                metrics: &self.metrics,
            };
            if compact::clean_block(&block, &target)?.is_none() {
                block.mark(|meta| meta.compaction.deletable = true)?;
            }
            self.reload(false)?;
        }
        let took = self.clock.monotonic().saturating_sub(started);
        self.metrics.tombstone_cleanup.observe(took.as_secs_f64());
        Ok(())
    }

    /// Links all blocks into `dir`, and writes what the head has in order to one more, if asked for.
    pub fn snapshot(&self, dir: &Path, with_head: bool) -> Result<(), DbError> {
        let _busy = self.busy.lock();
        self.disk
            .create_dir_all(dir)
            .map_err(DbError::io("create", dir))?;
        for block in self.blocks() {
            block.snapshot(dir)?;
        }
        let (min, max) = (
            self.head.min_time.load(Relaxed),
            self.head.max_time.load(Relaxed),
        );
        if with_head && min <= max {
            let target = Target {
                disk: &self.disk,
                parent: dir,
                ulid: self.new_ulid(),
                segment_max: self.options.block_segment_bytes,
                metrics: &self.metrics,
            };
            compact::head_block(&self.head, (min, max + 1), Visible::InOrder, &target)?;
        }
        Ok(())
    }

    /// Whether anything is held only by the head.
    pub fn head_is_empty(&self) -> bool {
        Arc::clone(&self.head).is_empty()
    }
}
