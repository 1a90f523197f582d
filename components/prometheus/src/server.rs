//! The server's life: read, listen, open, serve, stop.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use apiv1::cors::CorsOrigin;
use apiv1::notifications::{Notifications, RELOAD_FAILED, STARTING, STOPPING};
use apiv1::remote_read::RemoteReadLimits;
use apiv1::remote_write::WriteReceiver;
use apiv1::router::LimitNames;
use apiv1::threads::QueryThreads;
use configfile::Config;
use configfile::rules::RuleFile;
use configfile::sd::SdConfig;
use discovery::Manager as Discovery;
use env::{Clock, Disk, Registry};
use model::duration::format_duration;
use net::http_server::{ServerLimits, serve};
use net::listen::{ListenError, bind_all};
use net::listener_counts::ListenerCounts;
use net::logging::{parse_level, set_level};
use net::shutdown::{Shutdown, ShutdownTrigger};
use net::web_gate::{WebConfigError, WebGate};
use parking_lot::RwLock;
use remote::read::ReadThrough;
use rules::{EngineQuery, RuleQuery};
use scrape::Manager as Scraping;
use scrape::options::ScrapeOptions;
use scrape::pool::http_fetches;
use thiserror::Error;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tsdb::{Db, DbError, ReplayProgress};

use crate::consoles::Consoles;
use crate::engine_metrics::{CountedRules, EngineMetrics};
use crate::features::features_of;
use crate::flags::ServerConfig;
use crate::load::{LoadError, Loaded, absolute, load};
use crate::query_watch::QueryWatch;
use crate::remoting::Remoting;
use crate::ruling::{LateRules, Ruling, external_url, path_of};
use crate::self_metrics::ServerMetrics;
use crate::status::{Applied, ServerState};
use crate::storage::{DbAdmin, LateDb, LateSamples};
use crate::storage_options::{
    self, exemplars_of, max_block_duration, retention_or_size, storage_options,
};
use crate::store::Store;
use crate::targets::{Outside, ScrapedTargets};
use crate::web::{Web, router};

/// The world a server lives in.
#[derive(Clone)]
pub struct Context {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Files of the database.
    pub disk: Arc<dyn Disk>,
    /// The stop.
    pub shutdown: Shutdown,
    /// The machine's name.
    pub host: String,
    /// Chance.
    pub seed: u64,
}

/// Why a server does not run.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The configuration is wrong.
    #[error("Error loading config (--config.file={file}): {error}")]
    Config {
        /// Its absolute path.
        file: String,
        /// What is wrong.
        error: LoadError,
    },
    /// A flag is wrong in a way that only shows here.
    #[error("{0}")]
    Flag(String),
    /// An address cannot be listened on.
    #[error("Unable to start web listener: {0}")]
    Listen(#[from] ListenError),
    /// The web configuration cannot be used.
    #[error("Unable to validate web configuration file: {0}")]
    Web(#[from] WebConfigError),
    /// The data cannot be opened.
    #[error("opening storage failed: {0}")]
    Storage(#[from] DbError),
    /// The first configuration cannot be taken up.
    #[error("error loading config from {file:?}: {reason}")]
    Apply {
        /// Its path.
        file: String,
        /// Why not.
        reason: String,
    },
}

impl ServerError {
    /// The process' exit code, as upstream has it.
    pub fn exit_code(&self) -> u8 {
        match self {
            ServerError::Config { .. } | ServerError::Flag(_) => 2,
            ServerError::Web(_)
            | ServerError::Listen(_)
            | ServerError::Storage(_)
            | ServerError::Apply { .. } => 1,
        }
    }
}

/// A running server.
pub struct Server {
    config: ServerConfig,
    context: Context,
    state: Arc<ServerState>,
    metrics: ServerMetrics,
    registry: Registry,
    scraping: OnceScraping,
    ruling: OnceRuling,
    remoting: OnceRemoting,
    queries: Arc<QueryWatch>,
    engine_metrics: EngineMetrics,
    reloader: Reloader,
    addresses: Vec<String>,
    stop: Arc<ShutdownTrigger>,
    stopped: Shutdown,
    web: JoinHandle<()>,
}

/// Scraping starts when storage is there.
type OnceScraping = Arc<std::sync::OnceLock<Scraping>>;

/// Rules run when storage is there.
/// Remote servers need storage, too.
type OnceRemoting = Arc<std::sync::OnceLock<Arc<Remoting>>>;
type OnceRuling = Arc<std::sync::OnceLock<Ruling>>;

/// A few figures for people.
#[derive(Clone, Debug, Default)]
pub struct Overview {
    /// Where it listens.
    pub addresses: Vec<String>,
    /// Whether it answers queries.
    pub ready: bool,
    /// Targets that answered at their last scrape.
    pub targets_up: usize,
    /// Targets.
    pub targets: usize,
    /// Series in the head.
    pub series: u64,
    /// Samples appended since the start.
    pub samples: u64,
}

impl Server {
    /// Reads the configuration and listens. Data is opened by [`Server::run`].
    pub async fn start(config: ServerConfig, context: Context) -> Result<Server, ServerError> {
        let loaded = load_for(&config).map_err(|error| ServerError::Config {
            file: absolute(&config.config_file).display().to_string(),
            error,
        })?;
        let origins = CorsOrigin::new(&config.cors_origin).map_err(|e| {
            ServerError::Flag(format!(
                "could not compile CORS regex string {:?}: {e}",
                config.cors_origin
            ))
        })?;
        let gate = WebGate::load(&config.web_config_file)?;
        let listeners = bind_all(&config.listen).await?;
        let addresses: Vec<String> = listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .map(|address| address.to_string())
            .collect();
        let given = &config.external_url;
        let link = external_url(given, &context.host, &addresses, gate.speaks_tls());
        let config = ServerConfig {
            external_url: link,
            ..config
        };
        for address in &addresses {
            tracing::info!(component = "web", address = %address, "Listening on");
        }
        if gate.speaks_tls() {
            tracing::info!(component = "web", "TLS is enabled.");
        } else {
            tracing::info!(component = "web", "TLS is disabled.");
        }
        let registry = Registry::new();
        let metrics = ServerMetrics::new(&registry);
        let state = Arc::new(initial_state(&config, &context, &loaded, &registry));
        let engine_metrics = EngineMetrics::new(&registry);
        let queries = Arc::new(QueryWatch::new(
            context.clock.clone(),
            engine_metrics.clone(),
        ));
        metrics.reload_successful.set(1.0);
        metrics
            .reload_success_time
            .set(context.clock.now() as f64 / 1000.0);
        let (stop, stopped) = net::shutdown::channel();
        let stop = Arc::new(stop);
        forward(&context.shutdown, &stop);
        let scraping: OnceScraping = Arc::default();
        let ruling: OnceRuling = Arc::default();
        let remoting: OnceRemoting = Arc::default();
        let reloader = Reloader(Arc::new(ReloaderState {
            config: config.clone(),
            ruling: ruling.clone(),
            remoting: remoting.clone(),
            rules: parking_lot::Mutex::new(loaded.rules.clone()),
            state: state.clone(),
            metrics: metrics.clone(),
            scraping: scraping.clone(),
            queries: queries.clone(),
            discovery: Mutex::new(None),
        }));
        let web = Web {
            state: state.clone(),
            registry: registry.clone(),
            metrics: metrics.clone(),
            reloader: reloader.clone(),
            stop: stop.clone(),
            lifecycle: config.enable_lifecycle,
            prefix: config.route_prefix.clone(),
            external_path: path_of(&config.external_url).to_string(),
            agent: config.agent,
            title: config.page_title.clone(),
            user_assets: config.user_assets.clone(),
            consoles: consoles_of(&config, &context, &state, engine_metrics.clone()),
            lookback_delta: config.query.lookback_delta,
        };
        let api = api_of(
            &config,
            &context,
            &state,
            &scraping,
            &ruling,
            queries.clone(),
            Outside::new(
                &config.external_url,
                addresses.first().map_or("", String::as_str),
            ),
        );
        let routes = router(Arc::new(web), apiv1::router(Arc::new(api), origins));
        let limits = ServerLimits {
            max_connections: config.max_connections,
            read_timeout: config.read_timeout,
            ..ServerLimits::default()
        };
        // The pages stay until storage is closed, so that "stopping" can be seen.
        let web = tokio::spawn(serve(
            listeners,
            routes,
            limits,
            gate,
            ListenerCounts::of(&registry, "http"),
            stopped.clone(),
        ));
        Ok(Server {
            config,
            context,
            state,
            metrics,
            registry,
            scraping,
            ruling,
            remoting,
            queries,
            engine_metrics,
            reloader,
            addresses,
            stop,
            stopped,
            web,
        })
    }

    /// A view of the server for people, at any time.
    pub fn overview(&self) -> impl Fn() -> Overview + Send + Sync + use<> {
        let (state, scraping, registry) = (
            self.state.clone(),
            self.scraping.clone(),
            self.registry.clone(),
        );
        let addresses = self.addresses.clone();
        move || overview(&state, &scraping, &registry, &addresses)
    }

    /// Takes up the configuration file anew, at any time.
    pub fn reloader(&self) -> Reloader {
        self.reloader.clone()
    }

    /// Opens the data, scrapes and answers until the stop.
    pub async fn run(self) -> Result<(), ServerError> {
        let result = self.serve_until_stopped().await;
        self.stop.stop();
        let _ = self.web.await;
        result
    }

    async fn serve_until_stopped(&self) -> Result<(), ServerError> {
        let Some(store) = self.open_storage().await? else {
            return Ok(());
        };
        let appendable = store.appendable();
        let _ = self.state.samples.set(appendable.clone());
        let scraping = Scraping::new(
            self.context.clock.clone(),
            appendable,
            http_fetches(crate::build::user_agent(), self.registry.clone()),
            &self.registry,
            self.context.host.clone(),
            self.context.seed,
            scrape_options(&self.config),
        );
        let _ = self.scraping.set(scraping.clone());
        let remoting = Arc::new(Remoting::new(
            &self.config,
            &self.context,
            &store,
            scraping.clone(),
            self.state.queryable.clone(),
            &self.registry,
        ));
        let _ = self.remoting.set(remoting.clone());
        if let Some(db) = store.database() {
            self.begin_queries(db);
        }
        let discovery = Discovery::new(
            self.context.clock.clone(),
            self.registry.clone(),
            crate::build::user_agent(),
        );
        let subscription = discovery.subscribe();
        self.reloader
            .begin(discovery)
            .await
            .map_err(|reason| ServerError::Apply {
                file: self.config.config_file.display().to_string(),
                reason,
            })?;
        self.state.ready.store(true, Ordering::Release);
        self.state.notify(STARTING, false);
        self.metrics.ready.set(1.0);
        tracing::info!("Server is ready to receive web requests.");
        let scraper = {
            let stopped = self.stopped.clone();
            tokio::spawn(async move { scraping.run(subscription, stopped).await })
        };
        let chores = tokio::spawn(store.clone().maintain(
            self.context.clock.clone(),
            self.config.storage.reload_interval,
            self.config.agent_storage.clone(),
            remoting.clone(),
            self.stopped.clone(),
        ));
        let watcher = self.config.auto_reload.map(|interval| {
            let (reloader, clock) = (self.reloader.clone(), self.context.clock.clone());
            tokio::spawn(follow_files(
                reloader,
                interval,
                clock,
                self.stopped.clone(),
            ))
        });
        self.stopped.wait().await;
        self.state.stopping.store(true, Ordering::Release);
        self.state.notify(STOPPING, true);
        self.metrics.ready.set(0.0);
        tracing::info!("Stopping rule manager...");
        if let Some(ruling) = self.ruling.get() {
            ruling.stop_groups().await;
        }
        tracing::info!("Stopping scrape manager...");
        let _ = scraper.await;
        self.reloader.end().await;
        if let Some(watcher) = watcher {
            watcher.abort();
        }
        let _ = chores.await;
        tracing::info!("Stopping storage...");
        remoting.stop().await;
        let closed = tokio::task::spawn_blocking(move || store.close()).await;
        match closed {
            Ok(result) => result?,
            Err(_) => tracing::error!("closing storage ended unexpectedly"),
        }
        tracing::info!("Stopping notification manager...");
        if let Some(ruling) = self.ruling.get() {
            ruling.stop_notifier().await;
        }
        tracing::info!("See you next time!");
        Ok(())
    }

    /// What only a server with a database does: queries, rules and alerts.
    fn begin_queries(&self, db: &Arc<Db>) {
        self.state.db.open(db.clone());
        self.queries
            .follow_running(&self.config.storage.path, self.config.query.max_concurrency);
        let _ = self.ruling.set(Ruling::new(
            &self.config,
            &self.context,
            crate::engine::engine_of(&self.config),
            db.clone(),
            self.state.queryable.clone(),
            self.config.external_url.as_str().into(),
            &self.registry,
            self.engine_metrics.clone(),
        ));
    }

    /// Opens the storage on a thread that may block; `None` when the stop came first.
    async fn open_storage(&self) -> Result<Option<Store>, ServerError> {
        if self.config.agent {
            let (flags, context) = (self.config.agent_storage.clone(), self.context.clone());
            let registry = self.registry.clone();
            let open = move || Store::open_agent(&flags, &context, &registry);
            return self.opened(tokio::task::spawn_blocking(open)).await;
        }
        let options = {
            let applied = self.state.config.read();
            storage_options(&self.config, &applied.config, self.context.seed)
                .map_err(ServerError::Flag)?
        };
        let dir = self.config.storage.path.clone();
        let (disk, clock) = (self.context.disk.clone(), self.context.clock.clone());
        let (registry, replay) = (self.registry.clone(), self.state.replay.clone());
        let open = move || Db::open_watched(&dir, options, disk, clock, &registry, &replay);
        let opened = self.opened(tokio::task::spawn_blocking(open)).await?;
        Ok(opened.map(Store::Database))
    }

    async fn opened<T>(
        &self,
        opening: JoinHandle<Result<T, DbError>>,
    ) -> Result<Option<T>, ServerError> {
        match self.stopped.or(opening).await {
            None => Ok(None),
            Some(Ok(opened)) => Ok(Some(opened?)),
            Some(Err(_)) => Err(ServerError::Storage(DbError::Options(
                "opening ended unexpectedly; see the log".into(),
            ))),
        }
    }
}

/// The configuration file, as far as the server's mode allows.
fn load_for(config: &ServerConfig) -> Result<Loaded, LoadError> {
    let mut loaded = load(
        &config.config_file,
        crate::features::defaults(&config.features),
    )?;
    // Where the file says nothing the flag does, and is shown.
    let level = &mut loaded.config.log_level;
    level.get_or_insert_with(|| config.log_level.clone());
    if config.agent {
        loaded.config.check_agent_mode()?;
    }
    Ok(loaded)
}

/// A stop of the whole process is a stop of the server; the other way round it is not.
fn forward(process: &Shutdown, stop: &Arc<ShutdownTrigger>) {
    let (process, stop) = (process.clone(), stop.clone());
    tokio::spawn(async move {
        process.wait().await;
        stop.stop();
    });
}

fn initial_state(
    config: &ServerConfig,
    context: &Context,
    loaded: &Loaded,
    registry: &Registry,
) -> ServerState {
    for warning in &loaded.config.warnings {
        tracing::warn!(file = %config.config_file.display(), "{warning}");
    }
    for warning in crate::features::warnings(&config.features) {
        tracing::warn!("{warning}");
    }
    for warning in storage_options::warnings(&loaded.config) {
        tracing::warn!(file = %config.config_file.display(), "{warning}");
    }
    let retention = retention_or_size(config, &loaded.config);
    let mut flags = config.all.clone();
    flags.insert(
        "storage.tsdb.max-block-duration".into(),
        format_duration(max_block_duration(config, retention)),
    );
    let now = context.clock.now();
    let db = LateDb::default();
    let notifications = Notifications::new(config.max_notification_listeners, registry);
    notifications.set(STARTING, true, now);
    ServerState {
        clock: context.clock.clone(),
        started: now,
        host: context.host.clone(),
        flags,
        config: RwLock::new(Applied {
            config: loaded.config.clone(),
            fingerprint: loaded.fingerprint,
            success: true,
            time: now,
            retention,
        }),
        queryable: Arc::new(read_through(&db, config.storage.min_block)),
        db,
        samples: Arc::default(),
        replay: ReplayProgress::default(),
        features: features_of(config),
        notifications,
        registry: registry.clone(),
        ready: AtomicBool::new(false),
        stopping: AtomicBool::new(false),
    }
}

fn api_of(
    config: &ServerConfig,
    context: &Context,
    state: &Arc<ServerState>,
    scraping: &OnceScraping,
    ruling: &OnceRuling,
    queries: Arc<QueryWatch>,
    outside: Outside,
) -> apiv1::Api {
    let registry = &state.registry;
    let slots = config.query.max_concurrency;
    registry
        .gauge(
            "prometheus_engine_queries_concurrent_max",
            "The max number of concurrent queries.",
        )
        .set(slots as f64);
    let query_slots = Arc::new(tokio::sync::Semaphore::new(slots));
    let free = query_slots.clone();
    registry.gauge_fn(
        "prometheus_engine_queries",
        "The current number of queries being executed or waiting.",
        move || (slots - free.available_permits().min(slots)) as f64,
    );
    let read_slots = config.remote_read.concurrency;
    let remote_read = RemoteReadLimits {
        samples: config.remote_read.samples,
        frame_bytes: config.remote_read.frame_bytes,
        slots: Arc::new(tokio::sync::Semaphore::new(read_slots)),
    };
    let free = remote_read.slots.clone();
    registry.gauge_fn(
        "prometheus_remote_read_handler_queries",
        "The current number of remote read queries that are either in execution or queued on the handler.",
        move || (read_slots - free.available_permits().min(read_slots)) as f64,
    );
    let admin = DbAdmin {
        db: state.db.clone(),
        clock: context.clock.clone(),
        random: parking_lot::Mutex::new(env::Random::from_seed(context.seed)),
    };
    let flag = |name: &str| format!("--{name}={}", config.all[name]);
    apiv1::Api {
        per_step_stats: config.features.iter().any(|f| f == "promql-per-step-stats"),
        limits: LimitNames {
            samples: flag("query.max-samples"),
            timeout: flag("query.timeout"),
        },
        observer: queries,
        exemplars: Arc::new(state.db.clone()),
        admin: config
            .enable_admin_api
            .then(|| Arc::new(admin) as Arc<dyn apiv1::admin::Admin>),
        remote_read,
        write: (!config.write_receiver.is_empty()).then(|| Arc::new(write_receiver(config, state))),
        agent: config.agent,
        engine: crate::engine::engine_of(config),
        queryable: state.queryable.clone(),
        clock: context.clock.clone(),
        query_timeout: config.query.timeout,
        query_slots,
        query_threads: QueryThreads::of_this_machine(),
        targets: Arc::new(LateTargets {
            scraping: scraping.clone(),
            state: state.clone(),
            outside,
        }),
        rules: Arc::new(LateRules(ruling.clone())),
        status: state.clone(),
    }
}

/// The local database, beside which other servers may be asked for what is older.
fn read_through(db: &LateDb, min_block: i64) -> ReadThrough {
    let local = db.clone();
    ReadThrough::new(Arc::new(db.clone()), move || {
        Some(local.get()?.start_time()? + 2 * min_block)
    })
}

fn write_receiver(config: &ServerConfig, state: &Arc<ServerState>) -> WriteReceiver {
    let on = |name: &str| config.features.iter().any(|feature| feature == name);
    WriteReceiver::new(
        Arc::new(LateSamples(state.samples.clone())),
        config.write_receiver.clone(),
        on("created-timestamp-zero-ingestion"),
        on("metadata-wal-records"),
        &state.registry,
    )
}

fn scrape_options(config: &ServerConfig) -> ScrapeOptions {
    let on = |name: &str| config.features.iter().any(|feature| feature == name);
    ScrapeOptions {
        start_zeros: on("created-timestamp-zero-ingestion"),
        store_metadata: on("metadata-wal-records"),
        type_and_unit_labels: on("type-and-unit-labels"),
        ..config.scrape
    }
}

fn consoles_of(
    config: &ServerConfig,
    context: &Context,
    state: &ServerState,
    metrics: EngineMetrics,
) -> Consoles {
    let query = || -> Arc<dyn RuleQuery> {
        let query = EngineQuery {
            engine: crate::engine::engine_of(config),
            queryable: state.queryable.clone(),
            clock: context.clock.clone(),
            timeout: config.query.timeout,
        };
        Arc::new(CountedRules { query, metrics })
    };
    Consoles {
        templates: config.console_templates.clone(),
        libraries: config.console_libraries.clone(),
        external_url: config.external_url.clone(),
        query: (!config.agent).then(query),
    }
}

/// Targets, once scraping has begun.
struct LateTargets {
    scraping: OnceScraping,
    state: Arc<ServerState>,
    outside: Outside,
}

impl LateTargets {
    fn view(&self) -> Option<ScrapedTargets> {
        let manager = self.scraping.get()?.clone();
        Some(ScrapedTargets {
            manager,
            state: self.state.clone(),
            outside: self.outside.clone(),
        })
    }
}

impl apiv1::targets::TargetSource for LateTargets {
    fn pools(&self) -> std::collections::BTreeMap<String, apiv1::targets::PoolTargets> {
        self.view().map(|view| view.pools()).unwrap_or_default()
    }

    fn families(&self, metric: Option<&str>) -> Vec<apiv1::targets::TargetFamily> {
        self.view()
            .map(|view| view.families(metric))
            .unwrap_or_default()
    }

    fn pool_config(&self, pool: &str) -> Option<String> {
        self.view()?.pool_config(pool)
    }

    fn relabel_rules(&self, pool: &str) -> Option<Vec<model::relabel::RelabelRule>> {
        self.view()?.relabel_rules(pool)
    }
}

/// Takes up the configuration when its files change.
async fn follow_files(
    reloader: Reloader,
    interval: Duration,
    clock: Arc<dyn Clock>,
    stopped: Shutdown,
) {
    while stopped.or(clock.sleep(interval)).await.is_some() {
        let known = reloader.0.state.config.read().fingerprint;
        // A file that does not load is tried, and fails, at every tick, so that the status shows it.
        let changed =
            load_for(&reloader.0.config).map_or(true, |loaded| loaded.fingerprint != known);
        if changed {
            tracing::info!("Configuration file change detected, reloading the configuration.");
            // The failure has been logged.
            let _ = reloader.reload().await;
        }
    }
}

/// Takes up the configuration file: all of it or nothing.
#[derive(Clone)]
pub struct Reloader(Arc<ReloaderState>);

struct ReloaderState {
    config: ServerConfig,
    state: Arc<ServerState>,
    metrics: ServerMetrics,
    scraping: OnceScraping,
    ruling: OnceRuling,
    remoting: OnceRemoting,
    /// Rule files of the first configuration, until they are taken up.
    rules: parking_lot::Mutex<Vec<(String, RuleFile)>>,
    queries: Arc<QueryWatch>,
    /// Also serialises reloads.
    discovery: Mutex<Option<Discovery>>,
}

impl Reloader {
    /// Takes up the first configuration, which is loaded already.
    async fn begin(&self, discovery: Discovery) -> Result<(), String> {
        let mut running = self.0.discovery.lock().await;
        let config = self.0.state.config.read().config.clone();
        let discovery = running.insert(discovery);
        let rules = std::mem::take(&mut *self.0.rules.lock());
        self.apply(&config, &rules, discovery).await
    }

    /// Ends discovery.
    async fn end(&self) {
        self.0.discovery.lock().await.take();
    }

    /// Reads the file and takes it up. On failure what was in force stays.
    pub async fn reload(&self) -> Result<(), String> {
        let path = self.0.config.config_file.clone();
        let started = self.0.state.clock.monotonic();
        tracing::info!(filename = %path.display(), "Loading configuration file");
        let mut running = self.0.discovery.lock().await;
        let result = match &mut *running {
            None => Err("the server is starting or stopping".to_string()),
            Some(discovery) => self.load_and_apply(&path, discovery).await,
        };
        match &result {
            Ok(()) => {
                let took = self.0.state.clock.monotonic().saturating_sub(started);
                self.0.state.notify(RELOAD_FAILED, false);
                tracing::info!(filename = %path.display(), totalDuration = ?took, "Completed loading of configuration file");
            }
            Err(error) => {
                self.0.state.config.write().success = false;
                self.0.state.notify(RELOAD_FAILED, true);
                self.0.metrics.reload_successful.set(0.0);
                tracing::error!(component = "main", err = %error, "Error reloading config");
            }
        }
        result
    }

    async fn load_and_apply(&self, path: &Path, discovery: &mut Discovery) -> Result<(), String> {
        let loaded = load_for(&self.0.config).map_err(|e| e.to_string())?;
        for warning in &loaded.config.warnings {
            tracing::warn!(file = %path.display(), "{warning}");
        }
        self.apply(&loaded.config, &loaded.rules, discovery).await?;
        let now = self.0.state.clock.now();
        let retention = retention_or_size(&self.0.config, &loaded.config);
        *self.0.state.config.write() = Applied {
            config: loaded.config,
            fingerprint: loaded.fingerprint,
            success: true,
            time: now,
            retention,
        };
        self.0.metrics.reload_successful.set(1.0);
        self.0.metrics.reload_success_time.set(now as f64 / 1000.0);
        Ok(())
    }

    /// What can fail comes first and changes nothing when it does.
    async fn apply(
        &self,
        config: &Config,
        rules: &[(String, RuleFile)],
        discovery: &mut Discovery,
    ) -> Result<(), String> {
        let (Some(scraping), Some(remoting)) = (self.0.scraping.get(), self.0.remoting.get())
        else {
            return Err("the server is starting".into());
        };
        let ruling = self.0.ruling.get();
        let rules = ruling.map(|r| r.prepare(config, rules)).transpose()?;
        let remotes = remoting.prepare(config)?;
        self.0.queries.log_to(&config.global.query_log_file)?;
        scraping.apply(config)?;
        if let Some(level) = config.log_level.as_deref().and_then(parse_level) {
            set_level(level);
        }
        let jobs: Vec<(String, Vec<SdConfig>)> = config
            .scrape_configs
            .iter()
            .map(|job| (job.job_name.clone(), job.sd_configs.clone()))
            .collect();
        discovery.apply(&jobs);
        if let Some(db) = self.0.state.db.get() {
            for warning in storage_options::warnings(config) {
                tracing::warn!("{warning}");
            }
            db.reconfigure(
                retention_or_size(&self.0.config, config),
                config.storage.out_of_order_time_window,
                exemplars_of(&self.0.config, config),
            )
            .map_err(|e| e.to_string())?;
        }
        remoting.take_up(remotes).await;
        if let (Some(ruling), Some(rules)) = (ruling, rules) {
            ruling.take_up(rules).await;
        }
        Ok(())
    }
}

fn overview(
    state: &ServerState,
    scraping: &OnceScraping,
    registry: &Registry,
    addresses: &[String],
) -> Overview {
    use apiv1::status::StatusSource as _;
    let mut overview = Overview {
        addresses: addresses.to_vec(),
        ready: state.is_ready(),
        ..Overview::default()
    };
    for pool in scraping
        .get()
        .map(Scraping::view)
        .unwrap_or_default()
        .into_values()
    {
        overview.targets += pool.active.len();
        let up = |target: &Arc<scrape::Target>| target.status.lock().health == scrape::Health::Up;
        overview.targets_up += pool.active.iter().filter(|target| up(target)).count();
    }
    for family in registry.gather() {
        let sum = || {
            family
                .metrics
                .iter()
                .filter_map(|metric| match metric.value {
                    model::MetricValue::Single(v) => Some(v),
                    _ => None,
                })
        };
        match family.name.as_str() {
            "prometheus_tsdb_head_series" => overview.series = sum().sum::<f64>() as u64,
            "prometheus_tsdb_head_samples_appended_total" => {
                overview.samples = sum().sum::<f64>() as u64;
            }
            _ => {}
        }
    }
    overview
}
