//! The short table that `titan up` shows: parts, addresses, and how they fare.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use env::Clock;
use prometheus::Overview;

/// A part that has nothing to tell but where it is.
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// Where it listens.
    pub addresses: Vec<String>,
}

/// Tells how a server fares.
pub type OverviewOf = Box<dyn Fn() -> Overview + Send + Sync>;

/// The table, and what it was when shown last.
pub struct Table {
    clock: Arc<dyn Clock>,
    servers: Vec<OverviewOf>,
    exporter: Part,
    /// Samples, and when they were counted.
    before: Option<(u64, Duration)>,
    rate: f64,
    lines_shown: usize,
}

impl Table {
    /// A table over the servers' figures.
    pub fn new(clock: Arc<dyn Clock>, servers: Vec<OverviewOf>, exporter: Part) -> Table {
        Table {
            clock,
            servers,
            exporter,
            before: None,
            rate: 0.0,
            lines_shown: 0,
        }
    }

    fn overviews(&self) -> Vec<Overview> {
        self.servers.iter().map(|overview| overview()).collect()
    }

    /// Whether the servers and all their targets answer.
    pub fn is_settled(&self) -> bool {
        let settled = |o: &Overview| o.ready && o.targets > 0 && o.targets_up == o.targets;
        self.overviews().iter().all(settled)
    }

    /// Prints the table once.
    pub fn print(&mut self) {
        let text = self.render();
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
    }

    /// Draws the table over the one drawn before.
    pub fn redraw(&mut self) {
        let text = self.render();
        let mut out = String::new();
        if self.lines_shown > 0 {
            out.push_str(&format!("\x1b[{}A", self.lines_shown));
        }
        for line in text.lines() {
            out.push_str(&format!("\x1b[2K{line}\n"));
        }
        self.lines_shown = text.lines().count();
        let mut stdout = std::io::stdout().lock();
        let _ = stdout.write_all(out.as_bytes());
        let _ = stdout.flush();
    }

    fn render(&mut self) -> String {
        let servers = self.overviews();
        let samples_now: u64 = servers.iter().map(|server| server.samples).sum();
        let now = self.clock.monotonic();
        if let Some((samples, at)) = self.before {
            let seconds = now.saturating_sub(at).as_secs_f64();
            if seconds > 0.0 {
                let fresh = samples_now.saturating_sub(samples) as f64 / seconds;
                // Scrapes come in bursts: a slow average reads better than their beat.
                self.rate = if self.rate == 0.0 {
                    fresh
                } else {
                    self.rate * 0.8 + fresh * 0.2
                };
            }
        }
        self.before = Some((samples_now, now));
        let memory = net::process::usage().resident_bytes;
        format(&servers, &self.exporter, self.rate, memory)
    }
}

fn format(servers: &[Overview], exporter: &Part, rate: f64, memory: u64) -> String {
    let url = |addresses: &[String]| {
        addresses
            .iter()
            .map(|a| format!("http://{a}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut out = format!("{:<15} {:<28} {}\n", "PART", "ADDRESS", "STATE");
    for server in servers {
        let state = if server.ready {
            "ready"
        } else {
            "reading its log"
        };
        let address = url(&server.addresses);
        out.push_str(&format!("{:<15} {address:<28} {state}\n", "prometheus"));
    }
    let sum = |figure: fn(&Overview) -> u64| servers.iter().map(figure).sum::<u64>();
    out.push_str(&format!(
        "{:<15} {:<28} ready\n",
        exporter.name,
        url(&exporter.addresses)
    ));
    out.push_str(&format!(
        "\ntargets up {}/{}   active series {}   samples/s {:.0}   memory {:.1} MiB\n",
        sum(|o| o.targets_up as u64),
        sum(|o| o.targets as u64),
        sum(|o| o.series),
        rate,
        memory as f64 / 1_048_576.0
    ));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_well() {
        let overview = Overview {
            addresses: vec!["127.0.0.1:9090".into()],
            ready: true,
            targets_up: 1,
            targets: 2,
            series: 1234,
            samples: 5,
        };
        let part = Part {
            name: "node-exporter",
            addresses: vec!["127.0.0.1:9100".into()],
        };
        assert_eq!(
            format(&[overview], &part, 82.4, 20 << 20),
            "PART            ADDRESS                      STATE\n\
             prometheus      http://127.0.0.1:9090        ready\n\
             node-exporter   http://127.0.0.1:9100        ready\n\
             \n\
             targets up 1/2   active series 1234   samples/s 82   memory 20.0 MiB\n"
        );
    }
}
