//! A real process that appends, maintains and is killed with SIGKILL at moments of chance: what it acknowledged is there
//! afterwards, once. The process is this test's own program, started again for the test `child`.
//!
//! `TITAN_KILL_SEED` sets the seed, which a failure prints; `TITAN_LONG_TESTS=1` kills 300 times.

#[path = "support/site.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use env::sim::SimClock;
use env::system::SystemDisk;
use env::{Disk, Random, Registry};
use storage::Appendable as _;
use support::*;
use tsdb::{Db, Durability, Options, Retention};

const FOLDER: &str = "TITAN_KILLED_FOLDER";
const SERIES: usize = 40;
const STEP: i64 = 30_000;

fn open(dir: &Path, seed: u64) -> Arc<Db> {
    let options = Options {
        wal_segment_bytes: 32 << 10,
        out_of_order_window: 2 * HOUR,
        retention: Retention::none(),
        durability: match seed % 2 {
            0 => Durability::Write,
            _ => Durability::Sync,
        },
        seed,
        ..Options::default()
    };
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let clock = Arc::new(SimClock::starting_at(1_700_000_000_000 + seed as i64));
    Db::open(dir, options, disk, clock, &Registry::new()).unwrap()
}

/// The batch at a step: steady series, one that comes and goes, now and then a late sample.
fn batch(step: i64) -> Vec<(String, i64, f64)> {
    let t = step * STEP;
    let mut all: Vec<_> = (0..SERIES)
        .map(|i| (i.to_string(), t, (step * 100 + i as i64) as f64))
        .collect();
    all.push((format!("churn-{}", step / 50), t, step as f64));
    if step > 400 && step % 7 == 0 {
        all.push(("0".into(), t - 3 * STEP - 1, -step as f64));
    }
    all
}

/// Appends from the step that it is told on, saying each step that is committed, until it is killed.
#[test]
#[ignore = "the process that the other test kills"]
fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let number = |name: &str| std::env::var(name).unwrap().parse::<i64>().unwrap();
    let db = open(Path::new(&folder), number("TITAN_KILLED_SEED") as u64);
    let background = db.clone();
    std::thread::spawn(move || {
        loop {
            background.maintain().unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
    });
    let mut out = std::io::stdout().lock();
    for step in number("TITAN_KILLED_FROM").. {
        let mut appender = db.appender();
        for (i, t, v) in batch(step) {
            let series = appender.series(&labels(&i)).unwrap();
            appender.append(series, t, v).unwrap();
        }
        appender.commit().unwrap();
        writeln!(out, "step {step}").unwrap();
        out.flush().unwrap();
    }
}

#[test]
fn what_a_killed_process_acknowledged_is_there() {
    let long = std::env::var_os("TITAN_LONG_TESTS").is_some();
    let seed = std::env::var("TITAN_KILL_SEED").ok();
    let seed: u64 = seed.and_then(|s| s.parse().ok()).unwrap_or(1);
    // Everything is read after each kill, so many short lives show as much as a long one, and sooner.
    let lives = if long { 30 } else { 1 };
    (seed..seed + lives).for_each(live_and_die);
}

/// A folder whose process is killed ten times.
fn live_and_die(seed: u64) {
    let rounds = 10;
    let mut random = Random::from_seed(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut next = 0i64;
    let mut want = Samples::new();
    let mut blocks = 0;
    for round in 0..rounds {
        let what = format!("seed {seed}, round {round}");
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--ignored", "--nocapture"])
            .env(FOLDER, folder.path())
            .env("TITAN_KILLED_FROM", next.to_string())
            .env("TITAN_KILLED_SEED", (seed * 1000 + round).to_string())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let stdout = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut steps = Vec::new();
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                // The test harness may have put its own words in front.
                let step = line.rsplit_once("step ").map(|(_, n)| n.to_owned());
                steps.extend(step.and_then(|n| n.parse::<i64>().ok()));
            }
            steps
        });
        std::thread::sleep(Duration::from_millis(30 + random.below(220)));
        child.kill().unwrap();
        child.wait().unwrap();
        let steps = reader.join().unwrap();
        let last = steps.last().copied().unwrap_or(next - 1);
        let add = |want: &mut Samples, step: i64| {
            for (i, t, v) in batch(step) {
                let list = want.entry(labels(&i).to_string()).or_default();
                list.push((t, v.to_bits()));
            }
        };
        (next..=last).for_each(|step| add(&mut want, step));
        next = last + 1;
        let db = open(folder.path(), seed * 1000 + round);
        let got = read_all(&db);
        // The commit under way when it died may be there, and then all of it but what is late.
        if got.values().flatten().any(|(t, _)| *t == next * STEP) {
            add(&mut want, next);
            next += 1;
        }
        if let Some(late) = got.get(&labels("0").to_string())
            && let Some(list) = want.get_mut(&labels("0").to_string())
            && (next - 1) % 7 == 0
        {
            let t = (next - 1) * STEP - 3 * STEP - 1;
            if !late.iter().any(|s| s.0 == t) && next - 1 > last {
                list.retain(|s| s.0 != t);
            }
        }
        want.values_mut().for_each(|list| list.sort_unstable());
        assert_same_samples(&got, &want, &what);
        blocks = blocks.max(db.metas().len());
        // Half of the time somebody closes it in order.
        if random.below(2) == 0 {
            db.close().unwrap_or_else(|e| panic!("{what}: {e}"));
        }
    }
    assert!(next > 100 && blocks > 0, "{next} steps, {blocks} blocks");
    eprintln!("seed {seed}: {rounds} rounds, {next} steps, {blocks} blocks");
}
