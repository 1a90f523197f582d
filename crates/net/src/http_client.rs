//! HTTP requests as an `http_config` block asks for them: authentication, TLS, proxies, redirects.
//!
//! Connections are kept and reused. Files with credentials are read at every request, so that rotated ones take effect.

use std::time::Duration;

use configfile::http_client::{HttpClientConfig, TlsConfig, TlsVersion};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use thiserror::Error;

/// Why a client could not be built or a request not be prepared.
#[derive(Debug, Error)]
pub enum ClientError {
    /// A file that the configuration names cannot be used.
    #[error("unable to read {what} {path}: {source}")]
    File {
        /// What is in the file.
        what: &'static str,
        /// Where it is.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// Something in the configuration cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The library refuses.
    #[error(transparent)]
    Library(#[from] reqwest::Error),
}

/// An answer, and what goes wrong on the way to a server and back.
pub use reqwest::{Error as TransportError, Response};

/// A client for one `http_config`.
#[derive(Clone, Debug)]
pub struct HttpClient {
    client: reqwest::Client,
    config: HttpClientConfig,
}

impl HttpClient {
    /// Builds the client; TLS files are read now.
    pub fn new(config: &HttpClientConfig, user_agent: &str) -> Result<HttpClient, ClientError> {
        // Several parts in one process build clients; whoever comes first installs the one provider there is.
        let _ = rustls::crypto::ring::default_provider().install_default();
        if config.oauth2.is_some() {
            return Err(ClientError::Invalid(
                "oauth2: this build cannot fetch tokens yet".into(),
            ));
        }
        let mut builder = reqwest::Client::builder()
            .user_agent(user_agent)
            .pool_idle_timeout(Duration::from_secs(300))
            .pool_max_idle_per_host(1000)
            .tcp_nodelay(true);
        builder = if config.follow_redirects {
            builder.redirect(reqwest::redirect::Policy::limited(10))
        } else {
            builder.redirect(reqwest::redirect::Policy::none())
        };
        if !config.enable_http2 {
            builder = builder.http1_only();
        }
        builder = proxies(builder, config)?;
        builder = tls(builder, &config.tls)?;
        Ok(HttpClient {
            client: builder.build()?,
            config: config.clone(),
        })
    }

    /// A GET request with everything the configuration adds to it.
    pub fn get(&self, url: &str) -> Result<reqwest::RequestBuilder, ClientError> {
        Ok(self.client.get(url).headers(self.headers()?))
    }

    /// A POST request with everything the configuration adds to it.
    pub fn post(&self, url: &str) -> Result<reqwest::RequestBuilder, ClientError> {
        Ok(self.client.post(url).headers(self.headers()?))
    }

    fn headers(&self) -> Result<HeaderMap, ClientError> {
        let mut headers = HeaderMap::new();
        if let Some(auth) = &self.config.basic_auth {
            let username = or_file(&auth.username, &auth.username_file, "basic auth username")?;
            let password = or_file(
                auth.password.reveal(),
                &auth.password_file,
                "basic auth password",
            )?;
            let value = format!(
                "Basic {}",
                base64(format!("{username}:{password}").as_bytes())
            );
            headers.insert(AUTHORIZATION, secret_value(&value)?);
        }
        if let Some(authorization) = &self.config.authorization {
            let credentials = or_file(
                authorization.credentials.reveal(),
                &authorization.credentials_file,
                "authorization credentials",
            )?;
            let value = format!("{} {credentials}", authorization.kind);
            headers.insert(AUTHORIZATION, secret_value(value.trim_end())?);
        }
        for (name, values) in &self.config.headers {
            let name = HeaderName::from_bytes(name.as_bytes())
                .map_err(|_| ClientError::Invalid(format!("invalid header name {name:?}")))?;
            for value in &values.values {
                headers.append(&name, secret_value(value)?);
            }
            for secret in &values.secrets {
                headers.append(&name, secret_value(secret.reveal())?);
            }
            for path in &values.files {
                headers.append(&name, secret_value(&read_trimmed(path, "header")?)?);
            }
        }
        Ok(headers)
    }
}

fn secret_value(text: &str) -> Result<HeaderValue, ClientError> {
    // The text itself must not be in the error: it may be a secret.
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        ClientError::Invalid("a header value has characters that no header may have".into())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

fn or_file(text: &str, path: &str, what: &'static str) -> Result<String, ClientError> {
    if path.is_empty() {
        Ok(text.to_string())
    } else {
        read_trimmed(path, what)
    }
}

fn read_trimmed(path: &str, what: &'static str) -> Result<String, ClientError> {
    std::fs::read_to_string(path)
        .map(|text| text.trim().to_string())
        .map_err(|source| ClientError::File {
            what,
            path: path.to_string(),
            source,
        })
}

fn proxies(
    builder: reqwest::ClientBuilder,
    config: &HttpClientConfig,
) -> Result<reqwest::ClientBuilder, ClientError> {
    let proxy = &config.proxy;
    if proxy.from_environment {
        let read = |names: [&str; 2]| names.iter().find_map(|name| std::env::var(name).ok());
        let mut builder = builder.no_proxy();
        let exceptions = reqwest::NoProxy::from_env();
        if let Some(url) = read(["HTTP_PROXY", "http_proxy"]) {
            builder = builder.proxy(reqwest::Proxy::http(url)?.no_proxy(exceptions.clone()));
        }
        if let Some(url) = read(["HTTPS_PROXY", "https_proxy"]) {
            builder = builder.proxy(reqwest::Proxy::https(url)?.no_proxy(exceptions));
        }
        return Ok(builder);
    }
    if proxy.url.is_empty() {
        return Ok(builder.no_proxy());
    }
    let exceptions = reqwest::NoProxy::from_string(&proxy.no_proxy);
    let mut through = reqwest::Proxy::all(&proxy.url)?.no_proxy(exceptions);
    let mut headers = HeaderMap::new();
    for (name, values) in &proxy.connect_headers {
        let name = HeaderName::from_bytes(name.as_bytes())
            .map_err(|_| ClientError::Invalid(format!("invalid header name {name:?}")))?;
        for value in values {
            headers.append(&name, secret_value(value.reveal())?);
        }
    }
    if !headers.is_empty() {
        through = through.headers(headers);
    }
    Ok(builder.proxy(through))
}

fn tls(
    mut builder: reqwest::ClientBuilder,
    tls: &TlsConfig,
) -> Result<reqwest::ClientBuilder, ClientError> {
    let pem = |text: &str, path: &str, what| -> Result<Option<Vec<u8>>, ClientError> {
        if !text.is_empty() {
            return Ok(Some(text.as_bytes().to_vec()));
        }
        if path.is_empty() {
            return Ok(None);
        }
        std::fs::read(path)
            .map(Some)
            .map_err(|source| ClientError::File {
                what,
                path: path.to_string(),
                source,
            })
    };
    if let Some(ca) = pem(&tls.ca, &tls.ca_file, "CA certificate")? {
        let certificates = reqwest::Certificate::from_pem_bundle(&ca)?;
        if certificates.is_empty() {
            return Err(ClientError::Invalid(format!(
                "unable to use specified CA cert {}: no certificate in it",
                if tls.ca_file.is_empty() {
                    "from inline"
                } else {
                    &tls.ca_file
                }
            )));
        }
        builder = builder.tls_certs_only(certificates);
    }
    if let (Some(cert), Some(key)) = (
        pem(&tls.cert, &tls.cert_file, "client certificate")?,
        pem(tls.key.reveal(), &tls.key_file, "client key")?,
    ) {
        let both = [key, b"\n".to_vec(), cert].concat();
        builder = builder.identity(reqwest::Identity::from_pem(&both)?);
    }
    if !tls.server_name.is_empty() {
        return Err(ClientError::Invalid(
            "tls_config.server_name: this build cannot verify another name than the URL's yet"
                .into(),
        ));
    }
    let version = |version: TlsVersion| match version {
        TlsVersion::Tls10 | TlsVersion::Tls11 | TlsVersion::Tls12 => reqwest::tls::Version::TLS_1_2,
        TlsVersion::Tls13 => reqwest::tls::Version::TLS_1_3,
    };
    if let Some(min) = tls.min_version {
        builder = builder.tls_version_min(version(min));
    }
    if let Some(max) = tls.max_version {
        builder = builder.tls_version_max(version(max));
    }
    if tls.insecure_skip_verify {
        builder = builder.tls_danger_accept_invalid_certs(true);
    }
    Ok(builder)
}

/// Standard base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for group in bytes.chunks(3) {
        let bits = group
            .iter()
            .fold(0u32, |bits, byte| bits << 8 | u32::from(*byte))
            << (8 * (3 - group.len()));
        for digit in 0..4 {
            let value = (bits >> (18 - 6 * digit)) & 63;
            out.push(if digit <= group.len() {
                char::from(DIGITS[value as usize])
            } else {
                '='
            });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use configfile::Secret;
    use configfile::http_client::{Authorization, BasicAuth};

    #[test]
    fn base64_pads() {
        assert_eq!(base64(b""), "");
        assert_eq!(base64(b"f"), "Zg==");
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(base64(b"foobar"), "Zm9vYmFy");
    }

    #[test]
    fn adds_what_the_configuration_says_and_hides_it() {
        let config = HttpClientConfig {
            basic_auth: Some(BasicAuth {
                username: "u".into(),
                password: Secret::new("p"),
                ..BasicAuth::default()
            }),
            ..HttpClientConfig::default()
        };
        let client = HttpClient::new(&config, "test").expect("builds");
        let request = client
            .get("http://localhost/")
            .expect("prepared")
            .build()
            .expect("built");
        assert_eq!(request.headers()[AUTHORIZATION], "Basic dTpw");
        assert!(!format!("{:?}", request.headers()).contains("dTpw"));
    }

    #[test]
    fn a_missing_file_is_named() {
        let config = HttpClientConfig {
            authorization: Some(Authorization {
                kind: "Bearer".into(),
                credentials_file: "no/such/token".into(),
                ..Authorization::default()
            }),
            ..HttpClientConfig::default()
        };
        let client = HttpClient::new(&config, "test").expect("builds");
        let error = client
            .get("http://localhost/")
            .expect_err("no file")
            .to_string();
        assert!(
            error.starts_with("unable to read authorization credentials no/such/token: "),
            "{error}"
        );
    }
}
