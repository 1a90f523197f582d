//! `promtool`: the server's tool. Every command gives text and an exit code; the program prints.

pub mod analyze;
pub mod backfill;
pub mod check;
pub mod check_config;
pub mod check_discovery;
pub mod check_rules;
pub mod client;
pub mod explain;
pub mod promql;
pub mod push;
pub mod query;
pub mod query_text;
pub mod test_rules;
pub mod tsdb;
pub mod write_bench;

use std::io::{Read, Write};
use std::sync::Arc;

use env::{Clock, Disk};
use flags::{Invocation, Program, Values};

use crate::os_error::os_text;

const HELP: &str = "\
usage: promtool [flags] COMMAND ...

Tooling for the Prometheus monitoring system.

  check config FILES...               whether configuration files are valid
  check web-config FILES...           whether files for --web.config.file are valid
  check rules [FILES...]              whether rule files are valid
  check service-discovery FILE JOB    what a job's discovery finds
  check metrics                       advice on metrics from standard input
  check healthy | ready               whether a server is
  query instant SERVER EXPR           run an instant query
  query range SERVER EXPR             run a range query
  query series SERVER                 series that fulfil selectors
  query labels SERVER NAME            values of a label
  query analyze                       buckets of histograms in use
  query explain SERVER EXPR           run a query and tell how it was evaluated
  push metrics URL [FILES...]         metrics to a remote write receiver
  test rules FILES...                 unit tests of rules
  tsdb list [DB]                      the blocks of a data folder
  tsdb analyze [DB] [BLOCK]           what costs most in a block
  tsdb dump [DB]                      all samples as text
  tsdb dump-openmetrics [DB]          the same as OpenMetrics
  tsdb create-blocks-from openmetrics FILE [DIR]
                                      blocks from samples in a file
  tsdb bench write [FILE]             how fast samples are taken
  promql format EXPR                  an expression, pretty (with --experimental)

Flags:
  --version          show the version
  --experimental     allow experimental commands
  --enable-feature   PromQL features, separated by commas

`promtool COMMAND --help` shows a command's flags.
";

/// How a run of the tool ends.
#[derive(Debug)]
pub struct Outcome {
    /// For standard output.
    pub out: String,
    /// For standard error.
    pub err: String,
    /// The exit code.
    pub code: u8,
}

impl Outcome {
    /// It went well and has something to say.
    pub fn printed(out: String) -> Outcome {
        Outcome {
            out,
            err: String::new(),
            code: 0,
        }
    }

    /// It failed.
    pub fn failed(err: String) -> Outcome {
        Outcome {
            out: String::new(),
            err,
            code: 1,
        }
    }
}

/// What the tool has of the machine.
pub struct Tool<'a> {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Files.
    pub disk: Arc<dyn Disk>,
    /// Chance.
    pub seed: u64,
    /// Standard input.
    pub input: &'a mut dyn Read,
    /// Standard output, for what is too long for [`Outcome::out`].
    pub output: &'a mut dyn Write,
}

/// Flags that any command takes.
#[derive(Clone, Debug, Default)]
pub struct GlobalFlags {
    /// Whether experimental commands are allowed.
    pub experimental: bool,
    /// PromQL features.
    pub features: Vec<String>,
}

/// Takes the flags out that may stand anywhere.
fn global_flags(arguments: Vec<String>) -> (GlobalFlags, Vec<String>) {
    let mut global = GlobalFlags::default();
    let mut rest = Vec::new();
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let features = argument
            .strip_prefix("--enable-feature=")
            .map(str::to_string)
            .or_else(|| (argument == "--enable-feature").then(|| arguments.next())?);
        if let Some(names) = features {
            global.features.extend(names.split(',').map(str::to_string));
        } else if argument == "--experimental" {
            global.experimental = true;
        } else if argument == "--" {
            rest.push(argument);
            rest.extend(arguments.by_ref());
        } else {
            rest.push(argument);
        }
    }
    (global, rest)
}

/// Runs the tool; `arguments` without its name.
pub async fn run(arguments: Vec<String>, tool: &mut Tool<'_>) -> Outcome {
    let (global, arguments) = global_flags(arguments);
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let from = |n: usize| &arguments[n..];
    match words.as_slice() {
        ["--version", ..] => Outcome::printed(crate::build::version_text("promtool")),
        [] | ["--help" | "-h" | "help", ..] => Outcome::printed(HELP.into()),
        ["query", ..] => query::query(from(1), tool.clock.now()).await,
        ["check", "config", ..] => check_config::config(from(2)),
        ["check", "rules", ..] => check_rules::rules(from(2), tool.input),
        ["test", "rules", ..] => test_rules::rules(from(2), &global, tool.clock.now()),
        // `test` has a flag of its own, which may stand in front.
        ["test", junit, "rules", ..] if junit.starts_with("--junit=") => {
            let rest: Vec<String> = std::iter::once(arguments[1].clone())
                .chain(arguments[3..].iter().cloned())
                .collect();
            test_rules::rules(&rest, &global, tool.clock.now())
        }
        ["test", "--junit", _, "rules", ..] => {
            let rest: Vec<String> = std::iter::once(format!("--junit={}", arguments[2]))
                .chain(arguments[4..].iter().cloned())
                .collect();
            test_rules::rules(&rest, &global, tool.clock.now())
        }
        ["check", "metrics", ..] => check::metrics(from(2), tool.input),
        ["check", "healthy", ..] => check::server(from(2), "/-/healthy").await,
        ["check", "ready", ..] => check::server(from(2), "/-/ready").await,
        ["check", "service-discovery", ..] => {
            check_discovery::service_discovery(from(2), tool.clock.clone()).await
        }
        ["check", "web-config", ..] => check::web_config(from(2)),
        ["promql", "format", ..] => promql::format(from(2), &global),
        ["push", "--help" | "-h"] => Outcome::printed(HELP.into()),
        ["push", ..] => push::push(from(1), tool).await,
        ["tsdb", "list", ..] => tsdb::list(from(2), tool),
        ["tsdb", "analyze", ..] => tsdb::analyze(from(2), tool),
        ["tsdb", "dump", ..] => tsdb::dump(from(2), tool),
        ["tsdb", "dump-openmetrics", ..] => tsdb::dump_openmetrics(from(2), tool),
        ["tsdb", "create-blocks-from", ..] => backfill::create_blocks(from(2), tool),
        ["tsdb", "bench", "write", ..] => write_bench::write(from(3), tool),
        ["check" | "promql" | "test" | "tsdb", "--help" | "-h", ..] => {
            Outcome::printed(HELP.into())
        }
        [group @ ("check" | "promql" | "test" | "tsdb")] => usage(&format!(
            "must select a subcommand of '{group}', try --help"
        )),
        ["check" | "promql" | "test" | "tsdb", other, ..] | [other, ..] => unknown_command(other),
    }
}

fn unknown_command(word: &str) -> Outcome {
    usage(&format!("expected command but got {word:?}, try --help"))
}

fn usage(message: &str) -> Outcome {
    Outcome::failed(format!("promtool: error: {message}\n"))
}

/// Reads a command's own flags; the other way out is what is to be said instead. `short` are one-letter spellings.
fn read_flags(
    program: &Program,
    short: &[(&str, &str)],
    arguments: &[String],
) -> Result<Values, Outcome> {
    let long = arguments.iter().map(|argument| {
        let known = short.iter().find(|(letter, _)| letter == argument);
        known.map_or_else(|| argument.clone(), |(_, long)| (*long).to_string())
    });
    match program.parse(long, &crate::build::version_text("promtool")) {
        Ok(Invocation::Run(values)) => Ok(values),
        Ok(Invocation::Print(text)) => Err(Outcome::printed(text)),
        Err(error) => Err(usage(&error.to_string())),
    }
}
