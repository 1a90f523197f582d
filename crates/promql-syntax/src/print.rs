//! Expressions as canonical text: what errors, rule listings and the query log show.

use std::fmt;

use model::duration::format_duration;
use model::labels::{METRIC_NAME, go_quote, is_valid_label_name_legacy};
use model::number::format_float;

use crate::ast::{
    Aggregate, Binary, Cardinality, DurationExpr, DurationOp, Edge, Expr, MatrixSelector,
    NumberLiteral, Subquery, TimeShift, VectorSelector,
};

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expr::Number(n) => n.fmt(f),
            Expr::String(s) => f.write_str(&quote_string(&s.value, s.raw.as_deref())),
            Expr::Vector(v) => v.fmt(f),
            Expr::Matrix(m) => m.fmt(f),
            Expr::Subquery(s) => write!(f, "{}{}", s.expr, subquery_suffix(s)),
            Expr::Aggregate(a) => {
                f.write_str(&aggregate_head(a))?;
                match &a.param {
                    Some(param) => write!(f, "({param}, {})", a.expr),
                    None => write!(f, "({})", a.expr),
                }
            }
            Expr::Binary(b) => {
                // A chain of a thousand operators leans left: collect it rather than recurse a thousand times.
                let mut chain = vec![&**b];
                while let Expr::Binary(inner) = &chain[chain.len() - 1].lhs {
                    chain.push(inner);
                }
                write!(f, "{}", chain[chain.len() - 1].lhs)?;
                for b in chain.iter().rev() {
                    write!(f, " {} {}", operator_text(b), b.rhs)?;
                }
                Ok(())
            }
            Expr::Call(c) => {
                write!(f, "{}(", c.func.name)?;
                for (i, arg) in c.args.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    arg.fmt(f)?;
                }
                f.write_str(")")
            }
            Expr::Paren(p) => write!(f, "({})", p.expr),
            Expr::Unary(u) => write!(f, "{}{}", if u.negative { '-' } else { '+' }, u.expr),
        }
    }
}

/// Quotes like Go; bytes that are not UTF-8 come out as `\xNN`.
fn quote_string(text: &str, raw: Option<&[u8]>) -> String {
    let Some(raw) = raw else {
        return go_quote(text);
    };
    let mut out = String::from("\"");
    for chunk in raw.utf8_chunks() {
        let quoted = go_quote(chunk.valid());
        out.push_str(&quoted[1..quoted.len() - 1]);
        for b in chunk.invalid() {
            out.push_str(&format!("\\x{b:02x}"));
        }
    }
    out.push('"');
    out
}

impl fmt::Display for NumberLiteral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.duration {
            let ms = (self.value.abs() * 1000.0).round() as i64;
            if self.value < 0.0 {
                f.write_str("-")?;
            }
            return f.write_str(&format_duration(ms));
        }
        f.write_str(&format_float(self.value))
    }
}

impl fmt::Display for VectorSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.bare())?;
        f.write_str(&at_suffix(&self.shift))?;
        f.write_str(self.extension())?;
        f.write_str(&offset_suffix(&self.shift))
    }
}

impl VectorSelector {
    /// Name and matchers only.
    pub(crate) fn bare(&self) -> String {
        let mut matchers: Vec<String> = self
            .matchers
            .iter()
            .filter(|m| self.name.is_empty() || m.name() != METRIC_NAME || m.value() != self.name)
            .map(ToString::to_string)
            .collect();
        matchers.sort();
        if matchers.is_empty() && !self.name.is_empty() {
            return self.name.clone();
        }
        format!("{}{{{}}}", self.name, matchers.join(","))
    }

    fn extension(&self) -> &'static str {
        if self.anchored {
            " anchored"
        } else if self.smoothed {
            " smoothed"
        } else {
            ""
        }
    }
}

impl fmt::Display for MatrixSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}[{}]{}{}{}",
            self.selector.bare(),
            computed(self.range_ms, &self.range_expr),
            self.selector.extension(),
            at_suffix(&self.selector.shift),
            offset_suffix(&self.selector.shift)
        )
    }
}

fn computed(ms: i64, expr: &Option<Box<DurationExpr>>) -> String {
    match expr {
        Some(expr) => expr.to_string(),
        None => format_duration(ms),
    }
}

pub(crate) fn subquery_suffix(s: &Subquery) -> String {
    let step = if s.step_expr.is_some() || s.step_ms != 0 {
        computed(s.step_ms, &s.step_expr)
    } else {
        String::new()
    };
    format!(
        "[{}:{step}]{}{}",
        computed(s.range_ms, &s.range_expr),
        at_suffix(&s.shift),
        offset_suffix(&s.shift)
    )
}

fn at_suffix(shift: &TimeShift) -> String {
    match (shift.at_ms, shift.at_edge) {
        (Some(ms), _) => {
            let sign = if ms < 0 { "-" } else { "" };
            let ms = ms.unsigned_abs();
            format!(" @ {sign}{}.{:03}", ms / 1000, ms % 1000)
        }
        (None, Some(Edge::Start)) => " @ start()".to_string(),
        (None, Some(Edge::End)) => " @ end()".to_string(),
        (None, None) => String::new(),
    }
}

fn offset_suffix(shift: &TimeShift) -> String {
    match &shift.offset_expr {
        Some(expr) => format!(" offset {expr}"),
        None if shift.offset_ms != 0 => format!(" offset {}", format_duration(shift.offset_ms)),
        None => String::new(),
    }
}

fn labels_text(labels: &[String]) -> String {
    let quoted: Vec<String> = labels
        .iter()
        .map(|l| {
            if is_valid_label_name_legacy(l) {
                l.clone()
            } else {
                go_quote(l)
            }
        })
        .collect();
    quoted.join(", ")
}

/// `sum by (a) ` with its trailing space where there is a clause.
pub(crate) fn aggregate_head(a: &Aggregate) -> String {
    let op = a.op.as_str();
    if a.without {
        format!("{op} without ({}) ", labels_text(&a.grouping))
    } else if a.grouping.is_empty() {
        op.to_string()
    } else {
        format!("{op} by ({}) ", labels_text(&a.grouping))
    }
}

/// The operator with `bool` and its matching clauses.
pub(crate) fn operator_text(b: &Binary) -> String {
    let mut out = b.op.as_str().to_string();
    if b.return_bool {
        out.push_str(" bool");
    }
    let Some(m) = &b.matching else {
        return out;
    };
    let side = match m.card {
        Cardinality::ManyToOne => Some("left"),
        Cardinality::OneToMany => Some("right"),
        _ => None,
    };
    if m.on || !m.labels.is_empty() || side.is_some() {
        let word = if m.on { "on" } else { "ignoring" };
        out.push_str(&format!(" {word} ({})", labels_text(&m.labels)));
    }
    if let Some(side) = side {
        out.push_str(&format!(" group_{side} ({})", labels_text(&m.include)));
    }
    match (m.fill_left, m.fill_right) {
        (Some(l), Some(r)) if l.to_bits() == r.to_bits() => {
            out.push_str(&format!(" fill ({})", format_float(l)));
        }
        (l, r) => {
            if let Some(l) = l {
                out.push_str(&format!(" fill_left ({})", format_float(l)));
            }
            if let Some(r) = r {
                out.push_str(&format!(" fill_right ({})", format_float(r)));
            }
        }
    }
    out
}

impl fmt::Display for DurationExpr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DurationExpr::Number(n) => n.fmt(f),
            DurationExpr::Step(_) => f.write_str("step()"),
            DurationExpr::Range(_) => f.write_str("range()"),
            DurationExpr::Negate { expr, wrapped, .. } => {
                if *wrapped {
                    write!(f, "(-{expr})")
                } else {
                    write!(f, "-{expr}")
                }
            }
            DurationExpr::Binary {
                op,
                lhs,
                rhs,
                wrapped,
                ..
            } => match op {
                DurationOp::MinOf | DurationOp::MaxOf => {
                    let text = format!("{}({lhs}, {rhs})", op.as_str());
                    if *wrapped {
                        write!(f, "({text})")
                    } else {
                        f.write_str(&text)
                    }
                }
                _ if *wrapped => write!(f, "({lhs} {} {rhs})", op.as_str()),
                _ => write!(f, "{lhs} {} {rhs}", op.as_str()),
            },
        }
    }
}
