//! Whether a text can be a URL: what is wrong is told when the file is read, without the password in it.

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
        return Ok(());
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
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
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let told = |url: &str| check(url).expect_err(url);
        assert_eq!(
            told("http://u:pass@h:bad/x"),
            "parse \"http://u:xxxxx@h:bad/x\": invalid port \":bad\" after host"
        );
        assert_eq!(told(":a"), "parse \":a\": missing protocol scheme");
        assert!(told("http://a b/").ends_with("invalid character \" \" in host name"));
        assert!(told("http://[::1/").ends_with("missing ']' in host"));
        assert!(told("http://[::1]x/").ends_with("invalid port \"x\" after host"));
        assert!(told("http://a\n").ends_with("invalid control character in URL"));
    }
}
