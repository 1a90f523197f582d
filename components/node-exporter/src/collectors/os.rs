//! The distribution, from `os-release`.

use crate::collector::CollectError;
use crate::files::{Paths, read};
use crate::sink::Sink;

/// Variables shown as labels of `os_info`, with their label names.
const LABELS: [(&str, &str); 12] = [
    ("BUILD_ID", "build_id"),
    ("ID", "id"),
    ("ID_LIKE", "id_like"),
    ("IMAGE_ID", "image_id"),
    ("IMAGE_VERSION", "image_version"),
    ("NAME", "name"),
    ("PRETTY_NAME", "pretty_name"),
    ("VARIANT", "variant"),
    ("VARIANT_ID", "variant_id"),
    ("VERSION", "version"),
    ("VERSION_CODENAME", "version_codename"),
    ("VERSION_ID", "version_id"),
];

/// Adds identity, version number and end of support.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let mut text = None;
    for file in ["etc/os-release", "usr/lib/os-release"] {
        match read(&paths.root(file)) {
            Ok(found) => {
                text = Some(found);
                break;
            }
            Err(error) if error.is_absent() => {}
            Err(error) => return Err(error.into()),
        }
    }
    let text = text.ok_or(CollectError::NoData)?;
    let variables = parse(&text);
    let get = |key: &str| {
        variables
            .iter()
            .rfind(|(k, _)| k == key)
            .map_or("", |(_, value)| value)
    };
    let labels: Vec<(&'static str, &str)> = LABELS
        .iter()
        .map(|(key, label)| (*label, get(key)))
        .collect();
    let help = "A metric with a constant '1' value labeled by build_id, id, id_like, image_id, image_version, name, pretty_name, variant, variant_id, version, version_codename, version_id.";
    sink.gauge("os_info", help, &labels, 1.0);
    let version = leading_number(get("VERSION_ID"));
    if version > 0.0 {
        let labels = [
            ("id", get("ID")),
            ("id_like", get("ID_LIKE")),
            ("name", get("NAME")),
        ];
        let help = "Metric containing the major.minor part of the OS version.";
        sink.gauge("os_version", help, &labels, version);
    }
    let end = get("SUPPORT_END");
    if !end.is_empty() {
        let seconds = unix_day(end).ok_or_else(|| {
            CollectError::failed(format!("could not parse SUPPORT_END value {end:?}"))
        })?;
        let help = "Metric containing the end-of-life date timestamp of the OS.";
        sink.gauge(
            "os_support_end_timestamp_seconds",
            help,
            &[],
            seconds as f64,
        );
    }
    Ok(())
}

/// `KEY=value` lines of a shell file, values possibly quoted.
fn parse(text: &str) -> Vec<(String, String)> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_string(), unquote(value.trim())))
        .collect()
}

fn unquote(value: &str) -> String {
    for quote in ['"', '\''] {
        if value.len() >= 2 && value.starts_with(quote) && value.ends_with(quote) {
            let inner = &value[1..value.len() - 1];
            if quote == '\'' || !inner.contains('\\') {
                return inner.to_string();
            }
            let mut out = String::new();
            let mut characters = inner.chars();
            while let Some(c) = characters.next() {
                out.extend(if c == '\\' {
                    characters.next()
                } else {
                    Some(c)
                });
            }
            return out;
        }
    }
    value.to_string()
}

/// The `major.minor` a version begins with; 0 when it does not begin with a number.
fn leading_number(version: &str) -> f64 {
    let mut dot = false;
    let end = version
        .find(|c: char| {
            let second = c == '.' && std::mem::replace(&mut dot, true);
            second || !(c.is_ascii_digit() || c == '.')
        })
        .unwrap_or(version.len());
    version[..end].trim_end_matches('.').parse().unwrap_or(0.0)
}

/// Midnight UTC of a `YYYY-MM-DD`, in unix seconds.
fn unix_day(date: &str) -> Option<i64> {
    let mut parts = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if parts.next().is_some()
        || !(1..=12).contains(&month)
        || !(1..=31).contains(&day)
        || !(1..=9999).contains(&year)
    {
        return None;
    }
    // Days from the civil calendar: years start in March, so that the leap day is the last.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year - era * 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some((era * 146_097 + day_of_era - 719_468) * 86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_dates() {
        for (text, number) in [
            ("12", 12.0),
            ("20.04.5", 20.04),
            ("7.", 7.0),
            ("rolling", 0.0),
            ("", 0.0),
        ] {
            assert_eq!(leading_number(text), number, "{text}");
        }
        assert_eq!(unix_day("1970-01-01"), Some(0));
        assert_eq!(unix_day("2024-02-29"), Some(1_709_164_800));
        assert_eq!(unix_day("2024-13-01"), None);
        assert_eq!(parse("# x\nA=\"b \\\"c\"\nB='d'\nC=e\n")[0].1, "b \"c");
    }
}
