//! What the engine's tests share: a database on a simulated disk, and short ways to write and read it.

#![allow(dead_code)]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use env::sim::disk::Crash;
use env::sim::{SimClock, SimDisk};
use env::{Disk, Registry};
use model::{Labels, MatchOp, Matcher};
use storage::{
    AppendError, Appendable as _, Querier, Queryable as _, SelectHints, TimeRange, Value,
};
use tsdb::{Db, DbError, Options};

pub const HOUR: i64 = 3_600_000;

/// Samples by series: time and IEEE bits.
pub type Samples = BTreeMap<String, Vec<(i64, u64)>>;

/// A simulated machine with one database folder.
pub struct Site {
    pub disk: SimDisk,
    pub clock: SimClock,
    pub options: Options,
    pub registry: Registry,
}

impl Site {
    pub fn new() -> Site {
        Site::with(Options {
            wal_segment_bytes: 1 << 20,
            ..Options::default()
        })
    }

    pub fn with(options: Options) -> Site {
        Site {
            disk: SimDisk::new(),
            clock: SimClock::starting_at(1_700_000_000_000),
            options,
            registry: Registry::new(),
        }
    }

    /// Sums of a metric's values (counts for histograms and summaries), under its name without `prometheus_tsdb_`.
    pub fn metric(&self, name: &str) -> f64 {
        let full = format!("prometheus_tsdb_{name}");
        let families = self.registry.gather();
        let family = families.iter().find(|f| f.name == full);
        let family = family.unwrap_or_else(|| panic!("no metric {full}"));
        let value = |m: &model::Metric| match &m.value {
            model::MetricValue::Single(v) => *v,
            model::MetricValue::NativeFloat(histogram) => histogram.count,
            model::MetricValue::ClassicFloat { count, .. } => *count,
            model::MetricValue::Histogram { count, .. } => *count as f64,
            model::MetricValue::Summary { count, .. } => *count as f64,
        };
        family.metrics.iter().map(value).sum()
    }

    pub fn try_open(&self) -> Result<Arc<Db>, DbError> {
        self.try_open_at("/data")
    }

    pub fn try_open_at(&self, dir: &str) -> Result<Arc<Db>, DbError> {
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let clock = Arc::new(self.clock.clone());
        Db::open(
            Path::new(dir),
            self.options.clone(),
            disk,
            clock,
            &self.registry,
        )
    }

    pub fn open_at(&self, dir: &str) -> Arc<Db> {
        self.try_open_at(dir).unwrap()
    }

    pub fn open(&self) -> Arc<Db> {
        self.try_open().unwrap()
    }

    /// The process died.
    pub fn restart(&self) {
        self.disk.restart(Crash::Process);
    }
}

pub fn labels(i: &str) -> Labels {
    Labels::from_pairs([("__name__", "m"), ("i", i), ("job", "test")])
}

pub fn name_is_set() -> Matcher {
    Matcher::new(MatchOp::NotEqual, "__name__", "").unwrap()
}

/// Appends samples of one series in one commit.
pub fn append(db: &Db, i: &str, samples: &[(i64, f64)]) -> Result<(), AppendError> {
    let mut appender = db.appender();
    let series = appender.series(&labels(i))?;
    for (t, v) in samples {
        appender.append(series, *t, *v)?;
    }
    appender.commit()
}

/// Scrapes `n` series `times` times.
pub fn fill(db: &Db, n: usize, from: i64, times: i64, step: i64) -> Samples {
    let mut all = Samples::new();
    for scrape in 0..times {
        let t = from + scrape * step;
        let mut appender = db.appender();
        for i in 0..n {
            let labels = labels(&i.to_string());
            let series = appender.series(&labels).unwrap();
            let value = (t as f64 / 1000.0).sin() * i as f64;
            appender.append(series, t, value).unwrap();
            all.entry(labels.to_string())
                .or_default()
                .push((t, value.to_bits()));
        }
        appender.commit().unwrap();
    }
    all
}

pub fn merge(into: &mut Samples, more: Samples) {
    for (labels, samples) in more {
        into.entry(labels).or_default().extend(samples);
    }
}

pub fn collect(querier: &dyn Querier, range: TimeRange, matchers: &[Matcher]) -> Samples {
    let mut set = querier.select(matchers, &SelectHints::default()).unwrap();
    let mut out = Samples::new();
    let mut last: Option<Labels> = None;
    while let Some(series) = set.next() {
        let series = series.unwrap();
        assert!(
            last.as_ref().is_none_or(|l| *l < series.labels),
            "series in order"
        );
        let list = out.entry(series.labels.to_string()).or_default();
        let mut samples = series.samples(range);
        while let Some((t, value)) = samples.next().unwrap() {
            match value {
                Value::Float(v) => list.push((t, v.to_bits())),
                Value::Histogram(h) => list.push((t, h.sum.to_bits())),
            }
        }
        if list.is_empty() {
            let name = series.labels.to_string();
            out.remove(&name);
        }
        last = Some(series.labels);
    }
    out
}

/// Compares without printing thousands of samples.
pub fn assert_same_samples(got: &Samples, want: &Samples, what: &str) {
    let more = |a: &Samples, b: &Samples| {
        let only = a.keys().filter(|name| !b.contains_key(*name));
        only.cloned().collect::<Vec<_>>()
    };
    let (extra, missing) = (more(got, want), more(want, got));
    assert!(
        extra.is_empty() && missing.is_empty(),
        "{what}: gained {extra:?}, lost {missing:?}"
    );
    for (series, samples) in want {
        let there = &got[series];
        let differs = there.iter().zip(samples).find(|(a, b)| a != b);
        assert_eq!(differs, None, "{what}: {series}");
        assert_eq!(there.len(), samples.len(), "{what}: samples of {series}");
    }
}

pub fn read(db: &Db, range: TimeRange, matchers: &[Matcher]) -> Samples {
    collect(&*db.querier(range).unwrap(), range, matchers)
}

pub fn read_all(db: &Db) -> Samples {
    read(db, TimeRange::ALL, &[name_is_set()])
}
