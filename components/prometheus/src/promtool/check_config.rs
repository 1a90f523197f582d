//! `promtool check config`: whether files load, and whether what they point to is there.

use std::path::Path;

use configfile::Config;
use configfile::http_client::{HttpClientConfig, TlsConfig};
use configfile::rules::RuleFileOptions;
use configfile::scrape::ScrapeConfig;
use configfile::sd::SdConfig;
use discovery::TargetGroup;
use discovery::glob::matching_files;
use flags::{Flag, Program};
use model::duration::{format_duration, parse_duration};
use scrape::target::{Outcome as TargetOutcome, targets_of};

use super::check_rules::{Checked, RuleChecks, check_file};
use super::{Outcome, os_text, read_flags, usage};
use crate::load::load_without_rules;

const CONFIG: Program = Program {
    name: "promtool check config",
    about: "Check if the config files are valid or not.",
    flags: &[
        Flag::switch(
            "syntax-only",
            false,
            "Only check the config file syntax, ignoring file and content validation referenced in the config.",
        ),
        Flag::value(
            "lint",
            "duplicate-rules",
            "Linting checks to apply: all, duplicate-rules, none, too-long-scrape-interval.",
        ),
        Flag::switch(
            "lint-fatal",
            false,
            "Make lint errors exit with exit code 3.",
        ),
        Flag::switch(
            "ignore-unknown-fields",
            false,
            "Ignore unknown fields in the rule groups read by the config files.",
        ),
        Flag::switch(
            "agent",
            false,
            "Check config file for Prometheus in Agent mode.",
        ),
        Flag::value(
            "query.lookback-delta",
            "5m",
            "The server's maximum query lookback duration.",
        ),
        Flag::words("config-files", "The config files to check."),
    ],
};

/// Which advice is asked for.
struct Lints {
    too_long_interval: bool,
    fatal: bool,
    lookback: i64,
}

/// `promtool check config FILES...`
pub fn config(arguments: &[String]) -> Outcome {
    let values = match read_flags(&CONFIG, &[], arguments) {
        Ok(values) => values,
        Err(outcome) => return outcome,
    };
    let lookback = match parse_duration(values.text("query.lookback-delta")) {
        Ok(lookback) => lookback,
        Err(error) => return usage(&format!("--query.lookback-delta: {error}")),
    };
    let files = values.list("config-files");
    if files.is_empty() {
        return usage("required argument 'config-files' not provided, try --help");
    }
    if let Some(missing) = files.iter().find(|file| !Path::new(file).exists()) {
        return usage(&format!("path '{missing}' does not exist, try --help"));
    }
    let mut outcome = Outcome::printed(String::new());
    let mut lints = Lints {
        too_long_interval: false,
        fatal: values.switch("lint-fatal"),
        lookback,
    };
    let mut checks = RuleChecks {
        duplicates: false,
        reading: RuleFileOptions {
            ignore_unknown_fields: values.switch("ignore-unknown-fields"),
            ..RuleFileOptions::default()
        },
    };
    for option in values.text("lint").split(',') {
        match option {
            "all" => (lints.too_long_interval, checks.duplicates) = (true, true),
            "too-long-scrape-interval" => lints.too_long_interval = true,
            "none" => (lints.too_long_interval, checks.duplicates) = (false, false),
            "duplicate-rules" => checks.duplicates = true,
            other => outcome
                .out
                .push_str(&format!("WARNING: unknown lint option: {other:?}\n")),
        }
    }
    let (mut failed, mut advised) = (false, false);
    for file in &files {
        outcome.out.push_str(&format!("Checking {file}\n"));
        let mut to_check = Vec::new();
        match check(
            Path::new(file),
            values.switch("agent"),
            values.switch("syntax-only"),
            &lints,
            &mut outcome.out,
        ) {
            Ok(rule_files) => {
                if !rule_files.is_empty() {
                    let line = format!("  SUCCESS: {} rule files found\n", rule_files.len());
                    outcome.out.push_str(&line);
                }
                to_check = rule_files;
                let line = format!(" SUCCESS: {file} is valid prometheus config file syntax\n");
                outcome.out.push_str(&line);
            }
            Err(Fault { message, advice }) => {
                outcome.err.push_str(&format!("  FAILED: {message}\n"));
                failed |= !advice;
                advised |= advice;
            }
        }
        outcome.out.push('\n');
        if values.switch("syntax-only") {
            continue;
        }
        for rule_file in to_check {
            match check_file(&rule_file, &checks, &mut outcome) {
                Checked::Good => {}
                Checked::Advised => advised = true,
                Checked::Failed => failed = true,
            }
            outcome.out.push('\n');
        }
    }
    outcome.code = match (failed, advised && lints.fatal) {
        (true, _) => 1,
        (false, true) => 3,
        (false, false) => 0,
    };
    outcome
}

/// What is wrong with a file.
struct Fault {
    message: String,
    /// It would load; it is only unwise.
    advice: bool,
}

fn wrong<T>(message: String) -> Result<T, Fault> {
    Err(Fault {
        message,
        advice: false,
    })
}

fn check(
    path: &Path,
    agent: bool,
    syntax_only: bool,
    lints: &Lints,
    out: &mut String,
) -> Result<Vec<String>, Fault> {
    let config = load_without_rules(path).map_err(|error| Fault {
        message: error.to_string(),
        advice: false,
    })?;
    if agent && let Err(error) = config.check_agent_mode() {
        return wrong(error.to_string());
    }
    for job in &config.scrape_configs {
        if !syntax_only {
            check_job(job, out)?;
        }
        if lints.too_long_interval && job.scrape_interval >= lints.lookback {
            return Err(Fault {
                message: format!(
                    "too long scrape interval found, data point will be marked as stale - job: {}, interval: {}",
                    job.job_name,
                    format_duration(job.scrape_interval)
                ),
                advice: true,
            });
        }
    }
    rule_files(&config, syntax_only)
}

/// The files that `rule_files` match; a path without a pattern has to be there.
fn rule_files(config: &Config, syntax_only: bool) -> Result<Vec<String>, Fault> {
    let mut files = Vec::new();
    for pattern in &config.rule_files {
        let matched = matching_files(pattern);
        if matched.is_empty() && !syntax_only && !pattern.contains(['*', '?', '[']) {
            return wrong(format!("{pattern:?} does not point to an existing file"));
        }
        files.extend(matched.iter().map(|path| path.display().to_string()));
    }
    Ok(files)
}

fn check_job(job: &ScrapeConfig, out: &mut String) -> Result<(), Fault> {
    check_client(&job.http)?;
    for (i, section) in job.sd_configs.iter().enumerate() {
        match section {
            SdConfig::Http(http) => check_client(&http.http)?,
            SdConfig::Static(config) => {
                let group = TargetGroup::from_static(i.to_string(), config);
                check_targets(&group, job)?;
            }
            SdConfig::File(config) => {
                for pattern in &config.files {
                    check_target_files(pattern, job, out)?;
                }
            }
            SdConfig::Kubernetes(kubernetes) => check_client(&kubernetes.http)?,
            SdConfig::Dns(_) | SdConfig::Lacking(_) => {}
        }
    }
    Ok(())
}

fn check_client(http: &HttpClientConfig) -> Result<(), Fault> {
    if let Some(authorization) = &http.authorization {
        let what = "authorization credentials or bearer token file";
        exists(&authorization.credentials_file, what)?;
    }
    if let Some(basic) = &http.basic_auth {
        exists(&basic.username_file, "basic auth username file")?;
        exists(&basic.password_file, "basic auth password file")?;
    }
    check_tls(&http.tls)
}

fn check_tls(tls: &TlsConfig) -> Result<(), Fault> {
    let (cert, key) = (&tls.cert_file, &tls.key_file);
    if !cert.is_empty() && key.is_empty() && tls.key.is_empty() {
        return wrong(format!(
            "client cert file {cert:?} specified without client key file"
        ));
    }
    if !key.is_empty() && cert.is_empty() && tls.cert.is_empty() {
        return wrong(format!(
            "client key file {key:?} specified without client cert file"
        ));
    }
    exists(&tls.ca_file, "CA cert file")?;
    exists(cert, "client cert file")?;
    exists(key, "client key file")
}

fn exists(path: &str, what: &str) -> Result<(), Fault> {
    if path.is_empty() {
        return Ok(());
    }
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) => wrong(format!(
            "error checking {what} {path:?}: stat {path}: {}",
            os_text(&error)
        )),
    }
}

fn check_target_files(pattern: &str, job: &ScrapeConfig, out: &mut String) -> Result<(), Fault> {
    let files = matching_files(pattern);
    if files.is_empty() {
        out.push_str(&format!(
            "  WARNING: file {pattern:?} for file_sd in scrape job {:?} does not exist\n",
            job.job_name
        ));
    }
    for file in files {
        let shown = file.display().to_string();
        let bad = |error: &dyn std::fmt::Display| Fault {
            message: format!("checking SD file {shown:?}: {error}"),
            advice: false,
        };
        let content = std::fs::read(&file).map_err(|e| bad(&os_text(&e)))?;
        let groups = discovery::target_list::read_file(&file, &content).map_err(|e| bad(&e))?;
        for (i, group) in groups.iter().enumerate() {
            check_targets(
                &TargetGroup::from_static(format!("{shown}:{i}"), group),
                job,
            )?;
        }
    }
    Ok(())
}

fn check_targets(group: &TargetGroup, job: &ScrapeConfig) -> Result<(), Fault> {
    for outcome in targets_of(group, job) {
        if let TargetOutcome::Fault(fault) = outcome {
            return wrong(format!("job {:?}: {fault}", job.job_name));
        }
    }
    Ok(())
}
