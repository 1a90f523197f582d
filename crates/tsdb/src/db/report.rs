//! Metrics that are computed when asked for.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use env::Registry;
use model::MetricType;

use super::Db;
use crate::head::Head;
use crate::wal::{Wal, WalStats};

fn seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// Registers them; they say nothing once the database is gone.
pub(super) fn register(db: &Arc<Db>, registry: &Registry) {
    let gauge = |name: &str, help: &str, value: fn(&Db) -> f64| {
        let db: Weak<Db> = Arc::downgrade(db);
        let name = format!("prometheus_tsdb_{name}");
        registry.computed(&name, help, MetricType::Gauge, move |family| {
            if let Some(db) = db.upgrade() {
                family.push(Vec::new(), value(&db));
            }
        });
    };
    gauge("head_series", "Series in the head.", |db| {
        db.head.series_count.load(Relaxed) as f64
    });
    gauge("head_stale_series", "Stale series in the head.", |db| {
        db.head.stale_count.load(Relaxed) as f64
    });
    gauge(
        "head_native_histogram_series",
        "Native histogram series in the head.",
        |db| db.head.histogram_count.load(Relaxed) as f64,
    );
    gauge(
        "head_native_histogram_buckets",
        "Buckets of native histograms in the head.",
        |db| db.head.bucket_count.load(Relaxed) as f64,
    );
    gauge("head_chunks", "Chunks in the head.", |db| {
        db.head.chunk_count.load(Relaxed) as f64
    });
    gauge("head_active_appenders", "Open appenders.", |db| {
        db.head.isolation.appenders() as f64
    });
    gauge(
        "head_min_time",
        "Oldest time in the head, in the unit of the database.",
        |db| db.head.min_time.load(Relaxed) as f64,
    );
    gauge(
        "head_max_time",
        "Newest time in the head, in the unit of the database.",
        |db| db.head.max_time.load(Relaxed) as f64,
    );
    gauge("head_min_time_seconds", "Oldest time in the head.", |db| {
        seconds(db.head.min_time.load(Relaxed))
    });
    gauge("head_max_time_seconds", "Newest time in the head.", |db| {
        seconds(db.head.max_time.load(Relaxed))
    });
    gauge(
        "head_chunks_storage_size_bytes",
        "Bytes of head chunk files.",
        |db| db.head.files.size() as f64,
    );
    gauge(
        "isolation_low_watermark",
        "Lowest epoch of a reader.",
        |db| db.head.isolation.watermarks().0 as f64,
    );
    gauge(
        "isolation_high_watermark",
        "Epoch of the newest reader.",
        |db| db.head.isolation.watermarks().1 as f64,
    );
    gauge("blocks_loaded", "Blocks loaded.", |db| {
        db.blocks.read().len() as f64
    });
    gauge("storage_blocks_bytes", "Bytes of all blocks.", |db| {
        db.blocks.read().iter().map(|b| b.size()).sum::<u64>() as f64
    });
    gauge(
        "symbol_table_size_bytes",
        "Bytes of symbol tables of the blocks in memory.",
        |db| {
            db.blocks
                .read()
                .iter()
                .map(|b| b.index().symbol_table_bytes())
                .sum::<usize>() as f64
        },
    );
    gauge(
        "lowest_timestamp",
        "Oldest time in the folder, in the unit of the database.",
        |db| db.start_time().unwrap_or(i64::MAX) as f64,
    );
    gauge(
        "lowest_timestamp_seconds",
        "Oldest time in the folder.",
        |db| seconds(db.start_time().unwrap_or(i64::MAX)),
    );
    gauge(
        "retention_limit_bytes",
        "Size retention, 0 for none.",
        |db| db.retention.lock().bytes as f64,
    );
    gauge(
        "retention_limit_percentage",
        "Retention by share of the file system, 0 for none.",
        |db| db.retention.lock().percent,
    );
    gauge(
        "retention_limit_seconds",
        "Time retention, 0 for none.",
        |db| seconds(db.retention.lock().time),
    );
    gauge("exemplar_exemplars_in_storage", "Exemplars held.", |db| {
        db.head.exemplars.stats().exemplars as f64
    });
    gauge(
        "exemplar_series_with_exemplars_in_storage",
        "Series with exemplars.",
        |db| db.head.exemplars.stats().series as f64,
    );
    gauge(
        "exemplar_last_exemplars_timestamp_seconds",
        "Time of the newest exemplar.",
        |db| seconds(db.head.exemplars.stats().newest),
    );
    gauge(
        "exemplar_max_exemplars",
        "Exemplars that are kept at most.",
        |db| db.head.exemplars.stats().capacity as f64,
    );
    log_metrics(db, registry, "wal", |head, with| with(&head.wal));
    log_metrics(db, registry, "out_of_order_wbl", |head, with| {
        if let Some(wbl) = &*head.wbl.read() {
            with(wbl);
        }
    });
}

type WithWal = fn(&Head, &mut dyn FnMut(&Wal));

fn log_metrics(db: &Arc<Db>, registry: &Registry, log: &str, with: WithWal) {
    let add = |name: &str, help: &str, kind: MetricType, value: fn(&Wal, WalStats) -> f64| {
        let db: Weak<Db> = Arc::downgrade(db);
        let name = format!("prometheus_tsdb_{log}_{name}");
        registry.computed(&name, help, kind, move |family| {
            if let Some(db) = db.upgrade() {
                with(&db.head, &mut |wal| {
                    family.push(Vec::new(), value(wal, wal.stats()))
                });
            }
        });
    };
    let counter = MetricType::Counter;
    add(
        "page_flushes_total",
        "Writes to the log.",
        counter,
        |_, s| s.writes as f64,
    );
    add("completed_pages_total", "Pages filled.", counter, |_, s| {
        s.completed_pages as f64
    });
    add(
        "writes_failed_total",
        "Writes that failed.",
        counter,
        |_, s| s.failed as f64,
    );
    add(
        "record_part_writes_total",
        "Record parts written.",
        counter,
        |_, s| s.writes as f64,
    );
    add(
        "record_parts_bytes_written_total",
        "Bytes written.",
        counter,
        |_, s| s.bytes as f64,
    );
    let weak: Weak<Db> = Arc::downgrade(db);
    let name = format!("prometheus_tsdb_{log}_record_bytes_saved_total");
    registry.computed(
        &name,
        "Bytes that compression saved.",
        counter,
        move |family| {
            if let Some(db) = weak.upgrade() {
                with(&db.head, &mut |wal| {
                    let labels = vec![("compression".into(), wal.compression().name().into())];
                    family.push(labels, wal.stats().saved as f64);
                });
            }
        },
    );
    add(
        "segment_current",
        "Segment being written.",
        MetricType::Gauge,
        |wal, _| f64::from(wal.position().0),
    );
    add(
        "storage_size_bytes",
        "Bytes of the log on disk.",
        MetricType::Gauge,
        |wal, _| wal.size() as f64,
    );
}
