//! The one binary: finds out which program it is asked to be, and is that program.

mod exit;
mod node_exporter;
mod personality;
mod prometheus;
mod promtool;
mod up;

use std::process::ExitCode;

use personality::Personality;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args_os()
        .map(|argument| argument.to_string_lossy().into_owned())
        .collect();
    match personality::find(&arguments) {
        Ok((personality, rest)) => match personality {
            Personality::Prometheus => prometheus::main(rest),
            Personality::Promtool => promtool::main(rest),
            Personality::NodeExporter => node_exporter::main(rest),
            Personality::Up => up::main(rest),
            Personality::Help => exit::print(personality::HELP),
            Personality::Version => exit::print(&personality::version()),
        },
        Err(unknown) => exit::fail(2, &format!("titan: error: {unknown}, try --help\n")),
    }
}
