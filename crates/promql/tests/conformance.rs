//! Upstream's own scripts: every evaluation has to pass.

use std::path::PathBuf;

use promql::testscript::run_script;

fn folder() -> Option<PathBuf> {
    let folder =
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/promql");
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: no conformance scripts in {}", folder.display());
    None
}

#[test]
fn every_script_passes() {
    let Some(folder) = folder() else { return };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("readable folder")
        .map(|entry| entry.expect("readable entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "test"))
        .collect();
    files.sort();
    assert!(!files.is_empty());
    let mut failed = 0;
    for file in files {
        let name = file
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = std::fs::read_to_string(&file).expect("readable script");
        let report = run_script(&name, &text);
        eprintln!(
            "{name}: {} passed, {} failed",
            report.passed,
            report.failed.len()
        );
        for failure in &report.failed {
            eprintln!("  {name}:{}: {}", failure.line, failure.message);
        }
        failed += report.failed.len();
    }
    assert_eq!(failed, 0, "evaluations failed");
}
