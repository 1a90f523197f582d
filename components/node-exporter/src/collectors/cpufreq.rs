//! Processor frequencies and their governors.

use crate::collector::CollectError;
use crate::files::{Paths, list_or_empty, parse_ranges, read, read_sys, read_u64};
use crate::sink::Sink;

/// Frequency files in kilohertz: name, help.
const FREQUENCIES: [(&str, &str, &str); 7] = [
    (
        "cpuinfo_cur_freq",
        "cpu_frequency_hertz",
        "Current CPU thread frequency in hertz.",
    ),
    (
        "cpuinfo_avg_freq",
        "cpu_frequency_avg_hertz",
        "Average CPU thread frequency in hertz.",
    ),
    (
        "cpuinfo_min_freq",
        "cpu_frequency_min_hertz",
        "Minimum CPU thread frequency in hertz.",
    ),
    (
        "cpuinfo_max_freq",
        "cpu_frequency_max_hertz",
        "Maximum CPU thread frequency in hertz.",
    ),
    (
        "scaling_cur_freq",
        "cpu_scaling_frequency_hertz",
        "Current scaled CPU thread frequency in hertz.",
    ),
    (
        "scaling_min_freq",
        "cpu_scaling_frequency_min_hertz",
        "Minimum scaled CPU thread frequency in hertz.",
    ),
    (
        "scaling_max_freq",
        "cpu_scaling_frequency_max_hertz",
        "Maximum scaled CPU thread frequency in hertz.",
    ),
];

/// Adds what each online processor's frequency directory holds.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("devices/system/cpu");
    let offline = read(&base.join("offline"))?;
    let offline = parse_ranges(&offline).ok_or_else(|| {
        CollectError::failed(format!("malformed list of offline cpus {offline:?}"))
    })?;
    for entry in list_or_empty(&base) {
        let Some(cpu) = entry.strip_prefix("cpu") else {
            continue;
        };
        let Ok(number) = cpu.parse::<u32>() else {
            continue;
        };
        let directory = base.join(&entry).join("cpufreq");
        if offline.contains(&number) || !directory.is_dir() {
            continue;
        }
        let labels = [("cpu", cpu)];
        for (file, name, help) in FREQUENCIES {
            match read_u64(&directory.join(file)) {
                Ok(kilohertz) => sink.gauge(name, help, &labels, kilohertz as f64 * 1000.0),
                Err(error) if error.is_absent() || error.is_denied() => {}
                Err(error) => return Err(error.into()),
            }
        }
        let governor = read_sys(&directory.join("scaling_governor"))?;
        let available = read_sys(&directory.join("scaling_available_governors"))?;
        if governor.is_empty() {
            continue;
        }
        for candidate in available
            .split(' ')
            .filter(|candidate| !candidate.is_empty())
        {
            let labels = [("cpu", cpu), ("governor", candidate)];
            let current = if candidate == governor { 1.0 } else { 0.0 };
            let help = "Current enabled CPU frequency governor.";
            sink.gauge("cpu_scaling_governor", help, &labels, current);
        }
    }
    Ok(())
}
