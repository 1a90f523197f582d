//! `cargo xtask test`: everything that has to hold.

use crate::{layers, peers, run};

/// Runs all checks in order of their cost; the first failure ends it.
pub fn run(arguments: &[&str]) -> Result<(), String> {
    let long = match arguments {
        [] => false,
        ["--long"] => true,
        other => return Err(format!("test: unknown arguments {other:?}")),
    };
    run::cargo("formatting", &["fmt", "--all", "--check"])?;
    layers::check()?;
    // Without peers the tests that need them say so and are skipped.
    if let Err(error) = peers::install() {
        eprintln!("xtask: {error}");
    }
    run::cargo(
        "clippy",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--",
            "-D",
            "warnings",
        ],
    )?;
    let mut command = run::cargo_command(&["test", "--workspace", "--no-fail-fast"]);
    command.env("PATH", path_with_peers());
    if long {
        command.env("TITAN_LONG_TESTS", "1");
    }
    run::step("tests", &mut command)
}

/// The search path with the peers in front.
fn path_with_peers() -> std::ffi::OsString {
    let peers = testkit::project_root()
        .join(testkit::peers::FOLDER)
        .join("usr/bin");
    let mut path = peers.into_os_string();
    if let Some(rest) = std::env::var_os("PATH") {
        path.push(":");
        path.push(rest);
    }
    path
}
