//! The programs that are measured.

use std::path::{Path, PathBuf};
use std::process::Command;

use testkit::child::Running;

/// A server that can be started on a folder.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Its column in tables.
    pub name: String,
    program: PathBuf,
    first: Vec<String>,
}

/// Ours as built beside this program, and the real one.
pub fn both() -> Result<[Subject; 2], String> {
    let here = std::env::current_exe().map_err(|e| e.to_string())?;
    let titan = here.with_file_name("titan");
    if !titan.is_file() {
        return Err(format!(
            "{} is not built: cargo build --release --package titan",
            titan.display()
        ));
    }
    let peer = testkit::peers::find("prometheus")
        .ok_or("the real prometheus is not installed: cargo xtask peers")?;
    let version = Command::new(&peer)
        .arg("--version")
        .output()
        .map_err(|e| e.to_string())?;
    let text = String::from_utf8_lossy(&[version.stdout, version.stderr].concat()).into_owned();
    let version = text
        .split("version ")
        .nth(1)
        .and_then(|rest| rest.split([' ', '+']).next())
        .unwrap_or("?")
        .to_string();
    Ok([
        Subject {
            name: "Titan".into(),
            program: titan,
            first: vec!["prometheus".into()],
        },
        Subject {
            name: format!("Prometheus {version}"),
            program: peer,
            first: Vec::new(),
        },
    ])
}

impl Subject {
    /// The program.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Starts the server and waits until it is ready.
    pub fn start(&self, config: &Path, data: &Path, port: u16) -> Running {
        self.start_with(config, data, port, &[])
    }

    /// As [`Subject::start`], with more flags.
    pub fn start_with(&self, config: &Path, data: &Path, port: u16, more: &[&str]) -> Running {
        let mut command = Command::new(&self.program);
        command.args(&self.first).args([
            format!("--config.file={}", config.display()),
            format!("--storage.tsdb.path={}", data.display()),
            format!("--web.listen-address=127.0.0.1:{port}"),
        ]);
        command.args(more);
        let running = Running::start(&mut command);
        testkit::http::wait_for(port, "/-/ready", |answer| answer.status == 200);
        running
    }
}
