//! Arithmetic of native histograms: addition across resolutions, scaling, comparison, compaction.

use std::sync::Arc;

use thiserror::Error;

use crate::histogram::{FloatHistogram, ResetHint};
use crate::histogram_bounds::bound;
use crate::histogram_buckets::{coarser, indexed, spanned};

/// Custom and exponential buckets have nothing to say to each other.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "native histogram operation with incompatible bucket layouts: exponential and custom buckets"
)]
pub struct IncompatibleLayout;

/// What a user should know about an addition that went well.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddNotes {
    /// One side was known to be a counter reset, the other known not to be.
    pub reset_collision: bool,
    /// Custom boundaries differed and only the common ones were kept.
    pub bounds_reconciled: bool,
}

impl FloatHistogram {
    /// Adds `other`, at the coarser resolution and the wider zero bucket of the two.
    pub fn add(&mut self, other: &FloatHistogram) -> Result<AddNotes, IncompatibleLayout> {
        self.combine(other, 1.0)
    }

    /// Subtracts `other`; see [`FloatHistogram::add`]. The reset hint is combined likewise: callers that mean a
    /// difference in time set it to gauge.
    pub fn sub(&mut self, other: &FloatHistogram) -> Result<AddNotes, IncompatibleLayout> {
        self.combine(other, -1.0)
    }

    fn combine(
        &mut self,
        other: &FloatHistogram,
        sign: f64,
    ) -> Result<AddNotes, IncompatibleLayout> {
        if self.uses_custom_buckets() != other.uses_custom_buckets() {
            return Err(IncompatibleLayout);
        }
        let mut notes = AddNotes {
            reset_collision: self.combine_hint(other.reset_hint),
            ..AddNotes::default()
        };
        if self.same_layout(other) {
            self.zero_count += sign * other.zero_count;
            self.count += sign * other.count;
            self.sum += sign * other.sum;
            for (a, b) in self
                .positive_buckets
                .iter_mut()
                .zip(&other.positive_buckets)
            {
                *a += sign * b;
            }
            for (a, b) in self
                .negative_buckets
                .iter_mut()
                .zip(&other.negative_buckets)
            {
                *a += sign * b;
            }
            return Ok(notes);
        }
        if !self.uses_custom_buckets() {
            self.zero_count += sign * self.reconcile_zero(other);
        }
        self.count += sign * other.count;
        self.sum += sign * other.sum;
        if self.uses_custom_buckets() {
            notes.bounds_reconciled = self.combine_custom(other, sign);
            return Ok(notes);
        }
        let schema = self.schema.min(other.schema);
        let merge = |mine: (&[_], &[f64]), theirs: (&[_], &[f64])| {
            let a = coarser(indexed(mine.0, mine.1), self.schema, schema);
            let b = coarser(indexed(theirs.0, theirs.1), other.schema, schema);
            // What the zero bucket has swallowed was counted there.
            let first = b
                .iter()
                .position(|(i, _)| bound(i.saturating_sub(1), schema, &[]) >= self.zero_threshold);
            let b = first.map_or(&b[..0], |first| &b[first..]);
            spanned(merged(&a, b, sign))
        };
        let positive = merge(
            (&self.positive_spans, &self.positive_buckets),
            (&other.positive_spans, &other.positive_buckets),
        );
        let negative = merge(
            (&self.negative_spans, &self.negative_buckets),
            (&other.negative_spans, &other.negative_buckets),
        );
        (self.positive_spans, self.positive_buckets) = positive;
        (self.negative_spans, self.negative_buckets) = negative;
        self.schema = schema;
        Ok(notes)
    }

    /// Whether all of schema, zero bucket, spans and custom boundaries are equal, and lists of counts as long.
    pub fn same_layout(&self, other: &FloatHistogram) -> bool {
        self.schema == other.schema
            && self.zero_threshold == other.zero_threshold
            && self.positive_spans == other.positive_spans
            && self.negative_spans == other.negative_spans
            && self.positive_buckets.len() == other.positive_buckets.len()
            && self.negative_buckets.len() == other.negative_buckets.len()
            && (!self.uses_custom_buckets() || self.custom_bounds() == other.custom_bounds())
    }

    /// Custom buckets, both sides mapped to their common boundaries; whether that changed anything.
    fn combine_custom(&mut self, other: &FloatHistogram, sign: f64) -> bool {
        if self.custom_bounds() == other.custom_bounds() {
            let a: Vec<_> = self.positive_indexed().collect();
            let b: Vec<_> = other.positive_indexed().collect();
            (self.positive_spans, self.positive_buckets) = spanned(merged(&a, &b, sign));
            return false;
        }
        let common = common_bounds(self.custom_bounds(), other.custom_bounds());
        let mut counts = vec![0.0; common.len() + 1];
        for (h, sign) in [(&*self, 1.0), (other, sign)] {
            for (index, count) in h.positive_indexed() {
                let upper = bound(index, h.schema, h.custom_bounds());
                let at = common.partition_point(|b| *b < upper);
                counts[at] += sign * count;
            }
        }
        (self.positive_spans, self.positive_buckets) =
            spanned(counts.into_iter().enumerate().map(|(i, c)| (i as i32, c)));
        self.custom_values = Some(Arc::from(common));
        true
    }

    /// Combines the reset hints of two added histograms; true if they contradict each other.
    pub fn combine_hint(&mut self, other: ResetHint) -> bool {
        use ResetHint::{Gauge, Unknown};
        let (hint, collision) = match (self.reset_hint, other) {
            (a, b) if a == b => (a, false),
            (Gauge, _) | (_, Gauge) => (Gauge, false),
            (Unknown, _) | (_, Unknown) => (Unknown, false),
            _ => (Unknown, true),
        };
        self.reset_hint = hint;
        collision
    }

    /// Widens the zero buckets of both sides until they agree without cutting a populated bucket. `self` is changed; of
    /// `other` the zero count it would have is returned.
    fn reconcile_zero(&mut self, other: &FloatHistogram) -> f64 {
        let (mut count, mut threshold) = (other.zero_count, other.zero_threshold);
        // Each round widens one side to a bucket boundary, so this ends; NaN from broken data must not keep it running.
        while threshold != self.zero_threshold
            && !(threshold.is_nan() || self.zero_threshold.is_nan())
        {
            if self.zero_threshold > threshold {
                (count, threshold) = other.widened_zero(self.zero_threshold);
            }
            if threshold > self.zero_threshold {
                (self.zero_count, self.zero_threshold) = self.widened_zero(threshold);
                self.drop_swallowed();
            }
        }
        count
    }

    /// Zero count and threshold if the zero bucket reached at least `threshold` and cut no populated bucket.
    pub(crate) fn widened_zero(&self, mut threshold: f64) -> (f64, f64) {
        if threshold <= self.zero_threshold || threshold.is_nan() {
            return (self.zero_count, threshold);
        }
        'again: loop {
            let mut count = self.zero_count;
            for (index, n) in self.positive_indexed() {
                let b = self.positive_bucket(index, n);
                if b.lower >= threshold {
                    break;
                }
                count += n;
                if b.upper > threshold {
                    if n != 0.0 {
                        threshold = b.upper;
                    }
                    break;
                }
            }
            for (index, n) in self.negative_indexed() {
                let b = self.negative_bucket(index, n);
                if b.upper <= -threshold {
                    break;
                }
                count += n;
                if b.lower < -threshold {
                    if n != 0.0 {
                        threshold = -b.lower;
                        continue 'again;
                    }
                    break;
                }
            }
            return (count, threshold);
        }
    }

    /// Removes buckets that lie within the zero bucket; their counts must be in it already.
    fn drop_swallowed(&mut self) {
        let positive: Vec<_> = self
            .positive_indexed()
            .filter(|(i, n)| self.positive_bucket(*i, *n).lower >= self.zero_threshold)
            .collect();
        let negative: Vec<_> = self
            .negative_indexed()
            .filter(|(i, n)| self.negative_bucket(*i, *n).upper <= -self.zero_threshold)
            .collect();
        (self.positive_spans, self.positive_buckets) = spanned(positive);
        (self.negative_spans, self.negative_buckets) = spanned(negative);
    }

    /// Multiplies everything; a negative factor makes a gauge.
    pub fn mul(&mut self, factor: f64) {
        self.zero_count *= factor;
        self.count *= factor;
        self.sum *= factor;
        for b in self
            .positive_buckets
            .iter_mut()
            .chain(&mut self.negative_buckets)
        {
            *b *= factor;
        }
        if factor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    /// Divides everything; a negative divisor makes a gauge, and dividing by zero leaves no buckets.
    pub fn div(&mut self, divisor: f64) {
        self.zero_count /= divisor;
        self.count /= divisor;
        self.sum /= divisor;
        if divisor == 0.0 {
            self.clear_buckets();
            return;
        }
        for b in self
            .positive_buckets
            .iter_mut()
            .chain(&mut self.negative_buckets)
        {
            *b /= divisor;
        }
        if divisor < 0.0 {
            self.reset_hint = ResetHint::Gauge;
        }
    }

    fn clear_buckets(&mut self) {
        self.positive_spans.clear();
        self.negative_spans.clear();
        self.positive_buckets.clear();
        self.negative_buckets.clear();
    }

    /// Leaves out empty buckets and merges spans that touch.
    pub fn compact(&mut self) {
        if !is_compact(&self.positive_spans, &self.positive_buckets) {
            (self.positive_spans, self.positive_buckets) =
                spanned(indexed(&self.positive_spans, &self.positive_buckets));
        }
        if !is_compact(&self.negative_spans, &self.negative_buckets) {
            (self.negative_spans, self.negative_buckets) =
                spanned(indexed(&self.negative_spans, &self.negative_buckets));
        }
    }

    /// Bucket for bucket equal, floats compared bit for bit, the reset hint left aside.
    pub fn equals(&self, other: &FloatHistogram) -> bool {
        let same = |a: f64, b: f64| a.to_bits() == b.to_bits();
        let floats =
            |a: &[f64], b: &[f64]| a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(*a, *b));
        let spans = |a, b, c: &[f64], d: &[f64]| {
            a == b || indexed(a, c).map(|p| p.0).eq(indexed(b, d).map(|p| p.0))
        };
        if self.schema != other.schema
            || !same(self.count, other.count)
            || !same(self.sum, other.sum)
        {
            return false;
        }
        if self.uses_custom_buckets() {
            if !floats(self.custom_bounds(), other.custom_bounds()) {
                return false;
            }
        } else if !same(self.zero_threshold, other.zero_threshold)
            || !same(self.zero_count, other.zero_count)
        {
            return false;
        }
        floats(&self.positive_buckets, &other.positive_buckets)
            && floats(&self.negative_buckets, &other.negative_buckets)
            && spans(
                self.positive_spans.as_slice(),
                other.positive_spans.as_slice(),
                &self.positive_buckets,
                &other.positive_buckets,
            )
            && spans(
                self.negative_spans.as_slice(),
                other.negative_spans.as_slice(),
                &self.negative_buckets,
                &other.negative_buckets,
            )
    }

    /// The same histogram at a coarser schema. Finer ones than its own, and custom buckets, leave it as it is.
    pub fn to_schema(&self, schema: i32) -> FloatHistogram {
        let mut out = self.clone();
        if schema >= self.schema || self.uses_custom_buckets() {
            return out;
        }
        (out.positive_spans, out.positive_buckets) =
            spanned(coarser(self.positive_indexed(), self.schema, schema));
        (out.negative_spans, out.negative_buckets) =
            spanned(coarser(self.negative_indexed(), self.schema, schema));
        out.schema = schema;
        out
    }

    /// Memory in bytes as upstream's sample limit counts it.
    pub fn size_bytes(&self) -> usize {
        168 + 8
            * (self.positive_spans.len()
                + self.negative_spans.len()
                + self.positive_buckets.len()
                + self.negative_buckets.len()
                + self.custom_bounds().len())
    }

    /// Whether any count or the sum has left the range of numbers.
    pub fn has_overflow(&self) -> bool {
        [self.count, self.sum, self.zero_count]
            .iter()
            .chain(&self.positive_buckets)
            .chain(&self.negative_buckets)
            .any(|v| v.is_infinite())
    }
}

fn is_compact(spans: &[crate::Span], buckets: &[f64]) -> bool {
    buckets.iter().all(|b| *b != 0.0)
        && spans
            .iter()
            .enumerate()
            .all(|(i, s)| s.length > 0 && (i == 0 || s.offset != 0))
}

/// Two ascending lists of (index, count), the second with a sign, as one.
pub(crate) fn merged(a: &[(i32, f64)], b: &[(i32, f64)], sign: f64) -> Vec<(i32, f64)> {
    let mut out = Vec::with_capacity(a.len() + b.len());
    let (mut i, mut j) = (0, 0);
    loop {
        match (a.get(i), b.get(j)) {
            (None, None) => return out,
            (Some(x), Some(y)) if x.0 == y.0 => {
                out.push((x.0, x.1 + sign * y.1));
                i += 1;
                j += 1;
            }
            (Some(x), y) if y.is_none_or(|y| x.0 < y.0) => {
                out.push(*x);
                i += 1;
            }
            (_, Some(y)) => {
                out.push((y.0, sign * y.1));
                j += 1;
            }
            (Some(_), None) => return out,
        }
    }
}

/// The boundaries both lists have.
pub(crate) fn common_bounds(a: &[f64], b: &[f64]) -> Vec<f64> {
    let mut out = Vec::new();
    let (mut i, mut j) = (0, 0);
    while let (Some(x), Some(y)) = (a.get(i), b.get(j)) {
        if x == y {
            out.push(*x);
            i += 1;
            j += 1;
        } else if x < y {
            i += 1;
        } else {
            j += 1;
        }
    }
    out
}

#[cfg(test)]
mod tests;
