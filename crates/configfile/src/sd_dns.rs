//! `dns_sd_configs`

use crate::decode::{ConfigError, Faults, Fields};
use crate::yaml::Node;

/// `dns_sd_configs[]`
#[derive(Clone, Debug, PartialEq)]
pub struct DnsSdConfig {
    /// Names to ask for.
    pub names: Vec<String>,
    /// What to ask for.
    pub record: DnsRecord,
    /// The port of what is found; SRV records bring their own.
    pub port: u16,
    /// Milliseconds between questions.
    pub refresh_interval: i64,
}

/// The record types that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs)]
pub enum DnsRecord {
    Srv,
    A,
    Aaaa,
    Mx,
    Ns,
}

impl DnsRecord {
    const ALL: [(&'static str, DnsRecord); 5] = [
        ("SRV", DnsRecord::Srv),
        ("A", DnsRecord::A),
        ("AAAA", DnsRecord::Aaaa),
        ("MX", DnsRecord::Mx),
        ("NS", DnsRecord::Ns),
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        DnsRecord::ALL
            .iter()
            .find(|(_, r)| *r == self)
            .map_or("", |(name, _)| name)
    }
}

pub(crate) fn read(node: &Node, faults: &mut Faults) -> Result<DnsSdConfig, ConfigError> {
    let refuse = |message: String| Err(ConfigError::at(node.line, message));
    let mut fields = Fields::open(node, "dns.plain", faults);
    let names = fields.strings("names", faults).unwrap_or_default();
    let kind = fields.string("type", faults).unwrap_or_default();
    let port = fields.int("port", faults).unwrap_or(0);
    let refresh_interval = fields
        .duration("refresh_interval", faults)?
        .unwrap_or(30_000);
    fields.close_sound(faults)?;
    if names.is_empty() {
        return refuse("DNS-SD config must contain at least one SRV record name".into());
    }
    let upper = if kind.is_empty() {
        "SRV".to_string()
    } else {
        kind.to_ascii_uppercase()
    };
    let Some((_, record)) = DnsRecord::ALL.iter().find(|(name, _)| *name == upper) else {
        return refuse(format!("invalid DNS-SD records type {kind}"));
    };
    if *record != DnsRecord::Srv && port == 0 {
        return refuse(
            "a port is required in DNS-SD configs for all record types except SRV".into(),
        );
    }
    let Ok(port) = u16::try_from(port) else {
        return refuse(format!("port {port} is not between 0 and 65535"));
    };
    Ok(DnsSdConfig {
        names,
        record: *record,
        port,
        refresh_interval,
    })
}
