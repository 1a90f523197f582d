//! Chosen sysctl values, numeric or textual.

use crate::collector::{CollectError, Collector};
use crate::collectors::rapl::sanitize;
use crate::config::{Config, ConfigError};
use crate::files::{Paths, read};
use crate::sink::Sink;

/// One chosen value.
struct Choice {
    name: String,
    keys: Vec<String>,
    numeric: bool,
}

/// The collector.
pub struct Sysctl {
    paths: Paths,
    choices: Vec<Choice>,
}

impl Sysctl {
    /// Reads `a.b.c[:key,key]`.
    pub fn new(config: &Config) -> Result<Sysctl, ConfigError> {
        let mut choices = Vec::new();
        for (list, numeric) in [
            (&config.options.sysctl_include, true),
            (&config.options.sysctl_include_info, false),
        ] {
            for text in list {
                let (name, keys) = match text.split_once(':') {
                    Some((_, "")) => {
                        return Err(ConfigError(format!("unable to parse {text}")));
                    }
                    Some((name, keys)) => (name, keys.split(',').map(str::to_string).collect()),
                    None => (text.as_str(), Vec::new()),
                };
                choices.push(Choice {
                    name: name.to_string(),
                    keys,
                    numeric,
                });
            }
        }
        Ok(Sysctl {
            paths: config.paths.clone(),
            choices,
        })
    }
}

impl Collector for Sysctl {
    fn update(&self, sink: &mut Sink) -> Result<(), CollectError> {
        for choice in &self.choices {
            let file = self.paths.proc("sys").join(choice.name.replace('.', "/"));
            let text = read(&file)?;
            let values: Vec<&str> = text.split_ascii_whitespace().collect();
            if choice.numeric {
                choice.numbers(&values, sink)?;
            } else {
                for (i, value) in values.iter().enumerate() {
                    let index = i.to_string();
                    let labels = [
                        ("name", choice.name.as_str()),
                        ("value", value),
                        ("index", index.as_str()),
                    ];
                    sink.gauge("sysctl_info", "sysctl info", &labels, 1.0);
                }
            }
        }
        Ok(())
    }
}

impl Choice {
    fn numbers(&self, values: &[&str], sink: &mut Sink) -> Result<(), CollectError> {
        let metric = format!("sysctl_{}", sanitize(&self.name.replace('.', "_")));
        let mut numbers = Vec::with_capacity(values.len());
        for value in values {
            numbers.push(value.parse::<i64>().map_err(|_| {
                CollectError::failed(format!(
                    "error obtaining sysctl info: {}: {value:?}",
                    self.name
                ))
            })? as f64);
        }
        if !self.keys.is_empty() {
            if self.keys.len() != numbers.len() {
                return Err(CollectError::failed(format!(
                    "mismatch between {} keys and {} values of {}",
                    self.keys.len(),
                    numbers.len(),
                    self.name
                )));
            }
            for (i, (key, value)) in self.keys.iter().zip(numbers).enumerate() {
                let help = format!("sysctl {}, field {i}", self.name);
                sink.untyped(&format!("{metric}_{}", sanitize(key)), &help, &[], value);
            }
            return Ok(());
        }
        let help = format!("sysctl {}", self.name);
        if let [value] = numbers[..] {
            sink.untyped(&metric, &help, &[], value);
            return Ok(());
        }
        for (i, value) in numbers.into_iter().enumerate() {
            sink.untyped(&metric, &help, &[("index", &i.to_string())], value);
        }
        Ok(())
    }
}
