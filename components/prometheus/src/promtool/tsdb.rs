//! `promtool tsdb list`, `analyze`, `dump`, `dump-openmetrics`.

use std::path::{Path, PathBuf};

use env::Disk;
use flags::{Flag, Program, Values};
use model::Matcher;
use storage::TimeRange;
use tsdb::tool::{self as blocks, DumpFormat};

use super::{Outcome, Tool, os_text, read_flags, usage};

const READABLE: Flag = Flag::switch("human-readable", false, "Print human readable values (-r).");
const DB: Flag = Flag::words("db", "Database path (default is data/), and a block's id.");
const MATCH: Flag = Flag::list(
    "match",
    "",
    "Series selector. Can be specified multiple times.",
);
const MIN_TIME: Flag = Flag::value(
    "min-time",
    "-9223372036854775808",
    "Minimum timestamp to dump, in milliseconds since the Unix epoch.",
);
const MAX_TIME: Flag = Flag::value(
    "max-time",
    "9223372036854775807",
    "Maximum timestamp to dump, in milliseconds since the Unix epoch.",
);
/// Upstream copies the log there; here the folder is read in place, without changing it.
const SANDBOX: Flag = Flag::value(
    "sandbox-dir-root",
    "",
    "Taken and without effect: the folder is read in place and not changed.",
);

const LIST: Program = Program {
    name: "promtool tsdb list",
    about: "List tsdb blocks.",
    flags: &[READABLE, DB],
};
const ANALYZE: Program = Program {
    name: "promtool tsdb analyze",
    about: "Analyze churn, label pair cardinality and compaction efficiency.",
    flags: &[
        Flag::value("limit", "20", "How many items to show in each list."),
        Flag::switch("extended", false, "Run extended analysis."),
        Flag::value("match", "", "Series selector to analyze."),
        DB,
    ],
};
const DUMP: Program = Program {
    name: "promtool tsdb dump",
    about: "Dump data (series+samples) from a TSDB.",
    flags: &[
        SANDBOX,
        MIN_TIME,
        MAX_TIME,
        MATCH,
        Flag::value(
            "format",
            "prom",
            "Output format of the dump: prom or seriesjson.",
        ),
        DB,
    ],
};
const DUMP_OPENMETRICS: Program = Program {
    name: "promtool tsdb dump-openmetrics",
    about: "Dump samples from a TSDB into OpenMetrics text format, excluding native histograms and staleness markers, which are not representable in OpenMetrics.",
    flags: &[SANDBOX, MIN_TIME, MAX_TIME, MATCH, DB],
};

/// The folder that a command line names, which has to be there.
fn folder(values: &Values) -> Result<PathBuf, Outcome> {
    let named = values.list("db");
    let path = PathBuf::from(named.first().map_or("data/", String::as_str));
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
pub fn list(arguments: &[String], tool: &Tool<'_>) -> Outcome {
    let listed = || {
        let values = read_flags(&LIST, &[("-r", "--human-readable")], arguments)?;
        let rows = blocks::list(&*tool.disk, &folder(&values)?).map_err(failed)?;
        let readable = values.switch("human-readable");
        Ok(Outcome::printed(blocks::render_list(&rows, readable)))
    };
    listed().unwrap_or_else(|outcome| outcome)
}

/// `promtool tsdb analyze [DB] [BLOCK]`
pub fn analyze(arguments: &[String], tool: &Tool<'_>) -> Outcome {
    let analyzed = || {
        let values = read_flags(&ANALYZE, &[], arguments)?;
        let limit = values.text("limit");
        let limit: usize = limit
            .parse()
            .map_err(|_| usage(&format!("--limit: {limit:?} is not a whole number from 0")))?;
        let matchers = match values.text("match") {
            "" => Vec::new(),
            selector => promql_syntax::parse_selector(selector).map_err(failed)?,
        };
        let named = values.list("db");
        let block = named.get(1).map(String::as_str);
        let block = blocks::pick_block(&tool.disk, &folder(&values)?, block).map_err(failed)?;
        let extended = values.switch("extended");
        let found = blocks::analyze(&block, &matchers, limit, extended).map_err(failed)?;
        Ok(Outcome::printed(found.to_string()))
    };
    analyzed().unwrap_or_else(|outcome| outcome)
}

/// `promtool tsdb dump [DB]`
pub fn dump(arguments: &[String], tool: &mut Tool<'_>) -> Outcome {
    let values = match read_flags(&DUMP, &[], arguments) {
        Ok(values) => values,
        Err(outcome) => return outcome,
    };
    match values.text("format") {
        "prom" => dump_as(&values, DumpFormat::Prom, tool),
        "seriesjson" => dump_as(&values, DumpFormat::SeriesJson, tool),
        other => usage(&format!(
            "enum value must be one of prom,seriesjson, got '{other}'"
        )),
    }
}

/// `promtool tsdb dump-openmetrics [DB]`
pub fn dump_openmetrics(arguments: &[String], tool: &mut Tool<'_>) -> Outcome {
    match read_flags(&DUMP_OPENMETRICS, &[], arguments) {
        Ok(values) => dump_as(&values, DumpFormat::OpenMetrics, tool),
        Err(outcome) => outcome,
    }
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
