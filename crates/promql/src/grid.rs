//! The steps an expression is evaluated at.

/// Evenly spaced instants in ms; at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub start: i64,
    pub step: i64,
    pub n: usize,
}

impl Grid {
    /// All steps from `start` to at most `end`. The caller bounds how many that are.
    pub fn new(start: i64, end: i64, step: i64) -> Grid {
        let step = step.max(1);
        let n = if end < start {
            0
        } else {
            (end.abs_diff(start) / step as u64).saturating_add(1)
        };
        Grid {
            start,
            step,
            n: usize::try_from(n).unwrap_or(usize::MAX),
        }
    }

    pub fn instant(at: i64) -> Grid {
        Grid {
            start: at,
            step: 1,
            n: 1,
        }
    }

    pub fn time(&self, i: usize) -> i64 {
        self.start
            .saturating_add(self.step.saturating_mul(i as i64))
    }

    pub fn end(&self) -> i64 {
        self.time(self.n.saturating_sub(1))
    }
}
