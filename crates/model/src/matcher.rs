//! Matchers: one condition on one label.

use std::fmt;

use crate::labels::{Labels, go_quote, is_valid_label_name_legacy};
use crate::regex::{FastRegex, RegexError};

/// How a matcher compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MatchOp {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `=~`, fully anchored
    Regex,
    /// `!~`, fully anchored
    NotRegex,
}

impl MatchOp {
    /// The operator as written in PromQL.
    pub fn as_str(self) -> &'static str {
        match self {
            MatchOp::Equal => "=",
            MatchOp::NotEqual => "!=",
            MatchOp::Regex => "=~",
            MatchOp::NotRegex => "!~",
        }
    }

    /// Whether it matches where the opposite does not.
    pub fn is_negative(self) -> bool {
        matches!(self, MatchOp::NotEqual | MatchOp::NotRegex)
    }
}

/// One condition on one label. An absent label compares as `""`.
#[derive(Clone)]
pub struct Matcher {
    op: MatchOp,
    name: Box<str>,
    value: Box<str>,
    regex: Option<FastRegex>,
}

impl Matcher {
    /// Compiles a matcher; only the two regex kinds can fail.
    pub fn new(
        op: MatchOp,
        name: impl Into<Box<str>>,
        value: impl Into<Box<str>>,
    ) -> Result<Matcher, RegexError> {
        let value = value.into();
        let regex = match op {
            MatchOp::Regex | MatchOp::NotRegex => Some(FastRegex::new(&value)?),
            MatchOp::Equal | MatchOp::NotEqual => None,
        };
        Ok(Matcher {
            op,
            name: name.into(),
            value,
            regex,
        })
    }

    /// `name="value"`
    pub fn equal(name: impl Into<Box<str>>, value: impl Into<Box<str>>) -> Matcher {
        Matcher {
            op: MatchOp::Equal,
            name: name.into(),
            value: value.into(),
            regex: None,
        }
    }

    /// Whether a label value (`""` when absent) fulfils the condition.
    pub fn matches(&self, value: &str) -> bool {
        match (&self.op, &self.regex) {
            (MatchOp::Equal, _) => *self.value == *value,
            (MatchOp::NotEqual, _) => *self.value != *value,
            (MatchOp::Regex, Some(regex)) => regex.is_match(value),
            (MatchOp::NotRegex, Some(regex)) => !regex.is_match(value),
            (_, None) => false,
        }
    }

    /// Whether a series without the label fulfils the condition.
    pub fn matches_empty(&self) -> bool {
        self.matches("")
    }

    /// Whether a label set fulfils the condition.
    pub fn matches_labels(&self, labels: &Labels) -> bool {
        self.matches(labels.get(&self.name).unwrap_or(""))
    }

    /// The label's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The value or pattern, as written.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// How it compares.
    pub fn op(&self) -> MatchOp {
        self.op
    }

    /// The compiled pattern of the two regex kinds.
    pub fn regex(&self) -> Option<&FastRegex> {
        self.regex.as_ref()
    }

    /// The matcher that matches exactly where this one does not.
    pub fn inverse(&self) -> Matcher {
        let op = match self.op {
            MatchOp::Equal => MatchOp::NotEqual,
            MatchOp::NotEqual => MatchOp::Equal,
            MatchOp::Regex => MatchOp::NotRegex,
            MatchOp::NotRegex => MatchOp::Regex,
        };
        Matcher { op, ..self.clone() }
    }
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Matcher) -> bool {
        self.op == other.op && self.name == other.name && self.value == other.value
    }
}

impl Eq for Matcher {}

impl std::hash::Hash for Matcher {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.op, &self.name, &self.value).hash(state);
    }
}

/// `a=~"b"`, the name quoted where it is not a legacy name.
impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_valid_label_name_legacy(&self.name) {
            f.write_str(&self.name)?;
        } else {
            f.write_str(&go_quote(&self.name))?;
        }
        write!(f, "{}{}", self.op.as_str(), go_quote(&self.value))
    }
}

impl fmt::Debug for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator() {
        let check = |op, pattern: &str, value: &str| {
            Matcher::new(op, "l", pattern)
                .expect("pattern compiles")
                .matches(value)
        };
        assert!(check(MatchOp::Equal, "a", "a") && !check(MatchOp::Equal, "a", "b"));
        assert!(check(MatchOp::NotEqual, "a", "b") && !check(MatchOp::NotEqual, "a", "a"));
        assert!(check(MatchOp::Regex, "a|b", "b") && !check(MatchOp::Regex, "a|b", "ab"));
        assert!(check(MatchOp::NotRegex, "a|b", "ab") && !check(MatchOp::NotRegex, ".*", ""));
        assert_eq!(
            Matcher::new(MatchOp::Regex, "a b", "x")
                .expect("ok")
                .to_string(),
            "\"a b\"=~\"x\""
        );
    }
}
