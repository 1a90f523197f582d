//! Prometheus servers on a folder, ours and the real one: `prometheus.yml` and `data` are in it.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

use crate::child::Running;
use crate::http::wait_for;

/// The command line of a server; more flags may be added.
pub fn command(program: impl AsRef<Path>, folder: &Path, port: u16) -> Command {
    let program = program.as_ref();
    let mut command = Command::new(program);
    if program.file_name() == Some(OsStr::new("titan")) {
        command.arg("prometheus");
    }
    command.args([
        format!("--config.file={}", folder.join("prometheus.yml").display()),
        format!("--storage.tsdb.path={}", folder.join("data").display()),
        format!("--web.listen-address=127.0.0.1:{port}"),
    ]);
    command
}

/// Starts a server and waits until it is ready.
pub fn start(command: &mut Command, port: u16) -> Running {
    let running = Running::start(command);
    wait_for(port, "/-/ready", |answer| answer.status == 200);
    running
}
