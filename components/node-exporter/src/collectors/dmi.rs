//! The machine's identity from its firmware. Read once: it does not change while the machine runs.

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError};
use crate::files::{list, read_sys};
use crate::sink::Sink;

/// Files and labels. The serials can be read by root only.
const FIELDS: [(&str, &str); 20] = [
    ("bios_date", "bios_date"),
    ("bios_release", "bios_release"),
    ("bios_vendor", "bios_vendor"),
    ("bios_version", "bios_version"),
    ("board_asset_tag", "board_asset_tag"),
    ("board_name", "board_name"),
    ("board_serial", "board_serial"),
    ("board_vendor", "board_vendor"),
    ("board_version", "board_version"),
    ("chassis_asset_tag", "chassis_asset_tag"),
    ("chassis_serial", "chassis_serial"),
    ("chassis_vendor", "chassis_vendor"),
    ("chassis_version", "chassis_version"),
    ("product_family", "product_family"),
    ("product_name", "product_name"),
    ("product_serial", "product_serial"),
    ("product_sku", "product_sku"),
    ("product_uuid", "product_uuid"),
    ("product_version", "product_version"),
    ("sys_vendor", "system_vendor"),
];

/// The collector; `None` on a machine without such firmware.
pub struct Dmi(Option<Vec<(&'static str, String)>>);

impl Dmi {
    /// Reads the identity.
    pub fn new(config: &Config) -> Result<Dmi, ConfigError> {
        let base = config.paths.sys("class/dmi/id");
        match list(&base) {
            Ok(_) => {}
            Err(error) if error.is_absent() => return Ok(Dmi(None)),
            Err(error) => {
                return Err(ConfigError(format!(
                    "failed to read Desktop Management Interface: {error}"
                )));
            }
        }
        let fields = FIELDS
            .iter()
            .filter_map(|(file, label)| Some((*label, read_sys(&base.join(file)).ok()?)))
            .collect();
        Ok(Dmi(Some(fields)))
    }
}

impl Collector for Dmi {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let fields = self.0.as_ref().ok_or(CollectError::NoData)?;
        let labels: Vec<(&'static str, &str)> =
            fields.iter().map(|(n, v)| (*n, v.as_str())).collect();
        let help = "A metric with a constant '1' value labeled by bios_date, bios_release, bios_vendor, bios_version, board_asset_tag, board_name, board_serial, board_vendor, board_version, chassis_asset_tag, chassis_serial, chassis_vendor, chassis_version, product_family, product_name, product_serial, product_sku, product_uuid, product_version, system_vendor if provided by DMI.";
        sink.gauge("dmi_info", help, &labels, 1.0);
        Ok(())
    }
}
