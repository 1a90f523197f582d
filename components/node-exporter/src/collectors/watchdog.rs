//! Hardware watchdogs.

use crate::collector::CollectError;
use crate::files::{Paths, list, parse_any_int, read_sys};
use crate::sink::Sink;

/// Files and the endings of their metrics.
const NUMBERS: [(&str, &str); 7] = [
    ("bootstatus", "bootstatus"),
    ("fw_version", "fw_version"),
    ("nowayout", "nowayout"),
    ("timeleft", "timeleft_seconds"),
    ("timeout", "timeout_seconds"),
    ("pretimeout", "pretimeout_seconds"),
    ("access_cs0", "access_cs0"),
];

/// Adds what each watchdog's directory holds.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("class/watchdog");
    let devices = match list(&base) {
        Ok(devices) => devices,
        Err(error) if error.is_absent() || error.is_denied() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    for device in &devices {
        let path = base.join(device);
        for (file, name) in NUMBERS {
            let found = read_sys(&path.join(file))
                .ok()
                .and_then(|text| parse_any_int(&text));
            if let Some(value) = found {
                let help = format!("Value of /sys/class/watchdog/<watchdog>/{file}");
                let labels = [("name", device.as_str())];
                sink.gauge(&format!("watchdog_{name}"), &help, &labels, value as f64);
            }
        }
        let text = |file: &str| read_sys(&path.join(file)).unwrap_or_default();
        let labels = [
            ("name", device.as_str()),
            ("options", &*text("options")),
            ("identity", &*text("identity")),
            ("state", &*text("state")),
            ("status", &*text("status")),
            ("pretimeout_governor", &*text("pretimeout_governor")),
        ];
        sink.gauge(
            "watchdog_info",
            "Info of /sys/class/watchdog/<watchdog>",
            &labels,
            1.0,
        );
    }
    Ok(())
}
