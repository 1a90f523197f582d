//! The script language: commands and what they expect.

use model::Labels;
use promql_syntax::{SeriesValue, metric_prefix, parse_series, parse_start_times};

/// A line that is not what it should be.
#[derive(Debug)]
pub(super) struct ScriptError {
    pub line: usize,
    pub message: String,
}

pub(super) enum Command {
    Clear,
    Load(Load),
    Eval(Box<Eval>),
}

pub(super) struct Load {
    pub with_nhcb: bool,
    pub series: Vec<LoadSeries>,
}

pub(super) struct LoadSeries {
    pub labels: Labels,
    /// Time in ms, start timestamp (0 for none), value.
    pub samples: Vec<(i64, i64, SeriesValue)>,
}

/// A text a message has to be, or a pattern it has to fit.
pub(super) enum Pattern {
    Any,
    Text(String),
    Regex(regex::Regex),
}

impl Pattern {
    pub fn fits(&self, text: &str) -> bool {
        match self {
            Pattern::Any => true,
            Pattern::Text(t) => t == text,
            Pattern::Regex(r) => r.is_match(text),
        }
    }

    pub fn describe(&self) -> String {
        match self {
            Pattern::Any => "anything".to_string(),
            Pattern::Text(t) => format!("message {t:?}"),
            Pattern::Regex(r) => format!("pattern {:?}", r.as_str()),
        }
    }
}

#[derive(Default)]
pub(super) struct Eval {
    pub line: usize,
    pub query: String,
    /// Start, end and step of a range query; of an instant query only the start counts.
    pub start: i64,
    pub end: i64,
    pub step: i64,
    pub is_range: bool,
    pub ordered: bool,
    pub fail: Option<Pattern>,
    pub warn: Vec<Pattern>,
    pub no_warn: bool,
    pub info: Vec<Pattern>,
    pub no_info: bool,
    pub scalar: Option<SeriesValue>,
    pub text: Option<String>,
    /// Times the values of an expected range vector are at.
    pub matrix: Option<(i64, i64, i64)>,
    pub expected: Vec<(Labels, Vec<SeriesValue>)>,
}

type Parsed<T> = Result<T, ScriptError>;

struct Lines<'a> {
    lines: Vec<&'a str>,
    at: usize,
}

/// All commands of a script.
pub(super) fn parse(text: &str) -> Parsed<Vec<Command>> {
    // A comment ends a block as a blank line does.
    let lines = text
        .lines()
        .map(str::trim)
        .map(|l| if l.starts_with('#') { "" } else { l })
        .collect();
    let mut lines = Lines { lines, at: 0 };
    let mut out = Vec::new();
    while let Some(line) = lines.lines.get(lines.at).copied() {
        if line.is_empty() {
            lines.at += 1;
            continue;
        }
        let word = line.split_whitespace().next().unwrap_or("").to_lowercase();
        out.push(if word == "clear" {
            lines.at += 1;
            Command::Clear
        } else if word.starts_with("load") {
            Command::Load(lines.load(line)?)
        } else if word.starts_with("eval") {
            Command::Eval(Box::new(lines.eval(line)?))
        } else {
            return lines.fail(format!("invalid command {line:?}"));
        });
    }
    Ok(out)
}

fn duration(text: &str) -> Option<i64> {
    model::duration::parse_signed_duration(text).ok()
}

impl<'a> Lines<'a> {
    fn fail<T>(&self, message: impl Into<String>) -> Parsed<T> {
        Err(ScriptError {
            line: self.at + 1,
            message: message.into(),
        })
    }

    /// The next line of the current block.
    fn block_line(&mut self) -> Option<&'a str> {
        let line = self.lines.get(self.at).copied().filter(|l| !l.is_empty())?;
        self.at += 1;
        Some(line)
    }

    fn load(&mut self, line: &str) -> Parsed<Load> {
        let mut words = line.split_whitespace();
        let with_nhcb = match words.next() {
            Some("load") => false,
            Some("load_with_nhcb") => true,
            _ => return self.fail("invalid load command"),
        };
        let Some(gap) = words.next().and_then(duration) else {
            return self.fail("invalid step of load command");
        };
        self.at += 1;
        let mut out = Load {
            with_nhcb,
            series: Vec::new(),
        };
        let mut starts: Option<(Labels, Vec<Option<i64>>)> = None;
        while let Some(line) = self.block_line() {
            let parse_error = |e: promql_syntax::ParseError| ScriptError {
                line: self.at,
                message: e.to_string(),
            };
            if let Some((metric, items)) = split_start_line(line) {
                let labels = metric_prefix(metric).map_err(parse_error)?.0;
                starts = Some((labels, parse_start_times(items).map_err(parse_error)?));
                continue;
            }
            let series = parse_series(line).map_err(parse_error)?;
            let own_starts = match starts.take() {
                Some((labels, list)) if labels == series.labels => {
                    if list.len() != series.values.len() {
                        return self.fail("start timestamps and values differ in number");
                    }
                    list
                }
                Some(_) => return self.fail("start timestamps without their series"),
                None => Vec::new(),
            };
            let mut samples = Vec::new();
            for (i, value) in series.values.into_iter().enumerate() {
                if matches!(value, SeriesValue::Omitted) {
                    continue;
                }
                let t = gap * i as i64;
                let start = own_starts.get(i).copied().flatten().map_or(0, |s| t + s);
                samples.push((t, start, value));
            }
            out.series.retain(|s| s.labels != series.labels);
            out.series.push(LoadSeries {
                labels: series.labels,
                samples,
            });
        }
        Ok(out)
    }

    fn eval(&mut self, line: &str) -> Parsed<Eval> {
        let mut eval = Eval {
            line: self.at + 1,
            ..Eval::default()
        };
        let Some((word, rest)) = line.split_once(char::is_whitespace) else {
            return self.fail("invalid evaluation command");
        };
        match word {
            "eval" => {}
            "eval_fail" => eval.fail = Some(Pattern::Any),
            "eval_warn" => eval.warn.push(Pattern::Any),
            "eval_info" => eval.info.push(Pattern::Any),
            "eval_ordered" => eval.ordered = true,
            _ => return self.fail("invalid evaluation command"),
        }
        let mut rest = rest.trim_start();
        let mut word = || {
            let (word, tail) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            rest = tail.trim_start();
            word
        };
        let time = |w: &str| duration(w);
        match word() {
            "instant" => {
                let ("at", Some(at)) = (word(), time(word())) else {
                    return self.fail("invalid evaluation command");
                };
                eval.start = at;
                eval.end = at;
            }
            "range" => {
                let times = (
                    word() == "from",
                    time(word()),
                    word() == "to",
                    time(word()),
                    word() == "step",
                    time(word()),
                );
                let (true, Some(from), true, Some(to), true, Some(step)) = times else {
                    return self.fail("invalid evaluation command");
                };
                (eval.start, eval.end, eval.step) = (from, to, step);
                eval.is_range = true;
            }
            _ => return self.fail("invalid evaluation command"),
        }
        eval.query = rest.to_string();
        self.at += 1;
        self.expectations(&mut eval)?;
        Ok(eval)
    }

    fn expectations(&mut self, eval: &mut Eval) -> Parsed<()> {
        while let Some(line) = self.block_line() {
            if let Some(text) = line.strip_prefix("expected_fail_message") {
                eval.fail = Some(Pattern::Text(text.trim().to_string()));
                continue;
            }
            if let Some(text) = line.strip_prefix("expected_fail_regexp") {
                eval.fail = Some(self.regex(text.trim())?);
                continue;
            }
            if let Some(text) = line.strip_prefix("expect ") {
                self.expect(text.trim(), eval)?;
                continue;
            }
            if let Some(value) = number(line) {
                eval.scalar = Some(SeriesValue::Float(value));
                continue;
            }
            match parse_series(line) {
                Ok(series) => eval.expected.push((series.labels, series.values)),
                Err(e) => {
                    return Err(ScriptError {
                        line: self.at,
                        message: e.to_string(),
                    });
                }
            }
        }
        Ok(())
    }

    fn regex(&self, text: &str) -> Parsed<Pattern> {
        match regex::Regex::new(text) {
            Ok(r) => Ok(Pattern::Regex(r)),
            Err(e) => self.fail(e.to_string()),
        }
    }

    fn expect(&self, text: &str, eval: &mut Eval) -> Parsed<()> {
        if let Some(quoted) = text.strip_prefix("string") {
            let quoted = quoted.trim();
            match promql_syntax::unquote(quoted) {
                Ok(u) => eval.text = Some(u.text),
                Err(e) => return self.fail(e),
            }
            return Ok(());
        }
        if let Some(times) = text.strip_prefix("range vector") {
            let words: Vec<&str> = times.split_whitespace().collect();
            let ["from", from, "to", to, "step", step] = words[..] else {
                return self.fail("invalid range vector definition");
            };
            let (Some(from), Some(to), Some(step)) = (duration(from), duration(to), duration(step))
            else {
                return self.fail("invalid range vector definition");
            };
            eval.matrix = Some((from, to, step));
            return Ok(());
        }
        let (kind, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        let rest = rest.trim();
        // Without a space before the colon: `expect fail msg:text`.
        let pattern = if let Some(message) = rest.strip_prefix("msg:") {
            Pattern::Text(message.trim().to_string())
        } else if let Some(pattern) = rest.strip_prefix("regex:") {
            self.regex(pattern.trim())?
        } else if rest.is_empty() {
            Pattern::Any
        } else {
            return self.fail(format!("invalid expectation {text:?}"));
        };
        match kind {
            "fail" => eval.fail = Some(pattern),
            "warn" => eval.warn.push(pattern),
            "info" => eval.info.push(pattern),
            "no_warn" => eval.no_warn = true,
            "no_info" => eval.no_info = true,
            "ordered" => eval.ordered = true,
            _ => return self.fail(format!("invalid expectation {text:?}")),
        }
        Ok(())
    }
}

/// A line that is nothing but a number.
fn number(line: &str) -> Option<f64> {
    if let Some(ms) = duration(line).filter(|_| !line.bytes().all(|b| b.is_ascii_digit())) {
        return Some(ms as f64 / 1000.0);
    }
    model::number::parse_float(line)
}

/// `metric{...}@st items`
fn split_start_line(line: &str) -> Option<(&str, &str)> {
    let at = line.find("@st")?;
    let items = &line[at + 3..];
    let spaced = items.starts_with(char::is_whitespace);
    (spaced && (line[..at].ends_with('}') || !line[..at].contains(' ')))
        .then(|| (&line[..at], items))
}
