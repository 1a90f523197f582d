//! Which format a body has or should have: `Accept` and `Content-Type`, read and written from both ends.

use std::fmt;

use crate::escaping::Escaping;
use crate::quote;

/// The formats a target can be asked for, by their configuration names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Length-delimited protobuf.
    PrometheusProto,
    /// Text 0.0.4.
    PrometheusText0_0_4,
    /// Text 1.0.0, the same with UTF-8 names.
    PrometheusText1_0_0,
    /// OpenMetrics 0.0.1.
    OpenMetricsText0_0_1,
    /// OpenMetrics 1.0.0.
    OpenMetricsText1_0_0,
}

/// What scrapers ask for unless configured otherwise, best first.
pub const DEFAULT_PROTOCOLS: [Protocol; 4] = [
    Protocol::OpenMetricsText1_0_0,
    Protocol::OpenMetricsText0_0_1,
    Protocol::PrometheusText1_0_0,
    Protocol::PrometheusText0_0_4,
];

impl Protocol {
    const ALL: [Protocol; 5] = [
        Protocol::PrometheusProto,
        Protocol::PrometheusText0_0_4,
        Protocol::PrometheusText1_0_0,
        Protocol::OpenMetricsText0_0_1,
        Protocol::OpenMetricsText1_0_0,
    ];

    /// The name in configuration files.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::PrometheusProto => "PrometheusProto",
            Protocol::PrometheusText0_0_4 => "PrometheusText0.0.4",
            Protocol::PrometheusText1_0_0 => "PrometheusText1.0.0",
            Protocol::OpenMetricsText0_0_1 => "OpenMetricsText0.0.1",
            Protocol::OpenMetricsText1_0_0 => "OpenMetricsText1.0.0",
        }
    }

    /// Reads the configuration name.
    pub fn parse(name: &str) -> Option<Protocol> {
        Protocol::ALL
            .into_iter()
            .find(|protocol| protocol.as_str() == name)
    }

    /// The media type in an `Accept` header.
    pub fn media_type(self) -> &'static str {
        match self {
            Protocol::PrometheusProto => {
                "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
            }
            Protocol::PrometheusText0_0_4 => "text/plain;version=0.0.4",
            Protocol::PrometheusText1_0_0 => "text/plain;version=1.0.0",
            Protocol::OpenMetricsText0_0_1 => "application/openmetrics-text;version=0.0.1",
            Protocol::OpenMetricsText1_0_0 => "application/openmetrics-text;version=1.0.0",
        }
    }

    /// The `Content-Type` of a body in this format.
    pub fn content_type(self, escaping: Escaping) -> String {
        let base = match self {
            Protocol::PrometheusProto => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
            Protocol::PrometheusText0_0_4 => "text/plain; version=0.0.4; charset=utf-8",
            Protocol::PrometheusText1_0_0 => "text/plain; version=1.0.0; charset=utf-8",
            Protocol::OpenMetricsText0_0_1 => {
                "application/openmetrics-text; version=0.0.1; charset=utf-8"
            }
            Protocol::OpenMetricsText1_0_0 => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
        };
        format!("{base}; escaping={}", escaping.as_str())
    }

    /// Which parser reads it.
    pub fn format(self) -> Format {
        match self {
            Protocol::PrometheusProto => Format::Protobuf,
            Protocol::PrometheusText0_0_4 | Protocol::PrometheusText1_0_0 => Format::Text,
            Protocol::OpenMetricsText0_0_1 | Protocol::OpenMetricsText1_0_0 => Format::OpenMetrics,
        }
    }
}

/// The grammars there are parsers for; versions do not matter to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Format {
    /// Text format.
    Text,
    /// OpenMetrics text.
    OpenMetrics,
    /// Length-delimited protobuf.
    Protobuf,
}

/// The formats that upstream's scraper knows; the sixth is OpenMetrics 2.0.
const KNOWN_FORMATS: i32 = 6;

/// The `Accept` header of a scraper that takes `protocols`, best first.
pub fn accept_header(protocols: &[Protocol], escaping: Escaping) -> String {
    let mut header = String::new();
    // Weights start one above the number of formats that there are, however few are asked for; some servers look at
    // them.
    let mut tenths = KNOWN_FORMATS + 1;
    for protocol in protocols {
        header.push_str(protocol.media_type());
        if matches!(
            protocol,
            Protocol::PrometheusText1_0_0 | Protocol::OpenMetricsText1_0_0
        ) {
            header.push_str(";escaping=");
            header.push_str(escaping.as_str());
        }
        header.push_str(&format!(";q=0.{},", tenths.max(0)));
        tenths -= 1;
    }
    header.push_str(&format!("*/*;q=0.{}", tenths.max(0)));
    header
}

/// A response whose format is not known, and for which nobody configured a fallback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatError {
    /// No `Content-Type`.
    Blank,
    /// Not a media type, and what is wrong with it.
    Unparsable(String, &'static str),
    /// OpenMetrics 2.0, which is not read.
    OpenMetrics2(String),
    /// Some other media type.
    Unsupported(String),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::Blank => f.write_str(
                "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target",
            ),
            FormatError::Unparsable(value, why) => write!(
                f,
                "cannot parse Content-Type {} and no fallback_scrape_protocol for target\n{why}",
                quote::go(value)
            ),
            FormatError::OpenMetrics2(value) => write!(
                f,
                "received OpenMetrics 2.0 Content-Type {}, but the openmetrics2 feature flag is not enabled and no fallback_scrape_protocol specified for target",
                quote::go(value)
            ),
            FormatError::Unsupported(value) => write!(
                f,
                "received unsupported Content-Type {} and no fallback_scrape_protocol specified for target",
                quote::go(value)
            ),
        }
    }
}

impl std::error::Error for FormatError {}

/// The format of a response, from its `Content-Type` (empty when absent) or, failing that, the configured fallback.
pub fn response_format(
    content_type: &str,
    fallback: Option<Protocol>,
) -> Result<Format, FormatError> {
    let problem = if content_type.is_empty() {
        FormatError::Blank
    } else {
        let all = content_type.to_string();
        match media_type(content_type) {
            Ok((media, version)) => match media.as_str() {
                "application/openmetrics-text" if version == "2.0.0" => {
                    FormatError::OpenMetrics2(all)
                }
                "application/openmetrics-text" => return Ok(Format::OpenMetrics),
                "application/vnd.google.protobuf" => return Ok(Format::Protobuf),
                "text/plain" => return Ok(Format::Text),
                _ => FormatError::Unsupported(all),
            },
            Err(why) => FormatError::Unparsable(all, why),
        }
    };
    fallback.map(Protocol::format).ok_or(problem)
}

/// The media type before the parameters, in lower case, and the parameter `version`; the error is in Go's words.
fn media_type(header: &str) -> Result<(String, String), &'static str> {
    let token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let (base, mut rest) = header.split_once(';').unwrap_or((header, ""));
    let base = base.trim().to_ascii_lowercase();
    let (kind, subkind) = base.split_once('/').unwrap_or((&base, "x"));
    if base.is_empty() {
        return Err("mime: no media type");
    }
    if !token(kind) {
        return Err("mime: expected slash after first token");
    }
    if !token(subkind) {
        return Err("mime: expected token after slash");
    }
    const INVALID: &str = "mime: invalid media parameter";
    let mut seen: Vec<(String, String)> = Vec::new();
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
        }
        let (name, after) = rest.split_once('=').ok_or(INVALID)?;
        let name = name.trim().to_ascii_lowercase();
        if !token(&name) {
            return Err(INVALID);
        }
        let (value, after) = match after.trim_start().strip_prefix('"') {
            Some(quoted) => quoted_text(quoted).ok_or(INVALID)?,
            None => {
                let after = after.trim_start();
                let end = after.find(|c: char| c == ';' || c.is_whitespace());
                let (value, after) = after.split_at(end.unwrap_or(after.len()));
                if !token(value) {
                    return Err(INVALID);
                }
                (value.to_string(), after)
            }
        };
        if seen
            .iter()
            .any(|(known, other)| *known == name && *other != value)
        {
            return Err("mime: duplicate parameter name");
        }
        seen.push((name, value));
        rest = match after.trim_start() {
            "" => "",
            after => after.strip_prefix(';').ok_or(INVALID)?,
        };
    }
    let version = seen.into_iter().find(|(name, _)| name == "version");
    Ok((base, version.map(|(_, value)| value).unwrap_or_default()))
}

/// What stands before the closing quote, unescaped, and the rest behind it.
fn quoted_text(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((value, &text[at + 1..])),
            '\\' => value.push(chars.next()?.1),
            other => value.push(other),
        }
    }
    None
}

/// One alternative of an `Accept` header.
struct Wish<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    weight: f32,
}

impl Wish<'_> {
    fn parameter(&self, name: &str) -> &str {
        self.parameters
            .iter()
            .find(|(n, _)| *n == name)
            .map_or("", |(_, value)| value)
    }
}

/// The format and escaping to answer with: the reader's best wish among `offered`, else text 0.0.4.
pub fn negotiate(accept: &str, offered: &[Protocol]) -> (Protocol, Escaping) {
    let mut wishes: Vec<Wish<'_>> = accept.split(',').map(wish).collect();
    wishes.sort_by(|a, b| b.weight.total_cmp(&a.weight)); // stable: the header's order decides ties
    let mut escaping = Escaping::default();
    for wish in &wishes {
        // As in upstream's library, an escaping asked for with one alternative holds for those after it.
        if let Some(scheme) = Escaping::parse(wish.parameter("escaping")) {
            escaping = scheme;
        }
        let version = wish.parameter("version");
        let protocol = match wish.media {
            "application/vnd.google.protobuf"
                if wish.parameter("proto") == "io.prometheus.client.MetricFamily"
                    && wish.parameter("encoding") == "delimited" =>
            {
                Protocol::PrometheusProto
            }
            "text/plain"
                if version == "1.0.0" && offered.contains(&Protocol::PrometheusText1_0_0) =>
            {
                Protocol::PrometheusText1_0_0
            }
            "text/plain" if matches!(version, "" | "0.0.4" | "1.0.0") => {
                Protocol::PrometheusText0_0_4
            }
            "application/openmetrics-text" if version == "1.0.0" => Protocol::OpenMetricsText1_0_0,
            "application/openmetrics-text" if matches!(version, "" | "0.0.1") => {
                Protocol::OpenMetricsText0_0_1
            }
            _ => continue,
        };
        if offered.contains(&protocol) {
            return (protocol, escaping);
        }
    }
    (Protocol::PrometheusText0_0_4, escaping)
}

fn wish(alternative: &str) -> Wish<'_> {
    let mut pieces = alternative.split(';').map(str::trim);
    let media = pieces.next().unwrap_or("");
    let parameters: Vec<(&str, &str)> = pieces.filter_map(|piece| piece.split_once('=')).collect();
    let weight = parameters
        .iter()
        .find(|(name, _)| *name == "q")
        .and_then(|(_, value)| value.parse::<f32>().ok())
        .unwrap_or(1.0);
    Wish {
        media,
        parameters,
        weight,
    }
}

/// Whether the client takes gzip, by its `Accept-Encoding`.
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').map(wish).any(|wish| {
        (wish.media.eq_ignore_ascii_case("gzip") || wish.media == "*") && wish.weight > 0.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_scraper_asks_for() {
        assert_eq!(
            accept_header(&DEFAULT_PROTOCOLS, Escaping::AllowUtf8),
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.7,application/openmetrics-text;version=0.0.1;q=0.6,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.3"
        );
    }

    #[test]
    fn what_a_server_answers() {
        let text = [Protocol::PrometheusText0_0_4, Protocol::PrometheusText1_0_0];
        let prometheus = accept_header(&DEFAULT_PROTOCOLS, Escaping::AllowUtf8);
        assert_eq!(
            negotiate(&prometheus, &DEFAULT_PROTOCOLS),
            (Protocol::OpenMetricsText1_0_0, Escaping::AllowUtf8)
        );
        assert_eq!(
            negotiate(&prometheus, &text),
            (Protocol::PrometheusText1_0_0, Escaping::AllowUtf8)
        );
        assert_eq!(
            negotiate("", &text),
            (Protocol::PrometheusText0_0_4, Escaping::Underscores)
        );
        assert_eq!(negotiate("*/*", &text).0, Protocol::PrometheusText0_0_4);
        assert_eq!(
            negotiate(
                "text/plain;q=0.1, application/openmetrics-text; version=1.0.0;q=0.9",
                &DEFAULT_PROTOCOLS
            )
            .0,
            Protocol::OpenMetricsText1_0_0
        );
        assert!(
            accepts_gzip("deflate, gzip;q=0.5") && !accepts_gzip("gzip;q=0") && !accepts_gzip("")
        );
        assert_eq!(
            Protocol::PrometheusText0_0_4.content_type(Escaping::Underscores),
            "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
        );
    }

    #[test]
    fn what_a_response_is() {
        use Format::*;
        for (header, fallback, want) in [
            ("text/plain; version=9", None, Ok(Text)),
            ("TEXT/plain;charset=utf-8;", None, Ok(Text)),
            (
                "application/openmetrics-text; version=0.0.1",
                None,
                Ok(OpenMetrics),
            ),
            ("application/vnd.google.protobuf", None, Ok(Protobuf)),
            ("", Some(Protocol::OpenMetricsText1_0_0), Ok(OpenMetrics)),
            ("text/html", Some(Protocol::PrometheusText0_0_4), Ok(Text)),
            ("", None, Err(FormatError::Blank)),
            (
                "text/html",
                None,
                Err(FormatError::Unsupported("text/html".into())),
            ),
            (
                "text/plain; nonsense",
                None,
                Err(FormatError::Unparsable(
                    "text/plain; nonsense".into(),
                    "mime: invalid media parameter",
                )),
            ),
            (
                "text/ plain",
                None,
                Err(FormatError::Unparsable(
                    "text/ plain".into(),
                    "mime: expected token after slash",
                )),
            ),
            (
                "text/plain; a=1; a=2",
                None,
                Err(FormatError::Unparsable(
                    "text/plain; a=1; a=2".into(),
                    "mime: duplicate parameter name",
                )),
            ),
            ("Text/Plain; a=\"x;\\\"=\"; version=9", None, Ok(Text)),
            (
                "application/openmetrics-text; version=2.0.0",
                None,
                Err(FormatError::OpenMetrics2(
                    "application/openmetrics-text; version=2.0.0".into(),
                )),
            ),
        ] {
            assert_eq!(response_format(header, fallback), want, "{header}");
        }
        assert_eq!(
            FormatError::Unsupported("a\"b".into()).to_string(),
            r#"received unsupported Content-Type "a\"b" and no fallback_scrape_protocol specified for target"#
        );
    }
}
