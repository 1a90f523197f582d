//! Merging of equal memory pages.

use model::MetricType::{Counter, Gauge};

use crate::collector::CollectError;
use crate::files::{Paths, read_i64};
use crate::sink::Sink;

/// Adds what the kernel's merging thread reports. Files older kernels lack are passed over.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    for (kind, file, name, help, factor) in [
        (
            Counter,
            "full_scans",
            "full_scans_total",
            "How many times all mergeable areas have been scanned.",
            1.0,
        ),
        (
            Gauge,
            "general_profit",
            "general_profit_bytes",
            "How effective is KSM. ksm_saved_pages * sizeof(page) - (all_rmap_items) * sizeof(rmap_item)",
            1.0,
        ),
        (
            Gauge,
            "merge_across_nodes",
            "merge_across_nodes",
            "Specifies if pages from different NUMA nodes can be merged.",
            1.0,
        ),
        (
            Gauge,
            "pages_shared",
            "pages_shared",
            "How many shared pages are being used.",
            1.0,
        ),
        (
            Gauge,
            "pages_sharing",
            "pages_sharing",
            "How many more sites are sharing them i.e. how much saved.",
            1.0,
        ),
        (
            Gauge,
            "pages_to_scan",
            "pages_to_scan",
            "How many pages to scan before ksmd goes to sleep.",
            1.0,
        ),
        (
            Gauge,
            "pages_unshared",
            "pages_unshared",
            "How many pages unique but repeatedly checked for merging.",
            1.0,
        ),
        (
            Gauge,
            "pages_volatile",
            "pages_volatile",
            "How many pages changing too fast to be placed in a tree.",
            1.0,
        ),
        (
            Gauge,
            "run",
            "run",
            "The status of ksmd. stopped = 0, running = 1",
            1.0,
        ),
        (
            Gauge,
            "sleep_millisecs",
            "sleep_seconds",
            "How many seconds ksmd should sleep before next scan.",
            0.001,
        ),
    ] {
        let value = match read_i64(&paths.sys("kernel/mm/ksm").join(file)) {
            Ok(value) => value as f64,
            Err(error) if error.is_absent() => continue,
            Err(error) => return Err(error.into()),
        };
        sink.add(kind, &format!("ksmd_{name}"), help, &[], value * factor);
    }
    Ok(())
}
