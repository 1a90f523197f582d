//! `--storage.agent.*`, and which flags go with which mode.

use std::path::PathBuf;
use std::time::Duration;

use flags::{UsageError, Values};
use ondisk::log::Compression;

use super::{duration, size};

/// Settings of the agent's log.
#[derive(Clone, Debug)]
pub struct AgentFlags {
    /// The folder.
    pub path: PathBuf,
    /// Bytes of a log segment.
    pub wal_segment_size: u64,
    /// How the log is compressed.
    pub wal_compression: Compression,
    /// How often the log is truncated.
    pub truncate_frequency: Duration,
    /// Milliseconds that sent samples are kept at least.
    pub min_time: i64,
    /// Milliseconds that samples are kept at most.
    pub max_time: i64,
    /// Whether the folder is used without a lock.
    pub no_lockfile: bool,
}

/// Flags that only a server takes.
const SERVER_ONLY: [&str; 6] = [
    "storage.tsdb.",
    "storage.remote.read-",
    "rules.",
    "alertmanager.",
    "query.",
    "web.search.",
];

impl AgentFlags {
    pub(super) fn read(values: &Values) -> Result<AgentFlags, UsageError> {
        let compression = match values.text("storage.agent.wal-compression-type") {
            "snappy" => Compression::Snappy,
            "zstd" => Compression::Zstd,
            other => {
                return Err(UsageError::Value(format!(
                    "--storage.agent.wal-compression-type: enum value must be one of snappy,zstd, got '{other}'"
                )));
            }
        };
        let segment = match size(values, "storage.agent.wal-segment-size")? {
            0 => 128 << 20,
            bytes if (10 << 20..=256 << 20).contains(&bytes) => bytes,
            _ => {
                return Err(UsageError::Value(
                    "--storage.agent.wal-segment-size: flag must be set between 10MB and 256MB"
                        .into(),
                ));
            }
        };
        let frequency = duration(values, "storage.agent.wal-truncate-frequency")?;
        let max_time = duration(values, "storage.agent.retention.max-time")?;
        Ok(AgentFlags {
            path: values.text("storage.agent.path").into(),
            wal_segment_size: segment,
            wal_compression: if values.switch("storage.agent.wal-compression") {
                compression
            } else {
                Compression::None
            },
            truncate_frequency: Duration::from_millis(frequency.max(1) as u64),
            min_time: duration(values, "storage.agent.retention.min-time")?,
            max_time: max_time.max(frequency),
            no_lockfile: values.switch("storage.agent.no-lockfile"),
        })
    }
}

/// Flags that were given and do not go with the mode, as upstream lists them.
pub(super) fn of_the_other_mode(values: &Values, agent: bool) -> Option<String> {
    let given = |fits: &dyn Fn(&str) -> bool| -> Vec<String> {
        let names = values.all().into_keys();
        names
            .filter(|name| fits(name) && values.is_given(name))
            .map(|name| format!("\"--{name}\""))
            .collect()
    };
    let (wrong, rule) = if agent {
        let server = |name: &str| SERVER_ONLY.iter().any(|prefix| name.starts_with(prefix));
        (given(&server), "can not be used in agent mode")
    } else {
        let of_agent = |name: &str| name.starts_with("storage.agent.");
        (given(&of_agent), "can only be used in agent mode")
    };
    (!wrong.is_empty()).then(|| format!("The following flag(s) {rule}: [{}]", wrong.join(" ")))
}
