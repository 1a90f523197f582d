//! Lines and curves through the samples of a window: `deriv`, `predict_linear`, `double_exponential_smoothing`.

use model::histogram_sum::kahan_add;

use super::{Env, Out, View};
use crate::error::{QueryError, Res};
use crate::notes::Note;

/// Slope per second, and the value at `origin`, of the least-squares line.
fn line(view: &View<'_>, origin: i64) -> (f64, f64) {
    let first = view.values[0];
    if view.values[1..].iter().all(|v| *v == first) {
        return if first.is_infinite() {
            (f64::NAN, f64::NAN)
        } else {
            (0.0, first)
        };
    }
    let n = view.values.len() as f64;
    // Times are whole milliseconds: their sums need no compensation.
    let (mut x, mut xx) = (0i64, 0i128);
    let (mut y, mut y_lost, mut xy, mut xy_lost) = (0.0, 0.0, 0.0, 0.0);
    for (t, v) in view.times.iter().zip(view.values) {
        let ms = t - origin;
        x += ms;
        xx += i128::from(ms) * i128::from(ms);
        kahan_add(*v, &mut y, &mut y_lost);
        kahan_add(ms as f64 / 1000.0 * v, &mut xy, &mut xy_lost);
    }
    let (x, xx) = (x as f64 / 1e3, xx as f64 / 1e6);
    let (y, xy) = (y + y_lost, xy + xy_lost);
    let covariance = xy - x * y / n;
    let variance = xx - x * x / n;
    let slope = covariance / variance;
    (slope, y / n - slope * x / n)
}

/// Whether there are samples enough; tells of histograms among them.
fn enough(env: &Env<'_>, view: &View<'_>) -> bool {
    if !view.values.is_empty() && !view.hists.is_empty() {
        env.note_at(Note::IgnoredInRange(env.name()), env.first_pos);
    }
    view.values.len() >= 2
}

pub(super) fn deriv(env: &Env<'_>, view: &View<'_>) -> Out {
    if !enough(env, view) {
        return Out::None;
    }
    Out::Float(line(view, view.times[0]).0)
}

pub(super) fn predict_linear(env: &Env<'_>, view: &View<'_>) -> Out {
    if !enough(env, view) {
        return Out::None;
    }
    let (slope, intercept) = line(view, view.now);
    Out::Float(slope * env.param(0, view.step) + intercept)
}

/// Refuses factors that smooth nothing, before anything is read.
pub(super) fn check_smoothing(func: &str, params: &[Vec<f64>]) -> Res<()> {
    if func != "double_exponential_smoothing" {
        return Ok(());
    }
    for (name, short, which) in [("smoothing", "sf", 0), ("trend", "tf", 1)] {
        for v in params.get(which).into_iter().flatten() {
            if v.is_nan() || *v <= 0.0 || *v >= 1.0 {
                return Err(QueryError::execution(format!(
                    "invalid {name} factor. Expected: 0 < {short} < 1, got: {v:.6}"
                )));
            }
        }
    }
    Ok(())
}

pub(super) fn smoothing(env: &Env<'_>, view: &View<'_>) -> Out {
    if !enough(env, view) {
        return Out::None;
    }
    let (sf, tf) = (env.param(0, view.step), env.param(1, view.step));
    let v = view.values;
    let (mut before, mut now) = (0.0, v[0]);
    let mut trend = v[1] - v[0];
    for (i, x) in v.iter().enumerate().skip(1) {
        if i > 1 {
            trend = tf * (now - before) + (1.0 - tf) * trend;
        }
        (before, now) = (now, sf * x + (1.0 - sf) * (now + trend));
    }
    Out::Float(now)
}
