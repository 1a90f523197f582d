//! Role `endpointslice`: a target for each port of each address in a slice of what is behind a service.

use configfile::sd_kubernetes::AttachMetadata;

use super::endpoints::{named, pod_of};
use super::labels::{LabelMap, join_host_port, sanitized};
use super::object::{EndpointSlice, Kind, Service, SliceEndpoint, SlicePort};
use super::pod::PodsBehind;
use super::store::Lookup;
use super::{Draft, node_of, service_labels};

/// The label that names a slice's service.
const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// The targets of the slice, and of other ports of its pods.
pub fn draft<'a>(slice: &EndpointSlice, attach: AttachMetadata, lookup: &Lookup<'a>) -> Draft {
    let meta = &slice.metadata;
    let mut draft = Draft::default();
    draft.labels.set("namespace", &meta.namespace);
    draft.labels.set_meta(Kind::EndpointSlice, meta);
    draft
        .labels
        .set("endpointslice_address_type", &slice.address_type);
    let service = meta
        .labels
        .get(SERVICE_NAME)
        .and_then(|name| lookup.service(&meta.namespace, name));
    draft.labels.merge(&service_labels(service));
    if service.is_some_and(|service| is_second_family(slice, service)) {
        return draft;
    }
    let mut behind: PodsBehind<'a> = PodsBehind::default();
    for endpoint in &slice.endpoints {
        for port in &slice.ports {
            for address in &endpoint.addresses {
                let mut target = target(address, endpoint, port);
                if attach.node {
                    let name = named(endpoint.target_ref.as_ref(), "Node")
                        .or(endpoint.node_name.as_deref());
                    target.merge(&node_of(name.unwrap_or(""), lookup).unwrap_or_default());
                }
                if let Some(pod) = pod_of(endpoint.target_ref.as_ref(), lookup) {
                    behind.join(&mut target, pod, port.port, attach, lookup);
                }
                draft.targets.push(target);
            }
        }
    }
    draft.targets.extend(behind.other_ports());
    draft
}

/// A service with two families of addresses has slices of each; its pods are scraped once, by the first.
fn is_second_family(slice: &EndpointSlice, service: &Service) -> bool {
    let spec = &service.spec;
    matches!(
        spec.ip_family_policy.as_str(),
        "PreferDualStack" | "RequireDualStack"
    ) && (spec.ip_families.first()).is_some_and(|primary| *primary != slice.address_type)
}

fn target(address: &str, endpoint: &SliceEndpoint, port: &SlicePort) -> LabelMap {
    let mut target = LabelMap::default();
    target.set_plain(
        "__address__",
        match port.port {
            Some(port) => join_host_port(address, port),
            None => address.to_string(),
        },
    );
    let mut set = |name: &str, value: Option<String>| {
        target.set_some(&format!("endpointslice_{name}"), value);
    };
    set("port", port.port.map(|port| port.to_string()));
    set("port_name", port.name.clone());
    set("port_protocol", port.protocol.clone());
    set("port_app_protocol", port.app_protocol.clone());
    let conditions = &endpoint.conditions;
    for (name, value) in [
        ("ready", conditions.ready),
        ("serving", conditions.serving),
        ("terminating", conditions.terminating),
    ] {
        let value = value.map(|value| value.to_string());
        set(&format!("endpoint_conditions_{name}"), value);
    }
    set("endpoint_hostname", endpoint.hostname.clone());
    set("endpoint_node_name", endpoint.node_name.clone());
    set("endpoint_zone", endpoint.zone.clone());
    for (name, value) in &endpoint.deprecated_topology {
        let name = sanitized(name);
        set(&format!("endpoint_topology_{name}"), Some(value.clone()));
        set(
            &format!("endpoint_topology_present_{name}"),
            Some("true".into()),
        );
    }
    if let Some(reference) = &endpoint.target_ref {
        set("address_target_kind", Some(reference.kind.clone()));
        set("address_target_name", Some(reference.name.clone()));
    }
    target
}
