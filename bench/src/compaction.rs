//! `bench compaction`: three blocks of two hours into one.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::dataset::{self, Plan, copy};
use crate::flags::numbers;
use crate::process::{bytes_below, cost};
use crate::subject::both;

/// Writes blocks that are due for compaction, starts both servers on copies, and waits until each has merged them.
pub fn run(arguments: &[String]) -> Result<(), String> {
    let [series, interval] = numbers(arguments, [("--series", 200_000), ("--interval", 15)])?;
    let folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    let source = folder.path().join("source");
    let plan = Plan {
        series: series as usize,
        // Enough for one whole window of six hours with a newer block behind it, wherever now lies in it.
        span: 16 * 3_600_000,
        interval: interval as i64 * 1000,
        blocks: true,
        compact: false,
    };
    dataset::write(&source, plan)?;
    let before = blocks(&source);
    let config = folder.path().join("prometheus.yml");
    std::fs::write(&config, "scrape_configs: []\n").map_err(|e| e.to_string())?;
    println!(
        "{series} series, a sample every {interval} s, {before} blocks of 2 h; merged into blocks of 6 h\n"
    );
    println!(
        "| | blocks after | CPU | peak resident memory | bytes on disk |\n|---|---|---|---|---|"
    );
    for subject in &both()? {
        let data = folder.path().join("data");
        copy(&source, &data)?;
        let running = subject.start(&config, &data, testkit::free_port());
        let started = Instant::now();
        // Both look for work once a minute; what counts is what the work costs.
        let (mut quiet, mut last) = (0, f64::INFINITY);
        while quiet < 6 && started.elapsed() < Duration::from_secs(600) {
            std::thread::sleep(Duration::from_secs(5));
            let cpu = cost(running.pid())?.cpu;
            let working = cpu - last > 0.5 || started.elapsed() < Duration::from_secs(75);
            quiet = if working { 0 } else { quiet + 1 };
            last = cpu;
        }
        let cost = cost(running.pid())?;
        println!(
            "| {} | {} | {:.1} s | {:.0} MiB | {:.0} MiB |",
            subject.name,
            blocks(&data),
            cost.cpu,
            cost.peak as f64 / 1_048_576.0,
            bytes_below(&data) as f64 / 1_048_576.0
        );
        running.stop();
        std::fs::remove_dir_all(&data).map_err(|e| e.to_string())?;
    }
    Ok(())
}

fn blocks(data: &Path) -> usize {
    let entries = std::fs::read_dir(data).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.path().join("meta.json").is_file())
        .count()
}
