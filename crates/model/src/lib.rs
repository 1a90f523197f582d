//! The words of the field: labels, matchers, samples, histograms, durations, relabelling.
//!
//! Everything above speaks in these types. The crate is pure: no files, sockets, clocks or threads, and it knows
//! neither how samples are stored nor how they travel.

pub mod calendar;
pub mod duration;
pub mod family;
pub mod float_histogram;
pub mod histogram;
pub mod histogram_bounds;
pub mod histogram_buckets;
pub mod histogram_reset;
pub mod histogram_sum;
pub mod histogram_text;
pub mod histogram_trim;
pub mod labels;
pub mod matcher;
pub mod number;
pub mod regex;
pub mod relabel;
pub mod sample;

pub use family::{Metric, MetricFamily, MetricValue};
pub use histogram::{FloatHistogram, Histogram, ResetHint, Span};
pub use labels::{Labels, LabelsBuilder};
pub use matcher::{MatchOp, Matcher};
pub use sample::{Exemplar, Metadata, MetricType};
