//! `bench ingest`: what scraping costs.

use std::time::Duration;

use crate::flags::numbers;
use crate::process::{Cost, bytes_below, cost};
use crate::subject::{Subject, both};
use crate::targets::{Pages, Shape, configuration, start};

const INTERVAL_SECONDS: u64 = 10;

/// What is measured.
struct Plan {
    shape: Shape,
    minutes: u64,
}

/// What one server needed.
struct Outcome {
    samples: u64,
    series: u64,
    cost: Cost,
    disk: u64,
}

/// Runs both servers one after the other and prints the table.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let plan = read(arguments)?;
    let subjects = both()?;
    let mut columns = Vec::new();
    for subject in &subjects {
        eprintln!("{}: {} minutes ...", subject.name, plan.minutes);
        columns.push((subject.name.clone(), measure(subject, &plan)?));
    }
    print(&plan, &columns);
    Ok(())
}

fn read(arguments: &[String]) -> Result<Plan, String> {
    let [minutes, targets, series, churn] = numbers(
        arguments,
        [
            ("--minutes", 5),
            ("--targets", 200),
            ("--series", 1000),
            ("--churn", 0),
        ],
    )?;
    let shape = Shape {
        targets: targets as usize,
        series: series as usize,
        churn: churn as usize,
    };
    Ok(Plan { shape, minutes })
}

fn measure(subject: &Subject, plan: &Plan) -> Result<Outcome, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    let pages = Pages::new(plan.shape);
    let (trigger, shutdown) = net::shutdown::channel();
    let port = runtime
        .block_on(start(pages.clone(), shutdown))
        .map_err(|e| e.to_string())?;
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, configuration(plan.shape, port, INTERVAL_SECONDS))
        .map_err(|e| e.to_string())?;
    let data = folder.path().join("data");
    let web = testkit::free_port();
    let running = subject.start(&config, &data, web);
    std::thread::sleep(Duration::from_secs(plan.minutes * 60));
    let cost = cost(running.pid())?;
    let outcome = Outcome {
        samples: metric(web, "prometheus_tsdb_head_samples_appended_total"),
        series: metric(web, "prometheus_tsdb_head_series"),
        cost,
        disk: bytes_below(&data),
    };
    running.stop();
    trigger.stop();
    Ok(outcome)
}

/// The sum of a metric of the server itself.
fn metric(port: u16, name: &str) -> u64 {
    let page = testkit::http::get(port, "/metrics").body;
    let value = |line: &str| line.rsplit(' ').next().and_then(|v| v.parse::<f64>().ok());
    page.lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        })
        .filter_map(value)
        .sum::<f64>() as u64
}

fn print(plan: &Plan, columns: &[(String, Outcome)]) {
    let shape = plan.shape;
    println!(
        "{} targets x {} series, every {INTERVAL_SECONDS} s, {} minutes, {} % of the series renamed every minute\n",
        shape.targets, shape.series, plan.minutes, shape.churn
    );
    let [ours, theirs] = columns else { return };
    println!("| | {} | {} | ratio |\n|---|---|---|---|", ours.0, theirs.0);
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    let rows: [(&str, fn(&Outcome) -> f64, &str); 8] = [
        ("samples appended", |o| o.samples as f64, ""),
        ("series in the head", |o| o.series as f64, ""),
        (
            "resident memory",
            |o| o.cost.resident as f64 / 1_048_576.0,
            " MiB",
        ),
        (
            "resident memory without file pages",
            |o| o.cost.anonymous as f64 / 1_048_576.0,
            " MiB",
        ),
        (
            "peak resident memory",
            |o| o.cost.peak as f64 / 1_048_576.0,
            " MiB",
        ),
        ("CPU", |o| o.cost.cpu, " s"),
        (
            "CPU per sample",
            |o| o.cost.cpu * 1e9 / o.samples.max(1) as f64,
            " ns",
        ),
        (
            "bytes on disk per sample",
            |o| o.disk as f64 / o.samples.max(1) as f64,
            "",
        ),
    ];
    for (name, figure, unit) in rows {
        let (a, b) = (figure(&ours.1), figure(&theirs.1));
        println!("| {name} | {a:.1}{unit} | {b:.1}{unit} | {:.2} |", a / b);
    }
    println!(
        "| bytes on disk | {:.1} MiB | {:.1} MiB | {:.2} |",
        mib(ours.1.disk),
        mib(theirs.1.disk),
        ours.1.disk as f64 / theirs.1.disk as f64
    );
}
