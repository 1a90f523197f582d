//! The life of samples: appended, read, replayed, cut to blocks, compacted, deleted, expired.

#[path = "support/site.rs"]
mod support;

use model::{Exemplar, Histogram, Labels, MatchOp, Matcher, Span};
use storage::{
    AppendError, Appendable as _, HistogramSample, Queryable as _, SelectHints, TimeRange, Value,
};
use support::*;
use tsdb::{Options, Retention};

#[test]
fn appended_samples_are_read_and_survive_a_restart() {
    let site = Site::new();
    let db = site.open();
    let want = fill(&db, 20, 0, 100, 15_000);
    assert_eq!(read_all(&db), want);
    drop(db);
    site.restart();
    let db = site.open();
    assert_eq!(read_all(&db), want);
    // Clean close, and on.
    db.close().unwrap();
    drop(db);
    let db = site.open();
    let mut more = fill(&db, 20, 100 * 15_000, 50, 15_000);
    for (labels, samples) in want {
        let list = more.get_mut(&labels).unwrap();
        list.splice(0..0, samples);
    }
    assert_eq!(read_all(&db), more);
    assert_eq!(db.head_stats(3).series, 20);
}

#[test]
fn blocks_are_cut_compacted_and_read_with_the_head() {
    let site = Site::new();
    let db = site.open();
    let mut want = Samples::new();
    // Thirty hours in steps of a minute.
    for hour in 0..30 {
        merge(&mut want, fill(&db, 5, hour * HOUR, 60, 60_000));
        db.maintain().unwrap();
    }
    assert_eq!(read_all(&db), want);
    let metas = db.metas();
    assert!(metas.iter().any(|m| m.compaction.level > 1), "{metas:?}");
    assert!(metas.windows(2).all(|w| w[0].max_time <= w[1].min_time));
    assert_eq!(metas[0].min_time, 0);
    drop(db);
    site.restart();
    let db = site.open();
    assert_eq!(read_all(&db), want);
    // A range in the middle of blocks.
    let range = TimeRange {
        min: 5 * HOUR + 1,
        max: 9 * HOUR,
    };
    let part = read(&db, range, &[Matcher::equal("i", "3")]);
    let samples = part.values().next().unwrap();
    assert_eq!(part.len(), 1);
    assert_eq!(
        (samples.first().unwrap().0, samples.last().unwrap().0),
        (5 * HOUR + 60_000, 9 * HOUR)
    );
    assert_eq!(samples.len(), 240);
}

#[test]
fn admission_is_upstreams() {
    let site = Site::new();
    let db = site.open();
    append(&db, "a", &[(10 * HOUR, 1.0)]).unwrap();
    let refused = |t: i64, v: f64| append(&db, "a", &[(t, v)]).unwrap_err();
    assert_eq!(
        refused(10 * HOUR, 2.0).to_string(),
        "duplicate sample for timestamp 36000000; overrides not allowed: existing 1, new value 2"
    );
    assert_eq!(append(&db, "a", &[(10 * HOUR, 1.0)]), Ok(()));
    assert_eq!(refused(10 * HOUR - 1, 1.0), AppendError::OutOfOrder);
    assert_eq!(refused(9 * HOUR - 1, 1.0), AppendError::OutOfBounds);
    // Another series may be an hour behind.
    assert_eq!(append(&db, "b", &[(9 * HOUR, 1.0)]), Ok(()));
    let text = AppendError::OutOfBounds.to_string();
    assert_eq!(text, "out of bounds");
    let late = Site::with(Options {
        out_of_order_window: HOUR * 2,
        ..site.options.clone()
    });
    let db = late.open();
    append(&db, "a", &[(10 * HOUR, 1.0)]).unwrap();
    assert_eq!(
        append(&db, "a", &[(8 * HOUR - 1, 1.0)]),
        Err(AppendError::TooOld)
    );
    assert_eq!(append(&db, "a", &[(8 * HOUR, 1.0)]), Ok(()));
}

#[test]
fn a_reader_sees_whole_commits_and_none_that_came_later() {
    let site = Site::new();
    let db = site.open();
    append(&db, "a", &[(1000, 1.0), (2000, 2.0)]).unwrap();
    let querier = db.querier(TimeRange::ALL).unwrap();
    append(&db, "a", &[(3000, 3.0)]).unwrap();
    append(&db, "b", &[(3000, 3.0)]).unwrap();
    let seen = collect(&*querier, TimeRange::ALL, &[name_is_set()]);
    assert_eq!(seen.len(), 1);
    assert_eq!(seen.values().next().unwrap().len(), 2);
    let mut open = db.appender();
    let series = open.series(&labels("a")).unwrap();
    open.append(series, 4000, 4.0).unwrap();
    assert_eq!(read_all(&db).values().map(Vec::len).sum::<usize>(), 4);
    open.commit().unwrap();
    assert_eq!(read_all(&db).values().map(Vec::len).sum::<usize>(), 5);
    assert_eq!(collect(&*querier, TimeRange::ALL, &[name_is_set()]), seen);
}

#[test]
fn a_batch_rolled_back_leaves_nothing() {
    let site = Site::new();
    let db = site.open();
    let mut appender = db.appender();
    let series = appender.series(&labels("a")).unwrap();
    appender.append(series, 1000, 1.0).unwrap();
    appender.rollback();
    assert!(read_all(&db).is_empty());
    let mut appender = db.appender();
    let series = appender.series(&labels("a")).unwrap();
    appender.append(series, 1000, 1.0).unwrap();
    drop(appender);
    assert!(read_all(&db).is_empty());
    drop(db);
    site.restart();
    assert!(read_all(&site.open()).is_empty());
}

#[test]
fn late_samples_are_read_at_once_and_end_up_in_blocks() {
    let site = Site::with(Options {
        out_of_order_window: 4 * HOUR,
        ..Site::new().options.clone()
    });
    let db = site.open();
    let mut want = fill(&db, 3, 4 * HOUR, 60, 60_000);
    for round in 0..3 {
        // Backwards, from one hour ago down: more than fits the decoded buffer.
        for i in (0..50).rev() {
            let t = 2 * HOUR + round * 1000 + i * 60_000;
            append(&db, "late", &[(t, i as f64)]).unwrap();
            let late = labels("late");
            want.entry(late.to_string())
                .or_default()
                .push((t, (i as f64).to_bits()));
        }
    }
    want.values_mut().for_each(|list| list.sort_unstable());
    assert_eq!(read_all(&db), want);
    drop(db);
    site.restart();
    let db = site.open();
    assert_eq!(read_all(&db), want);
    for hour in 5..12 {
        merge(&mut want, fill(&db, 3, hour * HOUR, 60, 60_000));
        db.maintain().unwrap();
    }
    assert_eq!(read_all(&db), want);
    let hinted = db
        .metas()
        .iter()
        .any(|m| m.compaction.has_hint("from-out-of-order"));
    let merged = db.metas().iter().any(|m| m.compaction.level > 1);
    assert!(hinted || merged);
    drop(db);
    site.restart();
    assert_eq!(read_all(&site.open()), want);
}

#[test]
fn deleted_samples_are_gone_for_good() {
    let site = Site::with(Options {
        out_of_order_window: 4 * HOUR,
        ..Site::new().options.clone()
    });
    let db = site.open();
    let mut want = Samples::new();
    for hour in 0..8 {
        merge(&mut want, fill(&db, 3, hour * HOUR, 60, 60_000));
        db.maintain().unwrap();
    }
    append(&db, "1", &[(7 * HOUR + 500, 9.0)]).unwrap();
    let range = TimeRange {
        min: HOUR,
        max: 7 * HOUR + 600,
    };
    db.delete_series(&[Matcher::equal("i", "1")], range)
        .unwrap();
    want.get_mut(&labels("1").to_string())
        .unwrap()
        .retain(|(t, _)| !range.contains(*t));
    assert_eq!(read_all(&db), want);
    drop(db);
    site.restart();
    let db = site.open();
    assert_eq!(read_all(&db), want);
    db.clean_tombstones().unwrap();
    assert!(db.blocks().iter().all(|b| b.tombstones().is_empty()));
    assert_eq!(read_all(&db), want);
    for hour in 8..16 {
        merge(&mut want, fill(&db, 3, hour * HOUR, 60, 60_000));
        db.maintain().unwrap();
    }
    assert_eq!(read_all(&db), want);
}

#[test]
fn old_blocks_expire_by_time_and_by_size() {
    let site = Site::with(Options {
        retention: Retention::by_time(10 * HOUR),
        ..Site::new().options.clone()
    });
    let db = site.open();
    for hour in 0..30 {
        fill(&db, 3, hour * HOUR, 60, 60_000);
        db.maintain().unwrap();
    }
    let metas = db.metas();
    let newest = metas.iter().map(|m| m.max_time).max().unwrap();
    assert!(metas.iter().all(|m| newest - m.max_time < 10 * HOUR));
    db.reconfigure(Retention::by_size(1), 0, 0).unwrap();
    db.maintain().unwrap();
    assert!(db.metas().is_empty());
    assert!(!read_all(&db).is_empty());
}

#[test]
fn churned_series_leave_memory_and_log() {
    let site = Site::with(Options {
        wal_segment_bytes: 64 << 10,
        ..Site::new().options.clone()
    });
    let db = site.open();
    for hour in 0..14i64 {
        for i in 0..50 {
            let samples: Vec<(i64, f64)> = (0..20)
                .map(|m| (hour * HOUR + m * 60_000, m as f64))
                .collect();
            append(&db, &format!("{hour}-{i}"), &samples).unwrap();
        }
        db.maintain().unwrap();
    }
    let stats = db.head_stats(10);
    assert!(stats.series < 50 * 6, "{} series", stats.series);
    assert!(stats.symbols < 50 * 6 + 10);
    let checkpoints = site
        .disk
        .files()
        .into_iter()
        .filter(|p| p.to_string_lossy().contains("checkpoint."));
    assert!(checkpoints.count() > 0);
    let want = read_all(&db);
    assert_eq!(want.len(), 14 * 50);
    drop(db);
    site.restart();
    assert_eq!(read_all(&site.open()), want);
}

#[test]
fn histograms_and_exemplars() {
    let site = Site::with(Options {
        max_exemplars: 10,
        ..Site::new().options.clone()
    });
    let db = site.open();
    let at = |n: u64| Histogram {
        schema: 1,
        count: 3 * n,
        zero_count: n,
        sum: n as f64,
        positive_spans: vec![Span {
            offset: 1,
            length: 2,
        }],
        positive_buckets: vec![n as i64, 0],
        ..Histogram::default()
    };
    for i in 1..200u64 {
        let mut appender = db.appender();
        let series = appender.series(&labels("h")).unwrap();
        let t = i as i64 * 15_000;
        appender
            .append_histogram(series, t, HistogramSample::Integer(&at(i)))
            .unwrap();
        let float = appender.series(&labels("f")).unwrap();
        appender
            .append_histogram(float, t, HistogramSample::Float(&at(i).to_float()))
            .unwrap();
        let exemplar = Exemplar {
            labels: Labels::from_pairs([("trace", i.to_string())]),
            value: 1.0,
            timestamp: Some(t),
        };
        appender.append_exemplar(series, &exemplar).unwrap();
        appender.commit().unwrap();
    }
    // The end of a histogram series, told by a float marker as scraping does it.
    append(&db, "h", &[(200 * 15_000, model::sample::stale_nan())]).unwrap();
    let check = |db: &tsdb::Db| {
        let querier = db.querier(TimeRange::ALL).unwrap();
        let mut set = querier
            .select(&[name_is_set()], &SelectHints::default())
            .unwrap();
        let mut seen = 0;
        while let Some(series) = set.next() {
            let series = series.unwrap();
            let mut samples = series.samples(TimeRange::ALL);
            while let Some((t, value)) = samples.next().unwrap() {
                let Value::Histogram(h) = value else {
                    panic!("a float at {t}")
                };
                seen += 1;
                let n = (t / 15_000) as f64;
                if n == 200.0 {
                    assert!(model::sample::is_stale_nan(h.sum));
                } else {
                    assert_eq!((h.count, h.sum, h.positive_buckets[1]), (3.0 * n, n, n));
                }
            }
        }
        assert_eq!(seen, 199 * 2 + 1);
        let any = vec![vec![Matcher::new(MatchOp::Regex, "i", ".+").unwrap()]];
        let exemplars = db.exemplars(TimeRange::ALL, &any);
        assert_eq!(exemplars[0].1.len(), 10);
    };
    check(&db);
    drop(db);
    site.restart();
    let db = site.open();
    check(&db);
    let bad = Histogram { count: 1, ..at(5) };
    let mut appender = db.appender();
    let series = appender.series(&labels("h")).unwrap();
    let err = appender
        .append_histogram(series, HOUR, HistogramSample::Integer(&bad))
        .unwrap_err();
    assert!(matches!(err, AppendError::InvalidHistogram(_)));
}

#[test]
fn a_second_process_is_refused() {
    let site = Site::new();
    let db = site.open();
    let err = site.try_open().err().unwrap().to_string();
    assert!(err.starts_with("lock DB directory:"), "{err}");
    db.close().unwrap();
    site.try_open().unwrap();
}

#[test]
fn a_snapshot_is_a_database() {
    let site = Site::new();
    let db = site.open();
    let mut want = Samples::new();
    for hour in 0..6 {
        merge(&mut want, fill(&db, 4, hour * HOUR, 60, 60_000));
        db.maintain().unwrap();
    }
    db.snapshot(std::path::Path::new("/data/snapshots/one"), true)
        .unwrap();
    let copy = site.open_at("/data/snapshots/one");
    assert_eq!(read_all(&copy), want);
    assert_eq!(copy.head_stats(1).series, 0);
}

#[test]
fn a_full_disk_fails_commits_and_lets_them_go_on_later() {
    let site = Site::with(Options {
        wal_segment_bytes: 64 << 10,
        ..Site::new().options.clone()
    });
    let db = site.open();
    let mut want = Samples::new();
    let mut failed = 0;
    for i in 0..2000i64 {
        match i % 100 {
            40 => site.disk.set_capacity(Some(site.disk.used() + 300)),
            60 => site.disk.set_capacity(None),
            _ => {}
        }
        let key = format!("{}", i % 7 + i / 500 * 10);
        let sample = (i * 1000, i as f64);
        match append(&db, &key, &[sample]) {
            Ok(()) => want
                .entry(labels(&key).to_string())
                .or_default()
                .push((sample.0, sample.1.to_bits())),
            Err(AppendError::Disk(_)) => failed += 1,
            Err(other) => panic!("{other}"),
        }
    }
    assert!(failed > 100, "{failed}");
    assert_eq!(read_all(&db), want);
    drop(db);
    site.restart();
    assert_eq!(read_all(&site.open()), want);
}

#[test]
fn a_long_gap_loses_nothing() {
    let site = Site::with(Options {
        retention: Retention::none(),
        ..Site::new().options.clone()
    });
    let db = site.open();
    let mut want = Samples::new();
    for hour in 0..16 {
        merge(&mut want, fill(&db, 3, hour * HOUR, 60, 60_000));
        db.maintain().unwrap();
    }
    for hour in 20_000..20_008 {
        merge(&mut want, fill(&db, 3, hour * HOUR, 60, 60_000));
        let before: Vec<_> = db
            .metas()
            .iter()
            .map(|m| (m.min_time / HOUR, m.max_time / HOUR, m.compaction.level))
            .collect();
        db.maintain().unwrap();
        let after: Vec<_> = db
            .metas()
            .iter()
            .map(|m| (m.min_time / HOUR, m.max_time / HOUR, m.compaction.level))
            .collect();
        let got: usize = read_all(&db).values().map(Vec::len).sum();
        let wanted: usize = want.values().map(Vec::len).sum();
        assert_eq!(got, wanted, "{before:?} {after:?}");
    }
    assert_eq!(read_all(&db), want);
}

/// The chunks of the first block's first series.
fn first_chunks(db: &tsdb::Db) -> Vec<storage::Chunk> {
    let metas = db.metas();
    let range = TimeRange {
        min: metas[0].min_time,
        max: metas[0].max_time - 1,
    };
    let querier = db.querier(range).unwrap();
    let mut set = querier
        .select(&[name_is_set()], &SelectHints::default())
        .unwrap();
    let series = set.next().unwrap().unwrap();
    let inside = |c: &storage::Chunk| c.min_time <= range.max;
    series.chunks.into_iter().filter(inside).collect()
}

fn chunk_times(db: &tsdb::Db) -> Vec<(i64, i64)> {
    let chunks = first_chunks(db);
    chunks.iter().map(|c| (c.min_time, c.max_time)).collect()
}

#[test]
fn histogram_chunks_are_cut_by_size_and_share_their_window() {
    // Buckets whose counts jump, so that every sample takes some bytes for each.
    let cut = |buckets: u32| {
        let site = Site::new();
        let db = site.open();
        let mut random = env::Random::from_seed(5);
        let mut counts = vec![0i64; buckets as usize];
        for i in 0..16 * 60 {
            counts
                .iter_mut()
                .for_each(|c| *c += random.below(500) as i64);
            let mut before = 0;
            let deltas = counts
                .iter()
                .map(|c| c - std::mem::replace(&mut before, *c));
            let h = Histogram {
                count: counts.iter().sum::<i64>() as u64,
                sum: i as f64,
                positive_spans: vec![Span {
                    offset: 0,
                    length: buckets,
                }],
                positive_buckets: deltas.collect(),
                ..Histogram::default()
            };
            let mut appender = db.appender();
            let series = appender.series(&labels("h")).unwrap();
            appender
                .append_histogram(series, i * 15_000, HistogramSample::Integer(&h))
                .unwrap();
            appender.commit().unwrap();
        }
        db.maintain().unwrap();
        let of = |c: storage::Chunk| {
            let samples = u16::from_be_bytes([c.data[0], c.data[1]]);
            (c.max_time - c.min_time, samples, c.data.len())
        };
        first_chunks(&db).into_iter().map(of).collect::<Vec<_>>()
    };
    // About a kilobyte each; the window's last may be shorter.
    let usual = cut(8);
    for (span, samples, bytes) in &usual[..usual.len() - 1] {
        assert!((700..1400).contains(bytes), "{usual:?}");
        assert!(
            *samples >= 10 && span.abs_diff(usual[0].0) <= 90_000,
            "{usual:?}"
        );
    }
    // Samples too large for that: ten to a chunk all the same.
    let large = cut(160);
    assert!(
        large[..large.len() - 1]
            .iter()
            .all(|(_, samples, bytes)| *samples == 10 && *bytes > 2048),
        "{large:?}"
    );
}

#[test]
fn chunks_share_their_window_evenly() {
    const MINUTE: i64 = 60_000;
    let cut = |step: i64| {
        let site = Site::new();
        let db = site.open();
        fill(&db, 1, 0, 4 * HOUR / step, step);
        db.maintain().unwrap();
        chunk_times(&db)
    };
    // Every 15 s: four chunks of half an hour.
    let quarter = |n: i64| (n * 30 * MINUTE, (n + 1) * 30 * MINUTE - 15_000);
    assert_eq!(cut(15_000), (0..4).map(quarter).collect::<Vec<_>>());
    // Every minute: one chunk, which ends with the window.
    assert_eq!(cut(MINUTE), [(0, 119 * MINUTE)]);
    // Every 5 s: twelve of ten minutes.
    assert_eq!(cut(5000).len(), 12);
}
