//! One body into one batch of samples. Pure: bytes, a cache and an appender in, counts out.

use configfile::scrape::ScrapeLimits;
use exposition::{Entry, Format, Parser};
use model::relabel::NameValidation;
use model::{Labels, sample::stale_nan};
use storage::{AppendError, Appender, SeriesRef};
use thiserror::Error;

use crate::cache::{Known, LineHash, SeriesCache};
use crate::labels::{LabelRules, check_limits, of_sample};
use crate::metadata::TargetMetadata;

/// Samples from further in the future than this are refused, milliseconds.
const MAX_AHEAD_MS: i64 = 10 * 60_000;

/// How a job's bodies are taken.
#[derive(Clone, Debug)]
pub struct IngestRules {
    /// Labels.
    pub labels: LabelRules,
    /// Timestamps in the body count.
    pub honor_timestamps: bool,
    /// Series with timestamps end with a marker too.
    pub track_timestamps_staleness: bool,
    /// Which names are legal.
    pub name_validation: NameValidation,
}

impl IngestRules {
    fn limits(&self) -> &ScrapeLimits {
        &self.labels.limits
    }
}

/// What a scrape brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Samples in the body.
    pub scraped: u64,
    /// Samples that relabelling left.
    pub post_relabel: u64,
    /// Series that the scrape before did not have.
    pub added: u64,
}

/// Samples that were left out one by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Older than what is there.
    pub out_of_order: u64,
    /// Another value at the same time.
    pub duplicate: u64,
    /// Too old, or too far in the future.
    pub out_of_bounds: u64,
    /// Exemplars older than what is there.
    pub exemplars_out_of_order: u64,
}

/// Why a whole scrape fails.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum IngestError {
    /// The body is not what its format says.
    #[error("{message}")]
    Parse {
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// More samples than allowed.
    #[error("sample limit exceeded")]
    SampleLimit,
    /// A label limit; upstream's text.
    #[error("{0}")]
    LabelLimit(String),
    /// A series that cannot be stored.
    #[error("{0}")]
    Series(String),
    /// Storage refuses the batch.
    #[error(transparent)]
    Storage(AppendError),
}

/// The outcome of [`ingest`].
#[derive(Debug)]
pub struct Ingested {
    /// What there was, complete even where a limit was hit.
    pub counts: Counts,
    /// What was left out.
    pub left_out: LeftOut,
    /// Whether the batch may be committed.
    pub result: Result<(), IngestError>,
}

/// Puts the samples of `body` into `appender`, and markers for series that are gone.
///
/// `now` is the scrape's time, unix milliseconds; `cache` has begun a scrape. After an error the batch must be rolled
/// back and [`end_all`] put into another.
pub fn ingest(
    body: &[u8],
    format: Format,
    target: &Labels,
    rules: &IngestRules,
    now: i64,
    cache: &mut SeriesCache,
    metadata: &mut TargetMetadata,
    appender: &mut dyn Appender,
) -> Ingested {
    metadata.begin();
    let mut run = Run {
        target,
        rules,
        now,
        cache,
        appender,
        counts: Counts::default(),
        left_out: LeftOut::default(),
        over_limit: false,
    };
    let result = run.body(body, format, metadata);
    if result.is_ok() {
        run.mark_gone();
        metadata.finish();
    }
    Ingested {
        counts: run.counts,
        left_out: run.left_out,
        result,
    }
}

/// Marks the end of every series of a target that failed or is gone; `cache` has begun the scrape that failed, or one
/// only for this.
pub fn end_all(cache: &mut SeriesCache, now: i64, appender: &mut dyn Appender) {
    // A marker that comes too late (the series has newer samples from elsewhere) is not needed.
    cache.each_live(|series| drop(appender.append(series, now, stale_nan())));
}

struct Run<'a> {
    target: &'a Labels,
    rules: &'a IngestRules,
    now: i64,
    cache: &'a mut SeriesCache,
    appender: &'a mut dyn Appender,
    counts: Counts,
    left_out: LeftOut,
    /// The sample limit is hit: counting goes on, appending does not.
    over_limit: bool,
}

impl Run<'_> {
    fn body(
        &mut self,
        body: &[u8],
        format: Format,
        metadata: &mut TargetMetadata,
    ) -> Result<(), IngestError> {
        let mut parser = match format {
            Format::Text => Parser::text(body),
            Format::OpenMetrics => Parser::openmetrics(body, false),
            Format::Protobuf => {
                return Err(IngestError::Series(
                    "this build does not read the protobuf format yet".into(),
                ));
            }
        };
        let mut first_series_fault = None;
        loop {
            let mut known = None;
            let expect = |rest: &[u8]| {
                let (hash, length) = self.cache.expect(rest)?;
                known = Some(hash);
                Some(length)
            };
            let entry = parser.next_known(expect).map_err(|e| IngestError::Parse {
                line: e.line,
                message: e.message,
            })?;
            match entry {
                None => break,
                Some(Entry::Type { name, kind }) => metadata.see_type(&name, kind),
                Some(Entry::Help { name, help }) => metadata.see_help(&name, &help),
                Some(Entry::Unit { name, unit }) => metadata.see_unit(&name, unit),
                Some(Entry::Comment(_)) => {}
                Some(Entry::Series {
                    series,
                    timestamp,
                    value,
                }) => {
                    self.counts.scraped += 1;
                    // After a fault of one series the rest is only counted, so that totals are right.
                    if first_series_fault.is_none()
                        && let Err(fault) = self.sample(series, known, timestamp, value, &parser)
                    {
                        match fault {
                            IngestError::Storage(_) => return Err(fault),
                            fault => first_series_fault = Some(fault),
                        }
                    }
                }
            }
        }
        match first_series_fault {
            Some(fault) => Err(fault),
            None if self.over_limit => Err(IngestError::SampleLimit),
            None => Ok(()),
        }
    }

    fn sample(
        &mut self,
        text: &[u8],
        known: Option<LineHash>,
        timestamp: Option<i64>,
        value: f64,
        parser: &Parser<'_>,
    ) -> Result<(), IngestError> {
        let explicit = timestamp.filter(|_| self.rules.honor_timestamps);
        let time = explicit.unwrap_or(self.now);
        let tracked = explicit.is_none() || self.rules.track_timestamps_staleness;
        let hash = known.unwrap_or_else(|| self.cache.hash(text));
        let series = match self.cache.see(hash, tracked) {
            Known::Dropped => return Ok(()),
            Known::Series { series, again } => {
                if again && explicit.is_none() {
                    self.counts.post_relabel += 1;
                    self.left_out.duplicate += 1;
                    return Ok(());
                }
                series
            }
            Known::New => match self.resolve(hash, tracked, parser)? {
                Some(series) => {
                    self.counts.added += 1;
                    series
                }
                None => return Ok(()),
            },
        };
        self.counts.post_relabel += 1;
        let limit = self.rules.limits().samples;
        if limit > 0 && self.counts.post_relabel > limit {
            self.over_limit = true;
            return Ok(());
        }
        let mut appended = self.append(series, time, value);
        let mut series = series;
        if appended == Err(AppendError::UnknownSeries) {
            // Storage has forgotten the series since the last scrape.
            match self.resolve(hash, tracked, parser)? {
                Some(found) => series = found,
                None => return Ok(()),
            }
            appended = self.append(series, time, value);
        }
        match appended {
            Ok(()) => self.exemplar(series, time, parser),
            Err(AppendError::OutOfOrder) => self.left_out.out_of_order += 1,
            Err(AppendError::DuplicateTimestamp) => self.left_out.duplicate += 1,
            Err(AppendError::OutOfBounds | AppendError::TooOld) => self.left_out.out_of_bounds += 1,
            Err(fault) => return Err(IngestError::Storage(fault)),
        }
        Ok(())
    }

    fn append(&mut self, series: SeriesRef, time: i64, value: f64) -> Result<(), AppendError> {
        if time > self.now.saturating_add(MAX_AHEAD_MS) {
            return Err(AppendError::OutOfBounds);
        }
        self.appender.append(series, time, value)
    }

    /// Builds the labels of a new line and finds its series; `None` when relabelling drops it.
    #[cold]
    fn resolve(
        &mut self,
        hash: LineHash,
        tracked: bool,
        parser: &Parser<'_>,
    ) -> Result<Option<SeriesRef>, IngestError> {
        if let Some(name) = parser.duplicate_label() {
            return Err(IngestError::Series(format!(
                "label name {name:?} is not unique: invalid sample"
            )));
        }
        let scraped = parser.labels();
        let present = |name: &str| {
            let mut found = false;
            parser.each_label(|label, _| found |= label == name);
            found
        };
        let Some(labels) = of_sample(&scraped, &present, self.target, &self.rules.labels) else {
            self.cache.remember(hash, None, false);
            return Ok(None);
        };
        if labels.metric_name().is_empty() {
            return Err(IngestError::Series(
                "missing metric name (__name__ label)".into(),
            ));
        }
        if self.rules.name_validation == NameValidation::Legacy && !legacy_names(&labels) {
            return Err(IngestError::Series(format!(
                "invalid metric name or label names: {labels}"
            )));
        }
        check_limits(&labels, self.rules.limits()).map_err(IngestError::LabelLimit)?;
        let series = self
            .appender
            .series(&labels)
            .map_err(IngestError::Storage)?;
        self.cache.remember(hash, Some(series), tracked);
        Ok(Some(series))
    }

    fn exemplar(&mut self, series: SeriesRef, time: i64, parser: &Parser<'_>) {
        let Some(mut exemplar) = parser.exemplar() else {
            return;
        };
        exemplar.timestamp.get_or_insert(time);
        // An exemplar is never a reason to lose a sample.
        if self.appender.append_exemplar(series, &exemplar) == Err(AppendError::OutOfOrderExemplar)
        {
            self.left_out.exemplars_out_of_order += 1;
        }
    }

    fn mark_gone(&mut self) {
        let (appender, now) = (&mut *self.appender, self.now);
        self.cache
            .each_gone(|series| drop(appender.append(series, now, stale_nan())));
    }
}

fn legacy_names(labels: &Labels) -> bool {
    model::labels::is_valid_metric_name_legacy(labels.metric_name())
        && labels
            .iter()
            .all(|(name, _)| model::labels::is_valid_label_name_legacy(name))
}

#[cfg(test)]
#[path = "ingest/tests.rs"]
mod tests;
