//! `bench compaction`: three blocks of two hours into one.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::dataset::{self, copy};
use crate::flags::numbers;
use crate::process::{PeakWatch, Peaks, bytes_below, cost};
use crate::subject::{Subject, both};

/// Minutes that a server may take: it looks for work once a minute.
const PATIENCE: Duration = Duration::from_secs(300);

/// What merging cost a server.
struct Outcome {
    name: String,
    /// As it says itself, seconds.
    took: f64,
    cpu: f64,
    /// Memory before it began.
    idle: u64,
    peaks: Peaks,
    disk: u64,
}

/// Writes the blocks, starts both servers on copies, waits until each has merged them, and prints the table.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [series, interval] = numbers(arguments, [("--series", 200_000), ("--interval", 15)])?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let source = folder.path().join("source");
    let started = Instant::now();
    let samples = dataset::write_blocks(&source, series as usize, interval as i64 * 1000)?;
    eprintln!(
        "{samples} samples written in {:.0} s",
        started.elapsed().as_secs_f64()
    );
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, "scrape_configs: []\n").map_err(|e| e.to_string())?;
    let mut outcomes = Vec::new();
    for subject in &both()? {
        let data = folder.path().join("data");
        copy(&source, &data)?;
        // Else the disk is still busy with the copy.
        let _ = std::process::Command::new("sync").status();
        outcomes.push(measure(subject, &config, &data)?);
        std::fs::remove_dir_all(&data).map_err(|e| e.to_string())?;
    }
    println!(
        "3 blocks of {series} series x 2 h, a sample every {interval} s ({samples} samples), into one\n"
    );
    print(&outcomes);
    Ok(())
}

fn measure(subject: &Subject, config: &Path, data: &Path) -> Result<Outcome, String> {
    let web = testkit::free_port();
    let running = subject.start(config, data, web);
    let before = cost(running.pid())?;
    let watch = PeakWatch::start(running.pid());
    let started = Instant::now();
    while !merged(data) {
        if started.elapsed() > PATIENCE {
            return Err(format!("{}: nothing was merged", subject.name));
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    // The new block is in place; its parents go with the reload that follows.
    std::thread::sleep(Duration::from_secs(2));
    let after = cost(running.pid())?;
    let outcome = Outcome {
        name: subject.name.clone(),
        took: metric(web, "prometheus_tsdb_compaction_duration_seconds_sum"),
        cpu: after.cpu - before.cpu,
        idle: before.resident,
        peaks: watch.stop(),
        disk: bytes_below(data),
    };
    running.stop();
    Ok(outcome)
}

/// Whether there is a block of six hours and nothing is being written any more.
fn merged(data: &Path) -> bool {
    let entries = std::fs::read_dir(data).into_iter().flatten().flatten();
    entries
        .filter(|entry| !entry.file_name().to_string_lossy().contains('.'))
        .filter_map(|entry| std::fs::read_to_string(entry.path().join("meta.json")).ok())
        .any(|meta| meta.replace([' ', '\t', '\n'], "").contains("\"level\":2"))
}

/// A value of the server's own metrics.
fn metric(port: u16, name: &str) -> f64 {
    let page = testkit::http::get(port, "/metrics").body;
    let line = page.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.trim().parse().ok())
        .unwrap_or(0.0)
}

fn print(outcomes: &[Outcome]) {
    let [ours, theirs] = outcomes else { return };
    println!(
        "| | {} | {} | ratio |\n|---|---|---|---|",
        ours.name, theirs.name
    );
    const MIB: f64 = 1_048_576.0;
    let rows: [(&str, fn(&Outcome) -> f64, &str); 6] = [
        ("time", |o| o.took, " s"),
        ("CPU", |o| o.cpu, " s"),
        (
            "peak resident memory",
            |o| o.peaks.resident as f64 / MIB,
            " MiB",
        ),
        (
            "peak without file pages",
            |o| o.peaks.anonymous as f64 / MIB,
            " MiB",
        ),
        ("resident memory before", |o| o.idle as f64 / MIB, " MiB"),
        ("bytes on disk afterwards", |o| o.disk as f64 / MIB, " MiB"),
    ];
    for (name, figure, unit) in rows {
        let (a, b) = (figure(ours), figure(theirs));
        println!("| {name} | {a:.1}{unit} | {b:.1}{unit} | {:.2} |", a / b);
    }
}
