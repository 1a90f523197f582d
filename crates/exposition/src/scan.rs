//! The lexical part both text formats share: names, quoted strings, label sets, and errors that quote the line.

use std::borrow::Cow;

use model::MetricType;
use model::labels::{BUCKET_LABEL, Labels, METRIC_NAME, QUANTILE_LABEL};

use crate::entry::ParseError;
use crate::float::{parse_float, push_openmetrics_float};
use crate::quote;

/// Which of the two text formats is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Blanks between tokens are free, commas between labels optional.
    Text,
    /// Exactly what the grammar says.
    OpenMetrics,
}

/// Where a label set stands: only a sample's may hold a quoted metric name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In a sample that has its metric name before the brace.
    Named,
    /// In a sample that must hold its metric name between the braces.
    Unnamed,
    /// In an exemplar.
    Exemplar,
}

/// A piece of a label set, still escaped and without quotes.
pub(crate) enum Part<'a> {
    Name(&'a [u8]),
    Label(&'a [u8], &'a [u8]),
}

const LETTER: u8 = 1;
const DIGIT: u8 = 2;
const COLON: u8 = 4;

/// Character classes of legacy names.
static CLASS: [u8; 256] = {
    let mut table = [0u8; 256];
    let mut i = 0;
    while i < 256 {
        let c = i as u8;
        table[i] = if c.is_ascii_alphabetic() || c == b'_' {
            LETTER
        } else if c.is_ascii_digit() {
            DIGIT
        } else if c == b':' {
            COLON
        } else {
            0
        };
        i += 1;
    }
    table
};

/// A position in a body, with what is needed to report an error there.
#[derive(Debug, Clone)]
pub(crate) struct Scan<'a> {
    pub(crate) input: &'a [u8],
    pub(crate) at: usize,
    /// Start of the entry being read; errors quote from here.
    pub(crate) start: usize,
    pub(crate) flavour: Flavour,
    /// The whole body is UTF-8, so no piece of it needs checking.
    pub(crate) utf8: bool,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(input: &'a [u8], flavour: Flavour) -> Scan<'a> {
        Scan {
            input,
            at: 0,
            start: 0,
            flavour,
            utf8: std::str::from_utf8(input).is_ok(),
        }
    }

    #[inline]
    pub(crate) fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    /// Skips blanks, where the format allows any.
    #[inline]
    pub(crate) fn blanks(&mut self) {
        if self.flavour == Flavour::Text {
            while let Some(b' ' | b'\t') = self.peek() {
                self.at += 1;
            }
        }
    }

    /// Takes a legacy metric name, if one starts here.
    #[inline]
    pub(crate) fn metric_name(&mut self) -> Option<&'a [u8]> {
        self.name(LETTER | COLON)
    }

    #[inline]
    fn label_name(&mut self) -> Option<&'a [u8]> {
        self.name(LETTER)
    }

    #[inline]
    fn name(&mut self, first: u8) -> Option<&'a [u8]> {
        let rest = &self.input[self.at..];
        if CLASS[*rest.first()? as usize] & first == 0 {
            return None;
        }
        let length = rest
            .iter()
            .position(|b| CLASS[*b as usize] & (first | DIGIT) == 0)
            .unwrap_or(rest.len());
        self.at += length;
        Some(&rest[..length])
    }

    /// Takes a quoted string and gives what is between the quotes. On failure nothing is taken.
    #[inline]
    pub(crate) fn quoted(&mut self) -> Option<&'a [u8]> {
        let rest = &self.input[self.at..];
        if rest.first() != Some(&b'"') {
            return None;
        }
        let mut i = 1;
        loop {
            let hit = i + memchr::memchr2(b'"', b'\\', rest.get(i..)?)?;
            if rest[hit] == b'"' {
                self.at += hit + 1;
                return Some(&rest[1..hit]);
            }
            i = hit + 2;
        }
    }

    /// Reads a label set after its opening brace, through its closing one.
    #[inline]
    pub(crate) fn label_set(
        &mut self,
        place: Place,
        mut visit: impl FnMut(Part<'a>),
    ) -> Result<(), ParseError> {
        let mut named = place == Place::Named;
        loop {
            self.blanks();
            let token = self.at;
            let (name, quoted) = match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    break;
                }
                Some(b'"') => match self.quoted() {
                    Some(name) => (name, true),
                    None => return Err(self.unexpected("expected label name")),
                },
                _ => match self.label_name() {
                    Some(name) => (name, false),
                    None => return Err(self.unexpected("expected label name")),
                },
            };
            if quoted && !self.utf8 && std::str::from_utf8(name).is_err() {
                let text = &self.input[token..self.at];
                return Err(self.error(format!("invalid UTF-8 label name: {}", quote::go(text))));
            }
            self.blanks();
            match self.peek() {
                Some(b'=') => self.at += 1,
                Some(b',' | b'}') if quoted && place != Place::Exemplar => {
                    if named {
                        self.at += 1;
                        return Err(self.about("metric name already set"));
                    }
                    named = true;
                    visit(Part::Name(name));
                    if self.peek() == Some(b',') {
                        self.at += 1;
                    }
                    continue;
                }
                _ => return Err(self.unexpected("expected equal")),
            }
            self.blanks();
            let token = self.at;
            let value = match self.quoted() {
                Some(value)
                    if self.flavour == Flavour::Text || memchr::memchr(b'\n', value).is_none() =>
                {
                    value
                }
                _ => {
                    self.at = token;
                    return Err(self.invalid("expected label value"));
                }
            };
            if !self.utf8 && std::str::from_utf8(value).is_err() {
                let text = &self.input[token..self.at];
                return Err(self.error(format!("invalid UTF-8 label value: {}", quote::go(text))));
            }
            visit(Part::Label(name, value));
            self.blanks();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {}
                _ if self.flavour == Flavour::Text => {}
                _ => return Err(self.unexpected("expected comma or brace close")),
            }
        }
        if !named && place == Place::Unnamed {
            return Err(self.about("metric name not set"));
        }
        Ok(())
    }

    /// An error that quotes the entry up to here.
    #[cold]
    pub(crate) fn about(&self, what: &str) -> ParseError {
        let text = &self.input[self.start..self.at];
        self.error(format!("{what} while parsing: {}", quote::go(text)))
    }

    #[cold]
    pub(crate) fn error(&self, message: String) -> ParseError {
        let before = &self.input[..self.start.min(self.input.len())];
        ParseError {
            line: 1 + memchr::memchr_iter(b'\n', before).count(),
            message,
        }
    }

    /// An error about the token of a label set that starts here, which is not the expected one.
    #[cold]
    pub(crate) fn unexpected(&self, expected: &str) -> ParseError {
        let (length, token) = self.token_here();
        self.wrong(expected, length, token)
    }

    /// An error about what starts here, where the only valid token is the expected one.
    #[cold]
    pub(crate) fn invalid(&self, expected: &str) -> ParseError {
        match self.peek() {
            None if self.flavour == Flavour::OpenMetrics => self.wrong(expected, 0, "EOF"),
            // An unclosed quote reaches to the end.
            Some(b'"') => self.wrong(expected, self.input.len() - self.at, "INVALID"),
            _ => self.wrong(expected, 0, "INVALID"),
        }
    }

    fn wrong(&self, expected: &str, length: usize, token: &str) -> ParseError {
        let end = self.at + length + 1;
        let mut shown =
            self.input[self.at.min(self.input.len())..end.min(self.input.len())].to_vec();
        let mut entry = self.input[self.start..end.min(self.input.len())].to_vec();
        if end > self.input.len()
            && self.flavour == Flavour::Text
            && self.input.last() != Some(&b'\n')
        {
            // The text format reads as though a last line break were always there.
            shown.push(b'\n');
            entry.push(b'\n');
        }
        self.error(format!(
            "{expected}, got {} ({}) while parsing: {}",
            quote::go(&shown),
            quote::go(token),
            quote::go(&entry)
        ))
    }

    /// The length and the name of the token that starts here, as people know them from the Go parser's errors.
    fn token_here(&self) -> (usize, &'static str) {
        let mut ahead = self.clone();
        let Some(first) = self.peek() else {
            return match self.flavour {
                Flavour::Text => (0, "INVALID"),
                Flavour::OpenMetrics => (0, "EOF"),
            };
        };
        match first {
            b'=' => (1, "EQUAL"),
            b',' => (1, "COMMA"),
            b'{' => (1, "BRACEOPEN"),
            b'}' => (1, "BRACECLOSE"),
            b'"' => match ahead.quoted() {
                Some(_) => (ahead.at - self.at, "QSTRING"),
                None => (self.input.len() - self.at, "INVALID"),
            },
            _ => match ahead.label_name() {
                Some(name) => (name.len(), "LNAME"),
                None => (0, "INVALID"),
            },
        }
    }

    /// The text in `bytes`, which lies in the body and is not part of what was checked already.
    pub(crate) fn text(&self, bytes: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(bytes).ok()
    }
}

/// Undoes `\"`, `\\` and `\n`; other escapes stand for themselves.
pub(crate) fn unescape(raw: &str) -> Cow<'_, str> {
    if memchr::memchr(b'\\', raw.as_bytes()).is_none() {
        return Cow::Borrowed(raw);
    }
    unescape_with(raw, true)
}

/// As [`unescape`]; help texts of the text format keep `\"`.
pub(crate) fn unescape_with(raw: &str, quotes: bool) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut out = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(slash) = rest.find('\\') {
        out.push_str(&rest[..slash]);
        let after = &rest[slash + 1..];
        let (replaced, used) = match after.as_bytes().first() {
            Some(b'"') if quotes => ("\"", 1),
            Some(b'\\') => ("\\", 1),
            Some(b'n') => ("\n", 1),
            _ => ("\\", 0),
        };
        out.push_str(replaced);
        rest = &after[used..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Calls `visit` with every label of a series text that a parser has accepted: the metric name first, as
/// `__name__`, then the others as they stand, empty values included.
pub(crate) fn each_label<'a>(
    series: &'a [u8],
    flavour: Flavour,
    kind: MetricType,
    mut visit: impl FnMut(Cow<'a, str>, Cow<'a, str>),
) {
    let mut scan = Scan {
        input: series,
        at: 0,
        start: 0,
        flavour,
        utf8: true,
    };
    let name = scan.metric_name();
    if let Some(name) = name {
        visit(Cow::Borrowed(METRIC_NAME), readable(name));
    }
    scan.blanks();
    if scan.peek() != Some(b'{') {
        return;
    }
    scan.at += 1;
    let place = if name.is_some() {
        Place::Named
    } else {
        Place::Unnamed
    };
    // The text has been accepted before, so an error cannot occur; should it, the labels read so far stand.
    let _ = scan.label_set(place, |part| match part {
        Part::Name(name) => visit(Cow::Borrowed(METRIC_NAME), readable(name)),
        Part::Label(name, value) => {
            let name = readable(name);
            let value = readable(value);
            let value = canonical(kind, &name, &value).map_or(value, Cow::Owned);
            visit(name, value);
        }
    });
}

fn readable(raw: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(raw) {
        Ok(text) => unescape(text),
        Err(_) => String::from_utf8_lossy(raw),
    }
}

/// Bucket bounds and quantiles in the one spelling that storage knows, so that `le="1"` and `le="1.0"` are one series.
pub(crate) fn canonical(kind: MetricType, name: &str, value: &str) -> Option<String> {
    let float = match kind {
        // Not those of gauge histograms, which upstream's parsers leave as they are.
        MetricType::Histogram => name == BUCKET_LABEL,
        MetricType::Summary => name == QUANTILE_LABEL,
        _ => false,
    };
    if !float {
        return None;
    }
    let number = parse_float(value.as_bytes()).ok()?;
    let mut out = Vec::with_capacity(16);
    push_openmetrics_float(&mut out, number);
    String::from_utf8(out).ok()
}

/// The labels of an accepted series text.
pub(crate) fn labels_of(series: &[u8], flavour: Flavour, kind: MetricType) -> Labels {
    let mut pairs = Vec::with_capacity(8);
    each_label(series, flavour, kind, |name, value| {
        pairs.push((name, value))
    });
    let mut refs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
    Labels::from_refs(&mut refs)
}

/// As [`labels_of`]; a label name that the text holds twice is the error.
pub(crate) fn distinct_labels_of(
    series: &[u8],
    flavour: Flavour,
    kind: MetricType,
) -> Result<Labels, String> {
    let mut pairs = Vec::with_capacity(8);
    each_label(series, flavour, kind, |name, value| {
        pairs.push((name, value))
    });
    let mut refs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
    let labels = Labels::from_refs(&mut refs);
    // They are sorted by now.
    match refs.windows(2).find(|two| two[0].0 == two[1].0) {
        Some(two) => Err(two[0].0.to_string()),
        None => Ok(labels),
    }
}
