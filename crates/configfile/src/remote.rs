//! `remote_write` and `remote_read`.

use std::path::Path;

use model::Labels;
use model::relabel::{NameValidation, RelabelRule};

use crate::cloud_identity::CloudIdentity;
use crate::decode::{ConfigError, Faults, Fields};
use crate::http_client::HttpClientConfig;
use crate::relabel::read_rules;
use crate::sd::read_labels;
use crate::yaml::Node;

/// The message in which samples are sent or taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WriteMessage {
    /// Remote write 1.0.
    #[default]
    V1,
    /// Remote write 2.0.
    V2,
}

impl WriteMessage {
    /// The full name of the protobuf message.
    pub fn as_str(self) -> &'static str {
        match self {
            WriteMessage::V1 => "prometheus.WriteRequest",
            WriteMessage::V2 => "io.prometheus.write.v2.Request",
        }
    }

    /// Reads a full name.
    pub fn parse(word: &str) -> Result<WriteMessage, String> {
        [WriteMessage::V1, WriteMessage::V2]
            .into_iter()
            .find(|message| message.as_str() == word)
            .ok_or_else(|| {
                format!(
                    "unknown type for remote write protobuf message {word}, supported: {}, {}",
                    WriteMessage::V1.as_str(),
                    WriteMessage::V2.as_str()
                )
            })
    }
}

/// `remote_write[]`
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteWriteConfig {
    /// Where samples go.
    pub url: String,
    /// Milliseconds that a request may take.
    pub timeout: i64,
    /// Its name in metrics, unique; empty where one is made from the section's content.
    pub name: String,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// Rules for series, after the external labels were added.
    pub relabel_configs: Vec<RelabelRule>,
    /// Whether exemplars are sent.
    pub send_exemplars: bool,
    /// Whether native histograms are sent.
    pub send_native_histograms: bool,
    /// The message.
    pub message: WriteMessage,
    /// Whether each new connection picks one of the name's addresses.
    pub round_robin_dns: bool,
    /// Whether refused requests are described in the log.
    pub failed_request_logging: bool,
    /// How to ask.
    pub http: HttpClientConfig,
    /// Who one is to the cloud that is asked.
    pub identity: Option<CloudIdentity>,
    /// Batches, shards and patience.
    pub queue: QueueConfig,
    /// Types, units and help texts.
    pub metadata: MetadataConfig,
}

/// `queue_config`
#[derive(Clone, Debug, PartialEq)]
pub struct QueueConfig {
    /// Samples that wait in a shard.
    pub capacity: u64,
    /// Most senders.
    pub max_shards: u64,
    /// Fewest senders.
    pub min_shards: u64,
    /// Most samples of a request.
    pub max_samples_per_send: u64,
    /// Milliseconds that a sample waits for its batch to fill.
    pub batch_send_deadline: i64,
    /// Milliseconds before the first retry.
    pub min_backoff: i64,
    /// Milliseconds between retries at most.
    pub max_backoff: i64,
    /// Whether 429 is a reason to try again.
    pub retry_on_http_429: bool,
    /// Milliseconds after which samples are dropped instead of sent; 0 for never.
    pub sample_age_limit: i64,
}

impl Default for QueueConfig {
    fn default() -> QueueConfig {
        QueueConfig {
            capacity: 10_000,
            max_shards: 50,
            min_shards: 1,
            max_samples_per_send: 2000,
            batch_send_deadline: 5000,
            min_backoff: 30,
            max_backoff: 5000,
            retry_on_http_429: false,
            sample_age_limit: 0,
        }
    }
}

/// `metadata_config`
#[derive(Clone, Debug, PartialEq)]
pub struct MetadataConfig {
    /// Whether metadata is sent.
    pub send: bool,
    /// Milliseconds between sendings.
    pub send_interval: i64,
    /// Most entries of a request.
    pub max_samples_per_send: u64,
}

impl Default for MetadataConfig {
    fn default() -> MetadataConfig {
        MetadataConfig {
            send: true,
            send_interval: 60_000,
            max_samples_per_send: 2000,
        }
    }
}

/// `remote_read[]`
#[derive(Clone, Debug, PartialEq)]
pub struct RemoteReadConfig {
    /// Whom to ask.
    pub url: String,
    /// Milliseconds that a request may take.
    pub timeout: i64,
    /// Its name in metrics, unique; empty where one is made from the section's content.
    pub name: String,
    /// More headers.
    pub headers: Vec<(String, String)>,
    /// Whether it is asked for times that the local storage has too.
    pub read_recent: bool,
    /// Equalities that a query must have to be passed on.
    pub required_matchers: Labels,
    /// Whether external labels are asked for and taken off the answer.
    pub filter_external_labels: bool,
    /// Bytes that one frame of a streamed answer may have.
    pub chunked_read_limit: u64,
    /// How to ask.
    pub http: HttpClientConfig,
}

/// Headers that senders set themselves.
const RESERVED: [&str; 16] = [
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

/// Takes `headers`; `authorization` is the refusal of that header.
pub(crate) fn take_headers(
    fields: &mut Fields<'_>,
    authorization: &str,
    faults: &mut Faults,
) -> Result<Vec<(String, String)>, ConfigError> {
    let mut headers = Vec::new();
    for (name, value, line) in fields.string_map("headers", faults) {
        let lower = name.to_ascii_lowercase();
        if lower == "authorization" {
            return Err(ConfigError::at(line, authorization));
        }
        if RESERVED.contains(&lower.as_str()) {
            return Err(ConfigError::at(
                line,
                format!("{name} is a reserved header. It must not be changed"),
            ));
        }
        headers.push((name, value));
    }
    Ok(headers)
}

const AUTHORIZATION: &str = "authorization header must be changed via the basic_auth, authorization, oauth2, sigv4, azuread or google_iam parameter";

impl RemoteWriteConfig {
    pub(crate) fn read(
        node: &Node,
        validation: NameValidation,
        environment: &dyn Fn(&str) -> Option<String>,
        faults: &mut Faults,
    ) -> Result<RemoteWriteConfig, ConfigError> {
        if node.is_null() {
            return Err(ConfigError::at(
                node.line,
                "empty or null remote write config section",
            ));
        }
        let mut fields = Fields::open(node, "config.plain", faults);
        let url = fields.string("url", faults).unwrap_or_default();
        if url.is_empty() {
            return Err(ConfigError::at(node.line, "url for remote_write is empty"));
        }
        crate::url::check(&url).map_err(|e| ConfigError::at(node.line, e))?;
        let headers = take_headers(&mut fields, AUTHORIZATION, faults)?;
        let defaults = HttpClientConfig {
            enable_http2: false,
            ..HttpClientConfig::default()
        };
        let http = HttpClientConfig::take_with_defaults(&mut fields, faults, defaults)?;
        let identity = CloudIdentity::take(&mut fields, &http, environment, faults)?;
        let rules = fields.list("write_relabel_configs", faults);
        let message = match fields.string("protobuf_message", faults) {
            Some(word) if !word.is_empty() => WriteMessage::parse(&word).map_err(|e| {
                ConfigError::at(node.line, format!("invalid protobuf_message value: {e}"))
            })?,
            _ => WriteMessage::V1,
        };
        let mut flag = |name| fields.bool(name, faults).unwrap_or(false);
        let (send_exemplars, send_native_histograms) =
            (flag("send_exemplars"), flag("send_native_histograms"));
        let (round_robin_dns, failed_request_logging) =
            (flag("round_robin_dns"), flag("failed_request_logging"));
        let config = RemoteWriteConfig {
            timeout: fields.duration("remote_timeout", faults)?.unwrap_or(30_000),
            name: fields.string("name", faults).unwrap_or_default(),
            relabel_configs: read_rules(
                &rules,
                "empty or null relabeling rule in remote write config",
                validation,
                faults,
            )?,
            queue: match fields.take("queue_config") {
                Some(node) => QueueConfig::read(node, faults)?,
                None => QueueConfig::default(),
            },
            metadata: match fields.take("metadata_config") {
                Some(node) => MetadataConfig::read(node, faults)?,
                None => MetadataConfig::default(),
            },
            url,
            headers,
            send_exemplars,
            send_native_histograms,
            message,
            round_robin_dns,
            failed_request_logging,
            http,
            identity,
        };
        fields.close(faults);
        Ok(config)
    }

    pub(crate) fn resolve_paths(&mut self, dir: &Path) {
        // Files of cloud identities stay as written, relative to the working directory, as upstream has them.
        self.http.resolve_paths(dir);
    }
}

impl QueueConfig {
    fn read(node: &Node, faults: &mut Faults) -> Result<QueueConfig, ConfigError> {
        let mut fields = Fields::open(node, "config.plain", faults);
        let defaults = QueueConfig::default();
        let mut positive = |name: &str, default: u64| match fields.int(name, faults) {
            Some(value) => u64::try_from(value)
                .ok()
                .filter(|value| *value > 0)
                .ok_or_else(|| {
                    ConfigError::at(
                        node.line,
                        format!("remote write queue {name} must be positive"),
                    )
                }),
            None => Ok(default),
        };
        let max_shards = positive("max_shards", defaults.max_shards)?;
        let min_shards = positive("min_shards", defaults.min_shards)?;
        let max_samples_per_send = positive("max_samples_per_send", defaults.max_samples_per_send)?;
        let capacity = positive("capacity", defaults.capacity)?;
        let mut time = |name: &str, default: i64| {
            Ok::<i64, ConfigError>(fields.duration(name, faults)?.unwrap_or(default))
        };
        let queue = QueueConfig {
            batch_send_deadline: time("batch_send_deadline", defaults.batch_send_deadline)?,
            min_backoff: time("min_backoff", defaults.min_backoff)?,
            max_backoff: time("max_backoff", defaults.max_backoff)?,
            sample_age_limit: time("sample_age_limit", 0)?,
            retry_on_http_429: fields.bool("retry_on_http_429", faults).unwrap_or(false),
            capacity,
            max_shards,
            min_shards,
            max_samples_per_send,
        };
        fields.close(faults);
        if queue.min_shards > queue.max_shards {
            return Err(ConfigError::at(
                node.line,
                "remote write queue min_shards must not be greater than max_shards",
            ));
        }
        if queue.max_backoff < queue.min_backoff {
            return Err(ConfigError::at(
                node.line,
                "remote write queue max_backoff must not be less than min_backoff",
            ));
        }
        Ok(queue)
    }
}

impl MetadataConfig {
    fn read(node: &Node, faults: &mut Faults) -> Result<MetadataConfig, ConfigError> {
        let mut fields = Fields::open(node, "config.plain", faults);
        let defaults = MetadataConfig::default();
        let metadata = MetadataConfig {
            send: fields.bool("send", faults).unwrap_or(true),
            send_interval: fields
                .duration("send_interval", faults)?
                .unwrap_or(defaults.send_interval),
            max_samples_per_send: fields
                .uint("max_samples_per_send", faults)
                .filter(|n| *n > 0)
                .unwrap_or(defaults.max_samples_per_send),
        };
        fields.close(faults);
        Ok(metadata)
    }
}

impl RemoteReadConfig {
    pub(crate) fn read(node: &Node, faults: &mut Faults) -> Result<RemoteReadConfig, ConfigError> {
        if node.is_null() {
            return Err(ConfigError::at(
                node.line,
                "empty or null remote read config section",
            ));
        }
        let mut fields = Fields::open(node, "config.plain", faults);
        let url = fields.string("url", faults).unwrap_or_default();
        if url.is_empty() {
            return Err(ConfigError::at(node.line, "url for remote_read is empty"));
        }
        crate::url::check(&url).map_err(|e| ConfigError::at(node.line, e))?;
        let headers = take_headers(&mut fields, AUTHORIZATION, faults)?;
        let http = HttpClientConfig::take(&mut fields, faults)?;
        let config = RemoteReadConfig {
            timeout: fields.duration("remote_timeout", faults)?.unwrap_or(60_000),
            name: fields.string("name", faults).unwrap_or_default(),
            read_recent: fields.bool("read_recent", faults).unwrap_or(false),
            required_matchers: read_labels(&mut fields, "required_matchers", faults)?,
            filter_external_labels: fields
                .bool("filter_external_labels", faults)
                .unwrap_or(true),
            chunked_read_limit: fields
                .uint("chunked_read_limit", faults)
                .filter(|n| *n > 0)
                .unwrap_or(50_000_000),
            url,
            headers,
            http,
        };
        fields.close(faults);
        Ok(config)
    }

    pub(crate) fn resolve_paths(&mut self, dir: &Path) {
        self.http.resolve_paths(dir);
    }
}

/// Refuses a name that two sections have.
pub(crate) fn unique_names<'a>(
    what: &str,
    names: impl Iterator<Item = &'a str>,
    line: usize,
) -> Result<(), ConfigError> {
    let mut seen = std::collections::HashSet::new();
    for name in names.filter(|name| !name.is_empty()) {
        if !seen.insert(name) {
            return Err(ConfigError::at(
                line,
                format!("found multiple {what} configs with job name {name:?}"),
            ));
        }
    }
    Ok(())
}
