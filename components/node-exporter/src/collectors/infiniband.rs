//! InfiniBand devices and ports.

use std::path::Path;

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError};
use crate::files::{Paths, list, list_or_empty, read_sys};
use crate::filter::Filter;
use crate::sink::Sink;

/// Counters of a port: directory, file, ending of the name, factor, help. Data is counted in units of four bytes.
const COUNTERS: [(&str, &str, &str, f64, &str); 59] = [
    (
        "counters",
        "link_downed",
        "link_downed_total",
        1.0,
        "Number of times the link failed to recover from an error state and went down",
    ),
    (
        "counters",
        "link_error_recovery",
        "link_error_recovery_total",
        1.0,
        "Number of times the link successfully recovered from an error state",
    ),
    (
        "counters",
        "multicast_rcv_packets",
        "multicast_packets_received_total",
        1.0,
        "Number of multicast packets received (including errors)",
    ),
    (
        "counters",
        "multicast_xmit_packets",
        "multicast_packets_transmitted_total",
        1.0,
        "Number of multicast packets transmitted (including errors)",
    ),
    (
        "counters",
        "port_rcv_constraint_errors",
        "port_constraint_errors_received_total",
        1.0,
        "Number of packets received on the switch physical port that are discarded",
    ),
    (
        "counters",
        "port_xmit_constraint_errors",
        "port_constraint_errors_transmitted_total",
        1.0,
        "Number of packets not transmitted from the switch physical port",
    ),
    (
        "counters",
        "port_rcv_data",
        "port_data_received_bytes_total",
        4.0,
        "Number of data octets received on all links",
    ),
    (
        "counters",
        "port_xmit_data",
        "port_data_transmitted_bytes_total",
        4.0,
        "Number of data octets transmitted on all links",
    ),
    (
        "counters",
        "port_rcv_discards",
        "port_discards_received_total",
        1.0,
        "Number of inbound packets discarded by the port because the port is down or congested",
    ),
    (
        "counters",
        "port_xmit_discards",
        "port_discards_transmitted_total",
        1.0,
        "Number of outbound packets discarded by the port because the port is down or congested",
    ),
    (
        "counters",
        "port_rcv_errors",
        "port_errors_received_total",
        1.0,
        "Number of packets containing an error that were received on this port",
    ),
    (
        "counters",
        "port_rcv_packets",
        "port_packets_received_total",
        1.0,
        "Number of packets received on all VLs by this port (including errors)",
    ),
    (
        "counters",
        "port_xmit_packets",
        "port_packets_transmitted_total",
        1.0,
        "Number of packets transmitted on all VLs from this port (including errors)",
    ),
    (
        "counters",
        "port_xmit_wait",
        "port_transmit_wait_total",
        1.0,
        "Number of ticks during which the port had data to transmit but no data was sent during the entire tick",
    ),
    (
        "counters",
        "unicast_rcv_packets",
        "unicast_packets_received_total",
        1.0,
        "Number of unicast packets received (including errors)",
    ),
    (
        "counters",
        "unicast_xmit_packets",
        "unicast_packets_transmitted_total",
        1.0,
        "Number of unicast packets transmitted (including errors)",
    ),
    (
        "counters",
        "excessive_buffer_overrun_errors",
        "excessive_buffer_overrun_errors_total",
        1.0,
        "Number of times that OverrunErrors consecutive flow control update periods occurred, each having at least one overrun error.",
    ),
    (
        "counters",
        "local_link_integrity_errors",
        "local_link_integrity_errors_total",
        1.0,
        "Number of times that the count of local physical errors exceeded the threshold specified by LocalPhyErrors.",
    ),
    (
        "counters",
        "port_rcv_remote_physical_errors",
        "port_receive_remote_physical_errors_total",
        1.0,
        "Number of packets marked with the EBP (End of Bad Packet) delimiter received on the port.",
    ),
    (
        "counters",
        "port_rcv_switch_relay_errors",
        "port_receive_switch_relay_errors_total",
        1.0,
        "Number of packets that could not be forwarded by the switch.",
    ),
    (
        "counters",
        "symbol_error",
        "symbol_error_total",
        1.0,
        "Number of minor link errors detected on one or more physical lanes.",
    ),
    (
        "counters",
        "VL15_dropped",
        "vl15_dropped_total",
        1.0,
        "Number of incoming VL15 packets dropped due to resource limitations.",
    ),
    (
        "counters_ext",
        "port_multicast_rcv_packets",
        "legacy_multicast_packets_received_total",
        1.0,
        "Number of multicast packets received",
    ),
    (
        "counters_ext",
        "port_multicast_xmit_packets",
        "legacy_multicast_packets_transmitted_total",
        1.0,
        "Number of multicast packets transmitted",
    ),
    (
        "counters_ext",
        "port_rcv_data_64",
        "legacy_data_received_bytes_total",
        4.0,
        "Number of data octets received on all links",
    ),
    (
        "counters_ext",
        "port_xmit_data_64",
        "legacy_data_transmitted_bytes_total",
        4.0,
        "Number of data octets transmitted on all links",
    ),
    (
        "counters_ext",
        "port_rcv_packets_64",
        "legacy_packets_received_total",
        1.0,
        "Number of data packets received on all links",
    ),
    (
        "counters_ext",
        "port_xmit_packets_64",
        "legacy_packets_transmitted_total",
        1.0,
        "Number of data packets received on all links",
    ),
    (
        "counters_ext",
        "port_unicast_rcv_packets",
        "legacy_unicast_packets_received_total",
        1.0,
        "Number of unicast packets received",
    ),
    (
        "counters_ext",
        "port_unicast_xmit_packets",
        "legacy_unicast_packets_transmitted_total",
        1.0,
        "Number of unicast packets transmitted",
    ),
    (
        "hw_counters",
        "duplicate_request",
        "duplicate_requests_packets_total",
        1.0,
        "Packets that were duplicate requests.",
    ),
    (
        "hw_counters",
        "implied_nak_seq_err",
        "implied_nak_seq_errors_total",
        1.0,
        "Times the requester found an acknowledgement of a later sequence number than expected.",
    ),
    (
        "hw_counters",
        "local_ack_timeout_err",
        "local_ack_timeout_errors_total",
        1.0,
        "Times the acknowledgement timer of a queue pair expired.",
    ),
    (
        "hw_counters",
        "np_cnp_sent",
        "np_cnp_packets_sent_total",
        1.0,
        "Congestion notification packets sent by the notification point.",
    ),
    (
        "hw_counters",
        "np_ecn_marked_roce_packets",
        "np_ecn_marked_roce_packets_received_total",
        1.0,
        "RoCE packets received with a mark of congestion.",
    ),
    (
        "hw_counters",
        "out_of_buffer",
        "out_of_buffer_drops_total",
        1.0,
        "Drops for lack of work requests in the associated queue pairs.",
    ),
    (
        "hw_counters",
        "out_of_sequence",
        "out_of_sequence_packets_received_total",
        1.0,
        "Packets received out of sequence.",
    ),
    (
        "hw_counters",
        "packet_seq_err",
        "packet_sequence_errors_total",
        1.0,
        "Negative acknowledgements received for sequence errors.",
    ),
    (
        "hw_counters",
        "req_cqe_error",
        "req_cqes_errors_total",
        1.0,
        "Completions with errors at the requester.",
    ),
    (
        "hw_counters",
        "req_cqe_flush_error",
        "req_cqes_flush_errors_total",
        1.0,
        "Flushed completions with errors at the requester.",
    ),
    (
        "hw_counters",
        "req_remote_access_errors",
        "req_remote_access_errors_total",
        1.0,
        "Remote access errors at the requester.",
    ),
    (
        "hw_counters",
        "req_remote_invalid_request",
        "req_remote_invalid_request_errors_total",
        1.0,
        "Remote invalid request errors at the requester.",
    ),
    (
        "hw_counters",
        "resp_cqe_error",
        "resp_cqes_errors_total",
        1.0,
        "Completions with errors at the responder.",
    ),
    (
        "hw_counters",
        "resp_cqe_flush_error",
        "resp_cqes_flush_errors_total",
        1.0,
        "Flushed completions with errors at the responder.",
    ),
    (
        "hw_counters",
        "resp_local_length_error",
        "resp_local_length_errors_total",
        1.0,
        "Local length errors at the responder.",
    ),
    (
        "hw_counters",
        "resp_remote_access_errors",
        "resp_remote_access_errors_total",
        1.0,
        "Remote access errors at the responder.",
    ),
    (
        "hw_counters",
        "rnr_nak_retry_err",
        "rnr_nak_retry_packets_received_total",
        1.0,
        "Negative acknowledgements received because the receiver was not ready.",
    ),
    (
        "hw_counters",
        "roce_adp_retrans",
        "roce_adp_retransmits_total",
        1.0,
        "Adaptive retransmissions of RoCE traffic.",
    ),
    (
        "hw_counters",
        "roce_adp_retrans_to",
        "roce_adp_retransmits_timeout_total",
        1.0,
        "Timeouts of RoCE traffic because of adaptive retransmission.",
    ),
    (
        "hw_counters",
        "roce_slow_restart",
        "roce_slow_restart_used_total",
        1.0,
        "Uses of slow restart for RoCE.",
    ),
    (
        "hw_counters",
        "roce_slow_restart_cnps",
        "roce_slow_restart_cnps_total",
        1.0,
        "Congestion notification packets caused by slow restart for RoCE.",
    ),
    (
        "hw_counters",
        "roce_slow_restart_trans",
        "roce_slow_restart_total",
        1.0,
        "Changes of state to slow restart for RoCE.",
    ),
    (
        "hw_counters",
        "rp_cnp_handled",
        "rp_cnp_packets_handled_total",
        1.0,
        "Congestion notification packets handled by the reaction point.",
    ),
    (
        "hw_counters",
        "rp_cnp_ignored",
        "rp_cnp_ignored_packets_received_total",
        1.0,
        "Congestion notification packets ignored by the reaction point.",
    ),
    (
        "hw_counters",
        "rx_atomic_requests",
        "rx_atomic_requests_total",
        1.0,
        "Atomic requests received.",
    ),
    (
        "hw_counters",
        "rx_dct_connect",
        "rx_dct_connect_requests_total",
        1.0,
        "Connection requests received for dynamically connected transport.",
    ),
    (
        "hw_counters",
        "rx_icrc_encapsulated",
        "rx_icrc_encapsulated_errors_total",
        1.0,
        "RoCE packets received with checksum errors.",
    ),
    (
        "hw_counters",
        "rx_read_requests",
        "rx_read_requests_total",
        1.0,
        "Read requests received.",
    ),
    (
        "hw_counters",
        "rx_write_requests",
        "rx_write_requests_total",
        1.0,
        "Write requests received.",
    ),
];

/// Bytes per second in a gigabit per second.
const GIGABIT: f64 = 125_000_000.0;

/// The collector.
pub struct Infiniband {
    paths: Paths,
    filter: Filter,
}

impl Infiniband {
    /// Compiles the filter.
    pub fn new(config: &Config) -> Result<Infiniband, ConfigError> {
        let options = &config.options;
        Ok(Infiniband {
            paths: config.paths.clone(),
            filter: Filter::new(
                &options.infiniband_device_exclude,
                &options.infiniband_device_include,
            )?,
        })
    }
}

impl Collector for Infiniband {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let base = self.paths.sys("class/infiniband");
        let devices = match list(&base) {
            Ok(devices) => devices,
            Err(error) if error.is_absent() => return Err(CollectError::NoData),
            Err(error) => return Err(error.into()),
        };
        for device in devices.iter().filter(|device| !self.filter.ignores(device)) {
            let path = base.join(device);
            let text = |file: &str| read_sys(&path.join(file)).unwrap_or_default();
            let labels = [
                ("device", device.as_str()),
                ("board_id", &*text("board_id")),
                ("firmware_version", &*text("fw_ver")),
                ("hca_type", &*text("hca_type")),
            ];
            let help = "Non-numeric data from /sys/class/infiniband/<device>, value is always 1.";
            sink.gauge("infiniband_info", help, &labels, 1.0);
            for number in list_or_empty(&path.join("ports")) {
                port(device, &number, &path.join("ports").join(&number), sink)?;
            }
        }
        Ok(())
    }
}

fn port(device: &str, number: &str, path: &Path, sink: &mut Sink) -> Result<(), CollectError> {
    let labels = [("device", device), ("port", number)];
    // `4: ACTIVE`, `40 Gb/sec (4X QDR)`
    let leading = |file: &str| -> Result<f64, CollectError> {
        let text = read_sys(&path.join(file))?;
        let digits = text.split([':', ' ']).next().unwrap_or("");
        digits.parse().map_err(|_| {
            CollectError::failed(format!(
                "malformed {file} of InfiniBand port {device}/{number}: {text:?}"
            ))
        })
    };
    let help = "State of the InfiniBand port (0: no change, 1: down, 2: init, 3: armed, 4: active, 5: act defer)";
    sink.gauge("infiniband_state_id", help, &labels, leading("state")?);
    let help = "Physical state of the InfiniBand port (0: no change, 1: sleep, 2: polling, 3: disable, 4: shift, 5: link up, 6: link error recover, 7: phytest)";
    sink.gauge(
        "infiniband_physical_state_id",
        help,
        &labels,
        leading("phys_state")?,
    );
    let help = "Maximum signal transfer rate";
    sink.gauge(
        "infiniband_rate_bytes_per_second",
        help,
        &labels,
        leading("rate")? * GIGABIT,
    );
    for (directory, file, name, factor, help) in COUNTERS {
        // Devices have some of them, and some say `N/A (no PMA)`.
        let found = read_sys(&path.join(directory).join(file))
            .ok()
            .and_then(|text| text.parse::<u64>().ok());
        if let Some(value) = found {
            sink.counter(
                &format!("infiniband_{name}"),
                help,
                &labels,
                value as f64 * factor,
            );
        }
    }
    if let Ok(lifespan) = read_sys(&path.join("hw_counters/lifespan"))
        && let Ok(milliseconds) = lifespan.parse::<u64>()
    {
        let help = "The maximum period in which the hardware counters are updated.";
        sink.gauge(
            "infiniband_lifespan_seconds",
            help,
            &labels,
            (milliseconds / 1000) as f64,
        );
    }
    Ok(())
}
