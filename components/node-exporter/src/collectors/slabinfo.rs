//! Kernel object caches, from `slabinfo`, which only root can read.

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError};
use crate::files::{Paths, read};
use crate::filter::Filter;
use crate::sink::Sink;

/// Columns after the name.
const COLUMNS: [(&str, &str); 5] = [
    (
        "slabinfo_active_objects",
        "The number of objects that are currently active (i.e., in use).",
    ),
    (
        "slabinfo_objects",
        "The total number of allocated objects (i.e., objects that are both in use and not in use).",
    ),
    (
        "slabinfo_object_size_bytes",
        "The size of objects in this slab, in bytes.",
    ),
    (
        "slabinfo_objects_per_slab",
        "The number of objects stored in each slab.",
    ),
    (
        "slabinfo_pages_per_slab",
        "The number of pages allocated for each slab.",
    ),
];

/// The collector.
pub struct Slabinfo {
    paths: Paths,
    filter: Filter,
}

impl Slabinfo {
    /// Compiles the filter.
    pub fn new(config: &Config) -> Result<Slabinfo, ConfigError> {
        let options = &config.options;
        Ok(Slabinfo {
            paths: config.paths.clone(),
            filter: Filter::new(
                &options.slabinfo_slabs_exclude,
                &options.slabinfo_slabs_include,
            )?,
        })
    }
}

impl Collector for Slabinfo {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let text = read(&self.paths.proc("slabinfo"))?;
        for line in text.lines().skip(1).filter(|line| !line.starts_with('#')) {
            let mut words = line.split_ascii_whitespace();
            let Some(slab) = words.next() else { continue };
            if self.filter.ignores(slab) {
                continue;
            }
            for ((name, help), word) in COLUMNS.iter().zip(words) {
                let value: f64 = word.parse().map_err(|_| {
                    CollectError::failed(format!("malformed slabinfo line: {line:?}"))
                })?;
                sink.gauge(name, help, &[("slab", slab)], value);
            }
        }
        Ok(())
    }
}
