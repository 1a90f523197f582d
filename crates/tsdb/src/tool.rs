//! What `promtool tsdb` does, as functions that give text or data; the command line only parses flags and prints.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use env::{Clock, Disk, Registry};
use model::{Labels, Matcher, labels::METRIC_NAME};
use ondisk::meta::Ulid;
use storage::{Queryable as _, SelectHints, TimeRange};

use crate::block::{Block, read_meta};
use crate::db::Db;
use crate::failure::DbError;
use crate::options::{Options, Retention};
use crate::overlay::Overlay;

mod analyze;
mod build;

pub use analyze::{Analysis, analyze};
pub use build::{BlockBuilder, BlockStream};

/// Opens a folder for reading only, log and head chunks included, whoever else has it open.
pub fn open_read_only(
    dir: &Path,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
) -> Result<Arc<Db>, DbError> {
    let options = Options {
        retention: Retention::none(),
        compaction: false,
        ..Options::default()
    };
    Db::open(
        dir,
        options,
        Arc::new(Overlay::new(disk)),
        clock,
        &Registry::new(),
    )
}

/// A row of the list of blocks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockRow {
    /// The block's name.
    pub ulid: Ulid,
    /// First instant, unix milliseconds.
    pub min_time: i64,
    /// First instant after it.
    pub max_time: i64,
    /// Samples in it.
    pub samples: u64,
    /// Chunks in it.
    pub chunks: u64,
    /// Series in it.
    pub series: u64,
    /// Bytes on disk.
    pub bytes: u64,
}

/// The blocks of a folder, by time.
pub fn list(disk: &dyn Disk, dir: &Path) -> Result<Vec<BlockRow>, DbError> {
    let mut rows = Vec::new();
    for entry in disk.list(dir).map_err(DbError::io("list", dir))? {
        let Ok(ulid) = entry.name.parse::<Ulid>() else {
            continue;
        };
        let path = dir.join(&entry.name);
        let meta = read_meta(disk, &path)?;
        rows.push(BlockRow {
            ulid,
            min_time: meta.min_time,
            max_time: meta.max_time,
            samples: meta.stats.num_samples,
            chunks: meta.stats.num_chunks,
            series: meta.stats.num_series,
            bytes: crate::wal::size_of_tree(disk, &path),
        });
    }
    rows.sort_by_key(|r| (r.min_time, r.ulid));
    Ok(rows)
}

/// The list as a table; `readable` writes times and sizes for people.
pub fn render_list(rows: &[BlockRow], readable: bool) -> String {
    let time = |t: i64| if readable { go_time(t) } else { t.to_string() };
    let size = |n: u64| {
        if readable {
            base2_bytes(n)
        } else {
            n.to_string()
        }
    };
    let head = [
        "BLOCK ULID",
        "MIN TIME",
        "MAX TIME",
        "DURATION",
        "NUM SAMPLES",
        "NUM CHUNKS",
        "NUM SERIES",
        "SIZE",
    ];
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.iter().map(|r| {
        [
            r.ulid.to_string(),
            time(r.min_time),
            time(r.max_time),
            go_duration(r.max_time - r.min_time),
            r.samples.to_string(),
            r.chunks.to_string(),
            r.series.to_string(),
            size(r.bytes),
        ]
    }));
    let width = |i: usize| {
        lines
            .iter()
            .map(|l| l[i].len() + 2)
            .max()
            .unwrap_or(0)
            .max(13)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    for line in &lines {
        for (i, cell) in line.iter().enumerate() {
            let pad = if i + 1 == line.len() { 0 } else { widths[i] };
            let _ = write!(out, "{cell:pad$}");
        }
        out.push('\n');
    }
    out
}

/// Go's `time.Time` text in UTC, whole seconds.
fn go_time(ms: i64) -> String {
    let (days, seconds) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000) / 1000);
    let (year, month, day) = model::calendar::civil_from_days(days);
    let (h, m, s) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02} +0000 UTC")
}

/// Go's `time.Duration` text.
fn go_duration(ms: i64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let sign = if ms < 0 { "-" } else { "" };
    let ms = ms.unsigned_abs();
    if ms < 1000 {
        return format!("{sign}{ms}ms");
    }
    let (hours, minutes, seconds, rest) =
        (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60, ms % 1000);
    let mut text = sign.to_owned();
    if hours > 0 {
        let _ = write!(text, "{hours}h");
    }
    if hours > 0 || minutes > 0 {
        let _ = write!(text, "{minutes}m");
    }
    let _ = write!(text, "{seconds}");
    if rest > 0 {
        let fraction = format!("{rest:03}");
        let _ = write!(text, ".{}", fraction.trim_end_matches('0'));
    }
    text.push('s');
    text
}

/// Sizes in whole powers of two, largest first: `1KiB512B`.
fn base2_bytes(mut n: u64) -> String {
    let mut parts = Vec::new();
    for (i, unit) in ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"]
        .iter()
        .enumerate()
    {
        if !n.is_multiple_of(1024) || (i == 0 && n == 0) {
            parts.push(format!("{}{unit}", n % 1024));
        }
        n /= 1024;
        if n == 0 {
            break;
        }
    }
    parts.reverse();
    parts.concat()
}

/// How samples are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DumpFormat {
    /// Labels, value and milliseconds, a sample a line.
    Prom,
    /// Labels as JSON, a series a line.
    SeriesJson,
    /// OpenMetrics lines with seconds; floats only.
    OpenMetrics,
}

/// Hands lines of all samples in a range to `out`, of series that fulfil any of the matcher sets.
pub fn dump(
    db: &Db,
    range: TimeRange,
    sets: &[Vec<Matcher>],
    format: DumpFormat,
    mut out: impl FnMut(&str),
) -> Result<(), storage::StorageError> {
    let querier = db.querier(range)?;
    let mut seen = std::collections::BTreeSet::new();
    for (i, matchers) in sets.iter().enumerate() {
        let mut set = querier.select(matchers, &SelectHints::default())?;
        while let Some(series) = set.next() {
            let series = series?;
            // A series that an earlier set had is not printed again.
            if i > 0 && seen.contains(&series.labels) {
                continue;
            }
            if sets.len() > 1 {
                seen.insert(series.labels.clone());
            }
            if format == DumpFormat::SeriesJson {
                let map: std::collections::BTreeMap<&str, &str> = series.labels.iter().collect();
                out(&serde_json::to_string(&map).unwrap_or_default());
                continue;
            }
            dump_series(&series, range, format, &mut out)?;
        }
    }
    if format == DumpFormat::OpenMetrics {
        out("# EOF");
    }
    Ok(())
}

fn dump_series(
    series: &storage::Series,
    range: TimeRange,
    format: DumpFormat,
    out: &mut impl FnMut(&str),
) -> Result<(), storage::StorageError> {
    let labels = match format {
        DumpFormat::OpenMetrics => openmetrics_name(&series.labels),
        _ => series.labels.to_string(),
    };
    let mut samples = series.samples(range);
    let corrupt = |err: ondisk::chunk::ChunkError| storage::StorageError::Corrupt(err.to_string());
    while let Some((t, value)) = samples.next().map_err(corrupt)? {
        match (value, format) {
            (storage::Value::Float(v), DumpFormat::OpenMetrics) => {
                let value = model::number::format_float(v);
                out(&format!("{labels} {value} {:.3}", t as f64 / 1000.0));
            }
            (storage::Value::Float(v), _) => {
                out(&format!(
                    "{labels} {} {t}",
                    model::number::format_float_g(v)
                ));
            }
            (storage::Value::Histogram(_), DumpFormat::OpenMetrics) => {}
            (storage::Value::Histogram(h), _) => out(&format!("{labels} {h} {t}")),
        }
    }
    Ok(())
}

/// `name{a="b"}`.
fn openmetrics_name(labels: &Labels) -> String {
    let name = labels.metric_name();
    let rest = labels.filtered(|l| l != METRIC_NAME);
    if rest.is_empty() {
        return name.to_owned();
    }
    let pairs: Vec<String> = rest
        .iter()
        .map(|(n, v)| format!("{n}={}", model::labels::go_quote(v)))
        .collect();
    format!("{name}{{{}}}", pairs.join(","))
}

/// The block to look at: the named one, or the newest.
pub fn pick_block(disk: &Arc<dyn Disk>, dir: &Path, name: Option<&str>) -> Result<Block, DbError> {
    let rows = list(&**disk, dir)?;
    let row = match name {
        Some(name) => rows.iter().find(|r| r.ulid.to_string() == name),
        None => rows.last(),
    };
    let row = row.ok_or_else(|| match name {
        Some(name) => DbError::Options(format!("invalid block ID {name}")),
        None => DbError::Options("no blocks found".to_owned()),
    })?;
    Block::open(disk.clone(), &dir.join(row.ulid.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_as_go_writes_them() {
        assert_eq!(go_time(1_699_999_200_000), "2023-11-14 22:00:00 +0000 UTC");
        assert_eq!(go_time(-1000), "1969-12-31 23:59:59 +0000 UTC");
        assert_eq!(go_duration(60_001), "1m0.001s");
        assert_eq!(go_duration(7_200_000), "2h0m0s");
        assert_eq!(go_duration(20), "20ms");
        assert_eq!(base2_bytes(754), "754B");
        assert_eq!(base2_bytes(1536), "1KiB512B");
        assert_eq!(base2_bytes(2048), "2KiB");
    }
}
