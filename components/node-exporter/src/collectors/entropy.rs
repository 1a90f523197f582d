//! The kernel's store of randomness.

use crate::collector::CollectError;
use crate::files::{Paths, read_u64};
use crate::sink::Sink;

/// Adds what is there and how much fits.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.proc("sys/kernel/random");
    let available = read_u64(&base.join("entropy_avail"))?;
    sink.gauge(
        "entropy_available_bits",
        "Bits of available entropy.",
        &[],
        available as f64,
    );
    let size = read_u64(&base.join("poolsize"))?;
    sink.gauge(
        "entropy_pool_size_bits",
        "Bits of entropy pool.",
        &[],
        size as f64,
    );
    Ok(())
}
