//! HTTP requests as an `http_config` block asks for them: authentication, TLS, proxies, redirects.
//!
//! Connections are kept and reused. Files with credentials are read at every request, so that rotated ones take effect.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use configfile::http_client::HttpClientConfig;
use hyper::ext::ReasonPhrase;
use parking_lot::Mutex;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use thiserror::Error;

use crate::client_tls::{Material, client_config, server_name};
use crate::dials::Dials;
use crate::direct::{Direct, DirectAnswer};
use crate::oauth2::TokenSource;

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
pub use reqwest::{Error as TransportError, Request, RequestBuilder, Response};

/// Why [`HttpClient::fetch`] has no answer, or not the whole of it.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The request could not be prepared.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The library's client failed.
    #[error(transparent)]
    Transport(TransportError),
    /// The same for an address that a redirection led to.
    #[error("{error}")]
    Redirected {
        /// The last address.
        url: String,
        /// What went wrong there.
        #[source]
        error: TransportError,
    },
    /// A connection of our own failed.
    #[error(transparent)]
    Direct(Box<dyn std::error::Error + Send + Sync>),
}

/// An answer to [`HttpClient::fetch`], its body to be read chunk by chunk.
pub struct Fetched(Way);

enum Way {
    Direct(DirectAnswer),
    Library(Response),
}

impl Fetched {
    /// The answer's status.
    pub fn status(&self) -> http::StatusCode {
        match &self.0 {
            Way::Direct(answer) => answer.head().0,
            Way::Library(answer) => answer.status(),
        }
    }

    /// The words after the status, as the server says them.
    pub fn reason(&self) -> String {
        let said = match &self.0 {
            Way::Direct(answer) => answer.said(),
            Way::Library(answer) => answer.extensions().get::<ReasonPhrase>(),
        };
        match said {
            Some(said) => String::from_utf8_lossy(said.as_bytes()).into_owned(),
            None => self.status().canonical_reason().unwrap_or("").to_string(),
        }
    }

    /// A header's value, empty when it is absent or no text.
    pub fn header(&self, name: &str) -> &str {
        let headers = match &self.0 {
            Way::Direct(answer) => answer.head().1,
            Way::Library(answer) => answer.headers(),
        };
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or("")
    }

    /// The next part of the body; none at its end.
    pub async fn chunk(&mut self) -> Result<Option<bytes::Bytes>, FetchError> {
        match &mut self.0 {
            Way::Direct(answer) => answer.chunk().await.map_err(FetchError::Direct),
            Way::Library(answer) => answer.chunk().await.map_err(without_url),
        }
    }
}

/// The URL is for whoever tells of the error to name.
fn without_url(error: TransportError) -> FetchError {
    FetchError::Transport(error.without_url())
}

/// A client for one `http_config`. Clones share connections and tokens.
#[derive(Clone)]
pub struct HttpClient(Arc<Inner>);

struct Inner {
    config: HttpClientConfig,
    user_agent: HeaderValue,
    dials: Dials,
    transport: Mutex<Transport>,
    tokens: Option<TokenSource>,
}

/// Connections with the TLS files they were made with: new files need new connections.
struct Transport {
    material: Material,
    client: reqwest::Client,
    /// For requests that need nothing of the library; none where there may be a proxy on the way.
    direct: Option<Arc<Direct>>,
}

impl std::fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("HttpClient").field(&self.0.config).finish()
    }
}

impl HttpClient {
    /// Builds the client; TLS files are read now, and looked at again for each request.
    pub fn new(config: &HttpClientConfig, user_agent: &str) -> Result<HttpClient, ClientError> {
        HttpClient::counted(config, user_agent, &Dials::default())
    }

    /// The same with its connections counted.
    pub fn counted(
        config: &HttpClientConfig,
        user_agent: &str,
        dials: &Dials,
    ) -> Result<HttpClient, ClientError> {
        if let Some(what) = config.referred_secret() {
            // As upstream's server, which has none either.
            return Err(ClientError::Invalid(format!(
                "unable to use {what}: cannot use secret ref without manager"
            )));
        }
        // Several parts in one process build clients; whoever comes first installs the one provider there is.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let material = Material::read(&config.tls)?;
        let transport = Transport::new(config, user_agent, material, dials)?;
        let tokens = match &config.oauth2 {
            Some(oauth2) => Some(TokenSource::new(oauth2, user_agent)?),
            None => None,
        };
        Ok(HttpClient(Arc::new(Inner {
            config: config.clone(),
            user_agent: HeaderValue::from_str(user_agent)
                .map_err(|_| ClientError::Invalid("the user agent is no header value".into()))?,
            dials: dials.clone(),
            transport: Mutex::new(transport),
            tokens,
        })))
    }

    /// A GET request with everything the configuration adds to it.
    pub async fn get(&self, url: &str) -> Result<reqwest::RequestBuilder, ClientError> {
        Ok(self.client()?.get(url).headers(self.headers().await?))
    }

    /// The answer to a GET request with `headers` and everything the configuration adds to them. The way of those who
    /// ask the same addresses again and again: straight, if nothing on the way needs more.
    pub async fn fetch(&self, url: &str, mut headers: HeaderMap) -> Result<Fetched, FetchError> {
        self.add_headers(&mut headers).await?;
        if let Some(direct) = self.current(|transport| transport.direct.clone())?
            && let Ok(uri) = url.parse()
            && Direct::takes(&uri)
        {
            headers.insert(USER_AGENT, self.0.user_agent.clone());
            let answer = direct.get(&uri, &headers).await;
            let answer = answer.map_err(FetchError::Direct)?;
            let elsewhere = answer.head().0.is_redirection() && self.0.config.follow_redirects;
            if !elsewhere {
                return Ok(Fetched(Way::Direct(answer)));
            }
        }
        let request = self.client()?.get(url).headers(headers).build();
        let request = request.map_err(without_url)?;
        let first = request.url().clone();
        let answer = self.client()?.execute(request).await;
        let answer = answer.map_err(|error| match error.url() {
            Some(last) if *last != first => FetchError::Redirected {
                url: last.to_string(),
                error: error.without_url(),
            },
            _ => without_url(error),
        })?;
        Ok(Fetched(Way::Library(answer)))
    }

    /// A POST request with everything the configuration adds to it.
    pub async fn post(&self, url: &str) -> Result<reqwest::RequestBuilder, ClientError> {
        Ok(self.client()?.post(url).headers(self.headers().await?))
    }

    /// A request of any method with everything the configuration adds to it.
    pub async fn request(
        &self,
        method: http::Method,
        url: &str,
    ) -> Result<RequestBuilder, ClientError> {
        let request = self.client()?.request(method, url);
        Ok(request.headers(self.headers().await?))
    }

    /// A POST request without authentication or headers of the configuration.
    pub(crate) fn plain_post(&self, url: &str) -> Result<reqwest::RequestBuilder, ClientError> {
        Ok(self.client()?.post(url))
    }

    fn client(&self) -> Result<reqwest::Client, ClientError> {
        self.current(|transport| transport.client.clone())
    }

    /// What `of` takes of the connections that go with the TLS files as they are now.
    fn current<T>(&self, of: impl Fn(&Transport) -> T) -> Result<T, ClientError> {
        let inner = &self.0;
        let material = Material::read(&inner.config.tls)?;
        let mut transport = inner.transport.lock();
        if transport.material != material {
            let user_agent = inner.user_agent.to_str().unwrap_or("");
            *transport = Transport::new(&inner.config, user_agent, material, &inner.dials)?;
        }
        Ok(of(&transport))
    }

    async fn headers(&self) -> Result<HeaderMap, ClientError> {
        let mut headers = HeaderMap::new();
        self.add_headers(&mut headers).await?;
        Ok(headers)
    }

    async fn add_headers(&self, headers: &mut HeaderMap) -> Result<(), ClientError> {
        self.add_fixed_headers(headers)?;
        if let Some(tokens) = &self.0.tokens
            && !headers.contains_key(AUTHORIZATION)
        {
            let authorization = tokens.authorization().await?;
            headers.insert(AUTHORIZATION, secret_value(authorization.reveal())?);
        }
        Ok(())
    }

    fn add_fixed_headers(&self, headers: &mut HeaderMap) -> Result<(), ClientError> {
        let config = &self.0.config;
        if let Some(auth) = &config.basic_auth {
            let username = read_secret(&auth.username, &auth.username_file, "basic auth username")?;
            let password = read_secret(
                auth.password.reveal(),
                &auth.password_file,
                "basic auth password",
            )?;
            let both =
                base64::engine::general_purpose::STANDARD.encode(format!("{username}:{password}"));
            let value = format!("Basic {both}");
            headers.insert(AUTHORIZATION, secret_value(&value)?);
        }
        if let Some(authorization) = &config.authorization {
            let credentials = read_secret(
                authorization.credentials.reveal(),
                &authorization.credentials_file,
                "authorization credentials",
            )?;
            let value = format!("{} {credentials}", authorization.kind);
            headers.insert(AUTHORIZATION, secret_value(value.trim_end())?);
        }
        for (name, values) in &config.headers {
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
        Ok(())
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

/// A text, or the trimmed content of the file that stands for it.
pub(crate) fn read_secret(
    text: &str,
    path: &str,
    what: &'static str,
) -> Result<String, ClientError> {
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

impl Transport {
    fn new(
        config: &HttpClientConfig,
        user_agent: &str,
        material: Material,
        dials: &Dials,
    ) -> Result<Transport, ClientError> {
        let mut tls = client_config(&config.tls, &material, config.enable_http2)?;
        let client = library_client(config, user_agent, tls.clone(), dials)?;
        let server_name = server_name(&config.tls)?;
        let direct = config.proxy.is_none().then(|| {
            tls.alpn_protocols.clear();
            Arc::new(Direct::new(tls, server_name, dials))
        });
        Ok(Transport {
            material,
            client,
            direct,
        })
    }
}

fn library_client(
    config: &HttpClientConfig,
    user_agent: &str,
    tls: rustls::ClientConfig,
    dials: &Dials,
) -> Result<reqwest::Client, ClientError> {
    let mut builder = reqwest::Client::builder()
        .connector_layer(dials.clone())
        .user_agent(user_agent)
        .pool_idle_timeout(Duration::from_secs(300))
        .pool_max_idle_per_host(1000)
        .tcp_nodelay(true)
        .tls_backend_preconfigured(tls)
        .redirect(redirects(config));
    if !config.enable_http2 {
        builder = builder.http1_only();
    }
    Ok(proxies(builder, config)?.build()?)
}

/// The library takes known credentials off a request that is sent on to another host, not configured headers: with such,
/// only the same host and those below it are followed to.
fn redirects(config: &HttpClientConfig) -> reqwest::redirect::Policy {
    use reqwest::redirect::Policy;
    if !config.follow_redirects {
        return Policy::none();
    }
    if config.headers.is_empty() {
        return Policy::limited(10);
    }
    Policy::custom(|attempt| {
        if attempt.previous().len() > 10 {
            return attempt.error("too many redirects");
        }
        let first = attempt.previous().first().and_then(|url| url.host_str());
        let host = attempt.url().host_str();
        let below = |host: &str, first: &str| {
            host == first || host.strip_suffix(first).is_some_and(|h| h.ends_with('.'))
        };
        match (host, first) {
            (Some(host), Some(first)) if below(host, first) => attempt.follow(),
            _ => attempt.stop(),
        }
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

#[cfg(test)]
mod tests {
    use super::*;
    use configfile::Secret;
    use configfile::http_client::{Authorization, BasicAuth};

    #[tokio::test]
    async fn adds_what_the_configuration_says_and_hides_it() {
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
            .await
            .expect("prepared")
            .build()
            .expect("built");
        assert_eq!(request.headers()[AUTHORIZATION], "Basic dTpw");
        assert!(!format!("{:?}", request.headers()).contains("dTpw"));
    }

    #[test]
    fn there_is_no_secret_manager() {
        let config = HttpClientConfig {
            basic_auth: Some(BasicAuth {
                password_ref: "vault".into(),
                ..BasicAuth::default()
            }),
            ..HttpClientConfig::default()
        };
        let error = HttpClient::new(&config, "test").expect_err("no manager");
        assert_eq!(
            error.to_string(),
            "unable to use password: cannot use secret ref without manager"
        );
    }

    #[tokio::test]
    async fn a_missing_file_is_named() {
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
            .await
            .expect_err("no file")
            .to_string();
        assert!(
            error.starts_with("unable to read authorization credentials no/such/token: "),
            "{error}"
        );
    }
}
