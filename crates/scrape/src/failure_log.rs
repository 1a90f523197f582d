//! `scrape_failure_log_file`: a JSON line for every scrape that failed.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use parking_lot::Mutex;

/// One file. Several jobs may write to it.
#[derive(Debug)]
pub struct FailureLog(Mutex<File>);

/// Files by their paths.
pub type FailureLogs = HashMap<String, Arc<FailureLog>>;

/// Opens all `paths`, each once, or none.
pub fn open_all<'a>(paths: impl Iterator<Item = &'a str>) -> Result<FailureLogs, String> {
    let mut logs = FailureLogs::new();
    for path in paths.filter(|path| !path.is_empty()) {
        if logs.contains_key(path) {
            continue;
        }
        let file = File::options()
            .append(true)
            .create(true)
            .open(path)
            .map_err(|e| format!("scrape_failure_log_file {path}: {e}"))?;
        logs.insert(path.to_string(), Arc::new(FailureLog(Mutex::new(file))));
    }
    Ok(logs)
}

impl FailureLog {
    /// Notes a failed scrape. `time` is unix milliseconds.
    pub fn note(&self, time: i64, error: &str, job: &str, target: &str) {
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let line = format!(
            "{{\"time\":\"{}\",\"level\":\"ERROR\",\"msg\":{},\"job_name\":{},\"target\":{}}}\n",
            net::logging::rfc3339(time),
            text(error),
            text(job),
            text(target)
        );
        if let Err(error) = self.0.lock().write_all(line.as_bytes()) {
            tracing::warn!(component = "scrape manager", err = %error, "Writing the scrape failure log failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_a_failure() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("failures.log").display().to_string();
        let logs = open_all([path.as_str(), "", path.as_str()].into_iter()).expect("opens");
        assert_eq!(logs.len(), 1);
        logs[&path].note(1_700_000_000_123, "no \"way\"", "j", "http://h/metrics");
        let text = std::fs::read_to_string(&path).expect("readable");
        let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(line["msg"], "no \"way\"");
        assert_eq!(line["target"], "http://h/metrics");
        assert!(
            line["time"]
                .as_str()
                .expect("text")
                .starts_with("2023-11-14T22:13:20.123")
        );
        assert!(open_all(["/no/such/folder/x"].into_iter()).is_err());
    }
}
