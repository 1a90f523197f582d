//! `limitk` and `limit_ratio`: some of the series, as they are; and the parameters all such aggregations share.

use model::Labels;
use model::histogram_text::go_g;

use super::grouping::Grouping;
use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::{ABSENT, Frame};
use crate::grid::Grid;
use crate::notes::Note;
use crate::plan::Aggregate;
use crate::stream::Stream;

/// How many series each step keeps.
pub(super) fn counts(params: &[f64]) -> Res<Vec<usize>> {
    if params.iter().any(|v| v.is_nan()) {
        return Err(QueryError::execution("Parameter value is NaN"));
    }
    let largest = params.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if largest >= 1.0 {
        const EDGE: f64 = (1u64 << 63) as f64;
        if let Some(v) = params.iter().find(|v| **v <= -EDGE) {
            return Err(QueryError::execution(format!(
                "Scalar value {} underflows int64",
                go_g(*v)
            )));
        }
        if let Some(v) = params.iter().find(|v| **v >= EDGE) {
            return Err(QueryError::execution(format!(
                "Scalar value {} overflows int64",
                go_g(*v)
            )));
        }
    }
    Ok(params
        .iter()
        .map(|v| if *v < 1.0 { 0 } else { *v as usize })
        .collect())
}

/// The share of series each step keeps, between -1 and 1.
pub(super) fn ratios(params: &[f64], aggregate: &Aggregate, cx: &Cx<'_>) -> Res<Vec<f64>> {
    if params.iter().any(|v| v.is_nan()) {
        return Err(QueryError::execution("Ratio value is NaN"));
    }
    Ok(params
        .iter()
        .map(|v| {
            let capped = v.clamp(-1.0, 1.0);
            if capped != *v {
                cx.note(
                    Note::InvalidRatio(go_g(*v), go_g(capped)),
                    aggregate.param_pos,
                );
            }
            capped
        })
        .collect())
}

/// Leaves out what is not kept; false if nothing is left.
fn retain(frame: &mut Frame, keep: impl Fn(usize) -> bool) -> bool {
    let mut any = false;
    for i in 0..frame.floats.len() {
        if keep(i) {
            any |= frame.has(i);
        } else {
            frame.floats[i] = ABSENT;
            if let Some(h) = frame.hists.get_mut(i) {
                *h = None;
            }
        }
    }
    any
}

pub(super) struct LimitK<'q> {
    input: Box<dyn Stream + 'q>,
    grouping: Grouping,
    counts: Vec<usize>,
    /// How many each group has given at each step.
    given: Vec<Vec<u32>>,
    grid: Grid,
    cx: &'q Cx<'q>,
}

impl<'q> LimitK<'q> {
    pub fn new(
        aggregate: &'q Aggregate,
        counts: Vec<usize>,
        input: Box<dyn Stream + 'q>,
        grid: Grid,
        cx: &'q Cx<'q>,
    ) -> LimitK<'q> {
        LimitK {
            input,
            grouping: Grouping::new(aggregate, cx),
            counts,
            given: Vec::new(),
            grid,
            cx,
        }
    }
}

impl Stream for LimitK<'_> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        while self.input.next(out)? {
            self.cx.check()?;
            let at = match self.grouping.place(out) {
                Ok(at) => at,
                Err((at, _)) => {
                    self.cx.budget.take(0, self.grid.n * 4)?;
                    self.given.push(vec![0; self.grid.n]);
                    at
                }
            };
            let given = &mut self.given[at];
            let mut keep = vec![false; self.grid.n];
            for (i, k) in self.counts.iter().enumerate() {
                if out.has(i) && (given[i] as usize) < *k {
                    given[i] += 1;
                    keep[i] = true;
                }
            }
            if retain(out, |i| keep[i]) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

pub(super) struct LimitRatio<'q> {
    input: Box<dyn Stream + 'q>,
    ratios: Vec<f64>,
    cx: &'q Cx<'q>,
}

impl<'q> LimitRatio<'q> {
    pub fn new(ratios: Vec<f64>, input: Box<dyn Stream + 'q>, cx: &'q Cx<'q>) -> LimitRatio<'q> {
        LimitRatio { input, ratios, cx }
    }
}

/// Where a series falls between 0 and 1.
fn place(labels: &Labels) -> f64 {
    labels.hash64() as f64 / u64::MAX as f64
}

impl Stream for LimitRatio<'_> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        while self.input.next(out)? {
            self.cx.check()?;
            if !self.cx.options.delayed_name_removal {
                out.settle();
            }
            let h = place(&out.labels);
            let keep = |i: usize| {
                let r = self.ratios[i];
                (r >= 0.0 && h < r) || (r < 0.0 && h >= 1.0 + r)
            };
            if retain(out, keep) {
                return Ok(true);
            }
        }
        Ok(false)
    }
}
