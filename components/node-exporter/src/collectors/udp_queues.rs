//! Bytes waiting in UDP sockets, from `net/udp` and `net/udp6`.

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Adds the sums of both queues by protocol version.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let mut found = false;
    for (file, version) in [("net/udp", "v4"), ("net/udp6", "v6")] {
        let text = match read(&paths.proc(file)) {
            Ok(text) => text,
            Err(error) if error.is_absent() => continue,
            Err(error) => return Err(error.into()),
        };
        found = true;
        let (mut transmit, mut receive) = (0u64, 0u64);
        for line in text.lines().skip(1) {
            let queues = line
                .split_ascii_whitespace()
                .nth(4)
                .and_then(|q| q.split_once(':'));
            let parsed = queues.and_then(|(tx, rx)| {
                Some((
                    u64::from_str_radix(tx, 16).ok()?,
                    u64::from_str_radix(rx, 16).ok()?,
                ))
            });
            let Some((tx, rx)) = parsed else {
                return Err(CollectError::failed(format!(
                    "malformed line in {file}: {line:?}"
                )));
            };
            transmit += tx;
            receive += rx;
        }
        for (queue, bytes) in [("tx", transmit), ("rx", receive)] {
            let help = "Number of allocated memory in the kernel for UDP datagrams in bytes.";
            sink.gauge(
                "udp_queues",
                help,
                &[("queue", queue), ("ip", version)],
                bytes as f64,
            );
        }
    }
    if found {
        Ok(())
    } else {
        Err(CollectError::NoData)
    }
}
