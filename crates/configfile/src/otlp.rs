//! `otlp`: checked as upstream checks it; this build takes no OTLP.

use model::labels::go_quote;
use model::relabel::NameValidation;

use crate::decode::{ConfigError, Faults, Fields};
use crate::yaml::Node;

/// Checks the section.
pub(crate) fn check(
    node: &Node,
    validation: NameValidation,
    faults: &mut Faults,
) -> Result<(), ConfigError> {
    let refuse = |message: String| Err(ConfigError::at(node.line, message));
    let mut fields = Fields::open(node, "config.plain", faults);
    let all = fields
        .bool("promote_all_resource_attributes", faults)
        .unwrap_or(false);
    let mut list = |name| fields.strings(name, faults).unwrap_or_default();
    let promoted = list("promote_resource_attributes");
    let ignored = list("ignore_resource_attributes");
    let strategy = fields
        .string("translation_strategy", faults)
        .unwrap_or_default();
    for name in [
        "keep_identifying_resource_attributes",
        "convert_histograms_to_nhcb",
        "promote_scope_metadata",
        "label_name_underscore_sanitization",
        "label_name_preserve_multiple_underscores",
    ] {
        fields.bool(name, faults);
    }
    fields.close_sound(faults)?;
    if all && !promoted.is_empty() {
        return refuse(
            "'promote_all_resource_attributes' and 'promote_resource_attributes' cannot be configured simultaneously"
                .into(),
        );
    }
    if !all && !ignored.is_empty() {
        return refuse(
            "'ignore_resource_attributes' cannot be configured unless 'promote_all_resource_attributes' is true"
                .into(),
        );
    }
    for (name, adjective, attributes) in [
        ("ignore_resource_attributes", "ignored", ignored),
        ("promote_resource_attributes", "promoted", promoted),
    ] {
        let faults = faults_of_attributes(&attributes, adjective);
        if !faults.is_empty() {
            return refuse(format!("invalid '{name}': {}", faults.join("\n")));
        }
    }
    match strategy.as_str() {
        "" | "UnderscoreEscapingWithSuffixes" | "UnderscoreEscapingWithoutSuffixes" => Ok(()),
        "NoUTF8EscapingWithSuffixes" | "NoTranslation" if validation == NameValidation::Legacy => {
            refuse(format!(
                "OTLP translation strategy {} is not allowed when UTF8 is disabled",
                go_quote(&strategy)
            ))
        }
        "NoUTF8EscapingWithSuffixes" | "NoTranslation" => Ok(()),
        other => refuse(format!(
            "unsupported OTLP translation strategy {}",
            go_quote(other)
        )),
    }
}

fn faults_of_attributes(attributes: &[String], adjective: &str) -> Vec<String> {
    let mut faults = Vec::new();
    for (at, attribute) in attributes.iter().enumerate() {
        let attribute = attribute.trim();
        if attribute.is_empty() {
            faults.push(format!("empty {adjective} OTel resource attribute"));
        } else if attributes[..at]
            .iter()
            .any(|known| known.trim() == attribute)
        {
            faults.push(format!(
                "duplicated {adjective} OTel resource attribute {}",
                go_quote(attribute)
            ));
        }
    }
    faults
}
