//! How long data stays: the configuration file's word, else the flags', else 15 days.

use configfile::prometheus::StorageConfig;
use configfile::size::format_size;
use model::duration::format_duration;

use crate::flags::StorageFlags;

const DAY: i64 = 86_400_000;
const DEFAULT: i64 = 15 * DAY;

/// Limits on age and size; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Milliseconds.
    pub time: i64,
    /// Bytes.
    pub bytes: u64,
}

impl Retention {
    /// What flags and file together say. `capacity` are the bytes of the file system, for a limit in percent.
    pub fn of(flags: &StorageFlags, file: &StorageConfig, capacity: Option<u64>) -> Retention {
        let percent = capacity
            .filter(|_| file.retention_percentage > 0.0)
            .map(|bytes| (bytes as f64 * file.retention_percentage / 100.0) as u64);
        let size = file.retention_size.or(flags.retention_size);
        let bytes = match (percent, size) {
            (Some(percent), Some(size)) if size > 0 => percent.min(size),
            (Some(percent), _) => percent,
            (None, size) => size.unwrap_or(0),
        };
        let time = file.retention_time.or(flags.retention_time);
        // Without any limit the default holds; a limit of one kind is enough.
        let time = time.unwrap_or(if bytes == 0 { DEFAULT } else { 0 });
        Retention { time, bytes }
    }

    /// `15d or 10GiB`
    pub fn describe(self) -> String {
        let mut parts = Vec::new();
        if self.time > 0 {
            parts.push(format_duration(self.time));
        }
        if self.bytes > 0 {
            parts.push(format_size(self.bytes));
        }
        parts.join(" or ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(arguments: &[&str]) -> StorageFlags {
        match crate::flags::parse(arguments.iter().map(|a| a.to_string())) {
            Ok(crate::flags::Command::Serve(config)) => config.storage,
            other => panic!("serves, not {other:?}"),
        }
    }

    #[test]
    fn the_file_wins_over_flags_over_the_default() {
        let none = StorageConfig::default();
        assert_eq!(Retention::of(&flags(&[]), &none, None).describe(), "15d");
        let by_size = flags(&["--storage.tsdb.retention.size=10GB"]);
        assert_eq!(Retention::of(&by_size, &none, None).describe(), "10GiB");
        let file = StorageConfig {
            retention_time: Some(DAY),
            ..none.clone()
        };
        assert_eq!(
            Retention::of(&by_size, &file, None).describe(),
            "1d or 10GiB"
        );
        let percent = StorageConfig {
            retention_percentage: 50.0,
            ..none
        };
        assert_eq!(
            Retention::of(&flags(&[]), &percent, Some(2 << 30)).describe(),
            "1GiB"
        );
    }
}
