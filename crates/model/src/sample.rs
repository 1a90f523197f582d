//! Samples and what travels beside them: stale markers, exemplars, metadata.

use crate::labels::Labels;

/// The NaN that ends a series ("stale").
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;
/// The NaN that stands for every ordinary NaN.
pub const NORMAL_NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// The stale marker.
pub fn stale_nan() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

/// The ordinary NaN, with upstream's bits.
pub fn normal_nan() -> f64 {
    f64::from_bits(NORMAL_NAN_BITS)
}

/// Whether `v` is the stale marker; other NaNs are not.
#[inline]
pub fn is_stale_nan(v: f64) -> bool {
    v.to_bits() == STALE_NAN_BITS
}

/// An example observation attached to a series.
#[derive(Clone, Debug, PartialEq)]
pub struct Exemplar {
    /// Labels such as a trace id.
    pub labels: Labels,
    /// The observed value.
    pub value: f64,
    /// When, in unix milliseconds; the scrape's time where absent.
    pub timestamp: Option<i64>,
}

/// What kind of metric a family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, PartialOrd, Ord)]
pub enum MetricType {
    /// Not known (`untyped` in the text format).
    #[default]
    Unknown,
    /// Only goes up.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Classic or native histogram.
    Histogram,
    /// A histogram whose buckets may go down.
    GaugeHistogram,
    /// Quantiles computed at the source.
    Summary,
    /// Labels as information, value 1.
    Info,
    /// One series a state.
    StateSet,
}

impl MetricType {
    /// The word in the HTTP API and in OpenMetrics.
    pub fn as_str(self) -> &'static str {
        match self {
            MetricType::Unknown => "unknown",
            MetricType::Counter => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
            MetricType::GaugeHistogram => "gaugehistogram",
            MetricType::Summary => "summary",
            MetricType::Info => "info",
            MetricType::StateSet => "stateset",
        }
    }
}

/// What is known about a metric family besides its samples.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Metadata {
    /// Its type.
    pub kind: MetricType,
    /// Its unit, often empty.
    pub unit: String,
    /// Its help text.
    pub help: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_marker_is_stale() {
        assert!(is_stale_nan(stale_nan()));
        assert!(stale_nan().is_nan() && normal_nan().is_nan());
        assert!(!is_stale_nan(normal_nan()) && !is_stale_nan(f64::NAN) && !is_stale_nan(1.0));
    }
}
