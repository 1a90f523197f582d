//! Whether a value is what its flag takes, in upstream's words.

use crate::{Flag, Takes, UsageError};

pub(crate) fn fault<T>(message: String) -> Result<T, UsageError> {
    Err(UsageError::Value(message))
}

/// Checks one value of a flag or word.
pub(crate) fn check(flag: &Flag, value: &str) -> Result<(), String> {
    match flag.takes {
        Takes::Text | Takes::Other => Ok(()),
        Takes::OneOf(words) if words.contains(&value) => Ok(()),
        Takes::OneOf(words) => Err(format!(
            "enum value must be one of {}, got '{value}'",
            words.join(",")
        )),
        Takes::GoDuration => go_duration(value),
        Takes::Number => match model::number::parse_float(value) {
            Some(_) => Ok(()),
            None => Err(unread("ParseFloat", value)),
        },
        Takes::Integer => match value.parse::<i64>() {
            Ok(_) => Ok(()),
            Err(error) => Err(match error.kind() {
                std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                    let quoted = model::labels::go_quote(value);
                    format!("strconv.ParseInt: parsing {quoted}: value out of range")
                }
                _ => unread("ParseInt", value),
            }),
        },
        Takes::File => match std::fs::metadata(value) {
            Ok(found) if found.is_dir() => Err(format!("'{value}' is a directory")),
            Ok(_) => Ok(()),
            Err(_) => Err(format!("path '{value}' does not exist")),
        },
        Takes::Pair if value.contains(['=', ':']) => Ok(()),
        Takes::Pair => Err(format!("expected KEY=VALUE got '{value}'")),
    }
}

fn unread(function: &str, value: &str) -> String {
    let quoted = model::labels::go_quote(value);
    format!("strconv.{function}: parsing {quoted}: invalid syntax")
}

/// `[-+]?([0-9]*(\.[0-9]*)?[a-z]+)+`, the fault told as Go tells it.
fn go_duration(value: &str) -> Result<(), String> {
    let quoted = model::labels::go_quote(value);
    let unsigned = value.strip_prefix(['-', '+']).unwrap_or(value);
    if unsigned == "0" || model::duration::parse_go_duration(unsigned).is_ok() {
        return Ok(());
    }
    let mut rest = unsigned;
    while !rest.is_empty() {
        let unit = rest.find(|c: char| !c.is_ascii_digit() && c != '.');
        let (number, tail) = rest.split_at(unit.unwrap_or(rest.len()));
        if number.is_empty() || number == "." || number.matches('.').count() > 1 {
            break;
        }
        let end = tail.find(|c: char| c.is_ascii_digit() || c == '.');
        let (unit, tail) = tail.split_at(end.unwrap_or(tail.len()));
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {quoted}"));
        }
        if !["ns", "us", "µs", "μs", "ms", "s", "m", "h"].contains(&unit) {
            let unit = model::labels::go_quote(unit);
            return Err(format!("time: unknown unit {unit} in duration {quoted}"));
        }
        rest = tail;
    }
    Err(format!("time: invalid duration {quoted}"))
}
