//! Logs that we would not write ourselves: what a replay makes of references that come twice, that nobody knows, and of
//! series that were taken out.

#[path = "support/site.rs"]
mod support;

use std::path::Path;
use std::sync::Arc;

use env::Disk as _;
use ondisk::chunk::{Encoding, XorAppender};
use ondisk::head_chunks;
use ondisk::log::Compression;
use ondisk::record::{self, RefTombstone, SeriesRecord};
use ondisk::tombstones::Interval;
use storage::Appendable as _;
use support::*;
use tsdb::wal::{Wal, WalOptions};
use tsdb::{Durability, Options};

fn series(reference: u64, i: &str) -> Vec<u8> {
    let mut record = SeriesRecord::default();
    let labels = labels(i);
    let pairs: Vec<(&str, &str)> = labels.iter().collect();
    record.push(reference, pairs.into_iter());
    record.into_bytes()
}

fn samples(reference: u64, times: &[i64]) -> Vec<u8> {
    let mut buf = Vec::new();
    record::put_samples(&mut buf, times.iter().map(|t| (reference, *t, *t as f64)));
    buf
}

fn site(records: Vec<Vec<u8>>) -> Site {
    let site = Site::with(Options {
        out_of_order_window: HOUR,
        ..Site::new().options
    });
    let options = WalOptions {
        segment_bytes: 1 << 20,
        compression: Compression::Snappy,
        durability: Durability::Write,
    };
    let wal = Wal::open(Arc::new(site.disk.clone()), Path::new("/data/wal"), options).unwrap();
    wal.log(records).unwrap();
    wal.close().unwrap();
    site
}

fn times(all: &Samples, i: &str) -> Vec<i64> {
    let samples = all.get(&labels(i).to_string());
    samples.into_iter().flatten().map(|(t, _)| *t).collect()
}

#[test]
fn a_series_that_was_taken_out_begins_anew() {
    let mut gone = Vec::new();
    record::put_tombstones(
        &mut gone,
        &[RefTombstone {
            series: 1,
            interval: Interval::ALL,
        }],
    );
    let site = site(vec![
        series(1, "a"),
        series(2, "b"),
        samples(1, &[1, 2, 3]),
        samples(2, &[1, 2, 3]),
        gone,
        samples(1, &[4]),
        series(7, "a"),
        samples(7, &[10, 11]),
    ]);
    let all = read_all(&site.open());
    assert_eq!(times(&all, "a"), [10, 11]);
    assert_eq!(times(&all, "b"), [1, 2, 3]);
    assert_eq!(site.metric("wal_replay_unknown_refs_total"), 1.0);
    // Numbers are never used again, not even those of tombstones.
    let db_again = {
        site.restart();
        site.open()
    };
    append(&db_again, "c", &[(20, 1.0)]).unwrap();
    assert_eq!(times(&read_all(&db_again), "c"), [20]);
}

#[test]
fn two_references_of_one_series_are_one() {
    let site = site(vec![
        series(1, "a"),
        samples(1, &[1, 2]),
        series(5, "a"),
        samples(5, &[3, 4]),
        samples(1, &[5]),
        samples(99, &[1]),
    ]);
    let db = site.open();
    assert_eq!(times(&read_all(&db), "a"), [1, 2, 3, 4, 5]);
    assert_eq!(db.head_stats(1).series, 1);
    assert_eq!(site.metric("wal_replay_unknown_refs_total"), 1.0);
}

#[test]
fn head_chunks_of_two_references_of_one_series_are_joined() {
    let site = site(vec![
        series(1, "a"),
        samples(1, &[1, 50, 100]),
        series(2, "a"),
        samples(2, &[60, 150, 200, 250]),
    ]);
    let chunk = |times: &[i64]| {
        let mut buf = Vec::new();
        let mut appender = XorAppender::start(&mut buf);
        for t in times {
            appender.append(&mut buf, *t, *t as f64).unwrap();
        }
        appender.seal(&mut buf);
        buf
    };
    let mut file = head_chunks::HEADER.to_vec();
    for (reference, times) in [(1, vec![1, 50, 100]), (2, vec![60, 150, 200])] {
        let (first, last) = (times[0], times[times.len() - 1]);
        let data = chunk(&times);
        head_chunks::put_record(
            &mut file,
            reference,
            first,
            last,
            Encoding::Xor.to_byte(),
            &data,
        );
    }
    site.disk
        .create_dir_all(Path::new("/data/chunks_head"))
        .unwrap();
    let mut out = site
        .disk
        .create(Path::new("/data/chunks_head/000001"))
        .unwrap();
    out.write_all(&file).unwrap();
    let all = read_all(&site.open());
    // 60 is older than the newest of the first reference, as it was when it came.
    assert_eq!(times(&all, "a"), [1, 50, 100, 150, 200, 250]);
}

#[test]
fn out_of_order_samples_are_taken_from_when_it_is_switched_on() {
    let site = Site::new();
    let db = site.open();
    append(&db, "a", &[(10 * HOUR, 1.0)]).unwrap();
    append(&db, "a", &[(10 * HOUR - 1, 1.0)]).unwrap_err();
    let keep = tsdb::Retention::none();
    db.reconfigure(keep, HOUR, 0).unwrap();
    append(&db, "a", &[(10 * HOUR - 1, 1.0)]).unwrap();
    db.reconfigure(keep, 0, 0).unwrap();
    append(&db, "a", &[(10 * HOUR - 2, 1.0)]).unwrap_err();
    let want = [10 * HOUR - 1, 10 * HOUR];
    assert_eq!(times(&read_all(&db), "a"), want);
    drop(db);
    site.restart();
    // The log of late samples is there, so it is read although the window is closed.
    assert_eq!(times(&read_all(&site.open()), "a"), want);
}

#[test]
fn the_progress_of_a_replay_shows_segments() {
    let site = Site::with(Options {
        wal_segment_bytes: 32 << 10,
        ..Site::new().options
    });
    let db = site.open();
    let want = fill(&db, 50, 0, 200, 15_000);
    let newest = db.wal_dir().to_owned();
    drop(db);
    site.restart();
    let segments = tsdb::wal::segments(&site.disk, &newest).unwrap();
    assert!(segments.len() > 2);
    let progress = tsdb::ReplayProgress::default();
    let db = tsdb::Db::open_watched(
        Path::new("/data"),
        site.options.clone(),
        Arc::new(site.disk.clone()),
        Arc::new(site.clock.clone()),
        &env::Registry::new(),
        &progress,
    )
    .unwrap();
    let last = i64::from(*segments.last().unwrap());
    assert_eq!(progress.get(), (i64::from(segments[0]), last, last));
    assert_same_samples(&read_all(&db), &want, "replayed");
}

#[test]
fn metadata_goes_to_the_log_where_asked_for() {
    let logged = |log_metadata: bool| {
        let site = Site::with(Options {
            log_metadata,
            ..Site::new().options
        });
        let db = site.open();
        let mut appender = db.appender();
        let series = appender.series(&labels("a")).unwrap();
        appender.append(series, 1000, 1.0).unwrap();
        let metadata = model::Metadata {
            help: "what it is".into(),
            unit: "seconds".into(),
            ..model::Metadata::default()
        };
        appender.update_metadata(series, &metadata).unwrap();
        appender.commit().unwrap();
        let dir = db.wal_dir().to_owned();
        drop(db);
        site.restart();
        drop(site.open());
        let mut found = Vec::new();
        for segment in tsdb::wal::segments(&site.disk, &dir).unwrap() {
            tsdb::wal::walk_segment(&site.disk, &dir, segment, 0, |bytes| {
                if bytes[0] == 6 {
                    record::metadata(bytes, |series, m| found.push((series, m))).unwrap();
                }
                Ok(())
            })
            .unwrap();
        }
        assert!(
            found
                .iter()
                .all(|(series, m)| *series == 1 && *m == metadata)
        );
        found.len()
    };
    assert_eq!((logged(true), logged(false)), (1, 0));
}
