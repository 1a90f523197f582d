//! Interrupts by processor and source, from `interrupts`.

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError};
use crate::files::{Paths, read};
use crate::filter::Filter;
use crate::sink::Sink;

/// The collector.
pub struct Interrupts {
    paths: Paths,
    filter: Filter,
    zeros: bool,
}

impl Interrupts {
    /// Compiles the filter.
    pub fn new(config: &Config) -> Result<Interrupts, ConfigError> {
        let options = &config.options;
        Ok(Interrupts {
            paths: config.paths.clone(),
            filter: Filter::new(
                &options.interrupts_name_exclude,
                &options.interrupts_name_include,
            )?,
            zeros: options.interrupts_include_zeros,
        })
    }
}

impl Collector for Interrupts {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        let text = read(&self.paths.proc("interrupts"))?;
        let mut lines = text.lines();
        let cpus = lines
            .next()
            .map_or(0, |line| line.split_ascii_whitespace().count());
        if cpus == 0 {
            return Err(CollectError::failed(
                "couldn't get interrupts: the file is empty",
            ));
        }
        for line in lines {
            let Some((name, rest)) = line.split_once(':') else {
                continue;
            };
            let name = name.trim();
            let words: Vec<&str> = rest.split_ascii_whitespace().collect();
            // Totals such as `ERR` have no columns per processor.
            if words.len() < cpus {
                continue;
            }
            let (counts, about) = words.split_at(cpus);
            // Numbered ones name controller and devices, the others have a description.
            let (info, devices) = match about {
                [info, devices @ ..] if name.bytes().all(|b| b.is_ascii_digit()) => {
                    (info.to_string(), devices.join(" "))
                }
                about => (about.join(" "), String::new()),
            };
            if self.filter.ignores(&format!("{name};{info};{devices}")) {
                continue;
            }
            for (cpu, count) in counts.iter().enumerate() {
                let count: f64 = count.parse().map_err(|_| {
                    CollectError::failed(format!("invalid value {count} in interrupts"))
                })?;
                if count == 0.0 && !self.zeros {
                    continue;
                }
                let cpu = cpu.to_string();
                let labels = [
                    ("cpu", cpu.as_str()),
                    ("type", name),
                    ("info", info.as_str()),
                    ("devices", devices.as_str()),
                ];
                sink.counter("interrupts_total", "Interrupt details.", &labels, count);
            }
        }
        Ok(())
    }
}
