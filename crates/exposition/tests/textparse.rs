//! Upstream's example bodies: every line is read, and the counts agree with an independent look at the lines.

use std::path::PathBuf;

use exposition::{Entry, Parser};

fn body(name: &str) -> Option<Vec<u8>> {
    let root = std::env::var_os("TITAN_CONFORMANCE")
        .map(PathBuf::from)
        .unwrap_or_else(|| {
            PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance")
        });
    match std::fs::read(root.join("textparse").join(name)) {
        Ok(body) => Some(body),
        Err(error) => {
            eprintln!("skipped: {name}: {error}");
            None
        }
    }
}

/// (series, metadata lines, exemplars)
fn count(mut parser: Parser<'_>) -> (usize, usize, usize) {
    let (mut series, mut metadata, mut exemplars) = (0, 0, 0);
    loop {
        match parser.next() {
            Ok(Some(Entry::Series { .. })) => {
                series += 1;
                assert!(!parser.labels().metric_name().is_empty());
                assert_eq!(parser.distinct_labels(), Ok(parser.labels()));
                exemplars += usize::from(parser.exemplar().is_some());
            }
            Ok(Some(_)) => metadata += 1,
            Ok(None) => return (series, metadata, exemplars),
            Err(error) => panic!("line {}: {error}", error.line),
        }
    }
}

#[test]
fn text_bodies() {
    for name in [
        "alltypes.237mfs.prom.txt",
        "alltypes.237mfs.nometa.prom.txt",
    ] {
        let Some(body) = body(name) else { continue };
        let text = String::from_utf8(body.clone()).unwrap();
        let hashes = text.lines().filter(|l| l.starts_with('#')).count();
        let others = text
            .lines()
            .filter(|l| !l.starts_with('#') && !l.is_empty())
            .count();
        assert_eq!(count(Parser::text(&body)), (others, hashes, 0), "{name}");
        eprintln!("{name}: {others} series, {hashes} metadata lines");
    }
}

#[test]
fn openmetrics_bodies() {
    for name in ["alltypes.5mfs.om.txt", "1histogram.om.txt"] {
        let Some(body) = body(name) else { continue };
        let text = String::from_utf8(body.clone()).unwrap();
        let hashes = text.lines().filter(|l| l.starts_with('#')).count() - 1;
        let others = text
            .lines()
            .filter(|l| !l.starts_with('#') && !l.is_empty())
            .count();
        let exemplars = text.lines().filter(|l| l.contains(" # {")).count();
        assert_eq!(
            count(Parser::openmetrics(&body, false)),
            (others, hashes, exemplars),
            "{name}"
        );
        let created = text.lines().filter(|l| l.contains("_created")).count();
        let (series, ..) = count(Parser::openmetrics(&body, true));
        assert_eq!(series, others - created, "{name}");
        eprintln!("{name}: {others} series, {hashes} metadata lines, {exemplars} exemplars");
    }
}
