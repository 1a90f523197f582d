//! Lists a kind of objects and then follows its changes, for ever: through answers that end, hang, fail or come too late.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use env::{Clock, Random};
use http::StatusCode;
use net::http_client::{Response, TransportError};
use net::transport_error::describe;
use tokio::sync::mpsc;

use super::access::Cluster;
use super::metrics::Metrics;
use super::object::{Kind, Object, Page, WatchEvent, read_event, read_page, read_refusal};
use crate::asker::Asker;

/// Objects on a page of a list.
const PAGE: usize = 500;
/// No page is as long as this, bytes.
const MAX_PAGE: usize = 512 << 20;
/// No object is as long as this, bytes; a cluster's store takes no more than 1.5 MiB.
const MAX_LINE: usize = 32 << 20;
/// As much is read of a refusal, bytes.
const MAX_REFUSAL: usize = 64 << 10;
/// How long a server may take to begin an answer.
const ANSWER: Duration = Duration::from_secs(60);
/// After such a silence a watch is begun anew where it stood: the connection may be dead. A server sends a bookmark about
/// once a minute.
const SILENCE: Duration = Duration::from_secs(180);
/// How long a server is asked to keep a watch, seconds; the same again at most is added by chance.
const WATCH_SECONDS: u64 = 300;
/// The first wait after a failure, and the longest.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(800), Duration::from_secs(30));

/// What to follow.
#[derive(Clone, Debug, PartialEq)]
pub struct Watch {
    /// The kind of objects.
    pub kind: Kind,
    /// Where; empty for everywhere.
    pub namespace: String,
    /// Which, by labels.
    pub label_selector: String,
    /// Which, by fields.
    pub field_selector: String,
}

/// What is told of a kind of objects.
#[derive(Debug)]
pub enum News {
    /// These are all there are.
    Listed(Vec<Object>),
    /// This one is there, new or changed.
    Applied(Object),
    /// This one is gone.
    Deleted(Object),
}

/// Why following stopped where it did.
struct Failure {
    message: String,
    /// The server no longer knows, or never knew, the version to go on from.
    relist: bool,
    /// It has forgotten that version in the course of things, which needs nobody's attention.
    expired: bool,
}

impl Failure {
    fn new(message: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            relist: false,
            expired: false,
        }
    }

    fn status(status: u16, message: &str) -> Failure {
        let code = StatusCode::from_u16(status).ok();
        let reason = code.and_then(|code| code.canonical_reason()).unwrap_or("");
        let told = match message.is_empty() {
            true => String::new(),
            false => format!(": {message}"),
        };
        Failure {
            message: format!("server returned HTTP status {status} {reason}{told}"),
            // Refused for what was asked, so another thing has to be asked.
            relist: (400..500).contains(&status) && status != 429,
            expired: status == 410,
        }
    }
}

/// Follows `watch`, and tells `news` under `index` until nobody listens.
pub async fn follow(
    index: usize,
    watch: Watch,
    cluster: Cluster,
    clock: Arc<dyn Clock>,
    asker: Asker,
    metrics: Metrics,
    news: mpsc::Sender<(usize, News)>,
) {
    let mut follower = Follower {
        path: watch.kind.path(&watch.namespace),
        watch,
        cluster,
        clock,
        metrics,
        random: Random::from_seed(env::system::random_seed()),
        backoff: BACKOFF.0,
        news: (index, news),
    };
    let mut version = None;
    while !follower.news.1.is_closed() {
        let Err(failure) = follower.advance(&mut version).await else {
            continue;
        };
        if failure.relist {
            version = None;
        }
        if failure.expired {
            follower.wait().await;
            continue;
        }
        follower.metrics.failures.inc();
        tracing::error!(
            component = %asker.component,
            discovery = "kubernetes",
            config = %asker.config,
            kind = follower.watch.kind.as_str(),
            namespace = %follower.watch.namespace,
            err = %failure.message,
            "Unable to list or watch"
        );
        follower.wait().await;
    }
}

struct Follower {
    watch: Watch,
    path: String,
    cluster: Cluster,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    random: Random,
    backoff: Duration,
    news: (usize, mpsc::Sender<(usize, News)>),
}

impl Follower {
    /// One list where there is no version to go on from, then one watch.
    async fn advance(&mut self, version: &mut Option<String>) -> Result<(), Failure> {
        let from = match version {
            Some(version) => version,
            None => {
                let (objects, listed) = self.list().await?;
                self.tell(News::Listed(objects)).await;
                version.insert(listed)
            }
        };
        let began = self.clock.monotonic();
        let heard = self.watch(from).await?;
        let took = self.clock.monotonic().saturating_sub(began);
        if took >= BACKOFF.1 {
            // What failed before is over, even where nothing happens that could be told.
            self.backoff = BACKOFF.0;
        } else if !heard {
            // A server that ends watches at once must not be asked at once again.
            self.wait().await;
        }
        Ok(())
    }

    async fn tell(&self, news: News) {
        // Nobody listens: the caller sees it.
        let _ = self.news.1.send((self.news.0, news)).await;
    }

    async fn wait(&mut self) {
        let jitter = 0.5 + self.random.unit();
        self.clock.sleep(self.backoff.mul_f64(jitter)).await;
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
    }

    async fn list(&self) -> Result<(Vec<Object>, String), Failure> {
        let (mut objects, mut next) = (Vec::new(), String::new());
        let limit = PAGE.to_string();
        loop {
            let mut query = vec![("limit", limit.as_str())];
            if !next.is_empty() {
                query.push(("continue", &next));
            }
            let began = self.clock.monotonic();
            let answer = self.ask(&query).await;
            let took = self.clock.monotonic().saturating_sub(began);
            self.metrics.listed(&self.path, took);
            let mut response = answer?;
            let mut body = Vec::new();
            while let Some(part) = self.part(&mut response, ANSWER).await?.flatten() {
                if body.len() + part.as_ref().len() > MAX_PAGE {
                    return Err(Failure::new(format!(
                        "a list is longer than {MAX_PAGE} bytes"
                    )));
                }
                body.extend_from_slice(part.as_ref());
            }
            let page: Page = read_page(self.watch.kind, &body).map_err(Failure::new)?;
            objects.extend(page.objects);
            if page.next.is_empty() {
                return Ok((objects, page.resource_version));
            }
            next = page.next;
        }
    }

    /// Follows from `version` on, and keeps it true, until the server or silence ends it. Whether anything was heard.
    async fn watch(&mut self, version: &mut String) -> Result<bool, Failure> {
        let seconds = (WATCH_SECONDS + self.random.below(WATCH_SECONDS)).to_string();
        let query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("timeoutSeconds", &seconds),
            ("resourceVersion", version),
        ];
        let mut response = self.ask(&query).await?;
        let (mut buffer, mut heard) = (Vec::<u8>::new(), false);
        // Silence and a connection cut short are usual: the watch goes on where it stood.
        while let Ok(Some(Some(part))) = self.part(&mut response, SILENCE).await {
            let mut rest = part.as_ref();
            while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
                buffer.extend_from_slice(&rest[..at]);
                rest = &rest[at + 1..];
                self.take(&buffer, version).await?;
                heard |= !buffer.is_empty();
                buffer.clear();
            }
            if buffer.len() + rest.len() > MAX_LINE {
                return Err(Failure::new(format!(
                    "an object is longer than {MAX_LINE} bytes"
                )));
            }
            buffer.extend_from_slice(rest);
        }
        Ok(heard)
    }

    async fn take(&mut self, line: &[u8], version: &mut String) -> Result<(), Failure> {
        if line.trim_ascii().is_empty() {
            return Ok(());
        }
        // What cannot be read is lost, so all has to be asked for again.
        let event = read_event(self.watch.kind, line).map_err(|message| Failure {
            relist: true,
            ..Failure::new(message)
        })?;
        let (news, at) = match event {
            WatchEvent::Applied(object, at) => (Some(News::Applied(object)), at),
            WatchEvent::Deleted(object, at) => (Some(News::Deleted(object)), at),
            WatchEvent::Bookmark(at) => (None, at),
            WatchEvent::Error(status, message) => return Err(Failure::status(status, &message)),
        };
        self.backoff = BACKOFF.0;
        if let Some(news) = news {
            self.tell(news).await;
        }
        if !at.is_empty() {
            *version = at;
        }
        Ok(())
    }

    async fn ask(&self, query: &[(&str, &str)]) -> Result<Response, Failure> {
        let url = format!("{}{}", self.cluster.url, self.path);
        let request = self.cluster.client.get(&url).await;
        let mut request = request
            .map_err(|e| Failure::new(e.to_string()))?
            .header("Accept", "application/json")
            .query(query);
        for (name, selector) in [
            ("labelSelector", &self.watch.label_selector),
            ("fieldSelector", &self.watch.field_selector),
        ] {
            if !selector.is_empty() {
                request = request.query(&[(name, selector)]);
            }
        }
        let answer = self.within(ANSWER, request.send()).await;
        let status = match &answer {
            Some(Ok(response)) => Some(response.status().as_u16()),
            _ => None,
        };
        self.metrics.request(status);
        let response = answer
            .ok_or_else(|| Failure::new("the server does not answer"))?
            .map_err(|e| self.broken(e))?;
        match response.status().as_u16() {
            200 => Ok(response),
            status => Err(Failure::status(status, &self.refusal(response).await)),
        }
    }

    /// What the server says of a request that it does not grant: who lacks which right, for one.
    async fn refusal(&self, mut response: Response) -> String {
        let mut body = Vec::new();
        while let Ok(Some(Some(part))) = self.part(&mut response, ANSWER).await {
            body.extend_from_slice(part.as_ref());
            if body.len() > MAX_REFUSAL {
                break;
            }
        }
        read_refusal(&body)
    }

    fn broken(&self, error: TransportError) -> Failure {
        let url = format!("{}{}", self.cluster.url, self.path);
        Failure::new(describe(
            "Get",
            &url,
            &error.without_url(),
            self.cluster.direct,
        ))
    }

    /// The next part of an answer: `Ok(None)` after a silence, `Ok(Some(None))` at its end.
    async fn part(
        &self,
        response: &mut Response,
        silence: Duration,
    ) -> Result<Option<Option<impl AsRef<[u8]> + use<>>>, Failure> {
        match self.within(silence, response.chunk()).await {
            None => Ok(None),
            Some(Ok(part)) => Ok(Some(part)),
            Some(Err(error)) => Err(self.broken(error)),
        }
    }

    /// What the future yields, unless it takes longer.
    async fn within<T>(&self, limit: Duration, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            value = future => Some(value),
            () = self.clock.sleep(limit) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use configfile::http_client::HttpClientConfig;
    use env::Registry;
    use env::sim::SimClock;
    use net::http_client::HttpClient;

    fn follower(url: &str) -> Follower {
        let client = HttpClient::new(&HttpClientConfig::default(), "test").expect("a client");
        Follower {
            watch: Watch {
                kind: Kind::Node,
                namespace: String::new(),
                label_selector: String::new(),
                field_selector: String::new(),
            },
            path: Kind::Node.path(""),
            cluster: Cluster {
                url: url.to_string(),
                client,
                direct: true,
                own_namespace: String::new(),
            },
            clock: Arc::new(SimClock::starting_at(0)),
            metrics: Metrics::new(&Registry::new(), Kind::Node),
            random: Random::from_seed(1),
            backoff: BACKOFF.0,
            news: (0, mpsc::channel(1).0),
        }
    }

    async fn failure(url: &str) -> Failure {
        let listed = follower(url).list().await;
        listed.map(|_| ()).expect_err("no list")
    }

    #[tokio::test]
    async fn a_refusal_is_told_in_the_servers_words() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let listener = listener.expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let answer = |uri: http::Uri| async move {
            match uri.path().starts_with("/plain") {
                true => (StatusCode::BAD_GATEWAY, "<html>".to_string()),
                false => (
                    StatusCode::FORBIDDEN,
                    r#"{"kind": "Status", "message": "nodes is forbidden: who are you", "code": 403}"#
                        .to_string(),
                ),
            }
        };
        let app = axum::Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, app).await });
        let refused = failure(&url).await;
        assert_eq!(
            refused.message,
            "server returned HTTP status 403 Forbidden: nodes is forbidden: who are you"
        );
        assert!(refused.relist);
        let broken = failure(&format!("{url}/plain")).await;
        assert_eq!(
            broken.message,
            "server returned HTTP status 502 Bad Gateway"
        );
        assert!(!broken.relist);
    }

    #[tokio::test]
    async fn a_server_that_is_away_is_named() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let address = listener.and_then(|l| l.local_addr()).expect("a port");
        let away = failure(&format!("http://{address}")).await;
        assert_eq!(
            away.message,
            format!(
                "Get \"http://{address}/api/v1/nodes\": dial tcp {address}: connect: connection refused"
            )
        );
    }
}
