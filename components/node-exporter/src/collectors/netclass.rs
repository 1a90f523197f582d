//! State and properties of network devices from `class/net`.

use std::path::Path;

use model::MetricType::{Counter, Gauge};
use regex::Regex;

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError};
use crate::files::{Paths, ReadError, list, parse_any_int, read_sys};
use crate::sink::Sink;

/// Numeric properties: the file, our name, whether it is a counter.
const NUMBERS: [(&str, &str, bool); 16] = [
    ("addr_assign_type", "address_assign_type", false),
    ("carrier", "carrier", false),
    ("carrier_changes", "carrier_changes_total", true),
    ("carrier_up_count", "carrier_up_changes_total", true),
    ("carrier_down_count", "carrier_down_changes_total", true),
    ("dev_id", "device_id", false),
    ("dormant", "dormant", false),
    ("flags", "flags", false),
    ("ifindex", "iface_id", false),
    ("iflink", "iface_link", false),
    ("link_mode", "iface_link_mode", false),
    ("mtu", "mtu_bytes", false),
    ("name_assign_type", "name_assign_type", false),
    ("netdev_group", "net_dev_group", false),
    ("tx_queue_len", "transmit_queue_length", false),
    ("type", "protocol_type", false),
];

/// The collector.
pub struct Netclass {
    paths: Paths,
    ignored: Regex,
    ignore_invalid_speed: bool,
}

impl Netclass {
    /// Compiles the filter.
    pub fn new(config: &Config) -> Result<Netclass, ConfigError> {
        let ignored = Regex::new(&config.options.netclass_ignored_devices)
            .map_err(|error| ConfigError(format!("collector.netclass.ignored-devices: {error}")))?;
        Ok(Netclass {
            paths: config.paths.clone(),
            ignored,
            ignore_invalid_speed: config.options.netclass_ignore_invalid_speed,
        })
    }

    fn device(&self, base: &Path, device: &str, sink: &mut Sink) -> Result<(), CollectError> {
        let text = |file: &str| available(read_sys(&base.join(file)));
        let operstate = text("operstate")?.unwrap_or_default();
        let up = if operstate == "up" { 1.0 } else { 0.0 };
        let labels = [("device", device)];
        sink.gauge(
            "network_up",
            "Value is 1 if operstate is 'up', 0 otherwise.",
            &labels,
            up,
        );
        let flags = text("flags")?.and_then(|flags| parse_any_int(&flags));
        let admin = match flags {
            Some(flags) if flags & 1 == 1 => "up",
            Some(_) => "down",
            None => "unknown",
        };
        let info = [
            ("device", device),
            ("address", &*text("address")?.unwrap_or_default()),
            ("broadcast", &*text("broadcast")?.unwrap_or_default()),
            ("duplex", &*text("duplex")?.unwrap_or_default()),
            ("operstate", &operstate),
            ("adminstate", admin),
            ("ifalias", &*text("ifalias")?.unwrap_or_default()),
        ];
        let help = "Non-numeric data from /sys/class/net/<iface>, value is always 1.";
        sink.gauge("network_info", help, &info, 1.0);
        for (file, name, counter) in NUMBERS {
            let Some(value) = text(file)?.and_then(|value| parse_any_int(&value)) else {
                continue;
            };
            let kind = if counter { Counter } else { Gauge };
            let help = format!("Network device property: {name}");
            sink.add(
                kind,
                &format!("network_{name}"),
                &help,
                &labels,
                value as f64,
            );
        }
        if let Some(speed) = text("speed")?.and_then(|value| parse_any_int(&value)) {
            // A negative speed is no speed, but shown unless told otherwise.
            if speed >= 0 || !self.ignore_invalid_speed {
                let bytes = speed.saturating_mul(1_000_000) / 8;
                let help = "Network device property: speed_bytes";
                sink.gauge("network_speed_bytes", help, &labels, bytes as f64);
            }
        }
        Ok(())
    }
}

/// An attribute, or `None` when the device does not have it.
fn available(found: Result<String, ReadError>) -> Result<Option<String>, ReadError> {
    match found {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_unavailable() => Ok(None),
        Err(error) => Err(error),
    }
}

impl Collector for Netclass {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let base = self.paths.sys("class/net");
        let devices = match list(&base) {
            Ok(devices) => devices,
            Err(error) if error.is_absent() || error.is_denied() => {
                return Err(CollectError::NoData);
            }
            Err(error) => return Err(error.into()),
        };
        for device in devices
            .iter()
            .filter(|device| !self.ignored.is_match(device))
        {
            let path = base.join(device);
            // Beside devices there are plain files, such as `bonding_masters`.
            if path.is_dir() {
                self.device(&path, device, sink)?;
            }
        }
        Ok(())
    }
}
