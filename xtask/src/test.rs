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
    if long {
        // SAFETY: nothing else runs in this process that could read the environment at the same time.
        unsafe { std::env::set_var("TITAN_LONG_TESTS", "1") };
    }
    // Captured output is shown for failures only, so what was skipped is listed by each test's own line on stderr.
    run::cargo("tests", &["test", "--workspace", "--no-fail-fast"])
}
