//! Role `endpoints`: a target for each port of each address behind a service.

use configfile::sd_kubernetes::AttachMetadata;

use super::labels::{LabelMap, join_host_port};
use super::object::{EndpointAddress, EndpointPort, Endpoints, Kind, ObjectRef, Pod};
use super::pod::PodsBehind;
use super::store::Lookup;
use super::{Draft, node_of, service_labels};

/// The targets of the endpoints, and of other ports of their pods.
pub fn draft<'a>(endpoints: &Endpoints, attach: AttachMetadata, lookup: &Lookup<'a>) -> Draft {
    let meta = &endpoints.metadata;
    let mut draft = Draft::default();
    draft.labels.set("namespace", &meta.namespace);
    draft.labels.set_meta(Kind::Endpoints, meta);
    let service = lookup.service(&meta.namespace, &meta.name);
    draft.labels.merge(&service_labels(service));
    let mut behind: PodsBehind<'a> = PodsBehind::default();
    for subset in &endpoints.subsets {
        for port in &subset.ports {
            let ready = subset.addresses.iter().map(|a| (a, true));
            let unready = subset.not_ready_addresses.iter().map(|a| (a, false));
            for (address, ready) in ready.chain(unready) {
                let mut target = target(address, port, ready);
                if attach.node {
                    let name = (address.node_name.as_deref())
                        .or_else(|| named(address.target_ref.as_ref(), "Node"));
                    target.merge(&node_of(name.unwrap_or(""), lookup).unwrap_or_default());
                }
                if let Some(pod) = pod_of(address.target_ref.as_ref(), lookup) {
                    behind.join(&mut target, pod, Some(port.port), attach, lookup);
                }
                draft.targets.push(target);
            }
        }
    }
    draft.targets.extend(behind.other_ports());
    draft
}

fn target(address: &EndpointAddress, port: &EndpointPort, ready: bool) -> LabelMap {
    let mut target = LabelMap::default();
    target.set_plain("__address__", join_host_port(&address.ip, port.port));
    target.set("endpoint_ready", ready.to_string());
    target.set("endpoint_port_name", &port.name);
    target.set("endpoint_port_protocol", &port.protocol);
    target.set("endpoint_hostname", &address.hostname);
    target.set_some("endpoint_node_name", address.node_name.as_ref());
    if let Some(reference) = &address.target_ref {
        target.set("endpoint_address_target_kind", &reference.kind);
        target.set("endpoint_address_target_name", &reference.name);
    }
    target
}

/// The name that a reference to such an object holds.
pub fn named<'r>(reference: Option<&'r ObjectRef>, kind: &str) -> Option<&'r str> {
    reference
        .filter(|reference| reference.kind == kind)
        .map(|reference| reference.name.as_str())
}

/// The pod that a reference points to, if it is known.
pub fn pod_of<'a>(reference: Option<&ObjectRef>, lookup: &Lookup<'a>) -> Option<&'a Pod> {
    let reference = reference.filter(|reference| reference.kind == "Pod")?;
    lookup.pod(&reference.namespace, &reference.name)
}
