//! `explain=true`: the plan of a query with what each operator did. The layout is described in `docs/explain.md`.

use promql::{Explained, Read};
use serde_json::{Value, json};
use storage::SourceRead;

/// Raised when a member changes its meaning or goes; new ones may come without.
const VERSION: u32 = 1;

/// The explanation as JSON.
pub fn explain_json(query: &str, plan: &Explained) -> Value {
    let sources: Vec<Value> = plan.sources().iter().map(source_json).collect();
    json!({
        "version": VERSION,
        "query": query,
        "plan": operator_json(plan),
        "sources": sources,
    })
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn operator_json(o: &Explained) -> Value {
    let children: Vec<Value> = o.children.iter().map(operator_json).collect();
    let mut out = json!({
        "operator": o.operator,
        "detail": o.detail,
        "steps": o.steps,
        "series": o.series,
        "samples": o.samples,
        "bytes": o.bytes,
        "seconds": seconds(o.nanos),
        "ownSeconds": seconds(o.own_nanos()),
        "hints": o.hints,
        "children": children,
    });
    if o.position != (0, 0) {
        out["position"] = json!({"start": o.position.0, "end": o.position.1});
    }
    if let Some(read) = &o.read {
        out["read"] = read_json(read);
    }
    out
}

fn read_json(read: &Read) -> Value {
    let sources: Vec<Value> = read.sources.iter().map(source_json).collect();
    json!({
        "series": read.series,
        "samples": read.samples,
        "bytes": read.bytes(),
        "sources": sources,
    })
}

fn source_json(source: &SourceRead) -> Value {
    json!({
        "name": source.name,
        "minTime": source.min_time,
        "maxTime": source.max_time,
        "series": source.series,
        "chunks": source.chunks,
        "bytes": source.bytes,
    })
}
