//! Relabelling: rules that change, keep or drop a label set.

use regex::Regex;
use thiserror::Error;

use crate::labels::{Labels, LabelsBuilder, is_valid_label_name_legacy};

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Sets `target_label` to the expanded `replacement` where the regex matches.
    Replace,
    /// Drops what does not match.
    Keep,
    /// Drops what matches.
    Drop,
    /// Drops unless the joined sources equal the target's value.
    KeepEqual,
    /// Drops if the joined sources equal the target's value.
    DropEqual,
    /// Sets the target to a hash modulo `modulus`.
    HashMod,
    /// Copies labels whose name matches to new names.
    LabelMap,
    /// Deletes labels whose name matches.
    LabelDrop,
    /// Deletes labels whose name does not match.
    LabelKeep,
    /// Sets the target to the joined sources in lower case.
    Lowercase,
    /// Sets the target to the joined sources in upper case.
    Uppercase,
}

impl Action {
    /// Every action with its word.
    pub const ALL: [(&'static str, Action); 11] = [
        ("replace", Action::Replace),
        ("keep", Action::Keep),
        ("drop", Action::Drop),
        ("keepequal", Action::KeepEqual),
        ("dropequal", Action::DropEqual),
        ("hashmod", Action::HashMod),
        ("labelmap", Action::LabelMap),
        ("labeldrop", Action::LabelDrop),
        ("labelkeep", Action::LabelKeep),
        ("lowercase", Action::Lowercase),
        ("uppercase", Action::Uppercase),
    ];

    /// Reads the word, in any case.
    pub fn parse(word: &str) -> Result<Action, RelabelError> {
        if word.is_empty() {
            return Err(RelabelError("relabel action cannot be empty".into()));
        }
        Action::ALL
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(word))
            .map(|(_, action)| *action)
            .ok_or_else(|| RelabelError(format!("unknown relabel action {word:?}")))
    }

    /// The word.
    pub fn as_str(self) -> &'static str {
        Action::ALL
            .iter()
            .find(|(_, action)| *action == self)
            .map_or("", |(name, _)| name)
    }
}

/// A rule that cannot be.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub struct RelabelError(pub String);

/// Which label names are legal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum NameValidation {
    /// Any non-empty UTF-8.
    #[default]
    Utf8,
    /// `[a-zA-Z_][a-zA-Z0-9_]*`
    Legacy,
}

impl NameValidation {
    /// Whether `name` may name a label.
    pub fn allows_label(self, name: &str) -> bool {
        match self {
            NameValidation::Utf8 => !name.is_empty(),
            NameValidation::Legacy => is_valid_label_name_legacy(name),
        }
    }
}

/// The fields of a rule as written, before they are checked.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleFields {
    /// Labels whose values are joined.
    pub source_labels: Vec<String>,
    /// Joins them.
    pub separator: String,
    /// Anchored pattern.
    pub regex: String,
    /// For hashmod.
    pub modulus: u64,
    /// Where the result goes.
    pub target_label: String,
    /// Template of the result.
    pub replacement: String,
    /// What to do.
    pub action: Action,
}

impl Default for RuleFields {
    fn default() -> RuleFields {
        RuleFields {
            source_labels: Vec::new(),
            separator: ";".into(),
            regex: DEFAULT_REGEX.into(),
            modulus: 0,
            target_label: String::new(),
            replacement: DEFAULT_REPLACEMENT.into(),
            action: Action::Replace,
        }
    }
}

const DEFAULT_REGEX: &str = "(.*)";
const DEFAULT_REPLACEMENT: &str = "$1";

/// A checked rule, ready to run.
#[derive(Clone, Debug)]
pub struct RelabelRule {
    fields: RuleFields,
    regex: Regex,
    validation: NameValidation,
}

impl PartialEq for RelabelRule {
    fn eq(&self, other: &RelabelRule) -> bool {
        self.fields == other.fields && self.validation == other.validation
    }
}

impl RelabelRule {
    /// Checks the fields as upstream does and compiles the regex.
    pub fn new(
        fields: RuleFields,
        validation: NameValidation,
    ) -> Result<RelabelRule, RelabelError> {
        if let Some(fault) = crate::regex::anchored_fault(&fields.regex) {
            return Err(RelabelError(fault.to_string()));
        }
        check(&fields, validation)?;
        let checked =
            crate::regex::FastRegex::new(&fields.regex).map_err(|e| RelabelError(e.to_string()))?;
        let regex = Regex::new(&format!("^(?s:{})$", checked.library_syntax()))
            .map_err(|e| RelabelError(format!("error parsing regexp: {e}")))?;
        Ok(RelabelRule {
            fields,
            regex,
            validation,
        })
    }

    /// The fields as written.
    pub fn fields(&self) -> &RuleFields {
        &self.fields
    }
}

fn check(fields: &RuleFields, validation: NameValidation) -> Result<(), RelabelError> {
    let refuse = |text: String| Err(RelabelError(text));
    let action = fields.action;
    let word = action.as_str();
    let defaults = RuleFields::default();
    if action == Action::HashMod && fields.modulus == 0 {
        return refuse("relabel configuration for hashmod requires non-zero modulus".into());
    }
    let needs_target = matches!(
        action,
        Action::Replace
            | Action::HashMod
            | Action::Lowercase
            | Action::Uppercase
            | Action::KeepEqual
            | Action::DropEqual
    );
    if needs_target && fields.target_label.is_empty() {
        return refuse(format!(
            "relabel configuration for {word} action requires 'target_label' value"
        ));
    }
    let valid_template = |name: &str| match validation {
        NameValidation::Utf8 => !name.is_empty(),
        NameValidation::Legacy => is_legacy_template(name),
    };
    let target_ok = match action {
        Action::Replace if fields.target_label.contains('$') => {
            valid_template(&fields.target_label)
        }
        Action::Replace
        | Action::HashMod
        | Action::Lowercase
        | Action::Uppercase
        | Action::KeepEqual
        | Action::DropEqual => validation.allows_label(&fields.target_label),
        _ => true,
    };
    if !target_ok {
        return refuse(format!(
            "{:?} is invalid 'target_label' for {word} action",
            fields.target_label
        ));
    }
    let no_replacement = matches!(
        action,
        Action::Lowercase | Action::Uppercase | Action::KeepEqual | Action::DropEqual
    );
    if no_replacement && fields.replacement != defaults.replacement {
        return refuse(format!("'replacement' can not be set for {word} action"));
    }
    if action == Action::LabelMap && !valid_template(&fields.replacement) {
        return refuse(format!(
            "{:?} is invalid 'replacement' for {word} action",
            fields.replacement
        ));
    }
    if matches!(action, Action::KeepEqual | Action::DropEqual)
        && (fields.regex != defaults.regex
            || fields.modulus != 0
            || fields.separator != defaults.separator)
    {
        return refuse(format!(
            "{word} action requires only 'source_labels' and `target_label`, and no other fields"
        ));
    }
    if matches!(action, Action::LabelDrop | Action::LabelKeep)
        && (!fields.source_labels.is_empty()
            || !fields.target_label.is_empty()
            || fields.modulus != 0
            || fields.separator != defaults.separator
            || fields.replacement != defaults.replacement)
    {
        return refuse(format!(
            "{word} action requires only 'regex', and no other fields"
        ));
    }
    Ok(())
}

/// A legacy name in which `$1` and `${name}` may stand for parts.
fn is_legacy_template(name: &str) -> bool {
    let mut plain = String::new();
    let mut rest = name;
    while let Some(at) = rest.find('$') {
        plain.push_str(&rest[..at]);
        let body = &rest[at + 1..];
        let (inner, after) = match body.strip_prefix('{') {
            Some(braced) => match braced.split_once('}') {
                Some(parts) => parts,
                None => return false,
            },
            None => body.split_at(
                body.bytes()
                    .take_while(|b| b.is_ascii_alphanumeric() || *b == b'_')
                    .count(),
            ),
        };
        if inner.is_empty()
            || !inner
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_')
        {
            return false;
        }
        plain.push('a');
        rest = after;
    }
    plain.push_str(rest);
    is_valid_label_name_legacy(&plain)
}

/// Runs `rules` in order. `None`: the set is dropped.
pub fn relabel(labels: &Labels, rules: &[RelabelRule]) -> Option<Labels> {
    if rules.is_empty() {
        return Some(labels.clone());
    }
    let mut current = labels.clone();
    for rule in rules {
        current = apply(current, rule)?;
    }
    Some(current)
}

fn apply(labels: Labels, rule: &RelabelRule) -> Option<Labels> {
    let fields = &rule.fields;
    let joined = || match &fields.source_labels[..] {
        [one] => labels.get(one).unwrap_or("").to_string(),
        several => several
            .iter()
            .map(|name| labels.get(name).unwrap_or(""))
            .collect::<Vec<_>>()
            .join(&fields.separator),
    };
    let set = |value: String| {
        let mut builder = LabelsBuilder::new(&labels);
        builder.set(fields.target_label.as_str(), value);
        builder.build()
    };
    match fields.action {
        Action::Keep => rule.regex.is_match(&joined()).then_some(labels),
        Action::Drop => (!rule.regex.is_match(&joined())).then_some(labels),
        Action::KeepEqual => {
            (labels.get(&fields.target_label).unwrap_or("") == joined()).then_some(labels)
        }
        Action::DropEqual => {
            (labels.get(&fields.target_label).unwrap_or("") != joined()).then_some(labels)
        }
        Action::Lowercase => Some(set(joined().to_lowercase())),
        Action::Uppercase => Some(set(joined().to_uppercase())),
        Action::HashMod => Some(set((md5_tail(&joined()) % fields.modulus).to_string())),
        Action::Replace => {
            let value = joined();
            let Some(captures) = rule.regex.captures(&value) else {
                return Some(labels);
            };
            let target = if fields.target_label.contains('$') {
                expand(&captures, &fields.target_label)
            } else {
                fields.target_label.clone()
            };
            if !rule.validation.allows_label(&target) {
                return Some(labels);
            }
            let result = expand(&captures, &fields.replacement);
            let mut builder = LabelsBuilder::new(&labels);
            builder.set(target, result);
            Some(builder.build())
        }
        Action::LabelMap => {
            let mut builder = LabelsBuilder::new(&labels);
            for (name, value) in labels.iter() {
                if let Some(captures) = rule.regex.captures(name) {
                    builder.set(expand(&captures, &fields.replacement), value);
                }
            }
            Some(builder.build())
        }
        Action::LabelDrop => Some(labels.filtered(|name| !rule.regex.is_match(name))),
        Action::LabelKeep => Some(labels.filtered(|name| rule.regex.is_match(name))),
    }
}

/// The last 8 bytes of the MD5 sum, big endian.
fn md5_tail(text: &str) -> u64 {
    use md5::Digest as _;
    let sum = md5::Md5::digest(text.as_bytes());
    sum[8..]
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Go's `Regexp.Expand`: `$name` takes the longest run of letters, digits and `_`; `${name}`; `$$`; an unknown group is
/// empty; a `$` that starts nothing stays.
fn expand(captures: &regex::Captures<'_>, template: &str) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let body = &rest[at + 1..];
        if let Some(after) = body.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let word = |s: &str| -> usize {
            s.char_indices()
                .find(|(_, c)| !(c.is_alphanumeric() || *c == '_'))
                .map_or(s.len(), |(i, _)| i)
        };
        let found = match body.strip_prefix('{') {
            Some(braced) => {
                let end = word(braced);
                (end > 0 && braced[end..].starts_with('}'))
                    .then(|| (&braced[..end], &braced[end + 1..]))
            }
            None => {
                let end = word(body);
                (end > 0).then(|| (&body[..end], &body[end..]))
            }
        };
        let Some((name, after)) = found else {
            out.push('$');
            rest = body;
            continue;
        };
        let group = match name.parse::<usize>() {
            Ok(index) => captures.get(index),
            Err(_) => captures.name(name),
        };
        out.push_str(group.map_or("", |m| m.as_str()));
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
#[path = "relabel/tests.rs"]
mod tests;
