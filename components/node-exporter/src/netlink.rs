//! Just enough netlink: dumps of links, neighbours, addresses, queueing disciplines and TCP sockets of our network namespace.
//!
//! Messages come from the kernel, but are read as carefully as any foreign bytes: lengths are checked, unknown
//! attributes skipped.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const RTM_GETNEIGH: u16 = 30;
const RTM_GETQDISC: u16 = 38;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// A request for everything there is.
const DUMP_REQUEST: u16 = 0x0001 | 0x0300;
const IFLA_IFNAME: u16 = 3;
const IFLA_STATS: u16 = 7;
const IFLA_IFALIAS: u16 = 20;
const IFLA_STATS64: u16 = 23;
const TCA_KIND: u16 = 1;
const TCA_STATS2: u16 = 7;
const TCA_STATS_BASIC: u16 = 1;
const TCA_STATS_QUEUE: u16 = 3;
/// The parent of a device's outermost discipline.
const TC_H_ROOT: u32 = u32::MAX;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// A neighbour that needs no resolution, such as a multicast address.
const NUD_NOARP: u16 = 0x40;
/// A dump's answer may be as large as this; the kernel uses at most 32 KiB.
const BUFFER_BYTES: usize = 64 * 1024;
/// Answers of one dump: more than any machine has sockets.
const ANSWERS_MAX: usize = 64 << 20;
/// How long to wait for the next part of an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A network device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Link {
    /// The kernel's number for it.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its alias, mostly empty.
    pub alias: String,
    /// Counters in the order of [`STATISTICS`]; empty when the kernel gave none.
    pub statistics: Vec<u64>,
}

/// What the kernel counts for every device, in its order.
pub const STATISTICS: [&str; 24] = [
    "receive_packets",
    "transmit_packets",
    "receive_bytes",
    "transmit_bytes",
    "receive_errors",
    "transmit_errors",
    "receive_dropped",
    "transmit_dropped",
    "multicast",
    "collisions",
    "receive_length_errors",
    "receive_over_errors",
    "receive_crc_errors",
    "receive_frame_errors",
    "receive_fifo_errors",
    "receive_missed_errors",
    "transmit_aborted_errors",
    "transmit_carrier_errors",
    "transmit_fifo_errors",
    "transmit_heartbeat_errors",
    "transmit_window_errors",
    "receive_compressed",
    "transmit_compressed",
    "receive_nohandler",
];

/// An address of a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The device's number.
    pub index: u32,
    /// The address.
    pub address: IpAddr,
    /// Bits of the network part.
    pub prefix: u8,
}

/// A queueing discipline and what it did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Qdisc {
    /// The device's name.
    pub device: String,
    /// Such as `fq_codel`.
    pub kind: String,
    /// Whether it is the device's outermost one.
    pub is_root: bool,
    /// Bytes sent.
    pub bytes: u64,
    /// Packets sent.
    pub packets: u32,
    /// Packets dropped.
    pub drops: u32,
    /// Packets taken out and put back.
    pub requeues: u32,
    /// Packets over a limit.
    pub overlimits: u32,
    /// Packets waiting.
    pub queue_length: u32,
    /// Bytes waiting.
    pub backlog: u32,
}

/// TCP sockets of one family in one state, and what waits in their queues.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TcpState {
    /// Sockets.
    pub sockets: u64,
    /// Bytes received and not yet read.
    pub receive_queue: u64,
    /// Bytes written and not yet acknowledged.
    pub transmit_queue: u64,
}

/// TCP sockets by the kernel's number of their state, both families together if `ipv6`.
pub fn tcp_states(ipv6: bool) -> io::Result<[TcpState; 16]> {
    let mut states = [TcpState::default(); 16];
    let families = if ipv6 {
        &[libc::AF_INET, libc::AF_INET6][..]
    } else {
        &[libc::AF_INET]
    };
    for family in families {
        // Family, protocol, no extensions, all states, any socket.
        let mut request = [0u8; 56];
        request[0] = *family as u8;
        request[1] = libc::IPPROTO_TCP as u8;
        request[4..8].copy_from_slice(&0xfff_u32.to_ne_bytes());
        dump_from(
            Some(netlink::SOCK_DIAG),
            SOCK_DIAG_BY_FAMILY,
            &request,
            |body| {
                let state = body.get(1).map(|state| usize::from(*state));
                if let (Some(state), Some(receive), Some(transmit)) = (
                    state.and_then(|state| states.get_mut(state)),
                    u32_at(body, 56),
                    u32_at(body, 60),
                ) {
                    state.sockets += 1;
                    state.receive_queue += u64::from(receive);
                    state.transmit_queue += u64::from(transmit);
                }
            },
        )?;
    }
    Ok(states)
}

/// All queueing disciplines.
pub fn qdiscs() -> io::Result<Vec<Qdisc>> {
    let links = links()?;
    let mut found = Vec::new();
    dump(RTM_GETQDISC, &[0; 20], |body| {
        if let Some((index, mut qdisc)) = parse_qdisc(body)
            && let Some(link) = links.iter().find(|link| link.index == index)
        {
            qdisc.device = link.name.clone();
            found.push(qdisc);
        }
    })?;
    Ok(found)
}

/// All devices.
pub fn links() -> io::Result<Vec<Link>> {
    let mut links = Vec::new();
    dump(RTM_GETLINK, &[0; 16], |body| links.extend(parse_link(body)))?;
    Ok(links)
}

/// For each device number, how many IPv4 neighbours it has that need resolution.
pub fn ipv4_neighbours() -> io::Result<Vec<(u32, u64)>> {
    let mut request = [0; 12];
    request[0] = libc::AF_INET as u8;
    let mut counts: Vec<(u32, u64)> = Vec::new();
    dump(RTM_GETNEIGH, &request, |body| {
        let (Some(index), Some(state)) = (u32_at(body, 4), u16_at(body, 8)) else {
            return;
        };
        if state & NUD_NOARP != 0 {
            return;
        }
        match counts.iter_mut().find(|(known, _)| *known == index) {
            Some((_, count)) => *count += 1,
            None => counts.push((index, 1)),
        }
    })?;
    Ok(counts)
}

/// All addresses.
pub fn addresses() -> io::Result<Vec<Address>> {
    let mut addresses = Vec::new();
    dump(RTM_GETADDR, &[0; 8], |body| {
        addresses.extend(parse_address(body))
    })?;
    Ok(addresses)
}

/// Sends one dump request and hands out the body of every answer.
fn dump(kind: u16, request: &[u8], answer: impl FnMut(&[u8])) -> io::Result<()> {
    dump_from(None, kind, request, answer) // no protocol is NETLINK_ROUTE
}

fn dump_from(
    protocol: Option<Protocol>,
    kind: u16,
    request: &[u8],
    mut answer: impl FnMut(&[u8]),
) -> io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        protocol,
    )?;
    // The kernel answers at once or not at all; a scrape must not wait for the latter.
    sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER_TIMEOUT))?;
    let length = (16 + request.len()) as u32;
    let mut message = Vec::with_capacity(length as usize);
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(&DUMP_REQUEST.to_ne_bytes());
    message.extend_from_slice(&1u32.to_ne_bytes()); // sequence
    message.extend_from_slice(&0u32.to_ne_bytes()); // port: the kernel chooses
    message.extend_from_slice(request);
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &message, SendFlags::empty(), &kernel)?;
    let mut buffer = vec![0u8; BUFFER_BYTES];
    let mut answers = 0;
    loop {
        let (_, length) = rustix::net::recv(&socket, buffer.as_mut_slice(), RecvFlags::empty())?;
        let mut rest = &buffer[..length.min(BUFFER_BYTES)];
        if rest.is_empty() {
            return Ok(());
        }
        while let (Some(length), Some(kind)) = (u32_at(rest, 0), u16_at(rest, 4)) {
            let length = length as usize;
            if length < 16 || length > rest.len() {
                return Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "damaged netlink message",
                ));
            }
            let body = &rest[16..length];
            match kind {
                NLMSG_DONE => return Ok(()),
                NLMSG_ERROR => {
                    let errno = u32_at(body, 0).unwrap_or(0) as i32;
                    return Err(io::Error::from_raw_os_error(-errno));
                }
                _ => answer(body),
            }
            answers += 1;
            if answers > ANSWERS_MAX {
                return Ok(());
            }
            rest = rest.get(align(length)..).unwrap_or_default();
        }
    }
}

fn align(length: usize) -> usize {
    (length + 3) & !3
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// Calls `visit` with type and payload of each attribute.
fn attributes<'a>(mut rest: &'a [u8], mut visit: impl FnMut(u16, &'a [u8])) {
    while let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let length = usize::from(length);
        let Some(payload) = rest.get(4..length) else {
            return;
        };
        visit(kind & 0x3fff, payload); // the upper bits are flags
        rest = rest.get(align(length)..).unwrap_or_default();
    }
}

fn text(payload: &[u8]) -> String {
    let end = payload
        .iter()
        .position(|b| *b == 0)
        .unwrap_or(payload.len());
    String::from_utf8_lossy(&payload[..end]).into_owned()
}

fn parse_link(body: &[u8]) -> Option<Link> {
    let mut link = Link {
        index: u32_at(body, 4)?,
        ..Link::default()
    };
    let mut narrow = Vec::new();
    attributes(body.get(16..)?, |kind, payload| match kind {
        IFLA_IFNAME => link.name = text(payload),
        IFLA_IFALIAS => link.alias = text(payload),
        IFLA_STATS64 => {
            link.statistics = payload
                .chunks_exact(8)
                .take(STATISTICS.len())
                .map(|n| u64::from_ne_bytes(n.try_into().unwrap_or_default()))
                .collect();
        }
        IFLA_STATS => {
            narrow = payload
                .chunks_exact(4)
                .take(STATISTICS.len())
                .map(|n| u64::from(u32::from_ne_bytes(n.try_into().unwrap_or_default())))
                .collect();
        }
        _ => {}
    });
    if link.statistics.is_empty() {
        link.statistics = narrow;
    }
    Some(link)
}

fn parse_qdisc(body: &[u8]) -> Option<(u32, Qdisc)> {
    let (index, parent) = (u32_at(body, 4)?, u32_at(body, 12)?);
    let mut qdisc = Qdisc {
        is_root: parent == TC_H_ROOT,
        ..Qdisc::default()
    };
    attributes(body.get(20..)?, |kind, payload| match kind {
        TCA_KIND => qdisc.kind = text(payload),
        TCA_STATS2 => attributes(payload, |kind, payload| {
            let at = |i: usize| u32_at(payload, i * 4).unwrap_or(0);
            match kind {
                TCA_STATS_BASIC => {
                    let bytes = payload.get(..8).and_then(|b| b.try_into().ok());
                    qdisc.bytes = bytes.map_or(0, u64::from_ne_bytes);
                    qdisc.packets = at(2);
                }
                TCA_STATS_QUEUE => {
                    (qdisc.queue_length, qdisc.backlog, qdisc.drops) = (at(0), at(1), at(2));
                    (qdisc.requeues, qdisc.overlimits) = (at(3), at(4));
                }
                _ => {}
            }
        }),
        _ => {}
    });
    Some((index, qdisc))
}

fn parse_address(body: &[u8]) -> Option<Address> {
    let (prefix, index) = (*body.get(1)?, u32_at(body, 4)?);
    let (mut local, mut address) = (None, None);
    attributes(body.get(8..)?, |kind, payload| {
        let parsed = match payload.len() {
            4 => <[u8; 4]>::try_from(payload)
                .ok()
                .map(|b| IpAddr::V4(Ipv4Addr::from(b))),
            16 => <[u8; 16]>::try_from(payload)
                .ok()
                .map(|b| IpAddr::V6(Ipv6Addr::from(b))),
            _ => None,
        };
        match kind {
            IFA_LOCAL => local = parsed,
            IFA_ADDRESS => address = parsed,
            _ => {}
        }
    });
    // On point-to-point links `address` is the other end.
    Some(Address {
        index,
        address: local.or(address)?,
        prefix,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_device_is_there() {
        let links = links().unwrap();
        let lo = links.iter().find(|link| link.name == "lo").unwrap();
        assert_eq!(lo.statistics.len(), STATISTICS.len());
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        assert!(
            addresses()
                .unwrap()
                .iter()
                .any(|a| a.index == lo.index && a.address == local && a.prefix == 8)
        );
        ipv4_neighbours().unwrap();
        qdiscs().unwrap();
    }

    #[test]
    fn a_listening_socket_is_counted() {
        const LISTEN: usize = 10;
        let _listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(tcp_states(false).unwrap()[LISTEN].sockets > 0);
    }

    #[test]
    fn damaged_messages_are_skipped() {
        for length in 0..64 {
            let body: Vec<u8> = (0..length).map(|i| (i * 37) as u8).collect();
            parse_link(&body);
            parse_qdisc(&body);
            parse_address(&body);
        }
    }
}
