//! What a query's plan is, and what each of its operators did.

use model::matcher::{MatchOp, Matcher};

use crate::cx::Cx;
use crate::error::Res;
use crate::frame::Frame;
use crate::grid::Grid;
use crate::plan::{Node, Plan, Select, Source, Window};
use crate::stream::Stream;

/// An operator of a plan with what is below it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Explained {
    /// What kind of operator it is: `select`, `window`, `aggregate`, `join`, ...
    pub operator: String,
    /// What in particular: a selector, a function's name, grouping labels.
    pub detail: String,
    /// Steps it is evaluated at.
    pub steps: usize,
    /// Series it gave.
    pub series: u64,
    /// Samples it gave.
    pub samples: u64,
    /// Time spent in it and what is below it, in nanoseconds; 0 without a clock.
    pub nanos: u64,
    /// How the query could be made cheaper here.
    pub hints: Vec<String>,
    /// Its inputs.
    pub children: Vec<Explained>,
}

/// Figures of one operator.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Meter {
    series: u64,
    samples: u64,
    nanos: u64,
}

/// What tells nodes of one plan apart.
pub(crate) fn key(node: &Node) -> usize {
    std::ptr::from_ref(node) as usize
}

/// Adds to an operator's figures: the time since `started`, and what it gave.
pub(crate) fn count(cx: &Cx<'_>, key: usize, started: u64, given: Option<&Frame>) {
    let Some(meters) = &cx.meters else { return };
    let mut meters = meters.borrow_mut();
    let meter = meters.entry(key).or_default();
    meter.nanos += cx.control.nanos().saturating_sub(started);
    if let Some(frame) = given {
        meter.series += 1;
        meter.samples += frame.samples() as u64;
    }
}

/// Counts what passes through.
pub(crate) struct Metered<'q> {
    pub input: Box<dyn Stream + 'q>,
    pub key: usize,
    pub cx: &'q Cx<'q>,
}

impl Stream for Metered<'_> {
    fn next(&mut self, out: &mut Frame) -> Res<bool> {
        let started = self.cx.control.nanos();
        let more = self.input.next(out)?;
        count(self.cx, self.key, started, more.then_some(&*out));
        Ok(more)
    }
}

/// The whole plan with its figures.
pub(crate) fn tree(plan: &Plan, cx: &Cx<'_>) -> Explained {
    node(&plan.root, plan.grid, plan, cx)
}

fn node(n: &Node, grid: Grid, plan: &Plan, cx: &Cx<'_>) -> Explained {
    let below = |n: &Node| node(n, grid, plan, cx);
    let mut out = Explained {
        steps: grid.n,
        ..Explained::default()
    };
    let (operator, detail) = match n {
        Node::Number(v) => ("number", model::number::format_float(*v)),
        Node::Text(text, _) => ("string", text.clone()),
        Node::Select(select) => {
            out.hints = select_hints(select);
            ("select", show(select))
        }
        Node::Window(w) => {
            let (detail, children) = window(w, plan, cx, &mut out.hints);
            out.children = children;
            ("window", detail)
        }
        Node::Call(c) => {
            out.children = c.args.iter().map(|a| below(&a.node)).collect();
            ("function", c.func.name.to_string())
        }
        Node::Aggregate(a) => {
            out.children = a.param.iter().chain([&a.input]).map(below).collect();
            let clause = if a.without { "without" } else { "by" };
            let detail = if a.without || !a.grouping.is_empty() {
                format!("{} {clause} ({})", a.op.as_str(), a.grouping.join(", "))
            } else {
                a.op.as_str().to_string()
            };
            ("aggregate", detail)
        }
        Node::Binary(b) => {
            out.children = vec![below(&b.lhs), below(&b.rhs)];
            let kind = match &b.matching {
                Some(_) if b.op.is_set() => "set",
                Some(_) => "join",
                None => "arithmetic",
            };
            (kind, b.op.as_str().to_string())
        }
        Node::Negate(inner) => {
            out.children = vec![below(inner)];
            ("arithmetic", "-".to_string())
        }
        Node::Invariant(inner, _) => {
            out.children = vec![node(inner, Grid::instant(grid.start), plan, cx)];
            ("once", "the same at every step".to_string())
        }
        Node::Shared(slot) => {
            if let Some(shared) = plan.shared.get(*slot) {
                let inner = node(&shared.node, shared.grid, plan, cx);
                if shared.uses == 1 {
                    return inner;
                }
                out.children = vec![inner];
            }
            ("shared", format!("evaluated once, number {slot}"))
        }
    };
    out.operator = operator.to_string();
    out.detail = detail;
    if let Some(meters) = &cx.meters
        && let Some(meter) = meters.borrow().get(&key(n))
    {
        (out.series, out.samples, out.nanos) = (meter.series, meter.samples, meter.nanos);
    }
    out
}

fn window(
    w: &Window,
    plan: &Plan,
    cx: &Cx<'_>,
    hints: &mut Vec<String>,
) -> (String, Vec<Explained>) {
    let range = model::duration::format_duration(w.range);
    match &w.source {
        Source::Series(select) => {
            *hints = select_hints(select);
            (format!("{}[{range}]", show(select)), Vec::new())
        }
        Source::Subquery(inner, grid) => {
            hints.push(
                "a recording rule of the inner expression would replace the subquery by a range selector"
                    .to_string(),
            );
            let step = model::duration::format_duration(grid.step);
            (
                format!("[{range}:{step}]"),
                vec![node(inner, *grid, plan, cx)],
            )
        }
    }
}

fn show(select: &Select) -> String {
    let matchers: Vec<String> = select.matchers.iter().map(Matcher::to_string).collect();
    format!("{{{}}}", matchers.join(","))
}

fn select_hints(select: &Select) -> Vec<String> {
    let literal = |m: &Matcher| {
        !m.value().contains([
            '.', '+', '*', '?', '(', ')', '|', '[', ']', '{', '}', '^', '$', '\\',
        ])
    };
    let mut hints: Vec<String> = select
        .matchers
        .iter()
        .filter(|m| literal(m))
        .filter_map(|m| match m.op() {
            MatchOp::Regex => Some(format!("{m} could be {}=\"{}\"", m.name(), m.value())),
            MatchOp::NotRegex => Some(format!("{m} could be {}!=\"{}\"", m.name(), m.value())),
            _ => None,
        })
        .collect();
    if select.name().is_none() {
        hints.push("without an equality on the metric name many series are looked at".to_string());
    }
    hints
}
