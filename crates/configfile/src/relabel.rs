//! Relabelling rules as sections list them.

use model::relabel::{Action, NameValidation, RelabelRule, RuleFields};

use crate::decode::{ConfigError, Faults, Fields, list, sound, text};
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
        rules.extend(sound(read_rule(node, validation, faults))?);
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
    let source_labels = read_source_labels(&mut fields, faults)?;
    let action = match fields.take_even_null("action") {
        None => defaults.action,
        Some(node) if node.is_null() => return Err(at("relabel action cannot be empty".into())),
        Some(node) => match text(node, "string", faults) {
            Some(word) if word.is_empty() => {
                return Err(at("unknown relabel action \"\"".into()));
            }
            Some(word) => Action::parse(&word).map_err(|e| at(e.to_string()))?,
            None => defaults.action,
        },
    };
    let rule = RuleFields {
        separator: fields
            .string("separator", faults)
            .unwrap_or(defaults.separator),
        regex: fields.string("regex", faults).unwrap_or(defaults.regex),
        modulus: fields.whole("modulus", "uint64", faults).unwrap_or(0),
        target_label: fields.string("target_label", faults).unwrap_or_default(),
        replacement: fields
            .string("replacement", faults)
            .unwrap_or(defaults.replacement),
        source_labels,
        action,
    };
    fields.close_sound(faults)?;
    RelabelRule::new(rule, validation).map_err(|e| at(e.to_string()))
}

/// Any text but an empty one is a label name here: what cannot be found is only never found.
fn read_source_labels(
    fields: &mut Fields<'_>,
    faults: &mut Faults,
) -> Result<Vec<String>, ConfigError> {
    let Some(node) = fields.take("source_labels") else {
        return Ok(Vec::new());
    };
    let mut names = Vec::new();
    for item in list(node, "model.LabelNames", faults) {
        let name = text(item, "string", faults);
        if name.as_deref() == Some("") && !item.is_null() {
            return Err(ConfigError::at(item.line, "\"\" is not a valid label name"));
        }
        names.extend(name);
    }
    Ok(names)
}
