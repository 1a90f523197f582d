//! Disks that fill up, refuse, tear and flip: a clear error or a clean repair, never a panic, never wrong data.
//!
//! `TITAN_DAMAGE_SEEDS` sets how many seeds each test tries, `TITAN_DAMAGE_FROM` the first; a failure prints its seed.

#[path = "support/site.rs"]
mod support;

use std::path::{Path, PathBuf};

use env::sim::disk::Crash;
use env::{Disk as _, Random};
use model::Matcher;
use storage::{AppendError, Queryable as _, SelectHints, TimeRange, Value};
use support::*;
use tsdb::{Db, DbError, Options, Retention};

fn seeds(default: u64) -> std::ops::Range<u64> {
    let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
    let long = std::env::var_os("TITAN_LONG_TESTS").is_some();
    let default = if long { default * 20 } else { default };
    let from = number("TITAN_DAMAGE_FROM").unwrap_or(0);
    from..from + number("TITAN_DAMAGE_SEEDS").unwrap_or(default)
}

fn options() -> Options {
    Options {
        wal_segment_bytes: 32 << 10,
        out_of_order_window: 2 * HOUR,
        retention: Retention::none(),
        ..Options::default()
    }
}

/// Hours of samples, churn, late samples, deletions and maintenance: every kind of file comes into being.
fn live(db: &Db, hours: std::ops::Range<i64>) -> Samples {
    let mut want = Samples::new();
    for hour in hours {
        merge(&mut want, fill(db, 6, hour * HOUR, 120, 30_000));
        let gone = format!("gone-{hour}");
        merge(&mut want, one(db, &gone, hour * HOUR, 1.5));
        merge(&mut want, one(db, "0", hour * HOUR + 7, 2.5));
        db.maintain().unwrap();
    }
    want.values_mut().for_each(|list| list.sort_unstable());
    want
}

fn one(db: &Db, i: &str, t: i64, v: f64) -> Samples {
    append(db, i, &[(t, v)]).unwrap();
    Samples::from([(labels(i).to_string(), vec![(t, v.to_bits())])])
}

/// What can be read without an error; every sample must be one that was written.
fn readable(db: &Db, want: &Samples, what: &str) -> usize {
    let querier = db.querier(TimeRange::ALL).unwrap();
    let mut seen = 0;
    let Ok(mut set) = querier.select(&[name_is_set()], &SelectHints::default()) else {
        return 0;
    };
    while let Some(series) = set.next() {
        let Ok(series) = series else { continue };
        let known = want.get(&series.labels.to_string());
        let known = known.unwrap_or_else(|| panic!("{what}: {} was never written", series.labels));
        let mut samples = series.samples(TimeRange::ALL);
        let mut last = i64::MIN;
        while let Ok(Some((t, value))) = samples.next() {
            let Value::Float(v) = value else {
                panic!("{what}: a histogram")
            };
            assert!(
                known.contains(&(t, v.to_bits())),
                "{what}: {t} {v} was never written"
            );
            assert!(t > last, "{what}: {t} twice");
            last = t;
            seen += 1;
        }
    }
    seen
}

fn count(samples: &Samples) -> usize {
    samples.values().map(Vec::len).sum()
}

/// The folder's files of one kind that hold anything.
fn files(site: &Site, kind: &str) -> Vec<PathBuf> {
    let is = |path: &Path| {
        let text = path.display().to_string();
        match kind {
            "segment" => text.contains("/wal/0"),
            other => text.contains(other),
        }
    };
    let all = site.disk.files().into_iter();
    all.filter(|path| is(path) && site.disk.len(path).unwrap_or(0) > 0)
        .collect()
}

#[test]
fn a_flipped_bit_in_each_kind_of_file() {
    let kinds = [
        "segment",
        "checkpoint.",
        "/wbl/",
        "chunks_head",
        "/index",
        "/chunks/",
        "/tombstones",
        "meta.json",
    ];
    for kind in kinds {
        let (mut refused, mut whole, mut part) = (0, 0, 0);
        for seed in seeds(8) {
            let what = format!("{kind}, seed {seed}");
            let mut random = Random::from_seed(seed);
            let site = Site::with(options());
            let db = site.open();
            let mut want = live(&db, 0..9);
            let range = TimeRange {
                min: HOUR,
                max: 2 * HOUR,
            };
            db.delete_series(&[Matcher::equal("i", "1")], range)
                .unwrap();
            want.get_mut(&labels("1").to_string())
                .unwrap()
                .retain(|(t, _)| !range.contains(*t));
            drop(db);
            site.restart();
            let all = files(&site, kind);
            let path = &all[random.below(all.len() as u64) as usize];
            let len = site.disk.len(path).unwrap();
            site.disk.flip_bit(path, random.below(len * 8));
            let what = format!("{what}, {path:?}");
            match site.try_open() {
                Ok(db) => {
                    let seen = readable(&db, &want, &what);
                    if seen == count(&want) {
                        whole += 1
                    } else {
                        part += 1
                    }
                    // It goes on.
                    append(&db, "0", &[(12 * HOUR, 1.0)]).unwrap_or_else(|e| panic!("{what}: {e}"));
                    db.close().unwrap_or_else(|e| panic!("{what}: {e}"));
                }
                Err(err) => {
                    assert_eq!(kind, "checkpoint.", "{what}: {err}");
                    assert!(err.to_string().contains("checkpoint."), "{what}: {err}");
                    refused += 1;
                }
            }
        }
        eprintln!("{kind}: {whole} whole, {part} in part, {refused} refused");
        if kind == "chunks_head" && seeds(8).start == 0 {
            // The log has what the files lose.
            assert!(whole > 0, "{kind}");
        }
    }
}

#[test]
fn a_damaged_checkpoint_costs_no_segment() {
    let site = Site::with(options());
    let db = site.open();
    live(&db, 0..9);
    drop(db);
    site.restart();
    let checkpoints = files(&site, "checkpoint.");
    let path = &checkpoints[0];
    site.disk.flip_bit(path, site.disk.len(path).unwrap() * 4);
    let before = files(&site, "segment");
    assert!(before.len() > 2);
    let err = site.try_open().err().unwrap();
    assert!(matches!(err, DbError::Corrupt { .. }), "{err}");
    assert!(err.to_string().contains("checkpoint."), "{err}");
    assert_eq!(files(&site, "segment"), before);
    assert!(files(&site, "checkpoint.").contains(path));
}

#[test]
fn a_damaged_segment_costs_no_later_one() {
    let site = Site::with(Options {
        wal_compression: ondisk::log::Compression::None,
        ..options()
    });
    let db = site.open();
    let want = fill(&db, 60, 0, 500, 15_000);
    drop(db);
    site.restart();
    // Without chunk files everything comes from the log.
    for path in files(&site, "chunks_head") {
        site.disk.remove_file(&path).unwrap();
    }
    let segments = files(&site, "segment");
    assert!(segments.len() > 5);
    site.disk.flip_bit(&segments[2], 8 * 16_000);
    let db = site.open();
    assert_eq!(site.metric("wal_corruptions_total"), 1.0);
    let seen = readable(&db, &want, "a flipped bit");
    let lost = count(&want) - seen;
    let in_half_a_segment = count(&want) / segments.len();
    assert!(
        lost > 0 && lost < in_half_a_segment,
        "{lost} of {}",
        count(&want)
    );
    drop(db);
    site.restart();
    // Repaired for good.
    assert_eq!(readable(&site.open(), &want, "after the repair"), seen);
    assert_eq!(site.metric("wal_corruptions_total"), 1.0);
}

#[test]
fn a_block_that_does_not_open_is_skipped_loudly_and_comes_back() {
    let site = Site::with(options());
    let db = site.open();
    let want = live(&db, 0..9);
    let block = db.metas()[0].clone();
    drop(db);
    site.restart();
    let index = PathBuf::from(format!("/data/{}/index", block.ulid));
    site.disk.flip_bit(&index, 8 * 20);
    // Names of blocks come from time and chance; the simulated chance is the same in every life.
    site.clock.advance(std::time::Duration::from_secs(1));
    let db = site.open();
    assert!(site.metric("reloads_failures_total") > 0.0);
    let seen = readable(&db, &want, "without the block");
    assert!(seen > 0 && seen < count(&want));
    append(&db, "0", &[(9 * HOUR, 1.0)]).unwrap();
    let failures = site.metric("reloads_failures_total");
    db.maintain().unwrap();
    assert!(site.metric("reloads_failures_total") > failures);
    assert!(site.disk.exists(&index));
    // Somebody brings the file back from a backup.
    site.disk.flip_bit(&index, 8 * 20);
    db.maintain().unwrap();
    let mut want = want;
    want.get_mut(&labels("0").to_string())
        .unwrap()
        .push((9 * HOUR, 1f64.to_bits()));
    assert_same_samples(&read_all(&db), &want, "all");
}

#[test]
fn a_disk_that_becomes_read_only_keeps_answering() {
    let site = Site::with(options());
    let db = site.open();
    let mut want = live(&db, 0..5);
    site.disk.set_read_only(true);
    let err = append(&db, "0", &[(5 * HOUR, 1.0)]).unwrap_err();
    assert!(
        matches!(&err, AppendError::Disk(text) if text.contains("read-only")),
        "{err}"
    );
    assert!(db.clean_tombstones().is_ok());
    assert!(
        db.delete_series(&[Matcher::equal("i", "1")], TimeRange::ALL)
            .is_err()
    );
    assert!(db.snapshot(Path::new("/data/snapshots/x"), true).is_err());
    assert_same_samples(&read_all(&db), &want, "all");
    site.disk.set_read_only(false);
    merge(&mut want, one(&db, "0", 5 * HOUR, 1.0));
    db.maintain().unwrap();
    assert_same_samples(&read_all(&db), &want, "all");
    drop(db);
    site.restart();
    assert_same_samples(&read_all(&site.open()), &want, "after a restart");
    site.restart();
    site.disk.set_read_only(true);
    let err = site.try_open().err().unwrap().to_string();
    assert!(err.contains("read-only file system"), "{err}");
}

#[test]
fn a_disk_that_fills_up_at_any_moment_loses_nothing() {
    for seed in seeds(20) {
        let what = format!("seed {seed}");
        let mut random = Random::from_seed(seed);
        let site = Site::with(options());
        let db = site.open();
        let mut want = Samples::new();
        let mut failed = 0;
        for minute in 0..(10 * 60i64) {
            // Now and then there is little room, and writes of any kind are cut short.
            if random.below(20) == 0 {
                let room = [0, 10, 100, 1000, 10_000][random.below(5) as usize];
                site.disk.set_capacity(Some(site.disk.used() + room));
            } else if random.below(8) == 0 {
                site.disk.set_capacity(None);
            }
            for i in ["0", "1", "2"] {
                let sample = (minute * 60_000, minute as f64);
                match append(&db, i, &[sample]) {
                    Ok(()) => want
                        .entry(labels(i).to_string())
                        .or_default()
                        .push((sample.0, sample.1.to_bits())),
                    Err(AppendError::Disk(_)) => failed += 1,
                    Err(other) => panic!("{what}: {other}"),
                }
            }
            if minute % 10 == 0 && db.maintain().is_err() {
                failed += 1;
            }
        }
        assert!(failed > 0, "{what}");
        assert_same_samples(&read_all(&db), &want, &format!("{what}: while running"));
        drop(db);
        site.disk.restart(Crash::Process);
        site.disk.set_capacity(None);
        let db = site.try_open().unwrap_or_else(|e| panic!("{what}: {e}"));
        assert_same_samples(&read_all(&db), &want, &format!("{what}: after a restart"));
    }
}
