//! What the remote write specifications ask of a receiver, one row a rule, over the real database.

use std::sync::Arc;

use apiv1::remote_write::{WriteReceiver, receive};
use axum::body::Body;
use axum::http::{Request, StatusCode};
use configfile::remote::WriteMessage;
use env::Registry;
use env::system::SystemDisk;
use http_body_util::BodyExt as _;
use model::{Exemplar, Histogram, Labels, Span};
use storage::{Appendable, Queryable as _, SelectHints, TimeRange, Value};
use tsdb::{Db, Options};
use wire::remote_write::{Outgoing, RequestV2, encode_labels, put_v1};

const NOW: i64 = 1_700_000_000_000;
const V1: &str = "application/x-protobuf";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
const M: [(&str, &str); 2] = [("__name__", "m"), ("job", "j")];

struct Bench {
    _dir: tempfile::TempDir,
    db: Arc<Db>,
    receiver: Arc<WriteReceiver>,
}

struct Reply {
    status: u16,
    text: String,
    written: Option<[u64; 3]>,
}

impl Bench {
    fn new() -> Bench {
        Bench::accepting(vec![WriteMessage::V1, WriteMessage::V2])
    }

    fn accepting(accepted: Vec<WriteMessage>) -> Bench {
        let dir = tempfile::tempdir().expect("a folder");
        let registry = Registry::new();
        let options = Options {
            max_exemplars: 100,
            ..Options::default()
        };
        let disk = Arc::new(SystemDisk);
        let clock = net::clock::system_clock();
        let db = Db::open(dir.path(), options, disk, clock, &registry).expect("opens");
        let storage: Arc<dyn Appendable> = db.clone();
        let receiver = Arc::new(WriteReceiver::new(
            storage, accepted, true, false, &registry,
        ));
        Bench {
            _dir: dir,
            db,
            receiver,
        }
    }

    async fn send(&self, kind: &str, encoding: &str, body: Vec<u8>) -> Reply {
        let request = Request::post("/api/v1/write")
            .header("content-type", kind)
            .header("content-encoding", encoding)
            .body(Body::from(body))
            .expect("a request");
        let response = receive(self.receiver.clone(), NOW, request).await;
        let count = |kind: &str| {
            let name = format!("x-prometheus-remote-write-{kind}-written");
            response.headers().get(name)?.to_str().ok()?.parse().ok()
        };
        let written = count("samples")
            .zip(count("histograms"))
            .zip(count("exemplars"))
            .map(|((s, h), e)| [s, h, e]);
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body");
        let text = String::from_utf8_lossy(&body.to_bytes()).into_owned();
        Reply {
            status,
            text,
            written,
        }
    }

    async fn v1(&self, message: &[u8]) -> Reply {
        self.send(V1, "snappy", pack(message)).await
    }

    async fn v2(&self, request: &RequestV2) -> Reply {
        let mut message = Vec::new();
        request.finish(&mut message);
        self.send(V2, "snappy", pack(&message)).await
    }

    /// Series with their times.
    fn stored(&self) -> Vec<(String, Vec<i64>)> {
        let querier = self.db.querier(TimeRange::ALL).expect("a querier");
        let all = model::Matcher::new(model::MatchOp::Regex, "__name__", ".+").expect("a matcher");
        let mut set = querier
            .select(&[all], &SelectHints::default())
            .expect("selects");
        let mut found = Vec::new();
        while let Some(series) = set.next() {
            let series = series.expect("a series");
            let mut samples = series.samples(TimeRange::ALL);
            let mut times = Vec::new();
            while let Some((t, value)) = samples.next().expect("decodes") {
                assert!(matches!(value, Value::Float(_) | Value::Histogram(_)));
                times.push(t);
            }
            found.push((series.labels.to_string(), times));
        }
        found
    }
}

fn pack(message: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new()
        .compress_vec(message)
        .expect("packs")
}

fn v1_samples(labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Vec<u8> {
    let labels = encode_labels(labels.iter().copied());
    let mut message = Vec::new();
    for (t, value) in samples {
        put_v1(&mut message, &labels, *t, Outgoing::Float(*value));
    }
    message
}

fn histogram() -> Histogram {
    Histogram {
        count: 3,
        sum: 2.0,
        positive_spans: vec![Span {
            offset: 0,
            length: 1,
        }],
        positive_buckets: vec![3],
        ..Histogram::default()
    }
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let bench = Bench::new();
    let good = || pack(&v1_samples(&M, &[(NOW, 1.0)]));
    let rows: [(&str, &str, Vec<u8>, u16); 8] = [
        (V1, "snappy", good(), 204),
        // An empty encoding is taken for snappy all the same.
        (V1, "", good(), 204),
        (V1, "gzip", good(), 415),
        ("application/json", "snappy", good(), 415),
        (
            "application/x-protobuf;proto=io.other.Request",
            "snappy",
            good(),
            415,
        ),
        (V1, "snappy", vec![0xff; 20], 400),
        (V1, "snappy", pack(&[0x0a, 0x7f]), 400),
        (V2, "snappy", pack(&[0x22, 0x01, b'x']), 400),
    ];
    for (kind, encoding, body, status) in rows {
        let reply = bench.send(kind, encoding, body).await;
        assert_eq!(reply.status, status, "{kind} {encoding}: {}", reply.text);
    }
    let huge = vec![0; (32 << 20) + 1];
    let status = bench.send(V1, "snappy", huge).await.status;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE.as_u16());
    // Few bytes that claim to become many.
    let bomb = pack(&vec![0; (32 << 20) + 1]);
    assert_eq!(bench.send(V1, "snappy", bomb).await.status, 400);
    let only_second = Bench::accepting(vec![WriteMessage::V2]);
    assert_eq!(only_second.send(V1, "snappy", good()).await.status, 415);
}

#[tokio::test]
async fn the_first_version_is_all_or_nothing() {
    let bench = Bench::new();
    assert_eq!(
        bench
            .v1(&v1_samples(&M, &[(NOW, 1.0), (NOW + 1, 2.0)]))
            .await
            .status,
        204
    );
    // Older than what is there, another value at the same time, too far ahead: nothing of the request is stored.
    for (t, value) in [(NOW - 10, 1.0), (NOW + 1, 3.0), (NOW + 3_600_000, 1.0)] {
        let mut message = v1_samples(&[("__name__", "other")], &[(NOW, 1.0)]);
        message.extend(v1_samples(&M, &[(t, value)]));
        let reply = bench.v1(&message).await;
        assert_eq!(
            (reply.status, reply.written),
            (400, None),
            "{t}: {}",
            reply.text
        );
    }
    assert_eq!(
        bench.stored(),
        [(r#"{__name__="m", job="j"}"#.into(), vec![NOW, NOW + 1])]
    );
    // The same once more is no fault.
    assert_eq!(
        bench.v1(&v1_samples(&M, &[(NOW + 1, 2.0)])).await.status,
        204
    );
    // Label sets that no series can have are passed over, in whatever order labels come.
    let mut message = v1_samples(&[("job", "x")], &[(NOW, 1.0)]);
    message.extend(v1_samples(
        &[("a", "1"), ("__name__", "twice"), ("a", "2")],
        &[(NOW, 1.0)],
    ));
    message.extend(v1_samples(
        &[("z", "1"), ("__name__", "late"), ("b", "")],
        &[(NOW, 1.0)],
    ));
    assert_eq!(bench.v1(&message).await.status, 204);
    let names: Vec<String> = bench
        .stored()
        .into_iter()
        .map(|(labels, _)| labels)
        .collect();
    assert_eq!(
        names,
        [r#"{__name__="late", z="1"}"#, r#"{__name__="m", job="j"}"#]
    );
}

#[tokio::test]
async fn the_second_version_takes_what_it_can_and_tells() {
    let bench = Bench::new();
    let mut request = RequestV2::default();
    request.push(M, NOW, 0, Outgoing::Float(1.0), None);
    request.push(
        [("__name__", "h")],
        NOW,
        0,
        Outgoing::Integer(&histogram()),
        None,
    );
    let reply = bench.v2(&request).await;
    assert_eq!(
        (reply.status, reply.written),
        (204, Some([1, 1, 0])),
        "{}",
        reply.text
    );
    // One good sample, one too old, one without a name, and a series with nothing but an exemplar.
    let exemplar = Exemplar {
        labels: Labels::from_pairs([("trace_id", "x")]),
        value: 1.0,
        timestamp: Some(NOW),
    };
    request.clear();
    request.push(M, NOW + 1, 0, Outgoing::Float(2.0), None);
    request.push(M, NOW - 5, 0, Outgoing::Float(3.0), None);
    request.push([("job", "x")], NOW, 0, Outgoing::Float(3.0), None);
    request.push(M, NOW, 0, Outgoing::Exemplar(&exemplar), None);
    let reply = bench.v2(&request).await;
    assert_eq!(
        (reply.status, reply.written),
        (400, Some([1, 0, 0])),
        "{}",
        reply.text
    );
    for part in [
        "out of order sample for series {__name__=\"m\", job=\"j\"}",
        "invalid metric name or labels, got {job=\"x\"}",
        "TimeSeries must contain at least one sample or histogram for series",
    ] {
        assert!(reply.text.contains(part), "{}", reply.text);
    }
    let stored = bench.stored();
    assert_eq!(stored[1].1, [NOW, NOW + 1]);
    // A start before the first sample becomes a zero.
    request.clear();
    request.push(
        [("__name__", "c_total")],
        NOW,
        NOW - 1000,
        Outgoing::Float(5.0),
        None,
    );
    assert_eq!(bench.v2(&request).await.status, 204);
    assert_eq!(bench.stored()[0].1, [NOW - 1000, NOW]);
}
