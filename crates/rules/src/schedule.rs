//! When a group is evaluated: at `k * interval + offset` of absolute time, the offset from the group's name and file.

use model::Labels;

const NANOS: i64 = 1_000_000;

/// The slots of one group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slots {
    interval: i64,
    offset: i64,
}

impl Slots {
    /// `interval` in milliseconds, at least one.
    pub fn new(file: &str, name: &str, interval: i64) -> Slots {
        let interval = interval.clamp(1, i64::MAX / NANOS / 4) * NANOS;
        let hash = Labels::from_pairs([("name", name), ("file", file)]).stable_hash();
        Slots {
            interval,
            offset: (hash % interval as u64) as i64,
        }
    }

    /// The first slot after `now`, unix milliseconds.
    pub fn after(&self, now: i64) -> i64 {
        let nanos = now.saturating_mul(NANOS).saturating_sub(self.offset);
        let base = nanos - nanos.rem_euclid(self.interval) + self.offset;
        let slot = base.saturating_add(self.interval).div_euclid(NANOS);
        // A slot within this very millisecond counts as passed.
        if slot > now {
            slot
        } else {
            slot.saturating_add(self.interval / NANOS)
        }
    }

    /// After an evaluation of slot `last`, at `now`: the slot to evaluate next and how many were missed meanwhile.
    pub fn next(&self, last: i64, now: i64) -> (i64, i64) {
        let interval = self.interval / NANOS;
        if now < last - interval {
            // The clock went back: begin anew from what it shows.
            return (self.after(now), 0);
        }
        let missed = ((now - last) / interval - 1).max(0);
        (last + (missed + 1) * interval, missed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_aligned_and_spread() {
        let a = Slots::new("f.yml", "a", 15_000);
        let b = Slots::new("f.yml", "b", 15_000);
        let first = a.after(1_000_000);
        assert!(first > 1_000_000 && first <= 1_015_000);
        assert_eq!(a.after(first - 1), first);
        assert_eq!(a.after(first), first + 15_000);
        assert_eq!(
            a.after(2_000_000).rem_euclid(15_000),
            first.rem_euclid(15_000)
        );
        assert_ne!(first, b.after(1_000_000));
    }

    #[test]
    fn misses_are_counted_and_a_clock_that_goes_back_is_followed() {
        let slots = Slots::new("f", "g", 10_000);
        let first = slots.after(0);
        assert_eq!(slots.next(first, first + 3), (first + 10_000, 0));
        assert_eq!(slots.next(first, first + 10_001), (first + 10_000, 0));
        assert_eq!(slots.next(first, first + 35_000), (first + 30_000, 2));
        let (next, missed) = slots.next(first + 3_600_000, first + 1);
        assert_eq!((next, missed), (first + 10_000, 0));
    }
}
