//! `count_values`: how many series have each value.

use hashbrown::HashMap;
use model::labels::go_quote;
use model::number::format_float;
use model::{Labels, LabelsBuilder};

use super::grouping::Grouping;
use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::{Frame, is_absent};
use crate::grid::Grid;
use crate::plan::Aggregate;
use crate::stream::{Ready, Stream, open as open_stream};

pub(super) fn open<'q>(
    aggregate: &'q Aggregate,
    label: &str,
    raw: Option<&[u8]>,
    grid: Grid,
    cx: &'q Cx<'q>,
) -> Res<Box<dyn Stream + 'q>> {
    if label.is_empty() || raw.is_some() {
        let shown = match raw {
            Some(raw) => quote_bytes(raw),
            None => go_quote(label),
        };
        return Err(QueryError::execution(format!("invalid label name {shown}")));
    }
    let mut grouping = if aggregate.without || aggregate.grouping.iter().any(|l| l == label) {
        Grouping::new(aggregate, cx)
    } else {
        let mut names = aggregate.grouping.clone();
        names.push(label.to_string());
        Grouping::new(
            &Aggregate {
                op: aggregate.op,
                input: crate::plan::Node::Number(0.0),
                param: None,
                grouping: names,
                without: false,
                pos: aggregate.pos,
                param_pos: aggregate.param_pos,
                own_pos: aggregate.own_pos,
            },
            cx,
        )
    };
    let mut input = open_stream(&aggregate.input, grid, cx)?;
    let mut out: Vec<Frame> = Vec::new();
    let mut frame = Frame::default();
    while input.next(&mut frame)? {
        cx.check()?;
        // A series' labels with each of its values, and where they count.
        let mut known: HashMap<Value, usize> = HashMap::new();
        for i in 0..grid.n {
            let value = if !is_absent(frame.floats[i]) {
                Value::Float(frame.floats[i].to_bits())
            } else if let Some(h) = frame.hist(i) {
                Value::Text(h.to_string())
            } else {
                continue;
            };
            let at = match known.get(&value) {
                Some(at) => *at,
                None => {
                    let labels = with_value(&frame.labels, label, &value);
                    let at = match grouping.place_labels(&labels, frame.drop_name) {
                        Ok(at) => at,
                        Err((at, labels)) => {
                            cx.budget.take(grid.n, grid.n * 8 + 200)?;
                            let mut group = Frame::default();
                            group.reset(grid.n);
                            group.labels = labels;
                            out.push(group);
                            at
                        }
                    };
                    known.insert(value, at);
                    at
                }
            };
            let group = &mut out[at];
            group.drop_name |= frame.drop_name && cx.options.delayed_name_removal;
            let count = &mut group.floats[i];
            *count = if is_absent(*count) { 1.0 } else { *count + 1.0 };
        }
    }
    Ok(Box::new(Ready::new(out)))
}

#[derive(PartialEq, Eq, Hash)]
enum Value {
    Float(u64),
    Text(String),
}

fn with_value(labels: &Labels, label: &str, value: &Value) -> Labels {
    let text = match value {
        Value::Float(bits) => format_float(f64::from_bits(*bits)),
        Value::Text(text) => text.clone(),
    };
    let mut builder = LabelsBuilder::new(labels);
    builder.set(label.to_string(), text);
    builder.build()
}

/// Quotes like Go; bytes that are not UTF-8 come out as `\xNN`.
fn quote_bytes(raw: &[u8]) -> String {
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
