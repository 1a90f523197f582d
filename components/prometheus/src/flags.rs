//! The server's command line: upstream's flags with upstream's defaults.

use std::path::PathBuf;
use std::time::Duration;

use configfile::remote::WriteMessage;
use flags::{Flag, Invocation, Program, Takes, UsageError, Values};
use model::duration::{format_duration, parse_duration};
use scrape::options::ScrapeOptions;

mod agent;
mod storage;

pub use agent::AgentFlags;
pub use storage::StorageFlags;

/// Flags of the server. Hidden are those that upstream hides, and those that have no meaning here but are taken.
pub const PROGRAM: Program = Program {
    name: "prometheus",
    about: "The Prometheus monitoring server",
    flags: FLAGS,
    commands: &[],
};

const FLAGS: &[Flag] = &[
    Flag::value(
        "config.file",
        "prometheus.yml",
        "Prometheus configuration file path.",
    ),
    Flag::switch(
        "config.auto-reload",
        false,
        "Reload the configuration by itself when its files change.",
    ),
    Flag::value(
        "config.auto-reload-interval",
        "30s",
        "How often to look for changed configuration files.",
    ).takes(Takes::Other),
    Flag::list(
        "web.listen-address",
        "0.0.0.0:9090",
        "Address to listen on for UI, API, and telemetry. Can be repeated.",
    ).takes(Takes::Other),
    Flag::switch(
        "auto-gomaxprocs",
        true,
        "Taken and without effect: threads follow the CPU quota.",
    ),
    Flag::switch(
        "auto-gomemlimit",
        true,
        "Taken and without effect: there is no garbage collector.",
    ),
    Flag::value("auto-gomemlimit.ratio", "0.9", "Taken and without effect.").takes(Takes::Other),
    Flag::value(
        "auto-gomemlimit.refresh-interval",
        "0s",
        "Taken and without effect.",
    ).takes(Takes::Other),
    Flag::value(
        "web.config.file",
        "",
        "Path to configuration file that can enable TLS or authentication.",
    ).placeholder("\"\""),
    Flag::value(
        "web.read-timeout",
        "5m",
        "Maximum duration before timing out read of the request, and closing idle connections.",
    ).takes(Takes::Other),
    Flag::value(
        "web.max-connections",
        "512",
        "Maximum number of simultaneous connections across all listeners.",
    ).takes(Takes::Other),
    Flag::value(
        "web.max-notifications-subscribers",
        "16",
        "Limits the maximum number of subscribers that can concurrently receive live notifications.",
    ).takes(Takes::Other),
    Flag::value(
        "web.external-url",
        "",
        "The URL under which Prometheus is externally reachable.",
    ).placeholder("<URL>"),
    Flag::value(
        "web.route-prefix",
        "",
        "Prefix for the internal routes of web endpoints. Defaults to path of --web.external-url.",
    ).placeholder("<path>"),
    Flag::value(
        "web.user-assets",
        "",
        "Path to static asset directory, available at /user.",
    ).placeholder("<path>"),
    Flag::switch(
        "web.enable-lifecycle",
        false,
        "Enable shutdown and reload via HTTP request.",
    ),
    Flag::switch(
        "web.enable-admin-api",
        false,
        "Enable API endpoints for admin control actions.",
    ),
    Flag::switch(
        "web.enable-remote-write-receiver",
        false,
        "Enable API endpoint accepting remote write requests.",
    ),
    Flag::list(
        "web.remote-write-receiver.accepted-protobuf-messages",
        "",
        "List of the remote write protobuf messages to accept.",
    ).placeholder("prometheus.WriteRequest..."),
    Flag::switch(
        "web.enable-otlp-receiver",
        false,
        "Enable API endpoint accepting OTLP write requests.",
    ),
    Flag::value(
        "web.console.templates",
        "consoles",
        "Path to the console template directory, available at /consoles.",
    ),
    Flag::value(
        "web.console.libraries",
        "console_libraries",
        "Path to the console library directory.",
    ),
    Flag::value(
        "web.page-title",
        "Prometheus Time Series Collection and Processing Server",
        "Document title of the server's pages.",
    ),
    Flag::value(
        "web.cors.origin",
        ".*",
        "Regex for CORS origin. It is fully anchored.",
    ),
    Flag::value(
        "web.search.max-limit",
        "10000",
        "Taken and without effect: this build lacks the search API.",
    )
    .takes(Takes::Number),
    Flag::value(
        "storage.tsdb.path",
        "data/",
        "Base path for metrics storage.",
    ),
    Flag::value(
        "storage.tsdb.retention.time",
        "0s",
        "How long to retain samples in storage. 15d if neither this nor retention.size is set.",
    ).placeholder("STORAGE.TSDB.RETENTION.TIME"),
    Flag::value(
        "storage.tsdb.retention.size",
        "0B",
        "Maximum number of bytes that can be stored for blocks. A unit is required, such as 512MB.",
    ).placeholder("STORAGE.TSDB.RETENTION.SIZE"),
    Flag::switch(
        "storage.tsdb.no-lockfile",
        false,
        "Do not create lockfile in data directory.",
    ),
    Flag::value(
        "storage.tsdb.head-chunks-write-queue-size",
        "0",
        "Taken and without effect: chunks are written at once.",
    ).takes(Takes::Other),
    Flag::value(
        "storage.tsdb.delay-compact-file.path",
        "",
        "File with blocks that were uploaded; only those are compacted.",
    ).placeholder("\"\""),
    Flag::value(
        "storage.tsdb.min-block-duration",
        "2h",
        "Minimum duration of a data block before being persisted.",
    )
    .hidden(),
    Flag::value(
        "storage.tsdb.max-block-duration",
        "",
        "Maximum duration compacted blocks may span. 31d or a tenth of the retention.",
    )
    .hidden(),
    Flag::value(
        "storage.tsdb.max-block-chunk-segment-size",
        "0B",
        "The maximum size for a single chunk segment in a block, at least 1MB. 0 for 512MB.",
    )
    .hidden(),
    Flag::value(
        "storage.tsdb.wal-segment-size",
        "0B",
        "Size at which to split the log segment files, between 10MB and 256MB. 0 for 128MB.",
    )
    .hidden(),
    Flag::switch("storage.tsdb.wal-compression", true, "Compress the log.").hidden(),
    Flag::value(
        "storage.tsdb.wal-compression-type",
        "snappy",
        "Compression of the log: snappy or zstd.",
    )
    .hidden(),
    Flag::switch(
        "storage.tsdb.allow-overlapping-compaction",
        true,
        "Allow compaction of overlapping blocks.",
    )
    .hidden(),
    Flag::value(
        "storage.tsdb.samples-per-chunk",
        "120",
        "Target number of samples per chunk.",
    )
    .hidden(),
    Flag::value(
        "storage.tsdb.delayed-compaction.max-percent",
        "10",
        "With the feature delayed-compaction: by how much of a block's duration compactions are put off at most, 1 to 100.",
    )
    .hidden(),
    Flag::value(
        "storage.tsdb.block-reload-interval",
        "1m",
        "Interval at which to check for new or removed blocks.",
    )
    .hidden(),
    Flag::switch(
        "storage.tsdb.wal-sync",
        false,
        "Titan's own: sync the log to disk before samples count as stored, several batches at a time.",
    ),
    Flag::value(
        "storage.remote.flush-deadline",
        "1m",
        "How long to wait flushing samples on shutdown or config reload.",
    ).placeholder("<duration>"),
    Flag::value(
        "storage.remote.read-sample-limit",
        "50000000",
        "Maximum overall number of samples to return via the remote read interface.",
    ).takes(Takes::Other),
    Flag::value(
        "storage.remote.read-concurrent-limit",
        "10",
        "Maximum number of concurrent remote read calls.",
    ).takes(Takes::Other),
    Flag::value(
        "storage.remote.read-max-bytes-in-frame",
        "1048576",
        "Maximum number of bytes in a single frame for streaming remote read.",
    ).takes(Takes::Other),
    Flag::value(
        "rules.alert.for-outage-tolerance",
        "1h",
        "Max time to tolerate outage for restoring \"for\" state of alert.",
    ).takes(Takes::Other),
    Flag::value(
        "rules.alert.for-grace-period",
        "10m",
        "Minimum duration between alert and restored \"for\" state.",
    ).takes(Takes::Other),
    Flag::value(
        "rules.alert.resend-delay",
        "1m",
        "Minimum amount of time to wait before resending an alert to Alertmanager.",
    ).takes(Takes::Other),
    Flag::value(
        "rules.max-concurrent-evals",
        "4",
        "Global concurrency limit for independent rules that can run concurrently.",
    ).takes(Takes::Other),
    Flag::value(
        "alertmanager.notification-queue-capacity",
        "10000",
        "The capacity of the queue for pending Alertmanager notifications.",
    ).takes(Takes::Other),
    Flag::value(
        "alertmanager.notification-batch-size",
        "256",
        "The maximum number of notifications per batch to send to the Alertmanager.",
    ).takes(Takes::Other),
    Flag::switch(
        "alertmanager.drain-notification-queue-on-shutdown",
        true,
        "Send any outstanding Alertmanager notifications when shutting down.",
    ),
    Flag::value(
        "query.lookback-delta",
        "5m",
        "The maximum lookback duration for retrieving metrics during expression evaluations.",
    ).takes(Takes::Other),
    Flag::value(
        "query.timeout",
        "2m",
        "Maximum time a query may take before being aborted.",
    ).takes(Takes::Other),
    Flag::value(
        "query.max-concurrency",
        "20",
        "Maximum number of queries executed concurrently.",
    ).takes(Takes::Other),
    Flag::value(
        "query.max-samples",
        "50000000",
        "Maximum number of samples a single query can load into memory.",
    ).takes(Takes::Other),
    Flag::value(
        "scrape.discovery-reload-interval",
        "5s",
        "The longest that news of targets wait for others that were taken up just before.",
    )
    .hidden(),
    Flag::switch(
        "scrape.adjust-timestamps",
        true,
        "Adjust scrape timestamps to align them to the intended schedule.",
    )
    .hidden(),
    Flag::value("scrape.timestamp-tolerance", "2ms", "Timestamp tolerance.").hidden(),
    Flag::list(
        "enable-feature",
        "",
        "Comma separated feature names to enable.",
    ).takes(Takes::Other),
    Flag::value(
        "storage.agent.path",
        "data-agent/",
        "Base path for metrics storage. Use with agent mode only.",
    ),
    Flag::value(
        "storage.agent.wal-segment-size",
        "0B",
        "Size at which to split WAL segment files. Example: 100MB",
    )
    .hidden(),
    Flag::switch(
        "storage.agent.wal-compression",
        true,
        "Compress the agent WAL. Use with agent mode only.",
    ),
    Flag::value(
        "storage.agent.wal-compression-type",
        "snappy",
        "Compression algorithm for the agent WAL.",
    )
    .hidden(),
    Flag::value(
        "storage.agent.wal-truncate-frequency",
        "2h",
        "The frequency at which to truncate the WAL and remove old data.",
    )
    .hidden(),
    Flag::value(
        "storage.agent.retention.min-time",
        "5m",
        "Minimum age samples may be before being considered for deletion when the WAL is truncated. Use with agent mode only.",
    ).takes(Takes::Other),
    Flag::value(
        "storage.agent.retention.max-time",
        "4h",
        "Maximum age samples may be before being forcibly deleted when the WAL is truncated. Use with agent mode only.",
    ).takes(Takes::Other),
    Flag::switch(
        "storage.agent.no-lockfile",
        false,
        "Do not create lockfile in data directory. Use with agent mode only.",
    ),
    Flag::switch(
        "storage.agent.checkpoint-from-in-memory-series",
        false,
        "Use only in-memory series data when building a checkpoint, as is done in any case. Use with agent mode only.",
    ),
    Flag::value(
        "storage.agent.checkpoint-batch-size",
        "1000",
        "Accepted for compatibility; records of a checkpoint have the size that fits. Use with agent mode only.",
    )
    .takes(Takes::Number),
    Flag::value(
        "web.search.max-limit",
        "10000",
        "Hard upper bound on the \"limit\" of the search API, which this build does not have.",
    )
    .takes(Takes::Number),
    Flag::switch("agent", false, "Run Prometheus in 'Agent mode'."),
    Flag::value(
        "log.level",
        "info",
        "Only log messages with the given severity or above. One of: [debug, info, warn, error]",
    ).takes(Takes::Other),
    Flag::value(
        "log.format",
        "logfmt",
        "Output format of log messages. One of: [logfmt, json]",
    ).takes(Takes::Other),
];

/// What the command line says, checked.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// The configuration file.
    pub config_file: PathBuf,
    /// How often to look for changed files; `None` for never.
    pub auto_reload: Option<Duration>,
    /// Addresses.
    pub listen: Vec<String>,
    /// The longest that a request's header may take.
    pub read_timeout: Duration,
    /// `--web.config.file`, empty for none.
    pub web_config_file: String,
    /// Connections at one time.
    pub max_connections: usize,
    /// Where others reach the server; empty for the host name.
    pub external_url: String,
    /// Before all paths; starts and does not end with a slash, or is empty.
    pub route_prefix: String,
    /// Folder of console templates.
    pub console_templates: PathBuf,
    /// Folder of what they share.
    pub console_libraries: PathBuf,
    /// Files of the user's own below `/user`; none if empty.
    pub user_assets: PathBuf,
    /// What pages are called.
    pub page_title: String,
    /// `/-/reload` and `/-/quit`.
    pub enable_lifecycle: bool,
    /// `/api/v1/admin/*`.
    pub enable_admin_api: bool,
    /// Listeners of live notifications at one time.
    pub max_notification_listeners: usize,
    /// Remote read.
    pub remote_read: RemoteReadFlags,
    /// How long remote write may send on when it is stopped.
    pub flush_deadline: Duration,
    /// The messages that are taken from other servers; none where that is off.
    pub write_receiver: Vec<WriteMessage>,
    /// Whether only a log is kept and sent on.
    pub agent: bool,
    /// The agent's log.
    pub agent_storage: AgentFlags,
    /// Scraping.
    pub scrape: ScrapeOptions,
    /// Who may read across origins.
    pub cors_origin: String,
    /// Storage.
    pub storage: StorageFlags,
    /// Rules and the sending of alerts.
    pub rules: RuleFlags,
    /// Queries.
    pub query: QueryFlags,
    /// Feature names.
    pub features: Vec<String>,
    /// `debug`, `info`, `warn`, `error`.
    pub log_level: String,
    /// `logfmt`, `json`.
    pub log_format: String,
    /// Every flag, for `/status/flags`.
    pub all: std::collections::BTreeMap<String, String>,
}

/// `--storage.remote.read-*`
#[derive(Clone, Copy, Debug)]
pub struct RemoteReadFlags {
    /// Samples of an answer; 0 is no limit.
    pub samples: usize,
    /// Requests at one time.
    pub concurrency: usize,
    /// Bytes of a frame.
    pub frame_bytes: usize,
}

/// Rules and the sending of alerts.
#[derive(Clone, Debug)]
pub struct RuleFlags {
    /// Milliseconds that state from before a restart is looked back for.
    pub outage_tolerance: i64,
    /// Milliseconds an alert has to be there after a restart before it fires.
    pub grace_period: i64,
    /// Milliseconds until an alert is sent again.
    pub resend_delay: i64,
    /// Rules that may run beside others, with the feature `concurrent-rule-eval`.
    pub max_concurrency: usize,
    /// Alerts that may wait for one Alertmanager.
    pub queue_capacity: usize,
    /// Alerts in one request.
    pub batch_size: usize,
    /// Whether what waits is sent at the stop.
    pub drain: bool,
}

/// `--query.*`
#[derive(Clone, Debug)]
pub struct QueryFlags {
    /// Milliseconds.
    pub lookback_delta: i64,
    /// The longest that a query may take.
    pub timeout: Duration,
    /// Queries at one time.
    pub max_concurrency: usize,
    /// Samples in memory.
    pub max_samples: usize,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Command {
    /// To serve.
    Serve(Box<ServerConfig>),
    /// To print this and end well.
    Print(String),
    /// What the mode does not take; ends with code 3.
    WrongMode(String),
}

/// Reads the command line, without the program's name.
pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Command, UsageError> {
    let version = crate::build::version_text("prometheus");
    match PROGRAM.parse(arguments, &version)? {
        Invocation::Print(text) => Ok(Command::Print(text)),
        Invocation::Run(values) => {
            match agent::of_the_other_mode(&values, values.switch("agent")) {
                Some(wrong) => Ok(Command::WrongMode(wrong)),
                None => Ok(Command::Serve(Box::new(read(&values)?))),
            }
        }
    }
}

/// The flags with everything left at its default.
pub fn defaults() -> ServerConfig {
    match parse(Vec::new()) {
        Ok(Command::Serve(config)) => *config,
        Ok(_) | Err(_) => unreachable!("a test reads the defaults"),
    }
}

fn read(values: &Values) -> Result<ServerConfig, UsageError> {
    if values.switch("web.enable-otlp-receiver") {
        return Err(UsageError::Value(
            "--web.enable-otlp-receiver: this build takes no OTLP; let a collector send remote write".into(),
        ));
    }
    let external_url = values.text("web.external-url");
    if external_url.starts_with(['"', '\'']) || external_url.ends_with(['"', '\'']) {
        return Err(UsageError::Value(
            "--web.external-url: URL must not begin or end with quotes".into(),
        ));
    }
    for (flag, what, words) in [
        (
            "log.level",
            "level",
            &["debug", "info", "warn", "error"][..],
        ),
        ("log.format", "format", &["logfmt", "json"]),
    ] {
        if !words.contains(&values.text(flag)) {
            let given = values.text(flag);
            return Err(UsageError::Value(format!(
                "unrecognized log {what} {given} (--{flag}: one of {})",
                words.join(", ")
            )));
        }
    }
    let features: Vec<String> = values
        .list("enable-feature")
        .iter()
        .flat_map(|names| names.split(','))
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_string)
        .collect();
    // The feature is the flag's name of old.
    let by_feature = features.iter().any(|name| name == "auto-reload-config");
    let auto_reload = (by_feature || values.switch("config.auto-reload"))
        .then(|| duration(values, "config.auto-reload-interval"));
    let auto_reload = auto_reload
        .transpose()?
        .map(|ms| Duration::from_millis(ms.max(1000) as u64));
    let millis = |name: &str| duration(values, name).map(|ms| Duration::from_millis(ms as u64));
    Ok(ServerConfig {
        config_file: values.text("config.file").into(),
        auto_reload,
        listen: values.list("web.listen-address"),
        read_timeout: millis("web.read-timeout")?,
        web_config_file: values.text("web.config.file").to_string(),
        max_connections: number(values, "web.max-connections")? as usize,
        external_url: external_url.trim_end_matches('/').to_string(),
        route_prefix: route_prefix(values.text("web.route-prefix"), external_url),
        console_templates: values.text("web.console.templates").into(),
        user_assets: values.text("web.user-assets").into(),
        page_title: values.text("web.page-title").into(),
        console_libraries: values.text("web.console.libraries").into(),
        enable_lifecycle: values.switch("web.enable-lifecycle"),
        enable_admin_api: values.switch("web.enable-admin-api"),
        max_notification_listeners: number(values, "web.max-notifications-subscribers")? as usize,
        remote_read: RemoteReadFlags {
            samples: number(values, "storage.remote.read-sample-limit")? as usize,
            concurrency: number(values, "storage.remote.read-concurrent-limit")?.max(1) as usize,
            frame_bytes: number(values, "storage.remote.read-max-bytes-in-frame")? as usize,
        },
        flush_deadline: millis("storage.remote.flush-deadline")?,
        write_receiver: write_receiver(values)?,
        agent: values.switch("agent"),
        agent_storage: AgentFlags::read(values)?,
        scrape: scrape_options(values)?,
        cors_origin: values.text("web.cors.origin").to_string(),
        storage: StorageFlags::read(values)?,
        rules: RuleFlags {
            outage_tolerance: duration(values, "rules.alert.for-outage-tolerance")?,
            grace_period: duration(values, "rules.alert.for-grace-period")?,
            resend_delay: duration(values, "rules.alert.resend-delay")?,
            max_concurrency: number(values, "rules.max-concurrent-evals")? as usize,
            queue_capacity: number(values, "alertmanager.notification-queue-capacity")? as usize,
            batch_size: number(values, "alertmanager.notification-batch-size")? as usize,
            drain: values.switch("alertmanager.drain-notification-queue-on-shutdown"),
        },
        query: QueryFlags {
            lookback_delta: duration(values, "query.lookback-delta")?,
            timeout: millis("query.timeout")?,
            max_concurrency: number(values, "query.max-concurrency")?.max(1) as usize,
            max_samples: number(values, "query.max-samples")? as usize,
        },
        features,
        log_level: values.text("log.level").to_string(),
        log_format: values.text("log.format").to_string(),
        all: shown(values),
    })
}

fn scrape_options(values: &Values) -> Result<ScrapeOptions, UsageError> {
    let text = values.text("scrape.timestamp-tolerance");
    let tolerance = model::duration::parse_go_duration(text)
        .map_err(|e| UsageError::Value(format!("--scrape.timestamp-tolerance: {e}")))?;
    let reload = duration(values, "scrape.discovery-reload-interval")?;
    Ok(ScrapeOptions {
        timestamp_tolerance_ms: if values.switch("scrape.adjust-timestamps") {
            i64::try_from(tolerance.as_millis()).unwrap_or(i64::MAX)
        } else {
            0
        },
        sync_interval: Duration::from_millis(reload.max(1) as u64),
        ..ScrapeOptions::default()
    })
}

/// The messages that `/api/v1/write` takes.
fn write_receiver(values: &Values) -> Result<Vec<WriteMessage>, UsageError> {
    let flag = "web.remote-write-receiver.accepted-protobuf-messages";
    let mut accepted = Vec::new();
    for name in values.list(flag) {
        let message =
            WriteMessage::parse(&name).map_err(|e| UsageError::Value(format!("--{flag}: {e}")))?;
        if accepted.contains(&message) {
            return Err(UsageError::Value(format!(
                "--{flag}: duplicated message {name}"
            )));
        }
        accepted.push(message);
    }
    if accepted.is_empty() {
        accepted = vec![WriteMessage::V1, WriteMessage::V2];
    }
    Ok(if values.switch("web.enable-remote-write-receiver") {
        accepted
    } else {
        Vec::new()
    })
}

/// The flags as `/status/flags` shows them: durations and sizes in upstream's own form.
fn shown(values: &Values) -> std::collections::BTreeMap<String, String> {
    let mut all = values.all();
    // What follows from other flags is shown as it takes effect.
    let external_url = values.text("web.external-url");
    let prefix = route_prefix(values.text("web.route-prefix"), external_url);
    let prefix = if prefix.is_empty() { "/" } else { &prefix };
    all.insert("web.route-prefix".into(), prefix.into());
    let messages = "web.remote-write-receiver.accepted-protobuf-messages";
    if values.list(messages).is_empty() {
        let both = [WriteMessage::V1, WriteMessage::V2].map(WriteMessage::as_str);
        all.insert(messages.into(), both.join(","));
    }
    let unlimited = |name: &str| values.text(name).starts_with('0');
    if unlimited("storage.tsdb.retention.time") && unlimited("storage.tsdb.retention.size") {
        all.insert("storage.tsdb.retention.time".into(), "15d".into());
    }
    for (name, value) in &mut all {
        if let (
            "storage.tsdb.wal-segment-size"
            | "storage.tsdb.max-block-chunk-segment-size"
            | "storage.tsdb.retention.size",
            Ok(bytes),
        ) = (name.as_str(), configfile::size::parse_size(value))
        {
            *value = configfile::size::format_size(bytes);
            continue;
        }
        let is_duration =
            !value.is_empty() && parse_duration(value).is_ok() && value.parse::<f64>().is_err();
        if is_duration && !name.starts_with("web.page") {
            *value = parse_duration(value)
                .map(format_duration)
                .unwrap_or_default();
        }
    }
    all
}

fn duration(values: &Values, name: &str) -> Result<i64, UsageError> {
    parse_duration(values.text(name)).map_err(|e| UsageError::Value(format!("{e} (--{name})")))
}

fn optional_duration(values: &Values, name: &str) -> Result<Option<i64>, UsageError> {
    if values.text(name).is_empty() {
        Ok(None)
    } else {
        duration(values, name).map(Some)
    }
}

fn size(values: &Values, name: &str) -> Result<u64, UsageError> {
    configfile::size::parse_size(values.text(name))
        .map_err(|e| UsageError::Value(format!("{e} (--{name})")))
}

/// Whole numbers, also as `5e7`.
fn number(values: &Values, name: &str) -> Result<u64, UsageError> {
    let text = values.text(name);
    match model::number::parse_float(text) {
        Some(v) if v >= 0.0 && v.fract() == 0.0 && v < 1e18 => Ok(v as u64),
        _ => Err(UsageError::Value(format!(
            "strconv.ParseFloat: parsing {text:?}: invalid syntax (--{name})"
        ))),
    }
}

fn route_prefix(given: &str, external_url: &str) -> String {
    let path = if given.is_empty() {
        external_url
            .split_once("://")
            .and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]))
            .unwrap_or("")
    } else {
        given
    };
    match path.trim_matches('/') {
        "" => String::new(),
        path => format!("/{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(arguments: &[&str]) -> Result<ServerConfig, String> {
        match parse(arguments.iter().map(|a| a.to_string())) {
            Ok(Command::Serve(config)) => Ok(*config),
            Ok(other) => panic!("{other:?}"),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn upstream_defaults() {
        let config = defaults();
        assert_eq!(config.listen, ["0.0.0.0:9090"]);
        assert_eq!(config.storage.path, PathBuf::from("data/"));
        assert_eq!(
            (config.query.max_samples, config.query.lookback_delta),
            (50_000_000, 300_000)
        );
        assert_eq!(config.route_prefix, "");
        assert_eq!(config.all["query.timeout"], "2m");
        assert_eq!(config.all["web.enable-lifecycle"], "false");
    }

    #[test]
    fn values_and_refusals() {
        let config = serve(&[
            "--web.external-url=http://x/prom/",
            "--query.max-samples=5e3",
            "--storage.tsdb.retention.time=30d",
            "--enable-feature=exemplar-storage,auto-reload-config",
        ])
        .expect("fine");
        assert_eq!(config.auto_reload, Some(Duration::from_secs(30)));
        assert_eq!(config.route_prefix, "/prom");
        assert_eq!(config.query.max_samples, 5000);
        assert_eq!(config.storage.retention_time, Some(30 * 86_400_000));
        assert!(
            serve(&["--storage.tsdb.wal-segment-size=1MB"])
                .unwrap_err()
                .contains("between 10MB and 256MB")
        );
        assert!(
            serve(&["--query.timeout=abc"])
                .unwrap_err()
                .starts_with("not a valid duration string: \"abc\" (--query.timeout)")
        );
        assert!(
            serve(&["--storage.tsdb.retention.size=100"])
                .unwrap_err()
                .contains("unknown unit")
        );
        assert!(serve(&["--log.level=loud"]).unwrap_err().starts_with(
            "unrecognized log level loud (--log.level: one of debug, info, warn, error)"
        ));
    }
}
