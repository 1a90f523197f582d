//! Crashes at every operation on the disk: what was acknowledged is there afterwards, once, and the folder opens.
//!
//! `TITAN_CRASH_SEEDS` sets how many crashes of the machine are tried (each loses another part of what was not synced; a
//! thousand, or 20,000 with `TITAN_LONG_TESTS=1`), `TITAN_CRASH_FROM` the first of them; a failure prints its seed, and
//! `TITAN_CRASH_FROM=SEED TITAN_CRASH_SEEDS=1` replays it.

#[path = "support/site.rs"]
mod support;

use env::sim::disk::Crash;
use model::Matcher;
use storage::{AppendError, Appendable as _, TimeRange};
use support::*;
use tsdb::{Db, DbError, Durability, Options};

/// What a run got acknowledged, and the commit that was under way when it ended.
#[derive(Default)]
struct Outcome {
    acknowledged: Samples,
    under_way: Samples,
    ended: bool,
}

fn commit(db: &Db, samples: &[(String, i64, f64)], outcome: &mut Outcome) -> bool {
    let as_samples = |into: &mut Samples| {
        for (i, t, v) in samples {
            into.entry(labels(i).to_string())
                .or_default()
                .push((*t, v.to_bits()));
        }
    };
    let append = || -> Result<(), AppendError> {
        let mut appender = db.appender();
        for (i, t, v) in samples {
            let series = appender.series(&labels(i))?;
            appender.append(series, *t, *v)?;
        }
        appender.commit()
    };
    match append() {
        Ok(()) => as_samples(&mut outcome.acknowledged),
        Err(AppendError::Disk(_)) => {
            as_samples(&mut outcome.under_way);
            outcome.ended = true;
        }
        Err(other) => panic!("{other}"),
    }
    !outcome.ended
}

/// Thirteen hours of a few series, some of which come and go, with late samples and all maintenance.
fn work(db: &Db, outcome: &mut Outcome) -> Result<(), DbError> {
    for minute in (0..13 * 60).step_by(5) {
        let t = minute * 60_000;
        let mut batch: Vec<(String, i64, f64)> = (0..4)
            .map(|i| (i.to_string(), t, (minute + i) as f64))
            .collect();
        batch.push((format!("churn-{}", minute / 90), t, 1.0));
        if !commit(db, &batch, outcome) {
            return Ok(());
        }
        if minute > 60 && minute % 25 == 0 {
            let late = vec![("late".to_owned(), t - 30 * 60_000 - minute, 0.5)];
            if !commit(db, &late, outcome) {
                return Ok(());
            }
        }
        if minute % 60 == 55 {
            db.maintain()?;
        }
    }
    db.close()
}

fn options(durability: Durability) -> Options {
    Options {
        wal_segment_bytes: 32 << 10,
        out_of_order_window: 2 * HOUR,
        wal_compression: ondisk::log::Compression::None,
        durability,
        ..Options::default()
    }
}

/// Opens after a crash, checks, goes on, checks again.
fn check_after(site: &Site, outcome: &Outcome, what: &str) {
    let db = site
        .try_open()
        .unwrap_or_else(|err| panic!("{what}: {err}"));
    let got = read_all(&db);
    for (series, samples) in &outcome.acknowledged {
        let empty = Vec::new();
        let there = got.get(series).unwrap_or(&empty);
        let mut want = samples.clone();
        want.sort_unstable();
        let maybe = outcome.under_way.get(series).unwrap_or(&empty);
        let missing: Vec<_> = want.iter().filter(|s| !there.contains(s)).collect();
        assert!(missing.is_empty(), "{what}: {series} lost {missing:?}");
        let extra: Vec<_> = there
            .iter()
            .filter(|s| !want.contains(s) && !maybe.contains(s))
            .collect();
        assert!(extra.is_empty(), "{what}: {series} gained {extra:?}");
    }
    let later = 100 * HOUR;
    append(&db, "0", &[(later, 7.0)]).unwrap_or_else(|err| panic!("{what}: {err}"));
    db.maintain().unwrap_or_else(|err| panic!("{what}: {err}"));
    let range = TimeRange {
        min: later,
        max: later,
    };
    assert_eq!(
        read(&db, range, &[Matcher::equal("i", "0")]).len(),
        1,
        "{what}"
    );
    db.close().unwrap_or_else(|err| panic!("{what}: {err}"));
}

fn run(site: &Site) -> Outcome {
    let mut outcome = Outcome::default();
    let Ok(db) = site.try_open() else {
        return outcome;
    };
    let worked = work(&db, &mut outcome);
    if !site.disk.has_crashed() {
        worked.unwrap();
    }
    outcome
}

fn operations(durability: Durability) -> u64 {
    let site = Site::with(options(durability));
    run(&site);
    site.disk.operations()
}

#[test]
fn the_process_dies_at_every_operation() {
    let site = Site::with(options(Durability::Write));
    run(&site);
    let total = site.disk.operations();
    let files: Vec<String> = site
        .disk
        .files()
        .iter()
        .map(|p| p.display().to_string())
        .collect();
    // The work is only worth its time if it goes through everything.
    assert!(files.iter().any(|f| f.contains("checkpoint.")), "{files:?}");
    assert!(
        files.iter().filter(|f| f.contains("meta.json")).count() > 1,
        "{files:?}"
    );
    assert!(files.iter().any(|f| f.contains("/wbl/")), "{files:?}");
    for at in 0..total {
        let site = Site::with(options(Durability::Write));
        site.disk.crash_at(at);
        let outcome = run(&site);
        site.disk.restart(Crash::Process);
        check_after(&site, &outcome, &format!("process crash at operation {at}"));
    }
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .ok()
        .and_then(|v| v.parse().ok())
        .unwrap_or(default)
}

#[test]
fn the_machine_dies_and_synced_commits_are_there() {
    let total = operations(Durability::Sync);
    let from = number("TITAN_CRASH_FROM", 0);
    let long = std::env::var_os("TITAN_LONG_TESTS").is_some();
    let many = if long { 20_000 } else { 1000 };
    for seed in from..from + number("TITAN_CRASH_SEEDS", many) {
        let at = env::Random::from_seed(seed).below(total);
        let site = Site::with(options(Durability::Sync));
        site.disk.crash_at(at);
        let outcome = run(&site);
        site.disk.restart(Crash::Machine { seed });
        check_after(
            &site,
            &outcome,
            &format!("machine crash, seed {seed}, operation {at}"),
        );
    }
}

#[test]
fn a_flipped_bit_anywhere_never_panics() {
    let made = Site::with(options(Durability::Write));
    let mut outcome = Outcome::default();
    let db = made.open();
    work(&db, &mut outcome).unwrap();
    drop(db);
    let files = made.disk.files();
    let mut random = env::Random::from_seed(7);
    for round in 0..300 {
        let site = Site::with(options(Durability::Write));
        let db = site.open();
        let mut outcome = Outcome::default();
        work(&db, &mut outcome).unwrap();
        drop(db);
        let path = &files[random.below(files.len() as u64) as usize];
        let len = env::Disk::len(&site.disk, path).unwrap_or(0);
        if len == 0 {
            continue;
        }
        site.disk.flip_bit(path, random.below(len * 8));
        // Either it says clearly what is wrong, or what it reads was written.
        let Ok(db) = site.try_open() else { continue };
        let querier = storage::Queryable::querier(&*db, TimeRange::ALL).unwrap();
        let Ok(mut set) = querier.select(&[name_is_set()], &storage::SelectHints::default()) else {
            continue;
        };
        while let Some(Ok(series)) = set.next() {
            let known = outcome.acknowledged.get(&series.labels.to_string());
            let known =
                known.unwrap_or_else(|| panic!("round {round}: {} in {path:?}", series.labels));
            let mut samples = series.samples(TimeRange::ALL);
            while let Ok(Some((t, value))) = samples.next() {
                let storage::Value::Float(v) = value else {
                    panic!("round {round}: a histogram")
                };
                assert!(
                    known.contains(&(t, v.to_bits())),
                    "round {round}: {t} {v} in {path:?}"
                );
            }
        }
    }
}
