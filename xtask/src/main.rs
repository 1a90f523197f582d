//! The one tool for developers: `cargo xtask test | bench | conformance | peers`.

mod conformance;
mod layers;
mod peers;
mod run;
mod test;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask COMMAND

  test [--long]                       install the peers, then check formatting, clippy, layers and run all tests
  bench NAME [--flag N ...]           measure against the real peer in one run, in release mode; without NAME: which
  conformance [CORPUS] [--path DIR]   run upstream's data and print passed/total for each corpus
  peers                               install the real programs that ours are compared with
  layers                              check that dependencies only point down
";

/// Builds both sides and measures.
fn bench(arguments: &[&str]) -> Result<(), String> {
    peers::install()?;
    let packages = [
        "build",
        "--release",
        "--package",
        "titan",
        "--package",
        "bench",
    ];
    run::cargo("build", &packages)?;
    let run = ["run", "--quiet", "--release", "--package", "bench", "--"];
    run::cargo("bench", &[&run, arguments].concat())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["test", rest @ ..] => test::run(rest),
        ["bench", rest @ ..] => bench(rest),
        ["conformance", rest @ ..] => conformance::run(rest),
        ["peers"] => peers::install(),
        ["layers"] => layers::check(),
        ["--help" | "-h"] | [] => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        other => Err(format!("unknown command {other:?}\n{HELP}")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::FAILURE
        }
    }
}
