//! A stand-in for a cluster's API server: lists in pages, watches with bookmarks, versions that expire, and, on demand,
//! everything that goes wrong between a server and its clients.

use std::collections::{BTreeMap, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use env::Random;
use hyper::body::Frame;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};

/// The objects of a page.
const PAGE: usize = 2;

/// The server. Clones are the same one.
#[derive(Clone)]
pub struct ApiServer {
    pub url: String,
    state: Arc<Mutex<Cluster>>,
    version: watch::Sender<u64>,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Faults {
    /// Out of a thousand requests, lines and pages, how many go wrong in one of many ways.
    pub per_mille: u64,
    /// Everything is refused with this status.
    pub refuse: Option<u16>,
}

struct Cluster {
    objects: BTreeMap<(String, String, String), Value>,
    /// Changes as (version, plural, type, object).
    log: Vec<(u64, String, &'static str, Value)>,
    version: u64,
    /// Versions before this one are forgotten.
    oldest: u64,
    snapshots: HashMap<String, Vec<Value>>,
    faults: Faults,
    random: Random,
    requests: Vec<(String, bool)>,
    /// The version of the latest bookmark that was sent.
    bookmarked: u64,
    /// Raised to cut all connections.
    epoch: u64,
}

impl ApiServer {
    /// Listens on a free port.
    pub async fn start(seed: u64) -> ApiServer {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = ApiServer {
            url: format!("http://{address}"),
            state: Arc::new(Mutex::new(Cluster {
                objects: BTreeMap::new(),
                log: Vec::new(),
                version: 1,
                oldest: 0,
                snapshots: HashMap::new(),
                faults: Faults::default(),
                random: Random::from_seed(seed),
                requests: Vec::new(),
                bookmarked: 0,
                epoch: 0,
            })),
            version: watch::Sender::new(1),
        };
        let app = axum::Router::new()
            .fallback(answer)
            .with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    /// Creates or changes an object.
    pub fn put(&self, plural: &str, object: Value) {
        self.change(plural, object, false);
    }

    /// Deletes an object.
    pub fn delete(&self, plural: &str, namespace: &str, name: &str) {
        let object = json!({"metadata": {"namespace": namespace, "name": name}});
        self.change(plural, object, true);
    }

    fn change(&self, plural: &str, mut object: Value, gone: bool) {
        let mut cluster = self.state.lock();
        let name_of = |field: &str| {
            let text = object["metadata"][field].as_str();
            text.unwrap_or_default().to_string()
        };
        let key = (plural.to_string(), name_of("namespace"), name_of("name"));
        let known = cluster.objects.get(&key).cloned();
        cluster.version += 1;
        let version = cluster.version;
        let kind = match (gone, known) {
            (true, None) => return,
            (true, Some(known)) => {
                object = known;
                "DELETED"
            }
            (false, None) => "ADDED",
            (false, Some(_)) => "MODIFIED",
        };
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        match gone {
            true => cluster.objects.remove(&key),
            false => cluster.objects.insert(key, object.clone()),
        };
        cluster.log.push((version, plural.into(), kind, object));
        drop(cluster);
        self.version.send_replace(version);
    }

    /// All objects of a kind.
    pub fn objects(&self, plural: &str) -> Vec<Value> {
        let cluster = self.state.lock();
        let of_kind = cluster.objects.iter().filter(|(key, _)| key.0 == plural);
        of_kind.map(|(_, object)| object.clone()).collect()
    }

    /// Forgets all changes so far: whoever wants to go on from an earlier version must list anew.
    pub fn compact(&self) {
        let mut cluster = self.state.lock();
        cluster.oldest = cluster.version;
        cluster.log.clear();
        cluster.snapshots.clear();
    }

    /// Cuts all watches.
    pub fn cut(&self) {
        self.state.lock().epoch += 1;
        self.version.send_modify(|_| {});
    }

    /// From now on this goes wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.state.lock().faults = faults;
    }

    /// Whether a bookmark of the latest version was sent.
    pub fn has_bookmarked(&self) -> bool {
        let cluster = self.state.lock();
        cluster.bookmarked == cluster.version
    }

    /// How many pages of lists were asked for, and how many watches.
    pub fn asked(&self) -> (usize, usize) {
        let cluster = self.state.lock();
        let watches = cluster.requests.iter().filter(|(_, watch)| *watch).count();
        (cluster.requests.len() - watches, watches)
    }

    /// Whether something goes wrong now, and which of `ways` it is.
    fn mishap(&self, ways: u64) -> Option<u64> {
        let mut cluster = self.state.lock();
        let chance = cluster.faults.per_mille;
        (cluster.random.below(1000) < chance).then(|| cluster.random.below(ways))
    }
}

fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "code": code})
}

fn refused(code: u16) -> Response {
    let status_code = StatusCode::from_u16(code).expect("a status");
    (status_code, axum::Json(status(code, "refused"))).into_response()
}

async fn answer(
    State(server): State<ApiServer>,
    uri: Uri,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let watching = query.contains_key("watch");
    let faults = {
        let mut cluster = server.state.lock();
        cluster.requests.push((uri.to_string(), watching));
        cluster.faults
    };
    if let Some(code) = faults.refuse {
        return refused(code);
    }
    match server.mishap(5) {
        None => {}
        Some(0) => return refused(500),
        Some(1) => return refused(429),
        Some(2) => return refused(410),
        Some(3) => tokio::time::sleep(Duration::from_millis(20)).await,
        Some(_) => std::future::pending().await,
    }
    let path: Vec<&str> = uri.path().split('/').collect();
    let plural = path.last().expect("a path").to_string();
    let namespace = match path.iter().position(|part| *part == "namespaces") {
        Some(at) if at + 2 < path.len() => path[at + 1].to_string(),
        _ => String::new(),
    };
    let wanted = Wanted {
        plural,
        namespace,
        selector: query.get("labelSelector").cloned().unwrap_or_default(),
    };
    match watching {
        true => follow(server, wanted, &query),
        false => page(&server, &wanted, query.get("continue")),
    }
}

/// Which objects are asked for.
struct Wanted {
    plural: String,
    namespace: String,
    /// Empty or `name=value`.
    selector: String,
}

impl Wanted {
    fn is_near(&self, plural: &str, object: &Value) -> bool {
        plural == self.plural
            && (self.namespace.is_empty() || object["metadata"]["namespace"] == *self.namespace)
    }

    fn is_selected(&self, object: &Value) -> bool {
        match self.selector.split_once('=') {
            Some((name, value)) => object["metadata"]["labels"][name] == value,
            None => true,
        }
    }
}

fn page(server: &ApiServer, wanted: &Wanted, token: Option<&String>) -> Response {
    let broken = server.mishap(1).is_some();
    let mut cluster = server.state.lock();
    let (version, from) = match token {
        None => (cluster.version, 0),
        Some(token) => {
            let (version, from) = token.split_once('.').expect("a token of ours");
            (
                version.parse().expect("a version"),
                from.parse().expect("a place"),
            )
        }
    };
    let name = format!("{version}/{}/{}", wanted.plural, wanted.namespace);
    if token.is_none() {
        let objects: Vec<Value> = cluster
            .objects
            .iter()
            .filter(|(key, object)| wanted.is_near(&key.0, object) && wanted.is_selected(object))
            .map(|(_, object)| object.clone())
            .collect();
        cluster.snapshots.insert(name.clone(), objects);
    }
    let Some(snapshot) = cluster.snapshots.get(&name) else {
        return refused(410);
    };
    let to = (from + PAGE).min(snapshot.len());
    let next = match to < snapshot.len() {
        true => format!("{version}.{to}"),
        false => String::new(),
    };
    // As Go does: nothing is null.
    let items = match snapshot[from..to].is_empty() {
        true => Value::Null,
        false => json!(snapshot[from..to]),
    };
    let body = json!({"metadata": {"resourceVersion": version.to_string(), "continue": next}, "items": items});
    let mut text = body.to_string();
    if broken {
        text.truncate(text.len() / 2);
    }
    text.into_response()
}

fn follow(server: ApiServer, wanted: Wanted, query: &HashMap<String, String>) -> Response {
    let version = query.get("resourceVersion").and_then(|v| v.parse().ok());
    let (sender, receiver) = mpsc::channel(16);
    tokio::spawn(tell(server, wanted, version.unwrap_or(0), sender));
    Body::new(Lines(receiver)).into_response()
}

type Line = Result<Bytes, std::io::Error>;

async fn tell(server: ApiServer, wanted: Wanted, mut from: u64, sender: mpsc::Sender<Line>) {
    let mut changes = server.version.subscribe();
    let epoch = server.state.lock().epoch;
    loop {
        changes.mark_unchanged();
        let (lines, last) = {
            let cluster = server.state.lock();
            if cluster.epoch != epoch {
                return;
            }
            if from < cluster.oldest {
                let gone = status(410, "too old resource version");
                (vec![json!({"type": "ERROR", "object": gone})], None)
            } else {
                let mut lines: Vec<Value> = cluster
                    .log
                    .iter()
                    .filter(|(version, plural, _, object)| {
                        *version > from && wanted.is_near(plural, object)
                    })
                    .map(|(_, _, kind, object)| match wanted.is_selected(object) {
                        true => json!({"type": kind, "object": object}),
                        // It was there, perhaps, and is not any more.
                        false => json!({"type": "DELETED", "object": object}),
                    })
                    .collect();
                let version = cluster.version.to_string();
                lines.push(json!({"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": version}}}));
                (lines, Some(cluster.version))
            }
        };
        for line in lines {
            let mut bytes = line.to_string().into_bytes();
            bytes.push(b'\n');
            let half = bytes.len() / 2;
            match server.mishap(5) {
                None => {}
                // The connection breaks within a line; ends between lines; the line comes slowly; garbage; silence.
                Some(0) => {
                    let _ = sender.send(Ok(bytes[..half].to_vec().into())).await;
                    let _ = sender.send(Err(std::io::Error::other("cut"))).await;
                    return;
                }
                Some(1) => return,
                Some(2) => {
                    let first = bytes.drain(..half).collect::<Vec<u8>>();
                    let _ = sender.send(Ok(first.into())).await;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Some(3) => {
                    let _ = sender.send(Ok(Bytes::from_static(b"{\"type\":\n"))).await;
                    return;
                }
                Some(_) => {
                    sender.closed().await;
                    return;
                }
            }
            if sender.send(Ok(bytes.into())).await.is_err() {
                return;
            }
        }
        match last {
            Some(last) => {
                from = last;
                server.state.lock().bookmarked = last;
            }
            None => return,
        }
        tokio::select! {
            changed = changes.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
        }
    }
}

/// A body that ends when its sender is gone.
struct Lines(mpsc::Receiver<Line>);

impl hyper::body::Body for Lines {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        self.0
            .poll_recv(context)
            .map(|line| line.map(|line| line.map(Frame::data)))
    }
}
