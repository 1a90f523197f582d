//! `titan up`: the stack on this machine, in one process.

mod config;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use env::Clock as _;
use flags::{Flag, Invocation, Program};
use net::shutdown::Shutdown;
use node_exporter::{Listening, RunError};
use prometheus::flags::{Command, parse};
use prometheus::{Server, ServerError};
use thiserror::Error;

use crate::exit;
use crate::node_exporter::build;
use crate::prometheus::{context, start_logging, stop_on_signal};
use config::{Ports, Replica};
use table::{OverviewOf, Part, Table};

const PROGRAM: Program = Program {
    name: "titan up",
    about: "Watches this machine: every part at once, in one process.",
    flags: &[
        Flag::value(
            "data-dir",
            "./titan-data",
            "Where data and generated configuration go.",
        ),
        Flag::value(
            "port-offset",
            "0",
            "Added to every default port, so that several run on one machine.",
        ),
        Flag::value(
            "replicas",
            "2",
            "Servers that scrape the same targets and evaluate the same rules, so that one may fail.",
        ),
        Flag::value(
            "log.level",
            "warn",
            "Only log messages with the given severity or above. One of: [debug, info, warn, error]",
        ),
        Flag::value(
            "log.format",
            "logfmt",
            "Output format of log messages. One of: [logfmt, json]",
        ),
    ],
    commands: &[],
};

/// How often the table is made anew.
const REFRESH: Duration = Duration::from_secs(2);
/// By then every target has been scraped that ever will be.
const SETTLING: Duration = Duration::from_secs(40);

/// Why the stack does not run.
#[derive(Debug, Error)]
enum UpError {
    #[error("prometheus: {0}")]
    Prometheus(#[from] ServerError),
    #[error("node-exporter: {0}")]
    NodeExporter(#[from] RunError),
    #[error("{path}: {source}", path = path.display())]
    Data {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{0}")]
    Flag(String),
    #[error("a server ended unexpectedly: {0}")]
    Ended(String),
}

/// Runs the stack.
pub fn main(arguments: Vec<String>) -> ExitCode {
    let values = match PROGRAM.parse(arguments, &crate::personality::version()) {
        Ok(Invocation::Run(values)) => values,
        Ok(Invocation::Print(text)) => return exit::print(&text),
        Err(error) => return exit::fail(2, &format!("titan up: error: {error}\n")),
    };
    let ports = match Ports::with_offset(values.text("port-offset")) {
        Ok(ports) => ports,
        Err(error) => return exit::fail(2, &format!("titan up: error: {error}\n")),
    };
    let replicas = match values.text("replicas").parse() {
        Ok(replicas @ 1..=config::REPLICAS_MAX) => replicas,
        _ => {
            let text = format!(
                "titan up: error: --replicas: {:?} must be a whole number from 1 to {}\n",
                values.text("replicas"),
                config::REPLICAS_MAX
            );
            return exit::fail(2, &text);
        }
    };
    let level = values.text("log.level");
    if net::logging::parse_level(level).is_none() {
        return exit::fail(
            2,
            &format!(
                "titan up: error: --log.level: unrecognized value {level:?}, must be one of debug, info, warn, error\n"
            ),
        );
    }
    start_logging(level, values.text("log.format"));
    let runtime = match exit::runtime(exit::cores()) {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(1, &format!("starting threads: {error}\n")),
    };
    let data = PathBuf::from(values.text("data-dir"));
    let result = runtime.block_on(run(data, ports, replicas));
    runtime.shutdown_timeout(Duration::from_secs(5));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::fail(1, &format!("titan up: error: {error}\n")),
    }
}

async fn run(data: PathBuf, ports: Ports, replicas: u16) -> Result<(), UpError> {
    let (trigger, shutdown) = net::shutdown::channel();
    let replicas = config::write(&data, &ports, replicas).map_err(|source| UpError::Data {
        path: data.clone(),
        source,
    })?;
    let exporter = Listening::start(exporter_config(&ports)?, net::clock::system_clock()).await?;
    let mut servers = Vec::new();
    for replica in &replicas {
        servers.push(start_server(replica, &ports, shutdown.clone()).await?);
    }
    let exporter_part = Part {
        name: "node-exporter",
        addresses: exporter.addresses.clone(),
    };
    let overviews: Vec<_> = servers
        .iter()
        .map(|server| Box::new(server.overview()) as OverviewOf)
        .collect();
    let table = Table::new(net::clock::system_clock(), overviews, exporter_part);
    let trigger = Arc::new(trigger);
    tokio::spawn(stop_on_signal(trigger.clone()));
    let exporter = tokio::spawn(exporter.run(shutdown.clone()));
    let shower = tokio::spawn(show(table, shutdown.clone()));
    let running: Vec<_> = servers
        .into_iter()
        .map(|server| {
            let trigger = trigger.clone();
            tokio::spawn(async move {
                let result = server.run().await;
                // They end by the signal, or by a failure of one that ends everything.
                trigger.stop();
                result
            })
        })
        .collect();
    let mut result = Ok(());
    for server in running {
        let ended = server.await.map_err(|e| UpError::Ended(e.to_string()));
        result = result.and(ended.and_then(|ended| Ok(ended?)));
    }
    shower.abort();
    let _ = exporter.await;
    if result.is_ok() {
        eprintln!("stopped; the data is in {}", data.display());
    }
    result
}

fn exporter_config(ports: &Ports) -> Result<node_exporter::Config, UpError> {
    let arguments = [format!(
        "--web.listen-address={}",
        ports.listen(ports.node_exporter)
    )];
    match node_exporter::flags::parse(arguments, build()) {
        Ok(node_exporter::flags::Invocation::Run(config)) => Ok(*config),
        Ok(node_exporter::flags::Invocation::Print(text)) => Err(UpError::Flag(text)),
        Err(error) => Err(UpError::Flag(error.to_string())),
    }
}

async fn start_server(
    replica: &Replica,
    ports: &Ports,
    shutdown: Shutdown,
) -> Result<Server, UpError> {
    let arguments = [
        format!("--config.file={}", replica.config.display()),
        format!("--storage.tsdb.path={}", replica.data.display()),
        format!("--web.listen-address={}", ports.listen(replica.port)),
        "--web.enable-lifecycle".to_string(),
    ];
    match parse(arguments) {
        Ok(Command::Serve(config)) => Ok(Server::start(*config, context(shutdown)).await?),
        Ok(Command::Print(text) | Command::WrongMode(text)) => Err(UpError::Flag(text)),
        Err(error) => Err(UpError::Flag(error.to_string())),
    }
}

/// Shows the table: refreshed in place on a terminal; on anything else once, when all targets answer or have had time to.
async fn show(mut table: Table, shutdown: Shutdown) {
    use std::io::IsTerminal as _;
    let terminal = std::io::stdout().is_terminal();
    let clock = net::clock::system_clock();
    let refresh = if terminal { REFRESH } else { REFRESH / 10 };
    while shutdown.or(clock.sleep(refresh)).await.is_some() {
        if terminal {
            table.redraw();
        } else if table.is_settled() || clock.monotonic() > SETTLING {
            table.print();
            return;
        }
    }
}
