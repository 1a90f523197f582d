//! Objects of a cluster: only the fields that labels are made of, for thousands of them are kept.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};

/// The kinds that are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Kind {
    Pod,
    Service,
    Endpoints,
    EndpointSlice,
    Node,
    Ingress,
    Namespace,
    ReplicaSet,
    Job,
}

impl Kind {
    /// Its name in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Pod => "pod",
            Kind::Service => "service",
            Kind::Endpoints => "endpoints",
            Kind::EndpointSlice => "endpointslice",
            Kind::Node => "node",
            Kind::Ingress => "ingress",
            Kind::Namespace => "namespace",
            Kind::ReplicaSet => "replicaset",
            Kind::Job => "job",
        }
    }

    /// The path of all its objects, or of those of one namespace.
    pub fn path(self, namespace: &str) -> String {
        let (group, plural) = match self {
            Kind::Pod => ("/api/v1", "pods"),
            Kind::Service => ("/api/v1", "services"),
            Kind::Endpoints => ("/api/v1", "endpoints"),
            Kind::EndpointSlice => ("/apis/discovery.k8s.io/v1", "endpointslices"),
            Kind::Node => ("/api/v1", "nodes"),
            Kind::Ingress => ("/apis/networking.k8s.io/v1", "ingresses"),
            Kind::Namespace => ("/api/v1", "namespaces"),
            Kind::ReplicaSet => ("/apis/apps/v1", "replicasets"),
            Kind::Job => ("/apis/batch/v1", "jobs"),
        };
        match namespace {
            "" => format!("{group}/{plural}"),
            name => format!("{group}/namespaces/{name}/{plural}"),
        }
    }
}

/// Names an object within a cluster.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// What it is.
    pub kind: Kind,
    /// Where it is; empty for what belongs to the cluster.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl Id {
    /// Names the object of these.
    pub fn new(kind: Kind, namespace: &str, name: &str) -> Id {
        Id {
            kind,
            namespace: namespace.into(),
            name: name.into(),
        }
    }
}

/// Go's servers write `null` for what is empty.
fn nullable<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// Declares objects whose fields may all be missing or null.
macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident { $($(#[$attr:meta])* $field:ident: $type:ty),* $(,)? })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, PartialEq, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        #[allow(missing_docs)]
        pub struct $name {
            $($(#[$attr])* #[serde(deserialize_with = "nullable")] pub $field: $type,)*
        }
    )*};
}

objects! {
    /// What every object has.
    Meta {
        name: String,
        namespace: String,
        uid: String,
        resource_version: String,
        labels: BTreeMap<String, String>,
        annotations: BTreeMap<String, String>,
        owner_references: Vec<Owner>,
    }
    /// Who made an object.
    Owner { kind: String, name: String, controller: bool }
    /// A machine.
    Node { metadata: Meta, spec: NodeSpec, status: NodeStatus }
    NodeSpec { #[serde(rename = "providerID")] provider_id: String }
    NodeStatus {
        conditions: Vec<Condition>,
        addresses: Vec<NodeAddress>,
        daemon_endpoints: DaemonEndpoints,
    }
    Condition { #[serde(rename = "type")] kind: String, status: String }
    NodeAddress { #[serde(rename = "type")] kind: String, address: String }
    DaemonEndpoints { kubelet_endpoint: DaemonEndpoint }
    DaemonEndpoint { #[serde(rename = "Port")] port: i32 }
    /// Containers that run together.
    Pod { metadata: Meta, spec: PodSpec, status: PodStatus }
    PodSpec { node_name: String, containers: Vec<Container>, init_containers: Vec<Container> }
    Container { name: String, image: String, ports: Vec<ContainerPort> }
    ContainerPort { name: String, container_port: i32, protocol: String }
    PodStatus {
        phase: String,
        #[serde(rename = "podIP")] pod_ip: String,
        #[serde(rename = "hostIP")] host_ip: String,
        conditions: Vec<Condition>,
        container_statuses: Vec<ContainerStatus>,
        init_container_statuses: Vec<ContainerStatus>,
    }
    ContainerStatus { name: String, #[serde(rename = "containerID")] container_id: String }
    /// A name for what several pods serve.
    Service { metadata: Meta, spec: ServiceSpec, status: ServiceStatus }
    ServiceSpec {
        #[serde(rename = "type")] kind: String,
        #[serde(rename = "clusterIP")] cluster_ip: String,
        external_name: String,
        #[serde(rename = "loadBalancerIP")] load_balancer_ip: String,
        ip_family_policy: String,
        ip_families: Vec<String>,
        ports: Vec<ServicePort>,
    }
    ServicePort { name: String, port: i32, protocol: String }
    ServiceStatus { load_balancer: LoadBalancer }
    LoadBalancer { ingress: Vec<LoadBalancerIngress> }
    LoadBalancerIngress { ip: String }
    /// Where a service's pods are.
    Endpoints { metadata: Meta, subsets: Vec<Subset> }
    Subset {
        addresses: Vec<EndpointAddress>,
        not_ready_addresses: Vec<EndpointAddress>,
        ports: Vec<EndpointPort>,
    }
    EndpointAddress {
        ip: String,
        hostname: String,
        node_name: Option<String>,
        target_ref: Option<ObjectRef>,
    }
    EndpointPort { name: String, port: i32, protocol: String }
    ObjectRef { kind: String, namespace: String, name: String }
    /// A part of where a service's pods are.
    EndpointSlice {
        metadata: Meta,
        address_type: String,
        endpoints: Vec<SliceEndpoint>,
        ports: Vec<SlicePort>,
    }
    SliceEndpoint {
        addresses: Vec<String>,
        conditions: SliceConditions,
        hostname: Option<String>,
        node_name: Option<String>,
        zone: Option<String>,
        deprecated_topology: BTreeMap<String, String>,
        target_ref: Option<ObjectRef>,
    }
    SliceConditions { ready: Option<bool>, serving: Option<bool>, terminating: Option<bool> }
    SlicePort {
        name: Option<String>,
        port: Option<i32>,
        protocol: Option<String>,
        app_protocol: Option<String>,
    }
    /// Ways in from outside.
    Ingress { metadata: Meta, spec: IngressSpec }
    IngressSpec { ingress_class_name: Option<String>, tls: Vec<IngressTls>, rules: Vec<IngressRule> }
    IngressTls { hosts: Vec<String> }
    IngressRule { host: String, http: Option<IngressHttp> }
    IngressHttp { paths: Vec<IngressPath> }
    IngressPath { path: String }
    /// An object of which nothing but this matters.
    Bare { metadata: Meta }
}

impl Meta {
    /// The owner that is in charge.
    pub fn controller(&self) -> Option<&Owner> {
        self.owner_references.iter().find(|owner| owner.controller)
    }
}

/// An object of any kind.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Object {
    Pod(Box<Pod>),
    Service(Box<Service>),
    Endpoints(Box<Endpoints>),
    EndpointSlice(Box<EndpointSlice>),
    Node(Box<Node>),
    Ingress(Box<Ingress>),
    Bare(Box<Bare>),
}

impl Object {
    /// What every object has.
    pub fn meta(&self) -> &Meta {
        match self {
            Object::Pod(object) => &object.metadata,
            Object::Service(object) => &object.metadata,
            Object::Endpoints(object) => &object.metadata,
            Object::EndpointSlice(object) => &object.metadata,
            Object::Node(object) => &object.metadata,
            Object::Ingress(object) => &object.metadata,
            Object::Bare(object) => &object.metadata,
        }
    }

    fn meta_mut(&mut self) -> &mut Meta {
        match self {
            Object::Pod(object) => &mut object.metadata,
            Object::Service(object) => &mut object.metadata,
            Object::Endpoints(object) => &mut object.metadata,
            Object::EndpointSlice(object) => &mut object.metadata,
            Object::Node(object) => &mut object.metadata,
            Object::Ingress(object) => &mut object.metadata,
            Object::Bare(object) => &mut object.metadata,
        }
    }

    /// Drops what no label is made of, and with it changes that change no target: a node says every few seconds that it
    /// is alive.
    fn lean(mut self, kind: Kind) -> Object {
        let meta = self.meta_mut();
        meta.resource_version = String::new();
        meta.owner_references.retain(|owner| owner.controller);
        if matches!(kind, Kind::ReplicaSet | Kind::Job) {
            meta.labels = BTreeMap::new();
            meta.annotations = BTreeMap::new();
        }
        match &mut self {
            Object::Pod(pod) => pod.status.conditions.retain(|c| c.kind == "Ready"),
            _ => self.meta_mut().uid = String::new(),
        }
        self
    }
}

/// A page of a list.
#[derive(Debug)]
pub struct Page {
    /// The objects on it.
    pub objects: Vec<Object>,
    /// The state of the cluster that it shows.
    pub resource_version: String,
    /// What to ask for the next page with; empty on the last.
    pub next: String,
}

/// What a watch tells.
#[derive(Debug, PartialEq)]
pub enum WatchEvent {
    /// The object is there, new or changed.
    Applied(Object, String),
    /// The object is gone.
    Deleted(Object, String),
    /// Nothing has changed up to this version.
    Bookmark(String),
    /// The server cannot go on: an HTTP status and why.
    Error(u16, String),
}

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct List<T> {
    #[serde(default, deserialize_with = "nullable")]
    metadata: ListMeta,
    #[serde(default, deserialize_with = "nullable")]
    items: Vec<T>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ListMeta {
    resource_version: String,
    #[serde(rename = "continue")]
    next: String,
}

#[derive(Deserialize)]
struct EventType<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
}

#[derive(Deserialize)]
struct Carried<T> {
    object: T,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

/// Calls `$read` for the type of a kind, with how it becomes an [`Object`].
macro_rules! for_kind {
    ($kind:expr, $read:ident($bytes:expr)) => {
        match $kind {
            Kind::Pod => $read::<Pod>($bytes, |o| Object::Pod(Box::new(o))),
            Kind::Service => $read::<Service>($bytes, |o| Object::Service(Box::new(o))),
            Kind::Endpoints => $read::<Endpoints>($bytes, |o| Object::Endpoints(Box::new(o))),
            Kind::EndpointSlice => {
                $read::<EndpointSlice>($bytes, |o| Object::EndpointSlice(Box::new(o)))
            }
            Kind::Node => $read::<Node>($bytes, |o| Object::Node(Box::new(o))),
            Kind::Ingress => $read::<Ingress>($bytes, |o| Object::Ingress(Box::new(o))),
            Kind::Namespace | Kind::ReplicaSet | Kind::Job => {
                $read::<Bare>($bytes, |o| Object::Bare(Box::new(o)))
            }
        }
    };
}

/// What a server says of a request that it does not grant; empty if it says nothing that can be read.
pub fn read_refusal(bytes: &[u8]) -> String {
    let status: Result<Status, _> = serde_json::from_slice(bytes);
    status.unwrap_or_default().message
}

/// Reads a page of a list.
pub fn read_page(kind: Kind, bytes: &[u8]) -> Result<Page, String> {
    fn read<T: DeserializeOwned>(bytes: &[u8], wrap: fn(T) -> Object) -> Result<Page, String> {
        let list: List<T> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        Ok(Page {
            objects: list.items.into_iter().map(wrap).collect(),
            resource_version: list.metadata.resource_version,
            next: list.metadata.next,
        })
    }
    let mut page = for_kind!(kind, read(bytes))?;
    page.objects = page.objects.into_iter().map(|o| o.lean(kind)).collect();
    Ok(page)
}

/// Reads one line of a watch.
pub fn read_event(kind: Kind, line: &[u8]) -> Result<WatchEvent, String> {
    fn read<T: DeserializeOwned>(bytes: &[u8], wrap: fn(T) -> Object) -> Result<Object, String> {
        let carried: Carried<T> = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        Ok(wrap(carried.object))
    }
    let event: EventType<'_> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    if event.kind == "ERROR" {
        let status: Carried<Status> = serde_json::from_slice(line).map_err(|e| e.to_string())?;
        return Ok(WatchEvent::Error(status.object.code, status.object.message));
    }
    let object = for_kind!(kind, read(line))?;
    let version = object.meta().resource_version.clone();
    match event.kind {
        "ADDED" | "MODIFIED" => Ok(WatchEvent::Applied(object.lean(kind), version)),
        "DELETED" => Ok(WatchEvent::Deleted(object.lean(kind), version)),
        "BOOKMARK" => Ok(WatchEvent::Bookmark(version)),
        other => Err(format!("unknown watch event {other:?}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use env::Random;

    const POD: &str = r#"{"type":"MODIFIED","object":{"metadata":{"name":"p","namespace":"n","resourceVersion":"7",
        "labels":null,"ownerReferences":[{"kind":"X","name":"x"}]},"spec":{"containers":[{"name":"c","ports":null}]},
        "status":{"podIP":"10.0.0.1","conditions":[{"type":"Ready","status":"True"},{"type":"Initialized","status":"True"}]}}}"#;

    #[test]
    fn keeps_what_labels_need() {
        let WatchEvent::Applied(Object::Pod(pod), version) =
            read_event(Kind::Pod, POD.as_bytes()).expect("an event")
        else {
            panic!("a pod");
        };
        assert_eq!(version, "7");
        assert_eq!(pod.metadata.resource_version, "");
        assert_eq!(pod.status.conditions.len(), 1);
        assert!(pod.metadata.owner_references.is_empty());
        assert_eq!(pod.spec.containers[0].ports, []);
    }

    #[test]
    fn errors_and_bookmarks() {
        let gone = br#"{"type":"ERROR","object":{"kind":"Status","metadata":{},"status":"Failure","message":"too old","code":410}}"#;
        assert_eq!(
            read_event(Kind::Pod, gone),
            Ok(WatchEvent::Error(410, "too old".into()))
        );
        let bookmark = br#"{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"12"},"spec":{"containers":null},"status":{}}}"#;
        assert_eq!(
            read_event(Kind::Pod, bookmark),
            Ok(WatchEvent::Bookmark("12".into()))
        );
    }

    #[test]
    fn mutated_answers_give_errors_not_panics() {
        let mut random = Random::from_seed(6);
        let mut refused = 0;
        for _ in 0..5000 {
            let mut line = POD.as_bytes().to_vec();
            for _ in 0..=random.below(3) {
                let at = random.below(line.len() as u64) as usize;
                match random.below(3) {
                    0 => line[at] = random.below(256) as u8,
                    1 => line.truncate(at.max(1)),
                    _ => line.insert(at, random.below(128) as u8),
                }
            }
            refused += usize::from(read_event(Kind::Pod, &line).is_err());
            refused += usize::from(read_page(Kind::Pod, &line).is_err());
        }
        assert!(refused > 1000);
    }
}
