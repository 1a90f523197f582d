//! Discovery in a cluster, against a stand-in for its API server: whatever goes wrong on the way, it ends in the right set.

mod api_server;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use configfile::http_client::HttpClientConfig;
use configfile::sd_kubernetes::{
    AttachMetadata, KubernetesRole, KubernetesSdConfig, KubernetesSelector,
};
use discovery::TargetGroup;
use discovery::asker::Asker;
use discovery::kubernetes::{connect, run};
use env::clock::Sleep;
use env::{Clock, Random, Registry};
use model::family::MetricValue;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use api_server::{ApiServer, Faults};

/// Runs so many times faster that waits between attempts and limits on silence are short.
struct FastClock(Instant, u32);

/// How many times, where nothing hangs, and where much does.
const FAST: u32 = 20;
const VERY_FAST: u32 = 200;

impl Clock for FastClock {
    fn now(&self) -> i64 {
        self.monotonic().as_millis() as i64
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed() * self.1
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        Box::pin(tokio::time::sleep(duration / self.1))
    }
}

/// A running discovery and what it published last; `None` before the first time.
struct Discovery {
    found: watch::Receiver<Option<Vec<Arc<TargetGroup>>>>,
    registry: Registry,
    task: JoinHandle<()>,
}

impl Drop for Discovery {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn config(server: &ApiServer, role: KubernetesRole) -> KubernetesSdConfig {
    KubernetesSdConfig {
        role,
        api_server: server.url.clone(),
        kubeconfig_file: String::new(),
        own_namespace: false,
        namespaces: Vec::new(),
        selectors: Vec::new(),
        attach: AttachMetadata::default(),
        http: HttpClientConfig::default(),
    }
}

fn discover(config: KubernetesSdConfig, speed: u32) -> Discovery {
    let (sender, found) = watch::channel(None);
    let registry = Registry::new();
    let cluster = connect(&config, "test", &Default::default()).expect("connects");
    let clock = Arc::new(FastClock(Instant::now(), speed));
    let asker = Asker {
        component: "discovery manager test".into(),
        config: "job".into(),
    };
    let task = tokio::spawn(run(
        config,
        asker,
        cluster,
        clock,
        registry.clone(),
        move |groups| {
            sender.send_replace(Some(groups));
        },
    ));
    Discovery {
        found,
        registry,
        task,
    }
}

/// A target as the tests compare it: its address, and labels of objects it is joined with.
type Target = (String, String, String);

impl Discovery {
    fn targets(&mut self) -> Option<BTreeSet<Target>> {
        let groups = self.found.borrow_and_update().clone()?;
        let targets = groups.iter().flat_map(|group| {
            group.targets.iter().map(|target| {
                let get = |name: &str| {
                    let value = target.get(name).or_else(|| group.labels.get(name));
                    value.unwrap_or_default().to_string()
                };
                (
                    get("__address__"),
                    get("__meta_kubernetes_pod_label_v"),
                    get("__meta_kubernetes_service_label_v"),
                )
            })
        });
        Some(targets.collect())
    }

    async fn ends_in(&mut self, expected: &BTreeSet<Target>) {
        let reached = tokio::time::timeout(Duration::from_secs(60), async {
            while self.targets().as_ref() != Some(expected) {
                self.found.changed().await.expect("discovery runs");
            }
        })
        .await;
        assert!(
            reached.is_ok(),
            "ends in {:?}, not in {expected:?}",
            self.targets()
        );
    }

    fn counted(&self, name: &str) -> f64 {
        let family = self.registry.gather().into_iter().find(|f| f.name == name);
        let family = family.unwrap_or_else(|| panic!("no {name}"));
        let values = family.metrics.iter().map(|metric| match metric.value {
            MetricValue::Single(value) => value,
            _ => panic!("{name} is no counter"),
        });
        values.sum()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

fn pod(n: u64, v: u64) -> Value {
    json!({"metadata": {"namespace": format!("ns{}", n % 2), "name": format!("p{n}"), "labels": {"v": v.to_string()}},
        "spec": {"nodeName": "n1", "containers": [{"name": "c", "ports": [{"containerPort": 80, "name": "web"}]}]},
        "status": {"podIP": format!("10.0.0.{n}"), "phase": "Running"}})
}

fn service(n: u64, v: u64) -> Value {
    json!({"metadata": {"namespace": format!("ns{}", n % 2), "name": format!("s{n}"), "labels": {"v": v.to_string()}},
        "spec": {"type": "ClusterIP", "ports": [{"port": 8080 + v % 3}]}})
}

fn reference(pod: u64) -> Value {
    json!({"kind": "Pod", "namespace": format!("ns{}", pod % 2), "name": format!("p{pod}")})
}

fn endpoints(n: u64, pods: &[u64]) -> Value {
    let address = |p: &u64| json!({"ip": format!("10.0.0.{p}"), "targetRef": reference(*p)});
    json!({"metadata": {"namespace": format!("ns{}", n % 2), "name": format!("s{n}")},
        "subsets": [{"ports": [{"port": 80}], "addresses": pods.iter().map(address).collect::<Vec<_>>()}]})
}

fn slice(n: u64, pods: &[u64]) -> Value {
    let endpoint =
        |p: &u64| json!({"addresses": [format!("10.0.0.{p}")], "targetRef": reference(*p)});
    json!({"metadata": {"namespace": format!("ns{}", n % 2), "name": format!("s{n}-x"),
            "labels": {"kubernetes.io/service-name": format!("s{n}")}},
        "addressType": "IPv4", "ports": [{"port": 80}],
        "endpoints": pods.iter().map(endpoint).collect::<Vec<_>>()})
}

fn ingress(n: u64, v: u64) -> Value {
    json!({"metadata": {"namespace": "ns0", "name": format!("i{n}")},
        "spec": {"rules": [{"host": format!("h{v}.example"), "http": {"paths": [{"path": "/"}]}}]}})
}

fn node(n: u64, v: u64) -> Value {
    json!({"metadata": {"name": format!("n{n}")},
        "status": {"addresses": [{"type": "InternalIP", "address": format!("10.1.{v}.{n}")}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}}}})
}

/// The right set, computed from the server's objects without any of discovery's code.
fn expected(server: &ApiServer, role: KubernetesRole) -> BTreeSet<Target> {
    let label = |plural: &str, namespace: &Value, name: &str| {
        let objects = server.objects(plural);
        let found = objects
            .iter()
            .find(|o| o["metadata"]["namespace"] == *namespace && o["metadata"]["name"] == name);
        found.map_or(String::new(), |o| text(&o["metadata"]["labels"]["v"]))
    };
    let none = String::new;
    let mut set = BTreeSet::new();
    let plural = match role {
        KubernetesRole::Pod => "pods",
        KubernetesRole::Service => "services",
        KubernetesRole::Endpoints => "endpoints",
        KubernetesRole::EndpointSlice => "endpointslices",
        KubernetesRole::Node => "nodes",
        KubernetesRole::Ingress => "ingresses",
    };
    for object in server.objects(plural) {
        let meta = &object["metadata"];
        let namespace = &meta["namespace"];
        let mut behind = |ip: &Value, to: &Value, service: &str| {
            set.insert((
                format!("{}:80", text(ip)),
                label("pods", &to["namespace"], &text(&to["name"])),
                label("services", namespace, service),
            ));
        };
        match role {
            KubernetesRole::Pod => {
                let address = format!("{}:80", text(&object["status"]["podIP"]));
                set.insert((address, text(&meta["labels"]["v"]), none()));
            }
            KubernetesRole::Service => {
                let port = &object["spec"]["ports"][0]["port"];
                let address = format!("{}.{}.svc:{port}", text(&meta["name"]), text(namespace));
                set.insert((address, none(), text(&meta["labels"]["v"])));
            }
            KubernetesRole::Endpoints => {
                for address in object["subsets"][0]["addresses"]
                    .as_array()
                    .expect("a list")
                {
                    behind(&address["ip"], &address["targetRef"], &text(&meta["name"]));
                }
            }
            KubernetesRole::EndpointSlice => {
                let service = text(&meta["labels"]["kubernetes.io/service-name"]);
                for endpoint in object["endpoints"].as_array().expect("a list") {
                    behind(&endpoint["addresses"][0], &endpoint["targetRef"], &service);
                }
            }
            KubernetesRole::Node => {
                let address = text(&object["status"]["addresses"][0]["address"]);
                set.insert((format!("{address}:10250"), none(), none()));
            }
            KubernetesRole::Ingress => {
                let host = text(&object["spec"]["rules"][0]["host"]);
                set.insert((host, none(), none()));
            }
        }
    }
    set
}

/// One change by chance.
fn change(server: &ApiServer, random: &mut Random) {
    let (n, v) = (random.below(6), random.below(100));
    let pods: Vec<u64> = (0..6).filter(|_| random.below(2) == 0).collect();
    let namespace = format!("ns{}", n % 2);
    match random.below(9) {
        0 | 1 => server.put("pods", pod(n, v)),
        2 => server.put("services", service(n, v)),
        3 => server.put("endpoints", endpoints(n, &pods)),
        4 => server.put("endpointslices", slice(n, &pods)),
        5 => server.put("ingresses", ingress(n, v)),
        6 => server.put("nodes", node(n, v)),
        7 => {
            server.delete("pods", &namespace, &format!("p{n}"));
            server.delete("services", &namespace, &format!("s{n}"));
        }
        _ => {
            server.delete("endpoints", &namespace, &format!("s{n}"));
            server.delete("endpointslices", &namespace, &format!("s{n}-x"));
            server.delete("ingresses", "ns0", &format!("i{n}"));
            server.delete("nodes", "", &format!("n{n}"));
        }
    }
}

async fn ends_right_through_mishaps(role: KubernetesRole, seed: u64) {
    let server = ApiServer::start(seed).await;
    let mut random = Random::from_seed(seed ^ 0x5eed);
    (0..40).for_each(|_| change(&server, &mut random));
    server.set_faults(Faults {
        per_mille: 150,
        refuse: None,
    });
    let mut discovery = discover(config(&server, role), VERY_FAST);
    for round in 0..150 {
        change(&server, &mut random);
        match random.below(12) {
            0 => server.cut(),
            1 => server.compact(),
            // Lets some changes be seen one by one; which ones does not matter.
            2..6 => tokio::time::sleep(Duration::from_millis(3)).await,
            _ => {}
        }
        if round == 75 {
            server.set_faults(Faults::default());
            discovery.ends_in(&expected(&server, role)).await;
            server.set_faults(Faults {
                per_mille: 300,
                refuse: None,
            });
        }
    }
    server.set_faults(Faults::default());
    discovery.ends_in(&expected(&server, role)).await;
}

macro_rules! through_mishaps {
    ($($name:ident: $role:ident,)*) => {$(
        #[tokio::test]
        async fn $name() {
            for seed in 1..=3 {
                ends_right_through_mishaps(KubernetesRole::$role, seed).await;
            }
        }
    )*};
}

through_mishaps! {
    pods_through_mishaps: Pod,
    services_through_mishaps: Service,
    endpoints_through_mishaps: Endpoints,
    endpointslices_through_mishaps: EndpointSlice,
    nodes_through_mishaps: Node,
    ingresses_through_mishaps: Ingress,
}

#[tokio::test]
async fn lists_come_in_pages_and_deletions_are_seen() {
    let server = ApiServer::start(1).await;
    (0..5).for_each(|n| server.put("pods", pod(n, 1)));
    let mut discovery = discover(config(&server, KubernetesRole::Pod), FAST);
    discovery
        .ends_in(&expected(&server, KubernetesRole::Pod))
        .await;
    assert_eq!(server.asked().0, 3, "three pages");
    server.delete("pods", "ns0", "p2");
    let expected = expected(&server, KubernetesRole::Pod);
    assert_eq!(expected.len(), 4);
    discovery.ends_in(&expected).await;
    assert_eq!(server.asked().0, 3, "nothing was listed again");
}

#[tokio::test]
async fn a_bookmark_saves_a_list_and_an_expired_version_costs_one() {
    let server = ApiServer::start(2).await;
    server.put("pods", pod(0, 1));
    let mut discovery = discover(config(&server, KubernetesRole::Pod), FAST);
    discovery
        .ends_in(&expected(&server, KubernetesRole::Pod))
        .await;
    // Changes of another kind: the watch of pods hears of them by a bookmark alone.
    server.put("nodes", node(1, 1));
    server.put("pods", pod(1, 1));
    discovery
        .ends_in(&expected(&server, KubernetesRole::Pod))
        .await;
    server.put("nodes", node(2, 1));
    while !server.has_bookmarked() {
        tokio::task::yield_now().await;
    }
    let lists = server.asked().0;
    // Without the bookmark the watch would have to go on from before this.
    server.compact();
    server.cut();
    server.put("pods", pod(2, 1));
    discovery
        .ends_in(&expected(&server, KubernetesRole::Pod))
        .await;
    assert_eq!(server.asked().0, lists, "the watch went on where it stood");
    server.set_faults(Faults {
        per_mille: 0,
        refuse: Some(503),
    });
    server.cut();
    server.delete("pods", "ns0", "p0");
    server.put("pods", pod(3, 1));
    server.compact();
    server.set_faults(Faults::default());
    discovery
        .ends_in(&expected(&server, KubernetesRole::Pod))
        .await;
    assert!(server.asked().0 > lists, "it was listed anew");
}

#[tokio::test]
async fn a_version_that_the_server_has_forgotten_is_no_failure() {
    let server = ApiServer::start(6).await;
    server.put("services", service(1, 1));
    let mut discovery = discover(config(&server, KubernetesRole::Service), FAST);
    let of_server = || expected(&server, KubernetesRole::Service);
    discovery.ends_in(&of_server()).await;
    let lists = server.asked().0;
    // All at once, before the watch hears of any of it.
    server.put("services", service(2, 1));
    server.compact();
    server.cut();
    discovery.ends_in(&of_server()).await;
    assert!(server.asked().0 > lists, "it was listed anew");
    let failures = discovery.counted("prometheus_sd_kubernetes_failures_total");
    assert_eq!(failures, 0.0);
    let timed = "prometheus_sd_kubernetes_http_request_duration_seconds";
    let families = discovery.registry.gather();
    let family = families.iter().find(|family| family.name == timed);
    let MetricValue::Summary { count, .. } = family.expect("lists").metrics[0].value else {
        panic!("a summary");
    };
    assert_eq!(count as usize, server.asked().0, "watches are not timed");
}

#[tokio::test]
async fn what_is_forbidden_is_counted_and_tried_again() {
    let server = ApiServer::start(3).await;
    server.put("services", service(1, 1));
    server.set_faults(Faults {
        per_mille: 0,
        refuse: Some(403),
    });
    let mut discovery = discover(config(&server, KubernetesRole::Service), FAST);
    while server.asked().0 < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(discovery.targets(), None, "nothing is published");
    assert!(discovery.counted("prometheus_sd_kubernetes_failures_total") >= 2.0);
    server.set_faults(Faults::default());
    discovery
        .ends_in(&expected(&server, KubernetesRole::Service))
        .await;
}

#[tokio::test]
async fn namespaces_and_selectors_narrow_what_is_asked_for() {
    let server = ApiServer::start(4).await;
    (0..6).for_each(|n| server.put("pods", pod(n, n % 3)));
    let mut narrow = config(&server, KubernetesRole::Pod);
    narrow.namespaces = vec!["ns1".into()];
    narrow.selectors = vec![KubernetesSelector {
        role: KubernetesRole::Pod,
        label: "v=0".into(),
        field: String::new(),
    }];
    let mut discovery = discover(narrow, FAST);
    let only = |ip: &str| BTreeSet::from([(format!("{ip}:80"), "0".into(), String::new())]);
    discovery.ends_in(&only("10.0.0.3")).await;
    server.put("pods", pod(3, 1));
    server.put("pods", pod(5, 0));
    discovery.ends_in(&only("10.0.0.5")).await;
}

#[tokio::test]
async fn a_pod_waits_for_its_node_and_goes_with_it() {
    let server = ApiServer::start(5).await;
    server.put("pods", pod(1, 1));
    let mut attached = config(&server, KubernetesRole::Pod);
    attached.attach.node = true;
    let mut discovery = discover(attached, FAST);
    discovery.ends_in(&BTreeSet::new()).await;
    server.put("nodes", node(1, 1));
    discovery
        .ends_in(&expected(&server, KubernetesRole::Pod))
        .await;
    server.delete("nodes", "", "n1");
    discovery.ends_in(&BTreeSet::new()).await;
}
