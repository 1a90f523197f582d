//! `promtool tsdb bench write`: how fast samples are taken, without scraping and without a server.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use env::Registry;
use flags::{Command, Flag, Takes, Values};
use model::Labels;
use storage::{AppendError, Appendable as _, SeriesRef};
use tsdb::{Db, Options};

use super::{Outcome, Tool, os_text, usage};

pub const WRITE: Command = Command {
    path: "tsdb bench write",
    about: "Run a write performance benchmark.",
    flags: &[
        Flag::value("out", "benchout", "Set the output path."),
        Flag::value("metrics", "10000", "Number of metrics to read.").takes(Takes::Number),
        Flag::value("scrapes", "3000", "Number of scrapes to simulate.").takes(Takes::Number),
        Flag::maybe_word(
            "file",
            "",
            "Input file with samples data, a JSON object of labels a line; series are made up without one.",
        ),
    ],
};

/// Milliseconds between two scrapes.
const INTERVAL: i64 = 15_000;
/// Scrapes between two of storage's chores.
const CHORES: u64 = 240;

/// `promtool tsdb bench write [FILE]`
pub fn write(values: &Values, tool: &mut Tool<'_>) -> Outcome {
    let mut measured = || {
        let number = |flag: &str| {
            let text = values.text(flag);
            let bad = |_| usage(&format!("--{flag}: {text:?} is not a whole number from 0"));
            text.parse::<u64>().map_err(bad)
        };
        let (metrics, scrapes) = (number("metrics")?, number("scrapes")?);
        run(values, metrics, scrapes, tool).map_err(|e| Outcome::failed(format!("{e}\n")))
    };
    match measured() {
        Ok(()) => Outcome::printed(String::new()),
        Err(outcome) => outcome,
    }
}

fn run(values: &Values, metrics: u64, scrapes: u64, tool: &mut Tool<'_>) -> Result<(), String> {
    let file = Some(values.text("file")).filter(|file| !file.is_empty());
    let series = stage(tool, "readData", |_| match file {
        Some(file) => read_series(file, metrics),
        None => Ok((0..metrics).map(made_up).collect()),
    })?;
    let dir = Path::new(values.text("out")).join("storage");
    if tool.disk.exists(&dir) {
        tool.disk
            .remove_dir_all(&dir)
            .map_err(|e| format!("empty {}: {e}", dir.display()))?;
    }
    let options = Options {
        seed: tool.seed,
        ..Options::default()
    };
    let (disk, clock) = (tool.disk.clone(), tool.clock.clone());
    let db = Db::open(&dir, options, disk, clock, &Registry::new()).map_err(|e| e.to_string())?;
    let began = tool.clock.monotonic();
    let total = stage(tool, "ingestScrapes", |tool| {
        // The last scrape is now, so that everything is within bounds.
        let start = tool.clock.now() - scrapes as i64 * INTERVAL;
        ingest(&db, &series, scrapes, start).map_err(|e| e.to_string())
    })?;
    let took = tool.clock.monotonic().saturating_sub(began);
    say(tool, &format!(" > total samples: {total}"));
    let rate = total as f64 / took.as_secs_f64().max(1e-9);
    say(tool, &format!(" > samples/sec: {rate:.0}"));
    stage(tool, "stopStorage", |_| {
        db.close().map_err(|e| e.to_string())
    })
}

fn say(tool: &mut Tool<'_>, line: &str) {
    // A reader that has gone away is no failure of ours.
    let _ = writeln!(tool.output, "{line}");
    let _ = tool.output.flush();
}

fn stage<T>(
    tool: &mut Tool<'_>,
    name: &str,
    work: impl FnOnce(&mut Tool<'_>) -> Result<T, String>,
) -> Result<T, String> {
    say(tool, &format!(">> start stage={name}"));
    let began = tool.clock.monotonic();
    let result = work(tool)?;
    let took = tool.clock.monotonic().saturating_sub(began);
    let took = Duration::from_millis(took.as_millis() as u64);
    say(
        tool,
        &format!(">> completed stage={name} duration={took:?}"),
    );
    Ok(result)
}

fn read_series(file: &str, most: u64) -> Result<Vec<Labels>, String> {
    let text =
        std::fs::read_to_string(file).map_err(|e| format!("open {file}: {}", os_text(&e)))?;
    let mut seen = HashSet::new();
    let mut series = Vec::new();
    for (i, line) in text.lines().enumerate() {
        if series.len() as u64 == most {
            break;
        }
        if line.trim().is_empty() {
            continue;
        }
        let map: std::collections::BTreeMap<String, String> = serde_json::from_str(line)
            .map_err(|e| format!("{file}: line {}: not an object of labels: {e}", i + 1))?;
        let labels = Labels::from_pairs(map);
        if seen.insert(labels.clone()) {
            series.push(labels);
        }
    }
    Ok(series)
}

fn made_up(i: u64) -> Labels {
    Labels::from_pairs([
        ("__name__", format!("bench_metric_{}", i % 100)),
        ("instance", format!("host-{}:9100", i / 100 % 100)),
        ("job", "bench".to_string()),
        ("series", i.to_string()),
    ])
}

fn ingest(db: &Db, series: &[Labels], scrapes: u64, start: i64) -> Result<u64, AppendError> {
    let mut known: Vec<SeriesRef> = Vec::with_capacity(series.len());
    let mut total = 0;
    for scrape in 0..scrapes {
        let t = start + scrape as i64 * INTERVAL;
        let mut batch = db.appender();
        for (i, labels) in series.iter().enumerate() {
            let value = (scrape * 1000 + i as u64 % 7) as f64;
            let reference = match known.get(i) {
                Some(reference) => *reference,
                None => {
                    let reference = batch.series(labels)?;
                    known.push(reference);
                    reference
                }
            };
            match batch.append(reference, t, value) {
                Err(AppendError::UnknownSeries) => {
                    known[i] = batch.series(labels)?;
                    batch.append(known[i], t, value)?;
                }
                appended => appended?,
            }
        }
        batch.commit()?;
        total += series.len() as u64;
        if scrape % CHORES == CHORES - 1 {
            db.maintain()
                .map_err(|e| AppendError::Other(e.to_string()))?;
        }
    }
    Ok(total)
}
