//! The HTTP client block, the same wherever something is fetched: scrapes, discovery, remote write.

use std::path::Path;

use model::labels::go_quote;

use crate::decode::{ConfigError, Faults, Fields, list, pairs, sound, text};
use crate::prometheus::resolve;
use crate::secret::Secret;
use crate::yaml::Node;

/// `http_config`, inline in most places.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpClientConfig {
    /// User and password.
    pub basic_auth: Option<BasicAuth>,
    /// An `Authorization` header.
    pub authorization: Option<Authorization>,
    /// Tokens from a token server.
    pub oauth2: Option<Oauth2>,
    /// TLS.
    pub tls: TlsConfig,
    /// Whether redirects are followed.
    pub follow_redirects: bool,
    /// Whether HTTP/2 may be spoken.
    pub enable_http2: bool,
    /// Proxies.
    pub proxy: ProxyConfig,
    /// More headers.
    pub headers: Vec<(String, HeaderValues)>,
}

impl Default for HttpClientConfig {
    fn default() -> HttpClientConfig {
        HttpClientConfig {
            basic_auth: None,
            authorization: None,
            oauth2: None,
            tls: TlsConfig::default(),
            follow_redirects: true,
            enable_http2: true,
            proxy: ProxyConfig::default(),
            headers: Vec::new(),
        }
    }
}

/// `basic_auth`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BasicAuth {
    /// The user.
    pub username: String,
    /// A file with the user.
    pub username_file: String,
    /// Its name in a secret manager.
    pub username_ref: String,
    /// The password.
    pub password: Secret,
    /// A file with the password.
    pub password_file: String,
    /// Its name in a secret manager.
    pub password_ref: String,
}

/// `authorization`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Authorization {
    /// `Bearer` or another scheme.
    pub kind: String,
    /// What follows it.
    pub credentials: Secret,
    /// A file with what follows it.
    pub credentials_file: String,
    /// Its name in a secret manager.
    pub credentials_ref: String,
}

/// `oauth2`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Oauth2 {
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: Secret,
    /// A file with its secret.
    pub client_secret_file: String,
    /// The secret's name in a secret manager.
    pub client_secret_ref: String,
    /// Asked-for scopes.
    pub scopes: Vec<String>,
    /// Where tokens come from.
    pub token_url: String,
    /// `client_credentials` (also where it is empty) or the JWT bearer grant.
    pub grant_type: String,
    /// What the JWT bearer grant needs.
    pub jwt: JwtGrant,
    /// More parameters of the token request.
    pub endpoint_params: Vec<(String, String)>,
    /// TLS towards the token server.
    pub tls: TlsConfig,
    /// Proxies towards the token server.
    pub proxy: ProxyConfig,
}

/// The fields of `oauth2` for [`Oauth2::JWT_BEARER`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JwtGrant {
    /// The private key that signs, PEM.
    pub key: Secret,
    /// A file with it.
    pub key_file: String,
    /// Its name in a secret manager.
    pub key_ref: String,
    /// Its name in the token's header.
    pub key_id: String,
    /// `RS256` (also where it is empty), `RS384` or `RS512`.
    pub algorithm: String,
    /// Who signs; the client where it is empty.
    pub issuer: String,
    /// For whom; the token server where it is empty.
    pub audience: String,
    /// More claims.
    pub claims: Vec<(String, String)>,
}

/// `tls_config`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TlsConfig {
    /// CA certificates, PEM.
    pub ca: String,
    /// A file with them.
    pub ca_file: String,
    /// Their name in a secret manager.
    pub ca_ref: String,
    /// Client certificate, PEM.
    pub cert: String,
    /// A file with it.
    pub cert_file: String,
    /// Its name in a secret manager.
    pub cert_ref: String,
    /// Client key, PEM.
    pub key: Secret,
    /// A file with it.
    pub key_file: String,
    /// Its name in a secret manager.
    pub key_ref: String,
    /// The name to verify.
    pub server_name: String,
    /// Verify nothing.
    pub insecure_skip_verify: bool,
    /// `TLS12`, ...
    pub min_version: Option<TlsVersion>,
    /// `TLS13`, ...
    pub max_version: Option<TlsVersion>,
}

/// TLS versions by upstream's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// 1.0
    Tls10,
    /// 1.1
    Tls11,
    /// 1.2
    Tls12,
    /// 1.3
    Tls13,
}

impl TlsVersion {
    const ALL: [(&'static str, TlsVersion); 4] = [
        ("TLS10", TlsVersion::Tls10),
        ("TLS11", TlsVersion::Tls11),
        ("TLS12", TlsVersion::Tls12),
        ("TLS13", TlsVersion::Tls13),
    ];

    /// Reads upstream's name.
    pub fn parse(word: &str) -> Option<TlsVersion> {
        let found = TlsVersion::ALL.iter().find(|(name, _)| *name == word);
        found.map(|(_, version)| *version)
    }

    /// Upstream's name.
    pub fn as_str(self) -> &'static str {
        TlsVersion::ALL
            .iter()
            .find(|(_, v)| *v == self)
            .map_or("", |(name, _)| name)
    }
}

/// Proxy fields.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProxyConfig {
    /// The proxy.
    pub url: String,
    /// Hosts reached without it.
    pub no_proxy: String,
    /// Take `HTTP_PROXY` and friends.
    pub from_environment: bool,
    /// Headers of the CONNECT request.
    pub connect_headers: Vec<(String, Vec<Secret>)>,
}

impl ProxyConfig {
    /// Whether no request goes through a proxy.
    pub fn is_none(&self) -> bool {
        self.url.is_empty() && !self.from_environment
    }
}

/// The values of one entry of `http_headers`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeaderValues {
    /// Plain values.
    pub values: Vec<String>,
    /// Secret values.
    pub secrets: Vec<Secret>,
    /// Files with values.
    pub files: Vec<String>,
}

/// What upstream calls a secret in messages.
const SECRET: &str = "config.plain";

/// Headers that the client itself sets.
const RESERVED_HEADERS: [&str; 18] = [
    "authorization",
    "host",
    "content-encoding",
    "content-length",
    "content-type",
    "user-agent",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "www-authenticate",
    "accept-encoding",
    "x-prometheus-remote-write-version",
    "x-prometheus-remote-read-version",
    "x-prometheus-scrape-timeout-seconds",
    "x-amz-date",
    "x-amz-security-token",
    "x-amz-content-sha256",
];

impl HttpClientConfig {
    /// Takes the block's fields out of a section's.
    pub fn take(
        fields: &mut Fields<'_>,
        faults: &mut Faults,
    ) -> Result<HttpClientConfig, ConfigError> {
        HttpClientConfig::take_with_defaults(fields, faults, HttpClientConfig::default())
    }

    /// As [`HttpClientConfig::take`] where the section's defaults differ.
    pub fn take_with_defaults(
        fields: &mut Fields<'_>,
        faults: &mut Faults,
        defaults: HttpClientConfig,
    ) -> Result<HttpClientConfig, ConfigError> {
        let mut config = defaults;
        let bearer_token = fields
            .string_of("bearer_token", SECRET, faults)
            .unwrap_or_default();
        let bearer_token_file = fields
            .string("bearer_token_file", faults)
            .unwrap_or_default();
        if let Some(node) = fields.take("basic_auth") {
            config.basic_auth = BasicAuth::read(node, faults);
        }
        if let Some(node) = fields.take("authorization") {
            config.authorization = Some(Authorization::read(node, faults));
        }
        if let Some(node) = fields.take("oauth2") {
            config.oauth2 = sound(Oauth2::read(node, faults))?;
        }
        if let Some(node) = fields.take("tls_config") {
            config.tls = sound(TlsConfig::read(node, faults))?.unwrap_or_default();
        }
        if let Some(follow) = fields.bool("follow_redirects", faults) {
            config.follow_redirects = follow;
        }
        if let Some(http2) = fields.bool("enable_http2", faults) {
            config.enable_http2 = http2;
        }
        config.proxy = ProxyConfig::take(fields, faults)?;
        let headers = match fields.take("http_headers") {
            Some(node) => read_headers(node, faults),
            None => Ok(Vec::new()),
        };
        if fields.is_sound(faults) {
            let at = |message: &str| ConfigError::at(fields.line, message);
            config
                .check_auth(bearer_token, bearer_token_file)
                .and_then(|()| config.proxy.check())
                .map_err(at)?;
            config.headers = headers?;
        }
        Ok(config)
    }

    /// Refuses several authentications at once; a bearer token becomes an authorization.
    fn check_auth(&mut self, token: String, token_file: String) -> Result<(), &'static str> {
        let (has_basic, has_oauth2) = (self.basic_auth.is_some(), self.oauth2.is_some());
        let has_bearer = !token.is_empty() || !token_file.is_empty();
        if !token.is_empty() && !token_file.is_empty() {
            return Err("at most one of bearer_token & bearer_token_file must be configured");
        }
        if has_bearer && (has_basic || has_oauth2) {
            return Err(
                "at most one of basic_auth, oauth2, bearer_token & bearer_token_file must be configured",
            );
        }
        if let Some(basic) = &self.basic_auth {
            basic.check()?;
        }
        match &mut self.authorization {
            Some(_) if has_bearer => {
                return Err(
                    "authorization is not compatible with bearer_token & bearer_token_file",
                );
            }
            Some(authorization) => {
                authorization.check()?;
                if has_basic || has_oauth2 {
                    return Err(
                        "at most one of basic_auth, oauth2 & authorization must be configured",
                    );
                }
            }
            None if has_bearer => {
                self.authorization = Some(Authorization {
                    kind: "Bearer".into(),
                    credentials: Secret::new(token),
                    credentials_file: token_file,
                    ..Authorization::default()
                });
            }
            None => {}
        }
        if let Some(oauth2) = &self.oauth2 {
            if has_basic {
                return Err("at most one of basic_auth, oauth2 & authorization must be configured");
            }
            oauth2.check()?;
        }
        Ok(())
    }
}

impl Authorization {
    fn read(node: &Node, faults: &mut Faults) -> Authorization {
        let mut inner = Fields::open(node, "config.Authorization", faults);
        let mut text = |name| inner.string(name, faults).unwrap_or_default();
        let authorization = Authorization {
            kind: text("type").trim().to_string(),
            credentials: Secret::new(text("credentials")),
            credentials_file: text("credentials_file"),
            credentials_ref: text("credentials_ref"),
        };
        inner.close(faults);
        authorization
    }

    fn check(&mut self) -> Result<(), &'static str> {
        let credentials = self.credentials.reveal();
        if several([credentials, &self.credentials_file, &self.credentials_ref]) {
            return Err(
                "at most one of authorization credentials & credentials_file must be configured",
            );
        }
        if self.kind.is_empty() {
            self.kind = "Bearer".into();
        }
        if self.kind.eq_ignore_ascii_case("basic") {
            return Err(
                "authorization type cannot be set to \"basic\", use \"basic_auth\" instead",
            );
        }
        Ok(())
    }
}

impl HttpClientConfig {
    /// Makes relative paths count from `dir`.
    pub(crate) fn resolve_paths(&mut self, dir: &Path) {
        self.tls.resolve_paths(dir);
        if let Some(auth) = &mut self.basic_auth {
            resolve(dir, &mut auth.username_file);
            resolve(dir, &mut auth.password_file);
        }
        if let Some(authorization) = &mut self.authorization {
            resolve(dir, &mut authorization.credentials_file);
        }
        if let Some(oauth2) = &mut self.oauth2 {
            resolve(dir, &mut oauth2.client_secret_file);
            resolve(dir, &mut oauth2.jwt.key_file);
            oauth2.tls.resolve_paths(dir);
        }
        for (_, values) in &mut self.headers {
            values.files.iter_mut().for_each(|path| resolve(dir, path));
        }
    }
}

/// Whether more than one of the ways to give a secret is taken.
fn several(given: [&str; 3]) -> bool {
    given.iter().filter(|text| !text.is_empty()).count() > 1
}

impl HttpClientConfig {
    /// The first secret that is to come from a secret manager: what it is for.
    pub fn referred_secret(&self) -> Option<&'static str> {
        let none = Oauth2::default();
        let (basic, oauth2) = (
            self.basic_auth.as_ref(),
            self.oauth2.as_ref().unwrap_or(&none),
        );
        let basic = |field: fn(&BasicAuth) -> &String| basic.map_or("", |auth| field(auth));
        let credentials = self.authorization.as_ref().map(|a| &*a.credentials_ref);
        let references = [
            ("CA certificate", &*self.tls.ca_ref),
            ("client certificate", &self.tls.cert_ref),
            ("client key", &self.tls.key_ref),
            ("credentials", credentials.unwrap_or("")),
            ("username", basic(|auth| &auth.username_ref)),
            ("password", basic(|auth| &auth.password_ref)),
            ("client secret", &oauth2.client_secret_ref),
            ("client certificate key", &oauth2.jwt.key_ref),
            ("CA certificate", &oauth2.tls.ca_ref),
            ("client certificate", &oauth2.tls.cert_ref),
            ("client key", &oauth2.tls.key_ref),
        ];
        let mut taken = references.into_iter().filter(|(_, name)| !name.is_empty());
        taken.next().map(|(what, _)| what)
    }
}

impl BasicAuth {
    fn read(node: &Node, faults: &mut Faults) -> Option<BasicAuth> {
        let mut fields = Fields::open(node, "config.plain", faults);
        let mut text = |name| fields.string(name, faults).unwrap_or_default();
        let auth = BasicAuth {
            username: text("username"),
            username_file: text("username_file"),
            username_ref: text("username_ref"),
            password: Secret::new(text("password")),
            password_file: text("password_file"),
            password_ref: text("password_ref"),
        };
        fields.close(faults).then_some(auth)
    }

    fn check(&self) -> Result<(), &'static str> {
        if several([&self.username, &self.username_file, &self.username_ref]) {
            return Err(
                "at most one of basic_auth username, username_file & username_ref must be configured",
            );
        }
        let password = self.password.reveal();
        if several([password, &self.password_file, &self.password_ref]) {
            return Err(
                "at most one of basic_auth password, password_file & password_ref must be configured",
            );
        }
        Ok(())
    }
}

impl Oauth2 {
    /// The grant in which a signed token stands for the client's secret.
    pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";

    fn read(node: &Node, faults: &mut Faults) -> Result<Oauth2, ConfigError> {
        let mut fields = Fields::open(node, "config.plain", faults);
        let mut oauth2 = Oauth2 {
            client_id: fields.string("client_id", faults).unwrap_or_default(),
            client_secret: Secret::new(fields.string("client_secret", faults).unwrap_or_default()),
            client_secret_file: fields
                .string("client_secret_file", faults)
                .unwrap_or_default(),
            client_secret_ref: fields
                .string("client_secret_ref", faults)
                .unwrap_or_default(),
            scopes: fields.strings("scopes", faults).unwrap_or_default(),
            token_url: fields.string("token_url", faults).unwrap_or_default(),
            grant_type: fields.string("grant_type", faults).unwrap_or_default(),
            jwt: JwtGrant::take(&mut fields, faults),
            ..Oauth2::default()
        };
        oauth2.endpoint_params = fields
            .string_map("endpoint_params", faults)
            .into_iter()
            .map(|(name, value, _)| (name, value))
            .collect();
        if let Some(tls) = fields.take("tls_config") {
            oauth2.tls = sound(TlsConfig::read(tls, faults))?.unwrap_or_default();
        }
        oauth2.proxy = ProxyConfig::take(&mut fields, faults)?;
        fields.close_sound(faults)?;
        oauth2
            .proxy
            .check()
            .map_err(|message| ConfigError::at(node.line, message))?;
        Ok(oauth2)
    }

    fn check(&self) -> Result<(), &'static str> {
        if self.client_id.is_empty() {
            return Err("oauth2 client_id must be configured");
        }
        if self.token_url.is_empty() {
            return Err("oauth2 token_url must be configured");
        }
        let jwt = &self.jwt;
        if self.grant_type == Oauth2::JWT_BEARER {
            if several([jwt.key.reveal(), &jwt.key_file, &jwt.key_ref]) {
                return Err(
                    "at most one of oauth2 client_certificate_key, client_certificate_key_file & client_certificate_key_ref must be configured using grant-type=urn:ietf:params:oauth:grant-type:jwt-bearer",
                );
            }
            if !["", "RS256", "RS384", "RS512"].contains(&jwt.algorithm.as_str()) {
                return Err("valid signature algorithms are RS256, RS384 and RS512");
            }
        } else if several([
            self.client_secret.reveal(),
            &self.client_secret_file,
            &self.client_secret_ref,
        ]) {
            return Err(
                "at most one of oauth2 client_secret, client_secret_file & client_secret_ref must be configured using grant-type=client_credentials",
            );
        }
        Ok(())
    }
}

impl JwtGrant {
    fn take(fields: &mut Fields<'_>, faults: &mut Faults) -> JwtGrant {
        let mut text = |name| fields.string(name, faults).unwrap_or_default();
        let mut jwt = JwtGrant {
            key: Secret::new(text("client_certificate_key")),
            key_file: text("client_certificate_key_file"),
            key_ref: text("client_certificate_key_ref"),
            key_id: text("client_certificate_key_id"),
            algorithm: text("signature_algorithm"),
            issuer: text("iss"),
            audience: text("audience"),
            claims: Vec::new(),
        };
        jwt.claims = fields
            .string_map("claims", faults)
            .into_iter()
            .map(|(name, value, _)| (name, value))
            .collect();
        jwt
    }
}

impl TlsConfig {
    fn resolve_paths(&mut self, dir: &Path) {
        for path in [&mut self.ca_file, &mut self.cert_file, &mut self.key_file] {
            resolve(dir, path);
        }
    }

    /// Reads a `tls_config` section.
    pub fn read(node: &Node, faults: &mut Faults) -> Result<TlsConfig, ConfigError> {
        let mut fields = Fields::open(node, "config.plain", faults);
        let mut text = |name| fields.string(name, faults).unwrap_or_default();
        let mut tls = TlsConfig {
            ca: text("ca"),
            ca_file: text("ca_file"),
            ca_ref: text("ca_ref"),
            cert: text("cert"),
            cert_file: text("cert_file"),
            cert_ref: text("cert_ref"),
            key: Secret::new(text("key")),
            key_file: text("key_file"),
            key_ref: text("key_ref"),
            server_name: text("server_name"),
            ..TlsConfig::default()
        };
        let versions = [text("min_version"), text("max_version")];
        tls.insecure_skip_verify = fields.bool("insecure_skip_verify", faults).unwrap_or(false);
        fields.close_sound(faults)?;
        let refuse = |message: &str| Err(ConfigError::at(node.line, message));
        let [min, max] = versions.map(|word| {
            if word.is_empty() {
                return Ok(None);
            }
            TlsVersion::parse(&word)
                .map(Some)
                .ok_or_else(|| ConfigError::at(node.line, format!("unknown TLS version: {word}")))
        });
        (tls.min_version, tls.max_version) = (min?, max?);
        if several([&tls.ca, &tls.ca_file, &tls.ca_ref]) {
            return refuse("at most one of ca, ca_file & ca_ref must be configured");
        }
        if several([&tls.cert, &tls.cert_file, &tls.cert_ref]) {
            return refuse("at most one of cert, cert_file & cert_ref must be configured");
        }
        if several([tls.key.reveal(), &tls.key_file, &tls.key_ref]) {
            return refuse("at most one of key and key_file must be configured");
        }
        let has_cert = [&tls.cert, &tls.cert_file, &tls.cert_ref]
            .iter()
            .any(|text| !text.is_empty());
        let has_key = !tls.key.is_empty() || !tls.key_file.is_empty() || !tls.key_ref.is_empty();
        if has_cert && !has_key {
            return refuse(
                "exactly one of key or key_file must be configured when a client certificate is configured",
            );
        }
        if has_key && !has_cert {
            return refuse(
                "exactly one of cert or cert_file must be configured when a client key is configured",
            );
        }
        if let (Some(min), Some(max)) = (tls.min_version, tls.max_version)
            && max < min
        {
            return refuse(
                "tls_config.max_version must be greater than or equal to tls_config.min_version if both are specified",
            );
        }
        Ok(tls)
    }
}

impl ProxyConfig {
    fn take(fields: &mut Fields<'_>, faults: &mut Faults) -> Result<ProxyConfig, ConfigError> {
        let line = fields.line;
        let mut proxy = ProxyConfig {
            url: fields.string("proxy_url", faults).unwrap_or_default(),
            no_proxy: fields.string("no_proxy", faults).unwrap_or_default(),
            from_environment: fields
                .bool("proxy_from_environment", faults)
                .unwrap_or(false),
            connect_headers: Vec::new(),
        };
        if let Some(node) = fields.take("proxy_connect_header") {
            for (key, values) in pairs(node, "config.ProxyHeader", faults) {
                let values = list(values, "[]config.Secret", faults)
                    .into_iter()
                    .filter_map(|value| text(value, SECRET, faults).map(Secret::new))
                    .collect();
                proxy.connect_headers.push((key.name.clone(), values));
            }
        }
        crate::url::check(&proxy.url).map_err(|e| ConfigError::at(line, e))?;
        Ok(proxy)
    }

    fn check(&self) -> Result<(), &'static str> {
        if !self.connect_headers.is_empty() && !self.from_environment && self.url.is_empty() {
            return Err(
                "if proxy_connect_header is configured, proxy_url or proxy_from_environment must also be configured",
            );
        }
        if self.from_environment && !self.url.is_empty() {
            return Err(
                "if proxy_from_environment is configured, proxy_url must not be configured",
            );
        }
        if self.from_environment && !self.no_proxy.is_empty() {
            return Err("if proxy_from_environment is configured, no_proxy must not be configured");
        }
        if self.url.is_empty() && !self.no_proxy.is_empty() {
            return Err("if no_proxy is configured, proxy_url must also be configured");
        }
        Ok(())
    }
}

fn read_headers(
    node: &Node,
    faults: &mut Faults,
) -> Result<Vec<(String, HeaderValues)>, ConfigError> {
    let mut headers = Vec::new();
    let mut reserved = None;
    for (key, value) in pairs(node, "config.Headers", faults) {
        let lower = key.name.to_ascii_lowercase();
        if RESERVED_HEADERS.contains(&lower.as_str()) {
            reserved.get_or_insert(ConfigError::at(
                key.line,
                format!(
                    "setting header {} is not allowed",
                    go_quote(&canonical_header(&lower))
                ),
            ));
        }
        let mut fields = Fields::open(value, "config.Header", faults);
        let values = HeaderValues {
            values: fields.strings("values", faults).unwrap_or_default(),
            secrets: fields
                .strings_of("secrets", "[]config.Secret", SECRET, faults)
                .unwrap_or_default()
                .into_iter()
                .map(Secret::new)
                .collect(),
            files: fields.strings("files", faults).unwrap_or_default(),
        };
        fields.close(faults);
        headers.push((key.name.clone(), values));
    }
    match reserved {
        Some(error) => Err(error),
        None => Ok(headers),
    }
}

/// A header's name as it is usually written: `X-Amz-Date`.
fn canonical_header(lower: &str) -> String {
    let parts = lower.split('-').map(|part| {
        let mut letters = part.chars();
        let first = letters.next().map(|c| c.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    parts.collect::<Vec<_>>().join("-")
}
