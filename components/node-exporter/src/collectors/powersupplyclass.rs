//! Batteries, chargers and other power supplies.

use regex::Regex;

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError};
use crate::files::{Paths, list, parse_any_int, read_sys};
use crate::sink::Sink;

/// Files with their metric's ending and what the value is divided by.
const NUMBERS: &[(&str, &str, f64)] = &[
    ("authentic", "authentic", 1.0),
    ("calibrate", "calibrate", 1.0),
    ("capacity", "capacity", 1.0),
    ("capacity_alert_max", "capacity_alert_max", 1.0),
    ("capacity_alert_min", "capacity_alert_min", 1.0),
    ("cycle_count", "cyclecount", 1.0),
    ("online", "online", 1.0),
    ("present", "present", 1.0),
    ("time_to_empty_now", "time_to_empty_seconds", 1.0),
    ("time_to_full_now", "time_to_full_seconds", 1.0),
    ("current_boot", "current_boot", 1e6),
    ("current_max", "current_max", 1e6),
    ("current_now", "current_ampere", 1e6),
    ("energy_empty", "energy_empty", 1e6),
    ("energy_empty_design", "energy_empty_design", 1e6),
    ("energy_full", "energy_full", 1e6),
    ("energy_full_design", "energy_full_design", 1e6),
    ("energy_now", "energy_watthour", 1e6),
    ("voltage_boot", "voltage_boot", 1e6),
    ("voltage_max", "voltage_max", 1e6),
    ("voltage_max_design", "voltage_max_design", 1e6),
    ("voltage_min", "voltage_min", 1e6),
    ("voltage_min_design", "voltage_min_design", 1e6),
    ("voltage_now", "voltage_volt", 1e6),
    ("voltage_ocv", "voltage_ocv", 1e6),
    ("charge_control_limit", "charge_control_limit", 1e6),
    ("charge_control_limit_max", "charge_control_limit_max", 1e6),
    ("charge_counter", "charge_counter", 1e6),
    ("charge_empty", "charge_empty", 1e6),
    ("charge_empty_design", "charge_empty_design", 1e6),
    ("charge_full", "charge_full", 1e6),
    ("charge_full_design", "charge_full_design", 1e6),
    ("charge_now", "charge_ampere", 1e6),
    ("charge_term_current", "charge_term_current", 1e6),
    ("constant_charge_current", "constant_charge_current", 1e6),
    (
        "constant_charge_current_max",
        "constant_charge_current_max",
        1e6,
    ),
    ("constant_charge_voltage", "constant_charge_voltage", 1e6),
    (
        "constant_charge_voltage_max",
        "constant_charge_voltage_max",
        1e6,
    ),
    ("precharge_current", "precharge_current", 1e6),
    ("input_current_limit", "input_current_limit", 1e6),
    ("power_now", "power_watt", 1e6),
    ("temp", "temp_celsius", 10.0),
    ("temp_alert_max", "temp_alert_max_celsius", 10.0),
    ("temp_alert_min", "temp_alert_min_celsius", 10.0),
    ("temp_ambient", "temp_ambient_celsius", 10.0),
    ("temp_ambient_max", "temp_ambient_max_celsius", 10.0),
    ("temp_ambient_min", "temp_ambient_min_celsius", 10.0),
    ("temp_max", "temp_max_celsius", 10.0),
    ("temp_min", "temp_min_celsius", 10.0),
];

/// Textual files, each a label of the same name.
const TEXTS: [&str; 11] = [
    "capacity_level",
    "charge_type",
    "health",
    "manufacturer",
    "model_name",
    "serial_number",
    "status",
    "technology",
    "type",
    "usb_type",
    "scope",
];

/// The collector.
pub struct PowerSupplyClass {
    paths: Paths,
    ignored: Regex,
}

impl PowerSupplyClass {
    /// Compiles the filter.
    pub fn new(config: &Config) -> Result<PowerSupplyClass, ConfigError> {
        let ignored = Regex::new(&config.options.powersupply_ignored).map_err(|error| {
            ConfigError(format!("collector.powersupply.ignored-supplies: {error}"))
        })?;
        Ok(PowerSupplyClass {
            paths: config.paths.clone(),
            ignored,
        })
    }
}

impl Collector for PowerSupplyClass {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let base = self.paths.sys("class/power_supply");
        let supplies = match list(&base) {
            Ok(supplies) => supplies,
            Err(error) if error.is_absent() => return Err(CollectError::NoData),
            Err(error) => return Err(error.into()),
        };
        for supply in supplies
            .iter()
            .filter(|supply| !self.ignored.is_match(supply))
        {
            let path = base.join(supply);
            // Attributes come and go with the state of the supply; those that cannot be read are left out.
            for (file, name, divisor) in NUMBERS {
                let found = read_sys(&path.join(file))
                    .ok()
                    .and_then(|text| parse_any_int(&text));
                let Some(value) = found else { continue };
                let help = format!("{name} value of /sys/class/power_supply/<power_supply>.");
                let labels = [("power_supply", supply.as_str())];
                sink.gauge(
                    &format!("power_supply_{name}"),
                    &help,
                    &labels,
                    value as f64 / divisor,
                );
            }
            let texts: Vec<(&'static str, String)> = TEXTS
                .iter()
                .filter_map(|file| Some((*file, read_sys(&path.join(file)).ok()?)))
                .filter(|(_, value)| !value.is_empty())
                .collect();
            let mut labels = vec![("power_supply", supply.as_str())];
            labels.extend(texts.iter().map(|(name, value)| (*name, value.as_str())));
            let help = "info of /sys/class/power_supply/<power_supply>.";
            sink.gauge("power_supply_info", help, &labels, 1.0);
        }
        Ok(())
    }
}
