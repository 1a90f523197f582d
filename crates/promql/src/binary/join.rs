//! Operators between two vectors: the "one" side is held, the "many" side streams past it.
//!
//! A result comes out for each pair of series. Errors belong to steps, and the earliest step's is the one to report, so they
//! are kept until both sides are read.

use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

use hashbrown::HashMap;
use model::Labels;
use promql_syntax::ast::{Cardinality, Matching};

use super::element::{Operand, Problems, apply};
use super::is_arithmetic;
use super::matching::{Signature, result_labels};
use crate::block::{Block, Held};
use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::{Frame, is_absent};
use crate::grid::Grid;
use crate::plan::Binary;
use crate::steps::Steps;
use crate::stream::{Stream, open as open_stream};

/// Series of the "one" side with one signature.
struct Side {
    series: Vec<usize>,
    /// Steps at which a pair was made; for one-to-one a second pair is an error.
    matched: Steps,
    /// For grouped matches: result labels and the steps they have a value at.
    results: HashMap<Labels, Steps>,
    labels: Labels,
}

struct Join<'q> {
    binary: &'q Binary,
    matching: &'q Matching,
    cx: &'q Cx<'q>,
    grid: Grid,
    many: Box<dyn Stream + 'q>,
    one: Rc<Block>,
    sides: Vec<Side>,
    places: HashMap<Box<[u8]>, usize>,
    signature: Signature<'q>,
    problems: Problems,
    ready: VecDeque<Frame>,
    frame: Frame,
    done: bool,
    /// Steps at which the many side has anything.
    many_steps: Steps,
    /// Steps at which two of the "one" side have the same signature: which, and which series.
    duplicates: BTreeMap<usize, (usize, usize, usize)>,
    /// A pair too many: step and message.
    ambiguous: Option<(usize, &'static str)>,
}

pub(super) fn open<'q>(
    binary: &'q Binary,
    matching: &'q Matching,
    grid: Grid,
    cx: &'q Cx<'q>,
) -> Res<Box<dyn Stream + 'q>> {
    let (one, many) = sides(binary, matching, grid, cx)?;
    join(binary, matching, grid, cx, one, many)
}

/// Opens both sides: the one side held, the many side streaming.
fn sides<'q>(
    binary: &'q Binary,
    matching: &'q Matching,
    grid: Grid,
    cx: &'q Cx<'q>,
) -> Res<(Rc<Block>, Box<dyn Stream + 'q>)> {
    // Written right is the many side of `group_right`.
    let (many, one) = if matching.card == Cardinality::OneToMany {
        (&binary.rhs, &binary.lhs)
    } else {
        (&binary.lhs, &binary.rhs)
    };
    let mut one = open_stream(one, grid, cx)?;
    let one = Rc::new(Block::collect(&mut *one, cx)?);
    Ok((one, open_stream(many, grid, cx)?))
}

fn join<'q>(
    binary: &'q Binary,
    matching: &'q Matching,
    grid: Grid,
    cx: &'q Cx<'q>,
    one: Rc<Block>,
    many: Box<dyn Stream + 'q>,
) -> Res<Box<dyn Stream + 'q>> {
    let mut signature = Signature::new(matching, cx);
    let mut places: HashMap<Box<[u8]>, usize> = HashMap::new();
    let mut sides: Vec<Side> = Vec::new();
    for (i, held) in one.series.iter().enumerate() {
        let key = signature.of(&held.labels, held.drop_name);
        match places.get(key) {
            Some(at) => sides[*at].series.push(i),
            None => {
                cx.budget.take(0, grid.n / 8 + key.len() + 100)?;
                places.insert(key.into(), sides.len());
                sides.push(Side {
                    series: vec![i],
                    matched: Steps::new(grid.n),
                    results: HashMap::new(),
                    labels: signature.labels(&held.labels, held.drop_name),
                });
            }
        }
    }
    let mut join = Join {
        binary,
        matching,
        cx,
        grid,
        many,
        one,
        sides,
        places,
        signature,
        problems: Problems::new(binary.pos, grid.n),
        ready: VecDeque::new(),
        frame: Frame::default(),
        done: false,
        many_steps: Steps::new(grid.n),
        duplicates: BTreeMap::new(),
        ambiguous: None,
    };
    join.find_duplicates();
    Ok(Box::new(join))
}

/// One step's pair.
struct Pair<'a> {
    many: Operand,
    one: Operand,
    step: usize,
    labels: &'a Labels,
}

fn operand(float: f64, hist: Option<&crate::frame::Hist>) -> Option<Operand> {
    if !is_absent(float) {
        return Some(Operand::Float(float));
    }
    hist.map(|h| Operand::Hist(h.clone()))
}

impl Join<'_> {
    /// Finds series of the one side with the same signature and a value at the same step.
    fn find_duplicates(&mut self) {
        for (at, side) in self.sides.iter().enumerate() {
            if side.series.len() < 2 {
                continue;
            }
            let mut seen: Vec<Option<usize>> = vec![None; self.grid.n];
            for second in &side.series {
                let held = &self.one.series[*second];
                for (step, slot) in seen.iter_mut().enumerate() {
                    if !held.has(step) {
                        continue;
                    }
                    match *slot {
                        None => *slot = Some(*second),
                        Some(first) => {
                            self.duplicates.entry(step).or_insert((at, first, *second));
                        }
                    }
                }
            }
        }
    }

    fn duplicate_message(&self, (side, first, second): (usize, usize, usize)) -> String {
        let mut pair = [first, second].map(|at| self.shown(&self.one.series[at]));
        pair.sort();
        let hand = match self.matching.card {
            Cardinality::OneToMany => "left",
            _ => "right",
        };
        format!(
            "found duplicate series for the match group {} on the {hand} hand-side of the operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one side",
            self.sides[side].labels, pair[0], pair[1]
        )
    }

    fn shown(&self, held: &Held) -> String {
        if held.drop_name && !self.cx.options.delayed_name_removal {
            crate::frame::without_name(&held.labels).to_string()
        } else {
            held.labels.to_string()
        }
    }

    fn ambiguity(&mut self, step: usize, message: &'static str) {
        if self.ambiguous.is_none_or(|(at, _)| step < at) {
            self.ambiguous = Some((step, message));
        }
    }

    /// Applies the operator to a pair and puts the result into `out`.
    fn pair(&mut self, pair: Pair<'_>, side: usize, out: &mut Frame) {
        let Pair {
            many,
            one,
            step,
            labels,
        } = pair;
        let swapped = self.matching.card == Cardinality::OneToMany;
        let (l, r) = if swapped {
            (&one, &many)
        } else {
            (&many, &one)
        };
        let result = apply(self.binary.op, l, r, step, &mut self.problems);
        let Some((value, holds)) = result else {
            return;
        };
        let state = &mut self.sides[side];
        if self.matching.card == Cardinality::OneToOne {
            if !state.matched.insert(step) {
                self.ambiguity(
                    step,
                    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
                );
                return;
            }
        } else {
            state.matched.insert(step);
            let n = self.grid.n;
            let steps = state
                .results
                .entry(labels.clone())
                .or_insert_with(|| Steps::new(n));
            if !steps.insert(step) {
                self.ambiguity(
                    step,
                    "multiple matches for labels: grouping labels must ensure unique matches",
                );
                return;
            }
        }
        if self.binary.return_bool {
            out.floats[step] = f64::from(u8::from(holds));
        } else if holds {
            match value {
                Operand::Float(v) => out.floats[step] = v,
                Operand::Hist(h) => out.set_hist(step, h),
            }
        }
    }

    fn drops_name(&self) -> bool {
        is_arithmetic(self.binary.op)
            || (self.binary.return_bool && !self.cx.options.delayed_name_removal)
    }

    fn result(&self, many: &Labels, one: &Labels, drop_name: bool) -> Frame {
        let mut out = Frame::default();
        out.reset(self.grid.n);
        out.labels = result_labels(many, one, self.matching, self.drops_name());
        out.drop_name = !is_arithmetic(self.binary.op)
            && self.cx.options.delayed_name_removal
            && (drop_name || self.binary.return_bool);
        out
    }

    fn push(&mut self, out: Frame) {
        if !out.is_blank() {
            self.ready.push_back(out);
        }
    }

    /// Both sides are plain floats and nothing can go wrong: one loop over the columns.
    fn is_plain(&self, side: usize, one: &Held) -> bool {
        self.matching.card == Cardinality::OneToOne
            && self.frame.hists.is_empty()
            && one.hists.is_empty()
            && self.sides[side].series.len() == 1
            && is_arithmetic(self.binary.op)
    }

    fn plain(&mut self, side: usize, at: usize) {
        let one = &self.one.series[at];
        let mut out = self.result(&self.frame.labels, &one.labels, false);
        let op = self.binary.op;
        let state = &mut self.sides[side];
        let mut twice = None;
        let mut any = false;
        let last = one.first + one.floats.len();
        for step in one.first..last.min(self.grid.n) {
            let (l, r) = (self.frame.floats[step], one.floats[step - one.first]);
            if is_absent(l) || is_absent(r) {
                continue;
            }
            if !state.matched.insert(step) {
                twice = twice.or(Some(step));
            }
            out.floats[step] = super::scalar(op, l, r);
            any = true;
        }
        if let Some(step) = twice {
            self.ambiguity(
                step,
                "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)",
            );
        }
        if any {
            self.ready.push_back(out);
        }
    }

    /// Pairs the current series of the many side.
    fn advance(&mut self) -> Res<()> {
        if !self.cx.options.delayed_name_removal {
            self.frame.settle();
        }
        let n = self.grid.n;
        for i in 0..n {
            if self.frame.has(i) {
                self.many_steps.insert(i);
            }
        }
        let side = self
            .places
            .get(self.signature.of_frame(&self.frame))
            .copied();
        let one = Rc::clone(&self.one);
        let mut paired = Steps::new(n);
        if let Some(side) = side {
            let candidates = self.sides[side].series.clone();
            for at in candidates {
                let held = &one.series[at];
                if self.is_plain(side, held) && self.matching.fill_right.is_none() {
                    self.plain(side, at);
                    continue;
                }
                let one_labels = self.settled(held);
                let mut out = self.result(&self.frame.labels, &one_labels, self.frame.drop_name);
                let labels = out.labels.clone();
                for step in 0..n {
                    let Some(many) = operand(self.frame.floats[step], self.frame.hist(step)) else {
                        continue;
                    };
                    let Some(other) = operand(held.float(step), held.hist(step)) else {
                        continue;
                    };
                    paired.insert(step);
                    let pair = Pair {
                        many,
                        one: other,
                        step,
                        labels: &labels,
                    };
                    self.pair(pair, side, &mut out);
                }
                self.push(out);
            }
        }
        // The value that stands in for the one side. `group_right` swaps sides but, as upstream, not the fill values.
        if let Some(fill) = self.matching.fill_right {
            let labels = self
                .signature
                .labels(&self.frame.labels, self.frame.drop_name);
            let side = match side {
                Some(side) => side,
                None => self.new_side(labels.clone())?,
            };
            let mut out = self.result(&self.frame.labels, &labels, self.frame.drop_name);
            let result_labels = out.labels.clone();
            for step in 0..n {
                if paired.contains(step) {
                    continue;
                }
                let Some(many) = operand(self.frame.floats[step], self.frame.hist(step)) else {
                    continue;
                };
                let pair = Pair {
                    many,
                    one: Operand::Float(fill),
                    step,
                    labels: &result_labels,
                };
                self.pair(pair, side, &mut out);
            }
            self.push(out);
        }
        Ok(())
    }

    fn settled(&self, held: &Held) -> Labels {
        if held.drop_name && !self.cx.options.delayed_name_removal {
            crate::frame::without_name(&held.labels)
        } else {
            held.labels.clone()
        }
    }

    /// A signature that only the many side has.
    fn new_side(&mut self, labels: Labels) -> Res<usize> {
        let key = self.signature.of_frame(&self.frame);
        self.cx.budget.take(0, self.grid.n / 8 + key.len() + 100)?;
        self.places.insert(key.into(), self.sides.len());
        self.sides.push(Side {
            series: Vec::new(),
            matched: Steps::new(self.grid.n),
            results: HashMap::new(),
            labels,
        });
        Ok(self.sides.len() - 1)
    }

    /// What is left to do once the many side is read: values that stand in for it, and errors.
    fn finish(&mut self) -> Res<()> {
        if let Some(fill) = self.matching.fill_left {
            let one = Rc::clone(&self.one);
            for side in 0..self.sides.len() {
                self.cx.check()?;
                let matched = self.sides[side].matched.clone();
                let many_labels = self.sides[side].labels.clone();
                for at in self.sides[side].series.clone() {
                    let held = &one.series[at];
                    let one_labels = self.settled(held);
                    let mut out = self.result(&many_labels, &one_labels, held.drop_name);
                    let labels = out.labels.clone();
                    for step in 0..self.grid.n {
                        if matched.contains(step) {
                            continue;
                        }
                        let Some(other) = operand(held.float(step), held.hist(step)) else {
                            continue;
                        };
                        let pair = Pair {
                            many: Operand::Float(fill),
                            one: other,
                            step,
                            labels: &labels,
                        };
                        self.pair(pair, side, &mut out);
                    }
                    self.push(out);
                }
            }
        }
        self.problems.tell(self.cx);
        let filled = self.matching.fill_left.is_some();
        let duplicate = self
            .duplicates
            .iter()
            .find(|(step, _)| filled || self.many_steps.contains(**step));
        let ambiguous = self.ambiguous.filter(|(at, _)| {
            // At one step the check of the one side comes first.
            duplicate.is_none_or(|(step, _)| at < step)
        });
        if let Some((_, message)) = ambiguous {
            return Err(QueryError::execution(message));
        }
        if let Some((_, which)) = duplicate {
            return Err(QueryError::execution(self.duplicate_message(*which)));
        }
        Ok(())
    }
}

impl Stream for Join<'_> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                *out = frame;
                return Ok(true);
            }
            if self.done {
                return Ok(false);
            }
            self.cx.check()?;
            if self.many.next(&mut self.frame)? {
                self.advance()?;
            } else {
                self.done = true;
                self.finish()?;
            }
        }
    }
}
