//! Upstream's cases for the text file collector: directories in, a page out.

use std::os::unix::fs::symlink;
use std::path::PathBuf;

use exposition::{Escaping, write_text};
use node_exporter::collectors::textfile;
use node_exporter::sink::Sink;

#[test]
fn pages_are_upstreams() {
    let root = std::env::var_os("TITAN_CONFORMANCE")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance")
        });
    let Ok(fixtures) = root.join("node-exporter/fixtures").canonicalize() else {
        eprintln!("skipped: no fixtures below {}", root.display());
        return;
    };
    // The pages contain relative paths.
    let work = tempfile::tempdir().unwrap();
    symlink(&fixtures, work.path().join("fixtures")).unwrap();
    std::env::set_current_dir(work.path()).unwrap();
    let cases: [(&[&str], &str); 16] = [
        (&["no_metric_files"], "no_metric_files"),
        (&["two_metric_files"], "two_metric_files"),
        (&["nonexistent_path"], "nonexistent_path"),
        (&["client_side_timestamp"], "client_side_timestamp"),
        (&["different_metric_types"], "different_metric_types"),
        (&["inconsistent_metrics"], "inconsistent_metrics"),
        (&["histogram"], "histogram"),
        (&["histogram_extra_dimension"], "histogram_extra_dimension"),
        (&["summary"], "summary"),
        (&["summary_extra_dimension"], "summary_extra_dimension"),
        (
            &["histogram_extra_dimension", "summary_extra_dimension"],
            "glob_extra_dimension",
        ),
        (&["*_extra_dimension"], "glob_extra_dimension"),
        (&["metrics_merge_empty_help"], "metrics_merge_empty_help"),
        (&["metrics_merge_no_help"], "metrics_merge_no_help"),
        (&["metrics_merge_same_help"], "metrics_merge_same_help"),
        (
            &["metrics_merge_different_help"],
            "metrics_merge_different_help",
        ),
    ];
    for (directories, page) in cases {
        let directories: Vec<String> = directories
            .iter()
            .map(|directory| format!("fixtures/textfile/{directory}"))
            .collect();
        let mut sink = Sink::new();
        textfile::update(&directories, &mut sink).unwrap();
        let (families, _) = sink.finish();
        let mut out = Vec::new();
        write_text(&families, Escaping::Underscores, &mut out);
        let got: String = String::from_utf8(out)
            .unwrap()
            .lines()
            .map(|line| match line.rsplit_once(' ') {
                // Times of change are those of the checkout.
                Some((series, _)) if line.starts_with("node_textfile_mtime_seconds{") => {
                    format!("{series} 1\n")
                }
                _ => format!("{line}\n"),
            })
            .collect();
        let want = std::fs::read_to_string(format!("fixtures/textfile/{page}.out")).unwrap();
        assert_eq!(got, want, "{page}");
    }
    eprintln!("{} of {} pages equal", cases.len(), cases.len());
}
