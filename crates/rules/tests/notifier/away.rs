//! An hour without an Alertmanager, in virtual time: rules fire on, the queue stays small, and after its return it learns
//! what still fires and what is over.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use configfile::rules::{RuleFile, RuleFileOptions};
use env::sim::SimClock;
use env::{Clock, Registry};
use model::Labels;
use rules::notifier::{Notifier, NotifierOptions};
use rules::{Defaults, Manager, definitions};
use serde_json::Value;
use storage::memory::{MemoryStorage, StoredValue};

use crate::manager_options::manager_options;
use crate::receiver::Receiver;
use crate::{apply, figure};

const MINUTE: i64 = 60_000;
const CAPACITY: usize = 20;
const BATCH: usize = 8;
/// Alerts that fire all the time, one that ends half an hour before the return and one that ends ten minutes before.
const STAY: [&str; 6] = ["s0", "s1", "s2", "s3", "s4", "s5"];
const EARLY: &str = "early";
const LATE: &str = "late";

struct World {
    clock: SimClock,
    storage: MemoryStorage,
    manager: Manager,
    registry: Registry,
    handed_in: Arc<AtomicU64>,
}

impl World {
    async fn new(notifier: &Notifier, clock: SimClock, registry: Registry) -> World {
        let storage = MemoryStorage::new();
        let handed_in = Arc::new(AtomicU64::new(0));
        let (counted, notifier) = (handed_in.clone(), notifier.clone());
        let options = manager_options(&clock, &storage, &registry, move |link, alerts| {
            counted.fetch_add(alerts.len() as u64, Ordering::SeqCst);
            notifier.send(link, alerts);
        });
        let manager = Manager::new(options);
        let text = "groups:\n- {name: g, rules: [{alert: A, expr: a == 1}]}\n";
        let file = RuleFile::parse(text, &RuleFileOptions::default()).expect("parses");
        let defaults = Defaults {
            interval: MINUTE,
            ..Defaults::default()
        };
        let prepared = manager
            .prepare(definitions("f.yml", file, &defaults))
            .expect("prepares");
        manager.take_up(prepared).await;
        World {
            clock,
            storage,
            manager,
            registry,
            handed_in,
        }
    }

    /// The next evaluation, with the series as they are then.
    async fn minute(&self, nth: i64) {
        let now = self.clock.now();
        let fires = |name: &str| match name {
            EARLY => nth < 30,
            LATE => nth < 50,
            _ => true,
        };
        for name in STAY.into_iter().chain([EARLY, LATE]) {
            let labels = Labels::from_pairs([("__name__", "a"), ("n", name)]);
            let value = StoredValue::Float(f64::from(u8::from(fires(name))));
            self.storage.insert(&labels, now, value);
        }
        let seen = || self.manager.view(false)[0].last_evaluation;
        let before = seen();
        // The group's task may not sleep yet, or be evaluating on another thread.
        while seen() == before {
            tokio::task::yield_now().await;
            if self.clock.advance_to_next().is_none() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            for _ in 0..20 {
                if seen() != before {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    }

    fn figure(&self, name: &str) -> f64 {
        figure(&self.registry, &format!("prometheus_notifications_{name}"))
    }
}

/// The newest that was told of an alert.
fn newest(receiver: &Receiver, name: &str) -> Option<Value> {
    let batches = receiver.batches.lock();
    let mut told = batches.iter().flatten();
    told.rfind(|alert| alert["labels"]["n"] == name).cloned()
}

/// When an alert ends, as a text that sorts by time.
fn ends_at(alert: &Value) -> String {
    alert["endsAt"].as_str().expect("a time").to_string()
}

fn stamp(ms: i64) -> String {
    gotemplate::time::Time::from_millis(ms).format("2006-01-02T15:04:05.000Z07:00")
}

#[tokio::test]
async fn an_hour_without_an_alertmanager() {
    let registry = Registry::new();
    let clock = SimClock::starting_at(1_700_000_000_000);
    let notifier = Notifier::new(
        NotifierOptions {
            queue_capacity: CAPACITY,
            batch_size: BATCH,
            drain: true,
            user_agent: "test".into(),
            clock: Arc::new(clock.clone()),
        },
        &registry,
    );
    let (receiver, port) = Receiver::start().await;
    receiver.hold.store(true, Ordering::SeqCst);
    apply(
        &notifier,
        &format!(
            "alerting: {{alertmanagers: [{{path_prefix: x, timeout: 50ms, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}]}}\n"
        ),
    );
    let world = World::new(&notifier, clock, registry).await;
    for nth in 0..60 {
        world.minute(nth).await;
        let waiting = world.figure("queue_length");
        assert!(waiting <= CAPACITY as f64, "{waiting} wait");
    }
    let handed_in = world.handed_in.load(Ordering::SeqCst) as f64;
    // Sent anew once more than the resend delay has passed: every second minute.
    assert!(handed_in >= 6.0 * 30.0, "{handed_in}");
    assert_eq!(world.figure("sent_total"), 0.0);
    let lost = world.figure("dropped_total");
    let open = handed_in - lost;
    assert!(
        (0.0..=(CAPACITY + BATCH) as f64).contains(&open),
        "{lost} of {handed_in} are counted as dropped: the rest waits or is on its way"
    );
    assert!(world.figure("errors_total") > 0.0);

    receiver.hold.store(false, Ordering::SeqCst);
    let back = world.clock.now();
    for nth in 60..63 {
        world.minute(nth).await;
    }
    receiver
        .wait(|r| {
            STAY.iter()
                .chain([&LATE])
                .all(|name| newest(r, name).is_some())
        })
        .await;
    world.manager.stop().await;
    notifier.stop().await;
    for name in STAY {
        let alert = newest(&receiver, name).expect("told");
        assert!(ends_at(&alert) > stamp(back), "{name} fires: {alert}");
    }
    let over = newest(&receiver, LATE).expect("told");
    let ended = stamp(back - 12 * MINUTE)..stamp(back - 8 * MINUTE);
    assert!(ended.contains(&ends_at(&over)), "{ended:?}: {over}");
    assert!(
        newest(&receiver, EARLY).is_none(),
        "what ended more than a quarter of an hour ago is told no more"
    );
    let handed_in = world.handed_in.load(Ordering::SeqCst) as f64;
    let (sent, lost) = (world.figure("sent_total"), world.figure("dropped_total"));
    assert!(sent >= 7.0, "{sent}");
    // The loops are gone, and their figures with them only after a reload.
    assert_eq!(
        sent + lost,
        handed_in,
        "every alert was sent or is counted as dropped"
    );
}
