//! `titan promtool`: the server's tool.

use std::process::ExitCode;

use env::Clock as _;

use crate::exit;

const HELP: &str = "\
usage: promtool COMMAND ...

  query instant|range|series|labels SERVER ...   ask a server
  --version                                      show the version

`promtool query instant --help` shows a command's flags.
";

/// Runs the tool.
pub fn main(arguments: Vec<String>) -> ExitCode {
    match arguments.split_first() {
        Some((command, rest)) if command == "query" => query(rest),
        Some((flag, _)) if flag == "--version" => {
            exit::print(&prometheus::build::version_text("promtool"))
        }
        Some((flag, _)) if flag == "--help" || flag == "-h" => exit::print(HELP),
        Some((other, _)) => exit::fail(
            1,
            &format!("promtool: error: expected command but got {other:?}, try --help\n"),
        ),
        None => exit::fail(1, HELP),
    }
}

fn query(arguments: &[String]) -> ExitCode {
    let runtime = match exit::runtime(1) {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(1, &format!("starting threads: {error}\n")),
    };
    let now = net::clock::system_clock().now();
    let outcome = runtime.block_on(prometheus::promtool::query(arguments, now));
    exit::print(&outcome.out);
    exit::fail(outcome.code, &outcome.err)
}
