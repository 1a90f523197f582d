//! `remote_write` and `remote_read`.

use std::path::Path;

use model::Labels;
use model::labels::go_quote;
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

/// A section's URL; none where it is not there or null. An empty text is upstream's to fail with later.
fn checked_url(url: Option<String>, line: usize) -> Result<Option<String>, ConfigError> {
    let url = url.filter(|url| !url.is_empty());
    if let Some(url) = &url {
        crate::url::check(url).map_err(|e| ConfigError::in_field(line, "url", e))?;
    }
    Ok(url)
}

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
        let url = fields.string("url", faults);
        let url = checked_url(url, node.line)?;
        let headers = take_headers(&mut fields, AUTHORIZATION, faults);
        let defaults = HttpClientConfig {
            enable_http2: false,
            ..HttpClientConfig::default()
        };
        let http = HttpClientConfig::take_with_defaults(&mut fields, faults, defaults);
        let identity = CloudIdentity::take(&mut fields, http.as_ref().ok(), environment, faults);
        let rules = fields.list("write_relabel_configs", "[]*relabel.Config", faults);
        let relabel_configs = read_rules(
            &rules,
            "empty or null relabeling rule in remote write config",
            validation,
            faults,
        )?;
        let message = fields.string_of("protobuf_message", "remote.WriteMessageType", faults);
        let mut flag = |name| fields.bool(name, faults).unwrap_or(false);
        let (send_exemplars, send_native_histograms) =
            (flag("send_exemplars"), flag("send_native_histograms"));
        let (round_robin_dns, failed_request_logging) =
            (flag("round_robin_dns"), flag("failed_request_logging"));
        if flag("convert_nhcb_to_classic") {
            return Err(ConfigError::in_field(
                node.line,
                "convert_nhcb_to_classic",
                "not part of this build: histograms with custom buckets are sent as they are, by 2.0 only",
            ));
        }
        let timeout = fields.duration("remote_timeout", faults)?.unwrap_or(30_000);
        let name = fields.string("name", faults).unwrap_or_default();
        let queue = match fields.take_even_null("queue_config") {
            Some(node) => QueueConfig::read(node, faults),
            None => Ok(QueueConfig::default()),
        };
        let metadata = match fields.take_even_null("metadata_config") {
            Some(node) => MetadataConfig::read(node, faults)?,
            None => MetadataConfig::default(),
        };
        fields.close_sound(faults)?;
        let Some(url) = url else {
            return Err(ConfigError::at(node.line, "url for remote_write is empty"));
        };
        let headers = headers?;
        let message = match message {
            Some(word) => WriteMessage::parse(&word).map_err(|e| {
                ConfigError::at(node.line, format!("invalid protobuf_message value: {e}"))
            })?,
            None => WriteMessage::V1,
        };
        Ok(RemoteWriteConfig {
            timeout,
            name,
            relabel_configs,
            http: http?,
            queue: queue?,
            metadata,
            url,
            headers,
            send_exemplars,
            send_native_histograms,
            message,
            round_robin_dns,
            failed_request_logging,
            identity: identity?,
        })
    }

    pub(crate) fn resolve_paths(&mut self, dir: &Path) {
        // Files of cloud identities stay as written, relative to the working directory, as upstream has them.
        self.http.resolve_paths(dir);
    }
}

impl QueueConfig {
    fn read(node: &Node, faults: &mut Faults) -> Result<QueueConfig, ConfigError> {
        let zero = node.is_null();
        let mut fields = Fields::open(node, "config.QueueConfig", faults);
        // Upstream takes a section that is there but empty for zeros, not for the defaults.
        let defaults = QueueConfig::default();
        let mut count = |name: &str, default: u64| match fields.int(name, faults) {
            None if zero => 0,
            None => i64::try_from(default).unwrap_or(i64::MAX),
            Some(value) => value,
        };
        let max_shards = count("max_shards", defaults.max_shards);
        let min_shards = count("min_shards", defaults.min_shards);
        let max_samples_per_send = count("max_samples_per_send", defaults.max_samples_per_send);
        let capacity = count("capacity", defaults.capacity);
        let mut time = |name: &str, default: i64| {
            Ok::<i64, ConfigError>(fields.duration(name, faults)?.unwrap_or(default))
        };
        let batch_send_deadline = time("batch_send_deadline", defaults.batch_send_deadline)?;
        let min_backoff = time("min_backoff", defaults.min_backoff)?;
        let max_backoff = time("max_backoff", defaults.max_backoff)?;
        let sample_age_limit = time("sample_age_limit", 0)?;
        let retry_on_http_429 = fields.bool("retry_on_http_429", faults).unwrap_or(false);
        fields.close_sound(faults)?;
        let positive = |name: &str, value: i64| match u64::try_from(value) {
            Ok(value) if value > 0 => Ok(value),
            _ => Err(ConfigError::at(
                node.line,
                format!("remote write queue {name} must be positive"),
            )),
        };
        let queue = QueueConfig {
            max_shards: positive("max_shards", max_shards)?,
            min_shards: positive("min_shards", min_shards)?,
            max_samples_per_send: max_samples_per_send.try_into().unwrap_or(0),
            capacity: capacity.try_into().unwrap_or(0),
            batch_send_deadline,
            min_backoff,
            max_backoff,
            sample_age_limit,
            retry_on_http_429,
        };
        if queue.min_shards > queue.max_shards {
            return Err(ConfigError::at(
                node.line,
                "remote write queue min_shards must not be greater than max_shards",
            ));
        }
        positive("max_samples_per_send", max_samples_per_send)?;
        positive("capacity", capacity)?;
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
        let mut fields = Fields::open(node, "config.MetadataConfig", faults);
        let defaults = MetadataConfig::default();
        let metadata = MetadataConfig {
            // Upstream takes a section that is there but empty for zeros, not for the defaults.
            send: fields.bool("send", faults).unwrap_or(!node.is_null()),
            send_interval: fields
                .duration("send_interval", faults)?
                .unwrap_or(defaults.send_interval),
            max_samples_per_send: fields
                .int("max_samples_per_send", faults)
                .and_then(|n| u64::try_from(n).ok().filter(|n| *n > 0))
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
        let url = fields.string("url", faults);
        let url = checked_url(url, node.line)?;
        let headers = take_headers(&mut fields, AUTHORIZATION, faults);
        let http = HttpClientConfig::take(&mut fields, faults);
        let mut config = RemoteReadConfig {
            timeout: fields.duration("remote_timeout", faults)?.unwrap_or(60_000),
            name: fields.string("name", faults).unwrap_or_default(),
            read_recent: fields.bool("read_recent", faults).unwrap_or(false),
            required_matchers: read_labels(&mut fields, "required_matchers", faults)?,
            filter_external_labels: fields
                .bool("filter_external_labels", faults)
                .unwrap_or(true),
            chunked_read_limit: fields
                .whole("chunked_read_limit", "uint64", faults)
                .filter(|n| *n > 0)
                .unwrap_or(50_000_000),
            url: String::new(),
            headers: Vec::new(),
            http: HttpClientConfig::default(),
        };
        fields.close_sound(faults)?;
        config.url =
            url.ok_or_else(|| ConfigError::at(node.line, "url for remote_read is empty"))?;
        config.headers = headers?;
        config.http = http?;
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
                format!(
                    "found multiple {what} configs with job name {}",
                    go_quote(name)
                ),
            ));
        }
    }
    Ok(())
}
