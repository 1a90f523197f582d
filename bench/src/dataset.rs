//! Folders of generated data, written by our engine in virtual time: days in minutes.
//!
//! Folders with blocks also hold native histograms, one for every hundred series.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use env::sim::SimClock;
use env::system::SystemDisk;
use env::{Clock as _, Registry};
use model::{Histogram, Labels, Span};
use ondisk::meta::Ulid;
use storage::{Appendable as _, HistogramSample, SeriesRef};
use tsdb::tool::BlockStream;
use tsdb::{Db, Options};

/// What the data is like.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Series, over 200 instances.
    pub series: usize,
    /// Milliseconds of data, ending now.
    pub span: i64,
    /// Milliseconds between samples.
    pub interval: i64,
    /// Whether blocks are cut as time goes by; else all stays in the log.
    pub blocks: bool,
    /// Whether blocks are compacted.
    pub compact: bool,
}

const INSTANCES: usize = 200;

/// One generated series.
enum Kind {
    /// Rises by a step of its own.
    Counter,
    /// Wanders.
    Gauge,
    /// A bucket of a classic histogram.
    Bucket(usize),
}

/// Upper bounds of the generated histogram.
const BOUNDS: [&str; 10] = [
    "0.005", "0.01", "0.05", "0.1", "0.5", "1", "2.5", "5", "10", "+Inf",
];

/// Six labels a series: of every 20 series of an instance 10 are counters or gauges, and 10 the buckets of a histogram.
fn series_of(at: usize) -> (Labels, Kind) {
    let (instance, nth) = (at % INSTANCES, at / INSTANCES);
    let (group, place) = (nth / 20, nth % 20);
    let (name, kind) = match place {
        0..=4 => (
            format!("bench_requests_{}_total", group % 10),
            Kind::Counter,
        ),
        5..=9 => (format!("bench_gauge_{}", group % 10), Kind::Gauge),
        place => (
            format!("bench_latency_{}_seconds_bucket", group % 10),
            Kind::Bucket(place - 10),
        ),
    };
    let mut pairs = vec![
        ("__name__".to_string(), name),
        ("job".into(), "bench".into()),
        ("instance".into(), format!("host-{instance}")),
        ("namespace".into(), format!("ns-{}", instance % 20)),
        ("pod".into(), format!("pod-{instance}-{}", group / 10)),
    ];
    pairs.push(match kind {
        Kind::Bucket(bound) => ("le".into(), BOUNDS[bound].into()),
        Kind::Counter | Kind::Gauge => ("code".into(), format!("{}", 200 + place % 5)),
    });
    (Labels::from_pairs(pairs), kind)
}

/// One native histogram for every hundred series.
const SERIES_PER_HISTOGRAM: usize = 100;

fn histogram_labels(at: usize) -> Labels {
    let instance = at % INSTANCES;
    Labels::from_pairs([
        ("__name__".to_string(), "bench_native_seconds".to_string()),
        ("job".into(), "bench".into()),
        ("instance".into(), format!("host-{instance}")),
        ("namespace".into(), format!("ns-{}", instance % 20)),
        ("pod".into(), format!("pod-{instance}-{}", at / INSTANCES)),
    ])
}

/// Twelve buckets that all grow.
fn histogram(at: usize, step: u64) -> Histogram {
    let counts = (0..12).map(|bucket| step * (bucket % 5 + at as u64 % 3 + 1));
    let mut before = 0;
    let buckets: Vec<i64> = counts
        .clone()
        .map(|count| count as i64 - std::mem::replace(&mut before, count as i64))
        .collect();
    let count: u64 = counts.sum();
    Histogram {
        schema: 1,
        zero_threshold: 1e-9,
        count,
        sum: count as f64 * 0.7,
        positive_spans: vec![Span {
            offset: -6,
            length: 12,
        }],
        positive_buckets: buckets,
        ..Histogram::default()
    }
}

fn value(kind: &Kind, at: usize, step: u64) -> f64 {
    let noise = (at as u64)
        .wrapping_mul(0x9e37_79b9)
        .wrapping_add(step.wrapping_mul(0x85eb_ca6b))
        >> 7;
    match kind {
        Kind::Counter => (step * (at as u64 % 13 + 1) + noise % 7) as f64,
        Kind::Gauge => (noise % 100_000) as f64 / 100.0,
        Kind::Bucket(bound) => (step * 3 * (*bound as u64 + 1)) as f64,
    }
}

/// Writes the folder; gives how many samples it holds. The last sample is about now.
pub fn write(folder: &Path, plan: Plan) -> Result<u64, String> {
    let fault = |e: &dyn std::fmt::Display| format!("writing the data: {e}");
    let now = net::clock::system_clock().now();
    let first = (now - plan.span) / plan.interval * plan.interval;
    let clock = SimClock::starting_at(first);
    let options = Options {
        compaction: plan.compact,
        retention: tsdb::Retention::none(),
        ..Options::default()
    };
    let db = Db::open(
        folder,
        options,
        Arc::new(SystemDisk),
        Arc::new(clock.clone()),
        &Registry::new(),
    )
    .map_err(|e| fault(&e))?;
    let all: Vec<(Labels, Kind)> = (0..plan.series).map(series_of).collect();
    let mut refs: Vec<Option<SeriesRef>> = vec![None; plan.series];
    let mut native: Vec<Option<SeriesRef>> = vec![None; plan.series / SERIES_PER_HISTOGRAM];
    let steps = (plan.span / plan.interval) as u64;
    for step in 0..steps {
        let time = first + step as i64 * plan.interval;
        clock.advance(Duration::from_millis(plan.interval as u64));
        // One batch an instance, as scrapes come.
        for instance in 0..INSTANCES {
            let mut batch = db.appender();
            for at in (instance..plan.series).step_by(INSTANCES) {
                let (labels, kind) = &all[at];
                let v = value(kind, at, step);
                let known = refs[at].is_some_and(|series| batch.append(series, time, v).is_ok());
                if !known {
                    let series = batch.series(labels).map_err(|e| fault(&e))?;
                    batch.append(series, time, v).map_err(|e| fault(&e))?;
                    refs[at] = Some(series);
                }
            }
            if plan.blocks {
                for at in (instance..native.len()).step_by(INSTANCES) {
                    let histogram = histogram(at, step);
                    let series = match native[at] {
                        Some(series) => series,
                        None => batch.series(&histogram_labels(at)).map_err(|e| fault(&e))?,
                    };
                    native[at] = Some(series);
                    batch
                        .append_histogram(series, time, HistogramSample::Integer(&histogram))
                        .map_err(|e| fault(&e))?;
                }
            }
            batch.commit().map_err(|e| fault(&e))?;
        }
        if plan.blocks && time % 600_000 < plan.interval {
            db.maintain().map_err(|e| fault(&e))?;
        }
    }
    db.close().map_err(|e| fault(&e))?;
    Ok(steps * plan.series as u64)
}

const HOUR: i64 = 3_600_000;

/// Writes three blocks of two hours that fill a window of six, and a small newer one: what level compaction merges next.
/// Gives the samples of the three.
pub fn write_blocks(folder: &Path, series: usize, interval: i64) -> Result<u64, String> {
    let fault = |e: tsdb::DbError| format!("writing blocks: {e}");
    let now = net::clock::system_clock().now();
    let window = now / (6 * HOUR) * (6 * HOUR) - 12 * HOUR;
    let mut all: Vec<(Labels, Kind, usize)> = (0..series)
        .map(|at| {
            let (labels, kind) = series_of(at);
            (labels, kind, at)
        })
        .collect();
    all.sort_by(|a, b| a.0.cmp(&b.0));
    let steps = (2 * HOUR / interval) as u64;
    for nth in 0..4 {
        let from = window + nth * 2 * HOUR;
        let some = if nth == 3 { &all[..1] } else { &all[..] };
        let texts = some.iter().flat_map(|(labels, ..)| labels.iter());
        let texts = texts.flat_map(|(name, value)| [name.to_string(), value.to_string()]);
        let ulid = Ulid::new(now, [nth as u8; 10]);
        let disk: Arc<dyn env::Disk> = Arc::new(SystemDisk);
        let mut block = BlockStream::new(disk, folder, ulid, texts.collect()).map_err(fault)?;
        for (labels, kind, at) in some {
            let sample = |step: u64| {
                let step_of_all = nth as u64 * steps + step;
                (from + step as i64 * interval, value(kind, *at, step_of_all))
            };
            block.add(labels, (0..steps).map(sample)).map_err(fault)?;
        }
        block.finish(Some((from, from + 2 * HOUR))).map_err(fault)?;
    }
    Ok(3 * steps * series as u64)
}

/// Copies a folder with all in it.
pub fn copy(from: &Path, to: &Path) -> Result<(), String> {
    std::fs::create_dir_all(to).map_err(|e| format!("{}: {e}", to.display()))?;
    for entry in std::fs::read_dir(from)
        .map_err(|e| format!("{}: {e}", from.display()))?
        .flatten()
    {
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target)?;
        } else if entry.file_name() != "lock" {
            std::fs::copy(entry.path(), &target)
                .map_err(|e| format!("{}: {e}", target.display()))?;
        }
    }
    Ok(())
}
