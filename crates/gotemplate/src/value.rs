//! What templates compute with.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

/// A value, cheap to clone.
#[derive(Clone, Default)]
pub enum Value {
    /// Nothing at all.
    #[default]
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`
    Int(i64),
    /// `float64`
    Float(f64),
    /// `string`
    Text(Arc<str>),
    /// A slice.
    List(Arc<[Value]>),
    /// A map with texts as keys.
    Map(Arc<Map>),
    /// Something with fields and methods of its own.
    Object(Arc<dyn Object>),
}

/// A map with texts as keys.
#[derive(Clone, Debug, Default)]
pub struct Map {
    /// In the order of keys, which is the order templates walk maps in.
    pub entries: BTreeMap<Arc<str>, Value>,
    /// Whether all values are texts (`map[string]string`): a missing key is then an empty text, else nothing.
    pub texts: bool,
}

/// A value with fields and methods.
pub trait Object: Send + Sync {
    /// Its type, as messages and `%T` show it.
    fn type_name(&self) -> &str;

    /// How `{{ . }}`, `print` and `%v` write it.
    fn print(&self) -> String;

    /// A field, or a method called with `args`; `None` if there is neither.
    fn member(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>>;

    /// The value of a key, for objects that are maps.
    fn key(&self, _key: &str) -> Option<Value> {
        None
    }

    /// Keys (or indices) with their values, for objects that are maps or lists.
    fn entries(&self) -> Option<Vec<(Value, Value)>> {
        None
    }

    /// Whether `if` takes it for true.
    fn truth(&self) -> bool {
        self.entries().is_none_or(|entries| !entries.is_empty())
    }

    /// It as a number, for functions that take any number.
    fn number(&self) -> Option<f64> {
        None
    }
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<Arc<str>>) -> Value {
        Value::Text(text.into())
    }

    /// A list.
    pub fn list(items: Vec<Value>) -> Value {
        Value::List(items.into())
    }

    /// A `map[string]string`.
    pub fn texts<N: AsRef<str>, V: AsRef<str>>(pairs: impl IntoIterator<Item = (N, V)>) -> Value {
        let entries = pairs
            .into_iter()
            .map(|(name, value)| (Arc::from(name.as_ref()), Value::text(value.as_ref())))
            .collect();
        Value::Map(Arc::new(Map {
            entries,
            texts: true,
        }))
    }

    /// A `map[string]interface {}`.
    pub fn map(pairs: impl IntoIterator<Item = (String, Value)>) -> Value {
        let entries = pairs
            .into_iter()
            .map(|(name, value)| (Arc::from(name), value))
            .collect();
        Value::Map(Arc::new(Map {
            entries,
            texts: false,
        }))
    }

    /// The type's name, as Go shows it.
    pub fn type_name(&self) -> &str {
        match self {
            Value::Nil => "<nil>",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Text(_) => "string",
            Value::List(_) => "[]interface {}",
            Value::Map(map) if map.texts => "map[string]string",
            Value::Map(_) => "map[string]interface {}",
            Value::Object(object) => object.type_name(),
        }
    }

    /// Whether `if` takes it for true: not nothing, not zero, not empty.
    pub fn truth(&self) -> bool {
        match self {
            Value::Nil => false,
            Value::Bool(b) => *b,
            Value::Int(n) => *n != 0,
            Value::Float(v) => *v != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(items) => !items.is_empty(),
            Value::Map(map) => !map.entries.is_empty(),
            Value::Object(object) => object.truth(),
        }
    }

    /// How `{{ . }}` and `%v` write it.
    pub fn print(&self) -> String {
        let mut out = String::new();
        self.print_into(&mut out);
        out
    }

    pub(crate) fn print_into(&self, out: &mut String) {
        match self {
            Value::Nil => out.push_str("<nil>"),
            Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
            Value::Int(n) => out.push_str(&n.to_string()),
            Value::Float(v) => out.push_str(&model::number::format_float_g(*v)),
            Value::Text(text) => out.push_str(text),
            Value::List(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    item.print_into(out);
                }
                out.push(']');
            }
            Value::Map(map) => {
                out.push_str("map[");
                for (i, (key, value)) in map.entries.iter().enumerate() {
                    if i > 0 {
                        out.push(' ');
                    }
                    out.push_str(key);
                    out.push(':');
                    value.print_into(out);
                }
                out.push(']');
            }
            Value::Object(object) => out.push_str(&object.print()),
        }
    }

    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A whole number, also one that was written as a float without fraction.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            Value::Float(v) if v.fract() == 0.0 && v.abs() < 9.2e18 => Some(*v as i64),
            _ => None,
        }
    }
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.type_name(), self.print())
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::text(text)
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::text(text)
    }
}
