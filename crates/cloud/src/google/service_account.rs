//! Tokens for a service account, whose key signs the request for them.

use serde_json::{Map, Value};
use signing::rsa_key::{Algorithm, RsaKey};

use crate::token_request::{TokenAnswer, TokenRequest, TokenServers, check_private, text_of};
use crate::world::World;

/// Where tokens are, if the file does not say.
const TOKENS: &str = "https://oauth2.googleapis.com/token";
/// Seconds that the signed request holds.
const SECONDS: i64 = 3600;

fn token_url(file: &Map<String, Value>) -> &str {
    match text_of(file, "token_uri") {
        "" => TOKENS,
        url => url,
    }
}

/// Whether the file has what a request needs.
pub fn check(file: &Map<String, Value>) -> Result<(), String> {
    if text_of(file, "client_email").is_empty() {
        return Err("client_email is missing".into());
    }
    check_private(token_url(file))?;
    key(file).map(|_| ())
}

fn key(file: &Map<String, Value>) -> Result<RsaKey, String> {
    RsaKey::from_pem(text_of(file, "private_key").as_bytes())
        .map_err(|e| format!("private_key: {e}"))
}

/// Asks for a token.
pub async fn ask(
    servers: &TokenServers,
    world: &World,
    file: &Map<String, Value>,
    scope: &str,
) -> Result<TokenAnswer, String> {
    check(file)?;
    let url = token_url(file);
    let seconds = world.now() / 1000;
    let mut header = Map::new();
    let key_id = text_of(file, "private_key_id");
    if !key_id.is_empty() {
        header.insert("kid".into(), key_id.into());
    }
    let mut claims = Map::new();
    for (name, value) in [
        ("iss", text_of(file, "client_email")),
        ("scope", scope),
        ("aud", url),
    ] {
        claims.insert(name.into(), value.into());
    }
    claims.insert("iat".into(), seconds.into());
    claims.insert("exp".into(), (seconds + SECONDS).into());
    let assertion = signing::jwt::encode(&key(file)?, Algorithm::Rs256, header, claims)
        .map_err(|e| format!("private_key: {e}"))?;
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"),
        ("assertion", assertion.reveal()),
    ];
    servers
        .ask(TokenRequest::form(url, &fields, &["assertion"]))
        .await
}
