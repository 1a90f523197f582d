//! Bonded network interfaces: slaves configured and up.

use crate::collector::CollectError;
use crate::files::{Paths, read, read_sys};
use crate::sink::Sink;

/// Adds both numbers for each bonding interface.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("class/net");
    let masters = match read(&base.join("bonding_masters")) {
        Ok(masters) => masters,
        Err(error) if error.is_absent() => return Err(CollectError::NoData),
        Err(error) => return Err(error.into()),
    };
    for master in masters.split_ascii_whitespace() {
        let slaves = read(&base.join(master).join("bonding/slaves"))?;
        let (mut configured, mut active) = (0u32, 0u32);
        for slave in slaves.split_ascii_whitespace() {
            configured += 1;
            let status = |prefix: &str| {
                let link = base.join(master).join(format!("{prefix}_{slave}"));
                read_sys(&link.join("bonding_slave/mii_status"))
            };
            // Older kernels name the links otherwise.
            let status = match status("lower") {
                Err(error) if error.is_absent() => status("slave"),
                found => found,
            }?;
            active += u32::from(status == "up");
        }
        let labels = [("master", master)];
        let help = "Number of configured slaves per bonding interface.";
        sink.gauge("bonding_slaves", help, &labels, f64::from(configured));
        let help = "Number of active slaves per bonding interface.";
        sink.gauge("bonding_active", help, &labels, f64::from(active));
    }
    Ok(())
}
