//! What scraping says about itself, under upstream's names.

use env::Registry;
use env::instruments::{Counter, Gauge, Histogram, Summary, Vector};
use model::duration::format_go_duration;

/// Instruments of all pools.
#[derive(Clone)]
pub struct ScrapeMetrics {
    /// Actual time between scrapes, by configured interval.
    pub interval_length: Vector<Summary>,
    /// The same.
    pub interval_histogram: Vector<Histogram>,
    /// Time that syncing a pool's targets took.
    pub sync_length: Vector<Summary>,
    /// The same.
    pub sync_histogram: Vector<Histogram>,
    /// Time that taking up a pool's new settings took, by its interval.
    pub reload_length: Vector<Summary>,
    /// Time from the start of a scrape until its samples are stored; only of jobs with more report series.
    pub scrape_duration: Histogram,
    /// Symbols that a pool holds of its own: none, texts are shared by all.
    pub pool_symbols: Vector<Gauge>,
    /// Targets that could not be made, by job.
    pub sync_failed: Vector<Counter>,
    /// Pools made.
    pub pools: Counter,
    /// Pools that could not be made.
    pub pools_failed: Counter,
    /// Pools reloaded.
    pub pool_reloads: Counter,
    /// Pools that could not be reloaded.
    pub pool_reloads_failed: Counter,
    /// Syncs of pools, by job.
    pub pool_syncs: Vector<Counter>,
    /// Times that a pool had more targets than allowed.
    pub pool_exceeded_target_limit: Counter,
    /// Targets of a pool.
    pub pool_targets: Vector<Gauge>,
    /// The limit of a pool.
    pub pool_target_limit: Vector<Gauge>,
    /// Scrapes that failed for the sample limit.
    pub exceeded_sample_limit: Counter,
    /// Scrapes that failed for the body limit.
    pub exceeded_body_size_limit: Counter,
    /// Scrapes that failed for a label limit.
    pub exceeded_label_limits: Counter,
    /// Native histograms with too many buckets.
    pub exceeded_bucket_limit: Counter,
    /// Caches that were cleared before they grew too large.
    pub cache_flush_forced: Counter,
    /// Samples left out: another value at the same time.
    pub duplicate_timestamp: Counter,
    /// Samples left out: older than what is there.
    pub out_of_order: Counter,
    /// Samples left out: too old or too new.
    pub out_of_bounds: Counter,
    /// Exemplars left out.
    pub exemplar_out_of_order: Counter,
}

/// How long lies between two scrapes of targets with one interval.
pub struct IntervalLength {
    summary: Summary,
    histogram: Histogram,
}

impl IntervalLength {
    /// So many seconds lay between two.
    pub fn note(&self, seconds: f64) {
        self.summary.observe(seconds);
        self.histogram.observe(seconds);
    }
}

impl ScrapeMetrics {
    /// Registers all.
    pub fn new(registry: &Registry) -> ScrapeMetrics {
        let bounds = [0.01, 0.1, 1.0, 10.0];
        let quantiles = [0.01, 0.05, 0.5, 0.90, 0.99];
        let counter = |name: &str, help: &str| registry.counter(name, help);
        ScrapeMetrics {
            interval_length: registry.summaries(
                "prometheus_target_interval_length_seconds",
                "Actual intervals between scrapes.",
                &["interval"],
                &quantiles,
            ),
            sync_length: registry.summaries(
                "prometheus_target_sync_length_seconds",
                "Actual interval to sync the scrape pool.",
                &["scrape_job"],
                &quantiles,
            ),
            interval_histogram: registry.native_histograms(
                "prometheus_target_interval_length_histogram_seconds",
                "Actual intervals between scrapes.",
                &["interval"],
                &bounds,
            ),
            sync_histogram: registry.native_histograms(
                "prometheus_target_sync_length_histogram_seconds",
                "Actual interval to sync the scrape pool.",
                &["scrape_job"],
                &bounds,
            ),
            reload_length: registry.summaries(
                "prometheus_target_reload_length_seconds",
                "Actual interval to reload the scrape pool with a given configuration.",
                &["interval"],
                &quantiles,
            ),
            scrape_duration: registry.native_histogram(
                "prometheus_target_scrape_duration_seconds",
                "Seconds from the start of a scrape until its samples are stored.",
                &[],
            ),
            pool_symbols: registry.gauges(
                "prometheus_target_scrape_pool_symboltable_items",
                "Current number of symbols in table for this scrape pool.",
                &["scrape_job"],
            ),
            sync_failed: registry.counters(
                "prometheus_target_sync_failed_total",
                "Total number of target sync failures.",
                &["scrape_job"],
            ),
            pools: counter(
                "prometheus_target_scrape_pools_total",
                "Total number of scrape pool creation attempts.",
            ),
            pools_failed: counter(
                "prometheus_target_scrape_pools_failed_total",
                "Total number of scrape pool creations that failed.",
            ),
            pool_reloads: counter(
                "prometheus_target_scrape_pool_reloads_total",
                "Total number of scrape pool reloads.",
            ),
            pool_reloads_failed: counter(
                "prometheus_target_scrape_pool_reloads_failed_total",
                "Total number of failed scrape pool reloads.",
            ),
            pool_syncs: registry.counters(
                "prometheus_target_scrape_pool_sync_total",
                "Total number of syncs that were executed on a scrape pool.",
                &["scrape_job"],
            ),
            pool_exceeded_target_limit: counter(
                "prometheus_target_scrape_pool_exceeded_target_limit_total",
                "Total number of times scrape pools hit the target limit, during sync or config reload.",
            ),
            pool_targets: registry.gauges(
                "prometheus_target_scrape_pool_targets",
                "Current number of targets in this scrape pool.",
                &["scrape_job"],
            ),
            pool_target_limit: registry.gauges(
                "prometheus_target_scrape_pool_target_limit",
                "Maximum number of targets allowed in this scrape pool.",
                &["scrape_job"],
            ),
            exceeded_sample_limit: counter(
                "prometheus_target_scrapes_exceeded_sample_limit_total",
                "Total number of scrapes that hit the sample limit and were rejected.",
            ),
            exceeded_body_size_limit: counter(
                "prometheus_target_scrapes_exceeded_body_size_limit_total",
                "Total number of scrapes that hit the body size limit",
            ),
            exceeded_bucket_limit: counter(
                "prometheus_target_scrapes_exceeded_native_histogram_bucket_limit_total",
                "Total number of scrapes that hit the native histogram bucket limit and were rejected.",
            ),
            exceeded_label_limits: counter(
                "prometheus_target_scrape_pool_exceeded_label_limits_total",
                "Total number of times scrape pools hit the label limits, during sync or config reload.",
            ),
            cache_flush_forced: counter(
                "prometheus_target_scrapes_cache_flush_forced_total",
                "How many times a scrape cache was flushed due to getting big while scrapes are failing.",
            ),
            duplicate_timestamp: counter(
                "prometheus_target_scrapes_sample_duplicate_timestamp_total",
                "Total number of samples rejected due to duplicate timestamps but different values.",
            ),
            out_of_order: counter(
                "prometheus_target_scrapes_sample_out_of_order_total",
                "Total number of samples rejected due to not being out of the expected order.",
            ),
            out_of_bounds: counter(
                "prometheus_target_scrapes_sample_out_of_bounds_total",
                "Total number of samples rejected due to timestamp falling outside of the time bounds.",
            ),
            exemplar_out_of_order: counter(
                "prometheus_target_scrapes_exemplar_out_of_order_total",
                "Total number of exemplar rejected due to not being out of the expected order.",
            ),
        }
    }
}

impl ScrapeMetrics {
    /// Where targets with this interval note how long lies between two scrapes.
    pub fn interval(&self, interval_ms: i64) -> IntervalLength {
        let interval = format_go_duration(interval_ms);
        IntervalLength {
            summary: self.interval_length.with(&[&interval]),
            histogram: self.interval_histogram.with(&[&interval]),
        }
    }

    /// A pool has no metrics any more.
    pub fn forget(&self, job: &str) {
        self.sync_length.remove(&[job]);
        self.sync_histogram.remove(&[job]);
        self.sync_failed.remove(&[job]);
        self.pool_syncs.remove(&[job]);
        self.pool_targets.remove(&[job]);
        self.pool_target_limit.remove(&[job]);
        self.pool_symbols.remove(&[job]);
    }
}
