//! Buckets of native histograms as (index, count) pairs, as (bounds, count), and back to spans.

use std::collections::BTreeMap;

use crate::histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, Span};
use crate::histogram_bounds::bound;

/// A bucket with its boundaries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bucket {
    /// Lower boundary.
    pub lower: f64,
    /// Upper boundary.
    pub upper: f64,
    /// Whether the lower boundary belongs to it.
    pub lower_inclusive: bool,
    /// Whether the upper boundary belongs to it.
    pub upper_inclusive: bool,
    /// Observations in it.
    pub count: f64,
}

/// The indexes and counts that spans describe. Foreign spans may disagree with the number of buckets: the shorter wins.
pub fn indexed<'a>(spans: &'a [Span], buckets: &'a [f64]) -> impl Iterator<Item = (i32, f64)> + 'a {
    let mut next = 0i64;
    let mut counts = buckets.iter();
    let mut spans = spans.iter();
    let mut left = 0u32;
    std::iter::from_fn(move || {
        while left == 0 {
            let span = spans.next()?;
            next += i64::from(span.offset);
            left = span.length;
        }
        let count = *counts.next()?;
        left -= 1;
        let index = next.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        next += 1;
        Some((index, count))
    })
}

/// Spans and buckets of (index, count) pairs in ascending order; empty buckets are left out.
pub fn spanned(pairs: impl IntoIterator<Item = (i32, f64)>) -> (Vec<Span>, Vec<f64>) {
    let mut spans: Vec<Span> = Vec::new();
    let mut buckets = Vec::new();
    let mut end = 0i32;
    for (index, count) in pairs {
        if count == 0.0 {
            continue;
        }
        match spans.last_mut() {
            Some(span) if index == end => span.length += 1,
            _ => spans.push(Span {
                offset: index.wrapping_sub(end),
                length: 1,
            }),
        }
        end = index.wrapping_add(1);
        buckets.push(count);
    }
    (spans, buckets)
}

/// Spans and deltas of whole counts by index; empty buckets are left out.
pub fn integer_spans(counts: &BTreeMap<i32, u64>) -> (Vec<Span>, Vec<i64>) {
    let (spans, counts) = spanned(counts.iter().map(|(index, count)| (*index, *count as f64)));
    let mut before = 0;
    let deltas = counts.iter().map(|count| {
        let count = *count as i64;
        count - std::mem::replace(&mut before, count)
    });
    (spans, deltas.collect())
}

/// Where bucket `index` lands in a schema coarser by `by`.
pub fn coarser_index(index: i32, by: i32) -> i32 {
    let shifted = (i64::from(index) - 1) >> by.clamp(0, 31);
    (shifted + 1) as i32
}

/// (index, count) pairs at a coarser schema, neighbours that fall together added up.
pub fn coarser(
    pairs: impl IntoIterator<Item = (i32, f64)>,
    from_schema: i32,
    to_schema: i32,
) -> Vec<(i32, f64)> {
    let by = from_schema - to_schema;
    let mut out: Vec<(i32, f64)> = Vec::new();
    for (index, count) in pairs {
        let index = if by > 0 {
            coarser_index(index, by)
        } else {
            index
        };
        match out.last_mut() {
            Some((last, sum)) if *last == index => *sum += count,
            _ => out.push((index, count)),
        }
    }
    out
}

impl FloatHistogram {
    /// Index and count of the positive buckets, ascending.
    pub fn positive_indexed(&self) -> impl Iterator<Item = (i32, f64)> + '_ {
        indexed(&self.positive_spans, &self.positive_buckets)
    }

    /// Index and count of the negative buckets, away from zero.
    pub fn negative_indexed(&self) -> impl Iterator<Item = (i32, f64)> + '_ {
        indexed(&self.negative_spans, &self.negative_buckets)
    }

    /// Boundaries of positive bucket `index`.
    pub fn positive_bucket(&self, index: i32, count: f64) -> Bucket {
        let custom = self.custom_bounds();
        let lower = bound(index.saturating_sub(1), self.schema, custom);
        Bucket {
            lower,
            upper: bound(index, self.schema, custom),
            // The first custom bucket begins at -Inf, which belongs to it.
            lower_inclusive: self.schema == CUSTOM_BUCKETS_SCHEMA && index == 0,
            upper_inclusive: true,
            count,
        }
    }

    /// Boundaries of negative bucket `index`.
    pub fn negative_bucket(&self, index: i32, count: f64) -> Bucket {
        let custom = self.custom_bounds();
        Bucket {
            lower: -bound(index, self.schema, custom),
            upper: -bound(index.saturating_sub(1), self.schema, custom),
            lower_inclusive: true,
            upper_inclusive: false,
            count,
        }
    }

    /// The bucket around zero.
    pub fn zero_bucket(&self) -> Bucket {
        Bucket {
            lower: -self.zero_threshold,
            upper: self.zero_threshold,
            lower_inclusive: true,
            upper_inclusive: true,
            count: self.zero_count,
        }
    }

    /// All stored buckets from the least to the largest; the zero bucket only where it holds something.
    pub fn all_buckets(&self) -> Vec<Bucket> {
        let mut out: Vec<Bucket> =
            Vec::with_capacity(self.negative_buckets.len() + self.positive_buckets.len() + 1);
        let custom = self.uses_custom_buckets();
        if !custom {
            out.extend(
                self.negative_indexed()
                    .map(|(i, c)| self.negative_bucket(i, c)),
            );
            out.reverse();
            // Buckets the zero bucket has swallowed begin where it ends.
            for b in &mut out {
                if b.lower < -self.zero_threshold && b.upper > -self.zero_threshold {
                    b.upper = -self.zero_threshold;
                }
            }
            if self.zero_count > 0.0 {
                out.push(self.zero_bucket());
            }
        }
        for (i, c) in self.positive_indexed() {
            let mut b = self.positive_bucket(i, c);
            if !custom && b.lower < self.zero_threshold && b.upper > self.zero_threshold {
                b.lower = self.zero_threshold;
            }
            out.push(b);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_there_and_back() {
        let pairs = vec![(-3, 1.0), (-2, 2.0), (5, 3.0)];
        let (spans, buckets) = spanned(pairs.clone());
        assert_eq!(
            spans,
            vec![
                Span {
                    offset: -3,
                    length: 2
                },
                Span {
                    offset: 6,
                    length: 1
                }
            ]
        );
        assert_eq!(indexed(&spans, &buckets).collect::<Vec<_>>(), pairs);
    }

    #[test]
    fn spans_that_lie() {
        let spans = [
            Span {
                offset: i32::MAX,
                length: u32::MAX,
            },
            Span {
                offset: i32::MAX,
                length: 3,
            },
        ];
        assert_eq!(indexed(&spans, &[1.0, 2.0]).count(), 2);
    }

    #[test]
    fn coarser_buckets() {
        assert_eq!(coarser_index(1, 1), 1);
        assert_eq!(coarser_index(2, 1), 1);
        assert_eq!(coarser_index(3, 1), 2);
        assert_eq!(coarser_index(0, 1), 0);
        assert_eq!(coarser_index(-1, 1), 0);
        assert_eq!(
            coarser([(1, 1.0), (2, 2.0), (3, 4.0)], 1, 0),
            vec![(1, 3.0), (2, 4.0)]
        );
    }
}
