//! Other servers' samples in queries: what they have is put beside what the local storage has.

use std::sync::Arc;
use std::time::Duration;

use configfile::remote::RemoteReadConfig;
use env::Registry;
use env::instruments::{Counter, Gauge, Histogram, Vector};
use model::{Labels, MatchOp, Matcher};
use net::dials::Dials;
use net::http_client::HttpClient;
use net::transport_error::with_causes;
use parking_lot::RwLock;
use storage::{
    Answer, Querier, Queryable, ReadySeries, SelectHints, Series, SeriesSet, StorageError,
    TimeRange,
};
use wire::remote_read::{
    LabelMatcher, ReadHints, ReadQuery, ReadRequest, SAMPLES, STREAMED_XOR_CHUNKS,
};

use crate::read_answer::{Frames, read_samples};

/// The largest answer that is taken, compressed.
const MAX_ANSWER: usize = 1 << 30;

/// Metrics of all servers that are asked.
#[derive(Clone)]
pub struct ReadMetrics {
    queries_total: Vector<Counter>,
    queries: Vector<Gauge>,
    seconds: Vector<Histogram>,
    dials: Dials,
}

impl ReadMetrics {
    /// Registers everything.
    pub fn new(registry: &Registry) -> ReadMetrics {
        ReadMetrics {
            queries_total: registry.counters(
                "prometheus_remote_read_client_queries_total",
                "The total number of remote read queries.",
                &["remote_name", "url", "code", "response_type"],
            ),
            queries: registry.gauges(
                "prometheus_remote_read_client_queries",
                "The number of in-flight remote read queries.",
                &["remote_name", "url"],
            ),
            seconds: registry.native_histograms(
                "prometheus_remote_read_client_request_duration_seconds",
                "Histogram of the latency for remote read requests.",
                &["remote_name", "url", "response_type"],
                &[
                    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0,
                ],
            ),
            dials: Dials::of(registry, "remote_storage_read_client"),
        }
    }
}

/// A server that is asked.
pub struct Remote {
    config: RemoteReadConfig,
    name: String,
    shown: String,
    client: HttpClient,
    external: Labels,
    metrics: ReadMetrics,
}

/// Builds the servers of a configuration, or none.
pub fn prepare(
    configs: &[RemoteReadConfig],
    external: &Labels,
    user_agent: &str,
    metrics: &ReadMetrics,
) -> Result<Vec<Arc<Remote>>, String> {
    let mut remotes: Vec<Arc<Remote>> = Vec::new();
    for config in configs {
        let shown = configfile::secret::redact_url(&config.url);
        if remotes.iter().any(|known| known.config == *config) {
            return Err(format!(
                "duplicate remote read configs are not allowed, found duplicate for URL: {shown}"
            ));
        }
        let client = HttpClient::counted(&config.http, user_agent, &metrics.dials)
            .map_err(|e| format!("remote read {shown}: {e}"))?;
        remotes.push(Arc::new(Remote {
            name: crate::write::short_name(
                &config.name,
                &configfile::print::print_remote_read_config(config),
            ),
            config: config.clone(),
            shown,
            client,
            external: external.clone(),
            metrics: metrics.clone(),
        }));
    }
    Ok(remotes)
}

impl Remote {
    /// The range to ask for, and the matchers; `None` where the server is not asked.
    fn question(
        &self,
        range: TimeRange,
        matchers: &[Matcher],
        local_start: Option<i64>,
    ) -> Option<(TimeRange, Vec<LabelMatcher>)> {
        let equal = |name: &str, value: &str| {
            matchers
                .iter()
                .any(|m| m.op() == MatchOp::Equal && m.name() == name && m.value() == value)
        };
        let required = &self.config.required_matchers;
        if !required.iter().all(|(name, value)| equal(name, value)) {
            return None;
        }
        let mut range = range;
        if let Some(start) = local_start.filter(|_| !self.config.read_recent) {
            if range.min >= start {
                return None;
            }
            range.max = range.max.min(start);
        }
        let mut asked: Vec<LabelMatcher> = matchers
            .iter()
            .map(|m| LabelMatcher {
                kind: match m.op() {
                    MatchOp::Equal => 0,
                    MatchOp::NotEqual => 1,
                    MatchOp::Regex => 2,
                    MatchOp::NotRegex => 3,
                },
                name: m.name().to_string(),
                value: m.value().to_string(),
            })
            .collect();
        for (name, value) in self.added(matchers) {
            asked.push(LabelMatcher {
                kind: 0,
                name: name.to_string(),
                value: value.to_string(),
            });
        }
        Some((range, asked))
    }

    /// External labels that are asked for although the query does not name them.
    fn added<'a>(&'a self, matchers: &'a [Matcher]) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.external
            .iter()
            .filter(|_| self.config.filter_external_labels)
            .filter(move |(name, _)| !matchers.iter().any(|m| m.name() == *name))
    }

    async fn select(
        &self,
        range: TimeRange,
        asked: Vec<LabelMatcher>,
        hints: &SelectHints,
    ) -> Result<Vec<Series>, String> {
        let both = [self.name.as_str(), self.shown.as_str()];
        let running = self.metrics.queries.with(&both);
        running.add(1.0);
        let began = std::time::Instant::now();
        let mut kind = "sampled";
        let mut code = String::new();
        let result = self.ask(range, asked, hints, &mut code, &mut kind).await;
        running.add(-1.0);
        let took = began.elapsed().as_secs_f64();
        self.metrics
            .seconds
            .with(&[both[0], both[1], kind])
            .observe(took);
        self.metrics
            .queries_total
            .with(&[both[0], both[1], &code, kind])
            .inc();
        result.map_err(|error| format!("remote_read: {error}"))
    }

    async fn ask(
        &self,
        range: TimeRange,
        matchers: Vec<LabelMatcher>,
        hints: &SelectHints,
        code: &mut String,
        kind: &mut &'static str,
    ) -> Result<Vec<Series>, String> {
        let request = ReadRequest {
            queries: vec![ReadQuery {
                start: range.min,
                end: range.max,
                matchers,
                hints: Some(ReadHints {
                    step: hints.step,
                    func: hints.func.clone().unwrap_or_default(),
                    start: hints.start,
                    end: hints.end,
                    grouping: hints.grouping.clone(),
                    by: hints.by,
                    range: hints.range,
                }),
            }],
            accepted: vec![STREAMED_XOR_CHUNKS, SAMPLES],
        };
        let mut message = Vec::new();
        request.encode(&mut message);
        let body = snap::raw::Encoder::new()
            .compress_vec(&message)
            .map_err(|e| e.to_string())?;
        let mut request = self
            .client
            .post(&self.config.url)
            .await
            .map_err(|e| e.to_string())?
            .header("Content-Encoding", "snappy")
            .header("Accept-Encoding", "snappy")
            .header("Content-Type", "application/x-protobuf")
            .header("X-Prometheus-Remote-Read-Version", "0.1.0")
            .timeout(Duration::from_millis(
                u64::try_from(self.config.timeout).unwrap_or(0),
            ))
            .body(body);
        for (name, value) in &self.config.headers {
            request = request.header(name, value);
        }
        let transport = |e: net::http_client::TransportError| {
            // The URL may hold secrets.
            let why = with_causes(&e.without_url());
            format!("error sending request to {}: {why}", self.shown)
        };
        let mut response = request.send().await.map_err(transport)?;
        let status = response.status();
        *code = status.as_u16().to_string();
        let content_type = response
            .headers()
            .get("content-type")
            .and_then(|value| value.to_str().ok())
            .unwrap_or("")
            .to_string();
        if !status.is_success() {
            let mut said = Vec::new();
            while let Ok(Some(part)) = response.chunk().await {
                said.extend_from_slice(&part);
                if said.len() > 1024 {
                    said.truncate(1024);
                    break;
                }
            }
            let said = String::from_utf8_lossy(&said);
            return Err(format!(
                "remote server {} returned http status {status}: {}",
                self.shown,
                said.trim_end()
            ));
        }
        let streamed = content_type.starts_with("application/x-streamed-protobuf");
        if streamed {
            *kind = "chunked";
        } else if !content_type.starts_with("application/x-protobuf") {
            return Err(format!(
                "not supported remote read content type: {content_type}"
            ));
        }
        let mut frames = Frames::new(self.config.chunked_read_limit);
        let (mut whole, mut length) = (Vec::new(), 0);
        while let Some(part) = response.chunk().await.map_err(transport)? {
            length += part.len();
            if length > MAX_ANSWER {
                return Err(format!("the answer is longer than {MAX_ANSWER} bytes"));
            }
            if streamed {
                frames.push(&part)?;
            } else {
                whole.extend_from_slice(&part);
            }
        }
        if streamed {
            frames.finish()
        } else {
            read_samples(&whole)
        }
    }
}

/// The local storage with other servers beside it.
pub struct ReadThrough {
    local: Arc<dyn Queryable>,
    remotes: RwLock<Vec<Arc<Remote>>>,
    /// From when on the local storage has everything, unix milliseconds.
    local_start: Box<dyn Fn() -> Option<i64> + Send + Sync>,
}

impl ReadThrough {
    /// Asks nobody else yet.
    pub fn new(
        local: Arc<dyn Queryable>,
        local_start: impl Fn() -> Option<i64> + Send + Sync + 'static,
    ) -> ReadThrough {
        ReadThrough {
            local,
            remotes: RwLock::default(),
            local_start: Box::new(local_start),
        }
    }

    /// Asks these from the next query on.
    pub fn set(&self, remotes: Vec<Arc<Remote>>) {
        *self.remotes.write() = remotes;
    }
}

impl Queryable for ReadThrough {
    /// Must be called, and the querier used, on a thread of the runtime that may block.
    fn querier(&self, range: TimeRange) -> Result<Box<dyn Querier>, StorageError> {
        let local = self.local.querier(range)?;
        let remotes = self.remotes.read().clone();
        if remotes.is_empty() {
            return Ok(local);
        }
        Ok(Box::new(Together {
            local,
            remotes,
            range,
            local_start: (self.local_start)(),
        }))
    }

    /// Nobody knows what other servers have.
    fn at_most(&self, range: TimeRange, matchers: &[Matcher]) -> Option<u64> {
        match self.remotes.read().is_empty() {
            true => self.local.at_most(range, matchers),
            false => None,
        }
    }
}

struct Together {
    local: Box<dyn Querier>,
    remotes: Vec<Arc<Remote>>,
    range: TimeRange,
    local_start: Option<i64>,
}

impl Querier for Together {
    fn select(
        &self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<Box<dyn SeriesSet>, StorageError> {
        let mut range = self.range;
        if hints.start != 0 || hints.end != 0 {
            range.min = range.min.max(hints.start);
            range.max = range.max.min(hints.end);
        }
        let questions: Vec<_> = self
            .remotes
            .iter()
            .filter_map(|remote| {
                let (range, asked) = remote.question(range, matchers, self.local_start)?;
                Some((remote.clone(), range, asked))
            })
            .collect();
        let mut sets: Vec<Box<dyn SeriesSet>> = vec![self.local.select(matchers, hints)?];
        if questions.is_empty() {
            return Ok(sets.swap_remove(0));
        }
        let runtime = tokio::runtime::Handle::try_current()
            .map_err(|e| StorageError::Other(e.to_string()))?;
        let mut warnings = Vec::new();
        for (remote, range, asked) in questions {
            match runtime.block_on(remote.select(range, asked, hints)) {
                Ok(series) => {
                    let added: Vec<&str> = remote.added(matchers).map(|(name, _)| name).collect();
                    let mut series: Vec<Series> = series
                        .into_iter()
                        .map(|mut one| {
                            if !added.is_empty() {
                                one.labels = one.labels.without(&added);
                            }
                            one
                        })
                        .collect();
                    series.sort_by(|a, b| a.labels.cmp(&b.labels));
                    sets.push(Box::new(ReadySeries::new(series)));
                }
                Err(error) => warnings.push(error),
            }
        }
        Ok(Box::new(storage::merged::MergedSeries::new(sets, warnings)))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Answer<Vec<String>>, StorageError> {
        // The protocol has no question for names and values.
        self.local.label_names(matchers, limit)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        limit: usize,
    ) -> Result<Answer<Vec<String>>, StorageError> {
        self.local.label_values(name, matchers, limit)
    }
}
