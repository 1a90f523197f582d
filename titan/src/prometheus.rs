//! `titan prometheus`: the server as a program of its own.

use std::process::ExitCode;
use std::sync::Arc;

use env::system::{SystemDisk, random_seed};
use flags::UsageError;
use net::logging::{LogFormat, init, parse_level};
use net::shutdown::{Shutdown, ShutdownTrigger, stop_signal};
use prometheus::flags::{Command, PROGRAM, ServerConfig, parse};
use prometheus::server::Reloader;
use prometheus::{Context, Server, ServerError};

use crate::exit;

/// Runs the program.
pub fn main(arguments: Vec<String>) -> ExitCode {
    let config = match parse(arguments) {
        Ok(Command::Serve(config)) => *config,
        Ok(Command::Print(text)) => return exit::print(&text),
        Ok(Command::WrongMode(text)) => return exit::fail(3, &format!("{text}\n")),
        Err(error) => {
            let told = format!("Error parsing command line arguments: {error}\n");
            return match error {
                UsageError::Shape(_) => {
                    exit::fail(1, &format!("{told}prometheus: error: {error}\n"))
                }
                UsageError::Value(_) => {
                    exit::print(&PROGRAM.usage());
                    exit::fail(2, &told)
                }
            };
        }
    };
    start_logging(&config.log_level, &config.log_format);
    let runtime = match exit::runtime(exit::cores()) {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(1, &format!("starting threads: {error}\n")),
    };
    let result = runtime.block_on(serve(config));
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(error.exit_code())
        }
    }
}

/// Logs as the flags say; unknown words have been refused before.
pub fn start_logging(level: &str, format: &str) {
    let format = if format == "json" {
        LogFormat::Json
    } else {
        LogFormat::Logfmt
    };
    init(parse_level(level).unwrap_or(tracing::Level::INFO), format);
}

async fn serve(config: ServerConfig) -> Result<(), ServerError> {
    tracing::info!(
        version = prometheus::build::UPSTREAM_VERSION,
        titan = env!("CARGO_PKG_VERSION"),
        "Starting Prometheus Server"
    );
    let (trigger, shutdown) = net::shutdown::channel();
    let server = Server::start(config, context(shutdown)).await?;
    tokio::spawn(stop_on_signal(Arc::new(trigger)));
    tokio::spawn(reload_on_hangup(server.reloader()));
    server.run().await
}

/// The real world.
pub fn context(shutdown: Shutdown) -> Context {
    Context {
        clock: net::clock::system_clock(),
        disk: Arc::new(SystemDisk),
        shutdown,
        host: exit::host_name(),
        seed: random_seed(),
    }
}

/// Stops at the first signal that asks for it.
pub async fn stop_on_signal(trigger: Arc<ShutdownTrigger>) {
    match stop_signal().await {
        Ok(signal) => {
            tracing::warn!(signal, "Received an OS signal, exiting gracefully...");
            trigger.stop();
        }
        Err(error) => {
            tracing::error!(%error, "signals cannot be heard; end the process by force");
            std::future::pending::<()>().await;
        }
    }
}

async fn reload_on_hangup(reloader: Reloader) {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangups) = signal(SignalKind::hangup()) else {
        return;
    };
    while hangups.recv().await.is_some() {
        // The failure has been logged.
        let _ = reloader.reload().await;
    }
}
