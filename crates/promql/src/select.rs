//! Instant selectors: the newest sample of each series at each step, if it is not too old.

use std::sync::Arc;

use model::ResetHint;
use model::sample::is_stale_nan;
use storage::{Series, SeriesSet};

use crate::cx::Cx;
use crate::error::Res;
use crate::frame::{Frame, Hist, hist_samples, is_absent};
use crate::grid::Grid;
use crate::leaf::{Leaf, LeafStream, Scratch, Told};
use crate::notes::Note;
use crate::plan::Select;
use crate::samples::{Columns, Wanted};

/// What of the found samples is given on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Give {
    Value,
    /// The sample's own time, in seconds.
    Time,
    /// Its start timestamp, in seconds.
    Start,
}

/// A selector at the steps of a grid.
pub(crate) struct SelectLeaf<'q> {
    select: &'q Select,
    grid: Grid,
    lookback: i64,
    give: Give,
    /// Count samples per step for the statistics.
    per_step: bool,
}

/// The series of an instant selector.
pub(crate) fn open<'q>(
    select: &'q Select,
    grid: Grid,
    give: Give,
    cx: &'q Cx<'q>,
) -> Res<LeafStream<'q, SelectLeaf<'q>>> {
    let leaf = SelectLeaf {
        select,
        grid,
        lookback: cx.lookback,
        give,
        per_step: cx.per_step_stats,
    };
    let set = cx.select(&select.matchers, &select.hints)?;
    Ok(LeafStream::new(leaf, select, set, grid, cx))
}

/// Storage's own warnings, once its last series was read.
pub(crate) fn pass_warnings(set: &mut dyn SeriesSet, cx: &Cx<'_>) {
    for warning in set.warnings() {
        cx.note(Note::Storage(warning), promql_syntax::PosRange::default());
    }
}

impl Leaf for SelectLeaf<'_> {
    fn evaluate(
        &self,
        series: &Series,
        scratch: &mut Scratch,
        out: &mut Frame,
        told: &mut Told,
    ) -> Res<()> {
        let columns = &mut scratch.columns;
        let wanted = Wanted {
            first: self.select.hints.start,
            last: self.select.hints.end,
            // Interpolation goes over them.
            stale_markers: !self.select.smoothed,
            starts: self.give == Give::Start,
            skip_buckets: self.select.skip_buckets,
        };
        columns.load(series, &wanted)?;
        told.read += columns.len() as u64;
        out.reset(self.grid.n);
        if columns.is_empty() {
            return Ok(());
        }
        if self.select.smoothed {
            let how = super::window::extended::Smoothed {
                select: self.select,
                grid: &self.grid,
                lookback: self.lookback,
                labels: &series.labels,
            };
            super::window::extended::smoothed_instants(columns, &how, out, told);
        } else {
            latest(
                columns,
                &Latest {
                    grid: &self.grid,
                    offset: self.select.offset,
                    at: self.select.at,
                    lookback: self.lookback,
                    give: self.give,
                },
                out,
            );
        }
        self.count(out, told);
        out.labels = series.labels.clone();
        out.drop_name = self.give != Give::Value;
        Ok(())
    }
}

impl SelectLeaf<'_> {
    /// Counts the samples of a selected series for the statistics.
    fn count(&self, out: &Frame, told: &mut Told) {
        if self.per_step {
            told.per_step.resize(self.grid.n, 0);
        }
        for i in 0..out.floats.len() {
            let samples = if !is_absent(out.floats[i]) {
                1
            } else {
                out.hist(i).map_or(0, |h| hist_samples(h) as u64)
            };
            told.queryable += samples;
            if self.per_step {
                told.per_step[i] += samples;
            }
        }
    }
}

pub(crate) struct Latest<'a> {
    pub grid: &'a Grid,
    pub offset: i64,
    pub at: Option<i64>,
    pub lookback: i64,
    pub give: Give,
}

/// Writes the newest sample at each step, the window open on the left.
pub(crate) fn latest(columns: &Columns, how: &Latest<'_>, out: &mut Frame) {
    let (times, values) = (&columns.times[..], &columns.values[..]);
    let hist_times = &columns.hist_times[..];
    let (mut f, mut h) = (0, 0);
    for i in 0..how.grid.n {
        let reference = how
            .at
            .unwrap_or_else(|| how.grid.time(i))
            .saturating_sub(how.offset);
        let oldest = reference.saturating_sub(how.lookback);
        while f < times.len() && times[f] <= reference {
            f += 1;
        }
        let float_time = if f > 0 { times[f - 1] } else { i64::MIN };
        if !hist_times.is_empty() {
            while h < hist_times.len() && hist_times[h] <= reference {
                h += 1;
            }
            if h > 0 && hist_times[h - 1] > float_time {
                if hist_times[h - 1] > oldest {
                    give_histogram(columns, h - 1, how.give, i, out);
                }
                continue;
            }
        }
        if f > 0 && float_time > oldest {
            let v = values[f - 1];
            // A stale marker is the absent value itself.
            out.floats[i] = match how.give {
                _ if is_stale_nan(v) => v,
                Give::Value => v,
                Give::Time => float_time as f64 / 1000.0,
                Give::Start => start(columns.starts.get(f - 1)),
            };
        }
    }
}

fn start(ms: Option<&i64>) -> f64 {
    ms.copied().unwrap_or(0) as f64 / 1000.0
}

fn give_histogram(columns: &Columns, at: usize, give: Give, i: usize, out: &mut Frame) {
    let h: &Hist = &columns.hists[at];
    if is_stale_nan(h.sum) {
        return;
    }
    match give {
        Give::Value => out.set_hist(i, Arc::clone(h)),
        Give::Time => out.floats[i] = columns.hist_times[at] as f64 / 1000.0,
        Give::Start => out.floats[i] = start(columns.hist_starts.get(at)),
    }
}

/// A copy without knowledge about resets.
pub(crate) fn with_unknown_hint(h: &Hist) -> Hist {
    let mut copy = (**h).clone();
    copy.reset_hint = ResetHint::Unknown;
    Arc::new(copy)
}
