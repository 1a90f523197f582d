//! Bytes of layouts newer than the real programs that tests run beside ours; see `golden/README.md`.

use ondisk::chunk::{ChunkIter, Encoding, ValueKind, decode_floats_into};
use ondisk::record::{self, AnyHistogram};

struct Golden {
    bytes: Vec<u8>,
    rows: Vec<Vec<String>>,
}

fn golden(name: &str) -> Golden {
    let root = env!("CARGO_MANIFEST_DIR");
    let path = format!("{root}/tests/golden/{name}.txt");
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let hex = lines.next().unwrap();
    let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
    Golden {
        bytes: (0..hex.len()).step_by(2).map(byte).collect(),
        rows: lines
            .map(|line| line.split(' ').map(str::to_owned).collect())
            .collect(),
    }
}

#[test]
fn xor2() {
    for name in ["xor2", "xor2-127", "xor2-first"] {
        let golden = golden(name);
        let mut iter = ChunkIter::new(Encoding::Xor2, &golden.bytes[..]).unwrap();
        let (mut times, mut values) = (Vec::new(), Vec::new());
        decode_floats_into(Encoding::Xor2, &golden.bytes, &mut times, &mut values).unwrap();
        for (i, row) in golden.rows.iter().enumerate() {
            assert_eq!(iter.next().unwrap(), Some(ValueKind::Float), "{name} {i}");
            let (t, v) = iter.at_float();
            let got = [
                t.to_string(),
                format!("{:016x}", v.to_bits()),
                iter.start_time().to_string(),
            ];
            assert_eq!(&got[..], &row[..], "{name} {i}");
            assert_eq!(
                (times[i], values[i].to_bits()),
                (t, v.to_bits()),
                "{name} {i}"
            );
        }
        assert_eq!(iter.next().unwrap(), None, "{name}");
    }
}

#[test]
fn histogram_with_start_times() {
    let golden = golden("histogram-st");
    let mut iter = ChunkIter::new(Encoding::HistogramSt, &golden.bytes[..]).unwrap();
    for row in &golden.rows {
        assert_eq!(iter.next().unwrap(), Some(ValueKind::Histogram));
        let (t, h) = iter.at_histogram();
        let mut bucket = 0;
        let buckets: Vec<String> = h
            .positive_buckets
            .iter()
            .map(|delta| {
                bucket += delta;
                bucket.to_string()
            })
            .collect();
        let got = [
            t.to_string(),
            h.count.to_string(),
            h.zero_count.to_string(),
            format!("{:?}", h.sum),
            buckets.join(","),
            iter.start_time().to_string(),
        ];
        assert_eq!(&got[..], &row[..]);
    }
    assert_eq!(iter.next().unwrap(), None);
}

#[test]
fn samples_of_the_second_generation() {
    let golden = golden("samples-v2");
    let mut samples = Vec::new();
    record::samples(&golden.bytes, &mut samples).unwrap();
    let got: Vec<Vec<String>> = samples
        .iter()
        .map(|s| {
            let value = format!("{:016x}", s.value.to_bits());
            vec![
                s.series.to_string(),
                s.t.to_string(),
                s.start.to_string(),
                value,
            ]
        })
        .collect();
    assert_eq!(got, golden.rows);
    // These we write as well, in checkpoints.
    let mut again = Vec::new();
    record::put_samples_v2(&mut again, &samples);
    assert_eq!(again, golden.bytes);
}

#[test]
fn histograms_of_the_second_generation() {
    for name in ["histograms-v2", "float-histograms-v2"] {
        let golden = golden(name);
        let mut histograms = Vec::new();
        record::histograms(&golden.bytes, &mut histograms).unwrap();
        let got: Vec<Vec<String>> = histograms
            .iter()
            .map(|h| {
                let count = match &h.histogram {
                    AnyHistogram::Integer(h) => h.count.to_string(),
                    AnyHistogram::Float(h) => format!("{:?}", h.count),
                };
                vec![
                    h.series.to_string(),
                    h.t.to_string(),
                    h.start.to_string(),
                    h.histogram.schema().to_string(),
                    count,
                    format!("{:?}", h.histogram.sum()),
                ]
            })
            .collect();
        assert_eq!(got, golden.rows, "{name}");
    }
}
