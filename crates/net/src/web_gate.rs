//! What `--web.config.file` asks of those who connect: TLS, a password, patience. The file is looked at for every
//! connection and request, so changes need no reload; one that became wrong lets nobody in.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use configfile::Secret;
use configfile::web::{RateLimit, WebConfig};
use http::header::{AUTHORIZATION, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use http::{HeaderMap, Response, StatusCode};
use parking_lot::Mutex;
use thiserror::Error;

use crate::server_tls::{self, ServerTls};

/// A hash of no password, compared when the user is unknown so that this takes as long as for a known one.
const NOBODY: &str = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi";
/// Comparisons that are remembered: bcrypt is slow on purpose.
const REMEMBERED: usize = 512;

/// A web configuration that cannot be used.
#[derive(Debug, Error)]
#[error("{path}: {reason}")]
pub struct WebConfigError {
    /// The file.
    pub path: String,
    /// Why not.
    pub reason: String,
}

/// Stands at a server's door.
pub struct WebGate {
    path: Option<PathBuf>,
    /// Whether TLS is spoken, which no later version of the file changes.
    speaks_tls: bool,
    current: Mutex<Current>,
    known: Mutex<HashMap<[u8; 32], bool>>,
    allowance: Mutex<Option<Allowance>>,
}

#[derive(Default)]
struct Current {
    text: Vec<u8>,
    config: Arc<WebConfig>,
    tls: Option<Arc<ServerTls>>,
}

/// Requests that may still come.
struct Allowance {
    limit: RateLimit,
    tokens: f64,
    at: Instant,
}

impl WebGate {
    /// Lets everybody in, without TLS.
    pub fn open() -> Arc<WebGate> {
        Arc::new(WebGate {
            path: None,
            speaks_tls: false,
            current: Mutex::default(),
            known: Mutex::default(),
            allowance: Mutex::default(),
        })
    }

    /// Reads the file and all that it names; an empty path lets everybody in.
    pub fn load(path: &str) -> Result<Arc<WebGate>, WebConfigError> {
        if path.is_empty() {
            return Ok(WebGate::open());
        }
        let mut gate = WebGate {
            path: Some(PathBuf::from(path)),
            speaks_tls: false,
            current: Mutex::default(),
            known: Mutex::default(),
            allowance: Mutex::default(),
        };
        gate.refresh().map_err(|reason| WebConfigError {
            path: path.to_string(),
            reason,
        })?;
        gate.speaks_tls = gate.current.lock().tls.is_some();
        Ok(Arc::new(gate))
    }

    /// Whether connections are spoken TLS over; stays as it was at the start.
    pub fn speaks_tls(&self) -> bool {
        self.speaks_tls
    }

    fn refresh(&self) -> Result<Arc<WebConfig>, String> {
        let Some(path) = &self.path else {
            return Ok(self.current.lock().config.clone());
        };
        let text = std::fs::read(path).map_err(|e| e.to_string())?;
        let mut current = self.current.lock();
        if text == current.text && !text.is_empty() {
            return Ok(current.config.clone());
        }
        let config = read(&text, path)?;
        let tls = match &config.tls {
            Some(tls) => Some(Arc::new(ServerTls::new(tls, config.http2)?)),
            None => None,
        };
        *current = Current {
            text,
            config: Arc::new(config),
            tls,
        };
        self.known.lock().clear();
        Ok(current.config.clone())
    }

    /// How the next connection is spoken TLS over: `None` in plain text.
    pub fn tls(&self) -> Result<Option<Arc<rustls::ServerConfig>>, String> {
        if !self.speaks_tls {
            return Ok(None);
        }
        self.refresh()?;
        let tls = self.current.lock().tls.clone();
        let tls = tls.ok_or("tls_server_config is gone from the web configuration file")?;
        tls.config().map(Some)
    }

    /// Lets a request in, with the headers that its answer must carry, or answers itself.
    pub async fn admit(&self, request: &HeaderMap) -> Result<HeaderMap, Box<Response<Body>>> {
        if self.path.is_none() {
            return Ok(HeaderMap::new());
        }
        let config = self.refresh().map_err(|reason| {
            tracing::error!(component = "web", err = %reason, "Unable to parse configuration");
            Box::new(answer(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Internal Server Error\n",
            ))
        })?;
        let mut headers = HeaderMap::new();
        for (name, value) in &config.headers {
            if let (Ok(name), Ok(value)) = (
                HeaderName::from_bytes(name.as_bytes()),
                HeaderValue::from_str(value),
            ) {
                headers.insert(name, value);
            }
        }
        let refused = if !self.has_allowance(config.rate_limit) {
            Some(answer(StatusCode::TOO_MANY_REQUESTS, "Too Many Requests\n"))
        } else if !self.knows(&config, request).await {
            let mut unauthorized = answer(StatusCode::UNAUTHORIZED, "Unauthorized\n");
            let basic = HeaderValue::from_static("Basic");
            unauthorized.headers_mut().insert(WWW_AUTHENTICATE, basic);
            Some(unauthorized)
        } else {
            None
        };
        match refused {
            None => Ok(headers),
            Some(mut response) => {
                response.headers_mut().extend(headers);
                Err(Box::new(response))
            }
        }
    }

    fn has_allowance(&self, limit: Option<RateLimit>) -> bool {
        let Some(limit) = limit else { return true };
        let now = Instant::now();
        let mut allowance = self.allowance.lock();
        let fresh = Allowance {
            limit,
            tokens: limit.burst as f64,
            at: now,
        };
        let allowance = match &mut *allowance {
            Some(allowance) if allowance.limit == limit => allowance,
            other => other.insert(fresh),
        };
        let elapsed = now.duration_since(allowance.at).as_secs_f64() * 1000.0;
        allowance.at = now;
        allowance.tokens = (allowance.tokens + elapsed / limit.interval_ms).min(limit.burst as f64);
        let allowed = allowance.tokens >= 1.0;
        if allowed {
            allowance.tokens -= 1.0;
        }
        allowed
    }

    async fn knows(&self, config: &WebConfig, request: &HeaderMap) -> bool {
        if config.users.is_empty() {
            return true;
        }
        let Some((user, password)) = request.get(AUTHORIZATION).and_then(credentials) else {
            return false;
        };
        let found = config.users.iter().find(|(known, _)| *known == user);
        let hash = found.map_or(NOBODY, |(_, hash)| hash.reveal()).to_string();
        let key = fingerprint(&[&user, &hash, &password]);
        if let Some(result) = self.known.lock().get(&key) {
            return *result && found.is_some();
        }
        let compared =
            tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash).unwrap_or(false))
                .await
                .unwrap_or(false);
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, compared);
        compared && found.is_some()
    }
}

fn read(text: &[u8], path: &Path) -> Result<WebConfig, String> {
    let text = std::str::from_utf8(text).map_err(|e| e.to_string())?;
    let dir = path.parent().unwrap_or(Path::new(""));
    let config = WebConfig::parse(text, dir).map_err(|e| e.to_string())?;
    for (user, hash) in &config.users {
        check_hash(hash).map_err(|e| format!("basic_auth_users: {user}: {e}"))?;
    }
    Ok(config)
}

fn check_hash(hash: &Secret) -> Result<(), String> {
    let parsed = hash.reveal().parse::<bcrypt::HashParts>();
    parsed
        .map(|_| ())
        .map_err(|_| "the password must be a bcrypt hash ($2y$...)".to_string())
}

/// Checks a file as a server would at its start.
pub fn check_web_config(path: &str) -> Result<(), WebConfigError> {
    let failed = |reason| WebConfigError {
        path: path.to_string(),
        reason,
    };
    let text = std::fs::read(path).map_err(|e| failed(e.to_string()))?;
    let config = read(&text, Path::new(path)).map_err(failed)?;
    match &config.tls {
        Some(tls) => server_tls::ServerTls::new(tls, config.http2)
            .map(|_| ())
            .map_err(failed),
        None => Ok(()),
    }
}

fn answer(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response
        .headers_mut()
        .insert(http::header::CONTENT_TYPE, plain);
    response
}

fn credentials(header: &HeaderValue) -> Option<(String, String)> {
    use base64::Engine as _;
    let (scheme, encoded) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(encoded.trim())
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_string(), password.to_string()))
}

fn fingerprint(parts: &[&str]) -> [u8; 32] {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    for part in parts {
        context.update(&(part.len() as u64).to_le_bytes());
        context.update(part.as_bytes());
    }
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}
