//! Where in the query text something stands, and the error that points there.

use std::fmt;

/// A half-open range of byte offsets in the query text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct PosRange {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl PosRange {
    /// A range from its two ends.
    pub fn new(start: usize, end: usize) -> PosRange {
        PosRange { start, end }
    }

    /// The smallest range that holds both.
    pub fn merge(self, other: PosRange) -> PosRange {
        PosRange {
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }

    /// `line:column` of the start, both 1-based, the column counted in bytes.
    ///
    /// Like upstream: `unknown position` without a query text, `invalid position` beyond its end.
    pub fn describe(self, query: &str) -> String {
        if query.is_empty() {
            return "unknown position".to_string();
        }
        let Some(before) = query.as_bytes().get(..self.start) else {
            return "invalid position".to_string();
        };
        let line = 1 + before.iter().filter(|b| **b == b'\n').count();
        let column = match before.iter().rposition(|b| *b == b'\n') {
            Some(at) => self.start - at,
            None => self.start + 1,
        };
        format!("{line}:{column}")
    }
}

/// A query that does not parse or type check. Displays as `line:col: parse error: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// The offending part of the query.
    pub pos: PosRange,
    /// What is wrong, in upstream's words, without position.
    pub message: String,
    framed: String,
}

impl ParseError {
    pub(crate) fn new(query: &str, pos: PosRange, message: impl Into<String>) -> ParseError {
        let message = message.into();
        let framed = format!("{}: parse error: {}", pos.describe(query), message);
        ParseError {
            pos,
            message,
            framed,
        }
    }

    /// An error whose text carries its own position, as those of duration expressions do.
    pub(crate) fn unframed(pos: PosRange, message: impl Into<String>) -> ParseError {
        let message = message.into();
        ParseError {
            pos,
            framed: message.clone(),
            message,
        }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.framed)
    }
}

impl std::error::Error for ParseError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns() {
        let at = |start, query| PosRange::new(start, start).describe(query);
        assert_eq!(at(0, "a\nb"), "1:1");
        assert_eq!(at(2, "a\nb"), "2:1");
        assert_eq!(at(3, "a\nb"), "2:2");
        assert_eq!(at(9, "a\nb"), "invalid position");
        assert_eq!(at(0, ""), "unknown position");
    }
}
