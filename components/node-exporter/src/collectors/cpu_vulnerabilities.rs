//! Known flaws of the processor and what is done about them.

use crate::collector::CollectError;
use crate::files::{Paths, list_or_empty, read};
use crate::sink::Sink;

/// Adds one series per flaw.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("devices/system/cpu/vulnerabilities");
    for flaw in list_or_empty(&base) {
        let text = read(&base.join(&flaw))?;
        let text = text.trim();
        let (state, mitigation) = if text.starts_with("Not affected") {
            ("not affected", "")
        } else if let Some(rest) = text.strip_prefix("Vulnerable") {
            ("vulnerable", rest.trim_start_matches([':', ' ']))
        } else if let Some(rest) = text.strip_prefix("Mitigation") {
            ("mitigation", rest.trim_start_matches([':', ' ']))
        } else {
            ("unknown", text)
        };
        let labels = [
            ("codename", flaw.as_str()),
            ("state", state),
            ("mitigation", mitigation),
        ];
        let help = "Details of each CPU vulnerability reported by sysfs. The value of the series is an int encoded state of the vulnerability. The same state is stored as a string in the label";
        sink.gauge("cpu_vulnerabilities_info", help, &labels, 1.0);
    }
    Ok(())
}
