//! Metrics that scripts leave in files ending in `.prom`.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use model::MetricFamily;

use crate::collector::CollectError;
use crate::files::{list, list_or_empty};
use crate::sink::Sink;

/// The largest file that is read; larger ones are a mistake.
const FILE_BYTES_MAX: u64 = 128 << 20;

/// Adds the families of all good files, their times of change, and whether there were bad ones.
pub fn update(directories: &[String], sink: &mut Sink) -> Result<(), CollectError> {
    let mut failed = false;
    let mut families: Vec<(MetricFamily, String)> = Vec::new();
    let mut times = Vec::new();
    for pattern in directories.iter().filter(|pattern| !pattern.is_empty()) {
        for directory in expand(pattern) {
            let names = match list(&directory) {
                Ok(names) => names,
                Err(error) => {
                    tracing::error!(path = %directory.display(), err = %error, "failed to read textfile collector directory");
                    failed = true;
                    continue;
                }
            };
            for name in names.iter().filter(|name| name.ends_with(".prom")) {
                let path = directory.join(name);
                let shown = path.to_string_lossy().into_owned();
                match read_file(&path) {
                    Ok((found, modified)) => {
                        times.push((shown.clone(), modified));
                        families.extend(found.into_iter().map(|family| (family, shown.clone())));
                    }
                    Err(error) => {
                        tracing::error!(file = %shown, err = %error, "failed to collect textfile data");
                        failed = true;
                    }
                }
            }
        }
    }
    failed |= !merge(families, sink);
    for (file, modified) in &times {
        let help = "Unixtime mtime of textfiles successfully read.";
        sink.gauge(
            "textfile_mtime_seconds",
            help,
            &[("file", file)],
            *modified as f64,
        );
    }
    let help = "1 if there was an error opening or reading a file, 0 otherwise";
    sink.gauge(
        "textfile_scrape_error",
        help,
        &[],
        if failed { 1.0 } else { 0.0 },
    );
    Ok(())
}

/// The families of one file, and when it changed last in unix seconds.
fn read_file(path: &Path) -> Result<(Vec<MetricFamily>, i64), String> {
    let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(format!("{} bytes are too many", metadata.len()));
    }
    let body = std::fs::read(path).map_err(|error| error.to_string())?;
    let families = exposition::read_families(&body)
        .map_err(|error| format!("failed to parse: line {}: {error}", error.line))?;
    // A time of its own would outlive the file's next version.
    if families
        .iter()
        .flat_map(|family| &family.metrics)
        .any(|metric| metric.timestamp_ms.is_some())
    {
        return Err("contains unsupported client-side timestamps, skipping entire file".into());
    }
    Ok((families, metadata.mtime()))
}

/// Puts the families into the sink. One that contradicts the help of an earlier one is left out; then the answer is
/// false.
fn merge(families: Vec<(MetricFamily, String)>, sink: &mut Sink) -> bool {
    // Families nobody described are described by where they come from.
    let mut sources: HashMap<String, Vec<String>> = HashMap::new();
    for (family, file) in &families {
        if family.help.is_empty() {
            sources
                .entry(family.name.clone())
                .or_default()
                .push(file.clone());
        }
    }
    let mut known: HashMap<String, String> = HashMap::new();
    let mut consistent = true;
    for (mut family, file) in families {
        if family.metrics.is_empty() {
            continue;
        }
        if family.help.is_empty() {
            let files = sources
                .get(&family.name)
                .map_or(file, |files| files.join(", "));
            family.help = format!("Metric read from {files}");
        }
        let help = known
            .entry(family.name.clone())
            .or_insert_with(|| family.help.clone());
        if *help != family.help {
            tracing::error!(metric = %family.name, "inconsistent metric help text");
            consistent = false;
            continue;
        }
        unite_labels(&mut family);
        sink.family(family);
    }
    consistent
}

/// Gives every metric of the family all label names that any of them has.
fn unite_labels(family: &mut MetricFamily) {
    let names: BTreeSet<Cow<'static, str>> = family
        .metrics
        .iter()
        .flat_map(|m| m.labels.iter().map(|(name, _)| name.clone()))
        .collect();
    for metric in &mut family.metrics {
        if metric.labels.len() == names.len() {
            continue;
        }
        for name in &names {
            if !metric.labels.iter().any(|(known, _)| known == name) {
                metric.labels.push((name.clone(), String::new()));
            }
        }
    }
}

/// The paths that a pattern stands for; the pattern itself when it fits nothing.
fn expand(pattern: &str) -> Vec<PathBuf> {
    let special = |text: &str| text.contains(['*', '?', '[']);
    if !special(pattern) {
        return vec![pattern.into()];
    }
    let mut found: Vec<PathBuf> = vec![if pattern.starts_with('/') {
        "/".into()
    } else {
        PathBuf::new()
    }];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for base in found {
            if !special(part) {
                next.push(base.join(part));
                continue;
            }
            let directory = if base.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &base
            };
            for name in list_or_empty(directory) {
                if fits(part.as_bytes(), name.as_bytes()) {
                    next.push(base.join(name));
                }
            }
        }
        found = next.into_iter().filter(|path| path.exists()).collect();
    }
    if found.is_empty() {
        vec![pattern.into()]
    } else {
        found
    }
}

/// Shell-style matching of one path part. `*` is tried greedily and taken back, so the cost stays the product of both
/// lengths.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, n));
                p += 1;
                continue;
            }
            Some(b'?') => Some(1),
            Some(b'[') => class(&pattern[p..], name[n]),
            Some(c) if *c == name[n] => Some(1),
            _ => None,
        };
        match (step, star) {
            (Some(step), _) => {
                p += step;
                n += 1;
            }
            (None, Some((at, from))) => {
                star = Some((at, from + 1));
                p = at + 1;
                n = from + 1;
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// How long a matching `[...]` is; `None` when `byte` is not in it.
fn class(pattern: &[u8], byte: u8) -> Option<usize> {
    let end = pattern.iter().skip(2).position(|c| *c == b']')? + 2;
    let inner = &pattern[1..end];
    let (negated, inner) = match inner.first() {
        Some(b'^' | b'!') => (true, &inner[1..]),
        _ => (false, inner),
    };
    let mut hit = false;
    let mut i = 0;
    while i < inner.len() {
        if inner.get(i + 1) == Some(&b'-') && i + 2 < inner.len() {
            hit |= (inner[i]..=inner[i + 2]).contains(&byte);
            i += 3;
        } else {
            hit |= inner[i] == byte;
            i += 1;
        }
    }
    (hit != negated).then_some(end + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shell_patterns() {
        for (pattern, name, want) in [
            ("*", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abcd", false),
            ("?b[a-c]", "xbb", true),
            ("[!a]b", "ab", false),
            ("*.d", "x.d", true),
            ("**a**", "bab", true),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), name.as_bytes()),
                want,
                "{pattern} {name}"
            );
        }
        assert_eq!(expand("/no/such*/dir"), [PathBuf::from("/no/such*/dir")]);
    }
}
