//! Streams of series, the operators' common shape, and the ones that are nothing but plumbing.

use std::rc::Rc;

use promql_syntax::ast::ValueType;

use crate::block::{Block, BlockStream};
use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::Frame;
use crate::grid::Grid;
use crate::plan::Node;

/// Gives series one after the other. The same labels may come more than once, as long as no step has a value twice:
/// whoever cares merges them.
pub(crate) trait Stream {
    /// Fills `out` with the next series; false after the last.
    fn next(&mut self, out: &mut Frame) -> Res<bool>;
}

/// Starts evaluating a vector expression.
pub(crate) fn open<'q>(node: &'q Node, grid: Grid, cx: &'q Cx<'q>) -> Res<Box<dyn Stream + 'q>> {
    if cx.meters.is_none() {
        return open_bare(node, grid, cx);
    }
    let key = crate::explain::key(node);
    let started = cx.control.nanos();
    let input = open_bare(node, grid, cx)?;
    crate::explain::count(cx, key, started, None);
    Ok(Box::new(crate::explain::Metered { input, key, cx }))
}

fn open_bare<'q>(node: &'q Node, grid: Grid, cx: &'q Cx<'q>) -> Res<Box<dyn Stream + 'q>> {
    Ok(match node {
        Node::Select(select) => leaf(select, grid, cx)?,
        Node::Call(call) => crate::function::open(call, grid, cx)?,
        Node::Aggregate(aggregate) => crate::aggregate::open(aggregate, grid, cx)?,
        Node::Binary(binary) => crate::binary::open(binary, grid, cx)?,
        Node::Negate(node) => {
            let input = open(node, grid, cx)?;
            negated(node, input, cx)
        }
        Node::Invariant(node, _) => {
            let input = open(node, Grid::instant(grid.start), cx)?;
            Box::new(Repeated { input, n: grid.n })
        }
        Node::Shared(slot) if cx.plan.shared[*slot].uses == 1 => {
            open(&cx.plan.shared[*slot].node, grid, cx)?
        }
        Node::Shared(slot) => Box::new(BlockStream::new(shared(*slot, cx)?, grid.n)),
        Node::Number(_) | Node::Text(..) | Node::Window(_) => {
            return Err(QueryError::execution("expression is not an instant vector"));
        }
    })
}

fn leaf<'q>(
    select: &'q crate::plan::Select,
    grid: Grid,
    cx: &'q Cx<'q>,
) -> Res<Box<dyn Stream + 'q>> {
    Ok(Box::new(crate::select::open(
        select,
        grid,
        crate::select::Give::Value,
        cx,
    )?))
}

fn negated<'q>(
    node: &'q Node,
    input: Box<dyn Stream + 'q>,
    cx: &'q Cx<'q>,
) -> Box<dyn Stream + 'q> {
    Box::new(Negated {
        guard: crate::guard::Guard::for_node(node, cx),
        input,
        cx,
    })
}

fn shared<'q>(slot: usize, cx: &'q Cx<'q>) -> Res<Rc<Block>> {
    if let Some(block) = &cx.shared.borrow()[slot] {
        return Ok(Rc::clone(block));
    }
    let shared = &cx.plan.shared[slot];
    let (node, grid) = (&shared.node, shared.grid);
    let block = Rc::new(Block::collect(&mut *open(node, grid, cx)?, cx)?);
    cx.shared.borrow_mut()[slot] = Some(Rc::clone(&block));
    Ok(block)
}

/// The values of a scalar expression, one a step.
pub(crate) fn scalars<'q>(node: &'q Node, grid: Grid, cx: &'q Cx<'q>) -> Res<Vec<f64>> {
    Ok(match node {
        Node::Number(v) => vec![*v; grid.n],
        Node::Invariant(node, ValueType::Scalar) => {
            let once = scalars(node, Grid::instant(grid.start), cx)?;
            vec![once.first().copied().unwrap_or(f64::NAN); grid.n]
        }
        Node::Negate(node) => {
            let mut values = scalars(node, grid, cx)?;
            values.iter_mut().for_each(|v| *v = -*v);
            values
        }
        Node::Binary(b) => {
            let mut left = scalars(&b.lhs, grid, cx)?;
            let right = scalars(&b.rhs, grid, cx)?;
            for (l, r) in left.iter_mut().zip(right) {
                *l = crate::binary::scalar(b.op, *l, r);
            }
            left
        }
        Node::Call(call) => crate::function::scalars(call, grid, cx)?,
        Node::Shared(slot) => scalars(&cx.plan.shared[*slot].node, grid, cx)?,
        _ => return Err(QueryError::execution("expression is not a scalar")),
    })
}

/// A stream over series already at hand.
pub(crate) struct Ready(pub std::vec::IntoIter<Frame>);

impl Ready {
    pub fn new(frames: Vec<Frame>) -> Ready {
        Ready(frames.into_iter())
    }
}

impl Stream for Ready {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        match self.0.next() {
            Some(frame) => {
                *out = frame;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

/// Applies a change to every series; blank ones are left out afterwards.
pub(crate) struct Mapped<'q, F> {
    pub input: Box<dyn Stream + 'q>,
    pub f: F,
}

impl<F: FnMut(&mut Frame) -> Res<()>> Stream for Mapped<'_, F> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        while self.input.next(out)? {
            (self.f)(out)?;
            if !out.is_blank() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// One step's values at all steps.
struct Repeated<'q> {
    input: Box<dyn Stream + 'q>,
    n: usize,
}

impl Stream for Repeated<'_> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        if !self.input.next(out)? {
            return Ok(false);
        }
        let v = out.floats.first().copied().unwrap_or(crate::frame::ABSENT);
        out.floats.resize(self.n, v);
        if let Some(h) = out.hist(0).cloned() {
            out.hists.resize(self.n, Some(h));
        }
        Ok(true)
    }
}

struct Negated<'q> {
    input: Box<dyn Stream + 'q>,
    guard: crate::guard::Guard,
    cx: &'q Cx<'q>,
}

impl Stream for Negated<'_> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        if !self.input.next(out)? {
            return Ok(false);
        }
        for v in &mut out.floats {
            // The marker for "no value" must not become a number.
            if !crate::frame::is_absent(*v) {
                *v = -*v;
            }
        }
        for h in out.hists.iter_mut().flatten() {
            let mut negated = (**h).clone();
            negated.mul(-1.0);
            negated.compact();
            *h = std::sync::Arc::new(negated);
        }
        out.drop_name = true;
        self.guard.check(out, self.cx)?;
        Ok(true)
    }
}
