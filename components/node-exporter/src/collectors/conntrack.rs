//! The connection tracking table and what happened to it.

use crate::collector::CollectError;
use crate::files::{Paths, ReadError, read, read_u64};
use crate::sink::Sink;

/// Columns of `nf_conntrack`: index, name, help.
const COLUMNS: [(usize, &str, &str); 8] = [
    (
        2,
        "nf_conntrack_stat_found",
        "Number of searched entries which were successful.",
    ),
    (
        4,
        "nf_conntrack_stat_invalid",
        "Number of packets seen which can not be tracked.",
    ),
    (
        5,
        "nf_conntrack_stat_ignore",
        "Number of packets seen which are already connected to a conntrack entry.",
    ),
    (
        8,
        "nf_conntrack_stat_insert",
        "Number of entries inserted into the list.",
    ),
    (
        9,
        "nf_conntrack_stat_insert_failed",
        "Number of entries for which list insertion was attempted but failed.",
    ),
    (
        10,
        "nf_conntrack_stat_drop",
        "Number of packets dropped due to conntrack failure.",
    ),
    (
        11,
        "nf_conntrack_stat_early_drop",
        "Number of dropped conntrack entries to make room for new ones, if maximum table size was reached.",
    ),
    (
        16,
        "nf_conntrack_stat_search_restart",
        "Number of conntrack table lookups which had to be restarted due to hashtable resizes.",
    ),
];

/// Adds size, limit and the sums of the per-processor counters.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.proc("sys/net/netfilter");
    let count = read_u64(&base.join("nf_conntrack_count")).map_err(absent_is_no_data)?;
    let help = "Number of currently allocated flow entries for connection tracking.";
    sink.gauge("nf_conntrack_entries", help, &[], count as f64);
    let limit = read_u64(&base.join("nf_conntrack_max")).map_err(absent_is_no_data)?;
    let help = "Maximum size of connection tracking table.";
    sink.gauge("nf_conntrack_entries_limit", help, &[], limit as f64);
    let text = read(&paths.proc("net/stat/nf_conntrack")).map_err(absent_is_no_data)?;
    let mut sums = [0u64; COLUMNS.len()];
    for line in text.lines().skip(1) {
        let columns: Option<Vec<u64>> = line
            .split_ascii_whitespace()
            .map(|word| u64::from_str_radix(word, 16).ok())
            .collect();
        let columns = columns
            .filter(|columns| matches!(columns.len(), 16 | 17))
            .ok_or_else(|| {
                CollectError::failed(format!("malformed nf_conntrack line: {line:?}"))
            })?;
        for (sum, (index, ..)) in sums.iter_mut().zip(COLUMNS) {
            *sum += columns.get(index).copied().unwrap_or(0);
        }
    }
    for ((_, name, help), sum) in COLUMNS.iter().zip(sums) {
        sink.gauge(name, help, &[], sum as f64);
    }
    Ok(())
}

fn absent_is_no_data(error: ReadError) -> CollectError {
    if error.is_absent() {
        CollectError::NoData
    } else {
        error.into()
    }
}
