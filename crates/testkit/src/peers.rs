//! The real programs that ours stand in for.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where `cargo xtask peers` puts them, below the project.
pub const FOLDER: &str = ".peers";

/// Programs with the Debian package that has them.
pub const PACKAGES: [(&str, &str); 4] = [
    ("prometheus", "prometheus"),
    ("promtool", "prometheus"),
    ("prometheus-node-exporter", "prometheus-node-exporter"),
    ("prometheus-alertmanager", "prometheus-alertmanager"),
];

/// Names a folder with programs to compare with instead of those installed: other versions, say.
pub const CHOSEN: &str = "TITAN_PEERS";

/// The real `program`: from the folder in [`CHOSEN`], installed by `cargo xtask peers`, or by the system. Says aloud when
/// it is not there.
pub fn find(program: &str) -> Option<PathBuf> {
    let installed = [
        crate::project_root().join(FOLDER).join("usr/bin"),
        PathBuf::from("/usr/bin"),
    ];
    let chosen = std::env::var_os(CHOSEN).map(PathBuf::from);
    let found = chosen
        .iter()
        .chain(&installed)
        .map(|dir| dir.join(program))
        .find(|path| path.is_file());
    if found.is_none() {
        crate::skip(&format!(
            "the real {program} is not installed (cargo xtask peers)"
        ));
    }
    found
}

/// Where Debian's Alertmanager looks for its templates, and the same place as seen from its working folder: as long, as
/// texts in a program have to be.
const TEMPLATES: (&[u8; 34], &[u8; 34]) = (
    b"/usr/share/prometheus/alertmanager",
    b"./././././././././././././././././",
);

/// The real Alertmanager, to be run in `folder`. Unpacked but not installed it does not find its templates, so it runs as
/// a copy that looks for them in its working folder.
pub fn alertmanager(folder: &Path) -> Option<Command> {
    let program = find("prometheus-alertmanager")?;
    let root = crate::project_root().join(FOLDER);
    let templates = root.join("usr/share/prometheus/alertmanager");
    if !program.starts_with(&root) {
        let mut command = Command::new(program);
        command.current_dir(folder);
        return Some(command);
    }
    let copied = || -> std::io::Result<PathBuf> {
        let mut bytes = std::fs::read(&program)?;
        let (from, to) = TEMPLATES;
        let mut at = 0;
        while at + from.len() <= bytes.len() {
            if bytes[at..].starts_with(from) {
                bytes[at..at + to.len()].copy_from_slice(to);
                at += to.len();
            } else {
                at += 1;
            }
        }
        for template in ["default.tmpl", "email.tmpl"] {
            let source = templates.join(template);
            if source.is_file() {
                std::fs::copy(source, folder.join(template))?;
            }
        }
        let copy = folder.join("alertmanager");
        std::fs::write(&copy, bytes)?;
        let permissions = std::fs::metadata(&program)?.permissions();
        std::fs::set_permissions(&copy, permissions)?;
        Ok(copy)
    };
    match copied() {
        Ok(copy) => {
            let mut command = Command::new(copy);
            command.current_dir(folder);
            Some(command)
        }
        Err(error) => {
            crate::skip(&format!("Alertmanager cannot be copied: {error}"));
            None
        }
    }
}
