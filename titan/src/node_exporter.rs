//! `titan node-exporter`: the machine's metrics as a program of its own.

use std::process::ExitCode;
use std::time::Duration;

use node_exporter::BuildInfo;
use node_exporter::flags::{Invocation, parse};
use node_exporter::{Listening, RunError};

use crate::exit;
use crate::prometheus::{start_logging, stop_on_signal};

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
        let listening = Listening::start(config, net::clock::system_clock()).await?;
        let (trigger, shutdown) = net::shutdown::channel();
        tokio::spawn(stop_on_signal(std::sync::Arc::new(trigger)));
        listening.run(shutdown).await;
        Ok::<(), RunError>(())
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
