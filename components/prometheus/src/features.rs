//! What the server can do and has switched on, for `/api/v1/features`.

use std::collections::BTreeMap;

use configfile::prometheus::Global;
use configfile::scrape::ScrapeProtocol;

use crate::flags::ServerConfig;

/// Features by category.
pub type Features = BTreeMap<String, BTreeMap<String, bool>>;

/// Operators as upstream names them.
const OPERATORS: [&str; 21] = [
    "!=", "!~", "%", "*", "+", "-", "/", "<", "</", "<=", "==", "=~", ">", ">/", ">=", "@", "^",
    "and", "atan2", "or", "unless",
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

/// Names that change something here.
const KNOWN: [&str; 14] = [
    "concurrent-rule-eval",
    "created-timestamp-zero-ingestion",
    "delayed-compaction",
    "exemplar-storage",
    "extra-scrape-metrics",
    "metadata-wal-records",
    "promql-binop-fill-modifiers",
    "promql-delayed-name-removal",
    "promql-experimental-functions",
    "promql-extended-range-selectors",
    "promql-per-step-stats",
    "type-and-unit-labels",
    "use-start-timestamps",
    "auto-reload-config",
];

/// The features of a server with these flags.
pub fn features_of(config: &ServerConfig) -> Features {
    let on = |name: &str| config.features.iter().any(|feature| feature == name);
    let experimental = on("promql-experimental-functions");
    let fill = on("promql-binop-fill-modifiers");
    let mut all = Features::new();
    let mut put = |category: &str, feature: &str, is_on: bool| {
        all.entry(category.to_string())
            .or_default()
            .insert(feature.to_string(), is_on);
    };
    for (feature, is_on) in [
        ("admin", config.enable_admin_api),
        ("exclude_alerts", true),
        ("label_values_match", true),
        ("lifecycle", config.enable_lifecycle),
        ("query_stats", true),
        ("query_warnings", true),
        ("remote_write_receiver", !config.write_receiver.is_empty()),
        ("otlp_write_receiver", false),
        ("openapi_3.1", true),
        ("openapi_3.2", true),
        ("query_cost", false),
        ("search", false),
        ("time_range_labels", true),
        ("time_range_series", true),
    ] {
        put("api", feature, is_on);
    }
    for (feature, is_on) in [
        ("agent_mode", config.agent),
        ("auto_reload_config", config.auto_reload.is_some()),
        ("server_mode", !config.agent),
    ] {
        put("prometheus", feature, is_on);
    }
    for (feature, is_on) in [
        ("at_modifier", true),
        ("bool", true),
        ("by", true),
        ("delayed_name_removal", on("promql-delayed-name-removal")),
        ("duration_expr", true),
        ("anchored", true),
        ("smoothed", true),
        ("fill", fill),
        ("fill_left", fill),
        ("fill_right", fill),
        ("group_left", true),
        ("group_right", true),
        ("ignoring", true),
        ("negative_offset", true),
        ("offset", true),
        ("on", true),
        ("per_query_lookback_delta", true),
        ("per_step_stats", on("promql-per-step-stats")),
        ("unquoted_utf8_names", false),
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
        ("openmetrics2", false),
        (
            "start_timestamp_zero_ingestion",
            on("created-timestamp-zero-ingestion"),
        ),
        ("type_and_unit_labels", on("type-and-unit-labels")),
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
    for feature in ["delta_conversion", "native_delta_ingestion"] {
        put("otlp_receiver", feature, false);
    }
    put("ui", "ui_v2", false);
    put("ui", "ui_v3", false);
    all
}

/// What a configuration that says nothing of its own gets from features.
pub fn defaults(features: &[String]) -> Global {
    let on = |name: &str| features.iter().any(|feature| feature == name);
    let starts = on("created-timestamp-zero-ingestion") || on("st-storage");
    Global {
        extra_scrape_metrics: on("extra-scrape-metrics"),
        // Only protobuf tells of start timestamps as they are meant.
        scrape_protocols: starts.then(|| ScrapeProtocol::PROTOBUF_FIRST.to_vec()),
        ..Global::default()
    }
}

/// What to tell about features that are switched on and change nothing here.
pub fn warnings(features: &[String]) -> Vec<String> {
    let text = |feature: &String| {
        match feature.as_str() {
        "native-histograms" => Some(
            "--enable-feature=native-histograms: without effect; scrape_native_histograms: true in the configuration scrapes them"
                .to_string(),
        ),
        "extra-scrape-metrics" => Some(
            "--enable-feature=extra-scrape-metrics: on its way out; extra_scrape_metrics: true in the configuration does the same"
                .to_string(),
        ),
        "auto-reload-config" => Some(
            "--enable-feature=auto-reload-config: deprecated, use --config.auto-reload".to_string(),
        ),
        "ooo-native-histograms" | "promql-duration-expr" => Some(format!(
            "This option for --enable-feature is now permanently enabled and therefore a no-op: {feature}"
        )),
        "memory-snapshot-on-shutdown" | "fast-startup" => Some(format!(
            "--enable-feature={feature}: not needed and without effect, every start replays the log"
        )),
        "use-uncached-io" => Some(format!("--enable-feature={feature}: without effect")),
        "st-storage" | "xor2-encoding" | "histograms-st-encoding" => Some(format!(
            "--enable-feature={feature}: such chunks and records are read and not written"
        )),
        "st-synthesis" | "old-ui" | "search-api" | "otlp-deltatocumulative"
        | "otlp-native-delta-ingestion" => Some(format!(
            "--enable-feature={feature}: this build does not have it"
        )),
        name if KNOWN.contains(&name) => None,
        name => Some(format!("Unknown option for --enable-feature: {name}")),
    }
    };
    features.iter().filter_map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_nothing_is_told() {
        let told = |name: &str| warnings(&[name.to_string()]);
        assert!(told("exemplar-storage").is_empty());
        assert_eq!(
            told("no-such-thing"),
            ["Unknown option for --enable-feature: no-such-thing"]
        );
        assert!(told("native-histograms")[0].contains("scrape_native_histograms: true"));
    }

    #[test]
    fn start_timestamps_ask_for_protobuf_first() {
        let protocols = |name: &str| defaults(&[name.to_string()]).scrape_protocols;
        let first = |name: &str| protocols(name).map(|protocols| protocols[0]);
        let protobuf = Some(ScrapeProtocol::PrometheusProto);
        assert_eq!(first("created-timestamp-zero-ingestion"), protobuf);
        assert_eq!(first("extra-scrape-metrics"), None);
        assert!(defaults(&["extra-scrape-metrics".to_string()]).extra_scrape_metrics);
    }

    #[test]
    fn flags_show() {
        let mut config = crate::flags::defaults();
        assert!(!features_of(&config)["promql_functions"]["info"]);
        config.features = vec!["promql-experimental-functions".into()];
        assert!(features_of(&config)["promql_functions"]["info"]);
        assert!(features_of(&config)["promql_operators"]["+"]);
    }
}
