//! `/status/*`: what the server says about itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;

use crate::error::ApiError;
use crate::notifications::Notifications;
use crate::params::Params;
use crate::respond::{Handled, Reply};
use crate::router::Api;

/// `/status/runtimeinfo`
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RuntimeInfo {
    /// RFC 3339.
    pub start_time: String,
    /// The working folder.
    #[serde(rename = "CWD")]
    pub cwd: String,
    /// The machine.
    pub hostname: String,
    /// RFC 3339.
    pub server_time: String,
    /// Whether the last reload worked.
    pub reload_config_success: bool,
    /// RFC 3339.
    pub last_config_time: String,
    /// Log corruptions that were met.
    pub corruption_count: u64,
    /// Threads, for want of goroutines.
    pub goroutine_count: u64,
    /// Worker threads.
    #[serde(rename = "GOMAXPROCS")]
    pub gomaxprocs: u64,
    /// No limit.
    #[serde(rename = "GOMEMLIMIT")]
    pub gomemlimit: i64,
    /// As configured; it has no meaning here.
    #[serde(rename = "GOGC")]
    pub gogc: String,
    /// Empty.
    #[serde(rename = "GODEBUG")]
    pub godebug: String,
    /// `15d or 10GiB`
    pub storage_retention: String,
}

/// `/status/buildinfo`
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildInfo {
    /// The version of upstream that this build stands in for.
    pub version: String,
    /// The commit.
    pub revision: String,
    /// The branch.
    pub branch: String,
    /// Who built it.
    pub build_user: String,
    /// When.
    pub build_date: String,
    /// The compiler, for want of Go.
    pub go_version: String,
}

/// A name with a figure.
#[derive(Clone, Debug, Serialize)]
pub struct Stat {
    /// What is counted.
    pub name: String,
    /// How many.
    pub value: u64,
}

/// `/status/tsdb`
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TsdbStatus {
    /// The head as a whole.
    pub head_stats: HeadStats,
    /// The names with the most series.
    pub series_count_by_metric_name: Vec<Stat>,
    /// The labels with the most values.
    pub label_value_count_by_label_name: Vec<Stat>,
    /// The labels with the longest values.
    pub memory_in_bytes_by_label_name: Vec<Stat>,
    /// The pairs with the most series.
    pub series_count_by_label_value_pair: Vec<Stat>,
}

/// The head as a whole.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeadStats {
    /// Series.
    pub num_series: u64,
    /// Different label pairs.
    pub num_label_pairs: u64,
    /// Chunks.
    pub chunk_count: u64,
    /// Unix milliseconds.
    pub min_time: i64,
    /// Unix milliseconds.
    pub max_time: i64,
}

/// `/status/walreplay`
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct WalReplay {
    /// The first segment.
    pub min: u64,
    /// The last segment.
    pub max: u64,
    /// The segment being read.
    pub current: u64,
}

/// The server's view of itself.
pub trait StatusSource: Send + Sync {
    /// The configuration as YAML, secrets hidden.
    fn config(&self) -> String;
    /// Flags with their values.
    fn flags(&self) -> BTreeMap<String, String>;
    /// The process.
    fn runtime(&self) -> RuntimeInfo;
    /// The build.
    fn build(&self) -> BuildInfo;
    /// The head, with the `limit` largest of each kind.
    fn tsdb(&self, limit: usize) -> TsdbStatus;
    /// Metas of the blocks, as in their files.
    fn blocks(&self) -> Vec<serde_json::Value>;
    /// How far the log is read.
    fn wal_replay(&self) -> WalReplay;
    /// What the server can do and has switched on, by category.
    fn features(&self) -> BTreeMap<String, BTreeMap<String, bool>>;
    /// What the user should know of now.
    fn notifications(&self) -> Notifications;
    /// The server's own metrics.
    fn self_metrics(&self) -> Vec<model::MetricFamily>;
    /// Labels for all that leaves the server.
    fn external_labels(&self) -> model::Labels;
    /// Whether queries can be answered.
    fn is_ready(&self) -> bool;
    /// Whether the server is about to stop.
    fn is_stopping(&self) -> bool;
}

/// `/status/config`
pub async fn config(api: Arc<Api>) -> Handled {
    Reply::of(&json!({ "yaml": api.status.config() }))
}

/// `/status/flags`
pub async fn flags(api: Arc<Api>) -> Handled {
    Reply::of(&api.status.flags())
}

/// `/status/runtimeinfo`
pub async fn runtime_info(api: Arc<Api>) -> Handled {
    Reply::of(&api.status.runtime())
}

/// `/status/buildinfo`
pub async fn build_info(api: Arc<Api>) -> Handled {
    Reply::of(&api.status.build())
}

/// `/status/tsdb`
pub async fn tsdb(api: Arc<Api>, params: Params) -> Handled {
    let limit = match params.get("limit") {
        "" => 10,
        text => match text.parse::<i64>() {
            Ok(limit) if limit > 10_000 => {
                return Err(ApiError::bad_data("limit must not exceed 10000"));
            }
            Ok(limit) if limit >= 1 => limit as usize,
            _ => return Err(ApiError::bad_data("limit must be a positive number")),
        },
    };
    let counted = tokio::task::spawn_blocking(move || api.status.tsdb(limit)).await;
    Reply::of(&counted.map_err(|_| ApiError::internal("counting ended unexpectedly; see the log"))?)
}

/// `/status/tsdb/blocks`
pub async fn blocks(api: Arc<Api>) -> Handled {
    Reply::of(&json!({ "blocks": api.status.blocks() }))
}

/// `/features`
pub async fn features(api: Arc<Api>) -> Handled {
    Reply::of(&api.status.features())
}

/// `/status/walreplay`
pub async fn wal_replay(api: Arc<Api>) -> Handled {
    Reply::of(&api.status.wal_replay())
}
