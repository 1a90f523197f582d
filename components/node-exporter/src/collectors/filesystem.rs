//! Space and nodes of mounted file systems.
//!
//! Asking a file system may hang (a dead network share), so it is done on a worker thread. A mount whose answer does
//! not come within the time limit is "stuck": later scrapes report that and do not ask again until the answer came.

use std::collections::{BTreeSet, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use parking_lot::Mutex;

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError, FS_TYPES_EXCLUDE, MOUNT_POINTS_EXCLUDE};
use crate::files::{Paths, read};
use crate::filter::Filter;
use crate::sink::Sink;

/// What the kernel says about one file system.
#[derive(Debug, Clone, Copy)]
struct Usage {
    block_bytes: f64,
    blocks: f64,
    free: f64,
    available: f64,
    files: f64,
    files_free: f64,
}

type Answer = Result<Usage, String>;

/// A thread that asks file systems, one after the other.
struct Worker {
    questions: Sender<PathBuf>,
    answers: Receiver<Answer>,
}

/// The collector.
pub struct Filesystem {
    paths: Paths,
    mount_points: Filter,
    fs_types: Filter,
    timeout: Duration,
    /// An idle worker, kept between scrapes.
    worker: Mutex<Option<Worker>>,
    /// Mount points whose answer is overdue.
    stuck: Arc<Mutex<HashSet<PathBuf>>>,
}

/// One line of `mountinfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mount {
    device: String,
    mount_point: String,
    fs_type: String,
    major: String,
    minor: String,
    read_only: bool,
}

const LABEL_ERROR: &str =
    "Whether an error occurred while getting statistics for the given device.";

impl Filesystem {
    /// Compiles the filters.
    pub fn new(config: &Config) -> Result<Filesystem, ConfigError> {
        let options = &config.options;
        let chosen =
            |what: &str, exclude: &Option<String>, include: &str, default: &str| match exclude {
                Some(exclude) if !exclude.is_empty() && !include.is_empty() => Err(ConfigError(
                    format!("{what}-exclude & {what}-include are mutually exclusive"),
                )),
                Some(exclude) => Filter::new(exclude, include),
                None if include.is_empty() => Filter::new(default, include),
                None => Filter::new("", include),
            };
        Ok(Filesystem {
            paths: config.paths.clone(),
            mount_points: chosen(
                "mount-points",
                &options.filesystem_mount_points_exclude,
                &options.filesystem_mount_points_include,
                MOUNT_POINTS_EXCLUDE,
            )?,
            fs_types: chosen(
                "fs-types",
                &options.filesystem_fs_types_exclude,
                &options.filesystem_fs_types_include,
                FS_TYPES_EXCLUDE,
            )?,
            timeout: options.filesystem_mount_timeout,
            worker: Mutex::new(None),
            stuck: Arc::new(Mutex::new(HashSet::new())),
        })
    }

    fn mounts(&self) -> Result<Vec<Mount>, CollectError> {
        let text = match read(&self.paths.proc("1/mountinfo")) {
            Ok(text) => text,
            // Another's processes may be hidden from us; our own view is the next best.
            Err(error) if error.is_absent() => read(&self.paths.proc("self/mountinfo"))?,
            Err(error) => return Err(error.into()),
        };
        parse_mountinfo(&text, &self.paths.rootfs)
    }

    /// Asks about one path, within the time limit. `None`: it did not answer.
    fn ask(&self, path: &Path) -> Option<Answer> {
        let worker = self
            .worker
            .lock()
            .take()
            .unwrap_or_else(|| start_worker(self.stuck.clone()));
        if worker.questions.send(path.to_path_buf()).is_err() {
            return Some(Err("worker ended".into()));
        }
        match worker.answers.recv_timeout(self.timeout) {
            Ok(answer) => {
                *self.worker.lock() = Some(worker);
                Some(answer)
            }
            Err(RecvTimeoutError::Disconnected) => Some(Err("worker ended".into())),
            Err(RecvTimeoutError::Timeout) => {
                // Left behind: it frees the mount when the kernel lets it go, and ends, as nobody asks it again.
                self.stuck.lock().insert(path.to_path_buf());
                None
            }
        }
    }
}

fn start_worker(stuck: Arc<Mutex<HashSet<PathBuf>>>) -> Worker {
    let (questions, inbox) = channel::<PathBuf>();
    let (outbox, answers) = channel();
    let run = move || {
        while let Ok(path) = inbox.recv() {
            let answer = usage(&path);
            // When the asker is gone, the answer was overdue.
            if outbox.send(answer).is_err() {
                stuck.lock().remove(&path);
            }
        }
    };
    // Should no thread start, the asker sees a closed channel.
    let _ = std::thread::Builder::new()
        .name("filesystem-stat".into())
        .spawn(run);
    Worker { questions, answers }
}

fn usage(path: &Path) -> Answer {
    match rustix::fs::statfs(path) {
        Ok(found) => Ok(Usage {
            block_bytes: found.f_bsize as f64,
            blocks: found.f_blocks as f64,
            free: found.f_bfree as f64,
            available: found.f_bavail as f64,
            files: found.f_files as f64,
            files_free: found.f_ffree as f64,
        }),
        Err(errno) => {
            let text = std::io::Error::from_raw_os_error(errno.raw_os_error()).to_string();
            // "Permission denied (os error 13)" is known to users as "permission denied".
            let text = text.split(" (os error").next().unwrap_or("").to_lowercase();
            Err(text)
        }
    }
}

impl Collector for Filesystem {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let mut seen = BTreeSet::new();
        for mount in self.mounts()? {
            if self.mount_points.ignores(&mount.mount_point)
                || self.fs_types.ignores(&mount.fs_type)
            {
                continue;
            }
            let key = (
                mount.device.clone(),
                mount.mount_point.clone(),
                mount.fs_type.clone(),
            );
            if !seen.insert(key) {
                continue;
            }
            let path = self
                .paths
                .rootfs
                .join(mount.mount_point.trim_start_matches('/'));
            let answer = if self.stuck.lock().contains(&path) {
                None
            } else {
                self.ask(&path)
            };
            let (usage, error) = match answer {
                Some(Ok(usage)) => (Some(usage), String::new()),
                Some(Err(error)) => (None, error),
                None => (None, "mountpoint timeout".to_string()),
            };
            let labels = [
                ("device", mount.device.as_str()),
                ("mountpoint", &mount.mount_point),
                ("fstype", &mount.fs_type),
                ("device_error", &error),
            ];
            let failed = if usage.is_none() { 1.0 } else { 0.0 };
            sink.gauge("filesystem_device_error", LABEL_ERROR, &labels, failed);
            let read_only = if mount.read_only { 1.0 } else { 0.0 };
            sink.gauge(
                "filesystem_readonly",
                "Filesystem read-only status.",
                &labels,
                read_only,
            );
            let Some(usage) = usage else { continue };
            let block = usage.block_bytes;
            for (name, help, value) in [
                (
                    "filesystem_size_bytes",
                    "Filesystem size in bytes.",
                    usage.blocks * block,
                ),
                (
                    "filesystem_free_bytes",
                    "Filesystem free space in bytes.",
                    usage.free * block,
                ),
                (
                    "filesystem_avail_bytes",
                    "Filesystem space available to non-root users in bytes.",
                    usage.available * block,
                ),
                (
                    "filesystem_files",
                    "Filesystem total file nodes.",
                    usage.files,
                ),
                (
                    "filesystem_files_free",
                    "Filesystem total free file nodes.",
                    usage.files_free,
                ),
                // Means something on macOS only; shown as 0 elsewhere, as upstream does.
                (
                    "filesystem_purgeable_bytes",
                    "Filesystem space available including purgeable space (MacOS specific).",
                    0.0,
                ),
            ] {
                sink.gauge(name, help, &labels, value);
            }
            let labels = [
                ("device", mount.device.as_str()),
                ("major", &mount.major),
                ("minor", &mount.minor),
                ("mountpoint", &mount.mount_point),
            ];
            sink.gauge(
                "filesystem_mount_info",
                "Filesystem mount information.",
                &labels,
                1.0,
            );
        }
        Ok(())
    }
}

fn parse_mountinfo(text: &str, rootfs: &Path) -> Result<Vec<Mount>, CollectError> {
    let mut mounts = Vec::new();
    for line in text.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        if fields.len() < 10 || fields[fields.len() - 4] != "-" {
            return Err(CollectError::failed(format!(
                "malformed mount point information: {line:?}"
            )));
        }
        let from_end = |n: usize| fields[fields.len() - n];
        let (major, minor) = fields[2].split_once(':').ok_or_else(|| {
            CollectError::failed(format!("malformed mount point information: {line:?}"))
        })?;
        let mount_point = fields[4].replace("\\040", " ").replace("\\011", "\t");
        let options = |text: &str, word: &str| text.split(',').any(|option| option == word);
        mounts.push(Mount {
            device: from_end(2).to_string(),
            mount_point: strip_root(&mount_point, rootfs),
            fs_type: from_end(3).to_string(),
            major: major.to_string(),
            minor: minor.to_string(),
            read_only: options(fields[5], "ro")
                || options(from_end(1), "ro")
                || options(from_end(1), "emergency_ro"),
        });
    }
    Ok(mounts)
}

/// A mount point as the host sees it.
fn strip_root(mount_point: &str, rootfs: &Path) -> String {
    let root = rootfs.to_string_lossy();
    if root == "/" {
        return mount_point.to_string();
    }
    match mount_point.strip_prefix(&*root) {
        Some("") => "/".to_string(),
        Some(rest) => rest.to_string(),
        None => mount_point.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_lines() {
        let text = "29 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 ro,errors=remount-ro\n\
                    30 29 0:22 / /host/a\\040b rw - tmpfs tmpfs rw,size=1k\n";
        let mounts = parse_mountinfo(text, Path::new("/host")).unwrap();
        assert_eq!(mounts[0].mount_point, "/");
        assert!(mounts[0].read_only && !mounts[1].read_only);
        assert_eq!(
            (mounts[1].mount_point.as_str(), mounts[1].fs_type.as_str()),
            ("/a b", "tmpfs")
        );
        assert_eq!(
            (mounts[0].major.as_str(), mounts[0].minor.as_str()),
            ("8", "1")
        );
        assert!(parse_mountinfo("nonsense\n", Path::new("/")).is_err());
        assert_eq!(strip_root("/host", Path::new("/host")), "/");
    }

    #[test]
    fn errors_carry_the_kernels_words() {
        assert_eq!(
            usage(Path::new("/does/not/exist")).unwrap_err(),
            "no such file or directory"
        );
        assert!(usage(Path::new("/")).unwrap().blocks > 0.0);
    }
}
