//! Range functions: each series' samples are decoded once, then a window slides over them step by step.

mod changes;
pub(crate) mod extended;
mod over_time;
mod rate;
mod rate_histogram;
mod regression;
mod sliding;
mod start_time;

use std::cell::{Cell, RefCell};

use model::Labels;
use promql_syntax::PosRange;
use storage::Series;

use crate::control::{Control, Stop};
use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::{Frame, Hist, hist_samples, without_name};
use crate::grid::Grid;
use crate::guard::RangeGuard;
use crate::leaf::{Leaf, LeafStream, Scratch, Told, absorb};
use crate::notes::Note;
use crate::options::EngineOptions;
use crate::plan::{Call, Extension, Node, Source, Window};
use crate::samples::{Columns, Wanted};
use crate::stream::{Stream, open as open_stream, scalars};

/// What a range function sees at one step.
pub(crate) struct View<'a> {
    pub times: &'a [i64],
    pub values: &'a [f64],
    pub starts: &'a [i64],
    pub hist_times: &'a [i64],
    pub hists: &'a [Hist],
    pub hist_starts: &'a [i64],
    /// The window: from (exclusive) and to (inclusive), ms.
    pub from: i64,
    pub to: i64,
    /// The step's own time.
    pub now: i64,
    pub step: usize,
}

/// What a range function answers at one step.
pub(crate) enum Out {
    None,
    Float(f64),
    Hist(Hist),
}

impl Out {
    pub fn hist(h: model::FloatHistogram) -> Out {
        Out::Hist(std::sync::Arc::new(h))
    }
}

/// What does not change from step to step.
pub(crate) struct Env<'a> {
    pub options: &'a EngineOptions,
    pub func: &'static str,
    pub range_ms: i64,
    pub extension: Extension,
    pub labels: Labels,
    /// Position of the range vector argument.
    pub pos: PosRange,
    /// Position of the first argument.
    pub first_pos: PosRange,
    /// Position of all arguments together.
    pub args_pos: PosRange,
    /// Values of the scalar arguments, one list each.
    pub params: &'a [Vec<f64>],
    notes: RefCell<Vec<(Note, PosRange)>>,
    control: &'a dyn Control,
    /// Samples that may still be looked at before the control is asked again.
    left: Cell<usize>,
    stopped: Cell<Option<Stop>>,
}

/// Samples looked at between two looks at the control.
const CHECK_EVERY: usize = 1 << 20;

impl Env<'_> {
    /// Whether to go on, after looking at so many samples: one series may hold work for hours.
    #[inline]
    pub fn go_on(&self, samples: usize) -> bool {
        match self.left.get().checked_sub(samples + 1) {
            Some(left) => {
                self.left.set(left);
                true
            }
            None => {
                self.left.set(CHECK_EVERY);
                let stop = self.control.stop();
                if stop.is_some() {
                    self.stopped.set(stop);
                }
                stop.is_none()
            }
        }
    }

    pub fn note(&self, note: Note) {
        self.note_at(note, self.pos);
    }

    pub fn note_at(&self, note: Note, pos: PosRange) {
        let mut notes = self.notes.borrow_mut();
        // Windows that slide over something odd find the same at every step.
        if notes.last().is_none_or(|(last, _)| *last != note) {
            notes.push((note, pos));
        }
    }

    pub fn name(&self) -> String {
        self.labels.metric_name().to_string()
    }

    pub fn param(&self, which: usize, step: usize) -> f64 {
        self.params
            .get(which)
            .and_then(|p| p.get(step))
            .copied()
            .unwrap_or(f64::NAN)
    }
}

/// Whether a function's argument is a range vector.
pub(crate) fn range_argument(call: &Call) -> Option<(usize, &Window)> {
    call.args
        .iter()
        .enumerate()
        .find_map(|(i, arg)| match &arg.node {
            Node::Window(w) => Some((i, &**w)),
            _ => None,
        })
}

/// A range function over a window.
pub(crate) struct WindowLeaf<'q> {
    window: &'q Window,
    grid: Grid,
    options: &'q EngineOptions,
    lookback: i64,
    per_step: bool,
    func: &'static str,
    pos: PosRange,
    first_pos: PosRange,
    args_pos: PosRange,
    params: Vec<Vec<f64>>,
    wanted: Wanted,
    control: &'q dyn Control,
}

/// Starts a range function.
pub(crate) fn open<'q>(call: &'q Call, grid: Grid, cx: &'q Cx<'q>) -> Res<Box<dyn Stream + 'q>> {
    let Some((at, window)) = range_argument(call) else {
        return Err(QueryError::execution("expected a range vector argument"));
    };
    let mut params = Vec::new();
    for (i, arg) in call.args.iter().enumerate() {
        if i != at {
            params.push(scalars(&arg.node, grid, cx)?);
        }
    }
    regression::check_smoothing(call.func.name, &params)?;
    // Upstream evaluates a subquery first and puts its result, which is from nowhere, in its place: notes name the query's
    // beginning.
    let position = |(i, arg): (usize, &crate::plan::Arg)| match window.source {
        Source::Subquery(..) if i == at => PosRange::default(),
        _ => arg.pos,
    };
    let positions: Vec<PosRange> = call.args.iter().enumerate().map(position).collect();
    let mut leaf = WindowLeaf {
        window,
        grid,
        options: cx.options,
        lookback: cx.lookback,
        per_step: cx.per_step_stats,
        func: call.func.name,
        pos: positions[at],
        first_pos: positions[0],
        args_pos: positions
            .into_iter()
            .reduce(PosRange::merge)
            .unwrap_or_default(),
        params,
        wanted: Wanted {
            first: 0,
            last: 0,
            stale_markers: false,
            starts: false,
            skip_buckets: false,
        },
        control: cx.control,
    };
    let input: Box<dyn Stream + 'q> = match &window.source {
        Source::Series(select) => {
            leaf.wanted = wanted(select, cx);
            let set = cx.select(&select.matchers, &select.hints)?;
            Box::new(LeafStream::new(leaf, select, set, grid, cx))
        }
        Source::Subquery(node, inner) => {
            let input = if inner.n == 0 {
                Box::new(crate::stream::Ready::new(Vec::new()))
            } else {
                crate::merge::merged(node, *inner, cx)?
            };
            Box::new(SubqueryStream {
                leaf,
                input,
                inner: *inner,
                frame: Frame::default(),
                scratch: Scratch::default(),
                cx,
            })
        }
    };
    if call.func.name == "absent_over_time" {
        // Its answer has none of their labels.
        return Ok(input);
    }
    Ok(Box::new(Guarded {
        input,
        guard: RangeGuard::new(&window.source, cx),
        cx,
    }))
}

fn wanted(select: &crate::plan::Select, cx: &Cx<'_>) -> Wanted {
    Wanted {
        first: select.hints.start,
        last: select.hints.end,
        stale_markers: false,
        starts: cx.options.use_start_timestamps,
        skip_buckets: select.skip_buckets,
    }
}

impl WindowLeaf<'_> {
    /// The function's values over the columns at hand.
    fn over(
        &self,
        scratch: &mut Scratch,
        labels: Labels,
        out: &mut Frame,
        told: &mut Told,
    ) -> Res<()> {
        out.reset(self.grid.n);
        if scratch.columns.is_empty() {
            return Ok(());
        }
        let env = Env {
            options: self.options,
            func: self.func,
            range_ms: self.window.range,
            extension: self.window.extension,
            labels,
            pos: self.pos,
            first_pos: self.first_pos,
            args_pos: self.args_pos,
            params: &self.params,
            notes: RefCell::default(),
            control: self.control,
            left: Cell::new(CHECK_EVERY),
            stopped: Cell::new(None),
        };
        let Scratch { columns, bounds } = scratch;
        bounds.slide(columns, self.window, &self.grid, self.lookback);
        self.count(bounds, columns, told);
        evaluate(&env, columns, bounds, &self.grid, self.window, out);
        if let Some(stop) = env.stopped.get() {
            return Err(stop.into());
        }
        told.notes.append(&mut env.notes.into_inner());
        out.labels = env.labels;
        out.drop_name = !matches!(self.func, "last_over_time" | "first_over_time");
        Ok(())
    }

    /// Counts samples the windows hold for the statistics.
    fn count(&self, bounds: &Bounds, columns: &Columns, told: &mut Told) {
        if self.per_step {
            told.per_step.resize(self.grid.n, 0);
        }
        // What the first so many histograms count as.
        let mut up_to = vec![0u64];
        for h in &columns.hists {
            up_to.push(up_to.last().copied().unwrap_or(0) + hist_samples(h) as u64);
        }
        for i in 0..self.grid.n {
            let (lo, hi) = bounds.floats[i];
            let mut n = u64::from(hi - lo);
            if let Some((lo, hi)) = bounds.hists.get(i) {
                n += up_to[*hi as usize] - up_to[*lo as usize];
            }
            told.queryable += n;
            if self.per_step {
                told.per_step[i] += n;
            }
        }
    }
}

impl Leaf for WindowLeaf<'_> {
    fn evaluate(
        &self,
        series: &Series,
        scratch: &mut Scratch,
        out: &mut Frame,
        told: &mut Told,
    ) -> Res<()> {
        scratch.columns.load(series, &self.wanted)?;
        told.read += scratch.columns.len() as u64;
        self.over(scratch, series.labels.clone(), out, told)
    }
}

/// A range function over the values of a subquery.
struct SubqueryStream<'q> {
    leaf: WindowLeaf<'q>,
    input: Box<dyn Stream + 'q>,
    inner: Grid,
    frame: Frame,
    scratch: Scratch,
    cx: &'q Cx<'q>,
}

impl Stream for SubqueryStream<'_> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        while self.input.next(&mut self.frame)? {
            self.cx.check()?;
            self.scratch.columns.load_frame(&self.frame, &self.inner);
            let mut told = Told::default();
            // A name that a function dropped is not told to users.
            let labels = match self.frame.drop_name && !self.cx.options.delayed_name_removal {
                true => without_name(&self.frame.labels),
                false => self.frame.labels.clone(),
            };
            self.leaf.over(&mut self.scratch, labels, out, &mut told)?;
            absorb(&mut told, &self.leaf.grid, self.cx);
            if !out.is_blank() {
                out.drop_name |= self.frame.drop_name;
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Refuses series that are equal without their names.
struct Guarded<'q> {
    input: Box<dyn Stream + 'q>,
    guard: RangeGuard,
    cx: &'q Cx<'q>,
}

impl Stream for Guarded<'_> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        if !self.input.next(out)? {
            return Ok(false);
        }
        self.guard.check(out, self.cx)?;
        Ok(true)
    }
}

/// Which samples each step's window holds, as indexes into the columns.
#[derive(Default)]
pub(crate) struct Bounds {
    pub floats: Vec<(u32, u32)>,
    /// Empty where there are no histograms.
    pub hists: Vec<(u32, u32)>,
}

impl Bounds {
    fn slide(&mut self, columns: &Columns, window: &Window, grid: &Grid, lookback: i64) {
        slide_one(&columns.times, window, grid, lookback, &mut self.floats);
        self.hists.clear();
        if !columns.hist_times.is_empty() {
            slide_one(&columns.hist_times, window, grid, lookback, &mut self.hists);
        }
    }
}

/// The window's ends at a step: from (exclusive), to (inclusive).
pub(crate) fn ends(window: &Window, grid: &Grid, step: usize) -> (i64, i64) {
    let to = window
        .at
        .unwrap_or_else(|| grid.time(step))
        .saturating_sub(window.offset);
    (to.saturating_sub(window.range), to)
}

fn slide_one(
    times: &[i64],
    window: &Window,
    grid: &Grid,
    lookback: i64,
    out: &mut Vec<(u32, u32)>,
) {
    out.clear();
    let before = match window.extension {
        Extension::None => 0,
        _ => lookback,
    };
    let after = match window.extension {
        Extension::Smoothed => lookback,
        _ => 0,
    };
    let at = |step| {
        let (from, to) = ends(window, grid, step);
        (from.saturating_sub(before), to.saturating_add(after))
    };
    /// Far from where sums of times would overflow.
    const FAR: i64 = i64::MAX / 4;
    let ((mut from, mut to), last) = (at(0), at(grid.n.saturating_sub(1)));
    let even = window.at.is_none() && from > -FAR && last.1 < FAR && grid.step < FAR;
    let (mut lo, mut hi) = (0, 0);
    out.extend((0..grid.n).map(|step| {
        if !even {
            (from, to) = at(step);
        }
        while hi < times.len() && times[hi] <= to {
            hi += 1;
        }
        while lo < hi && times[lo] <= from {
            lo += 1;
        }
        if even {
            from += grid.step;
            to += grid.step;
        }
        (lo as u32, hi as u32)
    }));
}

/// Writes a function's value at every step.
fn evaluate(
    env: &Env<'_>,
    columns: &Columns,
    bounds: &Bounds,
    grid: &Grid,
    window: &Window,
    out: &mut Frame,
) {
    let plain = bounds.hists.is_empty() && window.extension == Extension::None;
    if plain && columns.starts.is_empty() && env.options.optimize {
        let input = sliding::Input {
            times: &columns.times,
            values: &columns.values,
            bounds: &bounds.floats,
        };
        if sliding::evaluate(env, &input, grid, window, out) {
            return;
        }
    }
    let function = function(env);
    let mut quiet = true;
    for step in 0..grid.n {
        let (lo, hi) = bounds.floats[step];
        let (hlo, hhi) = bounds.hists.get(step).copied().unwrap_or((0, 0));
        if lo == hi && hlo == hhi {
            continue;
        }
        if !env.go_on((hi - lo + hhi - hlo) as usize) {
            return;
        }
        let (from, to) = ends(window, grid, step);
        let part = |list: &[i64], lo: u32, hi: u32| -> std::ops::Range<usize> {
            if list.is_empty() {
                0..0
            } else {
                lo as usize..hi as usize
            }
        };
        let view = View {
            times: &columns.times[lo as usize..hi as usize],
            values: &columns.values[lo as usize..hi as usize],
            starts: &columns.starts[part(&columns.starts, lo, hi)],
            hist_times: &columns.hist_times[hlo as usize..hhi as usize],
            hists: &columns.hists[hlo as usize..hhi as usize],
            hist_starts: &columns.hist_starts[part(&columns.hist_starts, hlo, hhi)],
            from,
            to,
            now: grid.time(step),
            step,
        };
        match function(env, &view) {
            Out::None => {}
            Out::Float(v) => {
                out.floats[step] = v;
                quiet = false;
            }
            Out::Hist(h) => out.set_hist(step, h),
        }
    }
    if !quiet {
        rate::note_non_counter(env);
    }
}

type Function = fn(&Env<'_>, &View<'_>) -> Out;

fn function(env: &Env<'_>) -> Function {
    if env.extension != Extension::None && matches!(env.func, "rate" | "increase" | "delta") {
        return extended::rate;
    }
    match env.func {
        "rate" | "increase" | "delta" => rate::extrapolated,
        "irate" | "idelta" => rate::instant,
        "changes" => changes::changes,
        "resets" => changes::resets,
        "deriv" => regression::deriv,
        "predict_linear" => regression::predict_linear,
        "double_exponential_smoothing" => regression::smoothing,
        "sum_over_time" => over_time::sum,
        "avg_over_time" => over_time::avg,
        "min_over_time" => over_time::min,
        "max_over_time" => over_time::max,
        "ts_of_min_over_time" => over_time::time_of_min,
        "ts_of_max_over_time" => over_time::time_of_max,
        "count_over_time" => over_time::count,
        "present_over_time" => over_time::present,
        "last_over_time" => over_time::last,
        "first_over_time" => over_time::first,
        "ts_of_last_over_time" => over_time::time_of_last,
        "ts_of_first_over_time" => over_time::time_of_first,
        "stddev_over_time" => over_time::stddev,
        "stdvar_over_time" => over_time::stdvar,
        "quantile_over_time" => over_time::quantile,
        "mad_over_time" => over_time::mad,
        // `absent_over_time` asks which steps have samples.
        _ => over_time::present,
    }
}

/// A whole query of type matrix: raw samples of a range selector, or a subquery's values.
pub(crate) fn whole(
    window: &Window,
    grid: Grid,
    cx: &Cx<'_>,
) -> Res<Vec<crate::value::ResultSeries>> {
    let mut out = Vec::new();
    let mut columns = Columns::default();
    let (from, to) = ends(window, &grid, 0);
    match &window.source {
        Source::Series(select) => {
            let mut set = cx.select(&select.matchers, &select.hints)?;
            let wanted = wanted(select, cx);
            let (mut selected, mut decoded) = (0, 0);
            while let Some(series) = set.next() {
                cx.check()?;
                let series = series.map_err(|e| QueryError::storage(&e))?;
                columns.load(&series, &wanted)?;
                cx.budget.take(columns.len(), columns.len() * 16)?;
                let read = columns.len() as u64;
                selected += 1;
                decoded += read;
                cx.budget.read.set(cx.budget.read.get() + read);
                cx.budget.queryable.set(cx.budget.queryable.get() + read);
                let mut result = crate::value::ResultSeries {
                    labels: series.labels,
                    ..Default::default()
                };
                if window.extension == Extension::None {
                    result.floats = columns
                        .times
                        .iter()
                        .copied()
                        .zip(columns.values.iter().copied())
                        .collect();
                    result.histograms = columns
                        .hist_times
                        .iter()
                        .copied()
                        .zip(columns.hists.iter().cloned())
                        .collect();
                } else {
                    if !columns.hists.is_empty() {
                        let name = match window.extension {
                            Extension::Anchored => "anchored",
                            _ => "smoothed",
                        };
                        return Err(QueryError::execution(format!(
                            "{name} modifier is not supported with histograms"
                        )));
                    }
                    result.floats = extended::samples(
                        &columns,
                        from,
                        to,
                        window.extension == Extension::Smoothed,
                    );
                }
                if !result.floats.is_empty() || !result.histograms.is_empty() {
                    out.push(result);
                }
            }
            crate::select::pass_warnings(&mut *set, cx);
            let key = crate::explain::select_key(select);
            crate::explain::note_read(cx, key, selected, decoded, &*set);
        }
        Source::Subquery(node, inner) => {
            let mut frame = Frame::default();
            let mut stream = if inner.n == 0 {
                return Ok(out);
            } else {
                open_stream(node, *inner, cx)?
            };
            while stream.next(&mut frame)? {
                cx.check()?;
                let mut result = crate::output::series(&frame, inner, cx)?;
                result.floats.retain(|(t, _)| *t > from && *t <= to);
                result.histograms.retain(|(t, _)| *t > from && *t <= to);
                if !result.floats.is_empty() || !result.histograms.is_empty() {
                    out.push(result);
                }
            }
        }
    }
    Ok(out)
}
