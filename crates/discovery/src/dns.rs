//! `dns_sd_configs`: targets from SRV, A, AAAA, MX or NS records.

use std::sync::Arc;
use std::time::Duration;

use configfile::sd_dns::{DnsRecord, DnsSdConfig};
use env::instruments::Counter;
use env::{Clock, Registry};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::ResolveHosts;
use hickory_resolver::proto::rr::{RData, RecordType};
use model::{Labels, LabelsBuilder};

use crate::asker::Asker;
use crate::group::{ADDRESS, TargetGroup};
use crate::refresh::RefreshMetrics;

const NAME: &str = "__meta_dns_name";
const SRV_TARGET: &str = "__meta_dns_srv_record_target";
const SRV_PORT: &str = "__meta_dns_srv_record_port";
const MX_TARGET: &str = "__meta_dns_mx_record_target";
const NS_TARGET: &str = "__meta_dns_ns_record_target";

/// Publishes what the records say for as long as it is polled. A failed lookup keeps what was there.
pub async fn run(
    config: DnsSdConfig,
    asker: Asker,
    clock: Arc<dyn Clock>,
    registry: Registry,
    refreshes: RefreshMetrics,
    publish: impl Fn(Vec<TargetGroup>) + Send,
) {
    let (lookups, failures) = counters(&registry);
    let interval = Duration::from_millis(config.refresh_interval.max(1) as u64);
    let mut found: Vec<TargetGroup> = Vec::new();
    loop {
        let began = clock.monotonic();
        // The machine's resolver configuration may have changed since the last time.
        let resolver = TokioResolver::builder_tokio().and_then(|mut builder| {
            // What is asked for are records; the machine's own list of hosts has none.
            builder.options_mut().use_hosts_file = ResolveHosts::Never;
            builder.build()
        });
        let mut failed = false;
        for name in &config.names {
            lookups.inc();
            let result = match &resolver {
                Ok(resolver) => look_up(resolver, name, config.record).await,
                Err(error) => Err(error.to_string()),
            };
            match result {
                Ok(records) => {
                    let group = group_of(name, &records, config.port);
                    match found.iter_mut().find(|known| known.source == *name) {
                        Some(known) => *known = group,
                        None => found.push(group),
                    }
                }
                Err(error) => {
                    failed = true;
                    failures.inc();
                    tracing::error!(component = %asker.component, discovery = "dns", config = %asker.config, name = %name, err = %error, "Error refreshing DNS targets");
                }
            }
        }
        refreshes.note(clock.monotonic().saturating_sub(began), failed);
        publish(found.clone());
        clock.sleep(interval).await;
    }
}

/// Lookups, and those that failed, of all jobs.
pub(crate) fn counters(registry: &Registry) -> (Counter, Counter) {
    let lookups = registry.counter(
        "prometheus_sd_dns_lookups_total",
        "The number of DNS-SD lookups.",
    );
    let failures = registry.counter(
        "prometheus_sd_dns_lookup_failures_total",
        "The number of DNS-SD lookup failures.",
    );
    (lookups, failures)
}

fn record_type(record: DnsRecord) -> RecordType {
    match record {
        DnsRecord::Srv => RecordType::SRV,
        DnsRecord::A => RecordType::A,
        DnsRecord::Aaaa => RecordType::AAAA,
        DnsRecord::Mx => RecordType::MX,
        DnsRecord::Ns => RecordType::NS,
    }
}

/// The records of a name; none where the name does not exist.
async fn look_up(
    resolver: &TokioResolver,
    name: &str,
    record: DnsRecord,
) -> Result<Vec<RData>, String> {
    match resolver.lookup(name, record_type(record)).await {
        Ok(lookup) => Ok(lookup
            .answers()
            .iter()
            .map(|answer| answer.data.clone())
            .collect()),
        Err(error) if error.is_no_records_found() || error.is_nx_domain() => Ok(Vec::new()),
        Err(error) => Err(error.to_string()),
    }
}

/// The targets of a name.
fn group_of(name: &str, records: &[RData], port: u16) -> TargetGroup {
    TargetGroup {
        source: name.to_string(),
        labels: Labels::empty(),
        targets: records
            .iter()
            .filter_map(|record| target(name, record, port))
            .collect(),
    }
}

fn target(name: &str, record: &RData, port: u16) -> Option<Labels> {
    let mut builder = LabelsBuilder::new(&Labels::empty());
    builder.set(NAME, name);
    let bare = |target: &str| target.trim_end_matches('.').to_string();
    let address = match record {
        RData::SRV(srv) => {
            let target = srv.target.to_string();
            builder.set(SRV_TARGET, target.clone());
            builder.set(SRV_PORT, srv.port.to_string());
            join(&bare(&target), srv.port)
        }
        RData::MX(mx) => {
            let target = mx.exchange.to_string();
            builder.set(MX_TARGET, target.clone());
            join(&bare(&target), port)
        }
        RData::NS(ns) => {
            let target = ns.0.to_string();
            builder.set(NS_TARGET, target.clone());
            join(&bare(&target), port)
        }
        RData::A(a) => join(&a.0.to_string(), port),
        RData::AAAA(aaaa) => join(&aaaa.0.to_string(), port),
        // CNAME records on the way to the answer, and what nobody asked for.
        _ => return None,
    };
    builder.set(ADDRESS, address);
    Some(builder.build())
}

fn join(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_resolver::config::{
        ConnectionConfig, NameServerConfig, ResolverConfig, ResolverOpts,
    };
    use hickory_resolver::net::runtime::TokioRuntimeProvider;
    use hickory_resolver::proto::op::{Message, ResponseCode};
    use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, NS, SRV};
    use hickory_resolver::proto::rr::{Name, Record};
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn name(text: &str) -> Name {
        Name::from_ascii(text).expect("a name")
    }

    #[test]
    fn recorded_answers_of_every_type() {
        let records = [
            RData::SRV(SRV::new(0, 0, 3306, name("db1.example.com."))),
            RData::MX(MX::new(10, name("mail.example.com."))),
            RData::NS(NS(name("ns.example.com."))),
            RData::A(A(Ipv4Addr::new(192, 0, 2, 2))),
            RData::AAAA(AAAA("::1".parse::<Ipv6Addr>().expect("an address"))),
            RData::CNAME(CNAME(name("other.example.com."))),
        ];
        let group = group_of("web.example.com.", &records, 80);
        let shown: Vec<String> = group.targets.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                r#"{__address__="db1.example.com:3306", __meta_dns_name="web.example.com.", __meta_dns_srv_record_port="3306", __meta_dns_srv_record_target="db1.example.com."}"#,
                r#"{__address__="mail.example.com:80", __meta_dns_mx_record_target="mail.example.com.", __meta_dns_name="web.example.com."}"#,
                r#"{__address__="ns.example.com:80", __meta_dns_name="web.example.com.", __meta_dns_ns_record_target="ns.example.com."}"#,
                r#"{__address__="192.0.2.2:80", __meta_dns_name="web.example.com."}"#,
                r#"{__address__="[::1]:80", __meta_dns_name="web.example.com."}"#,
            ]
        );
        assert_eq!(group.source, "web.example.com.");
    }

    /// A name server that knows one name, fails for another and denies the rest.
    async fn name_server() -> TokioResolver {
        let socket = tokio::net::UdpSocket::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let port = socket.local_addr().expect("address").port();
        tokio::spawn(async move {
            let mut buffer = [0; 2048];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                let Ok(request) = Message::from_vec(&buffer[..length]) else {
                    continue;
                };
                let query = request.queries[0].clone();
                let mut answer = request.clone().into_response();
                match query.name().to_ascii().as_str() {
                    "known.test." => {
                        let data = RData::A(A(Ipv4Addr::new(192, 0, 2, 9)));
                        answer.add_answer(Record::from_rdata(query.name().clone(), 1, data));
                    }
                    "broken.test." => answer.metadata.response_code = ResponseCode::ServFail,
                    _ => answer.metadata.response_code = ResponseCode::NXDomain,
                }
                let bytes = answer.to_vec().expect("encodes");
                let _ = socket.send_to(&bytes, from).await;
            }
        });
        let mut connection = ConnectionConfig::udp();
        connection.port = port;
        let server = NameServerConfig::new(
            std::net::IpAddr::V4(Ipv4Addr::LOCALHOST),
            true,
            vec![connection],
        );
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut options = ResolverOpts::default();
        options.attempts = 1;
        TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
            .with_options(options)
            .build()
            .expect("a resolver")
    }

    #[tokio::test]
    async fn a_name_that_is_gone_has_no_targets_and_a_failure_is_one() {
        let resolver = name_server().await;
        let known = look_up(&resolver, "known.test.", DnsRecord::A).await;
        assert_eq!(known.map(|records| records.len()), Ok(1));
        let gone = look_up(&resolver, "gone.test.", DnsRecord::A).await;
        assert_eq!(gone, Ok(Vec::new()));
        assert!(
            look_up(&resolver, "broken.test.", DnsRecord::A)
                .await
                .is_err()
        );
    }
}
