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

/// The table, and what it was when shown last.
pub struct Table {
    clock: Arc<dyn Clock>,
    overview: Box<dyn Fn() -> Overview + Send + Sync>,
    exporter: Part,
    /// Samples, and when they were counted.
    before: Option<(u64, Duration)>,
    rate: f64,
    lines_shown: usize,
}

impl Table {
    /// A table over the server's figures.
    pub fn new(
        clock: Arc<dyn Clock>,
        overview: impl Fn() -> Overview + Send + Sync + 'static,
        exporter: Part,
    ) -> Table {
        let overview = Box::new(overview);
        Table {
            clock,
            overview,
            exporter,
            before: None,
            rate: 0.0,
            lines_shown: 0,
        }
    }

    /// Whether the server and all its targets answer.
    pub fn is_settled(&self) -> bool {
        let overview = (self.overview)();
        overview.ready && overview.targets > 0 && overview.targets_up == overview.targets
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
        let overview = (self.overview)();
        let now = self.clock.monotonic();
        if let Some((samples, at)) = self.before {
            let seconds = now.saturating_sub(at).as_secs_f64();
            if seconds > 0.0 {
                let fresh = overview.samples.saturating_sub(samples) as f64 / seconds;
                // Scrapes come in bursts: a slow average reads better than their beat.
                self.rate = if self.rate == 0.0 {
                    fresh
                } else {
                    self.rate * 0.8 + fresh * 0.2
                };
            }
        }
        self.before = Some((overview.samples, now));
        let memory = net::process::usage().resident_bytes;
        format(&overview, &self.exporter, self.rate, memory)
    }
}

fn format(overview: &Overview, exporter: &Part, rate: f64, memory: u64) -> String {
    let state = if overview.ready {
        "ready"
    } else {
        "reading its log"
    };
    let url = |addresses: &[String]| {
        addresses
            .iter()
            .map(|a| format!("http://{a}"))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let mut out = format!("{:<15} {:<28} {}\n", "PART", "ADDRESS", "STATE");
    out.push_str(&format!(
        "{:<15} {:<28} {state}\n",
        "prometheus",
        url(&overview.addresses)
    ));
    out.push_str(&format!(
        "{:<15} {:<28} ready\n",
        exporter.name,
        url(&exporter.addresses)
    ));
    out.push_str(&format!(
        "\ntargets up {}/{}   active series {}   samples/s {:.0}   memory {:.1} MiB\n",
        overview.targets_up,
        overview.targets,
        overview.series,
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
            format(&overview, &part, 82.4, 20 << 20),
            "PART            ADDRESS                      STATE\n\
             prometheus      http://127.0.0.1:9090        ready\n\
             node-exporter   http://127.0.0.1:9100        ready\n\
             \n\
             targets up 1/2   active series 1234   samples/s 82   memory 20.0 MiB\n"
        );
    }
}
