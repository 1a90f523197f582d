//! `bench discovery`: how long changed target files take to become other targets.
//!
//! One server after the other, each on files of its own; the targets are hardly ever scraped. The clock starts when the
//! last changed file is written and stops when the server's own count says that it has the new set.

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::flags::numbers;
use crate::process::cost;
use crate::subject::{Subject, both};

/// Files that the targets are spread over.
const FILES: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(120);

struct Measured {
    first: f64,
    /// Seconds from a change to the new set, sorted.
    changes: Vec<f64>,
    /// CPU seconds of all changes.
    cpu: f64,
    resident: f64,
}

/// Runs both and prints the table.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [targets, percent, times] = numbers(
        arguments,
        [("--targets", 10_000), ("--percent", 10), ("--times", 10)],
    )?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let subjects = both()?;
    let mut measured = Vec::new();
    for (i, subject) in subjects.iter().enumerate() {
        let folder = folder.path().join(i.to_string());
        std::fs::create_dir(&folder).map_err(|e| e.to_string())?;
        measured.push(measure(subject, &folder, targets, percent, times)?);
    }
    println!("{targets} targets in {FILES} files, {percent} % changed {times} times\n");
    println!(
        "| | {} | {} | ratio |\n|---|---|---|---|",
        subjects[0].name, subjects[1].name
    );
    let row = |name: &str, unit: &str, pick: fn(&Measured) -> f64| {
        let (a, b) = (pick(&measured[0]), pick(&measured[1]));
        println!("| {name} | {a:.2} {unit} | {b:.2} {unit} | {:.2} |", a / b);
    };
    row("ready to first set", "s", |m| m.first);
    row("change to new set, median", "s", |m| {
        m.changes[m.changes.len() / 2]
    });
    row("change to new set, worst", "s", |m| {
        m.changes.last().copied().unwrap_or(f64::NAN)
    });
    row("CPU of all changes", "s", |m| m.cpu);
    row("resident memory", "MiB", |m| m.resident);
    Ok(())
}

fn measure(
    subject: &Subject,
    folder: &Path,
    targets: u64,
    percent: u64,
    times: u64,
) -> Result<Measured, String> {
    let per_file = targets / FILES;
    let write = |file: u64, version: u64, more: u64| {
        let mut text = String::from("- targets:\n");
        for n in 0..per_file + more {
            let _ = writeln!(text, "  - 127.{version}.{file}.{n}:9");
        }
        let _ = writeln!(text, "  labels: {{file: f{file}}}");
        // Whole files only: a half-written one would be read as such.
        let path = folder.join(format!("t{file}.yml"));
        let new = path.with_extension("new");
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, &path))
            .map_err(|e| format!("{}: {e}", path.display()))
    };
    for file in 0..FILES {
        write(file, 0, 0)?;
    }
    let config = folder.join("prometheus.yml");
    let text = format!(
        "global: {{scrape_interval: 10h}}\nscrape_configs:\n- job_name: bench\n  file_sd_configs:\n  - files: ['{}/t*.yml']\n",
        folder.display()
    );
    std::fs::write(&config, text).map_err(|e| e.to_string())?;
    let port = testkit::free_port();
    let process = subject.start(&config, &folder.join("data"), port);
    let began = Instant::now();
    wait_for_count(port, per_file * FILES)?;
    let first = began.elapsed().as_secs_f64();
    let before = cost(process.pid())?;
    let changed = (FILES * percent / 100).max(1);
    let mut changes = Vec::new();
    for round in 1..=times {
        // Every target of a changed file is another one, and each round has so many more that it can be told by count.
        for file in 0..changed {
            write(file, round % 250, round % 100)?;
        }
        let began = Instant::now();
        wait_for_count(port, per_file * FILES + changed * (round % 100))?;
        changes.push(began.elapsed().as_secs_f64());
    }
    let after = cost(process.pid())?;
    process.stop();
    changes.sort_by(f64::total_cmp);
    Ok(Measured {
        first,
        changes,
        cpu: after.cpu - before.cpu,
        resident: after.resident as f64 / 1_048_576.0,
    })
}

/// Asks every 20 ms how many targets there are.
fn wait_for_count(port: u16, count: u64) -> Result<(), String> {
    let began = Instant::now();
    let wanted = format!("prometheus_target_scrape_pool_targets{{scrape_job=\"bench\"}} {count}");
    while began.elapsed() < PATIENCE {
        let page = testkit::http::get(port, "/metrics").body;
        if page.lines().any(|line| line == wanted) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(format!("there never were {count} targets"))
}
