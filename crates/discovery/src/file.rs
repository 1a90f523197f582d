//! `file_sd_configs`: targets in YAML or JSON files.
//!
//! Files are looked at every second for changes of name, length, time or inode, which works on every file system
//! (notifications do not reach through network mounts and Kubernetes' symlinked volumes); whole readings follow changes
//! and the refresh interval.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use configfile::sd::FileSdConfig;
use env::{Clock, Registry};

use crate::file_metrics::FileMetrics;
use crate::glob::matching_files;
use crate::group::TargetGroup;

/// How often files are looked at for changes.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The label with the file that a target comes from.
const FILE_PATH: &str = "__meta_filepath";

/// What identifies a version of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Version {
    len: u64,
    mtime: (i64, i64),
    inode: u64,
}

/// The targets in a set of files, and what was read last.
#[derive(Debug)]
pub struct FileDiscovery {
    config: FileSdConfig,
    seen: BTreeMap<PathBuf, (Version, Vec<TargetGroup>)>,
}

impl FileDiscovery {
    /// Nothing is read yet.
    pub fn new(config: FileSdConfig) -> FileDiscovery {
        FileDiscovery {
            config,
            seen: BTreeMap::new(),
        }
    }

    /// Reads what has changed since the last time, all with `force`. Gives all groups if anything is new, and the
    /// errors: a file that cannot be read keeps the groups it had.
    pub fn refresh(&mut self, force: bool) -> (Option<Vec<TargetGroup>>, Vec<String>) {
        let mut errors = Vec::new();
        let mut changed = false;
        let mut present = BTreeMap::new();
        for path in self
            .config
            .files
            .iter()
            .flat_map(|pattern| matching_files(pattern))
        {
            let old = self.seen.remove(&path);
            let version = version_of(&path);
            let unchanged = old
                .as_ref()
                .is_some_and(|(known, _)| version.as_ref() == Some(known));
            if let (Some(old), false, true) = (&old, force, unchanged) {
                present.insert(path, old.clone());
                continue;
            }
            match read_groups(&path) {
                Ok(groups) => {
                    changed |= old.as_ref().is_none_or(|(_, known)| *known != groups);
                    let version = version.unwrap_or(Version {
                        len: 0,
                        mtime: (0, 0),
                        inode: 0,
                    });
                    present.insert(path, (version, groups));
                }
                Err(error) => {
                    errors.push(format!("{}: {error}", path.display()));
                    if let Some((known, groups)) = old {
                        // The broken version counts as seen, else it would be told every second.
                        present.insert(path, (version.unwrap_or(known), groups));
                    }
                }
            }
        }
        // What is left has gone.
        changed |= !self.seen.is_empty();
        self.seen = present;
        let groups = || {
            self.seen
                .values()
                .flat_map(|(_, groups)| groups.iter().cloned())
                .collect()
        };
        ((changed || force).then(groups), errors)
    }
}

impl FileDiscovery {
    /// The files that are read, with the second each was written.
    pub fn times(&self) -> impl Iterator<Item = (&Path, i64)> {
        self.seen
            .iter()
            .map(|(path, (version, _))| (&**path, version.mtime.0))
    }
}

fn version_of(path: &Path) -> Option<Version> {
    let meta = std::fs::metadata(path).ok()?;
    Some(Version {
        len: meta.len(),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        inode: meta.ino(),
    })
}

fn read_groups(path: &Path) -> Result<Vec<TargetGroup>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| e.to_string())?;
    let shown = path.display().to_string();
    let is_json = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    let read = if is_json {
        configfile::sd::parse_json_target_file(&text)
    } else {
        configfile::sd::parse_target_file(&text)
    };
    let groups = read.map_err(|e| e.to_string())?;
    Ok(groups
        .iter()
        .enumerate()
        .map(|(i, group)| {
            TargetGroup::from_static(format!("{shown}:{i}"), group).with_label(FILE_PATH, &shown)
        })
        .collect())
}

/// Publishes the groups of the files for as long as it is polled.
pub async fn run(
    config: FileSdConfig,
    clock: Arc<dyn Clock>,
    registry: Registry,
    publish: impl Fn(Vec<TargetGroup>) + Send,
) {
    let metrics = FileMetrics::new(&registry);
    let full_every = Duration::from_millis(config.refresh_interval.max(1000) as u64);
    let mut discovery = FileDiscovery::new(config);
    let mut last_full = None;
    loop {
        let now = clock.monotonic();
        let force = last_full.is_none_or(|last| now.saturating_sub(last) >= full_every);
        if force {
            last_full = Some(now);
        }
        let began = clock.monotonic();
        let (groups, errors) = discovery.refresh(force);
        metrics.note_scan(clock.monotonic().saturating_sub(began), &discovery);
        for error in errors {
            metrics.read_errors.inc();
            tracing::error!(component = "discovery manager", discovery = "file", err = %error, "Error reading file");
        }
        if let Some(groups) = groups {
            publish(groups);
        }
        clock.sleep(LOOK_INTERVAL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(groups: &[TargetGroup]) -> Vec<String> {
        let all = groups.iter().flat_map(|group| &group.targets);
        all.map(|target| target.get("__address__").unwrap_or("").to_string())
            .collect()
    }

    #[test]
    fn follows_changes_and_keeps_what_it_had_when_a_file_breaks() {
        let dir = tempfile::tempdir().expect("a folder");
        let yaml = dir.path().join("a.yml");
        let json = dir.path().join("b.json");
        std::fs::write(&yaml, "- targets: ['a:1', 'a:2']\n  labels: {env: x}\n").expect("write");
        std::fs::write(&json, r#"[{"targets": ["b:1"]}]"#).expect("write");
        let files = ["*.yml", "*.json"].map(|p| dir.path().join(p).to_string_lossy().into_owned());
        let config = FileSdConfig {
            files: files.to_vec(),
            refresh_interval: 300_000,
        };
        let mut discovery = FileDiscovery::new(config);
        let (groups, errors) = discovery.refresh(true);
        let groups = groups.expect("first reading");
        assert_eq!(addresses(&groups), ["a:1", "a:2", "b:1"]);
        assert_eq!(groups[0].labels.get("env"), Some("x"));
        assert_eq!(groups[0].labels.get("__meta_filepath"), yaml.to_str());
        assert!(errors.is_empty());
        assert_eq!(discovery.refresh(false), (None, vec![]));
        std::fs::write(&yaml, "- targets: [1, {}]\n").expect("write");
        let (groups, errors) = discovery.refresh(false);
        assert_eq!(groups, None);
        assert_eq!(errors.len(), 1);
        assert!(
            errors[0].contains("a.yml: yaml: unmarshal errors:\n  line 1: "),
            "{}",
            errors[0]
        );
        assert_eq!(discovery.refresh(false), (None, vec![]), "told once");
        std::fs::remove_file(&json).expect("remove");
        assert_eq!(
            addresses(&discovery.refresh(false).0.expect("changed")),
            ["a:1", "a:2"]
        );
        std::fs::write(&yaml, "- targets: ['c:1']\n").expect("write");
        assert_eq!(
            addresses(&discovery.refresh(false).0.expect("changed")),
            ["c:1"]
        );
    }
}
