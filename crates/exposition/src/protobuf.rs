//! The protobuf format, the only one that carries native histograms: a sequence of length-delimited
//! `io.prometheus.client.MetricFamily` messages.
//!
//! A body is decoded once into a [`ProtobufBody`]: the samples that its text form would have, with series texts in one
//! buffer, so that everything behind the parser sees the same keys and labels whichever format a target speaks.

use std::borrow::Cow;
use std::ops::Range;

use model::labels::{Labels, is_valid_label_name_legacy, is_valid_metric_name_legacy};
use model::{Exemplar, MetricType};

use crate::entry::{Entry, ParseError};
use crate::float::push_openmetrics_float;
use crate::quote;
use crate::scan::{self, Flavour};

mod native;
mod write;

pub use native::Native;
pub use write::write_protobuf;

use native::Message;
use wire::Broken;

/// A family's length takes at most this many bytes.
const LENGTH_BYTES_MAX: usize = 5;

/// Which of the histograms of a body are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProtobufOptions {
    /// Native histograms. Without them, the classic parts are read, as though there were no others.
    pub native_histograms: bool,
    /// The classic parts of native histograms, too.
    pub always_classic: bool,
}

/// A decoded body.
#[derive(Debug, Default)]
pub struct ProtobufBody {
    arena: String,
    items: Vec<Stored>,
    natives: Vec<Native>,
    exemplars: Vec<Exemplar>,
}

type Text = Range<u32>;

#[derive(Debug)]
enum Stored {
    Help(Text, Text),
    Unit(Text, Text),
    Type(Text, MetricType),
    Sample(StoredSample),
}

#[derive(Debug, Clone)]
struct StoredSample {
    series: Text,
    timestamp: Option<i64>,
    value: StoredValue,
    exemplars: Range<u32>,
    start: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
enum StoredValue {
    Float(f64),
    /// Place among the native histograms.
    Native(u32),
}

/// What a protobuf body yields.
#[derive(Debug, Clone)]
pub enum ProtobufEntry<'a> {
    /// What text formats yield, too.
    Plain(Entry<'a>),
    /// A native histogram.
    Histogram {
        /// Name and labels, as in [`Entry::Series`].
        series: &'a [u8],
        /// Unix milliseconds, when given.
        timestamp: Option<i64>,
        /// The histogram.
        value: &'a Native,
    },
}

impl ProtobufBody {
    /// Decodes a whole body.
    pub fn decode(body: &[u8], options: ProtobufOptions) -> Result<ProtobufBody, ParseError> {
        let mut decoder = Decoder {
            out: ProtobufBody::default(),
            options,
        };
        let mut rest = body;
        while !rest.is_empty() {
            let family = wire::delimited(&mut rest, LENGTH_BYTES_MAX).map_err(broken)?;
            decoder.family(family)?;
        }
        Ok(decoder.out)
    }

    /// The entries, in the body's order.
    pub fn entries(&self) -> ProtobufParser<'_> {
        ProtobufParser {
            body: self,
            at: 0,
            kind: MetricType::Unknown,
            sample: None,
        }
    }

    fn text(&self, range: &Text) -> &str {
        self.arena
            .get(range.start as usize..range.end as usize)
            .unwrap_or("")
    }
}

/// Walks over a decoded body, in the manner of the text parsers.
#[derive(Debug, Clone)]
pub struct ProtobufParser<'a> {
    body: &'a ProtobufBody,
    at: usize,
    kind: MetricType,
    sample: Option<&'a StoredSample>,
}

impl<'a> ProtobufParser<'a> {
    /// The next entry; `None` at the end. Cannot fail: decoding has.
    #[allow(clippy::should_implement_trait)] // as the other parsers
    pub fn next(&mut self) -> Option<ProtobufEntry<'a>> {
        let body = self.body;
        let item = body.items.get(self.at)?;
        self.at += 1;
        Some(ProtobufEntry::Plain(match item {
            Stored::Help(name, help) => Entry::Help {
                name: Cow::Borrowed(body.text(name)),
                help: Cow::Borrowed(body.text(help)),
            },
            Stored::Unit(name, unit) => Entry::Unit {
                name: Cow::Borrowed(body.text(name)),
                unit: body.text(unit),
            },
            Stored::Type(name, kind) => {
                self.kind = *kind;
                Entry::Type {
                    name: Cow::Borrowed(body.text(name)),
                    kind: *kind,
                }
            }
            Stored::Sample(sample) => {
                self.sample = Some(sample);
                let series = body.text(&sample.series).as_bytes();
                let timestamp = sample.timestamp;
                match sample.value {
                    StoredValue::Float(value) => Entry::Series {
                        series,
                        timestamp,
                        value,
                    },
                    StoredValue::Native(at) => {
                        let value = body.natives.get(at as usize)?;
                        return Some(ProtobufEntry::Histogram {
                            series,
                            timestamp,
                            value,
                        });
                    }
                }
            }
        }))
    }

    fn series(&self) -> &'a [u8] {
        self.sample
            .map_or(&[], |sample| self.body.text(&sample.series).as_bytes())
    }

    /// The labels of the last sample.
    pub fn labels(&self) -> Labels {
        scan::labels_of(self.series(), Flavour::OpenMetrics, MetricType::Unknown)
    }

    /// Every label of the last sample, the metric name first; empty values and duplicates included.
    pub fn each_label(&self, visit: impl FnMut(Cow<'a, str>, Cow<'a, str>)) {
        scan::each_label(
            self.series(),
            Flavour::OpenMetrics,
            MetricType::Unknown,
            visit,
        );
    }

    /// As `labels`; the error is the name of a label that the sample has twice, which storage must refuse.
    pub fn distinct_labels(&self) -> Result<Labels, String> {
        scan::distinct_labels_of(self.series(), Flavour::OpenMetrics, MetricType::Unknown)
    }

    /// The exemplars of the last sample.
    pub fn exemplars(&self) -> &'a [Exemplar] {
        let range = self.sample.map_or(0..0, |s| {
            s.exemplars.start as usize..s.exemplars.end as usize
        });
        self.body.exemplars.get(range).unwrap_or(&[])
    }

    /// When the last sample's counter began, unix milliseconds.
    pub fn start_timestamp(&self) -> Option<i64> {
        self.sample?.start
    }

    /// The type of the current family.
    pub fn metric_type(&self) -> MetricType {
        self.kind
    }
}

fn broken(error: Broken) -> ParseError {
    refused(format!("proto: {}", error.0))
}

fn refused(message: String) -> ParseError {
    ParseError { line: 0, message }
}

/// The fields of a family that hold for all its metrics.
struct Family<'a> {
    name: &'a str,
    kind: MetricType,
}

/// The fields of a metric.
#[derive(Default)]
struct MetricMessage<'a> {
    labels: Vec<(&'a str, &'a str)>,
    timestamp: Option<i64>,
    /// Gauge, counter, summary, untyped or histogram, by field number.
    values: [Option<&'a [u8]>; 5],
}

struct Decoder {
    out: ProtobufBody,
    options: ProtobufOptions,
}

impl Decoder {
    fn family(&mut self, message: &[u8]) -> Result<(), ParseError> {
        let (mut name, mut help, mut unit): (&[u8], &[u8], &[u8]) = (&[], &[], &[]);
        let (mut kind, mut has_metrics) = (0, false);
        wire::fields(message, |field, value| {
            match field {
                1 => name = value.bytes(),
                2 => help = value.bytes(),
                3 => kind = value.u64(),
                4 => has_metrics = true,
                5 => unit = value.bytes(),
                _ => {}
            }
            Ok(())
        })
        .map_err(broken)?;
        if !has_metrics {
            return Ok(());
        }
        let shown = quote::go(name);
        let name_bytes = name;
        let name = std::str::from_utf8(name)
            .ok()
            .filter(|name| !name.is_empty());
        let Some(name) = name else {
            let shown = String::from_utf8_lossy(name_bytes);
            return Err(refused(format!("invalid metric name: {shown}")));
        };
        let Ok(help) = std::str::from_utf8(help) else {
            return Err(refused(format!(
                "invalid help for metric {shown}: {}",
                quote::go(help)
            )));
        };
        let unit = std::str::from_utf8(unit).unwrap_or("");
        let kind = match kind {
            0 => MetricType::Counter,
            1 => MetricType::Gauge,
            2 => MetricType::Summary,
            3 => MetricType::Unknown,
            4 => MetricType::Histogram,
            5 => MetricType::GaugeHistogram,
            other => {
                return Err(refused(format!(
                    "unknown metric type for metric {shown}: {other}"
                )));
            }
        };
        let name_text = self.store(name)?;
        let help_text = self.store(help)?;
        self.out
            .items
            .push(Stored::Help(name_text.clone(), help_text));
        if !unit.is_empty() {
            let unit_text = self.store(unit)?;
            self.out
                .items
                .push(Stored::Unit(name_text.clone(), unit_text));
        }
        self.out.items.push(Stored::Type(name_text, kind));
        let family = Family { name, kind };
        let mut failure = None;
        wire::fields(message, |field, value| {
            if field == 4 && failure.is_none() {
                failure = self.metric(&family, value.bytes()).err();
            }
            Ok(())
        })
        .map_err(broken)?;
        failure.map_or(Ok(()), Err)
    }

    fn metric(&mut self, family: &Family<'_>, message: &[u8]) -> Result<(), ParseError> {
        let mut metric = MetricMessage::default();
        wire::fields(message, |field, value| {
            match field {
                1 => metric.labels.push(label(value.bytes())?),
                2..=5 => metric.values[field as usize - 2] = Some(value.bytes()),
                6 => {
                    metric.timestamp = Some(value.u64() as i64).filter(|timestamp| *timestamp != 0)
                }
                7 => metric.values[4] = Some(value.bytes()),
                _ => {}
            }
            Ok(())
        })
        .map_err(broken)?;
        let message = |slot: usize| metric.values[slot].unwrap_or(&[]);
        match family.kind {
            MetricType::Gauge => self.single(family, &metric, message(0), false),
            MetricType::Counter => self.single(family, &metric, message(1), true),
            MetricType::Summary => self.summary(family, &metric, message(2)),
            MetricType::Histogram | MetricType::GaugeHistogram => {
                self.histogram(family, &metric, message(4))
            }
            _ => self.single(family, &metric, message(3), false),
        }
    }

    fn single(
        &mut self,
        family: &Family<'_>,
        metric: &MetricMessage<'_>,
        message: &[u8],
        counter: bool,
    ) -> Result<(), ParseError> {
        let (mut number, mut exemplar, mut start) = (0.0, None, None);
        wire::fields(message, |field, value| {
            match field {
                1 => number = value.f64(),
                2 if counter => exemplar = Some(value.bytes()),
                3 if counter => start = timestamp_ms(value.bytes())?,
                _ => {}
            }
            Ok(())
        })
        .map_err(broken)?;
        let exemplars = self.exemplars(exemplar, false)?;
        self.sample(family.name, "", metric, None, number, exemplars, start)
    }

    fn summary(
        &mut self,
        family: &Family<'_>,
        metric: &MetricMessage<'_>,
        message: &[u8],
    ) -> Result<(), ParseError> {
        let (mut count, mut sum, mut start) = (0u64, 0.0, None);
        let mut quantiles = Vec::new();
        wire::fields(message, |field, value| {
            match field {
                1 => count = value.u64(),
                2 => sum = value.f64(),
                3 => {
                    let (mut quantile, mut number) = (0.0, 0.0);
                    wire::fields(value.bytes(), |field, value| {
                        match field {
                            1 => quantile = value.f64(),
                            2 => number = value.f64(),
                            _ => {}
                        }
                        Ok(())
                    })?;
                    quantiles.push((quantile, number));
                }
                4 => start = timestamp_ms(value.bytes())?,
                _ => {}
            }
            Ok(())
        })
        .map_err(broken)?;
        self.sample(
            family.name,
            "_count",
            metric,
            None,
            count as f64,
            0..0,
            start,
        )?;
        self.sample(family.name, "_sum", metric, None, sum, 0..0, start)?;
        for (quantile, number) in quantiles {
            self.sample(
                family.name,
                "",
                metric,
                Some(("quantile", quantile)),
                number,
                0..0,
                start,
            )?;
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        family: &Family<'_>,
        metric: &MetricMessage<'_>,
        message: &[u8],
    ) -> Result<(), ParseError> {
        let read = Message::read(message).map_err(broken)?;
        let start = read
            .start
            .map(timestamp_ms)
            .transpose()
            .map_err(broken)?
            .flatten();
        let (count, sum, buckets) = (read.count, read.sum, read.buckets.clone());
        if self.options.native_histograms && read.is_native() {
            // Exemplars without a time cannot be told apart on a native histogram, so they are left out.
            let exemplars = if read.exemplars.is_empty() {
                self.exemplars(buckets.iter().filter_map(|bucket| bucket.exemplar), true)?
            } else {
                self.exemplars(read.exemplars.iter().copied(), true)?
            };
            let gauge = family.kind == MetricType::GaugeHistogram;
            let native = read.native(gauge).map_err(|error| {
                refused(format!("histogram {}: {error}", quote::go(family.name)))
            })?;
            let at = self.out.natives.len() as u32;
            self.out.natives.push(native);
            let series = self.series(family.name, "", metric, None)?;
            let value = StoredValue::Native(at);
            let timestamp = metric.timestamp;
            self.out.items.push(Stored::Sample(StoredSample {
                series,
                timestamp,
                value,
                exemplars,
                start,
            }));
            if !self.options.always_classic || buckets.is_empty() {
                return Ok(());
            }
        }
        self.sample(family.name, "_count", metric, None, count, 0..0, start)?;
        self.sample(family.name, "_sum", metric, None, sum, 0..0, start)?;
        let mut infinite = false;
        for bucket in &buckets {
            infinite |= bucket.upper_bound == f64::INFINITY;
            let exemplars = self.exemplars(bucket.exemplar, false)?;
            let bound = Some(("le", bucket.upper_bound));
            self.sample(
                family.name,
                "_bucket",
                metric,
                bound,
                bucket.count,
                exemplars,
                start,
            )?;
        }
        if !infinite {
            let bound = Some(("le", f64::INFINITY));
            self.sample(family.name, "_bucket", metric, bound, count, 0..0, start)?;
        }
        Ok(())
    }

    fn sample(
        &mut self,
        name: &str,
        ending: &str,
        metric: &MetricMessage<'_>,
        extra: Option<(&str, f64)>,
        value: f64,
        exemplars: Range<u32>,
        start: Option<i64>,
    ) -> Result<(), ParseError> {
        let series = self.series(name, ending, metric, extra)?;
        // A NaN keeps its bits, as upstream's does: a page in this format can bring staleness markers.
        let value = StoredValue::Float(value);
        let timestamp = metric.timestamp;
        self.out.items.push(Stored::Sample(StoredSample {
            series,
            timestamp,
            value,
            exemplars,
            start,
        }));
        Ok(())
    }

    /// Puts a text into the buffer. Offsets have 32 bits: a body that needs more is refused.
    fn store(&mut self, text: &str) -> Result<Text, ParseError> {
        let from = self.out.arena.len();
        self.out.arena.push_str(text);
        self.stored(from)
    }

    fn stored(&self, from: usize) -> Result<Text, ParseError> {
        match (u32::try_from(from), u32::try_from(self.out.arena.len())) {
            (Ok(from), Ok(to)) => Ok(from..to),
            _ => Err(refused("proto: body too large".into())),
        }
    }

    /// Writes the series as the text formats would.
    fn series(
        &mut self,
        name: &str,
        ending: &str,
        metric: &MetricMessage<'_>,
        extra: Option<(&str, f64)>,
    ) -> Result<Text, ParseError> {
        let from = self.out.arena.len();
        let out = &mut self.out.arena;
        let mut separator = '{';
        if is_valid_metric_name_legacy(name) {
            out.push_str(name);
            out.push_str(ending);
        } else {
            out.push('{');
            quoted(&format!("{name}{ending}"), out);
            separator = ',';
        }
        for (label, value) in &metric.labels {
            out.push(separator);
            separator = ',';
            if is_valid_label_name_legacy(label) {
                out.push_str(label);
            } else {
                quoted(label, out);
            }
            out.push('=');
            quoted(value, out);
        }
        if let Some((label, value)) = extra {
            out.push(separator);
            separator = ',';
            out.push_str(label);
            out.push_str("=\"");
            let mut digits = Vec::with_capacity(24);
            push_openmetrics_float(&mut digits, value);
            out.extend(digits.iter().map(|digit| *digit as char)); // ASCII
            out.push('"');
        }
        if separator == ',' {
            out.push('}');
        }
        self.stored(from)
    }

    fn exemplars<'m>(
        &mut self,
        messages: impl IntoIterator<Item = &'m [u8]>,
        timed_only: bool,
    ) -> Result<Range<u32>, ParseError> {
        let from = self.out.exemplars.len() as u32;
        for message in messages {
            let exemplar = exemplar(message).map_err(broken)?;
            if exemplar.timestamp.is_some() || !timed_only {
                self.out.exemplars.push(exemplar);
            }
        }
        Ok(from..self.out.exemplars.len() as u32)
    }
}

fn quoted(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn label(message: &[u8]) -> Result<(&str, &str), Broken> {
    let (mut name, mut text): (&[u8], &[u8]) = (&[], &[]);
    wire::fields(message, |field, value| {
        match field {
            1 => name = value.bytes(),
            2 => text = value.bytes(),
            _ => {}
        }
        Ok(())
    })?;
    match (std::str::from_utf8(name), std::str::from_utf8(text)) {
        (Ok(name), Ok(text)) => Ok((name, text)),
        _ => Err(Broken("invalid UTF-8 in label")),
    }
}

fn exemplar(message: &[u8]) -> Result<Exemplar, Broken> {
    let (mut labels, mut number, mut timestamp) = (Vec::new(), 0.0, None);
    wire::fields(message, |field, value| {
        match field {
            1 => labels.push(label(value.bytes())?),
            2 => number = value.f64(),
            3 => timestamp = timestamp_ms(value.bytes())?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(Exemplar {
        labels: Labels::from_pairs(labels),
        value: number,
        timestamp,
    })
}

/// A protobuf timestamp in unix milliseconds.
fn timestamp_ms(message: &[u8]) -> Result<Option<i64>, Broken> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    wire::fields(message, |field, value| {
        match field {
            1 => seconds = value.u64() as i64,
            2 => nanos = i64::from(value.u64() as i32),
            _ => {}
        }
        Ok(())
    })?;
    Ok(Some(
        seconds
            .saturating_mul(1000)
            .saturating_add(nanos / 1_000_000),
    ))
}

#[cfg(test)]
mod tests;
