//! Answers of both sides in one shape, and whether they are the same.

use std::collections::BTreeMap;

use serde_json::Value as Json;

pub type Labels = BTreeMap<String, String>;
/// Time (unix ms) to value.
pub type Points = BTreeMap<i64, f64>;

/// What a query gave: series, or the kind of its error with the text.
#[derive(Clone, Debug)]
pub enum Answer {
    Series(BTreeMap<Labels, Points>),
    Error(String, String),
}

/// Out of the body of an answer.
pub fn read(body: &str) -> Answer {
    let json: Json = serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}"));
    let text = |value: &Json| value.as_str().unwrap_or_default().to_string();
    if json["status"] != "success" {
        return Answer::Error(text(&json["errorType"]), text(&json["error"]));
    }
    let result = &json["data"]["result"];
    let mut series = BTreeMap::new();
    if json["data"]["resultType"] == "scalar" {
        series.insert(Labels::new(), Points::from([point(result)]));
    } else {
        for one in result.as_array().into_iter().flatten() {
            let metric = one["metric"].as_object().into_iter().flatten();
            let labels = metric.map(|(n, v)| (n.clone(), text(v))).collect();
            let points = match one["values"].as_array() {
                Some(values) => values.iter().map(point).collect(),
                None => Points::from([point(&one["value"])]),
            };
            series.insert(labels, points);
        }
    }
    Answer::Series(series)
}

fn point(pair: &Json) -> (i64, f64) {
    let time = pair[0].as_f64().expect("a time");
    let value = pair[1].as_str().and_then(|v| v.parse().ok());
    ((time * 1000.0).round() as i64, value.expect("a value"))
}

/// Where additions may come in another order, digits beyond the ninth differ.
fn tolerance(query: &str) -> f64 {
    const SUMS: [&str; 9] = [
        "sum", "avg", "std", "deriv", "predict", "quantile", "rate", "increase", "delta",
    ];
    if query.contains("std") && query.contains("time") {
        // Of numbers around 1.7e9 that differ by a second, squares leave few digits.
        1e-6
    } else if SUMS.iter().any(|word| query.contains(word)) {
        1e-9
    } else {
        1e-12
    }
}

fn close(a: f64, b: f64, tolerance: f64) -> bool {
    // The data has values around 1 to 1e5: what is left of a difference of such is nothing below 1e-9.
    a == b
        || (a.is_nan() && b.is_nan())
        || (a - b).abs()
            <= tolerance
                * a.abs()
                    .max(b.abs())
                    .max(if tolerance > 1e-10 { 1.0 } else { 0.0 })
}

/// Why two answers are not the same.
pub fn difference(query: &str, ours: &Answer, theirs: &Answer) -> Option<String> {
    let (a, b) = match (ours, theirs) {
        (Answer::Error(a, _), Answer::Error(b, _)) if a == b => return None,
        (Answer::Series(a), Answer::Series(b)) => (a, b),
        (Answer::Error(kind, text), _) => {
            return Some(format!("ours fails: {kind}: {text}; {theirs:?}"));
        }
        (_, Answer::Error(kind, text)) => return Some(format!("theirs fails: {kind}: {text}")),
    };
    let tolerance = tolerance(query);
    for (labels, points) in a {
        let Some(others) = b.get(labels) else {
            return Some(format!("only ours has {labels:?}"));
        };
        if !points.keys().eq(others.keys()) {
            return Some(format!(
                "{labels:?} has other times: {points:?} and {others:?}"
            ));
        }
        for ((t, x), y) in points.iter().zip(others.values()) {
            if !close(*x, *y, tolerance) {
                return Some(format!("{labels:?} at {t}: {x:?} and {y:?}"));
            }
        }
    }
    let missing = b.keys().find(|labels| !a.contains_key(*labels))?;
    Some(format!("only theirs has {missing:?}"))
}
