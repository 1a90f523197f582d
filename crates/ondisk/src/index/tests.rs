//! Round trips, order checks, upstream's version 1 fixture, damage.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::*;
use crate::segment::{self, ChunkRef};

fn chunk(min_time: i64, max_time: i64, offset: u32) -> ChunkMeta {
    ChunkMeta {
        min_time,
        max_time,
        chunk: ChunkRef::new(0, offset),
    }
}

/// 200 series with a wide label, so that several strides of the tables are in use.
fn example() -> Vec<u8> {
    let mut symbols: Vec<String> = (0..200).map(|i| format!("v{i:03}")).collect();
    symbols.extend(["__name__", "up", "wide", "half", "yes"].map(str::to_owned));
    symbols.sort();
    let mut writer = IndexWriter::new(Vec::new()).unwrap();
    for symbol in &symbols {
        writer.add_symbol(symbol).unwrap();
    }
    let number = |s: &str| symbols.binary_search_by(|x| x.as_str().cmp(s)).unwrap() as u32;
    let mut series = Vec::new();
    for i in 0..200 {
        let mut labels = vec![(number("__name__"), number("up"))];
        if i % 2 == 0 {
            labels.push((number("half"), number("yes")));
        }
        labels.push((number("wide"), number(&format!("v{i:03}"))));
        series.push((labels, i));
    }
    series.sort();
    for (at, (labels, i)) in series.iter().enumerate() {
        let at = at as u32 * 100;
        let chunks = [chunk(*i - 100, *i, 8 + at), chunk(*i + 5, *i + 9, 50 + at)];
        writer.add_series(labels, &chunks).unwrap();
    }
    let (bytes, len) = writer.finish().unwrap();
    assert_eq!(bytes.len() as u64, len);
    bytes
}

#[test]
fn what_is_written_is_read() {
    let reader = IndexReader::open(example().into()).unwrap();
    assert_eq!(reader.version(), 2);
    assert_eq!(
        reader.label_names().collect::<Vec<_>>(),
        ["__name__", "half", "wide"]
    );
    assert_eq!(reader.all_postings().unwrap().len(), 200);
    assert_eq!(reader.postings("half", "yes").unwrap().len(), 100);
    assert_eq!(reader.postings("half", "no").unwrap().len(), 0);
    assert_eq!(reader.value_count("wide"), 200);
    let mut entry = SeriesEntry::default();
    for i in 0..200i64 {
        let value = format!("v{i:03}");
        let list = reader.postings("wide", &value).unwrap();
        assert_eq!(list.len(), 1, "{value}");
        reader
            .series(list.iter().next().unwrap(), &mut entry)
            .unwrap();
        assert_eq!(reader.labels(&entry).unwrap().get("wide"), Some(&*value));
        assert_eq!(
            (entry.chunks[0].min_time, entry.chunks[1].max_time),
            (i - 100, i + 9)
        );
    }
    let mut seen = Vec::new();
    reader
        .for_values("wide", "v1905", |v, _| {
            seen.push(v.to_owned());
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(seen.first().map(String::as_str), Some("v191"));
    assert_eq!(seen.len(), 9);
    assert_eq!(reader.symbols().count(), 205);
    for (reference, symbol) in reader.symbols() {
        assert_eq!(reader.symbol(reference).unwrap(), symbol);
    }
}

#[test]
fn an_empty_index() {
    let (bytes, _) = IndexWriter::new(Vec::new()).unwrap().finish().unwrap();
    let reader = IndexReader::open(bytes.into()).unwrap();
    assert!(reader.all_postings().unwrap().is_empty());
    assert_eq!(reader.label_names().count(), 0);
}

#[test]
fn order_is_checked() {
    let mut writer = IndexWriter::new(Vec::new()).unwrap();
    for symbol in ["a", "b"] {
        writer.add_symbol(symbol).unwrap();
    }
    assert!(matches!(
        writer.add_symbol("b"),
        Err(WriteError::SymbolOrder(_))
    ));
    writer.add_series(&[(0, 1)], &[chunk(0, 5, 8)]).unwrap();
    let err = writer.add_series(&[(0, 0)], &[]).unwrap_err();
    assert_eq!(
        err.to_string(),
        "out-of-order series added with label set {a=\"a\"}"
    );
    let overlap = writer.add_series(&[(1, 1)], &[chunk(0, 5, 90), chunk(5, 9, 99)]);
    assert!(matches!(overlap, Err(WriteError::ChunkTimes { .. })));
    let back = writer.add_series(&[(1, 1)], &[chunk(0, 5, 7)]);
    assert!(matches!(back, Err(WriteError::ChunkOrder { .. })));
    assert!(matches!(
        writer.add_series(&[(1, 9)], &[]),
        Err(WriteError::UnknownSymbol(9))
    ));
}

fn touch(file: Vec<u8>) -> Result<(), IndexError> {
    let reader = IndexReader::open(file.into())?;
    let mut entry = SeriesEntry::default();
    for reference in reader.all_postings()?.iter() {
        reader.series(reference, &mut entry)?;
        reader.labels(&entry)?;
    }
    let names: Vec<String> = reader.label_names().map(str::to_owned).collect();
    for name in names {
        let mut lists = Vec::new();
        reader.for_values(&name, "", |_, list| {
            lists.push(list);
            std::ops::ControlFlow::Continue(())
        })?;
        for list in lists {
            reader.postings_at(list)?;
        }
    }
    Ok(())
}

#[test]
fn every_flipped_bit_in_a_section_is_found() {
    let file = example();
    touch(file.clone()).unwrap();
    let mut unnoticed = 0;
    for bit in (0..file.len() * 8).step_by(5) {
        let mut damaged = file.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        unnoticed += usize::from(touch(damaged).is_ok());
    }
    // Padding before series entries, and the version byte turning 2 into 3, are all that checksums do not cover.
    let padding = 200 * 16 * 8 / 5;
    assert!(unnoticed < padding, "{unnoticed}");
    for cut in (0..file.len()).step_by(97) {
        assert!(touch(file[..cut].to_vec()).is_err(), "cut at {cut}");
    }
}

/// Conformance data beside the project; tests say so when it is not there.
fn conformance(path: &str) -> Option<PathBuf> {
    let full = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/conformance")
        .join(path);
    if !full.exists() {
        eprintln!("skipped: conformance data {path} is not there");
        return None;
    }
    Some(full)
}

#[test]
fn upstreams_version_1_block() {
    let Some(dir) = conformance("tsdb/index_format_v1") else {
        return;
    };
    let read = |name: &str| Bytes::from(std::fs::read(dir.join(name)).unwrap());
    let reader = IndexReader::open(read("index")).unwrap();
    assert_eq!(reader.version(), 1);
    let chunks = read("chunks/000001");
    segment::check_header(&chunks).unwrap();
    let mut entry = SeriesEntry::default();
    let mut values = Vec::new();
    let all = reader.all_postings().unwrap();
    assert_eq!(all.len(), 102);
    for reference in all.iter() {
        reader.series(reference, &mut entry).unwrap();
        reader.labels(&entry).unwrap();
        for meta in &entry.chunks {
            let (encoding, data) = segment::chunk_at(&chunks, meta.chunk.offset()).unwrap();
            let mut times = Vec::new();
            crate::chunk::decode_floats_into(encoding, &data, &mut times, &mut values).unwrap();
            assert_eq!(
                (times[0], times[times.len() - 1]),
                (meta.min_time, meta.max_time)
            );
        }
    }
    assert_eq!(values.len(), 102);
    assert_eq!(values.iter().sum::<f64>(), 6.0);
    for name in reader.label_names() {
        let mut last = String::new();
        reader
            .for_values(name, "", |value, list| {
                assert!(last.as_str() < value);
                last = value.to_owned();
                assert!(!reader.postings_at(list).unwrap().is_empty());
                assert_eq!(reader.postings_offset(name, value).unwrap(), Some(list));
                std::ops::ControlFlow::Continue(())
            })
            .unwrap();
    }
    let tombstones = crate::tombstones::Tombstones::from_bytes(&read("tombstones")).unwrap();
    assert!(tombstones.is_empty());
    crate::meta::Meta::from_json(&read("meta.json")).unwrap();
}

#[test]
fn overlapping_chunks_of_a_thanos_block_are_seen() {
    let Some(dir) = conformance("tsdb/thanos-out_of_order_chunks") else {
        return;
    };
    let reader = IndexReader::open(std::fs::read(dir.join("index")).unwrap().into()).unwrap();
    let mut entry = SeriesEntry::default();
    let mut overlaps = 0;
    for reference in reader.all_postings().unwrap().iter() {
        reader.series(reference, &mut entry).unwrap();
        overlaps += entry
            .chunks
            .windows(2)
            .filter(|w| w[1].min_time <= w[0].max_time)
            .count();
    }
    assert!(overlaps > 0);
}
