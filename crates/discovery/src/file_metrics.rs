//! What discovery in files says about itself.

use std::collections::BTreeSet;
use std::time::Duration;

use env::Registry;
use env::instruments::{Counter, Gauge, Summary, Vector};
use parking_lot::Mutex;

use crate::file::FileDiscovery;

/// Metrics of one set of files; sets share all but the files they know of.
pub struct FileMetrics {
    /// Files that could not be read.
    pub read_errors: Counter,
    scans: Summary,
    times: Vector<Gauge>,
    known: Mutex<BTreeSet<String>>,
}

impl FileMetrics {
    /// Registers all.
    pub fn new(registry: &Registry) -> FileMetrics {
        // Files are looked at and not watched, so nothing can go wrong with watching.
        registry.counter(
            "prometheus_sd_file_watcher_errors_total",
            "The number of File-SD errors caused by filesystem watch failures.",
        );
        FileMetrics {
            read_errors: registry.counter(
                "prometheus_sd_file_read_errors_total",
                "The number of File-SD read errors.",
            ),
            scans: registry.summary(
                "prometheus_sd_file_scan_duration_seconds",
                "The duration of the File-SD scan in seconds.",
                &[0.5, 0.9, 0.99],
            ),
            times: registry.gauges(
                "prometheus_sd_file_mtime_seconds",
                "Timestamp (mtime) of files read by FileSD. Timestamp is set at read time.",
                &["filename"],
            ),
            known: Mutex::default(),
        }
    }

    /// The files have been looked at.
    pub fn note_scan(&self, took: Duration, files: &FileDiscovery) {
        self.scans.observe(took.as_secs_f64());
        let mut known = self.known.lock();
        let mut gone = std::mem::take(&mut *known);
        for (path, seconds) in files.times() {
            let name = path.display().to_string();
            self.times.with(&[&name]).set(seconds as f64);
            gone.remove(&name);
            known.insert(name);
        }
        for name in gone {
            self.times.remove(&[&name]);
        }
    }
}

impl Drop for FileMetrics {
    fn drop(&mut self) {
        for name in &*self.known.lock() {
            self.times.remove(&[name]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_show_their_time_for_as_long_as_they_are_read() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("t.yml");
        std::fs::write(&path, "- targets: ['a:1']\n").expect("written");
        let mut files = FileDiscovery::new(configfile::sd::FileSdConfig {
            files: vec![path.to_string_lossy().into_owned()],
            refresh_interval: 300_000,
        });
        let registry = Registry::new();
        let metrics = FileMetrics::new(&registry);
        let shown = || {
            let families = registry.gather();
            families
                .iter()
                .any(|family| family.name == "prometheus_sd_file_mtime_seconds")
        };
        files.refresh(true);
        metrics.note_scan(Duration::ZERO, &files);
        assert!(shown());
        std::fs::remove_file(&path).expect("removed");
        files.refresh(true);
        metrics.note_scan(Duration::ZERO, &files);
        assert!(!shown());
    }
}
