//! `google_iam`: tokens of Google Cloud.

mod authorized_user;
mod metadata_server;
mod service_account;

use configfile::Secret;
use configfile::google_iam::GoogleIamConfig;
use serde_json::{Map, Value};

use crate::cached::{Cached, Lease};
use crate::token_request::{TokenAnswer, TokenServers, number_of, text_of};
use crate::world::{World, read_file};

/// What tokens are for.
const SCOPE: &str = "https://www.googleapis.com/auth/monitoring.write";
/// Tokens are renewed this long before they end, in milliseconds, and not before half their time.
const EARLY: i64 = 225_000;

/// Gets tokens.
pub struct GoogleIdentity {
    config: GoogleIamConfig,
    world: World,
    servers: TokenServers,
    token: Cached<Token>,
}

/// A token, and who pays for what is done with it.
#[derive(Clone, Debug)]
pub struct Token {
    /// What follows `Bearer`.
    pub value: Secret,
    /// `X-Goog-User-Project`; empty for the identity's own.
    pub quota_project: String,
}

/// Where tokens come from.
enum Source {
    /// A file, with its path.
    File(String, Map<String, Value>),
    /// The machine's metadata server.
    Metadata,
}

impl GoogleIdentity {
    /// Checks what can be known without asking anybody.
    pub fn new(config: &GoogleIamConfig, world: &World) -> Result<GoogleIdentity, String> {
        let identity = GoogleIdentity {
            config: config.clone(),
            world: world.clone(),
            servers: TokenServers::new(world)?,
            token: Cached::default(),
        };
        if let Source::File(path, fields) = identity.source()? {
            let wrong = |e| format!("{path}: {e}");
            match identity.kind(&fields).map_err(wrong)? {
                Kind::ServiceAccount => service_account::check(&fields).map_err(wrong)?,
                Kind::AuthorizedUser => authorized_user::check(&fields).map_err(wrong)?,
            }
        }
        Ok(identity)
    }

    /// A token that is good now.
    pub async fn token(&self) -> Result<Token, String> {
        let fetch = || async {
            let quota = self.world.variable("GOOGLE_CLOUD_QUOTA_PROJECT");
            let (servers, world) = (&self.servers, &self.world);
            let (answer, of_file) = match self.source()? {
                Source::File(path, fields) => {
                    let wrong = |e: String| format!("{path}: {e}");
                    let answer = match self.kind(&fields).map_err(wrong)? {
                        Kind::ServiceAccount => {
                            service_account::ask(servers, world, &fields, SCOPE).await
                        }
                        Kind::AuthorizedUser => authorized_user::ask(servers, &fields).await,
                    };
                    let of_file = text_of(&fields, "quota_project_id").to_string();
                    (answer.map_err(wrong)?, of_file)
                }
                Source::Metadata => {
                    let answer = metadata_server::ask(servers, world, SCOPE).await;
                    let answer = answer.map_err(|e| {
                        format!("could not find default credentials, and no metadata server: {e}")
                    })?;
                    (answer, String::new())
                }
            };
            read_token(&answer, quota.unwrap_or(of_file), world.now())
        };
        self.token.get(&self.world, fetch).await
    }

    fn source(&self) -> Result<Source, String> {
        let read = |path: String, what: &str| {
            let content = read_file(&path, what)?;
            match serde_json::from_slice(&content) {
                Ok(Value::Object(fields)) => Ok(Source::File(path, fields)),
                _ => Err(format!("{what} {path} is no JSON object")),
            }
        };
        if !self.config.credentials_file.is_empty() {
            return read(self.config.credentials_file.clone(), "credentials_file");
        }
        let name = "GOOGLE_APPLICATION_CREDENTIALS";
        if let Some(path) = self.world.variable(name) {
            return read(path, name)
                .map_err(|e| format!("error finding default Google credentials: {e}"));
        }
        if let Some(home) = self.world.variable("HOME") {
            let path = format!("{home}/.config/gcloud/application_default_credentials.json");
            if std::path::Path::new(&path).exists() {
                return read(path, "application default credentials");
            }
        }
        Ok(Source::Metadata)
    }

    fn kind(&self, fields: &Map<String, Value>) -> Result<Kind, String> {
        match text_of(fields, "type") {
            "service_account" => Ok(Kind::ServiceAccount),
            // As upstream: a configured file is a service account's, only default credentials may be a user's.
            other if !self.config.credentials_file.is_empty() => Err(format!(
                "credentials_file is of type {other:?}, expected \"service_account\""
            )),
            "authorized_user" => Ok(Kind::AuthorizedUser),
            other => Err(format!(
                "this build lacks credentials of type {other:?}: use service_account or authorized_user"
            )),
        }
    }
}

enum Kind {
    ServiceAccount,
    AuthorizedUser,
}

fn read_token(
    answer: &TokenAnswer,
    quota_project: String,
    now: i64,
) -> Result<Lease<Token>, String> {
    let object = answer.object()?;
    let value = Secret::new(text_of(&object, "access_token"));
    if value.is_empty() {
        return Err(answer.wrong("the answer has no access_token"));
    }
    let seconds = number_of(&object, "expires_in").filter(|seconds| *seconds > 0);
    let seconds = seconds.ok_or_else(|| answer.wrong("the answer has no expires_in"))?;
    let time = seconds.saturating_mul(1000);
    let until = now.saturating_add(time);
    Ok(Lease {
        value: Token {
            value,
            quota_project,
        },
        renew_at: until - EARLY.min(time / 2),
        until,
    })
}
