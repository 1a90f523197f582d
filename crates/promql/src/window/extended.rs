//! `anchored` and `smoothed`: values at the exact ends of a window, picked or interpolated.

use std::sync::Arc;

use model::float_histogram::IncompatibleLayout;
use model::{FloatHistogram, Labels, ResetHint};

use super::{Env, Out, View};
use crate::frame::{Frame, Hist};
use crate::grid::Grid;
use crate::leaf::Told;
use crate::notes::Note;
use crate::plan::{Extension, Select};
use crate::samples::Columns;
use crate::select::with_unknown_hint;

/// The samples at or around the window's ends: the last one not after `from`, and the last not after `to` (smoothed: the
/// first not before `to`). `None` if nothing lies within.
fn around(times: &[i64], from: i64, to: i64, smoothed: bool) -> Option<(usize, usize)> {
    let end = times.len().checked_sub(1)?;
    // Neither search looks at the very last sample: it is the answer where no other is.
    let first = times[..end]
        .partition_point(|t| *t <= from)
        .saturating_sub(1);
    let last = if smoothed {
        times[..end].partition_point(|t| *t < to)
    } else {
        end
    };
    if times[last] <= from || (smoothed && times[first] > to) {
        return None;
    }
    Some((first, last))
}

/// The value at `t` on the line between two samples; a counter that fell began at zero.
fn interpolate(a: (i64, f64), b: (i64, f64), t: i64, counter: bool) -> f64 {
    let y = if counter && b.1 < a.1 { 0.0 } else { a.1 };
    y + (b.1 - y) * (t - a.0) as f64 / (b.0 - a.0) as f64
}

struct Floats<'a> {
    times: &'a [i64],
    values: &'a [f64],
}

impl Floats<'_> {
    fn at(&self, i: usize) -> (i64, f64) {
        (self.times[i], self.values[i])
    }

    fn left(&self, first: usize, from: i64, smoothed: bool, counter: bool) -> f64 {
        if smoothed && self.times[first] < from && first + 1 < self.times.len() {
            interpolate(self.at(first), self.at(first + 1), from, counter)
        } else {
            self.values[first]
        }
    }

    fn right(&self, last: usize, to: i64, smoothed: bool, counter: bool) -> f64 {
        if smoothed && last > 0 && self.times[last] > to {
            interpolate(self.at(last - 1), self.at(last), to, counter)
        } else {
            self.values[last]
        }
    }
}

/// `rate`, `increase` and `delta` of anchored and smoothed windows.
pub(super) fn rate(env: &Env<'_>, view: &View<'_>) -> Out {
    if !view.hists.is_empty() && !view.values.is_empty() {
        env.note(Note::MixedFloatsHistograms(env.name()));
        return Out::None;
    }
    let smoothed = env.extension == Extension::Smoothed;
    let counter = env.func != "delta";
    let per_second = if env.func == "rate" {
        env.range_ms as f64 / 1000.0
    } else {
        1.0
    };
    if !view.hists.is_empty() {
        return match histogram_rate(env, view, smoothed, counter) {
            Some(mut h) => {
                if env.func == "rate" {
                    h.div(per_second);
                }
                h.reset_hint = ResetHint::Gauge;
                h.compact();
                Out::hist(h)
            }
            None => Out::None,
        };
    }
    let floats = Floats {
        times: view.times,
        values: view.values,
    };
    let Some((mut first, mut last)) = around(view.times, view.from, view.to, smoothed) else {
        return Out::None;
    };
    let left = floats.left(first, view.from, smoothed, counter);
    let right = floats.right(last, view.to, smoothed, counter);
    let mut result = right - left;
    if counter {
        if view.times[first] <= view.from {
            first += 1;
        }
        // One past the last sample strictly within.
        if view.times[last] < view.to {
            last += 1;
        }
        let mut prev = left;
        let mut correction = 0.0;
        let inside = view.values.get(first..last).unwrap_or(&[]);
        for v in inside.iter().chain([&right]) {
            if *v < prev {
                correction += prev;
            }
            prev = *v;
        }
        result += correction;
    }
    Out::Float(result / per_second)
}

fn interpolate_histograms(
    a: (i64, &Hist),
    b: (i64, &Hist),
    t: i64,
    counter: bool,
    note: &mut dyn FnMut(Note),
) -> Result<FloatHistogram, IncompatibleLayout> {
    if t == a.0 {
        return Ok((**a.1).clone());
    }
    if t == b.0 {
        return Ok((**b.1).clone());
    }
    let share = (t - a.0) as f64 / (b.0 - a.0) as f64;
    let mut result = (**b.1).clone();
    if counter && b.1.detect_reset(a.1) {
        result.mul(share);
        return Ok(result);
    }
    if result.sub(a.1)?.bounds_reconciled {
        note(Note::BoundsReconciled("subtraction"));
    }
    result.mul(share);
    if result.add(a.1)?.bounds_reconciled {
        note(Note::BoundsReconciled("addition"));
    }
    Ok(result)
}

fn histogram_rate(
    env: &Env<'_>,
    view: &View<'_>,
    smoothed: bool,
    counter: bool,
) -> Option<FloatHistogram> {
    let (times, hists) = (view.hist_times, view.hists);
    let (first, last) = around(times, view.from, view.to, smoothed)?;
    let custom = hists[first].uses_custom_buckets();
    for h in hists.get(first..=last)? {
        if h.uses_custom_buckets() != custom {
            env.note(Note::MixedExponentialCustom(env.name()));
            return None;
        }
        if counter && h.reset_hint == ResetHint::Gauge {
            env.note(Note::NotCounter(env.name()));
        }
    }
    let compatible = |r: Result<FloatHistogram, IncompatibleLayout>| match r {
        Ok(h) => Some(h),
        Err(_) => {
            env.note(Note::MixedExponentialCustom(env.name()));
            None
        }
    };
    let at = |i: usize| (times[i], &hists[i]);
    let mut note = |n| env.note(n);
    let left = if smoothed && times[first] < view.from && first + 1 < hists.len() {
        compatible(interpolate_histograms(
            at(first),
            at(first + 1),
            view.from,
            counter,
            &mut note,
        ))?
    } else {
        (*hists[first]).clone()
    };
    let right = if smoothed && last > 0 && times[last] > view.to {
        compatible(interpolate_histograms(
            at(last - 1),
            at(last),
            view.to,
            counter,
            &mut note,
        ))?
    } else {
        (*hists[last]).clone()
    };
    let gauge = |h: &FloatHistogram| h.reset_hint == ResetHint::Gauge;
    let gauges = gauge(&left) && gauge(&right);
    if !counter && !gauges {
        env.note(Note::NotGauge(env.name()));
    }
    let mut result = right.clone();
    let combine = |result: &mut FloatHistogram, other: &FloatHistogram, add: bool| {
        let done = if add {
            result.add(other)
        } else {
            result.sub(other)
        };
        match done {
            Ok(notes) => {
                if notes.bounds_reconciled {
                    env.note(Note::BoundsReconciled(if add {
                        "addition"
                    } else {
                        "subtraction"
                    }));
                }
                Some(())
            }
            Err(_) => {
                env.note(Note::MixedExponentialCustom(env.name()));
                None
            }
        }
    };
    combine(&mut result, &left, false)?;
    if !counter {
        return Some(result);
    }
    // `left` and `right` stand for the outermost samples; a reset that the left interpolation went over is in it already.
    let mut prev: &FloatHistogram = &left;
    let mut next = first + 1;
    if smoothed
        && times[first] < view.from
        && let Some(second) = hists.get(first + 1)
        && second.detect_reset(&hists[first])
    {
        prev = second;
        next += 1;
    }
    if next > last {
        return Some(result);
    }
    let mut correction: Option<FloatHistogram> = None;
    for h in hists[next..last].iter().map(|h| &**h).chain([&right]) {
        if h.detect_reset(prev) {
            match &mut correction {
                None => correction = Some(prev.clone()),
                Some(sum) => combine(sum, prev, true)?,
            }
        }
        prev = h;
    }
    if let Some(correction) = correction {
        combine(&mut result, &correction, true)?;
    }
    Some(result)
}

/// The samples of a range selector with values put at its exact ends.
pub(super) fn samples(columns: &Columns, from: i64, to: i64, smoothed: bool) -> Vec<(i64, f64)> {
    let floats = Floats {
        times: &columns.times,
        values: &columns.values,
    };
    let Some((mut first, mut last)) = around(&columns.times, from, to, smoothed) else {
        return Vec::new();
    };
    let mut out = vec![(from, floats.left(first, from, smoothed, false))];
    let right = floats.right(last, to, smoothed, false);
    if columns.times[first] <= from {
        first += 1;
    }
    if columns.times[last] < to {
        last += 1;
    }
    out.extend((first..last).map(|i| floats.at(i)));
    out.push((to, right));
    out
}

/// A smoothed instant selector over one series.
pub(crate) struct Smoothed<'a> {
    pub select: &'a Select,
    pub grid: &'a Grid,
    pub lookback: i64,
    pub labels: &'a Labels,
}

/// A smoothed instant selector: the value at each step on the line between the samples around it.
pub(crate) fn smoothed_instants(
    columns: &Columns,
    how: &Smoothed<'_>,
    out: &mut Frame,
    told: &mut Told,
) {
    let Smoothed {
        select,
        grid,
        lookback,
        labels,
    } = *how;
    let mut note = |n| told.note(n, select.pos);
    let name = || labels.metric_name().to_string();
    for step in 0..grid.n {
        let t = select
            .at
            .unwrap_or_else(|| grid.time(step))
            .saturating_sub(select.offset);
        let (oldest, newest) = (t.saturating_sub(lookback), t.saturating_add(lookback));
        // The last sample not after `t`, and the first after it, within the window.
        let pair = |times: &[i64]| {
            let split = times.partition_point(|x| *x <= t);
            let before = split.checked_sub(1).filter(|i| times[*i] > oldest);
            let after = (split < times.len() && times[split] <= newest).then_some(split);
            (before, after)
        };
        let floats = pair(&columns.times);
        let hists = pair(&columns.hist_times);
        let any = |p: (Option<usize>, Option<usize>)| p.0.is_some() || p.1.is_some();
        if any(floats) && any(hists) {
            note(Note::MixedFloatsHistograms(name()));
            continue;
        }
        match floats {
            (Some(a), _) if columns.times[a] == t => out.floats[step] = columns.values[a],
            (Some(a), Some(b)) => {
                let at = |i: usize| (columns.times[i], columns.values[i]);
                out.floats[step] = interpolate(at(a), at(b), t, false);
            }
            (Some(a), None) => out.floats[step] = columns.values[a],
            _ => {}
        }
        match hists {
            (Some(a), _) if columns.hist_times[a] == t => {
                out.set_hist(step, Arc::clone(&columns.hists[a]));
            }
            (Some(a), Some(b)) => {
                let (x, y) = (&columns.hists[a], &columns.hists[b]);
                let counter =
                    !(x.reset_hint == ResetHint::Gauge && y.reset_hint == ResetHint::Gauge);
                if x.uses_custom_buckets() != y.uses_custom_buckets() {
                    note(Note::MixedExponentialCustom(name()));
                    continue;
                }
                match interpolate_histograms(
                    (columns.hist_times[a], x),
                    (columns.hist_times[b], y),
                    t,
                    counter,
                    &mut note,
                ) {
                    Ok(h) => out.set_hist(step, Arc::new(h)),
                    Err(_) => note(Note::MixedExponentialCustom(name())),
                }
            }
            (Some(a), None) => out.set_hist(step, with_unknown_hint(&columns.hists[a])),
            _ => {}
        }
    }
}
