//! Series descriptions of test scripts and rule tests: `metric{a="b"} 1+2x3 _ stale {{schema:0 count:1}}`.

use std::sync::Arc;

use model::Labels;
use model::histogram::{CUSTOM_BUCKETS_SCHEMA, FloatHistogram, ResetHint, Span};
use model::sample::stale_nan;

use crate::numbers::{duration_length, number_length, parse_number};
use crate::parser::{Parser, ParserOptions};
use crate::position::{ParseError, PosRange};
use crate::token::Kind;

/// A description may expand to this many values at most.
const VALUES_MAX: usize = 10_000_000;
/// Buckets a described histogram may have.
const BUCKETS_MAX: usize = 100_000;

/// One value of a series description.
#[derive(Clone, Debug)]
pub enum SeriesValue {
    /// No sample here.
    Omitted,
    /// A number, the stale marker included.
    Float(f64),
    /// A native histogram, and whether its reset hint was written out.
    Histogram(Box<FloatHistogram>, bool),
}

/// A parsed series description.
#[derive(Clone, Debug)]
pub struct SeriesDescription {
    /// The series.
    pub labels: Labels,
    /// Its values in order.
    pub values: Vec<SeriesValue>,
}

/// Parses `metric{a="b"} values...`.
pub fn parse_series(text: &str) -> Result<SeriesDescription, ParseError> {
    let (labels, start) = metric_prefix(text)?;
    let mut values = Values {
        text,
        pos: start,
        out: Vec::new(),
    };
    values.parse()?;
    Ok(SeriesDescription {
        labels,
        values: values.out,
    })
}

/// The metric at the start of a description, and where it ends.
pub fn metric_prefix(text: &str) -> Result<(Labels, usize), ParseError> {
    let options = ParserOptions::all();
    // The metric ends at its closing brace, or without braces at the first space.
    let end = metric_end(text);
    let head = &text[..end];
    let mut parser = Parser::new(head, &options)?;
    let labels = parser.metric()?;
    if parser.current() != Kind::Eof {
        return Err(fail(
            text,
            end.min(text.len()),
            "unexpected text in series description",
        ));
    }
    Ok((labels, end))
}

fn metric_end(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut at = 0;
    let mut quote = None;
    let mut braces = false;
    while let Some(b) = bytes.get(at) {
        match (quote, b) {
            (Some(q), b'\\') if q != b'`' => at += 1,
            (Some(q), b) if *b == q => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'' | b'`') if braces => quote = Some(*b),
            (None, b'{') => braces = true,
            (None, b'}') => return at + 1,
            (None, b' ' | b'\t') if !braces => {
                // Space between the name and its braces is allowed; a value is not a brace, except a histogram's two.
                let rest = text[at..].trim_start();
                if !rest.starts_with('{') || rest.starts_with("{{") {
                    return at;
                }
            }
            (None, _) => {}
        }
        at += 1;
    }
    bytes.len()
}

fn fail(text: &str, at: usize, message: impl Into<String>) -> ParseError {
    ParseError::new(text, PosRange::new(at, text.len()), message)
}

struct Values<'a> {
    text: &'a str,
    pos: usize,
    out: Vec<SeriesValue>,
}

type Parsed<T> = Result<T, ParseError>;

impl Values<'_> {
    fn rest(&self) -> &[u8] {
        self.text.as_bytes().get(self.pos..).unwrap_or(&[])
    }

    fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(fail(self.text, self.pos, message))
    }

    fn unexpected<T>(&self) -> Parsed<T> {
        let word: String = self.text[self.pos..]
            .chars()
            .take_while(|c| !c.is_whitespace())
            .take(10)
            .collect();
        self.fail(format!(
            "unexpected {} in series values",
            model::labels::go_quote(&word)
        ))
    }

    fn skip_space(&mut self) -> bool {
        let spaces = self
            .rest()
            .iter()
            .take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r'))
            .count();
        self.pos += spaces;
        spaces > 0
    }

    fn eat(&mut self, b: u8) -> bool {
        let found = self.rest().first() == Some(&b);
        self.pos += usize::from(found);
        found
    }

    fn parse(&mut self) -> Parsed<()> {
        loop {
            let spaced = self.skip_space();
            if self.rest().is_empty() {
                return Ok(());
            }
            if !spaced {
                return self.unexpected();
            }
            self.item()?;
        }
    }

    fn item(&mut self) -> Parsed<()> {
        if self.eat(b'_') {
            let n = self.times()?.unwrap_or(1);
            return self.repeat(n, |_| Ok(SeriesValue::Omitted));
        }
        if self.rest().starts_with(b"{{") {
            return self.histogram_item();
        }
        if self.rest().starts_with(b"stale") {
            self.pos += 5;
            let n = self.times()?.map_or(1, |n| n + 1);
            return self.repeat(n, |_| Ok(SeriesValue::Float(stale_nan())));
        }
        let first = self.number(true)?;
        let step = match self.rest().first() {
            Some(b'+') => {
                self.pos += 1;
                Some(self.number(false)?)
            }
            Some(b'-') => {
                self.pos += 1;
                Some(-self.number(false)?)
            }
            _ => None,
        };
        match (step, self.times()?) {
            (None, None) => self.repeat(1, |_| Ok(SeriesValue::Float(first))),
            (None, Some(n)) => self.repeat(n + 1, |_| Ok(SeriesValue::Float(first))),
            (Some(step), Some(n)) => {
                // Added up step by step, as upstream does; multiplying would round differently.
                let mut value = first;
                self.repeat(n + 1, |i| {
                    if i > 0 {
                        value += step;
                    }
                    Ok(SeriesValue::Float(value))
                })
            }
            (Some(_), None) => self.unexpected(),
        }
    }

    /// `x10`
    fn times(&mut self) -> Parsed<Option<usize>> {
        if !self.eat(b'x') {
            return Ok(None);
        }
        let digits = self
            .rest()
            .iter()
            .take_while(|b| b.is_ascii_digit())
            .count();
        let number = self.text[self.pos..self.pos + digits].parse::<usize>();
        match number {
            Ok(n) if n < VALUES_MAX => {
                self.pos += digits;
                Ok(Some(n))
            }
            Ok(_) => self.fail(format!("more than {VALUES_MAX} values in a series")),
            Err(_) => self.fail("invalid repetition in series values"),
        }
    }

    fn repeat(
        &mut self,
        n: usize,
        mut value: impl FnMut(usize) -> Parsed<SeriesValue>,
    ) -> Parsed<()> {
        if self.out.len() + n > VALUES_MAX {
            return self.fail(format!("more than {VALUES_MAX} values in a series"));
        }
        for i in 0..n {
            self.out.push(value(i)?);
        }
        Ok(())
    }

    fn number(&mut self, signed: bool) -> Parsed<f64> {
        let mut negative = false;
        if signed {
            negative = self.eat(b'-');
            if !negative {
                self.eat(b'+');
            }
        }
        let rest = self.rest();
        let word = |w: &[u8]| rest.len() >= w.len() && rest[..w.len()].eq_ignore_ascii_case(w);
        let value = if word(b"inf") {
            self.pos += 3;
            f64::INFINITY
        } else if word(b"nan") {
            self.pos += 3;
            f64::NAN
        } else {
            let duration = duration_length(rest);
            let number = number_length(rest, false);
            let text = |len: usize| &self.text[self.pos..self.pos + len];
            if duration > 0 {
                let ms = match model::duration::parse_duration(text(duration)) {
                    Ok(ms) => ms,
                    Err(e) => return self.fail(e.to_string()),
                };
                self.pos += duration;
                ms as f64 / 1000.0
            } else if number > 0 {
                match parse_number(text(number)) {
                    Ok(v) => {
                        self.pos += number;
                        v
                    }
                    Err(message) => return self.fail(message),
                }
            } else {
                return self.unexpected();
            }
        };
        Ok(if negative { -value } else { value })
    }

    fn histogram_item(&mut self) -> Parsed<()> {
        let (first, hinted) = self.histogram()?;
        let sign = match self.rest().first() {
            Some(b'+') => 1.0,
            Some(b'-') => -1.0,
            _ => {
                let n = self.times()?.map_or(1, |n| n + 1);
                return self.repeat(n, |_| {
                    Ok(SeriesValue::Histogram(Box::new(first.clone()), hinted))
                });
            }
        };
        self.pos += 1;
        let at = self.pos;
        let (mut step, _) = self.histogram()?;
        let Some(n) = self.times()? else {
            return self.unexpected();
        };
        if first.schema > step.schema {
            return self.fail(format!(
                "error combining histograms: cannot merge from schema {} to {}",
                step.schema, first.schema
            ));
        }
        step.mul(sign);
        let mut value = first;
        let hint = value.reset_hint;
        let text = self.text;
        self.repeat(n + 1, |i| {
            if i > 0 {
                if let Err(e) = value.add(&step) {
                    return Err(fail(text, at, e.to_string()));
                }
                value.reset_hint = hint;
            }
            Ok(SeriesValue::Histogram(Box::new(value.clone()), hinted))
        })
    }

    /// `{{key:value ...}}`; the flag says whether a reset hint was written.
    fn histogram(&mut self) -> Parsed<(FloatHistogram, bool)> {
        if !self.rest().starts_with(b"{{") {
            return self.unexpected();
        }
        self.pos += 2;
        let mut h = FloatHistogram::default();
        let mut seen: Vec<String> = Vec::new();
        let (mut offset, mut n_offset) = (0, 0);
        loop {
            self.skip_space();
            if self.rest().starts_with(b"}}") {
                self.pos += 2;
                break;
            }
            let len = self
                .rest()
                .iter()
                .take_while(|b| b.is_ascii_alphabetic() || **b == b'_')
                .count();
            let key = self.text[self.pos..self.pos + len].to_string();
            self.pos += len;
            if len == 0 || !self.eat(b':') {
                return self.unexpected();
            }
            if seen.contains(&key) {
                return self.fail(format!(
                    "duplicate key {} in histogram",
                    model::labels::go_quote(&key)
                ));
            }
            match key.as_str() {
                "schema" => h.schema = self.integer()?,
                "sum" => h.sum = self.number(true)?,
                "count" => h.count = self.number(true)?,
                "z_bucket" => h.zero_count = self.number(true)?,
                "z_bucket_w" => h.zero_threshold = self.number(true)?,
                "custom_values" => h.custom_values = Some(Arc::from(self.list()?)),
                "buckets" => h.positive_buckets = self.list()?,
                "n_buckets" => h.negative_buckets = self.list()?,
                "offset" => offset = self.integer()?,
                "n_offset" => n_offset = self.integer()?,
                "counter_reset_hint" => {
                    let len = self
                        .rest()
                        .iter()
                        .take_while(|b| b.is_ascii_alphabetic() || **b == b'_')
                        .count();
                    h.reset_hint = match &self.text[self.pos..self.pos + len] {
                        "unknown" => ResetHint::Unknown,
                        "reset" => ResetHint::CounterReset,
                        "not_reset" => ResetHint::NotCounterReset,
                        "gauge" => ResetHint::Gauge,
                        _ => return self.unexpected(),
                    };
                    self.pos += len;
                }
                _ => {
                    return self.fail(format!(
                        "unknown key {} in histogram",
                        model::labels::go_quote(&key)
                    ));
                }
            }
            seen.push(key);
        }
        let spans = |offset: i32, buckets: &[f64]| {
            if buckets.is_empty() {
                return Vec::new();
            }
            vec![Span {
                offset,
                length: buckets.len() as u32,
            }]
        };
        h.positive_spans = spans(offset, &h.positive_buckets);
        h.negative_spans = spans(n_offset, &h.negative_buckets);
        if h.schema != CUSTOM_BUCKETS_SCHEMA {
            h.custom_values = None;
        }
        let hinted = seen.iter().any(|k| k == "counter_reset_hint");
        Ok((h, hinted))
    }

    fn integer(&mut self) -> Parsed<i32> {
        let value = self.number(true)?;
        if value.fract() != 0.0 || value.abs() > f64::from(i32::MAX) || value.is_nan() {
            return self.fail("expected a whole number in histogram");
        }
        Ok(value as i32)
    }

    fn list(&mut self) -> Parsed<Vec<f64>> {
        if !self.eat(b'[') {
            return self.unexpected();
        }
        let mut out = Vec::new();
        loop {
            self.skip_space();
            if self.eat(b']') {
                return Ok(out);
            }
            if out.len() >= BUCKETS_MAX {
                return self.fail(format!("more than {BUCKETS_MAX} buckets in a histogram"));
            }
            out.push(self.number(true)?);
        }
    }
}

/// An item of a start timestamp line: milliseconds relative to the sample's own time, `None` for no start time.
pub fn parse_start_times(text: &str) -> Result<Vec<Option<i64>>, ParseError> {
    let mut values = Values {
        text,
        pos: 0,
        out: Vec::new(),
    };
    let mut out = Vec::new();
    loop {
        values.skip_space();
        if values.rest().is_empty() {
            return Ok(out);
        }
        if values.eat(b'_') {
            let n = values.times()?.unwrap_or(1);
            out.resize(out.len() + n, None);
            continue;
        }
        let first = values.number(true)?;
        let step = match values.rest().first() {
            Some(b'+') => {
                values.pos += 1;
                values.number(false)?
            }
            Some(b'-') => {
                values.pos += 1;
                -values.number(false)?
            }
            _ => 0.0,
        };
        let n = values.times()?.map_or(1, |n| n + 1);
        if out.len() + n > VALUES_MAX {
            return values.fail(format!("more than {VALUES_MAX} values in a series"));
        }
        for i in 0..n {
            out.push(Some(((first + step * i as f64) * 1000.0).round() as i64));
        }
    }
}
