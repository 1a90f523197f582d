//! NVMe subsystems: what namespaces they have, and over which paths.

use crate::collector::CollectError;
use crate::files::{Paths, list, list_or_empty, read_sys};
use crate::sink::Sink;

/// States a path is shown to be in or not in.
const STATES: [&str; 6] = ["connecting", "dead", "deleting", "live", "new", "resetting"];

/// Adds subsystems, namespaces and paths.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("class/nvme-subsystem");
    let subsystems = match list(&base) {
        Ok(subsystems) => subsystems,
        Err(error) if error.is_absent() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    for subsystem in &subsystems {
        let path = base.join(subsystem);
        let text = |file: &str| read_sys(&path.join(file)).unwrap_or_default();
        let labels = [
            ("subsystem", subsystem.as_str()),
            ("nqn", &*text("subsysnqn")),
            ("model", &*text("model")),
            ("serial", &*text("serial")),
            ("iopolicy", &*text("iopolicy")),
        ];
        let help = "Non-numeric information about an NVMe subsystem.";
        sink.gauge("nvmesubsystem_info", help, &labels, 1.0);
        let (mut all, mut live) = (0u32, 0u32);
        for entry in list_or_empty(&path) {
            let number = entry.strip_prefix("nvme").unwrap_or("");
            if number.is_empty() || !number.starts_with(|c: char| c.is_ascii_digit()) {
                continue;
            }
            if number.contains('n') {
                // Paths to a namespace (`nvme0c0n1`) are the controllers' business.
                if !number.contains('c') {
                    let labels = [
                        ("subsystem", subsystem.as_str()),
                        ("device", entry.as_str()),
                    ];
                    let help = "Namespaces of an NVMe subsystem.";
                    sink.gauge("nvmesubsystem_namespace_info", help, &labels, 1.0);
                }
                continue;
            }
            let state =
                read_sys(&path.join(&entry).join("state")).unwrap_or_else(|_| "unknown".into());
            let state = if state == "deleting (no IO)" {
                "deleting"
            } else {
                state.as_str()
            };
            let transport = read_sys(&path.join(&entry).join("transport")).unwrap_or_default();
            all += 1;
            live += u32::from(state == "live");
            for known in STATES.into_iter().chain(["unknown"]) {
                let current = known == state || (known == "unknown" && !STATES.contains(&state));
                let labels = [
                    ("subsystem", subsystem.as_str()),
                    ("controller", entry.as_str()),
                    ("transport", transport.as_str()),
                    ("state", known),
                ];
                let help = "State of a path of an NVMe subsystem.";
                sink.gauge(
                    "nvmesubsystem_path_state",
                    help,
                    &labels,
                    if current { 1.0 } else { 0.0 },
                );
            }
        }
        let labels = [("subsystem", subsystem.as_str())];
        sink.gauge(
            "nvmesubsystem_paths",
            "Paths of an NVMe subsystem.",
            &labels,
            f64::from(all),
        );
        let help = "Live paths of an NVMe subsystem.";
        sink.gauge("nvmesubsystem_paths_live", help, &labels, f64::from(live));
    }
    Ok(())
}
