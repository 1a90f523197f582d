//! A configuration as YAML again, the way `/api/v1/status/config` shows it: defaults filled in, secrets hidden.

use model::Labels;
use model::duration::format_duration;
use model::relabel::{NameValidation, RelabelRule, RuleFields};

use self::discovery::print_discovery;
use self::http_client::print_http_client;
use self::remote::{print_alerting, print_remote_read, print_remote_write};
use crate::prometheus::{Config, Global, StorageConfig};
use crate::remote::{RemoteReadConfig, RemoteWriteConfig};
use crate::scrape::{HistogramChoices, NameEscaping, ScrapeConfig, ScrapeLimits};
use crate::size::format_size;

mod cloud_identity;
mod discovery;
mod http_client;
mod remote;

/// The configuration as YAML.
pub fn print(config: &Config) -> String {
    let mut out = Writer::default();
    out.section("global");
    print_global(&mut out, &config.global);
    out.end();
    out.section("runtime");
    // What upstream sets where the configuration says nothing.
    out.field("gogc", config.gogc.unwrap_or(75));
    out.field("log_level", config.log_level.as_deref().unwrap_or("info"));
    out.end();
    print_alerting(&mut out, &config.alerting);
    out.strings("rule_files", &config.rule_files);
    out.strings("scrape_config_files", &config.scrape_config_files);
    if !config.scrape_configs.is_empty() {
        out.section("scrape_configs");
        for job in &config.scrape_configs {
            out.item();
            print_job(&mut out, job);
        }
        out.end();
    }
    if config.storage != StorageConfig::default() {
        print_storage(&mut out, &config.storage);
    }
    if !config.remote_write.is_empty() {
        out.section("remote_write");
        for remote in &config.remote_write {
            out.item();
            print_remote_write(&mut out, remote);
        }
        out.end();
    }
    if !config.remote_read.is_empty() {
        out.section("remote_read");
        for remote in &config.remote_read {
            out.item();
            print_remote_read(&mut out, remote);
        }
        out.end();
    }
    out.text
}

/// One entry of `remote_write` as YAML.
pub fn print_remote_write_config(remote: &RemoteWriteConfig) -> String {
    let mut out = Writer::default();
    print_remote_write(&mut out, remote);
    out.text
}

/// One entry of `remote_read` as YAML.
pub fn print_remote_read_config(remote: &RemoteReadConfig) -> String {
    let mut out = Writer::default();
    print_remote_read(&mut out, remote);
    out.text
}

/// One job as YAML, as it stands in the whole.
pub fn print_scrape_config(job: &ScrapeConfig) -> String {
    let mut out = Writer::default();
    print_job(&mut out, job);
    out.text
}

/// Indented lines.
#[derive(Default)]
struct Writer {
    text: String,
    depth: usize,
    /// The next line starts an item of a list.
    item: bool,
}

impl Writer {
    fn line(&mut self, line: &str) {
        let indent = "  ".repeat(self.depth);
        if std::mem::take(&mut self.item) {
            let dash = self.depth.saturating_sub(1);
            self.text
                .push_str(&format!("{}- {line}\n", "  ".repeat(dash)));
        } else {
            self.text.push_str(&format!("{indent}{line}\n"));
        }
    }

    fn section(&mut self, name: &str) {
        self.line(&format!("{name}:"));
        self.depth += 1;
    }

    /// Opens an item of the list whose section is open; lists are not indented below their key.
    fn item(&mut self) {
        self.item = true;
    }

    fn end(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    fn field(&mut self, name: &str, value: impl std::fmt::Display) {
        self.line(&format!("{name}: {value}"));
    }

    fn text_field(&mut self, name: &str, value: &str) {
        self.field(name, quote(value));
    }

    fn filled(&mut self, name: &str, value: &str) {
        if !value.is_empty() {
            self.text_field(name, value);
        }
    }

    fn strings(&mut self, name: &str, values: &[String]) {
        if values.is_empty() {
            return;
        }
        self.line(&format!("{name}:"));
        for value in values {
            self.line(&format!("- {}", quote(value)));
        }
    }

    fn pairs(&mut self, name: &str, pairs: &[(String, String)]) {
        if pairs.is_empty() {
            return;
        }
        self.section(name);
        for (name, value) in pairs {
            self.text_field(&quote(name), value);
        }
        self.end();
    }

    fn labels(&mut self, name: &str, labels: &Labels) {
        if labels.is_empty() {
            return;
        }
        self.section(name);
        for (name, value) in labels {
            self.text_field(&quote(name), value);
        }
        self.end();
    }
}

/// Quotes where a reader would take the text for something else.
fn quote(text: &str) -> String {
    let word = text.to_ascii_lowercase();
    let odd_start =
        text.starts_with(|c: char| c.is_whitespace() || "-?:,[]{}#&*!|>'\"%@`".contains(c));
    let plain = !text.is_empty()
        && !(odd_start && !(text.starts_with('-') && text.len() > 1 && !text.starts_with("- ")))
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.chars().any(char::is_control)
        && model::number::parse_float(text).is_none()
        && ![
            "true", "false", "yes", "no", "on", "off", "y", "n", "null", "~",
        ]
        .contains(&word.as_str());
    if plain {
        text.to_string()
    } else {
        model::labels::go_quote(text)
    }
}

fn print_protocols(out: &mut Writer, protocols: &[crate::scrape::ScrapeProtocol]) {
    let names: Vec<String> = protocols.iter().map(|p| p.as_str().to_string()).collect();
    out.strings("scrape_protocols", &names);
}

fn print_limits(out: &mut Writer, limits: &ScrapeLimits) {
    if limits.body_size != 0 {
        out.field("body_size_limit", format_size(limits.body_size));
    }
    for (name, value) in [
        ("sample_limit", limits.samples),
        ("target_limit", limits.targets),
        ("label_limit", limits.labels),
        ("label_name_length_limit", limits.label_name_length),
        ("label_value_length_limit", limits.label_value_length),
        ("keep_dropped_targets", limits.keep_dropped_targets),
    ] {
        if value != 0 {
            out.field(name, value);
        }
    }
}

fn print_names(out: &mut Writer, validation: NameValidation, escaping: Option<NameEscaping>) {
    let scheme = match validation {
        NameValidation::Utf8 => "utf8",
        NameValidation::Legacy => "legacy",
    };
    out.field("metric_name_validation_scheme", scheme);
    if let Some(escaping) = escaping {
        out.field("metric_name_escaping_scheme", escaping.as_str());
    }
}

fn print_histograms(out: &mut Writer, choices: HistogramChoices) {
    out.field("scrape_native_histograms", choices.scrape_native);
    out.field(
        "always_scrape_classic_histograms",
        choices.always_scrape_classic,
    );
    out.field(
        "convert_classic_histograms_to_nhcb",
        choices.convert_classic,
    );
}

fn print_global(out: &mut Writer, global: &Global) {
    out.field("scrape_interval", format_duration(global.scrape_interval));
    out.field("scrape_timeout", format_duration(global.scrape_timeout));
    if let Some(protocols) = &global.scrape_protocols {
        print_protocols(out, protocols);
    }
    out.field(
        "evaluation_interval",
        format_duration(global.evaluation_interval),
    );
    if global.rule_query_offset != 0 {
        out.field(
            "rule_query_offset",
            format_duration(global.rule_query_offset),
        );
    }
    out.filled("query_log_file", &global.query_log_file);
    let queries = &global.query_limits;
    for (name, most) in [
        ("query_max_series", queries.max_series),
        ("query_max_samples_read", queries.max_samples_read),
    ] {
        if most != 0 {
            out.field(name, most);
        }
    }
    if queries.max_duration != 0 {
        out.field("query_max_duration", format_duration(queries.max_duration));
    }
    out.filled("scrape_failure_log_file", &global.scrape_failure_log_file);
    out.labels("external_labels", &global.external_labels);
    print_limits(out, &global.limits);
    // As upstream, which leaves out what jobs get in any case.
    let escaping = Some(global.name_escaping).filter(|e| *e != NameEscaping::AllowUtf8);
    print_names(out, global.name_validation, escaping);
    let histograms = global.histograms;
    out.field("scrape_native_histograms", histograms.scrape_native);
    for (name, chosen) in [
        (
            "convert_classic_histograms_to_nhcb",
            histograms.convert_classic,
        ),
        (
            "always_scrape_classic_histograms",
            histograms.always_scrape_classic,
        ),
    ] {
        if chosen {
            out.field(name, chosen);
        }
    }
    out.field("extra_scrape_metrics", global.extra_scrape_metrics);
}

fn print_job(out: &mut Writer, job: &ScrapeConfig) {
    out.text_field("job_name", &job.job_name);
    if job.honor_labels {
        out.field("honor_labels", true);
    }
    out.field("honor_timestamps", job.honor_timestamps);
    out.field("track_timestamps_staleness", job.track_timestamps_staleness);
    if !job.params.is_empty() {
        out.section("params");
        for (name, values) in &job.params {
            out.strings(&quote(name), values);
        }
        out.end();
    }
    out.field("scrape_interval", format_duration(job.scrape_interval));
    out.field("scrape_timeout", format_duration(job.scrape_timeout));
    print_protocols(out, &job.scrape_protocols);
    if let Some(fallback) = job.fallback_scrape_protocol {
        out.field("fallback_scrape_protocol", fallback.as_str());
    }
    print_histograms(out, job.histograms);
    out.filled("scrape_failure_log_file", &job.scrape_failure_log_file);
    out.text_field("metrics_path", &job.metrics_path);
    out.text_field("scheme", &job.scheme);
    out.field("enable_compression", job.enable_compression);
    let (limits, kept) = (job.limits, job.limits.keep_dropped_targets);
    print_limits(
        out,
        &ScrapeLimits {
            keep_dropped_targets: 0,
            ..limits
        },
    );
    if job.native_histogram_bucket_limit != 0 {
        out.field(
            "native_histogram_bucket_limit",
            job.native_histogram_bucket_limit,
        );
    }
    if job.native_histogram_min_bucket_factor != 0.0 {
        out.field(
            "native_histogram_min_bucket_factor",
            job.native_histogram_min_bucket_factor,
        );
    }
    if kept != 0 {
        out.field("keep_dropped_targets", kept);
    }
    print_names(out, job.name_validation, Some(job.name_escaping));
    out.field("extra_scrape_metrics", job.extra_scrape_metrics);
    print_http_client(out, &job.http);
    print_rules(out, "relabel_configs", &job.relabel_configs);
    print_rules(out, "metric_relabel_configs", &job.metric_relabel_configs);
    print_discovery(out, &job.sd_configs);
}

fn print_rules(out: &mut Writer, name: &str, rules: &[RelabelRule]) {
    if rules.is_empty() {
        return;
    }
    let defaults = RuleFields::default();
    out.section(name);
    for rule in rules {
        let rule = rule.fields();
        out.item();
        if !rule.source_labels.is_empty() {
            let names: Vec<String> = rule.source_labels.iter().map(|name| quote(name)).collect();
            out.field("source_labels", format!("[{}]", names.join(", ")));
        }
        out.text_field("separator", &rule.separator);
        if rule.regex != defaults.regex {
            out.text_field("regex", &rule.regex);
        }
        if rule.modulus != 0 {
            out.field("modulus", rule.modulus);
        }
        if rule.target_label != defaults.target_label {
            out.text_field("target_label", &rule.target_label);
        }
        out.text_field("replacement", &rule.replacement);
        out.field("action", rule.action.as_str());
    }
    out.end();
}

fn print_storage(out: &mut Writer, storage: &StorageConfig) {
    out.section("storage");
    out.section("tsdb");
    if storage.out_of_order_time_window != 0 {
        out.field(
            "out_of_order_time_window",
            format_duration(storage.out_of_order_time_window),
        );
    }
    if storage.stale_series_compaction_threshold != 0.0 {
        out.field(
            "stale_series_compaction_threshold",
            storage.stale_series_compaction_threshold,
        );
    }
    if !storage.float_encoding.is_empty() {
        out.section("chunk_encoding");
        out.field("floats", &storage.float_encoding);
        out.end();
    }
    if let Some(retention) = storage.retention {
        out.section("retention");
        if retention.time != 0 {
            out.field("time", format_duration(retention.time));
        }
        if retention.size != 0 {
            out.field("size", format_size(retention.size));
        }
        if retention.percentage != 0.0 {
            out.field("percentage", retention.percentage);
        }
        out.end();
    }
    out.end();
    if let Some(max) = storage.max_exemplars {
        out.section("exemplars");
        out.field("max_exemplars", max);
        out.end();
    }
    out.end();
}
