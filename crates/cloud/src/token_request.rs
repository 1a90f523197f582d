//! Requests to servers that give credentials out.

use std::time::Duration;

use configfile::Secret;
use configfile::http_client::{HttpClientConfig, ProxyConfig};
use http::{Method, StatusCode};
use net::http_client::HttpClient;
use net::transport_error::with_causes;
use serde_json::{Map, Value};

use crate::world::World;

/// No answer with credentials is larger.
const MAX_ANSWER: usize = 1 << 20;
/// Characters of a server's explanation that are shown.
const MAX_SHOWN: usize = 500;
/// How long a server on the way to the internet may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long one beside the machine may take.
const NEAR_PATIENCE: Duration = Duration::from_secs(5);

/// Asks for credentials: servers beside the machine directly, others through the proxies of the environment.
pub struct TokenServers {
    near: HttpClient,
    far: HttpClient,
}

/// One request.
pub struct TokenRequest<'a> {
    /// `GET`, `POST`, `PUT`.
    pub method: Method,
    /// Where.
    pub url: &'a str,
    /// Headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: String,
    /// What must not be seen in an error, whoever repeats it.
    pub secrets: Vec<Secret>,
}

impl<'a> TokenRequest<'a> {
    /// A GET request.
    pub fn get(url: &'a str) -> TokenRequest<'a> {
        TokenRequest {
            method: Method::GET,
            url,
            headers: Vec::new(),
            body: String::new(),
            secrets: Vec::new(),
        }
    }

    /// A POST request with a form; the values of `secrets` are taken to be secret.
    pub fn form(url: &'a str, fields: &[(&str, &str)], secrets: &[&str]) -> TokenRequest<'a> {
        let secret = |(name, _): &&(&str, &str)| secrets.contains(name);
        TokenRequest {
            method: Method::POST,
            url,
            headers: vec![("Content-Type", "application/x-www-form-urlencoded".into())],
            body: form_urlencoded::Serializer::new(String::new())
                .extend_pairs(fields)
                .finish(),
            secrets: fields
                .iter()
                .filter(secret)
                .map(|(_, value)| Secret::new(*value))
                .collect(),
        }
    }

    /// With another header.
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> TokenRequest<'a> {
        self.headers.push((name, value.into()));
        self
    }

    /// With another header that nobody may see.
    pub fn secret_header(self, name: &'static str, value: &Secret) -> TokenRequest<'a> {
        let mut request = self.header(name, value.reveal());
        request.secrets.push(value.clone());
        request
    }
}

/// An answer with its body.
pub struct TokenAnswer {
    /// The status.
    pub status: StatusCode,
    /// The body.
    pub body: Vec<u8>,
    /// `WWW-Authenticate`, empty where there is none.
    pub challenge: String,
    asked: String,
    secrets: Vec<Secret>,
}

impl TokenServers {
    /// Connects to nobody yet.
    pub fn new(world: &World) -> Result<TokenServers, String> {
        // Credentials are not carried after a redirect: no server that gives them out sends one.
        let near = HttpClientConfig {
            follow_redirects: false,
            ..HttpClientConfig::default()
        };
        let far = HttpClientConfig {
            proxy: ProxyConfig {
                from_environment: true,
                ..ProxyConfig::default()
            },
            ..near.clone()
        };
        let client = |config| HttpClient::new(config, world.user_agent());
        Ok(TokenServers {
            near: client(&near).map_err(|e| e.to_string())?,
            far: client(&far).map_err(|e| e.to_string())?,
        })
    }

    /// The answer, whatever its status. Errors name the server and show no secret.
    pub async fn ask(&self, request: TokenRequest<'_>) -> Result<TokenAnswer, String> {
        let asked = shown(request.url);
        let failed = |what: String| format!("{asked}: {}", hide(&what, &request.secrets));
        let near = host_of(request.url).is_some_and(is_near);
        let (client, patience) = match near {
            true => (&self.near, NEAR_PATIENCE),
            false => (&self.far, PATIENCE),
        };
        let prepared = client.request(request.method.clone(), request.url).await;
        let mut prepared = prepared
            .map_err(|e| failed(e.to_string()))?
            .timeout(patience)
            .body(request.body.clone());
        for (name, value) in &request.headers {
            prepared = prepared.header(*name, value);
        }
        let sent = prepared.send().await;
        let mut response = sent.map_err(|e| failed(with_causes(&e.without_url())))?;
        let challenge = response.headers().get("www-authenticate");
        let challenge = challenge.and_then(|value| value.to_str().ok());
        let challenge = challenge.unwrap_or("").to_string();
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(part)) if body.len() + part.len() <= MAX_ANSWER => {
                    body.extend_from_slice(&part);
                }
                Ok(Some(_)) => return Err(failed("the answer is too large".into())),
                Ok(None) => break,
                Err(e) => return Err(failed(with_causes(&e.without_url()))),
            }
        }
        Ok(TokenAnswer {
            status: response.status(),
            body,
            challenge,
            asked,
            secrets: request.secrets,
        })
    }
}

impl TokenAnswer {
    /// An error about this answer.
    pub fn wrong(&self, what: &str) -> String {
        // Hidden before it is cut: half a secret is one too.
        let hidden = hide(what, &self.secrets);
        match hidden.char_indices().nth(MAX_SHOWN) {
            Some((at, _)) => format!("{}: {}...", self.asked, &hidden[..at]),
            None => format!("{}: {hidden}", self.asked),
        }
    }

    /// The body as text, where the request went well.
    pub fn text(&self) -> Result<&str, String> {
        if !self.status.is_success() {
            return Err(self.wrong(&self.explanation()));
        }
        std::str::from_utf8(&self.body).map_err(|_| self.wrong("the answer is no text"))
    }

    /// The body's JSON object, where the request went well.
    pub fn object(&self) -> Result<Map<String, Value>, String> {
        let text = self.text()?;
        serde_json::from_str(text).map_err(|_| self.wrong("the answer is no JSON object"))
    }

    /// The status and what the server says about it.
    pub fn explanation(&self) -> String {
        let said = serde_json::from_slice::<Value>(&self.body).ok();
        let field = |name: &str| match &said.as_ref()?[name] {
            Value::String(text) => Some(text.clone()),
            Value::Object(inner) => inner.get("message")?.as_str().map(str::to_string),
            _ => None,
        };
        let body = String::from_utf8_lossy(&self.body);
        let mut parts = vec![self.status.to_string()];
        parts.extend(
            ["error", "code", "error_description", "message"]
                .iter()
                .filter_map(|n| field(n)),
        );
        parts.extend(
            ["Code", "Message"]
                .iter()
                .filter_map(|tag| xml_text(&body, tag)),
        );
        parts.join(": ")
    }
}

/// The text of the first element `tag`.
pub fn xml_text(document: &str, tag: &str) -> Option<String> {
    let (_, after) = document.split_once(&format!("<{tag}>"))?;
    let (text, _) = after.split_once(&format!("</{tag}>"))?;
    let plain = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&apos;", "'"),
    ]
    .iter()
    .fold(text.trim().to_string(), |text, (from, to)| {
        text.replace(from, to)
    });
    Some(plain.replace("&amp;", "&"))
}

/// A text field of an object, empty where it is absent or no text.
pub fn text_of<'a>(object: &'a Map<String, Value>, name: &str) -> &'a str {
    object.get(name).and_then(Value::as_str).unwrap_or("")
}

/// A whole number of an object, be it written as a number or a text.
pub fn number_of(object: &Map<String, Value>, name: &str) -> Option<i64> {
    match object.get(name)? {
        Value::String(text) => text.parse().ok(),
        other => other.as_i64().or_else(|| other.as_f64().map(|n| n as i64)),
    }
}

fn hide(text: &str, secrets: &[Secret]) -> String {
    let secrets = secrets.iter().filter(|secret| !secret.is_empty());
    secrets.fold(text.to_string(), |text, secret| {
        text.replace(secret.reveal(), configfile::secret::HIDDEN)
    })
}

/// The URL without user, password and query.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or("");
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    let host = authority.rsplit('@').next().unwrap_or("");
    format!("{scheme}://{host}{path}")
}

/// The host of a URL, without port and brackets.
pub fn host_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    match host.strip_prefix('[') {
        Some(inner) => inner.split(']').next(),
        None => host.split(':').next(),
    }
}

/// Whether a host is the machine itself.
pub fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Whether no proxy leads there: the machine, and where clouds put what only their machines can ask.
fn is_near(host: &str) -> bool {
    let link_local = host
        .parse::<std::net::Ipv4Addr>()
        .is_ok_and(|address| address.is_link_local());
    is_loopback(host)
        || link_local
        || ["fd00:ec2::254", "fd00:ec2::23", "metadata.google.internal"].contains(&host)
}

/// Secrets go nowhere in the clear, but within the machine.
pub fn check_private(url: &str) -> Result<(), String> {
    let host = host_of(url).unwrap_or("");
    match url.split_once("://") {
        Some(("https", _)) if !host.is_empty() => Ok(()),
        Some(("http", _)) if is_loopback(host) => Ok(()),
        _ => Err(format!(
            "{}: credentials are asked for by https only",
            shown(url)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_shown_without_secrets() {
        assert_eq!(shown("http://u:p@h:1/a/b?c=d#e"), "http://h:1/a/b");
        assert_eq!(host_of("http://u:p@h:1/a@b"), Some("h"));
        assert_eq!(host_of("http://[::1]:80/a"), Some("::1"));
        assert_eq!(host_of("nothing"), None);
        for good in [
            "https://h/",
            "http://127.0.0.1:1/",
            "http://localhost/",
            "http://[::1]/",
        ] {
            assert_eq!(check_private(good), Ok(()), "{good}");
        }
        for bad in [
            "http://h/",
            "ftp://127.0.0.1/",
            "https:///",
            "x",
            "http://127.0.0.1.evil/",
        ] {
            assert!(check_private(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn elements_of_documents() {
        let document = "<a><Code>x&amp;lt;y</Code><Code>z</Code></a>";
        assert_eq!(xml_text(document, "Code").as_deref(), Some("x&lt;y"));
        assert_eq!(xml_text(document, "Message"), None);
        assert_eq!(xml_text("<Code>open", "Code"), None);
    }
}
