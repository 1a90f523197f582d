//! TCP connections by state, and bytes in their queues.

use crate::collector::CollectError;
use crate::files::Paths;
use crate::netlink;
use crate::sink::Sink;

/// Names of the kernel's states, by number; 0 and 12 are none.
const STATES: [&str; 12] = [
    "",
    "established",
    "syn_sent",
    "syn_recv",
    "fin_wait1",
    "fin_wait2",
    "time_wait",
    "close",
    "close_wait",
    "last_ack",
    "listen",
    "closing",
];

/// Adds the states that occur, and the sums of the queues.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let ipv6 = paths.proc("net/tcp6").exists();
    let states = netlink::tcp_states(ipv6)
        .map_err(|error| CollectError::failed(format!("couldn't get tcpstats: {error}")))?;
    let help = "Number of connection states.";
    let (mut receive, mut transmit) = (0, 0);
    for (name, state) in STATES.iter().zip(states) {
        receive += state.receive_queue;
        transmit += state.transmit_queue;
        if state.sockets > 0 && !name.is_empty() {
            sink.gauge(
                "tcp_connection_states",
                help,
                &[("state", name)],
                state.sockets as f64,
            );
        }
    }
    sink.gauge(
        "tcp_connection_states",
        help,
        &[("state", "rx_queued_bytes")],
        receive as f64,
    );
    sink.gauge(
        "tcp_connection_states",
        help,
        &[("state", "tx_queued_bytes")],
        transmit as f64,
    );
    Ok(())
}
