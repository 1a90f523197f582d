//! The engine's own metrics, with upstream's names, labels and types.

use env::Registry;
use env::instruments::{Counter, Gauge, Histogram, Summary, Vector, exponential_bounds};

/// Instruments that code paths update. Values that can be computed when asked for are registered by the database.
pub(crate) struct Metrics {
    pub(crate) head_chunks_created: Counter,
    pub(crate) head_chunks_removed: Counter,
    pub(crate) series_created: Counter,
    pub(crate) series_removed: Counter,
    pub(crate) series_not_found: Counter,
    pub(crate) samples_appended: Vector<Counter>,
    pub(crate) out_of_order_appended: Vector<Counter>,
    pub(crate) out_of_order: Vector<Counter>,
    pub(crate) out_of_bound: Vector<Counter>,
    pub(crate) too_old: Vector<Counter>,
    pub(crate) out_of_order_delta: Histogram,
    pub(crate) appenders_created: Counter,
    pub(crate) gc_duration: Summary,
    pub(crate) truncations: Counter,
    pub(crate) truncations_failed: Counter,
    pub(crate) mmap_chunks: Counter,
    pub(crate) mmap_corruptions: Counter,
    pub(crate) replay_duration: Gauge,
    pub(crate) reloads: Counter,
    pub(crate) reloads_failed: Counter,
    pub(crate) compactions: Counter,
    pub(crate) compactions_triggered: Counter,
    pub(crate) compactions_failed: Counter,
    pub(crate) compactions_skipped: Counter,
    pub(crate) vertical_compactions: Counter,
    pub(crate) populating_block: Gauge,
    pub(crate) compaction_duration: Histogram,
    pub(crate) compaction_chunk_size: Histogram,
    pub(crate) compaction_chunk_samples: Histogram,
    pub(crate) compaction_chunk_range: Histogram,
    pub(crate) tombstone_cleanup: Histogram,
    pub(crate) time_retentions: Counter,
    pub(crate) size_retentions: Counter,
    pub(crate) wal_truncations: Counter,
    pub(crate) wal_truncations_failed: Counter,
    pub(crate) wal_truncate_duration: Summary,
    pub(crate) wbl_truncations: Counter,
    pub(crate) wbl_truncations_failed: Counter,
    pub(crate) wal_sync_duration: Summary,
    pub(crate) wbl_sync_duration: Summary,
    pub(crate) wal_corruptions: Counter,
    pub(crate) wbl_corruptions: Counter,
    pub(crate) wal_unknown_refs: Vector<Counter>,
    pub(crate) wbl_unknown_refs: Vector<Counter>,
    pub(crate) checkpoints: Counter,
    pub(crate) checkpoints_failed: Counter,
    pub(crate) checkpoint_deletions: Counter,
    pub(crate) checkpoint_deletions_failed: Counter,
    pub(crate) exemplars_appended: Counter,
    pub(crate) exemplars_out_of_order: Counter,
    pub(crate) clean_start: Gauge,
}

impl Metrics {
    pub(crate) fn new(registry: &Registry) -> Metrics {
        let name = |rest: &str| format!("prometheus_tsdb_{rest}");
        let counter = |rest: &str, help: &str| registry.counter(&name(rest), help);
        let gauge = |rest: &str, help: &str| registry.gauge(&name(rest), help);
        let summary = |rest: &str, help: &str| registry.summary(&name(rest), help, &[]);
        let histogram =
            |rest: &str, help: &str, bounds: &[f64]| registry.histogram(&name(rest), help, bounds);
        let native_histogram = |rest: &str, help: &str, bounds: &[f64]| {
            registry.native_histogram(&name(rest), help, bounds)
        };
        let by_type = |rest: &str, help: &str| {
            let vector = registry.counters(&name(rest), help, &["type"]);
            // Present from the start, so that a rate over the first failure is not blind.
            for kind in ["float", "histogram"] {
                vector.with(&[kind]);
            }
            vector
        };
        for (kind, what) in [
            ("stale_series", "stale series"),
            ("selected_series", "selected series"),
        ] {
            counter(
                &format!("{kind}_compactions_triggered_total"),
                &format!("Triggered compactions of {what}."),
            );
            counter(
                &format!("{kind}_compactions_failed_total"),
                &format!("Failed compactions of {what}."),
            );
            native_histogram(
                &format!("{kind}_compaction_duration_seconds"),
                &format!("Duration of compactions of {what}."),
                &exponential_bounds(1.0, 2.0, 14),
            );
        }
        counter(
            "snapshot_replay_error_total",
            "Snapshot replays that failed.",
        );
        Metrics {
            head_chunks_created: counter(
                "head_chunks_created_total",
                "Chunks created in the head.",
            ),
            head_chunks_removed: counter(
                "head_chunks_removed_total",
                "Chunks removed from the head.",
            ),
            series_created: counter("head_series_created_total", "Series created in the head."),
            series_removed: counter("head_series_removed_total", "Series removed from the head."),
            series_not_found: counter(
                "head_series_not_found_total",
                "Requests for series that were not found.",
            ),
            samples_appended: by_type("head_samples_appended_total", "Samples appended."),
            out_of_order_appended: by_type(
                "head_out_of_order_samples_appended_total",
                "Out-of-order samples appended.",
            ),
            out_of_order: by_type(
                "out_of_order_samples_total",
                "Samples refused for being out of order without a window that allows it.",
            ),
            out_of_bound: by_type(
                "out_of_bound_samples_total",
                "Samples refused for being out of bounds.",
            ),
            too_old: by_type(
                "too_old_samples_total",
                "Samples refused for being older than the out-of-order window.",
            ),
            out_of_order_delta: native_histogram(
                "sample_ooo_delta",
                "Age in seconds of samples behind the newest one.",
                &[600.0, 1800.0, 3600.0, 7200.0, 10800.0, 21600.0, 43200.0],
            ),
            appenders_created: counter("head_appenders_created_total", "Appenders created."),
            gc_duration: summary(
                "head_gc_duration_seconds",
                "Runtime of garbage collection in the head.",
            ),
            truncations: counter("head_truncations_total", "Head truncations attempted."),
            truncations_failed: counter(
                "head_truncations_failed_total",
                "Head truncations that failed.",
            ),
            mmap_chunks: counter("mmap_chunks_total", "Chunks that went to head chunk files."),
            mmap_corruptions: counter(
                "mmap_chunk_corruptions_total",
                "Corruptions found in head chunk files.",
            ),
            replay_duration: gauge("data_replay_duration_seconds", "Time the last replay took."),
            reloads: counter("reloads_total", "Times the blocks were loaded anew."),
            reloads_failed: counter(
                "reloads_failures_total",
                "Failures to load the blocks anew.",
            ),
            compactions: counter("compactions_total", "Compactions run."),
            compactions_triggered: counter("compactions_triggered_total", "Compactions triggered."),
            compactions_failed: counter("compactions_failed_total", "Compactions that failed."),
            compactions_skipped: counter(
                "compactions_skipped_total",
                "Compactions skipped as they are switched off.",
            ),
            vertical_compactions: counter(
                "vertical_compactions_total",
                "Compactions of overlapping blocks.",
            ),
            populating_block: gauge(
                "compaction_populating_block",
                "Set to 1 while a block is being written.",
            ),
            compaction_duration: native_histogram(
                "compaction_duration_seconds",
                "Duration of compactions.",
                &exponential_bounds(1.0, 2.0, 14),
            ),
            compaction_chunk_size: histogram(
                "compaction_chunk_size_bytes",
                "Size of chunks at their first compaction.",
                &exponential_bounds(32.0, 1.5, 12),
            ),
            compaction_chunk_samples: histogram(
                "compaction_chunk_samples",
                "Samples of chunks at their first compaction.",
                &exponential_bounds(4.0, 1.5, 12),
            ),
            compaction_chunk_range: histogram(
                "compaction_chunk_range_seconds",
                "Time range of chunks at their first compaction.",
                &exponential_bounds(100.0, 4.0, 10),
            ),
            tombstone_cleanup: native_histogram(
                "tombstone_cleanup_seconds",
                "Time taken to write blocks anew without deleted samples.",
                &[],
            ),
            time_retentions: counter(
                "time_retentions_total",
                "Times blocks were deleted for their age.",
            ),
            size_retentions: counter(
                "size_retentions_total",
                "Times blocks were deleted for their size.",
            ),
            wal_truncations: counter("wal_truncations_total", "Log truncations attempted."),
            wal_truncations_failed: counter(
                "wal_truncations_failed_total",
                "Log truncations that failed.",
            ),
            wal_truncate_duration: summary(
                "wal_truncate_duration_seconds",
                "Duration of log truncations.",
            ),
            wbl_truncations: counter(
                "out_of_order_wbl_truncations_total",
                "Truncations of the out-of-order log attempted.",
            ),
            wbl_truncations_failed: counter(
                "out_of_order_wbl_truncations_failed_total",
                "Truncations of the out-of-order log that failed.",
            ),
            wal_sync_duration: registry.summary(
                &name("wal_fsync_duration_seconds"),
                "Duration of syncing the log to disk.",
                &[0.5, 0.9, 0.99],
            ),
            wbl_sync_duration: registry.summary(
                &name("out_of_order_wbl_fsync_duration_seconds"),
                "Duration of syncing the out-of-order log to disk.",
                &[0.5, 0.9, 0.99],
            ),
            wal_corruptions: counter("wal_corruptions_total", "Corruptions found in the log."),
            wbl_corruptions: counter(
                "out_of_order_wbl_corruptions_total",
                "Corruptions found in the out-of-order log.",
            ),
            wal_unknown_refs: unknown_refs(
                registry,
                &name("wal_replay_unknown_refs_total"),
                &[
                    "series",
                    "samples",
                    "exemplars",
                    "histograms",
                    "metadata",
                    "tombstones",
                ],
            ),
            wbl_unknown_refs: unknown_refs(
                registry,
                &name("wbl_replay_unknown_refs_total"),
                &["series", "samples", "histograms", "mmap_markers"],
            ),
            checkpoints: counter(
                "checkpoint_creations_total",
                "Checkpoint creations attempted.",
            ),
            checkpoints_failed: counter(
                "checkpoint_creations_failed_total",
                "Checkpoint creations that failed.",
            ),
            checkpoint_deletions: counter(
                "checkpoint_deletions_total",
                "Checkpoint deletions attempted.",
            ),
            checkpoint_deletions_failed: counter(
                "checkpoint_deletions_failed_total",
                "Checkpoint deletions that failed.",
            ),
            exemplars_appended: counter("exemplar_exemplars_appended_total", "Exemplars appended."),
            exemplars_out_of_order: counter(
                "exemplar_out_of_order_exemplars_total",
                "Exemplars refused for being out of order.",
            ),
            clean_start: gauge(
                "clean_start",
                "-1: lockfile is disabled. 0: a lockfile from a previous execution was replaced. 1: lockfile creation was clean",
            ),
        }
    }
}

fn unknown_refs(registry: &Registry, name: &str, kinds: &[&str]) -> Vector<Counter> {
    let vector = registry.counters(
        name,
        "Records of series that the log does not know.",
        &["type"],
    );
    for kind in kinds {
        vector.with(&[kind]);
    }
    vector
}

/// What has been appended since the start, at any time.
#[derive(Clone)]
pub struct Appended {
    /// Samples that are floats.
    pub floats: Counter,
    /// Samples that are histograms.
    pub histograms: Counter,
    /// Exemplars.
    pub exemplars: Counter,
}
