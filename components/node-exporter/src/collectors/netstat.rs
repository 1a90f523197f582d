//! Protocol counters from `net/netstat`, `net/snmp` and `net/snmp6`.

use regex::Regex;

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Adds the counters whose `Proto_Name` passes `fields`.
pub fn update(paths: &Paths, fields: &Regex, sink: &mut Sink) -> Result<(), CollectError> {
    let mut name = String::new();
    let mut add = |protocol: &str, field: &str, value: &str| -> Result<(), CollectError> {
        name.clear();
        name.push_str("netstat_");
        name.push_str(protocol);
        name.push('_');
        name.push_str(field);
        if !fields.is_match(&name["netstat_".len()..]) {
            return Ok(());
        }
        let number: f64 = value
            .parse()
            .map_err(|_| CollectError::failed(format!("invalid value {value} in netstats")))?;
        sink.untyped(&name, &format!("Statistic {protocol}{field}."), &[], number);
        Ok(())
    };
    for file in ["net/netstat", "net/snmp"] {
        let text = read(&paths.proc(file))?;
        let mut lines = text.lines();
        while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
            let mut names = names.split(' ');
            let mut values = values.split(' ');
            let protocol = names.next().unwrap_or("").trim_end_matches(':');
            values.next();
            loop {
                match (names.next(), values.next()) {
                    (Some(field), Some(value)) => add(protocol, field, value)?,
                    (None, None) => break,
                    _ => {
                        return Err(CollectError::failed(format!(
                            "mismatch field count mismatch in {file}: {protocol}"
                        )));
                    }
                }
            }
        }
    }
    let text = match read(&paths.proc("net/snmp6")) {
        Ok(text) => text,
        Err(error) if error.is_absent() => return Ok(()), // a kernel without IPv6
        Err(error) => return Err(error.into()),
    };
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let (Some(field), Some(value)) = (words.next(), words.next()) else {
            continue;
        };
        if let Some(six) = field.find('6') {
            add(&field[..=six], &field[six + 1..], value)?;
        }
    }
    Ok(())
}
