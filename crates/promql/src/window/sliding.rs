//! Windows over plain floats that are not started anew at each step.
//!
//! What a window shares with the one before it is not looked at again: resets and changes are listed once per series,
//! extremes come from a queue, sums from the difference of two running sums. These carry what rounding lost, twice a float's
//! digits in all, so that a window's sum is as exact as one added up from its start.

use std::collections::VecDeque;

use super::over_time::{avg_of, sum_of};
use super::rate::{Extrapolation, note_non_counter};
use super::{Env, ends};
use crate::frame::Frame;
use crate::grid::Grid;
use crate::plan::Window;

/// From this many samples a window on, prefix sums pay.
const LONG_WINDOW: usize = 8;

/// One series without histograms.
pub(super) struct Input<'a> {
    pub times: &'a [i64],
    pub values: &'a [f64],
    pub bounds: &'a [(u32, u32)],
}

/// Writes the function's values; false if it has no sliding form.
pub(super) fn evaluate(
    env: &Env<'_>,
    input: &Input<'_>,
    grid: &Grid,
    window: &Window,
    out: &mut Frame,
) -> bool {
    match env.func {
        "rate" | "increase" | "delta" => rates(env, input, grid, window, out),
        "count_over_time" => each(input, out, |lo, hi| (hi - lo) as f64),
        "present_over_time" | "absent_over_time" => each(input, out, |_, _| 1.0),
        "last_over_time" => each(input, out, |_, hi| input.values[hi - 1]),
        "first_over_time" => each(input, out, |lo, _| input.values[lo]),
        "sum_over_time" | "avg_over_time" => sums(env, input, out),
        "min_over_time" => extremes(input, out, |a, b| a <= b),
        "max_over_time" => extremes(input, out, |a, b| a >= b),
        "resets" => events(input, out, |a, b| b < a),
        "changes" => events(input, out, |a, b| a != b && !(a.is_nan() && b.is_nan())),
        _ => return false,
    }
    true
}

fn each(input: &Input<'_>, out: &mut Frame, f: impl Fn(usize, usize) -> f64) {
    for ((lo, hi), v) in input.bounds.iter().zip(&mut out.floats) {
        if lo < hi {
            *v = f(*lo as usize, *hi as usize);
        }
    }
}

/// Indexes of the samples that something happens at, compared with the one before.
fn event_list(values: &[f64], happens: impl Fn(f64, f64) -> bool) -> Vec<u32> {
    // Mostly there are none, and counting takes several at once.
    let pairs = values.iter().zip(values.get(1..).unwrap_or_default());
    if pairs.filter(|(a, b)| happens(**a, **b)).count() == 0 {
        return Vec::new();
    }
    (1..values.len())
        .filter(|i| happens(values[i - 1], values[*i]))
        .map(|i| i as u32)
        .collect()
}

fn events(input: &Input<'_>, out: &mut Frame, happens: impl Fn(f64, f64) -> bool) {
    let list = event_list(input.values, happens);
    let (mut from, mut to) = (0, 0);
    for ((lo, hi), v) in input.bounds.iter().zip(&mut out.floats) {
        while list.get(to).is_some_and(|e| e < hi) {
            to += 1;
        }
        // An event at the window's first sample happened before it.
        while list.get(from).is_some_and(|e| e <= lo) {
            from += 1;
        }
        if lo < hi {
            *v = to.saturating_sub(from) as f64;
        }
    }
}

fn rates(env: &Env<'_>, input: &Input<'_>, grid: &Grid, window: &Window, out: &mut Frame) {
    let counter = env.func != "delta";
    let resets = if counter {
        event_list(input.values, |a, b| b < a)
    } else {
        Vec::new()
    };
    let per_second = if env.func == "rate" {
        env.range_ms as f64 / 1000.0
    } else {
        1.0
    };
    let mut next_reset = 0;
    let mut any = false;
    let mut lies = Lies::default();
    for (step, (lo, hi)) in input.bounds.iter().enumerate() {
        if hi.saturating_sub(*lo) < 2 {
            continue;
        }
        let (lo, last) = (*lo as usize, *hi as usize - 1);
        let first = input.values[lo];
        let mut result = input.values[last] - first;
        if !resets.is_empty() {
            while resets.get(next_reset).is_some_and(|e| *e as usize <= lo) {
                next_reset += 1;
            }
            let before = resets[next_reset..].iter().take_while(|e| *e < hi);
            let mut found = 0;
            for e in before {
                result += input.values[*e as usize - 1];
                found += 1;
            }
            if !env.go_on(found) {
                return;
            }
        }
        let (from, to) = ends(window, grid, step);
        let extrapolation = |to_zero| Extrapolation {
            first: input.times[lo],
            last: input.times[last],
            gaps: last - lo,
            from,
            to,
            start: None,
            to_zero,
        };
        let plain = extrapolation(None);
        let now = (plain.first - from, plain.last - plain.first, plain.gaps);
        if lies.key != now || lies.to_end != to - plain.last {
            lies = Lies::of(&plain, now, per_second);
        }
        let limits = counter && result > 0.0 && first >= 0.0 && lies.may_limit(first, result);
        out.floats[step] = if limits {
            let factor = extrapolation(Some(first / result)).factor();
            result * (factor / per_second)
        } else {
            result * lies.factor
        };
        any = true;
    }
    if any {
        note_non_counter(env);
    }
}

/// How the samples lie in a window, and what follows from it: regular scrapes lie in the same way at every step.
#[derive(Default)]
struct Lies {
    /// Time from the window's start to the first sample, from there to the last, gaps between them.
    key: (i64, i64, usize),
    to_end: i64,
    /// What to multiply the increase by, unless the counter's zero is nearer than the window's start.
    factor: f64,
    /// Seconds to the window's start, no less than what extrapolation uses of them.
    to_start: f64,
    sampled: f64,
}

impl Lies {
    fn of(plain: &Extrapolation, key: (i64, i64, usize), per_second: f64) -> Lies {
        Lies {
            key,
            to_end: plain.to - plain.last,
            factor: plain.factor() / per_second,
            to_start: key.0 as f64 / 1000.0,
            sampled: key.1 as f64 / 1000.0,
        }
    }

    /// Whether the way to zero may be shorter than the way to the window's start; errs on the side of yes.
    fn may_limit(&self, first: f64, result: f64) -> bool {
        let (a, b) = (first * self.sampled, self.to_start * result * (1.0 + 1e-9));
        !(a > b && a.is_finite())
    }
}

/// Running sums: `sums[i]` is that of the first `i` values, with what rounding took from it.
struct Prefix {
    sums: Vec<(f64, f64)>,
    /// Below this a difference has too few digits left.
    least: f64,
}

impl Prefix {
    fn of(values: &[f64]) -> Prefix {
        let mut sums = Vec::with_capacity(values.len() + 1);
        let (mut sum, mut lost, mut most) = (0.0f64, 0.0, 0.0f64);
        sums.push((sum, lost));
        for v in values {
            let total = sum + v;
            let back = total - sum;
            lost += (sum - (total - back)) + (v - back);
            sum = total;
            most = most.max(total.abs());
            sums.push((sum, lost));
        }
        Prefix {
            sums,
            least: most * 1e-9,
        }
    }

    /// The sum from `lo` to before `hi`, rounded and rest; `None` where a sum from the start is more exact.
    fn between(&self, lo: usize, hi: usize) -> Option<(f64, f64)> {
        let ((a, a_lost), (b, b_lost)) = (self.sums[lo], self.sums[hi]);
        let sum = b - a;
        let back = sum - b;
        let lost = (b - (sum - back)) - (a + back) + (b_lost - a_lost);
        (sum.abs() > self.least).then_some((sum, lost))
    }
}

fn sums(env: &Env<'_>, input: &Input<'_>, out: &mut Frame) {
    let mean = env.func == "avg_over_time";
    let plain = |lo: usize, hi: usize| {
        if !env.go_on(hi - lo) {
            return f64::NAN;
        }
        let values = &input.values[lo..hi];
        if mean { avg_of(values) } else { sum_of(values) }
    };
    let longest = input
        .bounds
        .iter()
        .map(|(lo, hi)| hi.saturating_sub(*lo) as usize)
        .max()
        .unwrap_or(0);
    // Running sums help only windows that hold several and overlap.
    let overlap = input.bounds.windows(2).any(|w| w[1].0 < w[0].1);
    if longest < LONG_WINDOW || !overlap {
        return each(input, out, plain);
    }
    let prefix = Prefix::of(input.values);
    if !prefix.least.is_finite() || input.values.iter().any(|v| !v.is_finite()) {
        return each(input, out, plain);
    }
    each(input, out, |lo, hi| match prefix.between(lo, hi) {
        Some((sum, lost)) if mean => {
            let n = (hi - lo) as f64;
            sum / n + lost / n
        }
        Some((sum, lost)) => sum + lost,
        None => plain(lo, hi),
    });
}

/// The extreme of each window: a queue holds the candidates, best first.
fn extremes(input: &Input<'_>, out: &mut Frame, replaces: impl Fn(f64, f64) -> bool) {
    let mut queue: VecDeque<usize> = VecDeque::new();
    let mut next = 0;
    for ((lo, hi), v) in input.bounds.iter().zip(&mut out.floats) {
        let (lo, hi) = (*lo as usize, *hi as usize);
        next = next.max(lo);
        while next < hi {
            let value = input.values[next];
            if !value.is_nan() {
                while queue
                    .back()
                    .is_some_and(|b| replaces(value, input.values[*b]))
                {
                    queue.pop_back();
                }
                queue.push_back(next);
            }
            next += 1;
        }
        while queue.front().is_some_and(|f| *f < lo) {
            queue.pop_front();
        }
        if lo < hi {
            // Only NaN is left: the value of the last one, as a comparison from the start would end with.
            *v = queue
                .front()
                .map_or(input.values[hi - 1], |f| input.values[*f]);
        }
    }
}
