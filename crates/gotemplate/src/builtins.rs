//! Go's own functions.

use std::cmp::Ordering;

use crate::escape;
use crate::format;
use crate::template::{Parameter, Signature};
use crate::value::Value;

use Parameter::{Any, Text};

pub(crate) fn signature(name: &str) -> Option<Signature> {
    let rest = |fixed, rest| Signature {
        fixed,
        rest: Some(rest),
    };
    Some(match name {
        "and" | "or" | "eq" | "index" | "slice" | "call" => rest(&[Any], Any),
        "not" | "len" => Signature::of(&[Any]),
        "ne" | "lt" | "le" | "gt" | "ge" => Signature::of(&[Any, Any]),
        "print" | "println" | "html" | "js" | "urlquery" => rest(&[], Any),
        "printf" => rest(&[Text], Any),
        _ => return None,
    })
}

/// Calls a function with arguments that fit. `longest` bounds what padding may make.
pub(crate) fn call(name: &str, args: &[Value], longest: usize) -> Result<Value, String> {
    Ok(match name {
        "not" => Value::Bool(!args[0].truth()),
        "len" => length(&args[0])?,
        "eq" => equal_any(args)?,
        "ne" => Value::Bool(!equal(&args[0], &args[1])?),
        "lt" => Value::Bool(order(&args[0], &args[1])? == Some(Ordering::Less)),
        "le" => Value::Bool(matches!(
            order(&args[0], &args[1])?,
            Some(Ordering::Less | Ordering::Equal)
        )),
        "gt" => Value::Bool(order(&args[0], &args[1])? == Some(Ordering::Greater)),
        "ge" => Value::Bool(matches!(
            order(&args[0], &args[1])?,
            Some(Ordering::Greater | Ordering::Equal)
        )),
        "index" => index(args)?,
        "slice" => slice(args)?,
        "print" => Value::text(format::print(args)),
        "println" => Value::text(format::println(args)),
        "printf" => {
            let (verbs, args) = args.split_first().ok_or("no format")?;
            Value::text(format::printf(verbs.as_text().unwrap_or(""), args, longest))
        }
        "html" => Value::text(escape::html(&joined(args))),
        "js" => Value::text(escape::js(&joined(args))),
        "urlquery" => Value::text(escape::query(&joined(args))),
        "call" => {
            return Err(format!(
                "non-function {} of type {}",
                args[0].print(),
                args[0].type_name()
            ));
        }
        other => return Err(format!("{other} is not a function")),
    })
}

fn joined(args: &[Value]) -> String {
    match args {
        [Value::Text(text)] => text.to_string(),
        args => format::print(args),
    }
}

fn length(of: &Value) -> Result<Value, String> {
    let n = match of {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(map) => map.entries.len(),
        Value::Nil => return Err("len of nil pointer".into()),
        Value::Object(object) => match object.entries() {
            Some(entries) => entries.len(),
            None => return Err(format!("len of type {}", of.type_name())),
        },
        _ => return Err(format!("len of type {}", of.type_name())),
    };
    Ok(Value::Int(n as i64))
}

fn basic(value: &Value) -> bool {
    matches!(
        value,
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_)
    )
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => Ok(a == b),
        (Value::Nil, other) | (other, Value::Nil) => Ok(matches!(other, Value::Nil)),
        (Value::Object(a), Value::Object(b)) => {
            Ok(a.type_name() == b.type_name() && a.print() == b.print())
        }
        (a, b) if basic(a) && basic(b) => Err(format!(
            "incompatible types for comparison: {} and {}",
            a.type_name(),
            b.type_name()
        )),
        (a, b) => {
            let odd = if basic(a) { b } else { a };
            Err(format!(
                "non-comparable type {}: {}",
                odd.print(),
                odd.type_name()
            ))
        }
    }
}

fn equal_any(args: &[Value]) -> Result<Value, String> {
    let (first, others) = args
        .split_first()
        .ok_or("missing argument for comparison")?;
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

/// `None` where a NaN is involved: every comparison is then false.
fn order(a: &Value, b: &Value) -> Result<Option<Ordering>, String> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (Value::Bool(_), Value::Bool(_)) => Err("invalid type for comparison".into()),
        (Value::Object(a), Value::Object(b)) => match (a.number(), b.number()) {
            (Some(a), Some(b)) => Ok(a.partial_cmp(&b)),
            _ => Err("invalid type for comparison".into()),
        },
        (a, b) if basic(a) && basic(b) => Err("incompatible types for comparison".into()),
        _ => Err("invalid type for comparison".into()),
    }
}

fn position(value: &Value, len: usize, inclusive: bool) -> Result<usize, String> {
    let Some(n) = (match value {
        Value::Int(n) => Some(*n),
        _ => None,
    }) else {
        return Err(match value {
            Value::Nil => "cannot index slice/array with nil".into(),
            other => format!("cannot index slice/array with type {}", other.type_name()),
        });
    };
    usize::try_from(n)
        .ok()
        .filter(|at| *at < len || (inclusive && *at == len))
        .ok_or_else(|| format!("index out of range: {n}"))
}

fn index(args: &[Value]) -> Result<Value, String> {
    let (first, keys) = args.split_first().ok_or("index of untyped nil")?;
    let mut value = first.clone();
    if matches!(value, Value::Nil) {
        return Err("index of untyped nil".into());
    }
    for key in keys {
        value = match &value {
            Value::List(items) => items[position(key, items.len(), false)?].clone(),
            Value::Text(text) => Value::Int(i64::from(
                text.as_bytes()[position(key, text.len(), false)?],
            )),
            Value::Map(map) => {
                let name = key.as_text().ok_or_else(|| {
                    format!("value has type {}; should be string", key.type_name())
                })?;
                match map.entries.get(name) {
                    Some(value) => value.clone(),
                    None if map.texts => Value::text(""),
                    None => Value::Nil,
                }
            }
            Value::Object(object) => match key {
                Value::Text(name) if object.key(name).is_some() => {
                    object.key(name).unwrap_or_default()
                }
                Value::Int(_) => {
                    let entries = object.entries().ok_or_else(|| {
                        format!("can't index item of type {}", object.type_name())
                    })?;
                    entries[position(key, entries.len(), false)?].1.clone()
                }
                _ => return Err(format!("can't index item of type {}", object.type_name())),
            },
            Value::Nil => return Err("index of nil pointer".into()),
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    Ok(value)
}

fn slice(args: &[Value]) -> Result<Value, String> {
    let (of, bounds) = args.split_first().ok_or("slice of untyped nil")?;
    let len = match of {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Nil => return Err("slice of untyped nil".into()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    if bounds.len() > 3 {
        return Err(format!("too many slice indexes: {}", bounds.len()));
    }
    if bounds.len() == 3 && matches!(of, Value::Text(_)) {
        return Err("cannot 3-index slice a string".into());
    }
    let mut ends = [0, len, len];
    for (end, bound) in ends.iter_mut().zip(bounds) {
        *end = position(bound, len, true)?;
    }
    let [from, to, _] = ends;
    if from > to {
        return Err(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match of {
        Value::Text(text) => {
            Value::text(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned())
        }
        Value::List(items) => Value::List(items[from..to].into()),
        _ => Value::Nil,
    })
}
