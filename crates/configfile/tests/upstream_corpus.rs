//! Upstream's own configurations: those named good load, those named bad are refused.

use std::path::{Path, PathBuf};

use configfile::Config;

fn corpus() -> Option<PathBuf> {
    let dir =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/conformance/prometheus-config");
    dir.is_dir().then_some(dir)
}

/// Loads a file the way the server does, included files too.
fn load(path: &Path) -> Result<Config, String> {
    let text = std::fs::read(path).map_err(|e| e.to_string())?;
    let text = String::from_utf8(text).map_err(|e| e.to_string())?;
    let mut config = Config::parse(&text, &|_| None).map_err(|e| e.to_string())?;
    config.resolve_paths(path.parent().unwrap_or(Path::new("")));
    for glob in config.scrape_config_files.clone() {
        let (dir, pattern) = glob.rsplit_once('/').unwrap_or(("", &glob));
        let (before, after) = pattern.split_once('*').unwrap_or((pattern, ""));
        let mut files: Vec<PathBuf> = std::fs::read_dir(dir)
            .map(|entries| entries.flatten().map(|e| e.path()).collect())
            .unwrap_or_default();
        files.sort();
        for file in files {
            let name = file
                .file_name()
                .map(|n| n.to_string_lossy().into_owned())
                .unwrap_or_default();
            let fits = if pattern.contains('*') {
                name.starts_with(before) && name.ends_with(after)
            } else {
                name == pattern
            };
            if fits {
                let text = std::fs::read_to_string(&file).map_err(|e| e.to_string())?;
                config
                    .add_scrape_config_file(&text, &file, &name)
                    .map_err(|e| e.to_string())?;
            }
        }
    }
    Ok(config)
}

#[test]
fn good_ones_load_and_bad_ones_are_refused() {
    let Some(dir) = corpus() else {
        eprintln!("skipped: ../shared/conformance/prometheus-config is not there");
        return;
    };
    let (mut passed, mut total) = (0, 0);
    let mut wrong = Vec::new();
    let mut names: Vec<String> = std::fs::read_dir(&dir)
        .expect("readable corpus")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| name.ends_with(".yml"))
        .collect();
    names.sort();
    for name in names {
        let good = name.ends_with(".good.yml");
        let bad = name.ends_with(".bad.yml");
        if !(good || bad) {
            continue;
        }
        total += 1;
        match (good, load(&dir.join(&name))) {
            (true, Ok(_)) | (false, Err(_)) => passed += 1,
            (true, Err(error)) => wrong.push(format!("{name}: {error}")),
            (false, Ok(_)) => wrong.push(format!("{name}: loads, and should not")),
        }
    }
    println!("prometheus-config: {passed}/{total} passed");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
