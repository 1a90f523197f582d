//! Golden records, round trips, and bytes that are no records.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

const TWO: [RefSample; 2] = [
    RefSample {
        series: 1,
        t: 1000,
        value: 1.0,
        start: 0,
    },
    RefSample {
        series: 5,
        t: 995,
        value: 2.0,
        start: 500,
    },
];

#[test]
fn golden_bytes() {
    let mut series_record = SeriesRecord::default();
    series_record.push(1, [("__name__", "up"), ("job", "a")].into_iter());
    let bytes = series_record.into_bytes();
    assert_eq!(
        hex(&bytes),
        "010000000000000001 02 085f5f6e616d655f5f 027570 036a6f62 0161".replace(' ', "")
    );
    let mut seen = Vec::new();
    series(&bytes, |r, pairs| {
        seen.push((r, Labels::from_refs(pairs).to_string()))
    })
    .unwrap();
    assert_eq!(seen, [(1, "{__name__=\"up\", job=\"a\"}".to_owned())]);

    let mut buf = Vec::new();
    put_samples(&mut buf, TWO.map(|s| (s.series, s.t, s.value)));
    let want = "02 0000000000000001 00000000000003e8 00 00 3ff0000000000000 08 09 4000000000000000";
    assert_eq!(hex(&buf), want.replace(' ', ""));
    let mut got = Vec::new();
    samples(&buf, &mut got).unwrap();
    assert_eq!(got, TWO.map(|s| RefSample { start: 0, ..s }));

    buf.clear();
    put_samples_v2(&mut buf, &TWO);
    let want = "0b 02 d00f 00 3ff0000000000000 08 09 02 e807 4000000000000000";
    assert_eq!(hex(&buf), want.replace(' ', ""));
    got.clear();
    samples(&buf, &mut got).unwrap();
    assert_eq!(got, TWO);
}

#[test]
fn the_others_round_trip() {
    let mut buf = Vec::new();
    let tombs = vec![RefTombstone {
        series: 7,
        interval: Interval::ALL,
    }];
    put_tombstones(&mut buf, &tombs);
    let mut got = Vec::new();
    tombstones(&buf, &mut got).unwrap();
    assert_eq!(got, tombs);

    buf.clear();
    let markers_in = vec![
        RefMarker {
            series: 3,
            chunk: 0,
        },
        RefMarker {
            series: 4,
            chunk: 1 << 33,
        },
    ];
    put_markers(&mut buf, &markers_in);
    let mut got = Vec::new();
    markers(&buf, &mut got).unwrap();
    assert_eq!(got, markers_in);

    buf.clear();
    let labels = Labels::from_pairs([("trace_id", "abc")]);
    let exemplars_in = vec![
        RefExemplar {
            series: 9,
            t: 50,
            value: 1.5,
            labels: labels.clone(),
        },
        RefExemplar {
            series: 2,
            t: 40,
            value: -1.5,
            labels,
        },
    ];
    put_exemplars(&mut buf, &exemplars_in);
    let mut got = Vec::new();
    exemplars(&buf, &mut got).unwrap();
    assert_eq!(got, exemplars_in);

    buf.clear();
    let m = Metadata {
        kind: MetricType::Counter,
        unit: "s".into(),
        help: "Seconds.".into(),
    };
    put_metadata(&mut buf, [(300, &m)]);
    let mut got = Vec::new();
    metadata(&buf, |r, m| got.push((r, m))).unwrap();
    assert_eq!(got, [(300, m)]);
}

fn integer() -> Histogram {
    Histogram {
        reset_hint: ResetHint::Gauge,
        schema: 3,
        zero_threshold: 0.25,
        zero_count: 4,
        count: 300,
        sum: -7.5,
        positive_spans: vec![
            Span {
                offset: -4,
                length: 2,
            },
            Span {
                offset: 9,
                length: 1,
            },
        ],
        negative_spans: vec![Span {
            offset: 0,
            length: 1,
        }],
        positive_buckets: vec![5, -2, 100],
        negative_buckets: vec![1],
        custom_values: None,
    }
}

#[test]
fn histograms_round_trip() {
    let mut custom = integer();
    custom.schema = CUSTOM_BUCKETS_SCHEMA;
    custom.custom_values = Some(Arc::from([1.0, 2.5]));
    for h in [integer(), custom] {
        for histogram in [
            AnyHistogram::Integer(h.clone()),
            AnyHistogram::Float(h.to_float()),
        ] {
            let kind = histogram_kind(&histogram);
            let sample = RefHistogram {
                series: 8,
                t: 123,
                start: 0,
                histogram,
            };
            let mut buf = Vec::new();
            put_histograms(&mut buf, kind, [&sample, &sample]);
            assert_eq!(RecordKind::of(&buf), Some(kind));
            let mut got = Vec::new();
            histograms(&buf, &mut got).unwrap();
            assert_eq!(format!("{got:?}"), format!("{:?}", [&sample, &sample]));
        }
    }
}

fn decode(bytes: &[u8]) {
    let _ = series(bytes, |_, pairs| drop(Labels::from_refs(pairs)));
    let _ = samples(bytes, &mut Vec::new());
    let _ = histograms(bytes, &mut Vec::new());
    let _ = tombstones(bytes, &mut Vec::new());
    let _ = exemplars(bytes, &mut Vec::new());
    let _ = markers(bytes, &mut Vec::new());
    let _ = metadata(bytes, |_, _| {});
}

proptest! {
    #[test]
    fn any_bytes_are_survived(kind in 0u8..20, mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        decode(&bytes);
        bytes.insert(0, kind);
        decode(&bytes);
    }

    #[test]
    fn damaged_histograms_are_survived(at in any::<prop::sample::Index>(), xor in any::<u8>(), cut in any::<prop::sample::Index>()) {
        let sample = RefHistogram { series: 8, t: 123, start: 0, histogram: AnyHistogram::Integer(integer()) };
        let mut buf = Vec::new();
        put_histograms(&mut buf, RecordKind::Histograms, [&sample]);
        let i = at.index(buf.len());
        buf[i] ^= xor;
        buf.truncate(cut.index(buf.len()) + 1);
        decode(&buf);
    }

    #[test]
    fn samples_round_trip(all in prop::collection::vec((any::<u64>(), any::<i64>(), any::<u64>()), 0..50)) {
        let mut buf = Vec::new();
        put_samples(&mut buf, all.iter().map(|s| (s.0, s.1, f64::from_bits(s.2))));
        let mut got = Vec::new();
        samples(&buf, &mut got).unwrap();
        let got: Vec<_> = got.iter().map(|s| (s.series, s.t, s.value.to_bits())).collect();
        prop_assert_eq!(got, all);
    }
}
