//! Joins the parts of series that come in several.

use std::rc::Rc;

use hashbrown::HashMap;

use crate::block::{Block, BlockStream};
use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::{Frame, is_absent};
use crate::grid::Grid;
use crate::plan::Node;
use crate::stream::{Ready, Stream, open};

/// Whether an expression may give one label set in several parts.
fn is_split(node: &Node, cx: &Cx<'_>) -> bool {
    match node {
        Node::Select(_) => false,
        Node::Aggregate(a) => {
            use promql_syntax::ast::AggregateOp::{Bottomk, LimitRatio, Limitk, Topk};
            match a.op {
                Topk | Bottomk | Limitk | LimitRatio => is_split(&a.input, cx),
                _ => false,
            }
        }
        Node::Invariant(node, _) => is_split(node, cx),
        Node::Shared(slot) => is_split(&cx.plan.shared[*slot].node, cx),
        // Dropping names may make two series parts of one.
        Node::Call(c) => match crate::window::range_argument(c) {
            Some(_) => cx.options.delayed_name_removal,
            None => true,
        },
        _ => true,
    }
}

/// The series of an expression, each label set once.
pub(crate) fn merged<'q>(node: &'q Node, grid: Grid, cx: &'q Cx<'q>) -> Res<Box<dyn Stream + 'q>> {
    let mut input = open(node, grid, cx)?;
    if !is_split(node, cx) {
        return Ok(input);
    }
    let block = Block::collect(&mut *input, cx)?;
    let mut first: HashMap<(model::Labels, bool), usize> = HashMap::new();
    let mut repeated = false;
    for (i, held) in block.series.iter().enumerate() {
        let key = (held.labels.clone(), held.drop_name);
        repeated |= first.insert(key, i).is_some();
    }
    if !repeated {
        return Ok(Box::new(BlockStream::new(Rc::new(block), grid.n)));
    }
    let mut frames: Vec<Frame> = Vec::new();
    let mut places: HashMap<(model::Labels, bool), usize> = HashMap::new();
    let mut part = Frame::default();
    for held in &block.series {
        held.fill(&mut part, grid.n);
        let key = (held.labels.clone(), held.drop_name);
        match places.get(&key) {
            None => {
                places.insert(key, frames.len());
                frames.push(part.clone());
            }
            Some(at) => join(&mut frames[*at], &part)?,
        }
    }
    Ok(Box::new(Ready::new(frames)))
}

/// Adds the values of `part` to `whole`.
pub(crate) fn join(whole: &mut Frame, part: &Frame) -> Res<()> {
    for i in 0..whole.floats.len() {
        if !part.has(i) {
            continue;
        }
        if whole.has(i) {
            return Err(QueryError::duplicate_labels());
        }
        if !is_absent(part.floats[i]) {
            whole.floats[i] = part.floats[i];
        } else if let Some(h) = part.hist(i) {
            whole.set_hist(i, h.clone());
        }
    }
    Ok(())
}
