//! Whether SELinux is on, and in which mode.

use crate::collector::CollectError;
use crate::files::{Paths, read, read_sys};
use crate::sink::Sink;

/// Adds the state; the modes only when it is on.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let enforce = paths.sys("fs/selinux/enforce");
    let current = read_sys(&enforce).ok();
    let enabled = if current.is_some() { 1.0 } else { 0.0 };
    let help = "SELinux is enabled, 1 is true, 0 is false";
    sink.gauge("selinux_enabled", help, &[], enabled);
    let Some(current) = current else {
        return Ok(());
    };
    let configured = read(&paths.root("etc/selinux/config")).unwrap_or_default();
    let mode = configured
        .lines()
        .find_map(|line| line.trim().strip_prefix("SELINUX="))
        .map_or(-1.0, |word| match word.trim() {
            "enforcing" => 1.0,
            "permissive" => 0.0,
            _ => -1.0,
        });
    sink.gauge(
        "selinux_config_mode",
        "Configured SELinux enforcement mode",
        &[],
        mode,
    );
    let current = if current == "1" { 1.0 } else { 0.0 };
    sink.gauge(
        "selinux_current_mode",
        "Current SELinux enforcement mode",
        &[],
        current,
    );
    Ok(())
}
