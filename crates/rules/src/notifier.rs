//! Sends alerts to every Alertmanager of every set.
//!
//! An alert gets the server's external labels and is relabelled for all, then for each set; what is left is put into the
//! queue of each Alertmanager of the set. A queue loses its oldest alerts rather than grow, a batch that fails is not
//! sent again: rules send their alerts anew after the resend delay.

mod metrics;
mod payload;
mod queue;
mod targets;

pub use targets::fault_of;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cloud::{CloudClient, World};
use configfile::alerting::{AlertingConfig, AlertmanagerConfig};
use configfile::cloud_identity::CloudIdentity;
use discovery::TargetGroup;
use discovery::manager::Subscription;
use env::{Clock, Registry};
use model::relabel::{RelabelRule, relabel};
use model::{Labels, LabelsBuilder};
use net::dials::Dials;
use net::shutdown::Shutdown;
use parking_lot::RwLock;

use self::metrics::NotifierMetrics;
use self::queue::SendLoop;
use self::targets::{Found, alertmanagers_of};
use crate::alert::Alert;

/// News of Alertmanagers are taken up at most this often.
const SYNC_INTERVAL: Duration = Duration::from_secs(5);

/// How alerts are sent.
#[derive(Clone)]
pub struct NotifierOptions {
    /// Alerts that may wait for one Alertmanager.
    pub queue_capacity: usize,
    /// Alerts in one request.
    pub batch_size: usize,
    /// Whether what waits is sent at the stop.
    pub drain: bool,
    /// Who is asking.
    pub user_agent: String,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Sends alerts. Clones share it.
#[derive(Clone)]
pub struct Notifier(Arc<Inner>);

struct Inner {
    options: NotifierOptions,
    metrics: NotifierMetrics,
    dials: Dials,
    state: RwLock<State>,
}

#[derive(Default)]
struct State {
    external_labels: Labels,
    rules: Vec<RelabelRule>,
    sets: Vec<Set>,
    stopped: bool,
}

struct Set {
    config: AlertmanagerConfig,
    client: CloudClient,
    loops: BTreeMap<String, SendLoop>,
    dropped: Vec<String>,
}

/// A configuration that can be taken up without fail.
pub struct Prepared {
    external_labels: Labels,
    rules: Vec<RelabelRule>,
    sets: Vec<(AlertmanagerConfig, CloudClient)>,
}

/// The name of a set, as discovery knows it.
pub fn set_name(index: usize) -> String {
    format!("config-{index}")
}

impl Notifier {
    /// Nothing is configured yet.
    pub fn new(options: NotifierOptions, registry: &Registry) -> Notifier {
        let metrics = NotifierMetrics::new(registry);
        metrics.queue_capacity.set(options.queue_capacity as f64);
        Notifier(Arc::new(Inner {
            options,
            metrics,
            dials: Dials::of(registry, "alertmanager"),
            state: RwLock::default(),
        }))
    }

    /// Builds what a configuration needs; nothing changes yet.
    pub fn prepare(
        &self,
        config: &AlertingConfig,
        external_labels: &Labels,
    ) -> Result<Prepared, String> {
        let (agent, dials) = (&self.0.options.user_agent, &self.0.dials);
        let world = World::of_process(self.0.options.clock.clone(), agent);
        let sets = config
            .alertmanagers
            .iter()
            .enumerate()
            .map(|(i, set)| {
                let identity = set.sigv4.clone().map(CloudIdentity::Sigv4);
                match CloudClient::new(&set.http, identity.as_ref(), agent, dials, &world) {
                    Ok(client) => Ok((set.clone(), client)),
                    Err(e) => Err(format!("alertmanager {}: {e}", set_name(i))),
                }
            })
            .collect::<Result<_, _>>()?;
        Ok(Prepared {
            external_labels: external_labels.clone(),
            rules: config.alert_relabel_configs.clone(),
            sets,
        })
    }

    /// Takes a configuration up. Sets that stay as they are keep their queues.
    pub fn take_up(&self, prepared: Prepared) {
        let mut state = self.0.state.write();
        state.external_labels = prepared.external_labels;
        state.rules = prepared.rules;
        let mut old = std::mem::take(&mut state.sets);
        for (config, client) in prepared.sets {
            let at = old.iter().position(|set| set.config == config);
            let (loops, dropped) = match at.map(|at| old.swap_remove(at)) {
                Some(same) => {
                    same.loops.values().for_each(|l| l.use_client(&client));
                    (same.loops, same.dropped)
                }
                None => Default::default(),
            };
            state.sets.push(Set {
                config,
                client,
                loops,
                dropped,
            });
        }
        for set in old {
            set.loops.into_values().for_each(|gone| self.retire(gone));
        }
        self.tidy(&state);
    }

    /// Follows what discovery finds until the stop.
    pub async fn follow(&self, mut subscription: Subscription, stopped: Shutdown) {
        while stopped.or(subscription.changed()).await == Some(true) {
            self.sync(&subscription.targets());
            let pause = self.0.options.clock.sleep(SYNC_INTERVAL);
            if stopped.or(pause).await.is_none() {
                return;
            }
        }
    }

    /// Brings the Alertmanagers of all sets in line with what was found. Must be called within the runtime.
    pub fn sync(&self, found: &BTreeMap<String, Vec<Arc<TargetGroup>>>) {
        let mut state = self.0.state.write();
        if state.stopped {
            return;
        }
        for (i, set) in state.sets.iter_mut().enumerate() {
            let Some(groups) = found.get(&set_name(i)) else {
                continue;
            };
            let Found { urls, dropped } = alertmanagers_of(groups, &set.config);
            set.dropped = dropped;
            let gone: Vec<String> = set
                .loops
                .keys()
                .filter(|url| !urls.contains(*url))
                .cloned()
                .collect();
            for url in gone {
                if let Some(gone) = set.loops.remove(&url) {
                    self.retire(gone);
                }
            }
            for url in urls {
                if !set.loops.contains_key(&url) {
                    let started = SendLoop::start(
                        &url,
                        &set.client,
                        Duration::from_millis(set.config.timeout.max(1) as u64),
                        &self.0.options,
                        &self.0.metrics,
                    );
                    set.loops.insert(url, started);
                }
            }
        }
        self.tidy(&state);
    }

    /// Ends a loop that nobody feeds any more.
    fn retire(&self, gone: SendLoop) {
        tokio::spawn(gone.stop(self.0.options.drain));
    }

    fn tidy(&self, state: &State) {
        let urls: Vec<&str> = state
            .sets
            .iter()
            .flat_map(|set| set.loops.keys().map(String::as_str))
            .collect();
        self.0.metrics.discovered.set(urls.len() as f64);
        self.0.metrics.keep_only(&urls);
    }

    /// Queues alerts of one rule; `link` leads to its expression. Never waits for a network.
    pub fn send(&self, link: &str, alerts: Vec<Alert>) {
        let state = self.0.state.read();
        let mut for_all = Vec::with_capacity(alerts.len());
        for mut alert in alerts {
            let mut builder = LabelsBuilder::new(&alert.labels);
            for (name, value) in state.external_labels.iter() {
                if alert.labels.get(name).is_none() {
                    builder.set(name, value);
                }
            }
            if let Some(labels) = relabel(&builder.build(), &state.rules) {
                alert.labels = labels;
                for_all.push(alert);
            }
        }
        let unchanged = std::cell::OnceCell::new();
        for set in state.sets.iter().filter(|set| !set.loops.is_empty()) {
            let rules = &set.config.alert_relabel_configs;
            let own;
            let batch: &[Arc<str>] = if rules.is_empty() {
                unchanged.get_or_init(|| payload::alerts(&for_all, link))
            } else {
                let relabelled: Vec<Alert> = for_all
                    .iter()
                    .filter_map(|alert| {
                        let labels = relabel(&alert.labels, rules)?;
                        Some(Alert {
                            labels,
                            ..alert.clone()
                        })
                    })
                    .collect();
                own = payload::alerts(&relabelled, link);
                &own
            };
            if !batch.is_empty() {
                set.loops.values().for_each(|l| l.add(batch));
            }
        }
    }

    /// URLs of the Alertmanagers that are sent to, and of those that relabelling dropped.
    pub fn alertmanagers(&self) -> (Vec<String>, Vec<String>) {
        let state = self.0.state.read();
        let active = state.sets.iter().flat_map(|s| s.loops.keys().cloned());
        let dropped = state.sets.iter().flat_map(|s| s.dropped.iter().cloned());
        (active.collect(), dropped.collect())
    }

    /// Ends all loops; what waits is sent first where draining is on.
    pub async fn stop(&self) {
        let sets = {
            let mut state = self.0.state.write();
            state.stopped = true;
            std::mem::take(&mut state.sets)
        };
        let drain = self.0.options.drain;
        let loops = sets.into_iter().flat_map(|set| set.loops.into_values());
        let ends: Vec<_> = loops.map(|l| tokio::spawn(l.stop(drain))).collect();
        for end in ends {
            let _ = end.await;
        }
    }
}
