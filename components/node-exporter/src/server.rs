//! The exporter as a running part: listeners up, pages served, an orderly end.

use std::sync::Arc;
use std::time::Duration;

use env::clock::Clock;
use net::http_server::{ServerLimits, serve};
use net::listen::{ListenError, bind_all};
use net::listener_counts::ListenerCounts;
use net::shutdown::Shutdown;
use net::web_gate::{WebConfigError, WebGate};
use tokio::net::TcpListener;

use crate::config::{Config, ConfigError};
use crate::exporter::NodeExporter;
use crate::page::router;

/// Connections at one time: scrapers keep theirs open, and there are few of them.
const CONNECTIONS_MAX: usize = 256;
/// How long a request's header may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a scrape may go on after the call to stop.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(5);

/// Why the exporter does not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The configuration cannot be used.
    #[error("Couldn't create metrics handler: {0}")]
    Config(#[from] ConfigError),
    /// An address is taken or does not exist.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The web configuration cannot be used.
    #[error(transparent)]
    Web(#[from] WebConfigError),
    /// A way of listening that is asked for and not available. Serving without it would be worse than not at all.
    #[error("{0} is not available in this build")]
    NotAvailable(&'static str),
}

/// An exporter that has its addresses and answers once it runs.
pub struct Listening {
    /// Where it listens.
    pub addresses: Vec<String>,
    listeners: Vec<TcpListener>,
    exporter: Arc<NodeExporter>,
    gate: Arc<WebGate>,
}

impl Listening {
    /// Checks the configuration and binds the addresses.
    pub async fn start(config: Config, clock: Arc<dyn Clock>) -> Result<Listening, RunError> {
        refuse_what_is_not_available(&config)?;
        tracing::info!(version = %config.build.version, "Starting node_exporter");
        let exporter = Arc::new(NodeExporter::new(config, clock)?);
        let names: Vec<&str> = exporter.collector_names().collect();
        tracing::info!(collectors = %names.join(","), "Enabled collectors");
        let gate = WebGate::load(&exporter.config().web_config_file)?;
        let listeners = bind_all(&exporter.config().listen_addresses).await?;
        let addresses: Vec<String> = listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .map(|address| address.to_string())
            .collect();
        for address in &addresses {
            tracing::info!(%address, "Listening on");
            if gate.speaks_tls() {
                tracing::info!(%address, "TLS is enabled.");
            } else {
                tracing::info!(http2 = false, %address, "TLS is disabled.");
            }
        }
        Ok(Listening {
            addresses,
            listeners,
            exporter,
            gate,
        })
    }

    /// Answers until the stop.
    pub async fn run(self, shutdown: Shutdown) {
        let limits = ServerLimits {
            max_connections: CONNECTIONS_MAX,
            read_timeout: HEADER_TIMEOUT,
            shutdown_grace: SHUTDOWN_GRACE,
        };
        serve(
            self.listeners,
            router(self.exporter),
            limits,
            self.gate,
            ListenerCounts::default(),
            shutdown,
        )
        .await;
    }
}

fn refuse_what_is_not_available(config: &Config) -> Result<(), RunError> {
    if config.systemd_socket {
        return Err(RunError::NotAvailable("--web.systemd-socket"));
    }
    if config
        .listen_addresses
        .iter()
        .any(|address| address.starts_with("vsock:"))
    {
        return Err(RunError::NotAvailable("listening on vsock"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    async fn get(address: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn serves_and_ends() {
        let config = Config {
            listen_addresses: vec!["127.0.0.1:0".into()],
            collectors: ["loadavg"].into_iter().collect(),
            ..Config::default()
        };
        let (trigger, shutdown) = net::shutdown::channel();
        let listening = Listening::start(config, net::clock::system_clock())
            .await
            .unwrap();
        let address = listening.addresses[0].clone();
        let running = tokio::spawn(listening.run(shutdown));
        let page = get(&address, "/metrics").await;
        assert!(
            page.starts_with("HTTP/1.0 200") && page.contains("\nnode_load1 "),
            "{page}"
        );
        assert!(get(&address, "/").await.contains("<a href=\"/metrics\">"));
        assert!(get(&address, "/other").await.starts_with("HTTP/1.0 404"));
        assert!(
            get(&address, "/metrics?collect[]=x")
                .await
                .starts_with("HTTP/1.0 400")
        );
        trigger.stop();
        running.await.unwrap();
    }

    #[tokio::test]
    async fn does_not_start_without_what_is_asked_for() {
        let refused = |config: Config| async {
            let started = Listening::start(config, net::clock::system_clock()).await;
            started.err().expect("refused").to_string()
        };
        let web_config_file = "web.yml".into();
        let error = refused(Config {
            web_config_file,
            ..Config::default()
        })
        .await;
        assert!(error.starts_with("web.yml: "), "{error}");
        let mut config = Config::default();
        config.paths.procfs = "/does/not/exist".into();
        let error = refused(config).await;
        assert!(
            error.starts_with("Couldn't create metrics handler: "),
            "{error}"
        );
    }
}
