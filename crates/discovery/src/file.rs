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

use configfile::sd::{FileSdConfig, read_target_file};
use env::{Clock, Registry};

use crate::asker::Asker;
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

/// What is known of a file.
#[derive(Clone, Debug)]
struct Known {
    /// What it was when it was looked at; `None` if that could not be told.
    version: Option<Version>,
    /// When what could be read of it last was written, unix seconds.
    written: Option<i64>,
    groups: Vec<TargetGroup>,
}

/// The targets in a set of files, and what was read last.
#[derive(Debug)]
pub struct FileDiscovery {
    config: FileSdConfig,
    seen: BTreeMap<PathBuf, Known>,
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
    pub fn refresh(&mut self, force: bool) -> (Option<Vec<TargetGroup>>, Vec<(PathBuf, String)>) {
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
            let unchanged = old.as_ref().is_some_and(|known| known.version == version);
            if let (Some(old), false, true) = (&old, force, unchanged) {
                present.insert(path, old.clone());
                continue;
            }
            match read_groups(&path) {
                Ok(groups) => {
                    changed |= old.as_ref().is_none_or(|known| known.groups != groups);
                    let known = Known {
                        written: version.as_ref().map(|version| version.mtime.0),
                        version,
                        groups,
                    };
                    present.insert(path, known);
                }
                Err(error) => {
                    errors.push((path.clone(), error));
                    // The broken version counts as seen, else it would be told every second.
                    let (written, groups) =
                        old.map_or((None, Vec::new()), |known| (known.written, known.groups));
                    let known = Known {
                        version,
                        written,
                        groups,
                    };
                    present.insert(path, known);
                }
            }
        }
        // What is left has gone.
        changed |= !self.seen.is_empty();
        self.seen = present;
        let groups = || {
            self.seen
                .values()
                .flat_map(|known| known.groups.iter().cloned())
                .collect()
        };
        ((changed || force).then(groups), errors)
    }
}

impl FileDiscovery {
    /// The files that could be read, with the second in which what was read of each was written.
    pub fn times(&self) -> impl Iterator<Item = (&Path, i64)> {
        self.seen
            .iter()
            .filter_map(|(path, known)| Some((&**path, known.written?)))
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
    let content = std::fs::read(path).map_err(|e| e.to_string())?;
    let shown = path.display().to_string();
    let groups = read_target_file(path, &content).map_err(|e| e.to_string())?;
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
    asker: Asker,
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
        for (path, error) in errors {
            metrics.read_errors.inc();
            tracing::error!(component = %asker.component, discovery = "file", config = %asker.config, path = %path.display(), err = %error, "Error reading file");
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
        let (path, error) = &errors[0];
        assert_eq!(*path, yaml);
        assert!(error.starts_with("yaml: unmarshal errors:\n  line 1: "));
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

    #[test]
    fn a_file_that_was_never_readable_is_told_of_once() {
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("t.json");
        std::fs::write(&path, "[{").expect("write");
        let mut discovery = FileDiscovery::new(FileSdConfig {
            files: vec![path.to_string_lossy().into_owned()],
            refresh_interval: 300_000,
        });
        let told = (path.clone(), "unexpected end of JSON input".to_string());
        assert_eq!(discovery.refresh(true), (Some(vec![]), vec![told.clone()]));
        assert_eq!(discovery.refresh(false), (None, vec![]));
        assert_eq!(discovery.refresh(true).1, [told], "and at each refresh");
        assert_eq!(discovery.times().count(), 0, "nothing was read");
        std::fs::write(&path, r#"[{"targets": ["a:1"]}]"#).expect("write");
        let (groups, errors) = discovery.refresh(false);
        assert_eq!(addresses(&groups.expect("changed")), ["a:1"]);
        assert!(errors.is_empty());
        assert_eq!(discovery.times().count(), 1);
    }
}
