//! Runs the mechanisms that jobs configure and hands on what they find.
//!
//! A mechanism that several jobs configure alike runs once. A new configuration keeps those that stay as they are
//! running, with their targets, and ends the others.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use configfile::sd::SdConfig;
use env::{Clock, Registry};
use net::dials::Dials;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::asker::Asker;
use crate::group::TargetGroup;
use crate::manager_metrics::ManagerMetrics;
use crate::refresh::RefreshMetrics;

/// News that is not taken for so long has to wait: whoever takes it looks more often.
const PATIENCE: Duration = Duration::from_secs(5);

/// The groups of every job. A job without targets is there with an empty list.
pub type Targets = BTreeMap<String, Vec<Arc<TargetGroup>>>;

/// Runs mechanisms. Dropping it ends them.
pub struct Manager {
    clock: Arc<dyn Clock>,
    registry: Registry,
    user_agent: String,
    providers: Vec<Provider>,
    shared: Arc<Shared>,
    metrics: Arc<ManagerMetrics>,
}

struct Provider {
    /// `None` for written-down targets: they are cheap and made anew every time.
    config: Option<SdConfig>,
    found: Found,
    task: Option<JoinHandle<()>>,
    refreshes: Option<RefreshMetrics>,
    /// It could not be started.
    failed: bool,
}

/// What a mechanism has found so far.
pub(crate) type Found = Arc<Mutex<Vec<Arc<TargetGroup>>>>;

/// Which jobs read from which mechanisms, and who waits for news.
pub(crate) struct Shared {
    pub(crate) jobs: Mutex<Vec<(String, Vec<Found>)>>,
    news: watch::Sender<u64>,
    /// Since when there is news that has not been taken.
    waiting: Mutex<Option<Duration>>,
}

impl Shared {
    /// Whether news has been waiting for too long, so that this waits with it.
    fn announce(&self, now: Duration) -> bool {
        let since = *self.waiting.lock().get_or_insert(now);
        self.news.send_modify(|version| *version += 1);
        now.saturating_sub(since) > PATIENCE
    }
}

/// What a mechanism hands its groups to.
#[derive(Clone)]
struct Publisher {
    found: Found,
    shared: Arc<Shared>,
    metrics: Arc<ManagerMetrics>,
    clock: Arc<dyn Clock>,
}

impl Publisher {
    fn publish(&self, groups: Vec<Arc<TargetGroup>>) {
        *self.found.lock() = groups;
        self.metrics.received.inc();
        self.metrics.count_targets(&self.shared);
        if self.shared.announce(self.clock.monotonic()) {
            self.metrics.delayed.inc();
        }
    }
}

/// Hears of news and reads the targets.
#[derive(Clone)]
pub struct Subscription {
    shared: Arc<Shared>,
    metrics: Arc<ManagerMetrics>,
    clock: Arc<dyn Clock>,
    news: watch::Receiver<u64>,
}

impl Subscription {
    /// Ends when there is news since the last call; `false` when there will be none any more.
    pub async fn changed(&mut self) -> bool {
        self.news.changed().await.is_ok()
    }

    /// The targets as they stand.
    pub fn targets(&self) -> Targets {
        *self.shared.waiting.lock() = None;
        let jobs = self.shared.jobs.lock();
        if !jobs.is_empty() {
            self.metrics.sent.inc();
        }
        let now = self.clock.now() as f64 / 1000.0;
        for (job, _) in jobs.iter() {
            self.metrics.note_update(job, now);
        }
        let groups = |found: &Vec<Found>| {
            found
                .iter()
                .flat_map(|found| found.lock().clone())
                .collect::<Vec<_>>()
        };
        jobs.iter()
            .map(|(job, found)| (job.clone(), groups(found)))
            .collect()
    }
}

impl Manager {
    /// Nothing runs yet. What is found is to be scraped; see [`Manager::named`].
    pub fn new(clock: Arc<dyn Clock>, registry: Registry, user_agent: String) -> Manager {
        // Upstream's mechanisms count from the start, whether they are configured or not.
        crate::file_metrics::FileMetrics::new(&registry);
        crate::dns::counters(&registry);
        crate::http::failures(&registry);
        crate::kubernetes::from_the_start(&registry);
        let shared = Shared {
            jobs: Mutex::default(),
            news: watch::Sender::new(0),
            waiting: Mutex::new(None),
        };
        Manager {
            clock,
            metrics: Arc::new(ManagerMetrics::new(&registry, "scrape")),
            registry,
            user_agent,
            providers: Vec::new(),
            shared: Arc::new(shared),
        }
    }

    /// The same under another name in metrics. To be called before anything else.
    #[must_use]
    pub fn named(mut self, name: &'static str) -> Manager {
        self.metrics = Arc::new(ManagerMetrics::new(&self.registry, name));
        self
    }

    /// To hear what is found.
    pub fn subscribe(&self) -> Subscription {
        Subscription {
            shared: self.shared.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
            news: self.shared.news.subscribe(),
        }
    }

    /// Runs what `jobs` configure, ends what they do not. Must be called within the runtime.
    pub fn apply(&mut self, jobs: &[(String, Vec<SdConfig>)]) {
        let mut kept: Vec<Provider> = Vec::new();
        let mut wiring = Vec::with_capacity(jobs.len());
        let mut failed = 0;
        for (job, configs) in jobs {
            let mut found = Vec::with_capacity(configs.len());
            // All of a job's static groups are one provider, so that their sources differ.
            for config in merge_static(configs) {
                let same =
                    |p: &Provider| p.config.is_some() && p.config.as_ref() == config.config();
                if let Some(running) = kept.iter().find(|p| same(p)) {
                    found.push(running.found.clone());
                    continue;
                }
                let at = self.providers.iter().position(same);
                let provider = match at {
                    Some(at) => self.providers.swap_remove(at),
                    None => self.start(job, &config),
                };
                failed += u32::from(provider.failed);
                found.push(provider.found.clone());
                kept.push(provider);
            }
            wiring.push((job.clone(), found));
        }
        for gone in std::mem::replace(&mut self.providers, kept) {
            // A changed mechanism goes on under the same labels.
            let goes_on = self.providers.iter().any(|kept| kept.counts_as(&gone));
            if let (Some(refreshes), false) = (&gone.refreshes, goes_on) {
                refreshes.forget();
            }
            gone.stop();
        }
        let before = std::mem::replace(&mut *self.shared.jobs.lock(), wiring);
        self.metrics.failed.set(f64::from(failed));
        for (job, _) in before {
            self.metrics.forget(&job);
        }
        self.metrics.count_targets(&self.shared);
        self.shared.announce(self.clock.monotonic());
    }

    fn start(&self, job: &str, config: &Merged) -> Provider {
        let found: Found = Arc::default();
        let publisher = Publisher {
            found: found.clone(),
            shared: self.shared.clone(),
            metrics: self.metrics.clone(),
            clock: self.clock.clone(),
        };
        let publish = {
            let publisher = publisher.clone();
            move |groups: Vec<TargetGroup>| {
                publisher.publish(groups.into_iter().map(Arc::new).collect());
            }
        };
        let (clock, registry) = (self.clock.clone(), self.registry.clone());
        let asker = Asker {
            component: format!("discovery manager {}", self.metrics.name()),
            config: job.to_string(),
        };
        let mut refreshes = None;
        let mut counted = |mechanism: &str| {
            let metrics = RefreshMetrics::new(&self.registry, mechanism, job);
            refreshes.insert(metrics).clone()
        };
        let task = match config {
            Merged::Static(groups) => {
                *found.lock() = groups.iter().cloned().map(Arc::new).collect();
                self.metrics.received.inc();
                None
            }
            Merged::Dynamic(SdConfig::File(file)) => Some(tokio::spawn(crate::file::run(
                file.clone(),
                asker,
                clock,
                registry,
                publish,
            ))),
            Merged::Dynamic(SdConfig::Http(http)) => {
                let agent = self.user_agent.clone();
                let config = http.as_ref().clone();
                Some(tokio::spawn(crate::http::run(
                    config,
                    asker,
                    agent,
                    clock,
                    registry,
                    counted("http"),
                    publish,
                )))
            }
            Merged::Dynamic(SdConfig::Dns(dns)) => Some(tokio::spawn(crate::dns::run(
                dns.clone(),
                asker,
                clock,
                registry,
                counted("dns"),
                publish,
            ))),
            Merged::Dynamic(SdConfig::Kubernetes(kubernetes)) => {
                let dials = Dials::of(&registry, "kubernetes_sd");
                match crate::kubernetes::connect(kubernetes, &self.user_agent, &dials) {
                    Ok(cluster) => Some(tokio::spawn(crate::kubernetes::run(
                        kubernetes.as_ref().clone(),
                        asker,
                        cluster,
                        clock,
                        registry,
                        move |groups| publisher.publish(groups),
                    ))),
                    Err(error) => {
                        tracing::error!(component = %asker.component, err = %error, r#type = "kubernetes", config = %asker.config, "Cannot create service discovery");
                        // Without its configuration it is not taken for one that runs, and tried anew next time.
                        return Provider {
                            config: None,
                            found,
                            task: None,
                            refreshes,
                            failed: true,
                        };
                    }
                }
            }
            // A configuration with these is not carried out.
            Merged::Dynamic(SdConfig::Static(_) | SdConfig::Lacking(_)) => None,
        };
        Provider {
            config: config.config().cloned(),
            found,
            task,
            refreshes,
            failed: false,
        }
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.providers.drain(..).for_each(Provider::stop);
    }
}

impl Provider {
    /// Whether both have the same metrics.
    fn counts_as(&self, other: &Provider) -> bool {
        let labels = |p: &Provider| p.refreshes.as_ref().map(|r| r.labels().clone());
        labels(self).is_some() && labels(self) == labels(other)
    }

    fn stop(self) {
        if let Some(task) = self.task {
            task.abort();
        }
    }
}

/// A job's mechanisms with its static groups put together.
enum Merged {
    Static(Vec<TargetGroup>),
    Dynamic(SdConfig),
}

impl Merged {
    /// What running mechanisms are compared by.
    fn config(&self) -> Option<&SdConfig> {
        match self {
            Merged::Static(_) => None,
            Merged::Dynamic(config) => Some(config),
        }
    }
}

fn merge_static(configs: &[SdConfig]) -> Vec<Merged> {
    let mut groups = Vec::new();
    let mut merged = Vec::new();
    for config in configs {
        match config {
            SdConfig::Static(group) => {
                groups.push(TargetGroup::from_static(groups.len().to_string(), group));
            }
            other => merged.push(Merged::Dynamic(other.clone())),
        }
    }
    if !groups.is_empty() {
        merged.insert(0, Merged::Static(groups));
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use configfile::sd::{FileSdConfig, StaticConfig};
    use model::Labels;

    fn fixed(addresses: &[&str]) -> SdConfig {
        SdConfig::Static(StaticConfig {
            targets: addresses.iter().map(|a| a.to_string()).collect(),
            labels: Labels::empty(),
        })
    }

    fn count(targets: &Targets, job: &str) -> usize {
        targets[job].iter().map(|group| group.targets.len()).sum()
    }

    #[tokio::test]
    async fn shares_alike_mechanisms_and_follows_new_configurations() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("t.yml");
        std::fs::write(&path, "- targets: ['f:1']\n").expect("write");
        let from_file = SdConfig::File(FileSdConfig {
            files: vec![path.to_string_lossy().into_owned()],
            refresh_interval: 300_000,
        });
        let clock = net::clock::system_clock();
        let mut manager = Manager::new(clock, Registry::new(), "test".into());
        let mut subscription = manager.subscribe();
        manager.apply(&[
            ("a".into(), vec![fixed(&["s:1", "s:2"]), from_file.clone()]),
            ("b".into(), vec![from_file.clone()]),
            ("c".into(), vec![fixed(&["s:3"])]),
            ("empty".into(), vec![]),
        ]);
        assert_eq!(
            manager
                .providers
                .iter()
                .filter(|p| p.task.is_some())
                .count(),
            1
        );
        while count(&subscription.targets(), "b") == 0 {
            assert!(subscription.changed().await);
        }
        let targets = subscription.targets();
        assert_eq!(
            (
                count(&targets, "a"),
                count(&targets, "b"),
                count(&targets, "c")
            ),
            (3, 1, 1)
        );
        assert_eq!(count(&targets, "empty"), 0);
        manager.apply(&[("b".into(), vec![from_file])]);
        let targets = subscription.targets();
        assert_eq!(count(&targets, "b"), 1, "what runs on keeps its targets");
        assert_eq!(targets.len(), 1);
    }

    #[tokio::test]
    async fn updates_that_wait_are_counted() {
        let registry = Registry::new();
        let clock = Arc::new(env::sim::SimClock::starting_at(5_000));
        let mut manager = Manager::new(clock.clone(), registry.clone(), "test".into());
        let subscription = manager.subscribe();
        manager.apply(&[]);
        assert!(subscription.targets().is_empty());
        assert_eq!(
            manager.metrics.sent.get(),
            0.0,
            "there is nothing to hand on"
        );
        manager.apply(&[("a".into(), vec![fixed(&["s:1"])])]);
        let publisher = Publisher {
            found: Arc::default(),
            shared: manager.shared.clone(),
            metrics: manager.metrics.clone(),
            clock: clock.clone(),
        };
        let counts = || {
            let metrics = &manager.metrics;
            (
                metrics.received.get(),
                metrics.sent.get(),
                metrics.delayed.get(),
            )
        };
        subscription.targets();
        assert_eq!(counts(), (1.0, 1.0, 0.0));
        let updated = registry.gauges(
            "prometheus_sd_last_update_timestamp_seconds",
            "",
            &["name", "config"],
        );
        assert_eq!(updated.with(&["scrape", "a"]).get(), 5.0);
        publisher.publish(Vec::new());
        clock.advance(PATIENCE);
        publisher.publish(Vec::new());
        assert_eq!(counts(), (3.0, 1.0, 0.0), "it may be taken any moment");
        clock.advance(Duration::from_millis(1));
        publisher.publish(Vec::new());
        assert_eq!(counts(), (4.0, 1.0, 1.0), "the first has not been taken");
        subscription.targets();
        publisher.publish(Vec::new());
        assert_eq!(counts(), (5.0, 2.0, 1.0));
    }

    #[tokio::test]
    async fn what_cannot_be_started_is_counted_and_tried_anew() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("kubeconfig");
        let text = format!(
            "scrape_configs:\n- job_name: k\n  kubernetes_sd_configs: [{{role: pod, kubeconfig_file: {}}}]\n",
            path.display()
        );
        let config = configfile::Config::parse(&text, &|_: &str| None).expect("a configuration");
        assert_eq!(config.lacking_discovery(), []);
        let job = &config.scrape_configs[0];
        let jobs = [("k".to_string(), job.sd_configs.clone())];
        let registry = Registry::new();
        let clock = net::clock::system_clock();
        let mut manager = Manager::new(clock, registry.clone(), "test".into());
        let failed = || {
            let help = "Current number of service discovery configurations that failed to load.";
            let gauges = registry.gauges("prometheus_sd_failed_configs", help, &["name"]);
            gauges.with(&["scrape"]).get()
        };
        manager.apply(&jobs);
        assert_eq!(failed(), 1.0);
        let cluster = "clusters: [{name: c, cluster: {server: 'http://127.0.0.1:1'}}]";
        let context = "contexts: [{name: x, context: {cluster: c}}]";
        std::fs::write(&path, format!("current-context: x\n{context}\n{cluster}\n"))
            .expect("written");
        manager.apply(&jobs);
        assert_eq!(failed(), 0.0);
    }
}
