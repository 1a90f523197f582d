//! PCI devices: identity, links, power, virtual functions.

use std::collections::HashMap;
use std::path::Path;

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError};
use crate::files::{Paths, list, read, read_i64, read_sys};
use crate::sink::Sink;

/// Where distributions keep the names of vendors, devices and classes.
const NAME_FILES: [&str; 2] = ["/usr/share/misc/pci.ids", "/usr/share/hwdata/pci.ids"];
/// States a device is shown to be in or not in.
const POWER_STATES: [&str; 7] = ["D0", "D1", "D2", "D3hot", "D3cold", "unknown", "error"];

/// The collector.
pub struct PciDevice {
    paths: Paths,
    names: Option<Names>,
}

/// Names by identifiers, all in lower case without `0x`; parts joined by `/`.
#[derive(Debug, Default)]
struct Names(HashMap<String, String>);

/// Segment, bus, device, function.
type Location<'a> = [&'a str; 4];

impl PciDevice {
    /// Reads the names, when they are wanted.
    pub fn new(config: &Config) -> Result<PciDevice, ConfigError> {
        let options = &config.options;
        let mut names = None;
        if options.pcidevice_names {
            let own = [options.pcidevice_idsfile.as_str()];
            let files = if own[0].is_empty() {
                &NAME_FILES[..]
            } else {
                &own[..]
            };
            names = files
                .iter()
                .find_map(|file| read(Path::new(file)).ok())
                .map(|text| Names::parse(&text));
            if names.is_none() {
                tracing::warn!("no file with PCI names found");
                names = Some(Names::default());
            }
        }
        Ok(PciDevice {
            paths: config.paths.clone(),
            names,
        })
    }

    fn device(&self, path: &Path, location: Location<'_>, sink: &mut Sink) {
        let text = |file: &str| read_sys(&path.join(file)).unwrap_or_default();
        let (class, vendor, device) = (text("class"), text("vendor"), text("device"));
        let (subvendor, subdevice) = (text("subsystem_vendor"), text("subsystem_device"));
        let revision = text("revision");
        // The bridge a device hangs on is the directory above it; the root has none.
        let above = path.canonicalize().ok();
        let above = above
            .as_deref()
            .and_then(Path::parent)
            .and_then(Path::file_name);
        let above = above
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        let parent = split(&above).unwrap_or(["*"; 4]);
        let mut labels = vec![
            ("segment", location[0]),
            ("bus", location[1]),
            ("device", location[2]),
            ("function", location[3]),
            ("parent_segment", parent[0]),
            ("parent_bus", parent[1]),
            ("parent_device", parent[2]),
            ("parent_function", parent[3]),
            ("class_id", &class),
            ("vendor_id", &vendor),
            ("device_id", &device),
            ("subsystem_vendor_id", &subvendor),
            ("subsystem_device_id", &subdevice),
            ("revision", &revision),
        ];
        if let Some(names) = &self.names {
            labels.extend([
                ("vendor_name", names.vendor(&vendor)),
                ("device_name", names.device(&vendor, &device)),
                ("subsystem_vendor_name", names.vendor(&subvendor)),
                (
                    "subsystem_device_name",
                    names.subsystem(&vendor, &device, &subvendor, &subdevice),
                ),
                ("class_name", names.class(&class)),
            ]);
        }
        let help = "Non-numeric data from /sys/bus/pci/devices/<location>, value is always 1.";
        sink.gauge("pcidevice_info", help, &labels, 1.0);
        let place = [
            ("segment", location[0]),
            ("bus", location[1]),
            ("device", location[2]),
            ("function", location[3]),
        ];
        // `8.0 GT/s PCIe`; devices without a link say `Unknown`.
        let speed = |file: &str| {
            let gigatransfers = text(file)
                .split(' ')
                .next()
                .and_then(|word| word.parse::<f64>().ok());
            gigatransfers.map_or(-1.0, |gigatransfers| gigatransfers * 1e9)
        };
        let number = |file: &str| read_i64(&path.join(file)).ok().map(|value| value as f64);
        for (name, help, value) in [
            (
                "max_link_transfers_per_second",
                "Value of maximum link's transfers per second (T/s)",
                speed("max_link_speed"),
            ),
            (
                "current_link_transfers_per_second",
                "Value of current link's transfers per second (T/s)",
                speed("current_link_speed"),
            ),
            (
                "max_link_width",
                "Value of maximum link's width (number of lanes)",
                number("max_link_width").unwrap_or(-1.0),
            ),
            (
                "current_link_width",
                "Value of current link's width (number of lanes)",
                number("current_link_width").unwrap_or(-1.0),
            ),
            (
                "d3cold_allowed",
                "Whether the PCIe device supports D3cold power state (0/1).",
                number("d3cold_allowed").unwrap_or(0.0),
            ),
            (
                "sriov_drivers_autoprobe",
                "Whether SR-IOV drivers autoprobe is enabled for the device (0/1).",
                number("sriov_drivers_autoprobe").unwrap_or(0.0),
            ),
            (
                "sriov_numvfs",
                "Number of Virtual Functions (VFs) currently enabled for SR-IOV.",
                number("sriov_numvfs").unwrap_or(0.0),
            ),
            (
                "sriov_totalvfs",
                "Total number of Virtual Functions (VFs) supported by the device.",
                number("sriov_totalvfs").unwrap_or(0.0),
            ),
            (
                "sriov_vf_total_msix",
                "Total number of MSI-X vectors for Virtual Functions.",
                number("sriov_vf_total_msix").unwrap_or(0.0),
            ),
        ] {
            sink.gauge(&format!("pcidevice_{name}"), help, &place, value);
        }
        if let Some(node) = number("numa_node").filter(|node| *node >= 0.0) {
            let help =
                "NUMA node number for the PCI device. -1 indicates unknown or not available.";
            sink.gauge("pcidevice_numa_node", help, &place, node);
        }
        let current = text("power_state");
        if !current.is_empty() {
            let help =
                "PCIe device power state, one of: D0, D1, D2, D3hot, D3cold, unknown or error.";
            for state in POWER_STATES {
                let labels = [place[0], place[1], place[2], place[3], ("state", state)];
                let value = if state == current { 1.0 } else { 0.0 };
                sink.gauge("pcidevice_power_state", help, &labels, value);
            }
        }
    }
}

impl Collector for PciDevice {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let base = self.paths.sys("bus/pci/devices");
        let devices = match list(&base) {
            Ok(devices) => devices,
            Err(error) if error.is_absent() => return Err(CollectError::NoData),
            Err(error) => return Err(error.into()),
        };
        for device in &devices {
            let location = split(device).ok_or_else(|| {
                CollectError::failed(format!(
                    "error obtaining PCI device info: malformed location {device:?}"
                ))
            })?;
            self.device(&base.join(device), location, sink);
        }
        Ok(())
    }
}

/// `0000:01:00.0` as segment, bus, device, function.
fn split(location: &str) -> Option<Location<'_>> {
    let mut parts = location.splitn(3, ':');
    let (segment, bus) = (parts.next()?, parts.next()?);
    let (device, function) = parts.next()?.split_once('.')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit());
    [segment, bus, device, function]
        .iter()
        .all(|part| digits(part))
        .then_some([segment, bus, device, function])
}

impl Names {
    fn parse(text: &str) -> Names {
        let mut names = HashMap::new();
        let (mut top, mut middle) = (String::new(), String::new());
        for line in text.lines() {
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let depth = line.bytes().take_while(|b| *b == b'\t').count();
            let Some((id, name)) = line[depth..].split_once("  ") else {
                continue;
            };
            let id = id.trim().to_lowercase();
            let key = match depth {
                0 => {
                    // Classes are marked by a letter before the number.
                    top = id.replace("c ", "class ");
                    top.clone()
                }
                1 => {
                    middle = id;
                    format!("{top}/{middle}")
                }
                _ => format!("{top}/{middle}/{}", id.replace(' ', "/")),
            };
            names.insert(key, name.trim().to_string());
        }
        Names(names)
    }

    /// The name under a key, or the number itself.
    fn get<'a>(&'a self, keys: &[String], number: &'a str) -> &'a str {
        keys.iter()
            .find_map(|key| self.0.get(key))
            .map_or(number, String::as_str)
    }

    fn vendor<'a>(&'a self, vendor: &'a str) -> &'a str {
        self.get(&[bare(vendor)], vendor)
    }

    fn device<'a>(&'a self, vendor: &str, device: &'a str) -> &'a str {
        self.get(&[format!("{}/{}", bare(vendor), bare(device))], device)
    }

    fn subsystem<'a>(
        &'a self,
        vendor: &str,
        device: &str,
        subvendor: &str,
        subdevice: &'a str,
    ) -> &'a str {
        let key = format!(
            "{}/{}/{}/{}",
            bare(vendor),
            bare(device),
            bare(subvendor),
            bare(subdevice)
        );
        self.get(&[key], subdevice)
    }

    /// The most exact name there is: of the programming interface, the subclass or the class.
    fn class<'a>(&'a self, class: &'a str) -> &'a str {
        let digits = bare(class);
        let (Some(base), Some(sub), Some(interface)) =
            (digits.get(..2), digits.get(2..4), digits.get(4..6))
        else {
            return class;
        };
        let keys = [
            format!("class {base}/{sub}/{interface}"),
            format!("class {base}/{sub}"),
            format!("class {base}"),
        ];
        self.get(&keys, class)
    }
}

fn bare(number: &str) -> String {
    number.trim_start_matches("0x").to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_numbers() {
        let names = Names::parse(
            "# x\nC 01  Storage\n\t08  Memory\n\t\t02  Express\nc0a9  Micron\n\t540a  P2\n\t\tc0a9 5021  PS\nC 06  Bridge\n",
        );
        assert_eq!(names.class("0x010802"), "Express");
        assert_eq!(names.class("0x010800"), "Memory");
        assert_eq!(names.class("0x06ff00"), "Bridge");
        assert_eq!(names.class("0x99"), "0x99");
        assert_eq!(names.vendor("0xc0a9"), "Micron");
        assert_eq!(names.device("0xc0a9", "0x540a"), "P2");
        assert_eq!(
            names.subsystem("0xc0a9", "0x540a", "0xc0a9", "0x5021"),
            "PS"
        );
        assert_eq!(names.device("0xc0a9", "0x1"), "0x1");
        assert_eq!(split("0000:01:00.0"), Some(["0000", "01", "00", "0"]));
        assert_eq!(split("pci0000:00"), None);
    }
}
