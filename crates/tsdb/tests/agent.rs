//! Agent storage: what is appended is in the log, series go when they are idle, the folder survives crashes.

use std::path::Path;
use std::sync::Arc;

use env::sim::disk::Crash;
use env::sim::{SimClock, SimDisk};
use env::{Disk, Registry};
use model::Labels;
use ondisk::log::Compression;
use ondisk::record::{self, RecordKind};
use storage::{AppendError, Appendable as _, Queryable as _, TimeRange};
use tsdb::wal::{Cursor, Step, WalOptions};
use tsdb::{Agent, Durability};

fn open(disk: &SimDisk) -> Arc<Agent> {
    let options = WalOptions {
        segment_bytes: 32 << 10,
        compression: Compression::Snappy,
        durability: Durability::Write,
    };
    let clock = Arc::new(SimClock::starting_at(0));
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    Agent::open(
        Path::new("/agent"),
        options,
        0,
        true,
        disk,
        clock,
        &Registry::new(),
    )
    .unwrap()
}

fn labels(i: usize) -> Labels {
    Labels::from_pairs([("__name__", "m".to_owned()), ("i", i.to_string())])
}

fn append(agent: &Agent, i: usize, t: i64) -> Result<(), AppendError> {
    let mut appender = agent.appender();
    let series = appender.series(&labels(i))?;
    appender.append(series, t, t as f64)?;
    appender.commit()
}

/// Series and samples in log order, from the oldest checkpoint on.
fn logged(agent: &Agent, disk: &SimDisk) -> (usize, Vec<i64>) {
    let (mut series, mut times) = (0, Vec::new());
    let mut take = |bytes: &[u8]| match RecordKind::of(bytes) {
        Some(RecordKind::Series) => record::series(bytes, |_, _| series += 1).unwrap(),
        Some(RecordKind::Samples) => {
            let mut samples = Vec::new();
            record::samples(bytes, &mut samples).unwrap();
            times.extend(samples.iter().map(|s| s.t));
        }
        _ => {}
    };
    let over: Arc<dyn Disk> = Arc::new(disk.clone());
    let newest = tsdb::checkpoint::newest(disk, agent.wal_dir()).unwrap();
    let mut from = 0;
    if let Some((covered, folder)) = newest {
        let mut cursor = Cursor::new(over.clone(), &folder, 0);
        while cursor.step(&mut take).unwrap() == Step::Record {}
        from = covered + 1;
    }
    let mut cursor = Cursor::new(over, agent.wal_dir(), from);
    while cursor.step(&mut take).unwrap() == Step::Record {}
    (series, times)
}

#[test]
fn logged_replayed_and_truncated() {
    let disk = SimDisk::new();
    let agent = open(&disk);
    let mut want = Vec::new();
    for t in 1..200 {
        append(&agent, 0, t * 1000).unwrap();
        want.push(t * 1000);
        if t < 50 {
            append(&agent, t as usize, t * 1000).unwrap();
            want.push(t * 1000);
        }
    }
    assert_eq!(append(&agent, 0, 199_000), Err(AppendError::OutOfOrder));
    assert_eq!(logged(&agent, &disk), (50, want.clone()));
    let refused = agent.querier(TimeRange::ALL).err().unwrap().to_string();
    assert_eq!(refused, "unsupported operation with WAL-only storage");
    drop(agent);
    disk.restart(Crash::Process);
    let agent = open(&disk);
    assert_eq!(agent.series_count(), 50);
    assert_eq!(append(&agent, 0, 199_000), Err(AppendError::OutOfOrder));
    for t in 200..210 {
        append(&agent, 0, t * 1000).unwrap();
        agent.truncate(150_000).unwrap();
    }
    assert_eq!(agent.series_count(), 1);
    let (series, times) = logged(&agent, &disk);
    assert!(
        series < 50 && times.iter().all(|t| *t >= 150_000),
        "{series} {times:?}"
    );
    assert_eq!(times.iter().filter(|t| **t >= 150_000).count(), 60);
    agent.close().unwrap();
    drop(agent);
    let agent = open(&disk);
    append(&agent, 7, 300_000).unwrap();
    assert_eq!(agent.series_count(), 2);
}

#[test]
fn a_crash_at_every_operation() {
    let work = |disk: &SimDisk| -> (Vec<i64>, Option<i64>) {
        let options = WalOptions {
            segment_bytes: 32 << 10,
            compression: Compression::None,
            durability: Durability::Write,
        };
        let clock = Arc::new(SimClock::starting_at(0));
        let shared: Arc<dyn Disk> = Arc::new(disk.clone());
        let opened = Agent::open(
            Path::new("/agent"),
            options,
            0,
            true,
            shared,
            clock,
            &Registry::new(),
        );
        let Ok(agent) = opened else {
            return (Vec::new(), None);
        };
        let mut acknowledged = Vec::new();
        for t in 1..60 {
            match append(&agent, t as usize % 5, t * 1000) {
                Ok(()) => acknowledged.push(t * 1000),
                Err(_) => return (acknowledged, Some(t * 1000)),
            }
            if t % 7 == 0 && agent.truncate((t - 30) * 1000).is_err() {
                return (acknowledged, None);
            }
        }
        (acknowledged, None)
    };
    let disk = SimDisk::new();
    work(&disk);
    let total = disk.operations();
    for at in 0..total {
        let disk = SimDisk::new();
        disk.crash_at(at);
        let (acknowledged, under_way) = work(&disk);
        disk.restart(Crash::Process);
        let agent = open(&disk);
        let (_, times) = logged(&agent, &disk);
        // All that was never asked to be forgotten.
        let newest = acknowledged.last().copied().unwrap_or(0);
        for t in acknowledged.iter().filter(|t| **t >= newest - 23_000) {
            assert_eq!(
                times.iter().filter(|x| *x == t).count(),
                1,
                "operation {at}: {t}"
            );
        }
        let extra = times
            .iter()
            .any(|t| !acknowledged.contains(t) && Some(*t) != under_way);
        assert!(!extra, "operation {at}");
        append(&agent, 0, 1_000_000).unwrap();
    }
}
