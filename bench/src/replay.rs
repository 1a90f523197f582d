//! `bench replay`: how long it takes to start on a log that holds everything.

use std::time::{Duration, Instant};

use crate::dataset::{self, Plan, copy};
use crate::flags::numbers;
use crate::process::cost;
use crate::subject::both;

/// Writes one log, starts both servers on copies of it, and prints the table.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [series, minutes, interval, settle] = numbers(
        arguments,
        [
            ("--series", 200_000),
            ("--minutes", 120),
            ("--interval", 10),
            ("--settle", 30),
        ],
    )?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let source = folder.path().join("source");
    let plan = Plan {
        series: series as usize,
        span: minutes as i64 * 60_000,
        interval: interval as i64 * 1000,
        blocks: false,
        compact: false,
    };
    let samples = dataset::write(&source, plan)?;
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, "scrape_configs: []\n").map_err(|e| e.to_string())?;
    println!("log of {series} series x {minutes} minutes, every {interval} s: {samples} samples\n");
    println!(
        "| | time to ready | CPU | peak resident memory | resident {settle} s later | of it without file pages |\n|---|---|---|---|---|---|"
    );
    let mut rows = Vec::new();
    for subject in &both()? {
        let data = folder.path().join("data");
        copy(&source, &data)?;
        // Else the disk is still busy with the copy.
        let _ = std::process::Command::new("sync").status();
        let started = Instant::now();
        let running = subject.start(&config, &data, testkit::free_port());
        let took = started.elapsed().as_secs_f64();
        let cost = cost(running.pid())?;
        // What a server needs for good: collected garbage and pages of the log have gone by then.
        std::thread::sleep(Duration::from_secs(settle));
        let later = crate::process::cost(running.pid())?;
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        let row = [
            took,
            cost.cpu,
            mib(cost.peak),
            mib(later.resident),
            mib(later.anonymous),
        ];
        println!(
            "| {} | {:.2} s | {:.1} s | {:.0} MiB | {:.0} MiB | {:.0} MiB |",
            subject.name, row[0], row[1], row[2], row[3], row[4]
        );
        rows.push(row);
        running.kill();
        std::fs::remove_dir_all(&data).map_err(|e| e.to_string())?;
    }
    if let [ours, theirs] = &rows[..] {
        let ratios = ours
            .iter()
            .zip(theirs)
            .map(|(a, b)| format!(" {:.2} |", a / b));
        println!("| ratio |{}", ratios.collect::<String>());
    }
    Ok(())
}
