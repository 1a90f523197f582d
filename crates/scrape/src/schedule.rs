//! When to scrape: targets spread over their interval, the same place in it every time.

use std::time::Duration;

use crate::target::Fnv;

/// What tells servers of a highly available pair apart: host name and external labels.
pub fn offset_seed(host: &str, external_labels: &model::Labels) -> u64 {
    let mut hash = Fnv::default();
    hash.write(format!("{host}{external_labels}").as_bytes());
    hash.0
}

/// How long to wait at `now_ms` (wall clock) until the target's next moment: the moments are those where the wall clock,
/// in whole intervals, stands at the target's place.
pub fn until_first(target_hash: u64, seed: u64, interval_ms: i64, now_ms: i64) -> Duration {
    let interval = interval_ms.max(1) as u64 * 1_000_000;
    let now = now_ms.unsigned_abs().wrapping_mul(1_000_000);
    let base = interval - now % interval;
    let offset = (target_hash ^ seed) % interval;
    let mut next = base + offset;
    if next > interval {
        next -= interval;
    }
    Duration::from_nanos(next)
}

/// The timestamp to write for a scrape that starts at `now_ms`, when the one before had `last_ms` on the schedule.
/// Gives the timestamp and the schedule's own time, to be handed in as `last_ms` next time. A deviation up to
/// `tolerance_ms` is not written into samples, so that their distances are even and compress well.
pub fn aligned(
    now_ms: i64,
    last_ms: Option<i64>,
    interval_ms: i64,
    tolerance_ms: i64,
) -> (i64, i64) {
    let Some(last) = last_ms else {
        return (now_ms, now_ms);
    };
    let tolerance = tolerance_ms.min(interval_ms / 100);
    // Whole intervals may have been left out; after a jump of the clock the schedule starts anew.
    let intervals = (now_ms - last + interval_ms / 2).div_euclid(interval_ms.max(1));
    let due = last + intervals * interval_ms;
    if intervals >= 1 && tolerance_ms > 0 && (now_ms - due).abs() <= tolerance {
        (due, due)
    } else {
        (now_ms, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_the_interval_is_steady() {
        let interval = 15_000;
        let place = |now: i64| {
            let wait = until_first(0xdead_beef, 7, interval, now);
            assert!(wait <= Duration::from_millis(15_000));
            (now * 1_000_000 + wait.as_nanos() as i64) % (interval * 1_000_000)
        };
        let first = place(1_700_000_000_123);
        assert!((0..100).all(|i| place(1_700_000_000_123 + i * 777) == first));
        let other = until_first(0xdead_beef, 8, interval, 1_700_000_000_123);
        assert_ne!(
            other,
            until_first(0xdead_beef, 7, interval, 1_700_000_000_123)
        );
    }

    #[test]
    fn small_deviations_are_evened_out() {
        assert_eq!(aligned(1000, None, 10_000, 2), (1000, 1000));
        assert_eq!(aligned(11_001, Some(1000), 10_000, 2), (11_000, 11_000));
        assert_eq!(aligned(30_999, Some(1000), 10_000, 2), (31_000, 31_000));
        assert_eq!(aligned(11_003, Some(1000), 10_000, 2), (11_003, 11_003));
        assert_eq!(
            aligned(500, Some(1000), 10_000, 2),
            (500, 500),
            "the clock went back"
        );
    }
}
