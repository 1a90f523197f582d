//! Logs: logfmt (or JSON) on standard error, `time=... level=INFO msg="..." key=value`, as upstream writes them.

use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::sync::atomic::{AtomicUsize, Ordering};

use model::calendar::civil_from_days;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// `key=value`
    #[default]
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// The level that counts, a place in [`LEVELS`].
static CURRENT: AtomicUsize = AtomicUsize::new(2);

/// From what is told least to what is told always.
const LEVELS: [Level; 4] = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG];

/// Tells from now on what `level` asks for. The same for the whole process.
pub fn set_level(level: Level) {
    let place = LEVELS.iter().position(|one| *one == level).unwrap_or(2);
    if CURRENT.swap(place, Ordering::Relaxed) != place {
        tracing::callsite::rebuild_interest_cache();
    }
}

/// Starts logging for the process. Later calls change nothing, so that tests may call it freely.
pub fn init(level: Level, format: LogFormat) {
    let filter = tracing_subscriber::filter::filter_fn(move |meta| {
        let level = LEVELS[CURRENT.load(Ordering::Relaxed)];
        // Libraries speak up only when something is wrong; our own crates say what the level asks for.
        let library = meta.target().starts_with("hyper")
            || meta.target().starts_with("reqwest")
            || meta.target().starts_with("h2")
            || meta.target().starts_with("rustls");
        *meta.level()
            <= if library {
                Level::WARN.min(level)
            } else {
                level
            }
    });
    let layer = LineLayer { format }.with_filter(filter);
    if tracing_subscriber::registry()
        .with(layer)
        .try_init()
        .is_ok()
    {
        set_level(level);
    }
}

/// Reads a `--log.level`.
pub fn parse_level(word: &str) -> Option<Level> {
    match word {
        "debug" => Some(Level::DEBUG),
        "info" => Some(Level::INFO),
        "warn" => Some(Level::WARN),
        "error" => Some(Level::ERROR),
        _ => None,
    }
}

struct LineLayer {
    format: LogFormat,
}

impl<S: Subscriber> Layer<S> for LineLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let meta = event.metadata();
        let source = match (meta.file(), meta.line()) {
            (Some(file), Some(line)) => {
                format!("{}:{line}", file.rsplit('/').next().unwrap_or(file))
            }
            _ => meta.target().to_string(),
        };
        let mut pairs = vec![
            ("time".to_string(), timestamp(std::time::SystemTime::now())),
            ("level".to_string(), meta.level().to_string()),
            ("source".to_string(), source),
            ("msg".to_string(), fields.message),
        ];
        pairs.append(&mut fields.others);
        let line = match self.format {
            LogFormat::Logfmt => logfmt(&pairs),
            LogFormat::Json => json(&pairs),
        };
        // With standard error gone there is nobody to tell.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(String, String)>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            // A field named after a keyword is written `r#type`.
            name => self
                .others
                .push((name.trim_start_matches("r#").replace("err_", "err"), value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.to_string());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, value.to_string());
    }
}

fn logfmt(pairs: &[(String, String)]) -> String {
    let mut line = String::new();
    for (i, (key, value)) in pairs.iter().enumerate() {
        if i > 0 {
            line.push(' ');
        }
        line.push_str(key);
        line.push('=');
        let plain = !value.is_empty()
            && value
                .chars()
                .all(|c| !c.is_whitespace() && !c.is_control() && c != '"' && c != '=');
        if plain {
            line.push_str(value);
        } else {
            quote(&mut line, value);
        }
    }
    line.push('\n');
    line
}

fn json(pairs: &[(String, String)]) -> String {
    let mut line = String::from("{");
    for (i, (key, value)) in pairs.iter().enumerate() {
        if i > 0 {
            line.push(',');
        }
        quote(&mut line, key);
        line.push(':');
        quote(&mut line, value);
    }
    line.push_str("}\n");
    line
}

/// A string literal that logfmt and JSON share.
fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // Writing to a String cannot fail.
            c if c.is_control() => drop(write!(out, "\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// `2006-01-02T15:04:05.000Z`
fn timestamp(now: std::time::SystemTime) -> String {
    let ms = now
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as i64);
    rfc3339(ms)
}

/// Unix milliseconds as RFC 3339 with milliseconds, in UTC.
pub fn rfc3339(ms: i64) -> String {
    let (days, in_day) = (ms.div_euclid(86_400_000), ms.rem_euclid(86_400_000));
    let (year, month, day) = civil_from_days(days);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        in_day / 3_600_000,
        in_day / 60_000 % 60,
        in_day / 1000 % 60,
        in_day % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, UNIX_EPOCH};

    #[test]
    fn lines() {
        let pairs = [
            ("level".to_string(), "INFO".to_string()),
            ("msg".to_string(), "a \"b\"\n".to_string()),
        ];
        assert_eq!(logfmt(&pairs), "level=INFO msg=\"a \\\"b\\\"\\n\"\n");
        assert_eq!(
            json(&pairs),
            "{\"level\":\"INFO\",\"msg\":\"a \\\"b\\\"\\n\"}\n"
        );
    }

    #[test]
    fn times() {
        let at = |ms| timestamp(UNIX_EPOCH + Duration::from_millis(ms));
        assert_eq!(at(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_827_696_789), "2000-02-29T12:34:56.789Z");
        assert_eq!(at(4_102_444_799_999), "2099-12-31T23:59:59.999Z");
    }
}
