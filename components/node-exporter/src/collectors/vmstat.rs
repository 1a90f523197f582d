//! Virtual memory events from `vmstat`.

use regex::Regex;

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Adds the fields that pass `fields`.
pub fn update(paths: &Paths, fields: &Regex, sink: &mut Sink) -> Result<(), CollectError> {
    let text = read(&paths.proc("vmstat"))?;
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(field), Some(value)) = (words.next(), words.next()) else {
            continue;
        };
        if !fields.is_match(field) {
            continue;
        }
        let value: f64 = value
            .parse()
            .map_err(|_| CollectError::failed(format!("malformed vmstat line: {line:?}")))?;
        let help = format!("/proc/vmstat information field {field}.");
        sink.untyped(&format!("vmstat_{field}"), &help, &[], value);
    }
    Ok(())
}
