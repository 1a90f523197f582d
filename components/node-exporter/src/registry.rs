//! The list of all collectors: name, default, and how to make one.

use std::sync::Arc;

use env::clock::Clock;
use regex::Regex;

use crate::collector::{CollectError, Collector};
use crate::collectors::*;
use crate::config::{Config, ConfigError};
use crate::files::Paths;
use crate::sink::Sink;

/// A collector that can be chosen.
pub struct Spec {
    /// As in `--collector.<name>`.
    pub name: &'static str,
    /// Whether it runs unless switched off.
    pub on: bool,
    /// Makes it. An error keeps the exporter from starting.
    pub make: fn(&Config, &Arc<dyn Clock>) -> Result<Box<dyn Collector>, ConfigError>,
}

type Made = Result<Box<dyn Collector>, ConfigError>;

/// A collector without settings or memory.
fn plain(config: &Config, update: fn(&Paths, &mut Sink) -> Result<(), CollectError>) -> Made {
    let paths = config.paths.clone();
    Ok(Box::new(move |sink: &mut Sink| update(&paths, sink)))
}

fn boxed<C: Collector + 'static>(made: Result<C, ConfigError>) -> Made {
    Ok(Box::new(made?))
}

fn regex(flag: &str, text: &str) -> Result<Regex, ConfigError> {
    Regex::new(text).map_err(|error| ConfigError(format!("{flag}: {error}")))
}

fn make_stat(config: &Config) -> Made {
    let (paths, softirq) = (config.paths.clone(), config.options.stat_softirq);
    Ok(Box::new(move |sink: &mut Sink| {
        stat::update(&paths, softirq, sink)
    }))
}

fn make_netstat(config: &Config) -> Made {
    let fields = regex("collector.netstat.fields", &config.options.netstat_fields)?;
    let paths = config.paths.clone();
    Ok(Box::new(move |sink: &mut Sink| {
        netstat::update(&paths, &fields, sink)
    }))
}

fn make_vmstat(config: &Config) -> Made {
    let fields = regex("collector.vmstat.fields", &config.options.vmstat_fields)?;
    let paths = config.paths.clone();
    Ok(Box::new(move |sink: &mut Sink| {
        vmstat::update(&paths, &fields, sink)
    }))
}

fn make_time(config: &Config, clock: &Arc<dyn Clock>) -> Made {
    let (paths, clock) = (config.paths.clone(), clock.clone());
    Ok(Box::new(move |sink: &mut Sink| {
        time::update(&paths, &*clock, sink)
    }))
}

fn make_textfile(config: &Config) -> Made {
    let directories = config.options.textfile_directories.clone();
    Ok(Box::new(move |sink: &mut Sink| {
        textfile::update(&directories, sink)
    }))
}

fn make_bcache(config: &Config) -> Made {
    let (paths, priorities) = (config.paths.clone(), config.options.bcache_priority_stats);
    Ok(Box::new(move |sink: &mut Sink| {
        bcache::update(&paths, priorities, sink)
    }))
}

fn make_rapl(config: &Config) -> Made {
    let (paths, zone_label) = (config.paths.clone(), config.options.rapl_zone_label);
    Ok(Box::new(move |sink: &mut Sink| {
        rapl::update(&paths, zone_label, sink)
    }))
}

fn make_tapestats(config: &Config) -> Made {
    let ignored = regex(
        "collector.tapestats.ignored-devices",
        &config.options.tapestats_ignored_devices,
    )?;
    let paths = config.paths.clone();
    Ok(Box::new(move |sink: &mut Sink| {
        tapestats::update(&paths, &ignored, sink)
    }))
}

/// All collectors, by name.
pub const COLLECTORS: &[Spec] = &[
    Spec {
        name: "arp",
        on: true,
        make: |c, _| boxed(arp::Arp::new(c)),
    },
    Spec {
        name: "bcache",
        on: true,
        make: |c, _| make_bcache(c),
    },
    Spec {
        name: "bcachefs",
        on: true,
        make: |c, _| plain(c, bcachefs::update),
    },
    Spec {
        name: "bonding",
        on: true,
        make: |c, _| plain(c, bonding::update),
    },
    Spec {
        name: "btrfs",
        on: true,
        make: |c, _| plain(c, btrfs::update),
    },
    Spec {
        name: "buddyinfo",
        on: false,
        make: |c, _| plain(c, buddyinfo::update),
    },
    Spec {
        name: "cgroups",
        on: false,
        make: |c, _| plain(c, cgroups::update),
    },
    Spec {
        name: "conntrack",
        on: true,
        make: |c, _| plain(c, conntrack::update),
    },
    Spec {
        name: "cpu",
        on: true,
        make: |c, _| boxed(cpu::Cpu::new(c)),
    },
    Spec {
        name: "cpu_vulnerabilities",
        on: false,
        make: |c, _| plain(c, cpu_vulnerabilities::update),
    },
    Spec {
        name: "cpufreq",
        on: true,
        make: |c, _| plain(c, cpufreq::update),
    },
    Spec {
        name: "diskstats",
        on: true,
        make: |c, _| boxed(diskstats::Diskstats::new(c)),
    },
    Spec {
        name: "dmi",
        on: true,
        make: |c, _| boxed(dmi::Dmi::new(c)),
    },
    Spec {
        name: "dmmultipath",
        on: true,
        make: |c, _| plain(c, dmmultipath::update),
    },
    Spec {
        name: "drbd",
        on: false,
        make: |c, _| plain(c, drbd::update),
    },
    Spec {
        name: "drm",
        on: false,
        make: |c, _| plain(c, drm::update),
    },
    Spec {
        name: "edac",
        on: true,
        make: |c, _| plain(c, edac::update),
    },
    Spec {
        name: "entropy",
        on: true,
        make: |c, _| plain(c, entropy::update),
    },
    Spec {
        name: "fibrechannel",
        on: true,
        make: |c, _| plain(c, fibrechannel::update),
    },
    Spec {
        name: "filefd",
        on: true,
        make: |c, _| plain(c, filefd::update),
    },
    Spec {
        name: "filesystem",
        on: true,
        make: |c, _| boxed(filesystem::Filesystem::new(c)),
    },
    Spec {
        name: "hwmon",
        on: true,
        make: |c, _| boxed(hwmon::Hwmon::new(c)),
    },
    Spec {
        name: "infiniband",
        on: true,
        make: |c, _| boxed(infiniband::Infiniband::new(c)),
    },
    Spec {
        name: "interrupts",
        on: false,
        make: |c, _| boxed(interrupts::Interrupts::new(c)),
    },
    Spec {
        name: "ipvs",
        on: true,
        make: |c, _| boxed(ipvs::Ipvs::new(c)),
    },
    Spec {
        name: "kernel_hung",
        on: true,
        make: |c, _| plain(c, kernel_hung::update),
    },
    Spec {
        name: "ksmd",
        on: false,
        make: |c, _| plain(c, ksmd::update),
    },
    Spec {
        name: "lnstat",
        on: false,
        make: |c, _| plain(c, lnstat::update),
    },
    Spec {
        name: "loadavg",
        on: true,
        make: |c, _| plain(c, loadavg::update),
    },
    Spec {
        name: "mdadm",
        on: true,
        make: |c, _| plain(c, mdadm::update),
    },
    Spec {
        name: "meminfo",
        on: true,
        make: |c, _| plain(c, meminfo::update),
    },
    Spec {
        name: "meminfo_numa",
        on: false,
        make: |c, _| plain(c, meminfo_numa::update),
    },
    Spec {
        name: "mountstats",
        on: false,
        make: |c, _| plain(c, mountstats::update),
    },
    Spec {
        name: "netclass",
        on: true,
        make: |c, _| boxed(netclass::Netclass::new(c)),
    },
    Spec {
        name: "netdev",
        on: true,
        make: |c, _| boxed(netdev::Netdev::new(c)),
    },
    Spec {
        name: "netstat",
        on: true,
        make: |c, _| make_netstat(c),
    },
    Spec {
        name: "nfs",
        on: true,
        make: |c, _| plain(c, nfs::update),
    },
    Spec {
        name: "nfsd",
        on: true,
        make: |c, _| plain(c, nfsd::update),
    },
    Spec {
        name: "nvme",
        on: true,
        make: |c, _| plain(c, nvme::update),
    },
    Spec {
        name: "nvmesubsystem",
        on: false,
        make: |c, _| plain(c, nvmesubsystem::update),
    },
    Spec {
        name: "os",
        on: true,
        make: |c, _| plain(c, os::update),
    },
    Spec {
        name: "pcidevice",
        on: false,
        make: |c, _| boxed(pcidevice::PciDevice::new(c)),
    },
    Spec {
        name: "powersupplyclass",
        on: true,
        make: |c, _| boxed(powersupplyclass::PowerSupplyClass::new(c)),
    },
    Spec {
        name: "pressure",
        on: true,
        make: |c, _| plain(c, pressure::update),
    },
    Spec {
        name: "processes",
        on: false,
        make: |c, _| plain(c, processes::update),
    },
    Spec {
        name: "qdisc",
        on: false,
        make: |c, _| boxed(qdisc::Qdisc::new(c)),
    },
    Spec {
        name: "rapl",
        on: true,
        make: |c, _| make_rapl(c),
    },
    Spec {
        name: "schedstat",
        on: true,
        make: |c, _| plain(c, schedstat::update),
    },
    Spec {
        name: "selinux",
        on: true,
        make: |c, _| plain(c, selinux::update),
    },
    Spec {
        name: "slabinfo",
        on: false,
        make: |c, _| boxed(slabinfo::Slabinfo::new(c)),
    },
    Spec {
        name: "sockstat",
        on: true,
        make: |c, _| plain(c, sockstat::update),
    },
    Spec {
        name: "softirqs",
        on: false,
        make: |c, _| plain(c, softirqs::update),
    },
    Spec {
        name: "softnet",
        on: true,
        make: |c, _| plain(c, softnet::update),
    },
    Spec {
        name: "stat",
        on: true,
        make: |c, _| make_stat(c),
    },
    Spec {
        name: "swap",
        on: false,
        make: |c, _| plain(c, swap::update),
    },
    Spec {
        name: "sysctl",
        on: false,
        make: |c, _| boxed(sysctl::Sysctl::new(c)),
    },
    Spec {
        name: "tapestats",
        on: true,
        make: |c, _| make_tapestats(c),
    },
    Spec {
        name: "tcpstat",
        on: false,
        make: |c, _| plain(c, tcpstat::update),
    },
    Spec {
        name: "textfile",
        on: true,
        make: |c, _| make_textfile(c),
    },
    Spec {
        name: "thermal_zone",
        on: true,
        make: |c, _| plain(c, thermal_zone::update),
    },
    Spec {
        name: "time",
        on: true,
        make: make_time,
    },
    Spec {
        name: "timex",
        on: true,
        make: |c, _| plain(c, |_, sink| timex::update(sink)),
    },
    Spec {
        name: "udp_queues",
        on: true,
        make: |c, _| plain(c, udp_queues::update),
    },
    Spec {
        name: "uname",
        on: true,
        make: |c, _| plain(c, |_, sink| uname::update(sink)),
    },
    Spec {
        name: "vmstat",
        on: true,
        make: |c, _| make_vmstat(c),
    },
    Spec {
        name: "watchdog",
        on: true,
        make: |c, _| plain(c, watchdog::update),
    },
    Spec {
        name: "xfrm",
        on: false,
        make: |c, _| plain(c, xfrm::update),
    },
    Spec {
        name: "xfs",
        on: true,
        make: |c, _| plain(c, xfs::update),
    },
    Spec {
        name: "zfs",
        on: true,
        make: |c, _| plain(c, zfs::update),
    },
    Spec {
        name: "zoneinfo",
        on: false,
        make: |c, _| plain(c, zoneinfo::update),
    },
];

/// Upstream's collectors that are not built here: their switches are understood, and switching one on by name shows it
/// as failing, so that nobody takes silence for health.
pub const NOT_BUILT: &[&str] = &[
    "ethtool",
    "logind",
    "network_route",
    "ntp",
    "perf",
    "runit",
    "supervisord",
    "systemd",
    "wifi",
];

/// The collector of this name.
pub fn find(name: &str) -> Option<&'static Spec> {
    COLLECTORS.iter().find(|spec| spec.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(COLLECTORS.is_sorted_by(|a, b| a.name < b.name));
    }
}
