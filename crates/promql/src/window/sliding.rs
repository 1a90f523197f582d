//! Windows over plain floats that are not started anew at each step.
//!
//! What a window shares with the one before it is not looked at again: resets and changes are listed once per series,
//! extremes come from a queue, sums from partial sums of fixed blocks. Blocks are summed with compensation, so a window's sum
//! is as exact as one added up from its start.

use std::collections::VecDeque;

use model::histogram_sum::kahan_add;

use super::over_time::{avg_of, sum_of};
use super::rate::{Extrapolation, note_non_counter};
use super::{Env, ends};
use crate::frame::Frame;
use crate::grid::Grid;
use crate::plan::Window;

/// Samples per block of partial sums.
const BLOCK: usize = 32;
/// From this many samples a window on, partial sums pay.
const LONG_WINDOW: usize = 3 * BLOCK;

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
    for (step, (lo, hi)) in input.bounds.iter().enumerate() {
        if hi.saturating_sub(*lo) < 2 {
            continue;
        }
        while resets.get(next_reset).is_some_and(|e| e <= lo) {
            next_reset += 1;
        }
        let (lo, last) = (*lo as usize, *hi as usize - 1);
        let first = input.values[lo];
        let mut result = input.values[last] - first;
        for e in resets[next_reset..].iter().take_while(|e| *e < hi) {
            result += input.values[*e as usize - 1];
        }
        let (from, to) = ends(window, grid, step);
        let factor = Extrapolation {
            first: input.times[lo],
            last: input.times[last],
            gaps: last - lo,
            from,
            to,
            start: None,
            to_zero: (counter && result > 0.0 && first >= 0.0).then(|| first / result),
        }
        .factor();
        out.floats[step] = result * (factor / per_second);
        any = true;
    }
    if any {
        note_non_counter(env);
    }
}

fn sums(env: &Env<'_>, input: &Input<'_>, out: &mut Frame) {
    let mean = env.func == "avg_over_time";
    let plain = |lo: usize, hi: usize| {
        let values = &input.values[lo..hi];
        if mean { avg_of(values) } else { sum_of(values) }
    };
    let longest = input
        .bounds
        .iter()
        .map(|(lo, hi)| hi.saturating_sub(*lo) as usize)
        .max()
        .unwrap_or(0);
    // Blocks help only windows that hold several and overlap.
    let overlap = input.bounds.windows(2).any(|w| w[1].0 < w[0].1);
    if longest < LONG_WINDOW || !overlap || input.values.iter().any(|v| !v.is_finite()) {
        return each(input, out, plain);
    }
    let blocks: Vec<(f64, f64)> = input
        .values
        .chunks(BLOCK)
        .map(|block| {
            let (mut sum, mut lost) = (0.0, 0.0);
            block
                .iter()
                .for_each(|v| kahan_add(*v, &mut sum, &mut lost));
            (sum, lost)
        })
        .collect();
    each(input, out, |lo, hi| {
        let (first, last) = (lo.div_ceil(BLOCK), hi / BLOCK);
        if last <= first {
            return plain(lo, hi);
        }
        let (mut sum, mut lost) = (0.0, 0.0);
        for v in &input.values[lo..first * BLOCK] {
            kahan_add(*v, &mut sum, &mut lost);
        }
        for (block, rest) in &blocks[first..last] {
            kahan_add(*block, &mut sum, &mut lost);
            lost += rest;
        }
        for v in &input.values[last * BLOCK..hi] {
            kahan_add(*v, &mut sum, &mut lost);
        }
        if sum.is_infinite() {
            plain(lo, hi)
        } else if mean {
            let n = (hi - lo) as f64;
            sum / n + lost / n
        } else {
            sum + lost
        }
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
