//! The `*_over_time` functions, one window at a time.

use std::sync::Arc;

use model::ResetHint;
use model::histogram_sum::{HistogramSum, kahan_add};

use super::{Env, Out, View};
use crate::frame::Hist;
use crate::notes::Note;
use crate::quantile::{invalid, quantile as quantile_of};

/// Whether a window holds floats and histograms, which some functions refuse.
fn mixed(env: &Env<'_>, view: &View<'_>) -> bool {
    let mixed = !view.values.is_empty() && !view.hists.is_empty();
    if mixed {
        env.note(Note::MixedFloatsHistograms(env.name()));
    }
    mixed
}

/// Whether there are floats; tells of histograms among them, which others leave aside.
fn floats(env: &Env<'_>, view: &View<'_>) -> bool {
    if view.values.is_empty() {
        return false;
    }
    if !view.hists.is_empty() {
        env.note_at(Note::IgnoredInRange(env.name()), env.first_pos);
    }
    true
}

/// The sum of histograms, or their mean; the mean is updated one by one once the sum would overflow.
pub(crate) fn histogram_total<'a>(
    hists: impl Iterator<Item = &'a Hist>,
    mean: bool,
    mut note: impl FnMut(Note),
    name: &dyn Fn() -> String,
) -> Option<model::FloatHistogram> {
    let (mut reset, mut not_reset, mut reconciled) = (false, false, false);
    let mut sum: Option<HistogramSum> = None;
    let mut n = 0.0;
    let mut incremental = false;
    for h in hists {
        reset |= h.reset_hint == ResetHint::CounterReset;
        not_reset |= h.reset_hint == ResetHint::NotCounterReset;
        n += 1.0;
        let Some(so_far) = &mut sum else {
            sum = Some(HistogramSum::new((**h).clone()));
            continue;
        };
        let added = if mean && incremental {
            so_far.scale((n - 1.0) / n);
            let mut share = (**h).clone();
            share.div(n);
            so_far.add(&share)
        } else if mean {
            let mut tried = so_far.clone();
            let added = tried.add(h);
            if tried.has_overflow() {
                incremental = true;
                so_far.scale(1.0 / n);
                let mut share = (**h).clone();
                share.div(n);
                so_far.add(&share)
            } else {
                *so_far = tried;
                added
            }
        } else {
            so_far.add(h)
        };
        match added {
            Ok(notes) => reconciled |= notes.bounds_reconciled,
            Err(_) => {
                note(Note::MixedExponentialCustom(name()));
                return None;
            }
        }
    }
    if reset && not_reset {
        note(Note::ResetCollision("aggregation"));
    }
    if reconciled {
        note(Note::BoundsReconciled("aggregation"));
    }
    let sum = sum?;
    Some(if mean && !incremental {
        sum.mean(n)
    } else {
        sum.total()
    })
}

pub(super) fn sum(env: &Env<'_>, view: &View<'_>) -> Out {
    if mixed(env, view) {
        return Out::None;
    }
    if view.values.is_empty() {
        let total = histogram_total(view.hists.iter(), false, |n| env.note(n), &|| env.name());
        return total.map_or(Out::None, Out::hist);
    }
    Out::Float(sum_of(view.values))
}

pub(super) fn sum_of(values: &[f64]) -> f64 {
    let (mut sum, mut lost) = (0.0, 0.0);
    for v in values {
        kahan_add(*v, &mut sum, &mut lost);
    }
    if sum.is_infinite() { sum } else { sum + lost }
}

pub(super) fn avg(env: &Env<'_>, view: &View<'_>) -> Out {
    if mixed(env, view) {
        return Out::None;
    }
    if view.values.is_empty() {
        let mean = histogram_total(view.hists.iter(), true, |n| env.note(n), &|| env.name());
        return mean.map_or(Out::None, Out::hist);
    }
    Out::Float(avg_of(view.values))
}

pub(super) fn avg_of(values: &[f64]) -> f64 {
    let mut mean = Mean::default();
    for v in values {
        mean.add(*v);
    }
    mean.value()
}

/// A mean that survives the overflow of its sum.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Mean {
    sum: f64,
    lost: f64,
    n: f64,
    incremental: bool,
}

impl Mean {
    pub fn add(&mut self, v: f64) {
        self.n += 1.0;
        if self.n == 1.0 {
            self.sum = v;
            return;
        }
        if !self.incremental {
            let (mut sum, mut lost) = (self.sum, self.lost);
            kahan_add(v, &mut sum, &mut lost);
            if !sum.is_infinite() {
                (self.sum, self.lost) = (sum, lost);
                return;
            }
            self.incremental = true;
            self.sum /= self.n - 1.0;
            self.lost /= self.n - 1.0;
        }
        let q = (self.n - 1.0) / self.n;
        self.sum *= q;
        self.lost *= q;
        kahan_add(v / self.n, &mut self.sum, &mut self.lost);
    }

    pub fn value(&self) -> f64 {
        if self.incremental {
            self.sum + self.lost
        } else {
            self.sum / self.n + self.lost / self.n
        }
    }
}

/// Index of the extreme value; NaN gives way to anything.
fn extreme(values: &[f64], better: impl Fn(f64, f64) -> bool) -> usize {
    let mut at = 0;
    for (i, v) in values.iter().enumerate() {
        if better(*v, values[at]) || values[at].is_nan() {
            at = i;
        }
    }
    at
}

pub(super) fn min(env: &Env<'_>, view: &View<'_>) -> Out {
    if !floats(env, view) {
        return Out::None;
    }
    Out::Float(view.values[extreme(view.values, |a, b| a < b)])
}

pub(super) fn max(env: &Env<'_>, view: &View<'_>) -> Out {
    if !floats(env, view) {
        return Out::None;
    }
    Out::Float(view.values[extreme(view.values, |a, b| a > b)])
}

pub(super) fn time_of_min(env: &Env<'_>, view: &View<'_>) -> Out {
    if !floats(env, view) {
        return Out::None;
    }
    Out::Float(view.times[extreme(view.values, |a, b| a <= b)] as f64 / 1000.0)
}

pub(super) fn time_of_max(env: &Env<'_>, view: &View<'_>) -> Out {
    if !floats(env, view) {
        return Out::None;
    }
    Out::Float(view.times[extreme(view.values, |a, b| a >= b)] as f64 / 1000.0)
}

pub(super) fn count(_: &Env<'_>, view: &View<'_>) -> Out {
    Out::Float((view.values.len() + view.hists.len()) as f64)
}

pub(super) fn present(_: &Env<'_>, _: &View<'_>) -> Out {
    Out::Float(1.0)
}

/// The last or first sample, of whichever kind.
fn edge(view: &View<'_>, last: bool) -> (i64, Out) {
    let float = if last {
        view.times.len().checked_sub(1)
    } else {
        (!view.times.is_empty()).then_some(0)
    };
    let hist = if last {
        view.hists.len().checked_sub(1)
    } else {
        (!view.hists.is_empty()).then_some(0)
    };
    let give_hist = |j: usize| (view.hist_times[j], Out::Hist(Arc::clone(&view.hists[j])));
    let give_float = |i: usize| (view.times[i], Out::Float(view.values[i]));
    match (float, hist) {
        (Some(i), Some(j)) if (view.times[i] > view.hist_times[j]) == last => give_float(i),
        (_, Some(j)) => give_hist(j),
        (Some(i), None) => give_float(i),
        (None, None) => (0, Out::None),
    }
}

pub(super) fn last(_: &Env<'_>, view: &View<'_>) -> Out {
    edge(view, true).1
}

pub(super) fn first(_: &Env<'_>, view: &View<'_>) -> Out {
    edge(view, false).1
}

pub(super) fn time_of_last(_: &Env<'_>, view: &View<'_>) -> Out {
    Out::Float(edge(view, true).0 as f64 / 1000.0)
}

pub(super) fn time_of_first(_: &Env<'_>, view: &View<'_>) -> Out {
    Out::Float(edge(view, false).0 as f64 / 1000.0)
}

fn variance(values: &[f64]) -> f64 {
    let (mut mean, mut mean_lost, mut aux, mut aux_lost) = (0.0, 0.0, 0.0, 0.0);
    let mut n = 0.0;
    for v in values {
        n += 1.0;
        let delta = v - (mean + mean_lost);
        kahan_add(delta / n, &mut mean, &mut mean_lost);
        kahan_add(delta * (v - (mean + mean_lost)), &mut aux, &mut aux_lost);
    }
    (aux + aux_lost) / n
}

pub(super) fn stdvar(env: &Env<'_>, view: &View<'_>) -> Out {
    if !floats(env, view) {
        return Out::None;
    }
    Out::Float(variance(view.values))
}

pub(super) fn stddev(env: &Env<'_>, view: &View<'_>) -> Out {
    if !floats(env, view) {
        return Out::None;
    }
    Out::Float(variance(view.values).sqrt())
}

pub(super) fn quantile(env: &Env<'_>, view: &View<'_>) -> Out {
    if view.values.is_empty() {
        return Out::None;
    }
    let q = env.param(0, view.step);
    if let Some(note) = invalid(q) {
        env.note_at(note, env.first_pos);
    }
    floats(env, view);
    Out::Float(quantile_of(q, &mut view.values.to_vec()))
}

pub(super) fn mad(env: &Env<'_>, view: &View<'_>) -> Out {
    if !floats(env, view) {
        return Out::None;
    }
    if view.values.iter().any(|v| v.is_nan()) {
        return Out::Float(f64::NAN);
    }
    let mut values = view.values.to_vec();
    let median = quantile_of(0.5, &mut values);
    values.iter_mut().for_each(|v| *v = (*v - median).abs());
    Out::Float(quantile_of(0.5, &mut values))
}
