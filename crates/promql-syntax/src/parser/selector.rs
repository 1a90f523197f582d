//! `name{a="b"}`: vector selectors, and the metrics of series descriptions.

use model::Labels;
use model::labels::{METRIC_NAME, go_quote};
use model::matcher::{MatchOp, Matcher};

use super::{Parsed, Parser, is_metric_word};
use crate::ast::{Expr, TimeShift, VectorSelector};
use crate::position::PosRange;
use crate::token::{BinaryOp, Kind, Token};

impl<'a> Parser<'a> {
    /// A selector; a metric identifier or an opening brace is the current word.
    pub(super) fn vector_selector(&mut self) -> Parsed<Expr> {
        if self.at(Kind::LeftBrace) {
            let start = self.token.start;
            let matchers = self.label_matchers()?;
            return Ok(self.selector(String::new(), matchers, start));
        }
        let name = self.advance()?;
        self.selector_named(name)
    }

    /// A selector whose name was just consumed.
    pub(super) fn selector_named(&mut self, name: Token<'a>) -> Parsed<Expr> {
        let mut matchers = if self.at(Kind::LeftBrace) {
            self.label_matchers()?
        } else {
            Vec::new()
        };
        matchers.push(Matcher::equal(METRIC_NAME, name.text));
        Ok(self.selector(name.text.to_string(), matchers, name.start))
    }

    fn selector(&self, name: String, matchers: Vec<Matcher>, start: usize) -> Expr {
        Expr::Vector(Box::new(VectorSelector {
            name,
            matchers,
            shift: TimeShift::default(),
            anchored: false,
            smoothed: false,
            allow_empty_matchers: false,
            pos: PosRange::new(start, self.last_end),
        }))
    }

    /// `{a="b", "metric name", "c d"=~"e"}`, the opening brace being the current word.
    pub(super) fn label_matchers(&mut self) -> Parsed<Vec<Matcher>> {
        let open = self.advance()?;
        let mut matchers = Vec::new();
        let mut quoted_name: Option<String> = None;
        while !self.at(Kind::RightBrace) {
            let label = self.token;
            if !matches!(label.kind, Kind::Identifier | Kind::String) {
                return self.unexpected("label matching", "identifier or \"}\"");
            }
            self.advance()?;
            let name = if label.kind == Kind::String {
                self.unquote(label)?.text
            } else {
                label.text.to_string()
            };
            let op = match self.token.kind {
                Kind::Assign => Some(MatchOp::Equal),
                Kind::Operator(BinaryOp::NotEqual) => Some(MatchOp::NotEqual),
                Kind::EqualRegex => Some(MatchOp::Regex),
                Kind::NotRegex => Some(MatchOp::NotRegex),
                _ => None,
            };
            match op {
                Some(op) => {
                    self.advance()?;
                    if !self.at(Kind::String) {
                        return self.unexpected("label matching", "string");
                    }
                    let value = self.advance()?;
                    let text = self.unquote(value)?.text;
                    match Matcher::new(op, name, text) {
                        Ok(matcher) => matchers.push(matcher),
                        Err(e) => {
                            return self
                                .fail(PosRange::new(label.start, value.end()), e.to_string());
                        }
                    }
                }
                None if label.kind == Kind::String => {
                    if let Some(first) = &quoted_name {
                        return self.fail(
                            PosRange::new(open.start, self.last_end),
                            format!(
                                "metric name must not be set twice: {} or {}",
                                go_quote(first),
                                go_quote(&name)
                            ),
                        );
                    }
                    matchers.push(Matcher::equal(METRIC_NAME, name.as_str()));
                    quoted_name = Some(name);
                }
                None => return self.unexpected("label matching", "label matching operator"),
            }
            match self.token.kind {
                Kind::Comma => {
                    self.advance()?;
                }
                Kind::RightBrace => {}
                _ => return self.unexpected("label matching", "\",\" or \"}\""),
            }
        }
        self.advance()?;
        Ok(matchers)
    }

    /// `name{a="b"}` as labels: only equality, as series descriptions write them.
    pub(crate) fn metric(&mut self) -> Parsed<Labels> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        if is_metric_word(self.token.kind) {
            let name = self.advance()?;
            pairs.push((METRIC_NAME.to_string(), name.text.to_string()));
        } else if !self.at(Kind::LeftBrace) {
            return self.unexpected("metric", "");
        }
        if self.at(Kind::LeftBrace) {
            let start = self.token.start;
            for matcher in self.label_matchers()? {
                if matcher.op() != MatchOp::Equal {
                    return self.fail(
                        PosRange::new(start, self.last_end),
                        format!(
                            "unexpected <op:{}> in label set, expected \"=\"",
                            matcher.op().as_str()
                        ),
                    );
                }
                pairs.push((matcher.name().to_string(), matcher.value().to_string()));
            }
        }
        Ok(Labels::from_pairs(
            pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())),
        ))
    }
}
