//! The logical plan: what to evaluate at which steps, times resolved, step-invariant parts marked, equal parts shared.

mod build;
mod hints;
mod invariant;

use model::matcher::Matcher;
use promql_syntax::ast::{AggregateOp, BinaryOp, Matching, ValueType};
use promql_syntax::{Function, PosRange};
use storage::SelectHints;

use crate::grid::Grid;

pub(crate) use build::Planner;
pub(crate) use invariant::is_step_dependent;

/// A whole query.
#[derive(Debug)]
pub(crate) struct Plan {
    pub root: Node,
    pub grid: Grid,
    /// Sub-expressions whose text occurs more than once.
    pub shared: Vec<Shared>,
    /// The times storage is asked for, first and last; `None` if nothing is selected.
    pub times: Option<(i64, i64)>,
}

/// A sub-expression evaluated once for several places.
#[derive(Debug)]
pub(crate) struct Shared {
    pub node: Node,
    pub grid: Grid,
    /// Places in the plan. With only one, because what is around it is shared already, nothing needs to be held.
    pub uses: usize,
}

#[derive(Debug)]
pub(crate) enum Node {
    Number(f64),
    Text(String, Option<Vec<u8>>),
    Select(Box<Select>),
    /// The argument of a range function, or a whole query of type matrix.
    Window(Box<Window>),
    Call(Box<Call>),
    Aggregate(Box<Aggregate>),
    Binary(Box<Binary>),
    Negate(Box<Node>),
    /// Evaluated once, at the first step, and copied to all.
    Invariant(Box<Node>, ValueType),
    /// Evaluated once, for all places it is used at; index into [`Plan::shared`].
    Shared(usize),
}

/// An instant selector; also what a range selector reads from.
#[derive(Debug)]
pub(crate) struct Select {
    pub matchers: Vec<Matcher>,
    pub offset: i64,
    pub at: Option<i64>,
    pub smoothed: bool,
    /// Of histograms only count and sum are needed.
    pub skip_buckets: bool,
    pub hints: SelectHints,
    pub pos: PosRange,
}

impl Select {
    /// The one metric name it can select, if it can be told.
    pub fn name(&self) -> Option<&str> {
        use model::labels::METRIC_NAME;
        use model::matcher::MatchOp;
        self.matchers
            .iter()
            .find(|m| m.name() == METRIC_NAME && m.op() == MatchOp::Equal && !m.value().is_empty())
            .map(|m| m.value())
    }
}

#[derive(Debug)]
pub(crate) enum Source {
    Series(Select),
    Subquery(Node, Grid),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extension {
    None,
    Anchored,
    Smoothed,
}

#[derive(Debug)]
pub(crate) struct Window {
    pub source: Source,
    pub range: i64,
    pub offset: i64,
    pub at: Option<i64>,
    pub extension: Extension,
}

#[derive(Debug)]
pub(crate) struct Call {
    pub func: &'static Function,
    pub args: Vec<Arg>,
    pub pos: PosRange,
    /// For `absent` and `absent_over_time`: the labels to answer with. For `info`: nothing.
    pub labels: model::Labels,
}

#[derive(Debug)]
pub(crate) struct Arg {
    pub node: Node,
    pub pos: PosRange,
}

#[derive(Debug)]
pub(crate) struct Aggregate {
    pub op: AggregateOp,
    pub input: Node,
    pub param: Option<Node>,
    pub grouping: Vec<String>,
    pub without: bool,
    /// Position of the aggregated expression.
    pub pos: PosRange,
    pub param_pos: PosRange,
    /// Position of the aggregation itself.
    pub own_pos: PosRange,
}

#[derive(Debug)]
pub(crate) struct Binary {
    pub op: BinaryOp,
    pub lhs: Node,
    pub rhs: Node,
    pub matching: Option<Matching>,
    pub return_bool: bool,
    pub pos: PosRange,
}

impl Node {
    pub fn value_type(&self, plan: &Plan) -> ValueType {
        match self {
            Node::Number(_) => ValueType::Scalar,
            Node::Text(..) => ValueType::String,
            Node::Select(_) | Node::Aggregate(_) => ValueType::Vector,
            Node::Window(_) => ValueType::Matrix,
            Node::Call(c) => c.func.return_type,
            Node::Negate(n) => n.value_type(plan),
            Node::Binary(b) => b.value_type(plan),
            Node::Invariant(_, t) => *t,
            Node::Shared(i) => match plan.shared.get(*i) {
                Some(shared) => shared.node.value_type(plan),
                None => ValueType::Vector,
            },
        }
    }
}

impl Binary {
    pub fn value_type(&self, plan: &Plan) -> ValueType {
        if self.matching.is_some() {
            return ValueType::Vector;
        }
        let scalar = |n: &Node| n.value_type(plan) == ValueType::Scalar;
        if scalar(&self.rhs) && scalar(&self.lhs) {
            ValueType::Scalar
        } else {
            ValueType::Vector
        }
    }
}
