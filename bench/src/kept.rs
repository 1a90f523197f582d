//! Generated folders that are kept from run to run: writing a day of data takes longer than asking about it.

use std::path::{Path, PathBuf};

use crate::dataset::{self, Plan};

/// Raised when the generated data changes.
const VERSION: u32 = 1;

/// A kept folder.
pub struct Kept {
    /// Where the data is. Nobody may write there; servers run on [`linked`] copies.
    pub folder: PathBuf,
    /// The last moment with data, unix seconds.
    pub end: i64,
}

/// Gives the folder for a plan, and writes it first if it is not there or `fresh` is asked for.
pub fn dataset(plan: Plan, fresh: bool) -> Result<Kept, String> {
    let name = format!(
        "v{VERSION}-{}-series-{}-h-{}-s",
        plan.series,
        plan.span / 3_600_000,
        plan.interval / 1000
    );
    let root = testkit::project_root().join("target/bench");
    let folder = root.join(name);
    let stamp = folder.join("end");
    let fault = |e: std::io::Error| format!("{}: {e}", folder.display());
    if fresh && folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(fault)?;
    }
    if !stamp.is_file() {
        // Without its stamp a folder is what an interrupted run left.
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).map_err(fault)?;
        let started = std::time::Instant::now();
        eprintln!("writing {} (once) ...", folder.display());
        let end = env::Clock::now(&*net::clock::system_clock()) / 60_000 * 60;
        let samples = dataset::write(&folder.join("data"), plan)?;
        std::fs::write(&stamp, end.to_string()).map_err(fault)?;
        eprintln!(
            "{samples} samples written in {:.0} s",
            started.elapsed().as_secs_f64()
        );
    }
    let text = std::fs::read_to_string(&stamp).map_err(fault)?;
    let end = text
        .trim()
        .parse()
        .map_err(|e| format!("{}: {e}", stamp.display()))?;
    Ok(Kept {
        folder: folder.join("data"),
        end,
    })
}

/// A copy that a server may work on: files of blocks, which are replaced but never changed, are linked; others are copied.
pub fn linked(from: &Path, to: &Path) -> Result<(), String> {
    let fault = |path: &Path| {
        let path = path.display().to_string();
        move |e: std::io::Error| format!("{path}: {e}")
    };
    std::fs::create_dir_all(to).map_err(fault(to))?;
    for entry in std::fs::read_dir(from).map_err(fault(from))?.flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.join("meta.json").is_file() {
            link_all(&path, &target).map_err(fault(&target))?;
        } else if path.is_dir() {
            dataset::copy(&path, &target)?;
        } else if entry.file_name() != "lock" {
            std::fs::copy(&path, &target).map_err(fault(&target))?;
        }
    }
    Ok(())
}

fn link_all(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)?.flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            link_all(&path, &target)?;
        } else {
            std::fs::hard_link(path, target)?;
        }
    }
    Ok(())
}
