//! What the parts of `titan up` are told: ports, the servers' configuration files, and the rules.

use std::io;
use std::path::{Path, PathBuf};

use env::Disk as _;
use env::disk::write_atomically;
use env::system::SystemDisk;

/// Where each part listens: upstream's default ports, all moved by the same offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The first server; the others of the set follow.
    pub prometheus: u16,
    /// The machine's metrics.
    pub node_exporter: u16,
}

impl Ports {
    /// Reads `--port-offset`.
    pub fn with_offset(text: &str) -> Result<Ports, String> {
        let refuse = || {
            format!(
                "--port-offset: {text:?} must be a whole number that keeps all ports below 65536"
            )
        };
        let offset: u16 = text.parse().map_err(|_| refuse())?;
        let port = |base: u16| base.checked_add(offset).ok_or_else(refuse);
        Ok(Ports {
            prometheus: port(9090)?,
            node_exporter: port(9100)?,
        })
    }

    /// The address to listen on. Nothing asks for passwords yet, so only this machine is served.
    pub fn listen(&self, port: u16) -> String {
        format!("127.0.0.1:{port}")
    }
}

/// The most servers of a set: their ports must not reach the exporter's.
pub const REPLICAS_MAX: u16 = 9;

/// One server of a set that watches the same things.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Its configuration.
    pub config: PathBuf,
    /// Its data.
    pub data: PathBuf,
    /// Where it listens.
    pub port: u16,
}

/// Rules for the machine and for the stack itself, by file name.
const RULES: [(&str, &str); 2] = [
    (
        "machine.yml",
        include_str!("../../../deploy/rules/machine.yml"),
    ),
    ("stack.yml", include_str!("../../../deploy/rules/stack.yml")),
];

/// Writes rules and the servers' configurations into the data folder.
pub fn write(data: &Path, ports: &Ports, replicas: u16) -> io::Result<Vec<Replica>> {
    let rules = data.join("rules/titan");
    for dir in [rules.clone(), data.join("jobs"), data.join("alertmanagers")] {
        SystemDisk.create_dir_all(&dir)?;
    }
    for (name, text) in RULES {
        write_atomically(&SystemDisk, &rules.join(name), text.as_bytes())?;
    }
    (0..replicas)
        .map(|number| {
            // The first keeps the names that a single server has.
            let suffix = match number {
                0 => String::new(),
                other => format!("-{other}"),
            };
            let config = data.join(format!("prometheus{suffix}.yml"));
            let text = text(ports, number, replicas);
            write_atomically(&SystemDisk, &config, text.as_bytes())?;
            Ok(Replica {
                config,
                data: data.join(format!("prometheus{suffix}")),
                port: ports.prometheus + number,
            })
        })
        .collect()
}

fn text(ports: &Ports, number: u16, replicas: u16) -> String {
    let servers: Vec<String> = (0..replicas)
        .map(|other| format!("'localhost:{}'", ports.prometheus + other))
        .collect();
    format!(
        "# Written by titan up at every start; changes are lost.\n\
         global:\n  scrape_interval: 15s\n  evaluation_interval: 15s\n  external_labels:\n    prometheus_replica: prometheus-{number}\n\
         # Rules of your own: titan-data/rules/*.yml. Those in rules/titan are written anew at every start.\n\
         rule_files: ['rules/titan/*.yml', 'rules/*.yml']\n\
         alerting:\n\
         # The servers of a set see the same: what tells them apart must not make two alerts of one.\n\
         \x20 alert_relabel_configs:\n  - action: labeldrop\n    regex: prometheus_replica\n\
         # Alertmanagers, in files of your own: titan-data/alertmanagers/*.yml with a list of groups `- targets: [...]`.\n\
         \x20 alertmanagers:\n  - file_sd_configs:\n    - files: ['alertmanagers/*.yml']\n\
         scrape_configs:\n\
         - job_name: prometheus\n  static_configs:\n  - targets: [{}]\n\
         - job_name: node\n  static_configs:\n  - targets: ['localhost:{}']\n\
         # More jobs, in files of your own: titan-data/jobs/*.yml with a list `scrape_configs`.\n\
         scrape_config_files: ['jobs/*.yml']\n",
        servers.join(", "),
        ports.node_exporter
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_move_together() {
        let ports = Ports::with_offset("10").expect("fits");
        assert_eq!((ports.prometheus, ports.node_exporter), (9100, 9110));
        assert!(Ports::with_offset("60000").is_err() && Ports::with_offset("x").is_err());
        assert!(text(&ports, 0, 1).contains("localhost:9110"));
    }

    #[test]
    fn every_server_of_the_set_has_its_own_files_and_watches_all() {
        let dir = tempfile::tempdir().expect("a folder");
        let ports = Ports::with_offset("0").expect("fits");
        let replicas = write(dir.path(), &ports, 2).expect("written");
        assert_eq!((replicas[0].port, replicas[1].port), (9090, 9091));
        assert_ne!(replicas[0].data, replicas[1].data);
        for (number, replica) in replicas.iter().enumerate() {
            let text = std::fs::read_to_string(&replica.config).expect("readable");
            let config = configfile::Config::parse(&text, &|_| None).expect("a configuration");
            let label = config.global.external_labels.get("prometheus_replica");
            assert_eq!(label, Some(format!("prometheus-{number}").as_str()));
            assert!(text.contains("['localhost:9090', 'localhost:9091']"));
            assert_eq!(config.alerting.alertmanagers.len(), 1);
        }
    }
}
