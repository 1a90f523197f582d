//! `prometheus.yml`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use model::Labels;
use model::relabel::NameValidation;

use crate::alerting::AlertingConfig;
use crate::decode::{ConfigError, Faults, Fields};
use crate::remote::{RemoteReadConfig, RemoteWriteConfig, unique_names};
use crate::scrape::{
    HistogramChoices, NameEscaping, ScrapeConfig, ScrapeLimits, ScrapeProtocol, take_escaping,
    take_protocols, take_validation,
};
use crate::sd::{SdConfig, star_only_in_last_element};
use crate::yaml::Node;

/// The whole configuration of a server, checked.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Defaults for all jobs.
    pub global: Global,
    /// Jobs, those of `scrape_config_files` after those of the file itself.
    pub scrape_configs: Vec<ScrapeConfig>,
    /// Globs of further files with jobs.
    pub scrape_config_files: Vec<String>,
    /// Globs of rule files.
    pub rule_files: Vec<String>,
    /// Where alerts go.
    pub alerting: AlertingConfig,
    /// Where samples go.
    pub remote_write: Vec<RemoteWriteConfig>,
    /// Who else is asked in queries.
    pub remote_read: Vec<RemoteReadConfig>,
    /// Storage.
    pub storage: StorageConfig,
    /// `runtime.gogc`, kept because it is shown again; it has no meaning here.
    pub gogc: Option<i64>,
    /// Sections with content that this build does not carry out yet, with their line.
    pub not_carried_out: Vec<(&'static str, usize)>,
    /// What the user should know although the file loads.
    pub warnings: Vec<String>,
}

/// `global`
#[derive(Clone, Debug, PartialEq)]
pub struct Global {
    /// Milliseconds.
    pub scrape_interval: i64,
    /// Milliseconds.
    pub scrape_timeout: i64,
    /// Milliseconds between evaluations of a rule group.
    pub evaluation_interval: i64,
    /// Milliseconds that rules look back.
    pub rule_query_offset: i64,
    /// Formats asked for; `None` for the default.
    pub scrape_protocols: Option<Vec<ScrapeProtocol>>,
    /// Labels for everything that leaves the server.
    pub external_labels: Labels,
    /// Where queries are logged.
    pub query_log_file: String,
    /// Where failed scrapes are logged.
    pub scrape_failure_log_file: String,
    /// Limits.
    pub limits: ScrapeLimits,
    /// Which names are legal.
    pub name_validation: NameValidation,
    /// How names are escaped.
    pub name_escaping: NameEscaping,
    /// Histograms.
    pub histograms: HistogramChoices,
    /// More report series.
    pub extra_scrape_metrics: bool,
}

impl Default for Global {
    fn default() -> Global {
        Global {
            scrape_interval: 60_000,
            scrape_timeout: 10_000,
            evaluation_interval: 60_000,
            rule_query_offset: 0,
            scrape_protocols: None,
            external_labels: Labels::empty(),
            query_log_file: String::new(),
            scrape_failure_log_file: String::new(),
            limits: ScrapeLimits::default(),
            name_validation: NameValidation::Utf8,
            name_escaping: NameEscaping::AllowUtf8,
            histograms: HistogramChoices::default(),
            extra_scrape_metrics: false,
        }
    }
}

impl Global {
    /// What a job asks for that says nothing itself: native histograms need protobuf, so it comes first then.
    pub fn scrape_protocols_for(&self, native_histograms: bool) -> Vec<ScrapeProtocol> {
        match &self.scrape_protocols {
            Some(protocols) => protocols.clone(),
            None if native_histograms => ScrapeProtocol::PROTOBUF_FIRST.to_vec(),
            None => ScrapeProtocol::DEFAULT.to_vec(),
        }
    }

    fn read(
        node: &Node,
        defaults: &Global,
        environment: &dyn Fn(&str) -> Option<String>,
        warnings: &mut Vec<String>,
        faults: &mut Faults,
    ) -> Result<Global, ConfigError> {
        let mut fields = Fields::open(node, "config.plain", faults);
        let non_zero = |value: Option<i64>| value.filter(|ms| *ms != 0);
        let scrape_interval = non_zero(fields.duration("scrape_interval", faults)?)
            .unwrap_or(defaults.scrape_interval);
        let timeout = non_zero(fields.duration("scrape_timeout", faults)?);
        if timeout.is_some_and(|timeout| timeout > scrape_interval) {
            return Err(ConfigError::at(
                node.line,
                "global scrape timeout greater than scrape interval",
            ));
        }
        let validation = take_validation(&mut fields, faults)?.unwrap_or_default();
        let escaping = take_escaping(&mut fields, faults, " for global config")?;
        if escaping == Some(NameEscaping::AllowUtf8) && validation == NameValidation::Legacy {
            return Err(ConfigError::at(
                node.line,
                "utf8 metric names requested but validation scheme is not set to UTF8",
            ));
        }
        let global = Global {
            scrape_interval,
            scrape_timeout: timeout.unwrap_or(defaults.scrape_timeout.min(scrape_interval)),
            evaluation_interval: non_zero(fields.duration("evaluation_interval", faults)?)
                .unwrap_or(defaults.evaluation_interval),
            rule_query_offset: fields.duration("rule_query_offset", faults)?.unwrap_or(0),
            scrape_protocols: take_protocols(&mut fields, faults, "for global config")?
                .or_else(|| defaults.scrape_protocols.clone()),
            external_labels: read_external_labels(&mut fields, environment, warnings, faults)?,
            query_log_file: fields.string("query_log_file", faults).unwrap_or_default(),
            scrape_failure_log_file: fields
                .string("scrape_failure_log_file", faults)
                .unwrap_or_default(),
            limits: ScrapeLimits::take(&mut fields, faults, ScrapeLimits::default())?,
            name_validation: validation,
            name_escaping: escaping.unwrap_or(match validation {
                NameValidation::Utf8 => NameEscaping::AllowUtf8,
                NameValidation::Legacy => NameEscaping::Underscores,
            }),
            histograms: HistogramChoices::take(&mut fields, faults, HistogramChoices::default()),
            extra_scrape_metrics: fields
                .bool("extra_scrape_metrics", faults)
                .unwrap_or(defaults.extra_scrape_metrics),
        };
        fields.close(faults);
        Ok(global)
    }
}

fn read_external_labels(
    fields: &mut Fields<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
    warnings: &mut Vec<String>,
    faults: &mut Faults,
) -> Result<Labels, ConfigError> {
    let mut pairs = Vec::new();
    for (name, value, line) in fields.string_map("external_labels", faults) {
        if name.is_empty() {
            return Err(ConfigError::at(
                line,
                format!("{name:?} is not a valid label name"),
            ));
        }
        let expanded = expand_environment(&value, environment, |missing| {
            warnings.push(format!(
                "line {line}: external label {name}: environment variable {missing} is not set"
            ));
        });
        pairs.push((name, expanded));
    }
    Ok(Labels::from_pairs(pairs))
}

/// `$NAME`, `${NAME}`, `$$`, as Go's `os.Expand` reads them.
fn expand_environment(
    text: &str,
    environment: &dyn Fn(&str) -> Option<String>,
    mut missing: impl FnMut(&str),
) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let body = &rest[at + 1..];
        if let Some(after) = body.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (name, after) = match body
            .strip_prefix('{')
            .and_then(|braced| braced.split_once('}'))
        {
            Some(parts) => parts,
            None => body.split_at(
                body.find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                    .unwrap_or(body.len()),
            ),
        };
        if name.is_empty() {
            out.push('$');
            rest = body;
            continue;
        }
        match environment(name) {
            Some(value) => out.push_str(&value),
            None => missing(name),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// `storage`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StorageConfig {
    /// Milliseconds that samples may come late.
    pub out_of_order_time_window: i64,
    /// Takes the place of all retention flags; `None` for these.
    pub retention: Option<RetentionConfig>,
    /// Share of stale series in the head from which they are to be compacted early; 0 for never.
    pub stale_series_compaction_threshold: f64,
    /// How float chunks are to be encoded: empty, `xor` or `xor2`.
    pub float_encoding: String,
    /// Exemplars kept; `None` for the default.
    pub max_exemplars: Option<i64>,
}

/// `storage.tsdb.retention`; what is 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RetentionConfig {
    /// Milliseconds.
    pub time: i64,
    /// Bytes.
    pub size: u64,
    /// Percent of the file system; goes before `size`.
    pub percentage: f64,
}

impl StorageConfig {
    fn read(node: &Node, faults: &mut Faults) -> Result<StorageConfig, ConfigError> {
        let mut storage = StorageConfig::default();
        let mut fields = Fields::open(node, "config.plain", faults);
        if let Some(tsdb) = fields.take("tsdb") {
            storage.read_tsdb(tsdb, faults)?;
        }
        if let Some(exemplars) = fields.take("exemplars") {
            let mut inner = Fields::open(exemplars, "config.plain", faults);
            storage.max_exemplars = inner.int("max_exemplars", faults);
            inner.close(faults);
        }
        fields.close(faults);
        Ok(storage)
    }

    fn read_tsdb(&mut self, node: &Node, faults: &mut Faults) -> Result<(), ConfigError> {
        let mut fields = Fields::open(node, "config.plain", faults);
        self.out_of_order_time_window = fields
            .duration("out_of_order_time_window", faults)?
            .unwrap_or(0);
        self.stale_series_compaction_threshold = fields
            .float("stale_series_compaction_threshold", faults)
            .unwrap_or(0.0);
        if !(0.0..=1.0).contains(&self.stale_series_compaction_threshold) {
            return Err(ConfigError::at(
                node.line,
                "stale_series_compaction_threshold must be between 0 and 1",
            ));
        }
        if let Some(encoding) = fields.take("chunk_encoding") {
            let mut inner = Fields::open(encoding, "config.plain", faults);
            let floats = inner.string("floats", faults).unwrap_or_default();
            self.float_encoding.clone_from(&floats);
            if !["", "xor", "xor2"].contains(&floats.as_str()) {
                return Err(ConfigError::at(
                    encoding.line,
                    format!("unknown chunk encoding for floats {floats:?}, must be xor or xor2"),
                ));
            }
            inner.close(faults);
        }
        if let Some(retention) = fields.take("retention") {
            let mut inner = Fields::open(retention, "config.plain", faults);
            let read = RetentionConfig {
                time: inner.duration("time", faults)?.unwrap_or(0),
                size: inner.size("size", faults)?.unwrap_or(0),
                percentage: inner.float("percentage", faults).unwrap_or(0.0),
            };
            inner.close(faults);
            self.retention = Some(read);
            if !(0.0..=100.0).contains(&read.percentage) {
                let shown = model::number::format_float(read.percentage);
                return Err(ConfigError::at(
                    retention.line,
                    format!(
                        "'storage.tsdb.retention.percentage' must be in the range [0, 100]; provided {shown}"
                    ),
                ));
            }
        }
        fields.close(faults);
        Ok(())
    }
}

impl Config {
    /// Reads the text of a configuration. Paths in it stay as written (see [`Config::resolve_paths`]); files named by
    /// `scrape_config_files` are added with [`Config::add_scrape_config_file`].
    pub fn parse(
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Config, ConfigError> {
        Config::parse_with(text, environment, Global::default())
    }

    /// The same, `defaults` holding where the text says nothing of its own.
    pub fn parse_with(
        text: &str,
        environment: &dyn Fn(&str) -> Option<String>,
        defaults: Global,
    ) -> Result<Config, ConfigError> {
        let node = crate::yaml::parse(text)?;
        let mut faults = Faults::default();
        let result = Config::read(&node, environment, defaults, &mut faults);
        faults.finish(result)
    }

    fn read(
        node: &Node,
        environment: &dyn Fn(&str) -> Option<String>,
        defaults: Global,
        faults: &mut Faults,
    ) -> Result<Config, ConfigError> {
        let mut config = Config {
            global: defaults,
            ..Config::default()
        };
        let mut fields = Fields::open(node, "config.plain", faults);
        if let Some(global) = fields.take("global") {
            let defaults = &config.global;
            config.global =
                Global::read(global, defaults, environment, &mut config.warnings, faults)?;
        }
        if let Some(runtime) = fields.take("runtime") {
            let mut inner = Fields::open(runtime, "config.plain", faults);
            config.gogc = inner.int("gogc", faults);
            inner.close(faults);
        }
        config.rule_files = read_globs(&mut fields, "rule_files", "rule", faults)?;
        config.scrape_config_files =
            read_globs(&mut fields, "scrape_config_files", "scrape config", faults)?;
        let jobs = fields.list("scrape_configs", faults);
        config.read_jobs(&jobs, faults)?;
        if let Some(storage) = fields.take("storage") {
            config.storage = StorageConfig::read(storage, faults)?;
        }
        let validation = config.global.name_validation;
        if let Some(node) = fields.take("alerting") {
            config.alerting = AlertingConfig::read(node, validation, faults)?;
        }
        for node in fields.list("remote_write", faults) {
            let remote = RemoteWriteConfig::read(node, validation, environment, faults)?;
            config.remote_write.push(remote);
            let names = config.remote_write.iter().map(|r| r.name.as_str());
            unique_names("remote write", names, node.line)?;
        }
        for node in fields.list("remote_read", faults) {
            config
                .remote_read
                .push(RemoteReadConfig::read(node, faults)?);
            let names = config.remote_read.iter().map(|r| r.name.as_str());
            unique_names("remote read", names, node.line)?;
        }
        if let Some(node) = fields.take("tracing").filter(|node| has_content(node)) {
            crate::tracing::check(node, faults)?;
            config.not_carried_out.push(("tracing", node.line));
        }
        if let Some(node) = fields.take("otlp") {
            crate::otlp::check(node, validation, faults)?;
            if has_content(node) {
                let line = node.line;
                config.warnings.push(format!(
                    "line {line}: otlp: this build takes no OTLP, so its settings have no effect"
                ));
            }
        }
        fields.close(faults);
        Ok(config)
    }

    fn read_jobs(&mut self, jobs: &[&Node], faults: &mut Faults) -> Result<(), ConfigError> {
        for job in jobs {
            if job.is_null() {
                return Err(ConfigError::at(
                    job.line,
                    "empty or null scrape config section",
                ));
            }
            let job_config = ScrapeConfig::read(job, &self.global, faults)?;
            if self
                .scrape_configs
                .iter()
                .any(|known| known.job_name == job_config.job_name)
            {
                return Err(ConfigError::at(
                    job.line,
                    format!(
                        "found multiple scrape configs with job name {:?}",
                        job_config.job_name
                    ),
                ));
            }
            self.scrape_configs.push(job_config);
        }
        Ok(())
    }

    /// Adds the jobs of a file that `scrape_config_files` matched. Relative paths in it count from its own folder.
    pub fn add_scrape_config_file(&mut self, text: &str, path: &Path) -> Result<(), ConfigError> {
        let shown = path.display().to_string();
        let node = crate::yaml::parse(text).map_err(|e| e.in_file(&shown))?;
        let mut faults = Faults::default();
        let mut fields = Fields::open(&node, "config.ScrapeConfigs", &mut faults);
        let jobs = fields.list("scrape_configs", &mut faults);
        fields.close(&mut faults);
        let before = self.scrape_configs.len();
        let result = self.read_jobs(&jobs, &mut faults);
        faults.finish(result).map_err(|e| e.in_file(&shown))?;
        let dir = path.parent().unwrap_or(Path::new(""));
        for job in &mut self.scrape_configs[before..] {
            job.resolve_paths(dir);
        }
        Ok(())
    }

    /// Makes relative paths count from `dir`, the folder of the configuration file. Jobs of included files must not be
    /// there yet.
    pub fn resolve_paths(&mut self, dir: &Path) {
        let globs = self
            .rule_files
            .iter_mut()
            .chain(&mut self.scrape_config_files);
        let logs = [
            &mut self.global.query_log_file,
            &mut self.global.scrape_failure_log_file,
        ];
        globs.chain(logs).for_each(|path| resolve(dir, path));
        for job in &mut self.scrape_configs {
            job.resolve_paths(dir);
        }
        self.alerting.resolve_paths(dir);
        for remote in &mut self.remote_write {
            remote.resolve_paths(dir);
        }
        for remote in &mut self.remote_read {
            remote.resolve_paths(dir);
        }
    }

    /// Refuses what an agent, having no database, cannot do.
    pub fn check_agent_mode(&self) -> Result<(), ConfigError> {
        for (field, used) in [
            ("alerting", self.alerting != AlertingConfig::default()),
            ("rule_files", !self.rule_files.is_empty()),
            ("remote_read", !self.remote_read.is_empty()),
        ] {
            if used {
                return Err(ConfigError::plain(format!(
                    "field {field} is not allowed in agent mode"
                )));
            }
        }
        Ok(())
    }

    /// The jobs by name.
    pub fn jobs(&self) -> HashMap<&str, &ScrapeConfig> {
        self.scrape_configs
            .iter()
            .map(|job| (job.job_name.as_str(), job))
            .collect()
    }

    /// Discovery mechanisms that jobs ask for and this build lacks, as (job, mechanism).
    pub fn lacking_discovery(&self) -> Vec<(&str, &'static str)> {
        let lacking = |config: &SdConfig| match config {
            SdConfig::Lacking(name) => Some(*name),
            _ => None,
        };
        self.scrape_configs
            .iter()
            .flat_map(|job| {
                let name = job.job_name.as_str();
                job.sd_configs
                    .iter()
                    .filter_map(lacking)
                    .map(move |mechanism| (name, mechanism))
            })
            .collect()
    }
}

impl ScrapeConfig {
    fn resolve_paths(&mut self, dir: &Path) {
        resolve(dir, &mut self.scrape_failure_log_file);
        self.http.resolve_paths(dir);
        self.sd_configs
            .iter_mut()
            .for_each(|sd| sd.resolve_paths(dir));
    }
}

/// Makes a relative path count from `dir`; an empty one stays empty.
pub(crate) fn resolve(dir: &Path, path: &mut String) {
    if !path.is_empty() && Path::new(path.as_str()).is_relative() {
        let joined: PathBuf = dir.join(&path);
        *path = joined.to_string_lossy().into_owned();
    }
}

fn has_content(node: &Node) -> bool {
    match &node.value {
        crate::yaml::Value::Null => false,
        crate::yaml::Value::Sequence(items) => !items.is_empty(),
        crate::yaml::Value::Mapping(pairs) => pairs.iter().any(|(_, value)| has_content(value)),
        crate::yaml::Value::Scalar { .. } => true,
    }
}

fn read_globs(
    fields: &mut Fields<'_>,
    name: &str,
    what: &str,
    faults: &mut Faults,
) -> Result<Vec<String>, ConfigError> {
    let line = fields.line;
    let globs = fields.strings(name, faults).unwrap_or_default();
    match globs.iter().find(|glob| !star_only_in_last_element(glob)) {
        Some(glob) => Err(ConfigError::at(
            line,
            format!("invalid {what} file path {glob:?}"),
        )),
        None => Ok(globs),
    }
}

#[cfg(test)]
#[path = "prometheus/tests.rs"]
mod tests;
