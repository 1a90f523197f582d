//! Sockets in use by protocol, from `net/sockstat` and `net/sockstat6`.

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Adds what each protocol's line says; `mem` also in bytes.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let page = rustix::param::page_size() as f64;
    for file in ["net/sockstat", "net/sockstat6"] {
        let text = match read(&paths.proc(file)) {
            Ok(text) => text,
            Err(error) if error.is_absent() => continue,
            Err(error) => return Err(error.into()),
        };
        for line in text.lines() {
            let Some((protocol, rest)) = line.split_once(':') else {
                return Err(CollectError::failed(format!(
                    "malformed sockstat line: {line:?}"
                )));
            };
            let mut words = rest.split_ascii_whitespace();
            while let (Some(state), Some(value)) = (words.next(), words.next()) {
                let value: f64 = value.parse().map_err(|_| {
                    CollectError::failed(format!("malformed sockstat line: {line:?}"))
                })?;
                if protocol == "sockets" {
                    if state == "used" {
                        let help = "Number of IPv4 sockets in use.";
                        sink.gauge("sockstat_sockets_used", help, &[], value);
                    }
                    continue;
                }
                let mut add = |state: &str, value: f64| {
                    let help = format!("Number of {protocol} sockets in state {state}.");
                    sink.gauge(&format!("sockstat_{protocol}_{state}"), &help, &[], value);
                };
                add(state, value);
                if state == "mem" {
                    add("mem_bytes", value * page);
                }
            }
        }
    }
    Ok(())
}
