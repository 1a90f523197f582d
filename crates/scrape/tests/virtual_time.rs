//! Whole days of scraping in virtual time: targets come, go, fail and come back, and the stored series tell it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use configfile::Config;
use discovery::{TargetGroup, Targets};
use env::sim::SimClock;
use env::{Clock as _, Registry};
use model::Labels;
use model::sample::is_stale_nan;
use scrape::Manager;
use scrape::fetch::{Fetch, FetchError, Fetching, Page};
use scrape::target::Health;
use storage::memory::{MemoryStorage, StoredValue};

/// Answers every request at once with a counter; fails while told to.
#[derive(Default)]
struct FakeTarget {
    asked: AtomicU64,
    down: AtomicBool,
}

impl Fetch for FakeTarget {
    fn fetch<'a>(&'a self, _: &'a str, _: Duration, mut buffer: Vec<u8>) -> Fetching<'a> {
        Box::pin(async move {
            if self.down.load(Ordering::Relaxed) {
                return Err(FetchError::Transport("connection refused".into()));
            }
            let count = self.asked.fetch_add(1, Ordering::Relaxed);
            buffer.extend_from_slice(format!("requests_total {count}\n").as_bytes());
            Ok(Page {
                content_type: "text/plain; version=0.0.4".into(),
                body: buffer,
                ..Page::default()
            })
        })
    }
}

struct World {
    clock: SimClock,
    storage: MemoryStorage,
    manager: Manager,
    target: Arc<FakeTarget>,
    registry: Registry,
}

impl World {
    fn new(config: &str) -> World {
        let clock = SimClock::starting_at(1_700_000_000_000);
        let storage = MemoryStorage::new();
        let target = Arc::new(FakeTarget::default());
        let answers = target.clone();
        let registry = Registry::new();
        let manager = Manager::new(
            Arc::new(clock.clone()),
            Arc::new(storage.clone()),
            Arc::new(move |_| Ok(answers.clone() as Arc<dyn Fetch>)),
            &registry,
            "host".into(),
            1,
            scrape::options::ScrapeOptions::default(),
        );
        let config = Config::parse(config, &|_| None).expect("loads");
        manager.apply(&config).expect("applies");
        World {
            clock,
            storage,
            manager,
            target,
            registry,
        }
    }

    fn sync(&self, addresses: &[&str]) {
        let targets = addresses
            .iter()
            .map(|a| Labels::from_pairs([("__address__", a)]))
            .collect();
        self.sync_labels(targets);
    }

    fn sync_labels(&self, targets: Vec<Labels>) {
        let group = TargetGroup {
            source: "0".into(),
            targets,
            labels: Labels::empty(),
        };
        let targets: Targets = BTreeMap::from([("j".to_string(), vec![Arc::new(group)])]);
        self.manager.sync(targets);
    }

    /// A counter of the manager itself.
    fn counted(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name == name);
        match family.map(|family| &family.metrics[0].value) {
            Some(model::MetricValue::Single(v)) => *v,
            other => panic!("{name}: {other:?}"),
        }
    }

    fn health(&self) -> Vec<Health> {
        let pools = self.manager.view();
        let targets = pools.values().flat_map(|pool| &pool.active);
        targets.map(|target| target.status.lock().health).collect()
    }

    /// Lets `time` pass; every loop runs as far as it can at each moment.
    async fn pass(&self, time: Duration) {
        let end = self.clock.monotonic() + time;
        settle().await;
        while self.clock.monotonic() < end {
            match self.clock.advance_to_next() {
                Some(_) => settle().await,
                None => break,
            }
        }
    }

    fn series(&self, name: &str) -> Vec<(i64, f64)> {
        let dump = self.storage.dump();
        let (_, samples) = dump
            .into_iter()
            .find(|(labels, _)| labels.metric_name() == name)
            .expect("stored");
        let float = |v: &StoredValue| match v {
            StoredValue::Float(v) => *v,
            other => panic!("a float, not {other:?}"),
        };
        samples.iter().map(|(t, v)| (*t, float(v))).collect()
    }
}

/// Lets every task run until it waits.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_day_is_even() {
    let world = World::new("scrape_configs: [{job_name: j, scrape_interval: 15s}]");
    world.sync(&["a:1"]);
    world.pass(Duration::from_secs(86_400)).await;
    let samples = world.series("requests_total");
    assert!((5759..=5761).contains(&samples.len()), "{}", samples.len());
    assert!(
        samples
            .windows(2)
            .all(|w| w[1].0 - w[0].0 == 15_000 && w[1].1 == w[0].1 + 1.0)
    );
    assert!(world.series("up").iter().all(|(_, v)| *v == 1.0));
}

#[tokio::test]
async fn failures_and_farewells_leave_markers() {
    let world = World::new("scrape_configs: [{job_name: j, scrape_interval: 10s}]");
    world.sync(&["a:1"]);
    world.pass(Duration::from_secs(60)).await;
    world.target.down.store(true, Ordering::Relaxed);
    world.pass(Duration::from_secs(30)).await;
    let samples = world.series("requests_total");
    let (before, marker) = samples.split_at(samples.len() - 1);
    assert!(before.iter().all(|(_, v)| !is_stale_nan(*v)) && is_stale_nan(marker[0].1));
    let up = world.series("up");
    let downs: Vec<_> = up.iter().filter(|(_, v)| *v == 0.0).collect();
    assert_eq!(downs.len(), 3);
    assert_eq!(
        downs[0].0, marker[0].0,
        "the marker stands where the scrape failed first"
    );
    world.target.down.store(false, Ordering::Relaxed);
    world.pass(Duration::from_secs(20)).await;
    world.sync(&[]);
    world.pass(Duration::from_secs(60)).await;
    let last = *world.series("requests_total").last().expect("samples");
    assert!(is_stale_nan(last.1));
    assert!(is_stale_nan(world.series("up").last().expect("samples").1));
    assert_eq!(world.manager.view()["j"].active.len(), 0);
}

#[tokio::test]
async fn a_new_interval_goes_on_with_the_same_series() {
    let world = World::new("scrape_configs: [{job_name: j, scrape_interval: 10s}]");
    world.sync(&["a:1"]);
    world.pass(Duration::from_secs(60)).await;
    let faster = Config::parse(
        "scrape_configs: [{job_name: j, scrape_interval: 5s}]",
        &|_| None,
    );
    world
        .manager
        .apply(&faster.expect("loads"))
        .expect("applies");
    world.pass(Duration::from_secs(60)).await;
    let samples = world.series("requests_total");
    assert!(
        samples.iter().all(|(_, v)| !is_stale_nan(*v)),
        "no marker in between"
    );
}

#[tokio::test]
async fn too_many_targets_fail_together() {
    let world =
        World::new("scrape_configs: [{job_name: j, scrape_interval: 10s, target_limit: 1}]");
    world.sync(&["a:1", "b:1"]);
    world.pass(Duration::from_secs(25)).await;
    assert!(world.series("up").iter().all(|(_, v)| *v == 0.0));
    let view = world.manager.view();
    let error = view["j"].active[0].status.lock().last_error.clone();
    assert_eq!(
        error,
        "target_limit exceeded (number of targets: 2, limit: 1)"
    );
    world.sync(&["a:1"]);
    world.pass(Duration::from_secs(25)).await;
    assert_eq!(world.series("up").last().expect("samples").1, 1.0);
}

#[tokio::test]
async fn what_is_told_of_a_running_target_is_what_was_discovered_last() {
    let world = World::new("scrape_configs: [{job_name: j, scrape_interval: 10s}]");
    let discover = |phases: &[&str]| {
        let target =
            |phase: &&str| Labels::from_pairs([("__address__", "a:1"), ("__meta_phase", phase)]);
        world.sync_labels(phases.iter().map(target).collect());
        let active = world.manager.view()["j"].active.clone();
        assert_eq!(active.len(), 1);
        let told = active[0].discovered();
        told.get("__meta_phase").unwrap_or_default().to_string()
    };
    assert_eq!(discover(&["Pending"]), "Pending");
    world.pass(Duration::from_secs(25)).await;
    assert_eq!(discover(&["Running"]), "Running");
    assert_eq!(discover(&["Failed", "Succeeded"]), "Succeeded", "the last");
    world.pass(Duration::from_secs(25)).await;
    let values: Vec<f64> = world.series("requests_total").iter().map(|s| s.1).collect();
    let unbroken: Vec<f64> = (0..values.len()).map(|i| i as f64).collect();
    assert_eq!(values, unbroken, "and its scrapes go on");
}

#[tokio::test]
async fn a_clock_that_goes_back_costs_samples_and_nothing_else() {
    let world = World::new("scrape_configs: [{job_name: j, scrape_interval: 10s}]");
    world.sync(&["a:1"]);
    world.pass(Duration::from_secs(300)).await;
    let before = world.series("requests_total");
    let asked = world.target.asked.load(Ordering::Relaxed);
    world.clock.jump_wall(-600_000);
    world.pass(Duration::from_secs(590)).await;
    let scrapes = world.target.asked.load(Ordering::Relaxed) - asked;
    assert!((58..=60).contains(&scrapes), "the pace is kept: {scrapes}");
    assert_eq!(
        world.series("requests_total"),
        before,
        "the past is not written anew"
    );
    let out_of_order = world.counted("prometheus_target_scrapes_sample_out_of_order_total");
    assert!(
        (scrapes as f64 - 2.0..=scrapes as f64).contains(&out_of_order),
        "{out_of_order} of {scrapes}"
    );
    assert!(
        world.health().iter().all(|health| *health == Health::Up),
        "the target is well"
    );
    world.pass(Duration::from_secs(120)).await;
    let after = world.series("requests_total");
    let anew = &after[before.len()..];
    assert!((11..=14).contains(&anew.len()), "{anew:?}");
    assert!(anew.windows(2).all(|w| w[1].0 - w[0].0 == 10_000));
    assert!(!after.iter().any(|(_, v)| is_stale_nan(*v)));
}

#[tokio::test]
async fn news_of_targets_are_taken_up_at_once_and_those_after_them_together() {
    let world = World::new("scrape_configs: [{job_name: j, scrape_interval: 1h}]");
    let clock = Arc::new(world.clock.clone());
    let mut discovery = discovery::Manager::new(clock, world.registry.clone(), "test".into());
    let (_stop, stopped) = net::shutdown::channel();
    let (manager, subscription) = (world.manager.clone(), discovery.subscribe());
    let running = tokio::spawn(async move { manager.run(subscription, stopped).await });
    let mut find = |addresses: &[&str]| {
        let text = format!(
            "scrape_configs: [{{job_name: j, static_configs: [{{targets: [{}]}}]}}]",
            addresses.join(", ")
        );
        let config = Config::parse(&text, &|_| None).expect("loads");
        let job = &config.scrape_configs[0];
        discovery.apply(&[(job.job_name.clone(), job.sd_configs.clone())]);
    };
    find(&["'a:1'"]);
    settle().await;
    assert_eq!(world.health().len(), 1, "the first is taken up at once");
    for addresses in [&["'a:1'", "'b:1'"][..], &["'a:1'", "'b:1'", "'c:1'"]] {
        find(addresses);
        settle().await;
    }
    world.clock.advance(Duration::from_millis(240));
    settle().await;
    assert_eq!(world.health().len(), 1, "the next has to wait");
    world.clock.advance(Duration::from_millis(10));
    settle().await;
    assert_eq!(world.health().len(), 3, "and comes with what came since");
    running.abort();
}
