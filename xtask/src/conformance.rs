//! `cargo xtask conformance`: upstream's data, file by file, with what passed.

use std::path::{Path, PathBuf};

use promql::testscript::run_script;

/// `[promql] [--path DIR]`
pub fn run(arguments: &[&str]) -> Result<(), String> {
    match arguments {
        [] => promql_scripts(None),
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

fn scripts_in(dir: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    let is_script = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "test");
    Ok(entries
        .flatten()
        .map(|entry| entry.path())
        .filter(is_script)
        .collect())
}
