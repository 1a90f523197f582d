//! `info`: labels of info metrics added to the series they belong to.

use hashbrown::HashMap;
use model::labels::METRIC_NAME;
use model::matcher::{MatchOp, Matcher};
use model::{Labels, LabelsBuilder};
use storage::SelectHints;

use crate::block::Block;
use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::{Frame, is_absent};
use crate::grid::Grid;
use crate::guard::Guard;
use crate::merge::merged;
use crate::plan::{Call, Node, Source};
use crate::samples::{Columns, Wanted};
use crate::select::{Give, Latest, latest};
use crate::stream::{Ready, Stream};

/// Labels that tell which info series belongs to a series.
const IDENTIFYING: [&str; 2] = ["instance", "job"];

/// An info series: when each step's sample was taken, in ms.
struct Info {
    labels: Labels,
    times: Vec<f64>,
}

fn matcher(op: MatchOp, name: &str, value: &str) -> Res<Matcher> {
    Matcher::new(op, name, value).map_err(|e| QueryError::execution(e.to_string()))
}

/// The conditions on the name of info metrics that the selector's own conditions amount to.
fn name_matchers(given: &[Matcher]) -> Res<Vec<Matcher>> {
    if given
        .iter()
        .any(|m| matches!(m.op(), MatchOp::Equal | MatchOp::Regex))
    {
        return Ok(given.to_vec());
    }
    if given.is_empty() {
        return Ok(vec![Matcher::equal(METRIC_NAME, "target_info")]);
    }
    let mut all = vec![matcher(MatchOp::Regex, METRIC_NAME, ".+_info")?];
    all.extend_from_slice(given);
    Ok(all)
}

/// `@` and offset of the first selector, subqueries around it included.
fn first_shift(node: &Node, cx: &Cx<'_>) -> Option<(Option<i64>, i64)> {
    match node {
        Node::Select(s) => Some((s.at, s.offset)),
        Node::Window(w) => {
            let (at, offset) = match &w.source {
                Source::Series(s) => (s.at, s.offset),
                Source::Subquery(inner, _) => {
                    let (at, offset) = first_shift(inner, cx)?;
                    match at {
                        Some(_) => (at, offset),
                        None => (w.at, offset + w.offset),
                    }
                }
            };
            Some((at, offset))
        }
        Node::Call(c) => c.args.iter().find_map(|a| first_shift(&a.node, cx)),
        Node::Aggregate(a) => a
            .param
            .as_ref()
            .and_then(|p| first_shift(p, cx))
            .or_else(|| first_shift(&a.input, cx)),
        Node::Binary(b) => first_shift(&b.lhs, cx).or_else(|| first_shift(&b.rhs, cx)),
        Node::Negate(n) | Node::Invariant(n, _) => first_shift(n, cx),
        Node::Shared(slot) => first_shift(&cx.plan.shared[*slot].node, cx),
        Node::Number(_) | Node::Text(..) => None,
    }
}

fn quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if r"\.+*?()|[]{}^$".contains(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

pub(super) fn open<'q>(call: &'q Call, grid: Grid, cx: &'q Cx<'q>) -> Res<Box<dyn Stream + 'q>> {
    let base_node = &call.args[0].node;
    let base = Block::collect(&mut *merged(base_node, grid, cx)?, cx)?;
    let selector: &[Matcher] = match call.args.get(1).map(|a| &a.node) {
        Some(Node::Select(s)) => &s.matchers,
        _ => &[],
    };
    let (names, data): (Vec<Matcher>, Vec<Matcher>) = selector
        .iter()
        .cloned()
        .partition(|m| m.name() == METRIC_NAME);
    let names = name_matchers(&names)?;
    let passed: Vec<bool> = base
        .series
        .iter()
        .map(|s| names.iter().all(|m| m.matches(s.labels.metric_name())))
        .collect();
    let mut matchers = Vec::new();
    for label in IDENTIFYING {
        let mut values: Vec<&str> = base
            .series
            .iter()
            .zip(&passed)
            .filter(|(_, passed)| !**passed)
            .filter_map(|(s, _)| s.labels.get(label))
            .collect();
        values.sort_unstable();
        values.dedup();
        if !values.is_empty() {
            let pattern: Vec<String> = values.into_iter().map(quoted).collect();
            matchers.push(matcher(MatchOp::Regex, label, &pattern.join("|"))?);
        }
    }
    let infos = if matchers.is_empty() {
        Vec::new()
    } else {
        matchers.extend(data.iter().cloned());
        matchers.extend(names);
        let (at, offset) = first_shift(base_node, cx).unwrap_or((None, 0));
        read(&matchers, at, offset, &grid, cx)?
    };
    combine(&base, &passed, &infos, &data, &grid, cx)
}

fn read(
    matchers: &[Matcher],
    at: Option<i64>,
    offset: i64,
    grid: &Grid,
    cx: &Cx<'_>,
) -> Res<Vec<Info>> {
    let (first, last) = match at {
        Some(at) => (at, at),
        None => (grid.start, grid.end()),
    };
    let hints = SelectHints {
        start: first
            .saturating_sub(cx.lookback)
            .saturating_add(1)
            .saturating_sub(offset),
        end: last.saturating_sub(offset),
        step: grid.step,
        func: Some("info".to_string()),
        ..SelectHints::default()
    };
    let mut set = cx.select(matchers, &hints)?;
    let wanted = Wanted {
        first: hints.start,
        last: hints.end,
        stale_markers: true,
        starts: false,
        skip_buckets: false,
    };
    let mut columns = Columns::default();
    let mut out = Vec::new();
    while let Some(series) = set.next() {
        cx.check()?;
        let series = series.map_err(|e| QueryError::storage(&e))?;
        columns.load(&series, &wanted)?;
        let mut frame = Frame::default();
        frame.reset(grid.n);
        let how = Latest {
            grid,
            offset,
            at,
            lookback: cx.lookback,
            give: Give::Value,
        };
        latest(&columns, &how, &mut frame);
        if frame.hists.iter().any(Option::is_some) {
            return Err(QueryError::execution(format!(
                "this should be an info metric, with float samples: {}",
                series.labels
            )));
        }
        frame.reset(grid.n);
        latest(
            &columns,
            &Latest {
                give: Give::Time,
                ..how
            },
            &mut frame,
        );
        if frame.is_blank() {
            continue;
        }
        cx.budget.take(frame.samples(), grid.n * 8)?;
        out.push(Info {
            labels: series.labels,
            times: frame.floats,
        });
    }
    crate::select::pass_warnings(&mut *set, cx);
    Ok(out)
}

/// What identifies a series for info metrics.
fn identity(labels: &Labels) -> Labels {
    labels.keep(&IDENTIFYING)
}

fn combine<'q>(
    base: &Block,
    passed: &[bool],
    infos: &[Info],
    data: &[Matcher],
    grid: &Grid,
    cx: &Cx<'_>,
) -> Res<Box<dyn Stream + 'q>> {
    let mut by_identity: HashMap<Labels, Vec<&Info>> = HashMap::new();
    for info in infos {
        by_identity
            .entry(identity(&info.labels))
            .or_default()
            .push(info);
    }
    // Equal times for one identity are an error even where no series asks for it.
    for list in by_identity.values() {
        for step in 0..grid.n {
            newest(list, step)?;
        }
    }
    let rejects_empty = data.iter().any(|m| !m.matches_empty());
    let nothing = Vec::new();
    let mut out: Vec<Frame> = Vec::new();
    let mut guard = Guard::strict();
    let mut frame = Frame::default();
    for (held, passed) in base.series.iter().zip(passed) {
        cx.check()?;
        held.fill(&mut frame, grid.n);
        if *passed {
            out.push(frame.clone());
            continue;
        }
        let list = by_identity.get(&identity(&held.labels)).unwrap_or(&nothing);
        // Info labels change from step to step; each distinct set gets a frame of its own.
        let mut parts: Vec<(Labels, Frame)> = Vec::new();
        for step in (0..grid.n).filter(|i| frame.has(*i)) {
            let found = newest(list, step)?;
            if found.is_empty() && rejects_empty {
                continue;
            }
            let labels = extended(&held.labels, &found, data)?;
            let at = match parts.iter().position(|(l, _)| *l == labels) {
                Some(at) => at,
                None => {
                    let mut part = Frame::default();
                    part.reset(grid.n);
                    part.labels = labels.clone();
                    part.drop_name = frame.drop_name;
                    parts.push((labels, part));
                    parts.len() - 1
                }
            };
            let part = &mut parts[at].1;
            if !is_absent(frame.floats[step]) {
                part.floats[step] = frame.floats[step];
            } else if let Some(h) = frame.hist(step) {
                part.set_hist(step, h.clone());
            }
        }
        for (labels, part) in parts {
            guard.claim(labels, &part)?;
            cx.budget.take(part.samples(), grid.n * 8)?;
            out.push(part);
        }
    }
    Ok(Box::new(Ready::new(out)))
}

/// The info series that count at a step: of each name the one with the newest sample.
fn newest<'a>(list: &[&'a Info], step: usize) -> Res<Vec<&'a Info>> {
    let mut out: Vec<&Info> = Vec::new();
    for info in list.iter().filter(|i| !is_absent(i.times[step])) {
        let same = out
            .iter_mut()
            .find(|o| o.labels.metric_name() == info.labels.metric_name());
        match same {
            None => out.push(info),
            Some(other) if other.times[step] < info.times[step] => *other = info,
            Some(other) if other.times[step] == info.times[step] => {
                let ms = (info.times[step] * 1000.0).round() as i64;
                return Err(QueryError::execution(format!(
                    "found duplicate series for info metric: existing {} @ {ms}, new {} @ {ms}",
                    other.labels, info.labels
                )));
            }
            Some(_) => {}
        }
    }
    Ok(out)
}

/// The labels of a series with those of its info series added; its own stay as they are.
fn extended(own: &Labels, infos: &[&Info], data: &[Matcher]) -> Res<Labels> {
    let mut added: Vec<(&str, &str)> = Vec::new();
    for info in infos {
        for (name, value) in info.labels.iter() {
            if name == METRIC_NAME || (!data.is_empty() && !data.iter().any(|m| m.name() == name)) {
                continue;
            }
            if let Some((_, other)) = added.iter().find(|(n, _)| *n == name) {
                if *other != value {
                    return Err(QueryError::execution(format!("conflicting label: {name}")));
                }
                continue;
            }
            if own.get(name).is_none() {
                added.push((name, value));
            }
        }
    }
    let mut builder = LabelsBuilder::new(own);
    for (name, value) in added {
        builder.set(name.to_string(), value.to_string());
    }
    Ok(builder.build())
}
