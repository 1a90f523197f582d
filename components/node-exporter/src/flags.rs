//! The command line: upstream's flags, defaults and habits.
//!
//! Every switch exists as `--x` and `--no-x` and takes no value; a flag is given once unless it is a list; `@file`
//! stands for the arguments in that file, one a line.

use std::collections::BTreeSet;
use std::time::Duration;

use clap::builder::Str;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};

use crate::config::{
    BuildInfo, Config, DISKSTATS_EXCLUDE, FS_TYPES_EXCLUDE, IPVS_LABELS, MOUNT_POINTS_EXCLUDE,
    NETSTAT_FIELDS, VMSTAT_FIELDS,
};
use crate::registry;

/// What a command line asks for.
#[derive(Debug)]
pub enum Invocation {
    /// Run with this configuration.
    Run(Box<Config>),
    /// Print this on standard output and end well: help or version.
    Print(String),
}

/// A command line that cannot be understood; upstream prints this on standard error and exits with 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UsageError(pub String);

/// A flag with a value.
struct Text {
    name: &'static str,
    default: &'static str,
    help: &'static str,
    set: fn(&mut Config, &str) -> Result<(), String>,
}

/// A flag that is there or not.
struct Switch {
    name: &'static str,
    default: bool,
    help: &'static str,
    set: fn(&mut Config, bool),
}

macro_rules! text {
    ($name:literal, $default:expr, $help:literal, |$config:ident, $value:ident| $set:expr) => {
        Text {
            name: $name,
            default: $default,
            help: $help,
            set: |$config, $value| {
                $set;
                Ok(())
            },
        }
    };
}

const TEXTS: &[Text] = &[
    text!(
        "web.config.file",
        "",
        "File with TLS and authentication settings.",
        |c, v| c.web_config_file = v.into()
    ),
    text!(
        "web.telemetry-path",
        "/metrics",
        "Path under which to expose metrics.",
        |c, v| c.telemetry_path = v.into()
    ),
    Text {
        name: "web.max-requests",
        default: "40",
        help: "Maximum number of scrapes served at once; 0 for any number.",
        set: |c, v| {
            c.max_requests = v.parse().map_err(|_| format!("invalid number {v:?}"))?;
            Ok(())
        },
    },
    Text {
        name: "runtime.gomaxprocs",
        default: "1",
        help: "Number of threads that serve requests (GOMAXPROCS).",
        set: |c, v| {
            c.threads = v.parse().map_err(|_| format!("invalid number {v:?}"))?;
            Ok(())
        },
    },
    Text {
        name: "log.level",
        default: "info",
        help: "Only log messages of this severity or above: debug, info, warn, error.",
        set: |c, v| {
            if !["debug", "info", "warn", "error"].contains(&v) {
                return Err(format!("unrecognized log level {v}"));
            }
            c.log_level = v.into();
            Ok(())
        },
    },
    Text {
        name: "log.format",
        default: "logfmt",
        help: "Output format of log messages: logfmt, json.",
        set: |c, v| {
            if !["logfmt", "json"].contains(&v) {
                return Err(format!("unrecognized log format {v}"));
            }
            c.log_format = v.into();
            Ok(())
        },
    },
    text!(
        "path.procfs",
        "/proc",
        "Where procfs is mounted.",
        |c, v| c.paths.procfs = v.into()
    ),
    text!("path.sysfs", "/sys", "Where sysfs is mounted.", |c, v| c
        .paths
        .sysfs =
        v.into()),
    text!(
        "path.rootfs",
        "/",
        "Where the host's root is mounted.",
        |c, v| c.paths.rootfs = v.into()
    ),
    text!(
        "path.udev.data",
        "/run/udev/data",
        "Where udev keeps its data.",
        |c, v| c.paths.udev_data = v.into()
    ),
    text!(
        "collector.cpu.info.flags-include",
        "",
        "Flags to show in cpu_flag_info (regexp).",
        |c, v| c.options.cpu_info_flags_include = v.into()
    ),
    text!(
        "collector.cpu.info.bugs-include",
        "",
        "Bugs to show in cpu_bug_info (regexp).",
        |c, v| c.options.cpu_info_bugs_include = v.into()
    ),
    text!(
        "collector.diskstats.device-exclude",
        DISKSTATS_EXCLUDE,
        "Disks to leave out (regexp).",
        |c, v| c.options.diskstats_device_exclude = Some(v.into())
    ),
    text!(
        "collector.diskstats.device-include",
        "",
        "Disks to show (regexp).",
        |c, v| c.options.diskstats_device_include = v.into()
    ),
    text!("collector.diskstats.ignored-devices", "", "", |c, v| c
        .options
        .diskstats_device_exclude =
        Some(v.into())),
    text!(
        "collector.filesystem.mount-points-exclude",
        MOUNT_POINTS_EXCLUDE,
        "Mount points to leave out (regexp).",
        |c, v| c.options.filesystem_mount_points_exclude = Some(v.into())
    ),
    text!(
        "collector.filesystem.mount-points-include",
        "",
        "Mount points to show (regexp).",
        |c, v| c.options.filesystem_mount_points_include = v.into()
    ),
    text!(
        "collector.filesystem.ignored-mount-points",
        "",
        "",
        |c, v| c.options.filesystem_mount_points_exclude = Some(v.into())
    ),
    text!(
        "collector.filesystem.fs-types-exclude",
        FS_TYPES_EXCLUDE,
        "File system types to leave out (regexp).",
        |c, v| c.options.filesystem_fs_types_exclude = Some(v.into())
    ),
    text!(
        "collector.filesystem.fs-types-include",
        "",
        "File system types to show (regexp).",
        |c, v| c.options.filesystem_fs_types_include = v.into()
    ),
    text!("collector.filesystem.ignored-fs-types", "", "", |c, v| c
        .options
        .filesystem_fs_types_exclude =
        Some(v.into())),
    Text {
        name: "collector.filesystem.mount-timeout",
        default: "5s",
        help: "How long a file system may take to answer.",
        set: |c, v| {
            let ms = model::duration::parse_duration(v).map_err(|error| error.to_string())?;
            c.options.filesystem_mount_timeout = Duration::from_millis(ms.max(0) as u64);
            Ok(())
        },
    },
    // One worker asks all file systems; the flag is understood so that command lines keep working.
    Text {
        name: "collector.filesystem.stat-workers",
        default: "4",
        help: "",
        set: |_, _| Ok(()),
    },
    text!(
        "collector.netdev.device-exclude",
        "",
        "Network devices to leave out (regexp).",
        |c, v| c.options.netdev_device_exclude = v.into()
    ),
    text!(
        "collector.netdev.device-include",
        "",
        "Network devices to show (regexp).",
        |c, v| c.options.netdev_device_include = v.into()
    ),
    text!("collector.netdev.device-blacklist", "", "", |c, v| c
        .options
        .netdev_device_exclude =
        v.into()),
    text!("collector.netdev.device-whitelist", "", "", |c, v| c
        .options
        .netdev_device_include =
        v.into()),
    text!(
        "collector.netclass.ignored-devices",
        "^$",
        "Network devices to leave out (regexp).",
        |c, v| c.options.netclass_ignored_devices = v.into()
    ),
    text!(
        "collector.netstat.fields",
        NETSTAT_FIELDS,
        "Fields to show (regexp).",
        |c, v| c.options.netstat_fields = v.into()
    ),
    text!(
        "collector.vmstat.fields",
        VMSTAT_FIELDS,
        "Fields to show (regexp).",
        |c, v| c.options.vmstat_fields = v.into()
    ),
    text!(
        "collector.arp.device-exclude",
        "",
        "Devices to leave out (regexp).",
        |c, v| c.options.arp_device_exclude = v.into()
    ),
    text!(
        "collector.arp.device-include",
        "",
        "Devices to show (regexp).",
        |c, v| c.options.arp_device_include = v.into()
    ),
    text!(
        "collector.hwmon.chip-exclude",
        "",
        "Chips to leave out (regexp).",
        |c, v| c.options.hwmon_chip_exclude = v.into()
    ),
    text!(
        "collector.hwmon.chip-include",
        "",
        "Chips to show (regexp).",
        |c, v| c.options.hwmon_chip_include = v.into()
    ),
    text!(
        "collector.hwmon.sensor-exclude",
        "",
        "Sensors (chip;sensor) to leave out (regexp).",
        |c, v| c.options.hwmon_sensor_exclude = v.into()
    ),
    text!(
        "collector.hwmon.sensor-include",
        "",
        "Sensors (chip;sensor) to show (regexp).",
        |c, v| c.options.hwmon_sensor_include = v.into()
    ),
    text!(
        "collector.powersupply.ignored-supplies",
        "^$",
        "Power supplies to leave out (regexp).",
        |c, v| c.options.powersupply_ignored = v.into()
    ),
    text!(
        "collector.tapestats.ignored-devices",
        "^$",
        "Devices to leave out (regexp).",
        |c, v| c.options.tapestats_ignored_devices = v.into()
    ),
    text!(
        "collector.ipvs.backend-labels",
        IPVS_LABELS,
        "Labels of IPVS backends, comma-separated.",
        |c, v| c.options.ipvs_backend_labels = v.into()
    ),
    text!(
        "collector.interrupts.name-exclude",
        "",
        "Interrupts (name;info;devices) to leave out (regexp).",
        |c, v| c.options.interrupts_name_exclude = v.into()
    ),
    text!(
        "collector.interrupts.name-include",
        "",
        "Interrupts (name;info;devices) to show (regexp).",
        |c, v| c.options.interrupts_name_include = v.into()
    ),
    text!(
        "collector.slabinfo.slabs-exclude",
        "",
        "Slabs to leave out (regexp).",
        |c, v| c.options.slabinfo_slabs_exclude = v.into()
    ),
    text!(
        "collector.slabinfo.slabs-include",
        ".*",
        "Slabs to show (regexp).",
        |c, v| c.options.slabinfo_slabs_include = v.into()
    ),
    text!(
        "collector.pcidevice.idsfile",
        "",
        "File with PCI names.",
        |c, v| c.options.pcidevice_idsfile = v.into()
    ),
    text!(
        "collector.infiniband.device-exclude",
        "",
        "Devices to leave out (regexp).",
        |c, v| c.options.infiniband_device_exclude = v.into()
    ),
    text!(
        "collector.infiniband.device-include",
        "",
        "Devices to show (regexp).",
        |c, v| c.options.infiniband_device_include = v.into()
    ),
    text!(
        "collector.qdisc.device-exclude",
        "",
        "Devices to leave out (regexp).",
        |c, v| c.options.qdisc_device_exclude = v.into()
    ),
    text!(
        "collector.qdisc.device-include",
        "",
        "Devices to show (regexp).",
        |c, v| c.options.qdisc_device_include = v.into()
    ),
    text!(
        "collector.qdisc.fixtures",
        "",
        "Directory with fixtures, for tests.",
        |c, v| c.options.qdisc_fixtures = v.into()
    ),
    text!(
        "collector.wifi.fixtures",
        "",
        "Directory with fixtures, for tests.",
        |c, v| c.options.wifi_fixtures = v.into()
    ),
];

/// Flags that may be given several times. The default stands for none given.
const LISTS: &[Text] = &[
    text!(
        "web.listen-address",
        ":9100",
        "Addresses on which to expose metrics. Repeatable.",
        |c, v| c.listen_addresses.push(v.into())
    ),
    text!(
        "collector.textfile.directory",
        "",
        "Directory to read text files with metrics from. Repeatable.",
        |c, v| c.options.textfile_directories.push(v.into())
    ),
    text!(
        "collector.sysctl.include",
        "",
        "Numeric sysctl values to show. Repeatable.",
        |c, v| c.options.sysctl_include.push(v.into())
    ),
    text!(
        "collector.sysctl.include-info",
        "",
        "Textual sysctl values to show. Repeatable.",
        |c, v| c.options.sysctl_include_info.push(v.into())
    ),
];

const SWITCHES: &[Switch] = &[
    Switch {
        name: "web.systemd-socket",
        default: false,
        help: "Use systemd socket activation listeners instead of port listeners.",
        set: |c, on| c.systemd_socket = on,
    },
    Switch {
        name: "web.disable-exporter-metrics",
        default: false,
        help: "Exclude metrics about the exporter itself.",
        set: |c, on| c.disable_exporter_metrics = on,
    },
    Switch {
        name: "collector.cpu.guest",
        default: true,
        help: "Show time spent in guests.",
        set: |c, on| c.options.cpu_guest = on,
    },
    Switch {
        name: "collector.cpu.info",
        default: false,
        help: "Show cpu_info.",
        set: |c, on| c.options.cpu_info = on,
    },
    Switch {
        name: "collector.netdev.address-info",
        default: false,
        help: "Show addresses of devices.",
        set: |c, on| c.options.netdev_address_info = on,
    },
    Switch {
        name: "collector.netdev.enable-detailed-metrics",
        default: false,
        help: "Use the kernel's names of counters.",
        set: |c, on| c.options.netdev_detailed = on,
    },
    Switch {
        name: "collector.netdev.netlink",
        default: true,
        help: "Use netlink to gather stats instead of /proc/net/dev.",
        set: |c, on| c.options.netdev_netlink = on,
    },
    Switch {
        name: "collector.netdev.label-ifalias",
        default: false,
        help: "Add the label ifalias.",
        set: |c, on| c.options.netdev_label_ifalias = on,
    },
    Switch {
        name: "collector.netclass.ignore-invalid-speed",
        default: false,
        help: "Leave out negative speeds.",
        set: |c, on| c.options.netclass_ignore_invalid_speed = on,
    },
    Switch {
        name: "collector.stat.softirq",
        default: false,
        help: "Show softirqs by vector.",
        set: |c, on| c.options.stat_softirq = on,
    },
    Switch {
        name: "collector.arp.netlink",
        default: true,
        help: "Use netlink to gather stats instead of /proc/net/arp.",
        set: |c, on| c.options.arp_netlink = on,
    },
    Switch {
        name: "collector.rapl.enable-zone-label",
        default: false,
        help: "Show zones as a label.",
        set: |c, on| c.options.rapl_zone_label = on,
    },
    Switch {
        name: "collector.bcache.priorityStats",
        default: false,
        help: "Show cache priorities, which is expensive.",
        set: |c, on| c.options.bcache_priority_stats = on,
    },
    Switch {
        name: "collector.interrupts.include-zeros",
        default: true,
        help: "Show interrupts that never came.",
        set: |c, on| c.options.interrupts_include_zeros = on,
    },
    Switch {
        name: "collector.pcidevice.names",
        default: false,
        help: "Show PCI names.",
        set: |c, on| c.options.pcidevice_names = on,
    },
];

/// Settings of collectors, or ways of collecting, that are not built here. They are understood, so that command lines
/// keep working, and mean nothing as long as their collector is off.
const UNUSED_TEXTS: &[&str] = &[
    "collector.ethtool.device-exclude",
    "collector.ethtool.device-include",
    "collector.ethtool.metrics-include",
    "collector.ntp.ip-ttl",
    "collector.ntp.local-offset-tolerance",
    "collector.ntp.max-distance",
    "collector.ntp.protocol-version",
    "collector.ntp.server",
    "collector.ntp.server-port",
    "collector.perf.cache-profilers",
    "collector.perf.cpus",
    "collector.perf.hardware-profilers",
    "collector.perf.software-profilers",
    "collector.perf.tracepoint",
    "collector.runit.servicedir",
    "collector.supervisord.url",
    "collector.systemd.unit-blacklist",
    "collector.systemd.unit-exclude",
    "collector.systemd.unit-include",
    "collector.systemd.unit-whitelist",
];
const UNUSED_SWITCHES: &[&str] = &[
    "collector.netclass.netlink",
    "collector.netclass_rtnl.with-stats",
    "collector.ntp.server-is-local",
    "collector.perf.disable-cache-profilers",
    "collector.perf.disable-hardware-profilers",
    "collector.perf.disable-software-profilers",
    "collector.systemd.enable-restarts-metrics",
    "collector.systemd.enable-start-time-metrics",
    "collector.systemd.enable-task-metrics",
    "collector.systemd.private",
];

const DISABLE_DEFAULTS: &str = "collector.disable-defaults";

fn switch(name: &str, help: &str, default: bool) -> [Arg; 2] {
    let positive: Str = name.to_string().into();
    let negative: Str = format!("no-{name}").into();
    let state = if default { "enabled" } else { "disabled" };
    let on = Arg::new(positive.clone())
        .long(positive.clone())
        .help(format!("{help} (default: {state})"))
        .action(ArgAction::SetTrue)
        .conflicts_with(negative.to_string());
    let off = Arg::new(negative.clone())
        .long(negative)
        .action(ArgAction::SetTrue)
        .hide(true);
    [on, off]
}

fn value(flag: &Text) -> Arg {
    let arg = Arg::new(flag.name)
        .long(flag.name)
        .help(flag.help)
        .hide(flag.help.is_empty())
        .allow_hyphen_values(true)
        .value_name("VALUE");
    if flag.default.is_empty() {
        arg
    } else {
        arg.default_value(flag.default)
    }
}

/// The command line as clap sees it.
pub fn command() -> Command {
    let mut command = Command::new("node_exporter")
        .about("Shows metrics of this machine to Prometheus.")
        .no_binary_name(true)
        .disable_version_flag(true)
        .arg(
            Arg::new("version")
                .long("version")
                .help("Show version.")
                .action(ArgAction::SetTrue),
        );
    for flag in LISTS {
        command = command.arg(value(flag).action(ArgAction::Append));
    }
    for flag in TEXTS {
        command = command.arg(value(flag));
    }
    for flag in SWITCHES {
        command = command.args(switch(flag.name, flag.help, flag.default));
    }
    let help = "Set all collectors to disabled by default.";
    command = command.args(switch(DISABLE_DEFAULTS, help, false));
    for spec in registry::COLLECTORS {
        let help = format!("Enable the {} collector.", spec.name);
        command = command.args(switch(&format!("collector.{}", spec.name), &help, spec.on));
    }
    for name in UNUSED_TEXTS {
        let arg = Arg::new(*name)
            .long(*name)
            .hide(true)
            .allow_hyphen_values(true);
        command = command.arg(arg.action(ArgAction::Append));
    }
    for name in UNUSED_SWITCHES {
        let [on, off] = switch(name, "", false);
        command = command.args([on.hide(true), off]);
    }
    for name in registry::NOT_BUILT {
        let [on, off] = switch(&format!("collector.{name}"), "", false);
        command = command.args([on.hide(true), off]);
    }
    command
}

/// Reads a command line, without the program's name.
pub fn parse(
    arguments: impl IntoIterator<Item = String>,
    build: BuildInfo,
) -> Result<Invocation, UsageError> {
    let arguments = expand(arguments)?;
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) if error.kind() == ErrorKind::DisplayHelp => {
            return Ok(Invocation::Print(error.render().to_string()));
        }
        Err(error) => {
            return Err(UsageError(
                error.render().to_string().trim_end().to_string(),
            ));
        }
    };
    if matches.get_flag("version") {
        return Ok(Invocation::Print(version(&build)));
    }
    let mut config = Config {
        build,
        ..Config::default()
    };
    for flag in TEXTS {
        let given = matches.value_source(flag.name) == Some(ValueSource::CommandLine);
        if let Some(value) = matches.get_one::<String>(flag.name).filter(|_| given) {
            (flag.set)(&mut config, value)
                .map_err(|error| UsageError(format!("error parsing --{}: {error}", flag.name)))?;
        }
    }
    config.listen_addresses.clear();
    for flag in LISTS {
        for value in matches.get_many::<String>(flag.name).into_iter().flatten() {
            (flag.set)(&mut config, value)
                .map_err(|error| UsageError(format!("error parsing --{}: {error}", flag.name)))?;
        }
    }
    for flag in SWITCHES {
        if let Some(on) = switched(&matches, flag.name) {
            (flag.set)(&mut config, on);
        }
    }
    let defaults = switched(&matches, DISABLE_DEFAULTS) != Some(true);
    config.collectors = registry::COLLECTORS
        .iter()
        .filter(|spec| {
            switched(&matches, &format!("collector.{}", spec.name)).unwrap_or(spec.on && defaults)
        })
        .map(|spec| spec.name)
        .chain(
            registry::NOT_BUILT
                .iter()
                .copied()
                .filter(|name| switched(&matches, &format!("collector.{name}")) == Some(true)),
        )
        .collect::<BTreeSet<_>>();
    Ok(Invocation::Run(Box::new(config)))
}

/// Whether a switch was set, and how.
fn switched(matches: &ArgMatches, name: &str) -> Option<bool> {
    if matches.get_flag(name) {
        Some(true)
    } else if matches.get_flag(&format!("no-{name}")) {
        Some(false)
    } else {
        None
    }
}

/// Replaces `@file` by what the file says, one argument a line; blank lines and `#` lines say nothing.
fn expand(arguments: impl IntoIterator<Item = String>) -> Result<Vec<String>, UsageError> {
    let mut out = Vec::new();
    for argument in arguments {
        match argument.strip_prefix('@') {
            Some(file) => {
                let text = std::fs::read_to_string(file)
                    .map_err(|error| UsageError(format!("open {file}: {error}")))?;
                let lines = text
                    .lines()
                    .filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
                out.extend(lines.map(str::to_string));
            }
            None => out.push(argument),
        }
    }
    Ok(out)
}

fn version(build: &BuildInfo) -> String {
    format!(
        "node_exporter, version {} (branch: {}, revision: {})\n  platform:       linux/{}\n",
        build.version,
        build.branch,
        build.revision,
        std::env::consts::ARCH
    )
}

#[cfg(test)]
mod tests;
