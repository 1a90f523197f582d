//! Whether a text can be a URL: what is wrong is told when the file is read, without the password in it.

use model::labels::go_quote;

use crate::secret::redact_url;

/// Checks a URL as far as Go's parser would refuse it. The error quotes it with its password hidden.
pub fn check(url: &str) -> Result<(), String> {
    let refuse = |what: String| Err(format!("parse {:?}: {what}", redact_url(url)));
    if url.bytes().any(|b| b < b' ' || b == 0x7f) {
        return refuse("net/url: invalid control character in URL".into());
    }
    if url.starts_with(':') {
        return refuse("missing protocol scheme".into());
    }
    let Some((_, rest)) = url.split_once("://") else {
        // `host:9090` has the scheme `host`; what begins with a digit has none, and then no colon before a slash.
        let first = url.split('/').next().unwrap_or("");
        if url.starts_with(|c: char| !c.is_ascii_alphabetic()) && first.contains(':') {
            return refuse("first path segment in URL cannot contain colon".into());
        }
        return match bad_escape(url) {
            Some(escape) => refuse(format!("invalid URL escape {}", go_quote(escape))),
            None => Ok(()),
        };
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    // In a host's name, only what is no ASCII may be escaped; zones of addresses aside.
    let in_host = host.find('%').filter(|_| !host.starts_with('['));
    let ascii = in_host.and_then(|at| {
        let escape = &host[at..(at + 3).min(host.len())];
        let high = escape
            .as_bytes()
            .get(1)
            .is_some_and(|b| matches!(b, b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F'));
        (!high).then_some(escape)
    });
    if let Some(escape) = ascii.or_else(|| bad_escape(rest)) {
        return refuse(format!("invalid URL escape {}", go_quote(escape)));
    }
    if let Some(bad) = host.chars().find(|c| " <>\"".contains(*c)) {
        return refuse(format!(
            "invalid character {:?} in host name",
            bad.to_string()
        ));
    }
    let after = match host.strip_prefix('[') {
        Some(address) => match address.split_once(']') {
            Some((_, after)) => after,
            None => return refuse("missing ']' in host".into()),
        },
        None => host.find(':').map_or("", |at| &host[at..]),
    };
    let is_port = |text: &str| {
        text.strip_prefix(':')
            .is_some_and(|port| port.bytes().all(|b| b.is_ascii_digit()))
    };
    if !after.is_empty() && !is_port(after) {
        return refuse(format!("invalid port {after:?} after host"));
    }
    Ok(())
}

/// The first `%` in the path that two hexadecimal digits do not follow, with what follows it; queries may hold any.
fn bad_escape(url: &str) -> Option<&str> {
    let path = url.split('?').next().unwrap_or("");
    let mut places = path.match_indices('%').map(|(at, _)| at);
    let is_bad = |at: &usize| {
        let digits = path.as_bytes().get(at + 1..at + 3);
        !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    let at = places.find(is_bad)?;
    let end = path[at..]
        .char_indices()
        .nth(3)
        .map_or(path.len(), |(n, _)| at + n);
    Some(&path[at..end])
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn what_is_wrong_is_told_without_the_password() {
        for good in [
            "http://a/b",
            "http://a:1/b?c#d",
            "https://u:p@[::1]:90/",
            "http://a:/",
            "a/b",
            "http://[fe80::1]",
            "http://a/%20b?%zz",
            "http://%c3%a9/",
            "http://[fe80::1%25en0]/",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let told = |url: &str| check(url).expect_err(url);
        assert_eq!(
            told("http://u:pass@h:bad/x"),
            "parse \"http://u:xxxxx@h:bad/x\": invalid port \":bad\" after host"
        );
        assert!(told("127.0.0.1:9").ends_with("first path segment in URL cannot contain colon"));
        assert_eq!(told(":a"), "parse \":a\": missing protocol scheme");
        assert!(told("http://a b/").ends_with("invalid character \" \" in host name"));
        assert!(told("http://[::1/").ends_with("missing ']' in host"));
        assert!(told("http://[::1]x/").ends_with("invalid port \"x\" after host"));
        for (url, escape) in [
            ("http://a/%zz", "%zz"),
            ("http://%41/", "%41"),
            ("%4", "%4"),
        ] {
            let wanted = format!("invalid URL escape \"{escape}\"");
            assert!(told(url).ends_with(&wanted), "{url}");
        }
        assert!(told("http://a\n").ends_with("invalid control character in URL"));
    }
}
