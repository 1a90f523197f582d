//! Reader of the text format, versions 0.0.4 and 1.0.0.
//!
//! A pull parser over the body's bytes. A sample line costs one pass over its bytes and no allocation; labels are
//! built only when asked for, which a scraper does for series it sees for the first time.

use std::borrow::Cow;

use model::labels::Labels;
use model::{Exemplar, MetricType};

use crate::entry::{Entry, ParseError};
use crate::float::parse_float;
use crate::quote;
use crate::scan::{self, Flavour, Place, Scan};

/// Reads a body in the text format.
#[derive(Debug, Clone)]
pub struct TextParser<'a> {
    scan: Scan<'a>,
    series: &'a [u8],
    kind: MetricType,
    negative_times: bool,
}

impl<'a> TextParser<'a> {
    /// Starts at the body's first byte.
    pub fn new(body: &'a [u8]) -> TextParser<'a> {
        TextParser {
            scan: Scan::new(body, Flavour::Text),
            series: &[],
            kind: MetricType::Unknown,
            negative_times: false,
        }
    }

    /// Takes times before 1970, too: upstream's reader of files does, its scraper does not.
    pub fn with_negative_times(mut self) -> TextParser<'a> {
        self.negative_times = true;
        self
    }

    /// The next entry; `None` at the body's end. After an error nothing sensible follows.
    #[allow(clippy::should_implement_trait)] // fallible, and the labels of the last entry are asked of the parser
    pub fn next(&mut self) -> Result<Option<Entry<'a>>, ParseError> {
        self.next_known(|_| None)
    }

    /// As [`TextParser::next`], for a caller that knows many series texts: `known` is given the rest of the body from
    /// the start of a sample line, and may give the length of a series text there that this parser has accepted
    /// before, closing brace included. Its labels are not read again.
    #[inline]
    pub fn next_known(
        &mut self,
        known: impl FnOnce(&'a [u8]) -> Option<usize>,
    ) -> Result<Option<Entry<'a>>, ParseError> {
        let scan = &mut self.scan;
        loop {
            scan.blanks();
            match scan.peek() {
                Some(b'\n') => scan.at += 1,
                Some(_) => break,
                None => return Ok(None),
            }
        }
        scan.start = scan.at;
        if scan.peek() == Some(b'#') {
            return self.comment().map(Some);
        }
        let rest = &scan.input[scan.at..];
        if let Some(length) = known(rest).filter(|length| *length <= rest.len()) {
            scan.at += length;
            return self.sample().map(Some);
        }
        match scan.peek() {
            Some(b'{') => {
                scan.at += 1;
                scan.label_set(Place::Unnamed, |_| {})?;
                self.sample().map(Some)
            }
            _ => {
                if scan.metric_name().is_none() {
                    return Err(scan.invalid("expected a valid start token"));
                }
                let name_end = scan.at;
                scan.blanks();
                if scan.peek() == Some(b'{') {
                    scan.at += 1;
                    scan.label_set(Place::Named, |_| {})?;
                } else {
                    scan.at = name_end;
                }
                self.sample().map(Some)
            }
        }
    }

    /// The rest of a sample line, after name and labels.
    #[inline]
    fn sample(&mut self) -> Result<Entry<'a>, ParseError> {
        let scan = &mut self.scan;
        self.series = &scan.input[scan.start..scan.at];
        scan.blanks();
        let rest = &scan.input[scan.at..];
        let length = rest
            .iter()
            .position(|b| matches!(b, b' ' | b'\n' | b'\t' | b'{' | 0))
            .unwrap_or(rest.len());
        if length == 0 {
            return Err(scan.invalid("expected value after metric"));
        }
        scan.at += length;
        let value = match parse_float(&rest[..length]) {
            Ok(value) => value,
            Err(error) => return Err(scan.about(&error.to_string())),
        };
        let mut timestamp = None;
        match rest.get(length) {
            Some(b'\n') => scan.at += 1,
            None => {}
            Some(_) => {
                scan.blanks();
                timestamp = self.timestamp()?;
            }
        }
        Ok(Entry::Series {
            series: self.series,
            timestamp,
            value,
        })
    }

    fn timestamp(&mut self) -> Result<Option<i64>, ParseError> {
        let scan = &mut self.scan;
        let from = scan.at;
        match scan.peek() {
            None => return Ok(None),
            Some(b'\n') => {
                scan.at += 1;
                return Ok(None);
            }
            Some(b'-')
                if self.negative_times
                    && scan.input.get(from + 1).is_some_and(u8::is_ascii_digit) =>
            {
                scan.at += 1;
            }
            Some(b'0'..=b'9') => {}
            Some(_) => return Err(scan.invalid("expected timestamp or new record")),
        }
        while let Some(b'0'..=b'9') = scan.peek() {
            scan.at += 1;
        }
        let digits = std::str::from_utf8(&scan.input[from..scan.at]).unwrap_or_default();
        let Ok(timestamp) = digits.parse::<i64>() else {
            let what = format!(
                "strconv.ParseInt: parsing {}: value out of range",
                quote::go(digits)
            );
            return Err(scan.about(&what));
        };
        scan.blanks();
        match scan.peek() {
            None => {}
            Some(b'\n') => scan.at += 1,
            Some(_) => return Err(scan.invalid("expected next entry after timestamp")),
        }
        Ok(Some(timestamp))
    }

    /// A line that starts with `#`.
    fn comment(&mut self) -> Result<Entry<'a>, ParseError> {
        let scan = &mut self.scan;
        let rest = &scan.input[scan.at..];
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let line = &rest[..length];
        let next = (scan.at + length + 1).min(scan.input.len());
        let blank = |b: &u8| matches!(b, b' ' | b'\t');
        let inner = line[1..]
            .iter()
            .position(|b| !blank(b))
            .map_or(line.len(), |i| i + 1);
        let keyword = &line[inner..];
        let is = |word: &[u8]| keyword.starts_with(word) && keyword.get(4).is_some_and(blank);
        let is_type = is(b"TYPE");
        if inner == 1 || !(is_type || is(b"HELP")) {
            scan.at = next;
            return Ok(Entry::Comment(line));
        }
        scan.at += inner + 4;
        scan.blanks();
        let raw = match scan.peek() {
            Some(b'"') => scan.quoted(),
            _ => scan.metric_name(),
        };
        let Some(name) = raw.and_then(|raw| scan.text(raw)) else {
            let word = if is_type { "TYPE" } else { "HELP" };
            return Err(scan.invalid(&format!("expected metric name after {word}")));
        };
        // A quoted name may hold a line break, so the line's end is looked for anew.
        let rest = &scan.input[scan.at..];
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let text = rest[..length].get(1..).unwrap_or_default();
        let next = (scan.at + length + 1).min(scan.input.len());
        let name = scan::unescape(name);
        if is_type {
            let Some(kind) = text_type(text) else {
                return Err(scan.error(format!("invalid metric type {}", quote::go(text))));
            };
            scan.at = next;
            self.kind = kind;
            return Ok(Entry::Type { name, kind });
        }
        let Some(help) = scan.text(text) else {
            let message = format!("help text {} is not a valid utf8 string", quote::go(text));
            return Err(scan.error(message));
        };
        scan.at = next;
        Ok(Entry::Help {
            name,
            help: scan::unescape_with(help, false),
        })
    }

    /// The labels of the last sample, with the metric name, bucket bounds and quantiles in canonical spelling.
    pub fn labels(&self) -> Labels {
        scan::labels_of(self.series, Flavour::Text, self.kind)
    }

    /// Every label of the last sample as it stands, the metric name first; empty values and duplicates included.
    pub fn each_label(&self, visit: impl FnMut(Cow<'a, str>, Cow<'a, str>)) {
        scan::each_label(self.series, Flavour::Text, self.kind, visit);
    }

    /// As `labels`; the error is the name of a label that the sample has twice, which storage must refuse.
    pub fn distinct_labels(&self) -> Result<Labels, String> {
        scan::distinct_labels_of(self.series, Flavour::Text, self.kind)
    }

    /// The format has no exemplars.
    pub fn exemplar(&self) -> Option<Exemplar> {
        None
    }

    /// The line of the last entry, counted from 1.
    pub fn line(&self) -> usize {
        self.scan.error(String::new()).line
    }

    /// The type that the last `# TYPE` line gave.
    pub fn metric_type(&self) -> MetricType {
        self.kind
    }
}

fn text_type(word: &[u8]) -> Option<MetricType> {
    Some(match word {
        b"counter" => MetricType::Counter,
        b"gauge" => MetricType::Gauge,
        b"histogram" => MetricType::Histogram,
        b"summary" => MetricType::Summary,
        b"untyped" => MetricType::Unknown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests;
