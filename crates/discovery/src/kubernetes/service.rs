//! Role `service`: a target for each port of a service.

use super::Draft;
use super::labels::{LabelMap, join_host_port};
use super::object::{Kind, Service};

/// The service's targets.
pub fn draft(service: &Service) -> Draft {
    let mut draft = Draft::default();
    let (meta, spec) = (&service.metadata, &service.spec);
    draft.labels.set("namespace", &meta.namespace);
    draft.labels.set_meta(Kind::Service, meta);
    let host = format!("{}.{}.svc", meta.name, meta.namespace);
    for port in &spec.ports {
        let mut target = LabelMap::default();
        target.set_plain("__address__", join_host_port(&host, port.port));
        target.set("service_port_name", &port.name);
        target.set("service_port_number", port.port.to_string());
        target.set("service_port_protocol", &port.protocol);
        target.set("service_type", &spec.kind);
        match spec.kind.as_str() {
            "ExternalName" => target.set("service_external_name", &spec.external_name),
            _ => target.set("service_cluster_ip", &spec.cluster_ip),
        }
        if spec.kind == "LoadBalancer" {
            target.set("service_loadbalancer_ip", load_balancer_ip(service));
        }
        draft.targets.push(target);
    }
    draft
}

fn load_balancer_ip(service: &Service) -> String {
    let given = service.status.load_balancer.ingress.iter();
    let given: Vec<&str> = given
        .map(|ingress| ingress.ip.as_str())
        .filter(|ip| !ip.is_empty())
        .collect();
    match given.is_empty() {
        true => service.spec.load_balancer_ip.clone(),
        false => given.join(","),
    }
}
