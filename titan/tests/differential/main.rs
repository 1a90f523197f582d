//! Both servers asked the same over HTTP: answers, errors, warnings. Once over the same folder, once after both have
//! scraped the same targets.

#[path = "../../../crates/promql/tests/differential/answer.rs"]
mod answer;
#[path = "../../../crates/promql/tests/differential/data.rs"]
mod data;
#[path = "../../../crates/promql/tests/differential/generator.rs"]
mod generator;
#[path = "../../../crates/promql/tests/differential/known.rs"]
mod known;
mod targets;

use std::path::Path;
use std::process::Command;

use answer::{Answer, difference};
use generator::{Generator, Times};
use known::known;
use serde_json::Value;
use testkit::child::Running;
use testkit::connection::Connection;
use testkit::http::escape;

/// Over the same folder.
const QUERIES: usize = 2500;
/// After scraping.
const SCRAPED_QUERIES: usize = 2000;

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

fn start(mut command: Command, data: &Path, config: &str) -> (Running, Connection) {
    let file = data.with_extension("yml");
    std::fs::write(&file, config).expect("a configuration");
    let port = testkit::free_port();
    command.args([
        format!("--config.file={}", file.display()),
        format!("--storage.tsdb.path={}", data.display()),
        "--storage.tsdb.retention.time=50y".to_string(),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    let running = Running::start(&mut command);
    testkit::http::wait_for(port, "/-/ready", |answer| answer.status == 200);
    (running, Connection::open(port))
}

fn path(query: &str, times: Times) -> String {
    let query = escape(query);
    match times {
        Times::Instant(time) => format!("/api/v1/query?query={query}&time={time}"),
        Times::Range(start, end, step) => {
            format!("/api/v1/query_range?query={query}&start={start}&end={end}&step={step}")
        }
    }
}

/// What both say besides series: the status code, and for syntax errors where they are.
fn manner(times: Times, status: u16, body: &Value) -> (u16, String, Option<String>) {
    let text = |name: &str| body[name].as_str().unwrap_or_default().to_string();
    let error = text("error");
    // Before errors of range queries, 2.42 leaves the parameter's name out; later versions do not.
    let error = match times {
        Times::Range(..) => error.trim_start_matches("invalid parameter \"query\": "),
        Times::Instant(_) => &error,
    };
    let place = error
        .split_once(": parse error")
        .map(|(place, _)| place.to_string());
    (status, text("status"), place)
}

/// What both note. Version 2 knows warnings of storage only: what ours notes in PromQL's name may be lacking there. Of
/// samples that were made monotonic upstream adds the same ones up again and again; ours says how many there are.
fn wrong_notes(ours: &Value, theirs: &Value, annotates: bool) -> Option<String> {
    let all = |body: &Value, name: &str| -> Vec<String> {
        let list = body[name].as_array().into_iter().flatten();
        list.filter_map(Value::as_str).map(uncounted).collect()
    };
    for (name, kind) in [("warnings", "PromQL warning: "), ("infos", "PromQL info: ")] {
        let (mine, others) = (all(ours, name), all(theirs, name));
        let odd = mine
            .iter()
            .find(|note| (annotates || !note.starts_with(kind)) && !others.contains(note));
        let lacking = others.iter().find(|note| !mine.contains(note));
        if odd.is_some() || lacking.is_some() {
            return Some(format!("{name}: {mine:?} and {others:?}"));
        }
    }
    None
}

/// A note without the number of samples in it.
fn uncounted(note: &str) -> String {
    let Some((before, after)) = note.split_once(", over ") else {
        return note.to_string();
    };
    format!(
        "{before}, over {}",
        after.trim_start_matches(|c: char| c.is_ascii_digit())
    )
}

/// Whether a server notes what PromQL found odd, as all do since version 3.
fn annotates(server: &mut Connection) -> bool {
    let body = server.get("/api/v1/status/buildinfo").body;
    let info: Value = serde_json::from_str(&body).expect("build information");
    let version = info["data"]["version"].as_str().expect("a version");
    !version.starts_with("2.")
}

fn titan() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_titan"));
    command.arg("prometheus");
    command
}

/// Asks both.
fn compare(ours: &mut Connection, theirs: &mut Connection, random: &mut Generator, queries: usize) {
    let (mut equal, mut failing, mut empty) = (0, 0, 0);
    let (mut excused, mut different) = (0, 0);
    let annotates = annotates(theirs);
    for _ in 0..queries {
        let (query, times) = (random.query(), random.times());
        let path = path(&query, times);
        let (a, b) = (ours.get(&path), theirs.get(&path));
        let json = |body: &str| -> Value {
            serde_json::from_str(body).unwrap_or_else(|e| panic!("{query}: {e}: {body}"))
        };
        let (x, y) = (json(&a.body), json(&b.body));
        let (first, second) = (answer::read(&a.body), answer::read(&b.body));
        let why = difference(&query, &first, &second).or_else(|| {
            let (mine, others) = (manner(times, a.status, &x), manner(times, b.status, &y));
            (mine != others)
                .then(|| format!("{mine:?} and {others:?}; {} and {}", x["error"], y["error"]))
        });
        match why {
            Some(why) if known(&query, &why).is_some() => excused += 1,
            Some(why) => {
                different += 1;
                eprintln!("{query}\n  {times:?}\n  {why:.600}");
            }
            None => {
                equal += 1;
                match first {
                    Answer::Error(..) => failing += 1,
                    Answer::Series(series) => empty += usize::from(series.is_empty()),
                }
            }
        }
        if let Some(why) = wrong_notes(&x, &y, annotates) {
            different += 1;
            eprintln!("{query}\n  {times:?}\n  {why:.600}");
        }
    }
    eprintln!(
        "{queries} asked, {equal} equal ({failing} fail on both sides, {empty} are empty), {excused} known to differ, {different} different"
    );
    assert_eq!(different, 0, "answers differ");
    assert!(excused * 50 < queries, "too much is excused");
    assert!((failing + empty) * 2 < queries, "too little is compared");
}

#[test]
fn both_servers_answer_the_same_of_one_folder() {
    let Some(program) = testkit::peers::find("prometheus") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (mine, others) = (folder.path().join("mine"), folder.path().join("others"));
    let mut random = Generator::new(7, data::FIRST, data::SPAN);
    data::write(&mine, &mut random);
    copy(&mine, &others);
    let nothing = "scrape_configs: []\n";
    let (server, mut ours) = start(titan(), &mine, nothing);
    let (peer, mut theirs) = start(Command::new(program), &others, nothing);
    compare(&mut ours, &mut theirs, &mut random, QUERIES);
    drop((ours, theirs));
    server.kill();
    peer.kill();
}

#[test]
fn both_servers_answer_the_same_of_what_they_scraped() {
    let Some(program) = testkit::peers::find("prometheus") else {
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (mine, others) = (folder.path().join("mine"), folder.path().join("others"));
    let (first, span) = targets::recently();
    let mut random = Generator::new(11, first, span);
    let targets = targets::Targets::start(first);
    let (server, mut ours) = start(titan(), &mine, &targets.config("ours"));
    let (peer, mut theirs) = start(Command::new(program), &others, &targets.config("theirs"));
    targets.run(&mut random, [&mut ours, &mut theirs]);
    compare(&mut ours, &mut theirs, &mut random, SCRAPED_QUERIES);
    drop((ours, theirs));
    server.kill();
    peer.kill();
}
