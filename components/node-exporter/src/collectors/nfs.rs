//! Calls of the NFS client, from `net/rpc/nfs`.

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Procedures of version 2, in the kernel's order, as upstream spells them.
pub(crate) const VERSION_2: [&str; 18] = [
    "Null", "GetAttr", "SetAttr", "Root", "Lookup", "ReadLink", "Read", "WrCache", "Write",
    "Create", "Remove", "Rename", "Link", "SymLink", "MkDir", "RmDir", "ReadDir", "FsStat",
];
/// Procedures of version 3.
pub(crate) const VERSION_3: [&str; 22] = [
    "Null",
    "GetAttr",
    "SetAttr",
    "Lookup",
    "Access",
    "ReadLink",
    "Read",
    "Write",
    "Create",
    "MkDir",
    "SymLink",
    "MkNod",
    "Remove",
    "RmDir",
    "Rename",
    "Link",
    "ReadDir",
    "ReadDirPlus",
    "FsStat",
    "FsInfo",
    "PathConf",
    "Commit",
];
/// Operations of a version 4 client.
const VERSION_4: [&str; 59] = [
    "Null",
    "Read",
    "Write",
    "Commit",
    "Open",
    "OpenConfirm",
    "OpenNoattr",
    "OpenDowngrade",
    "Close",
    "Setattr",
    "FsInfo",
    "Renew",
    "SetClientID",
    "SetClientIDConfirm",
    "Lock",
    "Lockt",
    "Locku",
    "Access",
    "Getattr",
    "Lookup",
    "LookupRoot",
    "Remove",
    "Rename",
    "Link",
    "Symlink",
    "Create",
    "Pathconf",
    "StatFs",
    "ReadLink",
    "ReadDir",
    "ServerCaps",
    "DelegReturn",
    "GetACL",
    "SetACL",
    "FsLocations",
    "ReleaseLockowner",
    "Secinfo",
    "FsidPresent",
    "ExchangeID",
    "CreateSession",
    "DestroySession",
    "Sequence",
    "GetLeaseTime",
    "ReclaimComplete",
    "GetDeviceInfo",
    "LayoutGet",
    "LayoutCommit",
    "LayoutReturn",
    "SecinfoNoName",
    "TestStateID",
    "FreeStateID",
    "GetDeviceList",
    "BindConnToSession",
    "DestroyClientID",
    "Seek",
    "Allocate",
    "DeAllocate",
    "LayoutStats",
    "Clone",
];

const HELP_REQUESTS: &str = "Number of NFS procedures invoked.";

/// Adds packets, remote calls and procedures.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let text = match read(&paths.proc("net/rpc/nfs")) {
        Ok(text) => text,
        Err(error) if error.is_absent() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    for (word, numbers) in rpc_lines(&text)? {
        let at = |i: usize| numbers.get(i).copied().unwrap_or(0.0);
        match word {
            "net" => {
                for (protocol, value) in [("udp", at(1)), ("tcp", at(2))] {
                    let help = "Total NFSd network packets (sent+received) by protocol type.";
                    sink.counter("nfs_packets_total", help, &[("protocol", protocol)], value);
                }
                let help = "Total number of NFSd TCP connections.";
                sink.counter("nfs_connections_total", help, &[], at(3));
            }
            "rpc" => {
                sink.counter(
                    "nfs_rpcs_total",
                    "Total number of RPCs performed.",
                    &[],
                    at(0),
                );
                let help = "Number of RPC transmissions performed.";
                sink.counter("nfs_rpc_retransmissions_total", help, &[], at(1));
                let help = "Number of RPC authentication refreshes performed.";
                sink.counter("nfs_rpc_authentication_refreshes_total", help, &[], at(2));
            }
            "proc2" => procedures("nfs", "2", &VERSION_2, HELP_REQUESTS, &numbers, sink),
            "proc3" => procedures("nfs", "3", &VERSION_3, HELP_REQUESTS, &numbers, sink),
            "proc4" => procedures("nfs", "4", &VERSION_4, HELP_REQUESTS, &numbers, sink),
            _ => {}
        }
    }
    Ok(())
}

/// The lines of an RPC statistics file: a word and its numbers.
pub(crate) fn rpc_lines(text: &str) -> Result<Vec<(&str, Vec<f64>)>, CollectError> {
    let mut lines = Vec::new();
    for line in text.lines() {
        let mut words = line.split_ascii_whitespace();
        let Some(word) = words.next() else { continue };
        let numbers: Result<Vec<f64>, _> = words.map(str::parse).collect();
        let numbers = numbers.map_err(|_| {
            CollectError::failed(format!("failed to parse RPC statistics: {line:?}"))
        })?;
        lines.push((word, numbers));
    }
    Ok(lines)
}

/// Adds `<prefix>_requests_total` by method. The first number is how many follow; methods a kernel does not know are 0.
pub(crate) fn procedures(
    prefix: &str,
    protocol: &'static str,
    names: &[&'static str],
    help: &str,
    numbers: &[f64],
    sink: &mut Sink,
) {
    for (i, name) in names.iter().enumerate() {
        let value = numbers.get(i + 1).copied().unwrap_or(0.0);
        let labels = [("proto", protocol), ("method", *name)];
        sink.counter(&format!("{prefix}_requests_total"), help, &labels, value);
    }
}
