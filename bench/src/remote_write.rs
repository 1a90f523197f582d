//! `bench remote-write`: what it costs to scrape and send every sample on to a receiver that takes it.
//!
//! Both servers run at the same time over the same targets, each with a receiver of its own in this process, which
//! decodes, counts and answers 204. Nothing is subtracted: the figures are those of the whole servers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::routing::post;
use net::http_server::{ServerLimits, serve};
use net::shutdown::Shutdown;

use crate::flags::numbers;
use crate::process::cost;
use crate::subject::both;
use crate::targets::{Pages, Shape, configuration, start};

/// Until senders have their number and caches their size.
const WARM_UP: Duration = Duration::from_secs(45);

/// What a receiver has seen.
#[derive(Default)]
struct Seen {
    requests: AtomicU64,
    samples: AtomicU64,
    bytes: AtomicU64,
    broken: AtomicU64,
}

/// Runs both and prints the table.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [seconds, targets, series, interval] = numbers(
        arguments,
        [
            ("--seconds", 60),
            ("--targets", 100),
            ("--series", 1000),
            ("--interval", 1),
        ],
    )?;
    let shape = Shape {
        targets: targets as usize,
        series: series as usize,
        churn: 0,
    };
    let subjects = both()?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    let (trigger, shutdown) = net::shutdown::channel();
    let port = runtime
        .block_on(start(Pages::new(shape), shutdown.clone()))
        .map_err(|e| e.to_string())?;
    let mut running = Vec::new();
    for (i, subject) in subjects.iter().enumerate() {
        let seen = Arc::new(Seen::default());
        let receiver = runtime
            .block_on(receive(seen.clone(), shutdown.clone()))
            .map_err(|e| e.to_string())?;
        let config = folder.path().join(format!("{i}.yml"));
        let text = format!(
            "{}remote_write:\n- url: http://127.0.0.1:{receiver}/write\n",
            configuration(shape, port, interval)
        );
        std::fs::write(&config, text).map_err(|e| format!("{}: {e}", config.display()))?;
        let data = folder.path().join(format!("data-{i}"));
        running.push((subject.start(&config, &data, testkit::free_port()), seen));
    }
    std::thread::sleep(WARM_UP);
    let look = || -> Result<Vec<_>, String> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed) as f64;
        running
            .iter()
            .map(|(process, seen)| {
                let counts = [&seen.samples, &seen.requests, &seen.bytes, &seen.broken].map(read);
                Ok((cost(process.pid())?, counts))
            })
            .collect()
    };
    let before = look()?;
    std::thread::sleep(Duration::from_secs(seconds));
    let after = look()?;
    for (process, _) in running {
        process.kill();
    }
    trigger.stop();

    println!(
        "{} targets of {series} series, every {interval} s, {seconds} seconds\n",
        shape.targets
    );
    let names: Vec<&str> = subjects.iter().map(|s| s.name.as_str()).collect();
    println!(
        "| | {} | {} | ratio |\n|---|---|---|---|",
        names[0], names[1]
    );
    let row = |name: &str, unit: &str, of: &dyn Fn(usize) -> f64| {
        let (a, b) = (of(0), of(1));
        println!("| {name} | {a:.2}{unit} | {b:.2}{unit} | {:.2} |", a / b);
    };
    let per_second = |i: usize, n: usize| (after[i].1[n] - before[i].1[n]) / seconds as f64;
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    row("samples received", " /s", &|i| per_second(i, 0));
    row("requests", " /s", &|i| per_second(i, 1));
    row("bytes sent", " MiB/s", &|i| per_second(i, 2) / 1_048_576.0);
    row("CPU", " s", &|i| after[i].0.cpu - before[i].0.cpu);
    row("resident memory", " MiB", &|i| mib(after[i].0.resident));
    row("of it anonymous", " MiB", &|i| mib(after[i].0.anonymous));
    if after.iter().any(|(_, counts)| counts[3] > 0.0) {
        return Err("requests arrived that cannot be read".into());
    }
    Ok(())
}

/// Takes write requests until the stop; gives the port.
async fn receive(seen: Arc<Seen>, shutdown: Shutdown) -> std::io::Result<u16> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let router = Router::new()
        .route("/write", post(take))
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(seen);
    tokio::spawn(serve(
        vec![listener],
        router,
        ServerLimits::default(),
        net::web_gate::WebGate::open(),
        Default::default(),
        shutdown,
    ));
    Ok(port)
}

async fn take(State(seen): State<Arc<Seen>>, body: Bytes) -> StatusCode {
    let mut samples = 0;
    let read = snap::raw::Decoder::new()
        .decompress_vec(&body)
        .is_ok_and(|message| {
            wire::remote_write::read_v1(&message, |one| samples += one.samples.len() as u64).is_ok()
        });
    seen.requests.fetch_add(1, Ordering::Relaxed);
    seen.samples.fetch_add(samples, Ordering::Relaxed);
    seen.bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
    seen.broken.fetch_add(u64::from(!read), Ordering::Relaxed);
    StatusCode::NO_CONTENT
}
