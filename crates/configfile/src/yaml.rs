//! YAML as a tree that remembers its lines. Anchors, aliases and merge keys are resolved, within bounds.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use libyaml_safer::{ErrorKind, Event, EventData, Mark, Parser};

use crate::decode::ConfigError;

/// More nodes than any real file has, far fewer than aliases of aliases of aliases make.
const MAX_NODES: usize = 2_000_000;
/// Deeper than any real file.
const MAX_DEPTH: usize = 200;
/// What the tags of YAML's own kinds begin with; shown as `!!`.
const OWN_TAGS: &str = "tag:yaml.org,2002:";

/// A value with the line and column it starts at (from 1).
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Line of its first character.
    pub line: usize,
    /// Column of its first character.
    pub column: usize,
    /// What it is.
    pub value: Value,
}

/// The kinds of value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Nothing, `~` or `null`.
    Null,
    /// A scalar; `plain` when it was written without quotes, so that `true` may be a boolean.
    Scalar {
        /// The text after unquoting.
        text: String,
        /// Written without quotes.
        plain: bool,
        /// The tag in front of it, as it is shown (`!!str`); empty where there is none.
        tag: String,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys in order of the file.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its text; empty for a null.
    pub name: String,
    /// Its line.
    pub line: usize,
    /// Its column.
    pub column: usize,
    /// Where a merge brought it: which one, from 1. What is merged may be said again without being a duplicate.
    pub merge: usize,
    /// `!!seq` or `!!map` where it is no text at all.
    pub odd: Option<&'static str>,
    /// Whether it is `~` or nothing.
    pub null: bool,
}

impl Node {
    fn null(line: usize) -> Node {
        Node {
            line,
            column: 1,
            value: Value::Null,
        }
    }

    /// Whether there is nothing.
    pub fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// A scalar's text.
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }

    /// The child of a mapping by name; the last one where a merge is overridden.
    pub fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(entries) => entries
                .iter()
                .rev()
                .find(|(key, _)| key.name == name)
                .map(|(_, node)| node),
            _ => None,
        }
    }
}

/// The text of a file: UTF-8, or UTF-16 with its byte order mark.
pub fn text_of(bytes: &[u8]) -> Result<Cow<'_, str>, ConfigError> {
    let units = |from: fn([u8; 2]) -> u16| -> Result<Cow<'_, str>, ConfigError> {
        let pairs = bytes[2..]
            .chunks_exact(2)
            .map(|pair| from([pair[0], pair[1]]));
        char::decode_utf16(pairs)
            .collect::<Result<String, _>>()
            .map(Cow::Owned)
            .map_err(|_| ConfigError::plain("yaml: unexpected low surrogate area"))
    };
    match bytes {
        [0xff, 0xfe, ..] => units(u16::from_le_bytes),
        [0xfe, 0xff, ..] => units(u16::from_be_bytes),
        _ => std::str::from_utf8(bytes).map(Cow::Borrowed).map_err(|e| {
            // A byte that cannot begin a character, or a character that is not gone on with.
            let lead = bytes.get(e.valid_up_to()).copied().unwrap_or(0);
            ConfigError::plain(match lead {
                0xc2..=0xf4 if e.error_len().is_none() => "yaml: incomplete UTF-8 octet sequence",
                0xc2..=0xf4 => "yaml: invalid trailing UTF-8 octet",
                _ => "yaml: invalid leading UTF-8 octet",
            })
        }),
    }
}

/// Which of upstream's two libraries is followed where they differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dialect {
    /// That of configurations.
    #[default]
    V2,
    /// That of rule files.
    V3,
}

/// Parses the first document; an empty one is null.
pub fn parse(text: &str) -> Result<Node, ConfigError> {
    parse_as(text, Dialect::V2)
}

/// The same for a library that differs.
pub fn parse_as(text: &str, dialect: Dialect) -> Result<Node, ConfigError> {
    let mut parser = Parser::new();
    parser.set_input(text.as_bytes());
    let mut builder = Builder {
        parser,
        dialect,
        anchors: HashMap::new(),
        open: HashSet::new(),
        nodes: 0,
        merges: 0,
    };
    loop {
        let event = builder.next()?;
        match event.data {
            EventData::StreamEnd => return Ok(Node::null(1)),
            EventData::DocumentStart {
                version_directive: Some(version),
                ..
            } if (version.major, version.minor) != (1, 1) => {
                // Upstream's libraries know YAML 1.1 only.
                return Err(syntax(
                    event.start_mark.line,
                    "found incompatible YAML document",
                ));
            }
            EventData::StreamStart { .. } | EventData::DocumentStart { .. } => {}
            _ => return builder.node(event, 0),
        }
    }
}

/// A fault of the language itself. As upstream does, the first line is not named.
fn syntax(line: u64, problem: &str) -> ConfigError {
    ConfigError::plain(match line {
        0 => format!("yaml: {problem}"),
        line => format!("yaml: line {line}: {problem}"),
    })
}

/// The text behind `!!binary`: base64, which has to hold UTF-8, as every text of a configuration.
fn binary_text(encoded: &str, line: usize) -> Result<String, ConfigError> {
    let mut bytes = Vec::new();
    let (mut bits, mut count) = (0u32, 0);
    for byte in encoded
        .bytes()
        .filter(|b| !b.is_ascii_whitespace() && *b != b'=')
    {
        let Some(digit) = BASE64.iter().position(|known| *known == byte) else {
            // What follows the padding is not base64 any more; upstream's own test has such a tail.
            break;
        };
        (bits, count) = (bits << 6 | digit as u32, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    String::from_utf8(bytes).map_err(|e| {
        let shown: String = e.as_bytes().iter().map(|b| format!("\\x{b:02x}")).collect();
        ConfigError::at(line, format!("\"{shown}\" is not valid UTF-8"))
    })
}

const BASE64: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Line and column, both from 1.
fn place(mark: Mark) -> (usize, usize) {
    let count = |from_zero: u64| usize::try_from(from_zero).unwrap_or(usize::MAX - 1) + 1;
    (count(mark.line), count(mark.column))
}

/// A tag as it is shown.
fn shown_tag(tag: Option<String>) -> String {
    let tag = tag.unwrap_or_default();
    match tag.strip_prefix(OWN_TAGS) {
        Some(kind) => format!("!!{kind}"),
        None => tag,
    }
}

/// What an anchor stands for.
#[derive(Clone)]
struct Anchored {
    node: Node,
    /// Its nodes.
    size: usize,
    /// How deep they are nested.
    height: usize,
}

struct Builder<'a> {
    parser: Parser<&'a [u8]>,
    dialect: Dialect,
    anchors: HashMap<String, Anchored>,
    /// Anchors of what is still being read.
    open: HashSet<String>,
    nodes: usize,
    merges: usize,
}

impl Builder<'_> {
    fn next(&mut self) -> Result<Event, ConfigError> {
        self.parser.parse().map_err(|error| {
            let line = |mark: Option<Mark>| mark.map_or(0, |mark| mark.line);
            let (problem, context) = (line(error.problem_mark()), line(error.context_mark()));
            // Upstream counts lines of the scanner from 1 and those of the parser from 0, and so do its users.
            let counted = |line| match error.kind() {
                ErrorKind::Scanner => line + 1,
                _ => line,
            };
            let line = match (self.dialect, problem, context) {
                (_, 0, 0) => 0,
                (Dialect::V2, 0, context) => context,
                (Dialect::V3, problem, 0) | (Dialect::V2, problem, _) => counted(problem),
                (Dialect::V3, _, context) => counted(context),
            };
            syntax(line, error.problem())
        })
    }

    fn count(&mut self, more: usize) -> Result<(), ConfigError> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            return Err(ConfigError::plain(
                "yaml: document contains excessive aliasing",
            ));
        }
        Ok(())
    }

    fn node(&mut self, event: Event, depth: usize) -> Result<Node, ConfigError> {
        let (line, column) = place(event.start_mark);
        if depth > MAX_DEPTH {
            return Err(ConfigError::at(line, "yaml: nested too deeply"));
        }
        let before = self.nodes;
        self.count(1)?;
        let (value, anchor) = match event.data {
            EventData::Alias { anchor } => return self.alias(&anchor, depth, line),
            EventData::Scalar {
                anchor,
                tag,
                value,
                plain_implicit,
                ..
            } => (scalar(value, plain_implicit, shown_tag(tag), line)?, anchor),
            EventData::SequenceStart { anchor, .. } => {
                self.begin(anchor.as_ref());
                let mut items = Vec::new();
                loop {
                    let event = self.next()?;
                    if matches!(event.data, EventData::SequenceEnd) {
                        break;
                    }
                    items.push(self.node(event, depth + 1)?);
                }
                (Value::Sequence(items), anchor)
            }
            EventData::MappingStart { anchor, .. } => {
                self.begin(anchor.as_ref());
                (Value::Mapping(self.entries(depth)?), anchor)
            }
            _ => {
                return Err(ConfigError::at(
                    line,
                    "yaml: did not find expected node content",
                ));
            }
        };
        let node = Node {
            line,
            column,
            value,
        };
        if let Some(anchor) = anchor {
            self.open.remove(&anchor);
            let anchored = Anchored {
                size: self.nodes - before,
                height: height(&node),
                node: node.clone(),
            };
            self.anchors.insert(anchor, anchored);
        }
        Ok(node)
    }

    fn begin(&mut self, anchor: Option<&String>) {
        self.open.extend(anchor.cloned());
    }

    fn alias(&mut self, anchor: &str, depth: usize, line: usize) -> Result<Node, ConfigError> {
        if self.open.contains(anchor) {
            return Err(ConfigError::plain(format!(
                "yaml: anchor '{anchor}' value contains itself"
            )));
        }
        let Some(Anchored { size, height, .. }) = self.anchors.get(anchor) else {
            return Err(ConfigError::plain(format!(
                "yaml: unknown anchor '{anchor}' referenced"
            )));
        };
        // Aliases of what has aliases would nest without end.
        if depth + height > MAX_DEPTH {
            return Err(ConfigError::at(line, "yaml: nested too deeply"));
        }
        let size = *size;
        self.count(size)?;
        Ok(self.anchors[anchor].node.clone())
    }

    fn entries(&mut self, depth: usize) -> Result<Vec<(Key, Node)>, ConfigError> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        loop {
            let event = self.next()?;
            if matches!(event.data, EventData::MappingEnd) {
                return Ok(entries);
            }
            let key = self.node(event, depth + 1)?;
            let event = self.next()?;
            let value = self.node(event, depth + 1)?;
            let null = key.is_null();
            let (name, odd, merges) = match key.value {
                Value::Scalar { text, plain, tag } => {
                    let merges = text == "<<" && (plain || tag == "!!merge");
                    (text, None, merges)
                }
                Value::Null => (String::new(), None, false),
                Value::Sequence(_) => (String::new(), Some("!!seq"), false),
                Value::Mapping(_) => (String::new(), Some("!!map"), false),
            };
            if merges {
                self.merge(value, &mut entries)?;
                continue;
            }
            let key = Key {
                name,
                line: key.line,
                column: key.column,
                merge: 0,
                odd,
                null,
            };
            entries.push((key, value));
        }
    }

    /// Adds what `<<` brings where it stands: as upstream has it, what comes later wins, whichever it is.
    fn merge(&mut self, value: Node, entries: &mut Vec<(Key, Node)>) -> Result<(), ConfigError> {
        let list = match value.value {
            Value::Mapping(_) => vec![value],
            // Of several, the first wins.
            Value::Sequence(list) => list.into_iter().rev().collect(),
            _ => return Err(no_mapping()),
        };
        for item in list {
            let Value::Mapping(inner) = item.value else {
                return Err(no_mapping());
            };
            self.merges += 1;
            let merge = self.merges;
            entries.extend(
                inner
                    .into_iter()
                    .map(|(key, node)| (Key { merge, ..key }, node)),
            );
        }
        Ok(())
    }
}

/// How deep a node's children are nested; 0 without any.
fn height(node: &Node) -> usize {
    let below = |heights: &mut dyn Iterator<Item = usize>| heights.max().map_or(0, |most| most + 1);
    match &node.value {
        Value::Sequence(items) => below(&mut items.iter().map(height)),
        Value::Mapping(entries) => below(&mut entries.iter().map(|(_, child)| height(child))),
        Value::Null | Value::Scalar { .. } => 0,
    }
}

fn no_mapping() -> ConfigError {
    ConfigError::plain("yaml: map merge requires map or sequence of maps as the value")
}

fn scalar(text: String, plain: bool, tag: String, line: usize) -> Result<Value, ConfigError> {
    let null = match tag.as_str() {
        "" => plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL"),
        tag => tag == "!!null",
    };
    if null {
        return Ok(Value::Null);
    }
    let text = if tag == "!!binary" {
        binary_text(&text, line)?
    } else {
        text
    };
    Ok(Value::Scalar { text, plain, tag })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_lines_and_resolves_aliases() {
        let node = parse("a: &x\n  b: 1\nc: *x\nd:\n  <<: *x\n  e: [1, '2', ~]\n").expect("parses");
        assert_eq!(node.get("c"), node.get("a"));
        assert_eq!(
            node.get("d").and_then(|d| d.get("b")).map(|b| b.line),
            Some(2)
        );
        let Some(Node {
            value: Value::Sequence(items),
            line,
            ..
        }) = node.get("d").and_then(|d| d.get("e"))
        else {
            panic!("a list")
        };
        assert_eq!(*line, 6);
        assert_eq!(
            items[0].value,
            Value::Scalar {
                text: "1".into(),
                plain: true,
                tag: String::new(),
            }
        );
        assert_eq!(
            items[1].value,
            Value::Scalar {
                text: "2".into(),
                plain: false,
                tag: String::new(),
            }
        );
        assert!(items[2].is_null());
        assert!(parse("").expect("empty").is_null());
        assert!(parse("# only a comment\n").expect("empty").is_null());
    }

    #[test]
    fn refuses_bombs_and_nonsense() {
        let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
        for i in 1..12 {
            let refs = vec![format!("*a{}", i - 1); 10].join(", ");
            bomb.push_str(&format!("a{i}: &a{i} [{refs}]\n"));
        }
        assert!(
            parse(&bomb)
                .unwrap_err()
                .to_string()
                .contains("excessive aliasing")
        );
        assert!(parse(&"[".repeat(5000)).is_err());
        let (open, close) = ("[".repeat(150), "]".repeat(150));
        let tower = |stories: usize| {
            let mut text = format!("a0: &a0 {open}{close}\n");
            for i in 1..stories {
                text.push_str(&format!("a{i}: &a{i} {open}*a{}{close}\n", i - 1));
            }
            text
        };
        assert!(parse(&tower(1)).is_ok());
        let error = parse(&tower(100)).unwrap_err().to_string();
        assert!(error.contains("nested too deeply"), "{error}");
        assert!(parse("a: b: c").is_err());
        assert!(parse("a: [1, 2").is_err());
    }
}
