//! `bench ingest`: what scraping costs.

use std::time::{Duration, Instant, SystemTime};

use crate::flags::numbers;
use crate::process::{Cost, bytes_below, cost};
use crate::subject::{Subject, both};
use crate::targets::{Pages, Past, Shape, configuration, start};

const INTERVAL_SECONDS: u64 = 10;
/// What a second is worth when hours pass in minutes.
const SIMULATED_STEP_MS: i64 = 15_000;
/// How much longer than a second a step may take on a machine that is busy.
const PATIENCE: u32 = 4;

/// What is measured.
struct Plan {
    shape: Shape,
    minutes: u64,
    /// Hours that pass at a step a second; 0 to measure in real time.
    hours: u64,
}

impl Plan {
    fn interval_seconds(&self) -> u64 {
        if self.hours > 0 { 1 } else { INTERVAL_SECONDS }
    }

    /// Pages of each target.
    fn steps(&self) -> u64 {
        self.hours * 3_600_000 / SIMULATED_STEP_MS as u64
    }

    /// The shape, for a run that begins now.
    fn shape(&self) -> Shape {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        let now = now.map_or(0, |now| now.as_millis() as i64);
        let past = (self.hours > 0).then(|| Past {
            first_ms: now - self.hours as i64 * 3_600_000,
            step_ms: SIMULATED_STEP_MS,
        });
        Shape { past, ..self.shape }
    }
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
        match plan.hours {
            0 => eprintln!("{}: {} minutes ...", subject.name, plan.minutes),
            hours => eprintln!(
                "{}: {hours} hours in {} minutes ...",
                subject.name,
                plan.steps() / 60
            ),
        }
        columns.push((subject.name.clone(), measure(subject, &plan)?));
    }
    print(&plan, &columns);
    Ok(())
}

fn read(arguments: &[String]) -> Result<Plan, String> {
    let [minutes, targets, series, churn, hours] = numbers(
        arguments,
        [
            ("--minutes", 5),
            ("--targets", 200),
            ("--series", 1000),
            ("--churn", 0),
            ("--hours", 0),
        ],
    )?;
    let shape = Shape {
        targets: targets as usize,
        series: series as usize,
        churn: churn as usize,
        past: None,
    };
    Ok(Plan {
        shape,
        minutes,
        hours,
    })
}

fn measure(subject: &Subject, plan: &Plan) -> Result<Outcome, String> {
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| e.to_string())?;
    let shape = plan.shape();
    let pages = Pages::new(shape);
    let (trigger, shutdown) = net::shutdown::channel();
    let port = runtime
        .block_on(start(pages.clone(), shutdown))
        .map_err(|e| e.to_string())?;
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, configuration(shape, port, plan.interval_seconds()))
        .map_err(|e| e.to_string())?;
    let data = folder.path().join("data");
    let web = testkit::free_port();
    let running = subject.start(&config, &data, web);
    if plan.hours > 0 {
        wait_for_hours(plan, web)?;
    } else {
        std::thread::sleep(Duration::from_secs(plan.minutes * 60));
    }
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

/// Waits until the server has all hours.
fn wait_for_hours(plan: &Plan, web: u16) -> Result<(), String> {
    let all = plan.steps() * (plan.shape.targets * plan.shape.series) as u64;
    let deadline = Instant::now() + Duration::from_secs(plan.steps()) * PATIENCE;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let appended = metric(web, "prometheus_tsdb_head_samples_appended_total");
        if appended >= all {
            return Ok(());
        }
        if Instant::now() > deadline {
            return Err(format!("only {appended} of {all} samples in time"));
        }
    }
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
    let length = match plan.hours {
        0 => format!("every {INTERVAL_SECONDS} s, {} minutes", plan.minutes),
        hours => format!(
            "every {} s, {hours} hours that pass in {} minutes",
            SIMULATED_STEP_MS / 1000,
            plan.steps() / 60
        ),
    };
    println!(
        "{} targets x {} series, {length}, {} % of the series renamed every minute\n",
        shape.targets, shape.series, shape.churn
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
