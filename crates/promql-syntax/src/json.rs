//! Expressions as JSON: what `/api/v1/parse_query` answers.

use model::matcher::Matcher;
use model::number::format_float;
use serde_json::{Map, Value, json};

use crate::ast::{DurationExpr, Edge, Expr, Matching, TimeShift, VectorSelector};

/// The tree as upstream's JSON.
pub fn to_json(expr: &Expr) -> Value {
    match expr {
        Expr::Number(n) => json!({"type": "numberLiteral", "val": format_float(n.value)}),
        Expr::String(s) => json!({"type": "stringLiteral", "val": s.value}),
        Expr::Vector(v) => Value::Object(selector(v, "vectorSelector")),
        Expr::Matrix(m) => {
            let mut out = selector(&m.selector, "matrixSelector");
            out.insert("range".into(), json!(m.range_ms));
            out.insert("rangeExpr".into(), optional_duration(&m.range_expr));
            Value::Object(out)
        }
        Expr::Subquery(s) => {
            let mut out = Map::new();
            out.insert("type".into(), json!("subquery"));
            out.insert("expr".into(), to_json(&s.expr));
            out.insert("range".into(), json!(s.range_ms));
            out.insert("rangeExpr".into(), optional_duration(&s.range_expr));
            out.insert("step".into(), json!(s.step_ms));
            out.insert("stepExpr".into(), optional_duration(&s.step_expr));
            shift(&mut out, &s.shift);
            Value::Object(out)
        }
        Expr::Aggregate(a) => json!({
            "type": "aggregation",
            "op": a.op.as_str(),
            "expr": to_json(&a.expr),
            "param": a.param.as_ref().map(to_json),
            "grouping": a.grouping,
            "without": a.without,
        }),
        Expr::Binary(b) => json!({
            "type": "binaryExpr",
            "op": b.op.as_str(),
            "lhs": to_json(&b.lhs),
            "rhs": to_json(&b.rhs),
            "matching": b.matching.as_ref().map(matching),
            "bool": b.return_bool,
        }),
        Expr::Call(c) => {
            let types: Vec<&str> = c.func.args.iter().map(|t| t.as_str()).collect();
            json!({
                "type": "call",
                "func": {
                    "name": c.func.name,
                    "argTypes": types,
                    "variadic": c.func.variadic,
                    "returnType": c.func.return_type.as_str(),
                },
                "args": c.args.iter().map(to_json).collect::<Vec<_>>(),
            })
        }
        Expr::Paren(p) => json!({"type": "parenExpr", "expr": to_json(&p.expr)}),
        Expr::Unary(u) => json!({
            "type": "unaryExpr",
            "op": if u.negative { "-" } else { "+" },
            "expr": to_json(&u.expr),
        }),
    }
}

fn selector(v: &VectorSelector, kind: &str) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("type".into(), json!(kind));
    out.insert("name".into(), json!(v.name));
    out.insert(
        "matchers".into(),
        v.matchers.iter().map(matcher).collect::<Vec<_>>().into(),
    );
    out.insert("anchored".into(), json!(v.anchored));
    out.insert("smoothed".into(), json!(v.smoothed));
    shift(&mut out, &v.shift);
    out
}

fn matcher(m: &Matcher) -> Value {
    json!({"name": m.name(), "value": m.value(), "type": m.op().as_str()})
}

fn shift(out: &mut Map<String, Value>, shift: &TimeShift) {
    out.insert("offset".into(), json!(shift.offset_ms));
    out.insert("offsetExpr".into(), optional_duration(&shift.offset_expr));
    out.insert("timestamp".into(), json!(shift.at_ms));
    let edge = shift.at_edge.map(|e| match e {
        Edge::Start => "start",
        Edge::End => "end",
    });
    out.insert("startOrEnd".into(), json!(edge));
}

fn matching(m: &Matching) -> Value {
    json!({
        "card": m.card.as_str(),
        "labels": m.labels,
        "on": m.on,
        "include": m.include,
        "fillValues": {"lhs": m.fill_left, "rhs": m.fill_right},
    })
}

fn optional_duration(expr: &Option<Box<DurationExpr>>) -> Value {
    expr.as_ref().map_or(Value::Null, |e| duration(e))
}

fn duration(expr: &DurationExpr) -> Value {
    let node = |op: &str, lhs: Value, rhs: Value, wrapped: bool| json!({"type": "durationExpr", "op": op, "lhs": lhs, "rhs": rhs, "wrapped": wrapped});
    match expr {
        DurationExpr::Number(n) => {
            json!({"type": "numberLiteral", "val": format_float(n.value), "duration": n.duration})
        }
        DurationExpr::Step(_) => node("step", Value::Null, Value::Null, false),
        DurationExpr::Range(_) => node("range", Value::Null, Value::Null, false),
        DurationExpr::Negate { expr, wrapped, .. } => {
            node("-", Value::Null, duration(expr), *wrapped)
        }
        DurationExpr::Binary {
            op,
            lhs,
            rhs,
            wrapped,
            ..
        } => node(op.as_str(), duration(lhs), duration(rhs), *wrapped),
    }
}
