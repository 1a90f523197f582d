//! `kubernetes_sd_configs`: objects of a cluster, as its API server tells of them.
//!
//! Each kind of object is listed once and then watched ([`watch`]). What is known of them lies in a [`store`]; [`groups`]
//! makes a group of targets of each object of the role, anew whenever the object or one that it refers to changes. How a
//! group comes about is a pure function for each role.

mod access;
mod endpoints;
mod endpointslice;
mod groups;
mod ingress;
mod labels;
mod metrics;
mod node;
mod object;
mod pod;
mod service;
mod store;
mod watch;

use std::sync::Arc;

use configfile::sd_kubernetes::{KubernetesRole, KubernetesSdConfig};
use env::{Clock, Registry};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

pub use access::{Cluster, connect};

use crate::asker::Asker;
use crate::group::TargetGroup;
use groups::Groups;
use labels::LabelMap;
use metrics::Metrics;
pub(crate) use metrics::from_the_start;
use object::{Kind, Service};
use store::Lookup;
use watch::Watch;

/// News that wait to be taken up; the watches wait when there are more.
const QUEUE: usize = 256;

/// A group while it is put together.
#[derive(Debug, Default)]
struct Draft {
    labels: LabelMap,
    targets: Vec<LabelMap>,
}

/// Publishes what the cluster has for as long as it is polled.
pub async fn run(
    config: KubernetesSdConfig,
    asker: Asker,
    cluster: Cluster,
    clock: Arc<dyn Clock>,
    registry: Registry,
    publish: impl Fn(Vec<Arc<TargetGroup>>) + Send,
) {
    let metrics = Metrics::new(&registry, kind_of(config.role));
    let watches = watches(&config, &cluster.own_namespace);
    let mut groups = Groups::new(kind_of(config.role), config.attach, &watches);
    let (sender, mut news) = mpsc::channel(QUEUE);
    // Ends with this future, and the watches with it.
    let mut following = JoinSet::new();
    for (index, watch) in watches.into_iter().enumerate() {
        let (cluster, clock) = (cluster.clone(), clock.clone());
        following.spawn(watch::follow(
            index,
            watch,
            cluster,
            clock,
            asker.clone(),
            metrics.clone(),
            sender.clone(),
        ));
    }
    while let Some((index, first)) = news.recv().await {
        let heard = clock.monotonic();
        groups.hear(index, first, &metrics);
        while let Ok((index, more)) = news.try_recv() {
            groups.hear(index, more, &metrics);
        }
        let (began, count) = (clock.monotonic(), groups.waiting());
        metrics.queued(count);
        if let Some(found) = groups.settle() {
            publish(found);
        }
        let took = clock.monotonic().saturating_sub(began);
        metrics.worked(count, began.saturating_sub(heard), took);
    }
}

fn kind_of(role: KubernetesRole) -> Kind {
    match role {
        KubernetesRole::Pod => Kind::Pod,
        KubernetesRole::Service => Kind::Service,
        KubernetesRole::Endpoints => Kind::Endpoints,
        KubernetesRole::EndpointSlice => Kind::EndpointSlice,
        KubernetesRole::Node => Kind::Node,
        KubernetesRole::Ingress => Kind::Ingress,
    }
}

/// All that has to be watched for a configuration.
fn watches(config: &KubernetesSdConfig, own_namespace: &str) -> Vec<Watch> {
    let watch = |kind: Kind, namespace: &str| {
        let selector = config.selectors.iter().find(|s| kind_of(s.role) == kind);
        Watch {
            kind,
            namespace: namespace.into(),
            label_selector: selector.map_or(String::new(), |s| s.label.clone()),
            field_selector: selector.map_or(String::new(), |s| s.field.clone()),
        }
    };
    let role = kind_of(config.role);
    if role == Kind::Node {
        return vec![watch(Kind::Node, "")];
    }
    let mut namespaces = config.namespaces.clone();
    if config.own_namespace {
        namespaces.push(own_namespace.to_string());
    }
    if namespaces.is_empty() {
        namespaces.push(String::new());
    }
    namespaces.sort();
    namespaces.dedup();
    let joined = matches!(role, Kind::Endpoints | Kind::EndpointSlice);
    let of_pods = joined || role == Kind::Pod;
    let attach = config.attach;
    let mut kinds = vec![role];
    if joined {
        kinds.extend([Kind::Service, Kind::Pod]);
    }
    if of_pods && attach.deployment {
        kinds.push(Kind::ReplicaSet);
    }
    if of_pods && attach.cronjob {
        kinds.push(Kind::Job);
    }
    let mut watches = Vec::new();
    for namespace in &namespaces {
        watches.extend(kinds.iter().map(|kind| watch(*kind, namespace)));
    }
    if of_pods && attach.node {
        watches.push(watch(Kind::Node, ""));
    }
    if attach.namespace {
        watches.push(watch(Kind::Namespace, ""));
    }
    watches
}

/// What is told of a node to its pods; `None` while it is not known.
fn node_of(name: &str, lookup: &Lookup<'_>) -> Option<LabelMap> {
    let node = lookup.node(name).filter(|_| !name.is_empty())?;
    let mut labels = LabelMap::default();
    labels.set_meta(Kind::Node, &node.metadata);
    Some(labels)
}

/// What is told of a service to what is behind it.
fn service_labels(service: Option<&Service>) -> LabelMap {
    let mut labels = LabelMap::default();
    if let Some(service) = service {
        labels.set("namespace", &service.metadata.namespace);
        labels.set_meta(Kind::Service, &service.metadata);
    }
    labels
}

#[cfg(test)]
mod tests;
