//! What tests and measurements need of the machine. Never part of the product.
//!
//! A test that lacks something says so with [`skip`] and passes; `cargo xtask test` installs what can be installed.

pub mod aws_signature;
pub mod child;
pub mod connection;
pub mod http;
pub mod peers;
pub mod server;

use std::path::{Path, PathBuf};

/// The project's own folder.
pub fn project_root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// A folder of upstream's data, which lies beside the project where it is there at all.
pub fn conformance(folder: &str) -> Option<PathBuf> {
    let path = project_root().join("../shared/conformance").join(folder);
    if path.is_dir() {
        return Some(path);
    }
    skip(&format!("../shared/conformance/{folder} is not there"));
    None
}

/// Says aloud that a test is not run, and for want of what.
pub fn skip(lacking: &str) {
    eprintln!("skipped: {lacking}");
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}
