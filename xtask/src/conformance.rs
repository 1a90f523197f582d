//! `cargo xtask conformance`: upstream's data, file by file, with what passed.

use std::path::{Path, PathBuf};
use std::process::Command;

use configfile::rules::{RuleFile, RuleFileOptions};
use model::relabel::NameValidation;
use promql::testscript::run_script;

/// `[promql|rulefmt|promtool|prometheus-config|textparse] [--path DIR]`
pub fn run(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        [] => {
            let results = [
                promql_scripts(None),
                rule_files(),
                rule_tests(),
                configurations(),
                bodies(),
            ];
            results.into_iter().collect()
        }
        ["rulefmt"] => rule_files(),
        ["promtool"] => rule_tests(),
        ["prometheus-config"] => configurations(),
        ["textparse"] => bodies(),
        ["promql"] => promql_scripts(None),
        ["promql", "--path", dir] | ["--path", dir, "promql"] => promql_scripts(Some(dir)),
        other => Err(format!("conformance: unknown arguments {other:?}")),
    }
}

fn promql_scripts(dir: Option<&str>) -> Result<(), String> {
    let dir = match dir {
        Some(dir) => PathBuf::from(dir),
        None => match testkit::conformance("promql") {
            Some(dir) => dir,
            None => return Ok(()),
        },
    };
    let files = scripts_in(&dir)?;
    if files.is_empty() {
        return Err(format!("conformance: no *.test files in {}", dir.display()));
    }
    let (mut passed, mut total) = (0, 0);
    for file in files {
        let name = file
            .file_name()
            .map(|n| n.to_string_lossy().into_owned())
            .unwrap_or_default();
        let text =
            std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let report = run_script(&name, &text);
        let of_file = report.passed + report.failed.len();
        println!("{name}: {}/{of_file}", report.passed);
        for failure in &report.failed {
            println!("  line {}: {}", failure.line, failure.message);
        }
        passed += report.passed;
        total += of_file;
    }
    println!("promql: {passed}/{total}");
    if passed == total {
        Ok(())
    } else {
        Err(format!("{} evaluations do not hold", total - passed))
    }
}

/// Rule files: those named bad are refused, the others load.
fn rule_files() -> Result<(), String> {
    let Some(dir) = testkit::conformance("rulefmt") else {
        return Ok(());
    };
    let (mut passed, mut total) = (0, 0);
    for file in yaml_in(&dir)? {
        let text =
            std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let name = name_of(&file);
        let options = RuleFileOptions {
            names: match name.starts_with("legacy_") {
                true => NameValidation::Legacy,
                false => NameValidation::Utf8,
            },
            ..RuleFileOptions::default()
        };
        let result = RuleFile::parse(&text, &options);
        total += 1;
        if result.is_err() == name.contains(".bad.") {
            passed += 1;
        } else {
            println!("  {name}: {result:?}");
        }
    }
    counted("rulefmt", passed, total)
}

/// Unit tests of rules: those named bad or failing fail, runs of several tests have one that does, the others succeed.
fn rule_tests() -> Result<(), String> {
    let Some(dir) = testkit::conformance("promtool") else {
        return Ok(());
    };
    let (mut passed, mut total) = (0, 0);
    for file in yaml_in(&dir)? {
        let text =
            std::fs::read_to_string(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        if !text.lines().any(|line| line.starts_with("tests:")) {
            continue;
        }
        let name = name_of(&file);
        let fails = ["bad-", "failing", "rules_run"];
        let wanted = !fails.iter().any(|start| name.starts_with(start));
        let (succeeded, said) = titan(&["promtool", "test", "rules"], &file)?;
        total += 1;
        if succeeded == wanted {
            passed += 1;
        } else {
            println!("  {name}: {said}");
        }
    }
    counted("promtool", passed, total)
}

/// What refusals of sections say that are understood and not carried out.
const LACKING: [&str; 2] = [
    "this build does not have",
    "this build does not carry it out",
];

/// Server configurations: those named good pass `promtool check config` or lack nothing but a part that this build does not
/// have, those named bad are refused for what is wrong in them.
fn configurations() -> Result<(), String> {
    let Some(dir) = testkit::conformance("prometheus-config") else {
        return Ok(());
    };
    let (mut passed, mut total, mut lacking) = (0, 0, 0);
    for file in yaml_in(&dir)? {
        let name = name_of(&file);
        let good = name.contains(".good.");
        if !good && !name.contains(".bad.") {
            continue;
        }
        let mut check = vec!["promtool", "check", "config", "--syntax-only"];
        check.extend(name.starts_with("agent_mode").then_some("--agent"));
        let (mut succeeded, mut said) = titan(&check, &file)?;
        if succeeded && !good {
            // What is wrong in files that it includes is not its syntax.
            check.retain(|flag| *flag != "--syntax-only");
            (succeeded, said) = titan(&check, &file)?;
        }
        let lacks = !succeeded && LACKING.iter().any(|words| said.contains(words));
        total += 1;
        lacking += usize::from(lacks);
        if (succeeded || lacks) == good {
            passed += 1;
        } else {
            println!("  {name}: {said}");
        }
    }
    println!("prometheus-config: {lacking} are refused for a part that this build does not have");
    counted("prometheus-config", passed, total)
}

/// Exposition bodies: each is read to its end, and every line of it is an entry.
fn bodies() -> Result<(), String> {
    let Some(dir) = testkit::conformance("textparse") else {
        return Ok(());
    };
    let (mut passed, mut total) = (0, 0);
    for file in files_in(&dir, &["txt"])? {
        let name = name_of(&file);
        let body = std::fs::read(&file).map_err(|e| format!("{}: {e}", file.display()))?;
        let is_openmetrics = name.ends_with(".om.txt");
        let lines = body
            .split(|b| *b == b'\n')
            .filter(|line| !(line.is_empty() || is_openmetrics && *line == b"# EOF"))
            .count();
        let mut parser = match is_openmetrics {
            true => exposition::Parser::openmetrics(&body, false),
            false => exposition::Parser::text(&body),
        };
        let mut entries = 0;
        let fault = loop {
            match parser.next() {
                Ok(Some(_)) => entries += 1,
                Ok(None) => break None,
                Err(error) => break Some(format!("line {}: {error}", error.line)),
            }
        };
        total += 1;
        match fault {
            None if entries == lines => passed += 1,
            None => println!("  {name}: {entries} entries in {lines} lines"),
            Some(fault) => println!("  {name}: {fault}"),
        }
    }
    counted("textparse", passed, total)
}

/// Whether a command of ours succeeds on a file, and what it says of faults.
fn titan(command: &[&str], file: &Path) -> Result<(bool, String), String> {
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--package", "titan", "--"])
        .args(command)
        .arg(file)
        .output()
        .map_err(|e| e.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    Ok((output.status.success(), said))
}

fn counted(name: &str, passed: usize, total: usize) -> Result<(), String> {
    println!("{name}: {passed}/{total}");
    if passed == total {
        Ok(())
    } else {
        Err(format!("{name}: {} cases do not hold", total - passed))
    }
}

fn name_of(file: &Path) -> String {
    file.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

fn yaml_in(dir: &Path) -> Result<Vec<PathBuf>, String> {
    files_in(dir, &["yml", "yaml"])
}

fn scripts_in(dir: &Path) -> Result<Vec<PathBuf>, String> {
    files_in(dir, &["test"])
}

/// The files of a folder with one of these endings, by name.
fn files_in(dir: &Path, endings: &[&str]) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| endings.iter().any(|one| ending == *one))
        })
        .collect();
    files.sort();
    Ok(files)
}
