//! `runtime`: what a configuration says about the process.

use configfile::prometheus::Config;

#[test]
fn the_level_of_logging() {
    let load = |text: &str| Config::parse(text, &|_| None).map_err(|e| e.to_string());
    let level = |text: &str| load(text).expect(text).log_level;
    assert_eq!(level(""), None);
    assert_eq!(level("runtime: {gogc: 50}"), None);
    assert_eq!(
        level("runtime: {log_level: DEBUG}").as_deref(),
        Some("debug")
    );
    assert_eq!(level("runtime: {log_level: warn}").as_deref(), Some("warn"));
    let error = load("runtime: {log_level: loud}").expect_err("no level");
    assert!(error.contains("unrecognized log level loud"), "{error}");
    let shown = configfile::print::print(&load("runtime: {log_level: error}").expect("loads"));
    assert!(shown.contains("log_level: error"), "{shown}");
}
