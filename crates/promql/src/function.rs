//! Functions of instant vectors and scalars.

mod absent;
mod dates;
mod histograms;
mod info;
mod label;
mod maths;
mod sorting;

use model::Labels;

use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::{Frame, is_absent};
use crate::grid::Grid;
use crate::guard::Guard;
use crate::plan::{Call, Node};
use crate::select::Give;
use crate::stream::{Mapped, Ready, Stream, open as open_stream, scalars as scalars_of};
use crate::window::range_argument;

/// The larger of two as Go sees it: NaN wins over everything but infinity.
pub(crate) fn go_max(a: f64, b: f64) -> f64 {
    if a == f64::INFINITY || b == f64::INFINITY {
        return f64::INFINITY;
    }
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    if a == 0.0 && b == 0.0 {
        return if a.is_sign_negative() { b } else { a };
    }
    if a > b { a } else { b }
}

/// The smaller of two as Go sees it.
pub(crate) fn go_min(a: f64, b: f64) -> f64 {
    if a == f64::NEG_INFINITY || b == f64::NEG_INFINITY {
        return f64::NEG_INFINITY;
    }
    if a.is_nan() || b.is_nan() {
        return f64::NAN;
    }
    if a == 0.0 && b == 0.0 {
        return if a.is_sign_negative() { a } else { b };
    }
    if a < b { a } else { b }
}

/// Values of a function that returns scalars.
pub(crate) fn scalars<'q>(call: &'q Call, grid: Grid, cx: &'q Cx<'q>) -> Res<Vec<f64>> {
    match call.func.name {
        "time" => Ok((0..grid.n).map(|i| grid.time(i) as f64 / 1000.0).collect()),
        "scalar" => {
            let mut input = open_stream(&call.args[0].node, grid, cx)?;
            let mut out = vec![f64::NAN; grid.n];
            let mut seen = vec![0u8; grid.n];
            let mut frame = Frame::default();
            while input.next(&mut frame)? {
                cx.check()?;
                for (i, v) in frame.floats.iter().enumerate() {
                    if is_absent(*v) {
                        continue;
                    }
                    seen[i] = seen[i].saturating_add(1);
                    out[i] = if seen[i] == 1 { *v } else { f64::NAN };
                }
            }
            Ok(out)
        }
        "max_of" | "min_of" => {
            let mut a = scalars_of(&call.args[0].node, grid, cx)?;
            let b = scalars_of(&call.args[1].node, grid, cx)?;
            let pick = if call.func.name == "max_of" {
                go_max
            } else {
                go_min
            };
            a.iter_mut().zip(b).for_each(|(a, b)| *a = pick(*a, b));
            Ok(a)
        }
        other => Err(QueryError::execution(format!(
            "function {other} does not return a scalar"
        ))),
    }
}

/// Changes every value of every float; histograms vanish, the name goes.
fn floats<'q>(
    call: &'q Call,
    at: usize,
    grid: Grid,
    cx: &'q Cx<'q>,
    mut f: impl FnMut(usize, f64) -> f64 + 'q,
) -> Res<Box<dyn Stream + 'q>> {
    let node = &call.args[at].node;
    let mut guard = Guard::for_node(node, cx);
    Ok(Box::new(Mapped {
        input: open_stream(node, grid, cx)?,
        f: move |frame: &mut Frame| {
            for (i, v) in frame.floats.iter_mut().enumerate() {
                if !is_absent(*v) {
                    *v = f(i, *v);
                }
            }
            frame.hists.clear();
            frame.drop_name = true;
            guard.check(frame, cx)
        },
    }))
}

/// One series without labels.
fn single<'q>(values: Vec<f64>, labels: Labels) -> Box<dyn Stream + 'q> {
    let frame = Frame {
        labels,
        drop_name: false,
        floats: values,
        hists: Vec::new(),
    };
    Box::new(Ready::new(vec![frame]))
}

/// Starts a function that returns an instant vector.
pub(crate) fn open<'q>(call: &'q Call, grid: Grid, cx: &'q Cx<'q>) -> Res<Box<dyn Stream + 'q>> {
    let name = call.func.name;
    if range_argument(call).is_some() {
        let windows = crate::window::open(call, grid, cx)?;
        if name == "absent_over_time" {
            return absent::open(windows, call, grid, cx);
        }
        return Ok(windows);
    }
    if let Some(f) = maths::function(name) {
        return floats(call, 0, grid, cx, move |_, v| f(v));
    }
    if let Some(f) = dates::function(name) {
        if call.args.is_empty() {
            let values = (0..grid.n)
                .map(|i| f(grid.time(i) as f64 / 1000.0))
                .collect();
            return Ok(single(values, Labels::empty()));
        }
        return floats(call, 0, grid, cx, move |_, v| f(v));
    }
    let scalar = |i: usize| scalars_of(&call.args[i].node, grid, cx);
    match name {
        "vector" => Ok(single(scalar(0)?, Labels::empty())),
        "absent" => absent::open(open_stream(&call.args[0].node, grid, cx)?, call, grid, cx),
        "timestamp" | "start_timestamp" => timestamps(call, grid, cx),
        "round" => {
            let to = if call.args.len() > 1 {
                scalar(1)?
            } else {
                vec![1.0; grid.n]
            };
            floats(call, 0, grid, cx, move |i, v| {
                let inverse = 1.0 / to[i];
                (v * inverse + 0.5).floor() / inverse
            })
        }
        "clamp" | "clamp_min" | "clamp_max" => {
            let low = if name == "clamp_max" {
                vec![f64::NEG_INFINITY; grid.n]
            } else {
                scalar(1)?
            };
            let high = match name {
                "clamp" => scalar(2)?,
                "clamp_max" => scalar(1)?,
                _ => vec![f64::INFINITY; grid.n],
            };
            floats(call, 0, grid, cx, move |i, v| {
                if high[i] < low[i] {
                    crate::frame::ABSENT
                } else {
                    go_max(low[i], go_min(high[i], v))
                }
            })
        }
        "histogram_count" | "histogram_sum" | "histogram_avg" | "histogram_stddev"
        | "histogram_stdvar" => histograms::moments(call, grid, cx),
        "histogram_quantile" | "histogram_quantiles" | "histogram_fraction" => {
            histograms::open(call, grid, cx)
        }
        "label_replace" => label::replace(call, grid, cx),
        "label_join" => label::join(call, grid, cx),
        "sort" | "sort_desc" | "sort_by_label" | "sort_by_label_desc" => {
            sorting::open(call, grid, cx)
        }
        "info" => info::open(call, grid, cx),
        other => Err(QueryError::execution(format!(
            "unknown function with name \"{other}\""
        ))),
    }
}

/// A string argument.
fn text(call: &Call, at: usize) -> Res<&str> {
    match call.args.get(at).map(|a| &a.node) {
        Some(Node::Text(text, _)) => Ok(text),
        _ => Err(QueryError::execution(format!(
            "expected a string as argument {} of {}",
            at + 1,
            call.func.name
        ))),
    }
}

fn timestamps<'q>(call: &'q Call, grid: Grid, cx: &'q Cx<'q>) -> Res<Box<dyn Stream + 'q>> {
    let node = &call.args[0].node;
    let start = call.func.name == "start_timestamp";
    if let Node::Select(select) = node
        && !select.smoothed
    {
        if start && !cx.options.use_start_timestamps {
            return Ok(Box::new(Ready::new(Vec::new())));
        }
        let give = if start { Give::Start } else { Give::Time };
        let mut guard = Guard::for_node(node, cx);
        return Ok(Box::new(Mapped {
            input: Box::new(crate::select::open(select, grid, give, cx)?),
            f: move |frame: &mut Frame| guard.check(frame, cx),
        }));
    }
    if start {
        return Ok(Box::new(Ready::new(Vec::new())));
    }
    let mut guard = Guard::for_node(node, cx);
    Ok(Box::new(Mapped {
        input: open_stream(node, grid, cx)?,
        f: move |frame: &mut Frame| {
            for i in 0..frame.floats.len() {
                if frame.has(i) {
                    frame.floats[i] = grid.time(i) as f64 / 1000.0;
                }
            }
            frame.hists.clear();
            frame.drop_name = true;
            guard.check(frame, cx)
        },
    }))
}
