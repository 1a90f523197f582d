//! Asking a target for its page.

use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::time::Duration;

use configfile::scrape::{NameEscaping, ScrapeConfig, ScrapeProtocol};
use exposition::negotiation::accept_header;
use exposition::{Escaping, Protocol};
use flate2::write::GzDecoder;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use net::dials::Dials;
use net::http_client::{ClientError, HttpClient};
use parking_lot::Mutex;
use thiserror::Error;

/// Why there is no page.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FetchError {
    /// No connection, no answer in time, or something in between; the text tells.
    #[error("{0}")]
    Transport(String),
    /// The timeout has passed.
    #[error("Get {url:?}: context deadline exceeded")]
    Timeout {
        /// What was asked for.
        url: String,
    },
    /// An answer other than 200.
    #[error("server returned HTTP status {0}")]
    Status(String),
    /// More bytes than allowed.
    #[error("body size limit exceeded")]
    BodyTooLarge,
    /// What claims to be gzip is not.
    #[error("gzip: {0}")]
    Gzip(String),
}

/// A page, decompressed.
#[derive(Debug, Default)]
pub struct Page {
    /// The `Content-Type` header, empty when absent.
    pub content_type: String,
    /// The bytes.
    pub body: Vec<u8>,
}

/// A page to come.
pub type Fetching<'a> = Pin<Box<dyn Future<Output = Result<Page, FetchError>> + Send + 'a>>;

/// Gets pages; the real one speaks HTTP, tests make them up.
pub trait Fetch: Send + Sync {
    /// Gets `url` within `timeout`; `buffer` is taken for the body.
    fn fetch<'a>(&'a self, url: &'a str, timeout: Duration, buffer: Vec<u8>) -> Fetching<'a>;
}

/// Gets pages over HTTP as a job configures it.
pub struct HttpFetch {
    client: HttpClient,
    /// What each request says, its timeout excepted.
    headers: HeaderMap,
    /// Bytes after decompression; 0 is no limit.
    body_limit: u64,
}

/// A body beyond this fails even where no limit is configured: 2 GiB are no metrics page, and memory is not endless.
const ABSOLUTE_BODY_LIMIT: u64 = 1 << 30;

const TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

impl HttpFetch {
    /// For the targets of a job.
    pub fn new(
        config: &ScrapeConfig,
        user_agent: &str,
        dials: &Dials,
    ) -> Result<HttpFetch, ClientError> {
        let protocols: Vec<Protocol> = config
            .scrape_protocols
            .iter()
            .filter_map(|protocol| Protocol::parse(protocol.as_str()))
            .collect();
        let escaping = match config.name_escaping {
            NameEscaping::AllowUtf8 => Escaping::AllowUtf8,
            NameEscaping::Underscores => Escaping::Underscores,
            NameEscaping::Dots => Escaping::Dots,
            NameEscaping::Values => Escaping::Values,
        };
        let encoding = if config.enable_compression {
            "gzip"
        } else {
            "identity"
        };
        let accept = HeaderValue::from_str(&accept_header(&protocols, escaping))
            .map_err(|e| ClientError::Invalid(e.to_string()))?;
        let headers = HeaderMap::from_iter([
            (ACCEPT, accept),
            (ACCEPT_ENCODING, HeaderValue::from_static(encoding)),
        ]);
        Ok(HttpFetch {
            client: HttpClient::counted(&config.http, user_agent, dials)?,
            headers,
            body_limit: config.limits.body_size,
        })
    }

    async fn get(
        &self,
        url: &str,
        timeout: Duration,
        mut body: Vec<u8>,
    ) -> Result<Page, FetchError> {
        body.clear();
        let mut headers = self.headers.clone();
        let seconds = model::number::format_float(timeout.as_secs_f64());
        if let Ok(seconds) = HeaderValue::from_str(&seconds) {
            headers.insert(TIMEOUT, seconds);
        }
        let transport = |e: net::http_client::FetchError| describe(url, e);
        let mut response = self.client.fetch(url, headers).await.map_err(transport)?;
        let status = response.status();
        if status.as_u16() != 200 {
            let reason = status.canonical_reason().unwrap_or("");
            return Err(FetchError::Status(
                format!("{} {reason}", status.as_u16()).trim_end().into(),
            ));
        }
        let content_type = response.header("content-type").to_string();
        let limit = if self.body_limit == 0 {
            ABSOLUTE_BODY_LIMIT
        } else {
            self.body_limit
        };
        let sink = Limited { body, limit };
        let body = if response
            .header("content-encoding")
            .eq_ignore_ascii_case("gzip")
        {
            let mut decoder = GzDecoder::new(sink);
            let gzip = |e: std::io::Error| match e.kind() {
                std::io::ErrorKind::QuotaExceeded => FetchError::BodyTooLarge,
                _ => FetchError::Gzip(e.to_string()),
            };
            while let Some(part) = response.chunk().await.map_err(transport)? {
                decoder.write_all(&part).map_err(gzip)?;
            }
            decoder.finish().map_err(gzip)?.body
        } else {
            let mut sink = sink;
            while let Some(part) = response.chunk().await.map_err(transport)? {
                sink.write_all(&part)
                    .map_err(|_| FetchError::BodyTooLarge)?;
            }
            sink.body
        };
        Ok(Page { content_type, body })
    }
}

impl Fetch for HttpFetch {
    fn fetch<'a>(&'a self, url: &'a str, timeout: Duration, buffer: Vec<u8>) -> Fetching<'a> {
        Box::pin(async move {
            match tokio::time::timeout(timeout, self.get(url, timeout, buffer)).await {
                Ok(result) => result,
                Err(_) => Err(FetchError::Timeout {
                    url: url.to_string(),
                }),
            }
        })
    }
}

/// Transport errors in the words that Go's client uses where people know them.
fn describe(url: &str, error: net::http_client::FetchError) -> FetchError {
    if let net::http_client::FetchError::Client(error) = error {
        return FetchError::Transport(error.to_string());
    }
    // The innermost message says what happened.
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let what = cause.to_string();
    let what = what
        .split(" (os error")
        .next()
        .unwrap_or(&what)
        .to_lowercase();
    FetchError::Transport(format!("Get {url:?}: {what}"))
}

/// Collects bytes up to a limit; the limit itself is already too much, as upstream counts.
struct Limited {
    body: Vec<u8>,
    limit: u64,
}

impl std::io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if (self.body.len() + bytes.len()) as u64 >= self.limit {
            return Err(std::io::ErrorKind::QuotaExceeded.into());
        }
        self.body.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Body buffers, shared by all targets: as many as there are scrapes at one time, not as many as there are targets.
#[derive(Default)]
pub struct Buffers(Mutex<Vec<Vec<u8>>>);

/// A few buffers cover the scrapes that overlap; a huge one would hold its memory for ever.
const KEPT_BUFFERS: usize = 8;
const KEPT_CAPACITY: usize = 4 << 20;

impl Buffers {
    /// An empty buffer, with room if one is at hand.
    pub fn take(&self) -> Vec<u8> {
        self.0.lock().pop().unwrap_or_default()
    }

    /// Gives a buffer back.
    pub fn give(&self, mut buffer: Vec<u8>) {
        buffer.clear();
        let mut kept = self.0.lock();
        if kept.len() < KEPT_BUFFERS && buffer.capacity() <= KEPT_CAPACITY {
            kept.push(buffer);
        }
    }
}

/// What a body without a usable content type is taken for.
pub fn fallback(protocol: Option<ScrapeProtocol>) -> Option<Protocol> {
    protocol.and_then(|protocol| Protocol::parse(protocol.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    /// Answers one request with the given bytes and keeps the connection open for `hold`.
    async fn answer(reply: Vec<u8>, hold: Duration) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let url = format!("http://{}/metrics", listener.local_addr().expect("address"));
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("a client");
            let mut request = vec![0; 4096];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&reply).await;
            tokio::time::sleep(hold).await;
        });
        url
    }

    fn fetcher(job: &str) -> HttpFetch {
        let text = format!("scrape_configs:\n- job_name: j\n{job}");
        let config = configfile::Config::parse(&text, &|_| None).expect("loads");
        HttpFetch::new(&config.scrape_configs[0], "test", &Dials::default()).expect("builds")
    }

    async fn fetch(job: &str, reply: Vec<u8>) -> Result<Page, FetchError> {
        let url = answer(reply, Duration::from_secs(5)).await;
        fetcher(job)
            .fetch(&url, Duration::from_millis(500), Vec::new())
            .await
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).expect("in memory");
        encoder.finish().expect("in memory")
    }

    fn reply(headers: &str, body: &[u8]) -> Vec<u8> {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n{headers}\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    }

    #[tokio::test]
    async fn reads_plain_and_compressed_bodies() {
        let page = fetch("", reply("content-type: text/plain\r\n", b"a 1\n"))
            .await
            .expect("a page");
        assert_eq!(
            (page.content_type.as_str(), &page.body[..]),
            ("text/plain", &b"a 1\n"[..])
        );
        let page = fetch("", reply("content-encoding: gzip\r\n", &gzip(b"b 2\n")))
            .await
            .expect("a page");
        assert_eq!(
            (page.content_type.as_str(), &page.body[..]),
            ("", &b"b 2\n"[..])
        );
    }

    #[tokio::test]
    async fn failures_tell_what_happened() {
        let status = fetch(
            "",
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n".to_vec(),
        )
        .await;
        assert_eq!(
            status.expect_err("503").to_string(),
            "server returned HTTP status 503 Service Unavailable"
        );
        let slow = fetch(
            "",
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na 1".to_vec(),
        )
        .await;
        assert!(matches!(slow, Err(FetchError::Timeout { .. })));
        let limit = "  body_size_limit: 100B\n";
        let bomb = fetch(
            limit,
            reply("content-encoding: gzip\r\n", &gzip(&[b'a'; 100_000])),
        )
        .await;
        assert_eq!(bomb.expect_err("too large"), FetchError::BodyTooLarge);
        let large = fetch(limit, reply("", &[b'a'; 100])).await;
        assert_eq!(large.expect_err("too large"), FetchError::BodyTooLarge);
        let torn = fetch(
            "",
            reply("content-encoding: gzip\r\n", &gzip(b"b 2\n")[..12]),
        )
        .await;
        assert!(matches!(torn, Err(FetchError::Gzip(_))));
        let refused = fetcher("")
            .fetch("http://127.0.0.1:1/", Duration::from_secs(5), Vec::new())
            .await;
        let refused = refused.expect_err("nobody listens").to_string();
        assert_eq!(refused, "Get \"http://127.0.0.1:1/\": connection refused");
    }
}
