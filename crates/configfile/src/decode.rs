//! From YAML nodes to fields: unknown and duplicate keys, wrong kinds, each with its line.
//!
//! As upstream does, faults of form (unknown fields, wrong kinds) are collected and told together; the first fault of
//! meaning ends the reading.

use std::fmt;

use crate::yaml::{Node, Value};

/// What is wrong with a file. Displays as upstream's message with the line in front.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: Option<String>,
    /// Faults of form found so far; told together.
    form: Vec<String>,
    /// The fault of meaning that ended the reading.
    meaning: Option<String>,
}

impl ConfigError {
    /// A fault at a line.
    pub fn at(line: usize, message: impl fmt::Display) -> ConfigError {
        ConfigError::plain(format!("line {line}: {message}"))
    }

    /// A fault of the file as a whole.
    pub fn plain(message: impl Into<String>) -> ConfigError {
        ConfigError {
            file: None,
            form: Vec::new(),
            meaning: Some(message.into()),
        }
    }

    /// Several faults of form.
    fn form(faults: Vec<String>) -> ConfigError {
        ConfigError {
            file: None,
            form: faults,
            meaning: None,
        }
    }

    /// The same fault with the file it is in.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> ConfigError {
        self.file.get_or_insert(file.into());
        self
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "parsing YAML file {file}: ")?;
        }
        if !self.form.is_empty() {
            f.write_str("yaml: unmarshal errors:")?;
            for fault in &self.form {
                write!(f, "\n  {fault}")?;
            }
        }
        if let Some(meaning) = &self.meaning {
            if !self.form.is_empty() {
                f.write_str("\n")?;
            }
            f.write_str(meaning)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Where faults of form are collected while a file is read.
#[derive(Debug, Default)]
pub struct Faults(Vec<String>);

impl Faults {
    /// Notes a fault of form.
    pub fn add(&mut self, line: usize, message: impl fmt::Display) {
        self.0.push(format!("line {line}: {message}"));
    }

    /// An error if any was noted.
    pub fn into_result(self) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ConfigError::form(self.0))
        }
    }

    /// How a reading ends: the fault of meaning with the faults of form seen before it, or the latter, or the value.
    pub fn finish<T>(self, result: Result<T, ConfigError>) -> Result<T, ConfigError> {
        match result {
            Ok(value) => self.into_result().map(|()| value),
            Err(mut error) => {
                error.form.splice(0..0, self.0);
                Err(error)
            }
        }
    }
}

/// The fields of one mapping, taken one by one; what is left over is unknown.
pub struct Fields<'a> {
    entries: Vec<(&'a str, usize, &'a Node)>,
    /// Where the mapping starts, for faults about something missing.
    pub line: usize,
    type_name: &'static str,
}

impl<'a> Fields<'a> {
    /// Opens a mapping; null has no fields. `type_name` is upstream's, as its messages show it.
    pub fn open(node: &'a Node, type_name: &'static str, faults: &mut Faults) -> Fields<'a> {
        let mut entries: Vec<(&str, usize, &Node)> = Vec::new();
        match &node.value {
            Value::Mapping(pairs) => {
                for (key, value) in pairs {
                    if let Some((_, first, _)) = entries.iter().find(|(name, ..)| *name == key.name)
                    {
                        faults.add(
                            key.line,
                            format!(
                                "field {} already set in type {type_name} (first on line {first})",
                                key.name
                            ),
                        );
                    } else {
                        entries.push((&key.name, key.line, value));
                    }
                }
            }
            Value::Null => {}
            other => {
                faults.add(
                    node.line,
                    format!("cannot unmarshal {} into {type_name}", kind(other)),
                );
            }
        }
        Fields {
            entries,
            line: node.line,
            type_name,
        }
    }

    /// The node of a field with the field's line, if it is there and not null.
    pub fn take(&mut self, name: &str) -> Option<&'a Node> {
        let (_, _, node) = self.remove(name)?;
        (!node.is_null()).then_some(node)
    }

    /// As [`Fields::take`], a null counts too.
    pub fn take_even_null(&mut self, name: &str) -> Option<&'a Node> {
        self.remove(name).map(|(_, _, node)| node)
    }

    fn remove(&mut self, name: &str) -> Option<(&'a str, usize, &'a Node)> {
        let at = self.entries.iter().position(|(known, ..)| *known == name)?;
        Some(self.entries.swap_remove(at))
    }

    /// Names still to be taken, in no particular order.
    pub fn remaining(&self) -> Vec<&'a str> {
        self.entries.iter().map(|(name, ..)| *name).collect()
    }

    /// A text.
    pub fn string(&mut self, name: &str, faults: &mut Faults) -> Option<String> {
        self.take(name).and_then(|node| string(node, faults))
    }

    /// A boolean.
    pub fn bool(&mut self, name: &str, faults: &mut Faults) -> Option<bool> {
        let node = self.take(name)?;
        scalar(node, "bool", faults, |text, plain| match text {
            // What upstream's YAML library takes for a boolean when one is wanted.
            "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "y" | "Y"
                if plain =>
            {
                Some(true)
            }
            "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "n"
            | "N"
                if plain =>
            {
                Some(false)
            }
            _ => None,
        })
    }

    /// A whole number from 0.
    pub fn uint(&mut self, name: &str, faults: &mut Faults) -> Option<u64> {
        let node = self.take(name)?;
        scalar(node, "uint", faults, |text, _| {
            parse_integer(text)?.try_into().ok()
        })
    }

    /// A whole number.
    pub fn int(&mut self, name: &str, faults: &mut Faults) -> Option<i64> {
        let node = self.take(name)?;
        scalar(node, "int", faults, |text, _| {
            parse_integer(text)?.try_into().ok()
        })
    }

    /// A number.
    pub fn float(&mut self, name: &str, faults: &mut Faults) -> Option<f64> {
        let node = self.take(name)?;
        scalar(node, "float64", faults, |text, _| {
            model::number::parse_float(text.trim_start_matches('.')).filter(|_| text != ".")
        })
    }

    /// A Prometheus duration in milliseconds.
    pub fn duration(
        &mut self,
        name: &str,
        faults: &mut Faults,
    ) -> Result<Option<i64>, ConfigError> {
        let Some(node) = self.take(name) else {
            return Ok(None);
        };
        let Some(text) = string(node, faults) else {
            return Ok(None);
        };
        model::duration::parse_duration(&text)
            .map(Some)
            .map_err(|e| ConfigError::at(node.line, format!("{name}: {e}")))
    }

    /// A size in bytes.
    pub fn size(&mut self, name: &str, faults: &mut Faults) -> Result<Option<u64>, ConfigError> {
        let Some(node) = self.take(name) else {
            return Ok(None);
        };
        let Some(text) = string(node, faults) else {
            return Ok(None);
        };
        crate::size::parse_size(&text)
            .map(Some)
            .map_err(|e| ConfigError::at(node.line, format!("{name}: {e}")))
    }

    /// A list of nodes.
    pub fn list(&mut self, name: &str, faults: &mut Faults) -> Vec<&'a Node> {
        self.take(name)
            .map(|node| list(node, faults))
            .unwrap_or_default()
    }

    /// A list of texts.
    pub fn strings(&mut self, name: &str, faults: &mut Faults) -> Option<Vec<String>> {
        let node = self.take(name)?;
        Some(
            list(node, faults)
                .into_iter()
                .filter_map(|item| string(item, faults))
                .collect(),
        )
    }

    /// A mapping from texts to texts, in order of the file.
    pub fn string_map(&mut self, name: &str, faults: &mut Faults) -> Vec<(String, String, usize)> {
        let Some(node) = self.take(name) else {
            return Vec::new();
        };
        let Value::Mapping(pairs) = &node.value else {
            faults.add(
                node.line,
                format!(
                    "cannot unmarshal {} into map[string]string",
                    kind(&node.value)
                ),
            );
            return Vec::new();
        };
        for (i, (key, _)) in pairs.iter().enumerate() {
            if pairs[..i].iter().any(|(before, _)| before.name == key.name) {
                faults.add(key.line, format!("key {:?} already set in map", key.name));
            }
        }
        pairs
            .iter()
            .map(|(key, value)| {
                (
                    key.name.clone(),
                    string(value, faults).unwrap_or_default(),
                    key.line,
                )
            })
            .collect()
    }

    /// All fields are taken: whatever is left is a fault.
    pub fn close(mut self, faults: &mut Faults) {
        self.entries.sort_by_key(|(_, line, _)| *line);
        for (name, line, _) in self.entries {
            faults.add(
                line,
                format!("field {name} not found in type {}", self.type_name),
            );
        }
    }
}

/// The items of a list; null has none.
pub fn list<'a>(node: &'a Node, faults: &mut Faults) -> Vec<&'a Node> {
    match &node.value {
        Value::Sequence(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        other => {
            faults.add(
                node.line,
                format!("cannot unmarshal {} into a list", kind(other)),
            );
            Vec::new()
        }
    }
}

/// A scalar as text; numbers and booleans count as the text they were written as.
pub fn string(node: &Node, faults: &mut Faults) -> Option<String> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text.clone()),
        Value::Null => Some(String::new()),
        other => {
            faults.add(
                node.line,
                format!("cannot unmarshal {} into string", kind(other)),
            );
            None
        }
    }
}

fn scalar<T>(
    node: &Node,
    wanted: &str,
    faults: &mut Faults,
    read: impl FnOnce(&str, bool) -> Option<T>,
) -> Option<T> {
    let (found, shown) = match &node.value {
        Value::Scalar { text, plain } => (read(text, *plain), format!("`{}`", shorten(text))),
        other => (None, kind(other).to_string()),
    };
    if found.is_none() {
        faults.add(node.line, format!("cannot unmarshal {shown} into {wanted}"));
    }
    found
}

fn shorten(text: &str) -> String {
    if text.chars().count() <= 20 {
        text.into()
    } else {
        text.chars().take(20).chain("...".chars()).collect()
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Scalar { .. } => "a scalar",
        Value::Sequence(_) => "!!seq",
        Value::Mapping(_) => "!!map",
    }
}

/// Decimal with `_`, `0x`, `0o`, `0b`, and floats that are whole, as upstream's YAML library reads integers.
fn parse_integer(text: &str) -> Option<i128> {
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    let magnitude = if let Some(hex) = digits.strip_prefix("0x") {
        i128::from_str_radix(hex, 16).ok()?
    } else if let Some(octal) = digits.strip_prefix("0o") {
        i128::from_str_radix(octal, 8).ok()?
    } else if let Some(binary) = digits.strip_prefix("0b") {
        i128::from_str_radix(binary, 2).ok()?
    } else if digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty() {
        digits.parse().ok()?
    } else {
        let float = model::number::parse_float(digits)?;
        (float.fract() == 0.0 && float.abs() < 1e18).then_some(float as i128)?
    };
    Some(if negative { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collects_faults_of_form() {
        let node = crate::yaml::parse("a: 1\nb: x\nc: [1]\na: 2\nd: yes\n").expect("parses");
        let mut faults = Faults::default();
        let mut fields = Fields::open(&node, "config.plain", &mut faults);
        assert_eq!(fields.uint("a", &mut faults), Some(1));
        assert_eq!(fields.uint("b", &mut faults), None);
        assert_eq!(fields.bool("d", &mut faults), Some(true));
        fields.close(&mut faults);
        assert_eq!(
            faults
                .into_result()
                .expect_err("faults")
                .in_file("x.yml")
                .to_string(),
            "parsing YAML file x.yml: yaml: unmarshal errors:\n  \
             line 4: field a already set in type config.plain (first on line 1)\n  \
             line 2: cannot unmarshal `x` into uint\n  \
             line 3: field c not found in type config.plain"
        );
    }

    #[test]
    fn integers() {
        for (text, value) in [
            ("1_000", 1000),
            ("0x10", 16),
            ("-5", -5),
            ("1e3", 1000),
            ("5e7", 50_000_000),
        ] {
            assert_eq!(parse_integer(text), Some(value), "{text}");
        }
        assert_eq!(parse_integer("1.5"), None);
        assert_eq!(parse_integer(""), None);
    }
}
