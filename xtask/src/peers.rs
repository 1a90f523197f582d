//! `cargo xtask peers`: the real programs, from Debian's packages, unpacked below the project: nothing is installed into
//! the system, and no service of theirs is started.

use std::path::Path;
use std::process::Command;

use testkit::peers::{FOLDER, PACKAGES};

use crate::run::step;

/// Installs what is not there yet.
pub fn install() -> Result<(), String> {
    let root = testkit::project_root();
    let folder = root.join(FOLDER);
    let mut missing: Vec<&str> = PACKAGES
        .iter()
        .filter(|(program, _)| !folder.join("usr/bin").join(program).is_file())
        .map(|(_, package)| *package)
        .collect();
    missing.dedup();
    if missing.is_empty() {
        return Ok(());
    }
    if !Path::new("/usr/bin/apt-get").is_file() {
        return Err(format!(
            "peers: {missing:?} cannot be installed: no apt-get on this machine"
        ));
    }
    std::fs::create_dir_all(&folder).map_err(|e| format!("peers: {}: {e}", folder.display()))?;
    for package in missing {
        if download(package, &folder).is_err() {
            // The lists of a fresh machine are empty.
            step(
                "package lists",
                Command::new("apt-get").args(["--quiet", "--quiet", "update"]),
            )?;
            download(package, &folder)?;
        }
        unpack(package, &folder)?;
    }
    Ok(())
}

fn download(package: &str, folder: &Path) -> Result<(), String> {
    let mut command = Command::new("sh");
    // The download lands in the working folder.
    command.arg("-c").arg(format!(
        "cd '{}' && apt-get --quiet --quiet download '{package}'",
        folder.display()
    ));
    step(&format!("peers: download {package}"), &mut command)
}

fn unpack(package: &str, folder: &Path) -> Result<(), String> {
    let entries = std::fs::read_dir(folder).map_err(|e| format!("peers: {e}"))?;
    let archive = entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| {
            let name = path.file_name().map(|n| n.to_string_lossy().into_owned());
            name.is_some_and(|n| n.starts_with(&format!("{package}_")) && n.ends_with(".deb"))
        })
        .ok_or_else(|| {
            format!("peers: the archive of {package} is not there after its download")
        })?;
    step(
        &format!("peers: unpack {package}"),
        Command::new("dpkg-deb")
            .arg("--extract")
            .arg(&archive)
            .arg(folder),
    )?;
    std::fs::remove_file(&archive).map_err(|e| format!("peers: {e}"))
}
