//! The built server under load, killed with SIGKILL at moments of chance, again and again on one folder: every scrape that
//! could be seen before is there afterwards, whole and once.
//!
//! `TITAN_KILL_SEED` sets the seed, which a failure prints; `TITAN_LONG_TESTS=1` kills a hundred times.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::child::Running;
use testkit::free_port;
use testkit::http::{escape, get};
use testkit::server;

const TARGETS: usize = 4;
const SERIES: usize = 150;

/// Serves pages whose series all carry the number of the scrape, counted over all of the test.
fn serve_targets() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let scrapes = Arc::new(AtomicU64::new(0));
    std::thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            let scrapes = scrapes.clone();
            std::thread::spawn(move || answer_all(connection, &scrapes));
        }
    });
    port
}

fn answer_all(mut connection: TcpStream, scrapes: &AtomicU64) {
    let mut pending = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match connection.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(n) => pending.extend_from_slice(&buffer[..n]),
        }
        while let Some(end) = pending.windows(4).position(|w| w == b"\r\n\r\n") {
            pending.drain(..end + 4);
            let scrape = scrapes.fetch_add(1, Ordering::Relaxed);
            let page: String = (0..SERIES)
                .map(|i| format!("killed{{i=\"{i}\"}} {scrape}\n"))
                .collect();
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/plain; version=0.0.4\r\ncontent-length: {}\r\n\r\n",
                page.len()
            );
            if connection.write_all((head + &page).as_bytes()).is_err() {
                return;
            }
        }
    }
}

fn start(folder: &Path, port: u16) -> Running {
    let mut command = server::command(env!("CARGO_BIN_EXE_titan"), folder, port);
    // Blocks of a second: cutting, compacting and cutting the log go on all the time.
    command.args([
        "--storage.tsdb.min-block-duration=1s",
        "--storage.tsdb.max-block-duration=9s",
        "--storage.tsdb.block-reload-interval=1s",
    ]);
    server::start(&mut command, port)
}

/// Times and values of every series of a target, as the server has them.
fn samples(port: u16, selector: &str) -> BTreeMap<String, Vec<(u64, u64)>> {
    let path = format!("/api/v1/query?query={}", escape(&format!("{selector}[1h]")));
    let reply: Value = serde_json::from_str(&get(port, &path).body).expect("JSON");
    let result = reply["data"]["result"].as_array().cloned();
    let result = result.unwrap_or_else(|| panic!("no result: {reply}"));
    let sample = |pair: &Value| {
        let t = (pair[0].as_f64().expect("a time") * 1000.0).round() as u64;
        let v: f64 = pair[1]
            .as_str()
            .and_then(|v| v.parse().ok())
            .expect("a value");
        (t, v as u64)
    };
    result
        .iter()
        .map(|series| {
            let values = series["values"].as_array().expect("samples");
            let labels = &series["metric"];
            let name = format!("{}/{}", labels["instance"], labels["i"]);
            (name, values.iter().map(sample).collect())
        })
        .collect()
}

#[test]
fn everything_seen_before_a_kill_is_there_after_it() {
    let long = std::env::var_os("TITAN_LONG_TESTS").is_some();
    let seed = std::env::var("TITAN_KILL_SEED").ok();
    let seed: u64 = seed.and_then(|s| s.parse().ok()).unwrap_or(1);
    let rounds = if long { 100 } else { 6 };
    let mut random = env::Random::from_seed(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let target = serve_targets();
    let mut config =
        "global: {scrape_interval: 40ms}\nscrape_configs:\n- job_name: killed\n  static_configs:\n"
            .to_owned();
    for i in 0..TARGETS {
        config +=
            &format!("  - targets: ['127.0.0.1:{target}']\n    labels: {{instance: 't{i}'}}\n");
    }
    std::fs::write(folder.path().join("prometheus.yml"), config).expect("written");
    let mut seen: Vec<(u64, u64)> = Vec::new();
    for round in 0..rounds {
        let what = format!("seed {seed}, round {round}");
        let port = free_port();
        let running = start(folder.path(), port);
        // First that nothing seen in the lives before is missing.
        let first = samples(port, "killed{instance=\"t0\",i=\"0\"}");
        let first = first.values().next().cloned().unwrap_or_default();
        let missing = seen.iter().filter(|s| !first.contains(s)).count();
        assert_eq!(missing, 0, "{what}: of {} samples seen before", seen.len());
        let until = Instant::now() + Duration::from_millis(500 + random.below(2500));
        while Instant::now() < until {
            let now = samples(port, "killed{instance=\"t0\",i=\"0\"}");
            if let Some(list) = now.into_values().next() {
                seen = list;
            }
        }
        running.kill();
    }
    let port = free_port();
    let _running = start(folder.path(), port);
    let blocks = get(port, "/api/v1/status/tsdb/blocks").body;
    assert!(
        blocks.contains("ulid"),
        "blocks are cut under fire: {blocks}"
    );
    let all = samples(port, "killed");
    assert_eq!(all.len(), TARGETS * SERIES, "seed {seed}");
    for i in 0..TARGETS {
        let of = |n: usize| &all[&format!("\"t{i}\"/\"{n}\"")];
        let model = of(0);
        assert!(
            model.windows(2).all(|w| w[0].0 < w[1].0 && w[0].1 < w[1].1),
            "seed {seed}: once and in order"
        );
        for n in 1..SERIES {
            let n_scrapes = of(n).len().min(model.len()).saturating_sub(1);
            // A scrape may have been under way while this was asked.
            assert!(
                of(n)[..n_scrapes] == model[..n_scrapes],
                "seed {seed}: whole scrapes, target {i} series {n}"
            );
        }
    }
    assert!(seen.len() > rounds as usize * 5, "{} scrapes", seen.len());
}
