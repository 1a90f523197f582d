//! What the kernel calls itself and the machine.

use crate::collector::CollectError;
use crate::sink::Sink;

/// Adds `uname_info`.
pub fn update(sink: &mut Sink) -> Result<(), CollectError> {
    let uname = rustix::system::uname();
    let text = |part: &std::ffi::CStr| part.to_string_lossy().into_owned();
    let domain = text(uname.domainname());
    let (sysname, release) = (text(uname.sysname()), text(uname.release()));
    let (version, machine) = (text(uname.version()), text(uname.machine()));
    let nodename = text(uname.nodename());
    let labels = [
        ("sysname", sysname.as_str()),
        ("release", &release),
        ("version", &version),
        ("machine", &machine),
        ("nodename", &nodename),
        ("domainname", &domain),
    ];
    let help = "Labeled system information as provided by the uname system call.";
    sink.gauge("uname_info", help, &labels, 1.0);
    Ok(())
}
