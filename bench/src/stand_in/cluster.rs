//! Pages of a small cluster, as kube-state-metrics, a kubelet and an API server tell of one: enough that rules about
//! clusters have series to record and alerts to raise. Counters begin high and grow evenly, so that a rate is the same
//! whoever scraped when.

use std::fmt::Write as _;

/// Namespace, pod, its owner's kind and name, and its node.
const PODS: [(&str, &str, &str, &str, &str); 6] = [
    (
        "default",
        "shop-7d9f-a",
        "ReplicaSet",
        "shop-7d9f",
        "node-1",
    ),
    (
        "default",
        "shop-7d9f-b",
        "ReplicaSet",
        "shop-7d9f",
        "node-2",
    ),
    (
        "default",
        "stuck-55c8-a",
        "ReplicaSet",
        "stuck-55c8",
        "node-2",
    ),
    (
        "monitoring",
        "prometheus-k8s-0",
        "StatefulSet",
        "prometheus-k8s",
        "node-1",
    ),
    ("kube-system", "proxy-x1", "DaemonSet", "proxy", "node-1"),
    ("kube-system", "proxy-x2", "DaemonSet", "proxy", "node-2"),
];
const NODES: [&str; 2] = ["node-1", "node-2"];
/// What the counters show at first.
const BEGIN: u64 = 1_000_000;

/// What happens to the cluster.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// Pages so far.
    pub tick: u64,
    /// A bad hour: a pod crashes, a node is not ready, a deployment lacks replicas.
    pub bad: bool,
}

/// A page under way.
#[derive(Default)]
struct Page(String);

impl Page {
    fn put(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.0, "{name}{{{labels}}} {value}");
    }
}

/// What kube-state-metrics tells.
pub fn state(moment: Moment) -> String {
    let mut page = Page::default();
    let bad = u64::from(moment.bad);
    for (namespace, pod, kind, owner, node) in PODS {
        let at = format!("namespace=\"{namespace}\",pod=\"{pod}\",uid=\"{pod}\"");
        let container = format!("{at},container=\"main\"");
        page.put("kube_pod_info", &format!("{at},node=\"{node}\""), 1);
        page.put(
            "kube_pod_owner",
            &format!(
                "{at},owner_kind=\"{kind}\",owner_name=\"{owner}\",owner_is_controller=\"true\""
            ),
            1,
        );
        let stuck = pod.starts_with("stuck");
        for phase in ["Pending", "Running", "Failed"] {
            let here = phase == if stuck { "Pending" } else { "Running" };
            page.put(
                "kube_pod_status_phase",
                &format!("{at},phase=\"{phase}\""),
                u64::from(here),
            );
        }
        let crashes = moment.bad && pod == "shop-7d9f-b";
        let ready = !stuck && !crashes;
        page.put(
            "kube_pod_status_ready",
            &format!("{at},condition=\"true\""),
            u64::from(ready),
        );
        for (resource, unit, request) in [("cpu", "core", 1), ("memory", "byte", 1 << 28)] {
            let what =
                format!("{container},resource=\"{resource}\",unit=\"{unit}\",node=\"{node}\"");
            page.put("kube_pod_container_resource_requests", &what, request);
            page.put("kube_pod_container_resource_limits", &what, request * 2);
        }
        if stuck {
            page.put(
                "kube_pod_container_status_waiting_reason",
                &format!("{container},reason=\"ImagePullBackOff\""),
                1,
            );
        }
        if crashes {
            page.put(
                "kube_pod_container_status_waiting_reason",
                &format!("{container},reason=\"CrashLoopBackOff\""),
                1,
            );
            page.put(
                "kube_pod_container_status_last_terminated_reason",
                &format!("{container},reason=\"Error\""),
                1,
            );
        }
    }
    for (owner, deployment) in [("shop-7d9f", "shop"), ("stuck-55c8", "stuck")] {
        page.put(
            "kube_replicaset_owner",
            &format!("namespace=\"default\",replicaset=\"{owner}\",owner_kind=\"Deployment\",owner_name=\"{deployment}\""),
            1,
        );
        let at = format!("namespace=\"default\",deployment=\"{deployment}\"");
        page.put("kube_deployment_spec_replicas", &at, 2);
        page.put("kube_deployment_status_replicas_available", &at, 2 - bad);
        page.put("kube_deployment_status_replicas_updated", &at, 2);
        page.put("kube_deployment_metadata_generation", &at, 3);
        page.put("kube_deployment_status_observed_generation", &at, 3 - bad);
    }
    let daemons = "namespace=\"kube-system\",daemonset=\"proxy\"";
    for (name, value) in [
        ("desired_number_scheduled", 2),
        ("current_number_scheduled", 2 - bad),
        ("number_misscheduled", 0),
        ("updated_number_scheduled", 2),
        ("number_available", 2 - bad),
    ] {
        page.put(&format!("kube_daemonset_status_{name}"), daemons, value);
    }
    for node in NODES {
        let at = format!("node=\"{node}\"");
        page.put("kube_node_info", &at, 1);
        let ready = !(moment.bad && node == "node-2");
        for (status, holds) in [("true", ready), ("false", !ready)] {
            page.put(
                "kube_node_status_condition",
                &format!("{at},condition=\"Ready\",status=\"{status}\""),
                u64::from(holds),
            );
        }
        for (resource, unit, value) in [
            ("cpu", "core", 4),
            ("memory", "byte", 1 << 31),
            ("pods", "integer", 110),
        ] {
            let what = format!("{at},resource=\"{resource}\",unit=\"{unit}\"");
            page.put("kube_node_status_capacity", &what, value);
            page.put("kube_node_status_allocatable", &what, value);
        }
    }
    page.put(
        "kube_job_failed",
        "namespace=\"default\",job_name=\"nightly\",condition=\"true\"",
        bad,
    );
    for result in ["success", "error"] {
        let failing = result == "error" && moment.bad;
        for name in ["list", "watch"] {
            page.put(
                &format!("kube_state_metrics_{name}_total"),
                &format!("resource=\"*v1.Pod\",result=\"{result}\""),
                BEGIN
                    + if failing || result == "success" {
                        moment.tick * 10
                    } else {
                        0
                    },
            );
        }
    }
    page.put("kube_state_metrics_total_shards", "", 1);
    page.put("kube_state_metrics_shard_ordinal", "shard_ordinal=\"0\"", 0);
    page.0
}

/// What a kubelet tells of itself.
pub fn kubelet(moment: Moment) -> String {
    let mut page = Page::default();
    page.put("kubelet_node_name", "node=\"node-1\"", 1);
    page.put("kubelet_running_pods", "", 3);
    page.put(
        "kubelet_evictions",
        "eviction_signal=\"memory.available\"",
        BEGIN + moment.tick * u64::from(moment.bad),
    );
    page.put(
        "kubelet_certificate_manager_client_ttl_seconds",
        "",
        86_400 * 5,
    );
    page.put(
        "kubelet_certificate_manager_server_ttl_seconds",
        "",
        86_400 * 5,
    );
    let claim = "namespace=\"default\",persistentvolumeclaim=\"data\"";
    page.put("kubelet_volume_stats_capacity_bytes", claim, 1000);
    page.put(
        "kubelet_volume_stats_available_bytes",
        claim,
        if moment.bad { 20 } else { 500 },
    );
    page.put(
        "kubelet_volume_stats_used_bytes",
        claim,
        if moment.bad { 980 } else { 500 },
    );
    page.put("kubelet_volume_stats_inodes", claim, 1000);
    page.put("kubelet_volume_stats_inodes_free", claim, 900);
    page.put("kubelet_volume_stats_inodes_used", claim, 100);
    for name in [
        "kubelet_pleg_relist_duration_seconds",
        "kubelet_pod_worker_duration_seconds",
    ] {
        histogram(&mut page, name, "", moment.tick);
    }
    page.0
}

/// What a kubelet tells of containers.
pub fn containers(moment: Moment) -> String {
    let mut page = Page::default();
    for (nth, (namespace, pod, _, _, node)) in PODS.into_iter().enumerate() {
        let at = format!(
            "namespace=\"{namespace}\",pod=\"{pod}\",container=\"main\",image=\"registry/{pod}:1\",name=\"{pod}\",id=\"/{pod}\",node=\"{node}\""
        );
        let nth = nth as u64;
        page.put(
            "container_cpu_usage_seconds_total",
            &at,
            BEGIN + moment.tick * (nth + 1),
        );
        for name in ["working_set_bytes", "usage_bytes", "rss", "cache", "swap"] {
            page.put(
                &format!("container_memory_{name}"),
                &at,
                (1 << 27) + nth * 4096,
            );
        }
        page.put(
            "container_cpu_cfs_periods_total",
            &at,
            BEGIN + moment.tick * 300,
        );
        page.put(
            "container_cpu_cfs_throttled_periods_total",
            &at,
            BEGIN + moment.tick * 50 * nth,
        );
    }
    page.0
}

/// What an API server tells.
pub fn api_server(moment: Moment) -> String {
    let mut page = Page::default();
    for (verb, scope) in [
        ("GET", "resource"),
        ("LIST", "namespace"),
        ("LIST", "cluster"),
        ("POST", "resource"),
        ("PATCH", "resource"),
    ] {
        for (code, share) in [("200", 90), ("500", if moment.bad { 9 } else { 0 })] {
            page.put(
                "apiserver_request_total",
                &format!("verb=\"{verb}\",scope=\"{scope}\",code=\"{code}\",resource=\"pods\""),
                BEGIN + moment.tick * share,
            );
        }
        let at = format!("verb=\"{verb}\",scope=\"{scope}\",resource=\"pods\",subresource=\"\",");
        histogram(
            &mut page,
            "apiserver_request_sli_duration_seconds",
            &at,
            moment.tick,
        );
        histogram(
            &mut page,
            "apiserver_request_duration_seconds",
            &at,
            moment.tick,
        );
    }
    page.put("apiserver_request_terminations_total", "", BEGIN);
    histogram(
        &mut page,
        "apiserver_client_certificate_expiration_seconds",
        "",
        moment.tick,
    );
    for (code, share) in [("200", 30), ("500", if moment.bad { 3 } else { 0 })] {
        page.put(
            "rest_client_requests_total",
            &format!("code=\"{code}\",method=\"GET\",host=\"h\""),
            BEGIN + moment.tick * share,
        );
    }
    page.0
}

fn histogram(page: &mut Page, name: &str, labels: &str, tick: u64) {
    for (le, share) in [
        ("0.1", 20),
        ("0.5", 50),
        ("1", 70),
        ("5", 85),
        ("30", 95),
        ("+Inf", 100),
    ] {
        page.put(
            &format!("{name}_bucket"),
            &format!("{labels}le=\"{le}\""),
            BEGIN + tick * share,
        );
    }
    page.put(
        &format!("{name}_sum"),
        labels.trim_end_matches(','),
        BEGIN + tick * 80,
    );
    page.put(
        &format!("{name}_count"),
        labels.trim_end_matches(','),
        BEGIN + tick * 100,
    );
}
