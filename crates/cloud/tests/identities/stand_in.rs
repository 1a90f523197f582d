//! A server that remembers what it was asked and answers as it is told, and the world of a test.

use std::collections::HashMap;
use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri};
use axum::response::IntoResponse;
use cloud::{CloudClient, SendError, World};
use configfile::Config;
use env::Clock as _;
use env::sim::SimClock;
use parking_lot::Mutex;

/// 2015-08-30T12:36:00Z
pub const START: i64 = 1_440_938_160_000;

/// A request as it came in.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: Method,
    pub uri: Uri,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Seen {
    pub fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value.map_or("", |value| value.to_str().expect("text"))
    }

    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The fields of the query.
    pub fn query(&self) -> HashMap<String, String> {
        fields(self.uri.query().unwrap_or("").as_bytes())
    }

    /// The fields of a form.
    pub fn form(&self) -> HashMap<String, String> {
        assert_eq!(
            self.header("content-type"),
            "application/x-www-form-urlencoded"
        );
        fields(&self.body)
    }
}

fn fields(text: &[u8]) -> HashMap<String, String> {
    form_urlencoded::parse(text).into_owned().collect()
}

/// Status, headers, body.
pub type Answer = (u16, Vec<(&'static str, String)>, String);

pub fn ok(body: impl Into<String>) -> Answer {
    (200, Vec::new(), body.into())
}

pub fn fails(status: u16, body: impl Into<String>) -> Answer {
    (status, Vec::new(), body.into())
}

type Script = dyn Fn(&Seen) -> Answer + Send + Sync;

struct Inner {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
}

/// The server; it ends with the test's runtime.
pub struct StandIn {
    pub url: String,
    inner: Arc<Inner>,
}

impl StandIn {
    pub async fn start(script: impl Fn(&Seen) -> Answer + Send + Sync + 'static) -> StandIn {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let inner = Arc::new(Inner {
            script: Box::new(script),
            seen: Mutex::default(),
        });
        let router = Router::new().fallback(answer).with_state(inner.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        StandIn { url, inner }
    }

    /// What was asked since the last call.
    pub fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.inner.seen.lock())
    }
}

async fn answer(
    State(inner): State<Arc<Inner>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> impl IntoResponse {
    let seen = Seen {
        method,
        uri,
        headers,
        body,
    };
    let (status, more, body) = (inner.script)(&seen);
    inner.seen.lock().push(seen);
    let more: HeaderMap = more
        .into_iter()
        .map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a name");
            (name, value.parse().expect("a value"))
        })
        .collect();
    (StatusCode::from_u16(status).expect("a status"), more, body)
}

/// A machine with a home, an environment and a clock of its own.
pub struct Machine {
    pub clock: SimClock,
    pub home: tempfile::TempDir,
    pub environment: Arc<Mutex<HashMap<String, String>>>,
}

impl Machine {
    pub fn new() -> Machine {
        let home = tempfile::tempdir().expect("a folder");
        let environment = HashMap::from([(
            "HOME".to_string(),
            home.path().to_string_lossy().into_owned(),
        )]);
        Machine {
            clock: SimClock::starting_at(START),
            home,
            environment: Arc::new(Mutex::new(environment)),
        }
    }

    pub fn set(&self, name: &str, value: impl Into<String>) {
        self.environment.lock().insert(name.into(), value.into());
    }

    /// Writes a file below the home and returns its path.
    pub fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.home.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(&path, content).expect("written");
        path.to_string_lossy().into_owned()
    }

    pub fn now(&self) -> i64 {
        self.clock.now()
    }

    pub fn advance_seconds(&self, seconds: u64) {
        self.clock.advance(std::time::Duration::from_secs(seconds));
    }

    /// A client as an entry of `remote_write` with this section has it.
    pub fn client(&self, section: &str) -> Result<CloudClient, String> {
        let text = format!("remote_write:\n- url: http://h/\n  {section}\n");
        let config = Config::parse(&text, &|_| None).unwrap_or_else(|e| panic!("{e}\n{text}"));
        let remote = &config.remote_write[0];
        let variables = self.environment.clone();
        let world = World::new(
            Arc::new(self.clock.clone()),
            Arc::new(move |name| variables.lock().get(name).cloned()),
            "titan/test",
        );
        CloudClient::new(
            &remote.http,
            remote.identity.as_ref(),
            "titan/test",
            &Default::default(),
            &world,
        )
        .map_err(|e| e.to_string())
    }
}

/// Posts a body; the status, or why there is none.
pub async fn post(client: &CloudClient, url: &str) -> Result<u16, String> {
    let request = client.post(url).await.map_err(|e| e.to_string())?;
    let request = request
        .header("Content-Type", "application/x-protobuf")
        .header("Content-Encoding", "snappy")
        .body("a body");
    match client.send(request).await {
        Ok(answer) => Ok(answer.status().as_u16()),
        Err(SendError::Identity(error)) => Err(error.to_string()),
        Err(SendError::Transport(error)) => panic!("{error}"),
    }
}
