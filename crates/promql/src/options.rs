//! What the server and a single query may choose.

use promql_syntax::ParserOptions;

/// How an engine behaves for all queries.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// How far back an instant selector looks for a sample, ms.
    pub lookback_delta_ms: i64,
    /// Samples a query may hold in memory at once; 0 for no limit.
    pub max_samples: usize,
    /// Bytes a query may hold in memory at once; 0 for no limit.
    pub max_bytes: usize,
    /// Resolution of subqueries that name none, ms.
    pub default_step_ms: i64,
    /// Which parts of the language are enabled.
    pub parser: ParserOptions,
    /// Metric names are dropped at the end of the query instead of by each function.
    pub delayed_name_removal: bool,
    /// Start timestamps of samples count as zeros and as resets.
    pub use_start_timestamps: bool,
    /// `__type__` labels are there and tell counters from other metrics.
    pub type_and_unit_labels: bool,
    /// Plan rewrites and windows that slide; switched off only to test them.
    pub optimize: bool,
}

impl Default for EngineOptions {
    fn default() -> EngineOptions {
        EngineOptions {
            lookback_delta_ms: 300_000,
            max_samples: 50_000_000,
            max_bytes: 0,
            default_step_ms: 60_000,
            parser: ParserOptions::stable(),
            delayed_name_removal: false,
            use_start_timestamps: false,
            type_and_unit_labels: false,
            optimize: true,
        }
    }
}

/// What a single query may choose.
#[derive(Clone, Copy, Debug, Default)]
pub struct QueryOptions {
    /// Instead of the engine's lookback delta, ms; not positive for the engine's own.
    pub lookback_delta_ms: i64,
    /// Count samples per step, for `stats=all`.
    pub per_step_stats: bool,
    /// Samples this query may hold; 0 for the engine's own limit.
    pub max_samples: usize,
}
