//! What a series and a sample cost: `footprint [series] [scrapes] [folder]`, six labels a series, ten seconds a scrape.
//! `footprint replay FOLDER` only opens a folder.
//!
//! Prints resident memory by series, processor time by sample, replay, selection and block cutting. Run it with
//! `cargo run --profile quick -p tsdb --example footprint`.

use std::sync::Arc;
use std::time::Instant;

use env::sim::SimClock;
use env::system::SystemDisk;
use env::{Disk, Registry};
use model::{Labels, MatchOp, Matcher};
use storage::{Appendable as _, Queryable as _, SelectHints, SeriesRef, TimeRange};
use tsdb::{Db, Options};

const SERIES_A_TARGET: usize = 1000;
const START: i64 = 1_700_006_400_000;

fn status(key: &str) -> u64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text
        .lines()
        .find(|l| l.starts_with(key))
        .unwrap_or_default();
    line.split_whitespace()
        .nth(1)
        .and_then(|n| n.parse().ok())
        .unwrap_or(0)
}

fn open(dir: &std::path::Path) -> Arc<Db> {
    let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
    let clock = Arc::new(SimClock::starting_at(START));
    Db::open(dir, Options::default(), disk, clock, &Registry::new()).expect("open")
}

fn labels(i: usize) -> Labels {
    let (target, n) = (i / SERIES_A_TARGET, i % SERIES_A_TARGET);
    Labels::from_pairs([
        ("__name__", format!("app_metric_number_{}_total", n / 10)),
        (
            "instance",
            format!("10.0.{}.{}:9090", target / 250, target % 250),
        ),
        ("job", "application".to_owned()),
        ("namespace", format!("ns-{}", target % 20)),
        ("pod", format!("app-{target}-5f7d8c9b4-{target:05}")),
        ("path", format!("/api/v1/path/{}", n % 10)),
    ])
}

fn main() {
    let args: Vec<String> = std::env::args().collect();
    if let [_, what, dir] = &args[..]
        && what == "replay"
    {
        let started = Instant::now();
        let db = open(std::path::Path::new(dir));
        println!(
            "replay: {:?}, {} series",
            started.elapsed(),
            db.head_stats(1).series
        );
        return;
    }
    let number = |i: usize, default| args.get(i).and_then(|a| a.parse().ok()).unwrap_or(default);
    let (series, scrapes): (usize, usize) = (number(1, 200_000), number(2, 120));
    let temporary = tempfile::tempdir().expect("temporary folder");
    let dir = args.get(3).map_or(temporary.path().to_owned(), Into::into);
    let db = open(&dir);
    let base = status("VmRSS");
    let mut refs: Vec<SeriesRef> = Vec::with_capacity(series);
    let started = Instant::now();
    for target in 0..series / SERIES_A_TARGET {
        let mut appender = db.appender();
        for n in 0..SERIES_A_TARGET {
            let labels = labels(target * SERIES_A_TARGET + n);
            refs.push(appender.series(&labels).expect("series"));
        }
        appender.commit().expect("commit");
    }
    let created = started.elapsed();
    println!(
        "create: {} ns a series",
        created.as_nanos() / series as u128
    );
    println!(
        "labels only: {} bytes a series",
        (status("VmRSS") - base) * 1024 / series as u64
    );
    let mut spent = std::time::Duration::ZERO;
    let mut seed = 1u64;
    for scrape in 0..scrapes {
        let t = START + scrape as i64 * 10_000;
        let values: Vec<f64> = (0..series)
            .map(|i| {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // A third constant, a third counters, a third gauges.
                match i % 3 {
                    0 => i as f64,
                    1 => (scrape * (i % 50) + (seed >> 60) as usize) as f64,
                    _ => ((seed >> 40) % 1000) as f64 / 10.0,
                }
            })
            .collect();
        let started = Instant::now();
        for (target, refs) in refs.chunks(SERIES_A_TARGET).enumerate() {
            let mut appender = db.appender();
            for (n, series) in refs.iter().enumerate() {
                let v = values[target * SERIES_A_TARGET + n];
                appender
                    .append(*series, t + target as i64 % 1000, v)
                    .expect("append");
            }
            appender.commit().expect("commit");
        }
        spent += started.elapsed();
        if scrape % 6 == 0 {
            db.maintain().expect("maintain");
        }
        if [30, 120, 360, 720, 1080].contains(&(scrape + 1)) || scrape + 1 == scrapes {
            let rss = status("RssAnon") - base.min(status("RssAnon"));
            let samples = (scrape + 1) * series;
            println!(
                "after {} scrapes: {} bytes a series ({} MiB), {} ns a sample",
                scrape + 1,
                rss * 1024 / series as u64,
                rss / 1024,
                spent.as_nanos() / samples as u128
            );
        }
    }
    let select = |what: &str, matchers: &[Matcher]| {
        let started = Instant::now();
        let querier = db.querier(TimeRange::ALL).expect("querier");
        let mut set = querier
            .select(matchers, &SelectHints::default())
            .expect("select");
        let (mut found, mut samples) = (0, 0);
        let (mut times, mut values) = (Vec::new(), Vec::new());
        while let Some(series) = set.next() {
            let series = series.expect("series");
            found += 1;
            for chunk in &series.chunks {
                times.clear();
                values.clear();
                ondisk::chunk::decode_floats_into(
                    chunk.encoding,
                    &chunk.data,
                    &mut times,
                    &mut values,
                )
                .expect("decode");
                samples += times.len();
            }
        }
        println!(
            "select {what}: {found} series, {samples} samples in {:?}",
            started.elapsed()
        );
    };
    let of = |op, name: &str, value: &str| Matcher::new(op, name, value).expect("matcher");
    let wide = [
        of(MatchOp::Regex, "namespace", "ns-1.*"),
        of(MatchOp::NotEqual, "pod", ""),
    ];
    select("{namespace=~\"ns-1.*\",pod!=\"\"}", &wide);
    select(
        "one metric",
        &[of(MatchOp::Equal, "__name__", "app_metric_number_7_total")],
    );
    db.close().expect("close");
    drop(db);
    let started = Instant::now();
    let db = open(&dir);
    println!("replay: {:?}", started.elapsed());
    let started = Instant::now();
    db.flush_head().expect("flush");
    let metas = db.metas();
    let samples: u64 = metas.iter().map(|m| m.stats.num_samples).sum();
    let bytes: u64 = db.blocks().iter().map(|b| b.size()).sum();
    println!(
        "head to {} blocks: {:?}, {:.2} bytes a sample; peak {} MiB",
        metas.len(),
        started.elapsed(),
        bytes as f64 / samples.max(1) as f64,
        status("VmHWM") / 1024
    );
}
