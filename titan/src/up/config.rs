//! What the parts of `titan up` are told: ports, and the server's configuration file.

use std::io;
use std::path::{Path, PathBuf};

use env::Disk as _;
use env::disk::write_atomically;
use env::system::SystemDisk;

/// Where each part listens: upstream's default ports, all moved by the same offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// The server.
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

/// Writes the server's configuration into the data folder and gives its path.
pub fn write(data: &Path, ports: &Ports) -> io::Result<PathBuf> {
    SystemDisk.create_dir_all(data)?;
    let path = data.join("prometheus.yml");
    write_atomically(&SystemDisk, &path, text(ports).as_bytes())?;
    Ok(path)
}

fn text(ports: &Ports) -> String {
    format!(
        "# Written by titan up at every start; changes are lost.\n\
         global:\n  scrape_interval: 15s\n\
         scrape_configs:\n\
         - job_name: prometheus\n  static_configs:\n  - targets: ['localhost:{}']\n\
         - job_name: node\n  static_configs:\n  - targets: ['localhost:{}']\n\
         # More jobs, in files of your own: titan-data/jobs/*.yml with a list `scrape_configs`.\n\
         scrape_config_files: ['jobs/*.yml']\n",
        ports.prometheus, ports.node_exporter
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
        assert!(text(&ports).contains("localhost:9110"));
    }
}
