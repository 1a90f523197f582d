//! Memory zones, from `zoneinfo`.

use model::MetricType::{self, Counter, Gauge};

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// The kernel's words, types, our names, help texts.
const FIELDS: [(&str, MetricType, &str, &str); 32] = [
    ("high", Gauge, "high_pages", "Zone watermark pages_high"),
    ("low", Gauge, "low_pages", "Zone watermark pages_low"),
    (
        "managed",
        Gauge,
        "managed_pages",
        "Present pages managed by the buddy system",
    ),
    ("min", Gauge, "min_pages", "Zone watermark pages_min"),
    (
        "nr_active_anon",
        Gauge,
        "nr_active_anon_pages",
        "Number of anonymous pages recently more used",
    ),
    (
        "nr_active_file",
        Gauge,
        "nr_active_file_pages",
        "Number of active pages with file-backing",
    ),
    (
        "nr_anon_pages",
        Gauge,
        "nr_anon_pages",
        "Number of anonymous pages currently used by the system",
    ),
    (
        "nr_anon_transparent_hugepages",
        Gauge,
        "nr_anon_transparent_hugepages",
        "Number of anonymous transparent huge pages currently used by the system",
    ),
    (
        "nr_dirtied",
        Counter,
        "nr_dirtied_total",
        "Page dirtyings since bootup",
    ),
    ("nr_dirty", Gauge, "nr_dirty_pages", "Number of dirty pages"),
    (
        "nr_file_pages",
        Gauge,
        "nr_file_pages",
        "Number of file pages",
    ),
    (
        "nr_free_pages",
        Gauge,
        "nr_free_pages",
        "Total number of free pages in the zone",
    ),
    (
        "nr_inactive_anon",
        Gauge,
        "nr_inactive_anon_pages",
        "Number of anonymous pages recently less used",
    ),
    (
        "nr_inactive_file",
        Gauge,
        "nr_inactive_file_pages",
        "Number of inactive pages with file-backing",
    ),
    (
        "nr_isolated_anon",
        Gauge,
        "nr_isolated_anon_pages",
        "Temporary isolated pages from anon lru",
    ),
    (
        "nr_isolated_file",
        Gauge,
        "nr_isolated_file_pages",
        "Temporary isolated pages from file lru",
    ),
    (
        "nr_kernel_stack",
        Gauge,
        "nr_kernel_stacks",
        "Number of kernel stacks",
    ),
    (
        "nr_mapped",
        Gauge,
        "nr_mapped_pages",
        "Number of mapped pages",
    ),
    (
        "nr_shmem",
        Gauge,
        "nr_shmem_pages",
        "Number of shmem pages (included tmpfs/GEM pages)",
    ),
    (
        "nr_slab_reclaimable",
        Gauge,
        "nr_slab_reclaimable_pages",
        "Number of reclaimable slab pages",
    ),
    (
        "nr_slab_unreclaimable",
        Gauge,
        "nr_slab_unreclaimable_pages",
        "Number of unreclaimable slab pages",
    ),
    (
        "nr_unevictable",
        Gauge,
        "nr_unevictable_pages",
        "Number of unevictable pages",
    ),
    (
        "nr_writeback",
        Gauge,
        "nr_writeback_pages",
        "Number of writeback pages",
    ),
    (
        "nr_written",
        Counter,
        "nr_written_total",
        "Page writings since bootup",
    ),
    (
        "numa_foreign",
        Counter,
        "numa_foreign_total",
        "Was intended here, hit elsewhere",
    ),
    (
        "numa_hit",
        Counter,
        "numa_hit_total",
        "Allocated in intended node",
    ),
    (
        "numa_interleave",
        Counter,
        "numa_interleave_total",
        "Interleaver preferred this zone",
    ),
    (
        "numa_local",
        Counter,
        "numa_local_total",
        "Allocation from local node",
    ),
    (
        "numa_miss",
        Counter,
        "numa_miss_total",
        "Allocated in non intended node",
    ),
    (
        "numa_other",
        Counter,
        "numa_other_total",
        "Allocation from other node",
    ),
    (
        "present",
        Gauge,
        "present_pages",
        "Physical pages existing within the zone",
    ),
    (
        "spanned",
        Gauge,
        "spanned_pages",
        "Total pages spanned by the zone, including holes",
    ),
];

/// Adds every zone. The numbers of a node as a whole stand with its first zone.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let text = read(&paths.proc("zoneinfo"))?;
    let (mut node, mut zone) = ("", "");
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(key) = words.next() else { continue };
        if key == "Node" {
            node = words.next().unwrap_or("").trim_end_matches(',');
            zone = words.nth(1).unwrap_or("");
            continue;
        }
        let labels = [("node", node), ("zone", zone)];
        let bad = || CollectError::failed(format!("malformed zoneinfo line: {line:?}"));
        if key == "protection:" {
            for (i, word) in words.enumerate() {
                let value: f64 = word
                    .trim_matches(['(', ')', ','])
                    .parse()
                    .map_err(|_| bad())?;
                let help = format!("Protection array {i}. field");
                sink.gauge(&format!("zoneinfo_protection_{i}"), &help, &labels, value);
            }
            continue;
        }
        let Some((_, kind, name, help)) = FIELDS.iter().find(|field| field.0 == key) else {
            continue;
        };
        let value: f64 = words
            .next()
            .and_then(|word| word.parse().ok())
            .ok_or_else(bad)?;
        sink.add(*kind, &format!("zoneinfo_{name}"), help, &labels, value);
    }
    Ok(())
}
