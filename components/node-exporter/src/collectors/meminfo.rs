//! Memory use from `meminfo`.

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// The fields that are shown; others that newer kernels have are not, as upstream does not show them.
const FIELDS: [&str; 51] = [
    "Active",
    "Active(anon)",
    "Active(file)",
    "AnonHugePages",
    "AnonPages",
    "Bounce",
    "Buffers",
    "Cached",
    "CmaFree",
    "CmaTotal",
    "CommitLimit",
    "Committed_AS",
    "DirectMap1G",
    "DirectMap2M",
    "DirectMap4k",
    "Dirty",
    "HardwareCorrupted",
    "Hugepagesize",
    "HugePages_Free",
    "HugePages_Rsvd",
    "HugePages_Surp",
    "HugePages_Total",
    "Inactive",
    "Inactive(anon)",
    "Inactive(file)",
    "KernelStack",
    "Mapped",
    "MemAvailable",
    "MemFree",
    "MemTotal",
    "Mlocked",
    "NFS_Unstable",
    "PageTables",
    "Percpu",
    "SReclaimable",
    "SUnreclaim",
    "Shmem",
    "ShmemHugePages",
    "ShmemPmdMapped",
    "Slab",
    "SwapCached",
    "SwapFree",
    "SwapTotal",
    "Unevictable",
    "VmallocChunk",
    "VmallocTotal",
    "VmallocUsed",
    "Writeback",
    "WritebackTmp",
    "Zswap",
    "Zswapped",
];

/// Adds one gauge a field.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let text = read(&paths.proc("meminfo"))?;
    for line in text.lines() {
        let Some((field, rest)) = line.split_once(':') else {
            if line.trim().is_empty() {
                continue;
            }
            return Err(CollectError::failed(format!(
                "couldn't parse meminfo line {line:?}"
            )));
        };
        let mut words = rest.split_ascii_whitespace();
        let value = words.next().and_then(|word| word.parse::<u64>().ok());
        let unit = words.next();
        let (Some(value), None, None | Some("kB")) = (value, words.next(), unit) else {
            return Err(CollectError::failed(format!(
                "couldn't parse meminfo line {line:?}"
            )));
        };
        if !FIELDS.contains(&field) {
            continue;
        }
        let mut name = String::with_capacity(40);
        name.push_str("memory_");
        match field.split_once('(') {
            Some((base, kind)) => {
                name.push_str(base);
                name.push('_');
                name.push_str(kind.trim_end_matches(')'));
            }
            None => name.push_str(field),
        }
        let mut bytes = value as f64;
        if unit.is_some() {
            bytes *= 1024.0;
        }
        if !field.starts_with("HugePages_") {
            name.push_str("_bytes");
        }
        let help = format!("Memory information field {}.", &name["memory_".len()..]);
        sink.gauge(&name, &help, &[], bytes);
    }
    Ok(())
}
