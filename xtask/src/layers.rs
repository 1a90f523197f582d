//! The house's order: a crate may use crates of lower layers (or of its own layer, where the table says so), and pure
//! crates use neither runtime nor sockets.

use std::process::Command;

/// Crates from bottom to top; a crate may use every crate in front of it in this list, except where [`SEPARATE`] holds.
const ORDER: [&str; 26] = [
    "model",
    "wire",
    "exposition",
    "promql-syntax",
    "gotemplate",
    "configfile",
    "signing",
    "flags",
    "env", // 0: vocabulary, the world
    "ondisk",
    "storage",
    "tsdb", // 1: storage
    "net",
    "cloud",  // edge
    "promql", // 2: query
    "discovery",
    "scrape",
    "remote",
    "rules",
    "apiv1", // 3: collect and react
    "prometheus",
    "node-exporter", // 4: components
    "titan",         // 5: the binary
    "testkit",
    "bench",
    "xtask", // beside the product
];

/// Components do not know each other.
const SEPARATE: [&str; 2] = ["prometheus", "node-exporter"];

/// Crates without runtime, sockets, files, clock or threads.
const PURE: [&str; 10] = [
    "model",
    "wire",
    "exposition",
    "promql-syntax",
    "gotemplate",
    "configfile",
    "signing",
    "ondisk",
    "storage",
    "promql",
];

/// What a pure crate must not pull in.
const WORLDLY: [&str; 8] = [
    "tokio", "mio", "socket2", "hyper", "reqwest", "axum", "rustix", "memmap2",
];

/// Checks all crates.
pub fn check() -> Result<(), String> {
    let mut faults = Vec::new();
    for (at, name) in ORDER.iter().enumerate() {
        let direct = dependencies(name, "1")?;
        for used in direct.iter().filter(|used| ORDER.contains(&used.as_str())) {
            let lower = ORDER[..at].contains(&used.as_str());
            let sideways = SEPARATE.contains(name) && SEPARATE.contains(&used.as_str());
            if !lower || sideways {
                faults.push(format!("{name} must not depend on {used}"));
            }
        }
        if PURE.contains(name) {
            let all = dependencies(name, "1000")?;
            for used in all.iter().filter(|used| WORLDLY.contains(&used.as_str())) {
                faults.push(format!("{name} is pure and must not pull in {used}"));
            }
        }
    }
    for member in members()? {
        if !ORDER.contains(&member.as_str()) {
            faults.push(format!("{member} has no place in the list of layers"));
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(format!("layers:\n  {}", faults.join("\n  ")))
    }
}

/// Crates that `package` depends on when built, down to `depth`.
fn dependencies(package: &str, depth: &str) -> Result<Vec<String>, String> {
    let lines = cargo(&[
        "tree",
        "--package",
        package,
        "--edges",
        "normal",
        "--prefix",
        "none",
        "--depth",
        depth,
        "--format",
        "{lib}",
    ])?;
    // The first line is the package itself; library names have underscores where crates have dashes.
    let mut names: Vec<String> = lines
        .lines()
        .skip(1)
        .map(|line| line.trim().replace('_', "-"))
        .collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn members() -> Result<Vec<String>, String> {
    let lines = cargo(&["tree", "--workspace", "--depth", "0", "--prefix", "none"])?;
    let name = |line: &str| line.split(' ').next().unwrap_or("").to_string();
    Ok(lines
        .lines()
        .map(name)
        .filter(|name| !name.is_empty())
        .collect())
}

fn cargo(arguments: &[&str]) -> Result<String, String> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(testkit::project_root())
        .output()
        .map_err(|e| format!("cargo {arguments:?}: {e}"))?;
    if !output.status.success() {
        return Err(format!(
            "cargo {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        ));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
