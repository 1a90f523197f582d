//! Tokens for a user who once logged in.

use serde_json::{Map, Value};

use crate::token_request::{TokenAnswer, TokenRequest, TokenServers, check_private, text_of};

/// Where tokens are, if the file does not say.
const TOKENS: &str = "https://oauth2.googleapis.com/token";

fn token_url(file: &Map<String, Value>) -> &str {
    match text_of(file, "token_uri") {
        "" => TOKENS,
        url => url,
    }
}

/// Whether the file has what a request needs.
pub fn check(file: &Map<String, Value>) -> Result<(), String> {
    for name in ["client_id", "client_secret", "refresh_token"] {
        if text_of(file, name).is_empty() {
            return Err(format!("{name} is missing"));
        }
    }
    check_private(token_url(file))
}

/// Asks for a token. What it is good for was decided when the user logged in.
pub async fn ask(servers: &TokenServers, file: &Map<String, Value>) -> Result<TokenAnswer, String> {
    check(file)?;
    let fields = [
        ("grant_type", "refresh_token"),
        ("client_id", text_of(file, "client_id")),
        ("client_secret", text_of(file, "client_secret")),
        ("refresh_token", text_of(file, "refresh_token")),
    ];
    let secrets = ["client_secret", "refresh_token"];
    servers
        .ask(TokenRequest::form(token_url(file), &fields, &secrets))
        .await
}
