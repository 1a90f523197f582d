//! `bench hours`: what a server holds after hours of steady samples.
//!
//! The hours are behind us and pass in minutes, so they come by remote write: what a server scrapes, it notes along with
//! the time of its own clock, and would not take older samples then.

use std::time::{Duration, Instant, SystemTime};

use configfile::http_client::HttpClientConfig;
use net::http_client::HttpClient;
use wire::remote_write::{Outgoing, encode_labels, put_v1};

use crate::flags::numbers;
use crate::process::{Cost, cost};
use crate::subject::{Subject, both};

/// Time between samples of a series.
const STEP_MS: i64 = 15_000;
/// Series of a request.
const PER_REQUEST: usize = 10_000;
/// How long a server may do afterwards what it does once in a while: blocks, garbage.
const SETTLE: Duration = Duration::from_secs(90);

struct Plan {
    series: usize,
    steps: i64,
    /// From step to step, so that neither server is fed faster than it can clean up.
    pace: Duration,
}

/// A reading of memory, after so many minutes of samples.
struct Reading {
    minutes: i64,
    cost: Cost,
}

/// Feeds both servers at the same time and prints the table.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [series, hours, pace] = numbers(
        arguments,
        [("--series", 200_000), ("--hours", 3), ("--pace", 750)],
    )?;
    let plan = Plan {
        series: series as usize,
        steps: hours as i64 * 3_600_000 / STEP_MS,
        pace: Duration::from_millis(pace),
    };
    let subjects = both()?;
    eprintln!(
        "{hours} hours in {} minutes ...",
        plan.pace.as_secs_f64() * plan.steps as f64 / 60.0
    );
    let results: Vec<_> = std::thread::scope(|scope| {
        let plan = &plan;
        let measure = |subject| scope.spawn(move || measure(subject, plan));
        let running: Vec<_> = subjects.iter().map(measure).collect();
        let ended = running.into_iter().map(|one| one.join());
        ended.collect()
    });
    let mut columns = Vec::new();
    for result in results {
        columns.push(result.map_err(|_| "a measurement panicked".to_string())??);
    }
    let [ours, theirs] = &columns[..] else {
        return Ok(());
    };
    println!("{series} series, a sample every {} s\n", STEP_MS / 1000);
    println!(
        "| | {} | {} | ratio |\n|---|---|---|---|",
        subjects[0].name, subjects[1].name
    );
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    let rows = ours.iter().zip(theirs);
    for (a, b) in rows {
        let after = match a.minutes {
            minutes if minutes % 60 == 0 => format!("{} h", minutes / 60),
            minutes => format!("{minutes} min"),
        };
        for (what, of) in [
            ("resident", (|c| c.resident) as fn(&Cost) -> u64),
            ("without file pages", |c| c.anonymous),
        ] {
            let (a, b) = (mib(of(&a.cost)), mib(of(&b.cost)));
            println!(
                "| after {after}, {what} | {a:.1} MiB | {b:.1} MiB | {:.2} |",
                a / b
            );
        }
    }
    Ok(())
}

fn measure(subject: &Subject, plan: &Plan) -> Result<Vec<Reading>, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, "scrape_configs: []\n").map_err(|e| e.to_string())?;
    let port = testkit::free_port();
    let running = subject.start_with(
        &config,
        &folder.path().join("data"),
        port,
        &["--web.enable-remote-write-receiver"],
    );
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    let client =
        HttpClient::new(&HttpClientConfig::default(), "bench").map_err(|e| e.to_string())?;
    let labels: Vec<Box<[u8]>> = (0..plan.series).map(labels).collect();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let first = now.map_err(|e| e.to_string())?.as_millis() as i64 - plan.steps * STEP_MS;
    let url = format!("http://127.0.0.1:{port}/api/v1/write");
    let mut readings = Vec::new();
    let mut read = |minutes: i64| -> Result<(), String> {
        let cost = cost(running.pid())?;
        readings.push(Reading { minutes, cost });
        Ok(())
    };
    let begun = Instant::now();
    for step in 0..plan.steps {
        for (nth, part) in labels.chunks(PER_REQUEST).enumerate() {
            let body = request(part, nth * PER_REQUEST, step, first + step * STEP_MS)?;
            runtime.block_on(send(&client, &url, body))?;
        }
        let due = plan.pace * (step as u32 + 1);
        std::thread::sleep(due.saturating_sub(begun.elapsed()));
        let minutes = (step + 1) * STEP_MS / 60_000;
        if (step + 1) * STEP_MS % 60_000 == 0 && (minutes == 5 || minutes % 60 == 0) {
            if step + 1 == plan.steps {
                std::thread::sleep(SETTLE);
            }
            read(minutes)?;
        }
    }
    running.stop();
    Ok(readings)
}

/// Six labels, as scraped series have them.
fn labels(nth: usize) -> Box<[u8]> {
    let (family, target) = (nth / 20 % 50, nth / 1000);
    let name = format!("bench_metric_{family}");
    let container = format!("c{}", nth % 20);
    let instance = format!("host-{target}");
    let namespace = format!("ns-{}", target % 20);
    let pod = format!("pod-{}", nth % 50);
    encode_labels([
        ("__name__", name.as_str()),
        ("container", &container),
        ("instance", &instance),
        ("job", "bench"),
        ("namespace", &namespace),
        ("pod", &pod),
    ])
}

/// One sample of each series: two of three are counters, the others gauges with two digits behind the point.
fn request(labels: &[Box<[u8]>], first: usize, step: i64, t: i64) -> Result<Vec<u8>, String> {
    let mut message = Vec::with_capacity(labels.len() * 160);
    for (nth, labels) in labels.iter().enumerate() {
        let series = (first + nth) as u64;
        let is_counter = !(series / 20).is_multiple_of(3);
        let value = if is_counter {
            (step as u64 * (series % 7 + 1) + series) as f64
        } else {
            let wandering = (step as u64).wrapping_mul(2_654_435_761) + series * 97;
            (wandering % 10_000) as f64 / 100.0
        };
        put_v1(&mut message, labels, t, Outgoing::Float(value));
    }
    let packed = snap::raw::Encoder::new().compress_vec(&message);
    packed.map_err(|e| e.to_string())
}

async fn send(client: &HttpClient, url: &str, body: Vec<u8>) -> Result<(), String> {
    let request = client.post(url).await.map_err(|e| e.to_string())?;
    let sent = request
        .header("Content-Encoding", "snappy")
        .header("Content-Type", "application/x-protobuf")
        .header("X-Prometheus-Remote-Write-Version", "0.1.0")
        .body(body)
        .send()
        .await
        .map_err(|e| e.to_string())?;
    match sent.status().is_success() {
        true => Ok(()),
        false => Err(format!("{url}: {}", sent.text().await.unwrap_or_default())),
    }
}
