//! Which expressions have the same value at every step.

use promql_syntax::Expr;

/// Functions that depend on the step even where their arguments do not.
const STEP_DEPENDENT: [&str; 16] = [
    "days_in_month",
    "day_of_month",
    "day_of_week",
    "day_of_year",
    "hour",
    "minute",
    "month",
    "year",
    "predict_linear",
    "time",
    "timestamp",
    "start_timestamp",
    "start",
    "end",
    "range",
    "step",
];

/// Whether a function's value changes from step to step even over a fixed time.
pub(crate) fn is_step_dependent(function: &str) -> bool {
    STEP_DEPENDENT.contains(&function)
}

/// Whether `expr` has the same value at every step.
pub(super) fn is_invariant(expr: &Expr) -> bool {
    match expr {
        Expr::Number(_) | Expr::String(_) => true,
        Expr::Vector(v) => v.shift.has_at(),
        Expr::Matrix(m) => m.selector.shift.has_at(),
        Expr::Subquery(s) => s.shift.has_at(),
        Expr::Aggregate(a) => is_invariant(&a.expr),
        Expr::Binary(b) => is_invariant(&b.rhs) && is_invariant(&b.lhs),
        Expr::Call(c) => {
            let direct = |e: &Expr| matches!(e.unwrap_parens(), Expr::Vector(_));
            let safe = match c.func.name {
                "timestamp" => c.args.first().is_some_and(direct),
                name => !is_step_dependent(name),
            };
            safe && c.args.iter().all(is_invariant)
        }
        Expr::Paren(p) => is_invariant(&p.expr),
        Expr::Unary(u) => is_invariant(&u.expr),
    }
}
