//! The query engine as flags and features ask for it.

use std::sync::Arc;

use promql::{Engine, EngineOptions};
use promql_syntax::ParserOptions;

use crate::flags::ServerConfig;

/// Builds the engine.
pub fn engine_of(config: &ServerConfig) -> Arc<Engine> {
    let on = |name: &str| config.features.iter().any(|feature| feature == name);
    let parser = ParserOptions {
        experimental_functions: on("promql-experimental-functions"),
        binop_fill_modifiers: on("promql-binop-fill-modifiers"),
    };
    Arc::new(Engine::new(EngineOptions {
        lookback_delta_ms: config.query.lookback_delta,
        max_samples: config.query.max_samples,
        parser,
        delayed_name_removal: on("promql-delayed-name-removal"),
        use_start_timestamps: on("use-start-timestamps"),
        type_and_unit_labels: on("type-and-unit-labels"),
        ..EngineOptions::default()
    }))
}
