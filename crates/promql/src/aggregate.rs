//! Aggregations: series stream in, only groups are held.

mod counting;
mod fold;
mod grouping;
mod histogram;
mod limit;
mod ranking;

use promql_syntax::ast::AggregateOp;

use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::grid::Grid;
use crate::plan::{Aggregate, Node};
use crate::stream::{Stream, open as open_stream, scalars};

/// Starts an aggregation. All input is read here; what comes out are the groups.
pub(crate) fn open<'q>(
    aggregate: &'q Aggregate,
    grid: Grid,
    cx: &'q Cx<'q>,
) -> Res<Box<dyn Stream + 'q>> {
    let param = |a: &'q Aggregate| match &a.param {
        Some(node) => scalars(node, grid, cx),
        None => Err(QueryError::execution("missing aggregation parameter")),
    };
    match aggregate.op {
        AggregateOp::CountValues => match &aggregate.param {
            Some(Node::Text(label, raw)) => {
                counting::open(aggregate, label, raw.as_deref(), grid, cx)
            }
            _ => Err(QueryError::execution("missing aggregation parameter")),
        },
        AggregateOp::Topk | AggregateOp::Bottomk => {
            let counts = limit::counts(&param(aggregate)?)?;
            ranking::open(aggregate, counts, grid, cx)
        }
        AggregateOp::Limitk => {
            let counts = limit::counts(&param(aggregate)?)?;
            let input = open_stream(&aggregate.input, grid, cx)?;
            Ok(Box::new(limit::LimitK::new(
                aggregate, counts, input, grid, cx,
            )))
        }
        AggregateOp::LimitRatio => {
            let ratios = limit::ratios(&param(aggregate)?, aggregate, cx)?;
            let input = open_stream(&aggregate.input, grid, cx)?;
            Ok(Box::new(limit::LimitRatio::new(ratios, input, cx)))
        }
        AggregateOp::Quantile => {
            let q = param(aggregate)?;
            q.iter().for_each(|q| {
                crate::quantile::note_invalid(*q, aggregate.param_pos, cx);
            });
            fold::open(aggregate, q, grid, cx)
        }
        _ => fold::open(aggregate, Vec::new(), grid, cx),
    }
}
