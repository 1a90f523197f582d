//! The configuration that both servers get, written as the operator writes it from the monitors of a real stack, with
//! targets of this machine in the places of the cluster's; and the stack's rules.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where everything listens.
pub struct Places {
    /// Ours and theirs.
    pub servers: [u16; 2],
    /// The Alertmanager of each.
    pub alertmanagers: [u16; 2],
    /// The real exporter's page, shown on.
    pub node: u16,
    /// The cluster.
    pub state: u16,
    /// The cluster.
    pub kubelet: u16,
    /// The cluster.
    pub apiserver: u16,
    /// What goes down and comes back.
    pub flaky: u16,
    /// Nobody ever listens there.
    pub nowhere: u16,
}

/// A monitor of the stack.
struct Monitor {
    name: &'static str,
    job: &'static str,
    /// Whether all of its targets are one pod each, and what they are called.
    pods: &'static [&'static str],
    endpoint: &'static str,
    interval: u32,
    path: &'static str,
    honor_timestamps: bool,
    more: &'static str,
    relabel: &'static str,
}

const MONITORS: [Monitor; 9] = [
    Monitor {
        name: "monitoring/prometheus-k8s/0",
        job: "prometheus-k8s",
        pods: &["prometheus-k8s-0", "prometheus-k8s-1"],
        endpoint: "web",
        interval: 30,
        path: "/metrics",
        honor_timestamps: true,
        more: "",
        relabel: "",
    },
    Monitor {
        name: "monitoring/alertmanager-main/0",
        job: "alertmanager-main",
        pods: &["alertmanager-main-0", "alertmanager-main-1"],
        endpoint: "web",
        interval: 30,
        path: "/metrics",
        honor_timestamps: true,
        more: "",
        relabel: "",
    },
    Monitor {
        name: "monitoring/node-exporter/0",
        job: "node-exporter",
        pods: &["node-exporter-x"],
        endpoint: "https",
        interval: 15,
        path: "/metrics",
        honor_timestamps: true,
        more: "",
        relabel: "  - {source_labels: [__meta_kubernetes_pod_node_name], regex: (.*), replacement: $1, target_label: instance, action: replace}\n",
    },
    Monitor {
        name: "monitoring/kube-state-metrics/0",
        job: "kube-state-metrics",
        pods: &["kube-state-metrics-x"],
        endpoint: "https-main",
        interval: 30,
        path: "/metrics",
        honor_timestamps: true,
        more: "  honor_labels: true\n  metric_relabel_configs:\n  - {source_labels: [__name__], regex: kube_endpoint_address_not_ready|kube_endpoint_address_available, action: drop}\n",
        relabel: "  - {regex: (pod|service|endpoint|namespace), action: labeldrop}\n",
    },
    Monitor {
        name: "monitoring/kubelet/0",
        job: "kubelet",
        pods: &["node-1"],
        endpoint: "https-metrics",
        interval: 30,
        path: "/metrics",
        honor_timestamps: true,
        more: "  honor_labels: true\n",
        relabel: "  - {source_labels: [__metrics_path__], target_label: metrics_path, action: replace}\n",
    },
    Monitor {
        name: "monitoring/kubelet/1",
        job: "kubelet",
        pods: &["node-1"],
        endpoint: "https-metrics",
        interval: 30,
        path: "/metrics/cadvisor",
        honor_timestamps: false,
        more: "  honor_labels: true\n",
        relabel: "  - {source_labels: [__metrics_path__], target_label: metrics_path, action: replace}\n",
    },
    Monitor {
        name: "monitoring/kube-apiserver/0",
        job: "apiserver",
        pods: &["apiserver-x"],
        endpoint: "https",
        interval: 30,
        path: "/metrics",
        honor_timestamps: true,
        more: "",
        relabel: "",
    },
    Monitor {
        name: "monitoring/metrics-server/0",
        job: "metrics-server",
        pods: &["metrics-server-x"],
        endpoint: "https",
        interval: 30,
        path: "/metrics",
        honor_timestamps: true,
        more: "",
        relabel: "",
    },
    Monitor {
        name: "monitoring/grafana/0",
        job: "grafana",
        pods: &["grafana-x"],
        endpoint: "http",
        interval: 15,
        path: "/metrics",
        honor_timestamps: true,
        more: "",
        relabel: "",
    },
];

/// The configuration of the server with this Alertmanager.
pub fn configuration(places: &Places, alertmanager: u16) -> String {
    let mut text = format!(
        "global:\n  evaluation_interval: 30s\n  scrape_interval: 30s\n  external_labels:\n    cluster: test\n    prometheus: monitoring/k8s\n    prometheus_replica: prometheus-k8s-0\n\
         rule_files: [rules/*.yaml]\n\
         alerting:\n  alert_relabel_configs:\n  - {{action: labeldrop, regex: prometheus_replica}}\n  alertmanagers:\n  - path_prefix: /\n    scheme: http\n    api_version: v2\n    static_configs: [{{targets: ['127.0.0.1:{alertmanager}'], labels: {{__meta_kubernetes_service_name: alertmanager-main, __meta_kubernetes_endpoint_port_name: web}}}}]\n    relabel_configs:\n    - {{source_labels: [__meta_kubernetes_service_name], action: keep, regex: alertmanager-main}}\n    - {{source_labels: [__meta_kubernetes_endpoint_port_name], action: keep, regex: web}}\n\
         scrape_configs:\n"
    );
    for monitor in &MONITORS {
        let ports: Vec<u16> = match monitor.job {
            "prometheus-k8s" => places.servers.to_vec(),
            "alertmanager-main" => places.alertmanagers.to_vec(),
            "node-exporter" => vec![places.node],
            "kube-state-metrics" => vec![places.state],
            "kubelet" => vec![places.kubelet],
            "apiserver" => vec![places.apiserver],
            "metrics-server" => vec![places.flaky],
            _ => vec![places.nowhere],
        };
        write_job(&mut text, monitor, &ports);
    }
    text
}

fn write_job(text: &mut String, monitor: &Monitor, ports: &[u16]) {
    let Monitor {
        name,
        job,
        endpoint,
        interval,
        path,
        honor_timestamps,
        more,
        ..
    } = monitor;
    let _ = write!(
        text,
        "- job_name: serviceMonitor/{name}\n  honor_timestamps: {honor_timestamps}\n{more}  scrape_interval: {interval}s\n  scrape_timeout: 10s\n  metrics_path: {path}\n  static_configs:\n"
    );
    for (pod, port) in monitor.pods.iter().zip(ports) {
        let _ = writeln!(
            text,
            "  - targets: ['127.0.0.1:{port}']\n    labels: {{__meta_kubernetes_namespace: monitoring, __meta_kubernetes_service_name: {job}, __meta_kubernetes_service_label_app_kubernetes_io_name: {job}, __meta_kubernetes_endpoint_port_name: {endpoint}, __meta_kubernetes_endpoint_address_target_kind: Pod, __meta_kubernetes_endpoint_address_target_name: {pod}, __meta_kubernetes_pod_name: {pod}, __meta_kubernetes_pod_container_name: {}, __meta_kubernetes_pod_node_name: node-1}}",
            job.split('-').next().unwrap_or(job)
        );
    }
    let _ = write!(
        text,
        "  relabel_configs:\n  \
         - {{source_labels: [job], target_label: __tmp_prometheus_job_name, action: replace}}\n  \
         - {{source_labels: [__meta_kubernetes_service_label_app_kubernetes_io_name], regex: ({job});true|.+, action: keep}}\n  \
         - {{source_labels: [__meta_kubernetes_endpoint_port_name], regex: {endpoint}, action: keep}}\n  \
         - {{source_labels: [__meta_kubernetes_endpoint_address_target_kind, __meta_kubernetes_endpoint_address_target_name], separator: ;, regex: Node;(.*), replacement: '${{1}}', target_label: node, action: replace}}\n  \
         - {{source_labels: [__meta_kubernetes_endpoint_address_target_kind, __meta_kubernetes_endpoint_address_target_name], separator: ;, regex: Pod;(.*), replacement: '${{1}}', target_label: pod, action: replace}}\n  \
         - {{source_labels: [__meta_kubernetes_namespace], target_label: namespace, action: replace}}\n  \
         - {{source_labels: [__meta_kubernetes_service_name], target_label: service, action: replace}}\n  \
         - {{source_labels: [__meta_kubernetes_pod_container_name], target_label: container, action: replace}}\n  \
         - {{source_labels: [__meta_kubernetes_service_name], regex: (.+), target_label: job, replacement: '${{1}}', action: replace}}\n  \
         - {{target_label: endpoint, replacement: {endpoint}, action: replace}}\n{}  \
         - {{source_labels: [__address__], target_label: __tmp_hash, modulus: 1, action: hashmod}}\n  \
         - {{source_labels: [__tmp_hash], regex: 0, action: keep}}\n",
        monitor.relabel
    );
}

/// What a manifest's block of this name holds, moved to the left.
fn block(manifest: &str, name: &str) -> String {
    let lines = manifest.lines().skip_while(|line| line.trim_end() != name);
    let mut inside = lines.skip(1).peekable();
    let depth = inside
        .peek()
        .map_or(0, |line| line.len() - line.trim_start().len());
    inside
        .take_while(|line| line.trim().is_empty() || line.len() - line.trim_start().len() >= depth)
        .fold(String::new(), |text, line| {
            text + line.get(depth..).unwrap_or("") + "\n"
        })
}

/// The Alertmanager's configuration out of the stack's secret.
pub fn alertmanager_config() -> Result<String, String> {
    let path = manifests("stack-manifests")?.join("alertmanager-secret.yaml");
    let text = std::fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    let config = block(&text, "  alertmanager.yaml: |-");
    if config.is_empty() {
        return Err(format!("{}: holds no alertmanager.yaml", path.display()));
    }
    Ok(config)
}

fn manifests(folder: &str) -> Result<PathBuf, String> {
    testkit::conformance(folder).ok_or(format!("stand-in needs ../shared/conformance/{folder}"))
}

/// Writes all rules that both tools take into `folder`; gives how many rules and which files were left out.
pub fn write_rules(
    folder: &Path,
    tools: &[Vec<String>; 2],
) -> Result<(usize, Vec<String>), String> {
    let fault = |path: &Path, e: std::io::Error| format!("{}: {e}", path.display());
    std::fs::create_dir_all(folder).map_err(|e| fault(folder, e))?;
    let (mut rules, mut refused) = (0, Vec::new());
    let folders = [
        manifests("rules")?,
        manifests("stack-manifests/thanos/rules")?,
    ];
    for from in folders {
        let mut files: Vec<PathBuf> = std::fs::read_dir(&from)
            .map_err(|e| fault(&from, e))?
            .flatten()
            .map(|entry| entry.path())
            .collect();
        files.sort();
        for file in files {
            let manifest = std::fs::read_to_string(&file).map_err(|e| fault(&file, e))?;
            let text = block(&manifest, "spec:");
            let name = file.file_name().unwrap_or_default();
            let to = folder.join(name);
            std::fs::write(&to, &text).map_err(|e| fault(&to, e))?;
            let mut taken = true;
            for tool in tools {
                let mut command = Command::new(&tool[0]);
                command.args(&tool[1..]).args(["check", "rules"]).arg(&to);
                let output = command.output().map_err(|e| e.to_string())?;
                taken &= output.status.success();
            }
            if taken {
                let is_rule = |line: &&str| {
                    let line = line.trim_start().trim_start_matches("- ");
                    line.starts_with("alert:") || line.starts_with("record:")
                };
                rules += text.lines().filter(is_rule).count();
            } else {
                refused.push(name.to_string_lossy().into_owned());
                std::fs::remove_file(&to).map_err(|e| fault(&to, e))?;
            }
        }
    }
    Ok((rules, refused))
}
