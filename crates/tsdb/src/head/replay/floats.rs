//! Float samples of the log, applied on several threads: each takes the series of every n-th slot, so that the samples of
//! one series stay in order.

use ondisk::record::RefSample;

use super::tables::{Covered, SlotTable};
use crate::head::Head;
use crate::series::{Changes, Incoming};

/// Fewer samples are applied before another thread has begun.
const MANY: usize = 8192;
/// Samples whose series are brought to the cache at a time.
const AHEAD: usize = 32;

/// What applying samples needs to know, and does not change.
pub(super) struct Floats<'a> {
    pub(super) head: &'a Head,
    pub(super) slots: &'a SlotTable,
    pub(super) covered: &'a Covered,
    /// Samples before this are in blocks.
    pub(super) min_valid: i64,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Applied {
    pub(super) changes: Changes,
    /// Samples of series that the log has not described.
    pub(super) unknown: u64,
}

impl Floats<'_> {
    /// Applies samples on at most `threads` threads.
    pub(super) fn apply(&self, samples: &[RefSample], threads: usize) -> Applied {
        if samples.len() < MANY || threads < 2 {
            return self.share(samples, 0, 1);
        }
        let threads = threads as u32;
        std::thread::scope(|scope| {
            let begin = |nth| scope.spawn(move || self.share(samples, nth, threads));
            let others: Vec<_> = (1..threads).map(begin).collect();
            let mut all = self.share(samples, 0, threads);
            for other in others {
                let applied = match other.join() {
                    Ok(applied) => applied,
                    Err(panic) => std::panic::resume_unwind(panic),
                };
                all.changes.add(&applied.changes);
                all.unknown += applied.unknown;
            }
            all
        })
    }

    /// Applies the samples of the `nth` of so many threads.
    fn share(&self, samples: &[RefSample], nth: u32, threads: u32) -> Applied {
        let head = self.head;
        let mut applied = Applied::default();
        let mut slots = [0; AHEAD];
        let mut lookup = self.slots.lookup();
        let mut waiting = samples.iter();
        loop {
            // A window of samples that chunk files do not have, with their slots.
            let mut window = [RefSample::default(); AHEAD];
            let mut len = 0;
            while len < AHEAD
                && let Some(s) = waiting.next()
            {
                let Some(slot) = lookup.get(s.series) else {
                    applied.unknown += u64::from(nth == 0 && s.t >= self.min_valid);
                    continue;
                };
                let ours = threads == 1 || slot % threads == nth;
                if ours && s.t >= self.min_valid && !self.covered.has(slot, s.t) {
                    (window[len], slots[len]) = (*s, slot);
                    len += 1;
                }
            }
            if len == 0 {
                return applied;
            }
            // Two rounds over the window bring the series, and then the ends of their chunks, to the cache.
            slots[..len]
                .iter()
                .for_each(|slot| head.slots.expect(*slot));
            for slot in &slots[..len] {
                if let Some(series) = head.slots.lock(*slot) {
                    series.expect_append();
                }
            }
            for (s, slot) in window[..len].iter().zip(slots) {
                let Some(mut series) = head.slots.lock(slot) else {
                    applied.unknown += 1;
                    continue;
                };
                let value = Incoming::Float(s.value);
                let changes = &mut applied.changes;
                series.append(s.t, value, head.policy, &head.files, None, changes);
            }
        }
    }
}
