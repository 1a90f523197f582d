//! Running programs and telling what failed.

use std::process::Command;
use std::time::Instant;

/// Runs cargo in the project's folder; `what` names the step.
pub fn cargo(what: &str, arguments: &[&str]) -> Result<(), String> {
    step(what, &mut cargo_command(arguments))
}

/// The cargo that runs this.
pub fn cargo_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var("CARGO").unwrap_or_else(|_| "cargo".into()));
    command.args(arguments);
    command
}

/// Runs a program in the project's folder, telling what it is and how long it took.
pub fn step(what: &str, command: &mut Command) -> Result<(), String> {
    eprintln!("== {what}");
    let started = Instant::now();
    let status = command
        .current_dir(testkit::project_root())
        .status()
        .map_err(|e| format!("{what}: {command:?}: {e}"))?;
    let seconds = started.elapsed().as_secs();
    if status.success() {
        eprintln!("== {what}: done in {seconds} s");
        Ok(())
    } else {
        Err(format!("{what} failed after {seconds} s ({status})"))
    }
}
