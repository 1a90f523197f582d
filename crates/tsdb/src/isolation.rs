//! Who reads and who writes: a reader sees whole commits only, and only those that ended before it began.
//!
//! Beginning to read raises an epoch while no commit is being applied. A commit belongs to the epoch it is applied in;
//! it is invisible to readers that were there already. A series remembers, only while there are readers, up to where
//! it reached before the commits of an epoch: with no query running isolation costs a series eight bytes and a commit
//! nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use storage::TimeRange;

/// Shared by all readers and appenders of a head.
#[derive(Debug, Default)]
pub(crate) struct Isolation {
    /// The epoch. Held for reading while a commit is applied, for writing to begin a reader.
    gate: RwLock<u64>,
    /// Open readers by epoch, with their ranges.
    readers: Mutex<BTreeMap<u64, TimeRange>>,
    /// The lowest open reader's epoch, `u64::MAX` without one.
    lowest: AtomicU64,
    /// Open appenders by the least time they may still append.
    appenders: Mutex<BTreeMap<i64, u32>>,
}

/// A commit being applied.
pub(crate) struct Applying<'a> {
    _gate: RwLockReadGuard<'a, u64>,
    /// The epoch it belongs to.
    epoch: u64,
    lowest: u64,
}

/// Where a series stood before the commits of an epoch: epoch and time of its newest sample.
///
/// Boxed, for a series pays for it all the time and needs it hardly ever.
#[derive(Debug, Default, Clone)]
#[allow(clippy::box_collection)]
pub(crate) struct Marks(Option<Box<Vec<(u64, i64)>>>);

impl Marks {
    /// Notes that a commit is about to go beyond `last`.
    #[inline]
    pub(crate) fn note(&mut self, commit: &Applying<'_>, last: i64) {
        if commit.lowest == u64::MAX {
            if self.0.is_some() {
                self.0 = None;
            }
            return;
        }
        let marks = self.0.get_or_insert_default();
        marks.retain(|(epoch, _)| *epoch >= commit.lowest);
        if marks.last().is_none_or(|(epoch, _)| *epoch < commit.epoch) {
            marks.push((commit.epoch, last));
        }
    }

    /// The last time a reader may see; `i64::MAX` for all.
    pub(crate) fn visible_to(&self, reader: u64) -> i64 {
        let marks = self.0.as_deref().map(Vec::as_slice).unwrap_or_default();
        marks
            .iter()
            .find(|(epoch, _)| *epoch >= reader)
            .map_or(i64::MAX, |(_, last)| *last)
    }
}

/// An open reader; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Reading {
    isolation: Arc<Isolation>,
    epoch: u64,
}

impl Reading {
    /// The reader's epoch.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut readers = self.isolation.readers.lock();
        readers.remove(&self.epoch);
        let lowest = readers.keys().next().copied().unwrap_or(u64::MAX);
        self.isolation.lowest.store(lowest, Ordering::Release);
    }
}

/// An open appender; dropping it ends it.
pub(crate) struct Appending<'a> {
    isolation: &'a Isolation,
    min_valid: i64,
}

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        let mut appenders = self.isolation.appenders.lock();
        if let Some(n) = appenders.get_mut(&self.min_valid) {
            *n -= 1;
            if *n == 0 {
                appenders.remove(&self.min_valid);
            }
        }
    }
}

impl Isolation {
    pub(crate) fn new() -> Arc<Isolation> {
        let isolation = Isolation::default();
        isolation.lowest.store(u64::MAX, Ordering::Release);
        Arc::new(isolation)
    }

    /// Begins to read a range.
    pub(crate) fn read(self: &Arc<Isolation>, range: TimeRange) -> Reading {
        let mut gate = self.gate.write();
        *gate += 1;
        let epoch = *gate;
        let mut readers = self.readers.lock();
        readers.insert(epoch, range);
        let lowest = readers.keys().next().copied().unwrap_or(u64::MAX);
        self.lowest.store(lowest, Ordering::Release);
        Reading {
            isolation: self.clone(),
            epoch,
        }
    }

    /// Begins to apply a commit.
    pub(crate) fn apply(&self) -> Applying<'_> {
        let gate = self.gate.read();
        let epoch = *gate;
        Applying {
            _gate: gate,
            epoch,
            lowest: self.lowest.load(Ordering::Acquire),
        }
    }

    /// Keeps commits from being applied while the answer is held.
    pub(crate) fn pause(&self) -> parking_lot::RwLockWriteGuard<'_, u64> {
        self.gate.write()
    }

    /// Registers an appender; `min_valid` is asked for while no other can register, so that nobody slips through
    /// between a raised bound and [`Isolation::appends_before`].
    pub(crate) fn append(&self, min_valid: impl FnOnce() -> i64) -> Appending<'_> {
        let mut appenders = self.appenders.lock();
        let min_valid = min_valid();
        *appenders.entry(min_valid).or_default() += 1;
        Appending {
            isolation: self,
            min_valid,
        }
    }

    /// Whether an open appender may still append before `t`.
    pub(crate) fn appends_before(&self, t: i64) -> bool {
        self.appenders
            .lock()
            .keys()
            .next()
            .is_some_and(|min| *min < t)
    }

    /// Open appenders.
    pub(crate) fn appenders(&self) -> u64 {
        self.appenders.lock().values().map(|n| u64::from(*n)).sum()
    }

    /// Whether a reader that began no later than in `epoch` still looks before `t`.
    pub(crate) fn reads_before(&self, t: i64, epoch: u64) -> bool {
        let readers = self.readers.lock();
        readers.range(..=epoch).any(|(_, range)| range.min < t)
    }

    /// The epoch now, and the lowest of an open reader (the epoch now without one): upstream's watermarks.
    pub(crate) fn watermarks(&self) -> (u64, u64) {
        let epoch = *self.gate.read();
        (self.lowest.load(Ordering::Acquire).min(epoch), epoch)
    }

    /// The epoch whose readers are all gone once [`Isolation::lowest_reader`] is beyond it.
    pub(crate) fn epoch(&self) -> u64 {
        *self.gate.read()
    }

    /// The lowest epoch of an open reader, `u64::MAX` without one.
    pub(crate) fn lowest_reader(&self) -> u64 {
        self.lowest.load(Ordering::Acquire)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_what_was_there_when_it_began() {
        let isolation = Isolation::new();
        let mut marks = Marks::default();
        marks.note(&isolation.apply(), 10);
        assert_eq!(marks.visible_to(isolation.epoch()), i64::MAX);
        let first = isolation.read(TimeRange::ALL);
        assert_eq!(marks.visible_to(first.epoch()), i64::MAX);
        marks.note(&isolation.apply(), 20);
        marks.note(&isolation.apply(), 30);
        let second = isolation.read(TimeRange::ALL);
        assert_eq!(
            (
                marks.visible_to(first.epoch()),
                marks.visible_to(second.epoch())
            ),
            (20, i64::MAX)
        );
        marks.note(&isolation.apply(), 40);
        assert_eq!(
            (
                marks.visible_to(first.epoch()),
                marks.visible_to(second.epoch())
            ),
            (20, 40)
        );
        drop(first);
        marks.note(&isolation.apply(), 50);
        assert_eq!(marks.visible_to(second.epoch()), 40);
        assert!(isolation.reads_before(0, second.epoch()) && !isolation.reads_before(0, 1));
        drop(second);
        marks.note(&isolation.apply(), 60);
        assert!(marks.0.is_none());
        assert!(!isolation.reads_before(0, u64::MAX));
    }

    #[test]
    fn appenders_are_counted() {
        let isolation = Isolation::new();
        let one = isolation.append(|| 100);
        let two = isolation.append(|| 50);
        assert!(isolation.appends_before(51));
        drop(two);
        assert!(!isolation.appends_before(100) && isolation.appends_before(101));
        drop(one);
        assert_eq!(isolation.appenders(), 0);
    }
}
