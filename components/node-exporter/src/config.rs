//! The exporter's configuration: what the command line can say, with upstream's defaults.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::files::Paths;

/// A configuration that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ConfigError(pub String);

/// Everything the exporter needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Addresses to listen on, `host:port`.
    pub listen_addresses: Vec<String>,
    /// Use the sockets systemd passes instead.
    pub systemd_socket: bool,
    /// File with TLS and authentication settings; empty for none.
    pub web_config_file: String,
    /// Path of the metrics page.
    pub telemetry_path: String,
    /// Leave out metrics about the exporter itself.
    pub disable_exporter_metrics: bool,
    /// Scrapes served at once; 0 for any number.
    pub max_requests: usize,
    /// `debug`, `info`, `warn` or `error`.
    pub log_level: String,
    /// `logfmt` or `json`.
    pub log_format: String,
    /// Threads that serve requests; upstream's `--runtime.gomaxprocs`.
    pub threads: usize,
    /// Where the kernel's trees are mounted.
    pub paths: Paths,
    /// Names of the collectors to run.
    pub collectors: BTreeSet<&'static str>,
    /// What single collectors can be told.
    pub options: Options,
    /// What `node_exporter_build_info` says.
    pub build: BuildInfo,
}

/// Where a binary comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BuildInfo {
    /// Version number.
    pub version: String,
    /// Commit.
    pub revision: String,
    /// Branch.
    pub branch: String,
}

impl Default for BuildInfo {
    fn default() -> BuildInfo {
        BuildInfo {
            version: env!("CARGO_PKG_VERSION").into(),
            revision: "unknown".into(),
            branch: "unknown".into(),
        }
    }
}

/// Settings of single collectors. Regular expressions are unanchored; an empty one is no restriction.
#[derive(Debug, Clone)]
pub struct Options {
    /// Show time spent in guests.
    pub cpu_guest: bool,
    /// Show `cpu_info`.
    pub cpu_info: bool,
    /// Processor flags to show; switches `cpu_info` on.
    pub cpu_info_flags_include: String,
    /// Processor bugs to show; switches `cpu_info` on.
    pub cpu_info_bugs_include: String,
    /// Devices to leave out; `None` for the default expression unless an include is set.
    pub diskstats_device_exclude: Option<String>,
    /// Devices to show.
    pub diskstats_device_include: String,
    /// Mount points to leave out; `None` as for disks.
    pub filesystem_mount_points_exclude: Option<String>,
    /// Mount points to show.
    pub filesystem_mount_points_include: String,
    /// File system types to leave out; `None` as for disks.
    pub filesystem_fs_types_exclude: Option<String>,
    /// File system types to show.
    pub filesystem_fs_types_include: String,
    /// How long a file system may take to answer.
    pub filesystem_mount_timeout: Duration,
    /// Devices to leave out.
    pub netdev_device_exclude: String,
    /// Devices to show.
    pub netdev_device_include: String,
    /// Show addresses.
    pub netdev_address_info: bool,
    /// Show the kernel's own counter names instead of the old ones.
    pub netdev_detailed: bool,
    /// Ask the kernel over netlink instead of reading `net/dev`.
    pub netdev_netlink: bool,
    /// Add a label `ifalias`.
    pub netdev_label_ifalias: bool,
    /// Devices to leave out.
    pub netclass_ignored_devices: String,
    /// Do not show a speed of -1.
    pub netclass_ignore_invalid_speed: bool,
    /// `Proto_Name`s to show.
    pub netstat_fields: String,
    /// Fields to show.
    pub vmstat_fields: String,
    /// Show softirqs by vector.
    pub stat_softirq: bool,
    /// Devices to leave out.
    pub arp_device_exclude: String,
    /// Devices to show.
    pub arp_device_include: String,
    /// Ask the kernel over netlink instead of reading `net/arp`.
    pub arp_netlink: bool,
    /// Chips to leave out.
    pub hwmon_chip_exclude: String,
    /// Chips to show.
    pub hwmon_chip_include: String,
    /// `chip;sensor` to leave out.
    pub hwmon_sensor_exclude: String,
    /// `chip;sensor` to show.
    pub hwmon_sensor_include: String,
    /// Directories of text files; each may be a glob.
    pub textfile_directories: Vec<String>,
    /// Supplies to leave out.
    pub powersupply_ignored: String,
    /// Zones as a label instead of in the name.
    pub rapl_zone_label: bool,
    /// Devices to leave out.
    pub tapestats_ignored_devices: String,
    /// Show cache priorities.
    pub bcache_priority_stats: bool,
    /// Labels of backends, comma-separated.
    pub ipvs_backend_labels: String,
    /// `name;info;devices` to leave out.
    pub interrupts_name_exclude: String,
    /// `name;info;devices` to show.
    pub interrupts_name_include: String,
    /// Show interrupts that never came.
    pub interrupts_include_zeros: bool,
    /// Slabs to leave out.
    pub slabinfo_slabs_exclude: String,
    /// Slabs to show.
    pub slabinfo_slabs_include: String,
    /// Numeric sysctls to show.
    pub sysctl_include: Vec<String>,
    /// Textual sysctls to show.
    pub sysctl_include_info: Vec<String>,
    /// Show PCI names.
    pub pcidevice_names: bool,
    /// File with PCI names; empty for the usual places.
    pub pcidevice_idsfile: String,
    /// Devices to leave out.
    pub infiniband_device_exclude: String,
    /// Devices to show.
    pub infiniband_device_include: String,
    /// Devices to leave out.
    pub qdisc_device_exclude: String,
    /// Devices to show.
    pub qdisc_device_include: String,
    /// Directory to read instead of asking the kernel, for tests.
    pub qdisc_fixtures: String,
    /// Directory to read instead of asking the kernel, for tests.
    pub wifi_fixtures: String,
}

/// `netstat` counters shown by default.
pub const NETSTAT_FIELDS: &str = "^(.*_(InErrors|InErrs)|Ip_Forwarding|Ip(6|Ext)_(InOctets|OutOctets)|Icmp6?_(InMsgs|OutMsgs)|TcpExt_(Listen.*|Syncookies.*|TCPSynRetrans|TCPTimeouts|TCPOFOQueue|TCPRcvQDrop)|Tcp_(ActiveOpens|InSegs|OutSegs|OutRsts|PassiveOpens|RetransSegs|CurrEstab)|Udp6?_(InDatagrams|OutDatagrams|NoPorts|RcvbufErrors|SndbufErrors))$";
/// `vmstat` fields shown by default.
pub const VMSTAT_FIELDS: &str = "^(oom_kill|pgpg|pswp|pg.*fault).*";
/// Disks left out by default.
pub const DISKSTATS_EXCLUDE: &str = r"^(z?ram|loop|fd|(h|s|v|xv)d[a-z]|nvme\d+n\d+p)\d+$";
/// Mount points left out by default.
pub const MOUNT_POINTS_EXCLUDE: &str =
    "^/(dev|proc|run/credentials/.+|sys|var/lib/docker/.+|var/lib/containers/storage/.+)($|/)";
/// File system types left out by default.
pub const FS_TYPES_EXCLUDE: &str = "^(autofs|binfmt_misc|bpf|cgroup2?|configfs|debugfs|devpts|devtmpfs|fusectl|hugetlbfs|iso9660|mqueue|nsfs|overlay|proc|procfs|pstore|rpc_pipefs|securityfs|selinuxfs|squashfs|erofs|sysfs|tracefs)$";
/// Labels of IPVS backends, all of which are shown by default.
pub const IPVS_LABELS: &str =
    "local_address,local_port,remote_address,remote_port,proto,local_mark";

impl Default for Options {
    fn default() -> Options {
        Options {
            cpu_guest: true,
            cpu_info: false,
            cpu_info_flags_include: String::new(),
            cpu_info_bugs_include: String::new(),
            diskstats_device_exclude: None,
            diskstats_device_include: String::new(),
            filesystem_mount_points_exclude: None,
            filesystem_mount_points_include: String::new(),
            filesystem_fs_types_exclude: None,
            filesystem_fs_types_include: String::new(),
            filesystem_mount_timeout: Duration::from_secs(5),
            netdev_device_exclude: String::new(),
            netdev_device_include: String::new(),
            netdev_address_info: false,
            netdev_detailed: false,
            netdev_netlink: true,
            netdev_label_ifalias: false,
            netclass_ignored_devices: "^$".into(),
            netclass_ignore_invalid_speed: false,
            netstat_fields: NETSTAT_FIELDS.into(),
            vmstat_fields: VMSTAT_FIELDS.into(),
            stat_softirq: false,
            arp_device_exclude: String::new(),
            arp_device_include: String::new(),
            arp_netlink: true,
            hwmon_chip_exclude: String::new(),
            hwmon_chip_include: String::new(),
            hwmon_sensor_exclude: String::new(),
            hwmon_sensor_include: String::new(),
            textfile_directories: Vec::new(),
            powersupply_ignored: "^$".into(),
            rapl_zone_label: false,
            tapestats_ignored_devices: "^$".into(),
            bcache_priority_stats: false,
            ipvs_backend_labels: IPVS_LABELS.into(),
            interrupts_name_exclude: String::new(),
            interrupts_name_include: String::new(),
            interrupts_include_zeros: true,
            slabinfo_slabs_exclude: String::new(),
            slabinfo_slabs_include: ".*".into(),
            sysctl_include: Vec::new(),
            sysctl_include_info: Vec::new(),
            pcidevice_names: false,
            pcidevice_idsfile: String::new(),
            infiniband_device_exclude: String::new(),
            infiniband_device_include: String::new(),
            qdisc_device_exclude: String::new(),
            qdisc_device_include: String::new(),
            qdisc_fixtures: String::new(),
            wifi_fixtures: String::new(),
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            listen_addresses: vec![":9100".into()],
            systemd_socket: false,
            web_config_file: String::new(),
            telemetry_path: "/metrics".into(),
            disable_exporter_metrics: false,
            max_requests: 40,
            log_level: "info".into(),
            log_format: "logfmt".into(),
            threads: 1,
            paths: Paths::default(),
            collectors: crate::registry::COLLECTORS
                .iter()
                .filter(|spec| spec.on)
                .map(|spec| spec.name)
                .collect(),
            options: Options::default(),
            build: BuildInfo::default(),
        }
    }
}
