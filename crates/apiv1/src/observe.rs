//! What is told about queries: a log of those that ended, and a list of those that run.

use std::sync::Mutex;
use std::time::Duration;

/// A query that has ended.
#[derive(Clone, Debug)]
pub struct EndedQuery<'a> {
    /// Its text.
    pub query: &'a str,
    /// Unix milliseconds.
    pub start: i64,
    /// Unix milliseconds.
    pub end: i64,
    /// Milliseconds; 0 for instant queries.
    pub step: i64,
    /// Why it failed.
    pub error: Option<&'a str>,
    /// Its figures, the JSON object of the API.
    pub stats: &'a str,
    /// Who asked.
    pub caller: &'a Caller,
}

/// Who asked for something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The client's address without its port.
    pub client: String,
    /// `GET`, ...
    pub method: String,
    /// The path, as the client wrote it.
    pub path: String,
}

/// Whoever wants to know of queries.
pub trait QueryObserver: Send + Sync {
    /// A query begins; what is given back is dropped at its end.
    fn begin(&self, query: &str) -> Box<dyn Send>;

    /// Whether [`QueryObserver::ended`] is of any use now.
    fn wants_ended(&self) -> bool;

    /// A query has ended.
    fn ended(&self, query: &EndedQuery<'_>);

    /// The figures of every query that has ended, whether it was one over a range, and so sorted, or not.
    fn measured(&self, timings: &Timings, stats: &promql::QueryStats, is_range: bool);
}

/// Nobody.
pub struct Unobserved;

impl QueryObserver for Unobserved {
    fn begin(&self, _: &str) -> Box<dyn Send> {
        Box::new(())
    }

    fn wants_ended(&self) -> bool {
        false
    }

    fn ended(&self, _: &EndedQuery<'_>) {}

    fn measured(&self, _: &Timings, _: &promql::QueryStats, _: bool) {}
}

/// Where the time of a query went.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timings {
    /// Waiting for other queries.
    pub queue: Duration,
    /// From there to the result.
    pub eval: Duration,
    /// Of that, selecting series.
    pub preparation: Duration,
}

impl Timings {
    /// What is left of the evaluation without selecting before it and sorting after it.
    pub fn inner(&self, stats: &promql::QueryStats) -> Duration {
        self.eval
            .saturating_sub(self.preparation)
            .saturating_sub(Duration::from_nanos(stats.sort_nanos))
    }
}

/// Measures the time that selecting takes, by standing between the engine and what it reads.
pub struct Measured<'a> {
    below: &'a dyn storage::Queryable,
    clock: &'a std::sync::Arc<dyn env::Clock>,
    spent: std::sync::Arc<Mutex<Duration>>,
}

impl<'a> Measured<'a> {
    /// Nothing is spent yet.
    pub fn new(
        below: &'a dyn storage::Queryable,
        clock: &'a std::sync::Arc<dyn env::Clock>,
    ) -> Measured<'a> {
        Measured {
            below,
            clock,
            spent: Default::default(),
        }
    }

    /// What has been spent.
    pub fn spent(&self) -> Duration {
        *self.spent.lock().unwrap_or_else(|e| e.into_inner())
    }
}

fn timed<T>(
    clock: &std::sync::Arc<dyn env::Clock>,
    spent: &Mutex<Duration>,
    work: impl FnOnce() -> T,
) -> T {
    let began = clock.monotonic();
    let result = work();
    let took = clock.monotonic().saturating_sub(began);
    *spent.lock().unwrap_or_else(|e| e.into_inner()) += took;
    result
}

impl storage::Queryable for Measured<'_> {
    fn querier(
        &self,
        range: storage::TimeRange,
    ) -> Result<Box<dyn storage::Querier>, storage::StorageError> {
        let below = timed(self.clock, &self.spent, || self.below.querier(range))?;
        Ok(Box::new(MeasuredQuerier {
            below,
            clock: self.clock.clone(),
            spent: self.spent.clone(),
        }))
    }
}

struct MeasuredQuerier {
    below: Box<dyn storage::Querier>,
    clock: std::sync::Arc<dyn env::Clock>,
    spent: std::sync::Arc<Mutex<Duration>>,
}

impl storage::Querier for MeasuredQuerier {
    fn select(
        &self,
        matchers: &[model::Matcher],
        hints: &storage::SelectHints,
    ) -> Result<Box<dyn storage::SeriesSet>, storage::StorageError> {
        timed(&self.clock, &self.spent, || {
            self.below.select(matchers, hints)
        })
    }

    fn label_names(
        &self,
        matchers: &[model::Matcher],
        limit: usize,
    ) -> Result<storage::Answer<Vec<String>>, storage::StorageError> {
        self.below.label_names(matchers, limit)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[model::Matcher],
        limit: usize,
    ) -> Result<storage::Answer<Vec<String>>, storage::StorageError> {
        self.below.label_values(name, matchers, limit)
    }
}
