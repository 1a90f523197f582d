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
use flags::{Command, Flag, Invocation, Program, Takes, Values};
use promql_syntax::ParserOptions;

use crate::os_error::os_text;

/// A group of commands that takes nothing of its own.
const fn group(path: &'static str, about: &'static str) -> Command {
    Command {
        path,
        about,
        flags: &[],
    }
}

/// The tool's command line, in the order of upstream's help.
const PROGRAM: Program = Program {
    name: "promtool",
    about: "Tooling for the Prometheus monitoring system.",
    flags: &[
        Flag::switch("experimental", false, "Enable experimental commands."),
        Flag::list(
            "enable-feature",
            "",
            "Comma separated feature names to enable. Valid options: promql-experimental-functions, promql-delayed-name-removal, promql-binop-fill-modifiers. See https://prometheus.io/docs/prometheus/latest/feature_flags/ for more details",
        )
        .takes(Takes::Other),
    ],
    commands: &[
        Command {
            path: "check",
            about: "Check the resources for validity.",
            flags: &[Flag::value(
                "query.lookback-delta",
                "5m",
                "The server's maximum query lookback duration.",
            )
            .takes(Takes::GoDuration)],
        },
        check_discovery::SERVICE_DISCOVERY,
        check_config::CONFIG,
        check::WEB_CONFIG,
        check::HEALTHY,
        check::READY,
        check_rules::RULES,
        check::METRICS,
        query::QUERY,
        query::INSTANT,
        query::RANGE,
        query::SERIES,
        query::LABELS,
        analyze::ANALYZE,
        explain::EXPLAIN,
        push::GROUP,
        push::PUSH,
        test_rules::GROUP,
        test_rules::TEST,
        group("tsdb", "Run tsdb commands."),
        group("tsdb bench", "Run benchmarks."),
        write_bench::WRITE,
        tsdb::ANALYZE,
        tsdb::LIST,
        tsdb::DUMP,
        tsdb::DUMP_OPENMETRICS,
        backfill::GROUP,
        backfill::OPENMETRICS,
        group(
            "promql",
            "PromQL formatting and editing. Requires the --experimental flag.",
        ),
        promql::FORMAT,
    ],
};

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

/// What `--enable-feature` takes without a word; some have no effect any more.
const FEATURES: [&str; 6] = [
    "promql-experimental-functions",
    "promql-delayed-name-removal",
    "promql-duration-expr",
    "promql-extended-range-selectors",
    "promql-binop-fill-modifiers",
    "",
];

impl GlobalFlags {
    /// Reads them; what is not known is told on standard output.
    fn read(values: &Values, out: &mut String) -> GlobalFlags {
        let lists = values.list("enable-feature");
        let features = lists.iter().flat_map(|names| names.split(','));
        let features: Vec<String> = features.map(str::to_string).collect();
        for unknown in features
            .iter()
            .filter(|name| !FEATURES.contains(&name.as_str()))
        {
            // Upstream ends no line here.
            out.push_str(&format!(
                "  WARNING: Unknown feature passed to --enable-feature: {unknown}"
            ));
        }
        GlobalFlags {
            experimental: values.switch("experimental"),
            features,
        }
    }

    fn has(&self, feature: &str) -> bool {
        self.features.iter().any(|known| known == feature)
    }

    /// The language as the features widen it.
    pub fn parser(&self) -> ParserOptions {
        ParserOptions {
            experimental_functions: self.has("promql-experimental-functions"),
            // Always on upstream by now.
            binop_fill_modifiers: self.has("promql-binop-fill-modifiers"),
        }
    }
}

/// Runs the tool; `arguments` without its name.
pub async fn run(arguments: Vec<String>, tool: &mut Tool<'_>) -> Outcome {
    let values = match PROGRAM.parse(arguments, &crate::build::version_text("promtool")) {
        Ok(Invocation::Run(values)) => values,
        Ok(Invocation::Print(text)) => return Outcome::printed(text),
        Err(error) => return usage(&error.to_string()),
    };
    for name in ["server", "url", "remote-write-url"] {
        if let Err(error) = configfile::url::check(values.text(name)) {
            return usage(&format!("invalid URL: {error}"));
        }
    }
    let mut said = String::new();
    let global = GlobalFlags::read(&values, &mut said);
    let mut outcome = command(&values, &global, tool).await;
    outcome.out.insert_str(0, &said);
    outcome
}

async fn command(values: &Values, global: &GlobalFlags, tool: &mut Tool<'_>) -> Outcome {
    let now = tool.clock.now();
    match values.command() {
        "check config" => check_config::config(values, global),
        "check rules" => check_rules::rules(values, global, tool.input),
        "check metrics" => check::metrics(values, tool.input),
        "check healthy" => check::server(values, "/-/healthy").await,
        "check ready" => check::server(values, "/-/ready").await,
        "check web-config" => check::web_config(values),
        "check service-discovery" => {
            check_discovery::service_discovery(values, tool.clock.clone()).await
        }
        "test rules" => test_rules::rules(values, global, now),
        "promql format" => promql::format(values, global),
        "push metrics" => push::push(values, tool).await,
        "tsdb list" => tsdb::list(values, tool),
        "tsdb analyze" => tsdb::analyze(values, tool),
        "tsdb dump" => tsdb::dump(values, tool),
        "tsdb dump-openmetrics" => tsdb::dump_openmetrics(values, tool),
        "tsdb create-blocks-from openmetrics" => backfill::create_blocks(values, tool),
        "tsdb bench write" => write_bench::write(values, tool),
        _ => query::query(values, now).await,
    }
}

fn usage(message: &str) -> Outcome {
    Outcome::failed(format!("promtool: error: {message}, try --help\n"))
}

/// The values of a command line, for tests.
#[cfg(test)]
fn values_of<'a>(words: impl Iterator<Item = &'a &'a str>) -> Values {
    match PROGRAM.parse(words.map(|word| (*word).to_string()), "") {
        Ok(Invocation::Run(values)) => values,
        other => panic!("{other:?}"),
    }
}
