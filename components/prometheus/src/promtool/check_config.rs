//! `promtool check config`: whether files load, and whether what they point to is there.

use std::path::Path;

use configfile::Config;
use configfile::alerting::AlertmanagerConfig;
use configfile::http_client::TlsConfig;
use configfile::scrape::ScrapeConfig;
use configfile::sd::{SdConfig, StaticConfig};
use discovery::TargetGroup;
use discovery::glob::matching;
use flags::{Command, Flag, Takes, Values};
use model::duration::{format_duration, parse_go_duration};
use model::labels::go_quote;
use scrape::target::{Outcome as TargetOutcome, targets_of};

use super::check_rules::{Checked, RuleChecks, check_file};
use super::{GlobalFlags, Outcome, os_text};
use crate::load::{include_jobs, load_main, refuse_what_is_not_carried_out};

pub const CONFIG: Command = Command {
    path: "check config",
    about: "Check if the config files are valid or not.",
    flags: &[
        Flag::switch(
            "syntax-only",
            false,
            "Only check the config file syntax, ignoring file and content validation referenced in the config",
        ),
        Flag::value(
            "lint",
            "duplicate-rules",
            "Linting checks to apply to the rules/scrape configs specified in the config. Available options are: all, duplicate-rules, none, too-long-scrape-interval. Use --lint=none to disable linting",
        ),
        Flag::switch(
            "lint-fatal",
            false,
            "Make lint errors exit with exit code 3.",
        ),
        Flag::switch(
            "ignore-unknown-fields",
            false,
            "Ignore unknown fields in the rule groups read by the config files. This is useful when you want to extend rule files with custom metadata. Ensure that those fields are removed before loading them into the Prometheus server as it performs strict checks by default.",
        ),
        Flag::switch(
            "agent",
            false,
            "Check config file for Prometheus in Agent mode.",
        ),
        Flag::words("config-files", "The config files to check.")
            .required()
            .takes(Takes::File),
    ],
};

/// Which advice is asked for.
struct Lints {
    /// Scrape intervals from which on samples go stale, in milliseconds; 0 for no such advice.
    lookback: i64,
    rules: RuleChecks,
    fatal: bool,
}

impl Lints {
    /// Reads `--lint`; what is not known is told on standard output.
    fn read(values: &Values, global: &GlobalFlags, lookback: i64, out: &mut String) -> Lints {
        let options: Vec<&str> = values.text("lint").split(',').collect();
        let none = options.contains(&"none");
        let too_long = options
            .iter()
            .any(|option| ["all", "too-long-scrape-interval"].contains(option));
        let rules: Vec<&str> = options
            .into_iter()
            .filter(|option| !none && *option != "too-long-scrape-interval")
            .collect();
        Lints {
            lookback: if too_long && !none { lookback } else { 0 },
            rules: RuleChecks::read(&rules.join(","), values, global, out),
            fatal: values.switch("lint-fatal"),
        }
    }
}

/// `promtool check config FILES...`
pub fn config(values: &Values, global: &GlobalFlags) -> Outcome {
    let lookback = parse_go_duration(values.text("query.lookback-delta"));
    let lookback = lookback.map_or(0, |lookback| lookback.as_millis());
    let lookback = i64::try_from(lookback).unwrap_or(i64::MAX);
    let files = values.list("config-files");
    let mut outcome = Outcome::printed(String::new());
    let lints = Lints::read(values, global, lookback, &mut outcome.out);
    let (agent, syntax_only) = (values.switch("agent"), values.switch("syntax-only"));
    let (mut failed, mut advised) = (false, false);
    for file in &files {
        outcome.out.push_str(&format!("Checking {file}\n"));
        let checked = check(Path::new(file), agent, syntax_only, &mut outcome.out);
        let (rule_files, jobs) = match checked {
            Ok((rule_files, jobs)) => {
                if !rule_files.is_empty() {
                    let line = format!("  SUCCESS: {} rule files found\n", rule_files.len());
                    outcome.out.push_str(&line);
                }
                let line = format!(" SUCCESS: {file} is valid prometheus config file syntax\n");
                outcome.out.push_str(&line);
                (rule_files, jobs)
            }
            Err(message) => {
                outcome.err.push_str(&format!("  FAILED: {message}\n"));
                failed = true;
                Default::default()
            }
        };
        outcome.out.push('\n');
        if syntax_only {
            continue;
        }
        if let Some(advice) = too_long_interval(&jobs, lints.lookback) {
            outcome.err.push_str(&format!("  FAILED: {advice}\n"));
            advised = true;
        }
        for rule_file in rule_files {
            match check_file(&rule_file, &lints.rules, &mut outcome) {
                Checked::Good => {}
                Checked::Advised => advised = true,
                Checked::Failed => failed = true,
            }
        }
    }
    outcome.code = match (failed, advised && lints.fatal) {
        (true, _) => 1,
        (false, true) => 3,
        (false, false) => 0,
    };
    outcome
}

fn too_long_interval(jobs: &[ScrapeConfig], lookback: i64) -> Option<String> {
    let too_long = |job: &&ScrapeConfig| lookback > 0 && job.scrape_interval >= lookback;
    jobs.iter().find(too_long).map(|job| {
        format!(
            "too long scrape interval found, data point will be marked as stale - job: {}, interval: {}",
            job.job_name,
            format_duration(job.scrape_interval)
        )
    })
}

/// Checks a file and what it points to: the rule files, which are left to check, and the jobs; or what is wrong.
fn check(
    path: &Path,
    agent: bool,
    syntax_only: bool,
    out: &mut String,
) -> Result<(Vec<String>, Vec<ScrapeConfig>), String> {
    let mut config = load_main(path).map_err(|error| error.to_string())?;
    if agent {
        config.check_agent_mode().map_err(|e| e.to_string())?;
    }
    let mut rules = Vec::new();
    if !syntax_only {
        rules = rule_files(&config)?;
        include_jobs(&mut config, &mut Default::default())
            .map_err(|error| format!("error loading scrape configs: {error}"))?;
    }
    refuse_what_is_not_carried_out(&config, &path.display().to_string())
        .map_err(|error| error.to_string())?;
    for job in &config.scrape_configs {
        check_job(job, syntax_only, out)?;
    }
    for set in &config.alerting.alertmanagers {
        check_alertmanagers(set, syntax_only, out)?;
    }
    Ok((rules, config.scrape_configs))
}

/// All that `rule_files` match; a path without a star has to be there.
fn rule_files(config: &Config) -> Result<Vec<String>, String> {
    let mut files = Vec::new();
    for pattern in &config.rule_files {
        let matched = matching(pattern).map_err(|e| e.to_string())?;
        if matched.is_empty() && !pattern.contains('*') {
            return Err(format!(
                "{} does not point to an existing file",
                go_quote(pattern)
            ));
        }
        files.extend(matched.iter().map(|path| path.display().to_string()));
    }
    Ok(files)
}

fn check_job(job: &ScrapeConfig, syntax_only: bool, out: &mut String) -> Result<(), String> {
    if let Some(authorization) = &job.http.authorization
        && !syntax_only
    {
        let what = "authorization credentials or bearer token file";
        exists(&authorization.credentials_file, what)?;
    }
    check_tls(&job.http.tls, syntax_only)?;
    // Groups of static targets are told apart by their numbers.
    let mut groups = 0;
    for section in &job.sd_configs {
        match section {
            SdConfig::Static(config) => {
                let group = TargetGroup::from_static(groups.to_string(), config);
                groups += 1;
                check_targets(&group, job)?;
            }
            SdConfig::File(config) if !syntax_only => {
                for pattern in &config.files {
                    let user = format!("scrape job {}", go_quote(&job.job_name));
                    for group in target_files(pattern, &user, out)? {
                        check_targets(&TargetGroup::from_static(String::new(), &group), job)?;
                    }
                }
            }
            SdConfig::Kubernetes(kubernetes) => check_tls(&kubernetes.http.tls, syntax_only)?,
            SdConfig::File(_) | SdConfig::Http(_) | SdConfig::Dns(_) | SdConfig::Lacking(_) => {}
        }
    }
    Ok(())
}

fn check_alertmanagers(
    set: &AlertmanagerConfig,
    syntax_only: bool,
    out: &mut String,
) -> Result<(), String> {
    for section in &set.sd_configs {
        let groups = match section {
            SdConfig::Static(group) => vec![group.clone()],
            SdConfig::File(config) if !syntax_only => {
                let mut groups = Vec::new();
                for pattern in &config.files {
                    groups.extend(target_files(pattern, "alertmanager config", out)?);
                }
                groups
            }
            _ => continue,
        };
        for group in groups {
            let group = TargetGroup::from_static(String::new(), &group);
            if let Some(fault) = rules::notifier::fault_of(&group, set) {
                return Err(fault);
            }
        }
    }
    Ok(())
}

fn check_tls(tls: &TlsConfig, syntax_only: bool) -> Result<(), String> {
    let (cert, key) = (&tls.cert_file, &tls.key_file);
    if !cert.is_empty() && key.is_empty() {
        let cert = go_quote(cert);
        return Err(format!(
            "client cert file {cert} specified without client key file"
        ));
    }
    if !key.is_empty() && cert.is_empty() {
        let key = go_quote(key);
        return Err(format!(
            "client key file {key} specified without client cert file"
        ));
    }
    if syntax_only {
        return Ok(());
    }
    exists(cert, "client cert file")?;
    exists(key, "client key file")
}

fn exists(path: &str, what: &str) -> Result<(), String> {
    if path.is_empty() {
        return Ok(());
    }
    match std::fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "error checking {what} {}: stat {path}: {}",
            go_quote(path),
            os_text(&error)
        )),
    }
}

/// The groups of all files of targets that a pattern matches. `user` is whom they are for.
fn target_files(pattern: &str, user: &str, out: &mut String) -> Result<Vec<StaticConfig>, String> {
    let shown = go_quote(pattern);
    let files = matching(pattern).map_err(|e| e.to_string())?;
    if files.is_empty() {
        out.push_str(&format!(
            "  WARNING: file {shown} for file_sd in {user} does not exist\n"
        ));
    }
    let mut groups = Vec::new();
    for file in files {
        let bad = |error: String| format!("checking SD file {shown}: {error}");
        let bytes = std::fs::read(&file)
            .map_err(|e| bad(format!("open {}: {}", file.display(), os_text(&e))))?;
        let read = configfile::sd::read_target_file(&file, &bytes);
        groups.extend(read.map_err(|e| bad(e.to_string()))?);
    }
    Ok(groups)
}

fn check_targets(group: &TargetGroup, job: &ScrapeConfig) -> Result<(), String> {
    for (at, outcome) in targets_of(group, job).into_iter().enumerate() {
        if let TargetOutcome::Fault(fault) = outcome {
            return Err(format!("instance {at} in group {}: {fault}", group.source));
        }
    }
    Ok(())
}
