//! Asking a target for its page.

use std::future::Future;
use std::io::Write as _;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use configfile::scrape::{NameEscaping, ScrapeConfig, ScrapeProtocol};
use exposition::negotiation::accept_header;
use exposition::{Escaping, Protocol};
use flate2::write::GzDecoder;
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName, HeaderValue};
use net::dials::Dials;
use net::http_client::{ClientError, HttpClient};
use net::transport_error::describe;
use parking_lot::Mutex;
use thiserror::Error;

use crate::body::{DEFAULT_LIMIT, Limited, Refusal, Room, SHARED_LIMIT, Share};
use crate::body_error::of_body;

/// Why there is no page.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum FetchError {
    /// No connection, no answer in time, or something in between; the text tells.
    #[error("{0}")]
    Transport(String),
    /// The timeout has passed before there was an answer.
    #[error("Get {url:?}: context deadline exceeded")]
    Timeout {
        /// What was asked for.
        url: String,
    },
    /// The timeout has passed while the body came in.
    #[error("context deadline exceeded")]
    BodyTimeout,
    /// The body ends before its end.
    #[error("unexpected EOF")]
    Torn,
    /// An answer other than 200.
    #[error("server returned HTTP status {0}")]
    Status(String),
    /// More bytes than `body_size_limit`.
    #[error("body size limit exceeded")]
    BodyTooLarge,
    /// More bytes than are taken without a limit.
    #[error("body size limit exceeded: without body_size_limit a page may have {} MiB", DEFAULT_LIMIT >> 20)]
    BodyWithoutEnd,
    /// Other pages leave no room.
    #[error("body size limit exceeded: all pages under way together may have {} MiB; set body_size_limit in the jobs of targets that send too much", SHARED_LIMIT >> 20)]
    NoRoom,
    /// What claims to be gzip is not.
    #[error("gzip: {0}")]
    Gzip(String),
}

impl FetchError {
    /// Whether it was for the size of the body.
    pub fn is_too_large(&self) -> bool {
        matches!(
            self,
            FetchError::BodyTooLarge | FetchError::BodyWithoutEnd | FetchError::NoRoom
        )
    }
}

/// A page, decompressed.
#[derive(Debug, Default)]
pub struct Page {
    /// The `Content-Type` header, empty when absent.
    pub content_type: String,
    /// The bytes.
    pub body: Vec<u8>,
    /// What it takes of the memory that pages share, until it has been read.
    pub share: Share,
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
    room: Room,
    /// Whether targets are asked without a proxy.
    direct: bool,
}

const TIMEOUT: HeaderName = HeaderName::from_static("x-prometheus-scrape-timeout-seconds");

impl HttpFetch {
    /// For the targets of a job.
    pub fn new(
        config: &ScrapeConfig,
        user_agent: &str,
        dials: &Dials,
        room: &Room,
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
            room: room.clone(),
            direct: config.http.proxy.is_none(),
        })
    }

    async fn get(
        &self,
        url: &str,
        timeout: Duration,
        mut body: Vec<u8>,
        answered: &AtomicBool,
    ) -> Result<Page, FetchError> {
        body.clear();
        let mut headers = self.headers.clone();
        let seconds = model::number::format_float(timeout.as_secs_f64());
        if let Ok(seconds) = HeaderValue::from_str(&seconds) {
            headers.insert(TIMEOUT, seconds);
        }
        let transport = |e: net::http_client::FetchError| {
            FetchError::Transport(match e {
                net::http_client::FetchError::Client(e) => e.to_string(),
                net::http_client::FetchError::Redirected { url, error } => {
                    describe("Get", &url, &error, self.direct)
                }
                e => describe("Get", url, &e, self.direct),
            })
        };
        let mut response = self.client.fetch(url, headers).await.map_err(transport)?;
        answered.store(true, Ordering::Relaxed);
        let status = response.status();
        if status.as_u16() != 200 {
            let reason = response.reason();
            return Err(FetchError::Status(format!("{} {reason}", status.as_u16())));
        }
        let content_type = response.header("content-type").to_string();
        let gzip = response
            .header("content-encoding")
            .eq_ignore_ascii_case("gzip");
        let mut sink = Sink::new(gzip, Limited::new(body, self.body_limit, &self.room));
        while let Some(part) = response.chunk().await.map_err(|e| of_body(&e))? {
            sink.take(&part)?;
        }
        let (body, share) = sink.finish()?.finish();
        Ok(Page {
            content_type,
            body,
            share,
        })
    }
}

/// Where a body goes, decompressed on the way where it has to be.
enum Sink {
    Plain(Limited),
    Gzip(Box<GzDecoder<Limited>>),
}

impl Sink {
    fn new(gzip: bool, body: Limited) -> Sink {
        match gzip {
            true => Sink::Gzip(Box::new(GzDecoder::new(body))),
            false => Sink::Plain(body),
        }
    }

    fn take(&mut self, part: &[u8]) -> Result<(), FetchError> {
        match self {
            Sink::Plain(body) => body.write_all(part).map_err(|e| fault(e, body.refusal())),
            Sink::Gzip(decoder) => decoder
                .write_all(part)
                .map_err(|e| fault(e, decoder.get_ref().refusal())),
        }
    }

    fn finish(self) -> Result<Limited, FetchError> {
        match self {
            Sink::Plain(body) => Ok(body),
            Sink::Gzip(mut decoder) => {
                let finished = decoder.try_finish();
                finished.map_err(|e| fault(e, decoder.get_ref().refusal()))?;
                decoder.finish().map_err(|e| fault(e, None))
            }
        }
    }
}

/// Why a body could not be written on: it was refused, or else it is not what it claims to be.
fn fault(error: std::io::Error, refusal: Option<Refusal>) -> FetchError {
    match refusal {
        Some(Refusal::Limit) => FetchError::BodyTooLarge,
        Some(Refusal::Default) => FetchError::BodyWithoutEnd,
        Some(Refusal::Shared) => FetchError::NoRoom,
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => FetchError::Torn,
        None => FetchError::Gzip(match error.to_string() {
            text if text.contains("header") => "invalid header".into(),
            text => text,
        }),
    }
}

impl Fetch for HttpFetch {
    fn fetch<'a>(&'a self, url: &'a str, timeout: Duration, buffer: Vec<u8>) -> Fetching<'a> {
        Box::pin(async move {
            let answered = AtomicBool::new(false);
            match tokio::time::timeout(timeout, self.get(url, timeout, buffer, &answered)).await {
                Ok(result) => result,
                Err(_) if answered.load(Ordering::Relaxed) => Err(FetchError::BodyTimeout),
                Err(_) => Err(FetchError::Timeout {
                    url: url.to_string(),
                }),
            }
        })
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
        HttpFetch::new(
            &config.scrape_configs[0],
            "test",
            &Dials::default(),
            &Room::default(),
        )
        .expect("builds")
    }

    async fn fetch(job: &str, reply: Vec<u8>) -> Result<Page, FetchError> {
        fetch_within(job, reply, Duration::from_secs(30)).await
    }

    async fn fetch_within(
        job: &str,
        reply: Vec<u8>,
        timeout: Duration,
    ) -> Result<Page, FetchError> {
        let url = answer(reply, Duration::from_secs(60)).await;
        fetcher(job).fetch(&url, timeout, Vec::new()).await
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
        let slow = fetch_within(
            "",
            b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\na 1".to_vec(),
            Duration::from_millis(500),
        )
        .await;
        assert!(matches!(slow, Err(FetchError::BodyTimeout)));
        let silent = fetch_within("", Vec::new(), Duration::from_millis(300)).await;
        assert!(matches!(silent, Err(FetchError::Timeout { .. })));
        let odd = fetch(
            "",
            b"HTTP/1.1 599 No Idea\r\ncontent-length: 0\r\n\r\n".to_vec(),
        )
        .await;
        assert_eq!(
            odd.expect_err("599").to_string(),
            "server returned HTTP status 599 No Idea"
        );
        let none = fetch("", b"HTTP/1.1 599\r\ncontent-length: 0\r\n\r\n".to_vec()).await;
        assert_eq!(
            none.expect_err("599").to_string(),
            "server returned HTTP status 599 "
        );
        let limit = "  body_size_limit: 100B\n";
        let bomb = fetch(
            limit,
            reply("content-encoding: gzip\r\n", &gzip(&[b'a'; 100_000])),
        )
        .await;
        assert_eq!(bomb.expect_err("too large"), FetchError::BodyTooLarge);
        let bomb = fetch(
            "",
            reply("content-encoding: gzip\r\n", &gzip(&vec![b'a'; 300 << 20])),
        )
        .await;
        assert_eq!(
            bomb.expect_err("too large").to_string(),
            "body size limit exceeded: without body_size_limit a page may have 256 MiB"
        );
        let large = fetch(limit, reply("", &[b'a'; 100])).await;
        assert_eq!(large.expect_err("too large"), FetchError::BodyTooLarge);
        let torn = fetch(
            "",
            reply("content-encoding: gzip\r\n", &gzip(b"b 2\n")[..12]),
        )
        .await;
        assert_eq!(torn.expect_err("torn").to_string(), "unexpected EOF");
        let plain = fetch("", reply("content-encoding: gzip\r\n", b"it is not that")).await;
        assert_eq!(
            plain.expect_err("no gzip").to_string(),
            "gzip: invalid header"
        );
        let refused = fetcher("")
            .fetch("http://127.0.0.1:1/", Duration::from_secs(5), Vec::new())
            .await;
        let refused = refused.expect_err("nobody listens").to_string();
        assert_eq!(
            refused,
            "Get \"http://127.0.0.1:1/\": dial tcp 127.0.0.1:1: connect: connection refused"
        );
        let nameless = fetcher("")
            .fetch(
                "http://nobody.invalid:9/",
                Duration::from_secs(5),
                Vec::new(),
            )
            .await;
        let nameless = nameless.expect_err("no such name").to_string();
        assert!(
            nameless
                .starts_with("Get \"http://nobody.invalid:9/\": dial tcp: lookup nobody.invalid: "),
            "{nameless}"
        );
    }
}
