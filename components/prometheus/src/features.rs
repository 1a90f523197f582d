//! What the server can do and has switched on, for `/api/v1/features`.

use std::collections::BTreeMap;

use crate::flags::ServerConfig;

/// Features by category.
pub type Features = BTreeMap<String, BTreeMap<String, bool>>;

/// Operators as upstream names them.
const OPERATORS: [&str; 19] = [
    "!=", "%", "*", "+", "-", "/", "<", "<=", "==", "=~", ">", ">=", "@", "^", "and", "atan2",
    "or", "unless", "offset",
];
const AGGREGATIONS: [&str; 12] = [
    "avg",
    "bottomk",
    "count",
    "count_values",
    "group",
    "max",
    "min",
    "quantile",
    "stddev",
    "stdvar",
    "sum",
    "topk",
];
const EXPERIMENTAL_AGGREGATIONS: [&str; 2] = ["limit_ratio", "limitk"];

/// The features of a server with these flags.
pub fn features_of(config: &ServerConfig) -> Features {
    let on = |name: &str| config.features.iter().any(|feature| feature == name);
    let experimental = on("promql-experimental-functions");
    let mut all = Features::new();
    let mut put = |category: &str, feature: &str, is_on: bool| {
        all.entry(category.to_string())
            .or_default()
            .insert(feature.to_string(), is_on);
    };
    for (feature, is_on) in [
        ("admin", config.enable_admin_api),
        ("exclude_alerts", false),
        ("label_values_match", true),
        ("lifecycle", config.enable_lifecycle),
        ("query_stats", true),
        ("query_warnings", true),
        ("remote_write_receiver", false),
        ("otlp_write_receiver", false),
        ("time_range_labels", true),
        ("time_range_series", true),
    ] {
        put("api", feature, is_on);
    }
    for (feature, is_on) in [
        ("agent_mode", false),
        ("auto_reload_config", config.auto_reload.is_some()),
        ("exemplar_storage", on("exemplar-storage")),
    ] {
        put("prometheus", feature, is_on);
    }
    for (feature, is_on) in [
        ("at_modifier", true),
        ("bool", true),
        ("by", true),
        ("delayed_name_removal", on("promql-delayed-name-removal")),
        ("duration_expr", true),
        ("experimental_functions", experimental),
        (
            "extended_range_selectors",
            on("promql-extended-range-selectors"),
        ),
        ("fill_modifiers", on("promql-binop-fill-modifiers")),
        ("group_left", true),
        ("group_right", true),
        ("ignoring", true),
        ("negative_offset", true),
        ("offset", true),
        ("on", true),
        ("per_query_lookback_delta", true),
        ("per_step_stats", on("promql-per-step-stats")),
        ("subqueries", true),
        ("type_and_unit_labels", on("type-and-unit-labels")),
        ("without", true),
    ] {
        put("promql", feature, is_on);
    }
    for function in promql_syntax::FUNCTIONS {
        put(
            "promql_functions",
            function.name,
            experimental || !function.experimental,
        );
    }
    for operator in OPERATORS.iter().chain(&AGGREGATIONS) {
        put("promql_operators", operator, true);
    }
    for operator in EXPERIMENTAL_AGGREGATIONS {
        put("promql_operators", operator, experimental);
    }
    for (feature, is_on) in [
        ("extra_scrape_metrics", true),
        ("native_histograms", true),
        ("start_timestamp_zero_ingestion", false),
        ("type_and_unit_labels", false),
    ] {
        put("scrape", feature, is_on);
    }
    for provider in ["dns", "file", "http", "kubernetes", "static"] {
        put("service_discovery_providers", provider, true);
    }
    for provider in configfile::sd_vendor::MECHANISMS {
        put("service_discovery_providers", provider, false);
    }
    for (feature, is_on) in [
        ("delayed_compaction", on("delayed-compaction")),
        ("exemplar_storage", on("exemplar-storage")),
        ("histograms_st_encoding", false),
        ("isolation", true),
        ("metadata_wal_records", on("metadata-wal-records")),
        ("native_histograms", true),
        ("st_storage", false),
        ("use_uncached_io", false),
        ("xor2_encoding", false),
    ] {
        put("tsdb", feature, is_on);
    }
    for (feature, is_on) in [
        ("concurrent_rule_eval", on("concurrent-rule-eval")),
        ("keep_firing_for", true),
        ("query_offset", true),
    ] {
        put("rules", feature, is_on);
    }
    for function in gotemplate::alerting::FUNCTIONS {
        put("templating_functions", function, true);
    }
    for category in ["otlp_receiver", "ui"] {
        all.entry(category.to_string()).or_default();
    }
    all
}

/// What to tell about features that are switched on and change nothing here.
pub fn warnings(features: &[String]) -> Vec<String> {
    let text = |feature: &String| match feature.as_str() {
        "native-histograms" | "ooo-native-histograms" => Some(format!(
            "This option for --enable-feature is now permanently enabled and therefore a no-op: {feature}"
        )),
        "memory-snapshot-on-shutdown" | "fast-startup" => Some(format!(
            "--enable-feature={feature}: not needed and without effect, every start replays the log"
        )),
        "use-uncached-io" => Some(format!("--enable-feature={feature}: without effect")),
        "st-storage" | "xor2-encoding" | "histograms-st-encoding" => Some(format!(
            "--enable-feature={feature}: such chunks and records are read and not written"
        )),
        _ => None,
    };
    features.iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_show() {
        let mut config = crate::flags::defaults();
        assert!(!features_of(&config)["promql_functions"]["info"]);
        config.features = vec!["promql-experimental-functions".into()];
        assert!(features_of(&config)["promql_functions"]["info"]);
        assert!(features_of(&config)["promql_operators"]["+"]);
    }
}
