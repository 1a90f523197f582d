//! Groups over a storage in memory: what they write, and what becomes of their alerts.

use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use configfile::rules::{RuleFile, RuleFileOptions};
use env::Registry;
use env::sim::SimClock;
use model::Labels;
use promql::{Engine, EngineOptions};
use rules::{
    Alert, AlertState, Defaults, EngineQuery, Evaluation, Group, Health, RuleMetrics, RuleView,
    RuleViewKind, definitions,
};
use storage::memory::{MemoryStorage, StoredValue};

struct World {
    storage: MemoryStorage,
    clock: Arc<SimClock>,
    query: EngineQuery,
    sent: Mutex<Vec<(i64, Alert)>>,
    metrics: RuleMetrics,
    registry: Registry,
    permits: Option<AtomicUsize>,
}

impl World {
    fn new() -> World {
        let storage = MemoryStorage::new();
        let clock = Arc::new(SimClock::starting_at(0));
        let registry = Registry::new();
        World {
            query: EngineQuery {
                engine: Arc::new(Engine::new(EngineOptions::default())),
                queryable: Arc::new(storage.clone()),
                clock: clock.clone(),
                timeout: Duration::from_secs(10),
            },
            storage,
            clock,
            sent: Mutex::default(),
            metrics: RuleMetrics::new(&registry),
            registry,
            permits: None,
        }
    }

    fn groups(&self, text: &str) -> Vec<Group> {
        let file = RuleFile::parse(text, &RuleFileOptions::default()).expect("loads");
        let defaults = Defaults {
            interval: 60_000,
            query_offset: 0,
            external_labels: Labels::from_pairs([("cluster", "c1")]),
        };
        definitions("f.yml", file, &defaults)
            .into_iter()
            .map(|definition| Group::new(definition, &self.query, true).expect("plans"))
            .collect()
    }

    fn put(&self, series: &[(&str, &str)], t: i64, v: f64) {
        let labels = Labels::from_pairs(series.iter().copied());
        self.storage.insert(&labels, t, StoredValue::Float(v));
    }

    fn evaluate(&self, group: &Group, ts: i64) {
        let stopping = AtomicBool::new(false);
        let send = |_: &str, alerts: Vec<Alert>| {
            let mut sent = self.sent.lock().expect("no panic");
            sent.extend(alerts.into_iter().map(|alert| (ts, alert)));
        };
        group.evaluate(
            ts,
            &Evaluation {
                query: &self.query,
                appendable: &self.storage,
                clock: &*self.clock,
                metrics: Some(&self.metrics),
                external_url: "http://x",
                resend_delay: 60_000,
                send: &send,
                stopping: &stopping,
                permits: self.permits.as_ref(),
            },
        );
    }

    /// Samples of all series of a metric: labels, time, value; `None` for a stale marker.
    fn series(&self, name: &str) -> Vec<(String, Vec<(i64, Option<f64>)>)> {
        self.storage
            .dump()
            .into_iter()
            .filter(|(labels, _)| labels.metric_name() == name)
            .map(|(labels, samples)| {
                let shown = samples
                    .into_iter()
                    .map(|(t, v)| match v {
                        StoredValue::Float(v) if model::sample::is_stale_nan(v) => (t, None),
                        StoredValue::Float(v) => (t, Some(v)),
                        _ => panic!("a float"),
                    })
                    .collect();
                (labels.drop_metric_name().to_string(), shown)
            })
            .collect()
    }
}

fn view(group: &Group, name: &str) -> RuleView {
    let rules = group.view(true).rules;
    let found = rules.into_iter().find(|rule| rule.name == name);
    found.expect("there")
}

fn alerts(group: &Group, name: &str) -> Vec<Alert> {
    match view(group, name).kind {
        RuleViewKind::Alerting { alerts, .. } => alerts,
        RuleViewKind::Recording => panic!("alerting"),
    }
}

const MINUTE: i64 = 60_000;

#[test]
fn later_rules_see_earlier_results_and_what_is_gone_is_marked() {
    let world = World::new();
    let text = "groups:\n- name: g\n  query_offset: 10s\n  labels: {team: a}\n  rules:\n  - record: one\n    expr: m\n    labels: {gone: '', x: y}\n  - record: two\n    expr: one * 2\n  - record: number\n    expr: 1 + 1\n";
    let group = &world.groups(text)[0];
    world.put(&[("__name__", "m"), ("i", "a"), ("gone", "g")], 0, 3.0);
    world.evaluate(group, MINUTE);
    assert_eq!(
        world.series("two"),
        [(
            r#"{i="a", team="a", x="y"}"#.to_string(),
            vec![(50_000, Some(6.0))]
        )],
        "results lie at the evaluation's time less the offset"
    );
    assert_eq!(world.series("number")[0].1, [(50_000, Some(2.0))]);
    world.put(
        &[("__name__", "m"), ("i", "a"), ("gone", "g")],
        MINUTE,
        model::sample::stale_nan(),
    );
    world.evaluate(group, 2 * MINUTE);
    assert_eq!(world.series("one")[0].1.last(), Some(&(110_000, None)));
    assert_eq!(world.series("two")[0].1.last(), Some(&(110_000, None)));
    assert_eq!(view(group, "two").health, Health::Ok);
    let figures = world.registry.gather();
    let evaluations = figures
        .iter()
        .find(|family| family.name == "prometheus_rule_evaluations_total")
        .expect("counted");
    assert!(matches!(evaluations.metrics[0].value, model::MetricValue::Single(v) if v == 6.0));
}

#[test]
fn too_many_series_duplicates_and_wrong_types_write_nothing() {
    let world = World::new();
    let text = "groups:\n- name: g\n  limit: 2\n  rules:\n  - record: many\n    expr: m\n  - record: twice\n    expr: m{i=~'a|b'}\n    labels: {i: z}\n  - record: range\n    expr: m[5m]\n  - alert: Same\n    expr: m{i=~'a|b'}\n    labels: {i: z}\n  - alert: Crowd\n    expr: m\n";
    let group = &world.groups(text)[0];
    for i in ["a", "b", "c"] {
        world.put(&[("__name__", "m"), ("i", i)], 0, 1.0);
    }
    world.evaluate(group, MINUTE);
    for (name, error) in [
        ("many", "exceeded limit of 2 with 3 series"),
        (
            "twice",
            "vector contains metrics with the same labelset after applying rule labels",
        ),
        ("range", "rule result is not a vector or scalar"),
        (
            "Same",
            "vector contains metrics with the same labelset after applying alert labels",
        ),
        ("Crowd", "exceeded limit of 2 with 3 alerts"),
    ] {
        let view = view(group, name);
        assert_eq!(view.last_error.as_deref(), Some(error));
        assert_eq!(view.health, Health::Err);
    }
    for name in ["many", "twice", "range", "ALERTS"] {
        assert!(world.series(name).is_empty(), "{name}");
    }
    assert!(world.sent.lock().expect("no panic").is_empty());
}

#[test]
fn a_failing_rule_does_not_mark_its_series_stale() {
    let world = World::new();
    let text = "groups:\n- name: g\n  limit: 1\n  rules:\n  - record: r\n    expr: m\n";
    let group = &world.groups(text)[0];
    world.put(&[("__name__", "m"), ("i", "a")], 0, 1.0);
    world.evaluate(group, MINUTE);
    world.put(&[("__name__", "m"), ("i", "b")], MINUTE, 1.0);
    world.evaluate(group, 2 * MINUTE);
    assert_eq!(view(group, "r").health, Health::Err);
    assert_eq!(world.series("r")[0].1, [(MINUTE, Some(1.0))]);
}

#[test]
fn alerts_live_and_are_told_of() {
    let world = World::new();
    let text = "groups:\n- name: g\n  rules:\n  - alert: Down\n    expr: up == 0\n    for: 1m\n    labels: {severity: page, v: '{{ $value }}'}\n    annotations: {s: '{{ $labels.i }} of {{ $externalLabels.cluster }} {{ .Value | humanize }}', bad: '{{ template \"x\" }}'}\n";
    let group = &world.groups(text)[0];
    let up = [("__name__", "up"), ("i", "a")];
    world.put(&up, 0, 0.0);
    world.evaluate(group, MINUTE);
    let pending = &alerts(group, "Down")[0];
    assert_eq!(pending.state, AlertState::Pending);
    assert_eq!(
        pending.labels.to_string(),
        r#"{alertname="Down", i="a", severity="page", v="0"}"#
    );
    assert_eq!(pending.annotations.get("s"), Some("a of c1 0"));
    assert!(
        pending
            .annotations
            .get("bad")
            .is_some_and(|text| text.starts_with("<error expanding template: error executing template __alert_Down: template: __alert_Down:1:"))
    );
    assert!(world.sent.lock().expect("no panic").is_empty());
    world.put(&up, MINUTE, 0.0);
    world.evaluate(group, 2 * MINUTE);
    world.put(&up, 2 * MINUTE, 1.0);
    world.evaluate(group, 3 * MINUTE);
    assert!(alerts(group, "Down").is_empty());
    let labels = r#"{alertname="Down", alertstate="STATE", i="a", severity="page", v="0"}"#;
    assert_eq!(
        world.series("ALERTS"),
        [
            (
                labels.replace("STATE", "firing"),
                vec![(2 * MINUTE, Some(1.0)), (3 * MINUTE, None)]
            ),
            (
                labels.replace("STATE", "pending"),
                vec![(MINUTE, Some(1.0)), (2 * MINUTE, None)]
            ),
        ]
    );
    assert_eq!(
        world.series("ALERTS_FOR_STATE")[0].1,
        [
            (MINUTE, Some(60.0)),
            (2 * MINUTE, Some(60.0)),
            (3 * MINUTE, None)
        ]
    );
    for minute in 4..40 {
        world.put(&up, minute * MINUTE - 1, 1.0);
        world.evaluate(group, minute * MINUTE);
    }
    let sent = world.sent.lock().expect("no panic");
    let firing: Vec<i64> = sent
        .iter()
        .filter(|(_, a)| a.resolved_at.is_none())
        .map(|(t, _)| t / MINUTE)
        .collect();
    let resolved: Vec<i64> = sent
        .iter()
        .filter(|(_, a)| a.resolved_at.is_some())
        .map(|(t, _)| t / MINUTE)
        .collect();
    assert_eq!(firing, [2]);
    assert_eq!(resolved.first(), Some(&3));
    assert_eq!(
        resolved.last(),
        Some(&17),
        "told for 15 minutes, every second one as the delay has to be exceeded"
    );
    assert_eq!(sent[0].1.valid_until, 2 * MINUTE + 4 * MINUTE);
}

#[test]
fn a_slow_rule_is_stopped_and_the_others_go_on() {
    let mut world = World::new();
    world.query.timeout = Duration::ZERO;
    let text =
        "groups:\n- name: g\n  rules:\n  - record: slow\n    expr: m\n  - record: r\n    expr: m\n";
    let group = &world.groups(text)[0];
    world.put(&[("__name__", "m")], 0, 1.0);
    world.evaluate(group, MINUTE);
    assert_eq!(
        view(group, "slow").last_error.as_deref(),
        Some("query timed out in expression evaluation")
    );
    world.query.timeout = Duration::from_secs(1);
    world.evaluate(group, 2 * MINUTE);
    assert_eq!(world.series("r")[0].1, [(2 * MINUTE, Some(1.0))]);
}

#[test]
fn out_of_order_results_are_dropped_and_told() {
    let world = World::new();
    let text = "groups:\n- name: g\n  rules:\n  - record: r\n    expr: vector(1)\n";
    let group = &world.groups(text)[0];
    world.evaluate(group, 10 * MINUTE);
    // The clock went back.
    world.evaluate(group, 5 * MINUTE);
    let rule = view(group, "r");
    assert_eq!(rule.last_error.as_deref(), Some("out of order sample"));
    assert_eq!(world.series("r")[0].1, [(10 * MINUTE, Some(1.0))]);
    world.evaluate(group, 11 * MINUTE);
    assert_eq!(view(group, "r").health, Health::Ok);
}

#[test]
fn rules_side_by_side_write_the_same() {
    let text = "groups:\n- name: g\n  rules:\n  - record: a\n    expr: m\n  - record: b\n    expr: m + 1\n  - record: c\n    expr: a + b\n  - record: d\n    expr: c * 2\n";
    let run = |permits: Option<usize>| {
        let mut world = World::new();
        world.permits = permits.map(AtomicUsize::new);
        let group = &world.groups(text)[0];
        world.put(&[("__name__", "m")], 0, 1.0);
        world.evaluate(group, MINUTE);
        world.series("d")
    };
    assert_eq!(run(Some(3)), run(None));
    assert_eq!(run(Some(3))[0].1, [(MINUTE, Some(6.0))]);
    assert_eq!(
        run(Some(0)),
        run(None),
        "without permits rules run in order"
    );
}

#[test]
fn rules_that_people_run_are_evaluated() {
    let mut evaluated = 0;
    for folder in ["rules", "stack-manifests", "stack-manifests/thanos"] {
        let Some(dir) = testkit::conformance(folder) else {
            return;
        };
        for entry in std::fs::read_dir(dir).expect("readable").flatten() {
            let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
            if !text.contains("kind: PrometheusRule") {
                continue;
            }
            let node = configfile::yaml::parse(&text).expect("YAML");
            let spec = node.get("spec").expect("a spec");
            let file = RuleFile::from_node(spec, &RuleFileOptions::default()).expect("loads");
            let world = World::new();
            for definition in definitions("f.yml", file, &Defaults::default()) {
                let group = Group::new(definition, &world.query, true).expect("plans");
                world.evaluate(&group, MINUTE);
                for rule in group.view(true).rules {
                    assert_eq!(rule.last_error, None, "{}", rule.name);
                    evaluated += 1;
                }
            }
        }
    }
    assert!(evaluated > 200, "{evaluated}");
}
