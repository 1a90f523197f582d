//! How long data stays: the configuration file's word, else the flags', else 15 days.

use configfile::prometheus::StorageConfig;
use configfile::size::format_size;
use model::duration::format_duration;
use tsdb::Retention;

use crate::flags::StorageFlags;

const DAY: i64 = 86_400_000;
const DEFAULT: i64 = 15 * DAY;

/// What flags and file together say. A `retention` in the file takes the place of all flags: what it leaves out is no
/// limit. `capacity` tells the bytes of the file system for a limit in percent; where it cannot, the size counts.
pub fn retention_of(
    flags: &StorageFlags,
    file: &StorageConfig,
    capacity: impl FnOnce() -> Result<u64, String>,
) -> Result<Retention, String> {
    let Some(file) = &file.retention else {
        let bytes = flags.retention_size.unwrap_or(0);
        let time = flags.retention_time.unwrap_or(0);
        let time = if time == 0 && bytes == 0 {
            DEFAULT
        } else {
            time
        };
        return Ok(Retention {
            time,
            bytes,
            percent: 0.0,
        });
    };
    let mut retention = Retention {
        time: file.time,
        bytes: file.size,
        percent: file.percentage,
    };
    if file.percentage > 0.0 {
        retention.bytes = (capacity()? as f64 * file.percentage / 100.0) as u64;
    }
    Ok(retention)
}

/// `15d or 10GiB`
pub fn describe(retention: Retention) -> String {
    let mut parts = Vec::new();
    if retention.time > 0 {
        parts.push(format_duration(retention.time));
    }
    if retention.bytes > 0 {
        parts.push(format_size(retention.bytes));
    }
    parts.join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use configfile::prometheus::RetentionConfig;

    fn flags(arguments: &[&str]) -> StorageFlags {
        match crate::flags::parse(arguments.iter().map(|a| a.to_string())) {
            Ok(crate::flags::Command::Serve(config)) => config.storage,
            other => panic!("serves, not {other:?}"),
        }
    }

    fn shown(arguments: &[&str], file: Option<RetentionConfig>) -> String {
        let file = StorageConfig {
            retention: file,
            ..StorageConfig::default()
        };
        describe(retention_of(&flags(arguments), &file, || Ok(2 << 30)).unwrap())
    }

    #[test]
    fn the_file_wins_over_flags_over_the_default() {
        let by_time = ["--storage.tsdb.retention.time=30d"];
        let by_size = ["--storage.tsdb.retention.size=10GB"];
        assert_eq!(shown(&[], None), "15d");
        assert_eq!(shown(&by_size, None), "10GiB");
        assert_eq!(shown(&by_time, None), "30d");
        let file = |time, size, percentage| {
            Some(RetentionConfig {
                time,
                size,
                percentage,
            })
        };
        // What the block leaves out is switched off, flags or not.
        assert_eq!(shown(&by_size, file(DAY, 0, 0.0)), "1d");
        assert_eq!(shown(&by_time, file(0, 1 << 30, 0.0)), "1GiB");
        assert_eq!(shown(&by_time, file(0, 0, 0.0)), "");
        assert_eq!(shown(&[], file(0, 9 << 30, 50.0)), "1GiB");
        let percent = StorageConfig {
            retention: file(0, 0, 50.0),
            ..StorageConfig::default()
        };
        let unknown = retention_of(&flags(&[]), &percent, || Err("no such device".into()));
        assert_eq!(unknown, Err("no such device".to_owned()));
    }
}
