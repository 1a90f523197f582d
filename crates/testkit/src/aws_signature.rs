//! What Amazon does with a request: the signature is computed anew from what came in, by code that shares nothing with
//! the product's.

use ring::{digest, hmac};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

/// A request as it came in.
pub struct Request<'a> {
    /// Its method.
    pub method: &'a str,
    /// Path and query, as on the request line.
    pub target: &'a str,
    /// The value of a header by its name in small letters, empty where it is absent.
    pub header: &'a dyn Fn(&str) -> String,
    /// The body.
    pub body: &'a [u8],
}

/// The names that are signed, and `region/service`; panics unless the signature is that of the key.
pub fn check(seen: &Request<'_>, access_key: &str, secret_key: &str) -> (Vec<String>, String) {
    let authorization = (seen.header)("authorization");
    let rest = authorization
        .strip_prefix("AWS4-HMAC-SHA256 Credential=")
        .unwrap_or_else(|| panic!("not signed: {authorization:?}"));
    let (credential, rest) = rest.split_once(", SignedHeaders=").expect("names");
    let (names, signature) = rest.split_once(", Signature=").expect("a signature");
    let (who, scope) = credential.split_once('/').expect("a scope");
    assert_eq!(who, access_key);
    let date = (seen.header)("x-amz-date");
    let parts: Vec<&str> = scope.split('/').collect();
    let [day, region, service, "aws4_request"] = parts[..] else {
        panic!("{scope}")
    };
    assert!(date.starts_with(day));
    let headers: String = names
        .split(';')
        .map(|name| format!("{name}:{}\n", (seen.header)(name).trim()))
        .collect();
    // A path that is escaped on its way is escaped once more.
    let (path, query) = seen.target.split_once('?').unwrap_or((seen.target, ""));
    let path = path.replace('%', "%25");
    let mut query: Vec<String> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| match pair.contains('=') {
            true => pair.to_string(),
            false => format!("{pair}="),
        })
        .collect();
    query.sort();
    let canonical = format!(
        "{}\n{path}\n{}\n{headers}\n{names}\n{}",
        seen.method,
        query.join("&"),
        sha256(seen.body)
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        sha256(canonical.as_bytes())
    );
    let key = mac(format!("AWS4{secret_key}").as_bytes(), day);
    let key = mac(&mac(&mac(&key, region), service), "aws4_request");
    assert_eq!(hex(&mac(&key, &text)), signature, "{canonical}");
    let names = names.split(';').map(str::to_string).collect();
    (names, format!("{region}/{service}"))
}
