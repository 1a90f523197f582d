//! What all operators of one query share.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use hashbrown::HashMap;
use promql_syntax::PosRange;
use storage::{Querier, SelectHints, SeriesSet};

use crate::block::Block;
use crate::control::Control;
use crate::error::{QueryError, Res};
use crate::explain::Meter;
use crate::notes::{Note, Notes};
use crate::options::EngineOptions;
use crate::plan::Plan;
use crate::stats::Budget;

/// How many series or steps are worked through between two looks at the control.
const CHECK_EVERY: u32 = 64;

pub(crate) struct Cx<'q> {
    pub options: &'q EngineOptions,
    pub plan: &'q Plan,
    pub lookback: i64,
    pub querier: Option<Box<dyn Querier>>,
    pub control: &'q dyn Control,
    pub notes: RefCell<Notes>,
    pub budget: Rc<Budget>,
    /// Values of [`Plan::shared`], once evaluated.
    pub shared: RefCell<Vec<Option<Rc<Block>>>>,
    pub per_step_stats: bool,
    /// What each operator did, by the address of its node; only for explained queries.
    pub meters: Option<RefCell<HashMap<usize, Meter>>>,
    /// Bytes of label values that functions wrote.
    pub label_bytes: Cell<usize>,
    countdown: Cell<u32>,
}

impl<'q> Cx<'q> {
    pub fn new(
        options: &'q EngineOptions,
        plan: &'q Plan,
        lookback: i64,
        querier: Option<Box<dyn Querier>>,
        control: &'q dyn Control,
        budget: Budget,
    ) -> Cx<'q> {
        Cx {
            options,
            plan,
            lookback,
            querier,
            control,
            notes: RefCell::new(Notes::default()),
            budget: Rc::new(budget),
            shared: RefCell::new(plan.shared.iter().map(|_| None).collect()),
            per_step_stats: false,
            meters: None,
            label_bytes: Cell::new(0),
            countdown: Cell::new(0),
        }
    }

    pub fn note(&self, note: Note, pos: PosRange) {
        self.notes.borrow_mut().add(note, pos);
    }

    /// Whether to go on; cheap enough for every series.
    pub fn check(&self) -> Res<()> {
        let left = self.countdown.get();
        if left > 0 {
            self.countdown.set(left - 1);
            return Ok(());
        }
        self.countdown.set(CHECK_EVERY);
        self.check_now()
    }

    pub fn check_now(&self) -> Res<()> {
        match self.control.stop() {
            Some(stop) => Err(stop.into()),
            None => Ok(()),
        }
    }

    pub fn select(
        &self,
        matchers: &[model::Matcher],
        hints: &SelectHints,
    ) -> Res<Box<dyn SeriesSet>> {
        match &self.querier {
            Some(querier) => querier
                .select(matchers, hints)
                .map_err(|e| QueryError::storage(&e)),
            None => Ok(Box::new(storage::select::ReadySeries::new(Vec::new()))),
        }
    }
}
