//! Rules and the sending of alerts, as the server runs them.

use std::sync::Arc;

use configfile::Config;
use configfile::rules::RuleFile;
use env::Registry;
use promql::Engine;
use rules::notifier::{Notifier, NotifierOptions, set_name};
use rules::{Defaults, EngineQuery, GroupView, ManagerOptions, RuleMetrics, definitions};
use storage::Queryable;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tsdb::Db;

use crate::engine_metrics::{CountedRules, EngineMetrics};
use crate::flags::ServerConfig;
use crate::server::Context;

/// Rule groups, the notifier, and the discovery of Alertmanagers.
pub struct Ruling {
    groups: rules::Manager,
    notifier: Notifier,
    discovery: Mutex<Option<discovery::Manager>>,
    following: JoinHandle<()>,
    stop_following: net::shutdown::ShutdownTrigger,
}

/// Rules and Alertmanagers that can be taken up without fail.
pub struct Prepared {
    groups: rules::Prepared,
    notifier: rules::notifier::Prepared,
    sets: Vec<(String, Vec<configfile::sd::SdConfig>)>,
}

impl Ruling {
    /// Nothing is configured yet. Must be called within the runtime.
    pub fn new(
        config: &ServerConfig,
        context: &Context,
        engine: Arc<Engine>,
        db: Arc<Db>,
        queryable: Arc<dyn Queryable>,
        external_url: Arc<str>,
        registry: &Registry,
        engine_metrics: EngineMetrics,
    ) -> Ruling {
        let clock = context.clock.clone();
        let notifier = Notifier::new(
            NotifierOptions {
                queue_capacity: config.rules.queue_capacity,
                batch_size: config.rules.batch_size,
                drain: config.rules.drain,
                user_agent: crate::build::user_agent(),
                clock: clock.clone(),
            },
            registry,
        );
        let send = {
            let notifier = notifier.clone();
            move |link: &str, alerts: Vec<rules::Alert>| notifier.send(link, alerts)
        };
        let concurrent = config.features.iter().any(|f| f == "concurrent-rule-eval");
        let groups = rules::Manager::new(ManagerOptions {
            query: Arc::new(CountedRules {
                query: EngineQuery {
                    engine,
                    queryable,
                    clock: clock.clone(),
                    timeout: config.query.timeout,
                },
                metrics: engine_metrics,
            }),
            appendable: db.clone(),
            queryable: db,
            clock: clock.clone(),
            metrics: RuleMetrics::new(registry),
            external_url,
            resend_delay: config.rules.resend_delay,
            outage_tolerance: config.rules.outage_tolerance,
            grace_period: config.rules.grace_period,
            send: Arc::new(send),
            concurrency: concurrent.then_some(config.rules.max_concurrency),
        });
        let discovery =
            discovery::Manager::new(clock, registry.clone(), crate::build::user_agent())
                .named("notify");
        let (stop_following, stopped) = net::shutdown::channel();
        let following = {
            let (notifier, subscription) = (notifier.clone(), discovery.subscribe());
            tokio::spawn(async move { notifier.follow(subscription, stopped).await })
        };
        Ruling {
            groups,
            notifier,
            discovery: Mutex::new(Some(discovery)),
            following,
            stop_following,
        }
    }

    /// Plans rules and builds clients; nothing changes yet.
    pub fn prepare(
        &self,
        config: &Config,
        files: &[(String, RuleFile)],
    ) -> Result<Prepared, String> {
        let defaults = Defaults {
            interval: config.global.evaluation_interval,
            query_offset: config.global.rule_query_offset,
            external_labels: config.global.external_labels.clone(),
        };
        let wanted = files
            .iter()
            .flat_map(|(name, file)| definitions(name, file.clone(), &defaults))
            .collect();
        let sets = config.alerting.alertmanagers.iter().enumerate();
        Ok(Prepared {
            groups: self.groups.prepare(wanted)?,
            notifier: self
                .notifier
                .prepare(&config.alerting, &config.global.external_labels)?,
            sets: sets
                .map(|(i, set)| (set_name(i), set.sd_configs.clone()))
                .collect(),
        })
    }

    /// Takes up what was prepared.
    pub async fn take_up(&self, prepared: Prepared) {
        self.notifier.take_up(prepared.notifier);
        if let Some(discovery) = &mut *self.discovery.lock().await {
            discovery.apply(&prepared.sets);
            self.notifier.sync(&discovery.subscribe().targets());
        }
        self.groups.take_up(prepared.groups).await;
    }

    /// Ends the discovery of Alertmanagers and all rule groups.
    pub async fn stop_groups(&self) {
        self.stop_following.stop();
        self.discovery.lock().await.take();
        self.groups.stop().await;
    }

    /// Ends sending; comes last, so that the last evaluation's alerts can be sent.
    pub async fn stop_notifier(&self) {
        self.notifier.stop().await;
        self.following.abort();
    }

    /// All groups.
    pub fn view(&self, with_alerts: bool) -> Vec<GroupView> {
        self.groups.view(with_alerts)
    }

    /// URLs of Alertmanagers in use and of dropped ones.
    pub fn alertmanagers(&self) -> (Vec<String>, Vec<String>) {
        self.notifier.alertmanagers()
    }
}

/// Rules, once they run.
pub struct LateRules(pub Arc<std::sync::OnceLock<Ruling>>);

impl apiv1::rules::RuleSource for LateRules {
    fn groups(&self, with_alerts: bool) -> Vec<GroupView> {
        self.0
            .get()
            .map(|ruling| ruling.view(with_alerts))
            .unwrap_or_default()
    }

    fn alertmanagers(&self) -> (Vec<String>, Vec<String>) {
        self.0.get().map(Ruling::alertmanagers).unwrap_or_default()
    }
}

/// The path of a URL, without a slash at its end.
pub fn path_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let path = rest.find('/').map_or("", |at| &rest[at..]);
    path.split(['?', '#'])
        .next()
        .unwrap_or("")
        .trim_end_matches('/')
}

/// What links to this server start with: the flag, or the machine and the port it listens on, `encrypted` or not.
pub fn external_url(flag: &str, host: &str, addresses: &[String], encrypted: bool) -> String {
    if !flag.is_empty() {
        return flag.trim_end_matches('/').to_string();
    }
    let port = addresses
        .first()
        .and_then(|address| address.rsplit(':').next())
        .unwrap_or("9090");
    let scheme = if encrypted { "https" } else { "http" };
    format!("{scheme}://{host}:{port}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_links_start_with() {
        let ports = ["127.0.0.1:81".to_string(), "[::]:82".to_string()];
        let url = |flag: &str, encrypted| external_url(flag, "box", &ports, encrypted);
        assert_eq!(url("", false), "http://box:81");
        assert_eq!(url("", true), "https://box:81");
        assert_eq!(url("http://outside/p/", true), "http://outside/p");
        assert_eq!(path_of("http://outside/p/q/?x=/y"), "/p/q");
        assert_eq!(path_of("http://outside"), "");
    }
}
