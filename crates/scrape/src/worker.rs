//! One target's loop: wait, fetch, ingest, report.

use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use exposition::negotiation::response_format;
use storage::{Appendable, Appender};
use tokio::sync::watch;

use crate::cache::SeriesCache;
use crate::failure_log::FailureLogs;
use crate::fetch::{Buffers, Fetch, FetchError, Page};
use crate::ingest::{Counts, IngestError, Ingested, end_all, ingest};
use crate::metadata::TargetMetadata;
use crate::metrics::{IntervalLength, ScrapeMetrics};
use crate::options::ScrapeOptions;
use crate::pool::JobRules;
use crate::report::{ExtraReport, Report, ReportSeries};
use crate::schedule::{aligned, until_first};
use crate::target::{Health, Target, TargetStatus};

/// A body above this is parsed on a thread that may block, not on one that serves others.
const LARGE_BODY: usize = 256 << 10;

/// What a loop is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Go on.
    Run,
    /// The target is gone: end, and mark the end of its series.
    Remove,
    /// End without a word: the process stops, or another loop takes over.
    Stop,
}

/// Everything a loop works with that it shares with others.
pub struct Surroundings {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Where samples go.
    pub storage: Arc<dyn Appendable>,
    /// Body buffers.
    pub buffers: Arc<Buffers>,
    /// Instruments.
    pub metrics: ScrapeMetrics,
    /// Tells servers of a pair apart.
    pub offset_seed: u64,
    /// What holds for all jobs.
    pub options: ScrapeOptions,
    /// Logs of failed scrapes.
    pub failures: FailureLogs,
}

/// What a loop remembers from scrape to scrape.
pub struct Memory {
    cache: SeriesCache,
    /// What the target says about its families.
    pub metadata: TargetMetadata,
    report: ReportSeries,
    last_time: Option<i64>,
    last_start: Option<Duration>,
    /// For the interval in milliseconds.
    interval: Option<(i64, IntervalLength)>,
}

impl Memory {
    /// Of a target that was never scraped.
    pub fn new(seed: u64, metadata: TargetMetadata) -> Memory {
        Memory {
            cache: SeriesCache::new(seed),
            metadata,
            report: ReportSeries::default(),
            last_time: None,
            last_start: None,
            interval: None,
        }
    }
}

/// A loop's shared state: the memory is taken while a scrape is ingested.
pub type SharedMemory = Arc<parking_lot::Mutex<Memory>>;

/// One target's loop.
pub struct Worker {
    /// The target.
    pub target: Arc<Target>,
    /// Its job's settings.
    pub rules: Arc<JobRules>,
    /// How pages are got.
    pub fetch: Arc<dyn Fetch>,
    /// What it remembers.
    pub memory: SharedMemory,
    /// What it shares.
    pub around: Arc<Surroundings>,
    /// An error that every scrape has without asking the target (the pool has too many).
    pub forced_error: watch::Receiver<Option<Arc<str>>>,
}

impl Worker {
    /// Scrapes until told otherwise.
    pub async fn run(self, mut orders: watch::Receiver<Order>) {
        let clock = &self.around.clock;
        let interval = Duration::from_millis(self.target.interval as u64);
        let first = until_first(
            self.target.hash(),
            self.around.offset_seed,
            self.target.interval,
            clock.now(),
        );
        let mut next = clock.monotonic() + first;
        loop {
            let wait = next.saturating_sub(clock.monotonic());
            tokio::select! {
                biased;
                order = told(&mut orders) => {
                    if order == Order::Remove {
                        self.end_of_run(next, interval, &mut orders).await;
                    }
                    return;
                }
                () = clock.sleep(wait) => {}
            }
            self.scrape().await;
            // A scrape that took longer than the interval leaves out the moments it missed.
            let behind = clock.monotonic().saturating_sub(next).as_nanos();
            let steps = behind / interval.as_nanos().max(1) + 1;
            next += interval * u32::try_from(steps).unwrap_or(u32::MAX);
        }
    }

    /// Marks the end of all series, late enough for a target that only moved to another loop to have written newer
    /// samples: then the markers come too late to count.
    async fn end_of_run(
        &self,
        next: Duration,
        interval: Duration,
        orders: &mut watch::Receiver<Order>,
    ) {
        let clock = &self.around.clock;
        let wait = next.saturating_sub(clock.monotonic());
        let stopped = async {
            // Only a stop of the process interrupts; the pool itself has let go of this loop.
            if orders
                .wait_for(|order| *order == Order::Stop)
                .await
                .is_err()
            {
                std::future::pending::<()>().await;
            }
        };
        let mut marker_time = 0;
        let late = async {
            clock.sleep(wait).await;
            marker_time = clock.now();
            clock.sleep(interval + interval / 10).await;
        };
        tokio::select! {
            biased;
            () = stopped => return,
            () = late => {}
        }
        let mut memory = self.memory.lock();
        let memory = &mut *memory;
        let mut batch = self.around.storage.appender();
        memory.cache.begin();
        end_all(&mut memory.cache, marker_time, &mut *batch);
        memory.report.end(marker_time, &mut *batch);
        if let Err(error) = batch.commit() {
            tracing::warn!(component = "scrape manager", scrape_pool = %self.rules.job, target = %self.target.url, err = %error, "Stale commit failed");
        }
    }

    async fn scrape(&self) {
        let clock = &self.around.clock;
        let start = clock.monotonic();
        let time = {
            let mut memory = self.memory.lock();
            if let Some(last) = memory.last_start.replace(start) {
                let interval = self.target.interval;
                if memory
                    .interval
                    .as_ref()
                    .is_none_or(|(of, _)| *of != interval)
                {
                    memory.interval = Some((interval, self.around.metrics.interval(interval)));
                }
                if let Some((_, length)) = &memory.interval {
                    length.note(start.saturating_sub(last).as_secs_f64());
                }
            }
            let (time, schedule) = aligned(
                clock.now(),
                memory.last_time,
                self.target.interval,
                self.around.options.timestamp_tolerance_ms,
            );
            memory.last_time = Some(schedule);
            time
        };
        let timeout = Duration::from_millis(self.target.timeout as u64);
        let forced = self.forced_error.borrow().clone();
        let page = match forced {
            Some(error) => Err(FetchError::Transport(error.to_string())),
            None => {
                self.fetch
                    .fetch(&self.target.url, timeout, self.around.buffers.take())
                    .await
            }
        };
        let large = page.as_ref().is_ok_and(|page| page.body.len() > LARGE_BODY);
        let work = Ingestion {
            target: self.target.clone(),
            rules: self.rules.clone(),
            memory: self.memory.clone(),
            around: self.around.clone(),
            start,
            time,
        };
        if large {
            // The only failure is a panic in there, which has been printed; the next scrape starts afresh.
            let _ = tokio::task::spawn_blocking(move || work.finish(page)).await;
        } else {
            work.finish(page);
        }
    }
}

/// Waits for an order other than to go on. A lost sender means the process stops.
async fn told(orders: &mut watch::Receiver<Order>) -> Order {
    match orders.wait_for(|order| *order != Order::Run).await {
        Ok(order) => *order,
        Err(_) => Order::Stop,
    }
}

/// What is left to do with a scrape when the target has answered, or not.
struct Ingestion {
    target: Arc<Target>,
    rules: Arc<JobRules>,
    memory: SharedMemory,
    around: Arc<Surroundings>,
    start: Duration,
    time: i64,
}

impl Ingestion {
    fn finish(self, page: Result<Page, FetchError>) {
        let mut memory = self.memory.lock();
        let memory = &mut *memory;
        let storage = &self.around.storage;
        let mut batch = storage.appender();
        memory.cache.begin();
        let body_size = match &page {
            Ok(page) => page.body.len() as i64,
            Err(error) if error.is_too_large() => -1,
            Err(_) => 0,
        };
        if body_size < 0 {
            self.around.metrics.exceeded_body_size_limit.inc();
        }
        let (counts, mut error) = match page {
            Ok(page) => {
                let ingested = self.ingest(&page, memory, &mut *batch);
                self.around.buffers.give(page.body);
                self.count(&ingested);
                (
                    ingested.counts,
                    ingested.result.err().map(|e| self.told(&e)),
                )
            }
            Err(fault) => (Counts::default(), Some(fault.to_string())),
        };
        if error.is_some() {
            batch.rollback();
            batch = storage.appender();
            end_all(&mut memory.cache, self.time, &mut *batch);
        } else if memory.cache.finish() {
            self.around.metrics.cache_flush_forced.inc();
        }
        let report = self.report(counts, error.is_none(), body_size);
        let written = memory
            .report
            .write(&report, &self.target.labels, self.time, &mut *batch);
        if let Err(fault) = written.and_then(|()| batch.commit()) {
            tracing::error!(component = "scrape manager", scrape_pool = %self.rules.job, target = %self.target.url, err = %fault, "Scrape commit failed");
            error.get_or_insert(fault.to_string());
        }
        if self.rules.extra_metrics {
            let took = self.around.clock.monotonic().saturating_sub(self.start);
            self.around
                .metrics
                .scrape_duration
                .observe(took.as_secs_f64());
        }
        self.note(error, report.duration_seconds);
    }

    /// The error as the target shows it. Where on the page it is goes to the log, because a page can be long.
    fn told(&self, error: &IngestError) -> String {
        if let IngestError::Parse { line, message } = error
            && *line > 0
        {
            tracing::debug!(component = "scrape manager", scrape_pool = %self.rules.job, target = %self.target.url, line, err = %message, "Append failed");
        }
        error.to_string()
    }

    fn ingest(&self, page: &Page, memory: &mut Memory, batch: &mut dyn Appender) -> Ingested {
        let empty = page.body.is_empty();
        let format = if empty {
            // An empty page is a page without samples, whatever it calls itself.
            Ok(exposition::Format::Text)
        } else {
            response_format(&page.content_type, self.rules.fallback)
        };
        match format {
            Ok(format) => ingest(
                &page.body,
                format,
                &self.target.labels,
                &self.rules.ingest,
                self.target.histograms,
                self.time,
                &mut memory.cache,
                &mut memory.metadata,
                batch,
            ),
            Err(error) => Ingested {
                counts: Counts::default(),
                left_out: Default::default(),
                result: Err(IngestError::Series(error.to_string())),
            },
        }
    }

    fn count(&self, ingested: &Ingested) {
        let (metrics, left_out) = (&self.around.metrics, ingested.left_out);
        match &ingested.result {
            Err(IngestError::SampleLimit) => metrics.exceeded_sample_limit.inc(),
            Err(IngestError::BucketLimit) => metrics.exceeded_bucket_limit.inc(),
            Err(IngestError::LabelLimit(_)) => metrics.exceeded_label_limits.inc(),
            _ => {}
        }
        let pool = &self.rules.job;
        let target = &self.target.url;
        let complain = |count: u64, message: &str| {
            if count > 0 {
                tracing::warn!(component = "scrape manager", scrape_pool = %pool, target = %target, num_dropped = count, "{message}");
            }
        };
        complain(
            left_out.out_of_order,
            "Error on ingesting out-of-order samples",
        );
        complain(
            left_out.duplicate,
            "Error on ingesting samples with different value but same timestamp",
        );
        complain(
            left_out.out_of_bounds,
            "Error on ingesting samples that are too old or are too far into the future",
        );
        metrics.out_of_order.add(left_out.out_of_order);
        metrics.duplicate_timestamp.add(left_out.duplicate);
        metrics.out_of_bounds.add(left_out.out_of_bounds);
        metrics
            .exemplar_out_of_order
            .add(left_out.exemplars_out_of_order);
    }

    fn report(&self, counts: Counts, up: bool, body_size: i64) -> Report {
        Report {
            up,
            duration_seconds: self
                .around
                .clock
                .monotonic()
                .saturating_sub(self.start)
                .as_secs_f64(),
            scraped: counts.scraped,
            post_relabel: counts.post_relabel,
            added: counts.added,
            extra: self.rules.extra_metrics.then_some(ExtraReport {
                timeout_seconds: self.target.timeout as f64 / 1000.0,
                sample_limit: self.rules.ingest.labels.limits.samples,
                body_size,
            }),
        }
    }

    fn note(&self, error: Option<String>, duration: f64) {
        if let Some(error) = &error {
            tracing::debug!(component = "scrape manager", scrape_pool = %self.rules.job, target = %self.target.url, err = %error, "Scrape failed");
            if let Some(log) = &self.rules.failures {
                log.note(self.time, error, &self.rules.job, &self.target.url);
            }
        }
        *self.target.status.lock() = TargetStatus {
            health: if error.is_none() {
                Health::Up
            } else {
                Health::Down
            },
            last_error: error.unwrap_or_default(),
            last_scrape: Some(self.time),
            last_duration: duration,
        };
    }
}
