//! The engine: from query text to answer.

use promql_syntax::ast::{Expr, ValueType};
use promql_syntax::{QueryTimes, parse, resolve_durations};
use storage::{Queryable, TimeRange};

use crate::control::{Control, RunToEnd};
use crate::cx::Cx;
use crate::error::{QueryError, Res};
use crate::explain::Explained;
use crate::grid::Grid;
use crate::notes::Annotations;
use crate::options::{EngineOptions, QueryOptions};
use crate::output;
use crate::plan::{Node, Plan, Planner};
use crate::stats::Budget;
use crate::stream::{open, scalars};
use crate::value::{QueryResult, Value};

/// Steps a range query may have; the HTTP API allows far fewer.
const STEPS_MAX: usize = 50_000_000;

/// What [`Engine::is_light`] goes by: bytes of text, steps, and series times hours.
const LIGHT_TEXT: usize = 1_000;
const LIGHT_STEPS: usize = 1_000;
const LIGHT_WEIGHT: u64 = 64;

/// Evaluates queries. Holds options only: one engine serves any number of threads.
#[derive(Clone, Debug)]
pub struct Engine {
    options: EngineOptions,
}

/// A parsed query with its times.
struct Prepared {
    expr: Expr,
    grid: Grid,
    step: i64,
    text: String,
}

/// A parsed query.
#[derive(Clone, Debug)]
pub struct Query {
    expr: Expr,
    text: String,
}

impl Query {
    /// Its text, as written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Its tree.
    pub fn expr(&self) -> &Expr {
        &self.expr
    }
}

/// The query with everything in it that hangs on the query's own times.
fn resolved(
    mut expr: Expr,
    text: &str,
    grid: Grid,
    (start, end): (i64, i64),
    step: i64,
) -> Res<Prepared> {
    let step_ms = if start == end { 0 } else { step };
    resolve_durations(
        &mut expr,
        &QueryTimes {
            start_ms: start,
            end_ms: end,
            step_ms,
        },
    )?;
    Ok(Prepared {
        expr,
        grid,
        step: step_ms,
        text: text.to_string(),
    })
}

impl Engine {
    /// An engine with these options.
    pub fn new(options: EngineOptions) -> Engine {
        Engine { options }
    }

    /// Its options.
    pub fn options(&self) -> &EngineOptions {
        &self.options
    }

    /// Evaluates a query at one instant (unix ms).
    pub fn instant(
        &self,
        storage: &dyn Queryable,
        query: &str,
        time_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        self.instant_with(storage, query, time_ms, options, &RunToEnd)
    }

    /// Parses a query that is going to be evaluated again and again.
    pub fn parse(&self, query: &str) -> Result<Query, QueryError> {
        Ok(Query {
            expr: parse(query, &self.options.parser)?,
            text: query.to_string(),
        })
    }

    /// Evaluates a parsed query at one instant (unix ms), stopped by `control`.
    pub fn instant_of(
        &self,
        storage: &dyn Queryable,
        query: &Query,
        time_ms: i64,
        options: &QueryOptions,
        control: &dyn Control,
    ) -> Result<QueryResult, QueryError> {
        let expr = query.expr.clone();
        let grid = Grid::instant(time_ms);
        let prepared = resolved(expr, &query.text, grid, (time_ms, time_ms), 0)?;
        self.run_explained(storage, &prepared, options, control, false, None)
    }

    /// The same as [`Engine::instant`], stopped by `control`.
    pub fn instant_with(
        &self,
        storage: &dyn Queryable,
        query: &str,
        time_ms: i64,
        options: &QueryOptions,
        control: &dyn Control,
    ) -> Result<QueryResult, QueryError> {
        let prepared = self.prepare(query, Grid::instant(time_ms), 0)?;
        self.run_explained(storage, &prepared, options, control, false, None)
    }

    /// Evaluates a query and tells what each operator of its plan did. `times` are start, end and step in ms; a step of 0
    /// asks for an instant query.
    pub fn explain_with(
        &self,
        storage: &dyn Queryable,
        query: &str,
        times: (i64, i64, i64),
        options: &QueryOptions,
        control: &dyn Control,
    ) -> Result<(QueryResult, Explained), QueryError> {
        let mut explained = Explained::default();
        let slot = Some(&mut explained);
        let result = match times {
            (start, _, 0) => {
                let prepared = self.prepare(query, Grid::instant(start), 0)?;
                self.run_explained(storage, &prepared, options, control, false, slot)?
            }
            _ => self.range_explained(storage, query, times, options, control, slot)?,
        };
        Ok((result, explained))
    }

    /// Whether a query is so small that handing it to another thread would cost more than answering it: few series, few
    /// steps, no subqueries. `times` as in [`Engine::explain_with`]. Says no where storage cannot tell.
    pub fn is_light(&self, storage: &dyn Queryable, query: &str, times: (i64, i64, i64)) -> bool {
        let (start, end, step) = times;
        let steps = match step {
            ..=0 => 1,
            _ => Grid::new(start, end, step).n,
        };
        // Patterns may take long to compile.
        let patterns = query.contains('~') || query.contains("label_replace");
        query.len() <= LIGHT_TEXT
            && !patterns
            && steps <= LIGHT_STEPS
            && self.weight(storage, query, times) <= LIGHT_WEIGHT
    }

    /// Series of all selectors, each for every hour it is read.
    fn weight(&self, storage: &dyn Queryable, query: &str, times: (i64, i64, i64)) -> u64 {
        let (start, end, step) = times;
        let end = if step > 0 { end } else { start };
        let grid = Grid::new(start, end, step.max(1));
        let Ok(prepared) = self.prepare_range(query, grid, start, end, step) else {
            return 0;
        };
        let mut weight = 0u64;
        prepared.expr.visit(&mut |e| {
            let (selector, range_ms) = match e {
                Expr::Vector(v) => (&**v, self.options.lookback_delta_ms),
                Expr::Matrix(m) => (&m.selector, m.range_ms),
                Expr::Subquery(_) => {
                    weight = u64::MAX;
                    return;
                }
                _ => return,
            };
            let first = start
                .saturating_sub(range_ms)
                .saturating_sub(selector.shift.offset_ms);
            let last = end.saturating_sub(selector.shift.offset_ms);
            let fixed = selector.shift.has_at();
            let range = TimeRange {
                min: if fixed { i64::MIN } else { first },
                max: if fixed { i64::MAX } else { last },
            };
            let series = storage.at_most(range, &selector.matchers);
            let hours = last.abs_diff(first) / 3_600_000 + 1;
            let own = series.map_or(u64::MAX, |series| series.saturating_mul(hours));
            weight = weight.saturating_add(own);
        });
        weight
    }

    /// Evaluates a query at every step from `start_ms` to at most `end_ms`.
    pub fn range(
        &self,
        storage: &dyn Queryable,
        query: &str,
        start_ms: i64,
        end_ms: i64,
        step_ms: i64,
        options: &QueryOptions,
    ) -> Result<QueryResult, QueryError> {
        self.range_with(
            storage,
            query,
            (start_ms, end_ms, step_ms),
            options,
            &RunToEnd,
        )
    }

    /// The same, stopped by `control`. `times` are start, end and step in ms.
    pub fn range_with(
        &self,
        storage: &dyn Queryable,
        query: &str,
        times: (i64, i64, i64),
        options: &QueryOptions,
        control: &dyn Control,
    ) -> Result<QueryResult, QueryError> {
        self.range_explained(storage, query, times, options, control, None)
    }

    fn range_explained(
        &self,
        storage: &dyn Queryable,
        query: &str,
        times: (i64, i64, i64),
        options: &QueryOptions,
        control: &dyn Control,
        explained: Option<&mut Explained>,
    ) -> Result<QueryResult, QueryError> {
        let (start, end, step) = times;
        if step <= 0 {
            return Err(QueryError::bad_data(
                "zero or negative query resolution step widths are not accepted. Try a positive integer",
            ));
        }
        let grid = Grid::new(start, end, step);
        if grid.n > STEPS_MAX {
            return Err(QueryError::execution(
                "query processing would load too many samples into memory in query execution",
            ));
        }
        let mut prepared = self.prepare_range(query, grid, start, end, step)?;
        let kind = prepared.expr.value_type();
        if !matches!(kind, ValueType::Scalar | ValueType::Vector) {
            return Err(QueryError::bad_data(format!(
                "invalid expression type \"{}\" for range query, must be Scalar or instant Vector",
                kind.documented()
            )));
        }
        if grid.n == 0 {
            return Ok(QueryResult {
                value: Value::Matrix(Vec::new()),
                annotations: Annotations::default(),
                stats: crate::stats::QueryStats::default(),
            });
        }
        prepared.step = step;
        self.run_explained(storage, &prepared, options, control, true, explained)
    }

    fn prepare(&self, query: &str, grid: Grid, step: i64) -> Res<Prepared> {
        self.prepare_range(query, grid, grid.start, grid.start, step)
    }

    fn prepare_range(
        &self,
        query: &str,
        grid: Grid,
        start: i64,
        end: i64,
        step: i64,
    ) -> Res<Prepared> {
        let expr = parse(query, &self.options.parser)?;
        resolved(expr, query, grid, (start, end), step)
    }

    fn lookback(&self, options: &QueryOptions) -> i64 {
        if options.lookback_delta_ms > 0 {
            options.lookback_delta_ms
        } else {
            self.options.lookback_delta_ms
        }
    }

    fn plan(&self, prepared: &Prepared, lookback: i64, is_range: bool, end: i64) -> Res<Plan> {
        let grid = prepared.grid;
        let step = if is_range && grid.start != end {
            prepared.step
        } else {
            0
        };
        Planner::new(
            grid.start,
            end,
            step,
            lookback,
            self.options.default_step_ms,
            self.options.optimize,
            self.options.max_samples,
        )
        .plan(&prepared.expr, grid)
    }

    fn run_explained(
        &self,
        storage: &dyn Queryable,
        prepared: &Prepared,
        options: &QueryOptions,
        control: &dyn Control,
        is_range: bool,
        explained: Option<&mut Explained>,
    ) -> Result<QueryResult, QueryError> {
        let lookback = self.lookback(options);
        let plan = self.plan(prepared, lookback, is_range, prepared.grid.end())?;
        let querier = match plan.times {
            Some((min, max)) => Some(
                storage
                    .querier(TimeRange { min, max })
                    .map_err(|e| QueryError::storage(&e))?,
            ),
            None => None,
        };
        let max_samples = match options.max_samples {
            0 => self.options.max_samples,
            n => n,
        };
        let mut cx = Cx::new(
            &self.options,
            &plan,
            lookback,
            querier,
            control,
            Budget::new(max_samples, self.options.max_bytes),
        );
        cx.per_step_stats = options.per_step_stats;
        if explained.is_some() {
            cx.meters = Some(Default::default());
        }
        cx.check_now()?;
        let value = evaluate(&plan, &cx, is_range)?;
        if let Some(slot) = explained {
            *slot = crate::explain::tree(&plan, &cx);
        }
        let stats = cx.budget.stats(|i| plan.grid.time(i));
        let annotations = cx.notes.take().finish(&prepared.text);
        Ok(QueryResult {
            value,
            annotations,
            stats,
        })
    }
}

fn evaluate(plan: &Plan, cx: &Cx<'_>, is_range: bool) -> Res<Value> {
    let grid = plan.grid;
    Ok(match plan.root.value_type(plan) {
        ValueType::String => match &plan.root {
            Node::Text(text, _) => Value::String(grid.start, text.clone()),
            _ => return Err(QueryError::execution("unexpected string expression")),
        },
        ValueType::Scalar => {
            let values = scalars(&plan.root, grid, cx)?;
            if is_range {
                cx.budget.take(values.len(), values.len() * 16)?;
                let floats = values
                    .into_iter()
                    .enumerate()
                    .map(|(i, v)| (grid.time(i), v))
                    .collect();
                Value::Matrix(vec![crate::value::ResultSeries {
                    floats,
                    ..Default::default()
                }])
            } else {
                Value::Scalar(grid.start, values.first().copied().unwrap_or(f64::NAN))
            }
        }
        ValueType::Matrix => match &plan.root {
            Node::Window(window) => {
                let series = crate::window::whole(window, grid, cx)?;
                Value::Matrix(output::join_and_sort(series, cx)?)
            }
            _ => return Err(QueryError::execution("unexpected range vector expression")),
        },
        ValueType::Vector => {
            let mut stream = open(&plan.root, grid, cx)?;
            if is_range {
                Value::Matrix(output::matrix(&mut *stream, &grid, cx)?)
            } else {
                Value::Vector(output::vector(&mut *stream, grid.start, cx)?)
            }
        }
    })
}
