//! Relabelling rules as sections list them.

use model::relabel::{Action, NameValidation, RelabelRule, RuleFields};

use crate::decode::{ConfigError, Faults, Fields};
use crate::yaml::Node;

/// Reads a list of rules; `null_entry` is upstream's message for an empty item.
pub fn read_rules(
    nodes: &[&Node],
    null_entry: &str,
    validation: NameValidation,
    faults: &mut Faults,
) -> Result<Vec<RelabelRule>, ConfigError> {
    let mut rules = Vec::with_capacity(nodes.len());
    for node in nodes {
        if node.is_null() {
            return Err(ConfigError::at(node.line, null_entry));
        }
        rules.push(read_rule(node, validation, faults)?);
    }
    Ok(rules)
}

fn read_rule(
    node: &Node,
    validation: NameValidation,
    faults: &mut Faults,
) -> Result<RelabelRule, ConfigError> {
    let at = |message: String| ConfigError::at(node.line, message);
    let defaults = RuleFields::default();
    let mut fields = Fields::open(node, "relabel.plain", faults);
    let source_labels = fields.strings("source_labels", faults).unwrap_or_default();
    let action = match fields.string("action", faults) {
        Some(word) => Action::parse(&word).map_err(|e| at(e.to_string()))?,
        None => defaults.action,
    };
    let rule = RuleFields {
        separator: fields
            .string("separator", faults)
            .unwrap_or(defaults.separator),
        regex: fields.string("regex", faults).unwrap_or(defaults.regex),
        modulus: fields.uint("modulus", faults).unwrap_or(0),
        target_label: fields.string("target_label", faults).unwrap_or_default(),
        replacement: fields
            .string("replacement", faults)
            .unwrap_or(defaults.replacement),
        source_labels,
        action,
    };
    fields.close(faults);
    if let Some(name) = rule
        .source_labels
        .iter()
        .find(|name| !validation.allows_label(name))
    {
        return Err(at(format!("{name:?} is not a valid label name")));
    }
    RelabelRule::new(rule, validation).map_err(|e| at(e.to_string()))
}
