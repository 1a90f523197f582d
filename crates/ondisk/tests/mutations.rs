//! Decoders against damaged bytes of every format, from fixed seeds: nothing panics, hangs, or takes memory beyond a
//! multiple of what it reads. The long form is `fuzz/`, which shares `support/decode.rs`.
//!
//! `TITAN_FUZZ_ROUNDS` sets the rounds a format, `TITAN_FUZZ_FROM` the first; a failure prints its round.

#[path = "support/decode.rs"]
mod decode;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use decode::{FORMATS, Format, decode, sealed};
use model::{Exemplar, FloatHistogram, Histogram, Labels, Metadata, Span};
use ondisk::chunk::{
    Encoding, FloatHistogramAppender, HistogramAppender, ResetHeader, XorAppender,
};
use ondisk::head_chunks;
use ondisk::index::{ChunkMeta, IndexWriter};
use ondisk::log::{Compression, Packed, frame};
use ondisk::meta::{Meta, Ulid};
use ondisk::record::{
    self, AnyHistogram, RecordKind, RefExemplar, RefHistogram, RefMarker, RefSample, RefTombstone,
    SeriesRecord,
};
use ondisk::segment::{self, ChunkRef};
use ondisk::tombstones::{Interval, Tombstones};

/// The system's allocator, which counts what a thread holds.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn note(change: isize) {
    // A thread that ends has no cells any more; nobody looks at it then.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: everything is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Small steps of a seeded generator.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % n.max(1) as u64) as usize
    }
}

fn histogram(n: u64) -> Histogram {
    Histogram {
        schema: 1,
        count: 4 * n,
        zero_count: n,
        zero_threshold: 0.001,
        sum: n as f64 * 1.5,
        positive_spans: vec![
            Span {
                offset: 1,
                length: 2,
            },
            Span {
                offset: 3,
                length: 1,
            },
        ],
        positive_buckets: vec![n as i64, 0, 0],
        ..Histogram::default()
    }
}

fn custom(n: u64) -> FloatHistogram {
    FloatHistogram {
        schema: -53,
        count: 2.0 * n as f64,
        sum: 1.0,
        custom_values: Some([0.1, 1.0, 1e9].into()),
        positive_spans: vec![Span {
            offset: 0,
            length: 2,
        }],
        positive_buckets: vec![n as f64, n as f64],
        ..FloatHistogram::default()
    }
}

/// Chunks of all encodings that are written.
fn chunks() -> Vec<(Encoding, Vec<u8>)> {
    let mut xor = Vec::new();
    let mut app = XorAppender::start(&mut xor);
    for i in 0..120i64 {
        let v = if i % 50 == 49 {
            model::sample::stale_nan()
        } else {
            (i as f64).sqrt()
        };
        app.append(&mut xor, i * 15_000 + i % 7, v).unwrap();
    }
    app.seal(&mut xor);
    let mut int = Vec::new();
    let mut app = HistogramAppender::start(&mut int, ResetHeader::Unknown, 1000, &histogram(1));
    for i in 2..30u64 {
        app.append(&mut int, i as i64 * 1000, &histogram(i))
            .unwrap();
    }
    let mut float = Vec::new();
    let mut app = FloatHistogramAppender::start(&mut float, ResetHeader::Unknown, 1000, &custom(1));
    for i in 2..30u64 {
        app.append(&mut float, i as i64 * 1000, &custom(i)).unwrap();
    }
    // A byte behind the count makes the layout of the newer encodings: no start times.
    let with_start = |data: &[u8]| [&data[..2], &[0], &data[2..]].concat();
    vec![
        (Encoding::Xor, xor.clone()),
        (Encoding::Histogram, int.clone()),
        (Encoding::FloatHistogram, float.clone()),
        (Encoding::Xor2, with_start(&xor)),
        (Encoding::HistogramSt, int),
        (Encoding::FloatHistogramSt, float),
    ]
}

fn records() -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    let mut series = SeriesRecord::default();
    for i in 0..20u64 {
        series.push(
            i + 1,
            [("__name__", "up"), ("job", "a"), ("instance", "host:9090")].into_iter(),
        );
    }
    all.push(series.into_bytes());
    let mut buf = Vec::new();
    record::put_samples(&mut buf, (1..50).map(|i| (i, i as i64 * 7 - 3, i as f64)));
    all.push(std::mem::take(&mut buf));
    let samples: Vec<RefSample> = (1..50)
        .map(|i| RefSample {
            series: i,
            t: 1000,
            value: 1.5,
            start: (i % 3) as i64 * 100,
        })
        .collect();
    record::put_samples_v2(&mut buf, &samples);
    all.push(std::mem::take(&mut buf));
    let interval = Interval {
        min: -5,
        max: 1 << 40,
    };
    record::put_tombstones(
        &mut buf,
        &[RefTombstone {
            series: 3,
            interval,
        }; 4],
    );
    all.push(std::mem::take(&mut buf));
    let exemplar = Exemplar {
        labels: Labels::from_pairs([("trace_id", "abc")]),
        value: 1.0,
        timestamp: Some(5),
    };
    let exemplar = RefExemplar {
        series: 9,
        t: 5,
        value: 1.0,
        labels: exemplar.labels,
    };
    record::put_exemplars(&mut buf, &vec![exemplar; 5]);
    all.push(std::mem::take(&mut buf));
    record::put_markers(
        &mut buf,
        &[RefMarker {
            series: 1,
            chunk: 1 << 33,
        }; 3],
    );
    all.push(std::mem::take(&mut buf));
    let metadata = Metadata {
        help: "what it is".into(),
        unit: "seconds".into(),
        ..Metadata::default()
    };
    record::put_metadata(&mut buf, [(1, &metadata), (300, &metadata)]);
    all.push(std::mem::take(&mut buf));
    for (kind, h) in [
        (RecordKind::Histograms, AnyHistogram::Integer(histogram(3))),
        (
            RecordKind::FloatHistograms,
            AnyHistogram::Float(histogram(3).to_float()),
        ),
        (
            RecordKind::CustomFloatHistograms,
            AnyHistogram::Float(custom(3)),
        ),
    ] {
        let list: Vec<RefHistogram> = (1..6)
            .map(|i| RefHistogram {
                series: i,
                t: i as i64,
                start: 0,
                histogram: h.clone(),
            })
            .collect();
        record::put_histograms(&mut buf, kind, list.iter());
        all.push(buf.clone());
        // The same body under the numbers of the second generation.
        for number in [12, 13] {
            buf[0] = number;
            all.push(buf.clone());
        }
        buf.clear();
    }
    all
}

fn index() -> Vec<u8> {
    let mut symbols: Vec<String> = (0..60).map(|i| format!("v{i:02}")).collect();
    symbols.extend(["__name__", "up", "wide"].map(str::to_owned));
    symbols.sort();
    let mut writer = IndexWriter::new(Vec::new()).unwrap();
    for symbol in &symbols {
        writer.add_symbol(symbol).unwrap();
    }
    let number = |s: &str| symbols.binary_search_by(|x| x.as_str().cmp(s)).unwrap() as u32;
    for i in 0..60u32 {
        let labels = [
            (number("__name__"), number("up")),
            (number("wide"), number(&format!("v{i:02}"))),
        ];
        let at = |k: u32| ChunkMeta {
            min_time: i64::from(k) * 100,
            max_time: i64::from(k) * 100 + 50,
            chunk: ChunkRef::new(0, 8 + i * 100 + k),
        };
        writer.add_series(&labels, &[at(0), at(1)]).unwrap();
    }
    writer.finish().unwrap().0
}

/// Right files of a format.
fn corpus(format: Format) -> Vec<Vec<u8>> {
    match format {
        Format::Chunk => chunks()
            .into_iter()
            .map(|(encoding, data)| [&[encoding.to_byte()], &data[..]].concat())
            .collect(),
        Format::Record => records(),
        Format::Log => [Compression::None, Compression::Snappy, Compression::Zstd]
            .into_iter()
            .map(|compression| {
                let mut out = Vec::new();
                for record in records() {
                    frame(
                        &Packed::new(record, compression),
                        out.len() as u64,
                        &mut out,
                    );
                }
                out
            })
            .collect(),
        Format::HeadChunks => {
            let mut out = head_chunks::HEADER.to_vec();
            for (encoding, data) in chunks() {
                head_chunks::put_record(&mut out, 7, 0, 1000, encoding.to_byte(), &data);
            }
            out.extend([0; 100]);
            vec![out]
        }
        Format::Segment => {
            let mut out = segment::HEADER.to_vec();
            for (encoding, data) in chunks() {
                segment::put_chunk(&mut out, encoding, &data);
            }
            vec![out]
        }
        Format::Index => vec![index()],
        Format::Tombstones => {
            let mut t = Tombstones::default();
            for i in 0..20 {
                t.add(
                    i,
                    Interval {
                        min: i as i64 * 10,
                        max: i as i64 * 20,
                    },
                );
            }
            vec![t.to_bytes(), Tombstones::default().to_bytes()]
        }
        Format::Meta => {
            let mut meta = Meta::new(Ulid::new(1_700_000_000_000, [7; 10]), 0, 7_200_000);
            meta.compaction.hints = vec!["from-out-of-order".into()];
            meta.compaction.parents = vec![meta.as_parent()];
            let thanos = r#"{"ulid":"01M86YJYEVJWC70CYNBVDP1JNM","minTime":1,"maxTime":2,"stats":{},"compaction":{"level":1,"sources":["01M86YJYEVJWC70CYNBVDP1JNM"]},"version":1,"thanos":{"labels":{"a":"b"},"downsample":{"resolution":0},"source":"sidecar"}}"#;
            vec![meta.to_json(), thanos.as_bytes().to_vec()]
        }
    }
}

fn mutate(bytes: &mut Vec<u8>, chance: &mut Chance) {
    for _ in 0..=chance.below(4) {
        let len = bytes.len();
        if len == 0 {
            return;
        }
        let at = chance.below(len);
        match chance.below(8) {
            0..=2 => bytes[at] ^= 1 << chance.below(8),
            3 => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][chance.below(5)],
            4 => bytes.truncate(at),
            5 => {
                let n = chance.below(20).min(len - at);
                bytes.drain(at..at + n);
            }
            6 => {
                let n = chance.below(12);
                let fill = [0xff, 0x80, 0][chance.below(3)];
                bytes.splice(at..at, std::iter::repeat_n(fill, n));
            }
            _ => {
                let n = chance.below(40).min(len - at);
                let part = bytes[at..at + n].to_vec();
                let to = chance.below(len);
                bytes.splice(to..to, part);
            }
        }
    }
}

fn number(name: &str, default: u64) -> u64 {
    let value = std::env::var(name).ok().and_then(|v| v.parse().ok());
    value.unwrap_or(default)
}

#[test]
fn what_is_right_is_read() {
    for format in FORMATS {
        for bytes in corpus(format) {
            // The empty file of tombstones, and bodies under another kind's number.
            let may_be_empty = bytes.len() == 9 || (format == Format::Record && bytes[0] > 11);
            let seen = decode(format, &bytes);
            assert!(seen > 0 || may_be_empty, "{format:?} {bytes:?}");
            let again = sealed(format, &bytes);
            assert!(again == bytes, "{format:?}: sealing changes nothing");
        }
    }
}

#[test]
fn damaged_bytes_of_every_format_are_survived() {
    let long = std::env::var_os("TITAN_LONG_TESTS").is_some();
    let from = number("TITAN_FUZZ_FROM", 0);
    let rounds = number("TITAN_FUZZ_ROUNDS", if long { 500_000 } else { 6000 });
    for format in FORMATS {
        let corpus = corpus(format);
        let (mut deep, mut worst) = (0u64, 0.0f64);
        for round in from..from + rounds {
            let mut chance = Chance(round.wrapping_mul(0x0123_4567_89ab_cdef) ^ format as u64);
            let mut bytes = corpus[chance.below(corpus.len())].clone();
            mutate(&mut bytes, &mut chance);
            let bytes = if round % 8 == 0 {
                bytes
            } else {
                sealed(format, &bytes)
            };
            let before = HELD.get();
            PEAK.set(before);
            let run = std::panic::AssertUnwindSafe(|| decode(format, &bytes));
            let got = std::panic::catch_unwind(run);
            let Ok(got) = got else {
                panic!("{format:?}, round {round}: TITAN_FUZZ_FROM={round} TITAN_FUZZ_ROUNDS=1")
            };
            deep += u64::from(got > 0);
            let taken = (PEAK.get() - before) as f64;
            let times = taken / (bytes.len() + 1024) as f64;
            worst = worst.max(times);
            // A packed record may promise megabytes in a few bytes, and needs a window for them.
            let bounded = times < 100.0 || (format == Format::Log && taken < (64 << 20) as f64);
            assert!(
                bounded,
                "{format:?}, round {round}: took {times} times its size"
            );
        }
        eprintln!("{format:?}: {deep} of {rounds} got somewhere; at most {worst:.1} bytes a byte");
        // The gate is worth something only while a good part gets behind the checksums.
        assert!(
            rounds < 1000 || deep > rounds / 20,
            "{format:?}: {deep} of {rounds}"
        );
    }
}
