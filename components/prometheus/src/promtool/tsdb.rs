//! `promtool tsdb list`, `analyze`, `dump`, `dump-openmetrics`.

use std::path::{Path, PathBuf};

use env::Disk;
use flags::{Command, Flag, Takes, Values};
use model::Matcher;
use storage::TimeRange;
use tsdb::tool::{self as blocks, DumpFormat};

use super::{Outcome, Tool, os_text, usage};

const READABLE: Flag =
    Flag::switch("human-readable", false, "Print human readable values.").short('r');
const DB: Flag = Flag::maybe_word("db path", "data/", "Database path (default is data/).");
const MATCH: Flag = Flag::list(
    "match",
    "",
    "Series selector. Can be specified multiple times.",
);
const MIN_TIME: Flag = Flag::value(
    "min-time",
    "-9223372036854775808",
    "Minimum timestamp to dump, in milliseconds since the Unix epoch.",
)
.takes(Takes::Integer);
const MAX_TIME: Flag = Flag::value(
    "max-time",
    "9223372036854775807",
    "Maximum timestamp to dump, in milliseconds since the Unix epoch.",
)
.takes(Takes::Integer);
/// Upstream copies the log there; here the folder is read in place, without changing it.
const SANDBOX: Flag = Flag::value(
    "sandbox-dir-root",
    "",
    "Taken and without effect: the folder is read in place and not changed.",
);

pub const LIST: Command = Command {
    path: "tsdb list",
    about: "List tsdb blocks.",
    flags: &[READABLE, DB],
};
pub const ANALYZE: Command = Command {
    path: "tsdb analyze",
    about: "Analyze churn, label pair cardinality and compaction efficiency.",
    flags: &[
        Flag::value("limit", "20", "How many items to show in each list.").takes(Takes::Number),
        Flag::switch("extended", false, "Run extended analysis."),
        Flag::value(
            "match",
            "",
            "Series selector to analyze. Only 1 set of matchers is supported now.",
        ),
        DB,
        Flag::maybe_word(
            "block id",
            "",
            "Block to analyze (default is the last block).",
        ),
    ],
};
pub const DUMP: Command = Command {
    path: "tsdb dump",
    about: "Dump data (series+samples or optionally just series) from a TSDB.",
    flags: &[
        SANDBOX,
        MIN_TIME,
        MAX_TIME,
        MATCH,
        Flag::value(
            "format",
            "prom",
            "Output format of the dump (prom (default) or seriesjson).",
        )
        .takes(Takes::OneOf(&["prom", "seriesjson"])),
        DB,
    ],
};
pub const DUMP_OPENMETRICS: Command = Command {
    path: "tsdb dump-openmetrics",
    about: "[Experimental] Dump samples from a TSDB into OpenMetrics text format, excluding native histograms and staleness markers, which are not representable in OpenMetrics.",
    flags: &[SANDBOX, MIN_TIME, MAX_TIME, MATCH, DB],
};

/// The folder that a command line names, which has to be there.
fn folder(values: &Values) -> Result<PathBuf, Outcome> {
    let path = PathBuf::from(values.text("db path"));
    match std::fs::metadata(&path) {
        Ok(_) => Ok(path),
        Err(error) => Err(Outcome::failed(format!(
            "opening the db dir: stat {}: {}\n",
            path.display(),
            os_text(&error)
        ))),
    }
}

fn failed(error: impl std::fmt::Display) -> Outcome {
    Outcome::failed(format!("{error}\n"))
}

/// `promtool tsdb list [DB]`
pub fn list(values: &Values, tool: &Tool<'_>) -> Outcome {
    let listed = || {
        let rows = blocks::list(&*tool.disk, &folder(values)?).map_err(failed)?;
        let readable = values.switch("human-readable");
        Ok(Outcome::printed(blocks::render_list(&rows, readable)))
    };
    listed().unwrap_or_else(|outcome| outcome)
}

/// `promtool tsdb analyze [DB] [BLOCK]`
pub fn analyze(values: &Values, tool: &Tool<'_>) -> Outcome {
    let analyzed = || {
        let limit = values.text("limit");
        let limit: usize = limit
            .parse()
            .map_err(|_| usage(&format!("--limit: {limit:?} is not a whole number from 0")))?;
        let matchers = match values.text("match") {
            "" => Vec::new(),
            selector => promql_syntax::parse_selector(selector).map_err(failed)?,
        };
        let block = Some(values.text("block id")).filter(|block| !block.is_empty());
        let block = blocks::pick_block(&tool.disk, &folder(values)?, block).map_err(failed)?;
        let extended = values.switch("extended");
        let mut found = blocks::analyze(&block, &matchers, limit, extended).map_err(failed)?;
        found.matcher = values.text("match").to_string();
        Ok(Outcome::printed(found.to_string()))
    };
    analyzed().unwrap_or_else(|outcome| outcome)
}

/// `promtool tsdb dump [DB]`
pub fn dump(values: &Values, tool: &mut Tool<'_>) -> Outcome {
    match values.text("format") {
        "seriesjson" => dump_as(values, DumpFormat::SeriesJson, tool),
        _ => dump_as(values, DumpFormat::Prom, tool),
    }
}

/// `promtool tsdb dump-openmetrics [DB]`
pub fn dump_openmetrics(values: &Values, tool: &mut Tool<'_>) -> Outcome {
    dump_as(values, DumpFormat::OpenMetrics, tool)
}

fn dump_as(values: &Values, format: DumpFormat, tool: &mut Tool<'_>) -> Outcome {
    let mut written = || {
        let range = TimeRange {
            min: millis(values, "min-time")?,
            max: millis(values, "max-time")?,
        };
        let sets = selectors(&values.list("match")).map_err(failed)?;
        let db = blocks::open_read_only(&folder(values)?, tool.disk.clone(), tool.clock.clone())
            .map_err(failed)?;
        let mut broken = None;
        let mut line = |text: &str| {
            if broken.is_none() {
                broken = writeln!(tool.output, "{text}").err();
            }
        };
        blocks::dump(&db, range, &sets, format, &mut line).map_err(failed)?;
        let flushed = broken.map_or_else(|| tool.output.flush(), Err);
        match flushed {
            // Whoever reads has seen enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => {}
            flushed => flushed.map_err(failed)?,
        }
        Ok(Outcome::printed(String::new()))
    };
    written().unwrap_or_else(|outcome: Outcome| outcome)
}

fn millis(values: &Values, flag: &str) -> Result<i64, Outcome> {
    let text = values.text(flag);
    let bad = |_| usage(&format!("--{flag}: {text:?} is not a whole number"));
    text.parse().map_err(bad)
}

/// The matchers of selectors; of none, those of every series.
fn selectors(texts: &[String]) -> Result<Vec<Vec<Matcher>>, String> {
    if texts.is_empty() {
        return Ok(vec![Vec::new()]);
    }
    texts
        .iter()
        .map(|text| promql_syntax::parse_selector(text).map_err(|e| e.to_string()))
        .collect()
}

/// Rows of the blocks of `dir` that are not among `before`, as a table.
pub(super) fn table_of_new(
    disk: &dyn Disk,
    dir: &Path,
    new: &[ondisk::meta::Ulid],
    readable: bool,
) -> Result<String, tsdb::DbError> {
    let mut rows = blocks::list(disk, dir)?;
    rows.retain(|row| new.contains(&row.ulid));
    Ok(blocks::render_list(&rows, readable))
}
