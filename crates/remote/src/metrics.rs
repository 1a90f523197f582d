//! What a queue says about itself, with upstream's names.

use env::Registry;
use env::instruments::{Counter, Gauge, Histogram, Vector};

const LABELS: [&str; 2] = ["remote_name", "url"];

/// Families of all queues.
#[derive(Clone)]
pub struct Families {
    total: [Vector<Counter>; 4],
    failed: [Vector<Counter>; 4],
    retried: [Vector<Counter>; 4],
    dropped: [Vector<Counter>; 3],
    pending: [Vector<Gauge>; 3],
    enqueue_retries: Vector<Counter>,
    batch_seconds: Vector<Histogram>,
    bytes: Vector<Counter>,
    metadata_bytes: Vector<Counter>,
    gauges: [Vector<Gauge>; 8],
    records: Vector<Counter>,
    decode_failures: Vector<Counter>,
    pre_tailing: Vector<Counter>,
    segment: Vector<Gauge>,
    skipped: Vector<Counter>,
    corruptions: Vector<Counter>,
}

/// Metrics of one queue.
#[derive(Clone)]
pub struct QueueMetrics {
    labels: [String; 2],
    families: Families,
    /// Samples, histograms, exemplars, metadata: attempts.
    pub total: [Counter; 4],
    /// Given up.
    pub failed: [Counter; 4],
    /// Tried again.
    pub retried: [Counter; 4],
    /// Samples, histograms, exemplars that wait.
    pub pending: [Gauge; 3],
    /// Times that the log was not read on because senders were busy.
    pub enqueue_retries: Counter,
    /// Seconds of requests.
    pub batch_seconds: Histogram,
    /// Bytes sent.
    pub bytes: Counter,
    /// Of these, metadata.
    pub metadata_bytes: Counter,
    /// Newest time read, seconds.
    pub highest: Gauge,
    /// Newest time acknowledged, seconds.
    pub highest_sent: Gauge,
    /// Items that a sender can have waiting.
    pub capacity: Gauge,
    /// Senders.
    pub shards: Gauge,
    /// Most senders.
    pub shards_max: Gauge,
    /// Fewest senders.
    pub shards_min: Gauge,
    /// Senders wanted.
    pub shards_desired: Gauge,
    /// Most items of a request.
    pub max_per_send: Gauge,
    /// The segment being read.
    pub segment: Gauge,
    /// Times that the log was lost before it was read.
    pub skipped: Counter,
    /// Times that the log was damaged where it was read, of all queues.
    pub corruptions: Counter,
    /// Records that could not be read.
    pub decode_failures: Counter,
    /// Records read that an earlier process may have sent.
    pub pre_tailing: Counter,
}

const KINDS: [&str; 4] = ["samples", "histograms", "exemplars", "metadata"];

impl Families {
    /// Registers everything.
    pub fn new(registry: &Registry) -> Families {
        let counters = |name: &str, help: &str| {
            registry.counters(&format!("prometheus_remote_storage_{name}"), help, &LABELS)
        };
        let gauges = |name: &str, help: &str| {
            registry.gauges(&format!("prometheus_remote_storage_{name}"), help, &LABELS)
        };
        let total = KINDS.map(|kind| {
            counters(
                &format!("{kind}_total"),
                &format!("Total number of {kind} sent to remote storage."),
            )
        });
        let failed = KINDS.map(|kind| {
            let help = format!("Total number of {kind} which failed on send to remote storage, non-recoverable errors.");
            counters(&format!("{kind}_failed_total"), &help)
        });
        let retried = KINDS.map(|kind| {
            let help = format!("Total number of {kind} which failed on send to remote storage but were retried because the send error was recoverable.");
            counters(&format!("{kind}_retried_total"), &help)
        });
        let three = [KINDS[0], KINDS[1], KINDS[2]];
        let dropped = three.map(|kind| {
            registry.counters(
                &format!("prometheus_remote_storage_{kind}_dropped_total"),
                &format!("Total number of {kind} which were dropped after being read from the WAL before being sent via remote write, either via relabelling, due to being too old or unintentionally because of an unknown reference ID."),
                &["remote_name", "url", "reason"],
            )
        });
        let pending = three.map(|kind| {
            gauges(&format!("{kind}_pending"), &format!("The number of {kind} pending in the queues shards to be sent to the remote storage."))
        });
        let consumer = |name: &str, help: &str| {
            registry.counters(
                &format!("prometheus_wal_watcher_{name}"),
                help,
                &["consumer"],
            )
        };
        Families {
            total,
            failed,
            retried,
            dropped,
            pending,
            enqueue_retries: counters(
                "enqueue_retries_total",
                "Total number of times enqueue has failed because a shards queue was full.",
            ),
            batch_seconds: registry.native_histograms(
                "prometheus_remote_storage_sent_batch_duration_seconds",
                "Duration of send calls to the remote storage.",
                &LABELS,
                &[
                    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 60.0,
                    120.0, 300.0,
                ],
            ),
            bytes: counters(
                "bytes_total",
                "The total number of bytes of data (not metadata) sent by the queue after compression.",
            ),
            metadata_bytes: counters(
                "metadata_bytes_total",
                "The total number of bytes of metadata sent by the queue after compression.",
            ),
            gauges: [
                gauges(
                    "queue_highest_timestamp_seconds",
                    "Highest timestamp that was enqueued, in seconds since epoch.",
                ),
                gauges(
                    "queue_highest_sent_timestamp_seconds",
                    "Timestamp from a WAL sample, the highest timestamp successfully sent by this queue, in seconds since epoch.",
                ),
                gauges(
                    "shard_capacity",
                    "The capacity of each shard of the queue used for parallel sending to the remote storage.",
                ),
                gauges(
                    "shards",
                    "The number of shards used for parallel sending to the remote storage.",
                ),
                gauges(
                    "shards_max",
                    "The maximum number of shards that the queue is allowed to run.",
                ),
                gauges(
                    "shards_min",
                    "The minimum number of shards that the queue is allowed to run.",
                ),
                gauges(
                    "shards_desired",
                    "The number of shards that the queues shard calculation wants to run based on the rate of samples in vs. samples out.",
                ),
                gauges(
                    "max_samples_per_send",
                    "The maximum number of samples to be sent, in a single request, to the remote storage.",
                ),
            ],
            records: registry.counters(
                "prometheus_wal_watcher_records_read_total",
                "Number of records read by the WAL watcher from the WAL.",
                &["consumer", "type"],
            ),
            decode_failures: consumer(
                "record_decode_failures_total",
                "Number of records read by the WAL watcher that resulted in an error when decoding.",
            ),
            pre_tailing: consumer(
                "samples_sent_pre_tailing_total",
                "Number of sample records read by the WAL watcher and sent to remote write during replay of existing WAL.",
            ),
            segment: registry.gauges(
                "prometheus_wal_watcher_current_segment",
                "Current segment the WAL watcher is reading records from.",
                &["consumer"],
            ),
            skipped: registry.counters(
                "titan_remote_log_skipped_total",
                "Times that a part of the log was gone before the queue had read it.",
                &["consumer"],
            ),
            corruptions: registry.counters(
                "prometheus_tsdb_wal_reader_corruption_errors_total",
                "Errors encountered when reading the WAL.",
                &["error"],
            ),
        }
    }

    /// The metrics of a queue. `url` must be without secrets.
    pub fn queue(&self, name: &str, url: &str) -> QueueMetrics {
        let both = [name, url];
        let counters = |all: &[Vector<Counter>; 4]| [0, 1, 2, 3].map(|i| all[i].with(&both));
        let gauge = |i: usize| self.gauges[i].with(&both);
        QueueMetrics {
            labels: [name.to_string(), url.to_string()],
            families: self.clone(),
            total: counters(&self.total),
            failed: counters(&self.failed),
            retried: counters(&self.retried),
            pending: [0, 1, 2].map(|i| self.pending[i].with(&both)),
            enqueue_retries: self.enqueue_retries.with(&both),
            batch_seconds: self.batch_seconds.with(&both),
            bytes: self.bytes.with(&both),
            metadata_bytes: self.metadata_bytes.with(&both),
            highest: gauge(0),
            highest_sent: gauge(1),
            capacity: gauge(2),
            shards: gauge(3),
            shards_max: gauge(4),
            shards_min: gauge(5),
            shards_desired: gauge(6),
            max_per_send: gauge(7),
            segment: self.segment.with(&[name]),
            skipped: self.skipped.with(&[name]),
            corruptions: self.corruptions.with(&["corrupt"]),
            decode_failures: self.decode_failures.with(&[name]),
            pre_tailing: self.pre_tailing.with(&[name]),
        }
    }
}

impl QueueMetrics {
    /// Items of a kind (samples 0, histograms 1, exemplars 2) that are not sent, by reason.
    pub fn dropped(&self, kind: usize, reason: &str) -> Counter {
        let [name, url] = &self.labels;
        self.families.dropped[kind].with(&[name, url, reason])
    }

    /// Records read, by type.
    pub fn records(&self, kind: &str) -> Counter {
        self.families.records.with(&[&self.labels[0], kind])
    }

    /// Takes the queue's metrics off the page.
    pub fn remove(&self) {
        let [name, url] = &self.labels;
        let both = [name.as_str(), url.as_str()];
        let families = &self.families;
        for all in [&families.total, &families.failed, &families.retried] {
            all.iter().for_each(|family| family.remove(&both));
        }
        families
            .pending
            .iter()
            .for_each(|family| family.remove(&both));
        families
            .gauges
            .iter()
            .for_each(|family| family.remove(&both));
        for family in [
            &families.enqueue_retries,
            &families.bytes,
            &families.metadata_bytes,
        ] {
            family.remove(&both);
        }
        families.batch_seconds.remove(&both);
        for family in &families.dropped {
            for reason in REASONS {
                family.remove(&[name, url, reason]);
            }
        }
        for kind in RECORDS {
            families.records.remove(&[name, kind]);
        }
        families.segment.remove(&[name]);
        for family in [
            &families.skipped,
            &families.decode_failures,
            &families.pre_tailing,
        ] {
            family.remove(&[name]);
        }
    }
}

/// Relabelling dropped the series.
pub const DROPPED_SERIES: &str = "dropped_series";
/// The log names a series that it never described.
pub const UNKNOWN_SERIES: &str = "unintentionally_dropped_series";
/// Older than `sample_age_limit`.
pub const TOO_OLD: &str = "too_old";
/// Custom buckets cannot be said in 1.0.
pub const NO_CUSTOM_BUCKETS: &str = "nhcb_in_rw1_not_supported";
const REASONS: [&str; 4] = [DROPPED_SERIES, UNKNOWN_SERIES, TOO_OLD, NO_CUSTOM_BUCKETS];
const RECORDS: [&str; 6] = [
    "series",
    "samples",
    "exemplars",
    "histogram_samples",
    "float_histogram_samples",
    "metadata",
];
