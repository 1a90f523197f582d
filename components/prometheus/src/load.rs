//! Reading the configuration with all files it includes.

use std::path::{Component, Path, PathBuf};

use configfile::prometheus::Global;
use configfile::rules::{RuleFile, RuleFileOptions};
use configfile::{Config, ConfigError};
use discovery::glob::{BadPattern, matching, matching_files};
use thiserror::Error;

/// Why a configuration is not taken up.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("{}", unread(path, source))]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A file that is included is wrong.
    #[error("{file:?}: {why}")]
    Included {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// A pattern of files cannot be read.
    #[error("error retrieving scrape config files for {pattern:?}: {source}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// Why not.
        source: BadPattern,
    },
    /// A file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Rule files are wrong; a line a fault, each with its file.
    #[error("{}", .0.join("\n"))]
    Rules(Vec<String>),
    /// It asks for what this build does not have.
    #[error("{file}: {what}")]
    NotCarriedOut {
        /// The file.
        file: String,
        /// What is asked for.
        what: String,
    },
}

/// What could not be done with a file, in upstream's words.
pub fn unread(path: &str, error: &std::io::Error) -> String {
    let what = match error.kind() {
        std::io::ErrorKind::IsADirectory => "read",
        _ => "open",
    };
    format!("{what} {path}: {}", crate::os_error::os_text(error))
}

/// A configuration with a fingerprint of all files it was read from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What they say.
    pub config: Config,
    /// Rule files by their paths, in order of the globs.
    pub rules: Vec<(String, RuleFile)>,
    /// Changes when any of them does.
    pub fingerprint: u64,
}

/// Reads `path` and what it includes; `defaults` hold where it says nothing. Nothing that the files ask for is left out in silence.
pub fn load(path: &Path, defaults: Global) -> Result<Loaded, LoadError> {
    let mut fingerprint = xxhash_rust::xxh64::Xxh64::new(0);
    let config = load_config(path, defaults, &mut fingerprint)?;
    let rules = load_rules(&config, &mut fingerprint)?;
    Ok(Loaded {
        config,
        rules,
        fingerprint: fingerprint.digest(),
    })
}

/// The configuration without its rule files.
pub fn load_without_rules(path: &Path) -> Result<Config, LoadError> {
    let mut config = load_main(path)?;
    include_jobs(&mut config, &mut xxhash_rust::xxh64::Xxh64::new(0))?;
    Ok(config)
}

/// The configuration without any file that it includes.
pub fn load_main(path: &Path) -> Result<Config, LoadError> {
    let mut unused = xxhash_rust::xxh64::Xxh64::new(0);
    read_main(path, Global::default(), &mut unused)
}

fn load_config(
    path: &Path,
    defaults: Global,
    fingerprint: &mut xxhash_rust::xxh64::Xxh64,
) -> Result<Config, LoadError> {
    let mut config = read_main(path, defaults, fingerprint)?;
    include_jobs(&mut config, fingerprint)?;
    refuse_what_is_not_carried_out(&config, &path.display().to_string())?;
    Ok(config)
}

fn read_main(
    path: &Path,
    defaults: Global,
    fingerprint: &mut xxhash_rust::xxh64::Xxh64,
) -> Result<Config, LoadError> {
    let shown = path.display().to_string();
    let bytes = read(path)?;
    let environment = |name: &str| std::env::var(name).ok();
    let parsed = configfile::yaml::text_of(&bytes).and_then(|text| {
        note(fingerprint, &shown, &text);
        Config::parse_with(&text, &environment, defaults)
    });
    let mut config = parsed.map_err(|e| e.in_file(&shown))?;
    config.resolve_paths(path.parent().unwrap_or(Path::new("")));
    Ok(config)
}

/// Adds the jobs of the files that `scrape_config_files` match.
pub fn include_jobs(
    config: &mut Config,
    fingerprint: &mut xxhash_rust::xxh64::Xxh64,
) -> Result<(), LoadError> {
    for glob in config.scrape_config_files.clone() {
        let files = matching(&glob).map_err(|source| LoadError::Pattern {
            pattern: glob,
            source,
        })?;
        for file in files {
            let shown = absolute(&file).display().to_string();
            let included = |why: String| LoadError::Included {
                file: shown.clone(),
                why,
            };
            let bytes = read(&file).map_err(|e| included(e.to_string()))?;
            let text = configfile::yaml::text_of(&bytes).map_err(|e| included(e.to_string()))?;
            note(fingerprint, &file.display().to_string(), &text);
            config
                .add_scrape_config_file(&text, &file, &shown)
                .map_err(|e| included(e.to_string()))?;
        }
    }
    Ok(())
}

/// Reads all files that `rule_files` match; the faults of all of them come together.
fn load_rules(
    config: &Config,
    fingerprint: &mut xxhash_rust::xxh64::Xxh64,
) -> Result<Vec<(String, RuleFile)>, LoadError> {
    let options = RuleFileOptions {
        names: config.global.name_validation,
        // What of PromQL is enabled is known where rules are planned, which happens before anything is taken up.
        parser: promql_syntax::ParserOptions::all(),
        ..RuleFileOptions::default()
    };
    let (mut files, mut faults): (Vec<(String, RuleFile)>, Vec<String>) = Default::default();
    for glob in &config.rule_files {
        for path in matching_files(glob) {
            let shown = path.display().to_string();
            if files.iter().any(|(known, _)| *known == shown) {
                continue;
            }
            let bytes = read(&path)?;
            let text = match configfile::yaml::text_of(&bytes) {
                Ok(text) => text,
                Err(error) => {
                    faults.push(format!("{shown}: {error}"));
                    continue;
                }
            };
            note(fingerprint, &shown, &text);
            match RuleFile::parse(&text, &options) {
                Ok(file) => files.push((shown, file)),
                Err(errors) => faults.extend(errors.iter().map(|e| format!("{shown}: {e}"))),
            }
        }
    }
    if faults.is_empty() {
        Ok(files)
    } else {
        Err(LoadError::Rules(faults))
    }
}

/// Refuses what this build lacks, by its name.
pub fn refuse_what_is_not_carried_out(config: &Config, file: &str) -> Result<(), LoadError> {
    let refuse = |what: String| {
        Err(LoadError::NotCarriedOut {
            file: file.to_string(),
            what,
        })
    };
    if let Some((section, line)) = config.not_carried_out.first() {
        return refuse(format!(
            "line {line}: section {section}: this build does not carry it out yet; leave it out or empty"
        ));
    }
    if let Some((job, mechanism)) = config.lacking_discovery().first() {
        return refuse(format!(
            "job {job:?}: {mechanism}_sd_configs: this build does not have this discovery; use file_sd_configs or http_sd_configs"
        ));
    }
    Ok(())
}

fn read(path: &Path) -> Result<Vec<u8>, LoadError> {
    std::fs::read(path).map_err(|source| LoadError::Read {
        path: path.display().to_string(),
        source,
    })
}

fn note(fingerprint: &mut xxhash_rust::xxh64::Xxh64, path: &str, text: &str) {
    for part in [path, text] {
        fingerprint.update(part.as_bytes());
        fingerprint.update(&[0]);
    }
}

/// The absolute form of a path without `.` and `..`, for messages.
pub fn absolute(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
    }
    clean
}
