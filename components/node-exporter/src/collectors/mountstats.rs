//! Statistics of NFS mounts, from the `mountstats` of our own process.

use std::collections::HashSet;

use model::MetricType::{self, Counter, Gauge};

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// What doubles hold exactly; larger counts are reduced by it, so that rates stay right.
const MANTISSA: u64 = 1 << 53;

/// The numbers of `events:`; one of them is not shown.
const EVENTS: [(&str, &str); 27] = [
    (
        "event_inode_revalidate_total",
        "Number of times cached inode attributes are re-validated from the server.",
    ),
    (
        "event_dnode_revalidate_total",
        "Number of times cached dentry nodes are re-validated from the server.",
    ),
    (
        "event_data_invalidate_total",
        "Number of times an inode cache is cleared.",
    ),
    (
        "event_attribute_invalidate_total",
        "Number of times cached inode attributes are invalidated.",
    ),
    (
        "event_vfs_open_total",
        "Number of times cached inode attributes are invalidated.",
    ),
    (
        "event_vfs_lookup_total",
        "Number of times a directory lookup has occurred.",
    ),
    (
        "event_vfs_access_total",
        "Number of times permissions have been checked.",
    ),
    (
        "event_vfs_update_page_total",
        "Number of updates (and potential writes) to pages.",
    ),
    (
        "event_vfs_read_page_total",
        "Number of pages read directly via mmap()'d files.",
    ),
    (
        "event_vfs_read_pages_total",
        "Number of times a group of pages have been read.",
    ),
    (
        "event_vfs_write_page_total",
        "Number of pages written directly via mmap()'d files.",
    ),
    (
        "event_vfs_write_pages_total",
        "Number of times a group of pages have been written.",
    ),
    (
        "event_vfs_getdents_total",
        "Number of times directory entries have been read with getdents().",
    ),
    (
        "event_vfs_setattr_total",
        "Number of times directory entries have been read with getdents().",
    ),
    (
        "event_vfs_flush_total",
        "Number of pending writes that have been forcefully flushed to the server.",
    ),
    (
        "event_vfs_fsync_total",
        "Number of times fsync() has been called on directories and files.",
    ),
    (
        "event_vfs_lock_total",
        "Number of times locking has been attempted on a file.",
    ),
    (
        "event_vfs_file_release_total",
        "Number of times files have been closed and released.",
    ),
    ("", ""),
    (
        "event_truncation_total",
        "Number of times files have been truncated.",
    ),
    (
        "event_write_extension_total",
        "Number of times a file has been grown due to writes beyond its existing end.",
    ),
    (
        "event_silly_rename_total",
        "Number of times a file was removed while still open by another process.",
    ),
    (
        "event_short_read_total",
        "Number of times the NFS server gave less data than expected while reading.",
    ),
    (
        "event_short_write_total",
        "Number of times the NFS server wrote less data than expected while writing.",
    ),
    (
        "event_jukebox_delay_total",
        "Number of times the NFS server indicated EJUKEBOX; retrieving data from offline storage.",
    ),
    ("event_pnfs_read_total", "Number of NFS v4.1+ pNFS reads."),
    ("event_pnfs_write_total", "Number of NFS v4.1+ pNFS writes."),
];

/// The numbers of `bytes:`.
const BYTES: [(&str, &str); 8] = [
    (
        "read_bytes_total",
        "Number of bytes read using the read() syscall.",
    ),
    (
        "write_bytes_total",
        "Number of bytes written using the write() syscall.",
    ),
    (
        "direct_read_bytes_total",
        "Number of bytes read using the read() syscall in O_DIRECT mode.",
    ),
    (
        "direct_write_bytes_total",
        "Number of bytes written using the write() syscall in O_DIRECT mode.",
    ),
    (
        "total_read_bytes_total",
        "Number of bytes read from the NFS server, in total.",
    ),
    (
        "total_write_bytes_total",
        "Number of bytes written to the NFS server, in total.",
    ),
    (
        "read_pages_total",
        "Number of pages read directly via mmap()'d files.",
    ),
    (
        "write_pages_total",
        "Number of pages written directly via mmap()'d files.",
    ),
];

/// What a transport line gives, in the order of [`transport_values`].
const TRANSPORT: [(MetricType, &str, &str); 10] = [
    (
        Counter,
        "transport_bind_total",
        "Number of times the client has had to establish a connection from scratch to the NFS server.",
    ),
    (
        Counter,
        "transport_connect_total",
        "Number of times the client has made a TCP connection to the NFS server.",
    ),
    (
        Gauge,
        "transport_idle_time_seconds",
        "Duration since the NFS mount last saw any RPC traffic, in seconds.",
    ),
    (
        Counter,
        "transport_sends_total",
        "Number of RPC requests for this mount sent to the NFS server.",
    ),
    (
        Counter,
        "transport_receives_total",
        "Number of RPC responses for this mount received from the NFS server.",
    ),
    (
        Counter,
        "transport_bad_transaction_ids_total",
        "Number of times the NFS server sent a response with a transaction ID unknown to this client.",
    ),
    (
        Counter,
        "transport_backlog_queue_total",
        "Total number of items added to the RPC backlog queue.",
    ),
    (
        Gauge,
        "transport_maximum_rpc_slots",
        "Maximum number of simultaneously active RPC requests ever used.",
    ),
    (
        Counter,
        "transport_sending_queue_total",
        "Total number of items added to the RPC transmission sending queue.",
    ),
    (
        Counter,
        "transport_pending_queue_total",
        "Total number of items added to the RPC transmission pending queue.",
    ),
];

/// The numbers of an operation; the last three are milliseconds.
const OPERATION: [(&str, &str); 8] = [
    (
        "operations_requests_total",
        "Number of requests performed for a given operation.",
    ),
    (
        "operations_transmissions_total",
        "Number of times an actual RPC request has been transmitted for a given operation.",
    ),
    (
        "operations_major_timeouts_total",
        "Number of times a request has had a major timeout for a given operation.",
    ),
    (
        "operations_sent_bytes_total",
        "Number of bytes sent for a given operation, including RPC headers and payload.",
    ),
    (
        "operations_received_bytes_total",
        "Number of bytes received for a given operation, including RPC headers and payload.",
    ),
    (
        "operations_queue_time_seconds_total",
        "Duration all requests spent queued for transmission for a given operation before they were sent, in seconds.",
    ),
    (
        "operations_response_time_seconds_total",
        "Duration all requests took to get a reply back after a request for a given operation was transmitted, in seconds.",
    ),
    (
        "operations_request_time_seconds_total",
        "Duration all requests took from when a request was enqueued to when it was completely handled for a given operation, in seconds.",
    ),
];

/// Adds every NFS mount. One that is mounted several times has its statistics shown once.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let stats = read(&paths.proc("self/mountstats"))?;
    let info = read(&paths.proc("self/mountinfo"))?;
    // Both files list the same mounts in the same order; only the second has the server's address.
    let addresses: Vec<&str> = info.lines().map(address).collect();
    let mut seen = HashSet::new();
    let mut index = 0;
    let mut lines = stats.lines().peekable();
    while let Some(line) = lines.next() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [
            "device",
            device,
            "mounted",
            "on",
            mount_point,
            "with",
            "fstype",
            kind,
            ..,
        ] = words[..]
        else {
            continue;
        };
        let address = addresses.get(index).copied().unwrap_or("");
        index += 1;
        let mut block = Vec::new();
        while let Some(line) = lines.next_if(|line| !line.starts_with("device ")) {
            block.push(line);
        }
        if !matches!(kind, "nfs" | "nfs4") {
            continue;
        }
        let protocol = block
            .iter()
            .find_map(|line| {
                line.trim_start()
                    .strip_prefix("xprt:")?
                    .split_ascii_whitespace()
                    .next()
            })
            .unwrap_or("");
        let labels = [
            ("export", device),
            ("protocol", protocol),
            ("mountaddr", address),
            ("mountpoint", mount_point),
        ];
        let help = "Info metric for an NFS mountpoint.";
        sink.gauge("mountstats_nfs_mountpoint_info", help, &labels, 1.0);
        if seen.insert((device, protocol, address)) {
            mount(&block, &labels[..3], sink)?;
        }
    }
    Ok(())
}

/// The `addr` option of a `mountinfo` line.
fn address(line: &str) -> &str {
    let options = line.rsplit(' ').next().unwrap_or("");
    options
        .split(',')
        .find_map(|option| option.strip_prefix("addr="))
        .unwrap_or("")
}

type Labels<'a> = [(&'static str, &'a str)];

fn mount(block: &[&str], labels: &Labels<'_>, sink: &mut Sink) -> Result<(), CollectError> {
    let mut transports = 0;
    let mut in_operations = false;
    for line in block {
        let line = line.trim();
        if line == "per-op statistics" {
            in_operations = true;
            continue;
        }
        let Some((word, rest)) = line.split_once(':') else {
            continue;
        };
        if in_operations {
            let numbers = numbers(line, rest.split_ascii_whitespace())?;
            let labels: Vec<_> = labels
                .iter()
                .copied()
                .chain([("operation", word)])
                .collect();
            for (i, ((name, help), value)) in OPERATION.iter().zip(&numbers).enumerate() {
                let value = (value % MANTISSA) as f64;
                let value = if i >= 5 { value / 1000.0 } else { value };
                sink.counter(&format!("mountstats_nfs_{name}"), help, &labels, value);
            }
            continue;
        }
        match word {
            "age" => {
                let age = numbers(line, rest.split_ascii_whitespace())?
                    .first()
                    .copied()
                    .unwrap_or(0);
                let help = "The age of the NFS mount in seconds.";
                sink.counter("mountstats_nfs_age_seconds_total", help, labels, age as f64);
            }
            "bytes" => table(
                &BYTES,
                &numbers(line, rest.split_ascii_whitespace())?,
                labels,
                sink,
            ),
            "events" => table(
                &EVENTS,
                &numbers(line, rest.split_ascii_whitespace())?,
                labels,
                sink,
            ),
            "xprt" => {
                let mut words = rest.split_ascii_whitespace();
                let protocol = words.next().unwrap_or("");
                let values = transport_values(protocol, &numbers(line, words)?);
                let number = transports.to_string();
                transports += 1;
                let labels: Vec<_> = labels
                    .iter()
                    .copied()
                    .chain([("transport", number.as_str())])
                    .collect();
                for ((kind, name, help), value) in TRANSPORT.iter().zip(values) {
                    let value = (value % MANTISSA) as f64;
                    sink.add(
                        *kind,
                        &format!("mountstats_nfs_{name}"),
                        help,
                        &labels,
                        value,
                    );
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn table(rows: &[(&str, &str)], numbers: &[u64], labels: &Labels<'_>, sink: &mut Sink) {
    for ((name, help), value) in rows
        .iter()
        .zip(numbers)
        .filter(|((name, _), _)| !name.is_empty())
    {
        sink.counter(
            &format!("mountstats_nfs_{name}"),
            help,
            labels,
            *value as f64,
        );
    }
}

/// Over UDP there are no connections, so their three numbers are missing; old kernels lack the last three.
fn transport_values(protocol: &str, numbers: &[u64]) -> [u64; 10] {
    let at = |i: usize| numbers.get(i).copied().unwrap_or(0);
    if protocol == "udp" {
        return [at(1), 0, 0, at(2), at(3), at(4), at(6), at(7), at(8), at(9)];
    }
    [
        at(1),
        at(2),
        at(4),
        at(5),
        at(6),
        at(7),
        at(9),
        at(10),
        at(11),
        at(12),
    ]
}

fn numbers<'a>(line: &str, words: impl Iterator<Item = &'a str>) -> Result<Vec<u64>, CollectError> {
    words
        .map(|word| {
            word.parse()
                .map_err(|_| CollectError::failed(format!("failed to parse mountstats: {line:?}")))
        })
        .collect()
}
