//! Open files of the whole machine, from `sys/fs/file-nr`.

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Adds the number of open files and its limit.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let text = read(&paths.proc("sys/fs/file-nr"))?;
    let fields: Vec<&str> = text.trim().split('\t').collect();
    let number = |i: usize| fields.get(i).and_then(|field| field.parse::<f64>().ok());
    let (Some(allocated), Some(maximum)) = (number(0), number(2)) else {
        return Err(CollectError::failed(format!(
            "unexpected number of file stats in {text:?}"
        )));
    };
    sink.gauge(
        "filefd_allocated",
        "File descriptor statistics: allocated.",
        &[],
        allocated,
    );
    sink.gauge(
        "filefd_maximum",
        "File descriptor statistics: maximum.",
        &[],
        maximum,
    );
    Ok(())
}
