//! `promtool check rules`: whether rule files load, and whether rules are there twice.

use std::collections::BTreeMap;
use std::io::Read;

use configfile::rules::{RuleFile, RuleFileOptions};
use flags::{Command, Flag, Takes, Values};
use model::labels::go_quote;

use super::{GlobalFlags, Outcome};
use crate::load::unread;

pub const RULES: Command = Command {
    path: "check rules",
    about: "Check if the rule files are valid or not.",
    flags: &[
        Flag::value(
            "lint",
            "duplicate-rules",
            "Linting checks to apply. Available options are: all, duplicate-rules, none. Use --lint=none to disable linting",
        ),
        Flag::switch(
            "lint-fatal",
            false,
            "Make lint errors exit with exit code 3.",
        ),
        Flag::switch(
            "ignore-unknown-fields",
            false,
            "Ignore unknown fields in the rule files. This is useful when you want to extend rule files with custom metadata. Ensure that those fields are removed before loading them into the Prometheus server as it performs strict checks by default.",
        ),
        Flag::words(
            "rule-files",
            "The rule files to check, default is read from standard input.",
        )
        .takes(Takes::File),
    ],
};

/// The largest file that is read from standard input.
const MAX_INPUT: u64 = 1 << 28;

/// How files are checked.
#[derive(Clone, Debug)]
pub struct RuleChecks {
    /// Whether rules that are there twice are told of.
    pub duplicates: bool,
    /// How files are read.
    pub reading: RuleFileOptions,
}

impl RuleChecks {
    /// Reads the options of `--lint`; what is not known is told on standard output.
    pub fn read(lint: &str, values: &Values, global: &GlobalFlags, out: &mut String) -> RuleChecks {
        let mut duplicates = false;
        for option in lint.split(',').filter(|_| !lint.is_empty()) {
            match option {
                "all" | "duplicate-rules" => duplicates = true,
                "none" => {}
                other => {
                    let other = go_quote(other);
                    out.push_str(&format!("WARNING: unknown lint option: {other}\n"));
                }
            }
        }
        RuleChecks {
            duplicates,
            reading: RuleFileOptions {
                ignore_unknown_fields: values.switch("ignore-unknown-fields"),
                parser: global.parser(),
                ..RuleFileOptions::default()
            },
        }
    }
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// All is well.
    Good,
    /// It would load, but is unwise.
    Advised,
    /// It does not load.
    Failed,
}

/// `promtool check rules [FILES...]`
pub fn rules(values: &Values, global: &GlobalFlags, input: &mut dyn Read) -> Outcome {
    let files = values.list("rule-files");
    let mut outcome = Outcome::printed(String::new());
    let checks = RuleChecks::read(values.text("lint"), values, global, &mut outcome.out);
    let mut results = Vec::new();
    if files.is_empty() {
        outcome.out.push_str("Checking standard input\n");
        let mut bytes = Vec::new();
        match input.take(MAX_INPUT).read_to_end(&mut bytes) {
            Ok(_) => results.push(check_text("", &bytes, &checks, &mut outcome)),
            Err(error) => {
                outcome.err.push_str(&format!("  FAILED: {error}\n"));
                results.push(Checked::Failed);
            }
        }
    }
    for file in &files {
        results.push(check_file(file, &checks, &mut outcome));
    }
    let fatal = values.switch("lint-fatal");
    outcome.code = if results.contains(&Checked::Failed) {
        1
    } else if results.contains(&Checked::Advised) && fatal {
        3
    } else {
        0
    };
    outcome
}

/// Checks one file and tells what came of it.
pub fn check_file(file: &str, checks: &RuleChecks, outcome: &mut Outcome) -> Checked {
    outcome.out.push_str(&format!("Checking {file}\n"));
    match std::fs::read(file) {
        Ok(bytes) => check_text(&format!("{file}: "), &bytes, checks, outcome),
        Err(error) => {
            let text = unread(file, &error);
            outcome
                .err
                .push_str(&format!("  FAILED:\n{file}: {text}\n"));
            Checked::Failed
        }
    }
}

/// Checks the text of a file, which stands in front of each fault.
fn check_text(file: &str, bytes: &[u8], checks: &RuleChecks, outcome: &mut Outcome) -> Checked {
    let parsed = configfile::yaml::text_of(bytes)
        .map_err(|error| vec![error.to_string()])
        .and_then(|text| RuleFile::parse(&text, &checks.reading));
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(errors) => {
            outcome.err.push_str("  FAILED:\n");
            for error in errors {
                outcome.err.push_str(&format!("{file}{error}\n"));
            }
            return Checked::Failed;
        }
    };
    let advice = if checks.duplicates {
        duplicates(&parsed)
    } else {
        None
    };
    let checked = match advice {
        Some(advice) => {
            outcome.err.push_str(&format!("  FAILED:\n{advice}\n"));
            Checked::Advised
        }
        None => {
            let count: usize = parsed.groups.iter().map(|group| group.rules.len()).sum();
            outcome
                .out
                .push_str(&format!("  SUCCESS: {count} rules found\n"));
            Checked::Good
        }
    };
    outcome.out.push('\n');
    checked
}

/// Rules with the same name and labels, as advice.
fn duplicates(file: &RuleFile) -> Option<String> {
    let mut all: Vec<(&str, BTreeMap<&str, &str>)> = Vec::new();
    for group in &file.groups {
        for rule in &group.rules {
            // A rule's own labels win over those of its group.
            let labels = group.labels.iter().chain(&rule.labels);
            let labels = labels.map(|(name, value)| (name.as_str(), value.as_str()));
            all.push((rule.kind.name(), labels.collect()));
        }
    }
    all.sort();
    let mut twice: Vec<_> = all
        .windows(2)
        .filter(|pair| pair[0] == pair[1])
        .map(|pair| &pair[0])
        .collect();
    twice.dedup();
    if twice.is_empty() {
        return None;
    }
    let mut text = format!("lint error {} duplicate rule(s) found.\n", twice.len());
    for (name, labels) in twice {
        text.push_str(&format!("Metric: {name}\nLabel(s):\n"));
        for (label, value) in labels {
            text.push_str(&format!("\t{label}: {value}\n"));
        }
    }
    text.push_str("Might cause inconsistency while recording expressions");
    Some(text)
}
