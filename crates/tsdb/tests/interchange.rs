//! Folders that go from us to the real Prometheus and back. Skipped aloud where its programs are not installed.

#[path = "support/site.rs"]
mod support;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use env::sim::SimClock;
use env::system::SystemDisk;
use env::{Disk, Registry};
use model::Matcher;
use storage::TimeRange;
use support::*;
use tsdb::{Db, Options, Retention};

/// Ten in the morning of some day, at the edge of a two-hour window.
const START: i64 = 1_699_999_200_000 / (2 * HOUR) * (2 * HOUR);

/// Says aloud when it is not there.
fn installed(program: &str) -> bool {
    testkit::peers::find(program).is_some()
}

fn peer(program: &str) -> Command {
    Command::new(testkit::peers::find(program).unwrap())
}

fn open(dir: &Path, options: Options) -> Arc<Db> {
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let clock = Arc::new(SimClock::starting_at(START));
    Db::open(dir, options, disk, clock, &Registry::new()).unwrap()
}

fn promtool(args: &[&str], dir: &Path) -> String {
    let out = peer("promtool").args(args).arg(dir).output().unwrap();
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let errors = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "promtool {args:?}: {text}\n{errors}");
    text
}

/// Samples as `promtool tsdb dump` prints them: labels, value, time.
fn dump(dir: &Path) -> Samples {
    let mut samples = Samples::new();
    for line in promtool(&["tsdb", "dump"], dir).lines() {
        let (rest, t) = line.rsplit_once(' ').unwrap();
        let (labels, value) = rest.rsplit_once(' ').unwrap();
        let value: f64 = value.parse().unwrap();
        samples
            .entry(labels.to_owned())
            .or_default()
            .push((t.parse().unwrap(), value.to_bits()));
    }
    samples
}

/// All NaNs print the same.
fn printed(mut samples: Samples) -> Samples {
    for (_, bits) in samples.values_mut().flatten() {
        if f64::from_bits(*bits).is_nan() {
            *bits = f64::NAN.to_bits();
        }
    }
    samples
}

fn assert_same(ours: Samples, theirs: Samples, what: &str) {
    let (ours, theirs) = (printed(ours), printed(theirs));
    let only = |a: &Samples, b: &Samples| {
        a.keys()
            .filter(|k| !b.contains_key(*k))
            .cloned()
            .collect::<Vec<_>>()
    };
    let apart = (only(&ours, &theirs), only(&theirs, &ours));
    assert_eq!(
        apart,
        (Vec::new(), Vec::new()),
        "{what}: series of one side only"
    );
    for (labels, samples) in &ours {
        let first = samples.iter().zip(&theirs[labels]).find(|(a, b)| a != b);
        let lens = (samples.len(), theirs[labels].len());
        assert!(
            samples == &theirs[labels],
            "{what}: samples of {labels}: {lens:?} {first:?}"
        );
    }
}

/// Sixteen hours, with deletions, late samples, a stale marker, churn; some in blocks, some not.
fn write(db: &Db) -> Samples {
    let mut want = Samples::new();
    for hour in 0..16 {
        merge(&mut want, fill(db, 7, START + hour * HOUR, 240, 15_000));
        let gone = format!("gone-{hour}");
        let t = START + hour * HOUR;
        append(db, &gone, &[(t, 0.1), (t + 1, model::sample::stale_nan())]).unwrap();
        let list = want.entry(labels(&gone).to_string()).or_default();
        list.extend([
            (t, 0.1f64.to_bits()),
            (t + 1, model::sample::STALE_NAN_BITS),
        ]);
        db.maintain().unwrap();
    }
    let deleted = TimeRange {
        min: START + 3 * HOUR,
        max: START + 15 * HOUR,
    };
    db.delete_series(&[Matcher::equal("i", "2")], deleted)
        .unwrap();
    want.get_mut(&labels("2").to_string())
        .unwrap()
        .retain(|(t, _)| !deleted.contains(*t));
    want
}

#[test]
fn promtool_reads_what_we_wrote() {
    if !installed("promtool") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), Options::default());
    let want = write(&db);
    assert_same(read_all(&db), want.clone(), "ourselves");
    let blocks = db.metas();
    assert!(blocks.iter().any(|m| m.compaction.level > 1));
    db.close().unwrap();
    drop(db);
    assert_same(dump(dir.path()), want, "promtool");
    let list = promtool(&["tsdb", "list"], dir.path());
    for meta in &blocks {
        assert!(list.contains(&meta.ulid.to_string()), "{list}");
    }
    let analysis = promtool(&["tsdb", "analyze"], dir.path());
    assert!(analysis.contains("Series: "), "{analysis}");
}

#[test]
fn late_samples_in_upstreams_eyes() {
    if !installed("promtool") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let options = Options {
        out_of_order_window: 4 * HOUR,
        ..Options::default()
    };
    let db = open(dir.path(), options.clone());
    let mut want = fill(&db, 3, START + 4 * HOUR, 60, 60_000);
    for i in (0..100i64).rev() {
        let t = START + 2 * HOUR + i * 60_000;
        append(&db, "late", &[(t, i as f64)]).unwrap();
        want.entry(labels("late").to_string())
            .or_default()
            .push((t, (i as f64).to_bits()));
    }
    want.values_mut().for_each(|list| list.sort_unstable());
    assert_same(read_all(&db), want.clone(), "ourselves");
    for hour in 5..9 {
        merge(&mut want, fill(&db, 3, START + hour * HOUR, 60, 60_000));
        db.maintain().unwrap();
    }
    db.close().unwrap();
    drop(db);
    assert_same(dump(dir.path()), want, "promtool");
}

#[test]
fn we_read_blocks_that_promtool_made() {
    if !installed("promtool") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("in.txt");
    let mut text = String::from("# TYPE m gauge\n");
    for i in 0..50 {
        for t in 0..300i64 {
            let at = START / 1000 + t * 60;
            text += &format!(
                "m{{i=\"{i}\",odd=\"{}\"}} {} {at}\n",
                i % 2,
                (t * i) as f64 / 7.0
            );
        }
    }
    text += "# EOF\n";
    std::fs::write(&file, text).unwrap();
    let data = dir.path().join("data");
    let made = peer("promtool")
        .args(["tsdb", "create-blocks-from", "openmetrics"])
        .args([&file, &data])
        .output()
        .unwrap();
    assert!(made.status.success());
    // Its dump wants a log, if only an empty one.
    std::fs::create_dir_all(data.join("wal")).unwrap();
    let theirs = dump(&data);
    assert_eq!(theirs.values().map(Vec::len).sum::<usize>(), 50 * 300);
    let db = open(
        &data,
        Options {
            retention: Retention::none(),
            ..Options::default()
        },
    );
    assert!(db.metas().len() >= 2);
    assert_same(read_all(&db), theirs.clone(), "their blocks");
    // We merge them, they read the result.
    while db.maintain().unwrap().compactions > 0 {}
    db.close().unwrap();
    drop(db);
    assert_same(dump(&data), theirs, "blocks merged by us");
}

struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        // Only ever the child we started; killed hard, as the tests want it.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the real server on a folder, scraping itself, until it has logged samples, and kills it hard.
fn run_prometheus(dir: &Path, data: &Path) -> String {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let config = dir.join("prometheus.yml");
    let text = format!(
        "global:\n  scrape_interval: 1s\nscrape_configs:\n- job_name: self\n  static_configs:\n  - targets: ['127.0.0.1:{port}']\n"
    );
    std::fs::write(&config, text).unwrap();
    let log_path = dir.join("log");
    let log = std::fs::File::create(&log_path).unwrap();
    let child = peer("prometheus")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.tsdb.path={}", data.display()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        .arg("--storage.tsdb.retention.time=10000d")
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap();
    let server = Server(child);
    // Real seconds of a real program: there is no clock to turn. It has to have scraped itself a few times.
    testkit::http::wait_for(
        port,
        "/api/v1/query?query=count_over_time(up[1h])%3E3",
        |answer| answer.body.contains("\"value\""),
    );
    drop(server);
    std::fs::read_to_string(log_path).unwrap()
}

#[test]
fn three_turns_on_one_folder() {
    if !installed("prometheus") || !installed("promtool") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let options = Options {
        retention: Retention::none(),
        ..Options::default()
    };
    // Ours first, dropped in the middle.
    let db = open(&data, options.clone());
    let mut want = write(&db);
    drop(db);
    let complaints = |log: &str| {
        let bad = log
            .lines()
            .filter(|l| l.contains("level=error") || l.contains("corrupt"));
        bad.map(str::to_owned).collect::<Vec<_>>()
    };
    let log = run_prometheus(dir.path(), &data);
    assert!(complaints(&log).is_empty(), "{:?}", complaints(&log));
    assert!(log.contains("Server is ready"), "{log}");
    // What it had when it was killed, by its own tool.
    let theirs = dump(&data);
    assert!(theirs.len() > want.len() + 100, "{} series", theirs.len());
    for (labels, samples) in printed(want.clone()) {
        assert!(
            printed(theirs.clone())[&labels] == samples,
            "{labels} after their turn"
        );
    }
    let db = open(&data, options.clone());
    assert_same(read_all(&db), theirs.clone(), "after their turn");
    let newest = db.head_stats(1).max_time;
    let more = fill(&db, 3, newest + 60_000, 100, 1000);
    want = theirs;
    merge(&mut want, more);
    db.maintain().unwrap();
    assert_same(read_all(&db), want.clone(), "our second turn");
    drop(db);
    let log = run_prometheus(dir.path(), &data);
    assert!(complaints(&log).is_empty(), "{:?}", complaints(&log));
    let theirs = printed(dump(&data));
    for (labels, samples) in printed(want) {
        let after = &theirs[&labels];
        assert!(
            after.starts_with(&samples),
            "{labels} after their second turn"
        );
    }
    let db = open(&data, options);
    assert_same(read_all(&db), theirs, "after their second turn");
}

/// Lists are sorted by count; upstream leaves the order of equal counts to chance.
fn sorted_sections(text: &str) -> Vec<Vec<String>> {
    let sections = text.replace("Total Series:", "Series:");
    sections
        .split("\n\n")
        .map(|section| {
            let mut lines: Vec<String> = section.lines().map(|l| l.trim_end().to_owned()).collect();
            lines.sort();
            lines
        })
        .collect()
}

#[test]
fn our_tools_say_what_promtool_says() {
    if !installed("promtool") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let db = open(dir.path(), Options::default());
    let want = write(&db);
    // The folder is still open and locked by `db`.
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let clock = Arc::new(SimClock::starting_at(START));
    let copy = tsdb::tool::open_read_only(dir.path(), disk.clone(), clock).unwrap();
    assert_same(read_all(&copy), want.clone(), "read only");
    let mut lines = Vec::new();
    let sets = [vec![
        Matcher::new(model::MatchOp::Regex, "__name__", ".*").unwrap(),
    ]];
    let format = tsdb::tool::DumpFormat::Prom;
    tsdb::tool::dump(&copy, TimeRange::ALL, &sets, format, |line| {
        lines.push(line.to_owned())
    })
    .unwrap();
    drop(copy);
    db.close().unwrap();
    drop(db);
    let theirs = promtool(&["tsdb", "dump"], dir.path());
    let theirs: Vec<&str> = theirs.lines().collect();
    assert_eq!(lines.len(), theirs.len());
    let differs = lines.iter().zip(&theirs).find(|(a, b)| a != *b);
    assert_eq!(differs, None);

    let rows = tsdb::tool::list(&*disk, dir.path()).unwrap();
    assert_eq!(
        tsdb::tool::render_list(&rows, false),
        promtool(&["tsdb", "list"], dir.path())
    );
    assert_eq!(
        tsdb::tool::render_list(&rows, true),
        promtool(&["tsdb", "list", "-r"], dir.path())
    );

    let block = tsdb::tool::pick_block(&disk, dir.path(), None).unwrap();
    let ours = tsdb::tool::analyze(&block, &[], 20, true)
        .unwrap()
        .to_string();
    let theirs = promtool(&["tsdb", "analyze", "--extended"], dir.path());
    assert_eq!(sorted_sections(&ours), sorted_sections(&theirs));
}

#[test]
fn a_backfilled_block_is_read_by_promtool() {
    if !installed("promtool") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let mut builder = tsdb::tool::BlockBuilder::new(disk, dir.path());
    let mut want = Samples::new();
    for i in 0..300i64 {
        for n in 0..3 {
            let (series, t) = (labels(&n.to_string()), START + (i * 7 % 300) * 10_000);
            builder.add(&series, t, tsdb::Value::Float(i as f64));
            want.entry(series.to_string())
                .or_default()
                .push((t, (i as f64).to_bits()));
        }
    }
    want.values_mut().for_each(|list| list.sort_unstable());
    let ulid = ondisk::meta::Ulid::new(START, [7; 10]);
    let meta = builder.finish(ulid).unwrap().unwrap();
    assert_eq!(
        (meta.min_time, meta.max_time),
        (START, START + 299 * 10_000 + 1)
    );
    std::fs::create_dir_all(dir.path().join("wal")).unwrap();
    assert_same(want, dump(dir.path()), "backfilled");
}
