//! `bench rules`: what rules cost beyond scraping.
//!
//! Each server runs twice at the same time over the same targets, with rules and without; the difference is what rules
//! cost. All four count their own CPU time, so that they do not get into each other's way.

use std::fmt::Write as _;
use std::time::Duration;

use crate::flags::numbers;
use crate::process::cost;
use crate::subject::both;
use crate::targets::{Pages, Shape, configuration, start};

const INTERVAL_SECONDS: u64 = 15;
/// Until rates have their windows and groups their first evaluations.
const WARM_UP: Duration = Duration::from_secs(75);

/// Runs all and prints the table.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [seconds, targets, series, recording, alerting] = numbers(
        arguments,
        [
            ("--seconds", 120),
            ("--targets", 100),
            ("--series", 1000),
            ("--recording", 2000),
            ("--alerting", 500),
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
        .block_on(start(Pages::new(shape), shutdown))
        .map_err(|e| e.to_string())?;
    let base = configuration(shape, port, INTERVAL_SECONDS);
    let rules = folder.path().join("rules.yml");
    write(&rules, &rule_file(shape, recording, alerting))?;
    let plain = folder.path().join("plain.yml");
    write(&plain, &base)?;
    let ruled = folder.path().join("ruled.yml");
    let section = format!("rule_files: ['{}']\n", rules.display());
    write(&ruled, &format!("{section}{}", with_evaluation(&base)))?;

    let mut running = Vec::new();
    for (i, subject) in subjects.iter().enumerate() {
        for (j, config) in [&plain, &ruled].into_iter().enumerate() {
            let data = folder.path().join(format!("data-{i}-{j}"));
            let web = testkit::free_port();
            running.push((subject.start(config, &data, web), web));
        }
    }
    std::thread::sleep(WARM_UP);
    let look = || -> Result<Vec<_>, String> {
        running
            .iter()
            .map(|(process, web)| {
                let evaluations = metric(*web, "prometheus_rule_evaluations_total");
                let failures = metric(*web, "prometheus_rule_evaluation_failures_total");
                let missed = metric(*web, "prometheus_rule_group_iterations_missed_total");
                Ok((cost(process.pid())?, evaluations, failures, missed))
            })
            .collect()
    };
    let before = look()?;
    std::thread::sleep(Duration::from_secs(seconds));
    let after = look()?;
    for (process, _) in running {
        process.stop();
    }
    trigger.stop();

    println!(
        "{recording} recording and {alerting} alerting rules over {} series, every {INTERVAL_SECONDS} s, {seconds} seconds\n",
        shape.targets * shape.series
    );
    let names: Vec<&str> = subjects.iter().map(|s| s.name.as_str()).collect();
    println!(
        "| | {} | {} | ratio |\n|---|---|---|---|",
        names[0], names[1]
    );
    let cpu = |i: usize| after[i].0.cpu - before[i].0.cpu;
    let count = |i: usize, pick: fn(&(crate::process::Cost, f64, f64, f64)) -> f64| {
        pick(&after[i]) - pick(&before[i])
    };
    let row = |name: &str, a: f64, b: f64, unit: &str| {
        println!("| {name} | {a:.2}{unit} | {b:.2}{unit} | {:.2} |", a / b);
    };
    row("CPU of rules", cpu(1) - cpu(0), cpu(3) - cpu(2), " s");
    row("CPU with rules", cpu(1), cpu(3), " s");
    row("CPU without rules", cpu(0), cpu(2), " s");
    row("evaluations", count(1, |c| c.1), count(3, |c| c.1), "");
    let per = |i: usize, base: usize| (cpu(i) - cpu(base)) * 1e6 / count(i, |c| c.1).max(1.0);
    row("CPU per evaluation", per(1, 0), per(3, 2), " us");
    let mib = |i: usize| after[i].0.resident as f64 / 1_048_576.0;
    row("resident memory with rules", mib(1), mib(3), " MiB");
    println!(
        "| failed evaluations; missed iterations | {:.0}; {:.0} | {:.0}; {:.0} | |",
        after[1].2, after[1].3, after[3].2, after[3].3
    );
    Ok(())
}

fn write(path: &std::path::Path, text: &str) -> Result<(), String> {
    std::fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()))
}

/// The configuration with rules evaluated as often as targets are scraped.
fn with_evaluation(base: &str) -> String {
    base.replacen(
        "global:\n",
        &format!("global:\n  evaluation_interval: {INTERVAL_SECONDS}s\n"),
        1,
    )
}

/// What dashboards and alerts of real deployments ask, over all generated families in turn. Groups of 25.
fn rule_file(shape: Shape, recording: u64, alerting: u64) -> String {
    let families = shape.series.div_ceil(20).max(1) as u64;
    let counters: Vec<u64> = (0..families).filter(|f| f % 3 != 0).collect();
    let gauges: Vec<u64> = (0..families).filter(|f| f % 3 == 0).collect();
    let counter = |i: u64| {
        let family = counters[i as usize % counters.len()];
        format!("bench_metric_{family}_total")
    };
    let gauge = |i: u64| {
        let family = gauges[i as usize % gauges.len()];
        format!("bench_metric_{family}")
    };
    let mut out = String::from("groups:\n");
    for i in 0..recording + alerting {
        if i % 25 == 0 {
            let _ = writeln!(out, "- name: group-{}\n  rules:", i / 25);
        }
        let (c, g, pod) = (counter(i), gauge(i), i % 50);
        let ns = format!("namespace=\"ns-{}\"", i % 20);
        if i < recording {
            let expr = match i % 6 {
                0 => format!("sum by (instance) (rate({c}{{{ns}}}[1m]))"),
                1 => format!("avg by (pod) ({g}{{{ns}}})"),
                2 => format!("max without (instance) ({g}{{{ns}}})"),
                3 => format!("sum(rate({c}{{pod=\"pod-{pod}\"}}[1m]))"),
                4 => format!("sum by (job) (rate({c}{{{ns}}}[1m])) / sum by (job) ({g}{{{ns}}})"),
                _ => format!("count by (instance) ({g}{{{ns}}} > 0)"),
            };
            let _ = writeln!(out, "  - record: bench:rule_{i}\n    expr: '{expr}'");
        } else {
            let expr = match i % 3 {
                0 => format!("sum by (instance) (rate({c}{{{ns}}}[1m])) < 0"),
                1 => format!("{g}{{pod=\"pod-{pod}\"}} > 1e12"),
                _ => format!("sum by (pod) ({g}{{{ns}}}) > 0"),
            };
            let _ = writeln!(
                out,
                "  - alert: Bench{i}\n    expr: '{expr}'\n    for: 10m\n    labels: {{severity: page}}\n    annotations: {{summary: '{{{{ $labels.pod }}}} is at {{{{ $value | humanize }}}}'}}"
            );
        }
    }
    out
}

/// The sum of a metric of the server itself.
fn metric(port: u16, name: &str) -> f64 {
    let page = testkit::http::get(port, "/metrics").body;
    page.lines()
        .filter(|line| {
            line.strip_prefix(name)
                .is_some_and(|rest| rest.starts_with([' ', '{']))
        })
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
