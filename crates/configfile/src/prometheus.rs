//! `prometheus.yml`.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use model::Labels;
use model::labels::go_quote;
use model::relabel::NameValidation;

use crate::alerting::AlertingConfig;
use crate::decode::{ConfigError, Faults, Fields, sound};
use crate::remote::{RemoteReadConfig, RemoteWriteConfig, unique_names};
use crate::scrape::{
    HistogramChoices, NameEscaping, ScrapeConfig, ScrapeLimits, ScrapeProtocol, non_zero,
    parse_protocols, take_protocols, take_validation,
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
    /// `runtime.log_level`, in small letters: debug, info, warn or error. Without it the flag's counts.
    pub log_level: Option<String>,
    /// The file that each of `scrape_configs` is from, where it is not the main one.
    included_jobs: Vec<Option<String>>,
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
    /// What queries may touch, read and take.
    pub query_limits: QueryLimits,
    /// What is wrong with `metric_name_escaping_scheme`; jobs without one of their own are refused with it.
    pub unknown_escaping: Option<String>,
}

/// `query_max_*`: shown again only, for upstream heeds them with a feature alone that this build does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueryLimits {
    /// Series.
    pub max_series: u64,
    /// Samples.
    pub max_samples_read: u64,
    /// Milliseconds.
    pub max_duration: i64,
}

impl QueryLimits {
    fn take(fields: &mut Fields<'_>, faults: &mut Faults) -> Result<QueryLimits, ConfigError> {
        let mut whole = |name| fields.whole(name, "uint64", faults).unwrap_or(0);
        Ok(QueryLimits {
            max_series: whole("query_max_series"),
            max_samples_read: whole("query_max_samples_read"),
            max_duration: fields.duration("query_max_duration", faults)?.unwrap_or(0),
        })
    }
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
            query_limits: QueryLimits::default(),
            unknown_escaping: None,
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
        let at = |message: String| ConfigError::at(node.line, message);
        let mut fields = Fields::open(node, "config.plain", faults);
        let interval = non_zero(fields.duration("scrape_interval", faults)?);
        let timeout = non_zero(fields.duration("scrape_timeout", faults)?);
        let protocols = take_protocols(&mut fields, faults);
        let labels = fields.string_map("external_labels", faults);
        let validation = take_validation(&mut fields, faults)?.unwrap_or_default();
        let scrape_interval = interval.unwrap_or(defaults.scrape_interval);
        let mut global = Global {
            scrape_interval,
            scrape_timeout: timeout.unwrap_or(defaults.scrape_timeout.min(scrape_interval)),
            evaluation_interval: non_zero(fields.duration("evaluation_interval", faults)?)
                .unwrap_or(defaults.evaluation_interval),
            rule_query_offset: fields.duration("rule_query_offset", faults)?.unwrap_or(0),
            scrape_protocols: defaults.scrape_protocols.clone(),
            external_labels: Labels::empty(),
            query_log_file: fields.string("query_log_file", faults).unwrap_or_default(),
            query_limits: QueryLimits::take(&mut fields, faults)?,
            scrape_failure_log_file: fields
                .string("scrape_failure_log_file", faults)
                .unwrap_or_default(),
            limits: ScrapeLimits::take(&mut fields, faults, ScrapeLimits::default())?,
            name_validation: validation,
            name_escaping: match validation {
                NameValidation::Utf8 => NameEscaping::AllowUtf8,
                NameValidation::Legacy => NameEscaping::Underscores,
            },
            unknown_escaping: None,
            histograms: HistogramChoices {
                scrape_native: fields
                    .maybe_bool("scrape_native_histograms", faults)
                    .unwrap_or(defaults.histograms.scrape_native),
                always_scrape_classic: fields
                    .bool("always_scrape_classic_histograms", faults)
                    .unwrap_or(false),
                convert_classic: fields
                    .bool("convert_classic_histograms_to_nhcb", faults)
                    .unwrap_or(false),
            },
            extra_scrape_metrics: fields
                .maybe_bool("extra_scrape_metrics", faults)
                .unwrap_or(defaults.extra_scrape_metrics),
        };
        let escaping = fields
            .string("metric_name_escaping_scheme", faults)
            .filter(|word| !word.is_empty());
        fields.close_sound(faults)?;
        if let Some(word) = escaping {
            match NameEscaping::parse(&word, "global") {
                Ok(escaping) => global.name_escaping = escaping,
                // As upstream has it, a fault of the jobs that would use it.
                Err(error) => global.unknown_escaping = Some(error),
            }
        }
        global.external_labels = read_external_labels(labels, validation, environment, warnings)?;
        if timeout.is_some_and(|timeout| timeout > scrape_interval) {
            return Err(at(
                "global scrape timeout greater than scrape interval".into()
            ));
        }
        if let Some(words) = protocols {
            let protocols =
                parse_protocols(&words).map_err(|e| at(format!("{e} for global config")))?;
            global.scrape_protocols = Some(protocols);
        }
        Ok(global)
    }

    /// How jobs escape names that say nothing about it.
    pub(crate) fn name_escaping_of_jobs(&self) -> Result<NameEscaping, String> {
        match &self.unknown_escaping {
            None => Ok(self.name_escaping),
            Some(error) => Err(error.clone()),
        }
    }
}

fn read_external_labels(
    labels: Vec<(String, String, usize)>,
    validation: NameValidation,
    environment: &dyn Fn(&str) -> Option<String>,
    warnings: &mut Vec<String>,
) -> Result<Labels, ConfigError> {
    let mut pairs = Vec::new();
    for (name, value, line) in labels {
        if !validation.allows_label(&name) {
            return Err(ConfigError::at(
                line,
                format!("{} is not a valid label name", go_quote(&name)),
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
        let mut fields = Fields::open(node, "config.StorageConfig", faults);
        if let Some(tsdb) = fields.take("tsdb") {
            sound(storage.read_tsdb(tsdb, faults))?;
        }
        if let Some(exemplars) = fields.take("exemplars") {
            let mut inner = Fields::open(exemplars, "config.ExemplarsConfig", faults);
            storage.max_exemplars = inner.whole("max_exemplars", "int64", faults);
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
        if let Some(encoding) = fields.take("chunk_encoding") {
            let mut inner = Fields::open(encoding, "config.ChunkEncodingConfig", faults);
            self.float_encoding = inner.string("floats", faults).unwrap_or_default();
            inner.close(faults);
        }
        if let Some(retention) = fields.take("retention") {
            self.retention = sound(RetentionConfig::read(retention, faults))?;
        }
        fields.close_sound(faults)?;
        if !["", "xor", "xor2"].contains(&self.float_encoding.as_str()) {
            return Err(ConfigError::at(
                node.line,
                format!(
                    "'storage.tsdb.chunk_encoding.floats' must be 'xor' or 'xor2', or the field must be omitted entirely, got {}",
                    go_quote(&self.float_encoding)
                ),
            ));
        }
        Ok(())
    }
}

impl RetentionConfig {
    fn read(node: &Node, faults: &mut Faults) -> Result<RetentionConfig, ConfigError> {
        let mut inner = Fields::open(node, "config.plain", faults);
        let below_zero = node.get("size").and_then(Node::text).filter(|size| {
            size.strip_prefix('-')
                .is_some_and(|size| crate::size::parse_size(size).is_ok_and(|bytes| bytes > 0))
        });
        let read = RetentionConfig {
            time: inner.duration("time", faults)?.unwrap_or(0),
            size: inner.size("size", faults)?.unwrap_or(0),
            percentage: inner.float("percentage", faults).unwrap_or(0.0),
        };
        inner.close_sound(faults)?;
        if let Some(size) = below_zero {
            let bytes = crate::size::parse_size(&size[1..]).unwrap_or(0);
            return Err(ConfigError::at(
                node.line,
                format!(
                    "'storage.tsdb.retention.size' must be greater than or equal to 0, got -{}",
                    crate::size::format_size(bytes)
                ),
            ));
        }
        if read.percentage < 0.0 || read.percentage > 100.0 {
            return Err(ConfigError::at(
                node.line,
                format!(
                    "'storage.tsdb.retention.percentage' must be in the range [0, 100], got {}",
                    model::number::format_float(read.percentage)
                ),
            ));
        }
        Ok(read)
    }
}

/// A level of logging, in any letters.
fn log_level(word: &str, line: usize) -> Result<String, ConfigError> {
    let level = word.to_lowercase();
    match level.as_str() {
        "debug" | "info" | "warn" | "error" => Ok(level),
        _ => Err(ConfigError::in_field(
            line,
            "log_level",
            format!("unrecognized log level {word}"),
        )),
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
            let (defaults, warnings) = (config.global.clone(), &mut config.warnings);
            let read = Global::read(global, &defaults, environment, warnings, faults);
            config.global = sound(read)?.unwrap_or(defaults);
        }
        if let Some(runtime) = fields.take("runtime") {
            let mut inner = Fields::open(runtime, "config.RuntimeConfig", faults);
            config.gogc = inner.int("gogc", faults);
            if let Some(level) = inner.string("log_level", faults) {
                config.log_level = Some(log_level(&level, runtime.line)?);
            }
            inner.close(faults);
        }
        config.rule_files = fields.strings("rule_files", faults).unwrap_or_default();
        config.scrape_config_files = fields
            .strings("scrape_config_files", faults)
            .unwrap_or_default();
        let jobs = fields.list("scrape_configs", "[]*config.ScrapeConfig", faults);
        config.read_jobs(&jobs, None, faults)?;
        if let Some(storage) = fields.take("storage") {
            config.storage = StorageConfig::read(storage, faults)?;
        }
        let validation = config.global.name_validation;
        if let Some(node) = fields.take("alerting") {
            config.alerting =
                sound(AlertingConfig::read(node, validation, faults))?.unwrap_or_default();
        }
        for node in fields.list("remote_write", "[]*config.RemoteWriteConfig", faults) {
            let remote = RemoteWriteConfig::read(node, validation, environment, faults);
            config.remote_write.extend(sound(remote)?);
            let names = config.remote_write.iter().map(|r| r.name.as_str());
            unique_names("remote write", names, node.line)?;
        }
        for node in fields.list("remote_read", "[]*config.RemoteReadConfig", faults) {
            let remote = sound(RemoteReadConfig::read(node, faults))?;
            config.remote_read.extend(remote);
            let names = config.remote_read.iter().map(|r| r.name.as_str());
            unique_names("remote read", names, node.line)?;
        }
        if let Some(node) = fields.take("tracing")
            && sound(crate::tracing::check(node, faults))?.is_some()
        {
            config.not_carried_out.push(("tracing", node.line));
        }
        if let Some(node) = fields.take("otlp") {
            sound(crate::otlp::check(node, validation, faults))?;
            if has_content(node) {
                let line = node.line;
                config.warnings.push(format!(
                    "line {line}: otlp: this build takes no OTLP, so its settings have no effect"
                ));
            }
        }
        fields.close_sound(faults)?;
        check_globs(&config.rule_files, "rule", node.line)?;
        check_globs(&config.scrape_config_files, "scrape config", node.line)?;
        Ok(config)
    }

    /// Reads jobs of the file itself or of an included one.
    fn read_jobs(
        &mut self,
        jobs: &[&Node],
        file: Option<&str>,
        faults: &mut Faults,
    ) -> Result<(), ConfigError> {
        for job in jobs {
            if job.is_null() {
                return Err(ConfigError::at(
                    job.line,
                    "empty or null scrape config section",
                ));
            }
            let Some(config) = sound(ScrapeConfig::read(job, &self.global, faults))? else {
                continue;
            };
            let mut known = self.scrape_configs.iter();
            if let Some(at) = known.position(|known| known.job_name == config.job_name) {
                let first = match self.included_jobs.get(at) {
                    _ if file.is_none() => String::new(),
                    None | Some(None) => ", first found in main config file".into(),
                    Some(Some(file)) => format!(", first found in {}", go_quote(file)),
                };
                return Err(ConfigError::at(
                    job.line,
                    format!(
                        "found multiple scrape configs with job name {}{first}",
                        go_quote(&config.job_name)
                    ),
                ));
            }
            self.scrape_configs.push(config);
            self.included_jobs.push(file.map(str::to_string));
        }
        Ok(())
    }

    /// Adds the jobs of a file that `scrape_config_files` matched. Relative paths in it count from its own folder;
    /// messages call it `shown`.
    pub fn add_scrape_config_file(
        &mut self,
        text: &str,
        path: &Path,
        shown: &str,
    ) -> Result<(), ConfigError> {
        let node = crate::yaml::parse(text)?;
        let mut faults = Faults::default();
        let mut fields = Fields::open(&node, "config.ScrapeConfigs", &mut faults);
        let jobs = fields.list("scrape_configs", "[]*config.ScrapeConfig", &mut faults);
        fields.close(&mut faults);
        let before = self.scrape_configs.len();
        let result = self.read_jobs(&jobs, Some(shown), &mut faults);
        faults.finish(result)?;
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
        *path = cleaned(&dir.join(&path)).to_string_lossy().into_owned();
    }
}

/// A path without `.` and `..` where they can be done away with by looking at it alone, as messages show it.
fn cleaned(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for part in path.components() {
        let last = clean.components().next_back();
        match (part, last) {
            (Component::CurDir, _) | (Component::ParentDir, Some(Component::RootDir)) => {}
            (Component::ParentDir, Some(Component::Normal(_))) => {
                clean.pop();
            }
            (part, _) => clean.push(part),
        }
    }
    if clean.as_os_str().is_empty() {
        clean.push(".");
    }
    clean
}

fn has_content(node: &Node) -> bool {
    match &node.value {
        crate::yaml::Value::Null => false,
        crate::yaml::Value::Sequence(items) => !items.is_empty(),
        crate::yaml::Value::Mapping(pairs) => pairs.iter().any(|(_, value)| has_content(value)),
        crate::yaml::Value::Scalar { .. } => true,
    }
}

fn check_globs(globs: &[String], what: &str, line: usize) -> Result<(), ConfigError> {
    match globs.iter().find(|glob| !star_only_in_last_element(glob)) {
        Some(glob) => Err(ConfigError::at(
            line,
            format!("invalid {what} file path {}", go_quote(glob)),
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
#[path = "prometheus/tests.rs"]
mod tests;
