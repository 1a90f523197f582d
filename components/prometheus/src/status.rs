//! The API's view of the server itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use apiv1::notifications::Notifications;
use apiv1::status::{BuildInfo, HeadStats, RuntimeInfo, Stat, StatusSource, TsdbStatus, WalReplay};
use apiv1::time::format_rfc3339;
use configfile::Config;
use env::{Clock, Registry};
use parking_lot::RwLock;
use remote::read::ReadThrough;
use storage::Appendable;
use tsdb::{ReplayProgress, Retention};

use crate::features::Features;
use crate::retention::describe;
use crate::storage::LateDb;

/// What the server knows of itself, shared by all who ask.
pub struct ServerState {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// When the server started, unix milliseconds.
    pub started: i64,
    /// The machine.
    pub host: String,
    /// Flags with their values.
    pub flags: BTreeMap<String, String>,
    /// What is in force.
    pub config: RwLock<Applied>,
    /// The database.
    pub db: LateDb,
    /// The database, with other servers beside it.
    pub queryable: Arc<ReadThrough>,
    /// What takes samples, once it is open.
    pub samples: Arc<std::sync::OnceLock<Arc<dyn Appendable>>>,
    /// How far its log is read.
    pub replay: ReplayProgress,
    /// What it can do and has switched on.
    pub features: Features,
    /// What the user should know of now.
    pub notifications: Notifications,
    /// Its metrics.
    pub registry: Registry,
    /// Whether queries can be answered.
    pub ready: AtomicBool,
    /// Whether the stop was called for.
    pub stopping: AtomicBool,
}

/// A configuration in force.
pub struct Applied {
    /// What it says.
    pub config: Config,
    /// Of all files it was read from.
    pub fingerprint: u64,
    /// Whether the last attempt to take one up worked.
    pub success: bool,
    /// When this one was taken up, unix milliseconds.
    pub time: i64,
    /// How long data stays.
    pub retention: Retention,
}

impl ServerState {
    /// From now on `text` holds or does not, for the user to know.
    pub fn notify(&self, text: &str, holds: bool) {
        self.notifications.set(text, holds, self.clock.now());
    }
}

impl StatusSource for ServerState {
    fn config(&self) -> String {
        configfile::print::print(&self.config.read().config)
    }

    fn flags(&self) -> BTreeMap<String, String> {
        self.flags.clone()
    }

    fn runtime(&self) -> RuntimeInfo {
        let applied = self.config.read();
        let cwd = std::env::current_dir().unwrap_or_default();
        RuntimeInfo {
            start_time: format_rfc3339(Some(self.started)),
            cwd: cwd.display().to_string(),
            hostname: self.host.clone(),
            server_time: format_rfc3339(Some(self.clock.now())),
            reload_config_success: applied.success,
            last_config_time: format_rfc3339(Some(applied.time)),
            corruption_count: 0,
            goroutine_count: net::process::usage().threads,
            gomaxprocs: std::thread::available_parallelism().map_or(1, |n| n.get() as u64),
            gomemlimit: i64::MAX,
            // What upstream sets where the configuration says nothing; it has no meaning here.
            gogc: applied.config.gogc.unwrap_or(75).to_string(),
            godebug: String::new(),
            storage_retention: describe(applied.retention),
        }
    }

    fn build(&self) -> BuildInfo {
        BuildInfo {
            version: crate::build::UPSTREAM_VERSION.into(),
            revision: crate::build::REVISION.into(),
            branch: "main".into(),
            build_user: "titan".into(),
            build_date: String::new(),
            go_version: String::new(),
        }
    }

    fn tsdb(&self, limit: usize) -> TsdbStatus {
        let Some(db) = self.db.get() else {
            return TsdbStatus::default();
        };
        let stats = db.head_stats(limit);
        let list = |counts: &[tsdb::NamedCount]| {
            counts
                .iter()
                .map(|c| Stat {
                    name: c.name.clone(),
                    value: c.value,
                })
                .collect()
        };
        TsdbStatus {
            head_stats: HeadStats {
                num_series: stats.series,
                num_label_pairs: stats.label_pairs,
                chunk_count: stats.chunks,
                min_time: stats.min_time,
                max_time: stats.max_time,
            },
            series_count_by_metric_name: list(&stats.series_by_metric),
            label_value_count_by_label_name: list(&stats.values_by_label),
            memory_in_bytes_by_label_name: list(&stats.bytes_by_label),
            series_count_by_label_value_pair: list(&stats.series_by_pair),
        }
    }

    fn blocks(&self) -> Vec<serde_json::Value> {
        let metas = self.db.get().map(|db| db.metas()).unwrap_or_default();
        metas
            .iter()
            .filter_map(|meta| serde_json::to_value(meta).ok())
            .collect()
    }

    fn wal_replay(&self) -> WalReplay {
        let (min, max, current) = self.replay.get();
        let shown = |n: i64| n.max(0) as u64;
        WalReplay {
            min: shown(min),
            max: shown(max),
            current: shown(current),
        }
    }

    fn features(&self) -> Features {
        self.features.clone()
    }

    fn notifications(&self) -> Notifications {
        self.notifications.clone()
    }

    fn self_metrics(&self) -> Vec<model::MetricFamily> {
        self.registry.gather()
    }

    fn external_labels(&self) -> model::Labels {
        self.config.read().config.global.external_labels.clone()
    }

    fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) && !self.is_stopping()
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
