//! `scrape_configs` and the defaults they take from `global`.

use model::labels::go_quote;
use model::relabel::{NameValidation, RelabelRule};

use crate::decode::{ConfigError, Faults, Fields, list, pairs, text};
use crate::http_client::HttpClientConfig;
use crate::prometheus::Global;
use crate::sd::{SdConfig, take_sd_configs};
use crate::yaml::Node;

/// An exposition format that a scrape may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScrapeProtocol {
    /// Protobuf, the only one with native histograms.
    PrometheusProto,
    /// OpenMetrics 0.0.1.
    OpenMetricsText001,
    /// OpenMetrics 1.0.0.
    OpenMetricsText100,
    /// The text format.
    PrometheusText004,
    /// The text format with UTF-8 names.
    PrometheusText100,
}

impl ScrapeProtocol {
    const ALL: [(&'static str, ScrapeProtocol); 5] = [
        ("OpenMetricsText0.0.1", ScrapeProtocol::OpenMetricsText001),
        ("OpenMetricsText1.0.0", ScrapeProtocol::OpenMetricsText100),
        ("PrometheusProto", ScrapeProtocol::PrometheusProto),
        ("PrometheusText0.0.4", ScrapeProtocol::PrometheusText004),
        ("PrometheusText1.0.0", ScrapeProtocol::PrometheusText100),
    ];

    /// What is asked for when nothing is configured, best first.
    pub const DEFAULT: [ScrapeProtocol; 4] = [
        ScrapeProtocol::OpenMetricsText100,
        ScrapeProtocol::OpenMetricsText001,
        ScrapeProtocol::PrometheusText100,
        ScrapeProtocol::PrometheusText004,
    ];

    /// The same with protobuf, which alone tells of native histograms and start timestamps, before all.
    pub const PROTOBUF_FIRST: [ScrapeProtocol; 5] = [
        ScrapeProtocol::PrometheusProto,
        ScrapeProtocol::OpenMetricsText100,
        ScrapeProtocol::OpenMetricsText001,
        ScrapeProtocol::PrometheusText100,
        ScrapeProtocol::PrometheusText004,
    ];

    /// Its name in configurations.
    pub fn as_str(self) -> &'static str {
        ScrapeProtocol::ALL
            .iter()
            .find(|(_, p)| *p == self)
            .map_or("", |(name, _)| name)
    }

    fn parse(word: &str) -> Result<ScrapeProtocol, String> {
        if word == "OpenMetricsText2.0.0" {
            return Err(format!(
                "{word}: this build lacks OpenMetrics 2.0; use OpenMetricsText1.0.0"
            ));
        }
        ScrapeProtocol::ALL
            .iter()
            .find(|(name, _)| *name == word)
            .map(|(_, p)| *p)
            .ok_or_else(|| {
                let names: Vec<&str> = ScrapeProtocol::ALL.iter().map(|(name, _)| *name).collect();
                format!(
                    "unknown scrape protocol {word}, supported: [{}]",
                    names.join(" ")
                )
            })
    }
}

/// How names that a target cannot say are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameEscaping {
    /// Not at all.
    AllowUtf8,
    /// Each odd character becomes `_`.
    Underscores,
    /// Dots become `_dot_`.
    Dots,
    /// `U__` and code points.
    Values,
}

impl NameEscaping {
    const ALL: [(&'static str, NameEscaping); 4] = [
        ("allow-utf-8", NameEscaping::AllowUtf8),
        ("underscores", NameEscaping::Underscores),
        ("dots", NameEscaping::Dots),
        ("values", NameEscaping::Values),
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        NameEscaping::ALL
            .iter()
            .find(|(_, e)| *e == self)
            .map_or("", |(name, _)| name)
    }

    /// Reads a name; `place` says whose it is.
    pub(crate) fn parse(word: &str, place: &str) -> Result<NameEscaping, String> {
        let known = NameEscaping::ALL.iter().find(|(name, _)| *name == word);
        known.map(|(_, escaping)| *escaping).ok_or_else(|| {
            format!(
                "unknown {place} name escaping method specified, must be one of 'allow-utf-8', 'underscores', 'dots', or 'values', got {}",
                go_quote(word)
            )
        })
    }
}

/// Limits on what one scrape may bring; 0 is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScrapeLimits {
    /// Bytes of a body after decompression.
    pub body_size: u64,
    /// Samples after metric relabelling.
    pub samples: u64,
    /// Targets of a job.
    pub targets: u64,
    /// Labels of a series.
    pub labels: u64,
    /// Bytes of a label name.
    pub label_name_length: u64,
    /// Bytes of a label value.
    pub label_value_length: u64,
    /// Dropped targets that are remembered.
    pub keep_dropped_targets: u64,
}

impl ScrapeLimits {
    pub(crate) fn take(
        fields: &mut Fields<'_>,
        faults: &mut Faults,
        defaults: ScrapeLimits,
    ) -> Result<ScrapeLimits, ConfigError> {
        let or = |value: Option<u64>, default: u64| value.filter(|v| *v != 0).unwrap_or(default);
        Ok(ScrapeLimits {
            body_size: or(fields.size("body_size_limit", faults)?, defaults.body_size),
            samples: or(fields.uint("sample_limit", faults), defaults.samples),
            targets: or(fields.uint("target_limit", faults), defaults.targets),
            labels: or(fields.uint("label_limit", faults), defaults.labels),
            label_name_length: or(
                fields.uint("label_name_length_limit", faults),
                defaults.label_name_length,
            ),
            label_value_length: or(
                fields.uint("label_value_length_limit", faults),
                defaults.label_value_length,
            ),
            keep_dropped_targets: or(
                fields.uint("keep_dropped_targets", faults),
                defaults.keep_dropped_targets,
            ),
        })
    }
}

/// What is done with histograms.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HistogramChoices {
    /// Take native ones.
    pub scrape_native: bool,
    /// Take classic ones even beside native ones.
    pub always_scrape_classic: bool,
    /// Turn classic ones into native ones with custom buckets.
    pub convert_classic: bool,
}

impl HistogramChoices {
    /// Each is left as it is by default where the section says nothing.
    pub(crate) fn take_tri_state(
        fields: &mut Fields<'_>,
        faults: &mut Faults,
        defaults: HistogramChoices,
    ) -> HistogramChoices {
        HistogramChoices {
            scrape_native: fields
                .maybe_bool("scrape_native_histograms", faults)
                .unwrap_or(defaults.scrape_native),
            always_scrape_classic: fields
                .maybe_bool("always_scrape_classic_histograms", faults)
                .unwrap_or(defaults.always_scrape_classic),
            convert_classic: fields
                .maybe_bool("convert_classic_histograms_to_nhcb", faults)
                .unwrap_or(defaults.convert_classic),
        }
    }
}

/// A job.
#[derive(Clone, Debug, PartialEq)]
pub struct ScrapeConfig {
    /// Its name, the `job` label's default.
    pub job_name: String,
    /// Milliseconds between scrapes of a target.
    pub scrape_interval: i64,
    /// Milliseconds that a scrape may take.
    pub scrape_timeout: i64,
    /// Formats asked for, best first.
    pub scrape_protocols: Vec<ScrapeProtocol>,
    /// What a body without a usable content type is taken for.
    pub fallback_scrape_protocol: Option<ScrapeProtocol>,
    /// Histograms.
    pub histograms: HistogramChoices,
    /// Least growth of a native bucket, 0 for any.
    pub native_histogram_min_bucket_factor: f64,
    /// Most native buckets, 0 for any.
    pub native_histogram_bucket_limit: u64,
    /// Whether `scrape_timeout_seconds` and others are written.
    pub extra_scrape_metrics: bool,
    /// Scraped labels win over the target's.
    pub honor_labels: bool,
    /// Timestamps of the target count.
    pub honor_timestamps: bool,
    /// Series with timestamps get stale markers too.
    pub track_timestamps_staleness: bool,
    /// Path of the page.
    pub metrics_path: String,
    /// `http` or `https`.
    pub scheme: String,
    /// Query parameters, in order of their names.
    pub params: Vec<(String, Vec<String>)>,
    /// Whether gzip is asked for.
    pub enable_compression: bool,
    /// Limits.
    pub limits: ScrapeLimits,
    /// Which names are legal.
    pub name_validation: NameValidation,
    /// How names are escaped for targets that cannot say them.
    pub name_escaping: NameEscaping,
    /// Where failed scrapes are logged.
    pub scrape_failure_log_file: String,
    /// How to ask.
    pub http: HttpClientConfig,
    /// Where targets come from.
    pub sd_configs: Vec<SdConfig>,
    /// Rules for targets.
    pub relabel_configs: Vec<RelabelRule>,
    /// Rules for scraped series.
    pub metric_relabel_configs: Vec<RelabelRule>,
}

pub(crate) fn take_protocols(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<Vec<String>> {
    let (list, item) = ("[]config.ScrapeProtocol", "config.ScrapeProtocol");
    fields.strings_of("scrape_protocols", list, item, faults)
}

pub(crate) fn parse_protocols(words: &[String]) -> Result<Vec<ScrapeProtocol>, String> {
    if words.is_empty() {
        return Err("scrape_protocols cannot be empty".into());
    }
    let mut protocols = Vec::new();
    for (at, word) in words.iter().enumerate() {
        let earlier = &words[..at];
        if earlier.iter().any(|known| known.eq_ignore_ascii_case(word)) {
            return Err(format!(
                "duplicated protocol in scrape_protocols, got [{}]",
                words.join(" ")
            ));
        }
        let protocol = ScrapeProtocol::parse(word).map_err(|e| format!("scrape_protocols: {e}"))?;
        protocols.push(protocol);
    }
    Ok(protocols)
}

pub(crate) fn take_validation(
    fields: &mut Fields<'_>,
    faults: &mut Faults,
) -> Result<Option<NameValidation>, ConfigError> {
    let line = fields.line;
    let word = fields.string("metric_name_validation_scheme", faults);
    match word.as_deref() {
        None | Some("") => Ok(None),
        Some("utf8") => Ok(Some(NameValidation::Utf8)),
        Some("legacy") => Ok(Some(NameValidation::Legacy)),
        Some(other) => Err(ConfigError::at(
            line,
            format!("unrecognized ValidationScheme: {}", go_quote(other)),
        )),
    }
}

impl ScrapeConfig {
    pub(crate) fn read(
        node: &Node,
        global: &Global,
        faults: &mut Faults,
    ) -> Result<ScrapeConfig, ConfigError> {
        let at = |message: String| ConfigError::at(node.line, message);
        let mut fields = Fields::open(node, "config.ScrapeConfig", faults);
        let job_name = fields.string("job_name", faults).unwrap_or_default();
        let place = format!("for scrape config with job name {}", go_quote(&job_name));
        let interval = non_zero(fields.duration("scrape_interval", faults)?);
        let timeout = non_zero(fields.duration("scrape_timeout", faults)?);
        let validation = take_validation(&mut fields, faults)?;
        let name_validation = validation.unwrap_or(global.name_validation);
        let escaping = fields.string("metric_name_escaping_scheme", faults);
        let histograms = HistogramChoices::take_tri_state(&mut fields, faults, global.histograms);
        let protocols = take_protocols(&mut fields, faults);
        let fallback =
            fields.string_of("fallback_scrape_protocol", "config.ScrapeProtocol", faults);
        let scheme = fields
            .string("scheme", faults)
            .unwrap_or_else(|| "http".into());
        let params = read_params(&mut fields, faults);
        let limits = ScrapeLimits::take(&mut fields, faults, global.limits)?;
        let http = HttpClientConfig::take(&mut fields, faults);
        let sd_configs = take_sd_configs(&mut fields, faults)?;
        let targets_rules = fields.list("relabel_configs", "[]*relabel.Config", faults);
        let metric_rules = fields.list("metric_relabel_configs", "[]*relabel.Config", faults);
        let relabel_configs = crate::relabel::read_rules(
            &targets_rules,
            "empty or null target relabeling rule in scrape config",
            name_validation,
            faults,
        )?;
        let metric_relabel_configs = crate::relabel::read_rules(
            &metric_rules,
            "empty or null metric relabeling rule in scrape config",
            name_validation,
            faults,
        )?;
        let mut config = ScrapeConfig {
            scrape_interval: interval.unwrap_or(global.scrape_interval),
            scrape_timeout: 0,
            scrape_protocols: Vec::new(),
            fallback_scrape_protocol: None,
            histograms,
            native_histogram_min_bucket_factor: fields
                .float("native_histogram_min_bucket_factor", faults)
                .unwrap_or(0.0),
            native_histogram_bucket_limit: fields
                .uint("native_histogram_bucket_limit", faults)
                .unwrap_or(0),
            extra_scrape_metrics: fields
                .maybe_bool("extra_scrape_metrics", faults)
                .unwrap_or(global.extra_scrape_metrics),
            honor_labels: fields.bool("honor_labels", faults).unwrap_or(false),
            honor_timestamps: fields.bool("honor_timestamps", faults).unwrap_or(true),
            track_timestamps_staleness: fields
                .bool("track_timestamps_staleness", faults)
                .unwrap_or(false),
            metrics_path: fields
                .string("metrics_path", faults)
                .filter(|path| !path.is_empty())
                .unwrap_or_else(|| "/metrics".into()),
            scheme: if scheme.is_empty() {
                "http".into()
            } else {
                scheme
            },
            params,
            enable_compression: fields.bool("enable_compression", faults).unwrap_or(true),
            limits,
            name_validation,
            name_escaping: global.name_escaping,
            scrape_failure_log_file: fields
                .string("scrape_failure_log_file", faults)
                .filter(|path| !path.is_empty())
                .unwrap_or_else(|| global.scrape_failure_log_file.clone()),
            http: HttpClientConfig::default(),
            sd_configs,
            relabel_configs,
            metric_relabel_configs,
            job_name,
        };
        fields.close_sound(faults)?;
        if config.job_name.is_empty() {
            return Err(at("job_name is empty".into()));
        }
        config.http = http?;
        if config.relabel_configs.is_empty() {
            check_static_addresses(&config.sd_configs).map_err(at)?;
        }
        if timeout.is_some_and(|timeout| timeout > config.scrape_interval) {
            return Err(at(format!(
                "scrape timeout greater than scrape interval {place}"
            )));
        }
        config.scrape_timeout =
            timeout.unwrap_or(global.scrape_timeout.min(config.scrape_interval));
        config.scrape_protocols = match protocols {
            Some(words) => parse_protocols(&words).map_err(|e| at(format!("{e} {place}")))?,
            None => global.scrape_protocols_for(config.histograms.scrape_native),
        };
        if let Some(word) = fallback.filter(|word| !word.is_empty()) {
            let protocol = ScrapeProtocol::parse(&word)
                .map_err(|e| at(format!("invalid fallback_scrape_protocol {place}: {e}")))?;
            config.fallback_scrape_protocol = Some(protocol);
        }
        config.name_escaping = match (escaping.as_deref(), validation) {
            (None | Some(""), None) => global.name_escaping_of_jobs().map_err(at)?,
            (None | Some(""), Some(NameValidation::Legacy)) => NameEscaping::Underscores,
            (None | Some(""), Some(NameValidation::Utf8)) => NameEscaping::AllowUtf8,
            (Some(word), _) => NameEscaping::parse(word, "scrape config").map_err(at)?,
        };
        if config.name_escaping == NameEscaping::AllowUtf8
            && name_validation == NameValidation::Legacy
        {
            return Err(at(
                "utf8 metric names requested but validation scheme is not set to UTF8".into(),
            ));
        }
        Ok(config)
    }
}

/// A duration that says something: none where it is 0.
pub(crate) fn non_zero(duration: Option<i64>) -> Option<i64> {
    duration.filter(|ms| *ms != 0)
}

fn read_params(fields: &mut Fields<'_>, faults: &mut Faults) -> Vec<(String, Vec<String>)> {
    let Some(node) = fields.take("params") else {
        return Vec::new();
    };
    let mut params: Vec<(String, Vec<String>)> = pairs(node, "url.Values", faults)
        .into_iter()
        .map(|(key, values)| {
            let values = list(values, "[]string", faults)
                .into_iter()
                .filter_map(|value| text(value, "string", faults))
                .collect();
            (key.name.clone(), values)
        })
        .collect();
    params.sort();
    params
}

/// Without relabelling an address is final, so it can be judged at load time.
pub(crate) fn check_static_addresses(sd_configs: &[SdConfig]) -> Result<(), String> {
    for config in sd_configs {
        let SdConfig::Static(group) = config else {
            continue;
        };
        if let Some(address) = group.targets.iter().find(|address| address.contains('/')) {
            return Err(format!("{} is not a valid hostname", go_quote(address)));
        }
    }
    Ok(())
}
