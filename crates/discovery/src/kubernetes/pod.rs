//! Role `pod`: a target for each port of each container; and what other roles tell of pods.

use configfile::sd_kubernetes::AttachMetadata;

use super::Draft;
use super::labels::{LabelMap, join_host_port};
use super::node_of;
use super::object::{Container, ContainerPort, ContainerStatus, Kind, Pod};
use super::store::Lookup;

/// The pod's targets; none before it has an address, or, with nodes attached, while its node is not known.
pub fn draft(pod: &Pod, attach: AttachMetadata, lookup: &Lookup<'_>) -> Draft {
    let mut draft = Draft::default();
    let ip = &pod.status.pod_ip;
    if ip.is_empty() {
        return draft;
    }
    if attach.node {
        match node_of(&pod.spec.node_name, lookup) {
            Some(node) => draft.labels.merge(&node),
            None => return draft,
        }
    }
    draft.labels.set("namespace", &pod.metadata.namespace);
    draft.labels.merge(&pod_labels(pod, attach, lookup));
    for (container, init) in containers(pod) {
        let id = container_id(pod, container, init);
        let mut base = LabelMap::default();
        base.set("pod_container_name", &container.name);
        base.set("pod_container_id", id);
        base.set("pod_container_image", &container.image);
        base.set("pod_container_init", init.to_string());
        if container.ports.is_empty() {
            base.set_plain("__address__", ip);
            draft.targets.push(base);
            continue;
        }
        for port in &container.ports {
            let mut target = base.clone();
            target.set_plain("__address__", join_host_port(ip, port.container_port));
            set_port(&mut target, port);
            draft.targets.push(target);
        }
    }
    draft
}

/// All containers, those that run first last, each with whether it is such.
fn containers(pod: &Pod) -> impl Iterator<Item = (&Container, bool)> {
    let lasting = pod.spec.containers.iter().map(|c| (c, false));
    lasting.chain(pod.spec.init_containers.iter().map(|c| (c, true)))
}

fn container_id<'a>(pod: &'a Pod, container: &Container, init: bool) -> &'a str {
    let statuses: &[ContainerStatus] = match init {
        true => &pod.status.init_container_statuses,
        false => &pod.status.container_statuses,
    };
    statuses
        .iter()
        .find(|status| status.name == container.name)
        .map_or("", |status| &status.container_id)
}

fn set_port(target: &mut LabelMap, port: &ContainerPort) {
    target.set("pod_container_port_name", &port.name);
    target.set("pod_container_port_number", port.container_port.to_string());
    target.set("pod_container_port_protocol", &port.protocol);
}

/// What is told of a pod whatever the role.
pub fn pod_labels(pod: &Pod, attach: AttachMetadata, lookup: &Lookup<'_>) -> LabelMap {
    let mut labels = LabelMap::default();
    let (meta, status) = (&pod.metadata, &pod.status);
    let ready = status.conditions.iter().find(|c| c.kind == "Ready");
    labels.set("pod_ip", &status.pod_ip);
    labels.set(
        "pod_ready",
        ready.map_or("unknown".into(), |c| c.status.to_lowercase()),
    );
    labels.set("pod_phase", &status.phase);
    labels.set("pod_node_name", &pod.spec.node_name);
    labels.set("pod_host_ip", &status.host_ip);
    labels.set("pod_uid", &meta.uid);
    labels.set_meta(Kind::Pod, meta);
    let Some(owner) = meta.controller() else {
        return labels;
    };
    labels.set("pod_controller_kind", &owner.kind);
    labels.set("pod_controller_name", &owner.name);
    let above = |kind: Kind, wanted: &str| {
        let owner = lookup.bare(kind, &meta.namespace, &owner.name)?;
        let above = owner.metadata.controller()?;
        (above.kind == wanted).then_some(&above.name)
    };
    if attach.deployment && owner.kind == "ReplicaSet" {
        labels.set_some("pod_deployment_name", above(Kind::ReplicaSet, "Deployment"));
    }
    if attach.job && owner.kind == "Job" {
        labels.set("pod_job_name", &owner.name);
    }
    if attach.cronjob && owner.kind == "Job" {
        labels.set_some("pod_cronjob_name", above(Kind::Job, "CronJob"));
    }
    labels
}

/// Labels of the container that has the port; the last one wins.
pub fn container_labels(pod: &Pod, port: i32) -> LabelMap {
    let mut labels = LabelMap::default();
    for (container, init) in containers(pod) {
        let of_port = container.ports.iter().find(|p| p.container_port == port);
        if let Some(of_port) = of_port {
            set_container(&mut labels, container, init, of_port);
        }
    }
    labels
}

fn set_container(labels: &mut LabelMap, container: &Container, init: bool, port: &ContainerPort) {
    labels.set("pod_container_name", &container.name);
    labels.set("pod_container_image", &container.image);
    labels.set("pod_container_init", init.to_string());
    set_port(labels, port);
}

/// Pods that stand behind a service, with the ports of theirs that it names.
#[derive(Default)]
pub struct PodsBehind<'a>(Vec<(&'a Pod, LabelMap, Vec<i32>)>);

impl<'a> PodsBehind<'a> {
    /// Adds to `target` what is told of the pod that serves it, and remembers the port.
    pub fn join(
        &mut self,
        target: &mut LabelMap,
        pod: &'a Pod,
        port: Option<i32>,
        attach: AttachMetadata,
        lookup: &Lookup<'_>,
    ) {
        let at = self.0.iter().position(|(p, _, _)| std::ptr::eq(*p, pod));
        let at = at.unwrap_or_else(|| {
            let labels = pod_labels(pod, attach, lookup);
            self.0.push((pod, labels, Vec::new()));
            self.0.len() - 1
        });
        let (_, labels, ports) = &mut self.0[at];
        target.merge(labels);
        if let Some(port) = port {
            target.merge(&container_labels(pod, port));
            ports.push(port);
        }
    }

    /// Targets for ports of these pods that the service does not name.
    pub fn other_ports(self) -> impl Iterator<Item = LabelMap> {
        self.0.into_iter().flat_map(|(pod, labels, named)| {
            let ip = &pod.status.pod_ip;
            let mut targets = Vec::new();
            for (container, init) in containers(pod) {
                for port in &container.ports {
                    if ip.is_empty() || named.contains(&port.container_port) {
                        continue;
                    }
                    let mut target = labels.clone();
                    target.set_plain("__address__", join_host_port(ip, port.container_port));
                    set_container(&mut target, container, init, port);
                    targets.push(target);
                }
            }
            targets
        })
    }
}
