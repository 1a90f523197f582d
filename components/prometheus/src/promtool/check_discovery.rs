//! `promtool check service-discovery`: what a job's discovery finds and what relabelling makes of it.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use configfile::scrape::ScrapeConfig;
use configfile::sd::SdConfig;
use discovery::manager::Manager;
use discovery::{TargetGroup, Targets};
use env::{Clock, Registry};
use flags::{Command, Flag, Takes, Values};
use model::Labels;
use model::duration::parse_go_duration;
use scrape::target::{Outcome as TargetOutcome, discovered_of, targets_of};
use serde::Serialize;

use super::Outcome;
use crate::load::load_without_rules;

pub const SERVICE_DISCOVERY: Command = Command {
    path: "check service-discovery",
    about: "Perform service discovery for the given job name and report the results, including relabeling.",
    flags: &[
        Flag::value("timeout", "30s", "The time to wait for discovery results.")
            .takes(Takes::GoDuration),
        Flag::word("config-file", "The prometheus config file.").takes(Takes::File),
        Flag::word("job", "The job to run service discovery for."),
    ],
};

/// `promtool check service-discovery FILE JOB`: waits the whole timeout, for nobody knows when discovery has found all.
pub async fn service_discovery(values: &Values, clock: Arc<dyn Clock>) -> Outcome {
    let timeout = parse_go_duration(values.text("timeout")).unwrap_or_default();
    let (file, job) = (values.text("config-file"), values.text("job"));
    let config = match load_without_rules(Path::new(file)) {
        Ok(config) => config,
        Err(error) => return Outcome::failed(format!("Cannot load config {error}\n")),
    };
    let jobs = config.jobs();
    let Some(job_config) = jobs.get(job) else {
        let mut text = format!("Job {job} not found. Select one of:\n");
        for known in &config.scrape_configs {
            text.push_str(&format!("\t{}\n", known.job_name));
        }
        return Outcome::failed(text);
    };
    if let Some(error) = cannot_start(&job_config.sd_configs) {
        return Outcome::failed(format!("Could not create new discoverer {error}\n"));
    }
    let mut manager = Manager::new(clock.clone(), Registry::new(), crate::build::user_agent());
    let subscription = manager.subscribe();
    manager.apply(&[(job.to_string(), job_config.sd_configs.clone())]);
    clock.sleep(timeout).await;
    report(&subscription.targets(), job_config)
}

fn cannot_start(configs: &[SdConfig]) -> Option<String> {
    configs.iter().find_map(|config| match config {
        SdConfig::Kubernetes(kubernetes) => discovery::kubernetes::connect(
            kubernetes,
            &crate::build::user_agent(),
            &Default::default(),
        )
        .err(),
        _ => None,
    })
}

/// One target.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checked {
    discovered_labels: Labels,
    labels: Labels,
    /// Upstream's error has no text in JSON; it is said beside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<NoText>,
}

#[derive(Serialize)]
struct NoText {}

/// All targets with their labels before and after; of targets alike in a group, one.
fn report(targets: &Targets, job: &ScrapeConfig) -> Outcome {
    let mut groups: Vec<&TargetGroup> = targets.values().flatten().map(Arc::as_ref).collect();
    groups.sort_by(|a, b| a.source.cmp(&b.source));
    let (mut results, mut faults): (Vec<Checked>, String) = Default::default();
    for group in groups {
        let mut seen = HashSet::new();
        for (found, outcome) in discovered_of(group, job).zip(targets_of(group, job)) {
            let (labels, fault) = match outcome {
                TargetOutcome::Keep(target) => (target.all().clone(), None),
                TargetOutcome::Drop(_) | TargetOutcome::Empty => (Labels::empty(), None),
                TargetOutcome::Fault(fault) => (Labels::empty(), Some(fault)),
            };
            let result = Checked {
                discovered_labels: found,
                labels,
                error: fault.is_some().then_some(NoText {}),
            };
            let (found, labels) = (&result.discovered_labels, &result.labels);
            if !seen.insert((found.clone(), labels.clone(), fault.is_some())) {
                continue;
            }
            if let Some(fault) = fault {
                let address = result.discovered_labels.get(discovery::group::ADDRESS);
                faults.push_str(&format!("target {:?}: {fault}\n", address.unwrap_or("")));
            }
            results.push(result);
        }
    }
    Outcome {
        out: pretty(&results),
        err: faults,
        code: 0,
    }
}

/// JSON as Go writes it: what HTML would take for its own is escaped.
fn pretty(results: &[Checked]) -> String {
    let text = serde_json::to_string_pretty(results).unwrap_or_default();
    text.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}
