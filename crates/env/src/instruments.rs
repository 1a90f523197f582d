//! What a part says about itself: counters, gauges, histograms and summaries in a registry that is passed, never global,
//! so that several parts live in one process and tests read what they caused.
//!
//! Instruments are handles: cloning shares the value, updating is one atomic operation.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use model::{Metric, MetricFamily, MetricType, MetricValue};
use parking_lot::{Mutex, RwLock};

use crate::native_buckets::NativeBuckets;

/// Label values of one instrument of a vector, in the order of the vector's label names.
type Values = Vec<String>;

/// All instruments of one part. Clones share it.
#[derive(Clone, Default)]
pub struct Registry(Arc<RwLock<BTreeMap<String, Family>>>);

struct Family {
    help: String,
    kind: MetricType,
    source: Source,
}

#[derive(Clone)]
enum Source {
    Counters(Vector<Counter>),
    Gauges(Vector<Gauge>),
    Histograms(Vector<Histogram>),
    Summaries(Vector<Summary>),
    /// Computed when asked for.
    Computed(Arc<dyn Fn(&mut MetricFamily) + Send + Sync>),
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Registry {
        Registry::default()
    }

    /// A counter. Registering a name again gives the same instrument.
    pub fn counter(&self, name: &str, help: &str) -> Counter {
        self.counters(name, help, &[]).with(&[])
    }

    /// Counters told apart by labels.
    pub fn counters(&self, name: &str, help: &str, labels: &[&'static str]) -> Vector<Counter> {
        let fresh = || Source::Counters(Vector::new(labels, Counter::default));
        match self.register(name, help, MetricType::Counter, fresh) {
            Source::Counters(vector) => vector,
            _ => Vector::new(labels, Counter::default),
        }
    }

    /// A gauge.
    pub fn gauge(&self, name: &str, help: &str) -> Gauge {
        self.gauges(name, help, &[]).with(&[])
    }

    /// Gauges told apart by labels.
    pub fn gauges(&self, name: &str, help: &str, labels: &[&'static str]) -> Vector<Gauge> {
        let fresh = || Source::Gauges(Vector::new(labels, Gauge::default));
        match self.register(name, help, MetricType::Gauge, fresh) {
            Source::Gauges(vector) => vector,
            _ => Vector::new(labels, Gauge::default),
        }
    }

    /// A histogram with these upper bounds (ascending, without `+Inf`).
    pub fn histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.histograms(name, help, &[], bounds).with(&[])
    }

    /// Histograms told apart by labels.
    pub fn histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str],
        bounds: &[f64],
    ) -> Vector<Histogram> {
        self.histograms_of(name, help, labels, bounds, false)
    }

    fn histograms_of(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str],
        bounds: &[f64],
        native: bool,
    ) -> Vector<Histogram> {
        let bounds: Arc<[f64]> = bounds.into();
        let make = {
            let bounds = bounds.clone();
            move || Histogram::new(bounds.clone(), native)
        };
        let fresh = || Source::Histograms(Vector::new(labels, make.clone()));
        match self.register(name, help, MetricType::Histogram, fresh) {
            Source::Histograms(vector) => vector,
            _ => Vector::new(labels, make),
        }
    }

    /// A histogram with native buckets beside those with these upper bounds.
    pub fn native_histogram(&self, name: &str, help: &str, bounds: &[f64]) -> Histogram {
        self.native_histograms(name, help, &[], bounds).with(&[])
    }

    /// Histograms with native buckets, told apart by labels.
    pub fn native_histograms(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str],
        bounds: &[f64],
    ) -> Vector<Histogram> {
        self.histograms_of(name, help, labels, bounds, true)
    }

    /// A summary of these quantiles (none: only sum and count).
    pub fn summary(&self, name: &str, help: &str, quantiles: &[f64]) -> Summary {
        self.summaries(name, help, &[], quantiles).with(&[])
    }

    /// Summaries told apart by labels.
    pub fn summaries(
        &self,
        name: &str,
        help: &str,
        labels: &[&'static str],
        quantiles: &[f64],
    ) -> Vector<Summary> {
        let quantiles: Arc<[f64]> = quantiles.into();
        let make = move || Summary::new(quantiles.clone());
        let fresh = || Source::Summaries(Vector::new(labels, make.clone()));
        match self.register(name, help, MetricType::Summary, fresh) {
            Source::Summaries(vector) => vector,
            _ => Vector::new(labels, make),
        }
    }

    /// A family whose metrics `fill` computes at each gathering. Registering a name again replaces it.
    pub fn computed(
        &self,
        name: &str,
        help: &str,
        kind: MetricType,
        fill: impl Fn(&mut MetricFamily) + Send + Sync + 'static,
    ) {
        let family = Family {
            help: help.into(),
            kind,
            source: Source::Computed(Arc::new(fill)),
        };
        self.0.write().insert(name.into(), family);
    }

    /// A gauge whose value is computed at each gathering.
    pub fn gauge_fn(
        &self,
        name: &str,
        help: &str,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.computed(name, help, MetricType::Gauge, move |family| {
            family.push(Vec::new(), value())
        });
    }

    /// A counter whose value is computed at each gathering.
    pub fn counter_fn(
        &self,
        name: &str,
        help: &str,
        value: impl Fn() -> f64 + Send + Sync + 'static,
    ) {
        self.computed(name, help, MetricType::Counter, move |family| {
            family.push(Vec::new(), value())
        });
    }

    fn register(
        &self,
        name: &str,
        help: &str,
        kind: MetricType,
        fresh: impl FnOnce() -> Source,
    ) -> Source {
        let mut families = self.0.write();
        let family = families.entry(name.into()).or_insert_with(|| Family {
            help: help.into(),
            kind,
            source: fresh(),
        });
        debug_assert!(
            family.kind == kind,
            "{name} is registered as another type already"
        );
        family.source.clone()
    }

    /// Everything as it stands, sorted by name; families without metrics are left out.
    pub fn gather(&self) -> Vec<MetricFamily> {
        // Computed families may register or update instruments, so they run without the lock.
        let sources: Vec<(MetricFamily, Source)> = self
            .0
            .read()
            .iter()
            .map(|(name, family)| {
                let empty = MetricFamily::new(name.clone(), family.help.clone(), family.kind);
                (empty, family.source.clone())
            })
            .collect();
        let mut families = Vec::with_capacity(sources.len());
        for (mut family, source) in sources {
            source.fill(&mut family);
            if !family.metrics.is_empty() {
                families.push(family);
            }
        }
        families
    }
}

impl Source {
    fn fill(&self, family: &mut MetricFamily) {
        match self {
            Source::Counters(v) => v.fill(family, |c| MetricValue::Single(c.get())),
            Source::Gauges(v) => v.fill(family, |g| MetricValue::Single(g.get())),
            Source::Histograms(v) => v.fill(family, Histogram::value),
            Source::Summaries(v) => v.fill(family, Summary::value),
            Source::Computed(fill) => fill(family),
        }
    }
}

/// Instruments of one name, told apart by label values. Clones share them.
pub struct Vector<T>(Arc<VectorState<T>>);

struct VectorState<T> {
    names: Vec<&'static str>,
    make: Box<dyn Fn() -> T + Send + Sync>,
    children: RwLock<HashMap<Values, T>>,
}

impl<T> Clone for Vector<T> {
    fn clone(&self) -> Vector<T> {
        Vector(self.0.clone())
    }
}

impl<T: Clone> Vector<T> {
    fn new(names: &[&'static str], make: impl Fn() -> T + Send + Sync + 'static) -> Vector<T> {
        Vector(Arc::new(VectorState {
            names: names.to_vec(),
            make: Box::new(make),
            children: RwLock::default(),
        }))
    }

    /// The instrument with these label values, made at first use. Keep it where it is used often.
    pub fn with(&self, values: &[&str]) -> T {
        debug_assert_eq!(values.len(), self.0.names.len(), "one value a label");
        let key: Values = values.iter().map(|v| v.to_string()).collect();
        if let Some(child) = self.0.children.read().get(&key) {
            return child.clone();
        }
        self.0
            .children
            .write()
            .entry(key)
            .or_insert_with(|| (self.0.make)())
            .clone()
    }

    /// Forgets the instrument with these label values.
    pub fn remove(&self, values: &[&str]) {
        let key: Values = values.iter().map(|v| v.to_string()).collect();
        self.0.children.write().remove(&key);
    }

    fn fill(&self, family: &mut MetricFamily, value: impl Fn(&T) -> MetricValue) {
        let children = self.0.children.read();
        let mut sorted: Vec<_> = children.iter().collect();
        sorted.sort_by(|a, b| a.0.cmp(b.0));
        family
            .metrics
            .extend(sorted.into_iter().map(|(values, child)| {
                Metric {
                    labels: self
                        .0
                        .names
                        .iter()
                        .zip(values)
                        .map(|(name, value)| (Cow::Borrowed(*name), value.clone()))
                        .collect(),
                    value: value(child),
                    timestamp_ms: None,
                }
            }));
    }
}

/// A float that several threads change.
#[derive(Default)]
struct AtomicFloat(AtomicU64);

impl AtomicFloat {
    fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn set(&self, v: f64) {
        self.0.store(v.to_bits(), Ordering::Relaxed);
    }

    fn add(&self, v: f64) {
        let update = |bits| Some((f64::from_bits(bits) + v).to_bits());
        // The closure never gives None, so this cannot fail.
        let _ = self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, update);
    }
}

/// Only goes up.
#[derive(Clone, Default)]
pub struct Counter(Arc<CounterState>);

#[derive(Default)]
struct CounterState {
    /// Whole increments, the common case, are one `fetch_add`.
    whole: AtomicU64,
    part: AtomicFloat,
}

impl Counter {
    /// One more.
    pub fn inc(&self) {
        self.add(1);
    }

    /// `n` more.
    pub fn add(&self, n: u64) {
        self.0.whole.fetch_add(n, Ordering::Relaxed);
    }

    /// A fraction more, such as seconds; negative amounts are ignored.
    pub fn add_f64(&self, v: f64) {
        if v > 0.0 {
            self.0.part.add(v);
        }
    }

    /// The value.
    pub fn get(&self) -> f64 {
        self.0.whole.load(Ordering::Relaxed) as f64 + self.0.part.get()
    }
}

/// Goes up and down.
#[derive(Clone, Default)]
pub struct Gauge(Arc<AtomicFloat>);

impl Gauge {
    /// Sets the value.
    pub fn set(&self, v: f64) {
        self.0.set(v);
    }

    /// Changes the value by `v`.
    pub fn add(&self, v: f64) {
        self.0.add(v);
    }

    /// The value.
    pub fn get(&self) -> f64 {
        self.0.get()
    }
}

/// A histogram: classic buckets, and native ones where they are asked for.
#[derive(Clone)]
pub struct Histogram(Arc<HistogramState>);

struct HistogramState {
    bounds: Arc<[f64]>,
    /// Counts per bucket (not cumulative); the last is `+Inf`.
    counts: Box<[AtomicU64]>,
    sum: AtomicFloat,
    /// Its lock also holds counts and sum together, so that both kinds of buckets tell of the same observations.
    native: Option<Mutex<NativeBuckets>>,
}

impl Histogram {
    fn new(bounds: Arc<[f64]>, native: bool) -> Histogram {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Histogram(Arc::new(HistogramState {
            bounds,
            counts,
            sum: AtomicFloat::default(),
            native: native.then(|| Mutex::new(NativeBuckets::new())),
        }))
    }

    /// Adds an observation.
    pub fn observe(&self, v: f64) {
        let mut native = self.0.native.as_ref().map(Mutex::lock);
        if let Some(native) = &mut native {
            native.observe(v);
        }
        // What is no number is below no bound.
        let holds = |bound: &f64| v <= *bound;
        let at = self.0.bounds.partition_point(|bound| !holds(bound));
        self.0.counts[at].fetch_add(1, Ordering::Relaxed);
        self.0.sum.add(v);
    }

    fn value(&self) -> MetricValue {
        let native = self.0.native.as_ref().map(Mutex::lock);
        let mut total = 0;
        let mut buckets = Vec::with_capacity(self.0.counts.len());
        for (i, count) in self.0.counts.iter().enumerate() {
            total += count.load(Ordering::Relaxed);
            buckets.push((
                self.0.bounds.get(i).copied().unwrap_or(f64::INFINITY),
                total,
            ));
        }
        let sum = self.0.sum.get();
        MetricValue::Histogram {
            buckets,
            sum,
            count: total,
            native: native.map(|native| Box::new(native.histogram(total, sum))),
        }
    }
}

/// A summary: sum, count and quantiles over the last observations.
#[derive(Clone)]
pub struct Summary(Arc<SummaryState>);

/// How many observations the quantiles look back on. Upstream keeps ten minutes in a stream sketch; a ring is enough for
/// what parts observe about themselves (scrapes of one interval, rule groups, queries) and has a fixed size.
const SUMMARY_WINDOW: usize = 512;

struct SummaryState {
    quantiles: Arc<[f64]>,
    count: AtomicU64,
    sum: AtomicFloat,
    recent: Mutex<Vec<f64>>,
}

impl Summary {
    fn new(quantiles: Arc<[f64]>) -> Summary {
        Summary(Arc::new(SummaryState {
            quantiles,
            count: AtomicU64::new(0),
            sum: AtomicFloat::default(),
            recent: Mutex::default(),
        }))
    }

    /// Adds an observation.
    pub fn observe(&self, v: f64) {
        let nth = self.0.count.fetch_add(1, Ordering::Relaxed);
        self.0.sum.add(v);
        if self.0.quantiles.is_empty() {
            return;
        }
        let mut recent = self.0.recent.lock();
        if recent.len() < SUMMARY_WINDOW {
            recent.push(v);
        } else {
            recent[nth as usize % SUMMARY_WINDOW] = v;
        }
    }

    fn value(&self) -> MetricValue {
        let mut sorted = self.0.recent.lock().clone();
        sorted.sort_by(f64::total_cmp);
        let at = |q: f64| match sorted.len() {
            0 => f64::NAN,
            n => sorted[((q * n as f64).ceil() as usize).clamp(1, n) - 1],
        };
        MetricValue::Summary {
            quantiles: self.0.quantiles.iter().map(|q| (*q, at(*q))).collect(),
            sum: self.0.sum.get(),
            count: self.0.count.load(Ordering::Relaxed),
        }
    }
}

/// `count` bounds, each `factor` times the one before.
pub fn exponential_bounds(start: f64, factor: f64, count: usize) -> Vec<f64> {
    std::iter::successors(Some(start), |bound| Some(bound * factor))
        .take(count)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn single(registry: &Registry, name: &str) -> Vec<(String, f64)> {
        registry
            .gather()
            .into_iter()
            .filter(|family| family.name == name)
            .flat_map(|family| family.metrics)
            .map(|metric| {
                let labels: Vec<String> = metric
                    .labels
                    .iter()
                    .map(|(n, v)| format!("{n}={v}"))
                    .collect();
                let MetricValue::Single(value) = metric.value else {
                    panic!("a single value")
                };
                (labels.join(","), value)
            })
            .collect()
    }

    #[test]
    fn counters_and_gauges() {
        let registry = Registry::new();
        let counter = registry.counter("c_total", "C.");
        counter.inc();
        counter.add(2);
        counter.add_f64(0.5);
        counter.add_f64(-1.0);
        registry.counter("c_total", "C.").inc();
        assert_eq!(single(&registry, "c_total"), [(String::new(), 4.5)]);
        let gauges = registry.gauges("g", "G.", &["a", "b"]);
        gauges.with(&["2", "x"]).set(3.0);
        gauges.with(&["1", "x"]).add(-1.0);
        assert_eq!(
            single(&registry, "g"),
            [("a=1,b=x".into(), -1.0), ("a=2,b=x".into(), 3.0)]
        );
        gauges.remove(&["1", "x"]);
        assert_eq!(single(&registry, "g").len(), 1);
        registry.gauge_fn("f", "F.", || 7.0);
        assert_eq!(single(&registry, "f"), [(String::new(), 7.0)]);
    }

    #[test]
    fn what_is_no_number_is_in_the_last_bucket() {
        let registry = Registry::new();
        let histogram = registry.histogram("h", "H.", &[1.0]);
        histogram.observe(f64::NAN);
        histogram.observe(1.0);
        let MetricValue::Histogram { buckets, .. } = histogram.value() else {
            panic!("a histogram")
        };
        assert_eq!(buckets, [(1.0, 1), (f64::INFINITY, 2)]);
    }

    #[test]
    fn native_histograms_tell_of_the_same_observations_twice() {
        let registry = Registry::new();
        let histogram = registry.native_histogram("h", "H.", &[1.0]);
        [0.5, 0.0, 3.0].iter().for_each(|v| histogram.observe(*v));
        let MetricValue::Histogram {
            buckets,
            count: 3,
            native: Some(native),
            ..
        } = &registry.gather()[0].metrics[0].value
        else {
            panic!("a histogram of three")
        };
        assert_eq!(buckets[..], [(1.0, 2), (f64::INFINITY, 3)]);
        assert_eq!((native.count, native.zero_count, native.sum), (3, 1, 3.5));
        assert_eq!(native.positive_buckets, [1, 0]);
    }

    #[test]
    fn histograms_and_summaries() {
        let registry = Registry::new();
        let histogram = registry.histogram("h", "H.", &[1.0, 2.0]);
        [0.5, 1.0, 1.5, 9.0]
            .iter()
            .for_each(|v| histogram.observe(*v));
        let summary = registry.summary("s", "S.", &[0.5, 0.99]);
        (1..=100).for_each(|v| summary.observe(f64::from(v)));
        let families = registry.gather();
        assert_eq!(
            families[0].metrics[0].value,
            MetricValue::Histogram {
                buckets: vec![(1.0, 2), (2.0, 3), (f64::INFINITY, 4)],
                sum: 12.0,
                count: 4,
                native: None
            }
        );
        assert_eq!(
            families[1].metrics[0].value,
            MetricValue::Summary {
                quantiles: vec![(0.5, 50.0), (0.99, 99.0)],
                sum: 5050.0,
                count: 100
            }
        );
        assert_eq!(exponential_bounds(1.0, 2.0, 3), [1.0, 2.0, 4.0]);
    }
}
