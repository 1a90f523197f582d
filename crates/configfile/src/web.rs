//! `--web.config.file`: how a server treats those who connect to it.

use std::path::Path;

use crate::decode::{ConfigError, Faults, Fields};
use crate::http_client::TlsVersion;
use crate::prometheus::resolve;
use crate::secret::Secret;
use crate::yaml::Node;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct WebConfig {
    /// `tls_server_config`, where TLS is spoken.
    pub tls: Option<TlsServerConfig>,
    /// Whether HTTP/2 is offered over TLS.
    pub http2: bool,
    /// Headers of every answer.
    pub headers: Vec<(String, String)>,
    /// Most requests a time.
    pub rate_limit: Option<RateLimit>,
    /// Users with the bcrypt hashes of their passwords; nobody is asked where there are none.
    pub users: Vec<(String, Secret)>,
}

/// `tls_server_config`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsServerConfig {
    /// The server's certificate chain, PEM.
    pub cert: String,
    /// A file with it.
    pub cert_file: String,
    /// The server's key, PEM.
    pub key: Secret,
    /// A file with it.
    pub key_file: String,
    /// What is asked of clients.
    pub client_auth: ClientAuth,
    /// CA certificates of clients, PEM.
    pub client_ca: String,
    /// A file with them.
    pub client_ca_file: String,
    /// Alternative names of which a client's certificate must have one.
    pub client_allowed_sans: Vec<String>,
    /// The oldest version spoken.
    pub min_version: Option<TlsVersion>,
    /// The newest version spoken.
    pub max_version: Option<TlsVersion>,
    /// Go's names of the suites offered, all where empty.
    pub cipher_suites: Vec<String>,
    /// Go's names of the curves offered, all where empty.
    pub curve_preferences: Vec<String>,
}

/// What a server asks of its clients' certificates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientAuth {
    /// Nothing.
    #[default]
    None,
    /// To show one, which is not verified.
    Request,
    /// To have one, which is not verified.
    RequireAny,
    /// That one which is shown is good.
    VerifyIfGiven,
    /// A good one.
    RequireAndVerify,
}

impl ClientAuth {
    fn parse(word: &str) -> Option<ClientAuth> {
        Some(match word {
            "" | "NoClientCert" => ClientAuth::None,
            "RequestClientCert" => ClientAuth::Request,
            "RequireAnyClientCert" | "RequireClientCert" => ClientAuth::RequireAny,
            "VerifyClientCertIfGiven" => ClientAuth::VerifyIfGiven,
            "RequireAndVerifyClientCert" => ClientAuth::RequireAndVerify,
            _ => return None,
        })
    }

    /// Whether certificates are checked against CAs.
    pub fn verifies(self) -> bool {
        matches!(
            self,
            ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify
        )
    }
}

/// `rate_limit`
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateLimit {
    /// Milliseconds in which one request more is allowed.
    pub interval_ms: f64,
    /// Requests at once.
    pub burst: u64,
}

/// Headers that a file may set, with what they may say; no list means anything.
const HEADERS: [(&str, &[&str]); 5] = [
    ("Strict-Transport-Security", &[]),
    ("X-Content-Type-Options", &["nosniff"]),
    ("X-Frame-Options", &["deny", "sameorigin"]),
    ("X-XSS-Protection", &[]),
    ("Content-Security-Policy", &[]),
];

impl WebConfig {
    /// Reads the file's text; relative paths count from `dir`.
    pub fn parse(text: &str, dir: &Path) -> Result<WebConfig, ConfigError> {
        let node = crate::yaml::parse(text)?;
        let mut faults = Faults::default();
        let result = WebConfig::read(&node, dir, &mut faults);
        faults.finish(result)
    }

    fn read(node: &Node, dir: &Path, faults: &mut Faults) -> Result<WebConfig, ConfigError> {
        let mut fields = Fields::open(node, "web.Config", faults);
        let mut config = WebConfig {
            http2: true,
            ..WebConfig::default()
        };
        if let Some(tls) = fields.take("tls_server_config") {
            config.tls = TlsServerConfig::read(tls, dir, faults)?;
        }
        if let Some(http) = fields.take("http_server_config") {
            let mut inner = Fields::open(http, "web.HTTPConfig", faults);
            config.http2 = inner.bool("http2", faults).unwrap_or(true);
            if let Some(headers) = inner.take("headers") {
                config.headers = read_headers(headers, faults)?;
            }
            inner.close(faults);
        }
        if let Some(limit) = fields.take("rate_limit") {
            config.rate_limit = read_rate_limit(limit, faults)?;
        }
        for (user, hash, line) in fields.string_map("basic_auth_users", faults) {
            if user.is_empty() {
                return Err(ConfigError::at(
                    line,
                    "basic_auth_users: a user has no name",
                ));
            }
            config.users.push((user, Secret::new(hash)));
        }
        fields.close(faults);
        Ok(config)
    }
}

impl TlsServerConfig {
    fn read(
        node: &Node,
        dir: &Path,
        faults: &mut Faults,
    ) -> Result<Option<TlsServerConfig>, ConfigError> {
        let at = |message: String| ConfigError::at(node.line, message);
        let mut fields = Fields::open(node, "web.TLSConfig", faults);
        let mut text = |name| fields.string(name, faults).unwrap_or_default();
        let mut tls = TlsServerConfig {
            cert: text("cert"),
            cert_file: text("cert_file"),
            key: Secret::new(text("key")),
            key_file: text("key_file"),
            client_ca: text("client_ca"),
            client_ca_file: text("client_ca_file"),
            ..TlsServerConfig::default()
        };
        let (auth, min, max) = (
            text("client_auth_type"),
            text("min_version"),
            text("max_version"),
        );
        tls.client_allowed_sans = fields
            .strings("client_allowed_sans", faults)
            .unwrap_or_default();
        tls.cipher_suites = fields.strings("cipher_suites", faults).unwrap_or_default();
        tls.curve_preferences = fields
            .strings("curve_preferences", faults)
            .unwrap_or_default();
        fields.bool("prefer_server_cipher_suites", faults);
        fields.close(faults);
        let version = |word: &str| match word {
            "" => Ok(None),
            word => TlsVersion::parse(word)
                .map(Some)
                .ok_or_else(|| at(format!("unknown TLS version: {word}"))),
        };
        (tls.min_version, tls.max_version) = (version(&min)?, version(&max)?);
        tls.client_auth =
            ClientAuth::parse(&auth).ok_or_else(|| at(format!("invalid ClientAuth: {auth}")))?;
        for path in [
            &mut tls.cert_file,
            &mut tls.key_file,
            &mut tls.client_ca_file,
        ] {
            resolve(dir, path);
        }
        let absent = TlsServerConfig {
            client_auth: ClientAuth::None,
            ..TlsServerConfig::default()
        };
        if tls == absent {
            return Ok(None);
        }
        tls.check().map_err(at)?;
        Ok(Some(tls))
    }

    fn check(&self) -> Result<(), String> {
        let both = |a: &str, b: &str| !a.is_empty() && !b.is_empty();
        if both(&self.cert, &self.cert_file) {
            return Err("cert and cert_file are mutually exclusive".into());
        }
        if both(self.key.reveal(), &self.key_file) {
            return Err("key and key_file are mutually exclusive".into());
        }
        if both(&self.client_ca, &self.client_ca_file) {
            return Err("client_ca and client_ca_file are mutually exclusive".into());
        }
        if self.cert.is_empty() && self.cert_file.is_empty() {
            return Err("missing one of cert or cert_file".into());
        }
        if self.key.is_empty() && self.key_file.is_empty() {
            return Err("missing one of key or key_file".into());
        }
        let has_ca = !self.client_ca.is_empty() || !self.client_ca_file.is_empty();
        if has_ca && self.client_auth == ClientAuth::None {
            return Err("Client CA's have been configured without a Client Auth Policy".into());
        }
        if self.client_auth.verifies() && !has_ca {
            return Err(
                "client_auth_type asks to verify certificates: one of client_ca or client_ca_file is needed"
                    .into(),
            );
        }
        if !self.client_allowed_sans.is_empty() && !self.client_auth.verifies() {
            return Err(
                "client_allowed_sans needs a client_auth_type that verifies certificates".into(),
            );
        }
        Ok(())
    }
}

fn read_headers(node: &Node, faults: &mut Faults) -> Result<Vec<(String, String)>, ConfigError> {
    let mut headers = Vec::new();
    for (key, value) in crate::decode::pairs(node, "map[string]string", faults) {
        let text = crate::decode::text(value, "string", faults).unwrap_or_default();
        let Some((_, allowed)) = HEADERS.iter().find(|(name, _)| *name == key.name) else {
            return Err(ConfigError::at(
                key.line,
                format!("HTTP header {:?} can not be configured", key.name),
            ));
        };
        if !allowed.is_empty() && !allowed.contains(&text.to_ascii_lowercase().as_str()) {
            return Err(ConfigError::at(
                key.line,
                format!(
                    "invalid value for {}. Expected one of: [{}], but got: {text:?}",
                    key.name,
                    allowed
                        .iter()
                        .map(|word| format!("{word:?}"))
                        .collect::<Vec<_>>()
                        .join(" ")
                ),
            ));
        }
        headers.push((key.name.clone(), text));
    }
    Ok(headers)
}

fn read_rate_limit(node: &Node, faults: &mut Faults) -> Result<Option<RateLimit>, ConfigError> {
    let mut fields = Fields::open(node, "web.RateLimiterConfig", faults);
    let burst = fields.uint("burst", faults).unwrap_or(0);
    let interval = fields.string("interval", faults).unwrap_or_default();
    fields.close(faults);
    if interval.is_empty() {
        return Ok(None);
    }
    let interval_ms = model::duration::parse_go_duration(&interval)
        .map_err(|e| ConfigError::at(node.line, format!("rate_limit.interval: {e}")))?
        .as_secs_f64()
        * 1000.0;
    Ok((interval_ms > 0.0).then_some(RateLimit { interval_ms, burst }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<WebConfig, String> {
        WebConfig::parse(text, Path::new("/etc/p")).map_err(|e| e.to_string())
    }

    #[test]
    fn reads_what_the_server_has_to_do() {
        let config = parse(
            "tls_server_config: {cert_file: c.pem, key_file: /k.pem, client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.pem, client_allowed_sans: [a]}\n\
             http_server_config: {http2: false, headers: {X-Frame-Options: deny}}\nrate_limit: {interval: 500ms, burst: 3}\nbasic_auth_users: {u: $2y$10$x}\n",
        )
        .expect("loads");
        let tls = config.tls.expect("TLS");
        assert_eq!(
            (tls.cert_file.as_str(), tls.key_file.as_str()),
            ("/etc/p/c.pem", "/k.pem")
        );
        assert!(!config.http2 && config.users.len() == 1);
        assert_eq!(
            config.rate_limit,
            Some(RateLimit {
                interval_ms: 500.0,
                burst: 3
            })
        );
        let empty = parse("").expect("loads");
        assert!(empty.tls.is_none() && empty.http2);
    }

    #[test]
    fn refuses_what_upstream_refuses() {
        for (text, message) in [
            (
                "tls_server_config: {key_file: k}",
                "missing one of cert or cert_file",
            ),
            (
                "tls_server_config: {cert_file: c}",
                "missing one of key or key_file",
            ),
            (
                "tls_server_config: {cert_file: c, key_file: k, client_ca_file: a}",
                "Client CA's have been configured without a Client Auth Policy",
            ),
            (
                "tls_server_config: {cert_file: c, key_file: k, client_auth_type: x}",
                "invalid ClientAuth: x",
            ),
            (
                "tls_server_config: {cert_file: c, key_file: k, min_version: TLS9}",
                "unknown TLS version: TLS9",
            ),
            (
                "http_server_config: {headers: {X-Y: z}}",
                "can not be configured",
            ),
            (
                "http_server_config: {headers: {X-Content-Type-Options: z}}",
                "invalid value",
            ),
            ("foo: 1", "field foo not found in type web.Config"),
        ] {
            let error = parse(text).expect_err("refused");
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
