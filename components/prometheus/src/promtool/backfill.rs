//! `promtool tsdb create-blocks-from openmetrics`: blocks from samples with timestamps in a file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use env::Random;
use exposition::Entry;
use exposition::openmetrics::OpenMetricsParser;
use flags::{Command, Flag, Takes, Values};
use model::duration::parse_go_duration;
use model::{Labels, LabelsBuilder};
use ondisk::meta::Ulid;
use tsdb::Value;
use tsdb::tool::BlockBuilder;

use super::{Outcome, Tool, os_text, usage};

pub const OPENMETRICS: Command = Command {
    path: "tsdb create-blocks-from openmetrics",
    about: "Import samples from OpenMetrics input and produce TSDB blocks. Please refer to the storage docs for more details.",
    flags: &[
        Flag::list(
            "label",
            "",
            "Label to attach to metrics. Can be specified multiple times. Example --label=label_name=label_value",
        )
        .takes(Takes::Pair),
        Flag::word("input file", "OpenMetrics file to read samples from."),
        Flag::maybe_word(
            "output directory",
            "data/",
            "Output directory for generated blocks.",
        ),
    ],
};

/// What stands around it.
pub const GROUP: Command = Command {
    path: "tsdb create-blocks-from",
    about: "[Experimental] Import samples from input and produce TSDB blocks. Please refer to the storage docs for more details.",
    flags: &[
        Flag::switch("human-readable", false, "Print human readable values.").short('r'),
        Flag::switch("quiet", false, "Do not print created blocks.").short('q'),
        Flag::value(
            "max-block-duration",
            "2h",
            "Maximum duration created blocks may span. Anything less than 2h is ignored.",
        )
        .takes(Takes::GoDuration)
        .hidden(),
    ],
};

/// Milliseconds of the shortest block.
const BLOCK: i64 = 2 * 3_600_000;
/// Samples that are held at one time; a block is never cut in two for it.
const BATCH: u64 = 2_000_000;

/// `promtool tsdb create-blocks-from openmetrics FILE [DIR]`
pub fn create_blocks(values: &Values, tool: &Tool<'_>) -> Outcome {
    let mut extra = Vec::new();
    for pair in values.list("label") {
        match pair.split_once('=') {
            Some((name, value)) if !name.is_empty() => {
                extra.push((name.to_string(), value.to_string()));
            }
            _ => return usage(&format!("--label: expected name=value, got {pair:?}")),
        }
    }
    let max = parse_go_duration(values.text("max-block-duration")).unwrap_or_default();
    let max = i64::try_from(max.as_millis()).unwrap_or(i64::MAX);
    let job = Job {
        dir: PathBuf::from(values.text("output directory")),
        extra,
        block: block_duration(max),
    };
    let file = values.text("input file");
    let made = read(file, tool).and_then(|body| job.run(&body, tool));
    match made {
        Ok(_) if values.switch("quiet") => Outcome::printed(String::new()),
        Ok(new) => {
            let readable = values.switch("human-readable");
            match super::tsdb::table_of_new(&*tool.disk, &job.dir, &new, readable) {
                Ok(table) => Outcome::printed(table),
                Err(error) => Outcome::failed(format!("{error}\n")),
            }
        }
        Err(error) => Outcome::failed(format!("{error}\n")),
    }
}

/// The longest of 2 h, 6 h, 18 h, ... that is not longer than `max`.
fn block_duration(max: i64) -> i64 {
    let mut duration = BLOCK;
    while duration * 3 <= max {
        duration *= 3;
    }
    duration
}

/// Files are mapped; pipes and devices have to be read.
fn read(file: &str, tool: &Tool<'_>) -> Result<Bytes, String> {
    let path = Path::new(file);
    let failed = |e: std::io::Error| format!("open {file}: {}", os_text(&e));
    if std::fs::metadata(path).map_err(failed)?.is_file() {
        return tool.disk.map(path).map_err(failed);
    }
    std::fs::read(path).map(Bytes::from).map_err(failed)
}

struct Job {
    dir: PathBuf,
    extra: Vec<(String, String)>,
    block: i64,
}

impl Job {
    fn run(&self, body: &[u8], tool: &Tool<'_>) -> Result<Vec<Ulid>, String> {
        // The first reading finds what there is; further ones take as many blocks as fit into memory.
        let mut windows: BTreeMap<i64, u64> = BTreeMap::new();
        each_sample(body, |t, _, _| {
            *windows.entry(t.div_euclid(self.block)).or_default() += 1;
            Ok(())
        })
        .map_err(|e| format!("getting min and max timestamp: {e}"))?;
        let mut random = Random::from_seed(tool.seed);
        let mut new = Vec::new();
        let mut waiting = windows.into_iter().peekable();
        while let Some((first, mut samples)) = waiting.next() {
            let mut last = first;
            while let Some((window, more)) = waiting.next_if(|(_, more)| samples + more <= BATCH) {
                (last, samples) = (window, samples + more);
            }
            self.write(body, (first, last), tool, &mut random, &mut new)
                .map_err(|e| format!("block creation: {e}"))?;
        }
        Ok(new)
    }

    fn write(
        &self,
        body: &[u8],
        (first, last): (i64, i64),
        tool: &Tool<'_>,
        random: &mut Random,
        new: &mut Vec<Ulid>,
    ) -> Result<(), String> {
        let mut builders: BTreeMap<i64, BlockBuilder> = BTreeMap::new();
        each_sample(body, |t, value, parser| {
            let window = t.div_euclid(self.block);
            if first <= window && window <= last {
                builders
                    .entry(window)
                    .or_insert_with(|| BlockBuilder::new(tool.disk.clone(), &self.dir))
                    .add(&self.labels(parser)?, t, Value::Float(value));
            }
            Ok(())
        })?;
        for builder in builders.into_values() {
            let mut bytes = [0; 10];
            random.fill(&mut bytes);
            let ulid = Ulid::new(tool.clock.now(), bytes);
            if builder.finish(ulid).map_err(|e| e.to_string())?.is_some() {
                new.push(ulid);
            }
        }
        Ok(())
    }

    fn labels(&self, parser: &OpenMetricsParser<'_>) -> Result<Labels, String> {
        let own = parser.distinct_labels();
        let own =
            own.map_err(|name| format!("label name {name:?} is not unique: invalid sample"))?;
        if self.extra.is_empty() {
            return Ok(own);
        }
        let mut labels = LabelsBuilder::new(&own);
        for (name, value) in &self.extra {
            labels.set(name, value);
        }
        Ok(labels.build())
    }
}

/// Hands every sample with its time out.
fn each_sample(
    body: &[u8],
    mut take: impl FnMut(i64, f64, &OpenMetricsParser<'_>) -> Result<(), String>,
) -> Result<(), String> {
    let mut parser = OpenMetricsParser::new(body);
    while let Some(entry) = parser.next().map_err(|e| format!("next: {e}"))? {
        if let Entry::Series {
            timestamp, value, ..
        } = entry
        {
            let Some(t) = timestamp else {
                let series = parser.labels();
                return Err(format!("expected timestamp for series {series}, got none"));
            };
            take(t, value, &parser)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_blocks() {
        assert_eq!(block_duration(86_400_000), 18 * 3_600_000);
        assert_eq!(block_duration(0), BLOCK);
        assert_eq!(block_duration(BLOCK * 9), BLOCK * 9);
    }
}
