//! Metric families: what a program says about itself, before it is written in an exposition format.

use std::borrow::Cow;

use crate::sample::MetricType;

/// All metrics of one name.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// The name, without `_total`-like endings being treated in any way.
    pub name: String,
    /// One line of help.
    pub help: String,
    /// The unit, empty when not stated.
    pub unit: String,
    /// The type.
    pub kind: MetricType,
    /// One entry a label set.
    pub metrics: Vec<Metric>,
}

impl MetricFamily {
    /// A family without a unit and, as yet, without metrics.
    pub fn new(name: impl Into<String>, help: impl Into<String>, kind: MetricType) -> MetricFamily {
        MetricFamily {
            name: name.into(),
            help: help.into(),
            unit: String::new(),
            kind,
            metrics: Vec::new(),
        }
    }

    /// Adds a counter, gauge or untyped value.
    pub fn push(&mut self, labels: Vec<(Cow<'static, str>, String)>, value: f64) {
        self.metrics.push(Metric {
            labels,
            value: MetricValue::Single(value),
            timestamp_ms: None,
        });
    }
}

/// One metric of a family.
#[derive(Clone, Debug, PartialEq)]
pub struct Metric {
    /// Labels in the order to be written.
    pub labels: Vec<(Cow<'static, str>, String)>,
    /// The value.
    pub value: MetricValue,
    /// Unix milliseconds, when the source gives one.
    pub timestamp_ms: Option<i64>,
}

/// The value of a metric, by kind.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// Counter, gauge, untyped.
    Single(f64),
    /// Histogram with classic buckets, native ones, or both.
    Histogram {
        /// Upper bounds with cumulative counts, `+Inf` may be left out.
        buckets: Vec<(f64, u64)>,
        /// Sum of observations.
        sum: f64,
        /// Count of observations.
        count: u64,
        /// The same observations in native buckets; only protobuf shows them.
        native: Option<Box<crate::Histogram>>,
    },
    /// Histogram with classic buckets of counts that need not be whole, such as those of a rate.
    ClassicFloat {
        /// Upper bounds with cumulative counts, `+Inf` the last of them.
        buckets: Vec<(f64, f64)>,
        /// Sum of observations.
        sum: f64,
        /// Count of observations.
        count: f64,
    },
    /// Histogram with native buckets of float counts alone; only protobuf shows it.
    NativeFloat(std::sync::Arc<crate::FloatHistogram>),
    /// Summary.
    Summary {
        /// Quantiles with their values.
        quantiles: Vec<(f64, f64)>,
        /// Sum of observations.
        sum: f64,
        /// Count of observations.
        count: u64,
    },
}
