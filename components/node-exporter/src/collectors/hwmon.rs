//! Hardware sensors: temperatures, fans, voltages, currents, power.
//!
//! Files of a chip are named `<type><number>_<property>`; what is shown, in which unit, follows from these parts.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use model::MetricType::{Counter, Gauge};

use crate::collector::{CollectError, Collector};
use crate::collectors::rapl::sanitize;
use crate::config::{Config, ConfigError};
use crate::files::{Paths, list, list_or_empty, read_sys};
use crate::filter::Filter;
use crate::sink::Sink;

/// Sensor types that are shown; other files of a chip are none of ours.
const TYPES: [&str; 14] = [
    "vrm",
    "beep_enable",
    "update_interval",
    "in",
    "cpu",
    "fan",
    "pwm",
    "temp",
    "curr",
    "power",
    "energy",
    "humidity",
    "intrusion",
    "freq",
];

/// The collector.
pub struct Hwmon {
    paths: Paths,
    chips: Filter,
    sensors: Filter,
}

/// One sensor's properties with their raw texts; the property of a bare file is empty.
type Properties = BTreeMap<String, String>;

/// A chip on its way to being shown.
struct Chip {
    directory: PathBuf,
    entry: String,
    label: String,
    name: String,
}

impl Hwmon {
    /// Compiles the filters.
    pub fn new(config: &Config) -> Result<Hwmon, ConfigError> {
        let options = &config.options;
        Ok(Hwmon {
            paths: config.paths.clone(),
            chips: Filter::new(&options.hwmon_chip_exclude, &options.hwmon_chip_include)?,
            sensors: Filter::new(&options.hwmon_sensor_exclude, &options.hwmon_sensor_include)?,
        })
    }

    fn chips(&self) -> Result<Vec<Chip>, CollectError> {
        let base = self.paths.sys("class/hwmon");
        let entries = match list(&base) {
            Ok(entries) => entries,
            Err(error) if error.is_absent() => return Err(CollectError::NoData),
            Err(error) => return Err(error.into()),
        };
        let mut chips = Vec::new();
        for entry in entries {
            let directory = base.join(&entry);
            if !directory.is_dir() {
                continue;
            }
            let name = read_sys(&directory.join("name"))
                .map(|name| clean(&name))
                .unwrap_or_default();
            let label = chip_label(&directory, &entry, &name);
            chips.push(Chip {
                directory,
                entry,
                label,
                name,
            });
        }
        tell_apart(&mut chips);
        Ok(chips)
    }

    fn chip(&self, chip: &Chip, sink: &mut Sink) {
        let mut sensors: BTreeMap<String, Properties> = BTreeMap::new();
        // Some drivers keep their files one level up.
        for directory in [chip.directory.clone(), chip.directory.join("device")] {
            read_sensors(&directory, &mut sensors);
        }
        if let Ok(name) = read_sys(&chip.directory.join("name")) {
            let name = clean(&name);
            if !name.is_empty() {
                let labels = [("chip", chip.label.as_str()), ("chip_name", name.as_str())];
                let help = "Annotation metric for human-readable chip names";
                sink.gauge("hwmon_chip_names", help, &labels, 1.0);
            }
        }
        for (sensor, properties) in &sensors {
            if !self.sensors.ignores(&format!("{};{sensor}", chip.label)) {
                show(&chip.label, sensor, properties, sink);
            }
        }
    }
}

impl Collector for Hwmon {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        for chip in self.chips()? {
            if !self.chips.ignores(&chip.label) {
                self.chip(&chip, sink);
            }
        }
        Ok(())
    }
}

/// Lower case, with everything odd made an underscore, and none at the ends.
fn clean(name: &str) -> String {
    let lower = name.trim().to_lowercase();
    let replaced: String = lower
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, ':' | '_') {
                c
            } else {
                '_'
            }
        })
        .collect();
    replaced.trim_matches('_').to_string()
}

/// The device the chip sits on, and that device's parent, as far as there are any.
fn chip_label(directory: &Path, entry: &str, name: &str) -> String {
    if let Ok(device) = directory.join("device").canonicalize() {
        let part = |path: Option<&Path>| {
            path.and_then(Path::file_name)
                .map(|part| clean(&part.to_string_lossy()))
                .unwrap_or_default()
        };
        let (device, parent) = (part(Some(&device)), part(device.parent()));
        match (parent.is_empty(), device.is_empty()) {
            (false, false) => return format!("{parent}_{device}"),
            (true, false) => return device,
            _ => {}
        }
    }
    if name.is_empty() {
        clean(entry)
    } else {
        name.to_string()
    }
}

/// Several chips on one device get their names, or failing that their numbers, added.
fn tell_apart(chips: &mut [Chip]) {
    let mut groups: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (i, chip) in chips.iter().enumerate() {
        groups.entry(chip.label.clone()).or_default().push(i);
    }
    for (label, group) in groups.into_iter().filter(|(_, group)| group.len() > 1) {
        for &i in &group {
            let name = chips[i].name.clone();
            let unique = group
                .iter()
                .filter(|other| chips[**other].name == name)
                .count()
                == 1;
            let ending = if unique && !name.is_empty() {
                name
            } else {
                clean(&chips[i].entry)
            };
            chips[i].label = format!("{label}_{ending}");
        }
    }
}

/// Splits a file name into type, number and property.
fn explode(file: &str) -> Option<(&str, &str, &str)> {
    let digit = file.find(|c: char| c.is_ascii_digit());
    let (kind, number, property) = match digit {
        Some(at) => {
            let end = file[at..]
                .find(|c: char| !c.is_ascii_digit())
                .map_or(file.len(), |n| at + n);
            let rest = &file[end..];
            let property = if rest.is_empty() {
                ""
            } else {
                rest.strip_prefix('_')?
            };
            if property.is_empty() && !rest.is_empty() {
                return None;
            }
            (&file[..at], &file[at..end], property)
        }
        None => (file, "0", ""),
    };
    // A number may also come late (`pwm1_auto_point1_pwm`) or not at all (`beep_enable`).
    TYPES.contains(&kind).then_some((kind, number, property))
}

fn read_sensors(directory: &Path, sensors: &mut BTreeMap<String, Properties>) {
    for file in list_or_empty(directory) {
        let Some((kind, number, property)) = explode(&file) else {
            continue;
        };
        let path = directory.join(&file);
        if !path.is_file() {
            continue;
        }
        let Ok(text) = read_sys(&path) else { continue };
        sensors
            .entry(format!("{kind}{number}"))
            .or_default()
            .insert(property.to_string(), text);
    }
}

/// Shows one sensor.
fn show(chip: &str, sensor: &str, properties: &Properties, sink: &mut Sink) {
    let kind = TYPES
        .into_iter()
        .filter(|kind| sensor.starts_with(kind))
        .max_by_key(|kind| kind.len())
        .unwrap_or("");
    let labels = [("chip", chip), ("sensor", sensor)];
    if let Some(text) = properties.get("label") {
        let text = text.trim();
        if !text.is_empty() {
            let labels = [("chip", chip), ("sensor", sensor), ("label", text)];
            sink.gauge(
                "hwmon_sensor_label",
                "Label for given chip and sensor",
                &labels,
                1.0,
            );
        }
    }
    let number = |text: &String| text.parse::<f64>().ok();
    match kind {
        "beep_enable" | "vrm" | "update_interval" => {
            let Some(value) = properties.get("").and_then(number) else {
                return;
            };
            let (name, help, value) = match kind {
                "beep_enable" => {
                    let on = if properties.get("").is_some_and(|text| text == "1") {
                        1.0
                    } else {
                        0.0
                    };
                    ("hwmon_beep_enabled", "Hardware beep enabled", on)
                }
                "vrm" => (
                    "hwmon_voltage_regulator_version",
                    "Hardware voltage regulator",
                    value,
                ),
                _ => (
                    "hwmon_update_interval_seconds",
                    "Hardware monitor update interval",
                    value * 0.001,
                ),
            };
            sink.gauge(name, help, &labels, value);
            return;
        }
        _ => {}
    }
    let prefix = format!("hwmon_{kind}");
    for (element, raw) in properties {
        let element = element.as_str();
        if element == "label" {
            continue;
        }
        let Some(value) = number(raw) else { continue };
        // `input` is the sensor's own value, unless a bare file is.
        let bare = element == "input" && !properties.contains_key("");
        let name = if element.is_empty() || bare {
            prefix.clone()
        } else {
            format!("{prefix}_{}", sanitize(element))
        };
        let mut gauge =
            |name: String, help: String, value: f64| sink.gauge(&name, &help, &labels, value);
        match (kind, element) {
            (_, "fault") | (_, "alarm") => {
                gauge(
                    name,
                    format!("Hardware sensor {element} status ({kind})"),
                    value,
                );
            }
            (_, "beep") => {
                gauge(
                    name + "_enabled",
                    "Hardware monitor sensor has beeping enabled".into(),
                    value,
                );
            }
            ("in" | "cpu", _) => {
                gauge(
                    name + "_volts",
                    format!("Hardware monitor for voltage ({element})"),
                    value * 0.001,
                );
            }
            ("temp", element) if element != "type" => {
                let element = if element.is_empty() { "input" } else { element };
                gauge(
                    name + "_celsius",
                    format!("Hardware monitor for temperature ({element})"),
                    value * 0.001,
                );
            }
            ("curr", _) => {
                gauge(
                    name + "_amps",
                    format!("Hardware monitor for current ({element})"),
                    value * 0.001,
                );
            }
            ("energy", _) => {
                let help = format!("Hardware monitor for joules used so far ({element})");
                sink.add(
                    Counter,
                    &(name + "_joule_total"),
                    &help,
                    &labels,
                    value / 1e6,
                );
            }
            ("power", "accuracy") => {
                let help = "Hardware monitor power meter accuracy, as a ratio".into();
                gauge(name, help, value / 1e6);
            }
            ("power", "average_interval" | "average_interval_min" | "average_interval_max") => {
                let help = format!("Hardware monitor power usage update interval ({element})");
                gauge(name + "_seconds", help, value * 0.001);
            }
            ("power", _) => {
                gauge(
                    name + "_watt",
                    format!("Hardware monitor for power usage in watts ({element})"),
                    value / 1e6,
                );
            }
            ("humidity", _) => {
                let help = format!(
                    "Hardware monitor for humidity, as a ratio (multiply with 100.0 to get the humidity as a percentage) ({element})"
                );
                gauge(name, help, value / 1e6);
            }
            ("fan", "input" | "min" | "max" | "target") => {
                let help = format!("Hardware monitor for fan revolutions per minute ({element})");
                gauge(name + "_rpm", help, value);
            }
            ("freq", "input") => {
                let Some(label) = properties
                    .get("label")
                    .map(|label| clean(label))
                    .filter(|l| !l.is_empty())
                else {
                    continue;
                };
                let labels = [("chip", chip), ("sensor", label.as_str())];
                let help = "Hardware monitor for GPU frequency in MHz";
                sink.add(Gauge, "hwmon_freq_freq_mhz", help, &labels, value / 1e6);
            }
            _ => {
                gauge(
                    name,
                    format!("Hardware monitor {kind} element {element}"),
                    value,
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names() {
        for (file, want) in [
            ("temp1_input", Some(("temp", "1", "input"))),
            (
                "pwm1_auto_point1_pwm",
                Some(("pwm", "1", "auto_point1_pwm")),
            ),
            ("beep_enable", Some(("beep_enable", "0", ""))),
            ("in0", Some(("in", "0", ""))),
            ("name", None),
            ("temp1x", None),
            ("temp1_", None),
        ] {
            assert_eq!(explode(file), want, "{file}");
        }
        assert_eq!(clean(" ACPI Fan-1 "), "acpi_fan_1");
    }
}
