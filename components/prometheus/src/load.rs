//! Reading the configuration with all files it includes.

use std::path::{Path, PathBuf};

use configfile::{Config, ConfigError};
use discovery::glob::matching_files;
use thiserror::Error;

/// Why a configuration is not taken up.
#[derive(Debug, Error)]
pub enum LoadError {
    /// A file cannot be read.
    #[error("open {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A file is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// It asks for what this build does not have.
    #[error("{file}: {what}")]
    NotCarriedOut {
        /// The file.
        file: String,
        /// What is asked for.
        what: String,
    },
}

/// A configuration with a fingerprint of all files it was read from.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What they say.
    pub config: Config,
    /// Changes when any of them does.
    pub fingerprint: u64,
}

/// Reads `path` and what it includes. Nothing that the files ask for is left out in silence.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let shown = path.display().to_string();
    let mut fingerprint = xxhash_rust::xxh64::Xxh64::new(0);
    let text = read(path)?;
    note(&mut fingerprint, &shown, &text);
    let environment = |name: &str| std::env::var(name).ok();
    let mut config = Config::parse(&text, &environment).map_err(|e| e.in_file(&shown))?;
    config.resolve_paths(path.parent().unwrap_or(Path::new("")));
    for glob in config.scrape_config_files.clone() {
        for file in matching_files(&glob) {
            let text = read(&file)?;
            note(&mut fingerprint, &file.display().to_string(), &text);
            config.add_scrape_config_file(&text, &file)?;
        }
    }
    refuse_what_is_not_carried_out(&config, &shown)?;
    Ok(Loaded {
        config,
        fingerprint: fingerprint.digest(),
    })
}

fn refuse_what_is_not_carried_out(config: &Config, file: &str) -> Result<(), LoadError> {
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

fn read(path: &Path) -> Result<String, LoadError> {
    let failed = |source| LoadError::Read {
        path: path.display().to_string(),
        source,
    };
    let bytes = std::fs::read(path).map_err(failed)?;
    String::from_utf8(bytes).map_err(|e| {
        failed(std::io::Error::new(
            std::io::ErrorKind::InvalidData,
            e.utf8_error(),
        ))
    })
}

fn note(fingerprint: &mut xxhash_rust::xxh64::Xxh64, path: &str, text: &str) {
    for part in [path, text] {
        fingerprint.update(part.as_bytes());
        fingerprint.update(&[0]);
    }
}

/// The absolute form of a path, for messages.
pub fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}
