//! Finds series that become equal when their names are dropped.

use hashbrown::{HashMap, HashSet};
use model::Labels;

use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::frame::{Frame, without_name};
use crate::plan::{Node, Source};
use crate::steps::Steps;

/// Remembers which labels have a value at which step. Free where the input can only have one metric name.
pub(crate) struct Guard {
    /// All inputs have the same name, so dropping it cannot make two equal.
    one_name: bool,
    seen: HashMap<Labels, Steps>,
}

impl Guard {
    pub fn for_node(node: &Node, cx: &Cx<'_>) -> Guard {
        Guard {
            one_name: cx.options.delayed_name_removal || one_name(node, cx),
            seen: HashMap::new(),
        }
    }

    /// Fails if a series with these labels, name aside, had a value at one of the steps already.
    pub fn check(&mut self, frame: &Frame, cx: &Cx<'_>) -> Res<()> {
        if cx.options.delayed_name_removal
            || (self.one_name
                && frame.labels.get("__type__").is_none()
                && frame.labels.get("__unit__").is_none())
        {
            return Ok(());
        }
        let labels = if frame.drop_name {
            without_name(&frame.labels)
        } else {
            frame.labels.clone()
        };
        self.claim(labels, frame)
    }

    pub fn claim(&mut self, labels: Labels, frame: &Frame) -> Res<()> {
        let n = frame.floats.len();
        let steps = self.seen.entry(labels).or_insert_with(|| Steps::new(n));
        for i in (0..n).filter(|i| frame.has(*i)) {
            if !steps.insert(i) {
                return Err(QueryError::duplicate_labels());
            }
        }
        Ok(())
    }

    /// A guard that always looks.
    pub fn strict() -> Guard {
        Guard {
            one_name: false,
            seen: HashMap::new(),
        }
    }
}

/// Range functions refuse equal labels even where they never have a value at the same step.
pub(crate) struct RangeGuard {
    one_name: bool,
    seen: HashSet<Labels>,
}

impl RangeGuard {
    pub fn new(source: &Source, cx: &Cx<'_>) -> RangeGuard {
        let one_name = match source {
            Source::Series(select) => select.name().is_some(),
            Source::Subquery(node, _) => one_name(node, cx),
        };
        RangeGuard {
            one_name,
            seen: HashSet::new(),
        }
    }

    pub fn check(&mut self, frame: &Frame, cx: &Cx<'_>) -> Res<()> {
        if cx.options.delayed_name_removal
            || !frame.drop_name
            || (self.one_name
                && frame.labels.get("__type__").is_none()
                && frame.labels.get("__unit__").is_none())
        {
            return Ok(());
        }
        if self.seen.insert(without_name(&frame.labels)) {
            Ok(())
        } else {
            Err(QueryError::duplicate_labels())
        }
    }
}

/// Whether all series of a vector expression have the same name, or none, and are different without it.
fn one_name(node: &Node, cx: &Cx<'_>) -> bool {
    match node {
        Node::Select(select) => select.name().is_some(),
        Node::Negate(node) | Node::Invariant(node, _) => one_name(node, cx),
        Node::Shared(slot) => one_name(&cx.plan.shared[*slot].node, cx),
        // Their results differ in their grouping labels; `__name__` may be one of those.
        Node::Aggregate(a) => {
            use promql_syntax::ast::AggregateOp::{Bottomk, LimitRatio, Limitk, Topk};
            match a.op {
                Topk | Bottomk | Limitk | LimitRatio => one_name(&a.input, cx),
                _ => a.without || !a.grouping.iter().any(|l| l == model::labels::METRIC_NAME),
            }
        }
        _ => false,
    }
}
