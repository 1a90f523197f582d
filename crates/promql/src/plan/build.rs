//! From syntax tree to plan.

use hashbrown::HashMap;
use model::Labels;
use model::labels::METRIC_NAME;
use model::matcher::MatchOp;
use promql_syntax::ast::{Edge, Expr, TimeShift, ValueType, VectorSelector};

use super::hints::Around;
use super::invariant::is_invariant;
use super::{Aggregate, Arg, Binary, Call, Extension, Node, Plan, Select, Shared, Source, Window};
use crate::error::{QueryError, Res};
use crate::grid::Grid;

/// Points a subquery may be evaluated at; more would not fit into memory anyway.
const SUBQUERY_STEPS_MAX: usize = 50_000_000;
/// As many are allowed whatever the sample limit: series with few samples in many steps are no trouble.
const SUBQUERY_STEPS_MIN: usize = 1_000_000;
/// Expressions larger than this are not searched for equal parts.
const SHARE_TEXT_MAX: usize = 20_000;

/// Times and choices that planning depends on.
pub(crate) struct Planner {
    pub start: i64,
    pub end: i64,
    /// 0 for an instant query.
    pub step: i64,
    pub lookback: i64,
    pub default_step: i64,
    pub optimize: bool,
    max_steps: usize,
    times: Option<(i64, i64)>,
    /// How often each sub-expression occurs at each grid, and its slot once it is shared.
    texts: HashMap<String, usize>,
    slots: HashMap<(String, i64, i64, usize, bool), usize>,
    shared: Vec<Shared>,
}

impl Planner {
    pub fn new(
        start: i64,
        end: i64,
        step: i64,
        lookback: i64,
        default_step: i64,
        optimize: bool,
        max_samples: usize,
    ) -> Planner {
        let max_steps = match max_samples {
            0 => SUBQUERY_STEPS_MAX,
            n => n.clamp(SUBQUERY_STEPS_MIN, SUBQUERY_STEPS_MAX),
        };
        Planner {
            start,
            end,
            step,
            lookback,
            default_step: default_step.max(1),
            optimize,
            max_steps,
            times: None,
            texts: HashMap::new(),
            slots: HashMap::new(),
            shared: Vec::new(),
        }
    }

    pub fn plan(mut self, expr: &Expr, grid: Grid) -> Res<Plan> {
        if self.optimize {
            self.count_texts(expr);
        }
        let root = self.node(expr, grid, &Around::default())?;
        Ok(Plan {
            root,
            grid,
            shared: self.shared,
            times: self.times,
        })
    }

    /// Counts equal sub-expressions worth sharing: vectors that take more than reading a selector.
    fn count_texts(&mut self, expr: &Expr) {
        if expr.to_string().len() > SHARE_TEXT_MAX {
            return;
        }
        expr.visit(&mut |e| {
            if is_shareable(e) {
                *self.texts.entry(e.to_string()).or_default() += 1;
            }
        });
        self.texts.retain(|_, n| *n > 1);
    }

    /// Plans `expr`, evaluated once where its value does not change.
    fn node(&mut self, expr: &Expr, grid: Grid, around: &Around) -> Res<Node> {
        let literal = matches!(expr.unwrap_parens(), Expr::Number(_) | Expr::String(_));
        if grid.n > 1 && !literal && expr.value_type() != ValueType::Matrix && is_invariant(expr) {
            let node = self.bare(expr, Grid::instant(grid.start), around)?;
            return Ok(match node {
                Node::Number(v) => Node::Number(v),
                node => Node::Invariant(Box::new(node), expr.value_type()),
            });
        }
        self.bare(expr, grid, around)
    }

    fn bare(&mut self, expr: &Expr, grid: Grid, around: &Around) -> Res<Node> {
        if !self.texts.is_empty() && is_shareable(expr) {
            let text = expr.to_string();
            if self.texts.contains_key(&text) {
                let key = (text, grid.start, grid.step, grid.n, around.skips_buckets());
                if let Some(slot) = self.slots.get(&key) {
                    self.shared[*slot].uses += 1;
                    return Ok(Node::Shared(*slot));
                }
                let node = self.unshared(expr, grid, around)?;
                let slot = self.shared.len();
                self.shared.push(Shared {
                    node,
                    grid,
                    uses: 1,
                });
                self.slots.insert(key, slot);
                return Ok(Node::Shared(slot));
            }
        }
        self.unshared(expr, grid, around)
    }

    fn unshared(&mut self, expr: &Expr, grid: Grid, around: &Around) -> Res<Node> {
        Ok(match expr {
            Expr::Number(n) => Node::Number(n.value),
            Expr::String(s) => Node::Text(s.value.clone(), s.raw.clone()),
            Expr::Vector(v) => Node::Select(Box::new(self.select(v, grid, around)?)),
            Expr::Matrix(_) | Expr::Subquery(_) => {
                Node::Window(Box::new(self.window(expr, grid, around)?))
            }
            Expr::Paren(p) => self.bare(&p.expr, grid, around)?,
            Expr::Unary(u) => self.unary(u, grid, around)?,
            Expr::Binary(b) => self.binary(b, expr.pos(), grid, around)?,
            Expr::Aggregate(a) => self.aggregate(a, grid, around)?,
            Expr::Call(c) => self.call(c, grid, around)?,
        })
    }

    // One function per kind of expression: planning recurses, and what all kinds need together would be a large frame.

    fn unary(&mut self, u: &promql_syntax::ast::Unary, grid: Grid, around: &Around) -> Res<Node> {
        Ok(match self.node(&u.expr, grid, &around.deeper())? {
            Node::Number(v) if u.negative => Node::Number(-v),
            node if u.negative => Node::Negate(Box::new(node)),
            node => node,
        })
    }

    fn binary(
        &mut self,
        b: &promql_syntax::ast::Binary,
        pos: promql_syntax::PosRange,
        grid: Grid,
        around: &Around,
    ) -> Res<Node> {
        let mut none = around.bare();
        if b.op.is_trim() {
            none = none.with_buckets();
        }
        let lhs = self.node(&b.lhs, grid, &none)?;
        let rhs = self.node(&b.rhs, grid, &none)?;
        if let (Node::Number(l), Node::Number(r)) = (&lhs, &rhs) {
            return Ok(Node::Number(crate::binary::scalar(b.op, *l, *r)));
        }
        Ok(Node::Binary(Box::new(Binary {
            op: b.op,
            lhs,
            rhs,
            matching: b.matching.clone(),
            return_bool: b.return_bool,
            pos,
        })))
    }

    fn aggregate(
        &mut self,
        a: &promql_syntax::ast::Aggregate,
        grid: Grid,
        around: &Around,
    ) -> Res<Node> {
        let below = Around {
            func: Some(a.op.as_str().to_string()),
            grouping: a.grouping.clone(),
            by: !a.without,
            ..around.bare()
        };
        let param = match &a.param {
            Some(p) => Some(self.node(p, grid, &around.bare())?),
            None => None,
        };
        Ok(Node::Aggregate(Box::new(Aggregate {
            op: a.op,
            input: self.node(&a.expr, grid, &below)?,
            param,
            grouping: a.grouping.clone(),
            without: a.without,
            pos: a.expr.pos(),
            own_pos: a.pos,
            param_pos: a.param.as_ref().map(Expr::pos).unwrap_or_default(),
        })))
    }

    fn call(&mut self, c: &promql_syntax::ast::Call, grid: Grid, around: &Around) -> Res<Node> {
        let seconds = |ms: i64| Node::Number(ms as f64 / 1000.0);
        match c.func.name {
            "start" => return Ok(seconds(self.start)),
            "end" => return Ok(seconds(self.end)),
            "range" => return Ok(seconds(self.end.saturating_sub(self.start))),
            "step" => return Ok(seconds(self.step)),
            "pi" => return Ok(Node::Number(std::f64::consts::PI)),
            _ => {}
        }
        let below = around.call(c.func.name);
        let mut args = Vec::with_capacity(c.args.len());
        let mut labels = Labels::empty();
        for (i, arg) in c.args.iter().enumerate() {
            let inner = arg.unwrap_parens();
            let node = match c.func.name {
                // Looks at the samples behind its argument, which a shared or invariant value no longer has.
                "timestamp" | "start_timestamp" if matches!(inner, Expr::Vector(_)) => {
                    self.unshared(inner, grid, &below)?
                }
                // The second argument is read as matchers, never selected as it is.
                "info" if i == 1 => self.unshared(inner, grid, &below)?,
                _ => self.node(arg, grid, &below)?,
            };
            if i == 0 && c.func.name.starts_with("absent") {
                labels = absent_labels(inner);
            }
            self.check_extension(c.func.name, &node)?;
            args.push(Arg {
                node,
                pos: arg.pos(),
            });
        }
        Ok(Node::Call(Box::new(Call {
            func: c.func,
            args,
            pos: c.pos,
            labels,
        })))
    }

    fn check_extension(&self, function: &str, node: &Node) -> Res<()> {
        let Node::Window(w) = node else {
            return Ok(());
        };
        let (name, allowed): (_, &[&str]) = match w.extension {
            Extension::None => return Ok(()),
            Extension::Anchored => (
                "anchored",
                &["changes", "delta", "increase", "rate", "resets"],
            ),
            Extension::Smoothed => ("smoothed", &["delta", "increase", "rate"]),
        };
        if allowed.contains(&function) {
            return Ok(());
        }
        Err(QueryError::execution(format!(
            "{name} modifier can only be used with: {} - not with {function}",
            allowed.join(", ")
        )))
    }

    fn at(&self, shift: &TimeShift) -> Option<i64> {
        match shift.at_edge {
            Some(Edge::Start) => Some(self.start),
            Some(Edge::End) => Some(self.end),
            None => shift.at_ms,
        }
    }

    /// Notes that storage has to be asked for these times.
    fn need(&mut self, first: i64, last: i64) {
        // At the very ends of time the two may have been cut off at different places.
        let last = last.max(first);
        self.times = Some(match self.times {
            Some((a, b)) => (a.min(first), b.max(last)),
            None => (first, last),
        });
    }

    fn select(&mut self, v: &VectorSelector, grid: Grid, around: &Around) -> Res<Select> {
        let offset = v.shift.offset_ms;
        let at = self.at(&v.shift);
        let (first, last) = match at {
            Some(at) => (at, at),
            None => (grid.start, grid.end()),
        };
        let mut start = first
            .saturating_sub(offset)
            .saturating_sub(self.lookback)
            .saturating_add(1);
        let mut end = last.saturating_sub(offset);
        if v.smoothed {
            end = end.saturating_add(self.lookback);
            start = start.saturating_sub(1);
        }
        self.need(start, end);
        let mut step = if grid.n > 1 { grid.step } else { 0 };
        if grid.start == self.start && step == 0 {
            step = self.step;
        }
        Ok(Select {
            matchers: v.matchers.clone(),
            offset,
            at,
            smoothed: v.smoothed,
            skip_buckets: around.skips_buckets(),
            hints: around.hints(start, end, step, 0),
            pos: v.pos,
        })
    }

    fn window(&mut self, expr: &Expr, grid: Grid, around: &Around) -> Res<Window> {
        match expr {
            Expr::Matrix(m) => {
                let v = &m.selector;
                let mut select = self.select(v, grid, around)?;
                let (first, last) = match select.at {
                    Some(at) => (at, at),
                    None => (grid.start, grid.end()),
                };
                let extension = if v.anchored {
                    Extension::Anchored
                } else if v.smoothed {
                    Extension::Smoothed
                } else {
                    Extension::None
                };
                let back = match extension {
                    Extension::None => m.range_ms,
                    _ => m.range_ms.saturating_add(self.lookback),
                };
                let start = first
                    .saturating_sub(select.offset)
                    .saturating_sub(back)
                    .saturating_add(1);
                let mut end = last.saturating_sub(select.offset);
                if extension == Extension::Smoothed {
                    end = end.saturating_add(self.lookback);
                }
                self.need(start, end);
                let step = select.hints.step;
                select.hints = around.hints(start, end, step, m.range_ms);
                Ok(Window {
                    range: m.range_ms,
                    offset: select.offset,
                    at: select.at,
                    extension,
                    source: Source::Series(select),
                })
            }
            Expr::Subquery(s) => {
                let at = self.at(&s.shift);
                let (first, last) = match at {
                    Some(at) => (at, at),
                    None => (grid.start, grid.end()),
                };
                let step = if s.step_ms > 0 {
                    s.step_ms
                } else {
                    self.default_step
                };
                let bound = first
                    .saturating_sub(s.shift.offset_ms)
                    .saturating_sub(s.range_ms);
                // Whole multiples of the step; division truncates toward zero, as upstream's does.
                let mut start = (bound / step).saturating_mul(step);
                if start <= bound {
                    start = start.saturating_add(step);
                }
                let end = last.saturating_sub(s.shift.offset_ms);
                let inner = Grid::new(start, end, step);
                if inner.n > self.max_steps {
                    return Err(QueryError::execution(
                        "query processing would load too many samples into memory in query execution",
                    ));
                }
                Ok(Window {
                    source: Source::Subquery(
                        self.node(&s.expr, inner, &around.with_buckets())?,
                        inner,
                    ),
                    range: s.range_ms,
                    offset: s.shift.offset_ms,
                    at,
                    extension: Extension::None,
                })
            }
            other => Err(QueryError::execution(format!(
                "unexpected range vector expression {other}"
            ))),
        }
    }
}

/// Worth evaluating once for several uses: not bare selectors, whose values would have to be held.
fn is_shareable(e: &Expr) -> bool {
    match e {
        Expr::Aggregate(_) => true,
        Expr::Call(c) => c.func.return_type == ValueType::Vector && !c.args.is_empty(),
        Expr::Binary(b) => b.matching.is_some(),
        _ => false,
    }
}

/// The labels `absent` answers with: those its selector pins down.
fn absent_labels(arg: &Expr) -> Labels {
    let matchers = match arg {
        Expr::Vector(v) => &v.matchers,
        Expr::Matrix(m) => &m.selector.matchers,
        _ => return Labels::empty(),
    };
    let mut pinned: Vec<(&str, Option<&str>)> = Vec::new();
    for m in matchers.iter().filter(|m| m.name() != METRIC_NAME) {
        match pinned.iter_mut().find(|(n, _)| *n == m.name()) {
            // The first equality sets the label, whatever else is said about it takes it away again.
            None if m.op() == MatchOp::Equal => pinned.push((m.name(), Some(m.value()))),
            None => {}
            Some((_, value)) => *value = None,
        }
    }
    Labels::from_pairs(pinned.iter().filter_map(|(n, v)| v.map(|v| (*n, v))))
}
