//! Reader of OpenMetrics text, versions 0.0.1 and 1.0.0.
//!
//! As the text parser, with the stricter grammar, exemplars, units, a mandatory `# EOF`, and, when asked for, start
//! timestamps taken from `_created` samples instead of those samples.

use std::borrow::Cow;
use std::collections::HashMap;

use model::labels::{BUCKET_LABEL, Labels, METRIC_NAME, QUANTILE_LABEL};
use model::{Exemplar, MetricType};

use crate::entry::{Entry, ParseError};
use crate::float::parse_float;
use crate::quote;
use crate::scan::{self, Flavour, Part, Place, Scan};

/// Reads a body in OpenMetrics text.
#[derive(Debug, Clone)]
pub struct OpenMetricsParser<'a> {
    scan: Scan<'a>,
    series: &'a [u8],
    timestamp: Option<i64>,
    kind: MetricType,
    family: Cow<'a, str>,
    exemplar: Option<RawExemplar<'a>>,
    created: Option<Created>,
    done: bool,
}

/// An exemplar as it stands: what is between its braces is read when asked for.
#[derive(Debug, Clone, Copy)]
struct RawExemplar<'a> {
    labels: &'a [u8],
    value: f64,
    timestamp: Option<i64>,
}

/// Start timestamps of the current family, read ahead once a family.
#[derive(Debug, Clone, Default)]
struct Created {
    /// Where the family's samples begin in the body; the key of what `starts` holds.
    family_at: usize,
    /// Offset of the family for which `starts` was filled.
    filled_for: Option<usize>,
    /// By the labels without the name, bucket bound and quantile: unix milliseconds.
    starts: HashMap<Labels, i64>,
}

impl<'a> OpenMetricsParser<'a> {
    /// Starts at the body's first byte.
    pub fn new(body: &'a [u8]) -> OpenMetricsParser<'a> {
        OpenMetricsParser {
            scan: Scan::new(body, Flavour::OpenMetrics),
            series: &[],
            timestamp: None,
            kind: MetricType::Unknown,
            family: Cow::Borrowed(""),
            exemplar: None,
            created: None,
            done: false,
        }
    }

    /// From now on `_created` samples of counters, histograms and summaries are not yielded but give
    /// [`OpenMetricsParser::start_timestamp`].
    pub fn with_start_timestamps(mut self) -> OpenMetricsParser<'a> {
        self.created = Some(Created::default());
        self
    }

    /// The next entry; `None` after `# EOF`. After an error nothing sensible follows.
    #[allow(clippy::should_implement_trait)] // fallible, and the labels of the last entry are asked of the parser
    pub fn next(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        loop {
            let entry = self.read()?;
            if self.created.is_some()
                && matches!(entry, Some(Entry::Series { .. }))
                && self.created_base(self.series).is_some()
            {
                continue;
            }
            return Ok(entry);
        }
    }

    fn read(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        let scan = &mut self.scan;
        scan.start = scan.at;
        if self.done {
            return Ok(None);
        }
        match scan.peek() {
            None => Err(scan.error("data does not end with # EOF".into())),
            Some(b'#') => self.comment(),
            Some(b'{') => {
                scan.at += 1;
                scan.label_set(Place::Unnamed, |_| {})?;
                self.sample().map(Some)
            }
            Some(_) => {
                if scan.metric_name().is_none() {
                    return Err(scan.invalid("expected a valid start token"));
                }
                if scan.peek() == Some(b'{') {
                    scan.at += 1;
                    scan.label_set(Place::Named, |_| {})?;
                }
                self.sample().map(Some)
            }
        }
    }

    fn sample(&mut self) -> Result<Entry<'a>, ParseError> {
        self.series = &self.scan.input[self.scan.start..self.scan.at];
        self.exemplar = None;
        let value = self.value("metric")?;
        self.timestamp = None;
        match self.scan.peek() {
            Some(b'\n') => self.scan.at += 1,
            None => return Err(self.scan.error("data does not end with # EOF".into())),
            Some(_) if self.at_exemplar() => self.read_exemplar()?,
            Some(b' ') => {
                let what = "invalid timestamp";
                self.timestamp = Some(self.seconds(what, "expected timestamp or # symbol")?);
                match self.scan.peek() {
                    Some(b'\n') => self.scan.at += 1,
                    None => return Err(self.scan.error("data does not end with # EOF".into())),
                    Some(_) if self.at_exemplar() => self.read_exemplar()?,
                    Some(_) => {
                        return Err(self.scan.invalid("expected next entry after timestamp"));
                    }
                }
            }
            Some(_) => return Err(self.scan.invalid("expected timestamp or # symbol")),
        }
        Ok(Entry::Series {
            series: self.series,
            timestamp: self.timestamp,
            value,
        })
    }

    fn at_exemplar(&self) -> bool {
        self.scan.input[self.scan.at..].starts_with(b" # {")
    }

    fn read_exemplar(&mut self) -> Result<(), ParseError> {
        self.scan.at += 4;
        let from = self.scan.at;
        self.scan.label_set(Place::Exemplar, |_| {})?;
        let labels = &self.scan.input[from..self.scan.at];
        let value = self.value("exemplar labels")?;
        let mut timestamp = None;
        match self.scan.peek() {
            Some(b'\n') => self.scan.at += 1,
            None => return Err(self.scan.error("data does not end with # EOF".into())),
            Some(b' ') => {
                let what = "invalid exemplar timestamp";
                timestamp = Some(self.seconds(what, "expected timestamp or comment")?);
                match self.scan.peek() {
                    Some(b'\n') => self.scan.at += 1,
                    None => return Err(self.scan.error("data does not end with # EOF".into())),
                    Some(_) => {
                        let what = "expected next entry after exemplar timestamp";
                        return Err(self.scan.invalid(what));
                    }
                }
            }
            Some(_) => return Err(self.scan.invalid("expected timestamp or comment")),
        }
        self.exemplar = Some(RawExemplar {
            labels,
            value,
            timestamp,
        });
        Ok(())
    }

    /// One blank and what follows it up to the next blank or line break.
    fn word(&mut self) -> Option<&'a [u8]> {
        let scan = &mut self.scan;
        let rest = &scan.input[scan.at..];
        if rest.first() != Some(&b' ') {
            return None;
        }
        let word = &rest[1..];
        let length = word
            .iter()
            .position(|b| matches!(b, b' ' | b'\n'))
            .unwrap_or(word.len());
        if length == 0 {
            return None;
        }
        scan.at += 1 + length;
        Some(&word[..length])
    }

    #[inline]
    fn value(&mut self, after: &str) -> Result<f64, ParseError> {
        match self.word() {
            Some(word) => parse_float(word).map_err(|error| self.scan.about(&error.to_string())),
            None => Err(self.scan.invalid(&format!("expected value after {after}"))),
        }
    }

    /// A timestamp in seconds, given in milliseconds.
    fn seconds(&mut self, invalid: &str, missing: &str) -> Result<i64, ParseError> {
        let Some(word) = self.word() else {
            return Err(self.scan.invalid(missing));
        };
        let seconds = parse_float(word).map_err(|error| self.scan.about(&error.to_string()))?;
        if !seconds.is_finite() {
            let shown = if seconds.is_nan() {
                "NaN"
            } else if seconds > 0.0 {
                "+Inf"
            } else {
                "-Inf"
            };
            return Err(self.scan.error(format!("{invalid} {shown}")));
        }
        Ok((seconds * 1000.0) as i64)
    }

    /// A line that starts with `#`.
    fn comment(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        let scan = &mut self.scan;
        let rest = &scan.input[scan.at..];
        if let Some(after) = rest.strip_prefix(b"# EOF") {
            return match after {
                [] | [b'\n'] => {
                    self.done = true;
                    Ok(None)
                }
                _ => Err(scan.error("unexpected data after # EOF".into())),
            };
        }
        let word = match rest.get(..7) {
            Some(b"# HELP ") => "HELP",
            Some(b"# TYPE ") => "TYPE",
            Some(b"# UNIT ") => "UNIT",
            _ => return Err(scan.invalid("expected a valid start token")),
        };
        scan.at += 7;
        let name_at = scan.at;
        let raw = match scan.peek() {
            Some(b'"') => scan.quoted(),
            _ => scan.metric_name(),
        };
        let Some(name) = raw.and_then(|raw| scan.text(raw)) else {
            scan.at = name_at;
            return Err(scan.invalid(&format!("expected metric name after {word}")));
        };
        let rest = &scan.input[scan.at..];
        let Some(length) = memchr::memchr(b'\n', rest) else {
            return Err(scan.error(format!("expected text in {word}, got INVALID")));
        };
        if rest[0] != b' ' {
            return Err(scan.error(format!("expected text in {word}, got INVALID")));
        }
        let text = &rest[1..length];
        let next = scan.at + length + 1;
        let name = scan::unescape(name);
        let entry = match word {
            "TYPE" => {
                let Some(kind) = openmetrics_type(text) else {
                    return Err(scan.error(format!("invalid metric type {}", quote::go(text))));
                };
                self.kind = kind;
                self.family = name.clone();
                Entry::Type { name, kind }
            }
            "HELP" => {
                let Some(help) = scan.text(text) else {
                    let message =
                        format!("help text {} is not a valid utf8 string", quote::go(text));
                    return Err(scan.error(message));
                };
                Entry::Help {
                    name,
                    help: scan::unescape(help),
                }
            }
            _ => {
                let Some(unit) = scan.text(text) else {
                    let message = format!("unit {} is not a valid utf8 string", quote::go(text));
                    return Err(scan.error(message));
                };
                let fits = name
                    .strip_suffix(unit)
                    .is_some_and(|base| base.ends_with('_'));
                if !unit.is_empty() && !fits {
                    return Err(scan.error(format!(
                        "unit {} not a suffix of metric {}",
                        quote::go(unit),
                        quote::go(&*name)
                    )));
                }
                Entry::Unit { name, unit }
            }
        };
        scan.at = next;
        if let Some(created) = &mut self.created {
            created.family_at = next;
        }
        Ok(Some(entry))
    }

    /// The labels of the last sample, with the metric name, bucket bounds and quantiles in canonical spelling.
    pub fn labels(&self) -> Labels {
        scan::labels_of(self.series, Flavour::OpenMetrics, self.kind)
    }

    /// Every label of the last sample as it stands, the metric name first; empty values and duplicates included.
    pub fn each_label(&self, visit: impl FnMut(Cow<'a, str>, Cow<'a, str>)) {
        scan::each_label(self.series, Flavour::OpenMetrics, self.kind, visit);
    }

    /// As `labels`; the error is the name of a label that the sample has twice, which storage must refuse.
    pub fn distinct_labels(&self) -> Result<Labels, String> {
        scan::distinct_labels_of(self.series, Flavour::OpenMetrics, self.kind)
    }

    /// Whether the last sample has an exemplar.
    #[inline]
    pub fn has_exemplar(&self) -> bool {
        self.exemplar.is_some()
    }

    /// The exemplar of the last sample. Without a time of its own it gets the sample's, if that has one.
    pub fn exemplar(&self) -> Option<Exemplar> {
        let raw = self.exemplar?;
        let mut scan = Scan {
            input: raw.labels,
            at: 0,
            start: 0,
            flavour: Flavour::OpenMetrics,
            utf8: true,
        };
        let mut pairs = Vec::new();
        // The text has been accepted before.
        let _ = scan.label_set(Place::Exemplar, |part| {
            if let Part::Label(name, value) = part {
                pairs.push((
                    String::from_utf8_lossy(name),
                    String::from_utf8_lossy(value),
                ));
            }
        });
        let labels = Labels::from_pairs(
            pairs
                .iter()
                .map(|(name, value)| (scan::unescape(name), scan::unescape(value))),
        );
        Some(Exemplar {
            labels,
            value: raw.value,
            timestamp: raw.timestamp.or(self.timestamp),
        })
    }

    /// The type that the last `# TYPE` line gave.
    pub fn metric_type(&self) -> MetricType {
        self.kind
    }

    /// When the last sample's counter began, in unix milliseconds; only with
    /// [`OpenMetricsParser::with_start_timestamps`].
    pub fn start_timestamp(&mut self) -> Option<i64> {
        let created = self.created.as_ref()?;
        if !matches!(
            self.kind,
            MetricType::Counter | MetricType::Histogram | MetricType::Summary
        ) {
            return None;
        }
        if created.filled_for != Some(created.family_at) {
            let starts = self.read_ahead(created.family_at);
            if let Some(created) = &mut self.created {
                created.starts = starts;
                created.filled_for = Some(created.family_at);
            }
        }
        let created = self.created.as_ref()?;
        if created.starts.is_empty() {
            return None;
        }
        created.starts.get(&self.identity(self.series)).copied()
    }

    /// All `_created` samples of the family whose samples begin at `from`.
    fn read_ahead(&self, from: usize) -> HashMap<Labels, i64> {
        let mut ahead = self.clone();
        ahead.created = None;
        ahead.scan.at = from;
        let mut starts = HashMap::new();
        while let Ok(Some(Entry::Series { series, value, .. })) = ahead.read() {
            if self.created_base(series).is_some() {
                starts.insert(self.identity(series), (value * 1000.0) as i64);
            }
        }
        starts
    }

    /// The family's name, when `series` is its `_created` sample.
    fn created_base(&self, series: &[u8]) -> Option<&str> {
        if !matches!(
            self.kind,
            MetricType::Counter | MetricType::Histogram | MetricType::Summary
        ) {
            return None;
        }
        let tail = b"_created";
        let name = self.family.as_bytes();
        let body = match series.first() {
            Some(b'{') => series.get(2..)?,
            _ => series,
        };
        let after = body.strip_prefix(name)?.strip_prefix(tail)?;
        matches!(after.first(), None | Some(b'{' | b'"')).then_some(&*self.family)
    }

    fn identity(&self, series: &[u8]) -> Labels {
        scan::labels_of(series, Flavour::OpenMetrics, self.kind).without(&[
            METRIC_NAME,
            BUCKET_LABEL,
            QUANTILE_LABEL,
        ])
    }
}

fn openmetrics_type(word: &[u8]) -> Option<MetricType> {
    Some(match word {
        b"counter" => MetricType::Counter,
        b"gauge" => MetricType::Gauge,
        b"histogram" => MetricType::Histogram,
        b"gaugehistogram" => MetricType::GaugeHistogram,
        b"summary" => MetricType::Summary,
        b"info" => MetricType::Info,
        b"stateset" => MetricType::StateSet,
        b"unknown" => MetricType::Unknown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
