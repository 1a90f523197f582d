//! Spans of time as Go prints them.

use std::sync::Arc;

use crate::value::{Object, Value};

/// Nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Duration(pub i64);

impl Duration {
    /// The value templates see.
    pub fn value(self) -> Value {
        Value::Object(Arc::new(self))
    }

    /// In seconds.
    pub fn seconds(self) -> f64 {
        (self.0 / 1_000_000_000) as f64 + (self.0 % 1_000_000_000) as f64 / 1e9
    }
}

impl Object for Duration {
    fn type_name(&self) -> &str {
        "time.Duration"
    }

    /// `1h2m3.5s`, `1.5ms`, `0s`
    fn print(&self) -> String {
        let magnitude = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let fraction = |value: u64, unit: u64, digits: usize| {
            let text = format!("{}.{:0digits$}", value / unit, value % unit);
            text.trim_end_matches('0').trim_end_matches('.').to_string()
        };
        let text = match magnitude {
            0 => "0s".to_string(),
            n if n < 1000 => format!("{n}ns"),
            n if n < 1_000_000 => format!("{}µs", fraction(n, 1000, 3)),
            n if n < 1_000_000_000 => format!("{}ms", fraction(n, 1_000_000, 6)),
            n => {
                let seconds = format!("{}s", fraction(n % 60_000_000_000, 1_000_000_000, 9));
                let minutes = n / 60_000_000_000;
                match minutes {
                    0 => seconds,
                    m if m < 60 => format!("{m}m{seconds}"),
                    m => format!("{}h{}m{seconds}", m / 60, m % 60),
                }
            }
        };
        format!("{sign}{text}")
    }

    fn member(&self, name: &str, args: &[Value]) -> Option<Result<Value, String>> {
        let value = match name {
            "Seconds" => Value::Float(self.seconds()),
            "Minutes" => Value::Float(self.seconds() / 60.0),
            "Hours" => Value::Float(self.seconds() / 3600.0),
            "Milliseconds" => Value::Int(self.0 / 1_000_000),
            "Microseconds" => Value::Int(self.0 / 1000),
            "Nanoseconds" => Value::Int(self.0),
            "String" => Value::text(self.print()),
            _ => return None,
        };
        Some(if args.is_empty() {
            Ok(value)
        } else {
            Err(format!(
                "wrong number of args for {name}: want 0 got {}",
                args.len()
            ))
        })
    }

    fn truth(&self) -> bool {
        self.0 != 0
    }

    fn number(&self) -> Option<f64> {
        Some(self.seconds())
    }
}
