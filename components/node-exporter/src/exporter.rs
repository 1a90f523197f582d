//! The exporter: its collectors, made once, and the families they give when asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use env::clock::Clock;
use model::MetricFamily;

use crate::collector::{CollectError, Collector};
use crate::config::{Config, ConfigError};
use crate::registry;
use crate::self_metrics::{self, HandlerCounts};
use crate::sink::Sink;

/// The machine's metrics, ready to be collected.
pub struct NodeExporter {
    config: Config,
    clock: Arc<dyn Clock>,
    collectors: Vec<(&'static str, Box<dyn Collector>)>,
    pub(crate) counts: HandlerCounts,
    gathering_errors: AtomicU64,
}

/// Which of the running collectors one scrape wants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Selection {
    /// All.
    #[default]
    All,
    /// These only.
    Only(Vec<&'static str>),
}

/// A choice of collectors that cannot be served. The texts are upstream's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// `collect[]` and `exclude[]` at once.
    #[error("Combined collect and exclude queries are not allowed.")]
    Combined,
    /// There is no such collector.
    #[error(
        "Couldn't create filtered metrics handler: couldn't create collector: missing collector: {0}"
    )]
    Missing(String),
    /// There is, but it does not run here.
    #[error(
        "Couldn't create filtered metrics handler: couldn't create collector: disabled collector: {0}"
    )]
    Disabled(String),
}

impl NodeExporter {
    /// Makes all chosen collectors. Fails where upstream refuses to start.
    pub fn new(config: Config, clock: Arc<dyn Clock>) -> Result<NodeExporter, ConfigError> {
        for (flag, path) in [
            ("procfs", &config.paths.procfs),
            ("sysfs", &config.paths.sysfs),
        ] {
            if !path.is_dir() {
                let path = path.display();
                return Err(ConfigError(format!(
                    "--path.{flag}: {path} is not a directory"
                )));
            }
        }
        let mut collectors = Vec::new();
        for spec in registry::COLLECTORS
            .iter()
            .filter(|spec| config.collectors.contains(spec.name))
        {
            let collector = (spec.make)(&config, &clock).map_err(|error| {
                ConfigError(format!("couldn't create {} collector: {error}", spec.name))
            })?;
            collectors.push((spec.name, collector));
        }
        for name in registry::NOT_BUILT
            .iter()
            .copied()
            .filter(|name| config.collectors.contains(name))
        {
            let refuse = move |_: &mut Sink| {
                Err(CollectError::failed(format!(
                    "collector {name} is not available in this build"
                )))
            };
            collectors.push((name, Box::new(refuse) as Box<dyn Collector>));
        }
        Ok(NodeExporter {
            config,
            clock,
            collectors,
            counts: HandlerCounts::default(),
            gathering_errors: AtomicU64::new(0),
        })
    }

    /// The configuration it was made with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Turns the query parameters `collect[]` and `exclude[]` into a selection.
    pub fn select(
        &self,
        collect: &[String],
        exclude: &[String],
    ) -> Result<Selection, SelectionError> {
        if !collect.is_empty() && !exclude.is_empty() {
            return Err(SelectionError::Combined);
        }
        let running = |name: &str| self.collectors.iter().map(|(n, _)| *n).find(|n| *n == name);
        if !collect.is_empty() {
            let mut chosen = Vec::new();
            for name in collect {
                match (running(name), registry::find(name)) {
                    (Some(name), _) => chosen.push(name),
                    (None, Some(_)) => return Err(SelectionError::Disabled(name.clone())),
                    (None, None) => return Err(SelectionError::Missing(name.clone())),
                }
            }
            return Ok(Selection::Only(chosen));
        }
        if !exclude.is_empty() {
            let chosen: Vec<&'static str> = self
                .collectors
                .iter()
                .map(|(name, _)| *name)
                .filter(|name| !exclude.iter().any(|out| out == name))
                .collect();
            // Upstream takes "nothing left" for "no filter".
            return Ok(if chosen.is_empty() {
                Selection::All
            } else {
                Selection::Only(chosen)
            });
        }
        Ok(Selection::All)
    }

    /// Asks the selected collectors and gives all families of the page, sorted.
    pub fn collect(&self, selection: &Selection) -> Vec<MetricFamily> {
        let mut sink = Sink::new();
        for (name, collector) in &self.collectors {
            if matches!(selection, Selection::Only(chosen) if !chosen.contains(name)) {
                continue;
            }
            let start = self.clock.monotonic();
            let outcome = collector.update(&mut sink);
            let seconds = self.clock.monotonic().saturating_sub(start).as_secs_f64();
            match &outcome {
                Ok(()) => tracing::debug!(name, duration_seconds = seconds, "collector succeeded"),
                Err(CollectError::NoData) => {
                    tracing::debug!(
                        name,
                        duration_seconds = seconds,
                        "collector returned no data"
                    );
                }
                Err(error) => {
                    tracing::error!(name, duration_seconds = seconds, err = %error, "collector failed");
                }
            }
            let labels = [("collector", *name)];
            let help = "node_exporter: Duration of a collector scrape.";
            sink.gauge("scrape_collector_duration_seconds", help, &labels, seconds);
            let success = if outcome.is_ok() { 1.0 } else { 0.0 };
            let help = "node_exporter: Whether a collector succeeded.";
            sink.gauge("scrape_collector_success", help, &labels, success);
        }
        self_metrics::build_info(&self.config.build, &mut sink);
        if !self.config.disable_exporter_metrics {
            let gathering = self.gathering_errors.load(Ordering::Relaxed);
            self_metrics::process(&mut sink);
            self.counts.families(gathering, &mut sink);
        }
        let (families, refused) = sink.finish();
        if !refused.is_empty() {
            tracing::warn!(first = %refused[0], count = refused.len(), "error gathering metrics");
            self.gathering_errors.fetch_add(1, Ordering::Relaxed);
        }
        families
    }

    /// Collector names in the order they run.
    pub fn collector_names(&self) -> impl Iterator<Item = &'static str> {
        self.collectors.iter().map(|(name, _)| *name)
    }
}

/// Collects once with a configuration: everything the page would show.
pub fn collect(config: &Config, clock: Arc<dyn Clock>) -> Result<Vec<MetricFamily>, ConfigError> {
    Ok(NodeExporter::new(config.clone(), clock)?.collect(&Selection::All))
}
