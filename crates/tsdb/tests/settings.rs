//! What a database can be told has its effect.

#[path = "support/site.rs"]
mod support;

use std::path::{Path, PathBuf};
use std::time::Duration;

use env::Disk as _;
use model::{FloatHistogram, Histogram, ResetHint};
use ondisk::log::Compression;
use storage::{
    AppendError, Appendable as _, HistogramSample, Queryable as _, SelectHints, TimeRange, Value,
};
use support::*;
use tsdb::{Db, Options, Retention};

fn hours(db: &Db, range: std::ops::Range<i64>) -> Samples {
    let mut want = Samples::new();
    for hour in range {
        merge(&mut want, fill(db, 3, hour * HOUR, 60, 60_000));
        db.maintain().unwrap();
    }
    want
}

#[test]
fn a_sidecar_holds_compaction_back_until_it_has_uploaded() {
    let list = PathBuf::from("/data/thanos.shipper.json");
    let site = Site::with(Options {
        delay_compact_file: Some(list.clone()),
        retention: Retention::none(),
        ..Site::new().options
    });
    site.disk.create_dir_all(Path::new("/data")).unwrap();
    let write = |text: &str| {
        let mut file = site.disk.create(&list).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        site.clock.advance(Duration::from_secs(61));
    };
    write(r#"{"version":1,"uploaded":[]}"#);
    let db = site.open();
    hours(&db, 0..20);
    assert!(db.metas().iter().all(|m| m.compaction.level == 1));
    let names: Vec<String> = db
        .metas()
        .iter()
        .map(|m| format!("\"{}\"", m.ulid))
        .collect();
    // The fifth block is missing from the list: what is before it may be merged, what is after it not.
    let uploaded = [&names[..4], &names[5..]].concat().join(",");
    write(&format!(r#"{{"version":1,"uploaded":[{uploaded}]}}"#));
    db.maintain().unwrap();
    let levels: Vec<u32> = db.metas().iter().map(|m| m.compaction.level).collect();
    assert_eq!(levels.iter().filter(|l| **l > 1).count(), 1, "{levels:?}");
    assert_eq!(levels[0], 2);
    // A file nobody can read holds nothing back.
    write("no json");
    db.maintain().unwrap();
    assert!(db.metas().iter().filter(|m| m.compaction.level > 1).count() > 1);
}

#[test]
fn overlapping_blocks_stay_apart_where_told_so() {
    let run = |overlapping: bool| {
        let site = Site::with(Options {
            overlapping_compaction: overlapping,
            out_of_order_window: 3 * HOUR,
            retention: Retention::none(),
            ..Site::new().options
        });
        let db = site.open();
        for hour in 0..7 {
            fill(&db, 3, hour * HOUR, 60, 60_000);
            append(&db, "0", &[(hour * HOUR + 1, 1.0)]).unwrap();
            db.maintain().unwrap();
        }
        let metas = db.metas();
        let overlaps = metas.windows(2).any(|w| w[1].min_time < w[0].max_time);
        (overlaps, site.metric("vertical_compactions_total"))
    };
    assert_eq!(run(false), (true, 0.0));
    let (overlaps, vertical) = run(true);
    assert!(!overlaps && vertical > 0.0);
}

#[test]
fn the_first_of_several_head_compactions_is_put_off() {
    let site = Site::with(Options {
        compaction_delay_percent: 100,
        ..Site::new().options
    });
    let db = site.open();
    fill(&db, 3, 0, 60 * 8, 60_000);
    let mut waited = 0;
    while db.metas().is_empty() {
        db.maintain().unwrap();
        site.clock.advance(Duration::from_secs(60));
        waited += 1;
        assert!(waited <= 121, "two hours at most");
    }
    assert!(waited > 1);
    // The others did not wait again.
    assert!(db.metas().len() > 1 || db.metas()[0].compaction.level > 1);
}

#[test]
fn chunk_segments_are_no_longer_than_told() {
    let site = Site::with(Options {
        block_segment_bytes: 1 << 20,
        ..Site::new().options
    });
    let db = site.open();
    for hour in 0..5 {
        fill(&db, 300, hour * HOUR, 240, 15_000);
        db.maintain().unwrap();
    }
    let segments: Vec<u64> = site
        .disk
        .files()
        .iter()
        .filter(|p| p.to_string_lossy().contains("/chunks/"))
        .map(|p| site.disk.len(p).unwrap())
        .collect();
    assert!(segments.len() > 1, "{segments:?}");
    assert!(segments.iter().all(|len| *len <= 1 << 20), "{segments:?}");
    assert!(!read_all(&db).is_empty());
}

#[test]
fn a_log_packed_with_zstd_is_smaller_and_is_replayed() {
    let written = |compression| {
        let site = Site::with(Options {
            wal_compression: compression,
            ..Site::new().options
        });
        let db = site.open();
        let want = fill(&db, 100, 0, 30, 15_000);
        let size = site.metric("wal_storage_size_bytes");
        drop(db);
        site.restart();
        assert_same_samples(&read_all(&site.open()), &want, "replayed");
        size
    };
    let plain = written(Compression::None);
    let (zstd, snappy) = (written(Compression::Zstd), written(Compression::Snappy));
    assert!(zstd < snappy && snappy < plain);
}

#[test]
fn a_start_puts_a_zero_of_the_samples_own_layout() {
    let site = Site::new();
    let db = site.open();
    let custom: std::sync::Arc<[f64]> = [1.0, 2.0].into();
    let float = FloatHistogram {
        schema: -53,
        custom_values: Some(custom.clone()),
        ..FloatHistogram::default()
    };
    let integer = Histogram {
        schema: 3,
        zero_threshold: 0.5,
        ..Histogram::default()
    };
    let mut appender = db.appender();
    let f = appender.series(&labels("f")).unwrap();
    let h = appender.series(&labels("h")).unwrap();
    let c = appender.series(&labels("c")).unwrap();
    let like = HistogramSample::Integer(&integer);
    appender.append_start(h, 2000, 1000, Some(like)).unwrap();
    appender.append_histogram(h, 2000, like).unwrap();
    let like = HistogramSample::Float(&float);
    appender.append_start(c, 2000, 1000, Some(like)).unwrap();
    appender.append_histogram(c, 2000, like).unwrap();
    appender.append_start(f, 2000, 1000, None).unwrap();
    appender.append(f, 2000, 5.0).unwrap();
    let newer = appender.append_start(f, 3000, 3000, None).unwrap_err();
    assert_eq!(newer, AppendError::StartNotBeforeSample);
    appender.commit().unwrap();
    let mut appender = db.appender();
    let late = appender.append_start(f, 3000, 1500, None).unwrap_err();
    assert_eq!(late.to_string(), "start timestamp out of order, ignoring");
    drop(appender);
    let check = |db: &Db| {
        let querier = db.querier(TimeRange::ALL).unwrap();
        let mut set = querier
            .select(&[name_is_set()], &SelectHints::default())
            .unwrap();
        let mut seen = 0;
        while let Some(series) = set.next() {
            let series = series.unwrap();
            let mut samples = series.samples(TimeRange::ALL);
            let first = samples.next().unwrap().unwrap();
            assert_eq!(first.0, 1000);
            match (series.labels.get("i").unwrap_or_default(), first.1) {
                ("f", Value::Float(v)) => assert_eq!(v.to_bits(), 0),
                ("h", Value::Histogram(h)) => {
                    assert_eq!((h.schema, h.zero_threshold, h.count), (3, 0.5, 0.0));
                    assert_eq!(h.reset_hint, ResetHint::Unknown);
                }
                ("c", Value::Histogram(h)) => {
                    assert_eq!(
                        (h.schema, h.custom_values.clone()),
                        (-53, Some(custom.clone()))
                    );
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(samples.next().unwrap().unwrap().0, 2000);
            seen += 1;
        }
        assert_eq!(seen, 3);
    };
    check(&db);
    drop(db);
    site.restart();
    check(&site.open());
}
