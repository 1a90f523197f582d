//! Processor time, throttling, isolation and identity.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use regex::Regex;

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError};
use crate::files::{self, Paths, list_or_empty, read, read_u64};
use crate::filter::expression;
use crate::sink::Sink;

/// The kernel counts processor time in hundredths of a second, whatever its own tick is.
const TICKS_PER_SECOND: f64 = 100.0;
/// Idle time that goes back by less is jitter; by more, the processor was taken out and put back.
const IDLE_JUMP_SECONDS: f64 = 3.0;
const HELP_SECONDS: &str = "Seconds the CPUs spent in each mode.";
const HELP_GUEST: &str = "Seconds the CPUs spent in guests (VMs) for each mode.";
const MODES: [&str; 8] = [
    "user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal",
];
/// Index of `idle` in [`MODES`].
const IDLE: usize = 3;

/// Seconds by mode, then guest and guest_nice.
type Times = [f64; 10];

/// The collector.
pub struct Cpu {
    paths: Paths,
    guest: bool,
    info: bool,
    frequency: bool,
    flags: Option<Regex>,
    bugs: Option<Regex>,
    isolated: Vec<u32>,
    /// The last reading, so that counters never go back.
    times: Mutex<BTreeMap<u32, Times>>,
}

impl Cpu {
    /// Reads what does not change while the machine runs.
    pub fn new(config: &Config) -> Result<Cpu, ConfigError> {
        let options = &config.options;
        let flags = expression(&options.cpu_info_flags_include)?;
        let bugs = expression(&options.cpu_info_bugs_include)?;
        let path = config.paths.sys("devices/system/cpu/isolated");
        let isolated = match files::read(&path) {
            Ok(text) => files::parse_ranges(&text)
                .ok_or_else(|| ConfigError(format!("unable to get isolated cpus: {text:?}")))?,
            Err(error) if error.is_absent() => Vec::new(),
            Err(error) => return Err(ConfigError(format!("unable to get isolated cpus: {error}"))),
        };
        Ok(Cpu {
            paths: config.paths.clone(),
            guest: options.cpu_guest,
            info: options.cpu_info || flags.is_some() || bugs.is_some(),
            frequency: config.collectors.contains("cpufreq"),
            flags,
            bugs,
            isolated,
            times: Mutex::new(BTreeMap::new()),
        })
    }

    fn update_stat(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let text = read(&self.paths.proc("stat"))?;
        let now = parse_stat(&text)?;
        let mut known = self.times.lock();
        known.retain(|cpu, _| now.contains_key(cpu));
        for (cpu, now) in now {
            advance(known.entry(cpu).or_default(), &now);
        }
        for (cpu, times) in known.iter() {
            let cpu = cpu.to_string();
            for (mode, seconds) in MODES.iter().zip(times) {
                sink.counter(
                    "cpu_seconds_total",
                    HELP_SECONDS,
                    &[("cpu", &cpu), ("mode", mode)],
                    *seconds,
                );
            }
        }
        if self.guest {
            for (cpu, times) in known.iter() {
                let cpu = cpu.to_string();
                for (mode, seconds) in ["user", "nice"].iter().zip(&times[8..]) {
                    let labels = [("cpu", cpu.as_str()), ("mode", mode)];
                    sink.counter("cpu_guest_seconds_total", HELP_GUEST, &labels, *seconds);
                }
            }
        }
        Ok(())
    }

    fn update_info(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let text = read(&self.paths.proc("cpuinfo"))?;
        let processors = parse_cpuinfo(&text);
        for p in &processors {
            let labels = [
                ("package", p.package),
                ("core", p.core),
                ("cpu", p.number),
                ("vendor", p.vendor),
                ("family", p.family),
                ("model", p.model),
                ("model_name", p.model_name),
                ("microcode", p.microcode),
                ("stepping", p.stepping),
                ("cachesize", p.cache_size),
            ];
            sink.gauge(
                "cpu_info",
                "CPU information from /proc/cpuinfo.",
                &labels,
                1.0,
            );
            if self.frequency {
                let labels = [("package", p.package), ("core", p.core), ("cpu", p.number)];
                let help = "CPU frequency in hertz from /proc/cpuinfo.";
                sink.gauge("cpu_frequency_hertz", help, &labels, p.mhz * 1e6);
            }
        }
        let Some(first) = processors.first() else {
            return Ok(());
        };
        if let Some(wanted) = &self.flags {
            for flag in first
                .flags
                .split_whitespace()
                .filter(|flag| wanted.is_match(flag))
            {
                let help = "The `flags` field of CPU information from /proc/cpuinfo taken from the first core.";
                sink.gauge("cpu_flag_info", help, &[("flag", flag)], 1.0);
            }
        }
        if let Some(wanted) = &self.bugs {
            for bug in first
                .bugs
                .split_whitespace()
                .filter(|bug| wanted.is_match(bug))
            {
                let help = "The `bugs` field of CPU information from /proc/cpuinfo taken from the first core.";
                sink.gauge("cpu_bug_info", help, &[("bug", bug)], 1.0);
            }
        }
        Ok(())
    }

    fn update_throttles(&self, cpus: &[String], sink: &mut Sink) {
        let (mut packages, mut cores) = (BTreeSet::new(), BTreeSet::new());
        for cpu in cpus {
            let base = self.paths.sys("devices/system/cpu").join(cpu);
            let Ok(package) = read_u64(&base.join("topology/physical_package_id")) else {
                continue;
            };
            let Ok(core) = read_u64(&base.join("topology/core_id")) else {
                continue;
            };
            if cores.insert((package, core))
                && let Ok(count) = read_u64(&base.join("thermal_throttle/core_throttle_count"))
            {
                let labels = [
                    ("package", &*package.to_string()),
                    ("core", &*core.to_string()),
                ];
                let help = "Number of times this CPU core has been throttled.";
                sink.counter("cpu_core_throttles_total", help, &labels, count as f64);
            }
            if packages.insert(package)
                && let Ok(count) = read_u64(&base.join("thermal_throttle/package_throttle_count"))
            {
                let labels = [("package", &*package.to_string())];
                let help = "Number of times this CPU package has been throttled.";
                sink.counter("cpu_package_throttles_total", help, &labels, count as f64);
            }
        }
    }

    fn update_online(&self, cpus: &[String], sink: &mut Sink) {
        for (i, cpu) in cpus.iter().enumerate() {
            let path = self
                .paths
                .sys("devices/system/cpu")
                .join(cpu)
                .join("online");
            let online = read_u64(&path);
            // A machine whose first processor cannot be switched off has nothing to tell.
            if i == 0 && online.as_ref().is_err_and(files::ReadError::is_absent) {
                return;
            }
            let value = if matches!(online, Ok(1)) { 1.0 } else { 0.0 };
            let help = "CPUs that are online and being scheduled.";
            sink.gauge("cpu_online", help, &[("cpu", &cpu[3..])], value);
        }
    }
}

impl Collector for Cpu {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        if self.info {
            self.update_info(sink)?;
        }
        self.update_stat(sink)?;
        for cpu in &self.isolated {
            let help =
                "Whether each core is isolated, information from /sys/devices/system/cpu/isolated.";
            sink.gauge("cpu_isolated", help, &[("cpu", &cpu.to_string())], 1.0);
        }
        let cpus: Vec<String> = list_or_empty(&self.paths.sys("devices/system/cpu"))
            .into_iter()
            .filter(|name| {
                name.strip_prefix("cpu")
                    .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            })
            .collect();
        self.update_throttles(&cpus, sink);
        self.update_online(&cpus, sink);
        Ok(())
    }
}

/// Takes over a reading, field by field, but never backwards.
fn advance(known: &mut Times, now: &Times) {
    if known[IDLE] - now[IDLE] >= IDLE_JUMP_SECONDS {
        *known = Times::default();
    }
    for (old, new) in known.iter_mut().zip(now) {
        *old = old.max(*new);
    }
}

fn parse_stat(text: &str) -> Result<BTreeMap<u32, Times>, CollectError> {
    let mut all = BTreeMap::new();
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("cpu") else {
            continue;
        };
        let mut fields = rest.split_ascii_whitespace();
        if !rest.starts_with(|c: char| c.is_ascii_digit()) {
            continue; // the sum over all
        }
        let number = fields.next().and_then(|n| n.parse::<u32>().ok());
        let Some(number) = number else {
            return Err(CollectError::failed(format!(
                "couldn't parse {line:?} (cpu)"
            )));
        };
        let mut times = Times::default();
        for (time, field) in times.iter_mut().zip(fields) {
            let ticks: f64 = field
                .parse()
                .map_err(|_| CollectError::failed(format!("couldn't parse {line:?} (cpu)")))?;
            *time = ticks / TICKS_PER_SECOND;
        }
        all.insert(number, times);
    }
    Ok(all)
}

/// One processor as `cpuinfo` describes it.
#[derive(Debug, Default)]
struct Processor<'a> {
    number: &'a str,
    package: &'a str,
    core: &'a str,
    vendor: &'a str,
    family: &'a str,
    model: &'a str,
    model_name: &'a str,
    microcode: &'a str,
    stepping: &'a str,
    cache_size: &'a str,
    flags: &'a str,
    bugs: &'a str,
    mhz: f64,
}

/// The words differ between architectures; none means different things on two of them.
fn parse_cpuinfo(text: &str) -> Vec<Processor<'_>> {
    let mut all: Vec<Processor<'_>> = Vec::new();
    let mut shared_model_name = "";
    for line in text.lines() {
        let Some((key, value)) = line.split_once(':') else {
            continue;
        };
        let (key, value) = (key.trim(), value.trim());
        if key == "processor" && value.bytes().all(|b| b.is_ascii_digit()) {
            all.push(Processor {
                number: value,
                model_name: shared_model_name,
                ..Processor::default()
            });
            continue;
        }
        let Some(last) = all.last_mut() else {
            if key == "Processor" {
                shared_model_name = value; // old ARM kernels name the model once, before the processors
            }
            continue;
        };
        match key {
            "vendor_id" | "CPU implementer" | "mvendorid" => last.vendor = value,
            "cpu family" | "CPU Family" => last.family = value,
            "model" | "CPU part" => last.model = value,
            "model name" | "Model Name" | "cpu model" | "cpu" | "uarch" => last.model_name = value,
            "microcode" => last.microcode = value,
            "stepping" | "revision" | "CPU revision" | "CPU Revision" => last.stepping = value,
            "cache size" => last.cache_size = value,
            "physical id" => last.package = value,
            "core id" | "core" | "hart" => last.core = value,
            "flags" | "Features" | "isa" => last.flags = value,
            "bugs" => last.bugs = value,
            "cpu MHz" | "CPU MHz" | "clock" => {
                last.mhz = value.trim_end_matches("MHz").trim().parse().unwrap_or(0.0);
            }
            _ => {}
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_do_not_go_back_but_follow_a_hotplug() {
        let mut known = [10.0; 10];
        let mut now = [11.0; 10];
        now[IDLE] = 9.0; // jitter
        now[4] = 5.0;
        advance(&mut known, &now);
        assert_eq!((known[0], known[IDLE], known[4]), (11.0, 10.0, 10.0));
        now = [1.0; 10];
        advance(&mut known, &now);
        assert_eq!(known, [1.0; 10]);
    }

    #[test]
    fn short_and_damaged_lines() {
        let all = parse_stat("cpu 1 2 3\ncpu0 100 200\ncpu10 1 2 3 4 5 6 7 8 9 1000 77\nintr 1\n")
            .unwrap();
        assert_eq!(all[&0][..3], [1.0, 2.0, 0.0]);
        assert_eq!(all[&10][9], 10.0);
        assert!(parse_stat("cpu0 1 x\n").is_err());
        assert!(
            parse_cpuinfo("a\nprocessor\t: 0\nmodel name\t: X: Y\ncpu MHz : 1.5\n")[0].model_name
                == "X: Y"
        );
    }
}
