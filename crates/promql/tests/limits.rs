//! Limits, stopping, statistics and explained plans.

use std::sync::atomic::{AtomicU64, Ordering};

use model::Labels;
use promql::testscript::ScriptStorage;
use promql::{
    Annotations, Control, Engine, EngineOptions, ErrorKind, QueryOptions, RunToEnd, Stop, Value,
};

/// Ten series `x{i="0".."9"}` with a sample every 10 s for ten minutes.
fn storage() -> ScriptStorage {
    let storage = ScriptStorage::default();
    for i in 0..10 {
        let labels = Labels::from_pairs([("__name__", "x"), ("i", &i.to_string())]);
        for k in 0..60 {
            storage.insert_float(&labels, k * 10_000, (i * k) as f64);
        }
    }
    storage
}

fn engine(max_samples: usize, max_bytes: usize) -> Engine {
    Engine::new(EngineOptions {
        max_samples,
        max_bytes,
        ..EngineOptions::default()
    })
}

#[test]
fn samples_and_bytes_are_limited() {
    let options = QueryOptions::default();
    let run = |engine: &Engine, query: &str| {
        engine.range(&storage(), query, 0, 590_000, 10_000, &options)
    };
    let error = run(&engine(100, 0), "x").unwrap_err();
    assert_eq!(error.kind, ErrorKind::Execution);
    assert_eq!(
        error.message,
        "query processing would load too many samples into memory in query execution"
    );
    // One group over sixty steps is all an aggregate holds.
    assert!(run(&engine(200, 0), "sum(x)").is_ok());
    assert!(
        run(&engine(0, 1_000), "x")
            .unwrap_err()
            .message
            .contains("1000 bytes")
    );
    let small = QueryOptions {
        max_samples: 50,
        ..options
    };
    let result = engine(0, 0).range(&storage(), "x", 0, 590_000, 10_000, &small);
    assert!(result.is_err());
    let endless = engine(1_000, 0).instant(&storage(), "max_over_time(x[100y:1ms])", 0, &options);
    assert!(endless.is_err());
}

/// Stops after a number of looks; counts them as nanoseconds, too.
struct StopAfter(AtomicU64, u64, Stop);

impl Control for StopAfter {
    fn stop(&self) -> Option<Stop> {
        (self.0.fetch_add(1, Ordering::Relaxed) >= self.1).then_some(self.2)
    }

    fn nanos(&self) -> u64 {
        self.0.fetch_add(5, Ordering::Relaxed)
    }
}

#[test]
fn queries_stop_when_told() {
    for (stop, kind, message) in [
        (
            Stop::TimedOut,
            ErrorKind::Timeout,
            "query timed out in expression evaluation",
        ),
        (
            Stop::Canceled,
            ErrorKind::Canceled,
            "query was canceled in expression evaluation",
        ),
    ] {
        let control = StopAfter(AtomicU64::new(0), 1, stop);
        let times = (0, 590_000, 10_000);
        let error = engine(0, 0)
            .range_with(
                &storage(),
                "x + x",
                times,
                &QueryOptions::default(),
                &control,
            )
            .unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (kind, message));
    }
}

#[test]
fn statistics_count_by_step() {
    let options = QueryOptions {
        per_step_stats: true,
        ..QueryOptions::default()
    };
    let result = engine(0, 0)
        .range(
            &storage(),
            "sum(rate(x[1m]))",
            60_000,
            80_000,
            10_000,
            &options,
        )
        .unwrap();
    assert_eq!(
        result.stats.per_step,
        [(60_000, 60), (70_000, 60), (80_000, 60)]
    );
    assert_eq!(result.stats.total_queryable_samples, 180);
    assert_eq!(result.stats.samples_read, 80);
    assert_eq!(result.stats.series, 10);
    assert!(result.stats.peak_samples > 0);
}

#[test]
fn wrong_queries_are_bad_data() {
    let options = QueryOptions::default();
    let error = |query: &str| {
        engine(0, 0)
            .range(&storage(), query, 0, 10, 10, &options)
            .unwrap_err()
    };
    assert_eq!(error("sum(").kind, ErrorKind::BadData);
    assert_eq!(
        error("x[5m]").message,
        "invalid expression type \"range vector\" for range query, must be Scalar or instant Vector"
    );
    assert_eq!(
        error("\"text\"").message,
        "invalid expression type \"string\" for range query, must be Scalar or instant Vector"
    );
    let instant = engine(0, 0)
        .instant(&storage(), "x[1m]", 60_000, &options)
        .unwrap();
    assert!(matches!(instant.value, Value::Matrix(series) if series.len() == 10));
}

#[test]
fn annotations_are_cut_for_display() {
    let all = Annotations {
        warnings: (0..12).map(|i| i.to_string()).collect(),
        infos: vec!["one".to_string()],
    };
    let shown = all.limited(10);
    assert_eq!(shown.warnings.len(), 11);
    assert_eq!(shown.warnings[10], "2 more warning annotations omitted");
    assert_eq!(shown.infos, ["one"]);
}

/// What would take forever, or all memory, and the words it is refused with.
#[test]
fn runaways_hit_a_limit() {
    let options = QueryOptions::default();
    let mut doubled = "x".to_string();
    for _ in 0..30 {
        doubled = format!("label_join({doubled}, \"i\", \"\", \"i\", \"i\")");
    }
    let tripled = format!(
        "label_replace(x, \"i\", \"{}\", \"i\", \"(.*)\")",
        "$1".repeat(40_000)
    );
    let deep =
        |open: &str, close: &str, n: usize| format!("{}x{}", open.repeat(n), close.repeat(n));
    for (query, words) in [
        (doubled, "a label value of"),
        (tripled, "a label value of"),
        (deep("(", ")", 100_000), "nested"),
        (deep("-", "", 100_000), "nested"),
        (deep("sum(", ")", 100_000), "nested"),
        (deep("x + ", "", 100_000), "nested"),
        ("x[1000000y]".into(), "out of range"),
        ("x[100y:1ms]".into(), "too many samples"),
        ("x offset 1000000y".into(), "out of range"),
        ("x{i=~\"((((a{100}){100}){100}){100})\"}".into(), "regexp"),
        (format!("x{{i=~\"{}\"}}", "(".repeat(5_000)), "regexp"),
        ("x{i=~\"a{1001}\"}".into(), "regexp"),
    ] {
        let shown: String = query.chars().take(60).collect();
        let error = engine(0, 0)
            .instant(&storage(), &query, 600_000, &options)
            .expect_err(&shown);
        assert!(error.message.contains(words), "{shown}: {}", error.message);
        // The pattern is named; nothing else is long.
        assert!(
            error.message.len() < query.len() + 500,
            "{shown}: a long message"
        );
    }
    // As many steps as the engine takes at most, and more.
    let steps = engine(1_000_000, 0).range(&storage(), "x", 0, 60_000_000_000, 1, &options);
    assert!(steps.unwrap_err().message.contains("too many samples"));
}

/// One series with work for hours, which no look between series would end.
#[test]
fn one_long_series_can_be_stopped() {
    let control = StopAfter(AtomicU64::new(0), 10, Stop::TimedOut);
    for function in [
        "quantile_over_time(0.5, ",
        "mad_over_time(",
        "deriv(",
        "stddev_over_time(",
    ] {
        let query = format!("{function}time()[30d:1s])").replace("time()[", "vector(time())[");
        let all = EngineOptions {
            parser: promql_syntax::ParserOptions::all(),
            ..EngineOptions::default()
        };
        let times = (0, 100_000_000, 10_000);
        let error = Engine::new(all)
            .range_with(
                &storage(),
                &query,
                times,
                &QueryOptions::default(),
                &control,
            )
            .expect_err("stopped");
        assert_eq!(error.kind, ErrorKind::Timeout, "{query}: {}", error.message);
    }
}

#[test]
fn plans_are_explained() {
    let query =
        "sum by (i) (rate(x{i=~\"3\"}[1m])) / sum by (i) (rate(x{i=~\"3\"}[1m])) + scalar(x @ 5)";
    let control = StopAfter(AtomicU64::new(0), u64::MAX, Stop::Canceled);
    let times = (60_000, 80_000, 10_000);
    let (result, plan) = engine(0, 0)
        .explain_with(&storage(), query, times, &QueryOptions::default(), &control)
        .unwrap();
    assert!(matches!(result.value, Value::Matrix(_)));
    assert_eq!(
        (plan.operator.as_str(), plan.detail.as_str()),
        ("arithmetic", "+")
    );
    let join = &plan.children[0];
    assert_eq!((join.operator.as_str(), join.steps), ("join", 3));
    // Both sides are the same: evaluated once.
    assert!(join.children.iter().all(|c| c.operator == "shared"));
    let sum = &join.children[0].children[0];
    assert_eq!(sum.detail, "sum by (i)");
    assert_eq!((sum.series, sum.samples), (1, 3));
    assert!(sum.nanos > 0);
    let window = &sum.children[0].children[0];
    assert_eq!(window.hints, ["i=~\"3\" could be i=\"3\""]);
    let plain = engine(0, 0)
        .explain_with(
            &storage(),
            "x",
            (0, 0, 0),
            &QueryOptions::default(),
            &RunToEnd,
        )
        .unwrap()
        .1;
    assert_eq!((plain.operator.as_str(), plain.series), ("select", 10));
}
