//! `promtool test rules`: unit tests of rules.

mod compare;
mod junit;
mod run;

use std::path::Path;

use configfile::rule_tests::RuleTestFile;
use configfile::rules::{RuleFile, RuleFileOptions};
use discovery::glob::matching_files;
use flags::{Command, Flag, Takes, Values};

use super::{GlobalFlags, Outcome, os_text, usage};
use run::{Options, run_test};

pub const TEST: Command = Command {
    path: "test rules",
    about: "Unit tests for rules.",
    flags: &[
        Flag::list(
            "run",
            "",
            "If set, will only run test groups whose names match the regular expression. Can be specified multiple times.",
        ),
        Flag::switch("debug", false, "Enable unit test debugging."),
        Flag::switch(
            "diff",
            false,
            "[Experimental] Print colored differential output between expected & received output.",
        ),
        Flag::switch(
            "ignore-unknown-fields",
            false,
            "Ignore unknown fields in the test files. This is useful when you want to extend rule files with custom metadata. Ensure that those fields are removed before loading them into the Prometheus server as it performs strict checks by default.",
        ),
        Flag::words("test-rule-file", "The unit test file.")
            .required()
            .takes(Takes::File),
    ],
};
/// What stands around it.
pub const GROUP: Command = Command {
    path: "test",
    about: "Unit testing.",
    flags: &[Flag::value(
        "junit",
        "",
        "File path to store JUnit XML test results.",
    )],
};

/// What came of one test.
struct CaseReport {
    name: String,
    failures: Vec<String>,
}

/// What came of a file.
struct FileReport {
    file: String,
    /// Why there are no tests to run.
    error: Option<String>,
    cases: Vec<CaseReport>,
}

/// `promtool test rules FILES...`
pub fn rules(values: &Values, global: &GlobalFlags, now: i64) -> Outcome {
    let files = values.list("test-rule-file");
    let mut wanted = Vec::new();
    for pattern in values.list("run").iter().filter(|p| !p.is_empty()) {
        match regex::Regex::new(pattern) {
            Ok(regex) => wanted.push(regex),
            Err(_) => return usage(&format!("--run: {pattern} is not a regular expression")),
        }
    }
    let options = Options {
        parser: global.parser(),
        delayed_name_removal: global.has("promql-delayed-name-removal"),
        debug: values.switch("debug"),
        diff: values.switch("diff"),
        ignore_unknown_fields: values.switch("ignore-unknown-fields"),
    };
    let mut outcome = Outcome::printed(String::new());
    let mut reports = Vec::new();
    for file in &files {
        outcome
            .out
            .push_str(&format!("Processing test file: {file}\n"));
        let report = test_file(file, &wanted, &options, &mut outcome);
        let messages: Vec<&String> = report
            .error
            .iter()
            .chain(report.cases.iter().flat_map(|case| &case.failures))
            .collect();
        if messages.is_empty() {
            outcome.out.push_str("  SUCCESS\n");
        } else {
            outcome.code = 1;
            outcome.err.push_str("  FAILED:\n");
            for message in messages {
                outcome.err.push_str(&format!("{message}\n"));
                outcome.out.push('\n');
            }
        }
        outcome.out.push('\n');
        reports.push(report);
    }
    let junit = values.text("junit");
    if !junit.is_empty()
        && let Err(error) = std::fs::write(junit, junit::xml(&reports, now))
    {
        outcome.code = 1;
        let text = format!("open {junit}: {}\n", os_text(&error));
        outcome.err.push_str(&text);
    }
    outcome
}

fn test_file(
    file: &str,
    wanted: &[regex::Regex],
    options: &Options,
    outcome: &mut Outcome,
) -> FileReport {
    let mut report = FileReport {
        file: file.to_string(),
        error: None,
        cases: Vec::new(),
    };
    let tests = match read_tests(file) {
        Ok(tests) => tests,
        Err(message) => {
            report.error = Some(message);
            return report;
        }
    };
    let rules = read_rules(file, &tests, options, outcome);
    for test in &tests.tests {
        if !wanted.is_empty() && !wanted.iter().any(|regex| regex.is_match(&test.name)) {
            continue;
        }
        let failures = match &rules {
            Ok(rules) => run_test(&tests, test, rules, options, outcome),
            Err(messages) => messages.clone(),
        };
        report.cases.push(CaseReport {
            name: test.name.clone(),
            failures,
        });
    }
    report
}

fn read_tests(file: &str) -> Result<RuleTestFile, String> {
    let text =
        std::fs::read_to_string(file).map_err(|e| format!("open {file}: {}", os_text(&e)))?;
    let tests = RuleTestFile::parse(&text).map_err(|e| e.to_string())?;
    let order = &tests.group_eval_order;
    let again = (1..order.len()).find(|at| order[..*at].contains(&order[*at]));
    match again {
        Some(at) => Err(format!(
            "group name repeated in evaluation order: {}",
            order[at]
        )),
        None => Ok(tests),
    }
}

/// Rule files with their names as matched; a pattern that matches nothing is told of.
fn read_rules(
    file: &str,
    tests: &RuleTestFile,
    options: &Options,
    outcome: &mut Outcome,
) -> Result<Vec<(String, RuleFile)>, Vec<String>> {
    let dir = Path::new(file).parent().unwrap_or(Path::new(""));
    let reading = RuleFileOptions {
        ignore_unknown_fields: options.ignore_unknown_fields,
        parser: options.parser,
        ..RuleFileOptions::default()
    };
    let (mut read, mut faults) = (Vec::new(), Vec::new());
    for pattern in &tests.rule_files {
        let pattern = dir.join(pattern).to_string_lossy().into_owned();
        let matched = matching_files(&pattern);
        if matched.is_empty() {
            outcome
                .err
                .push_str(&format!("  WARNING: no file match pattern {pattern}\n"));
        }
        for path in matched {
            let shown = path.display().to_string();
            let text = match std::fs::read_to_string(&path) {
                Ok(text) => text,
                Err(error) => {
                    faults.push(format!("{shown}: {}", os_text(&error)));
                    continue;
                }
            };
            match RuleFile::parse(&text, &reading) {
                Ok(file) => read.push((shown, file)),
                Err(errors) => faults.extend(errors.iter().map(|e| format!("{shown}: {e}"))),
            }
        }
    }
    if faults.is_empty() {
        Ok(read)
    } else {
        Err(faults)
    }
}
