//! One body into one batch of samples. Pure: bytes, a cache and an appender in, counts out.

use configfile::scrape::{HistogramChoices, ScrapeLimits};
use exposition::protobuf::{Native, ProtobufBody, ProtobufEntry, ProtobufOptions, ProtobufParser};
use exposition::{Entry, Format, Parser};
use model::relabel::NameValidation;
use model::sample::stale_nan;
use model::{Exemplar, Labels, LabelsBuilder, Metadata, MetricType};
use storage::{AppendError, Appender, HistogramSample, SeriesRef};
use thiserror::Error;

use crate::cache::{Known, LineHash, SeriesCache};
use crate::classic::{self, Classic, Converted};
use crate::labels::{LabelRules, check_limits, of_sample};
use crate::metadata::TargetMetadata;
use crate::native::NativeLimits;

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
    /// How large native ones may be.
    pub native_limits: NativeLimits,
    /// Start timestamps become zero samples.
    pub start_zeros: bool,
    /// What is known of families goes to storage, too.
    pub store_metadata: bool,
    /// Type and unit of the family become labels.
    pub type_and_unit_labels: bool,
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
    /// A native histogram that has too many buckets at any resolution.
    #[error("histogram bucket limit exceeded")]
    BucketLimit,
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
    histograms: HistogramChoices,
    now: i64,
    cache: &mut SeriesCache,
    metadata: &mut TargetMetadata,
    appender: &mut dyn Appender,
) -> Ingested {
    metadata.begin();
    let mut run = Run {
        target,
        rules,
        histograms,
        now,
        cache,
        appender,
        counts: Counts::default(),
        left_out: LeftOut::default(),
        over_limit: false,
        classic: histograms.convert_classic.then(Classic::default),
        family: String::new(),
        over_buckets: false,
        exemplars_gone: false,
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
    histograms: HistogramChoices,
    now: i64,
    cache: &'a mut SeriesCache,
    appender: &'a mut dyn Appender,
    counts: Counts,
    left_out: LeftOut,
    /// The sample limit is hit: counting goes on, appending does not.
    over_limit: bool,
    /// Collects classic histograms, where they are turned into others.
    classic: Option<Classic>,
    /// The family of the last `# TYPE` line, where its metadata is of use.
    family: String,
    /// A histogram is too large: as with the sample limit, the rest is only counted, so that totals are right.
    over_buckets: bool,
    /// The exemplars of the line at hand have gone to the histogram that it is turned into.
    exemplars_gone: bool,
}

/// The sample that a parser is at.
trait Described {
    fn labels(&self) -> Labels;
    fn has_label(&self, name: &str) -> bool;
    /// The labels, or the name of one that is there twice.
    fn distinct_labels(&self) -> Result<Labels, String>;
    fn has_exemplars(&self) -> bool;
    /// Exemplars, oldest first.
    fn exemplars(&self) -> Vec<Exemplar>;
    /// When counting began, unix milliseconds.
    fn start(&mut self) -> Option<i64>;
}

impl Described for Parser<'_> {
    fn labels(&self) -> Labels {
        Parser::labels(self)
    }

    fn has_label(&self, name: &str) -> bool {
        let mut found = false;
        self.each_label(|label, _| found |= label == name);
        found
    }

    fn distinct_labels(&self) -> Result<Labels, String> {
        Parser::distinct_labels(self)
    }

    #[inline]
    fn has_exemplars(&self) -> bool {
        self.has_exemplar()
    }

    fn exemplars(&self) -> Vec<Exemplar> {
        self.exemplar().into_iter().collect()
    }

    fn start(&mut self) -> Option<i64> {
        self.start_timestamp()
    }
}

impl Described for ProtobufParser<'_> {
    fn labels(&self) -> Labels {
        ProtobufParser::labels(self)
    }

    fn has_label(&self, name: &str) -> bool {
        let mut found = false;
        self.each_label(|label, _| found |= label == name);
        found
    }

    fn distinct_labels(&self) -> Result<Labels, String> {
        ProtobufParser::distinct_labels(self)
    }

    fn has_exemplars(&self) -> bool {
        !ProtobufParser::exemplars(self).is_empty()
    }

    fn exemplars(&self) -> Vec<Exemplar> {
        let mut exemplars = ProtobufParser::exemplars(self).to_vec();
        exemplars.sort_by_key(|exemplar| exemplar.timestamp);
        exemplars
    }

    fn start(&mut self) -> Option<i64> {
        self.start_timestamp()
    }
}

impl Described for Converted {
    fn labels(&self) -> Labels {
        self.labels.clone()
    }

    fn has_label(&self, name: &str) -> bool {
        self.labels.get(name).is_some()
    }

    fn distinct_labels(&self) -> Result<Labels, String> {
        Ok(self.labels.clone())
    }

    fn has_exemplars(&self) -> bool {
        !self.exemplars.is_empty()
    }

    fn exemplars(&self) -> Vec<Exemplar> {
        let mut exemplars = self.exemplars.clone();
        exemplars.sort_by_key(|exemplar| exemplar.timestamp);
        exemplars
    }

    fn start(&mut self) -> Option<i64> {
        self.start
    }
}

/// A value of a page.
#[derive(Clone, Copy)]
enum Value<'a> {
    Float(f64),
    Native(&'a Native),
}

impl<'a> Value<'a> {
    fn histogram(self) -> Option<HistogramSample<'a>> {
        match self {
            Value::Float(_) => None,
            Value::Native(Native::Integer(h)) => Some(HistogramSample::Integer(h)),
            Value::Native(Native::Float(h)) => Some(HistogramSample::Float(h)),
        }
    }
}

impl Run<'_> {
    fn body(
        &mut self,
        body: &[u8],
        format: Format,
        metadata: &mut TargetMetadata,
    ) -> Result<(), IngestError> {
        match format {
            Format::Text => self.text(Parser::text(body), metadata)?,
            Format::OpenMetrics => {
                let parser = Parser::openmetrics(body, self.rules.start_zeros);
                self.text(parser, metadata)?;
            }
            Format::Protobuf => self.protobuf(body, metadata)?,
        }
        if let Some(done) = self.classic.as_mut().and_then(Classic::finish) {
            self.converted(done, format == Format::Protobuf, metadata)?;
        }
        match (self.over_limit, self.over_buckets) {
            (true, _) => Err(IngestError::SampleLimit),
            (false, true) => Err(IngestError::BucketLimit),
            (false, false) => Ok(()),
        }
    }

    fn text(
        &mut self,
        mut parser: Parser<'_>,
        metadata: &mut TargetMetadata,
    ) -> Result<(), IngestError> {
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
                None => return Ok(()),
                Some(Entry::Series {
                    series,
                    timestamp,
                    value,
                }) => self.plain(
                    series,
                    known,
                    timestamp,
                    value,
                    &mut parser,
                    false,
                    metadata,
                )?,
                Some(other) => self.note(other, false, metadata)?,
            }
        }
    }

    fn protobuf(&mut self, body: &[u8], metadata: &mut TargetMetadata) -> Result<(), IngestError> {
        let options = ProtobufOptions {
            native_histograms: self.histograms.scrape_native,
            always_classic: self.histograms.always_scrape_classic,
        };
        let body = ProtobufBody::decode(body, options).map_err(|e| IngestError::Parse {
            line: e.line,
            message: e.message,
        })?;
        let mut parser = body.entries();
        while let Some(entry) = parser.next() {
            match entry {
                ProtobufEntry::Plain(Entry::Series {
                    series,
                    timestamp,
                    value,
                }) => self.plain(series, None, timestamp, value, &mut parser, true, metadata)?,
                ProtobufEntry::Plain(other) => self.note(other, true, metadata)?,
                ProtobufEntry::Histogram {
                    series,
                    timestamp,
                    value,
                } => {
                    if let Some(classic) = &mut self.classic
                        && let Some(done) = classic.native(&parser.labels())
                    {
                        self.converted(done, true, metadata)?;
                    }
                    self.counts.scraped += 1;
                    let value = Value::Native(value);
                    self.sample(series, None, timestamp, value, &mut parser, metadata)?;
                }
            }
        }
        Ok(())
    }

    /// A line that is no sample.
    fn note(
        &mut self,
        entry: Entry<'_>,
        strict: bool,
        metadata: &mut TargetMetadata,
    ) -> Result<(), IngestError> {
        match entry {
            Entry::Type { name, kind } => {
                metadata.see_type(&name, kind);
                if self.rules.store_metadata || self.rules.type_and_unit_labels {
                    self.family.clear();
                    self.family.push_str(&name);
                }
                if let Some(done) = self
                    .classic
                    .as_mut()
                    .and_then(|c| c.family(&name, kind, strict))
                {
                    return self.converted(done, strict, metadata);
                }
            }
            Entry::Help { name, help } => metadata.see_help(&name, &help),
            Entry::Unit { name, unit } => metadata.see_unit(&name, unit),
            Entry::Comment(_) | Entry::Series { .. } => {}
        }
        Ok(())
    }

    /// A float sample, which may be a part of a classic histogram.
    #[inline]
    fn plain(
        &mut self,
        series: &[u8],
        known: Option<LineHash>,
        timestamp: Option<i64>,
        value: f64,
        line: &mut impl Described,
        strict: bool,
        metadata: &mut TargetMetadata,
    ) -> Result<(), IngestError> {
        let mut collected = false;
        if self.classic.is_some() {
            collected = self.collect(timestamp, value, line, strict, metadata)?;
            if collected && !self.histograms.always_scrape_classic {
                return Ok(());
            }
        }
        self.counts.scraped += 1;
        // As with upstream, whose protobuf parser gives them to both.
        self.exemplars_gone = collected && !strict;
        let value = Value::Float(value);
        let stored = self.sample(series, known, timestamp, value, line, metadata);
        self.exemplars_gone = false;
        stored
    }

    /// Collects a line of a classic histogram; whether it is one.
    fn collect(
        &mut self,
        timestamp: Option<i64>,
        value: f64,
        line: &mut impl Described,
        strict: bool,
        metadata: &mut TargetMetadata,
    ) -> Result<bool, IngestError> {
        let Some(classic) = &mut self.classic else {
            return Ok(false);
        };
        let labels = line.labels();
        if !classic.takes(&labels) {
            return Ok(false);
        }
        let (exemplars, start) = (line.exemplars(), line.start());
        let part = classic::Line {
            labels: &labels,
            timestamp,
            value,
            start,
        };
        if let Some(done) = classic.line(&part, exemplars) {
            self.converted(done, strict, metadata)?;
        }
        Ok(true)
    }

    /// A histogram made of classic lines. `strict`: lines that make none fail the scrape.
    fn converted(
        &mut self,
        mut done: Converted,
        strict: bool,
        metadata: &mut TargetMetadata,
    ) -> Result<(), IngestError> {
        let native = match std::mem::replace(&mut done.value, Err("")) {
            Ok(native) => native,
            Err(reason) if strict => {
                let text = format!("classic histogram {}: {reason}", done.labels);
                return Err(IngestError::Series(text));
            }
            Err(reason) => {
                tracing::debug!(component = "scrape manager", series = %done.labels, reason, "Classic histogram is not converted");
                return Ok(());
            }
        };
        self.counts.scraped += 1;
        // No line of a page begins with a zero byte.
        let mut key = vec![0];
        key.extend_from_slice(done.labels.as_bytes());
        let timestamp = done.timestamp;
        self.sample(
            &key,
            None,
            timestamp,
            Value::Native(&native),
            &mut done,
            metadata,
        )
    }

    /// Appends a sample. A fault of its series ends the scrape; what limits refuse is counted.
    fn sample(
        &mut self,
        text: &[u8],
        known: Option<LineHash>,
        timestamp: Option<i64>,
        value: Value<'_>,
        line: &mut impl Described,
        metadata: &mut TargetMetadata,
    ) -> Result<(), IngestError> {
        let explicit = timestamp.filter(|_| self.rules.honor_timestamps);
        let time = explicit.unwrap_or(self.now);
        let tracked = explicit.is_none() || self.rules.track_timestamps_staleness;
        let hash = known.unwrap_or_else(|| self.cache.hash(text));
        let (series, is_new) = match self.cache.see(hash, tracked) {
            Known::Dropped => return Ok(()),
            Known::Series { series, again } => {
                if again && explicit.is_none() {
                    self.counts.post_relabel += 1;
                    self.left_out.duplicate += 1;
                    return Ok(());
                }
                (series, false)
            }
            Known::New => match self.resolve(hash, tracked, line, metadata)? {
                Some(series) => {
                    self.counts.added += 1;
                    (series, true)
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
        let fitting;
        let value = match value {
            Value::Native(native) => {
                let Some(fit) = self.rules.native_limits.fit(native) else {
                    self.over_buckets = true;
                    return Ok(());
                };
                fitting = fit;
                Value::Native(&fitting)
            }
            float => float,
        };
        let start = if self.rules.start_zeros {
            line.start()
        } else {
            None
        };
        let mut appended = self.append(series, time, value, start);
        let mut series = series;
        if appended == Err(AppendError::UnknownSeries) {
            // Storage has forgotten the series since the last scrape.
            match self.resolve(hash, tracked, line, metadata)? {
                Some(found) => series = found,
                None => return Ok(()),
            }
            appended = self.append(series, time, value, start);
        }
        match appended {
            Ok(()) => {
                let is_native = matches!(value, Value::Native(_));
                if line.has_exemplars() && !self.exemplars_gone {
                    self.exemplars(series, time, is_native, line);
                }
                if self.rules.store_metadata {
                    self.metadata(series, is_new, metadata);
                }
            }
            Err(AppendError::OutOfOrder) => self.left_out.out_of_order += 1,
            Err(AppendError::DuplicateTimestamp(_)) => self.left_out.duplicate += 1,
            Err(AppendError::OutOfBounds | AppendError::TooOld) => self.left_out.out_of_bounds += 1,
            Err(fault) => {
                self.counts.post_relabel -= 1;
                return Err(IngestError::Storage(fault));
            }
        }
        Ok(())
    }

    #[inline]
    fn append(
        &mut self,
        series: SeriesRef,
        time: i64,
        value: Value<'_>,
        start: Option<i64>,
    ) -> Result<(), AppendError> {
        if time > self.now.saturating_add(MAX_AHEAD_MS) {
            return Err(AppendError::OutOfBounds);
        }
        if let Some(start) = start {
            // What is there already needs no zero.
            drop(
                self.appender
                    .append_start(series, time, start, value.histogram()),
            );
        }
        match (value, value.histogram()) {
            (_, Some(histogram)) => self.appender.append_histogram(series, time, histogram),
            (Value::Float(float), _) => self.appender.append(series, time, float),
            (Value::Native(_), None) => Ok(()),
        }
    }

    /// Builds the labels of a new line and finds its series; `None` when relabelling drops it.
    #[cold]
    fn resolve(
        &mut self,
        hash: LineHash,
        tracked: bool,
        line: &mut impl Described,
        metadata: &TargetMetadata,
    ) -> Result<Option<SeriesRef>, IngestError> {
        let mut scraped = line.distinct_labels().map_err(|name| {
            IngestError::Series(format!("label name {name:?} is not unique: invalid sample"))
        })?;
        if self.rules.type_and_unit_labels {
            scraped = with_type_and_unit(&scraped, metadata.get(&self.family).as_deref());
        }
        let present = |name: &str| line.has_label(name);
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

    fn exemplars(&mut self, series: SeriesRef, time: i64, is_native: bool, line: &impl Described) {
        for mut exemplar in line.exemplars() {
            let untimed = exemplar.timestamp.is_none();
            if untimed && (is_native || self.cache.untimed.is_known(series, &exemplar)) {
                continue;
            }
            exemplar.timestamp.get_or_insert(time);
            // An exemplar is never a reason to lose a sample.
            match self.appender.append_exemplar(series, &exemplar) {
                Ok(()) if untimed => self.cache.untimed.remember(series, &exemplar),
                Err(AppendError::OutOfOrderExemplar) => self.left_out.exemplars_out_of_order += 1,
                _ => {}
            }
        }
    }

    /// Stores what is known of the family with a series that is new, or when it has changed.
    fn metadata(&mut self, series: SeriesRef, is_new: bool, metadata: &TargetMetadata) {
        if (is_new || metadata.has_changed(&self.family))
            && let Some(known) = metadata.get(&self.family)
        {
            // It is never a reason to lose a sample either.
            drop(self.appender.update_metadata(series, &known));
        }
    }

    fn mark_gone(&mut self) {
        let (appender, now) = (&mut *self.appender, self.now);
        self.cache
            .each_gone(|series| drop(appender.append(series, now, stale_nan())));
    }
}

/// The labels with those that the type and unit of the family make.
fn with_type_and_unit(labels: &Labels, metadata: Option<&Metadata>) -> Labels {
    let Some(metadata) = metadata else {
        return labels.clone();
    };
    let mut builder = LabelsBuilder::new(labels);
    if metadata.kind != MetricType::Unknown {
        builder.set("__type__", metadata.kind.as_str());
    }
    if !metadata.unit.is_empty() {
        builder.set("__unit__", metadata.unit.as_str());
    }
    builder.build()
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
