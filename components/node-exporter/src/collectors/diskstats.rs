//! Disk activity from `diskstats`, with what udev knows about the disks.

use std::path::Path;

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError, DISKSTATS_EXCLUDE};
use crate::files::{Paths, read, read_sys};
use crate::filter::Filter;
use crate::sink::Sink;

/// The unit of the kernel's block layer, whatever the disk's own sectors are.
const SECTOR_BYTES: f64 = 512.0;
const MILLISECOND: f64 = 0.001;

/// Columns after the device name: name, help, factor, counter?
const COLUMNS: [(&str, &str, f64, bool); 17] = [
    (
        "disk_reads_completed_total",
        "The total number of reads completed successfully.",
        1.0,
        true,
    ),
    (
        "disk_reads_merged_total",
        "The total number of reads merged.",
        1.0,
        true,
    ),
    (
        "disk_read_bytes_total",
        "The total number of bytes read successfully.",
        SECTOR_BYTES,
        true,
    ),
    (
        "disk_read_time_seconds_total",
        "The total number of seconds spent by all reads.",
        MILLISECOND,
        true,
    ),
    (
        "disk_writes_completed_total",
        "The total number of writes completed successfully.",
        1.0,
        true,
    ),
    (
        "disk_writes_merged_total",
        "The number of writes merged.",
        1.0,
        true,
    ),
    (
        "disk_written_bytes_total",
        "The total number of bytes written successfully.",
        SECTOR_BYTES,
        true,
    ),
    (
        "disk_write_time_seconds_total",
        "This is the total number of seconds spent by all writes.",
        MILLISECOND,
        true,
    ),
    (
        "disk_io_now",
        "The number of I/Os currently in progress.",
        1.0,
        false,
    ),
    (
        "disk_io_time_seconds_total",
        "Total seconds spent doing I/Os.",
        MILLISECOND,
        true,
    ),
    (
        "disk_io_time_weighted_seconds_total",
        "The weighted # of seconds spent doing I/Os.",
        MILLISECOND,
        true,
    ),
    (
        "disk_discards_completed_total",
        "The total number of discards completed successfully.",
        1.0,
        true,
    ),
    (
        "disk_discards_merged_total",
        "The total number of discards merged.",
        1.0,
        true,
    ),
    // Sectors, unlike reads and writes.
    (
        "disk_discarded_sectors_total",
        "The total number of sectors discarded successfully.",
        1.0,
        true,
    ),
    (
        "disk_discard_time_seconds_total",
        "This is the total number of seconds spent by all discards.",
        MILLISECOND,
        true,
    ),
    (
        "disk_flush_requests_total",
        "The total number of flush requests completed successfully",
        1.0,
        true,
    ),
    (
        "disk_flush_requests_time_seconds_total",
        "This is the total number of seconds spent by all flush requests.",
        MILLISECOND,
        true,
    ),
];

/// ATA properties: udev's name, ours, help.
const ATA: [(&str, &str, &str); 3] = [
    (
        "ID_ATA_WRITE_CACHE",
        "disk_ata_write_cache",
        "ATA disk has a write cache.",
    ),
    (
        "ID_ATA_WRITE_CACHE_ENABLED",
        "disk_ata_write_cache_enabled",
        "ATA disk has its write cache enabled.",
    ),
    (
        "ID_ATA_ROTATION_RATE_RPM",
        "disk_ata_rotation_rate_rpm",
        "ATA disk rotation rate in RPMs (0 for SSDs).",
    ),
];

/// The collector.
pub struct Diskstats {
    paths: Paths,
    filter: Filter,
    udev: bool,
}

impl Diskstats {
    /// Compiles the filter and looks whether udev's data can be read.
    pub fn new(config: &Config) -> Result<Diskstats, ConfigError> {
        let options = &config.options;
        let include = &options.diskstats_device_include;
        let exclude = match &options.diskstats_device_exclude {
            Some(exclude) if !exclude.is_empty() && !include.is_empty() => {
                return Err(ConfigError(
                    "device-exclude & device-include are mutually exclusive".into(),
                ));
            }
            Some(exclude) => exclude,
            None if include.is_empty() => DISKSTATS_EXCLUDE,
            None => "",
        };
        let udev = std::fs::read_dir(&config.paths.udev_data).is_ok();
        if !udev {
            tracing::error!(path = %config.paths.udev_data.display(), "Failed to open directory, disabling udev device properties");
        }
        Ok(Diskstats {
            paths: config.paths.clone(),
            filter: Filter::new(exclude, include)?,
            udev,
        })
    }

    fn properties(&self, major: &str, minor: &str) -> Vec<(String, String)> {
        if !self.udev {
            return Vec::new();
        }
        let path = self.paths.udev_data.join(format!("b{major}:{minor}"));
        read(&path)
            .map(|text| parse_properties(&text))
            .unwrap_or_default()
    }

    fn device(&self, line: &[&str], sink: &mut Sink) -> Result<(), CollectError> {
        let [major, minor, device, ..] = line else {
            return Ok(());
        };
        let properties = self.properties(major, minor);
        let get = |key: &str| {
            properties
                .iter()
                .find(|(k, _)| k == key)
                .map_or("", |(_, value)| value.as_str())
        };
        let serial = ["SCSI_IDENT_SERIAL", "ID_SERIAL_SHORT", "ID_SERIAL"]
            .iter()
            .map(|key| get(key))
            .find(|serial| !serial.is_empty())
            .unwrap_or("");
        let labels = [
            ("device", *device),
            ("major", major),
            ("minor", minor),
            ("path", get("ID_PATH")),
            ("wwn", get("ID_WWN")),
            ("model", get("ID_MODEL")),
            ("serial", serial),
            ("revision", get("ID_REVISION")),
            (
                "rotational",
                if self.rotational(device) { "1" } else { "0" },
            ),
        ];
        sink.gauge(
            "disk_info",
            "Info of /sys/block/<block_device>.",
            &labels,
            1.0,
        );
        for ((name, help, factor, counter), field) in COLUMNS.iter().zip(&line[3..]) {
            let value: f64 = field.parse().map_err(|_| {
                CollectError::failed(format!("invalid value {field} in diskstats for {device}"))
            })?;
            let value = value * factor;
            if *counter {
                sink.counter(name, help, &[("device", device)], value);
            } else {
                sink.gauge(name, help, &[("device", device)], value);
            }
        }
        if !get("ID_FS_TYPE").is_empty() {
            let labels = [
                ("device", *device),
                ("type", get("ID_FS_TYPE")),
                ("usage", get("ID_FS_USAGE")),
                ("uuid", get("ID_FS_UUID")),
                ("version", get("ID_FS_VERSION")),
            ];
            sink.gauge(
                "disk_filesystem_info",
                "Info about disk filesystem.",
                &labels,
                1.0,
            );
        }
        if !get("DM_NAME").is_empty() {
            let labels = [
                ("device", *device),
                ("name", get("DM_NAME")),
                ("uuid", get("DM_UUID")),
                ("vg_name", get("DM_VG_NAME")),
                ("lv_name", get("DM_LV_NAME")),
                ("lv_layer", get("DM_LV_LAYER")),
            ];
            sink.gauge(
                "disk_device_mapper_info",
                "Info about disk device mapper.",
                &labels,
                1.0,
            );
        }
        if !get("ID_ATA").is_empty() {
            for (key, name, help) in ATA {
                if let Ok(value) = get(key).parse::<f64>() {
                    sink.gauge(name, help, &[("device", device)], value);
                }
            }
        }
        Ok(())
    }

    fn rotational(&self, device: &str) -> bool {
        let path = self
            .paths
            .sys("block")
            .join(Path::new(device))
            .join("queue/rotational");
        read_sys(&path).is_ok_and(|value| value == "1")
    }
}

impl Collector for Diskstats {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let text = read(&self.paths.proc("diskstats"))?;
        let mut fields = Vec::with_capacity(20);
        for line in text.lines() {
            fields.clear();
            fields.extend(line.split_ascii_whitespace());
            if fields.len() < 14 || self.filter.ignores(fields[2]) {
                continue;
            }
            self.device(&fields, sink)?;
        }
        Ok(())
    }
}

/// The `E:KEY=VALUE` lines of a udev record.
fn parse_properties(text: &str) -> Vec<(String, String)> {
    text.lines()
        .filter_map(|line| line.strip_prefix("E:")?.split_once('='))
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}
