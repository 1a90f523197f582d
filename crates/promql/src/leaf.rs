//! Reading series from storage and turning each into a frame: one after the other, or several at once where an executor was
//! passed in. Either way frames come in the order of storage, so results do not depend on it.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use promql_syntax::PosRange;
use storage::{Series, SeriesSet};

use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::Frame;
use crate::grid::Grid;
use crate::notes::Note;
use crate::samples::Columns;
use crate::stream::Stream;
use crate::window::Bounds;

/// Series evaluated at once. More would only hold more frames.
const BATCH: usize = 64;

/// Buffers that are reused from series to series.
#[derive(Default)]
pub(crate) struct Scratch {
    pub columns: Columns,
    pub bounds: Bounds,
}

/// What an evaluation has to say besides its frame.
#[derive(Default)]
pub(crate) struct Told {
    pub notes: Vec<(Note, PosRange)>,
    /// Samples decoded.
    pub read: u64,
    /// Samples looked at, at each step; one sum where steps are not asked for.
    pub queryable: u64,
    pub per_step: Vec<u64>,
}

impl Told {
    pub fn note(&mut self, note: Note, pos: PosRange) {
        self.notes.push((note, pos));
    }
}

/// Turns a series into its values at all steps.
pub(crate) trait Leaf: Sync {
    /// Fills `out`, which the caller has not reset; blank frames are left out.
    fn evaluate(
        &self,
        series: &Series,
        scratch: &mut Scratch,
        out: &mut Frame,
        told: &mut Told,
    ) -> Res<()>;
}

/// Takes over what an evaluation told.
pub(crate) fn absorb(told: &mut Told, grid: &Grid, cx: &Cx<'_>) {
    for (note, pos) in told.notes.drain(..) {
        cx.note(note, pos);
    }
    let add = |cell: &std::cell::Cell<u64>, n: u64| cell.set(cell.get() + n);
    add(&cx.budget.read, told.read);
    add(&cx.budget.queryable, told.queryable);
    if cx.per_step_stats && *grid == cx.plan.grid {
        let mut steps = cx.budget.per_step.borrow_mut();
        steps.resize(grid.n, 0);
        for (sum, n) in steps.iter_mut().zip(&told.per_step) {
            *sum += n;
        }
    }
    *told = Told::default();
}

#[derive(Default)]
struct Slot {
    series: Option<Series>,
    scratch: Scratch,
    frame: Frame,
    told: Told,
    result: Option<Res<()>>,
}

/// The frames of all series of a selection.
pub(crate) struct LeafStream<'q, L> {
    pub leaf: L,
    set: Box<dyn SeriesSet>,
    grid: Grid,
    cx: &'q Cx<'q>,
    scratch: Scratch,
    told: Told,
    slots: Vec<Mutex<Slot>>,
    ready: VecDeque<Frame>,
    done: bool,
}

impl<'q, L: Leaf> LeafStream<'q, L> {
    pub fn new(leaf: L, set: Box<dyn SeriesSet>, grid: Grid, cx: &'q Cx<'q>) -> Self {
        LeafStream {
            leaf,
            set,
            grid,
            cx,
            scratch: Scratch::default(),
            told: Told::default(),
            slots: Vec::new(),
            ready: VecDeque::new(),
            done: false,
        }
    }

    fn series(&mut self) -> Res<Option<Series>> {
        if self.done {
            return Ok(None);
        }
        match self.set.next() {
            Some(Ok(series)) => {
                let budget = &self.cx.budget;
                budget.series.set(budget.series.get() + 1);
                Ok(Some(series))
            }
            Some(Err(e)) => Err(QueryError::storage(&e)),
            None => {
                self.done = true;
                for warning in self.set.warnings() {
                    self.cx.note(Note::Storage(warning), PosRange::default());
                }
                Ok(None)
            }
        }
    }

    /// Counts decoded samples against the limits while they are held.
    fn weigh(&mut self) -> Res<()> {
        let held = self.told.read as usize;
        self.cx.budget.take(held, held * 16)?;
        self.cx.budget.give(held, held * 16);
        absorb(&mut self.told, &self.grid, self.cx);
        Ok(())
    }

    fn next_single(&mut self, out: &mut Frame) -> Res<bool> {
        loop {
            self.cx.check()?;
            let Some(series) = self.series()? else {
                return Ok(false);
            };
            self.leaf
                .evaluate(&series, &mut self.scratch, out, &mut self.told)?;
            self.weigh()?;
            if !out.is_blank() {
                return Ok(true);
            }
        }
    }

    fn fill(&mut self, executor: &dyn crate::control::Executor) -> Res<()> {
        let mut n = 0;
        while n < BATCH {
            let Some(series) = self.series()? else { break };
            if self.slots.len() == n {
                self.slots.push(Mutex::default());
            }
            self.slots[n]
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner)
                .series = Some(series);
            n += 1;
        }
        let (leaf, slots) = (&self.leaf, &self.slots);
        executor.for_each(n, &|i| {
            let mut slot = slots[i].lock().unwrap_or_else(PoisonError::into_inner);
            let slot = &mut *slot;
            if let Some(series) = slot.series.take() {
                slot.result = Some(leaf.evaluate(
                    &series,
                    &mut slot.scratch,
                    &mut slot.frame,
                    &mut slot.told,
                ));
            }
        });
        for i in 0..n {
            self.cx.check()?;
            let slot = self.slots[i]
                .get_mut()
                .unwrap_or_else(PoisonError::into_inner);
            match slot.result.take() {
                Some(result) => result?,
                None => {
                    return Err(QueryError::execution(
                        "unexpected error: a series was not evaluated",
                    ));
                }
            }
            let frame = std::mem::take(&mut slot.frame);
            self.told = std::mem::take(&mut slot.told);
            self.weigh()?;
            if !frame.is_blank() {
                self.ready.push_back(frame);
            }
        }
        Ok(())
    }
}

impl<L: Leaf> Stream for LeafStream<'_, L> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        let Some(executor) = self.cx.control.executor() else {
            return self.next_single(out);
        };
        loop {
            if let Some(frame) = self.ready.pop_front() {
                *out = frame;
                return Ok(true);
            }
            if self.done {
                return Ok(false);
            }
            self.fill(executor)?;
        }
    }
}
