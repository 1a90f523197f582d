//! The query log and the file of running queries.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use apiv1::observe::{EndedQuery, QueryObserver, Timings};
use apiv1::time::format_rfc3339;
use env::Clock;
use parking_lot::{Mutex, RwLock};
use serde_json::json;

use crate::engine_metrics::EngineMetrics;

/// Bytes of the file that one query has.
const SLOT: usize = 1000;
/// The longest file of a former life that is looked at.
const MAX_LEFT_OVER: u64 = 16 << 20;

/// Watches queries for the server.
pub struct QueryWatch {
    clock: Arc<dyn Clock>,
    metrics: EngineMetrics,
    running: RwLock<Option<Arc<Running>>>,
    log: Mutex<Option<Log>>,
    /// Whether there is a log: asked at every query.
    is_logging: std::sync::atomic::AtomicBool,
}

struct Log {
    path: PathBuf,
    file: File,
}

impl QueryWatch {
    /// Neither log nor file.
    pub fn new(clock: Arc<dyn Clock>, metrics: EngineMetrics) -> QueryWatch {
        QueryWatch {
            clock,
            metrics,
            running: RwLock::default(),
            log: Mutex::default(),
            is_logging: Default::default(),
        }
    }

    /// Starts the file of running queries in the data folder, after telling of those that a former life left there.
    pub fn follow_running(&self, dir: &Path, queries: usize) {
        let path = dir.join("queries.active");
        if let Some(left) = left_over(&path) {
            tracing::warn!(
                component = "activeQueryTracker",
                queries = %left,
                "These queries didn't finish in prometheus' last run:"
            );
        }
        match Running::create(&path, queries) {
            Ok(running) => *self.running.write() = Some(Arc::new(running)),
            Err(error) => {
                tracing::error!(component = "activeQueryTracker", file = %path.display(), err = %error, "Failed to create active query log file");
            }
        }
    }

    /// Logs to `path` from now on, opened anew; an empty one is no log. What was in force stays on failure.
    pub fn log_to(&self, path: &str) -> Result<(), String> {
        let mut log = self.log.lock();
        *log = if path.is_empty() {
            None
        } else {
            let file = OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .map_err(|e| format!("query log file {path:?}: {e}"))?;
            Some(Log {
                path: path.into(),
                file,
            })
        };
        self.is_logging
            .store(log.is_some(), std::sync::atomic::Ordering::Relaxed);
        let enabled = if log.is_some() { 1.0 } else { 0.0 };
        self.metrics.log_enabled.set(enabled);
        Ok(())
    }
}

impl QueryObserver for QueryWatch {
    fn begin(&self, query: &str) -> Box<dyn Send> {
        let running = self.running.read().clone();
        Box::new(running.and_then(|running| running.insert(query, self.clock.now() / 1000)))
    }

    fn wants_ended(&self) -> bool {
        self.is_logging.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn ended(&self, query: &EndedQuery<'_>) {
        let mut log = self.log.lock();
        let Some(log) = &mut *log else { return };
        let mut line = line_of(query, self.clock.now());
        line.push('\n');
        if let Err(error) = log.file.write_all(line.as_bytes()) {
            self.metrics.log_failures.inc();
            tracing::warn!(file = %log.path.display(), err = %error, "can't log query");
        }
    }

    fn measured(&self, timings: &Timings, stats: &promql::QueryStats, is_range: bool) {
        self.metrics.note(timings, stats, is_range);
    }
}

fn line_of(query: &EndedQuery<'_>, now: i64) -> String {
    let stats = serde_json::from_str::<serde_json::Value>(query.stats).unwrap_or_default();
    let time = |ms: i64| {
        // Always with milliseconds.
        let text = format_rfc3339(Some(ms - ms.rem_euclid(1000)));
        format!("{}.{:03}Z", text.trim_end_matches('Z'), ms.rem_euclid(1000))
    };
    let mut line = json!({
        "time": time(now),
        "level": "INFO",
        "source": "apiv1/query",
        "msg": "promql query logged",
        "params": {
            "query": query.query,
            "start": time(query.start),
            "end": time(query.end),
            "step": query.step / 1000,
        },
        "stats": stats,
        "httpRequest": {
            "clientIP": query.caller.client,
            "method": query.caller.method,
            "path": query.caller.path,
        },
    });
    if let Some(error) = query.error {
        line["error"] = json!(error);
    }
    line.to_string()
}

/// The queries that run, in a file that survives a crash.
struct Running {
    file: File,
    free: Mutex<Vec<usize>>,
}

/// A query's place; freed when dropped.
struct Slot {
    running: Arc<Running>,
    at: usize,
}

impl Running {
    fn create(path: &Path, queries: usize) -> std::io::Result<Running> {
        let file = File::create(path)?;
        file.set_len((1 + queries * SLOT) as u64)?;
        file.write_all_at(b"[", 0)?;
        Ok(Running {
            file,
            free: Mutex::new((0..queries).rev().collect()),
        })
    }

    /// `None` when all places are taken, or the disk fails: no query is refused for that.
    fn insert(self: Arc<Running>, query: &str, seconds: i64) -> Option<Slot> {
        let at = self.free.lock().pop()?;
        let slot = Slot { running: self, at };
        let mut bytes = entry(query, seconds).into_bytes();
        bytes.resize(SLOT - 1, 0);
        bytes.push(b',');
        slot.write(&bytes)?;
        Some(slot)
    }
}

impl Slot {
    fn write(&self, bytes: &[u8]) -> Option<()> {
        let offset = (1 + self.at * SLOT) as u64;
        self.running.file.write_all_at(bytes, offset).ok()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.write(&[0; SLOT]);
        self.running.free.lock().push(self.at);
    }
}

/// The JSON of a query, cut to fit.
fn entry(query: &str, seconds: i64) -> String {
    let mut end = query.len().min(SLOT);
    loop {
        while !query.is_char_boundary(end) {
            end -= 1;
        }
        let text = serde_json::to_string(&query[..end]).unwrap_or_default();
        let entry = format!("{{\"query\":{text},\"timestamp_sec\":{seconds}}}");
        if entry.len() < SLOT {
            return entry;
        }
        end = end.saturating_sub(entry.len() - SLOT + 1);
    }
}

/// The queries in a file, if there are any.
fn left_over(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    let file = File::open(path).ok()?;
    file.take(MAX_LEFT_OVER).read_to_end(&mut bytes).ok()?;
    bytes.retain(|b| *b != 0);
    let text = String::from_utf8_lossy(&bytes);
    let queries = text.strip_prefix('[')?.trim_end_matches(',');
    (!queries.is_empty()).then(|| format!("[{queries}]"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use apiv1::observe::Caller;
    use env::sim::SimClock;

    fn watch() -> QueryWatch {
        let metrics = EngineMetrics::new(&env::Registry::new());
        QueryWatch::new(Arc::new(SimClock::starting_at(1_700_000_000_123)), metrics)
    }

    #[test]
    fn running_queries_are_found_after_a_crash() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("queries.active");
        let watch = watch();
        watch.follow_running(dir.path(), 2);
        let long = "é\"".repeat(2000);
        let first = watch.begin("up");
        let second = watch.begin(&long);
        let _third = watch.begin("one too many");
        let left = left_over(&path).expect("two run");
        let left: Vec<serde_json::Value> = serde_json::from_str(&left).expect("JSON");
        assert_eq!(
            left[0],
            json!({"query": "up", "timestamp_sec": 1_700_000_000})
        );
        assert!(long.starts_with(left[1]["query"].as_str().expect("text")));
        drop(first);
        drop(second);
        assert_eq!(left_over(&path), None);
        assert_eq!(std::fs::metadata(&path).expect("there").len(), 2001);
    }

    #[test]
    fn ended_queries_are_logged() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("q.log");
        let watch = watch();
        assert!(!watch.wants_ended());
        watch.log_to(&path.to_string_lossy()).expect("opened");
        assert!(watch.wants_ended());
        let caller = Caller {
            client: "127.0.0.1".into(),
            method: "GET".into(),
            path: "/api/v1/query".into(),
        };
        watch.ended(&EndedQuery {
            query: "up",
            start: 1000,
            end: 2500,
            step: 15_000,
            error: Some("no"),
            stats: "{\"samples\":{}}",
            caller: &caller,
        });
        let line = std::fs::read_to_string(&path).expect("a line");
        let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(
            line["params"],
            json!({"query": "up", "start": "1970-01-01T00:00:01.000Z", "end": "1970-01-01T00:00:02.500Z", "step": 15})
        );
        assert_eq!(line["error"], "no");
        assert_eq!(line["time"], "2023-11-14T22:13:20.123Z");
        assert!(watch.log_to("/nowhere/at/all").is_err());
        watch.log_to("").expect("closed");
        assert!(!watch.wants_ended());
    }
}
