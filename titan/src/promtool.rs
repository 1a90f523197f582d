//! `titan promtool`: the server's tool.

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;

use env::system::{SystemDisk, random_seed};
use prometheus::promtool::{Tool, run};

use crate::exit;

/// Runs the tool.
pub fn main(arguments: Vec<String>) -> ExitCode {
    let runtime = match exit::runtime(1) {
        Ok(runtime) => runtime,
        Err(error) => return exit::fail(1, &format!("starting threads: {error}\n")),
    };
    let mut output = std::io::BufWriter::with_capacity(1 << 16, std::io::stdout().lock());
    let mut tool = Tool {
        clock: net::clock::system_clock(),
        disk: Arc::new(SystemDisk),
        seed: random_seed(),
        input: &mut std::io::stdin().lock(),
        output: &mut output,
    };
    let outcome = runtime.block_on(run(arguments, &mut tool));
    // A reader that has gone away is no failure of ours.
    let _ = output.write_all(outcome.out.as_bytes());
    let _ = output.flush();
    exit::fail(outcome.code, &outcome.err)
}
