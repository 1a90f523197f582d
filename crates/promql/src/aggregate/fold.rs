//! Aggregations to one value per group and step: `sum avg min max count group stddev stdvar quantile`.

use model::Labels;
use promql_syntax::ast::AggregateOp;

use super::grouping::Grouping;
use super::histogram::HistogramFold;
use crate::cx::Cx;
use crate::error::Res;
use crate::frame::{Frame, is_absent};
use crate::grid::Grid;
use crate::notes::Note;
use crate::plan::Aggregate;
use crate::stream::{Stream, open as open_stream};

const HAS_FLOAT: u8 = 1;
const HAS_HIST: u8 = 2;
const INCREMENTAL: u8 = 4;

/// One group's state at all steps. Which columns there are depends on the operation.
struct Group {
    labels: Labels,
    drop_name: bool,
    flags: Vec<u8>,
    /// Sum, extreme, or sum of squared differences.
    a: Vec<f64>,
    /// Rounding lost from `a`, or mean.
    b: Vec<f64>,
    n: Vec<f64>,
    /// All values, for quantiles.
    lists: Vec<Vec<f64>>,
    hists: Vec<Option<Box<HistogramFold>>>,
}

struct Fold<'q> {
    op: AggregateOp,
    aggregate: &'q Aggregate,
    cx: &'q Cx<'q>,
    steps: usize,
}

/// Bytes a group holds per step.
fn width(op: AggregateOp) -> usize {
    use AggregateOp::{Avg, Count, Group, Max, Min, Stddev, Stdvar, Sum};
    match op {
        Sum => 17,
        Avg | Stddev | Stdvar => 25,
        Min | Max | Count => 9,
        Group => 1,
        _ => 25,
    }
}

impl Fold<'_> {
    fn group(&self, labels: Labels) -> Group {
        use AggregateOp::{Avg, Count, Max, Min, Quantile, Stddev, Stdvar, Sum};
        let column = |wanted: bool| {
            if wanted {
                vec![0.0; self.steps]
            } else {
                Vec::new()
            }
        };
        Group {
            labels,
            drop_name: false,
            flags: vec![0; self.steps],
            a: column(matches!(self.op, Sum | Avg | Min | Max | Stddev | Stdvar)),
            b: column(matches!(self.op, Sum | Avg | Stddev | Stdvar)),
            n: column(matches!(self.op, Avg | Count | Stddev | Stdvar)),
            lists: if self.op == Quantile {
                vec![Vec::new(); self.steps]
            } else {
                Vec::new()
            },
            hists: Vec::new(),
        }
    }

    fn add(&self, g: &mut Group, frame: &Frame) -> Res<()> {
        match self.op {
            AggregateOp::Sum => sum(g, &frame.floats),
            AggregateOp::Avg => avg(g, &frame.floats),
            AggregateOp::Min => extreme(g, &frame.floats, |new, old| old > new),
            AggregateOp::Max => extreme(g, &frame.floats, |new, old| old < new),
            AggregateOp::Stddev | AggregateOp::Stdvar => variance(g, &frame.floats),
            AggregateOp::Quantile => {
                let mut n = 0;
                for (i, v) in frame.floats.iter().enumerate() {
                    if !is_absent(*v) {
                        g.flags[i] = HAS_FLOAT;
                        g.lists[i].push(*v);
                        n += 1;
                    }
                }
                self.cx.budget.take(n, n * 8)?;
            }
            AggregateOp::Count => {
                for i in 0..self.steps {
                    if frame.has(i) {
                        g.flags[i] = HAS_FLOAT;
                        g.n[i] += 1.0;
                    }
                }
            }
            _ => {
                for i in 0..self.steps {
                    if frame.has(i) {
                        g.flags[i] = HAS_FLOAT;
                    }
                }
            }
        }
        if !frame.hists.is_empty() {
            self.add_histograms(g, frame)?;
        }
        Ok(())
    }

    fn add_histograms(&self, g: &mut Group, frame: &Frame) -> Res<()> {
        let mean = self.op == AggregateOp::Avg;
        let note = |n| self.cx.note(n, self.aggregate.pos);
        match self.op {
            AggregateOp::Count | AggregateOp::Group => {}
            AggregateOp::Sum | AggregateOp::Avg => {
                if g.hists.is_empty() {
                    g.hists.resize_with(self.steps, || None);
                }
                for (i, h) in frame.hists.iter().enumerate() {
                    let Some(h) = h else { continue };
                    g.flags[i] |= HAS_HIST;
                    if g.hists[i].is_none() {
                        let samples = crate::frame::hist_samples(h);
                        self.cx.budget.take(samples, h.size_bytes() * 2)?;
                    }
                    let fold = g.hists[i].get_or_insert_default();
                    if let Some(n) = fold.add(h, mean, frame.labels.metric_name()) {
                        note(n);
                    }
                }
            }
            op => {
                if frame.hists.iter().any(Option::is_some) {
                    note(Note::IgnoredInAggregation(op.as_str()));
                }
            }
        }
        Ok(())
    }

    fn finish(&self, g: Group, params: &[f64], out: &mut Frame) {
        use AggregateOp::{Avg, Count, Max, Min, Quantile, Stddev, Stdvar, Sum};
        let note = |n| self.cx.note(n, self.aggregate.pos);
        out.reset(self.steps);
        let mut hists = g.hists;
        let mut lists = g.lists;
        for i in 0..self.steps {
            let flags = g.flags[i];
            if flags == 0 {
                continue;
            }
            if flags & HAS_HIST != 0 {
                if flags & HAS_FLOAT != 0 {
                    note(Note::MixedFloatsHistogramsAggregation);
                    continue;
                }
                let Some(fold) = hists[i].take() else {
                    continue;
                };
                let (value, told) = fold.finish(self.op == Avg);
                if let Some(n) = told {
                    note(n);
                }
                if let Some(h) = value {
                    out.set_hist(i, std::sync::Arc::new(h));
                }
                continue;
            }
            out.floats[i] = match self.op {
                Sum => g.a[i] + g.b[i],
                Avg if flags & INCREMENTAL != 0 => g.a[i] + g.b[i],
                Avg => g.a[i] / g.n[i] + g.b[i] / g.n[i],
                Min | Max => g.a[i],
                Count => g.n[i],
                Stdvar => g.a[i] / g.n[i],
                Stddev => (g.a[i] / g.n[i]).sqrt(),
                Quantile => crate::quantile::quantile(
                    params.get(i).copied().unwrap_or(f64::NAN),
                    &mut lists[i],
                ),
                _ => 1.0,
            };
        }
        out.labels = g.labels;
        out.drop_name = g.drop_name;
    }
}

/// Neumaier's sum of every step's values. Without branches on the values: the rounding error of an addition is the same
/// whichever operand is larger, and exact.
fn sum(g: &mut Group, values: &[f64]) {
    let columns = g.flags.iter_mut().zip(&mut g.a).zip(&mut g.b);
    for (((flags, sum), lost), v) in columns.zip(values) {
        if is_absent(*v) {
            continue;
        }
        if *flags & HAS_FLOAT == 0 {
            *flags |= HAS_FLOAT;
            *sum = *v;
            continue;
        }
        let total = *sum + *v;
        let back = total - *sum;
        let error = (*sum - (total - back)) + (*v - back);
        *lost = if total.is_infinite() {
            0.0
        } else {
            *lost + error
        };
        *sum = total;
    }
}

fn avg(g: &mut Group, values: &[f64]) {
    for (i, v) in values.iter().enumerate() {
        if is_absent(*v) {
            continue;
        }
        g.n[i] += 1.0;
        let n = g.n[i];
        if g.flags[i] & HAS_FLOAT == 0 {
            g.flags[i] |= HAS_FLOAT;
            g.a[i] = *v;
            continue;
        }
        if g.flags[i] & INCREMENTAL == 0 {
            let (mut sum, mut lost) = (g.a[i], g.b[i]);
            model::histogram_sum::kahan_add(*v, &mut sum, &mut lost);
            if !sum.is_infinite() {
                (g.a[i], g.b[i]) = (sum, lost);
                continue;
            }
            g.flags[i] |= INCREMENTAL;
            g.a[i] /= n - 1.0;
            g.b[i] /= n - 1.0;
        }
        let q = (n - 1.0) / n;
        let (mut mean, mut lost) = (q * g.a[i], q * g.b[i]);
        model::histogram_sum::kahan_add(*v / n, &mut mean, &mut lost);
        (g.a[i], g.b[i]) = (mean, lost);
    }
}

fn extreme(g: &mut Group, values: &[f64], better: impl Fn(f64, f64) -> bool) {
    for ((flags, best), v) in g.flags.iter_mut().zip(&mut g.a).zip(values) {
        if is_absent(*v) {
            continue;
        }
        if *flags == 0 || best.is_nan() || better(*v, *best) {
            *flags = HAS_FLOAT;
            *best = *v;
        }
    }
}

fn variance(g: &mut Group, values: &[f64]) {
    for (i, v) in values.iter().enumerate() {
        if is_absent(*v) {
            continue;
        }
        g.n[i] += 1.0;
        if g.flags[i] == 0 {
            g.flags[i] = HAS_FLOAT;
            g.b[i] = *v;
            g.a[i] = if v.is_finite() { 0.0 } else { f64::NAN };
            continue;
        }
        let delta = v - g.b[i];
        g.b[i] += delta / g.n[i];
        g.a[i] += delta * (v - g.b[i]);
    }
}

struct Groups<'q> {
    fold: Fold<'q>,
    groups: std::vec::IntoIter<Group>,
    params: Vec<f64>,
    held: (usize, usize),
}

impl Stream for Groups<'_> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        for group in self.groups.by_ref() {
            self.fold.finish(group, &self.params, out);
            if !out.is_blank() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl Drop for Groups<'_> {
    fn drop(&mut self) {
        self.fold.cx.budget.give(self.held.0, self.held.1);
    }
}

pub(super) fn open<'q>(
    aggregate: &'q Aggregate,
    params: Vec<f64>,
    grid: Grid,
    cx: &'q Cx<'q>,
) -> Res<Box<dyn Stream + 'q>> {
    let fold = Fold {
        op: aggregate.op,
        aggregate,
        cx,
        steps: grid.n,
    };
    let mut input = open_stream(&aggregate.input, grid, cx)?;
    let mut grouping = Grouping::new(aggregate, cx);
    let mut groups: Vec<Group> = Vec::new();
    let mut frame = Frame::default();
    let mut held = (0, 0);
    while input.next(&mut frame)? {
        cx.check()?;
        let at = match grouping.place(&frame) {
            Ok(at) => at,
            Err((at, labels)) => {
                let bytes = grid.n * width(aggregate.op) + 200;
                cx.budget.take(grid.n, bytes)?;
                held = (held.0 + grid.n, held.1 + bytes);
                groups.push(fold.group(labels));
                at
            }
        };
        let group = &mut groups[at];
        group.drop_name |= frame.drop_name && cx.options.delayed_name_removal;
        fold.add(group, &frame)?;
    }
    Ok(Box::new(Groups {
        fold,
        groups: groups.into_iter(),
        params,
        held,
    }))
}
