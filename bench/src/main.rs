//! Measurements against the real peer, in one run on one machine: `cargo xtask bench NAME`.
//!
//! Each prints a Markdown table; `bench/RESULTS.md` holds the last ones with the command that made them.

mod ingest;
mod process;
mod subject;
mod targets;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask bench ingest [--minutes N] [--targets N] [--series N] [--churn PERCENT]

  ingest   both servers, one after the other, scrape the same generated targets
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((name, rest)) if name == "ingest" => ingest::run(rest),
        _ => Err(HELP.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
