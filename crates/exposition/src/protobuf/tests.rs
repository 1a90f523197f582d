use model::{MetricFamily, Span};
use proptest::prelude::*;

use super::*;
use crate::escaping::Escaping;
use crate::families::read_families;
use wire::{put_bytes, put_double, put_uint};

const BOTH: ProtobufOptions = ProtobufOptions {
    native_histograms: true,
    always_classic: true,
};
const NATIVE: ProtobufOptions = ProtobufOptions {
    native_histograms: true,
    always_classic: false,
};

fn shown(body: &[u8], options: ProtobufOptions) -> String {
    let body = match ProtobufBody::decode(body, options) {
        Ok(body) => body,
        Err(error) => return error.to_string(),
    };
    let mut parser = body.entries();
    let mut out = String::new();
    while let Some(entry) = parser.next() {
        match entry {
            ProtobufEntry::Plain(Entry::Series {
                timestamp, value, ..
            }) => {
                out += &format!("{} {value} {timestamp:?}", parser.labels());
            }
            ProtobufEntry::Plain(Entry::Type { name, kind }) => {
                out += &format!("TYPE {name} {}", kind.as_str())
            }
            ProtobufEntry::Plain(Entry::Help { name, help }) => {
                out += &format!("HELP {name} {help}")
            }
            ProtobufEntry::Plain(Entry::Unit { name, unit }) => {
                out += &format!("UNIT {name} {unit}")
            }
            ProtobufEntry::Plain(Entry::Comment(_)) => {}
            ProtobufEntry::Histogram { value, .. } => {
                out += &match value {
                    Native::Integer(h) => format!(
                        "{} integer {} {} {:?} {:?}",
                        parser.labels(),
                        h.count,
                        h.sum,
                        h.positive_spans
                            .iter()
                            .map(|s| (s.offset, s.length))
                            .collect::<Vec<_>>(),
                        h.positive_buckets
                    ),
                    Native::Float(h) => {
                        format!(
                            "{} float {} {} {:?}",
                            parser.labels(),
                            h.count,
                            h.sum,
                            h.positive_buckets
                        )
                    }
                };
            }
        }
        for exemplar in parser.exemplars() {
            out += &format!(
                " # {} {} {:?}",
                exemplar.labels, exemplar.value, exemplar.timestamp
            );
        }
        if let Some(start) = parser.start_timestamp().filter(|_| out.ends_with("None")) {
            out += &format!(" from {start}");
        }
        out.push('\n');
    }
    out
}

#[test]
fn written_families_come_back() {
    let page = "# HELP c_total C.\n# TYPE c_total counter\nc_total{a=\"x\\\"y\"} 1 77\n\
        # TYPE h histogram\nh_bucket{a=\"1\",le=\"0.5\"} 1\nh_bucket{a=\"1\",le=\"1\"} 3\nh_sum{a=\"1\"} 2.5\nh_count{a=\"1\"} 3\n\
        # TYPE s summary\ns{quantile=\"0.5\"} 1\ns_sum 3\ns_count 2\n# TYPE u untyped\nu 1\n# TYPE g gauge\ng -1\n";
    let families: Vec<MetricFamily> = read_families(page.as_bytes()).unwrap();
    let mut body = Vec::new();
    write_protobuf(&families, Escaping::AllowUtf8, &mut body);
    let want = "\
HELP c_total C.
TYPE c_total counter
{__name__=\"c_total\", a=\"x\\\"y\"} 1 Some(77)
HELP g 
TYPE g gauge
{__name__=\"g\"} -1 None
HELP h 
TYPE h histogram
{__name__=\"h_count\", a=\"1\"} 3 None
{__name__=\"h_sum\", a=\"1\"} 2.5 None
{__name__=\"h_bucket\", a=\"1\", le=\"0.5\"} 1 None
{__name__=\"h_bucket\", a=\"1\", le=\"1.0\"} 3 None
{__name__=\"h_bucket\", a=\"1\", le=\"+Inf\"} 3 None
HELP s 
TYPE s summary
{__name__=\"s_count\"} 2 None
{__name__=\"s_sum\"} 3 None
{__name__=\"s\", quantile=\"0.5\"} 1 None
HELP u 
TYPE u unknown
{__name__=\"u\"} 1 None
";
    assert_eq!(shown(&body, BOTH), want);
}

#[test]
fn written_native_buckets_come_back() {
    let native = model::Histogram {
        schema: 3,
        zero_threshold: 1e-9,
        zero_count: 2,
        count: 9,
        sum: 4.5,
        positive_spans: vec![
            model::Span {
                offset: -7,
                length: 2,
            },
            model::Span {
                offset: 3,
                length: 1,
            },
        ],
        positive_buckets: vec![1, 2, -1],
        negative_spans: vec![model::Span {
            offset: 0,
            length: 1,
        }],
        negative_buckets: vec![1],
        ..model::Histogram::default()
    };
    let mut family = MetricFamily::new("h", "", model::MetricType::Histogram);
    family.metrics.push(model::Metric {
        labels: Vec::new(),
        value: model::MetricValue::Histogram {
            buckets: vec![(0.5, 4), (f64::INFINITY, 9)],
            sum: 4.5,
            count: 9,
            native: Some(Box::new(native.clone())),
        },
        timestamp_ms: None,
    });
    let mut body = Vec::new();
    write_protobuf(&[family], Escaping::AllowUtf8, &mut body);
    let read = ProtobufBody::decode(&body, NATIVE).expect("decodes");
    let mut entries = read.entries();
    let mut found = Vec::new();
    while let Some(entry) = entries.next() {
        if let ProtobufEntry::Histogram {
            value: Native::Integer(read),
            ..
        } = entry
        {
            found.push(read.clone());
        }
    }
    assert_eq!(found, [native]);
}

fn message(build: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    build(&mut out);
    out
}

/// A family named `h` of one metric with this histogram message.
fn histogram_body(histogram: &[u8], kind: u64) -> Vec<u8> {
    let metric = message(|m| put_bytes(m, 7, histogram));
    let family = message(|m| {
        put_bytes(m, 1, b"h");
        put_uint(m, 3, kind);
        put_bytes(m, 4, &metric);
        put_bytes(m, 5, b"seconds");
    });
    message(|m| {
        wire::put_varint(m, family.len() as u64);
        m.extend_from_slice(&family);
    })
}

fn exemplar_message(timed: bool) -> Vec<u8> {
    message(|m| {
        put_bytes(
            m,
            1,
            &message(|m| {
                put_bytes(m, 1, b"id");
                put_bytes(m, 2, b"7")
            }),
        );
        put_double(m, 2, 0.25);
        if timed {
            put_bytes(
                m,
                3,
                &message(|m| {
                    put_uint(m, 1, 12);
                    put_uint(m, 2, 345_000_000)
                }),
            );
        }
    })
}

fn zigzag(n: i64) -> u64 {
    ((n << 1) ^ (n >> 63)) as u64
}

fn native_message() -> Vec<u8> {
    message(|m| {
        put_uint(m, 1, 6);
        put_double(m, 2, 9.5);
        put_bytes(
            m,
            3,
            &message(|m| {
                put_uint(m, 1, 4);
                put_double(m, 2, 1.0);
                put_bytes(m, 3, &exemplar_message(true));
            }),
        );
        put_uint(m, 5, zigzag(3));
        put_double(m, 6, 0.001);
        put_bytes(
            m,
            12,
            &message(|m| {
                put_uint(m, 1, zigzag(-1));
                put_uint(m, 2, 3)
            }),
        );
        // Deltas packed: 2 -2 +4, that is 2 0 4.
        put_bytes(
            m,
            13,
            &message(|m| {
                for delta in [2, -2, 4] {
                    wire::put_varint(m, zigzag(delta));
                }
            }),
        );
        put_bytes(m, 15, &message(|m| put_uint(m, 1, 1)));
    })
}

#[test]
fn native_histograms() {
    let body = histogram_body(&native_message(), 4);
    let head = "HELP h \nUNIT h seconds\nTYPE h histogram\n";
    let native =
        "{__name__=\"h\"} integer 6 9.5 [(-1, 1), (1, 1)] [2, 2] # {id=\"7\"} 0.25 Some(12345)\n";
    let classic = "{__name__=\"h_count\"} 6 None from 1000\n{__name__=\"h_sum\"} 9.5 None from 1000\n\
        {__name__=\"h_bucket\", le=\"1.0\"} 4 None # {id=\"7\"} 0.25 Some(12345)\n\
        {__name__=\"h_bucket\", le=\"+Inf\"} 6 None from 1000\n";
    assert_eq!(shown(&body, NATIVE), format!("{head}{native}"));
    assert_eq!(shown(&body, BOTH), format!("{head}{native}{classic}"));
    assert_eq!(
        shown(&body, ProtobufOptions::default()),
        format!("{head}{classic}")
    );
    let decoded = ProtobufBody::decode(&histogram_body(&native_message(), 5), NATIVE).unwrap();
    let Native::Integer(histogram) = &decoded.natives[0] else {
        panic!()
    };
    assert_eq!(histogram.reset_hint, model::ResetHint::Gauge);
    assert_eq!((histogram.schema, histogram.zero_threshold), (3, 0.001));
    assert_eq!(
        histogram.positive_spans[0],
        Span {
            offset: -1,
            length: 1
        }
    );
}

#[test]
fn float_histograms_and_untimed_exemplars() {
    let float = message(|m| {
        put_double(m, 4, 2.5);
        put_double(m, 2, 1.0);
        put_bytes(m, 12, &message(|m| put_uint(m, 2, 2)));
        put_double(m, 14, 1.5); // unpacked
        put_double(m, 14, 1.0);
        put_bytes(m, 16, &exemplar_message(false));
        put_bytes(m, 16, &exemplar_message(true));
    });
    let got = shown(&histogram_body(&float, 4), NATIVE);
    assert!(
        got.ends_with("{__name__=\"h\"} float 2.5 1 [1.5, 1.0] # {id=\"7\"} 0.25 Some(12345)\n"),
        "{got}"
    );
}

#[test]
fn far_apart_buckets_do_not_overflow() {
    for float in [false, true] {
        let far = message(|m| {
            for _ in 0..3 {
                let span = message(|m| {
                    put_uint(m, 1, zigzag(i64::from(i32::MAX)));
                    put_uint(m, 2, 1);
                });
                put_bytes(m, 12, &span);
                if float {
                    put_double(m, 14, 1.0);
                } else {
                    put_uint(m, 13, zigzag(1));
                }
            }
            put_uint(m, 1, 3);
            if float {
                put_double(m, 4, 3.0);
                put_double(m, 14, 0.0);
                put_bytes(m, 12, &message(|m| put_uint(m, 2, 1)));
            }
        });
        shown(&histogram_body(&far, 4), NATIVE);
    }
}

#[test]
fn what_is_refused() {
    let short = message(|m| put_bytes(m, 12, &message(|m| put_uint(m, 2, 2))));
    assert_eq!(
        shown(&histogram_body(&short, 4), NATIVE),
        "histogram \"h\": positive side: spans require 2 buckets, have 0"
    );
    assert_eq!(
        shown(&histogram_body(&short, 9), NATIVE),
        "unknown metric type for metric \"h\": 9"
    );
    assert_eq!(
        shown(b"\xff\xff\xff\xff\xff\xff", NATIVE),
        "proto: integer overflow"
    );
    assert_eq!(shown(b"\x05ab", NATIVE), "proto: unexpected EOF");
    let nameless = message(|m| put_bytes(m, 4, b""));
    let mut body = vec![nameless.len() as u8];
    body.extend_from_slice(&nameless);
    assert_eq!(shown(&body, NATIVE), "invalid metric name: ");
    assert_eq!(shown(b"", NATIVE), "");
    assert_eq!(shown(b"\x03\x0a\x01h", NATIVE), ""); // no metrics, nothing to show
}

proptest! {
    #[test]
    fn any_bytes_never_panic(body in proptest::collection::vec(any::<u8>(), 0..300)) {
        shown(&body, BOTH);
    }

    #[test]
    fn damaged_bodies_never_panic(at in 0usize..200, byte in any::<u8>(), cut in 0usize..200) {
        let mut body = histogram_body(&native_message(), 4);
        let length = body.len();
        body[at % length] = byte;
        body.truncate(length - cut % length);
        shown(&body, BOTH);
    }
}

#[test]
fn a_histogram_of_float_buckets_may_be_all_zero() {
    let span = message(|m| put_uint(m, 2, 1));
    let flat = message(|m| {
        put_double(m, 6, 0.5);
        put_bytes(m, 12, &span);
        put_double(m, 14, 0.0);
    });
    let got = shown(&histogram_body(&flat, 4), NATIVE);
    assert!(got.ends_with("{__name__=\"h\"} float 0 0 []\n"), "{got}");
}

#[test]
fn staleness_markers_come_through() {
    let marker = message(|m| put_double(m, 1, model::sample::stale_nan()));
    let metric = message(|m| put_bytes(m, 2, &marker));
    let family = message(|m| {
        put_bytes(m, 1, b"g");
        put_uint(m, 3, 1);
        put_bytes(m, 4, &metric);
    });
    let body = message(|m| {
        wire::put_varint(m, family.len() as u64);
        m.extend_from_slice(&family);
    });
    let body = ProtobufBody::decode(&body, NATIVE).expect("a page");
    let mut entries = body.entries();
    while let Some(entry) = entries.next() {
        if let ProtobufEntry::Plain(Entry::Series { value, .. }) = entry {
            assert!(model::sample::is_stale_nan(value));
            return;
        }
    }
    panic!("no sample");
}
