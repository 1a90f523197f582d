//! Traffic and errors of network devices, over netlink or from `net/dev`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError};
use crate::files::{Paths, list_or_empty, read, read_sys};
use crate::filter::Filter;
use crate::netlink::{self, STATISTICS};
use crate::sink::Sink;

/// The collector.
pub struct Netdev {
    paths: Paths,
    filter: Filter,
    netlink: bool,
    detailed: bool,
    address_info: bool,
    label_alias: bool,
}

/// Counters of one device by name.
type Counters = BTreeMap<&'static str, u64>;

impl Netdev {
    /// Compiles the filter.
    pub fn new(config: &Config) -> Result<Netdev, ConfigError> {
        let options = &config.options;
        let (exclude, include) = (
            &options.netdev_device_exclude,
            &options.netdev_device_include,
        );
        if !exclude.is_empty() && !include.is_empty() {
            return Err(ConfigError(
                "device-exclude & device-include are mutually exclusive".into(),
            ));
        }
        Ok(Netdev {
            paths: config.paths.clone(),
            filter: Filter::new(exclude, include)?,
            netlink: options.netdev_netlink,
            detailed: options.netdev_detailed,
            address_info: options.netdev_address_info,
            label_alias: options.netdev_label_ifalias,
        })
    }

    fn counters(&self) -> Result<BTreeMap<String, Counters>, CollectError> {
        if !self.netlink {
            return parse_dev(&read(&self.paths.proc("net/dev"))?);
        }
        let links = netlink::links()
            .map_err(|error| CollectError::failed(format!("couldn't get netstats: {error}")))?;
        Ok(links
            .into_iter()
            .filter(|link| !link.statistics.is_empty())
            .map(|link| {
                (
                    link.name,
                    STATISTICS.into_iter().zip(link.statistics).collect(),
                )
            })
            .collect())
    }

    fn aliases(&self) -> BTreeMap<String, String> {
        let base = self.paths.sys("class/net");
        list_or_empty(&base)
            .into_iter()
            .filter_map(|name| {
                let alias = read_sys(&base.join(&name).join("ifalias")).ok()?;
                Some((name, alias))
            })
            .collect()
    }

    fn update_addresses(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let failed = |error| CollectError::failed(format!("couldn't get addresses: {error}"));
        let links = netlink::links().map_err(failed)?;
        for found in netlink::addresses().map_err(failed)? {
            let Some(link) = links.iter().find(|link| link.index == found.index) else {
                continue;
            };
            if self.filter.ignores(&link.name) {
                continue;
            }
            let labels = [
                ("device", link.name.as_str()),
                ("address", &found.address.to_string()),
                ("netmask", &found.prefix.to_string()),
                ("scope", scope(found.address)),
            ];
            sink.gauge(
                "network_address_info",
                "node_exporter: network address by device",
                &labels,
                1.0,
            );
        }
        Ok(())
    }
}

impl Collector for Netdev {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let aliases = if self.label_alias {
            self.aliases()
        } else {
            BTreeMap::new()
        };
        let mut name = String::new();
        for (device, mut counters) in self.counters()? {
            if self.filter.ignores(&device) {
                continue;
            }
            if !self.detailed && self.netlink {
                rename(&mut counters);
            }
            let alias = aliases.get(&device).map_or("", String::as_str);
            let labels = [("device", device.as_str()), ("ifalias", alias)];
            let labels = if self.label_alias {
                &labels[..]
            } else {
                &labels[..1]
            };
            for (key, value) in &counters {
                name.clear();
                name.push_str("network_");
                name.push_str(key);
                name.push_str("_total");
                sink.counter(
                    &name,
                    &format!("Network device statistic {key}."),
                    labels,
                    *value as f64,
                );
            }
        }
        if self.address_info {
            self.update_addresses(sink)?;
        }
        Ok(())
    }
}

/// The kernel's counters under the names that `net/dev` made known, some of them sums.
fn rename(counters: &mut Counters) {
    const OLD: [(&str, &[&str]); 10] = [
        ("receive_errs", &["receive_errors"]),
        (
            "receive_drop",
            &["receive_dropped", "receive_missed_errors"],
        ),
        ("receive_fifo", &["receive_fifo_errors"]),
        (
            "receive_frame",
            &[
                "receive_length_errors",
                "receive_over_errors",
                "receive_crc_errors",
                "receive_frame_errors",
            ],
        ),
        ("receive_multicast", &["multicast"]),
        ("transmit_errs", &["transmit_errors"]),
        ("transmit_drop", &["transmit_dropped"]),
        ("transmit_fifo", &["transmit_fifo_errors"]),
        ("transmit_colls", &["collisions"]),
        (
            "transmit_carrier",
            &[
                "transmit_carrier_errors",
                "transmit_aborted_errors",
                "transmit_heartbeat_errors",
                "transmit_window_errors",
            ],
        ),
    ];
    for (old, parts) in OLD {
        let mut sum = None;
        for part in parts {
            if let Some(value) = counters.remove(part) {
                sum = Some(sum.unwrap_or(0u64).wrapping_add(value));
            }
        }
        if let Some(sum) = sum {
            counters.insert(old, sum);
        }
    }
}

/// The columns of `net/dev`, after the device's name.
const DEV_COLUMNS: [&str; 16] = [
    "receive_bytes",
    "receive_packets",
    "receive_errs",
    "receive_drop",
    "receive_fifo",
    "receive_frame",
    "receive_compressed",
    "receive_multicast",
    "transmit_bytes",
    "transmit_packets",
    "transmit_errs",
    "transmit_drop",
    "transmit_fifo",
    "transmit_colls",
    "transmit_carrier",
    "transmit_compressed",
];

fn parse_dev(text: &str) -> Result<BTreeMap<String, Counters>, CollectError> {
    let mut devices = BTreeMap::new();
    for line in text.lines().skip(2) {
        // The name itself may contain colons (alias interfaces).
        let Some((device, rest)) = line.rsplit_once(':') else {
            continue;
        };
        let mut counters = Counters::new();
        for (key, word) in DEV_COLUMNS.into_iter().zip(rest.split_ascii_whitespace()) {
            let value = word
                .parse()
                .map_err(|_| CollectError::failed(format!("malformed net/dev line: {line:?}")))?;
            counters.insert(key, value);
        }
        devices.insert(device.trim().to_string(), counters);
    }
    Ok(devices)
}

fn scope(address: IpAddr) -> &'static str {
    let (local, interface, global) = match address {
        IpAddr::V4(ip) => (
            ip.is_loopback() || ip.is_link_local() || ip.octets()[..3] == [224, 0, 0],
            false,
            !ip.is_unspecified() && !ip.is_broadcast() && !ip.is_multicast(),
        ),
        IpAddr::V6(ip) => (
            ip.is_loopback() || ip.is_unicast_link_local() || ip.segments()[0] & 0xff0f == 0xff02,
            ip.segments()[0] & 0xff0f == 0xff01,
            !ip.is_unspecified() && !ip.is_multicast(),
        ),
    };
    if local {
        "link-local"
    } else if interface {
        "interface-local"
    } else if global {
        "global"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_names_are_sums() {
        let mut counters: Counters = STATISTICS.into_iter().zip(1u64..).collect();
        rename(&mut counters);
        assert_eq!(counters["receive_drop"], 7 + 16);
        assert_eq!(counters["receive_frame"], 11 + 12 + 13 + 14);
        assert_eq!(counters["transmit_carrier"], 17 + 18 + 20 + 21);
        assert_eq!(counters.len(), 9 + 8);
    }

    #[test]
    fn dev_lines() {
        let text =
            "Inter-| x\n face | y\n  lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\neth0:1: 1 2\n";
        let devices = parse_dev(text).unwrap();
        assert_eq!(devices["lo"]["transmit_compressed"], 16);
        assert_eq!(devices["eth0:1"]["receive_packets"], 2);
        assert!(parse_dev("\n\nlo: x\n").is_err());
    }
}
