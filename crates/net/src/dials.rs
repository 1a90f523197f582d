//! Connections that clients open, counted by who opens them.
//!
//! The HTTP library tells when a connection is being made and whether it comes about, and not when it ends: there is no
//! `net_conntrack_dialer_conn_closed_total`. A handshake of TLS counts as part of making a connection.

use std::error::Error;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::task::{Context, Poll};

use env::Registry;
use env::instruments::Counter;
use tower::{Layer, Service};

/// Counts the connections of one kind of client. Clones count together.
#[derive(Clone, Default)]
pub struct Dials {
    attempted: Counter,
    established: Counter,
    refused: Counter,
    resolution: Counter,
    timeout: Counter,
    unknown: Counter,
}

impl Dials {
    /// Those of the clients of that name.
    pub fn of(registry: &Registry, name: &str) -> Dials {
        let counter = |rest: &str, help: &str| {
            let metric = format!("net_conntrack_dialer_conn_{rest}_total");
            registry
                .counters(&metric, help, &["dialer_name"])
                .with(&[name])
        };
        let failed = registry.counters(
            "net_conntrack_dialer_conn_failed_total",
            "Connections that could not be made, by the name of the client and the reason.",
            &["dialer_name", "reason"],
        );
        Dials {
            attempted: counter(
                "attempted",
                "Connections that were tried to be made, by the name of the client.",
            ),
            established: counter(
                "established",
                "Connections that were made, by the name of the client.",
            ),
            refused: failed.with(&[name, "refused"]),
            resolution: failed.with(&[name, "resolution"]),
            timeout: failed.with(&[name, "timeout"]),
            unknown: failed.with(&[name, "unknown"]),
        }
    }

    fn note_failure(&self, error: &(dyn Error + 'static)) {
        let mut cause = Some(error);
        while let Some(error) = cause {
            // The library has no type for names that are not found.
            if error.to_string() == "dns error" {
                return self.resolution.inc();
            }
            match error.downcast_ref::<std::io::Error>().map(|e| e.kind()) {
                Some(ErrorKind::ConnectionRefused) => return self.refused.inc(),
                Some(ErrorKind::TimedOut) => return self.timeout.inc(),
                _ => cause = error.source(),
            }
        }
        self.unknown.inc();
    }
}

impl<S> Layer<S> for Dials {
    type Service = CountedDials<S>;

    fn layer(&self, connector: S) -> CountedDials<S> {
        CountedDials {
            connector,
            dials: self.clone(),
        }
    }
}

/// Makes connections and counts them.
#[derive(Clone)]
pub struct CountedDials<S> {
    connector: S,
    dials: Dials,
}

impl<S, To> Service<To> for CountedDials<S>
where
    S: Service<To, Error = Box<dyn Error + Send + Sync>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<S::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.connector.poll_ready(cx)
    }

    fn call(&mut self, to: To) -> Self::Future {
        self.dials.attempted.inc();
        let pending = Pending(Some(self.dials.clone()));
        let connecting = self.connector.call(to);
        Box::pin(async move {
            let mut pending = pending;
            let result = connecting.await;
            if let Some(dials) = pending.0.take() {
                match &result {
                    Ok(_) => dials.established.inc(),
                    Err(error) => dials.note_failure(&**error),
                }
            }
            result
        })
    }
}

/// A connection that is being made. Whoever gives up has waited long enough.
struct Pending(Option<Dials>);

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(dials) = self.0.take() {
            dials.timeout.inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http_client::HttpClient;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn connections_are_counted_by_how_they_end() {
        let registry = Registry::new();
        let dials = Dials::of(&registry, "x");
        let client = HttpClient::counted(&Default::default(), "test", &dials).expect("a client");
        // Both ways to ask are counted.
        let ask = async |url: String| {
            let request = client.get(&url).await.expect("a request");
            let _ = request
                .timeout(std::time::Duration::from_secs(5))
                .send()
                .await;
            if let Ok(mut answer) = client.fetch(&url, Default::default()).await {
                while let Ok(Some(_)) = answer.chunk().await {}
            }
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(async move {
            let app = axum::Router::new().route("/", axum::routing::get(|| async { "ok" }));
            axum::serve(listener, app).await
        });
        ask(format!("http://{address}/")).await;
        ask(format!("http://{address}/")).await;
        assert_eq!((dials.attempted.get(), dials.established.get()), (2.0, 2.0));
        server.abort();
        let _ = server.await;
        let gone = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = gone.local_addr().expect("an address");
        drop(gone);
        ask(format!("http://{address}/")).await;
        ask("http://no.such.host.invalid/".into()).await;
        assert_eq!((dials.refused.get(), dials.resolution.get()), (2.0, 2.0));
        assert_eq!((dials.attempted.get(), dials.established.get()), (6.0, 2.0));
    }
}
