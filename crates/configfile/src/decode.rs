//! From YAML nodes to fields: unknown and duplicate keys, wrong kinds, each with its line.
//!
//! As upstream does, faults of form (unknown fields, wrong kinds) are collected and told together; the first fault of
//! meaning ends the reading and is told alone. A section whose form is wrong is not asked what it means.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::scalar::Kind;
use crate::yaml::{Dialect, Key, Node, Value};

/// What is wrong with a file. Displays as upstream's message; where upstream's does not name the line, it follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    file: Option<String>,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// Faults of form, told together.
    Form(Vec<String>),
    /// A fault of meaning, with its place where that is known.
    Meaning(String, Option<String>),
    /// A section is not read because of faults of form that are already noted.
    Unsound,
}

impl ConfigError {
    /// A fault of meaning at a line.
    pub fn at(line: usize, message: impl fmt::Display) -> ConfigError {
        ConfigError::of(What::Meaning(
            message.to_string(),
            Some(format!("line {line}")),
        ))
    }

    /// A fault of meaning of a field's value.
    pub fn in_field(line: usize, field: &str, message: impl fmt::Display) -> ConfigError {
        let place = format!("line {line}: {field}");
        ConfigError::of(What::Meaning(message.to_string(), Some(place)))
    }

    /// A fault of the file as a whole.
    pub fn plain(message: impl Into<String>) -> ConfigError {
        ConfigError::of(What::Meaning(message.into(), None))
    }

    /// The end of reading a section whose faults of form are noted.
    pub fn unsound() -> ConfigError {
        ConfigError::of(What::Unsound)
    }

    fn of(what: What) -> ConfigError {
        ConfigError { file: None, what }
    }

    /// The same fault with the file it is in.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> ConfigError {
        self.file.get_or_insert(file.into());
        self
    }

    /// The same fault as a reading that knows every field, but calls types otherwise, tells it; none where it has none.
    pub fn told_again(&self, names: &[(&str, &str)]) -> Option<ConfigError> {
        let What::Form(faults) = &self.what else {
            return Some(self.clone());
        };
        let renamed = |fault: &String| {
            let mut fault = fault.clone();
            for (name, other) in names {
                if let Some(start) = fault.strip_suffix(name) {
                    fault = format!("{start}{other}");
                    break;
                }
            }
            fault
        };
        let known = faults
            .iter()
            .filter(|fault| !fault.contains(" not found in type "));
        let faults: Vec<String> = known.map(renamed).collect();
        (!faults.is_empty()).then(|| ConfigError::of(What::Form(faults)))
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "parsing YAML file {file}: ")?;
        }
        match &self.what {
            What::Form(faults) => {
                f.write_str("yaml: unmarshal errors:")?;
                faults.iter().try_for_each(|fault| write!(f, "\n  {fault}"))
            }
            What::Meaning(message, None) => f.write_str(message),
            What::Meaning(message, Some(place)) => write!(f, "{message} ({place})"),
            What::Unsound => f.write_str("a section is wrong"),
        }
    }
}

impl std::error::Error for ConfigError {}

/// The value of a section, or nothing where its form was wrong: what lies beside it is still read.
pub fn sound<T>(result: Result<T, ConfigError>) -> Result<Option<T>, ConfigError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.what == What::Unsound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Earlier places of a key that are told of at most.
const TOLD: usize = 10;

/// Where faults of form are collected while a file is read.
#[derive(Debug, Default)]
pub struct Faults {
    /// Each with its line and column.
    noted: Vec<(usize, usize, String)>,
    /// Unknown fields are passed over.
    lenient: bool,
    dialect: Dialect,
}

impl Faults {
    /// For a file in one of the dialects; `lenient` passes unknown fields over.
    pub fn of(dialect: Dialect, lenient: bool) -> Faults {
        Faults {
            noted: Vec::new(),
            lenient,
            dialect,
        }
    }

    /// Notes keys that a mapping has twice, where the dialect takes such a mapping for nothing; tells whether it did.
    fn note_duplicates(&mut self, pairs: &[(Key, Node)]) -> bool {
        if self.dialect == Dialect::V2 {
            return false;
        }
        let before = self.count();
        let mut seen: HashMap<_, Vec<usize>> = HashMap::new();
        for (key, _) in pairs.iter().filter(|(key, _)| key.merge == 0) {
            let lines = seen.entry((&key.name, key.odd)).or_default();
            // Upstream tells of each pair; nobody reads more of them.
            for first in lines.iter().take(TOLD) {
                let name = model::labels::go_quote(&key.name);
                let message = format!("mapping key {name} already defined at line {first}");
                self.add_at(key.line, key.column, message);
            }
            lines.push(key.line);
        }
        self.count() > before
    }

    /// Notes a fault of form.
    pub fn add(&mut self, line: usize, message: impl fmt::Display) {
        self.add_at(line, 0, message);
    }

    fn add_at(&mut self, line: usize, column: usize, message: impl fmt::Display) {
        self.noted
            .push((line, column, format!("line {line}: {message}")));
    }

    /// Notes that a node is of a kind that `go_type`, upstream's name for what is wanted, cannot hold.
    pub fn wrong_kind(&mut self, node: &Node, go_type: &str) {
        let shown = shown(node);
        let message = format!("cannot unmarshal {shown} into {go_type}");
        self.add_at(node.line, node.column, message);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.noted.len()
    }

    /// An error if any was noted, in order of the file.
    pub fn into_result(mut self) -> Result<(), ConfigError> {
        if self.noted.is_empty() {
            return Ok(());
        }
        self.noted.sort_by_key(|(line, column, _)| (*line, *column));
        let faults = self.noted.into_iter().map(|(.., fault)| fault).collect();
        Err(ConfigError::of(What::Form(faults)))
    }

    /// How a reading ends: with the fault of meaning, or the faults of form, or the value.
    pub fn finish<T>(self, result: Result<T, ConfigError>) -> Result<T, ConfigError> {
        match result {
            Ok(value) => self.into_result().map(|()| value),
            Err(error) if error.what == What::Unsound => {
                self.into_result()?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}

/// The fields of one mapping, taken one by one; what is left over is unknown.
pub struct Fields<'a> {
    entries: Vec<(&'a Key, &'a Node)>,
    /// Where the mapping starts, for faults about something missing.
    pub line: usize,
    type_name: &'static str,
    faults_before: usize,
}

impl<'a> Fields<'a> {
    /// Opens a mapping; null has no fields. `type_name` is upstream's, as its messages show it.
    pub fn open(node: &'a Node, type_name: &'static str, faults: &mut Faults) -> Fields<'a> {
        let faults_before = faults.count();
        let mut entries: Vec<(&Key, &Node)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        match &node.value {
            Value::Mapping(pairs) if faults.note_duplicates(pairs) => {}
            Value::Mapping(pairs) => {
                for (key, value) in pairs {
                    if let Some(odd) = key.odd {
                        let message = format!("cannot unmarshal {odd} into string");
                        faults.add_at(key.line, key.column, message);
                        continue;
                    }
                    let place = places.get(key.name.as_str());
                    match place.map(|place| &mut entries[*place]) {
                        Some((known, _)) if known.merge == key.merge => {
                            let name = &key.name;
                            let message = format!("field {name} already set in type {type_name}");
                            faults.add_at(key.line, key.column, message);
                        }
                        Some(earlier) => *earlier = (key, value),
                        None => {
                            places.insert(&key.name, entries.len());
                            entries.push((key, value));
                        }
                    }
                }
            }
            Value::Null => {}
            _ => faults.wrong_kind(node, type_name),
        }
        Fields {
            entries,
            line: node.line,
            type_name,
            faults_before,
        }
    }

    /// The node of a field, if it is there and not null.
    pub fn take(&mut self, name: &str) -> Option<&'a Node> {
        self.take_even_null(name).filter(|node| !node.is_null())
    }

    /// As [`Fields::take`], a null counts too: upstream takes it for zero, not for the default.
    pub fn take_even_null(&mut self, name: &str) -> Option<&'a Node> {
        let at = self.entries.iter().position(|(key, _)| key.name == name)?;
        Some(self.entries.swap_remove(at).1)
    }

    /// Names still to be taken, in no particular order.
    pub fn remaining(&self) -> Vec<&'a str> {
        self.entries.iter().map(|(key, _)| &*key.name).collect()
    }

    /// A text.
    pub fn string(&mut self, name: &str, faults: &mut Faults) -> Option<String> {
        self.string_of(name, "string", faults)
    }

    /// A text that upstream calls by another type.
    pub fn string_of(&mut self, name: &str, go_type: &str, faults: &mut Faults) -> Option<String> {
        text(self.take_even_null(name)?, go_type, faults)
    }

    /// A boolean.
    pub fn bool(&mut self, name: &str, faults: &mut Faults) -> Option<bool> {
        let node = self.take_even_null(name)?;
        scalar(node, "bool", false, faults, |kind| match kind {
            Kind::Bool(value) => Some(value),
            _ => None,
        })
    }

    /// A boolean that may be left open: null is no answer.
    pub fn maybe_bool(&mut self, name: &str, faults: &mut Faults) -> Option<bool> {
        let open = |(key, node): &(&Key, &Node)| key.name == name && node.is_null();
        if self.entries.iter().any(open) {
            self.take_even_null(name);
        }
        self.bool(name, faults)
    }

    /// A whole number from 0.
    pub fn uint(&mut self, name: &str, faults: &mut Faults) -> Option<u64> {
        self.whole(name, "uint", faults)
    }

    /// A whole number.
    pub fn int(&mut self, name: &str, faults: &mut Faults) -> Option<i64> {
        self.whole(name, "int", faults)
    }

    /// A whole number of upstream's type `go_type`.
    pub fn whole<T: TryFrom<i128> + Default>(
        &mut self,
        name: &str,
        go_type: &str,
        faults: &mut Faults,
    ) -> Option<T> {
        let node = self.take_even_null(name)?;
        scalar(node, go_type, T::default(), faults, |kind| match kind {
            Kind::Int(value) => value.try_into().ok(),
            // Upstream cuts off what is behind the point.
            Kind::Float(value) if value.abs() < 1.9e19 => (value as i128).try_into().ok(),
            _ => None,
        })
    }

    /// A number.
    pub fn float(&mut self, name: &str, faults: &mut Faults) -> Option<f64> {
        let node = self.take_even_null(name)?;
        scalar(node, "float64", 0.0, faults, |kind| match kind {
            Kind::Int(value) => Some(value as f64),
            Kind::Float(value) => Some(value),
            _ => None,
        })
    }

    /// A Prometheus duration in milliseconds.
    pub fn duration(
        &mut self,
        name: &str,
        faults: &mut Faults,
    ) -> Result<Option<i64>, ConfigError> {
        self.measured(name, "string", model::duration::parse_duration, faults)
    }

    /// A size in bytes; one below 0 counts as none, as upstream has it.
    pub fn size(&mut self, name: &str, faults: &mut Faults) -> Result<Option<u64>, ConfigError> {
        let parse = |text: &str| match text.strip_prefix('-') {
            Some(size) => crate::size::parse_size(size).map(|_| 0),
            None => crate::size::parse_size(text),
        };
        self.measured(name, "units.Base2Bytes", parse, faults)
    }

    fn measured<T: Default, E: fmt::Display>(
        &mut self,
        name: &str,
        go_type: &str,
        parse: fn(&str) -> Result<T, E>,
        faults: &mut Faults,
    ) -> Result<Option<T>, ConfigError> {
        let Some(node) = self.take_even_null(name) else {
            return Ok(None);
        };
        if node.is_null() {
            return Ok(Some(T::default()));
        }
        let Some(text) = text(node, go_type, faults) else {
            return Ok(None);
        };
        parse(&text)
            .map(Some)
            .map_err(|e| ConfigError::in_field(node.line, name, e))
    }

    /// A list of nodes; `go_type` is upstream's for the whole list.
    pub fn list(&mut self, name: &str, go_type: &str, faults: &mut Faults) -> Vec<&'a Node> {
        self.take(name)
            .map(|node| list(node, go_type, faults))
            .unwrap_or_default()
    }

    /// A list of texts.
    pub fn strings(&mut self, name: &str, faults: &mut Faults) -> Option<Vec<String>> {
        self.strings_of(name, "[]string", "string", faults)
    }

    /// A list of texts that upstream calls by other types.
    pub fn strings_of(
        &mut self,
        name: &str,
        list_type: &str,
        item_type: &str,
        faults: &mut Faults,
    ) -> Option<Vec<String>> {
        let node = self.take(name)?;
        Some(
            list(node, list_type, faults)
                .into_iter()
                .filter_map(|item| text(item, item_type, faults))
                .collect(),
        )
    }

    /// A mapping from texts to texts, in order of the file.
    pub fn string_map(&mut self, name: &str, faults: &mut Faults) -> Vec<(String, String, usize)> {
        self.string_map_of(name, "map[string]string", "string", faults)
    }

    /// A mapping from texts to texts that upstream calls by other types.
    pub fn string_map_of(
        &mut self,
        name: &str,
        map_type: &str,
        value_type: &str,
        faults: &mut Faults,
    ) -> Vec<(String, String, usize)> {
        let Some(node) = self.take(name) else {
            return Vec::new();
        };
        pairs(node, map_type, faults)
            .into_iter()
            .filter_map(|(key, value)| {
                let value = text(value, value_type, faults)?;
                Some((key.name.clone(), value, key.line))
            })
            .collect()
    }

    /// Whether no fault was found in it so far.
    pub fn is_sound(&self, faults: &Faults) -> bool {
        faults.count() == self.faults_before
    }

    /// All fields are taken: whatever is left is a fault. Tells whether the section had none.
    pub fn close(self, faults: &mut Faults) -> bool {
        if !faults.lenient {
            for (key, _) in self.entries {
                let message = format!("field {} not found in type {}", key.name, self.type_name);
                faults.add_at(key.line, key.column, message);
            }
        }
        faults.count() == self.faults_before
    }

    /// As [`Fields::close`], for sections that have a meaning of their own: with a fault, it is not asked for.
    pub fn close_sound(self, faults: &mut Faults) -> Result<(), ConfigError> {
        if self.close(faults) {
            Ok(())
        } else {
            Err(ConfigError::unsound())
        }
    }
}

/// The items of a list; null has none.
pub fn list<'a>(node: &'a Node, go_type: &str, faults: &mut Faults) -> Vec<&'a Node> {
    match &node.value {
        Value::Sequence(items) => items.iter().collect(),
        Value::Null => Vec::new(),
        _ => {
            faults.wrong_kind(node, go_type);
            Vec::new()
        }
    }
}

/// The entries of a mapping whose keys are free; null has none. A key that is there twice is a fault.
pub fn pairs<'a>(node: &'a Node, go_type: &str, faults: &mut Faults) -> Vec<(&'a Key, &'a Node)> {
    let entries = match &node.value {
        Value::Mapping(entries) if faults.note_duplicates(entries) => return Vec::new(),
        Value::Mapping(entries) => entries,
        Value::Null => return Vec::new(),
        _ => {
            faults.wrong_kind(node, go_type);
            return Vec::new();
        }
    };
    let mut seen: Vec<(&Key, &Node)> = Vec::new();
    let mut names: HashSet<&str> = HashSet::new();
    for (key, value) in entries {
        if let Some(odd) = key.odd {
            let message = format!("cannot unmarshal {odd} into string");
            faults.add_at(key.line, key.column, message);
        } else if names.contains(key.name.as_str()) {
            let name = model::labels::go_quote(&key.name);
            faults.add_at(
                value.line,
                value.column,
                format!("key {name} already set in map"),
            );
        } else if key.null && faults.dialect == Dialect::V3 {
            // A null is no key there.
        } else {
            names.insert(&key.name);
            seen.push((key, value));
        }
    }
    seen
}

/// A scalar as text; numbers and booleans count as the text they were written as.
pub fn text(node: &Node, go_type: &str, faults: &mut Faults) -> Option<String> {
    match &node.value {
        Value::Scalar { text, .. } => Some(text.clone()),
        Value::Null => Some(String::new()),
        _ => {
            faults.wrong_kind(node, go_type);
            None
        }
    }
}

fn scalar<T>(
    node: &Node,
    go_type: &str,
    zero: T,
    faults: &mut Faults,
    read: impl FnOnce(Kind) -> Option<T>,
) -> Option<T> {
    let found = match &node.value {
        Value::Null => Some(zero),
        Value::Scalar { text, plain, tag } => read(kind(text, *plain, tag)),
        _ => None,
    };
    if found.is_none() {
        faults.wrong_kind(node, go_type);
    }
    found
}

fn kind(text: &str, plain: bool, tag: &str) -> Kind {
    match tag {
        "" if plain => Kind::of(text),
        "" => Kind::Text,
        tag => Kind::tagged(text, tag),
    }
}

/// A node as messages show it: its tag and, of scalars, the text, long ones cut short.
fn shown(node: &Node) -> String {
    match &node.value {
        Value::Null => "!!null ``".into(),
        Value::Sequence(_) => "!!seq".into(),
        Value::Mapping(_) => "!!map".into(),
        Value::Scalar { text, plain, tag } => {
            let tag = match tag.as_str() {
                "" => kind(text, *plain, tag).tag(),
                tag => tag,
            };
            if text.len() > 10 {
                let end = (0..=7).rev().find(|at| text.is_char_boundary(*at));
                format!("{tag} `{}...`", &text[..end.unwrap_or(0)])
            } else {
                format!("{tag} `{text}`")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn collects_faults_of_form_in_order_of_the_file() {
        let node = crate::yaml::parse("a: 1\nb: x\nc: [1]\na: 2\nd: yes\ne: a-longer-text\n")
            .expect("parses");
        let mut faults = Faults::default();
        let mut fields = Fields::open(&node, "config.plain", &mut faults);
        assert_eq!(fields.uint("a", &mut faults), Some(1));
        assert_eq!(fields.uint("b", &mut faults), None);
        assert_eq!(fields.bool("d", &mut faults), Some(true));
        assert_eq!(fields.float("e", &mut faults), None);
        assert!(!fields.close(&mut faults));
        assert_eq!(
            faults
                .into_result()
                .expect_err("faults")
                .in_file("x.yml")
                .to_string(),
            "parsing YAML file x.yml: yaml: unmarshal errors:\n  \
             line 2: cannot unmarshal !!str `x` into uint\n  \
             line 3: field c not found in type config.plain\n  \
             line 4: field a already set in type config.plain\n  \
             line 6: cannot unmarshal !!str `a-longe...` into float64"
        );
    }

    #[test]
    fn null_is_zero_and_not_the_default() {
        let node = crate::yaml::parse("a: ~\nb:\nc: null\nd: ~\ne: ~\n").expect("parses");
        let mut faults = Faults::default();
        let mut fields = Fields::open(&node, "config.plain", &mut faults);
        assert_eq!(fields.bool("a", &mut faults), Some(false));
        assert_eq!(fields.uint("b", &mut faults), Some(0));
        assert_eq!(fields.string("c", &mut faults).as_deref(), Some(""));
        assert_eq!(fields.duration("d", &mut faults), Ok(Some(0)));
        assert_eq!(fields.maybe_bool("e", &mut faults), None);
        assert!(fields.close(&mut faults));
    }

    #[test]
    fn merged_fields_may_be_said_again_and_the_later_wins() {
        let node =
            crate::yaml::parse("x: &x {a: 1, b: 2}\ny:\n  <<: *x\n  a: 3\nz:\n  a: 4\n  <<: *x\n")
                .expect("parses");
        for (name, a) in [("y", 3), ("z", 1)] {
            let mut faults = Faults::default();
            let section = node.get(name).expect("there");
            let mut fields = Fields::open(section, "config.plain", &mut faults);
            assert_eq!(fields.uint("a", &mut faults), Some(a), "{name}");
            assert_eq!(fields.uint("b", &mut faults), Some(2), "{name}");
            assert!(fields.close(&mut faults), "{name}");
        }
    }

    #[test]
    fn a_fault_of_meaning_is_told_alone() {
        let mut faults = Faults::default();
        faults.add(1, "form");
        let told = faults.finish::<()>(Err(ConfigError::at(2, "meaning")));
        assert_eq!(told.expect_err("a fault").to_string(), "meaning (line 2)");
        let mut faults = Faults::default();
        faults.add(1, "form");
        let told = faults.finish::<()>(Err(ConfigError::unsound()));
        assert_eq!(
            told.expect_err("a fault").to_string(),
            "yaml: unmarshal errors:\n  line 1: form"
        );
    }
}
