//! Processes and threads by state, counted over all of procfs. Off by default: it reads a file per thread.

use std::collections::BTreeMap;
use std::path::Path;

use crate::collector::CollectError;
use crate::files::{Paths, ReadError, list, read, read_u64};
use crate::sink::Sink;

/// Adds counts by state, and the limits.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let mut states: BTreeMap<String, u64> = BTreeMap::new();
    let mut thread_states: BTreeMap<String, u64> = BTreeMap::new();
    let (mut pids, mut threads) = (0u64, 0u64);
    for pid in list(&paths.procfs)?.iter().filter(|name| is_number(name)) {
        let base = paths.proc(pid);
        let (state, count) = match stat(&base.join("stat")) {
            Ok(found) => found,
            Err(error) if has_ended(&error) => continue,
            Err(error) => return Err(error.into()),
        };
        pids += 1;
        *states.entry(state.clone()).or_default() += 1;
        threads += count;
        let Ok(tasks) = list(&base.join("task")) else {
            continue;
        };
        for task in tasks.iter().filter(|task| *task != pid) {
            if let Ok((state, _)) = stat(&base.join("task").join(task).join("stat")) {
                *thread_states.entry(state).or_default() += 1;
            }
        }
        // The process's first thread is in the process's state.
        if !tasks.is_empty() {
            *thread_states.entry(state).or_default() += 1;
        }
    }
    sink.gauge(
        "processes_threads",
        "Allocated threads in system",
        &[],
        threads as f64,
    );
    let limit = read_u64(&paths.proc("sys/kernel/threads-max"))?;
    sink.gauge(
        "processes_max_threads",
        "Limit of threads in the system",
        &[],
        limit as f64,
    );
    for (state, count) in &states {
        let help = "Number of processes in each state.";
        sink.gauge("processes_state", help, &[("state", state)], *count as f64);
    }
    for (state, count) in &thread_states {
        let help = "Number of threads in each state.";
        sink.gauge(
            "processes_threads_state",
            help,
            &[("thread_state", state)],
            *count as f64,
        );
    }
    let limit = read_u64(&paths.proc("sys/kernel/pid_max"))?;
    sink.gauge("processes_pids", "Number of PIDs", &[], pids as f64);
    sink.gauge(
        "processes_max_processes",
        "Number of max PIDs limit",
        &[],
        limit as f64,
    );
    Ok(())
}

fn is_number(name: &str) -> bool {
    name.bytes().all(|b| b.is_ascii_digit())
}

/// Between listing and reading a process may end.
fn has_ended(error: &ReadError) -> bool {
    error.is_absent() || error.errno() == libc::ESRCH
}

/// State and number of threads. The command's name is in parentheses and may contain anything.
fn stat(path: &Path) -> Result<(String, u64), ReadError> {
    let text = read(path)?;
    let mut fields = text
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_ascii_whitespace();
    let state = fields.next().unwrap_or("").to_string();
    let threads = fields.nth(16).and_then(|n| n.parse().ok());
    match threads {
        Some(threads) => Ok((state, threads)),
        None => Err(ReadError::malformed(path, "not a stat file")),
    }
}
