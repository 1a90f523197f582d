//! The real programs that ours stand in for.

use std::path::PathBuf;

/// Where `cargo xtask peers` puts them, below the project.
pub const FOLDER: &str = ".peers";

/// Programs with the Debian package that has them.
pub const PACKAGES: [(&str, &str); 4] = [
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    ("prometheus-node-exporter", "prometheus-node-exporter"),
    ("prometheus-alertmanager", "prometheus-alertmanager"),
];

/// The real `program`, installed by `cargo xtask peers` or by the system. Says aloud when it is not there.
pub fn find(program: &str) -> Option<PathBuf> {
    let places = [
        crate::project_root().join(FOLDER).join("usr/bin"),
        PathBuf::from("/usr/bin"),
    ];
    let found = places
        .iter()
        .map(|dir| dir.join(program))
        .find(|path| path.is_file());
    if found.is_none() {
        crate::skip(&format!(
            "the real {program} is not installed (cargo xtask peers)"
        ));
    }
    found
}
