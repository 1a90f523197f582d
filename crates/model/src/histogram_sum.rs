//! Sums of many native histograms, each count with its own rounding compensation.

use crate::float_histogram::{AddNotes, IncompatibleLayout};
use crate::histogram::{FloatHistogram, Span};
use crate::histogram_bounds::bound;
use crate::histogram_buckets::{coarser, spanned};

/// Neumaier's step: adds `x` to the pair of a running sum and what rounding has lost so far.
pub fn kahan_add(x: f64, sum: &mut f64, lost: &mut f64) {
    let total = *sum + x;
    if total.is_infinite() {
        *lost = 0.0;
    } else if sum.abs() >= x.abs() {
        *lost += (*sum - total) + x;
    } else {
        *lost += (x - total) + *sum;
    }
    *sum = total;
}

/// A sum of histograms. The compensation is a second histogram of the same layout, so that sums of like histograms, the
/// usual case, are plain loops over counts.
#[derive(Clone, Debug)]
pub struct HistogramSum {
    sum: FloatHistogram,
    lost: FloatHistogram,
}

impl HistogramSum {
    /// A sum of one.
    pub fn new(first: FloatHistogram) -> HistogramSum {
        let mut lost = first.clone();
        clear(&mut lost);
        HistogramSum { sum: first, lost }
    }

    /// Adds `h`; see [`FloatHistogram::add`].
    pub fn add(&mut self, h: &FloatHistogram) -> Result<AddNotes, IncompatibleLayout> {
        if self.sum.uses_custom_buckets() != h.uses_custom_buckets() {
            return Err(IncompatibleLayout);
        }
        if self.sum.same_layout(h) {
            let reset_collision = self.sum.combine_hint(h.reset_hint);
            let (s, l) = (&mut self.sum, &mut self.lost);
            kahan_add(h.count, &mut s.count, &mut l.count);
            kahan_add(h.sum, &mut s.sum, &mut l.sum);
            kahan_add(h.zero_count, &mut s.zero_count, &mut l.zero_count);
            for (list, sums, losts) in [
                (
                    &h.positive_buckets,
                    &mut s.positive_buckets,
                    &mut l.positive_buckets,
                ),
                (
                    &h.negative_buckets,
                    &mut s.negative_buckets,
                    &mut l.negative_buckets,
                ),
            ] {
                for ((x, sum), lost) in list.iter().zip(sums).zip(losts) {
                    kahan_add(*x, sum, lost);
                }
            }
            return Ok(AddNotes {
                reset_collision,
                bounds_reconciled: false,
            });
        }
        // Layouts differ: a plain addition finds the common one, then all three are brought there.
        let mut target = self.sum.clone();
        let notes = target.add(h)?;
        let (sum, lost, addend) = (
            Projected::new(&self.sum, &target),
            Projected::new(&self.lost, &target),
            Projected::new(h, &target),
        );
        let (mut total, mut rest) = (target.clone(), target);
        (total.count, rest.count) = (self.sum.count, self.lost.count);
        kahan_add(h.count, &mut total.count, &mut rest.count);
        (total.sum, rest.sum) = (self.sum.sum, self.lost.sum);
        kahan_add(h.sum, &mut total.sum, &mut rest.sum);
        (total.zero_count, rest.zero_count) = (sum.zero, lost.zero);
        kahan_add(addend.zero, &mut total.zero_count, &mut rest.zero_count);
        let (spans, counts, losts) = added(&sum.positive, &lost.positive, &addend.positive);
        (total.positive_spans, total.positive_buckets) = (spans.clone(), counts);
        (rest.positive_spans, rest.positive_buckets) = (spans, losts);
        let (spans, counts, losts) = added(&sum.negative, &lost.negative, &addend.negative);
        (total.negative_spans, total.negative_buckets) = (spans.clone(), counts);
        (rest.negative_spans, rest.negative_buckets) = (spans, losts);
        self.sum = total;
        self.lost = rest;
        Ok(notes)
    }

    /// How many bytes it holds, roughly.
    pub fn size_bytes(&self) -> usize {
        self.sum.size_bytes() + self.lost.size_bytes()
    }

    /// The sum as a histogram without empty buckets.
    pub fn total(&self) -> FloatHistogram {
        let mut out = self.sum.clone();
        let hint = out.reset_hint;
        out.count += self.lost.count;
        out.sum += self.lost.sum;
        out.zero_count += self.lost.zero_count;
        for (a, b) in out
            .positive_buckets
            .iter_mut()
            .zip(&self.lost.positive_buckets)
        {
            *a += b;
        }
        for (a, b) in out
            .negative_buckets
            .iter_mut()
            .zip(&self.lost.negative_buckets)
        {
            *a += b;
        }
        out.reset_hint = hint;
        out.compact();
        out
    }

    /// The sum divided by `n`, sum and compensation each for itself.
    pub fn mean(&self, n: f64) -> FloatHistogram {
        let mut scaled = self.clone();
        scaled.sum.div(n);
        scaled.lost.div(n);
        scaled.total()
    }

    /// Whether the sum has left the range of numbers.
    pub fn has_overflow(&self) -> bool {
        self.sum.has_overflow()
    }

    /// Whether any part of the sum is beyond `limit` either way.
    pub fn is_large(&self, limit: f64) -> bool {
        [self.sum.count, self.sum.sum, self.sum.zero_count]
            .iter()
            .chain(&self.sum.positive_buckets)
            .chain(&self.sum.negative_buckets)
            .any(|v| v.abs() > limit)
    }

    /// Multiplies the sum, for means that are updated one by one.
    pub fn scale(&mut self, factor: f64) {
        let hint = self.sum.reset_hint;
        self.sum.mul(factor);
        self.lost.mul(factor);
        self.sum.reset_hint = hint;
    }
}

/// Zero times infinity is not a number, but an empty bucket is meant.
fn clear(h: &mut FloatHistogram) {
    for v in [&mut h.count, &mut h.sum, &mut h.zero_count]
        .into_iter()
        .chain(&mut h.positive_buckets)
        .chain(&mut h.negative_buckets)
    {
        *v = 0.0;
    }
}

/// A histogram's counts at the resolution, zero bucket and custom boundaries of another.
struct Projected {
    zero: f64,
    positive: Vec<(i32, f64)>,
    negative: Vec<(i32, f64)>,
}

impl Projected {
    fn new(h: &FloatHistogram, target: &FloatHistogram) -> Projected {
        if target.uses_custom_buckets() {
            let bounds = target.custom_bounds();
            let mut positive: Vec<(i32, f64)> = Vec::new();
            for (index, count) in h.positive_indexed() {
                let upper = bound(index, h.schema, h.custom_bounds());
                let at = bounds.partition_point(|b| *b < upper) as i32;
                match positive.last_mut() {
                    Some((last, sum)) if *last == at => *sum += count,
                    _ => positive.push((at, count)),
                }
            }
            return Projected {
                zero: 0.0,
                positive,
                negative: Vec::new(),
            };
        }
        let mut zero = h.zero_count;
        let mut place = |pairs: Vec<(i32, f64)>| {
            let mut out = Vec::with_capacity(pairs.len());
            for (index, count) in pairs {
                let lower = bound(index.saturating_sub(1), target.schema, &[]);
                if lower < target.zero_threshold {
                    zero += count;
                } else {
                    out.push((index, count));
                }
            }
            out
        };
        let positive = place(coarser(h.positive_indexed(), h.schema, target.schema));
        let negative = place(coarser(h.negative_indexed(), h.schema, target.schema));
        Projected {
            zero,
            positive,
            negative,
        }
    }
}

/// Adds `addend` to sum and compensation over the union of all indexes.
fn added(
    sum: &[(i32, f64)],
    lost: &[(i32, f64)],
    addend: &[(i32, f64)],
) -> (Vec<Span>, Vec<f64>, Vec<f64>) {
    let mut all: Vec<i32> = [sum, lost, addend]
        .iter()
        .flat_map(|list| list.iter().map(|p| p.0))
        .collect();
    all.sort_unstable();
    all.dedup();
    let at = |list: &[(i32, f64)], index: i32| match list.binary_search_by_key(&index, |p| p.0) {
        Ok(i) => list[i].1,
        Err(_) => 0.0,
    };
    // Every index counts as populated here, else empty ones would lose their place.
    let (spans, _) = spanned(all.iter().map(|i| (*i, 1.0)));
    let mut sums = Vec::with_capacity(all.len());
    let mut losts = Vec::with_capacity(all.len());
    for index in all {
        let (mut s, mut l) = (at(sum, index), at(lost, index));
        kahan_add(at(addend, index), &mut s, &mut l);
        sums.push(s);
        losts.push(l);
    }
    (spans, sums, losts)
}
