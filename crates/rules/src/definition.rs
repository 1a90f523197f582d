//! What a group is made from; two equal definitions are the same group.

use configfile::rules::{Rule, RuleFile};
use model::Labels;

/// What groups take over from the server.
#[derive(Clone, Debug, Default)]
pub struct Defaults {
    /// `global.evaluation_interval`, milliseconds.
    pub interval: i64,
    /// `global.rule_query_offset`, milliseconds.
    pub query_offset: i64,
    /// `global.external_labels`
    pub external_labels: Labels,
}

/// A group as configured.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupDefinition {
    /// The file it is from.
    pub file: String,
    /// Its name, unique within the file.
    pub name: String,
    /// Milliseconds between evaluations.
    pub interval: i64,
    /// Milliseconds that queries lie back.
    pub query_offset: i64,
    /// Alerts or series a rule may yield; 0 for any number.
    pub limit: i64,
    /// Its rules, with the group's labels on them.
    pub rules: Vec<Rule>,
    /// What templates see as external labels.
    pub external_labels: Labels,
}

impl GroupDefinition {
    /// `<file>;<name>`, as metrics name the group.
    pub fn key(&self) -> String {
        format!("{};{}", self.file, self.name)
    }
}

/// The groups of a file.
pub fn definitions(file_name: &str, file: RuleFile, defaults: &Defaults) -> Vec<GroupDefinition> {
    file.groups
        .into_iter()
        .map(|group| {
            let mut rules = group.rules;
            for rule in &mut rules {
                for (name, value) in &group.labels {
                    if !rule.labels.iter().any(|(own, _)| own == name) {
                        rule.labels.push((name.clone(), value.clone()));
                    }
                }
                rule.labels.sort();
            }
            GroupDefinition {
                file: file_name.to_string(),
                name: group.name,
                interval: group.interval.unwrap_or(defaults.interval),
                query_offset: group.query_offset.unwrap_or(defaults.query_offset),
                limit: group.limit,
                rules,
                external_labels: defaults.external_labels.clone(),
            }
        })
        .collect()
}
