//! `rate`, `increase`, `delta` with extrapolation, `irate`, `idelta`.

use std::sync::Arc;

use model::ResetHint;

use super::rate_histogram::increase as histogram_increase;
use super::start_time::{is_reset, overlaps};
use super::{Env, Out, View};
use crate::frame::Hist;
use crate::notes::Note;

/// Names of counters end in one of these.
const COUNTER_SUFFIXES: [&str; 4] = ["_total", "_sum", "_count", "_bucket"];

/// Tells that `rate` or `increase` was probably applied to something that is no counter.
pub(super) fn note_non_counter(env: &Env<'_>) {
    if !matches!(env.func, "rate" | "increase") {
        return;
    }
    let name = env.labels.metric_name();
    if name.is_empty() {
        return;
    }
    if env.options.type_and_unit_labels {
        let kind = env.labels.get("__type__").unwrap_or("");
        if kind != "counter" && kind != "histogram" {
            env.note(Note::PossibleNonCounterType(kind.to_string(), env.name()));
        }
    } else if !COUNTER_SUFFIXES.iter().any(|s| name.ends_with(s)) {
        env.note(Note::PossibleNonCounter(env.name()));
    }
}

/// How far the increase between first and last sample reaches beyond them.
pub(super) struct Extrapolation {
    pub first: i64,
    pub last: i64,
    /// Gaps between samples.
    pub gaps: usize,
    pub from: i64,
    pub to: i64,
    /// When the counter began, if within the window and before the first sample.
    pub start: Option<i64>,
    /// For counters: the time to where a line through the samples meets zero, as a share of the sampled time.
    pub to_zero: Option<f64>,
}

impl Extrapolation {
    /// What to multiply the increase by.
    pub fn factor(&self) -> f64 {
        let mut to_start = (self.first - self.from) as f64 / 1000.0;
        let mut to_end = (self.to - self.last) as f64 / 1000.0;
        let mut sampled = (self.last - self.first) as f64 / 1000.0;
        let average = if self.gaps > 0 {
            sampled / self.gaps as f64
        } else {
            0.0
        };
        let threshold = average * 1.1;
        if let Some(start) = self.start {
            to_start = 0.0;
            sampled = (self.last - start) as f64 / 1000.0;
        } else {
            if to_start >= threshold {
                to_start = average / 2.0;
            }
            if let Some(share) = self.to_zero {
                let to_zero = sampled * share;
                if to_zero < to_start {
                    to_start = to_zero;
                }
            }
        }
        if to_end >= threshold {
            to_end = average / 2.0;
        }
        if sampled == 0.0 {
            1.0
        } else {
            (sampled + to_start + to_end) / sampled
        }
    }
}

pub(super) fn extrapolated(env: &Env<'_>, view: &View<'_>) -> Out {
    if !view.hists.is_empty() && !view.values.is_empty() {
        env.note(Note::MixedFloatsHistograms(env.name()));
        return Out::None;
    }
    let counter = env.func != "delta";
    let started = |starts: &[i64], first: i64| {
        let start = starts.first().copied().unwrap_or(0);
        (counter && start != 0 && start > view.from && start < first).then_some(start)
    };
    let per_second = if env.func == "rate" {
        env.range_ms as f64 / 1000.0
    } else {
        1.0
    };
    if !view.hists.is_empty() {
        return extrapolated_histogram(
            env,
            view,
            counter,
            per_second,
            started(view.hist_starts, view.hist_times[0]),
        );
    }
    let n = view.values.len();
    let start = started(view.starts, view.times[0]);
    if n < 2 && start.is_none() {
        return Out::None;
    }
    let first = view.values[0];
    let mut result = view.values[n - 1] - first;
    if counter {
        result = with_resets(env, view, result);
    }
    if start.is_some() {
        result += first;
    }
    let factor = Extrapolation {
        first: view.times[0],
        last: view.times[n - 1],
        gaps: n - 1,
        from: view.from,
        to: view.to,
        start,
        to_zero: (counter && result > 0.0 && first >= 0.0).then(|| first / result),
    }
    .factor();
    Out::Float(result * (factor / per_second))
}

/// Adds what the counter had counted before each reset.
fn with_resets(env: &Env<'_>, view: &View<'_>, mut result: f64) -> f64 {
    let mut overlapped = false;
    for i in 1..view.values.len() {
        let (prev, now) = (view.values[i - 1], view.values[i]);
        let mut reset = now < prev;
        if let (Some(prev_start), Some(start)) = (view.starts.get(i - 1), view.starts.get(i)) {
            if !overlapped && overlaps(*prev_start, view.times[i - 1], *start) {
                overlapped = true;
                env.note(Note::StartOverlap(env.name()));
            }
            reset |= is_reset(*prev_start, view.times[i - 1], *start, view.times[i]);
        }
        if reset {
            result += prev;
        }
    }
    result
}

fn extrapolated_histogram(
    env: &Env<'_>,
    view: &View<'_>,
    counter: bool,
    per_second: f64,
    start: Option<i64>,
) -> Out {
    let n = view.hists.len();
    if n < 2 && start.is_none() {
        return Out::None;
    }
    let mut result = None;
    if n > 1 {
        match histogram_increase(env, view, counter) {
            Some(h) => result = Some(h),
            None => return Out::None,
        }
    }
    let first = &view.hists[0];
    if start.is_some() {
        match &mut result {
            None => result = Some((**first).clone()),
            Some(h) => match h.add(first) {
                Ok(notes) => {
                    if notes.bounds_reconciled {
                        env.note(Note::BoundsReconciled("addition"));
                    }
                }
                Err(_) => {
                    env.note(Note::MixedExponentialCustom(env.name()));
                    return Out::None;
                }
            },
        }
    }
    let Some(mut result) = result else {
        return Out::None;
    };
    let factor = Extrapolation {
        first: view.hist_times[0],
        last: view.hist_times[n - 1],
        gaps: n - 1,
        from: view.from,
        to: view.to,
        start,
        to_zero: (counter && result.count > 0.0 && first.count >= 0.0)
            .then(|| first.count / result.count),
    }
    .factor();
    result.mul(factor / per_second);
    Out::hist(result)
}

/// A sample of either kind.
#[derive(Clone)]
struct Either {
    t: i64,
    start: i64,
    float: f64,
    hist: Option<Hist>,
}

pub(super) fn instant(env: &Env<'_>, view: &View<'_>) -> Out {
    let rate = env.func == "irate";
    let mut last: Vec<Either> = Vec::with_capacity(4);
    let n = view.values.len();
    for i in n.saturating_sub(2)..n {
        last.push(Either {
            t: view.times[i],
            start: view.starts.get(i).copied().unwrap_or(0),
            float: view.values[i],
            hist: None,
        });
    }
    let n = view.hists.len();
    for i in n.saturating_sub(2)..n {
        last.push(Either {
            t: view.hist_times[i],
            start: view.hist_starts.get(i).copied().unwrap_or(0),
            float: 0.0,
            hist: Some(Arc::clone(&view.hists[i])),
        });
    }
    last.sort_by_key(|s| s.t);
    let [.., a, b] = &last[..] else {
        return Out::None;
    };
    let elapsed = (b.t - a.t) as f64 / 1000.0;
    if elapsed == 0.0 {
        return Out::None;
    }
    let started_anew = rate && is_reset(a.start, a.t, b.start, b.t);
    let note = |note| env.note_at(note, env.args_pos);
    match (&a.hist, &b.hist) {
        (None, None) => {
            let reset = rate && (b.float < a.float || started_anew);
            let result = if reset { b.float } else { b.float - a.float };
            Out::Float(if rate { result / elapsed } else { result })
        }
        (Some(x), Some(y)) => {
            let gauges = [x, y].map(|h| h.reset_hint == ResetHint::Gauge);
            if rate && gauges.contains(&true) {
                note(Note::NotCounter(env.name()));
            }
            if !rate && gauges.contains(&false) {
                note(Note::NotGauge(env.name()));
            }
            let mut result = (**y).clone();
            if !rate || !(started_anew || y.detect_reset(x)) {
                match result.sub(x) {
                    Ok(notes) => {
                        if notes.bounds_reconciled {
                            note(Note::BoundsReconciled("subtraction"));
                        }
                    }
                    Err(_) => {
                        note(Note::MixedExponentialCustom(env.name()));
                        return Out::None;
                    }
                }
            }
            result.reset_hint = ResetHint::Gauge;
            result.compact();
            if rate {
                result.div(elapsed);
            }
            Out::hist(result)
        }
        _ => {
            note(Note::MixedFloatsHistograms(env.name()));
            Out::None
        }
    }
}
