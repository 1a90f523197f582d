//! What version 2.42 does in another way than later ones, which ours follows. Told by the expression, never by its text.
//!
//! Left-closed windows are not among these: the generator keeps samples off the borders.

use promql_syntax::ast::{AggregateOp, BinaryOp, Call, Expr, VectorSelector};
use promql_syntax::{ParserOptions, parse};

/// The reason why the answers to a query may differ as `why` says, if there is one.
pub fn known(query: &str, why: &str) -> Option<&'static str> {
    let expr = parse(query, &ParserOptions::stable()).ok()?;
    let mut reason = None;
    expr.visit(&mut |e| {
        reason = reason.or(match e {
            Expr::Aggregate(a) => aggregate(a.op, why),
            Expr::Call(call) => function(call, why),
            Expr::Binary(b) if b.op == BinaryOp::Atan2 => {
                Some("atan2: 2.42 keeps the name, and so finds series equal or not")
            }
            Expr::Binary(b)
                if b.op.is_comparison()
                    && !b.return_bool
                    && why.contains("multiple matches for labels") =>
            {
                Some("comparison: 2.42 looks for several matches only among what it keeps")
            }
            _ => None,
        });
    });
    reason
}

/// Whether one side may have had NaN: as a value, or for a series that a comparison left out.
fn may_be_nan(why: &str) -> bool {
    why.contains("NaN") || why.starts_with("only ")
}

fn aggregate(op: AggregateOp, why: &str) -> Option<&'static str> {
    match op {
        AggregateOp::Topk | AggregateOp::Bottomk => {
            Some("topk: of equal values another one is the k-th")
        }
        AggregateOp::Quantile if may_be_nan(why) => {
            Some("quantile: where it is an infinite value itself, 2.42 gives NaN")
        }
        AggregateOp::Stddev | AggregateOp::Stdvar if why.contains("NaN") => {
            Some("stddev: where the first value is infinite or NaN, 2.42 gives 0")
        }
        _ => None,
    }
}

fn function(call: &Call, why: &str) -> Option<&'static str> {
    let argument = call.args.iter().map(Expr::unwrap_parens);
    match call.func.name {
        "quantile_over_time" if may_be_nan(why) => {
            Some("quantile: where it is an infinite value itself, 2.42 gives NaN")
        }
        "stddev_over_time" | "stdvar_over_time" if why.contains("NaN") => {
            Some("stddev: where the first value is infinite or NaN, 2.42 gives 0")
        }
        "predict_linear" if argument.clone().any(is_fixed) => {
            Some("predict_linear: 2.42 predicts from the fixed time of @ at all steps")
        }
        "timestamp" if argument.clone().any(is_fixed_with_offset) => {
            Some("timestamp: upstream forgets the offset beside @")
        }
        "rate" | "increase" if argument.clone().any(may_be_near_zero) => {
            Some("rate: 2.42 limits the way to zero before the way to the border")
        }
        _ => None,
    }
}

fn is_fixed(e: &Expr) -> bool {
    match e {
        Expr::Matrix(m) => m.selector.shift.has_at(),
        Expr::Subquery(s) => s.shift.has_at(),
        _ => false,
    }
}

fn is_fixed_with_offset(e: &Expr) -> bool {
    matches!(e, Expr::Vector(v) if v.shift.has_at() && v.shift.offset_ms != 0)
}

/// Counters that reset to zero, gauges, and whatever a subquery computes.
fn may_be_near_zero(e: &Expr) -> bool {
    let far =
        |v: &VectorSelector| matches!(v.name.as_str(), "req_total" | "lat_bucket" | "lat_sum");
    match e {
        Expr::Matrix(m) => !far(&m.selector),
        _ => true,
    }
}

#[test]
fn reasons_follow_the_expression() {
    let is = |query: &str, why: &str| known(query, why).is_some();
    assert!(is("sum(topk(2, temp))", ""));
    assert!(is("1 + rate(temp[5m])", ""));
    assert!(is("rate((temp)[5m:1m])", ""));
    assert!(!is("rate(req_total[5m]) + temp", ""));
    // Words within other words, strings and labels are no operators.
    assert!(!is("req_total{a=\"topk\", b=\"atan2\"}", ""));
    assert!(!is(
        "label_replace(temp, \"stddev\", \"NaN\", \"a\", \"predict_linear @\")",
        "NaN"
    ));
    assert!(!is("predict_linear(temp[5m], 60) + (temp @ 100)", ""));
    assert!(is("predict_linear(temp[5m] @ 100, 60)", ""));
    let several = "multiple matches for labels: many-to-one matching must be explicit";
    assert!(is("temp > on (a) odd", several));
    assert!(!is("temp > on (a) odd", ""));
    assert!(!is("temp > bool on (a) odd", several));
    assert!(!is("temp + on (a) odd", several));
}
