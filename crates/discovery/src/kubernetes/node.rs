//! Role `node`: one target a machine, its kubelet.

use super::Draft;
use super::labels::{LabelMap, join_host_port, sanitized};
use super::object::{Kind, Node};

/// Kinds of address, the most wanted first.
const ADDRESS_KINDS: [&str; 6] = [
    "InternalIP",
    "InternalDNS",
    "ExternalIP",
    "ExternalDNS",
    "LegacyHostIP",
    "Hostname",
];

/// The node's target; nothing can be said without an address.
pub fn draft(node: &Node) -> Option<Draft> {
    let mut draft = Draft::default();
    let first = |kind: &str| node.status.addresses.iter().find(|a| a.kind == kind);
    let Some(address) = ADDRESS_KINDS.iter().find_map(|kind| first(kind)) else {
        tracing::warn!(component = "discovery manager", discovery = "kubernetes", role = "node", node = %node.metadata.name, err = "host address unknown", "No node address found");
        return None;
    };
    draft.labels.set_meta(Kind::Node, &node.metadata);
    draft.labels.set("node_provider_id", &node.spec.provider_id);
    for condition in &node.status.conditions {
        let name = sanitized(&condition.kind.to_lowercase());
        draft.labels.set(
            &format!("node_condition_{name}"),
            condition.status.to_lowercase(),
        );
    }
    let port = node.status.daemon_endpoints.kubelet_endpoint.port;
    let mut target = LabelMap::default();
    // The first of each kind wins, and what is set later does: so from the end.
    for address in node.status.addresses.iter().rev() {
        let kind = sanitized(&address.kind);
        target.set(&format!("node_address_{kind}"), &address.address);
    }
    target.set_plain("__address__", join_host_port(&address.address, port));
    target.set_plain("instance", &node.metadata.name);
    draft.targets.push(target);
    Some(draft)
}
