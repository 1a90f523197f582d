use super::*;

fn run(line: &str) -> Result<Config, String> {
    match parse(
        line.split_whitespace().map(str::to_string),
        BuildInfo::default(),
    ) {
        Ok(Invocation::Run(config)) => Ok(*config),
        Ok(Invocation::Print(text)) => Err(text),
        Err(error) => Err(error.0),
    }
}

#[test]
fn nothing_said_gives_the_defaults() {
    command().debug_assert();
    let config = run("").unwrap();
    assert_eq!(config.listen_addresses, [":9100"]);
    assert_eq!(config.collectors, Config::default().collectors);
    assert_eq!(config.options.diskstats_device_exclude, None);
    assert_eq!(
        (config.telemetry_path.as_str(), config.max_requests),
        ("/metrics", 40)
    );
}

#[test]
fn what_kube_prometheus_says() {
    let config = run("--web.listen-address=127.0.0.1:9101 --path.sysfs=/host/sys --path.rootfs=/host/root \
         --path.procfs=/host/root/proc --path.udev.data=/host/root/run/udev/data --no-collector.wifi --no-collector.hwmon \
         --no-collector.btrfs \
         --collector.filesystem.mount-points-exclude=^/(dev|proc|sys|run/k3s/containerd/.+|var/lib/docker/.+|var/lib/kubelet/pods/.+)($|/) \
         --collector.netclass.ignored-devices=^(veth.*|[a-f0-9]{15})$ --collector.netdev.device-exclude=^(veth.*|[a-f0-9]{15})$")
    .unwrap();
    assert_eq!(config.listen_addresses, ["127.0.0.1:9101"]);
    assert!(!config.collectors.contains("hwmon") && config.collectors.contains("cpu"));
    assert!(
        config
            .options
            .filesystem_mount_points_exclude
            .unwrap()
            .starts_with("^/(dev")
    );
}

#[test]
fn switches_and_lists() {
    let config = run("--collector.disable-defaults --collector.cpu --collector.textfile.directory a --collector.textfile.directory=b").unwrap();
    assert_eq!(config.collectors.into_iter().collect::<Vec<_>>(), ["cpu"]);
    assert_eq!(config.options.textfile_directories, ["a", "b"]);
    let config =
        run("--web.listen-address=:1 --web.listen-address :2 --no-collector.cpu.guest").unwrap();
    assert_eq!(config.listen_addresses, [":1", ":2"]);
    assert!(!config.options.cpu_guest);
    assert!(
        run("--collector.processes")
            .unwrap()
            .collectors
            .contains("processes")
    );
}

#[test]
fn flags_of_what_is_not_built_are_understood() {
    let config = run(
        "--collector.systemd.unit-include=ssh.* --collector.systemd.enable-task-metrics \
         --no-collector.wifi --collector.netclass.netlink --collector.systemd",
    )
    .unwrap();
    assert!(config.collectors.contains("systemd"));
    assert!(!config.collectors.contains("wifi"));
}

#[test]
fn what_is_refused() {
    for line in [
        "--nope",
        "--collector.cpu=false",
        "--path.procfs=a --path.procfs=b",
        "--collector.cpu --no-collector.cpu",
        "--web.max-requests=many",
        "--log.level=loud",
        "-path.procfs=/x",
        "stray",
        "@/no/such/file",
    ] {
        let error = run(line).unwrap_err();
        assert!(!error.is_empty(), "{line}");
    }
    assert!(
        run("--version")
            .unwrap_err()
            .starts_with("node_exporter, version ")
    );
    let help = run("--help").unwrap_err();
    assert!(
        help.contains("--path.procfs") && help.contains("[default: /proc]"),
        "{help}"
    );
}
