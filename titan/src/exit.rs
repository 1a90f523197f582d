//! How programs end: what goes where, and with which code.

use std::io::Write as _;
use std::process::ExitCode;

/// Prints on standard output and ends well.
pub fn print(text: &str) -> ExitCode {
    // A reader that has gone away is no failure of ours.
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Prints on standard error and ends with a code.
pub fn fail(code: u8, text: &str) -> ExitCode {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
    ExitCode::from(code)
}

/// The runtime that long-running programs share the shape of.
pub fn runtime(threads: usize) -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads.max(1))
        // Queries and large scrapes run on these; more than the cores can do at a time only costs memory.
        .max_blocking_threads(64)
        .thread_keep_alive(std::time::Duration::from_secs(10))
        .enable_all()
        .build()
}

/// Threads for serving: as many as the process may use cores.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The machine's name.
pub fn host_name() -> String {
    rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned()
}
