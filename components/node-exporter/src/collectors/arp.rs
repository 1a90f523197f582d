//! Neighbours in the address resolution table by device.

use std::collections::BTreeMap;

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError};
use crate::files::{Paths, read};
use crate::filter::Filter;
use crate::netlink;
use crate::sink::Sink;

/// The collector.
pub struct Arp {
    paths: Paths,
    filter: Filter,
    netlink: bool,
}

impl Arp {
    /// Compiles the filter.
    pub fn new(config: &Config) -> Result<Arp, ConfigError> {
        let options = &config.options;
        Ok(Arp {
            paths: config.paths.clone(),
            filter: Filter::new(&options.arp_device_exclude, &options.arp_device_include)?,
            netlink: options.arp_netlink,
        })
    }

    fn entries(&self) -> Result<BTreeMap<String, u64>, CollectError> {
        let mut entries = BTreeMap::new();
        if self.netlink {
            let failed =
                |error| CollectError::failed(format!("could not get ARP entries: {error}"));
            let links = netlink::links().map_err(failed)?;
            for (index, count) in netlink::ipv4_neighbours().map_err(failed)? {
                if let Some(link) = links.iter().find(|link| link.index == index) {
                    entries.insert(link.name.clone(), count);
                }
            }
            return Ok(entries);
        }
        let text = read(&self.paths.proc("net/arp"))?;
        for line in text.lines() {
            let columns: Vec<&str> = line.split_ascii_whitespace().collect();
            match columns[..] {
                [_, _, _, _, _, device] => *entries.entry(device.to_string()).or_default() += 1,
                [_, _, _, _, _, _, _, _, _] => {} // the headline
                _ => {
                    return Err(CollectError::failed(format!(
                        "unexpected ARP line {line:?}"
                    )));
                }
            }
        }
        Ok(entries)
    }
}

impl Collector for Arp {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        for (device, count) in self.entries()? {
            if !self.filter.ignores(&device) {
                sink.gauge(
                    "arp_entries",
                    "ARP entries by device",
                    &[("device", &device)],
                    count as f64,
                );
            }
        }
        Ok(())
    }
}
