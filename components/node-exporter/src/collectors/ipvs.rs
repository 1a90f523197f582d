//! The kernel's load balancer: totals and backends.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError, IPVS_LABELS};
use crate::files::{Paths, read};
use crate::sink::Sink;

/// The collector.
pub struct Ipvs {
    paths: Paths,
    /// Labels of backends that are wanted, with their places in a [`Backend`]'s key.
    labels: Vec<(usize, &'static str)>,
}

/// The labels in the order of the default setting.
type Key = [String; 6];

/// Active connections, inactive ones, weight.
type Load = [f64; 3];

impl Ipvs {
    /// Checks the names of the labels.
    pub fn new(config: &Config) -> Result<Ipvs, ConfigError> {
        let wanted: Vec<&str> = config
            .options
            .ipvs_backend_labels
            .split(',')
            .filter(|label| !label.is_empty())
            .collect();
        let known: Vec<&'static str> = IPVS_LABELS.split(',').collect();
        if let Some(odd) = wanted.iter().find(|label| !known.contains(label)) {
            return Err(ConfigError(format!("unknown IPVS backend labels: {odd:?}")));
        }
        let labels = known
            .into_iter()
            .enumerate()
            .filter(|(_, label)| wanted.contains(label))
            .collect();
        Ok(Ipvs {
            paths: config.paths.clone(),
            labels,
        })
    }
}

impl Collector for Ipvs {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let text = match read(&self.paths.proc("net/ip_vs_stats")) {
            Ok(text) => text,
            Err(error) if error.is_absent() => return Err(CollectError::NoData),
            Err(error) => return Err(error.into()),
        };
        let numbers: Option<Vec<u64>> = text.lines().nth(2).and_then(|line| {
            line.split_ascii_whitespace()
                .map(|word| u64::from_str_radix(word, 16).ok())
                .collect()
        });
        let Some([connections, packets_in, packets_out, bytes_in, bytes_out]) =
            numbers.and_then(|numbers| <[u64; 5]>::try_from(numbers).ok())
        else {
            return Err(CollectError::failed(
                "could not get IPVS stats: malformed ip_vs_stats",
            ));
        };
        for (name, help, value) in [
            (
                "ipvs_connections_total",
                "The total number of connections made.",
                connections,
            ),
            (
                "ipvs_incoming_packets_total",
                "The total number of incoming packets.",
                packets_in,
            ),
            (
                "ipvs_outgoing_packets_total",
                "The total number of outgoing packets.",
                packets_out,
            ),
            (
                "ipvs_incoming_bytes_total",
                "The total amount of incoming data.",
                bytes_in,
            ),
            (
                "ipvs_outgoing_bytes_total",
                "The total amount of outgoing data.",
                bytes_out,
            ),
        ] {
            sink.counter(name, help, &[], value as f64);
        }
        let text = read(&self.paths.proc("net/ip_vs"))?;
        // Backends that the wanted labels do not tell apart are added up.
        let mut sums: BTreeMap<Vec<String>, Load> = BTreeMap::new();
        for (key, load) in parse(&text)? {
            let shown = self.labels.iter().map(|(i, _)| key[*i].clone()).collect();
            let sum = sums.entry(shown).or_default();
            for (sum, part) in sum.iter_mut().zip(load) {
                *sum += part;
            }
        }
        for (values, load) in &sums {
            let labels: Vec<(&'static str, &str)> = self
                .labels
                .iter()
                .zip(values)
                .map(|((_, name), value)| (*name, value.as_str()))
                .collect();
            let help = "The current active connections by local and remote address.";
            sink.gauge("ipvs_backend_connections_active", help, &labels, load[0]);
            let help = "The current inactive connections by local and remote address.";
            sink.gauge("ipvs_backend_connections_inactive", help, &labels, load[1]);
            let help = "The current backend weight by local and remote address.";
            sink.gauge("ipvs_backend_weight", help, &labels, load[2]);
        }
        Ok(())
    }
}

fn parse(text: &str) -> Result<Vec<(Key, Load)>, CollectError> {
    let bad = |line: &str| CollectError::failed(format!("could not get backend status: {line:?}"));
    let mut backends = Vec::new();
    let (mut local, mut protocol, mut mark) =
        ((String::new(), String::new()), String::new(), String::new());
    for line in text.lines() {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            ["IP", "Virtual", ..] | ["Prot", ..] | ["->", "RemoteAddress:Port", ..] => {}
            [kind @ ("TCP" | "UDP" | "SCTP"), address, ..] => {
                (local, protocol, mark) = (
                    endpoint(address).ok_or_else(|| bad(line))?,
                    kind.to_string(),
                    String::new(),
                );
            }
            ["FWM", found, ..] => {
                (local, protocol, mark) = (
                    (String::new(), "0".to_string()),
                    "FWM".to_string(),
                    found.to_string(),
                );
            }
            ["->", address, _, weight, active, inactive] => {
                let remote = endpoint(address).ok_or_else(|| bad(line))?;
                let number =
                    |text: &str| text.parse::<u64>().map(|n| n as f64).map_err(|_| bad(line));
                let key = [
                    local.0.clone(),
                    local.1.clone(),
                    remote.0,
                    remote.1,
                    protocol.clone(),
                    mark.clone(),
                ];
                backends.push((key, [number(active)?, number(inactive)?, number(weight)?]));
            }
            _ => {}
        }
    }
    Ok(backends)
}

/// `C0A80016:0CEA` or `[2620::1]:0050` as address and port.
fn endpoint(text: &str) -> Option<(String, String)> {
    let (address, port) = text.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = match address.strip_prefix('[') {
        Some(rest) => rest
            .strip_suffix(']')?
            .parse::<Ipv6Addr>()
            .ok()?
            .to_string(),
        None => Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?).to_string(),
    };
    Some((address, port.to_string()))
}
