//! `otlp`: checked as upstream checks it; this build takes no OTLP.

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
    let promoted = take_attributes(&mut fields, "promote_resource_attributes", faults)?;
    let ignored = take_attributes(&mut fields, "ignore_resource_attributes", faults)?;
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
    fields.close(faults);
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
    match strategy.as_str() {
        "" | "UnderscoreEscapingWithSuffixes" | "UnderscoreEscapingWithoutSuffixes" => Ok(()),
        "NoUTF8EscapingWithSuffixes" | "NoTranslation" if validation == NameValidation::Legacy => {
            refuse(format!(
                "OTLP translation strategy {strategy:?} is not allowed when UTF8 is disabled"
            ))
        }
        "NoUTF8EscapingWithSuffixes" | "NoTranslation" => Ok(()),
        other => refuse(format!("unsupported OTLP translation strategy {other:?}")),
    }
}

fn take_attributes(
    fields: &mut Fields<'_>,
    name: &str,
    faults: &mut Faults,
) -> Result<Vec<String>, ConfigError> {
    let line = fields.line;
    let attributes = fields.strings(name, faults).unwrap_or_default();
    for (at, attribute) in attributes.iter().enumerate() {
        if attribute.trim().is_empty() {
            return Err(ConfigError::at(
                line,
                format!("invalid {name}: empty OTel resource attribute"),
            ));
        }
        if attributes[..at]
            .iter()
            .any(|known| known.trim() == attribute.trim())
        {
            return Err(ConfigError::at(
                line,
                format!("invalid {name}: duplicated OTel resource attribute {attribute:?}"),
            ));
        }
    }
    Ok(attributes)
}
