//! Forgetting what is in blocks: chunks, series, symbols, chunk files, and the log.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use hashbrown::hash_map::HashMap;

use super::{Head, spread};
use crate::checkpoint;
use crate::chunk_files::FileRef;
use crate::failure::DbError;
use crate::series::Standing;
use crate::wal;

impl Head {
    /// Forgets everything before `min`, which is in blocks now. Readers that still look there keep it in memory for a
    /// while: the next call of [`Head::collect_pending`] tries again.
    pub(crate) fn truncate_memory(&self, min: i64) -> Result<(), DbError> {
        if min <= self.min_time.load(Relaxed) && !self.is_empty() {
            self.min_valid.fetch_max(min, Relaxed);
            return Ok(());
        }
        self.metrics.truncations.inc();
        self.min_valid.fetch_max(min, Relaxed);
        self.max_time.fetch_max(min, Relaxed);
        self.min_time.store(min, Relaxed);
        // Whoever begins to read from here on finds the samples in blocks.
        *self.pending_collect.lock() = Some((min, self.isolation.epoch()));
        self.collect_pending()
    }

    /// Does what an earlier truncation had to leave to later.
    pub(crate) fn collect_pending(&self) -> Result<(), DbError> {
        let Some((min, epoch)) = *self.pending_collect.lock() else {
            return Ok(());
        };
        if self.isolation.reads_before(min, epoch) {
            return Ok(());
        }
        let collected = self.collect(min);
        match &collected {
            Ok(()) => *self.pending_collect.lock() = None,
            Err(_) => self.metrics.truncations_failed.inc(),
        }
        collected
    }

    /// Drops chunks that end before `min`, series without any, and chunk files nobody needs.
    pub(crate) fn collect(&self, min: i64) -> Result<(), DbError> {
        let mut empty = Vec::new();
        let mut removed = 0;
        let mut oldest = i64::MAX;
        let mut lowest_file: Option<u32> = None;
        let mut standing = Standing::default();
        self.slots.each(|slot, series| {
            removed += series.truncate(min, &mut standing);
            if series.is_empty() {
                empty.push(slot);
                return;
            }
            oldest = oldest.min(series.first_time().unwrap_or(i64::MAX));
            let late = series.out_of_order.iter().flat_map(|o| o.finished.iter());
            let files = series.finished.iter().chain(late).map(|c| c.at().file);
            lowest_file = files.chain(lowest_file).min();
        });
        self.stand(standing);
        let expiry = if oldest == i64::MAX { min } else { oldest };
        self.remove_series(&empty, expiry);
        self.chunk_count.fetch_sub(removed as i64, Relaxed);
        self.metrics.head_chunks_removed.add(removed);
        if oldest > min {
            let bound = oldest.min(self.appendable_from());
            if bound > min && oldest != i64::MAX {
                self.min_time.fetch_max(bound, Relaxed);
                self.min_valid.fetch_max(bound, Relaxed);
            }
        }
        self.symbols.write().compact();
        self.postings.write().shrink();
        self.files.truncate(lowest_file)
    }

    /// Takes series out that are still empty; their log records have to stay while the log reaches back to `expiry`.
    pub(crate) fn remove_series(&self, slots: &[u32], expiry: i64) {
        let mut gone = Vec::new();
        for &slot in slots {
            let Some(labels) = self.labels_of(slot) else {
                continue;
            };
            let hash = labels.hash64();
            let mut table = self.shard(hash).write();
            let Some(mut series) = self.slots.lock(slot) else {
                continue;
            };
            if series.reference == 0 || !series.is_empty() {
                continue;
            }
            let short = hash as u32;
            if let Ok(entry) = table.find_entry(spread(short), |e| *e == (short, slot)) {
                entry.remove();
            }
            let old = std::mem::replace(&mut *series, crate::series::Series::vacant());
            gone.push((slot, old.reference, old.labels));
        }
        if gone.is_empty() {
            return;
        }
        {
            let slots: std::collections::HashSet<u32> = gone.iter().map(|g| g.0).collect();
            self.unlogged.lock().retain(|slot| !slots.contains(slot));
        }
        {
            let mut postings = self.postings.write();
            let symbols = self.symbols.read();
            for (slot, _, set) in &gone {
                postings.remove(*slot, symbols.pairs(set));
            }
        }
        let mut symbols = self.symbols.write();
        let mut expiries = self.expiries.lock();
        let epoch = self.isolation.epoch();
        for (slot, reference, set) in &gone {
            symbols.remove(set);
            expiries.insert(*reference, expiry);
            self.slots.give(*slot, epoch);
        }
        self.series_count.fetch_sub(gone.len() as i64, Relaxed);
        self.metrics.series_removed.add(gone.len() as u64);
    }

    /// Folds the older two thirds of the log into a checkpoint that keeps only what the head still needs.
    pub(crate) fn truncate_log(&self, min: i64) -> Result<(), DbError> {
        if min <= self.last_wal_truncation.load(Relaxed) {
            return Ok(());
        }
        let segments = wal::segments(&*self.disk, self.wal.dir())?;
        let Some(&first) = segments.first() else {
            return Ok(());
        };
        // The new segment keeps the one being written out of the checkpoint.
        let last = self.wal.next_segment()? - 1;
        if last < first {
            return Ok(());
        }
        let last = first + (last - first) * 2 / 3;
        if last <= first {
            return Ok(());
        }
        self.metrics.wal_truncations.inc();
        self.metrics.checkpoints.inc();
        let mut live = Vec::with_capacity(self.series_count.load(Relaxed).max(0) as usize);
        self.slots.each(|_, series| live.push(series.reference));
        live.sort_unstable();
        let expiries: HashMap<u64, i64> = self.expiries.lock().clone();
        let keep = |series: u64| {
            live.binary_search(&series).is_ok() || expiries.get(&series).is_some_and(|t| *t >= min)
        };
        let made = checkpoint::create(
            &self.disk,
            self.wal.dir(),
            (first, last),
            min,
            self.wal.compression(),
            keep,
        );
        if let Err(err) = made {
            self.metrics.checkpoints_failed.inc();
            self.metrics.wal_truncations_failed.inc();
            return Err(err);
        }
        // The checkpoint stands: from here on failures only leave files behind.
        if let Err(err) = self.wal.remove_before(last + 1) {
            tracing::warn!(%err, "remove log segments that a checkpoint replaced");
        }
        self.expiries.lock().retain(|_, t| *t >= min);
        self.metrics.checkpoint_deletions.inc();
        if let Err(err) = checkpoint::remove_before(&*self.disk, self.wal.dir(), last) {
            self.metrics.checkpoint_deletions_failed.inc();
            tracing::warn!(%err, "remove older checkpoints");
        }
        self.last_wal_truncation.store(min, Relaxed);
        Ok(())
    }

    /// Starts of the aligned windows in which there are samples, in order ones or late ones.
    pub(crate) fn windows(&self, late: bool) -> BTreeSet<i64> {
        let range = self.policy.range;
        let mut windows = BTreeSet::new();
        self.slots.each(|_, series| {
            let side = series.out_of_order.as_deref().filter(|_| late);
            let of_side = side.into_iter().flat_map(|o| o.finished.iter());
            let of_series = series.finished.iter().filter(|_| !late);
            let chunks = of_side
                .chain(of_series)
                .map(|c| (c.min_time(), c.max_time()));
            let open = series
                .open_chunk()
                .filter(|_| !late)
                .map(|(min, max, _)| (min, max));
            for (min, max) in chunks.chain(open) {
                let mut from = min / range * range;
                while from <= max {
                    windows.insert(from);
                    from = from.saturating_add(range);
                }
            }
        });
        windows
    }

    /// Makes chunks of all out-of-order samples and gives the place of the newest.
    pub(crate) fn flush_late(&self) -> Option<FileRef> {
        let mut all = None;
        self.slots.each(|_, series| {
            let reference = series.reference;
            if let Some(side) = &mut series.out_of_order {
                side.flush(reference, &self.files, |_| {});
                all = side.finished.iter().map(|c| c.at()).chain(all).max();
            }
        });
        all
    }

    /// Forgets out-of-order chunks up to `last`, which are in blocks now.
    pub(crate) fn forget_late(&self, last: FileRef) {
        let (mut min, mut max) = (i64::MAX, i64::MIN);
        // No commit may widen the range between looking at its series and storing the new one.
        let _paused = self.isolation.pause();
        self.slots.each(|_, series| {
            let Some(side) = &mut series.out_of_order else {
                return;
            };
            side.forget(last);
            match side.range() {
                Some(range) => (min, max) = (min.min(range.0), max.max(range.1)),
                None => series.out_of_order = None,
            }
        });
        self.late_min.store(min, Relaxed);
        self.late_max.store(max, Relaxed);
    }
}
