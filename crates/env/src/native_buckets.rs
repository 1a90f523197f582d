//! Native buckets of our own histograms: as fine as asked for, coarser once they become too many.
//!
//! Upstream's library may also empty a histogram that has too many buckets, at most once an hour. Here it only becomes
//! coarser: what it says is never reset, and from a microsecond to an hour a hundred buckets grow by a quarter each.

use std::collections::BTreeMap;

use model::Histogram;
use model::histogram_bounds::exponential_index;
use model::histogram_buckets::{coarser_index, integer_spans};

/// Each bucket ends 9% above the one before: the coarsest schema whose growth is at most upstream's factor of 1.1.
const SCHEMA: i32 = 3;
/// The most buckets, as upstream has it.
const MOST_BUCKETS: usize = 100;
/// What is nearer to zero than this is zero: 2^-128, upstream's default.
const ZERO_THRESHOLD: f64 = 2.938735877055719e-39;
const COARSEST_SCHEMA: i32 = model::histogram::EXPONENTIAL_SCHEMA_MIN;

/// Observations by exponential bucket.
pub(crate) struct NativeBuckets {
    schema: i32,
    zero: u64,
    positive: BTreeMap<i32, u64>,
    negative: BTreeMap<i32, u64>,
}

impl NativeBuckets {
    pub fn new() -> NativeBuckets {
        NativeBuckets {
            schema: SCHEMA,
            zero: 0,
            positive: BTreeMap::new(),
            negative: BTreeMap::new(),
        }
    }

    /// Adds an observation. One that is no number is in no bucket.
    pub fn observe(&mut self, v: f64) {
        if v.is_nan() {
            return;
        }
        if v.abs() <= ZERO_THRESHOLD {
            self.zero += 1;
            return;
        }
        let side = if v > 0.0 {
            &mut self.positive
        } else {
            &mut self.negative
        };
        *side
            .entry(exponential_index(v.abs(), self.schema))
            .or_default() += 1;
        while self.positive.len() + self.negative.len() > MOST_BUCKETS
            && self.schema > COARSEST_SCHEMA
        {
            self.schema -= 1;
            for side in [&mut self.positive, &mut self.negative] {
                for (index, count) in std::mem::take(side) {
                    *side.entry(coarser_index(index, 1)).or_default() += count;
                }
            }
        }
    }

    /// The histogram as it stands, with what its owner counts.
    pub fn histogram(&self, count: u64, sum: f64) -> Histogram {
        let (positive_spans, positive_buckets) = integer_spans(&self.positive);
        let (negative_spans, negative_buckets) = integer_spans(&self.negative);
        Histogram {
            schema: self.schema,
            zero_threshold: ZERO_THRESHOLD,
            zero_count: self.zero,
            count,
            sum,
            positive_spans,
            negative_spans,
            positive_buckets,
            negative_buckets,
            ..Histogram::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::histogram_bounds::exponential_bound;

    #[test]
    fn observations_are_within_the_bounds_of_their_buckets() {
        let mut buckets = NativeBuckets::new();
        let values = [0.0, 1e-40, 1.0, 1.05, 1.1, 250.0, -3.0, f64::NAN];
        values.iter().for_each(|v| buckets.observe(*v));
        let histogram = buckets.histogram(8, 0.0);
        assert_eq!((histogram.schema, histogram.zero_count), (3, 2));
        let float = histogram.to_float();
        let found: Vec<(i32, f64)> = float.positive_indexed().collect();
        assert_eq!(found.iter().map(|(_, n)| n).sum::<f64>(), 4.0);
        for v in [1.0, 1.05, 1.1, 250.0] {
            let within = |i: i32| exponential_bound(i - 1, 3) < v && v <= exponential_bound(i, 3);
            assert!(found.iter().any(|(i, _)| within(*i)), "{v}: {found:?}");
        }
        assert_eq!(float.negative_indexed().count(), 1);
    }

    #[test]
    fn too_many_buckets_become_coarser_ones() {
        let mut buckets = NativeBuckets::new();
        let values = (0..400).map(|i| 1e-6 * 1.07f64.powi(i));
        values.for_each(|v| buckets.observe(v));
        let histogram = buckets.histogram(400, 1.0).to_float();
        assert_eq!(histogram.schema, 1);
        let counts: Vec<(i32, f64)> = histogram.positive_indexed().collect();
        assert!(counts.len() <= MOST_BUCKETS && counts.len() > MOST_BUCKETS / 2);
        assert_eq!(counts.iter().map(|(_, n)| n).sum::<f64>(), 400.0);
    }
}
