//! What a parser yields, one line at a time, and how it refuses.

use std::borrow::Cow;
use std::fmt;

use model::MetricType;

/// One line of an exposition. Borrows from the body wherever nothing has to be unescaped.
#[derive(Debug, Clone, PartialEq)]
pub enum Entry<'a> {
    /// `# TYPE name kind`.
    Type {
        /// The metric family.
        name: Cow<'a, str>,
        /// Its type.
        kind: MetricType,
    },
    /// `# HELP name text`, unescaped.
    Help {
        /// The metric family.
        name: Cow<'a, str>,
        /// The help text.
        help: Cow<'a, str>,
    },
    /// `# UNIT name unit` (OpenMetrics only).
    Unit {
        /// The metric family.
        name: Cow<'a, str>,
        /// Its unit, possibly empty.
        unit: &'a str,
    },
    /// Any other comment, from the `#` on, without the line break.
    Comment(&'a [u8]),
    /// A sample. Its labels are asked of the parser, and only when `series` is new to the caller.
    Series {
        /// Name and labels exactly as they stand in the body: equal bytes mean the same series.
        series: &'a [u8],
        /// Unix milliseconds, when the line gives one.
        timestamp: Option<i64>,
        /// The value; any NaN has the ordinary NaN's bits.
        value: f64,
    },
}

/// A body that is not what its format says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// The line, counted from 1; 0 for a format without lines.
    pub line: usize,
    /// What was expected and what was found.
    pub message: String,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ParseError {}
