//! One request to a remote server, and what its answer means.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cloud::{CloudClient, SendError};
use configfile::remote::{RemoteWriteConfig, WriteMessage};
use env::Clock;
use env::instruments::Counter;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use net::transport_error::with_causes;
use parking_lot::RwLock;

use crate::backoff::Backoff;
use crate::http_date::retry_after;
use crate::metrics::QueueMetrics;

/// Bytes of an answer that are read: enough to say what was wrong.
const ANSWER_BYTES: usize = 1024;

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server has it.
    Done,
    /// The server does not have it, and may take it later.
    Retry {
        /// When, if it said so.
        after: Option<Duration>,
        /// Why not.
        error: String,
    },
    /// The server will never take it.
    Refused {
        /// Whether the server found fault with the samples (400).
        samples: bool,
        /// Why not.
        error: String,
    },
}

/// Sends requests to one server.
pub struct Sender {
    /// The queue's name.
    pub name: String,
    /// The URL without secrets.
    pub shown_url: String,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// What is counted.
    pub metrics: QueueMetrics,
    /// The queue's settings.
    pub config: RemoteWriteConfig,
    client: RwLock<CloudClient>,
}

impl Sender {
    /// For a queue.
    pub fn new(
        name: String,
        config: RemoteWriteConfig,
        client: CloudClient,
        clock: Arc<dyn Clock>,
        metrics: QueueMetrics,
    ) -> Sender {
        Sender {
            shown_url: configfile::secret::redact_url(&config.url),
            name,
            clock,
            metrics,
            config,
            client: RwLock::new(client),
        }
    }

    /// Uses another client from the next request on.
    pub fn set_client(&self, client: CloudClient) {
        *self.client.write() = client;
    }

    /// Waits between tries, as configured.
    pub fn backoff(&self) -> Backoff {
        let queue = &self.config.queue;
        let ms = |ms: i64| Duration::from_millis(u64::try_from(ms).unwrap_or(0));
        Backoff::new(ms(queue.min_backoff), ms(queue.max_backoff))
    }

    /// Sends a compressed message. `attempt` counts tries of the same message from 0.
    pub async fn post(&self, body: &Bytes, bytes: &Counter, attempt: u32) -> Outcome {
        bytes.add(body.len() as u64);
        let client = self.client.read().clone();
        let body = body.clone();
        post(&client, &self.config, self.clock.now(), body, attempt).await
    }
}

/// A message as it travels.
pub fn compress(message: &[u8]) -> Result<Bytes, String> {
    let compressed = snap::raw::Encoder::new().compress_vec(message);
    compressed
        .map(Bytes::from)
        .map_err(|error| error.to_string())
}

/// Sends one request with a compressed message. `attempt` counts tries of the same message from 0.
pub async fn post(
    client: &CloudClient,
    config: &RemoteWriteConfig,
    now: i64,
    body: Bytes,
    attempt: u32,
) -> Outcome {
    let request = match client.post(&config.url).await {
        Ok(request) => request,
        // A file with credentials that is not there now may be there later.
        Err(error) => {
            return Outcome::Retry {
                after: None,
                error: error.to_string(),
            };
        }
    };
    let second = config.message == WriteMessage::V2;
    let (kind, version) = match config.message {
        WriteMessage::V1 => ("application/x-protobuf", "0.1.0"),
        WriteMessage::V2 => (
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "2.0.0",
        ),
    };
    let timeout = u64::try_from(config.timeout).unwrap_or(0);
    let mut request = request
        .header("Content-Encoding", "snappy")
        .header("Content-Type", kind)
        .header("X-Prometheus-Remote-Write-Version", version)
        .timeout(Duration::from_millis(timeout))
        .body(body);
    if attempt > 0 {
        request = request.header("Retry-Attempt", attempt.to_string());
    }
    // Configured headers take the place of those of this protocol, as upstream's do.
    let configured = config.headers.iter().filter_map(|(name, value)| {
        Some((
            HeaderName::try_from(name).ok()?,
            HeaderValue::try_from(value).ok()?,
        ))
    });
    request = request.headers(configured.collect::<HeaderMap>());
    let mut response = match client.send(request).await {
        Ok(response) => response,
        // Who gives credentials out may be back later, as the server itself.
        Err(SendError::Identity(error)) => {
            return Outcome::Retry {
                after: None,
                error: error.to_string(),
            };
        }
        Err(SendError::Transport(error)) => {
            return Outcome::Retry {
                after: None,
                error: describe(&error),
            };
        }
    };
    let status = response.status();
    let header = |name: &str| {
        let value = response.headers().get(name)?;
        value.to_str().ok().map(str::to_string)
    };
    if status.is_success() {
        let written: u64 = ["samples", "histograms", "exemplars"]
            .iter()
            .filter_map(|kind| header(&format!("x-prometheus-remote-write-{kind}-written")))
            .filter_map(|count| count.parse::<u64>().ok())
            .sum();
        if second && written == 0 {
            return Outcome::Refused {
                samples: false,
                error: "sent v2 request with data, but the answer says that nothing was written: the server may not speak remote write 2.0 (protobuf_message)".into(),
            };
        }
        return Outcome::Done;
    }
    let after = header("retry-after").and_then(|v| retry_after(&v, now));
    let mut said = Vec::new();
    while let Ok(Some(part)) = response.chunk().await {
        said.extend_from_slice(&part);
        if said.len() >= ANSWER_BYTES {
            said.truncate(ANSWER_BYTES);
            break;
        }
    }
    let error = format!(
        "server returned HTTP status {status}: {}",
        String::from_utf8_lossy(&said).trim_end()
    );
    let code = status.as_u16();
    if status.is_server_error() || (code == 429 && config.queue.retry_on_http_429) {
        return Outcome::Retry { after, error };
    }
    Outcome::Refused {
        samples: code == 400,
        error,
    }
}

/// An error of the transport without the URL, which may hold secrets, and with its causes.
fn describe(error: &net::http_client::TransportError) -> String {
    let first = match error.is_timeout() {
        true => "context deadline exceeded",
        false => "request failed",
    };
    match std::error::Error::source(error) {
        Some(cause) => format!("{first}: {}", with_causes(cause)),
        None => first.into(),
    }
}
