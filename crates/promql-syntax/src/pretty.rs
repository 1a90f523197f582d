//! Expressions over several lines, for people: what `format_query` and `promtool promql format` give.

use crate::ast::Expr;
use crate::print::{aggregate_head, operator_text, subquery_suffix};

/// What fits on one line stays there.
const LINE_MAX: usize = 100;

/// The expression, split and indented where it is longer than a line.
pub fn pretty(expr: &Expr) -> String {
    let mut out = String::new();
    write(&mut out, expr, 0);
    out
}

fn indent(out: &mut String, level: usize) {
    for _ in 0..level {
        out.push_str("  ");
    }
}

/// Writes `expr` with its indentation, without a final line break.
fn write(out: &mut String, expr: &Expr, level: usize) {
    let text = expr.to_string();
    if text.len() <= LINE_MAX {
        indent(out, level);
        out.push_str(&text);
        return;
    }
    match expr {
        Expr::Number(_) | Expr::String(_) | Expr::Vector(_) | Expr::Matrix(_) => {
            indent(out, level);
            out.push_str(&text);
        }
        Expr::Subquery(s) => {
            write(out, &s.expr, level);
            out.push_str(&subquery_suffix(s));
        }
        Expr::Aggregate(a) => {
            indent(out, level);
            out.push_str(&aggregate_head(a));
            out.push_str("(\n");
            if let Some(param) = &a.param {
                write(out, param, level + 1);
                out.push_str(",\n");
            }
            write(out, &a.expr, level + 1);
            out.push('\n');
            indent(out, level);
            out.push(')');
        }
        Expr::Binary(b) => {
            write(out, &b.lhs, level + 1);
            out.push('\n');
            indent(out, level);
            out.push_str(&operator_text(b));
            out.push('\n');
            write(out, &b.rhs, level + 1);
        }
        Expr::Call(c) => {
            indent(out, level);
            out.push_str(c.func.name);
            out.push_str("(\n");
            for (i, arg) in c.args.iter().enumerate() {
                if i > 0 {
                    out.push_str(",\n");
                }
                write(out, arg, level + 1);
            }
            out.push('\n');
            indent(out, level);
            out.push(')');
        }
        Expr::Paren(p) => {
            indent(out, level);
            out.push_str("(\n");
            write(out, &p.expr, level + 1);
            out.push('\n');
            indent(out, level);
            out.push(')');
        }
        Expr::Unary(u) => {
            indent(out, level);
            out.push(if u.negative { '-' } else { '+' });
            let mut child = String::new();
            write(&mut child, &u.expr, level);
            out.push_str(child.trim());
        }
    }
}
