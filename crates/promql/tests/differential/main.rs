//! The engine against the real Prometheus over the same folder: seeded random queries, instant and range.

mod answer;
mod data;
mod engine;
mod generator;
mod known;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use answer::{Answer, difference};
use env::sim::SimClock;
use generator::{Generator, Times};
use known::known;
use promql::{Engine, EngineOptions, QueryOptions};
use testkit::child::Running;
use testkit::connection::Connection;
use testkit::http::escape;

/// Six seconds where nothing is optimized.
const QUERIES: usize = 8000;

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else if entry.file_name() != "lock" {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

fn start(program: &Path, folder: &Path, data: &Path) -> (Running, Connection) {
    let config = folder.join("prometheus.yml");
    std::fs::write(&config, "scrape_configs: []\n").expect("a configuration");
    let port = testkit::free_port();
    let mut command = Command::new(program);
    command.args([
        format!("--config.file={}", config.display()),
        format!("--storage.tsdb.path={}", data.display()),
        "--storage.tsdb.retention.time=50y".to_string(),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    let running = Running::start(&mut command);
    testkit::http::wait_for(port, "/-/ready", |answer| answer.status == 200);
    (running, Connection::open(port))
}

#[test]
fn same_answers_as_the_real_prometheus() {
    let Some(program) = testkit::peers::find("prometheus") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (mine, others) = (folder.path().join("mine"), folder.path().join("others"));
    let mut random = Generator::new(1, data::FIRST, data::SPAN);
    data::write(&mine, &mut random);
    copy(&mine, &others);
    let clock = SimClock::starting_at((data::FIRST + data::SPAN) * 1000);
    let db = data::open(&mine, &clock);
    let engine = Engine::new(EngineOptions::default());
    let (peer, mut connection) = start(&program, folder.path(), &others);

    let (mut equal, mut failing, mut empty, mut different) = (0, 0, 0, 0);
    let mut reasons = std::collections::BTreeMap::new();
    for _ in 0..QUERIES {
        let (query, times) = (random.query(), random.times());
        let options = QueryOptions::default();
        let escaped = escape(&query);
        let (result, path) = match times {
            Times::Instant(time) => (
                engine.instant(&*db, &query, time * 1000, &options),
                format!("/api/v1/query?query={escaped}&time={time}"),
            ),
            Times::Range(start, end, step) => (
                engine.range(
                    &*db,
                    &query,
                    start * 1000,
                    end * 1000,
                    step * 1000,
                    &options,
                ),
                format!("/api/v1/query_range?query={escaped}&start={start}&end={end}&step={step}"),
            ),
        };
        let ours = engine::read(result);
        let theirs = answer::read(&connection.get(&path).body);
        let Some(why) = difference(&query, &ours, &theirs) else {
            equal += 1;
            match ours {
                Answer::Error(..) => failing += 1,
                Answer::Series(series) => empty += usize::from(series.is_empty()),
            }
            continue;
        };
        match known(&query, &why) {
            Some(reason) => *reasons.entry(reason).or_insert(0) += 1,
            None => {
                different += 1;
                eprintln!("{query}\n  {times:?}\n  {why:.600}");
            }
        }
    }
    drop(connection);
    peer.end(Duration::ZERO);
    let known: usize = reasons.values().sum();
    eprintln!(
        "{QUERIES} compared, {equal} equal ({failing} fail on both sides, {empty} are empty), {known} known to differ: {reasons:?}, {different} different"
    );
    assert_eq!(different, 0, "answers differ");
    assert!(known * 50 < QUERIES, "too much is excused");
    assert!((failing + empty) * 3 < QUERIES, "too little is compared");
}
