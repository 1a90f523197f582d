//! The engine's own metrics: upstream's names and types, and values that move with what happens.

#[path = "support/site.rs"]
mod support;

use model::{Histogram, MetricType, Span, sample::stale_nan};
use storage::{Appendable as _, HistogramSample};
use support::*;
use tsdb::{Durability, Options};

const COUNTERS: &str = "
    head_chunks_created_total head_chunks_removed_total head_series_created_total head_series_removed_total
    head_series_not_found_total head_samples_appended_total head_out_of_order_samples_appended_total
    out_of_order_samples_total out_of_bound_samples_total too_old_samples_total head_appenders_created_total
    head_truncations_total head_truncations_failed_total mmap_chunks_total mmap_chunk_corruptions_total
    snapshot_replay_error_total reloads_total reloads_failures_total compactions_total compactions_triggered_total
    compactions_failed_total compactions_skipped_total vertical_compactions_total time_retentions_total
    size_retentions_total stale_series_compactions_triggered_total stale_series_compactions_failed_total
    selected_series_compactions_triggered_total selected_series_compactions_failed_total
    wal_page_flushes_total wal_completed_pages_total wal_truncations_total wal_truncations_failed_total
    wal_writes_failed_total wal_record_part_writes_total wal_record_parts_bytes_written_total
    wal_record_bytes_saved_total wal_corruptions_total wal_replay_unknown_refs_total wbl_replay_unknown_refs_total
    out_of_order_wbl_page_flushes_total out_of_order_wbl_completed_pages_total out_of_order_wbl_truncations_total
    out_of_order_wbl_truncations_failed_total out_of_order_wbl_writes_failed_total
    out_of_order_wbl_record_part_writes_total out_of_order_wbl_record_parts_bytes_written_total
    out_of_order_wbl_record_bytes_saved_total out_of_order_wbl_corruptions_total
    checkpoint_creations_total checkpoint_creations_failed_total checkpoint_deletions_total
    checkpoint_deletions_failed_total exemplar_exemplars_appended_total exemplar_out_of_order_exemplars_total";

const GAUGES: &str = "
    head_series head_stale_series head_native_histogram_series head_native_histogram_buckets head_chunks
    head_active_appenders head_min_time head_max_time head_min_time_seconds head_max_time_seconds
    head_chunks_storage_size_bytes isolation_low_watermark isolation_high_watermark data_replay_duration_seconds
    blocks_loaded storage_blocks_bytes symbol_table_size_bytes lowest_timestamp lowest_timestamp_seconds
    compaction_populating_block retention_limit_bytes retention_limit_percentage retention_limit_seconds
    wal_segment_current wal_storage_size_bytes out_of_order_wbl_segment_current out_of_order_wbl_storage_size_bytes
    exemplar_exemplars_in_storage exemplar_series_with_exemplars_in_storage
    exemplar_last_exemplars_timestamp_seconds exemplar_max_exemplars clean_start";

const HISTOGRAMS: &str = "
    sample_ooo_delta compaction_duration_seconds compaction_chunk_size_bytes compaction_chunk_samples
    compaction_chunk_range_seconds tombstone_cleanup_seconds stale_series_compaction_duration_seconds
    selected_series_compaction_duration_seconds";

const SUMMARIES: &str = "
    head_gc_duration_seconds wal_fsync_duration_seconds wal_truncate_duration_seconds
    out_of_order_wbl_fsync_duration_seconds";

#[test]
fn names_and_types_are_upstreams() {
    let site = Site::with(Options {
        out_of_order_window: HOUR,
        ..Site::new().options
    });
    let db = site.open();
    fill(&db, 2, 0, 10, 15_000);
    let families = site.registry.gather();
    let check = |names: &str, kind: MetricType| {
        for name in names.split_whitespace() {
            let full = format!("prometheus_tsdb_{name}");
            let family = families.iter().find(|f| f.name == full);
            let family = family.unwrap_or_else(|| panic!("{full} is missing"));
            assert_eq!(family.kind, kind, "{full}");
            assert!(!family.metrics.is_empty(), "{full} has no value");
        }
        names.split_whitespace().count()
    };
    let known = check(COUNTERS, MetricType::Counter)
        + check(GAUGES, MetricType::Gauge)
        + check(HISTOGRAMS, MetricType::Histogram)
        + check(SUMMARIES, MetricType::Summary);
    let unknown: Vec<&str> = families
        .iter()
        .map(|f| f.name.trim_start_matches("prometheus_tsdb_"))
        .filter(|name| {
            let all = [COUNTERS, GAUGES, HISTOGRAMS, SUMMARIES];
            !all.iter()
                .any(|names| names.split_whitespace().any(|n| n == *name))
        })
        .collect();
    assert!(
        unknown.is_empty(),
        "{known} known; not upstream's: {unknown:?}"
    );
}

fn histogram(n: u64) -> Histogram {
    Histogram {
        schema: 1,
        count: 2 * n,
        sum: 1.0,
        positive_spans: vec![Span {
            offset: 0,
            length: 2,
        }],
        positive_buckets: vec![n as i64, 0],
        ..Histogram::default()
    }
}

#[test]
fn stale_series_and_histograms_are_counted() {
    let site = Site::new();
    let db = site.open();
    let observe = |i: &str, t: i64, h: &Histogram| {
        let mut appender = db.appender();
        let series = appender.series(&labels(i)).unwrap();
        appender
            .append_histogram(series, t, HistogramSample::Integer(h))
            .unwrap();
        appender.commit().unwrap();
    };
    let gauges = || {
        let of = |name: &str| site.metric(name) as i64;
        (
            of("head_stale_series"),
            of("head_native_histogram_series"),
            of("head_native_histogram_buckets"),
        )
    };
    append(&db, "f", &[(0, 1.0)]).unwrap();
    observe("h", 0, &histogram(1));
    observe("g", 0, &histogram(1));
    assert_eq!(gauges(), (0, 2, 4));
    append(&db, "f", &[(1000, stale_nan())]).unwrap();
    append(&db, "h", &[(1000, stale_nan())]).unwrap();
    assert_eq!(gauges(), (2, 2, 2));
    // Back to life.
    append(&db, "f", &[(2000, 1.0)]).unwrap();
    assert_eq!(gauges(), (1, 2, 2));
    drop(db);
    site.restart();
    let again = Site {
        registry: env::Registry::new(),
        disk: site.disk.clone(),
        clock: site.clock.clone(),
        options: site.options.clone(),
    };
    let db = again.open();
    let of = |name: &str| again.metric(name) as i64;
    assert_eq!(of("head_stale_series"), 1);
    assert_eq!(of("head_native_histogram_buckets"), 2);
    // They leave the head with their block.
    for hour in 0..6 {
        fill(&db, 1, 3000 + hour * HOUR, 60, 60_000);
        db.maintain().unwrap();
    }
    assert_eq!(of("head_series"), 1);
    assert_eq!(of("head_stale_series"), 0);
    assert_eq!(of("head_native_histogram_series"), 0);
    assert_eq!(of("head_native_histogram_buckets"), 0);
}

#[test]
fn work_shows() {
    let site = Site::with(Options {
        wal_segment_bytes: 64 << 10,
        durability: Durability::Sync,
        out_of_order_window: 2 * HOUR,
        ..Site::new().options
    });
    let db = site.open();
    let appended = |db: &tsdb::Db, hours: std::ops::Range<i64>| {
        for hour in hours {
            fill(db, 20, hour * HOUR, 120, 30_000);
            append(db, "0", &[(hour * HOUR + 1, 1.0)]).unwrap();
            db.maintain().unwrap();
        }
    };
    appended(&db, 0..12);
    assert!(!read_all(&db).is_empty());
    for name in [
        "head_chunks_created_total",
        "head_chunks_removed_total",
        "head_samples_appended_total",
        "head_out_of_order_samples_appended_total",
        "sample_ooo_delta",
        "head_appenders_created_total",
        "head_truncations_total",
        "mmap_chunks_total",
        "reloads_total",
        "compactions_total",
        "compactions_triggered_total",
        "compaction_duration_seconds",
        "compaction_chunk_samples",
        "head_gc_duration_seconds",
        "wal_fsync_duration_seconds",
        "out_of_order_wbl_fsync_duration_seconds",
        "wal_truncate_duration_seconds",
        "wal_truncations_total",
        "out_of_order_wbl_truncations_total",
        "checkpoint_creations_total",
        "checkpoint_deletions_total",
        "wal_page_flushes_total",
        "wal_completed_pages_total",
        "wal_record_parts_bytes_written_total",
        "wal_record_bytes_saved_total",
        "wal_segment_current",
        "wal_storage_size_bytes",
        "blocks_loaded",
        "storage_blocks_bytes",
        "symbol_table_size_bytes",
        "isolation_high_watermark",
    ] {
        assert!(site.metric(name) > 0.0, "{name}");
    }
    assert_eq!(site.metric("compactions_skipped_total"), 0.0);
    db.set_compaction(false);
    db.maintain().unwrap();
    assert_eq!(site.metric("compactions_skipped_total"), 1.0);
    let refused = [
        ("out_of_bound_samples_total", 0),
        ("too_old_samples_total", 1),
    ];
    for (name, window) in refused {
        db.reconfigure(tsdb::Retention::none(), window * HOUR, 0)
            .unwrap();
        append(&db, "0", &[(0, 1.0)]).unwrap_err();
        assert_eq!(site.metric(name), 1.0, "{name}");
    }
}
