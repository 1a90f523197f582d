//! What start timestamps say about counter resets.

/// Whether a counter began anew between two samples, by their start timestamps (0 for unknown).
pub(super) fn is_reset(prev_start: i64, prev: i64, start: i64, now: i64) -> bool {
    if start == 0 || start >= now || start < prev {
        return false;
    }
    if start > prev {
        return true;
    }
    // It began exactly at the sample before: that sample is either the old counter's last or this one's zero.
    prev_start <= prev && prev_start != 0 && prev_start != prev
}

/// Whether a sample claims to have begun before the sample in front of it, which has another beginning.
pub(super) fn overlaps(prev_start: i64, prev: i64, start: i64) -> bool {
    start != 0 && start < prev && start != prev_start
}
