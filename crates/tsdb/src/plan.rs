//! Which blocks to compact and which to delete: decisions on metas alone.

use ondisk::meta::{HINT_OUT_OF_ORDER, HINT_SELECTED, HINT_STALE, Meta};

/// Block lengths that compaction aims at: `min` times powers of three up to `max`.
pub fn block_ranges(min: i64, max: i64) -> Vec<i64> {
    let mut ranges = Vec::new();
    let mut range = min;
    for _ in 0..10 {
        if range > max && !ranges.is_empty() {
            break;
        }
        ranges.push(range);
        range = range.saturating_mul(3);
    }
    ranges
}

/// The longest block for a time retention (0 for none), milliseconds.
pub fn max_block_duration(retention: i64) -> i64 {
    const LONGEST: i64 = 31 * 24 * 3_600_000;
    match retention {
        0 => LONGEST,
        _ => LONGEST.min(retention / 10),
    }
}

/// Picks blocks to compact together, as positions in `metas`; empty when there is nothing to do. One position alone
/// asks for a rewrite without deleted samples.
///
/// The first block (by time) that `may_compact` refuses, and all after it, are left alone.
pub fn plan(
    metas: &[Meta],
    ranges: &[i64],
    overlapping: bool,
    may_compact: impl Fn(&Meta) -> bool,
) -> Vec<usize> {
    let mut sorted: Vec<usize> = (0..metas.len()).collect();
    sorted.sort_by_key(|i| metas[*i].min_time);
    let end = sorted.iter().position(|i| !may_compact(&metas[*i]));
    sorted.truncate(end.unwrap_or(sorted.len()));

    let in_order_end = metas
        .iter()
        .filter(|m| m.compaction.hints.is_empty())
        .map(|m| m.max_time)
        .max();
    let class = |m: &Meta| match () {
        // Late samples of a window that is still in the head: merged with blocks of in-order samples they would make one
        // that ends where the log is still needed.
        _ if m.compaction.has_hint(HINT_OUT_OF_ORDER) && Some(m.max_time) > in_order_end => 3,
        _ if m.compaction.has_hint(HINT_STALE) => 1,
        _ if m.compaction.has_hint(HINT_SELECTED) => 2,
        _ => 0,
    };
    for wanted in 0..4 {
        let of: Vec<usize> = sorted
            .iter()
            .copied()
            .filter(|i| class(&metas[*i]) == wanted)
            .collect();
        let picked = plan_class(metas, &of, ranges, overlapping);
        if !picked.is_empty() {
            return picked;
        }
    }
    Vec::new()
}

fn plan_class(metas: &[Meta], sorted: &[usize], ranges: &[i64], overlapping: bool) -> Vec<usize> {
    if overlapping {
        let run = overlap(metas, sorted);
        if !run.is_empty() {
            return run;
        }
    }
    // The newest block is left alone: it may still be waiting for a backup, and its neighbours are not there yet.
    let Some((_, older)) = sorted.split_last() else {
        return Vec::new();
    };
    let leveled = level(metas, older, ranges);
    if !leveled.is_empty() {
        return leveled;
    }
    let Some(&middle) = ranges.get(ranges.len() / 2) else {
        return Vec::new();
    };
    for &i in older.iter().rev() {
        let m = &metas[i];
        let (tombstones, series) = (m.stats.num_tombstones, m.stats.num_series);
        if m.max_time - m.min_time < middle {
            if tombstones > 0 && tombstones >= series {
                return vec![i];
            }
            break;
        }
        if tombstones as f64 / (series + 1) as f64 > 0.05 {
            return vec![i];
        }
    }
    Vec::new()
}

/// The first run of blocks of which each begins before all before it have ended.
fn overlap(metas: &[Meta], sorted: &[usize]) -> Vec<usize> {
    let mut run: Vec<usize> = Vec::new();
    let mut end = i64::MIN;
    for &i in sorted {
        if metas[i].min_time < end {
            run.push(i);
        } else if run.len() > 1 {
            break;
        } else {
            run = vec![i];
        }
        end = end.max(metas[i].max_time);
    }
    if run.len() > 1 { run } else { Vec::new() }
}

/// The first group of blocks that fill a longer range, or whose range is over.
fn level(metas: &[Meta], sorted: &[usize], ranges: &[i64]) -> Vec<usize> {
    let Some(newest) = sorted.last().map(|i| metas[*i].min_time) else {
        return Vec::new();
    };
    for &range in ranges.iter().skip(1) {
        for group in groups(metas, sorted, range) {
            if group.len() < 2 || group.iter().any(|i| metas[*i].compaction.failed) {
                continue;
            }
            let min = group.iter().map(|i| metas[*i].min_time).min().unwrap_or(0);
            let max = group.iter().map(|i| metas[*i].max_time).max().unwrap_or(0);
            if max - min == range || max <= newest {
                return group;
            }
        }
    }
    Vec::new()
}

/// Blocks that lie wholly in the same aligned window.
fn groups(metas: &[Meta], sorted: &[usize], range: i64) -> Vec<Vec<usize>> {
    let mut out: Vec<(i64, Vec<usize>)> = Vec::new();
    for &i in sorted {
        let m = &metas[i];
        let window = m.min_time.div_euclid(range) * range;
        if m.max_time > window.saturating_add(range) {
            continue;
        }
        match out.last_mut() {
            Some((w, group)) if *w == window => group.push(i),
            _ => out.push((window, vec![i])),
        }
    }
    out.into_iter().map(|(_, group)| group).collect()
}

/// Blocks beyond the time retention, as positions: relative to the newest block, not to now.
pub fn beyond_time(metas: &[Meta], retention: i64) -> Vec<usize> {
    if retention <= 0 {
        return Vec::new();
    }
    let mut sorted: Vec<usize> = (0..metas.len()).collect();
    sorted.sort_by_key(|i| std::cmp::Reverse(metas[*i].max_time));
    let Some(newest) = sorted.first().map(|i| metas[*i].max_time) else {
        return Vec::new();
    };
    let first = sorted
        .iter()
        .skip(1)
        .position(|i| newest - metas[*i].max_time >= retention);
    first.map_or(Vec::new(), |first| sorted.split_off(first + 1))
}

/// Blocks beyond the size retention, as positions; `sizes` are theirs, `others` is what log and head take.
pub fn beyond_size(metas: &[Meta], sizes: &[u64], others: u64, limit: u64) -> Vec<usize> {
    if limit == 0 {
        return Vec::new();
    }
    let mut sorted: Vec<usize> = (0..metas.len()).collect();
    sorted.sort_by_key(|i| std::cmp::Reverse(metas[*i].max_time));
    let mut total = others;
    let first = sorted.iter().position(|i| {
        total = total.saturating_add(sizes[*i]);
        total > limit
    });
    first.map_or(Vec::new(), |first| sorted.split_off(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ondisk::meta::Ulid;

    fn metas(times: &[(i64, i64)]) -> Vec<Meta> {
        let of = |(i, t): (usize, &(i64, i64))| Meta::new(Ulid(i as u128), t.0, t.1);
        times.iter().enumerate().map(of).collect()
    }

    #[test]
    fn late_blocks_ahead_of_the_head_are_not_merged_with_others() {
        let mut blocks = metas(&[(0, 20), (20, 40), (40, 60), (60, 80)]);
        for ahead in [2, 3] {
            blocks[ahead].compaction.hints = vec![HINT_OUT_OF_ORDER.to_owned()];
        }
        let planned = |blocks: &[Meta]| plan(blocks, &[20, 60, 180], true, |_| true);
        assert!(planned(&blocks).is_empty(), "the head still has 40 to 60");
        // Once the head's own block is there, they are as any others: first what overlaps.
        blocks.push(Meta::new(Ulid(9), 40, 60));
        assert_eq!(planned(&blocks), [2, 4]);
    }

    fn check(times: &[(i64, i64)], want: &[usize]) {
        assert_eq!(
            plan(&metas(times), &[20, 60, 180], true, |_| true),
            want,
            "{times:?}"
        );
    }

    #[test]
    fn leveled() {
        check(&[(0, 20)], &[]);
        check(&[(0, 20), (20, 40), (40, 60)], &[]);
        check(&[(0, 20), (20, 40), (40, 60), (60, 80)], &[0, 1, 2]);
        check(&[(0, 20), (20, 40), (60, 80), (80, 100)], &[0, 1]);
        check(&[(0, 20), (60, 80), (80, 100)], &[]);
        check(&[(-60, -40), (-40, -20), (-20, 0), (0, 20)], &[0, 1, 2]);
        check(&[(0, 60), (60, 120), (120, 180), (180, 200)], &[0, 1, 2]);
    }

    #[test]
    fn overlaps_go_first() {
        check(&[(0, 20), (19, 40), (40, 60)], &[0, 1]);
        check(&[(0, 20), (20, 40), (20, 40)], &[1, 2]);
        check(&[(0, 100), (10, 20), (30, 40), (100, 120)], &[0, 1, 2]);
        assert!(plan(&metas(&[(0, 20), (19, 40)]), &[20, 60], false, |_| true).is_empty());
    }

    #[test]
    fn failed_stale_and_deleted() {
        let mut all = metas(&[(0, 20), (20, 40), (40, 60), (60, 80)]);
        all[1].compaction.failed = true;
        assert!(plan(&all, &[20, 60], true, |_| true).is_empty());
        let mut all = metas(&[(0, 20), (0, 20)]);
        all[0].compaction.hints = vec![HINT_OUT_OF_ORDER.to_owned()];
        assert_eq!(plan(&all, &[20, 60], true, |_| true), [0, 1]);
        all[0].compaction.hints = vec![HINT_STALE.to_owned()];
        assert!(plan(&all, &[20, 60], true, |_| true).is_empty());
        let mut all = metas(&[(0, 540), (540, 720), (720, 740)]);
        all[0].stats.num_series = 10;
        all[0].stats.num_tombstones = 3;
        assert_eq!(plan(&all, &[20, 60, 180], true, |_| true), [0]);
    }

    #[test]
    fn ranges_of_retentions() {
        const HOUR: i64 = 3_600_000;
        let of = |days: i64| block_ranges(2 * HOUR, max_block_duration(days * 24 * HOUR));
        assert_eq!(of(15), [2 * HOUR, 6 * HOUR, 18 * HOUR]);
        assert_eq!(of(1), [2 * HOUR]);
        assert_eq!(of(0).last(), Some(&(486 * HOUR)));
    }

    #[test]
    fn retention() {
        let all = metas(&[(0, 10), (10, 20), (20, 30), (30, 40)]);
        assert_eq!(beyond_time(&all, 20), [1, 0]);
        assert!(beyond_time(&all, 31).is_empty());
        assert!(beyond_time(&all, 0).is_empty());
        assert_eq!(beyond_size(&all, &[10, 10, 10, 10], 5, 25), [1, 0]);
        assert_eq!(beyond_size(&all, &[10; 4], 100, 25), [3, 2, 1, 0]);
        assert!(beyond_size(&all, &[10; 4], 5, 45).is_empty());
    }
}
