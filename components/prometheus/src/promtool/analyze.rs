//! `promtool query analyze`: how many buckets of histograms are in use, over time.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::fmt::Write as _;

use flags::{Command, Flag, Takes};
use serde_json::Value;

/// Its flags.
pub const ANALYZE: Command = Command {
    path: "query analyze",
    about: "Run queries against your Prometheus to analyze the usage pattern of certain metrics.",
    flags: &[
        Flag::value("server", "", "Prometheus server to query.").required(),
        Flag::value("type", "", "Type of metric: histogram.").required(),
        Flag::value("duration", "1h", "Time frame to analyze.").takes(Takes::GoDuration),
        Flag::value(
            "time",
            "",
            "Query time (RFC3339 or Unix timestamp), defaults to now.",
        ),
        Flag::list(
            "match",
            "",
            "Series selector. Can be specified multiple times.",
        )
        .required(),
    ],
};

/// Populated buckets of one histogram over time.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Population {
    min: u64,
    avg: f64,
    max: u64,
    /// Buckets there are, populated or not.
    total: u64,
}

impl Population {
    /// Of the counts at several times.
    fn of(counts: &[u64], total: u64) -> Population {
        Population {
            min: counts.iter().copied().min().unwrap_or(0),
            avg: counts.iter().sum::<u64>() as f64 / counts.len().max(1) as f64,
            max: counts.iter().copied().max().unwrap_or(0),
            total,
        }
    }
}

impl std::fmt::Display for Population {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{:.3}/{}", self.min, self.avg, self.max)?;
        if self.max != self.total {
            write!(f, "/{}", self.total)?;
        }
        Ok(())
    }
}

/// What is printed of the answers to range selectors, one answer a selector.
pub fn report(answers: &[Value]) -> Result<String, String> {
    let mut out = String::from(
        "Populated buckets of each histogram over time: min/avg/max, and all buckets where these are more\n\n",
    );
    let (mut native, mut classic) = (Vec::new(), Vec::new());
    for answer in answers {
        if answer["resultType"] != "matrix" {
            return Err("query of buckets resulted in non-Matrix".into());
        }
        let mut families: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
        for series in answer["result"].as_array().into_iter().flatten() {
            let name = super::query_text::metric_text(&series["metric"]);
            if series["values"].as_array().is_none_or(Vec::is_empty) {
                if let Some(population) = of_native(series) {
                    let _ = writeln!(out, "- {name} (native): {population}");
                    native.push(population);
                }
            } else if let Some(key) = classic_key(&series["metric"]) {
                families.entry(key).or_default().push(series);
            }
        }
        for (key, series) in families {
            if let Some(population) = of_classic(series)? {
                let _ = writeln!(out, "- {key} (classic): {population}");
                classic.push(population);
            }
        }
    }
    out.push_str("\nThe series above together, min/avg/max of each figure\n");
    for (kind, populations) in [("Native", native), ("Classic", classic)] {
        if !populations.is_empty() {
            together(&mut out, kind, &populations);
        }
    }
    Ok(out)
}

fn together(out: &mut String, kind: &str, all: &[Population]) {
    let figure = |of: &dyn Fn(&Population) -> u64| {
        let figures: Vec<u64> = all.iter().map(of).collect();
        let Population { min, avg, max, .. } = Population::of(&figures, 0);
        format!("{min}/{avg:.3}/{max}")
    };
    let (max, total) = (figure(&|p| p.max), figure(&|p| p.total));
    let _ = write!(
        out,
        "\n{kind} histogram series ({} in total):\n- min populated: {}\n- avg populated: {}\n- max populated: {max}\n",
        all.len(),
        figure(&|p| p.min),
        figure(&|p| p.avg as u64),
    );
    if total != max {
        let _ = writeln!(out, "- total: {total}");
    }
}

/// `None` for fewer than two samples.
fn of_native(series: &Value) -> Option<Population> {
    let histograms = series["histograms"].as_array()?;
    if histograms.len() < 2 {
        return None;
    }
    let mut bounds = HashSet::new();
    let mut counts = Vec::new();
    for histogram in histograms {
        let buckets = histogram[1]["buckets"].as_array();
        counts.push(buckets.map_or(0, |buckets| buckets.len() as u64));
        for bucket in buckets.into_iter().flatten() {
            bounds.insert(format!("{} {} {}", bucket[0], bucket[1], bucket[2]));
        }
    }
    Some(Population::of(&counts, bounds.len() as u64))
}

/// The histogram that a bucket's series belongs to.
fn classic_key(metric: &Value) -> Option<String> {
    let name = metric["__name__"].as_str()?;
    if !name.ends_with("_bucket") || metric.get("le").is_none() {
        return None;
    }
    let mut rest = metric.as_object()?.clone();
    rest.remove("le");
    rest.remove("__name__");
    let labels = super::query_text::labels_of(&Value::Object(rest));
    Some(format!("{name}{labels}"))
}

/// `None` for fewer than two samples.
fn of_classic(mut series: Vec<&Value>) -> Result<Option<Population>, String> {
    let bound = |series: &Value| {
        let text = series["metric"]["le"].as_str().unwrap_or("");
        model::number::parse_float(text).unwrap_or(0.0)
    };
    series.sort_by(|a, b| bound(a).total_cmp(&bound(b)));
    let samples: Vec<Vec<(f64, f64)>> = series
        .iter()
        .map(|series| {
            let values = series["values"].as_array().map_or(&[][..], Vec::as_slice);
            values
                .iter()
                .map(|pair| {
                    let value = pair[1].as_str().and_then(model::number::parse_float);
                    (pair[0].as_f64().unwrap_or(0.0), value.unwrap_or(0.0))
                })
                .collect()
        })
        .collect();
    let times = samples.first().map_or(0, Vec::len);
    if times < 2 {
        return Ok(None);
    }
    let mut counts = Vec::with_capacity(times);
    for at in 0..times {
        let mut populated = 0;
        let mut before: Option<(f64, f64)> = None;
        for bucket in &samples {
            // Series that end earlier than the first make a partial answer, not none.
            let Some(&(time, cumulative)) = bucket.get(at) else {
                break;
            };
            if before.is_some_and(|(known, _)| known != time) {
                return Err("matrix result is not time aligned".into());
            }
            let own = cumulative - before.map_or(0.0, |(_, total)| total);
            populated += u64::from(own as i64 != 0);
            before = Some((time, cumulative));
        }
        counts.push(populated);
    }
    Ok(Some(Population::of(&counts, samples.len() as u64)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn classic_and_native() {
        let bucket = |le: &str, a: &str, b: &str| json!({"metric": {"__name__": "h_bucket", "le": le, "j": "x"}, "values": [[1, a], [2, b]]});
        let answer = json!({"resultType": "matrix", "result": [
            bucket("+Inf", "5", "9"),
            bucket("1", "2", "3"),
            bucket("2", "2", "4"),
            {"metric": {"__name__": "n"}, "histograms": [
                [1, {"buckets": [[0, "1", "2", "3"]]}],
                [2, {"buckets": [[0, "1", "2", "3"], [0, "2", "4", "1"]]}],
            ]},
            {"metric": {"__name__": "plain"}, "values": [[1, "1"]]},
        ]});
        let text = report(&[answer]).expect("a report");
        for line in [
            "- n (native): 1/1.500/2\n",
            "- h_bucket{j=\"x\"} (classic): 2/2.500/3\n",
            "\nNative histogram series (1 in total):\n- min populated: 1/1.000/1\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert!(report(&[json!({"resultType": "vector"})]).is_err());
    }
}
