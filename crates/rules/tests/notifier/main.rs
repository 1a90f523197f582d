//! The notifier over real sockets: labels, relabelling, batches, an Alertmanager that fails, and the stop.

mod away;
#[path = "../support/manager_options.rs"]
mod manager_options;
mod receiver;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use configfile::Config;
use configfile::sd::SdConfig;
use discovery::TargetGroup;
use env::Registry;
use model::Labels;
use rules::notifier::{Notifier, NotifierOptions, set_name};
use rules::{Alert, AlertState};

use receiver::Receiver;

fn alert(name: &str) -> Alert {
    Alert {
        state: AlertState::Firing,
        labels: Labels::from_pairs([("alertname", name), ("cluster", "own"), ("replica", "r1")]),
        annotations: Labels::empty(),
        value: 1.0,
        active_at: 0,
        fired_at: Some(0),
        resolved_at: None,
        last_sent_at: None,
        valid_until: 60_000,
        keep_firing_since: None,
    }
}

fn notifier(drain: bool, registry: &Registry) -> Notifier {
    let options = NotifierOptions {
        queue_capacity: 5,
        batch_size: 2,
        drain,
        user_agent: "test".into(),
        clock: net::clock::system_clock(),
    };
    Notifier::new(options, registry)
}

fn apply(notifier: &Notifier, text: &str) {
    let config = Config::parse(text, &|_| None).expect("loads");
    let prepared = notifier
        .prepare(&config.alerting, &config.global.external_labels)
        .expect("prepares");
    notifier.take_up(prepared);
    let mut found = BTreeMap::new();
    for (i, set) in config.alerting.alertmanagers.iter().enumerate() {
        let groups: Vec<Arc<TargetGroup>> = set
            .sd_configs
            .iter()
            .filter_map(|sd| match sd {
                SdConfig::Static(group) => {
                    Some(Arc::new(TargetGroup::from_static("0".into(), group)))
                }
                _ => None,
            })
            .collect();
        found.insert(set_name(i), groups);
    }
    notifier.sync(&found);
}

fn figure(registry: &Registry, name: &str) -> f64 {
    let families = registry.gather();
    let family = families.iter().find(|family| family.name == name);
    family.map_or(0.0, |family| {
        family
            .metrics
            .iter()
            .map(|metric| match metric.value {
                model::MetricValue::Single(v) => v,
                _ => 0.0,
            })
            .sum()
    })
}

#[tokio::test]
async fn every_set_gets_its_own_view() {
    let registry = Registry::new();
    let notifier = notifier(true, &registry);
    let ((one, first), (two, second)) = (Receiver::start().await, Receiver::start().await);
    apply(
        &notifier,
        &format!(
            "global: {{external_labels: {{cluster: c1, zone: z}}}}\nalerting:\n  alert_relabel_configs:\n  - {{action: labeldrop, regex: replica}}\n  - {{source_labels: [alertname], regex: Hidden, action: drop}}\n  alertmanagers:\n  - path_prefix: /x\n    static_configs: [{{targets: ['127.0.0.1:{first}', '127.0.0.1:{first}']}}]\n  - path_prefix: /x/\n    static_configs: [{{targets: ['127.0.0.1:{second}', 'dropped:1']}}]\n    relabel_configs: [{{source_labels: [__address__], regex: 'dropped.*', action: drop}}]\n    alert_relabel_configs: [{{source_labels: [alertname], regex: B, action: drop}}]\n"
        ),
    );
    let (active, dropped) = notifier.alertmanagers();
    assert_eq!(active.len(), 2, "the same address twice is one");
    assert_eq!(dropped, ["http://dropped:1/x/api/v2/alerts"]);
    notifier.send(
        "http://link",
        vec![alert("A"), alert("B"), alert("Hidden"), alert("C")],
    );
    one.wait(|r| r.names().len() >= 3).await;
    two.wait(|r| r.names().len() >= 2).await;
    assert_eq!(one.names(), ["A", "B", "C"]);
    assert_eq!(two.names(), ["A", "C"]);
    assert!(one.batches.lock().iter().all(|batch| batch.len() <= 2));
    let labels = one.batches.lock()[0][0]["labels"].clone();
    assert_eq!(
        labels,
        serde_json::json!({"alertname": "A", "cluster": "own", "zone": "z"})
    );
    notifier.stop().await;
    assert_eq!(
        figure(&registry, "prometheus_notifications_sent_total"),
        5.0
    );
}

#[tokio::test]
async fn a_failed_batch_is_counted_and_not_sent_again() {
    let registry = Registry::new();
    let notifier = notifier(true, &registry);
    let (receiver, port) = Receiver::start().await;
    receiver.fail.store(true, Ordering::SeqCst);
    let config = format!(
        "alerting: {{alertmanagers: [{{path_prefix: x, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]}}\n"
    );
    apply(&notifier, &config);
    notifier.send("l", vec![alert("A")]);
    while figure(&registry, "prometheus_notifications_errors_total") < 1.0 {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    receiver.fail.store(false, Ordering::SeqCst);
    // A reload that changes nothing keeps the loop and its figures.
    apply(&notifier, &config);
    notifier.send("l", vec![alert("B")]);
    receiver.wait(|r| !r.names().is_empty()).await;
    assert_eq!(receiver.names(), ["B"]);
    assert_eq!(
        figure(&registry, "prometheus_notifications_errors_total"),
        1.0
    );
    assert_eq!(
        figure(&registry, "prometheus_notifications_dropped_total"),
        1.0
    );
    apply(&notifier, "alerting: {}\n");
    assert_eq!(
        figure(
            &registry,
            "prometheus_notifications_alertmanagers_discovered"
        ),
        0.0
    );
    assert_eq!(
        figure(&registry, "prometheus_notifications_errors_total"),
        0.0,
        "gone with it"
    );
    notifier.stop().await;
}

#[tokio::test]
async fn the_oldest_go_and_the_rest_is_sent_at_the_stop() {
    let registry = Registry::new();
    let notifier = notifier(true, &registry);
    let (receiver, port) = Receiver::start().await;
    apply(
        &notifier,
        &format!(
            "alerting: {{alertmanagers: [{{path_prefix: x, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]}}\n"
        ),
    );
    // The loop has not run yet: this test has one thread.
    let names = ["1", "2", "3", "4", "5", "6", "7"];
    for name in names {
        notifier.send("l", vec![alert(name)]);
    }
    assert_eq!(
        figure(&registry, "prometheus_notifications_dropped_total"),
        2.0
    );
    assert_eq!(
        figure(&registry, "prometheus_notifications_queue_length"),
        5.0
    );
    notifier.stop().await;
    assert_eq!(receiver.names(), names[2..]);
    assert_eq!(receiver.requests.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn without_draining_what_waits_is_counted_as_dropped() {
    let registry = Registry::new();
    let notifier = notifier(false, &registry);
    let (receiver, port) = Receiver::start().await;
    apply(
        &notifier,
        &format!(
            "alerting: {{alertmanagers: [{{path_prefix: x, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]}}\n"
        ),
    );
    notifier.send("l", vec![alert("A"), alert("B"), alert("C")]);
    notifier.stop().await;
    assert!(receiver.names().is_empty());
    assert_eq!(
        figure(&registry, "prometheus_notifications_dropped_total"),
        3.0
    );
}

#[tokio::test]
async fn news_of_alertmanagers_are_taken_up_at_once_and_then_every_five_seconds() {
    let registry = Registry::new();
    let clock = env::sim::SimClock::starting_at(0);
    let options = NotifierOptions {
        queue_capacity: 5,
        batch_size: 2,
        drain: false,
        user_agent: "test".into(),
        clock: Arc::new(clock.clone()),
    };
    let notifier = Notifier::new(options, &registry);
    let text = "alerting: {alertmanagers: [{static_configs: [{targets: []}]}]}";
    apply(&notifier, text);
    let mut discovery =
        discovery::Manager::new(Arc::new(clock.clone()), registry.clone(), "test".into());
    let (_stop, stopped) = net::shutdown::channel();
    let (following, subscription) = (notifier.clone(), discovery.subscribe());
    let running = tokio::spawn(async move { following.follow(subscription, stopped).await });
    let settle = async || {
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    };
    let mut find = |addresses: &str| {
        let text = format!(
            "alerting: {{alertmanagers: [{{static_configs: [{{targets: [{addresses}]}}]}}]}}"
        );
        let config = Config::parse(&text, &|_| None).expect("loads");
        let set = &config.alerting.alertmanagers[0];
        discovery.apply(&[(set_name(0), set.sd_configs.clone())]);
    };
    find("'127.0.0.1:1'");
    settle().await;
    assert_eq!(notifier.alertmanagers().0.len(), 1);
    find("'127.0.0.1:1', '127.0.0.1:2'");
    settle().await;
    clock.advance(std::time::Duration::from_millis(4_900));
    settle().await;
    assert_eq!(notifier.alertmanagers().0.len(), 1);
    clock.advance(std::time::Duration::from_millis(100));
    settle().await;
    assert_eq!(notifier.alertmanagers().0.len(), 2);
    running.abort();
}
