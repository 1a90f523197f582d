//! Durations where the language wants one: literals, and arithmetic over `step()` and `range()`.

use super::{Parsed, Parser};
use crate::ast::{DurationExpr, DurationOp};
use crate::durations::{Computed, SECONDS_MAX, seconds_to_ms};
use crate::position::PosRange;
use crate::token::{BinaryOp, Keyword, Kind};

impl Parser<'_> {
    /// A duration expression in brackets; a literal one must be positive.
    pub(super) fn positive_duration(
        &mut self,
        unexpected: impl Fn(&Self) -> Parsed<()>,
    ) -> Parsed<Computed> {
        let expr = match self.duration_expr(0) {
            Ok(expr) => expr,
            // Whatever inner construct gave up, the bracket is what the message is about.
            Err(e) if e.message.starts_with("unexpected ") && !self.at_lex_error(&e) => {
                return match unexpected(self) {
                    Err(e) => Err(e),
                    Ok(()) => Err(e),
                };
            }
            Err(e) => return Err(e),
        };
        if let DurationExpr::Number(n) = &expr
            && n.value <= 0.0
        {
            return self.fail(n.pos, "duration must be greater than 0");
        }
        Ok(computed(expr))
    }

    /// Errors of the lexer point at a word that was never read.
    fn at_lex_error(&self, e: &crate::position::ParseError) -> bool {
        e.pos.start != self.token.start || e.pos.end != self.token.end()
    }

    /// What follows `offset`: arithmetic only in parentheses.
    pub(super) fn offset_duration(&mut self) -> Parsed<Computed> {
        let expr = match self.duration_operand(true) {
            Ok(expr) => expr,
            Err(e) if e.message.starts_with("unexpected ") && !self.at_lex_error(&e) => {
                return self.unexpected("offset", "number, duration, step(), or range()");
            }
            Err(e) => return Err(e),
        };
        Ok(computed(expr))
    }

    fn duration_expr(&mut self, least: u8) -> Parsed<DurationExpr> {
        self.enter()?;
        let mut lhs = self.duration_operand(false)?;
        let mut length = 0;
        while let Kind::Operator(op) = self.token.kind {
            let Some(duration_op) = duration_op(op) else {
                break;
            };
            let precedence = op.precedence();
            if precedence <= least {
                break;
            }
            length += 1;
            self.grown(length)?;
            let sign = self.advance()?;
            let rhs = self.duration_expr(if op == BinaryOp::Pow {
                precedence - 1
            } else {
                precedence
            })?;
            let pos = lhs.pos().merge(rhs.pos());
            let sign = PosRange::new(sign.start, sign.end());
            if let DurationExpr::Number(n) = &rhs
                && n.value == 0.0
            {
                match duration_op {
                    DurationOp::Div => return self.fail(sign, "division by zero"),
                    DurationOp::Mod => return self.fail(sign, "modulo by zero"),
                    _ => {}
                }
            }
            lhs = DurationExpr::Binary {
                op: duration_op,
                lhs: Box::new(lhs),
                rhs: Box::new(rhs),
                wrapped: false,
                pos,
            };
        }
        self.leave();
        Ok(lhs)
    }

    /// A literal, a function, a parenthesis or a sign before one of them. After `offset` a sign takes only what directly
    /// follows it.
    fn duration_operand(&mut self, after_offset: bool) -> Parsed<DurationExpr> {
        let token = self.token;
        match token.kind {
            Kind::Operator(sign @ (BinaryOp::Add | BinaryOp::Sub)) => {
                self.advance()?;
                self.enter()?;
                let expr = if after_offset {
                    self.duration_operand(true)?
                } else {
                    self.duration_expr(BinaryOp::Mul.precedence())?
                };
                self.leave();
                Ok(match expr {
                    DurationExpr::Number(mut n) => {
                        if sign == BinaryOp::Sub {
                            n.value = -n.value;
                        }
                        n.pos.start = token.start;
                        DurationExpr::Number(n)
                    }
                    expr if sign == BinaryOp::Sub => DurationExpr::Negate {
                        expr: Box::new(expr),
                        wrapped: false,
                        start: token.start,
                    },
                    expr => expr,
                })
            }
            Kind::Number | Kind::Duration => {
                let n = self.number_literal()?;
                if n.value.is_nan() || n.value.abs() > SECONDS_MAX {
                    return self.fail(n.pos, "duration out of range");
                }
                Ok(DurationExpr::Number(n))
            }
            Kind::Keyword(word @ (Keyword::Step | Keyword::Range)) => {
                self.advance()?;
                self.expect(Kind::LeftParen)?;
                self.expect(Kind::RightParen)?;
                let pos = PosRange::new(token.start, self.last_end);
                Ok(if word == Keyword::Step {
                    DurationExpr::Step(pos)
                } else {
                    DurationExpr::Range(pos)
                })
            }
            Kind::Keyword(word @ (Keyword::MinOf | Keyword::MaxOf)) => {
                self.advance()?;
                self.expect(Kind::LeftParen)?;
                let lhs = self.duration_expr(0)?;
                self.expect(Kind::Comma)?;
                let rhs = self.duration_expr(0)?;
                self.expect(Kind::RightParen)?;
                Ok(DurationExpr::Binary {
                    op: if word == Keyword::MinOf {
                        DurationOp::MinOf
                    } else {
                        DurationOp::MaxOf
                    },
                    lhs: Box::new(lhs),
                    rhs: Box::new(rhs),
                    wrapped: false,
                    pos: PosRange::new(token.start, self.last_end),
                })
            }
            Kind::LeftParen => {
                self.advance()?;
                let mut expr = self.duration_expr(0)?;
                self.expect(Kind::RightParen)?;
                match &mut expr {
                    DurationExpr::Negate { wrapped, .. } | DurationExpr::Binary { wrapped, .. } => {
                        *wrapped = true;
                    }
                    _ => {}
                }
                Ok(expr)
            }
            _ => self.unexpected_here(),
        }
    }
}

fn duration_op(op: BinaryOp) -> Option<DurationOp> {
    Some(match op {
        BinaryOp::Add => DurationOp::Add,
        BinaryOp::Sub => DurationOp::Sub,
        BinaryOp::Mul => DurationOp::Mul,
        BinaryOp::Div => DurationOp::Div,
        BinaryOp::Mod => DurationOp::Mod,
        BinaryOp::Pow => DurationOp::Pow,
        _ => return None,
    })
}

fn computed(expr: DurationExpr) -> Computed {
    match expr {
        DurationExpr::Number(n) => Computed::Known(seconds_to_ms(n.value)),
        expr => Computed::Later(Box::new(expr)),
    }
}
