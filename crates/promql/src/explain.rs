//! What a query's plan is, and what each of its operators did.

use model::matcher::{MatchOp, Matcher};
use storage::{SeriesSet, SourceRead};

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
    /// Bytes of the values it gave, in memory.
    pub bytes: u64,
    /// Time spent in it and what is below it, in nanoseconds; 0 without a clock.
    pub nanos: u64,
    /// Where it stands in the query, in bytes from its start: first, and one after the last. Both 0 where it stands for
    /// no part of it.
    pub position: (usize, usize),
    /// What it read from storage; only of selectors.
    pub read: Option<Read>,
    /// How the query could be made cheaper here.
    pub hints: Vec<String>,
    /// Its inputs.
    pub children: Vec<Explained>,
}

/// What a selector read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Read {
    /// Series selected.
    pub series: u64,
    /// Samples decoded.
    pub samples: u64,
    /// Where they came from, as storage tells.
    pub sources: Vec<SourceRead>,
}

impl Read {
    /// Compressed bytes read.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.bytes).sum()
    }
}

impl Explained {
    /// Time spent in the operator alone, nanoseconds.
    pub fn own_nanos(&self) -> u64 {
        let below: u64 = self.children.iter().map(|child| child.nanos).sum();
        self.nanos.saturating_sub(below)
    }

    /// What all selectors of the plan took from each place.
    pub fn sources(&self) -> Vec<SourceRead> {
        let mut all: Vec<SourceRead> = Vec::new();
        self.add_sources(&mut all);
        all
    }

    fn add_sources(&self, all: &mut Vec<SourceRead>) {
        for source in self.read.iter().flat_map(|read| &read.sources) {
            match all.iter_mut().find(|known| known.name == source.name) {
                Some(known) => {
                    known.series += source.series;
                    known.chunks += source.chunks;
                    known.bytes += source.bytes;
                }
                None => all.push(source.clone()),
            }
        }
        self.children
            .iter()
            .for_each(|child| child.add_sources(all));
    }
}

/// Figures of one operator.
#[derive(Clone, Debug, Default)]
pub(crate) struct Meter {
    series: u64,
    samples: u64,
    bytes: u64,
    nanos: u64,
    read: Option<Read>,
}

/// What tells selectors of one plan apart.
pub(crate) fn select_key(select: &Select) -> usize {
    std::ptr::from_ref(select) as usize
}

/// Notes what a selector read, once it has read all.
pub(crate) fn note_read(cx: &Cx<'_>, key: usize, series: u64, samples: u64, set: &dyn SeriesSet) {
    let Some(meters) = &cx.meters else { return };
    let mut meters = meters.borrow_mut();
    let read = meters.entry(key).or_default().read.get_or_insert_default();
    read.series += series;
    read.samples += samples;
    // A selector that is opened again, for one step after the other, is one selector all the same.
    for source in set.sources() {
        match read
            .sources
            .iter_mut()
            .find(|known| known.name == source.name)
        {
            Some(known) => {
                known.series += source.series;
                known.chunks += source.chunks;
                known.bytes += source.bytes;
            }
            None => read.sources.push(source),
        }
    }
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
        let hists = frame.hists.iter().flatten();
        let hist_bytes: usize = hists.map(|h| h.size_bytes()).sum();
        meter.bytes += (frame.floats.len() * 8 + hist_bytes) as u64;
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
            out.position = (select.pos.start, select.pos.end);
            out.read = read_of(select, cx);
            ("select", show(select))
        }
        Node::Window(w) => {
            if let Source::Series(select) = &w.source {
                out.position = (select.pos.start, select.pos.end);
                out.read = read_of(select, cx);
                // What it gives are the samples themselves.
                if let Some(read) = &out.read {
                    (out.series, out.samples) = (read.series, read.samples);
                    out.bytes = read.samples * 16;
                }
            }
            let (detail, children) = window(w, plan, cx, &mut out.hints);
            out.children = children;
            ("window", detail)
        }
        Node::Call(c) => {
            out.children = c.args.iter().map(|a| below(&a.node)).collect();
            out.position = (c.pos.start, c.pos.end);
            ("function", c.func.name.to_string())
        }
        Node::Aggregate(a) => {
            out.children = a.param.iter().chain([&a.input]).map(below).collect();
            out.position = (a.own_pos.start, a.own_pos.end);
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
            out.position = (b.pos.start, b.pos.end);
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
        (out.series, out.samples) = (meter.series, meter.samples);
        (out.bytes, out.nanos) = (meter.bytes, meter.nanos);
    }
    out
}

fn read_of(select: &Select, cx: &Cx<'_>) -> Option<Read> {
    let meters = cx.meters.as_ref()?.borrow();
    meters.get(&select_key(select))?.read.clone()
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
