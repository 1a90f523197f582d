//! Which build this is.

/// The version of upstream whose behaviour this build carries; what clients that look at versions see.
pub const UPSTREAM_VERSION: &str = "3.14.0";

/// What programs are told apart by: sent with every request.
pub fn user_agent() -> String {
    format!("Prometheus/{UPSTREAM_VERSION}")
}

/// The commit, when the build knew it.
pub const REVISION: &str = match option_env!("TITAN_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

/// What `--version` prints.
pub fn version_text(program: &str) -> String {
    format!(
        "{program}, version {UPSTREAM_VERSION} (branch: main, revision: {REVISION})\n  \
         build user:       titan\n  titan version:    {}\n  platform:         {}/{}\n  tags:             titan\n",
        env!("CARGO_PKG_VERSION"),
        std::env::consts::OS,
        std::env::consts::ARCH,
    )
}
