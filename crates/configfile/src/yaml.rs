//! YAML as a tree that remembers its lines. Anchors, aliases and merge keys are resolved, within bounds.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use crate::decode::ConfigError;

/// More nodes than any real file has, far fewer than aliases of aliases of aliases make.
const MAX_NODES: usize = 2_000_000;
/// Deeper than any real file.
const MAX_DEPTH: usize = 200;

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
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys in order of the file.
    Mapping(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    /// Its text.
    pub name: String,
    /// Its line.
    pub line: usize,
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

    /// The child of a mapping by name.
    pub fn get(&self, name: &str) -> Option<&Node> {
        match &self.value {
            Value::Mapping(entries) => entries
                .iter()
                .find(|(key, _)| key.name == name)
                .map(|(_, node)| node),
            _ => None,
        }
    }
}

/// Parses the first document; an empty one is null.
pub fn parse(text: &str) -> Result<Node, ConfigError> {
    let mut builder = Builder {
        anchors: HashMap::new(),
        nodes: 0,
    };
    let mut parser = Parser::new_from_str(text);
    loop {
        let (event, span) = builder.next(&mut parser)?;
        match event {
            Event::StreamEnd => return Ok(Node::null(1)),
            Event::StreamStart | Event::DocumentStart(_) | Event::Nothing => {}
            event => return builder.node(event, place(&span), &mut parser, 0),
        }
    }
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
fn place(span: &saphyr_parser::Span) -> (usize, usize) {
    (span.start.line(), span.start.col() + 1)
}

struct Builder {
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

type Events<'a> = Parser<'a, saphyr_parser::StrInput<'a>>;

impl Builder {
    fn next<'a>(
        &mut self,
        parser: &mut Events<'a>,
    ) -> Result<(Event<'a>, saphyr_parser::Span), ConfigError> {
        match parser.next() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(ConfigError::at(
                error.marker().line(),
                format!("yaml: {}", error.info()),
            )),
            None => Err(ConfigError::plain("yaml: unexpected end of file")),
        }
    }

    fn count(&mut self, more: usize, line: usize) -> Result<(), ConfigError> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            return Err(ConfigError::at(
                line,
                "yaml: document contains excessive aliasing",
            ));
        }
        Ok(())
    }

    fn node(
        &mut self,
        event: Event<'_>,
        (line, column): (usize, usize),
        parser: &mut Events<'_>,
        depth: usize,
    ) -> Result<Node, ConfigError> {
        if depth > MAX_DEPTH {
            return Err(ConfigError::at(line, "yaml: nested too deeply"));
        }
        let before = self.nodes;
        self.count(1, line)?;
        let (node, anchor) = match event {
            Event::Alias(id) => {
                let (node, size) = self
                    .anchors
                    .get(&id)
                    .cloned()
                    .ok_or_else(|| ConfigError::at(line, "yaml: unknown anchor"))?;
                self.count(size, line)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let binary = tag
                    .as_ref()
                    .is_some_and(|tag| tag.suffix.ends_with("binary"));
                let text = if binary {
                    binary_text(&text, line)?.into()
                } else {
                    text
                };
                let plain = style == ScalarStyle::Plain && tag.is_none();
                let null = plain && matches!(&*text, "" | "~" | "null" | "Null" | "NULL");
                let value = if null {
                    Value::Null
                } else {
                    Value::Scalar {
                        text: text.into_owned(),
                        plain,
                    }
                };
                (
                    Node {
                        line,
                        column,
                        value,
                    },
                    anchor,
                )
            }
            Event::SequenceStart(anchor, _) => {
                let mut items = Vec::new();
                loop {
                    let (event, span) = self.next(parser)?;
                    if matches!(event, Event::SequenceEnd) {
                        break;
                    }
                    items.push(self.node(event, place(&span), parser, depth + 1)?);
                }
                (
                    Node {
                        line,
                        column,
                        value: Value::Sequence(items),
                    },
                    anchor,
                )
            }
            Event::MappingStart(anchor, _) => {
                let entries = self.entries(parser, depth)?;
                (
                    Node {
                        line,
                        column,
                        value: Value::Mapping(entries),
                    },
                    anchor,
                )
            }
            _ => {
                return Err(ConfigError::at(
                    line,
                    "yaml: did not find expected node content",
                ));
            }
        };
        if anchor != 0 {
            self.anchors
                .insert(anchor, (node.clone(), self.nodes - before));
        }
        Ok(node)
    }

    fn entries(
        &mut self,
        parser: &mut Events<'_>,
        depth: usize,
    ) -> Result<Vec<(Key, Node)>, ConfigError> {
        let mut entries: Vec<(Key, Node)> = Vec::new();
        let mut merged: Vec<(Key, Node)> = Vec::new();
        loop {
            let (event, span) = self.next(parser)?;
            let line = span.start.line();
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, place(&span), parser, depth + 1)?;
            let (event, span) = self.next(parser)?;
            let value = self.node(event, place(&span), parser, depth + 1)?;
            let name = match key.value {
                Value::Scalar { text, .. } => text,
                Value::Null => "null".to_string(),
                _ => return Err(ConfigError::at(line, "yaml: invalid map key")),
            };
            if name == "<<" {
                match value.value {
                    Value::Mapping(inner) => merged.extend(inner),
                    Value::Sequence(list) => {
                        for item in list {
                            if let Value::Mapping(inner) = item.value {
                                merged.extend(inner);
                            }
                        }
                    }
                    _ => {
                        return Err(ConfigError::at(
                            line,
                            "yaml: map merge requires map or sequence of maps as the value",
                        ));
                    }
                }
                continue;
            }
            entries.push((Key { name, line }, value));
        }
        for (key, value) in merged {
            if !entries.iter().any(|(known, _)| known.name == key.name) {
                entries.push((key, value));
            }
        }
        Ok(entries)
    }
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
                plain: true
            }
        );
        assert_eq!(
            items[1].value,
            Value::Scalar {
                text: "2".into(),
                plain: false
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
        assert!(parse("a: b: c").is_err());
        assert!(parse("a: [1, 2").is_err());
    }
}
