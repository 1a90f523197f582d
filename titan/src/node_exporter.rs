//! `titan node-exporter`: the machine's metrics as a program of its own.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use net::http_server::{ServerLimits, serve};
use net::listen::bind_all;
use net::shutdown::Shutdown;
use node_exporter::flags::{Invocation, parse};
use node_exporter::{BuildInfo, Config, NodeExporter, router};
use thiserror::Error;
use tokio::net::TcpListener;

use crate::exit;
use crate::prometheus::{start_logging, stop_on_signal};

/// Why the exporter does not run.
#[derive(Debug, Error)]
pub enum ExporterError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Listen(#[from] net::listen::ListenError),
    /// A setting cannot be.
    #[error(transparent)]
    Config(#[from] node_exporter::ConfigError),
}

/// An exporter that listens.
pub struct Listening {
    /// Where.
    pub addresses: Vec<String>,
    listeners: Vec<TcpListener>,
    exporter: Arc<NodeExporter>,
}

impl Listening {
    /// Binds the addresses.
    pub async fn start(config: Config) -> Result<Listening, ExporterError> {
        if !config.web_config_file.is_empty() {
            return Err(ExporterError::Config(node_exporter::ConfigError(
                "--web.config.file: this build cannot serve TLS or ask for passwords yet".into(),
            )));
        }
        let listeners = bind_all(&config.listen_addresses).await?;
        let addresses = listeners
            .iter()
            .filter_map(|listener| listener.local_addr().ok())
            .map(|address| address.to_string())
            .collect();
        let exporter = Arc::new(NodeExporter::new(config, net::clock::system_clock())?);
        Ok(Listening {
            addresses,
            listeners,
            exporter,
        })
    }

    /// Answers until the stop.
    pub async fn run(self, shutdown: Shutdown) {
        let limits = ServerLimits {
            shutdown_grace: Duration::from_secs(2),
            ..ServerLimits::default()
        };
        serve(self.listeners, router(self.exporter), limits, shutdown).await;
    }
}

/// The build as the exporter shows it.
pub fn build() -> BuildInfo {
    BuildInfo {
        version: UPSTREAM_VERSION.into(),
        revision: prometheus::build::REVISION.into(),
        branch: "main".into(),
    }
}

/// The version of upstream whose behaviour the exporter carries.
const UPSTREAM_VERSION: &str = "1.12.1";

/// Runs the program.
pub fn main(arguments: Vec<String>) -> ExitCode {
    let config = match parse(arguments, build()) {
        Ok(Invocation::Run(config)) => *config,
        Ok(Invocation::Print(text)) => return exit::print(&text),
        Err(error) => return exit::fail(1, &format!("node_exporter: error: {error}\n")),
    };
    start_logging(&config.log_level, &config.log_format);
    let runtime = match exit::runtime(config.threads) {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(1, &format!("starting threads: {error}\n")),
    };
    let result = runtime.block_on(async {
        let listening = Listening::start(config).await?;
        for address in &listening.addresses {
            tracing::info!(address = %address, "Listening on");
        }
        let (trigger, shutdown) = net::shutdown::channel();
        tokio::spawn(stop_on_signal(trigger));
        listening.run(shutdown).await;
        Ok::<(), ExporterError>(())
    });
    runtime.shutdown_timeout(Duration::from_secs(2));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::FAILURE
        }
    }
}
