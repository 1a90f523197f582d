//! `sum by (a) (x)`, and the label lists of `by`, `on` and their like.

use model::labels::go_quote;

use super::{Parsed, Parser};
use crate::ast::{Aggregate, AggregateOp, Expr};
use crate::position::PosRange;
use crate::token::{BinaryOp, Keyword, Kind, Token};

impl<'a> Parser<'a> {
    /// What follows the aggregation's name; a parenthesis, `by` or `without` is the current word.
    pub(super) fn aggregate(&mut self, name: Token<'a>, op: AggregateOp) -> Parsed<Expr> {
        self.aggregations += 1;
        let mut modifier = self.aggregate_modifier()?;
        let mut args = self.arguments()?;
        let depth = self.depth;
        let mut end = self.last_end;
        self.aggregations -= 1;
        if modifier.is_none() {
            modifier = self.aggregate_modifier()?;
            if modifier.is_some() {
                end = self.last_end;
            }
        }
        let pos = PosRange::new(name.start, end);
        if args.is_empty() {
            return self.fail(pos, "no arguments for aggregate expression provided");
        }
        if op.is_experimental() && !self.options.experimental_functions {
            return self.fail(
                pos,
                format!(
                    "{}() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
                    op.as_str()
                ),
            );
        }
        let wanted = if op.has_param() { 2 } else { 1 };
        if args.len() != wanted {
            return self.fail(
                pos,
                format!(
                    "wrong number of arguments for aggregate expression provided, expected {wanted}, got {}",
                    args.len()
                ),
            );
        }
        let expr = match args.pop() {
            Some(expr) => expr,
            None => return self.fail(pos, "no arguments for aggregate expression provided"),
        };
        let (without, grouping) = modifier.unwrap_or_default();
        self.depth = depth;
        Ok(Expr::Aggregate(Box::new(Aggregate {
            op,
            expr,
            param: args.pop(),
            grouping,
            without,
            pos,
        })))
    }

    fn aggregate_modifier(&mut self) -> Parsed<Option<(bool, Vec<String>)>> {
        let without = match self.token.kind {
            Kind::Keyword(Keyword::By) => false,
            Kind::Keyword(Keyword::Without) => true,
            _ => return Ok(None),
        };
        self.advance()?;
        Ok(Some((without, self.grouping_labels()?)))
    }

    /// `(a, "b c", d)`
    pub(super) fn grouping_labels(&mut self) -> Parsed<Vec<String>> {
        if !self.at(Kind::LeftParen) {
            return self.unexpected("grouping opts", "\"(\"");
        }
        self.advance()?;
        let mut labels = Vec::new();
        while !self.at(Kind::RightParen) {
            labels.push(self.grouping_label()?);
            match self.token.kind {
                Kind::Comma => {
                    self.advance()?;
                }
                Kind::RightParen => {}
                _ => return self.unexpected("grouping opts", "\",\" or \")\""),
            }
        }
        self.advance()?;
        Ok(labels)
    }

    fn grouping_label(&mut self) -> Parsed<String> {
        let token = self.token;
        let allowed = match token.kind {
            Kind::String => {
                self.advance()?;
                let unquoted = self.unquote(token)?;
                if unquoted.text.is_empty() || unquoted.raw.is_some() {
                    return self.fail(
                        PosRange::new(token.start, token.end()),
                        format!(
                            "invalid label name for grouping: {}",
                            go_quote(&unquoted.text)
                        ),
                    );
                }
                return Ok(unquoted.text);
            }
            Kind::Identifier | Kind::MetricIdentifier | Kind::Aggregator(_) => true,
            Kind::Operator(BinaryOp::And | BinaryOp::Or | BinaryOp::Unless | BinaryOp::Atan2) => {
                true
            }
            Kind::Keyword(word) => word != Keyword::Without,
            _ => false,
        };
        if !allowed {
            return self.unexpected("grouping opts", "label");
        }
        self.advance()?;
        Ok(token.text.to_string())
    }
}
