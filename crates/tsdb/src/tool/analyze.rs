//! Looking at a block for what costs most.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::ControlFlow;

use model::Matcher;
use ondisk::chunk::count;
use ondisk::index::SeriesEntry;
use roaring::RoaringBitmap;

use crate::block::Block;
use crate::failure::DbError;

/// What was found in a block.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Analysis {
    /// Its name.
    pub block: String,
    /// Its length, milliseconds.
    pub duration: i64,
    /// Series in it.
    pub series: u64,
    /// The selector that narrowed it, as it was written; empty for none.
    pub matcher: String,
    /// Series that fulfil it, where there was one.
    pub matched: Option<u64>,
    /// Label names.
    pub label_names: u64,
    /// Distinct pairs of name and value.
    pub postings: u64,
    /// Labels of all series together.
    pub postings_entries: u64,
    /// Pairs whose series are there for the smallest part of the block.
    pub churning_pairs: Vec<(u64, String)>,
    /// Names whose series are there for the smallest part of the block.
    pub churning_names: Vec<(u64, String)>,
    /// Pairs with most series.
    pub common_pairs: Vec<(u64, String)>,
    /// Names with most bytes of values.
    pub longest_values: Vec<(u64, String)>,
    /// Names with most values.
    pub cardinality: Vec<(u64, String)>,
    /// Metric names with most series.
    pub metrics: Vec<(u64, String)>,
    /// Chunks by tenths of 120 samples they hold, when asked for.
    pub fullness: Option<[u64; 10]>,
}

/// Largest first, ties by name so that two runs print the same.
fn top(mut all: Vec<(u64, String)>, limit: usize) -> Vec<(u64, String)> {
    all.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    all.truncate(limit);
    all
}

/// Analyzes a block, restricted to series that fulfil all matchers if there are any.
pub fn analyze(
    block: &Block,
    matchers: &[Matcher],
    limit: usize,
    extended: bool,
) -> Result<Analysis, DbError> {
    let index = block.index();
    let meta = block.meta();
    let bad = |err: ondisk::index::IndexError| DbError::corrupt(&block.dir().join("index"), 0, err);
    let wanted: RoaringBitmap = match matchers {
        [] => index.all_postings().map_err(bad)?.iter().collect(),
        _ => block.select(matchers)?,
    };
    let (mut uncovered_pairs, mut uncovered_names) = (BTreeMap::new(), BTreeMap::new());
    let mut entries = 0;
    let mut entry = SeriesEntry::default();
    let mut fullness = [0u64; 10];
    let length = (meta.max_time - meta.min_time).max(1);
    for reference in &wanted {
        block.series(reference, &mut entry)?;
        let (Some(first), Some(last)) = (entry.chunks.first(), entry.chunks.last()) else {
            continue;
        };
        // The share of the block in which the series was not there.
        let there = last
            .max_time
            .saturating_sub(first.min_time)
            .clamp(0, length);
        let missing = length - there;
        for &pair in &entry.labels {
            *uncovered_pairs.entry(pair).or_insert(0u64) += missing as u64;
            *uncovered_names.entry(pair.0).or_insert(0u64) += missing as u64;
            entries += 1;
        }
        if extended {
            for chunk in &entry.chunks {
                let chunk = block.chunk(chunk)?;
                let samples = usize::from(count(chunk.encoding, &chunk.data));
                fullness[(samples * 10 / 120).min(9)] += 1;
            }
        }
    }
    let symbol = |s: u32| index.symbol(s).map_err(bad);
    let mut churning_pairs = Vec::new();
    for ((name, value), missing) in uncovered_pairs {
        let text = format!("{}={}", symbol(name)?, symbol(value)?);
        churning_pairs.push((missing / length as u64, text));
    }
    let mut churning_names = Vec::new();
    for (name, missing) in uncovered_names {
        churning_names.push((missing / length as u64, symbol(name)?.to_owned()));
    }
    let (mut pairs, mut lengths, mut values, mut metrics) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let names: Vec<String> = index.label_names().map(str::to_owned).collect();
    for name in &names {
        let (mut bytes, mut n) = (0, 0);
        let mut lists = Vec::new();
        index
            .for_values(name, "", |value, list| {
                lists.push((value.to_owned(), list));
                ControlFlow::Continue(())
            })
            .map_err(bad)?;
        for (value, list) in lists {
            let postings = index.postings_at(list).map_err(bad)?;
            let series = match matchers {
                [] => postings.len() as u64,
                _ => postings.iter().filter(|p| wanted.contains(*p)).count() as u64,
            };
            if series == 0 {
                continue;
            }
            bytes += value.len() as u64;
            n += 1;
            pairs.push((series, format!("{name}={value}")));
            if name == model::labels::METRIC_NAME {
                metrics.push((series, value));
            }
        }
        // Names that no series of interest has are none of its.
        if n > 0 {
            lengths.push((bytes, name.clone()));
            values.push((n, name.clone()));
        }
    }
    Ok(Analysis {
        block: meta.ulid.to_string(),
        duration: meta.max_time - meta.min_time,
        series: index.all_postings().map_err(bad)?.len() as u64,
        matched: (!matchers.is_empty()).then_some(wanted.len()),
        matcher: String::new(),
        label_names: values.len() as u64,
        postings: pairs.len() as u64,
        postings_entries: entries,
        churning_pairs: top(churning_pairs, limit),
        churning_names: top(churning_names, limit),
        common_pairs: top(pairs, limit),
        longest_values: top(lengths, limit),
        cardinality: top(values, limit),
        metrics: top(metrics, limit),
        fullness: extended.then_some(fullness),
    })
}

impl std::fmt::Display for Analysis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = String::new();
        let _ = writeln!(out, "Block ID: {}", self.block);
        let _ = writeln!(out, "Duration: {}", super::go_duration(self.duration));
        let _ = writeln!(out, "Total Series: {}", self.series);
        if !self.matcher.is_empty() {
            let _ = writeln!(out, "Matcher: {}", self.matcher);
        }
        let _ = writeln!(out, "Label names: {}", self.label_names);
        if let Some(matched) = self.matched {
            let _ = writeln!(out, "Matched series: {matched}");
        }
        let _ = writeln!(out, "Postings (unique label pairs): {}", self.postings);
        let _ = writeln!(
            out,
            "Postings entries (total label pairs): {}",
            self.postings_entries
        );
        for (title, list) in [
            (
                "Label pairs most involved in churning",
                &self.churning_pairs,
            ),
            (
                "Label names most involved in churning",
                &self.churning_names,
            ),
            ("Most common label pairs", &self.common_pairs),
            (
                "Label names with highest cumulative label value length",
                &self.longest_values,
            ),
            ("Highest cardinality labels", &self.cardinality),
            ("Highest cardinality metric names", &self.metrics),
        ] {
            let _ = writeln!(out, "\n{title}:");
            for (n, name) in list {
                let _ = writeln!(out, "{n} {name}");
            }
        }
        if let Some(fullness) = &self.fullness {
            let total: u64 = fullness.iter().sum::<u64>().max(1);
            out += "\nCompaction analysis:\nFullness: Amount of samples in chunks (100% is 120 samples)\n";
            for (i, n) in fullness.iter().enumerate() {
                let bar = "#".repeat((100 * n / total) as usize);
                let _ = writeln!(out, "    {:>3}%: {bar}", (i + 1) * 10);
            }
        }
        f.write_str(&out)
    }
}
