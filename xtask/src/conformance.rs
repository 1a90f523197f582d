//! `cargo xtask conformance`: upstream's data, file by file, with what passed.

use std::path::{Path, PathBuf};
use std::process::Command;

use configfile::rules::{RuleFile, RuleFileOptions};
use model::relabel::NameValidation;
use promql::testscript::run_script;

/// `[promql|rulefmt|promtool] [--path DIR]`
pub fn run(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        [] => {
            let results = [promql_scripts(None), rule_files(), rule_tests()];
            results.into_iter().collect()
        }
        ["rulefmt"] => rule_files(),
        ["promtool"] => rule_tests(),
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
    let mut files = scripts_in(&dir)?;
    files.sort();
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
        let output = Command::new(env!("CARGO"))
            .args(["run", "--quiet", "--package", "titan", "--"])
            .args(["promtool", "test", "rules"])
            .arg(&file)
            .output()
            .map_err(|e| e.to_string())?;
        total += 1;
        if output.status.success() == wanted {
            passed += 1;
        } else {
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            println!("  {name}: {said}");
        }
    }
    counted("promtool", passed, total)
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
    let entries = std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| ending == "yml" || ending == "yaml")
        })
        .collect();
    files.sort();
    Ok(files)
}

fn scripts_in(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let is_script = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "test");
    Ok(entries
        .flatten()
        .map(|entry| entry.path())
        .filter(is_script)
        .collect())
}
