//! Transport errors in the words that Go's client uses where people know them.

use std::error::Error;

const LOOKUP: &str = "failed to lookup address information: ";
const NO_NAME: &str = "name or service not known";

/// An error with its causes, from the outermost to the innermost.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> Vec<&'a (dyn Error + 'static)> {
    let mut chain = vec![error];
    while let Some(cause) = chain.last().copied().and_then(Error::source) {
        chain.push(cause);
    }
    chain
}

/// An error and its causes in one line.
pub fn with_causes(error: &(dyn Error + 'static)) -> String {
    let parts: Vec<String> = causes(error).iter().map(ToString::to_string).collect();
    parts.join(": ")
}

/// What went wrong on the way to `url` with a `Get` or `Post`. `direct`: without a proxy, whose address would be the one
/// that matters.
pub fn describe(method: &str, url: &str, error: &(dyn Error + 'static), direct: bool) -> String {
    let chain = causes(error);
    // The innermost says what happened; the connector's own tells that it happened before there was a connection.
    let what = chain.last().map_or(String::new(), ToString::to_string);
    let what = what.split(" (os error").next().unwrap_or("").to_lowercase();
    if let Some(words) = in_go(&what) {
        return format!("{method} {url:?}: {words}");
    }
    if let Some(port) = bad_port(url) {
        return format!("{method} {url:?}: dial tcp: address {port}: invalid port");
    }
    let told = |begin: &str| {
        chain
            .iter()
            .any(|error| error.to_string().starts_with(begin))
    };
    let place = match direct {
        true if what.starts_with(LOOKUP) => format!("dial tcp: lookup {}: ", host(url)),
        true if told("tcp connect error") => format!("dial tcp {}: connect: ", address(url)),
        _ => String::new(),
    };
    let what = what.replace(LOOKUP, "").replace(NO_NAME, "no such host");
    format!("{method} {url:?}: {place}{what}")
}

/// What libraries here say, in the words of Go's.
fn in_go(what: &str) -> Option<&'static str> {
    const WORDS: [(&str, &str); 6] = [
        ("connection closed before message completed", "EOF"),
        (
            "received corrupt message of type invalidcontenttype",
            "tls: first record does not look like a TLS handshake",
        ),
        (
            "invalid peer certificate: unknownissuer",
            "tls: failed to verify certificate: x509: certificate signed by unknown authority",
        ),
        ("invalid http version parsed", MALFORMED),
        ("url scheme is not allowed", "unsupported protocol scheme"),
        ("too many redirects", "stopped after 10 redirects"),
    ];
    let found = WORDS.iter().find(|(ours, _)| what.starts_with(ours));
    found.map(|(_, words)| *words)
}

const MALFORMED: &str = "net/http: HTTP/1.x transport connection broken: malformed HTTP response";

/// A port that is none.
fn bad_port(url: &str) -> Option<&str> {
    let (_, port) = authority(url).rsplit_once(':')?;
    let number = port.bytes().all(|b| b.is_ascii_digit()) && !port.is_empty();
    (number && port.parse::<u16>().is_err()).then_some(port)
}

/// Host and port as the URL has them.
fn authority(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    authority.rsplit('@').next().unwrap_or(authority)
}

/// The host, and the port if there is one.
fn parts(url: &str) -> (&str, Option<&str>) {
    let authority = authority(url);
    match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, Some(port)),
        _ => (authority, None),
    }
}

fn host(url: &str) -> &str {
    parts(url).0
}

fn address(url: &str) -> String {
    let (host, port) = parts(url);
    let default = match url.starts_with("https:") {
        true => "443",
        false => "80",
    };
    // Go tells where the name led.
    let host = if host == "localhost" {
        "127.0.0.1"
    } else {
        host
    };
    format!("{host}:{}", port.unwrap_or(default))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_people_know() {
        let told = |text: &str, url: &str| describe("Get", url, &std::io::Error::other(text), true);
        for (ours, theirs) in [
            ("connection closed before message completed", "EOF"),
            (
                "invalid peer certificate: UnknownIssuer",
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            ),
            ("too many redirects", "stopped after 10 redirects"),
            ("something else", "something else"),
        ] {
            assert_eq!(
                told(ours, "http://h/"),
                format!("Get \"http://h/\": {theirs}")
            );
        }
        assert_eq!(
            told("failed", "http://h:99999/"),
            "Get \"http://h:99999/\": dial tcp: address 99999: invalid port"
        );
    }

    #[test]
    fn addresses_of_urls() {
        for (url, expected) in [
            ("http://h/metrics", "h:80"),
            ("https://h?x=1", "h:443"),
            ("http://u:p@h:9/", "h:9"),
            ("http://[::1]:9100/metrics", "[::1]:9100"),
            ("http://[::1]/metrics", "[::1]:80"),
            ("http://localhost:9090/", "127.0.0.1:9090"),
        ] {
            assert_eq!(address(url), expected, "{url}");
        }
    }
}
