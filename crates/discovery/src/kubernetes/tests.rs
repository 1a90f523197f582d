//! Labels of each role from recorded objects.

use std::collections::BTreeMap;

use configfile::sd_kubernetes::AttachMetadata;
use env::Registry;

use super::groups::Groups;
use super::metrics::Metrics;
use super::object::{Kind, read_page};
use super::watch::{News, Watch};

const NOTHING: AttachMetadata = AttachMetadata {
    node: false,
    namespace: false,
    deployment: false,
    job: false,
    cronjob: false,
};

/// The targets of a role, each with the labels of its group, without the common prefix; from lists as servers send them.
fn targets(
    role: Kind,
    attach: AttachMetadata,
    lists: &[(Kind, &str)],
) -> Vec<BTreeMap<String, String>> {
    let watches: Vec<Watch> = lists
        .iter()
        .map(|(kind, _)| Watch {
            kind: *kind,
            namespace: String::new(),
            label_selector: String::new(),
            field_selector: String::new(),
        })
        .collect();
    let metrics = Metrics::new(&Registry::new(), role);
    let mut groups = Groups::new(role, attach, &watches);
    for (index, (kind, items)) in lists.iter().enumerate() {
        let page = read_page(*kind, format!("{{\"items\": [{items}]}}").as_bytes());
        let page = page.expect("a list");
        groups.hear(index, News::Listed(page.objects), &metrics);
    }
    let found = groups.settle().expect("all is listed");
    let mut targets = Vec::new();
    for group in found {
        for target in &group.targets {
            let labels = group.labels.iter().chain(target.iter());
            let short = |name: &str| {
                let name = name.strip_prefix("__meta_kubernetes_").unwrap_or(name);
                name.to_string()
            };
            targets.push(labels.map(|(n, v)| (short(n), v.to_string())).collect());
        }
    }
    targets
}

/// Exactly these labels.
fn is(target: &BTreeMap<String, String>, labels: &str) {
    let expected: BTreeMap<String, String> = labels
        .split_whitespace()
        .map(|pair| {
            let (name, value) = pair.split_once('=').expect("name=value");
            (name.to_string(), value.to_string())
        })
        .collect();
    assert_eq!(*target, expected);
}

const POD: &str = r#"{"metadata": {"name": "web-1", "namespace": "shop", "uid": "u-1",
    "labels": {"app.kubernetes.io/name": "web"}, "annotations": {"a/b": "c"},
    "ownerReferences": [{"kind": "Other", "name": "o"}, {"kind": "ReplicaSet", "name": "web-7f", "controller": true}]},
  "spec": {"nodeName": "n1", "initContainers": [{"name": "init", "image": "i:1"}],
    "containers": [{"name": "app", "image": "app:2", "ports": [
        {"name": "http", "containerPort": 8080, "protocol": "TCP"}, {"containerPort": 9090, "protocol": "TCP"}]}]},
  "status": {"phase": "Running", "podIP": "10.0.0.7", "hostIP": "192.168.1.1",
    "conditions": [{"type": "Ready", "status": "True"}],
    "containerStatuses": [{"name": "app", "containerID": "c://1"}]}}"#;
const POD_LABELS: &str = "namespace=shop pod_name=web-1 pod_ip=10.0.0.7 pod_ready=true pod_phase=Running pod_node_name=n1 \
    pod_host_ip=192.168.1.1 pod_uid=u-1 pod_controller_kind=ReplicaSet pod_controller_name=web-7f \
    pod_label_app_kubernetes_io_name=web pod_labelpresent_app_kubernetes_io_name=true \
    pod_annotation_a_b=c pod_annotationpresent_a_b=true";
const NODE: &str = r#"{"metadata": {"name": "n1", "labels": {"zone": "z"}}, "spec": {"providerID": "cloud://1"},
  "status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "DiskPressure", "status": "Unknown"}],
    "addresses": [{"type": "Hostname", "address": "host"}, {"type": "InternalIP", "address": "fd00::1"},
        {"type": "InternalIP", "address": "10.1.1.1"}],
    "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}}"#;
const SERVICE: &str = r#"{"metadata": {"name": "web", "namespace": "shop", "labels": {"tier": "x"}},
  "spec": {"type": "LoadBalancer", "clusterIP": "10.9.0.1", "loadBalancerIP": "1.1.1.1", "ipFamilies": ["IPv4", "IPv6"],
    "ipFamilyPolicy": "PreferDualStack", "ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
  "status": {"loadBalancer": {"ingress": [{"ip": "5.5.5.5"}, {"ip": "6.6.6.6"}]}}}"#;

#[test]
fn pods() {
    let found = targets(Kind::Pod, NOTHING, &[(Kind::Pod, POD)]);
    assert_eq!(found.len(), 3);
    let container = "pod_container_name=app pod_container_image=app:2 pod_container_id=c://1 pod_container_init=false";
    is(
        &found[0],
        &format!(
            "{POD_LABELS} {container} __address__=10.0.0.7:8080 pod_container_port_name=http \
             pod_container_port_number=8080 pod_container_port_protocol=TCP"
        ),
    );
    is(
        &found[1],
        &format!(
            "{POD_LABELS} {container} __address__=10.0.0.7:9090 pod_container_port_number=9090 \
             pod_container_port_protocol=TCP"
        ),
    );
    is(
        &found[2],
        &format!(
            "{POD_LABELS} __address__=10.0.0.7 pod_container_name=init pod_container_image=i:1 pod_container_init=true"
        ),
    );
    let waiting = POD.replace("10.0.0.7", "");
    assert!(targets(Kind::Pod, NOTHING, &[(Kind::Pod, &waiting)]).is_empty());
    let unknown = POD.replace("\"Ready\"", "\"Other\"");
    let found = targets(Kind::Pod, NOTHING, &[(Kind::Pod, &unknown)]);
    assert_eq!(found[0]["pod_ready"], "unknown");
}

#[test]
fn pods_with_what_belongs_to_them() {
    let attach = AttachMetadata {
        node: true,
        namespace: true,
        deployment: true,
        job: true,
        cronjob: true,
    };
    let replica_set = r#"{"metadata": {"name": "web-7f", "namespace": "shop",
        "ownerReferences": [{"kind": "Deployment", "name": "web", "controller": true}]}}"#;
    let namespace =
        r#"{"metadata": {"name": "shop", "labels": {"team": "t"}, "annotations": {"x": "y"}}}"#;
    let job = r#"{"metadata": {"name": "nightly-1", "namespace": "shop",
        "ownerReferences": [{"kind": "CronJob", "name": "nightly", "controller": true}]}}"#;
    let of_job = (POD.replace("web-7f", "nightly-1"))
        .replace("ReplicaSet", "Job")
        .replace("\"web-1\"", "\"w\"");
    let found = targets(
        Kind::Pod,
        attach,
        &[
            (Kind::Pod, &format!("{POD}, {of_job}")),
            (Kind::Node, NODE),
            (Kind::Namespace, namespace),
            (Kind::ReplicaSet, replica_set),
            (Kind::Job, job),
        ],
    );
    let of_job = &found[0];
    assert_eq!(of_job["pod_job_name"], "nightly-1");
    assert_eq!(of_job["pod_cronjob_name"], "nightly");
    let of_deployment = &found[3];
    assert_eq!(of_deployment["pod_deployment_name"], "web");
    assert!(!of_deployment.contains_key("pod_job_name"));
    for (name, value) in [
        ("node_name", "n1"),
        ("node_label_zone", "z"),
        ("node_labelpresent_zone", "true"),
        ("namespace_label_team", "t"),
        ("namespace_annotationpresent_x", "true"),
    ] {
        assert_eq!(of_deployment[name], value, "{name}");
    }
    assert!(!of_deployment.contains_key("node_provider_id"));
    let no_node = targets(
        Kind::Pod,
        AttachMetadata {
            node: true,
            ..NOTHING
        },
        &[(Kind::Pod, POD), (Kind::Node, "")],
    );
    assert!(no_node.is_empty());
}

#[test]
fn nodes() {
    let found = targets(Kind::Node, NOTHING, &[(Kind::Node, NODE)]);
    assert_eq!(found.len(), 1);
    is(
        &found[0],
        "__address__=[fd00::1]:10250 instance=n1 node_name=n1 node_provider_id=cloud://1 node_label_zone=z \
         node_labelpresent_zone=true node_condition_ready=true node_condition_diskpressure=unknown \
         node_address_Hostname=host node_address_InternalIP=fd00::1",
    );
    assert!(
        targets(
            Kind::Node,
            NOTHING,
            &[(Kind::Node, r#"{"metadata": {"name": "n"}}"#)]
        )
        .is_empty()
    );
}

#[test]
fn services() {
    let found = targets(Kind::Service, NOTHING, &[(Kind::Service, SERVICE)]);
    let common = "__address__=web.shop.svc:80 namespace=shop service_name=web service_label_tier=x \
        service_labelpresent_tier=true service_port_name=http service_port_number=80 service_port_protocol=TCP";
    is(
        &found[0],
        &format!(
            "{common} service_type=LoadBalancer service_cluster_ip=10.9.0.1 service_loadbalancer_ip=5.5.5.5,6.6.6.6"
        ),
    );
    let external = SERVICE.replace("LoadBalancer", "ExternalName").replace(
        "\"clusterIP\"",
        "\"externalName\": \"e.example\", \"clusterIP\"",
    );
    let found = targets(Kind::Service, NOTHING, &[(Kind::Service, &external)]);
    is(
        &found[0],
        &format!("{common} service_type=ExternalName service_external_name=e.example"),
    );
}

#[test]
fn endpoints() {
    let endpoints = r#"{"metadata": {"name": "web", "namespace": "shop", "labels": {"e": "1"}}, "subsets": [{
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
        "addresses": [{"ip": "10.0.0.7", "nodeName": "n1", "hostname": "h",
            "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-1"}}],
        "notReadyAddresses": [{"ip": "10.0.0.8", "targetRef": {"kind": "Node", "name": "n1"}}]}]}"#;
    let attach = AttachMetadata {
        node: true,
        ..NOTHING
    };
    let found = targets(
        Kind::Endpoints,
        attach,
        &[
            (Kind::Endpoints, endpoints),
            (Kind::Service, SERVICE),
            (Kind::Pod, POD),
            (Kind::Node, NODE),
        ],
    );
    assert_eq!(found.len(), 3, "one behind no pod, one of another port");
    let common = "namespace=shop endpoints_name=web endpoints_label_e=1 endpoints_labelpresent_e=true service_name=web \
        service_label_tier=x service_labelpresent_tier=true";
    let port = "endpoint_port_name=http endpoint_port_protocol=TCP";
    let node = "node_name=n1 node_label_zone=z node_labelpresent_zone=true";
    is(
        &found[0],
        &format!(
            "{common} {port} {node} {POD_LABELS} __address__=10.0.0.7:8080 endpoint_ready=true endpoint_hostname=h \
             endpoint_node_name=n1 endpoint_address_target_kind=Pod endpoint_address_target_name=web-1 \
             pod_container_name=app pod_container_image=app:2 pod_container_init=false pod_container_port_name=http \
             pod_container_port_number=8080 pod_container_port_protocol=TCP"
        ),
    );
    is(
        &found[1],
        &format!(
            "{common} {port} {node} __address__=10.0.0.8:8080 endpoint_ready=false endpoint_address_target_kind=Node \
             endpoint_address_target_name=n1"
        ),
    );
    is(
        &found[2],
        &format!(
            "{common} {POD_LABELS} __address__=10.0.0.7:9090 pod_container_name=app pod_container_image=app:2 \
             pod_container_init=false pod_container_port_number=9090 pod_container_port_protocol=TCP"
        ),
    );
}

const SLICE: &str = r#"{"metadata": {"name": "web-a", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
    "addressType": "IPv4", "ports": [{"name": "http", "port": 8080, "protocol": "TCP", "appProtocol": "http"}, {}],
    "endpoints": [{"addresses": ["10.0.0.7"], "conditions": {"ready": true, "serving": true}, "hostname": "h",
        "nodeName": "n1", "zone": "z1", "deprecatedTopology": {"topo/a": "b"},
        "targetRef": {"kind": "Pod", "namespace": "shop", "name": "web-1"}}]}"#;

#[test]
fn endpointslices() {
    let of = |slice: &str| {
        targets(
            Kind::EndpointSlice,
            NOTHING,
            &[
                (Kind::EndpointSlice, slice),
                (Kind::Service, SERVICE),
                (Kind::Pod, POD),
            ],
        )
    };
    let found = of(SLICE);
    assert_eq!(found.len(), 3, "with and without a port, and another port");
    let common = "namespace=shop endpointslice_name=web-a endpointslice_address_type=IPv4 \
        endpointslice_label_kubernetes_io_service_name=web endpointslice_labelpresent_kubernetes_io_service_name=true \
        service_name=web service_label_tier=x service_labelpresent_tier=true";
    let endpoint = "endpointslice_endpoint_conditions_ready=true endpointslice_endpoint_conditions_serving=true \
        endpointslice_endpoint_hostname=h endpointslice_endpoint_node_name=n1 endpointslice_endpoint_zone=z1 \
        endpointslice_endpoint_topology_topo_a=b endpointslice_endpoint_topology_present_topo_a=true \
        endpointslice_address_target_kind=Pod endpointslice_address_target_name=web-1";
    is(
        &found[0],
        &format!(
            "{common} {endpoint} {POD_LABELS} __address__=10.0.0.7:8080 endpointslice_port=8080 \
             endpointslice_port_name=http endpointslice_port_protocol=TCP endpointslice_port_app_protocol=http \
             pod_container_name=app pod_container_image=app:2 pod_container_init=false pod_container_port_name=http \
             pod_container_port_number=8080 pod_container_port_protocol=TCP"
        ),
    );
    is(
        &found[1],
        &format!("{common} {endpoint} {POD_LABELS} __address__=10.0.0.7"),
    );
    assert_eq!(found[2]["__address__"], "10.0.0.7:9090");
    assert!(!found[2].contains_key("endpointslice_address_target_kind"));
    let second = of(&SLICE.replace("IPv4", "IPv6"));
    assert!(second.is_empty(), "the service's first family is IPv4");
}

#[test]
fn ingresses() {
    let ingress = r#"{"metadata": {"name": "in", "namespace": "shop"}, "spec": {"ingressClassName": "nginx",
        "tls": [{"hosts": ["*.example.com"]}],
        "rules": [{"host": "a.example.com", "http": {"paths": [{"path": "/x"}, {}]}}, {"host": "a.b.example.com"},
            {"host": "none.example.com", "http": {"paths": []}}]}}"#;
    let found = targets(Kind::Ingress, NOTHING, &[(Kind::Ingress, ingress)]);
    assert_eq!(found.len(), 3, "an empty list of paths is for none");
    let common = "namespace=shop ingress_name=in ingress_class_name=nginx";
    for (target, host, scheme, path) in [
        (&found[0], "a.example.com", "https", "/x"),
        (&found[1], "a.example.com", "https", "/"),
        (&found[2], "a.b.example.com", "http", "/"),
    ] {
        is(
            target,
            &format!(
                "{common} __address__={host} ingress_host={host} ingress_scheme={scheme} ingress_path={path}"
            ),
        );
    }
}

#[test]
fn certificates_of_ingresses() {
    for (pattern, host, scheme) in [
        ("a.example", "a.example", "https"),
        ("A.example", "a.example", "http"),
        ("*.example", "a.example", "https"),
        ("*.example", ".example", "https"),
        ("*.example", "*.example", "https"),
        ("*.example", "example", "http"),
        ("*.example", "a.b.example", "http"),
        ("*", "a", "https"),
        ("*", "a.example", "http"),
        ("*.", "a.", "https"),
        ("x*.example", "x1.example", "http"),
    ] {
        let ingress = format!(
            r#"{{"metadata": {{"name": "in", "namespace": "n"}}, "spec": {{
                "tls": [{{}}, {{"hosts": ["{pattern}"]}}], "rules": [{{"host": "{host}"}}]}}}}"#
        );
        let found = targets(Kind::Ingress, NOTHING, &[(Kind::Ingress, &ingress)]);
        assert_eq!(found[0]["ingress_scheme"], scheme, "{pattern} {host}");
    }
}

#[test]
fn a_node_whose_address_is_lost_stays_where_it_was() {
    let watch = Watch {
        kind: Kind::Node,
        namespace: String::new(),
        label_selector: String::new(),
        field_selector: String::new(),
    };
    let metrics = Metrics::new(&Registry::new(), Kind::Node);
    let mut groups = Groups::new(Kind::Node, NOTHING, &[watch]);
    let mut list = |items: &str| {
        let page = read_page(Kind::Node, format!("{{\"items\": [{items}]}}").as_bytes());
        groups.hear(0, News::Listed(page.expect("a list").objects), &metrics);
        groups.settle().map(|found| found.len())
    };
    assert_eq!(list(NODE), Some(1));
    assert_eq!(list(r#"{"metadata": {"name": "n1"}}"#), None, "no news");
    assert_eq!(list(""), Some(0), "it is gone");
}
