//! `changes` and `resets`: counting what happens between neighbouring samples.

use super::start_time::is_reset;
use super::{Env, Out, View};
use crate::frame::Hist;
use crate::plan::Extension;

/// A sample of either kind.
#[derive(Clone, Copy)]
struct Sample<'a> {
    t: i64,
    start: i64,
    float: f64,
    hist: Option<&'a Hist>,
}

/// All samples of a window in order of time; with `anchored`, from the newest one at or before the window's start.
fn walk<'a>(
    env: &Env<'_>,
    view: &'a View<'_>,
    mut each: impl FnMut(Sample<'a>, Sample<'a>),
) -> bool {
    let (mut f, mut h) = (0, 0);
    if env.extension == Extension::Anchored {
        let floats_before = view.times.partition_point(|t| *t <= view.from);
        let hists_before = view.hist_times.partition_point(|t| *t <= view.from);
        if floats_before >= view.times.len() && hists_before >= view.hist_times.len() {
            return false;
        }
        (f, h) = match (floats_before.checked_sub(1), hists_before.checked_sub(1)) {
            (None, None) => (0, 0),
            (Some(i), None) => (i, 0),
            (None, Some(j)) => (0, j),
            (Some(i), Some(j)) if view.times[i] >= view.hist_times[j] => (i, hists_before),
            (Some(_), Some(j)) => (floats_before, j),
        };
    }
    let mut prev: Option<Sample<'a>> = None;
    while f < view.times.len() || h < view.hist_times.len() {
        let float_first = match (view.times.get(f), view.hist_times.get(h)) {
            (Some(a), Some(b)) => a <= b,
            (a, _) => a.is_some(),
        };
        let sample = if float_first {
            f += 1;
            Sample {
                t: view.times[f - 1],
                start: view.starts.get(f - 1).copied().unwrap_or(0),
                float: view.values[f - 1],
                hist: None,
            }
        } else {
            h += 1;
            Sample {
                t: view.hist_times[h - 1],
                start: view.hist_starts.get(h - 1).copied().unwrap_or(0),
                float: 0.0,
                hist: Some(&view.hists[h - 1]),
            }
        };
        if let Some(prev) = prev {
            each(prev, sample);
        }
        prev = Some(sample);
    }
    prev.is_some()
}

pub(super) fn changes(env: &Env<'_>, view: &View<'_>) -> Out {
    let mut n = 0.0;
    let any = walk(env, view, |a, b| {
        let changed = match (a.hist, b.hist) {
            (None, None) => a.float != b.float && !(a.float.is_nan() && b.float.is_nan()),
            (Some(x), Some(y)) => !y.equals(x),
            _ => true,
        };
        if changed {
            n += 1.0;
        }
    });
    if any { Out::Float(n) } else { Out::None }
}

pub(super) fn resets(env: &Env<'_>, view: &View<'_>) -> Out {
    let mut n = 0.0;
    let any = walk(env, view, |a, b| {
        let started_anew = is_reset(a.start, a.t, b.start, b.t);
        let reset = match (a.hist, b.hist) {
            (None, None) => b.float < a.float || started_anew,
            (Some(x), Some(y)) => started_anew || y.detect_reset(x),
            _ => true,
        };
        if reset {
            n += 1.0;
        }
    });
    if any { Out::Float(n) } else { Out::None }
}
