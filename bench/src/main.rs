//! Measurements against the real peer, in one run on one machine: `cargo xtask bench NAME`.
//!
//! Each prints a Markdown table; `bench/RESULTS.md` holds the last ones with the command that made them.

mod compaction;
mod concurrent;
mod dataset;
mod discovery;
mod flags;
mod hours;
mod ingest;
mod kept;
mod process;
mod query;
mod questions;
mod remote_write;
mod replay;
mod rules;
mod stand_in;
mod subject;
mod targets;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask bench NAME [--flag NUMBER ...]

  ingest      --minutes --targets --series --churn     both servers scrape the same generated targets
  hours       --series --hours --pace                  hours of steady samples that pass in minutes: memory
  replay      --series --minutes --interval --settle   both start on a log that holds everything
  compaction  --series --interval                      both merge the same blocks
  select      --series --times                         ten thousand series by a regex, decoded
  query       --series --hours --interval --times      what dashboards and rules ask
  rules       --seconds --targets --series --recording --alerting
                                                       what rules cost beyond scraping
  discovery   --targets --percent --times              from changed target files to other targets
  remote-write --seconds --targets --series --interval
                                                       scrape and send everything on to a receiver that takes it
  concurrent  --series --hours --interval --clients --seconds
                                                       many clients replay a dashboard at the same time
  stand-in    --minutes                                the real server's place taken in a real stack: all answers compared

`select`, `query` and `concurrent` keep their data in target/bench from run to run; `--fresh 1` writes it anew.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((name, rest)) => match name.as_str() {
            "ingest" => ingest::run(rest),
            "hours" => hours::run(rest),
            "replay" => replay::run(rest),
            "compaction" => compaction::run(rest),
            "select" => query::select(rest),
            "query" => query::run(rest),
            "rules" => rules::run(rest),
            "discovery" => discovery::run(rest),
            "remote-write" => remote_write::run(rest),
            "concurrent" => concurrent::run(rest),
            "stand-in" => stand_in::run(rest),
            _ => Err(HELP.to_string()),
        },
        None => Err(HELP.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
