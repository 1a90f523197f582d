//! Amazon's signature version 4 of a request, in its headers.

use configfile::Secret;
use model::calendar::civil_from_days;
use ring::{digest, hmac};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Who signs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// The key's name.
    pub access_key: String,
    /// The key.
    pub secret_key: Secret,
    /// What comes with keys that end; empty for those that do not.
    pub session_token: Secret,
}

/// What a signature is good for.
#[derive(Clone, Copy, Debug)]
pub struct Purpose<'a> {
    /// The region's name.
    pub region: &'a str,
    /// The service's name.
    pub service: &'a str,
}

/// A request as it is sent.
#[derive(Clone, Debug)]
pub struct Call<'a> {
    /// Its method, in capitals.
    pub method: &'a str,
    /// The path as the request line has it, escaped once; with a `/` at its start.
    pub path: &'a str,
    /// The query as the request line has it, without `?`.
    pub query: &'a str,
    /// What is signed besides the headers that the signature brings: names in any case. Must have `host`.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body.
    pub body: &'a [u8],
}

/// Headers that the request gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedHeaders {
    /// `X-Amz-Date`
    pub date: String,
    /// `X-Amz-Security-Token`, where the keys have one.
    pub security_token: Option<Secret>,
    /// `Authorization`
    pub authorization: String,
}

/// Signs `call` at `now`, unix milliseconds.
pub fn sign(keys: &Keys, purpose: Purpose<'_>, call: &Call<'_>, now: i64) -> SignedHeaders {
    let date = timestamp(now);
    let day = date.split('T').next().unwrap_or("");
    let token = (!keys.session_token.is_empty()).then(|| keys.session_token.clone());
    let mut headers: Vec<(String, String)> = call
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), one_spaced(value)))
        .collect();
    headers.push(("x-amz-date".into(), date.clone()));
    if let Some(token) = &token {
        headers.push(("x-amz-security-token".into(), token.reveal().into()));
    }
    // Values of one name stay in their order.
    headers.sort_by(|(a, _), (b, _)| a.cmp(b));
    headers.dedup_by(|next, first| {
        let same = next.0 == first.0;
        if same {
            first.1 = format!("{},{}", first.1, next.1);
        }
        same
    });
    let names: Vec<&str> = headers.iter().map(|(name, _)| name.as_str()).collect();
    let names = names.join(";");
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{names}\n{}",
        call.method,
        canonical_path(call.path),
        canonical_query(call.query),
        hex(digest::digest(&digest::SHA256, call.body).as_ref())
    );
    let scope = format!("{day}/{}/{}/aws4_request", purpose.region, purpose.service);
    let to_sign = format!(
        "{ALGORITHM}\n{date}\n{scope}\n{}",
        hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref())
    );
    let mut key = format!("AWS4{}", keys.secret_key.reveal()).into_bytes();
    for part in [day, purpose.region, purpose.service, "aws4_request"] {
        key = mac(&key, part);
    }
    let signature = hex(&mac(&key, &to_sign));
    let access_key = &keys.access_key;
    SignedHeaders {
        authorization: format!(
            "{ALGORITHM} Credential={access_key}/{scope}, SignedHeaders={names}, Signature={signature}"
        ),
        date,
        security_token: token,
    }
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `20150830T123600Z`
fn timestamp(ms: i64) -> String {
    let seconds = ms.div_euclid(1000);
    let (days, of_day) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil_from_days(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z")
}

/// Without space around it, and one space where there are several.
fn one_spaced(value: &str) -> String {
    let parts: Vec<&str> = value.split_ascii_whitespace().collect();
    parts.join(" ")
}

fn escape(bytes: &[u8], keep: fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(bytes.len());
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) || keep(*byte) {
            out.push(char::from(*byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Escaped again even if it is already, as all services but S3 want it.
fn canonical_path(path: &str) -> String {
    match path {
        "" => "/".into(),
        path => escape(path.as_bytes(), |byte| byte == b'/'),
    }
}

/// The parameters in order, escaped in the one way that there is.
fn canonical_query(query: &str) -> String {
    let mut pairs: Vec<(String, String)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (
                escape(&unescape(name), |_| false),
                escape(&unescape(value), |_| false),
            )
        })
        .collect();
    pairs.sort();
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    pairs.join("&")
}

/// `%XX` and `+` back to bytes; what is no escape stays.
fn unescape(text: &str) -> Vec<u8> {
    let digit = |byte: Option<&u8>| byte.and_then(|b| char::from(*b).to_digit(16));
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let pair = (digit(bytes.get(at + 1)), digit(bytes.get(at + 2)));
        at += 1;
        match (byte, pair) {
            (b'+', _) => out.push(b' '),
            (b'%', (Some(high), Some(low))) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (other, _) => out.push(*other),
        }
    }
    out
}
