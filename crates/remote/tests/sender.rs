//! What the remote write specifications ask of a sender, one row a rule: a sender over a real log, a receiver that answers
//! as it is told and remembers what it got.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use configfile::Config;
use env::system::SystemDisk;
use env::{Clock as _, Registry};
use model::{Exemplar, FloatHistogram, Histogram, Labels, Metadata, MetricType, Span};
use net::http_server::{ServerLimits, serve};
use net::web_gate::WebGate;
use ondisk::log::Compression;
use parking_lot::Mutex;
use remote::{MetadataSource, RemoteWrite, WriteContext};
use storage::{Appendable as _, HistogramSample};
use tsdb::Durability;
use tsdb::agent::Agent;
use tsdb::wal::WalOptions;
use wire::histogram::AnyHistogram;
use wire::remote_write::{read_v1, read_v2};

/// A sample as the receiver saw it.
#[derive(Clone, Debug, PartialEq)]
struct Got {
    labels: String,
    t: i64,
    what: String,
}

#[derive(Clone)]
struct Arrived {
    headers: HeaderMap,
    samples: Vec<Got>,
    metadata: usize,
}

/// What the receiver answers; 204 when nothing is left.
type Script = VecDeque<(u16, Vec<(&'static str, String)>, String)>;

#[derive(Default)]
struct Receiver {
    script: Mutex<Script>,
    arrived: Mutex<Vec<Arrived>>,
    /// Samples of requests that were answered with success.
    taken: Mutex<Vec<Got>>,
    news: tokio::sync::Notify,
}

fn decode(headers: &HeaderMap, body: &[u8]) -> Arrived {
    let message = snap::raw::Decoder::new()
        .decompress_vec(body)
        .expect("snappy block format");
    let kind = headers["content-type"].to_str().expect("text");
    let mut samples = Vec::new();
    let mut visit = |series: &wire::remote_write::Incoming<'_>| {
        assert!(!series.broken_labels);
        assert!(
            series.labels.is_sorted(),
            "labels are sorted: {:?}",
            series.labels
        );
        assert!(series.labels.iter().any(|(name, _)| *name == "__name__"));
        assert!(
            series.samples.is_empty() || series.histograms.is_empty(),
            "samples and histograms do not mix"
        );
        let labels = Labels::from_pairs(series.labels.iter().copied()).to_string();
        let got = |t: i64, what: String| Got {
            labels: labels.clone(),
            t,
            what,
        };
        for (t, value, _) in &series.samples {
            let stale = model::sample::is_stale_nan(*value);
            samples.push(got(
                *t,
                if stale {
                    "stale".into()
                } else {
                    value.to_string()
                },
            ));
        }
        for one in &series.histograms {
            let what = match &one.histogram {
                AnyHistogram::Integer(h) if h.schema == -53 => format!("custom {}", h.count),
                AnyHistogram::Integer(h) => format!("integer {}", h.count),
                AnyHistogram::Float(h) => format!("float {}", h.count),
            };
            samples.push(got(one.t, what));
        }
        for exemplar in &series.exemplars {
            let what = format!("exemplar {:?} {}", exemplar.labels, exemplar.value);
            samples.push(got(exemplar.t, what));
        }
        if let Some(metadata) = &series.metadata {
            samples.push(got(
                0,
                format!("metadata {} {}", metadata.kind.as_str(), metadata.help),
            ));
        }
    };
    let mut metadata = 0;
    if kind.contains("v2") {
        assert!(
            message.starts_with(&[0x22, 0x00]),
            "the first symbol is empty"
        );
        read_v2(&message, &mut visit).expect("a 2.0 request");
    } else {
        read_v1(&message, &mut visit).expect("a 1.0 request");
        let count = |field, _| {
            metadata += usize::from(field == 3);
            Ok(())
        };
        wire::fields(&message, count).expect("a 1.0 request");
    }
    Arrived {
        headers: headers.clone(),
        samples,
        metadata,
    }
}

async fn receive(
    State(receiver): State<Arc<Receiver>>,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let arrived = decode(&headers, &body);
    let written = arrived.samples.len();
    receiver.arrived.lock().push(arrived.clone());
    let next = receiver.script.lock().pop_front();
    let (status, answer_headers, text) = next.unwrap_or((204, Vec::new(), String::new()));
    let mut answer = HeaderMap::new();
    if status < 300 {
        receiver.taken.lock().extend(arrived.samples);
        answer.insert(
            "x-prometheus-remote-write-samples-written",
            written.to_string().parse().expect("a header"),
        );
    }
    for (name, value) in answer_headers {
        answer.insert(name, value.parse().expect("a header"));
    }
    receiver.news.notify_one();
    (
        StatusCode::from_u16(status).expect("a status"),
        answer,
        text,
    )
}

struct NoMetadata;

impl MetadataSource for NoMetadata {
    fn families(&self) -> Vec<(Arc<str>, Arc<Metadata>)> {
        Vec::new()
    }
}

struct OneFamily;

impl MetadataSource for OneFamily {
    fn families(&self) -> Vec<(Arc<str>, Arc<Metadata>)> {
        vec![("m".into(), Arc::default()), ("n".into(), Arc::default())]
    }
}

struct Bench {
    dir: tempfile::TempDir,
    receiver: Arc<Receiver>,
    _stop: net::shutdown::ShutdownTrigger,
    port: u16,
    agent: Arc<Agent>,
    remote: RemoteWrite,
    registry: Registry,
    /// Times of samples; begins in the future, because what is older than the queue is not sent.
    t: i64,
}

fn open_agent(dir: &std::path::Path) -> Arc<Agent> {
    let options = WalOptions {
        segment_bytes: 1 << 20,
        compression: Compression::Snappy,
        durability: Durability::Write,
    };
    let clock = net::clock::system_clock();
    let disk = Arc::new(SystemDisk);
    Agent::open(dir, options, 0, true, disk, clock, &Registry::new()).expect("opens")
}

impl Bench {
    async fn new(section: &str) -> Bench {
        Bench::with_metadata(section, Arc::new(NoMetadata)).await
    }

    async fn with_metadata(section: &str, metadata: Arc<dyn MetadataSource>) -> Bench {
        let receiver = Arc::new(Receiver::default());
        let router = Router::new()
            .route("/w", axum::routing::post(receive))
            .with_state(receiver.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let port = listener.local_addr().expect("address").port();
        let (stop, stopped) = net::shutdown::channel();
        let limits = ServerLimits::default();
        tokio::spawn(serve(
            vec![listener],
            router,
            limits,
            WebGate::open(),
            Default::default(),
            stopped,
        ));
        let dir = tempfile::tempdir().expect("a folder");
        let agent = open_agent(dir.path());
        let registry = Registry::new();
        let remote = Bench::remote(&agent, dir.path(), &registry, metadata);
        let bench = Bench {
            dir,
            receiver,
            _stop: stop,
            port,
            agent,
            remote,
            registry,
            t: net::clock::system_clock().now() + 60_000,
        };
        bench.apply(section).await;
        bench
    }

    fn remote(
        agent: &Arc<Agent>,
        dir: &std::path::Path,
        registry: &Registry,
        metadata: Arc<dyn MetadataSource>,
    ) -> RemoteWrite {
        RemoteWrite::new(WriteContext {
            disk: Arc::new(SystemDisk),
            log: agent.wal_dir().to_path_buf(),
            positions: dir.join("remote_write.json"),
            clock: net::clock::system_clock(),
            registry: registry.clone(),
            user_agent: "Prometheus/test".into(),
            metadata,
            flush_deadline: Duration::from_secs(2),
        })
    }

    async fn apply(&self, section: &str) {
        let text = format!(
            "global: {{external_labels: {{site: x, keep: outer}}}}\nremote_write:\n- url: http://127.0.0.1:{}/w\n  name: q\n  queue_config: {{batch_send_deadline: 50ms, min_backoff: 10ms, max_backoff: 40ms{}}}\n{}",
            self.port,
            section
                .strip_prefix("queue:")
                .map_or("", |q| q.split('\n').next().unwrap_or("")),
            section
                .lines()
                .filter(|line| !line.starts_with("queue:"))
                .map(|line| format!("  {line}\n"))
                .collect::<String>(),
        );
        let config = Config::parse(&text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let prepared = self
            .remote
            .prepare(&config.remote_write, &config.global.external_labels)
            .expect("prepared");
        self.remote.apply(prepared).await;
    }

    fn answer(&self, status: u16, headers: &[(&'static str, &str)], text: &str) {
        let headers = headers.iter().map(|(n, v)| (*n, v.to_string())).collect();
        self.receiver
            .script
            .lock()
            .push_back((status, headers, text.into()));
    }

    fn append(&mut self, labels: &[(&str, &str)], value: f64) -> i64 {
        self.t += 1;
        let mut appender = self.agent.appender();
        let series = appender
            .series(&Labels::from_pairs(labels.iter().copied()))
            .expect("series");
        appender.append(series, self.t, value).expect("appended");
        appender.commit().expect("committed");
        self.t
    }

    /// Waits until the receiver's memory fulfils `enough`.
    async fn until(&self, mut enough: impl FnMut(&[Arrived]) -> bool) -> Vec<Arrived> {
        let waiting = async {
            loop {
                let arrived = self.receiver.arrived.lock().clone();
                if enough(&arrived) {
                    return arrived;
                }
                let _ =
                    tokio::time::timeout(Duration::from_millis(20), self.receiver.news.notified())
                        .await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), waiting)
            .await
            .unwrap_or_else(|_| {
                let arrived = self.receiver.arrived.lock();
                let samples: Vec<&Got> = arrived.iter().flat_map(|a| &a.samples).collect();
                panic!("did not arrive; there is {samples:?}")
            })
    }

    fn metric(&self, name: &str) -> f64 {
        let families = self.registry.gather();
        let family = families.iter().find(|family| family.name == name);
        family
            .map(|family| {
                family
                    .metrics
                    .iter()
                    .filter_map(|metric| match metric.value {
                        model::MetricValue::Single(v) => Some(v),
                        _ => None,
                    })
                    .sum()
            })
            .unwrap_or(0.0)
    }

    fn taken(&self) -> Vec<Got> {
        self.receiver.taken.lock().clone()
    }
}

const M: [(&str, &str); 2] = [("__name__", "m"), ("keep", "own")];
const V2: &str = "protobuf_message: io.prometheus.write.v2.Request";

fn any(arrived: &[Arrived]) -> bool {
    !arrived.is_empty()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_request_says_what_it_is() {
    for (section, kind, version) in [
        ("", "application/x-protobuf", "0.1.0"),
        (
            V2,
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "2.0.0",
        ),
    ] {
        let mut bench = Bench::new(&format!("{section}\nheaders: {{X-Scope: tenant}}")).await;
        let t = bench.append(&M, 1.5);
        let arrived = bench.until(any).await;
        let headers = &arrived[0].headers;
        for (name, value) in [
            ("content-encoding", "snappy"),
            ("content-type", kind),
            ("x-prometheus-remote-write-version", version),
            ("user-agent", "Prometheus/test"),
            ("x-scope", "tenant"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        assert!(!headers.contains_key("retry-attempt"));
        // External labels are added where the series has none of the name.
        let wanted = Got {
            labels: r#"{__name__="m", keep="own", site="x"}"#.into(),
            t,
            what: "1.5".into(),
        };
        assert_eq!(arrived[0].samples, [wanted]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_mean_what_the_specification_says() {
    // Status, headers, settings, whether the batch comes again, the metric that rises.
    type Row = (
        u16,
        &'static [(&'static str, &'static str)],
        &'static str,
        bool,
        &'static str,
    );
    let rows: [Row; 8] = [
        (500, &[], "", true, "samples_retried_total"),
        (
            503,
            &[("retry-after", "1")],
            "",
            true,
            "samples_retried_total",
        ),
        (429, &[], "", false, "samples_failed_total"),
        (
            429,
            &[],
            "queue:, retry_on_http_429: true",
            true,
            "samples_retried_total",
        ),
        (400, &[], "", false, "samples_failed_total"),
        (404, &[], "", false, "samples_failed_total"),
        (415, &[], V2, false, "samples_failed_total"),
        // A receiver that does not know 2.0 says 2xx and has written nothing.
        (
            200,
            &[("x-prometheus-remote-write-samples-written", "0")],
            V2,
            false,
            "samples_failed_total",
        ),
    ];
    for (status, headers, section, again, metric) in rows {
        let mut bench = Bench::new(section).await;
        bench.answer(status, headers, "no");
        let first = bench.append(&M, 1.0);
        let began = std::time::Instant::now();
        bench.until(any).await;
        let second = bench.append(&M, 2.0);
        let arrived = bench
            .until(|a| a.iter().any(|a| a.samples.iter().any(|s| s.t == second)))
            .await;
        let times = arrived
            .iter()
            .filter(|a| a.samples.iter().any(|s| s.t == first))
            .count();
        assert_eq!(times, if again { 2 } else { 1 }, "{status} {section}");
        let name = format!("prometheus_remote_storage_{metric}");
        assert_eq!(bench.metric(&name), 1.0, "{status} {section} {metric}");
        if again {
            assert_eq!(arrived[1].headers["retry-attempt"], "1");
        }
        if headers
            .first()
            .is_some_and(|(name, _)| *name == "retry-after")
        {
            assert!(
                began.elapsed() >= Duration::from_secs(1),
                "Retry-After is honoured"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_doubled_while_the_receiver_is_away() {
    for section in ["", V2] {
        let mut bench = Bench::new(section).await;
        for _ in 0..6 {
            bench.answer(503, &[], "away");
        }
        let times: Vec<i64> = (0..50).map(|i| bench.append(&M, f64::from(i))).collect();
        let last = times[49];
        bench
            .until(|_| bench.taken().iter().any(|sample| sample.t == last))
            .await;
        let taken: Vec<i64> = bench.taken().iter().map(|sample| sample.t).collect();
        assert_eq!(taken, times, "all of them, once, in order");
        assert_eq!(
            bench.metric("prometheus_remote_storage_samples_failed_total"),
            0.0
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stopped_sender_owes_is_sent_after_the_next_start() {
    let mut bench = Bench::new("").await;
    let first = bench.append(&M, 1.0);
    bench.until(any).await;
    // From now on the receiver takes nothing, and the sender gives up at its flush deadline.
    for _ in 0..1000 {
        bench.answer(500, &[], "down");
    }
    let owed: Vec<i64> = (0..5).map(|i| bench.append(&M, f64::from(i))).collect();
    bench.until(|arrived| arrived.len() > 2).await;
    bench.remote.stop().await;
    bench.receiver.script.lock().clear();
    // The log goes on without a sender.
    let later = bench.append(&M, 9.0);
    let registry = Registry::new();
    bench.remote = Bench::remote(
        &bench.agent,
        bench.dir.path(),
        &registry,
        Arc::new(NoMetadata),
    );
    bench.apply("").await;
    bench
        .until(|_| bench.taken().iter().any(|sample| sample.t == later))
        .await;
    let taken: Vec<i64> = bench.taken().iter().map(|sample| sample.t).collect();
    assert_eq!(taken, [&[first][..], &owed, &[later]].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_sent_before_a_crash_is_refused_piece_by_piece() {
    let mut bench = Bench::new("").await;
    let times: Vec<i64> = (0..4).map(|i| bench.append(&M, f64::from(i))).collect();
    bench.until(|_| bench.taken().len() == 4).await;
    bench.remote.stop().await;
    // As if the process had died before it noted what was acknowledged.
    std::fs::write(
        bench.dir.path().join("remote_write.json"),
        r#"{"q":{"segment":0,"offset":0}}"#,
    )
    .expect("write");
    let fresh = bench.append(&[("__name__", "other")], 1.0);
    // A server that has the four refuses requests with any of them.
    for status in [400, 400, 204, 400, 400, 400, 400] {
        bench.answer(status, &[], "out of order sample");
    }
    let registry = Registry::new();
    bench.remote = Bench::remote(
        &bench.agent,
        bench.dir.path(),
        &registry,
        Arc::new(NoMetadata),
    );
    bench.registry = registry;
    bench.apply("").await;
    let arrived = bench
        .until(|arrived| {
            let sent = arrived.iter().skip(1).flat_map(|a| &a.samples);
            sent.filter(|sample| sample.t == fresh).count() >= 2
        })
        .await;
    assert!(
        arrived
            .iter()
            .any(|a| a.samples.iter().any(|s| s.t == times[0]))
    );
    assert_eq!(
        bench.metric("prometheus_remote_storage_samples_failed_total"),
        0.0
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn relabelling_drops_and_rewrites() {
    let rules = "write_relabel_configs:\n- {source_labels: [__name__], regex: secret.*, action: drop}\n- {target_label: added, replacement: y}";
    let mut bench = Bench::new(rules).await;
    bench.append(&[("__name__", "secret_total")], 1.0);
    bench.append(&[("__name__", "open_total")], 2.0);
    let arrived = bench.until(any).await;
    let all: Vec<&Got> = arrived.iter().flat_map(|a| &a.samples).collect();
    assert_eq!(all.len(), 1);
    assert!(all[0].labels.contains(r#"added="y""#) && all[0].labels.contains("open_total"));
    assert_eq!(
        bench.metric("prometheus_remote_storage_samples_dropped_total"),
        1.0
    );
}

fn histogram() -> Histogram {
    Histogram {
        count: 3,
        sum: 2.0,
        schema: 0,
        positive_spans: vec![Span {
            offset: 0,
            length: 1,
        }],
        positive_buckets: vec![3],
        ..Histogram::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn histograms_exemplars_stale_markers_and_metadata() {
    for (section, second) in [("", false), (V2, true)] {
        let section = format!("{section}\nsend_exemplars: true\nsend_native_histograms: true");
        let mut bench = Bench::new(&section).await;
        bench.t += 10;
        let t = bench.t;
        let custom = Histogram {
            schema: -53,
            custom_values: Some(Arc::from([1.0].as_slice())),
            ..histogram()
        };
        let float: FloatHistogram = histogram().to_float();
        let exemplar = Exemplar {
            labels: Labels::from_pairs([("trace_id", "abc")]),
            value: 7.0,
            timestamp: Some(t),
        };
        let metadata = Metadata {
            kind: MetricType::Counter,
            unit: String::new(),
            help: "About it.".into(),
        };
        let mut appender = bench.agent.appender();
        let mut series = |name: &str| {
            appender
                .series(&Labels::from_pairs([("__name__", name)]))
                .expect("series")
        };
        let [floats, integer, float_h, custom_h] =
            ["floats", "integer", "float", "custom"].map(&mut series);
        appender.update_metadata(floats, &metadata).expect("noted");
        appender
            .append(floats, t, model::sample::stale_nan())
            .expect("appended");
        appender
            .append_exemplar(floats, &exemplar)
            .expect("attached");
        for (series, sample) in [
            (integer, HistogramSample::Integer(&histogram())),
            (float_h, HistogramSample::Float(&float)),
            (custom_h, HistogramSample::Integer(&custom)),
        ] {
            appender
                .append_histogram(series, t, sample)
                .expect("appended");
        }
        appender.commit().expect("committed");
        let count = if second { 5 } else { 4 };
        let arrived = bench
            .until(|arrived| {
                let samples = arrived.iter().flat_map(|a| &a.samples);
                samples.filter(|s| !s.what.starts_with("metadata")).count() >= count
            })
            .await;
        let mut seen: Vec<String> = arrived
            .iter()
            .flat_map(|a| &a.samples)
            .map(|sample| sample.what.clone())
            .collect();
        seen.sort();
        seen.dedup();
        let mut wanted = vec![
            "exemplar [(\"trace_id\", \"abc\")] 7",
            "float 3",
            "integer 3",
            "stale",
        ];
        if second {
            wanted.extend(["custom 3", "metadata counter About it."]);
            wanted.sort_unstable();
        }
        assert_eq!(seen, wanted);
        let dropped = bench.metric("prometheus_remote_storage_histograms_dropped_total");
        assert_eq!(
            dropped,
            f64::from(u8::from(!second)),
            "custom buckets cannot be said in 1.0"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_version_sends_metadata_now_and_then() {
    let section = "metadata_config: {send_interval: 50ms, max_samples_per_send: 1}";
    let bench = Bench::with_metadata(section, Arc::new(OneFamily)).await;
    let arrived = bench
        .until(|arrived| arrived.iter().map(|a| a.metadata).sum::<usize>() >= 2)
        .await;
    assert!(
        arrived.iter().all(|a| a.metadata <= 1),
        "at most so many a request"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_samples_are_dropped_where_an_age_is_set() {
    let mut bench = Bench::new("queue:, sample_age_limit: 1m").await;
    bench.t -= 150_000;
    let now = net::clock::system_clock().now();
    bench.append(&[("__name__", "old")], 1.0);
    bench.t = now + 1000;
    let fresh = bench.append(&[("__name__", "new")], 2.0);
    bench
        .until(|_| bench.taken().iter().any(|s| s.t == fresh))
        .await;
    assert_eq!(bench.taken().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_as_large_as_configured_and_series_keep_their_order() {
    let mut bench = Bench::new("queue:, max_samples_per_send: 10, min_shards: 4").await;
    let names: Vec<String> = (0..8).map(|i| format!("m{i}")).collect();
    for i in 0..40 {
        for name in &names {
            bench.append(&[("__name__", name)], f64::from(i));
        }
    }
    bench.until(|_| bench.taken().len() == 320).await;
    let arrived = bench.receiver.arrived.lock().clone();
    assert!(arrived.iter().all(|a| a.samples.len() <= 10));
    for name in &names {
        let wanted = format!("__name__=\"{name}\"");
        let taken = bench.taken();
        let times: Vec<i64> = taken
            .iter()
            .filter(|s| s.labels.contains(&wanted))
            .map(|s| s.t)
            .collect();
        assert!(times.len() == 40 && times.is_sorted(), "{name}: {times:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_section_twice_is_refused() {
    let bench = Bench::new("").await;
    let text = "remote_write: [{url: 'http://u:p@h/w'}, {url: 'http://u:p@h/w'}]";
    let config = Config::parse(text, &|_| None).expect("loads");
    let refused = bench.remote.prepare(&config.remote_write, &Labels::empty());
    let error = refused.err().expect("refused");
    assert_eq!(
        error,
        "duplicate remote write configs are not allowed, found duplicate for URL: http://u:xxxxx@h/w"
    );
}

/// Identities come and go by reloads without the queue noticing; each request is of the one that holds then, also where an
/// earlier one comes back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_identity_may_change_under_a_running_queue() {
    let keys = |name: &str| format!("sigv4: {{region: r, access_key: {name}, secret_key: s}}");
    let mut bench = Bench::new(&keys("A")).await;
    let mut t = bench.append(&M, 0.0);
    for (n, section, expected) in [
        (1, keys("A"), "AWS4-HMAC-SHA256 Credential=A/"),
        (2, keys("B"), "AWS4-HMAC-SHA256 Credential=B/"),
        (3, "authorization: {credentials: c}".into(), "Bearer c"),
        (4, keys("A"), "AWS4-HMAC-SHA256 Credential=A/"),
    ] {
        let arrived_with = |t: i64| {
            move |arrived: &[Arrived]| {
                let mut samples = arrived.iter().flat_map(|one| &one.samples);
                samples.any(|sample| sample.t == t)
            }
        };
        bench.until(arrived_with(t)).await;
        bench.apply(&section).await;
        t = bench.append(&M, f64::from(n));
        let arrived = bench.until(arrived_with(t)).await;
        let last = arrived.last().expect("a request");
        let authorization = last.headers["authorization"].to_str().expect("text");
        assert!(authorization.starts_with(expected), "{authorization}");
    }
    // Nothing was sent twice: it was one queue all along.
    let times: Vec<i64> = bench.taken().iter().map(|sample| sample.t).collect();
    assert!(times.is_sorted_by(|a, b| a < b), "{times:?}");
}

/// Whoever gives tokens out may be away: samples wait, and nothing of the key is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_token_samples_wait() {
    let dir = tempfile::tempdir().expect("a folder");
    let away = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let (state, asked) = (away.clone(), tokio::sync::mpsc::unbounded_channel::<()>());
    let (tell, mut told) = asked;
    let router = Router::new().fallback(move || async move {
        let _ = tell.send(());
        match state.load(std::sync::atomic::Ordering::SeqCst) {
            true => (StatusCode::SERVICE_UNAVAILABLE, ""),
            false => (StatusCode::OK, r#"{"access_token": "t", "expires_in": 60}"#),
        }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a free port");
    let port = listener.local_addr().expect("address").port();
    tokio::spawn(async move { axum::serve(listener, router).await });
    let key = include_str!("../../signing/tests/certificates/key.pem");
    let account = serde_json::json!({
        "type": "service_account", "client_email": "me", "private_key": key,
        "token_uri": format!("http://127.0.0.1:{port}/"),
    });
    let file = dir.path().join("account.json");
    std::fs::write(&file, account.to_string()).expect("written");
    let section = format!("google_iam: {{credentials_file: '{}'}}", file.display());
    let mut bench = Bench::new(&section).await;
    let t = bench.append(&M, 1.0);
    for _ in 0..3 {
        told.recv().await.expect("it is asked again");
    }
    assert!(bench.receiver.arrived.lock().is_empty());
    away.store(false, std::sync::atomic::Ordering::SeqCst);
    let arrived = bench.until(any).await;
    assert_eq!(arrived[0].headers["authorization"], "Bearer t");
    assert_eq!(arrived[0].samples[0].t, t);
    let metric = |name: &str| bench.metric(&format!("prometheus_remote_storage_{name}"));
    assert!(metric("samples_retried_total") >= 2.0);
    assert_eq!(metric("samples_failed_total"), 0.0);
}
