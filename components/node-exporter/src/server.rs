//! The exporter as a running part: listeners up, pages served, an orderly end.

use std::sync::Arc;
use std::time::Duration;

use env::clock::Clock;
use net::http_server::{ServerLimits, serve};
use net::listen::{ListenError, bind_all};
use net::shutdown::Shutdown;

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
    /// A way of listening that is asked for and not available. Serving without it would be worse than not at all.
    #[error("{0} is not available in this build")]
    NotAvailable(&'static str),
}

/// Runs the exporter until the stop. Comes back early only with an error.
pub async fn run(
    config: Config,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> Result<(), RunError> {
    if !config.web_config_file.is_empty() {
        return Err(RunError::NotAvailable("--web.config.file"));
    }
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
    tracing::info!(version = %config.build.version, "Starting node_exporter");
    if rustix::process::geteuid().is_root() {
        tracing::warn!(
            "Node Exporter is running as root user. This exporter is designed to run as unprivileged user, root is not required."
        );
    }
    let exporter = Arc::new(NodeExporter::new(config, clock)?);
    tracing::info!("Enabled collectors");
    for collector in exporter.collector_names() {
        tracing::info!("{collector}");
    }
    let listeners = bind_all(&exporter.config().listen_addresses).await?;
    for listener in &listeners {
        if let Ok(address) = listener.local_addr() {
            tracing::info!(%address, "Listening on");
            tracing::info!(http2 = false, %address, "TLS is disabled.");
        }
    }
    let limits = ServerLimits {
        max_connections: CONNECTIONS_MAX,
        read_timeout: HEADER_TIMEOUT,
        shutdown_grace: SHUTDOWN_GRACE,
    };
    serve(listeners, router(exporter), limits, shutdown).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

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
        // A free port, let go at once: the exporter takes it over.
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let config = Config {
            listen_addresses: vec![address.clone()],
            collectors: ["loadavg"].into_iter().collect(),
            ..Config::default()
        };
        let (trigger, shutdown) = net::shutdown::channel();
        let running = tokio::spawn(run(config, net::clock::system_clock(), shutdown));
        while TcpStream::connect(&address).await.is_err() {
            tokio::task::yield_now().await;
        }
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
        running.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn does_not_start_without_what_is_asked_for() {
        let (_trigger, shutdown) = net::shutdown::channel();
        let config = Config {
            web_config_file: "web.yml".into(),
            ..Config::default()
        };
        let error = run(config, net::clock::system_clock(), shutdown.clone())
            .await
            .unwrap_err();
        assert_eq!(
            error.to_string(),
            "--web.config.file is not available in this build"
        );
        let mut config = Config::default();
        config.paths.procfs = "/does/not/exist".into();
        let error = run(config, net::clock::system_clock(), shutdown)
            .await
            .unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("Couldn't create metrics handler: "),
            "{error}"
        );
    }
}
