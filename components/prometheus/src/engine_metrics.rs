//! What the query engine says about itself: how many queries there are, and where their time went.
//!
//! Queries of clients and of rules count alike, as upstream's one engine counts them.

use std::time::Duration;

use apiv1::observe::{Measured, Timings};
use env::Registry;
use env::instruments::{Counter, Gauge, Histogram, Summary};
use promql::{Query, QueryStats, Value};
use rules::{EngineQuery, RuleQuery};

/// Instruments of the engine.
#[derive(Clone)]
pub struct EngineMetrics {
    queue: Slice,
    preparation: Slice,
    evaluation: Slice,
    sorting: Slice,
    samples: Counter,
    samples_read: Counter,
    /// Whether queries are logged.
    pub log_enabled: Gauge,
    /// Queries that could not be logged.
    pub log_failures: Counter,
}

/// A part of a query's time.
#[derive(Clone)]
struct Slice {
    summary: Summary,
    histogram: Histogram,
}

impl Slice {
    fn note(&self, time: Duration) {
        self.summary.observe(time.as_secs_f64());
        self.histogram.observe(time.as_secs_f64());
    }
}

impl EngineMetrics {
    /// Registers all.
    pub fn new(registry: &Registry) -> EngineMetrics {
        let summaries = registry.summaries(
            "prometheus_engine_query_duration_seconds",
            "Query timings",
            &["slice"],
            &[0.5, 0.9, 0.99],
        );
        let histograms = registry.native_histograms(
            "prometheus_engine_query_duration_histogram_seconds",
            "Seconds that the parts of evaluating a query took.",
            &["slice"],
            &[0.01, 0.1, 1.0, 10.0],
        );
        let slice = |name: &str| Slice {
            summary: summaries.with(&[name]),
            histogram: histograms.with(&[name]),
        };
        EngineMetrics {
            queue: slice("queue_time"),
            preparation: slice("prepare_time"),
            evaluation: slice("inner_eval"),
            sorting: slice("result_sort"),
            samples: registry.counter(
                "prometheus_engine_query_samples_total",
                "Samples that queries looked at, once for every step that looks at them.",
            ),
            samples_read: registry.counter(
                "prometheus_engine_query_samples_read_total",
                "Samples that queries read.",
            ),
            log_enabled: registry.gauge(
                "prometheus_engine_query_log_enabled",
                "State of the query log.",
            ),
            log_failures: registry.counter(
                "prometheus_engine_query_log_failures_total",
                "The number of query log failures.",
            ),
        }
    }

    /// A query has ended. Only answers with many samples a series are sorted.
    pub fn note(&self, timings: &Timings, stats: &QueryStats, sorted: bool) {
        self.queue.note(timings.queue);
        self.preparation.note(timings.preparation);
        self.evaluation.note(timings.inner(stats));
        if sorted {
            self.sorting.note(Duration::from_nanos(stats.sort_nanos));
        }
        self.samples.add(stats.total_queryable_samples);
        self.samples_read.add(stats.samples_read);
    }
}

/// Answers the queries of rules and counts them.
pub struct CountedRules {
    /// Answers them.
    pub query: EngineQuery,
    /// Counts them.
    pub metrics: EngineMetrics,
}

impl RuleQuery for CountedRules {
    fn parse(&self, text: &str) -> Result<Query, String> {
        self.query.parse(text)
    }

    fn query(&self, query: &Query, time_ms: i64) -> Result<Value, String> {
        let clock = &self.query.clock;
        let storage = Measured::new(&*self.query.queryable, clock);
        let began = clock.monotonic();
        let result = self.query.evaluate(&storage, query, time_ms);
        let timings = Timings {
            queue: Duration::ZERO,
            eval: clock.monotonic().saturating_sub(began),
            preparation: storage.spent(),
        };
        let none = QueryStats::default();
        let stats = result.as_ref().map_or(&none, |result| &result.stats);
        self.metrics.note(&timings, stats, false);
        Ok(result?.value)
    }
}
