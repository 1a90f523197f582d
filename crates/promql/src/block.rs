//! Series held in memory: sides of joins, shared results, inputs that are needed twice.
//!
//! Columns are trimmed to the steps between a series' first and last value, so that short-lived series cost what they
//! hold.

use std::rc::Rc;

use model::Labels;

use crate::cx::Cx;
use crate::error::Res;
use crate::frame::{ABSENT, Frame, Hist, is_absent};
use crate::stats::Budget;
use crate::stream::Stream;

pub(crate) struct Held {
    pub labels: Labels,
    pub drop_name: bool,
    /// The step of the first value.
    pub first: usize,
    pub floats: Vec<f64>,
    /// Empty, or as long as `floats`.
    pub hists: Vec<Option<Hist>>,
}

impl Held {
    fn new(frame: &Frame) -> Option<Held> {
        let n = frame.floats.len();
        let first = (0..n).find(|i| frame.has(*i))?;
        let last = (first..n).rev().find(|i| frame.has(*i)).unwrap_or(first);
        let hists = if frame.hists.iter().any(Option::is_some) {
            frame.hists[first..=last].to_vec()
        } else {
            Vec::new()
        };
        Some(Held {
            labels: frame.labels.clone(),
            drop_name: frame.drop_name,
            first,
            floats: frame.floats[first..=last].to_vec(),
            hists,
        })
    }

    #[inline]
    pub fn float(&self, step: usize) -> f64 {
        match step.checked_sub(self.first) {
            Some(i) => self.floats.get(i).copied().unwrap_or(ABSENT),
            None => ABSENT,
        }
    }

    pub fn hist(&self, step: usize) -> Option<&Hist> {
        self.hists
            .get(step.checked_sub(self.first)?)
            .and_then(Option::as_ref)
    }

    pub fn has(&self, step: usize) -> bool {
        !is_absent(self.float(step)) || self.hist(step).is_some()
    }

    /// Copies it into a frame of `n` steps.
    pub fn fill(&self, out: &mut Frame, n: usize) {
        out.reset(n);
        out.labels = self.labels.clone();
        out.drop_name = self.drop_name;
        out.floats[self.first..self.first + self.floats.len()].copy_from_slice(&self.floats);
        if !self.hists.is_empty() {
            out.hists.resize(n, None);
            out.hists[self.first..self.first + self.hists.len()].clone_from_slice(&self.hists);
        }
    }
}

/// Series held, and counted against the query's limits while they are.
pub(crate) struct Block {
    pub series: Vec<Held>,
    samples: usize,
    bytes: usize,
    budget: Rc<Budget>,
}

impl Block {
    pub fn empty(cx: &Cx<'_>) -> Block {
        Block {
            series: Vec::new(),
            samples: 0,
            bytes: 0,
            budget: Rc::clone(&cx.budget),
        }
    }

    pub fn push(&mut self, frame: &Frame) -> Res<()> {
        let samples = frame.samples();
        if let Some(held) = Held::new(frame) {
            let bytes = held.floats.len() * 8 + held.hists.len() * 8 + 80;
            self.budget.take(samples, bytes)?;
            self.samples += samples;
            self.bytes += bytes;
            self.series.push(held);
        }
        Ok(())
    }

    /// Everything a stream has to give.
    pub fn collect(stream: &mut dyn Stream, cx: &Cx<'_>) -> Res<Block> {
        let mut block = Block::empty(cx);
        let mut frame = Frame::default();
        while stream.next(&mut frame)? {
            cx.check()?;
            block.push(&frame)?;
        }
        Ok(block)
    }
}

impl Drop for Block {
    fn drop(&mut self) {
        self.budget.give(self.samples, self.bytes);
    }
}

/// Streams a block's series.
pub(crate) struct BlockStream {
    block: Rc<Block>,
    next: usize,
    n: usize,
}

impl BlockStream {
    pub fn new(block: Rc<Block>, n: usize) -> BlockStream {
        BlockStream { block, next: 0, n }
    }
}

impl Stream for BlockStream {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        let Some(held) = self.block.series.get(self.next) else {
            return Ok(false);
        };
        self.next += 1;
        held.fill(out, self.n);
        Ok(true)
    }
}
