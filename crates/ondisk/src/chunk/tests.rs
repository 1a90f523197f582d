//! Golden bytes, round trips and damaged chunks.

use std::sync::Arc;

use model::sample::stale_nan;
use model::{FloatHistogram, Histogram, ResetHint, Span};
use proptest::prelude::*;

use super::*;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn floats(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut buf = Vec::new();
    let mut app = XorAppender::start(&mut buf);
    for &(t, v) in samples {
        app.append(&mut buf, t, v).unwrap();
    }
    app.seal(&mut buf);
    buf
}

fn read_floats(data: &[u8]) -> Vec<(i64, u64)> {
    let mut iter = ChunkIter::new(Encoding::Xor, data).unwrap();
    let mut out = Vec::new();
    while iter.next().unwrap().is_some() {
        let (t, v) = iter.at_float();
        out.push((t, v.to_bits()));
    }
    let (mut ts, mut vs) = (Vec::new(), Vec::new());
    decode_floats_into(Encoding::Xor, data, &mut ts, &mut vs).unwrap();
    let columns: Vec<_> = ts.into_iter().zip(vs.iter().map(|v| v.to_bits())).collect();
    assert_eq!(out, columns);
    out
}

#[test]
fn xor_golden_bytes() {
    let samples = [
        (1000, 1.0),
        (16000, 1.0),
        (31000, 2.0),
        (46001, 2.0),
        (61000, 3.5),
    ];
    let data = floats(&samples);
    assert_eq!(
        hex(&data),
        "0005d00f3ff000000000000098753097ffe00057ffdb02c0"
    );
    assert_eq!(
        read_floats(&data),
        samples.map(|(t, v): (i64, f64)| (t, v.to_bits()))
    );
    // Upstream's fixture of index format 1 has such chunks, with the spare byte that old writers left.
    let one = |t, v: f64| vec![(t, v.to_bits())];
    assert_eq!(
        read_floats(&[0, 1, 2, 0x40, 0, 0, 0, 0, 0, 0, 0, 0]),
        one(1, 2.0)
    );
    assert_eq!(
        read_floats(&[0, 1, 6, 0x40, 0x10, 0, 0, 0, 0, 0, 0, 0]),
        one(3, 4.0)
    );
}

#[test]
fn a_prefix_is_a_chunk() {
    let samples = [(1000, 1.0), (16000, 1.5), (31000, 2.0)];
    let data = floats(&samples);
    let short = first_samples(Encoding::Xor, &data, 2);
    assert_eq!(read_floats(&short).len(), 2);
}

fn histogram(buckets: &[(i64, i64)], sum: f64) -> Histogram {
    let spans = layout::spans_of(buckets.iter().map(|b| b.0)).unwrap();
    let counts: Vec<i64> = buckets.iter().map(|b| b.1).collect();
    Histogram {
        schema: 1,
        zero_threshold: 0.001,
        zero_count: 2,
        count: counts.iter().sum::<i64>() as u64 + 2,
        sum,
        positive_spans: spans,
        positive_buckets: layout::deltas(&counts),
        ..Histogram::default()
    }
}

fn absolute_of(h: &Histogram) -> Vec<(i64, i64)> {
    layout::indexes(&h.positive_spans)
        .zip(layout::absolute(&h.positive_buckets))
        .filter(|(_, v)| *v != 0)
        .collect()
}

#[test]
fn histograms_gain_buckets_and_end_stale() {
    let samples = [
        histogram(&[(0, 1), (1, 2), (5, 1)], 10.0),
        histogram(&[(0, 1), (1, 2), (5, 4)], 12.5),
        histogram(&[(-3, 7), (0, 2), (1, 2), (4, 1), (5, 4)], 13.0),
        histogram(&[(-3, 7), (0, 2), (1, 3), (4, 1), (5, 4)], 14.0),
    ];
    let mut buf = Vec::new();
    let mut app = HistogramAppender::start(&mut buf, ResetHeader::Unknown, 1000, &samples[0]);
    for (i, h) in samples.iter().enumerate().skip(1) {
        assert_eq!(app.plan(&buf, h), Plan::Append, "sample {i}");
        app.append(&mut buf, 1000 + i as i64 * 15_000, h).unwrap();
        assert!(app.last_equals(h));
    }
    let stale = Histogram {
        sum: stale_nan(),
        ..Histogram::default()
    };
    assert_eq!(app.plan(&buf, &stale), Plan::Append);
    app.append(&mut buf, 70_000, &stale).unwrap();
    assert_eq!(
        app.plan(&buf, &samples[3]),
        Plan::NewChunk(ResetHeader::Unknown)
    );

    let mut iter = ChunkIter::new(Encoding::Histogram, &buf[..]).unwrap();
    for (i, h) in samples.iter().enumerate() {
        assert_eq!(iter.next().unwrap(), Some(ValueKind::Histogram));
        let (t, got) = iter.at_histogram();
        assert_eq!(t, 1000 + i as i64 * 15_000);
        assert_eq!(absolute_of(&got), absolute_of(h));
        assert_eq!(
            (got.count, got.zero_count, got.sum),
            (h.count, h.zero_count, h.sum)
        );
        let hint = if i == 0 {
            ResetHint::Unknown
        } else {
            ResetHint::NotCounterReset
        };
        assert_eq!(got.reset_hint, hint);
    }
    assert_eq!(iter.next().unwrap(), Some(ValueKind::Histogram));
    assert_eq!(iter.at_histogram().1.sum.to_bits(), stale_nan().to_bits());
    assert_eq!(iter.next().unwrap(), None);
}

#[test]
fn histogram_resets_are_seen() {
    let h = histogram(&[(0, 3), (1, 2)], 10.0);
    let mut buf = Vec::new();
    let app = HistogramAppender::start(&mut buf, ResetHeader::Unknown, 1000, &h);
    let reset = Plan::NewChunk(ResetHeader::Reset);
    assert_eq!(app.plan(&buf, &histogram(&[(0, 2), (1, 1)], 9.0)), reset);
    assert_eq!(app.plan(&buf, &histogram(&[(0, 9)], 9.0)), reset);
    assert_eq!(app.plan(&buf, &histogram(&[(0, 1), (1, 9)], 9.0)), reset);
    let finer = Histogram {
        schema: 2,
        ..h.clone()
    };
    assert_eq!(app.plan(&buf, &finer), Plan::NewChunk(ResetHeader::Unknown));
    let gauge = Histogram {
        reset_hint: ResetHint::Gauge,
        ..h.clone()
    };
    assert_eq!(app.plan(&buf, &gauge), Plan::NewChunk(ResetHeader::Gauge));
    let float = h.to_float();
    let mut fbuf = Vec::new();
    let app = FloatHistogramAppender::start(&mut fbuf, ResetHeader::Unknown, 1000, &float);
    assert!(app.last_equals(&float));
    assert_eq!(
        app.plan(&fbuf, &histogram(&[(0, 2), (1, 1)], 9.0).to_float()),
        reset
    );
    assert_eq!(
        app.plan(&fbuf, &histogram(&[(0, 3), (1, 9)], 9.0).to_float()),
        Plan::Append
    );
}

#[test]
fn custom_bounds_and_float_histograms() {
    let h = FloatHistogram {
        schema: model::histogram::CUSTOM_BUCKETS_SCHEMA,
        count: 7.5,
        sum: 3.25,
        positive_spans: vec![Span {
            offset: 0,
            length: 3,
        }],
        positive_buckets: vec![1.5, 2.0, 4.0],
        custom_values: Some(Arc::from([0.005, 0.1234567, 1e9])),
        ..FloatHistogram::default()
    };
    let mut buf = Vec::new();
    let mut app = FloatHistogramAppender::start(&mut buf, ResetHeader::Reset, -5, &h);
    let mut more = h.clone();
    more.count += 1.0;
    more.positive_buckets[2] += 1.0;
    assert_eq!(app.plan(&buf, &more), Plan::Append);
    app.append(&mut buf, 10, &more).unwrap();
    let mut iter = ChunkIter::new(Encoding::FloatHistogram, &buf[..]).unwrap();
    for (t, want) in [(-5, &h), (10, &more)] {
        assert_eq!(iter.next().unwrap(), Some(ValueKind::FloatHistogram));
        let (at, got) = iter.at_float_histogram();
        assert_eq!(at, t);
        assert_eq!(got.custom_values.as_deref(), want.custom_values.as_deref());
        assert_eq!(got.positive_buckets, want.positive_buckets);
        assert_eq!((got.count, got.sum), (want.count, want.sum));
    }
}

#[test]
fn xor2_is_read() {
    // Hand-coded by the sheet: t=1000 v=1; +15000 same; dod 0 and unchanged; dod 0 and stale; dod 1 and back to the
    // baseline.
    let mut buf = vec![0, 5, 0];
    let mut tail = crate::bits::BitTail::aligned();
    tail.put_varint(&mut buf, 1000);
    tail.put(&mut buf, 1f64.to_bits(), 64);
    tail.put_uvarint(&mut buf, 15_000);
    tail.put(&mut buf, 0, 1);
    tail.put(&mut buf, 0, 1);
    tail.put(&mut buf, 0b11111, 5);
    tail.put(&mut buf, 0b110, 3);
    tail.put(&mut buf, 1, 13);
    tail.put(&mut buf, 0, 1);
    let (mut ts, mut vs) = (Vec::new(), Vec::new());
    decode_floats_into(Encoding::Xor2, &buf, &mut ts, &mut vs).unwrap();
    assert_eq!(ts, [1000, 16_000, 31_000, 46_000, 61_001]);
    let bits: Vec<u64> = vs.iter().map(|v| v.to_bits()).collect();
    let one = 1f64.to_bits();
    assert_eq!(bits, [one, one, one, stale_nan().to_bits(), one]);
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (0..100i32).prop_map(f64::from),
        Just(stale_nan()),
        Just(0.0),
    ]
}

fn drain(encoding: Encoding, data: &[u8]) {
    if let Ok(mut iter) = ChunkIter::new(encoding, data) {
        while let Ok(Some(_)) = iter.next() {
            iter.at_float();
            iter.at_histogram();
            iter.at_float_histogram();
            iter.start_time();
        }
    }
    let (mut ts, mut vs) = (Vec::new(), Vec::new());
    let _ = decode_floats_into(encoding, data, &mut ts, &mut vs);
    assert_eq!(ts.len(), vs.len());
}

const ALL: [Encoding; 6] = [
    Encoding::Xor,
    Encoding::Histogram,
    Encoding::FloatHistogram,
    Encoding::Xor2,
    Encoding::HistogramSt,
    Encoding::FloatHistogramSt,
];

proptest! {
    #[test]
    fn floats_round_trip(
        start in any::<i32>(),
        steps in prop::collection::vec((1u64..40_000_000, value()), 0..200),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut t = i64::from(start);
        let samples: Vec<(i64, f64)> = steps.into_iter().map(|(d, v)| { t += d as i64; (t, v) }).collect();
        let data = floats(&samples);
        let bits: Vec<_> = samples.iter().map(|(t, v)| (*t, v.to_bits())).collect();
        prop_assert_eq!(read_floats(&data), bits.clone());
        // Trailing bytes change nothing.
        let mut longer = data.clone();
        longer.extend_from_slice(&[0, 0xff]);
        prop_assert_eq!(read_floats(&longer), bits.clone());
        // Closed and opened again in the middle.
        let cut = if samples.is_empty() { 0 } else { cut.index(samples.len()) };
        let mut buf = floats(&samples[..cut]);
        buf.push(0);
        let mut app = XorAppender::resume(&mut buf).unwrap();
        for &(t, v) in &samples[cut..] {
            app.append(&mut buf, t, v).unwrap();
        }
        app.seal(&mut buf);
        prop_assert_eq!(read_floats(&buf), bits);
    }

    #[test]
    fn any_bytes_are_survived(data in prop::collection::vec(any::<u8>(), 0..300)) {
        for encoding in ALL {
            drain(encoding, &data);
        }
    }

    #[test]
    fn damaged_chunks_are_survived(
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut hbuf = Vec::new();
        let h = histogram(&[(0, 1), (1, 2), (5, 1)], 10.0);
        let mut app = HistogramAppender::start(&mut hbuf, ResetHeader::Unknown, 1000, &h);
        for i in 1..20 {
            app.append(&mut hbuf, i * 3000, &h).unwrap();
        }
        let mut fbuf = Vec::new();
        FloatHistogramAppender::start(&mut fbuf, ResetHeader::Unknown, 1000, &h.to_float());
        let xbuf = floats(&(0..100).map(|i| (i * 1000, (i as f64).sqrt())).collect::<Vec<_>>());
        for mut data in [hbuf, fbuf, xbuf] {
            for (at, byte) in &flips {
                let i = at.index(data.len());
                data[i] ^= byte;
            }
            data.truncate(cut.index(data.len()) + 1);
            for encoding in ALL {
                drain(encoding, &data);
            }
            let mut again = data.clone();
            let _ = XorAppender::resume(&mut again);
        }
    }
}
