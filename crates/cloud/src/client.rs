//! A client whose requests say who sends them.

use std::sync::Arc;

use configfile::Secret;
use configfile::cloud_identity::CloudIdentity;
use configfile::http_client::HttpClientConfig;
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, LOCATION};
use net::dials::Dials;
use net::http_client::{
    ClientError, HttpClient, Request, RequestBuilder, Response, TransportError,
};
use signing::aws_v4::{Call, Purpose, sign};
use thiserror::Error;

use crate::IdentityError;
use crate::aws::AwsIdentity;
use crate::azure::AzureIdentity;
use crate::google::GoogleIdentity;
use crate::world::World;

/// Redirects that are followed, one after the other.
const MAX_REDIRECTS: usize = 10;

/// Headers that a signature covers, if the request has them. What a user adds is not among them, as with upstream: it may be
/// changed on the way.
const SIGNED: [&str; 4] = [
    "content-encoding",
    "content-type",
    "retry-attempt",
    "x-prometheus-remote-write-version",
];

/// A client for one `http_config`, with the identity of a cloud or without. Clones share connections and tokens.
#[derive(Clone)]
pub struct CloudClient {
    http: HttpClient,
    identity: Option<Arc<Identity>>,
    follow_redirects: bool,
}

struct Identity {
    world: World,
    kind: Kind,
}

enum Kind {
    Aws(AwsIdentity),
    Azure(AzureIdentity),
    Google(GoogleIdentity),
}

/// Why a request has no answer.
#[derive(Debug, Error)]
pub enum SendError {
    /// Nothing says who sends it.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// It did not get through.
    #[error(transparent)]
    Transport(#[from] TransportError),
}

impl From<HttpClient> for CloudClient {
    /// Requests as the client makes them.
    fn from(http: HttpClient) -> CloudClient {
        CloudClient {
            http,
            identity: None,
            follow_redirects: false,
        }
    }
}

impl CloudClient {
    /// Builds the client. Files that the identity needs are looked at now; who gives credentials out is asked when the first
    /// request is sent, so that a server starts without them.
    pub fn new(
        config: &HttpClientConfig,
        identity: Option<&CloudIdentity>,
        user_agent: &str,
        dials: &Dials,
        world: &World,
    ) -> Result<CloudClient, ClientError> {
        let Some(identity) = identity else {
            return Ok(HttpClient::counted(config, user_agent, dials)?.into());
        };
        // A signature is good for one address: whoever follows has to sign anew.
        let once = HttpClientConfig {
            follow_redirects: false,
            ..config.clone()
        };
        let kind = Kind::new(identity, world);
        Ok(CloudClient {
            http: HttpClient::counted(&once, user_agent, dials)?,
            identity: Some(Arc::new(Identity {
                kind: kind.map_err(|e| ClientError::Invalid(e.to_string()))?,
                world: world.clone(),
            })),
            follow_redirects: config.follow_redirects,
        })
    }

    /// A POST request with everything the configuration adds to it, but who sends it.
    pub async fn post(&self, url: &str) -> Result<RequestBuilder, ClientError> {
        self.http.post(url).await
    }

    /// Sends a request of [`CloudClient::post`], with who sends it.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, SendError> {
        let Some(identity) = &self.identity else {
            return Ok(request.send().await?);
        };
        let (client, request) = request.build_split();
        let mut request = request?;
        for _ in 0..MAX_REDIRECTS {
            let next = request.try_clone();
            identity.introduce(&mut request).await?;
            let response = client.execute(request).await?;
            match next.and_then(|next| self.redirected(&response, next)) {
                Some(next) => request = next,
                None => return Ok(response),
            }
        }
        identity.introduce(&mut request).await?;
        Ok(client.execute(request).await?)
    }

    /// The same request to where the answer sends it, if that is the same host: credentials go nowhere else.
    fn redirected(&self, response: &Response, mut request: Request) -> Option<Request> {
        let same_method = [
            StatusCode::TEMPORARY_REDIRECT,
            StatusCode::PERMANENT_REDIRECT,
        ];
        if !self.follow_redirects || !same_method.contains(&response.status()) {
            return None;
        }
        let place = response.headers().get(LOCATION)?.to_str().ok()?;
        let url = request.url().join(place).ok()?;
        let known = request.url();
        let as_safe = url.scheme() == known.scheme() || url.scheme() == "https";
        if url.host() != known.host() || !as_safe {
            return None;
        }
        *request.url_mut() = url;
        Some(request)
    }
}

impl Kind {
    fn new(identity: &CloudIdentity, world: &World) -> Result<Kind, IdentityError> {
        match identity {
            CloudIdentity::Sigv4(config) => AwsIdentity::new(config, world)
                .map(Kind::Aws)
                .map_err(error("sigv4")),
            CloudIdentity::AzureAd(config) => AzureIdentity::new(config, world)
                .map(Kind::Azure)
                .map_err(error("azuread")),
            CloudIdentity::GoogleIam(config) => GoogleIdentity::new(config, world)
                .map(Kind::Google)
                .map_err(error("google_iam")),
        }
    }
}

fn error(method: &'static str) -> impl Fn(String) -> IdentityError {
    move |reason| IdentityError { method, reason }
}

impl Identity {
    /// Gives a request the headers that say who sends it.
    async fn introduce(&self, request: &mut Request) -> Result<(), IdentityError> {
        match &self.kind {
            Kind::Aws(aws) => self.sign(aws, request).await.map_err(error("sigv4")),
            Kind::Azure(azure) => {
                let error = error("azuread");
                let token = azure.token().await.map_err(&error)?;
                bearer(request.headers_mut(), &token).map_err(error)
            }
            Kind::Google(google) => {
                let error = error("google_iam");
                let token = google.token().await.map_err(&error)?;
                let headers = request.headers_mut();
                if !token.quota_project.is_empty() {
                    let name = HeaderName::from_static("x-goog-user-project");
                    put(headers, name, &token.quota_project).map_err(&error)?;
                }
                bearer(headers, &token.value).map_err(error)
            }
        }
    }

    async fn sign(&self, aws: &AwsIdentity, request: &mut Request) -> Result<(), String> {
        let keys = aws.keys().await?;
        let region = aws.region().await?;
        let clean = without_empty_parts(request.url().path());
        if clean != request.url().path() {
            request.url_mut().set_path(&clean);
        }
        let body = request.body().and_then(|body| body.as_bytes());
        let body = body.unwrap_or_default();
        let url = request.url();
        let mut host = url.host_str().unwrap_or("").to_string();
        if let Some(port) = url.port() {
            host = format!("{host}:{port}");
        }
        let length = body.len().to_string();
        let mut headers = vec![("host", host.as_str())];
        if !body.is_empty() {
            headers.push(("content-length", &length));
        }
        for name in SIGNED {
            for value in request.headers().get_all(name) {
                headers.push((name, value.to_str().unwrap_or("")));
            }
        }
        let purpose = Purpose {
            region: &region,
            service: aws.service(),
        };
        let call = Call {
            method: request.method().as_str(),
            path: url.path(),
            query: url.query().unwrap_or(""),
            headers: &headers,
            body,
        };
        let signed = sign(&keys, purpose, &call, self.world.now());
        let headers = request.headers_mut();
        put(headers, HeaderName::from_static("x-amz-date"), &signed.date)?;
        if let Some(token) = &signed.security_token {
            let name = HeaderName::from_static("x-amz-security-token");
            put(headers, name, token.reveal())?;
        }
        put(headers, AUTHORIZATION, &signed.authorization)
    }
}

fn bearer(headers: &mut HeaderMap, token: &Secret) -> Result<(), String> {
    put(
        headers,
        AUTHORIZATION,
        &format!("Bearer {}", token.reveal()),
    )
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) -> Result<(), String> {
    // The value must not be in the error: it may be a secret.
    let mut value = HeaderValue::from_str(value)
        .map_err(|_| format!("what was given out has characters that {name} may not have"))?;
    value.set_sensitive(true);
    headers.insert(name, value);
    Ok(())
}

/// `/a//b` as `/a/b`: services take both for the same, and signatures are of the second. The URL has no dots left.
fn without_empty_parts(path: &str) -> String {
    let mut clean = String::with_capacity(path.len());
    for c in path.chars() {
        if c != '/' || !clean.ends_with('/') {
            clean.push(c);
        }
    }
    clean
}
