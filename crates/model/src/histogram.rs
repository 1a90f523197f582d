//! Native histograms as they are stored: sparse buckets in spans, integer (delta) and float (absolute) counts.
//!
//! Only the shapes live here; arithmetic is in [`crate::float_histogram`].

use std::sync::Arc;

/// The schema that marks custom (classic) bucket boundaries.
pub const CUSTOM_BUCKETS_SCHEMA: i32 = -53;
/// The least schema of exponential buckets.
pub const EXPONENTIAL_SCHEMA_MIN: i32 = -4;
/// The largest schema of exponential buckets.
pub const EXPONENTIAL_SCHEMA_MAX: i32 = 8;

/// A run of neighbouring buckets: the gap to the run before it (or to bucket 0), and how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Span {
    /// Buckets left out since the last span's end; the first span's is the first bucket's index.
    pub offset: i32,
    /// Buckets in the run.
    pub length: u32,
}

/// What is known about a counter reset between this histogram and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum ResetHint {
    /// Nothing; compare to find out.
    #[default]
    Unknown,
    /// There was one.
    CounterReset,
    /// There was none.
    NotCounterReset,
    /// A gauge histogram: resets mean nothing.
    Gauge,
}

/// A histogram with whole-number counts; bucket counts are deltas to the bucket before.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// Counter reset hint.
    pub reset_hint: ResetHint,
    /// Resolution: bucket boundaries grow by `2^(2^-schema)`; [`CUSTOM_BUCKETS_SCHEMA`] for custom boundaries.
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: u64,
    /// All observations, NaN ones included.
    pub count: u64,
    /// Sum of observations.
    pub sum: f64,
    /// Where the positive buckets are.
    pub positive_spans: Vec<Span>,
    /// Where the negative buckets are.
    pub negative_spans: Vec<Span>,
    /// Positive counts, delta to the bucket before.
    pub positive_buckets: Vec<i64>,
    /// Negative counts, delta to the bucket before.
    pub negative_buckets: Vec<i64>,
    /// Upper bounds of custom buckets, `+Inf` not among them.
    pub custom_values: Option<Arc<[f64]>>,
}

/// A histogram with float counts; bucket counts are absolute.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FloatHistogram {
    /// Counter reset hint.
    pub reset_hint: ResetHint,
    /// See [`Histogram::schema`].
    pub schema: i32,
    /// Width of the zero bucket.
    pub zero_threshold: f64,
    /// Observations in the zero bucket.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Sum of observations.
    pub sum: f64,
    /// Where the positive buckets are.
    pub positive_spans: Vec<Span>,
    /// Where the negative buckets are.
    pub negative_spans: Vec<Span>,
    /// Positive counts, absolute.
    pub positive_buckets: Vec<f64>,
    /// Negative counts, absolute.
    pub negative_buckets: Vec<f64>,
    /// Upper bounds of custom buckets, `+Inf` not among them.
    pub custom_values: Option<Arc<[f64]>>,
}

impl Histogram {
    /// The same histogram with absolute float counts.
    pub fn to_float(&self) -> FloatHistogram {
        let absolute = |deltas: &[i64]| {
            let mut sum = 0i64;
            deltas
                .iter()
                .map(|d| {
                    sum = sum.wrapping_add(*d);
                    sum as f64
                })
                .collect()
        };
        FloatHistogram {
            reset_hint: self.reset_hint,
            schema: self.schema,
            zero_threshold: self.zero_threshold,
            zero_count: self.zero_count as f64,
            count: self.count as f64,
            sum: self.sum,
            positive_spans: self.positive_spans.clone(),
            negative_spans: self.negative_spans.clone(),
            positive_buckets: absolute(&self.positive_buckets),
            negative_buckets: absolute(&self.negative_buckets),
            custom_values: self.custom_values.clone(),
        }
    }

    /// Whether bucket boundaries are custom.
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// The bounds of custom buckets, empty for exponential ones.
    pub fn custom_bounds(&self) -> &[f64] {
        self.custom_values.as_deref().unwrap_or(&[])
    }
}

impl FloatHistogram {
    /// Whether bucket boundaries are custom.
    pub fn uses_custom_buckets(&self) -> bool {
        self.schema == CUSTOM_BUCKETS_SCHEMA
    }

    /// The bounds of custom buckets, empty for exponential ones.
    pub fn custom_bounds(&self) -> &[f64] {
        self.custom_values.as_deref().unwrap_or(&[])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deltas_become_absolute() {
        let histogram = Histogram {
            positive_buckets: vec![3, -1, 0, 4],
            ..Histogram::default()
        };
        assert_eq!(
            histogram.to_float().positive_buckets,
            vec![3.0, 2.0, 2.0, 6.0]
        );
    }
}
