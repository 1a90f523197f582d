//! `promtool query explain`: how a server evaluates a query, as a tree.

use std::fmt::Write as _;

use flags::{Command, Flag, Takes};
use serde_json::Value;

use super::Outcome;

/// Its flags: those of `range`, and `--time` for queries at one instant.
pub const EXPLAIN: Command = Command {
    path: "query explain",
    about: "Run a query and tell how it was evaluated. With --start a range query, else an instant query.",
    flags: &[
        Flag::value(
            "time",
            "",
            "Query evaluation time (RFC3339 or Unix timestamp).",
        ),
        Flag::list("header", "", "Extra headers to send to server.").takes(Takes::Pair),
        Flag::value("start", "", "Start time (RFC3339 or Unix timestamp)."),
        Flag::value("end", "", "End time (RFC3339 or Unix timestamp)."),
        Flag::value("step", "", "Query step size (duration)."),
        Flag::word("server", "Prometheus server to query."),
        Flag::word("expr", "PromQL query expression."),
    ],
};

/// Prints the plan of an answer.
pub fn print(data: &Value, as_json: bool) -> Outcome {
    let explain = &data["explain"];
    if !explain.is_object() {
        return Outcome::failed("query error: the server does not explain queries\n".into());
    }
    Outcome::printed(match as_json {
        true => format!("{explain}\n"),
        false => text(explain),
    })
}

fn text(explain: &Value) -> String {
    let mut out = String::new();
    operator(&mut out, &explain["plan"], "", "");
    let sources = explain["sources"].as_array();
    for source in sources.into_iter().flatten() {
        let _ = writeln!(
            out,
            "read {}: {} series, {} chunks, {}",
            source["name"].as_str().unwrap_or_default(),
            source["series"],
            source["chunks"],
            bytes(&source["bytes"]),
        );
    }
    out
}

/// One operator and all below it; `first` stands before its own line, `rest` before those that follow.
fn operator(out: &mut String, plan: &Value, first: &str, rest: &str) {
    let word = |name: &str| plan[name].as_str().unwrap_or_default();
    let _ = writeln!(
        out,
        "{first}{} {}  ({} series, {} samples, {}, {:.1} ms, own {:.1} ms)",
        word("operator"),
        word("detail"),
        plan["series"],
        plan["samples"],
        bytes(&plan["bytes"]),
        plan["seconds"].as_f64().unwrap_or(0.0) * 1000.0,
        plan["ownSeconds"].as_f64().unwrap_or(0.0) * 1000.0,
    );
    if plan["read"].is_object() {
        let read = &plan["read"];
        let _ = writeln!(
            out,
            "{rest}  read {} series, {} samples, {} compressed",
            read["series"],
            read["samples"],
            bytes(&read["bytes"]),
        );
    }
    let hints = plan["hints"].as_array().into_iter().flatten();
    for hint in hints.filter_map(Value::as_str) {
        let _ = writeln!(out, "{rest}  hint: {hint}");
    }
    let children = plan["children"].as_array().map_or(&[][..], Vec::as_slice);
    for (i, child) in children.iter().enumerate() {
        let (branch, below) = match i + 1 == children.len() {
            true => ("└─ ", "   "),
            false => ("├─ ", "│  "),
        };
        operator(
            out,
            child,
            &format!("{rest}{branch}"),
            &format!("{rest}{below}"),
        );
    }
}

fn bytes(n: &Value) -> String {
    let n = n.as_f64().unwrap_or(0.0);
    match n {
        n if n < 10_240.0 => format!("{n} B"),
        n if n < 10_485_760.0 => format!("{:.0} KiB", n / 1024.0),
        n => format!("{:.0} MiB", n / 1_048_576.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_tree() {
        let leaf = json!({
            "operator": "window", "detail": "{__name__=\"x\"}[5m]", "steps": 3, "series": 2, "samples": 40,
            "bytes": 640, "seconds": 0.0, "ownSeconds": 0.0, "hints": ["a hint"], "children": [],
            "read": {"series": 2, "samples": 40, "bytes": 90, "sources": []},
        });
        let root = json!({
            "operator": "function", "detail": "rate", "steps": 3, "series": 2, "samples": 6, "bytes": 20480,
            "seconds": 0.0125, "ownSeconds": 0.0125, "hints": [], "children": [leaf.clone(), leaf],
        });
        let data = json!({"explain": {"version": 1, "query": "rate(x[5m])", "plan": root, "sources": [
            {"name": "head", "minTime": 0, "maxTime": 9, "series": 2, "chunks": 3, "bytes": 90},
        ]}});
        let outcome = print(&data, false);
        assert_eq!(
            outcome.out,
            "function rate  (2 series, 6 samples, 20 KiB, 12.5 ms, own 12.5 ms)\n\
             ├─ window {__name__=\"x\"}[5m]  (2 series, 40 samples, 640 B, 0.0 ms, own 0.0 ms)\n\
             │    read 2 series, 40 samples, 90 B compressed\n\
             │    hint: a hint\n\
             └─ window {__name__=\"x\"}[5m]  (2 series, 40 samples, 640 B, 0.0 ms, own 0.0 ms)\n   \
               \x20 read 2 series, 40 samples, 90 B compressed\n   \
               \x20 hint: a hint\n\
             read head: 2 series, 3 chunks, 90 B\n"
        );
        let refused = print(&json!({"resultType": "vector", "result": []}), false);
        assert!(refused.err.contains("does not explain"), "{}", refused.err);
    }
}
