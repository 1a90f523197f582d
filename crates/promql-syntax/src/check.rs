//! The type checker, with upstream's messages.

use model::labels::{METRIC_NAME, go_quote};

use crate::ast::{AggregateOp, Binary, Call, Cardinality, Expr, ValueType, VectorSelector};
use crate::position::{ParseError, PosRange};

/// Checks types from the leaves up and completes what depends on them (set operators match many to many; operators with a
/// scalar side match nothing).
pub(crate) fn check(query: &str, expr: &mut Expr) -> Result<(), ParseError> {
    Checker { query }.check(expr).map(|_| ())
}

struct Checker<'a> {
    query: &'a str,
}

type Checked = Result<ValueType, ParseError>;

impl Checker<'_> {
    fn fail<T>(&self, pos: PosRange, message: impl Into<String>) -> Result<T, ParseError> {
        Err(ParseError::new(self.query, pos, message))
    }

    fn expect(&self, expr: &mut Expr, want: ValueType, context: &str) -> Result<(), ParseError> {
        let got = self.check(expr)?;
        if got != want {
            return self.fail(
                expr.pos(),
                format!(
                    "expected type {} in {context}, got {}",
                    want.documented(),
                    got.documented()
                ),
            );
        }
        Ok(())
    }

    fn check(&self, expr: &mut Expr) -> Checked {
        let pos = expr.pos();
        match expr {
            Expr::Number(_) => Ok(ValueType::Scalar),
            Expr::String(_) => Ok(ValueType::String),
            Expr::Vector(v) => {
                self.selector(v)?;
                Ok(ValueType::Vector)
            }
            Expr::Matrix(m) => {
                self.selector(&m.selector)?;
                Ok(ValueType::Matrix)
            }
            Expr::Subquery(s) => {
                let got = self.check(&mut s.expr)?;
                if got != ValueType::Vector {
                    return self.fail(
                        pos,
                        format!(
                            "subquery is only allowed on instant vector, got {} instead",
                            got.as_str()
                        ),
                    );
                }
                Ok(ValueType::Matrix)
            }
            Expr::Aggregate(a) => {
                self.expect(&mut a.expr, ValueType::Vector, "aggregation expression")?;
                if let Some(param) = &mut a.param {
                    let want = if a.op == AggregateOp::CountValues {
                        ValueType::String
                    } else {
                        ValueType::Scalar
                    };
                    self.expect(param, want, "aggregation parameter")?;
                }
                Ok(ValueType::Vector)
            }
            Expr::Binary(b) => self.binary(b, pos),
            Expr::Call(c) => self.call(c),
            Expr::Paren(p) => self.check(&mut p.expr),
            Expr::Unary(u) => {
                let got = self.check(&mut u.expr)?;
                if !matches!(got, ValueType::Scalar | ValueType::Vector) {
                    return self.fail(
                        pos,
                        format!(
                            "unary expression only allowed on expressions of type scalar or instant vector, got {}",
                            go_quote(got.documented())
                        ),
                    );
                }
                Ok(got)
            }
        }
    }

    fn binary(&self, b: &mut Binary, pos: PosRange) -> Checked {
        let left = self.check(&mut b.lhs)?;
        let right = self.check(&mut b.rhs)?;
        let op_pos = self.between(b.lhs.pos().end, b.rhs.pos().start);
        if b.return_bool && !b.op.is_comparison() {
            return self.fail(
                op_pos,
                "bool modifier can only be used on comparison operators",
            );
        }
        let scalars = left == ValueType::Scalar && right == ValueType::Scalar;
        if b.op.is_comparison() && !b.return_bool && scalars {
            return self.fail(op_pos, "comparisons between scalars must use BOOL modifier");
        }
        if let Some(matching) = &mut b.matching {
            if b.op.is_set() && matching.card == Cardinality::OneToOne {
                matching.card = Cardinality::ManyToMany;
            }
            if matching.on
                && let Some(twice) = matching
                    .labels
                    .iter()
                    .find(|l| matching.include.contains(l))
            {
                return self.fail(
                    op_pos,
                    format!(
                        "label {} must not occur in ON and GROUP clause at once",
                        go_quote(twice)
                    ),
                );
            }
        }
        for (got, side) in [(left, &b.lhs), (right, &b.rhs)] {
            if !matches!(got, ValueType::Scalar | ValueType::Vector) {
                return self.fail(
                    side.pos(),
                    "binary expression must contain only scalar and instant vector types",
                );
            }
        }
        let vectors = left == ValueType::Vector && right == ValueType::Vector;
        if let Some(matching) = &b.matching {
            let filled = matching.fill_left.is_some() || matching.fill_right.is_some();
            if !vectors {
                if !matching.labels.is_empty() {
                    return self.fail(pos, "vector matching only allowed between instant vectors");
                }
                if filled {
                    return self.fail(
                        pos,
                        "filling in missing series only allowed between instant vectors",
                    );
                }
                b.matching = None;
            } else if b.op.is_set() {
                if matching.card != Cardinality::ManyToMany {
                    return self.fail(
                        pos,
                        format!(
                            "no grouping allowed for {} operation",
                            go_quote(b.op.as_str())
                        ),
                    );
                }
                if filled {
                    return self.fail(
                        pos,
                        "filling in missing series not allowed for set operators",
                    );
                }
            }
        }
        if !vectors && b.op.is_set() {
            return self.fail(
                pos,
                format!(
                    "set operator {} not allowed in binary scalar expression",
                    go_quote(b.op.as_str())
                ),
            );
        }
        Ok(if scalars {
            ValueType::Scalar
        } else {
            ValueType::Vector
        })
    }

    /// The operator with its modifiers: what stands between the operands, without the space around it.
    fn between(&self, start: usize, end: usize) -> PosRange {
        let Some(text) = self.query.get(start..end) else {
            return PosRange::new(start, end);
        };
        let from = start + (text.len() - text.trim_start().len());
        // Upstream's range ends at the last byte, not behind it.
        let last = (start + text.trim_end().len()).saturating_sub(1);
        PosRange::new(from, last.max(from))
    }

    fn call(&self, c: &mut Call) -> Checked {
        let func = c.func;
        let (listed, given) = (func.args.len(), c.args.len());
        let count = |words: &str, n: usize| {
            self.fail(
                c.pos,
                format!(
                    "expected {words}{n} argument(s) in call to {}, got {given}",
                    go_quote(func.name)
                ),
            )
        };
        if func.variadic == 0 {
            if listed != given {
                return count("", listed);
            }
        } else {
            let least = listed - 1;
            let most = least + func.variadic.max(0) as usize;
            if given < least {
                return count("at least ", least);
            }
            if func.variadic > 0 && given > most {
                return count("at most ", most);
            }
        }
        let context = format!("call to function {}", go_quote(func.name));
        if func.name == "info"
            && let Some(selector) = c.args.get_mut(1)
        {
            let (got, pos) = (selector.value_type(), selector.pos());
            if got != ValueType::Vector {
                return self.fail(
                    pos,
                    format!(
                        "expected type {} in {context}, got {}",
                        ValueType::Vector.documented(),
                        got.documented()
                    ),
                );
            }
            match selector {
                Expr::Vector(v) if v.name.is_empty() => v.allow_empty_matchers = true,
                Expr::Vector(_) => {
                    return self.fail(
                        pos,
                        "expected label selectors only, got vector selector instead",
                    );
                }
                _ => return self.fail(pos, "expected label selectors only"),
            }
        }
        for (i, arg) in c.args.iter_mut().enumerate() {
            if let Some(want) = func.args.get(i).or(func.args.last()) {
                self.expect(arg, *want, &context)?;
            }
        }
        Ok(func.return_type)
    }

    fn selector(&self, v: &VectorSelector) -> Result<(), ParseError> {
        if !v.name.is_empty() {
            let others = &v.matchers[..v.matchers.len().saturating_sub(1)];
            if let Some(second) = others.iter().find(|m| m.name() == METRIC_NAME) {
                return self.fail(
                    v.pos,
                    format!(
                        "metric name must not be set twice: {} or {}",
                        go_quote(&v.name),
                        go_quote(second.value())
                    ),
                );
            }
            return Ok(());
        }
        if v.allow_empty_matchers || v.matchers.iter().any(|m| !m.matches_empty()) {
            return Ok(());
        }
        self.fail(
            v.pos,
            "vector selector must contain at least one non-empty matcher",
        )
    }
}
