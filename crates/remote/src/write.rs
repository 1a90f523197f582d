//! All remote servers that samples go to.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::Duration;

use cloud::{CloudClient, World};
use configfile::http_client::HttpClientConfig;
use configfile::remote::RemoteWriteConfig;
use env::{Clock, Disk, Registry};
use md5::Digest as _;
use model::Labels;
use net::dials::Dials;
use tokio::sync::Mutex;

use crate::metadata::MetadataSource;
use crate::metrics::Families;
use crate::position::Positions;
use crate::queue::{Queue, Surroundings};

/// What remote write has of the world.
pub struct WriteContext {
    /// Where the log is.
    pub disk: Arc<dyn Disk>,
    /// The log's folder.
    pub log: PathBuf,
    /// The file with what has been acknowledged.
    pub positions: PathBuf,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where metrics are registered.
    pub registry: Registry,
    /// What servers are told about who asks.
    pub user_agent: String,
    /// Metadata for 1.0.
    pub metadata: Arc<dyn MetadataSource>,
    /// How long a queue may send on when it is stopped.
    pub flush_deadline: Duration,
}

/// Sends the log to every configured server.
pub struct RemoteWrite {
    around: Surroundings,
    families: Families,
    dials: Dials,
    user_agent: String,
    world: World,
    queues: Mutex<Vec<(String, Queue)>>,
}

/// A configuration that can be taken up without failing.
pub struct Prepared(Vec<(String, RemoteWriteConfig, CloudClient)>, Labels);

impl RemoteWrite {
    /// Sends nowhere yet.
    pub fn new(context: WriteContext) -> RemoteWrite {
        let families = Families::new(&context.registry);
        let highest = Arc::new(AtomicI64::new(0));
        let newest = highest.clone();
        context.registry.gauge_fn(
            "prometheus_remote_storage_highest_timestamp_in_seconds",
            "Highest timestamp that has come into the remote storage via the Appender interface, in seconds since epoch. Initialized to 0 when no data has been received yet.",
            move || newest.load(Relaxed) as f64 / 1000.0,
        );
        let positions = Positions::open(context.disk.clone(), context.positions);
        let world = World::of_process(context.clock.clone(), &context.user_agent);
        RemoteWrite {
            world,
            around: Surroundings {
                disk: context.disk,
                log: context.log,
                clock: context.clock,
                positions: Arc::new(positions),
                metadata: context.metadata,
                flush_deadline: context.flush_deadline,
                highest,
            },
            families,
            dials: Dials::of(&context.registry, "remote_storage_write_client"),
            user_agent: context.user_agent,
            queues: Mutex::default(),
        }
    }

    /// Checks a configuration and builds what may fail.
    pub fn prepare(
        &self,
        configs: &[RemoteWriteConfig],
        external: &Labels,
    ) -> Result<Prepared, String> {
        let mut prepared: Vec<(String, RemoteWriteConfig, CloudClient)> = Vec::new();
        for config in configs {
            let shown = configfile::secret::redact_url(&config.url);
            if prepared.iter().any(|(_, known, _)| known == config) {
                return Err(format!(
                    "duplicate remote write configs are not allowed, found duplicate for URL: {shown}"
                ));
            }
            let name = queue_name(config);
            let client = CloudClient::new(
                &config.http,
                config.identity.as_ref(),
                &self.user_agent,
                &self.dials,
                &self.world,
            )
            .map_err(|e| format!("remote write {shown}: {e}"))?;
            prepared.push((name, config.clone(), client));
        }
        Ok(Prepared(prepared, external.clone()))
    }

    /// Takes up what was prepared: queues that stay as they are go on, others end and begin. Must be called within the
    /// runtime.
    pub async fn apply(&self, prepared: Prepared) {
        let Prepared(prepared, external) = prepared;
        let names: Vec<&str> = prepared.iter().map(|(name, ..)| name.as_str()).collect();
        self.around.positions.keep(&names);
        let mut queues = self.queues.lock().await;
        let mut running = std::mem::take(&mut *queues);
        let mut fresh = Vec::new();
        for (name, config, client) in prepared {
            let same = |(known, queue): &(String, Queue)| {
                *known == name
                    && queue.external == external
                    && without_access(&queue.config) == without_access(&config)
            };
            match running.iter().position(same) {
                Some(at) => {
                    let (name, mut queue) = running.swap_remove(at);
                    // A client that stays keeps its connections and tokens.
                    let known = &queue.config;
                    if known.http != config.http || known.identity != config.identity {
                        queue.change_access(&config, client);
                    }
                    queues.push((name, queue));
                }
                None => fresh.push((name, config, client)),
            }
        }
        // Those that end flush first, so that a server that only changed its settings gets samples in order.
        end(running).await;
        for (name, config, client) in fresh {
            let shown = configfile::secret::redact_url(&config.url);
            let metrics = self.families.queue(&name, &shown);
            let around = self.around.clone();
            let queue = Queue::start(
                name.clone(),
                config,
                external.clone(),
                client,
                metrics,
                around,
            );
            queues.push((name, queue));
        }
    }

    /// The newest time that every server has acknowledged, unix milliseconds; `None` without servers.
    pub async fn lowest_sent(&self) -> Option<i64> {
        let queues = self.queues.lock().await;
        queues.iter().map(|(_, queue)| queue.highest_sent()).min()
    }

    /// Ends all queues, which send what they have read for as long as the flush deadline allows.
    pub async fn stop(&self) {
        end(std::mem::take(&mut *self.queues.lock().await)).await;
    }
}

/// Ends queues side by side: servers that are all away cost one flush deadline, not one each.
async fn end(queues: Vec<(String, Queue)>) {
    let ending: Vec<_> = queues
        .into_iter()
        .map(|(_, queue)| tokio::spawn(queue.stop()))
        .collect();
    for one in ending {
        let _ = one.await;
    }
}

fn without_access(config: &RemoteWriteConfig) -> RemoteWriteConfig {
    RemoteWriteConfig {
        http: HttpClientConfig::default(),
        identity: None,
        ..config.clone()
    }
}

/// The configured name, or six digits that change with the section.
fn queue_name(config: &RemoteWriteConfig) -> String {
    let text = configfile::print::print_remote_write_config(config);
    short_name(&config.name, &text)
}

/// The configured name, or six digits of the section's sum.
pub(crate) fn short_name(configured: &str, section: &str) -> String {
    if !configured.is_empty() {
        return configured.to_string();
    }
    let sum = md5::Md5::digest(section.as_bytes());
    sum[..3].iter().map(|byte| format!("{byte:02x}")).collect()
}
