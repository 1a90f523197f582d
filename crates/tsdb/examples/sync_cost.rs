//! What waiting for the disk costs: `sync_cost [FOLDER]` commits batches of 1,000 samples from several threads, with either
//! durability, and prints a table. Run it with `cargo run --profile quick -p tsdb --example sync_cost`.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use env::sim::SimClock;
use env::system::SystemDisk;
use env::{Disk, Registry};
use model::Labels;
use storage::Appendable as _;
use tsdb::{Db, Durability, Options};

const BATCH: usize = 1000;
const START: i64 = 1_700_006_400_000;
const SPAN: Duration = Duration::from_secs(4);

fn labels(thread: usize, n: usize) -> Labels {
    Labels::from_pairs([
        ("__name__", "metric".to_owned()),
        ("thread", thread.to_string()),
        ("n", n.to_string()),
    ])
}

/// Commits for a while; gives how long each took.
fn commits(db: &Db, thread: usize) -> Vec<Duration> {
    let mut took = Vec::new();
    let mut batch = db.appender();
    let series: Vec<_> = (0..BATCH)
        .map(|n| batch.series(&labels(thread, n)).expect("a series"))
        .collect();
    batch.commit().expect("committed");
    let began = Instant::now();
    for step in 0.. {
        if began.elapsed() > SPAN {
            break;
        }
        let mut batch = db.appender();
        for series in &series {
            batch
                .append(*series, START + step * 1000, step as f64)
                .expect("appended");
        }
        let started = Instant::now();
        batch.commit().expect("committed");
        took.push(started.elapsed());
    }
    took
}

fn main() {
    let folder = std::env::args().nth(1);
    let temporary = tempfile::tempdir().expect("a folder");
    let root = folder.map_or(temporary.path().to_owned(), Into::into);
    println!(
        "| threads | durability | commits/s | samples/s | median | 99 % |\n|---|---|---|---|---|---|"
    );
    for threads in [1, 4, 16] {
        for (name, durability) in [("write", Durability::Write), ("sync", Durability::Sync)] {
            let dir = root.join(format!("{name}-{threads}"));
            let took = measure(&dir, durability, threads);
            let rate = took.len() as f64 / SPAN.as_secs_f64();
            let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize];
            println!(
                "| {threads} | {name} | {rate:.0} | {:.0} | {:.2?} | {:.2?} |",
                rate * BATCH as f64,
                at(0.5),
                at(0.99)
            );
        }
    }
}

fn measure(dir: &Path, durability: Durability, threads: usize) -> Vec<Duration> {
    let options = Options {
        durability,
        ..Options::default()
    };
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let clock = Arc::new(SimClock::starting_at(START));
    let db = Db::open(dir, options, disk, clock, &Registry::new()).expect("open");
    let mut took: Vec<Duration> = std::thread::scope(|scope| {
        let running: Vec<_> = (0..threads)
            .map(|thread| {
                let db = &db;
                scope.spawn(move || commits(db, thread))
            })
            .collect();
        let done = running.into_iter().map(|t| t.join().expect("finished"));
        done.flatten().collect()
    });
    took.sort_unstable();
    db.close().expect("closed");
    drop(db);
    std::fs::remove_dir_all(dir).expect("removed");
    took
}
