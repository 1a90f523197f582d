//! Reading series from storage and turning each into a frame: one after the other, or several at once where an executor was
//! passed in. Either way frames come in the order of storage, so results do not depend on it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use promql_syntax::PosRange;
use storage::{Series, SeriesSet};

use crate::control::Executor;
use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::Frame;
use crate::grid::Grid;
use crate::notes::Note;
use crate::plan::Select;
use crate::samples::Columns;
use crate::stream::Stream;
use crate::window::Bounds;

/// Values held for the series evaluated at once.
const BATCH_VALUES: usize = 1 << 16;
/// Series evaluated at once, at most.
const BATCH_MAX: usize = 512;

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

/// A series on its way through the threads.
#[derive(Default)]
struct Slot {
    series: Option<Series>,
    frame: Frame,
    told: Told,
    result: Option<Res<()>>,
}

/// What is needed once others help.
#[derive(Default)]
struct Shared {
    /// Evaluated while the next batch is read.
    batch: Vec<Mutex<Slot>>,
    /// Series of the next batch.
    read: Vec<Series>,
    /// Buffers, one for each thread at work.
    scratch: Mutex<Vec<Scratch>>,
    ready: VecDeque<Frame>,
    /// Bytes counted for the frames.
    held: usize,
}

/// The frames of all series of a selection.
pub(crate) struct LeafStream<'q, L> {
    pub leaf: L,
    set: Box<dyn SeriesSet>,
    grid: Grid,
    cx: &'q Cx<'q>,
    scratch: Scratch,
    told: Told,
    /// What its selector is known by where queries are explained.
    key: usize,
    /// Series and samples evaluated so far.
    series: u64,
    seen: u64,
    shared: Shared,
    done: bool,
}

impl<L> Drop for LeafStream<'_, L> {
    fn drop(&mut self) {
        self.cx.budget.give(0, self.shared.held);
    }
}

impl<'q, L: Leaf> LeafStream<'q, L> {
    pub fn new(
        leaf: L,
        select: &Select,
        set: Box<dyn SeriesSet>,
        grid: Grid,
        cx: &'q Cx<'q>,
    ) -> Self {
        LeafStream {
            key: crate::explain::select_key(select),
            series: 0,
            leaf,
            set,
            grid,
            cx,
            scratch: Scratch::default(),
            told: Told::default(),
            seen: 0,
            shared: Shared::default(),
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
                self.series += 1;
                Ok(Some(series))
            }
            Some(Err(e)) => Err(QueryError::storage(&e)),
            None => {
                self.done = true;
                self.finish();
                Ok(None)
            }
        }
    }

    /// Passes on what storage has to say at its end.
    fn finish(&mut self) {
        for warning in self.set.warnings() {
            self.cx.note(Note::Storage(warning), PosRange::default());
        }
        crate::explain::note_read(self.cx, self.key, self.series, self.seen, &*self.set);
    }

    /// Counts decoded samples against the limits while they are held.
    fn weigh(&mut self) -> Res<()> {
        let held = self.told.read as usize;
        self.seen += self.told.read;
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

    /// Evaluates the batch at hand on all threads while this one reads the next.
    fn fill(&mut self, executor: &dyn Executor) -> Res<()> {
        let size = (BATCH_VALUES / self.grid.n.max(1)).clamp(16, BATCH_MAX);
        if self.shared.held == 0 {
            let held = 2 * size * (self.grid.n * 8 + 200);
            self.cx.budget.take(0, held)?;
            self.shared.held = held;
        }
        let mut slots = std::mem::take(&mut self.shared.batch);
        let mut read = std::mem::take(&mut self.shared.read);
        let n = read.len();
        slots.resize_with(n.max(slots.len()), Mutex::default);
        for (slot, series) in slots.iter_mut().zip(read.drain(..)) {
            let slot = slot.get_mut().unwrap_or_else(PoisonError::into_inner);
            slot.series = Some(series);
        }
        let pool = std::mem::take(&mut self.shared.scratch);
        let next = AtomicUsize::new(0);
        let mut failed = None;
        {
            let (leaf, batch) = (&self.leaf, &slots[..n]);
            let evaluate = || {
                let mut scratch = lock(&pool).pop().unwrap_or_default();
                while let Some(slot) = batch.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let slot = &mut *lock(slot);
                    if let Some(series) = slot.series.take() {
                        let result =
                            leaf.evaluate(&series, &mut scratch, &mut slot.frame, &mut slot.told);
                        slot.result = Some(result);
                    }
                }
                lock(&pool).push(scratch);
            };
            let (set, budget, done) = (&mut self.set, &self.cx.budget, &mut self.done);
            let count = &mut self.series;
            executor.alongside(&evaluate, &mut || {
                while read.len() < size && !*done {
                    match set.next() {
                        Some(Ok(series)) => {
                            budget.series.set(budget.series.get() + 1);
                            *count += 1;
                            read.push(series);
                        }
                        Some(Err(e)) => {
                            failed = Some(QueryError::storage(&e));
                            *done = true;
                        }
                        None => *done = true,
                    }
                }
                evaluate();
            });
        }
        if let Some(error) = failed {
            return Err(error);
        }
        for slot in &mut slots[..n] {
            self.cx.check()?;
            let slot = slot.get_mut().unwrap_or_else(PoisonError::into_inner);
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
                self.shared.ready.push_back(frame);
            }
        }
        (self.shared.batch, self.shared.read, self.shared.scratch) = (slots, read, pool);
        Ok(())
    }

    fn next_shared(&mut self, executor: &dyn Executor, out: &mut Frame) -> Res<bool> {
        loop {
            if let Some(frame) = self.shared.ready.pop_front() {
                *out = frame;
                return Ok(true);
            }
            if self.done && self.shared.read.is_empty() {
                self.finish();
                return Ok(false);
            }
            self.fill(executor)?;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<L: Leaf> Stream for LeafStream<'_, L> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        match self.cx.control.executor() {
            Some(executor) if self.seen >= executor.alone() => self.next_shared(executor, out),
            _ => self.next_single(out),
        }
    }
}
