//! Range functions: each series' samples are decoded once, then a window slides over them step by step.

mod changes;
pub(crate) mod extended;
mod over_time;
mod rate;
mod rate_histogram;
mod regression;
mod sliding;
mod start_time;

use model::Labels;
use promql_syntax::PosRange;
use storage::SeriesSet;

use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::{Frame, Hist, hist_samples};
use crate::grid::Grid;
use crate::guard::RangeGuard;
use crate::notes::Note;
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
pub(crate) struct Env<'q> {
    pub cx: &'q Cx<'q>,
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
    pub params: Vec<Vec<f64>>,
}

impl Env<'_> {
    pub fn note(&self, note: Note) {
        self.cx.note(note, self.pos);
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

enum Input<'q> {
    Series(Box<dyn SeriesSet>, Wanted),
    Subquery(Box<dyn Stream + 'q>, Grid, Frame),
}

pub(crate) struct WindowStream<'q> {
    window: &'q Window,
    grid: Grid,
    input: Input<'q>,
    columns: Columns,
    env: Env<'q>,
    guard: RangeGuard,
    keeps_name: bool,
    warned: bool,
    bounds: Bounds,
}

impl<'q> WindowStream<'q> {
    pub fn open(call: &'q Call, grid: Grid, cx: &'q Cx<'q>) -> Res<WindowStream<'q>> {
        let Some((at, window)) = range_argument(call) else {
            return Err(QueryError::execution("expected a range vector argument"));
        };
        let mut params = Vec::new();
        for (i, arg) in call.args.iter().enumerate() {
            if i != at {
                params.push(scalars(&arg.node, grid, cx)?);
            }
        }
        let env = Env {
            cx,
            func: call.func.name,
            range_ms: window.range,
            extension: window.extension,
            labels: Labels::empty(),
            pos: call.args[at].pos,
            first_pos: call.args[0].pos,
            args_pos: call
                .args
                .iter()
                .map(|a| a.pos)
                .reduce(PosRange::merge)
                .unwrap_or_default(),
            params,
        };
        regression::check_smoothing(&env)?;
        Ok(WindowStream {
            window,
            grid,
            input: input(window, cx)?,
            columns: Columns::default(),
            guard: RangeGuard::new(&window.source, cx),
            keeps_name: matches!(call.func.name, "last_over_time" | "first_over_time"),
            env,
            warned: false,
            bounds: Bounds::default(),
        })
    }

    /// Reads the next input series into the columns; its labels and whether its name is to be dropped.
    fn load(&mut self) -> Res<Option<(Labels, bool)>> {
        let cx = self.env.cx;
        match &mut self.input {
            Input::Series(set, wanted) => {
                let Some(series) = set.next() else {
                    if !self.warned {
                        self.warned = true;
                        crate::select::pass_warnings(&mut **set, cx);
                    }
                    return Ok(None);
                };
                let series = series.map_err(|e| QueryError::storage(&e))?;
                self.columns.load(&series, wanted)?;
                cx.budget.series.set(cx.budget.series.get() + 1);
                let read = cx.budget.read.get() + self.columns.len() as u64;
                cx.budget.read.set(read);
                Ok(Some((series.labels, false)))
            }
            Input::Subquery(stream, grid, frame) => {
                if !stream.next(frame)? {
                    return Ok(None);
                }
                self.columns.load_frame(frame, grid);
                Ok(Some((frame.labels.clone(), frame.drop_name)))
            }
        }
    }
}

fn input<'q>(window: &'q Window, cx: &'q Cx<'q>) -> Res<Input<'q>> {
    Ok(match &window.source {
        Source::Series(select) => Input::Series(
            cx.select(&select.matchers, &select.hints)?,
            Wanted {
                first: select.hints.start,
                last: select.hints.end,
                stale_markers: false,
                starts: cx.options.use_start_timestamps,
                skip_buckets: select.skip_buckets,
            },
        ),
        Source::Subquery(node, inner) => {
            let stream = if inner.n == 0 {
                Box::new(crate::stream::Ready::new(Vec::new()))
            } else {
                crate::merge::merged(node, *inner, cx)?
            };
            Input::Subquery(stream, *inner, Frame::default())
        }
    })
}

impl Stream for WindowStream<'_> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        loop {
            self.env.cx.check()?;
            let Some((labels, drop_name)) = self.load()? else {
                return Ok(false);
            };
            if self.columns.is_empty() {
                continue;
            }
            // Held while it is worked on.
            let held = self.columns.len();
            self.env.cx.budget.take(held, held * 16)?;
            self.env.labels = labels;
            out.reset(self.grid.n);
            self.bounds
                .slide(&self.columns, self.window, &self.grid, self.env.cx.lookback);
            count(&self.bounds, &self.columns, self.env.cx, &self.grid);
            evaluate(
                &self.env,
                &self.columns,
                &self.bounds,
                &self.grid,
                self.window,
                out,
            );
            self.env.cx.budget.give(held, held * 16);
            if out.is_blank() {
                continue;
            }
            out.labels = self.env.labels.clone();
            out.drop_name = drop_name || !self.keeps_name;
            self.guard.check(out, self.env.cx)?;
            return Ok(true);
        }
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
    let (mut lo, mut hi) = (0, 0);
    let before = match window.extension {
        Extension::None => 0,
        _ => lookback,
    };
    let after = match window.extension {
        Extension::Smoothed => lookback,
        _ => 0,
    };
    for step in 0..grid.n {
        let (from, to) = ends(window, grid, step);
        let (from, to) = (from.saturating_sub(before), to.saturating_add(after));
        while hi < times.len() && times[hi] <= to {
            hi += 1;
        }
        while lo < hi && times[lo] <= from {
            lo += 1;
        }
        out.push((lo as u32, hi as u32));
    }
}

/// Counts samples the windows hold for the statistics.
fn count(bounds: &Bounds, columns: &Columns, cx: &Cx<'_>, grid: &Grid) {
    let mut total = 0;
    let per_step = cx.per_step_stats && *grid == cx.plan.grid;
    let mut steps = cx.budget.per_step.borrow_mut();
    if per_step {
        steps.resize(grid.n, 0);
    }
    for i in 0..grid.n {
        let (lo, hi) = bounds.floats[i];
        let mut n = u64::from(hi - lo);
        if let Some((lo, hi)) = bounds.hists.get(i) {
            n += columns.hists[*lo as usize..*hi as usize]
                .iter()
                .map(|h| hist_samples(h) as u64)
                .sum::<u64>();
        }
        total += n;
        if per_step {
            steps[i] += n;
        }
    }
    cx.budget.queryable.set(cx.budget.queryable.get() + total);
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
    if plain && columns.starts.is_empty() {
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
        Source::Series(_) => {
            let Input::Series(mut set, wanted) = input(window, cx)? else {
                return Ok(out);
            };
            while let Some(series) = set.next() {
                cx.check()?;
                let series = series.map_err(|e| QueryError::storage(&e))?;
                columns.load(&series, &wanted)?;
                cx.budget.take(columns.len(), columns.len() * 16)?;
                let read = columns.len() as u64;
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
