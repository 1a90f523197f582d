//! What stands behind a selector: `[5m]`, `[1h:5m]`, `offset`, `@`, `anchored`, `smoothed`.

use super::{Parsed, Parser};
use crate::ast::{Edge, Expr, MatrixSelector, Subquery, TimeShift};
use crate::durations::{Computed, seconds_to_ms};
use crate::position::PosRange;
use crate::token::{BinaryOp, Keyword, Kind};

impl Parser<'_> {
    /// Attaches everything that binds tighter than any operator.
    pub(super) fn postfix(&mut self, mut expr: Expr) -> Parsed<Expr> {
        loop {
            let depth = self.depth;
            expr = match self.token.kind {
                Kind::LeftBracket => {
                    let expr = self.brackets(expr)?;
                    self.grown(depth + 1)?;
                    expr
                }
                Kind::Keyword(Keyword::Offset) => self.offset(expr)?,
                Kind::At => self.at_modifier(expr)?,
                Kind::Keyword(word @ (Keyword::Anchored | Keyword::Smoothed)) => {
                    self.extended(expr, word == Keyword::Anchored)?
                }
                _ => return Ok(expr),
            };
            self.depth = self.depth.max(depth);
        }
    }

    fn brackets(&mut self, expr: Expr) -> Parsed<Expr> {
        let open = self.advance()?;
        let range = self.positive_duration(|p| {
            p.unexpected(
                "subquery or range selector",
                "number, duration, step(), or range()",
            )
        })?;
        if self.at(Kind::RightBracket) {
            self.advance()?;
            let message = match &expr {
                Expr::Vector(v) if v.shift.offset_ms != 0 || v.shift.offset_expr.is_some() => {
                    Some("no offset modifiers allowed before range")
                }
                Expr::Vector(v) if v.shift.has_at() => Some("no @ modifiers allowed before range"),
                Expr::Vector(_) => None,
                _ => Some("ranges only allowed for vector selectors"),
            };
            if let Some(message) = message {
                return self.fail(PosRange::new(open.start, self.last_end), message);
            }
            let Expr::Vector(selector) = expr else {
                return self.unexpected_here();
            };
            let (range_ms, range_expr) = range.split();
            return Ok(Expr::Matrix(Box::new(MatrixSelector {
                selector: *selector,
                range_ms,
                range_expr,
                end: self.last_end,
            })));
        }
        if !self.at(Kind::Colon) {
            return self.unexpected("subquery or range", "\":\" or \"]\"");
        }
        self.advance()?;
        let step = if self.at(Kind::RightBracket) {
            Computed::Known(0)
        } else {
            let step = self.positive_duration(|p| {
                p.unexpected(
                    "subquery selector",
                    "number, duration, step(), range(), or \"]\"",
                )
            })?;
            if !self.at(Kind::RightBracket) {
                return self.unexpected("subquery selector", "\"]\"");
            }
            step
        };
        self.advance()?;
        let (range_ms, range_expr) = range.split();
        let (step_ms, step_expr) = step.split();
        Ok(Expr::Subquery(Box::new(Subquery {
            expr,
            range_ms,
            range_expr,
            step_ms,
            step_expr,
            shift: TimeShift::default(),
            end: self.last_end,
        })))
    }

    fn offset(&mut self, mut expr: Expr) -> Parsed<Expr> {
        self.advance()?;
        let offset = self.offset_duration()?;
        let end = self.last_end;
        let pos = expr.pos();
        let Some((shift, shift_end)) = shift_of(&mut expr) else {
            return self.fail(
                pos,
                "offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            );
        };
        if shift.offset_ms != 0 || shift.offset_expr.is_some() {
            return self.fail(pos, "offset may not be set multiple times");
        }
        (shift.offset_ms, shift.offset_expr) = offset.split();
        *shift_end = end;
        Ok(expr)
    }

    fn at_modifier(&mut self, mut expr: Expr) -> Parsed<Expr> {
        self.advance()?;
        enum At {
            Edge(Edge),
            Seconds(f64),
        }
        let at = match self.token.kind {
            Kind::Keyword(word @ (Keyword::Start | Keyword::End)) => {
                self.advance()?;
                if !self.at(Kind::LeftParen) {
                    return self.unexpected("@", "timestamp");
                }
                self.advance()?;
                if !self.at(Kind::RightParen) {
                    return self.unexpected("@", "timestamp");
                }
                self.advance()?;
                At::Edge(if word == Keyword::Start {
                    Edge::Start
                } else {
                    Edge::End
                })
            }
            Kind::Number | Kind::Duration | Kind::Operator(BinaryOp::Add | BinaryOp::Sub) => {
                let negative = self.at(Kind::Operator(BinaryOp::Sub));
                if matches!(self.token.kind, Kind::Operator(_)) {
                    self.advance()?;
                }
                if !matches!(self.token.kind, Kind::Number | Kind::Duration) {
                    return self.unexpected("@", "timestamp");
                }
                let number = self.number_literal()?.value;
                At::Seconds(if negative { -number } else { number })
            }
            _ => return self.unexpected("@", "timestamp"),
        };
        let end = self.last_end;
        let pos = expr.pos();
        let Some((shift, shift_end)) = shift_of(&mut expr) else {
            return self.fail(
                pos,
                "@ modifier must be preceded by an instant vector selector or range vector selector or a subquery",
            );
        };
        if shift.has_at() {
            return self.fail(pos, "@ <timestamp> may not be set multiple times");
        }
        match at {
            At::Edge(edge) => shift.at_edge = Some(edge),
            At::Seconds(seconds) => {
                let ms = seconds * 1000.0;
                // The bounds are those of int64; the upper one itself does not fit.
                if !(ms >= i64::MIN as f64 && ms < i64::MAX as f64) {
                    let shown = if seconds.is_finite() {
                        format!("{seconds:.6}")
                    } else {
                        model::number::format_float(seconds)
                    };
                    return self.fail(
                        pos,
                        format!("timestamp out of bounds for @ modifier: {shown}"),
                    );
                }
                shift.at_ms = Some(seconds_to_ms(seconds));
            }
        }
        *shift_end = end;
        Ok(expr)
    }

    fn extended(&mut self, mut expr: Expr, anchored: bool) -> Parsed<Expr> {
        let word = self.advance()?;
        let name = if anchored { "anchored" } else { "smoothed" };
        let expr_pos = expr.pos();
        let (selector, end) = match &mut expr {
            Expr::Vector(v) => (&mut **v, None),
            Expr::Matrix(m) => {
                let m = &mut **m;
                (&mut m.selector, Some(&mut m.end))
            }
            Expr::Subquery(_) => {
                return self.fail(
                    expr_pos,
                    format!("{name} modifier not supported for subqueries"),
                );
            }
            _ => return self.fail(expr_pos, format!("{name} modifier not implemented")),
        };
        if anchored {
            selector.anchored = true;
        } else {
            selector.smoothed = true;
        }
        let both = selector.anchored && selector.smoothed;
        match end {
            Some(end) => *end = word.end(),
            None => selector.pos.end = word.end(),
        }
        if both {
            return self.fail(
                expr_pos,
                "anchored and smoothed modifiers cannot be used together",
            );
        }
        Ok(expr)
    }
}

/// The part of a selector or subquery that `offset` and `@` change, and its end.
fn shift_of(expr: &mut Expr) -> Option<(&mut TimeShift, &mut usize)> {
    match expr {
        Expr::Vector(v) => {
            let v = &mut **v;
            Some((&mut v.shift, &mut v.pos.end))
        }
        Expr::Matrix(m) => {
            let m = &mut **m;
            Some((&mut m.selector.shift, &mut m.end))
        }
        Expr::Subquery(s) => {
            let s = &mut **s;
            Some((&mut s.shift, &mut s.end))
        }
        _ => None,
    }
}
