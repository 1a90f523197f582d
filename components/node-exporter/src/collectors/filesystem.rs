//! Space and nodes of mounted file systems.

use std::collections::BTreeSet;
use std::path::Path;

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError, FS_TYPES_EXCLUDE, MOUNT_POINTS_EXCLUDE};
use crate::files::{Paths, read};
use crate::filter::Filter;
use crate::mount_usage::MountUsage;
use crate::sink::Sink;

/// The collector.
pub struct Filesystem {
    paths: Paths,
    mount_points: Filter,
    fs_types: Filter,
    usage: MountUsage,
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
            usage: MountUsage::new(options.filesystem_mount_timeout),
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
            let (usage, error) = match self.usage.of(&path) {
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
}
