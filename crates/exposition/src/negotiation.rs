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

/// The `Accept` header of a scraper that takes `protocols`, best first.
pub fn accept_header(protocols: &[Protocol], escaping: Escaping) -> String {
    let mut header = String::new();
    // The weights start at 0.6 however many protocols there are; some servers look at them.
    let mut tenths = 6i32;
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
    /// Not a media type.
    Unparsable(String),
    /// Some other media type.
    Unsupported(String),
}

impl fmt::Display for FormatError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FormatError::Blank => f.write_str(
                "non-compliant scrape target sending blank Content-Type and no fallback_scrape_protocol specified for target",
            ),
            FormatError::Unparsable(value) => write!(
                f,
                "cannot parse Content-Type {} and no fallback_scrape_protocol for target",
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
        match media_type(content_type).as_deref() {
            Some("application/openmetrics-text") => return Ok(Format::OpenMetrics),
            Some("application/vnd.google.protobuf") => return Ok(Format::Protobuf),
            Some("text/plain") => return Ok(Format::Text),
            Some(_) => FormatError::Unsupported(content_type.to_string()),
            None => FormatError::Unparsable(content_type.to_string()),
        }
    };
    fallback.map(Protocol::format).ok_or(problem)
}

/// The media type before the parameters, in lower case, when the header is one.
fn media_type(header: &str) -> Option<String> {
    let token = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
    };
    let mut pieces = header.split(';');
    let base = pieces.next()?.trim();
    let (kind, subkind) = base.split_once('/').unwrap_or((base, "x"));
    if !token(kind) || !token(subkind) {
        return None;
    }
    for (i, piece) in pieces.clone().enumerate() {
        let piece = piece.trim();
        if piece.is_empty() && i + 1 == pieces.clone().count() {
            break;
        }
        let (name, value) = piece.split_once('=')?;
        if !token(name.trim()) || value.trim().is_empty() {
            return None;
        }
    }
    Some(base.to_ascii_lowercase())
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
            "text/plain" if version == "1.0.0" => Protocol::PrometheusText1_0_0,
            "text/plain" if matches!(version, "" | "0.0.4") => Protocol::PrometheusText0_0_4,
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
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
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
                Err(FormatError::Unparsable("text/plain; nonsense".into())),
            ),
            (
                "text/ plain",
                None,
                Err(FormatError::Unparsable("text/ plain".into())),
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
