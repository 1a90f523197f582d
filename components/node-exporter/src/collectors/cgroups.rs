//! Control group controllers, from `cgroups`.

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Adds groups and state of every controller.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let text = read(&paths.proc("cgroups"))?;
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [name, _, groups, enabled] = fields[..] else {
            return Err(CollectError::failed(format!(
                "malformed cgroups line: {line:?}"
            )));
        };
        let number = |text: &str| {
            text.parse::<f64>()
                .map_err(|_| CollectError::failed(format!("malformed cgroups line: {line:?}")))
        };
        let labels = [("subsys_name", name)];
        let help = "Current cgroup number of the subsystem.";
        sink.gauge("cgroups_cgroups", help, &labels, number(groups)?);
        sink.gauge("cgroups_enabled", help, &labels, number(enabled)?);
    }
    Ok(())
}
