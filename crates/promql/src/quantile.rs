//! Quantiles: of plain values, of classic buckets, of native histograms; and fractions, their inverse.

use model::FloatHistogram;
use model::histogram_buckets::Bucket;
use model::histogram_text::go_g;
use promql_syntax::PosRange;

use crate::cx::Cx;
use crate::notes::Note;

/// Differences of counts below this share are rounding, not broken histograms.
const SMALL_DELTA: f64 = 1e-12;

/// Tells of a quantile outside of [0, 1].
pub(crate) fn note_invalid(q: f64, pos: PosRange, cx: &Cx<'_>) {
    if let Some(note) = invalid(q) {
        cx.note(note, pos);
    }
}

/// What to tell of a quantile outside of [0, 1].
pub(crate) fn invalid(q: f64) -> Option<Note> {
    (!(0.0..=1.0).contains(&q)).then(|| Note::InvalidQuantile(go_g(q)))
}

/// Ascending, NaN first.
pub(crate) fn nan_first(a: f64, b: f64) -> std::cmp::Ordering {
    a.partial_cmp(&b)
        .unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()))
}

/// The `q`-quantile of `values`, which are put into a different order.
pub(crate) fn quantile(q: f64, values: &mut [f64]) -> f64 {
    if values.is_empty() || q.is_nan() {
        return f64::NAN;
    }
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    let n = values.len();
    let rank = q * (n as f64 - 1.0);
    let lower = rank.floor().max(0.0) as usize;
    let upper = (lower + 1).min(n - 1);
    let weight = rank - rank.floor();
    let (_, low, above) = values.select_nth_unstable_by(lower, |a, b| nan_first(*a, *b));
    let low = *low;
    if weight == 0.0 {
        // It is one of the values; infinity times nothing would be NaN.
        return low;
    }
    let high = if upper == lower {
        low
    } else {
        above
            .iter()
            .copied()
            .min_by(|a, b| nan_first(*a, *b))
            .unwrap_or(low)
    };
    low * (1.0 - weight) + high * weight
}

/// A classic bucket: observations up to `upper`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ClassicBucket {
    pub upper: f64,
    pub count: f64,
}

/// What had to be repaired before a quantile could be taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Repair {
    pub min_bucket: f64,
    pub max_bucket: f64,
    pub max_diff: f64,
}

/// Sorts buckets and adds up those with the same boundary; false if the last does not reach to infinity.
fn prepare(buckets: &mut Vec<ClassicBucket>) -> bool {
    buckets.sort_by(|a, b| {
        a.upper
            .partial_cmp(&b.upper)
            .unwrap_or(std::cmp::Ordering::Equal)
    });
    if buckets.last().is_none_or(|b| b.upper != f64::INFINITY) {
        return false;
    }
    buckets.dedup_by(|next, kept| {
        let same = next.upper == kept.upper;
        if same {
            kept.count += next.count;
        }
        same
    });
    true
}

/// Makes cumulative counts ascend.
fn repair(buckets: &mut [ClassicBucket]) -> Option<Repair> {
    let mut prev = buckets[0].count;
    let mut out: Option<Repair> = None;
    for b in &mut buckets[1..] {
        if b.count == prev {
            continue;
        }
        if almost_equal(prev, b.count) {
            b.count = prev;
        } else if b.count < prev {
            let diff = prev - b.count;
            b.count = prev;
            let r = out.get_or_insert(Repair {
                min_bucket: b.upper,
                max_bucket: b.upper,
                max_diff: diff,
            });
            r.min_bucket = r.min_bucket.min(b.upper);
            r.max_bucket = r.max_bucket.max(b.upper);
            r.max_diff = r.max_diff.max(diff);
        } else {
            prev = b.count;
        }
    }
    out
}

fn almost_equal(a: f64, b: f64) -> bool {
    if a.is_nan() && b.is_nan() || a == b {
        return true;
    }
    let (diff, sum) = ((a - b).abs(), a.abs() + b.abs());
    if a == 0.0 || b == 0.0 || sum < f64::MIN_POSITIVE {
        return diff < SMALL_DELTA * f64::MIN_POSITIVE;
    }
    diff / sum.min(f64::MAX) < SMALL_DELTA
}

/// The `q`-quantile of a classic histogram.
pub(crate) fn classic(q: f64, buckets: &mut Vec<ClassicBucket>) -> (f64, Option<Repair>) {
    if q.is_nan() {
        return (f64::NAN, None);
    }
    if q < 0.0 {
        return (f64::NEG_INFINITY, None);
    }
    if q > 1.0 {
        return (f64::INFINITY, None);
    }
    if !prepare(buckets) {
        return (f64::NAN, None);
    }
    let repaired = repair(buckets);
    let last = buckets.len() - 1;
    let total = buckets[last].count;
    if last == 0 || total == 0.0 {
        return (f64::NAN, repaired);
    }
    let rank = q * total;
    let at = buckets[..last]
        .iter()
        .position(|b| b.count >= rank)
        .unwrap_or(last);
    let value = if at == last {
        buckets[last - 1].upper
    } else if at == 0 && buckets[0].upper <= 0.0 {
        buckets[0].upper
    } else {
        let (start, before) = match at.checked_sub(1) {
            Some(i) => (buckets[i].upper, buckets[i].count),
            None => (0.0, 0.0),
        };
        let b = buckets[at];
        start + (b.upper - start) * ((rank - before) / (b.count - before))
    };
    (value, repaired)
}

/// The share of a classic histogram's observations between two values.
pub(crate) fn classic_fraction(lower: f64, upper: f64, buckets: &mut Vec<ClassicBucket>) -> f64 {
    if !prepare(buckets) {
        return f64::NAN;
    }
    let total = buckets[buckets.len() - 1].count;
    if total == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let rank_at = |x: f64| {
        let mut start = if buckets[0].upper <= 0.0 {
            f64::NEG_INFINITY
        } else {
            0.0
        };
        let mut rank = 0.0;
        for b in buckets.iter() {
            if start >= x {
                return rank;
            }
            if b.upper > x {
                return if start == f64::NEG_INFINITY {
                    b.count
                } else {
                    rank + (b.count - rank) * (x - start) / (b.upper - start)
                };
            }
            rank = b.count;
            start = b.upper;
        }
        total
    };
    (rank_at(upper).min(total) - rank_at(lower).min(total)) / total
}

/// Whether one of the infinitely many values in a native histogram's zero bucket is known not to occur.
fn narrowed(h: &FloatHistogram, mut b: Bucket) -> Bucket {
    match (h.negative_buckets.is_empty(), h.positive_buckets.is_empty()) {
        (true, false) => b.lower = 0.0,
        (false, true) => b.upper = 0.0,
        _ => {}
    }
    b
}

/// The `q`-quantile of a native histogram.
pub(crate) fn native(q: f64, h: &FloatHistogram, mut note: impl FnMut(bool)) -> f64 {
    if q < 0.0 {
        return f64::NEG_INFINITY;
    }
    if q > 1.0 {
        return f64::INFINITY;
    }
    if h.count == 0.0 || q.is_nan() {
        return f64::NAN;
    }
    let custom = h.uses_custom_buckets();
    let has_nan = h.sum.is_nan();
    let upward = has_nan || q < 0.5;
    let mut buckets = h.all_buckets();
    if !upward {
        buckets.reverse();
    }
    let mut rank = if upward { q } else { 1.0 - q } * h.count;
    let mut count = 0.0;
    let mut bucket = Bucket {
        lower: 0.0,
        upper: 0.0,
        lower_inclusive: false,
        upper_inclusive: false,
        count: 0.0,
    };
    let mut rest = buckets.iter();
    for b in rest.by_ref() {
        bucket = *b;
        if b.count == 0.0 {
            continue;
        }
        count += b.count;
        if count >= rank {
            break;
        }
    }
    if custom {
        if bucket.lower == f64::NEG_INFINITY {
            if bucket.upper <= 0.0 {
                return bucket.upper;
            }
            bucket.lower = 0.0;
        } else if bucket.upper == f64::INFINITY {
            return bucket.lower;
        }
    } else if bucket.lower < 0.0 && bucket.upper > 0.0 {
        bucket = narrowed(h, bucket);
    }
    count = count.min(h.count);
    if count < rank {
        if has_nan {
            note(true);
            return f64::NAN;
        }
        return bucket.upper;
    }
    if upward {
        rank -= count - bucket.count;
    } else {
        rank = count - rank;
    }
    if has_nan {
        count += rest.map(|b| b.count).sum::<f64>();
        if count < h.count {
            note(false);
        }
    }
    let share = rank / bucket.count;
    if custom || (bucket.lower <= 0.0 && bucket.upper >= 0.0) {
        return bucket.lower + (bucket.upper - bucket.lower) * share;
    }
    let (low, high) = (bucket.lower.abs().log2(), bucket.upper.abs().log2());
    if bucket.lower > 0.0 {
        (low + (high - low) * share).exp2()
    } else {
        -(high + (low - high) * (1.0 - share)).exp2()
    }
}

/// The share of a native histogram's observations between two values.
pub(crate) fn native_fraction(
    lower: f64,
    upper: f64,
    h: &FloatHistogram,
    mut note_nan: impl FnMut(),
) -> f64 {
    if h.count == 0.0 || lower.is_nan() || upper.is_nan() {
        return f64::NAN;
    }
    if lower >= upper {
        return 0.0;
    }
    let custom = h.uses_custom_buckets();
    let buckets: Vec<(Bucket, bool)> = h
        .all_buckets()
        .into_iter()
        .map(|b| {
            let zero = b.lower <= 0.0 && b.upper >= 0.0;
            (if zero { narrowed(h, b) } else { b }, zero)
        })
        .collect();
    let rank_at = |x: f64| {
        let mut rank = 0.0;
        for (b, zero) in &buckets {
            if b.lower >= x {
                return Some(rank);
            }
            if b.upper > x {
                if b.lower == f64::NEG_INFINITY {
                    return Some(b.count);
                }
                return Some(rank + b.count * share_below(b, x, custom || *zero));
            }
            rank += b.count;
        }
        None
    };
    let mut total = h.count;
    if h.sum.is_nan() {
        total = buckets.iter().map(|(b, _)| b.count).sum();
        if total < h.count {
            note_nan();
        }
    }
    let clipped = |rank: Option<f64>| rank.map_or(total, |r| r.min(total));
    (clipped(rank_at(upper)) - clipped(rank_at(lower))) / h.count
}

/// The share of a bucket's observations below a value within it.
fn share_below(b: &Bucket, x: f64, linear: bool) -> f64 {
    if linear {
        return (x - b.lower) / (b.upper - b.lower);
    }
    let (low, high, at) = (b.lower.abs().log2(), b.upper.abs().log2(), x.abs().log2());
    if x > 0.0 {
        (at - low) / (high - low)
    } else {
        1.0 - ((at - high) / (low - high))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain() {
        let q = |q, v: &[f64]| quantile(q, &mut v.to_vec());
        assert_eq!(q(0.5, &[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(q(0.5, &[1.0, 2.0]), 1.5);
        assert_eq!(q(1.0, &[1.0, 2.0]), 2.0);
        assert_eq!(q(-0.1, &[1.0]), f64::NEG_INFINITY);
        assert_eq!(q(1.1, &[1.0]), f64::INFINITY);
        assert!(q(0.0, &[1.0, f64::NAN]).is_nan());
        assert_eq!(q(1.0, &[1.0, f64::NAN]), 1.0);
        assert_eq!(q(0.5, &[f64::INFINITY, f64::INFINITY, 1.0]), f64::INFINITY);
        assert!(q(0.4, &[f64::NEG_INFINITY, f64::INFINITY]).is_nan());
    }
}
