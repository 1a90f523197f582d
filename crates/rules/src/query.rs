//! How rules ask: a parsed query at a time, bounded in time.

use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use promql::{Control, Engine, Query, QueryOptions, QueryResult, Stop, Value};
use promql_syntax::Expr;
use storage::Queryable;

/// Answers the queries of rules and of their templates.
pub trait RuleQuery: Send + Sync {
    /// Parses an expression once.
    fn parse(&self, text: &str) -> Result<Query, String>;

    /// Evaluates it at `time_ms`; the error is for people.
    fn query(&self, query: &Query, time_ms: i64) -> Result<Value, String>;
}

/// Asks the engine over local storage.
pub struct EngineQuery {
    /// Evaluates.
    pub engine: Arc<Engine>,
    /// What is read.
    pub queryable: Arc<dyn Queryable>,
    /// Measures how long it takes.
    pub clock: Arc<dyn Clock>,
    /// How long it may take.
    pub timeout: Duration,
}

struct Deadline<'a> {
    clock: &'a dyn Clock,
    at: Duration,
}

impl Control for Deadline<'_> {
    fn stop(&self) -> Option<Stop> {
        (self.clock.monotonic() >= self.at).then_some(Stop::TimedOut)
    }
}

impl EngineQuery {
    /// Evaluates a query at `time_ms` over `storage`; gives its figures, too.
    pub fn evaluate(
        &self,
        storage: &dyn Queryable,
        query: &Query,
        time_ms: i64,
    ) -> Result<QueryResult, String> {
        let control = Deadline {
            clock: &*self.clock,
            at: self.clock.monotonic() + self.timeout,
        };
        let options = QueryOptions::default();
        self.engine
            .instant_of(storage, query, time_ms, &options, &control)
            .map_err(|e| e.to_string())
    }
}

impl RuleQuery for EngineQuery {
    fn parse(&self, text: &str) -> Result<Query, String> {
        self.engine.parse(text).map_err(|e| e.to_string())
    }

    fn query(&self, query: &Query, time_ms: i64) -> Result<Value, String> {
        let result = self.evaluate(&*self.queryable, query, time_ms)?;
        Ok(result.value)
    }
}

/// Calls `visit` with every selector of an expression.
pub(crate) fn selectors<'e>(
    expr: &'e Expr,
    visit: &mut dyn FnMut(&'e promql_syntax::ast::VectorSelector),
) {
    match expr {
        Expr::Number(_) | Expr::String(_) => {}
        Expr::Vector(selector) => visit(selector),
        Expr::Matrix(matrix) => visit(&matrix.selector),
        Expr::Subquery(subquery) => selectors(&subquery.expr, visit),
        Expr::Aggregate(aggregate) => {
            if let Some(parameter) = &aggregate.param {
                selectors(parameter, visit);
            }
            selectors(&aggregate.expr, visit);
        }
        Expr::Binary(binary) => {
            selectors(&binary.lhs, visit);
            selectors(&binary.rhs, visit);
        }
        Expr::Call(call) => call.args.iter().for_each(|arg| selectors(arg, visit)),
        Expr::Paren(paren) => selectors(&paren.expr, visit),
        Expr::Unary(unary) => selectors(&unary.expr, visit),
    }
}
