//! Groups as tasks in virtual time: slots, restarts, reloads, a clock that goes back.

#[path = "support/manager_options.rs"]
mod manager_options;

use std::time::Duration;

use configfile::rules::{RuleFile, RuleFileOptions};
use env::sim::SimClock;
use env::{Clock, Registry};
use manager_options::manager_options;
use model::Labels;
use rules::{Alert, AlertState, Defaults, Manager, RuleViewKind, definitions};
use storage::memory::{MemoryStorage, StoredValue};

const MINUTE: i64 = 60_000;

struct World {
    clock: SimClock,
    storage: MemoryStorage,
    manager: Manager,
    registry: Registry,
}

impl World {
    fn new(clock: SimClock, storage: MemoryStorage) -> World {
        let registry = Registry::new();
        let options = manager_options(&clock, &storage, &registry, |_, _| {});
        let manager = Manager::new(options);
        World {
            clock,
            storage,
            manager,
            registry,
        }
    }

    async fn load(&self, text: &str) -> Result<(), String> {
        let file = RuleFile::parse(text, &RuleFileOptions::default()).map_err(|e| e.join("\n"))?;
        let defaults = Defaults {
            interval: MINUTE,
            ..Defaults::default()
        };
        let prepared = self
            .manager
            .prepare(definitions("f.yml", file, &defaults))?;
        self.manager.take_up(prepared).await;
        Ok(())
    }

    /// Moves time to the next sleeper and waits until every group sleeps again.
    async fn step(&self) {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        self.clock.advance_to_next();
        self.settle().await;
    }

    /// Evaluations run on threads: they are over when nobody has written for some turns and all have been seen.
    async fn settle(&self) {
        let seen = || -> Vec<Option<i64>> {
            let groups = self.manager.view(false);
            groups.iter().map(|group| group.last_evaluation).collect()
        };
        let mut before = (
            seen(),
            self.figure("prometheus_rule_group_iterations_total"),
        );
        loop {
            tokio::time::sleep(Duration::from_millis(2)).await;
            let now = (
                seen(),
                self.figure("prometheus_rule_group_iterations_total"),
            );
            if now == before {
                return;
            }
            before = now;
        }
    }

    async fn until(&self, ms: i64) {
        while self.clock.now() < ms {
            self.step().await;
        }
    }

    fn figure(&self, name: &str) -> u64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name == name);
        family.map_or(0, |family| {
            let sum: f64 = family
                .metrics
                .iter()
                .map(|metric| match metric.value {
                    model::MetricValue::Single(v) => v,
                    _ => 0.0,
                })
                .sum();
            sum as u64
        })
    }

    fn put(&self, name: &str, t: i64, v: f64) {
        let labels = Labels::from_pairs([("__name__", name)]);
        self.storage.insert(&labels, t, StoredValue::Float(v));
    }

    fn alerts(&self, name: &str) -> Vec<Alert> {
        self.manager
            .view(true)
            .into_iter()
            .flat_map(|group| group.rules)
            .filter(|rule| rule.name == name)
            .flat_map(|rule| match rule.kind {
                RuleViewKind::Alerting { alerts, .. } => alerts,
                RuleViewKind::Recording => Vec::new(),
            })
            .collect()
    }

    fn times(&self, name: &str) -> Vec<(i64, bool)> {
        self.storage
            .dump()
            .into_iter()
            .filter(|(labels, _)| labels.metric_name() == name)
            .flat_map(|(_, samples)| samples)
            .map(|(t, v)| match v {
                StoredValue::Float(v) => (t, model::sample::is_stale_nan(v)),
                _ => panic!("a float"),
            })
            .collect()
    }
}

fn world() -> World {
    World::new(SimClock::starting_at(1_000_000_000), MemoryStorage::new())
}

#[tokio::test]
async fn evaluations_lie_on_slots() {
    let world = world();
    world
        .load("groups:\n- name: g\n  rules: [{record: r, expr: vector(1)}]\n- name: h\n  interval: 30s\n  rules: [{record: s, expr: vector(1)}]\n")
        .await
        .expect("loads");
    assert!(
        world.times("r").is_empty(),
        "the first evaluation waits for its slot"
    );
    world.until(1_000_000_000 + 5 * MINUTE).await;
    let times = world.times("r");
    assert!(times.len() >= 4, "{times:?}");
    assert!(
        times.windows(2).all(|w| w[1].0 - w[0].0 == MINUTE),
        "{times:?}"
    );
    assert!(times[0].0 > 1_000_000_000 && times[0].0 <= 1_000_000_000 + MINUTE);
    assert!(world.times("s").len() > times.len());
    world.manager.stop().await;
}

#[tokio::test]
async fn a_reload_carries_state_over_whole_or_not_at_all() {
    let world = world();
    let rules = |more: &str| {
        format!(
            "groups:\n- name: g\n  rules:\n  - alert: A\n    expr: vector(1)\n    for: 30m\n  - record: r\n    expr: vector(1)\n{more}"
        )
    };
    world.load(&rules("")).await.expect("loads");
    world.until(1_000_000_000 + 3 * MINUTE).await;
    let since = world.alerts("A")[0].active_at;
    assert!(
        world
            .load(&rules("  - record: z\n    expr: sum(\n"))
            .await
            .is_err()
    );
    assert_eq!(world.alerts("A")[0].active_at, since, "nothing changed");
    world
        .load("groups:\n- name: g\n  rules:\n  - alert: A\n    expr: vector(2)\n    for: 30m\n- name: new\n  rules: []\n")
        .await
        .expect("loads");
    assert_eq!(world.alerts("A")[0].active_at, since, "the alert goes on");
    assert_eq!(world.manager.view(false).len(), 2);
    let before = world.clock.now();
    world.until(before + 2 * MINUTE).await;
    assert!(
        world.times("r").last().is_some_and(|(_, stale)| *stale),
        "the removed rule's series ends"
    );
    assert_eq!(world.alerts("A")[0].value, 2.0);
    world.load("groups: []\n").await.expect("loads");
    assert_eq!(world.figure("prometheus_rule_group_rules"), 0);
    let before = world.clock.now();
    let ended = |world: &World| {
        world
            .times("ALERTS")
            .last()
            .is_some_and(|(_, stale)| *stale)
    };
    assert!(!ended(&world), "a group that is gone may come back");
    while world.clock.now() < before + 3 * MINUTE && !ended(&world) {
        world.step().await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(ended(&world));
    world.manager.stop().await;
}

#[tokio::test]
async fn pending_alerts_go_on_after_a_restart() {
    let rules = "groups:\n- name: g\n  rules:\n  - {alert: Long, expr: up == 0, for: 30m}\n  - {alert: Short, expr: up == 0, for: 5m}\n";
    let first = world();
    first.put("up", 1_000_000_000, 0.0);
    first.load(rules).await.expect("loads");
    let start = first.clock.now();
    while first.clock.now() < start + 20 * MINUTE {
        first.put("up", first.clock.now(), 0.0);
        first.step().await;
    }
    let since = first.alerts("Long")[0].active_at;
    assert_eq!(first.alerts("Short")[0].state, AlertState::Firing);
    let stopped_at = first.clock.now();
    first.manager.stop().await;
    let stale = first
        .times("ALERTS_FOR_STATE")
        .iter()
        .any(|(_, stale)| *stale);
    assert!(!stale, "a stop marks nothing stale");

    first.clock.advance(Duration::from_secs(600));
    let second = World::new(first.clock.clone(), first.storage.clone());
    second.put("up", second.clock.now(), 0.0);
    second.load(rules).await.expect("loads");
    let start = second.clock.now();
    while second.clock.now() < start + 3 * MINUTE {
        second.put("up", second.clock.now(), 0.0);
        second.step().await;
    }
    let restored = second.alerts("Long")[0].active_at;
    let outage = second.clock.now() - stopped_at;
    assert!(
        restored > since && restored < since + outage + 2 * MINUTE,
        "{since} {restored}"
    );
    assert_eq!(second.alerts("Long")[0].state, AlertState::Pending);
    assert!(
        second.alerts("Short")[0].active_at > stopped_at,
        "below the grace period it starts anew"
    );
    second.manager.stop().await;
}

#[tokio::test]
async fn a_clock_that_goes_back_is_followed() {
    let world = world();
    world
        .load("groups:\n- name: g\n  rules: [{record: r, expr: vector(1)}]\n")
        .await
        .expect("loads");
    world.until(1_000_000_000 + 3 * MINUTE).await;
    let last = world.times("r").len();
    world.clock.jump_wall(-10 * MINUTE);
    for _ in 0..6 {
        world.step().await;
    }
    let group = &world.manager.view(false)[0];
    assert!(
        group.last_evaluation.is_some_and(|t| t < 1_000_000_000),
        "evaluated by the new time"
    );
    assert_eq!(
        group.rules[0].last_error.as_deref(),
        Some("out of order sample")
    );
    assert_eq!(world.times("r").len(), last, "storage keeps what it has");
    let now = world.clock.now();
    world.until(now + 15 * MINUTE).await;
    assert!(world.times("r").len() > last);
    assert_eq!(world.manager.view(false)[0].rules[0].last_error, None);
    world.manager.stop().await;
}
