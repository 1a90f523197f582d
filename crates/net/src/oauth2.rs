//! Tokens from a token server: the client credentials grant of RFC 6749 and the JWT bearer grant of RFC 7523.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use configfile::Secret;
use configfile::http_client::{HttpClientConfig, Oauth2};
use ring::rand::{SecureRandom as _, SystemRandom};
use signing::rsa_key::{Algorithm, RsaKey};
use tokio::sync::Mutex;

use crate::http_client::{ClientError, HttpClient, read_secret};

/// A token is renewed this long before it ends.
const EARLY: Duration = Duration::from_secs(10);
/// How long the token server may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// No answer with a token is larger.
const MAX_ANSWER: usize = 1 << 20;

/// Fetches tokens and keeps the one that is good.
#[derive(Debug)]
pub struct TokenSource {
    config: Oauth2,
    client: HttpClient,
    token: Mutex<Option<Token>>,
}

#[derive(Debug)]
struct Token {
    value: Secret,
    kind: String,
    until: Option<Instant>,
    /// What it was fetched with: another secret needs another token.
    secret: Secret,
}

impl TokenSource {
    /// A source that has no token yet.
    pub fn new(config: &Oauth2, user_agent: &str) -> Result<TokenSource, ClientError> {
        let http = HttpClientConfig {
            tls: config.tls.clone(),
            proxy: config.proxy.clone(),
            ..HttpClientConfig::default()
        };
        Ok(TokenSource {
            config: config.clone(),
            client: HttpClient::new(&http, user_agent)?,
            token: Mutex::default(),
        })
    }

    /// The value of an `Authorization` header.
    pub async fn authorization(&self) -> Result<Secret, ClientError> {
        let secret = self.secret()?;
        let mut token = self.token.lock().await;
        let good = token.as_ref().filter(|token| {
            token.secret == secret
                && token
                    .until
                    .is_none_or(|until| Instant::now() + EARLY < until)
        });
        let token = match good {
            Some(_) => token.as_ref(),
            None => {
                let fetched = self.fetch(&secret).await?;
                Some(&*token.insert(fetched))
            }
        };
        let header = token.map(|t| format!("{} {}", t.kind, t.value.reveal()));
        Ok(Secret::new(header.unwrap_or_default()))
    }

    fn is_jwt(&self) -> bool {
        self.config.grant_type == Oauth2::JWT_BEARER
    }

    fn secret(&self) -> Result<Secret, ClientError> {
        let config = &self.config;
        let (text, path, what) = if self.is_jwt() {
            let jwt = &config.jwt;
            (&jwt.key, &jwt.key_file, "oauth2 client_certificate_key")
        } else {
            let file = &config.client_secret_file;
            (&config.client_secret, file, "oauth2 client secret")
        };
        Ok(Secret::new(read_secret(text.reveal(), path, what)?))
    }

    async fn fetch(&self, secret: &Secret) -> Result<Token, ClientError> {
        let mut form: Vec<(&str, String)> = Vec::new();
        if self.is_jwt() {
            form.push(("grant_type", Oauth2::JWT_BEARER.into()));
            form.push(("assertion", self.assertion(secret)?.reveal().into()));
        } else {
            form.push(("grant_type", "client_credentials".into()));
        }
        if !self.config.scopes.is_empty() {
            form.push(("scope", self.config.scopes.join(" ")));
        }
        for (name, value) in &self.config.endpoint_params {
            form.push((name, value.clone()));
        }
        if self.is_jwt() {
            return self.ask(&form, None, secret).await;
        }
        // The two ways of saying who one is; servers know one of them, most the first.
        let id = &self.config.client_id;
        let encode =
            |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let basic = STANDARD.encode(format!("{}:{}", encode(id), encode(secret.reveal())));
        let first = self
            .ask(&form, Some(format!("Basic {basic}")), secret)
            .await;
        if first.is_ok() {
            return first;
        }
        form.push(("client_id", id.clone()));
        form.push(("client_secret", secret.reveal().to_string()));
        self.ask(&form, None, secret).await
    }

    async fn ask(
        &self,
        form: &[(&str, String)],
        authorization: Option<String>,
        secret: &Secret,
    ) -> Result<Token, ClientError> {
        let refused = |message: String| {
            ClientError::Invalid(format!("oauth2: cannot fetch token: {message}"))
        };
        let body = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form.iter().map(|(name, value)| (*name, value.as_str())))
            .finish();
        // The token client has no token source of its own, so this does not go in circles.
        let request = self.client.plain_post(&self.config.token_url)?;
        let mut request = request
            .header("Content-Type", "application/x-www-form-urlencoded")
            .timeout(PATIENCE)
            .body(body);
        if let Some(authorization) = authorization {
            request = request.header("Authorization", authorization);
        }
        let sent = request.send().await;
        let mut response = sent.map_err(|e| refused(e.without_url().to_string()))?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(part) = response
            .chunk()
            .await
            .map_err(|e| refused(e.without_url().to_string()))?
        {
            if answer.len() + part.len() > MAX_ANSWER {
                return Err(refused("the answer is too large".into()));
            }
            answer.extend_from_slice(&part);
        }
        if !status.is_success() {
            return Err(refused(status.to_string()));
        }
        let fields = read_answer(&answer)
            .ok_or_else(|| refused("server response missing access_token".into()))?;
        Ok(Token {
            value: fields.token,
            kind: match fields.kind.to_ascii_lowercase().as_str() {
                "" | "bearer" => "Bearer".into(),
                "mac" => "MAC".into(),
                "basic" => "Basic".into(),
                _ => fields.kind,
            },
            until: fields
                .seconds
                .filter(|seconds| *seconds > 0)
                .map(|seconds| Instant::now() + Duration::from_secs(seconds)),
            secret: secret.clone(),
        })
    }

    /// A signed token that says who asks.
    fn assertion(&self, key: &Secret) -> Result<Secret, ClientError> {
        let invalid = |message: String| ClientError::Invalid(format!("oauth2: {message}"));
        let jwt = &self.config.jwt;
        let or =
            |text: &str, default: &str| (if text.is_empty() { default } else { text }).to_string();
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let random = SystemRandom::new();
        let mut id = [0u8; 16];
        random
            .fill(&mut id)
            .map_err(|_| invalid("no randomness".into()))?;
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut claims = serde_json::Map::new();
        for (name, value) in &jwt.claims {
            claims.insert(name.clone(), value.clone().into());
        }
        claims.insert("iss".into(), or(&jwt.issuer, &self.config.client_id).into());
        claims.insert("sub".into(), self.config.client_id.clone().into());
        claims.insert(
            "aud".into(),
            or(&jwt.audience, &self.config.token_url).into(),
        );
        claims.insert("jti".into(), id.into());
        claims.insert("iat".into(), now.into());
        claims.insert("exp".into(), (now + 600).into());
        if !self.config.scopes.is_empty() {
            claims.insert("scope".into(), self.config.scopes.join(" ").into());
        }
        let mut header = serde_json::Map::new();
        if !jwt.key_id.is_empty() {
            header.insert("kid".into(), jwt.key_id.clone().into());
        }
        let algorithm = match jwt.algorithm.as_str() {
            "RS384" => Algorithm::Rs384,
            "RS512" => Algorithm::Rs512,
            _ => Algorithm::Rs256,
        };
        let wrong = |e| invalid(format!("client_certificate_key: {e}"));
        let key = RsaKey::from_pem(key.reveal().as_bytes()).map_err(wrong)?;
        signing::jwt::encode(&key, algorithm, header, claims).map_err(wrong)
    }
}

struct Answer {
    token: Secret,
    kind: String,
    seconds: Option<u64>,
}

/// JSON, or a form as old servers send it.
fn read_answer(body: &[u8]) -> Option<Answer> {
    if let Ok(serde_json::Value::Object(fields)) = serde_json::from_slice(body) {
        let text = |name: &str| fields.get(name).and_then(|v| v.as_str()).unwrap_or("");
        let seconds = fields.get("expires_in").and_then(|v| match v {
            serde_json::Value::String(text) => text.parse().ok(),
            other => other.as_f64().map(|seconds| seconds as u64),
        });
        return (!text("access_token").is_empty()).then(|| Answer {
            token: Secret::new(text("access_token")),
            kind: text("token_type").to_string(),
            seconds,
        });
    }
    let find = |name: &str| {
        form_urlencoded::parse(body)
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    };
    let token = find("access_token").filter(|token| !token.is_empty())?;
    Some(Answer {
        token: Secret::new(token),
        kind: find("token_type").unwrap_or_default(),
        seconds: find("expires_in").and_then(|text| text.parse().ok()),
    })
}
