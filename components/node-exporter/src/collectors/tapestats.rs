//! Work of SCSI tape drives.

use model::MetricType::{Counter, Gauge};
use regex::Regex;

use crate::collector::CollectError;
use crate::files::{Paths, list, read_i64};
use crate::sink::Sink;

/// Adds the statistics of every drive (`st0`; its other modes and the no-rewind twins show the same).
pub fn update(paths: &Paths, ignored: &Regex, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("class/scsi_tape");
    let devices = match list(&base) {
        Ok(devices) => devices,
        Err(error) if error.is_absent() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    for device in &devices {
        let number = device.strip_prefix("st").unwrap_or("");
        if number.is_empty()
            || !number.bytes().all(|b| b.is_ascii_digit())
            || ignored.is_match(device)
        {
            continue;
        }
        let get =
            |file: &str| read_i64(&base.join(device).join("stats").join(file)).map(|n| n as f64);
        let labels = [("device", device.as_str())];
        for (kind, name, help, value) in [
            (
                Gauge,
                "tape_io_now",
                "The number of I/Os currently outstanding to this device.",
                get("in_flight")?,
            ),
            (
                Counter,
                "tape_io_time_seconds_total",
                "The amount of time spent waiting for all I/O to complete (including read and write). This includes tape movement commands such as seeking between file or set marks and implicit tape movement such as when rewind on close tape devices are used.",
                get("io_ns")? * 1e-9,
            ),
            (
                Counter,
                "tape_io_others_total",
                "The number of I/Os issued to the tape drive other than read or write commands. The time taken to complete these commands uses the following calculation io_time_seconds_total-read_time_seconds_total-write_time_seconds_total",
                get("other_cnt")?,
            ),
            (
                Counter,
                "tape_read_bytes_total",
                "The number of bytes read from the tape drive.",
                get("read_byte_cnt")?,
            ),
            (
                Counter,
                "tape_reads_completed_total",
                "The number of read requests issued to the tape drive.",
                get("read_cnt")?,
            ),
            (
                Counter,
                "tape_read_time_seconds_total",
                "The amount of time spent waiting for read requests to complete.",
                get("read_ns")? * 1e-9,
            ),
            (
                Counter,
                "tape_residual_total",
                "The number of times during a read or write we found the residual amount to be non-zero. This should mean that a program is issuing a read larger thean the block size on tape. For write not all data made it to tape.",
                get("resid_cnt")?,
            ),
            (
                Counter,
                "tape_written_bytes_total",
                "The number of bytes written to the tape drive.",
                get("write_byte_cnt")?,
            ),
            (
                Counter,
                "tape_writes_completed_total",
                "The number of write requests issued to the tape drive.",
                get("write_cnt")?,
            ),
            (
                Counter,
                "tape_write_time_seconds_total",
                "The amount of time spent waiting for write requests to complete.",
                get("write_ns")? * 1e-9,
            ),
        ] {
            sink.add(kind, name, help, &labels, value);
        }
    }
    Ok(())
}
