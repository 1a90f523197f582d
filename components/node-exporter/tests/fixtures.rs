//! Upstream's end-to-end test: the exporter run on its fixtures gives its expected page.
//!
//! Compared family by family, so that one difference does not hide another. Skipped, aloud, without the fixtures.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use node_exporter::flags::{self, Invocation};
use node_exporter::{BuildInfo, NodeExporter, metrics_page};

/// Families that differ from run to run or from machine to machine: upstream's own test leaves their samples out.
const VOLATILE: [&str; 8] = [
    "go_",
    "node_exporter_build_info",
    "node_scrape_collector_duration_seconds",
    "process_",
    "node_textfile_mtime_seconds",
    "node_time_zone",
    "node_time_seconds",
    "node_network_receive_bytes_total",
];
const VOLATILE_NET: [&str; 3] = [
    "node_network_receive_packets_total",
    "node_network_transmit_bytes_total",
    "node_network_transmit_packets_total",
];

/// Whether a line or family belongs to a collector that is not built here.
fn is_not_built(text: &str) -> bool {
    node_exporter::registry::NOT_BUILT.iter().any(|name| {
        text.starts_with(&format!("node_{name}_"))
            || text.contains(&format!("collector=\"{name}\""))
    })
}

fn fixtures() -> Option<PathBuf> {
    let root = std::env::var_os("TITAN_CONFORMANCE")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance")
        });
    let path = root.join("node-exporter/fixtures");
    if path.is_dir() {
        return path.canonicalize().ok();
    }
    eprintln!("skipped: no fixtures at {}", path.display());
    None
}

/// Unpacks upstream's text archive of directories, links and files.
fn unpack(archive: &Path, into: &Path) {
    let bytes = fs::read(archive).unwrap();
    let mut lines = bytes.split(|b| *b == b'\n');
    let mut path = PathBuf::new();
    while let Some(line) = lines.next() {
        let text = String::from_utf8_lossy(line).into_owned();
        if let Some(directory) = text.strip_prefix("Directory: ") {
            fs::create_dir_all(into.join(directory)).unwrap();
        } else if let Some(file) = text.strip_prefix("Path: ") {
            path = into.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
        } else if let Some(target) = text.strip_prefix("SymlinkTo: ") {
            let _ = fs::remove_file(&path);
            symlink(target, &path).unwrap();
        } else if let Some(count) = text.strip_prefix("Lines: ") {
            let mut content = Vec::new();
            for _ in 0..count.parse::<usize>().unwrap() {
                content.extend_from_slice(&decode(lines.next().unwrap()));
            }
            fs::write(&path, content).unwrap();
        }
    }
}

/// One content line: `NULLBYTE` and `EOF` have meanings, backslashes take them away.
fn decode(line: &[u8]) -> Vec<u8> {
    let text: String = line.iter().map(|b| *b as char).collect();
    let mut text = text
        .replace("\\NULLBYTE", "\u{1}")
        .replace("NULLBYTE", "\0")
        .replace('\u{1}', "NULLBYTE");
    match text.strip_suffix("EOF") {
        Some(rest) if !rest.ends_with('\\') => text = rest.to_string(),
        _ => text = text.replace("\\EOF", "EOF") + "\n",
    }
    text.chars().map(|c| c as u8).collect()
}

/// Lines of a page by family; `# HELP` and `# TYPE` included.
fn by_family(page: &str) -> BTreeMap<String, Vec<String>> {
    let mut families: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut family = String::new();
    for line in page.lines() {
        if let Some(rest) = line
            .strip_prefix("# HELP ")
            .or_else(|| line.strip_prefix("# TYPE "))
        {
            family = rest.split(' ').next().unwrap().to_string();
        }
        families
            .entry(family.clone())
            .or_default()
            .push(line.to_string());
    }
    families
}

#[test]
fn the_page_is_upstreams() {
    let Some(fixtures) = fixtures() else { return };
    let work = tempfile::tempdir().unwrap();
    let base = work.path().join("collector/fixtures");
    fs::create_dir_all(&base).unwrap();
    for entry in fs::read_dir(&fixtures).unwrap() {
        let entry = entry.unwrap();
        if entry.file_name() != "proc" {
            symlink(entry.path(), base.join(entry.file_name())).unwrap();
        }
    }
    // `proc/self` is a link to a process; where the fixtures were copied without links, it is a file that names it.
    fs::create_dir(base.join("proc")).unwrap();
    for entry in fs::read_dir(fixtures.join("proc")).unwrap() {
        let entry = entry.unwrap();
        let to = base.join("proc").join(entry.file_name());
        if entry.file_name() == "self" {
            symlink("10", to).unwrap();
        } else {
            symlink(entry.path(), to).unwrap();
        }
    }
    unpack(&fixtures.join("sys.ttar"), &base);
    unpack(&fixtures.join("udev.ttar"), &base);
    // Labels of some families contain the relative paths, so the test goes where upstream's goes.
    std::env::set_current_dir(work.path()).unwrap();

    let on = "arp bcache bcachefs bonding btrfs buddyinfo cgroups conntrack cpu cpufreq cpu_vulnerabilities diskstats dmi drbd \
        edac entropy fibrechannel filefd hwmon infiniband interrupts ipvs kernel_hung ksmd lnstat loadavg mdadm meminfo \
        meminfo_numa mountstats netdev netstat nfs nfsd pcidevice pressure processes qdisc rapl schedstat slabinfo sockstat \
        softirqs stat sysctl textfile thermal_zone udp_queues vmstat watchdog wifi xfrm xfs zfs zoneinfo";
    let mut arguments: Vec<String> = "--path.rootfs=collector/fixtures --path.procfs=collector/fixtures/proc \
        --path.sysfs=collector/fixtures/sys --path.udev.data=collector/fixtures/udev/data \
        --no-collector.selinux --no-collector.filesystem --no-collector.timex --no-collector.uname \
        --collector.cpu.info --collector.cpu.info.bugs-include=^(cpu_meltdown|spectre_.*|mds)$ \
        --collector.cpu.info.flags-include=^(aes|avx.?|constant_tsc)$ \
        --collector.arp.device-exclude=nope --no-collector.arp.netlink --collector.bcache.priorityStats \
        --collector.hwmon.chip-include=(applesmc|asus_nb_wmi|coretemp|hwmon4|ieee80211|nct6779) \
        --collector.netclass.ignore-invalid-speed --collector.netclass.ignored-devices=(dmz|int) \
        --collector.netdev.device-include=lo --collector.qdisc.device-include=(wlan0|eth0) \
        --collector.qdisc.fixtures=collector/fixtures/qdisc/ --collector.stat.softirq \
        --collector.sysctl.include-info=kernel.seccomp.actions_avail --collector.sysctl.include=fs.file-nr \
        --collector.sysctl.include=fs.file-nr:total,current,max --collector.sysctl.include=kernel.threads-max \
        --collector.textfile.directory=collector/fixtures/textfile/two_metric_files/ \
        --collector.wifi.fixtures=collector/fixtures/wifi --log.level=debug"
        .split_whitespace()
        .map(str::to_string)
        .collect();
    let built = |name: &&str| node_exporter::registry::find(name).is_some();
    arguments.extend(
        on.split_whitespace()
            .filter(built)
            .map(|name| format!("--collector.{name}")),
    );
    let config = match flags::parse(arguments, BuildInfo::default()) {
        Ok(Invocation::Run(config)) => *config,
        other => panic!("{other:?}"),
    };
    let clock = Arc::new(env::system::SystemClock::new(|_| {
        Box::pin(std::future::ready(()))
    }));
    let exporter = NodeExporter::new(config, clock).unwrap();
    let page = metrics_page(&exporter, "", "", "");
    let ours = by_family(&String::from_utf8(page.body).unwrap());
    let expected = by_family(&fs::read_to_string(fixtures.join("e2e-output.txt")).unwrap());

    let volatile = |name: &str| {
        VOLATILE
            .iter()
            .chain(&VOLATILE_NET)
            .any(|prefix| name.starts_with(prefix))
    };
    let (mut equal, mut total, mut missing, mut different) = (0, 0, Vec::new(), Vec::new());
    for (name, want) in &expected {
        if name.starts_with("go_") {
            continue; // there is no Go here
        }
        total += 1;
        let want: &Vec<String> = &want
            .iter()
            .filter(|line| !is_not_built(line))
            .cloned()
            .collect();
        let Some(got) = ours.get(name) else {
            missing.push(name.as_str());
            continue;
        };
        let head = |lines: &Vec<String>| lines.iter().take(2).cloned().collect::<Vec<_>>();
        let same = if volatile(name) {
            head(got) == head(want)
        } else {
            got == want
        };
        if same {
            equal += 1;
        } else {
            different.push(name.as_str());
            let show: Vec<&String> = want
                .iter()
                .filter(|line| !got.contains(line))
                .take(3)
                .collect();
            let extra: Vec<&String> = got
                .iter()
                .filter(|line| !want.contains(line))
                .take(3)
                .collect();
            eprintln!("different: {name}\n  expected {show:#?}\n  found {extra:#?}");
        }
    }
    let surplus: Vec<&str> = ours
        .keys()
        .filter(|name| !expected.contains_key(*name))
        .map(String::as_str)
        .collect();
    eprintln!("families equal to upstream's: {equal} of {total}");
    eprintln!(
        "families of collectors that are not built: {}",
        missing.iter().filter(|n| is_not_built(n)).count()
    );
    assert!(different.is_empty(), "different: {different:?}");
    assert!(surplus.is_empty(), "not in upstream's page: {surplus:?}");
    missing.retain(|name| !is_not_built(name));
    assert!(missing.is_empty(), "missing: {missing:?}");
}
