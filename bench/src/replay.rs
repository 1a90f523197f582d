//! `bench replay`: how long it takes to start on a log that holds everything.

use std::time::Instant;

use crate::dataset::{self, Plan, copy};
use crate::flags::numbers;
use crate::process::cost;
use crate::subject::both;

/// Writes one log, starts both servers on copies of it, and prints the table.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [series, minutes, interval] = numbers(
        arguments,
        [
            ("--series", 200_000),
            ("--minutes", 120),
            ("--interval", 10),
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
    println!("| | time to ready | CPU | resident memory | peak |\n|---|---|---|---|---|");
    for subject in &both()? {
        let data = folder.path().join("data");
        copy(&source, &data)?;
        let started = Instant::now();
        let running = subject.start(&config, &data, testkit::free_port());
        let took = started.elapsed().as_secs_f64();
        let cost = cost(running.pid())?;
        let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
        println!(
            "| {} | {took:.1} s | {:.1} s | {:.0} MiB | {:.0} MiB |",
            subject.name,
            cost.cpu,
            mib(cost.resident),
            mib(cost.peak)
        );
        running.kill();
        std::fs::remove_dir_all(&data).map_err(|e| e.to_string())?;
    }
    Ok(())
}
