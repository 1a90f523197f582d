//! Appending: a batch of samples that becomes visible and durable as a whole.

use std::num::NonZeroU64;

use model::{Exemplar, FloatHistogram, Histogram, Labels, Metadata, ResetHint};
use ondisk::record::AnyHistogram;
use thiserror::Error;

/// Names a series to the storage that gave it out; may go stale, see [`AppendError::UnknownSeries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SeriesRef(pub NonZeroU64);

/// Why a sample was not taken. The texts are upstream's, which logs and API answers show.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AppendError {
    /// Older than the newest sample of its series, and no out-of-order window allows it.
    #[error("out of order sample")]
    OutOfOrder,
    /// Older than the storage can take at all.
    #[error("out of bounds")]
    OutOfBounds,
    /// Older than the out-of-order window.
    #[error("too old sample")]
    TooOld,
    /// Another value at a time that already has one; for floats with which, see [`AppendError::duplicate_float`].
    #[error("duplicate sample for timestamp{0}")]
    DuplicateTimestamp(String),
    /// The reference is gone; resolve the labels again with [`Appender::series`].
    #[error("unknown series reference")]
    UnknownSeries,
    /// The label set is not one that can be stored.
    #[error("{0}")]
    InvalidLabels(String),
    /// A histogram that contradicts itself.
    #[error("{0}")]
    InvalidHistogram(String),
    /// Native histograms are switched off.
    #[error("native histograms are disabled")]
    HistogramsDisabled,
    /// An exemplar that is older than the last one of its series.
    #[error("out of order exemplar")]
    OutOfOrderExemplar,
    /// The same exemplar once more.
    #[error("duplicate exemplar")]
    DuplicateExemplar,
    /// Exemplar labels over 128 characters.
    #[error("label length for exemplar exceeds maximum of 128 UTF-8 characters")]
    ExemplarTooLong,
    /// Exemplars are not kept.
    #[error("exemplar storage is disabled or max exemplars is less than or equal to 0")]
    ExemplarsDisabled,
    /// A start timestamp that is not before its sample.
    #[error("ST is newer or the same as sample's timestamp, ignoring")]
    StartNotBeforeSample,
    /// A start timestamp that is not after the newest sample known.
    #[error("start timestamp out of order, ignoring")]
    OutOfOrderStart,
    /// The log could not be written; nothing of the batch counts as stored.
    #[error("write to log: {0}")]
    Disk(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl AppendError {
    /// A float at a time that has another value already; `existing` is `None` where that is a histogram.
    pub fn duplicate_float(t: i64, existing: Option<f64>, new: f64) -> AppendError {
        let existing = match existing {
            Some(v) => model::number::format_float_g(v),
            None => "is a histogram".to_owned(),
        };
        let new = model::number::format_float_g(new);
        AppendError::DuplicateTimestamp(format!(
            " {t}; overrides not allowed: existing {existing}, new value {new}"
        ))
    }

    /// Whether the fault lies with one sample, so that the rest of a batch can go on.
    pub fn is_sample_fault(&self) -> bool {
        matches!(
            self,
            AppendError::OutOfOrder
                | AppendError::OutOfBounds
                | AppendError::TooOld
                | AppendError::DuplicateTimestamp(_)
        )
    }
}

/// A native histogram of either kind.
#[derive(Clone, Copy, Debug)]
pub enum HistogramSample<'a> {
    /// Whole-number counts.
    Integer(&'a Histogram),
    /// Float counts.
    Float(&'a FloatHistogram),
}

impl HistogramSample<'_> {
    /// The histogram a counter of this layout starts with: no observations, and the counter was reset.
    pub fn zero(&self) -> AnyHistogram {
        match self {
            HistogramSample::Integer(h) => AnyHistogram::Integer(Histogram {
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                custom_values: h.custom_values.clone(),
                reset_hint: ResetHint::CounterReset,
                ..Histogram::default()
            }),
            HistogramSample::Float(h) => AnyHistogram::Float(FloatHistogram {
                schema: h.schema,
                zero_threshold: h.zero_threshold,
                custom_values: h.custom_values.clone(),
                reset_hint: ResetHint::CounterReset,
                ..FloatHistogram::default()
            }),
        }
    }
}

/// Something that takes samples.
pub trait Appendable: Send + Sync {
    /// Starts a batch. Nothing of it is seen by readers before [`Appender::commit`].
    fn appender(&self) -> Box<dyn Appender + '_>;
}

/// One batch. Dropping it without a commit rolls it back.
pub trait Appender {
    /// Finds or creates the series of `labels`, which must have a valid, duplicate-free, non-empty set.
    fn series(&mut self, labels: &Labels) -> Result<SeriesRef, AppendError>;

    /// Adds a float sample at `t` (unix milliseconds).
    fn append(&mut self, series: SeriesRef, t: i64, value: f64) -> Result<(), AppendError>;

    /// Adds a native histogram sample at `t`.
    fn append_histogram(
        &mut self,
        series: SeriesRef,
        t: i64,
        histogram: HistogramSample<'_>,
    ) -> Result<(), AppendError>;

    /// Attaches an exemplar.
    fn append_exemplar(
        &mut self,
        series: SeriesRef,
        exemplar: &Exemplar,
    ) -> Result<(), AppendError>;

    /// Tells that the counter behind the sample at `t` started at `start`: a zero is put there, a float or an empty
    /// histogram of the sample's layout.
    fn append_start(
        &mut self,
        series: SeriesRef,
        t: i64,
        start: i64,
        like: Option<HistogramSample<'_>>,
    ) -> Result<(), AppendError>;

    /// Notes what is known about the series' family.
    fn update_metadata(
        &mut self,
        series: SeriesRef,
        metadata: &Metadata,
    ) -> Result<(), AppendError>;

    /// Makes the batch durable (as the storage's policy says) and visible, all of it or nothing.
    fn commit(self: Box<Self>) -> Result<(), AppendError>;

    /// Forgets the batch.
    fn rollback(self: Box<Self>);
}
