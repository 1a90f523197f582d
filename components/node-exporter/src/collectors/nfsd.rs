//! Work of the NFS server, from `net/rpc/nfsd`.

use model::MetricType::{Counter, Gauge};

use crate::collector::CollectError;
use crate::collectors::nfs::{VERSION_2, VERSION_3, procedures, rpc_lines};
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Operations of version 4 that are shown, with their places in the kernel's list.
const VERSION_4: [(usize, &str); 35] = [
    (3, "Access"),
    (4, "Close"),
    (5, "Commit"),
    (6, "Create"),
    (7, "DelegPurge"),
    (8, "DelegReturn"),
    (9, "GetAttr"),
    (10, "GetFH"),
    (11, "Link"),
    (12, "Lock"),
    (13, "Lockt"),
    (14, "Locku"),
    (15, "Lookup"),
    (16, "LookupRoot"),
    (17, "Nverify"),
    (18, "Open"),
    (19, "OpenAttr"),
    (20, "OpenConfirm"),
    (21, "OpenDgrd"),
    (22, "PutFH"),
    (25, "Read"),
    (26, "ReadDir"),
    (27, "ReadLink"),
    (28, "Remove"),
    (29, "Rename"),
    (30, "Renew"),
    (31, "RestoreFH"),
    (32, "SaveFH"),
    (33, "SecInfo"),
    (34, "SetAttr"),
    (35, "SetClientID"),
    (36, "SetClientIDConfirm"),
    (37, "Verify"),
    (38, "Write"),
    (39, "RelLockOwner"),
];

const HELP_REQUESTS: &str = "Total number NFSd Requests by method and protocol.";

/// Adds caches, disk, network and procedures.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let text = match read(&paths.proc("net/rpc/nfsd")) {
        Ok(text) => text,
        Err(error) if error.is_absent() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    for (word, numbers) in rpc_lines(&text)? {
        let at = |i: usize| numbers.get(i).copied().unwrap_or(0.0);
        let mut add =
            |kind, name: &str, help: &str, value: f64| sink.add(kind, name, help, &[], value);
        match word {
            "rc" => {
                add(
                    Counter,
                    "nfsd_reply_cache_hits_total",
                    "Total number of NFSd Reply Cache hits (client lost server response).",
                    at(0),
                );
                add(
                    Counter,
                    "nfsd_reply_cache_misses_total",
                    "Total number of NFSd Reply Cache an operation that requires caching (idempotent).",
                    at(1),
                );
                add(
                    Counter,
                    "nfsd_reply_cache_nocache_total",
                    "Total number of NFSd Reply Cache non-idempotent operations (rename/delete/…).",
                    at(2),
                );
            }
            "fh" => add(
                Counter,
                "nfsd_file_handles_stale_total",
                "Total number of NFSd stale file handles",
                at(0),
            ),
            "io" => {
                add(
                    Counter,
                    "nfsd_disk_bytes_read_total",
                    "Total NFSd bytes read.",
                    at(0),
                );
                add(
                    Counter,
                    "nfsd_disk_bytes_written_total",
                    "Total NFSd bytes written.",
                    at(1),
                );
            }
            "th" => add(
                Gauge,
                "nfsd_server_threads",
                "Total number of NFSd kernel threads that are running.",
                at(0),
            ),
            "ra" => {
                add(
                    Gauge,
                    "nfsd_read_ahead_cache_size_blocks",
                    "How large the read ahead cache is in blocks.",
                    at(0),
                );
                add(
                    Counter,
                    "nfsd_read_ahead_cache_not_found_total",
                    "Total number of NFSd read ahead cache not found.",
                    at(11),
                );
            }
            "net" => {
                for (protocol, value) in [("udp", at(1)), ("tcp", at(2))] {
                    let help = "Total NFSd network packets (sent+received) by protocol type.";
                    sink.counter("nfsd_packets_total", help, &[("proto", protocol)], value);
                }
                let help = "Total number of NFSd TCP connections.";
                sink.counter("nfsd_connections_total", help, &[], at(3));
            }
            "rpc" => {
                // Of the count of bad calls, upstream shows these three parts.
                for (error, value) in [("fmt", at(2)), ("auth", at(3)), ("cInt", at(4))] {
                    let help = "Total number of NFSd RPC errors by error type.";
                    sink.counter("nfsd_rpc_errors_total", help, &[("error", error)], value);
                }
                sink.counter(
                    "nfsd_server_rpcs_total",
                    "Total number of NFSd RPCs.",
                    &[],
                    at(0),
                );
            }
            "proc2" | "proc3" => {
                // The server's null calls are not shown.
                let (protocol, names): (&'static str, &[&'static str]) = if word == "proc2" {
                    ("2", &VERSION_2)
                } else {
                    ("3", &VERSION_3)
                };
                procedures(
                    "nfsd",
                    protocol,
                    &names[1..],
                    HELP_REQUESTS,
                    numbers.get(1..).unwrap_or(&[]),
                    sink,
                );
            }
            "proc4ops" => {
                for (place, name) in VERSION_4 {
                    let labels = [("proto", "4"), ("method", name)];
                    sink.counter("nfsd_requests_total", HELP_REQUESTS, &labels, at(place + 1));
                }
            }
            "wdeleg_getattr" => {
                let labels = [("proto", "4"), ("method", "WdelegGetattr")];
                sink.counter("nfsd_requests_total", HELP_REQUESTS, &labels, at(0));
            }
            _ => {}
        }
    }
    Ok(())
}
