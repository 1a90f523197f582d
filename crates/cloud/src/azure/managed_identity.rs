//! Tokens for what runs within Azure, from the service that its platform offers.

use std::path::Path;

use configfile::Secret;
use http::{Method, StatusCode};

use super::read_token;
use crate::cached::Lease;
use crate::token_request::{TokenRequest, TokenServers, text_of};
use crate::world::World;

/// Where machines ask.
const MACHINES: &str = "http://169.254.169.254";
/// Where machines outside of Azure ask that are joined to it.
const JOINED: &str = "http://127.0.0.1:40342/metadata/identity/oauth2/token";
/// Only the agent of joined machines writes here.
const JOINED_KEYS: &str = "/var/opt/azcmagent/tokens";
const JOINED_AGENT: &str = "/opt/azcmagent/bin/himds";
/// Larger ones are not the agent's.
const MAX_KEY: u64 = 4096;

/// What keeps requests that somebody else was made to send from being answered.
const METADATA: (&str, &str) = ("Metadata", "true");

/// Asks for a token; an empty `client_id` is the platform's own identity.
pub async fn token(
    servers: &TokenServers,
    world: &World,
    client_id: &str,
    scope: &str,
) -> Result<Lease<Secret>, String> {
    let resource = scope.strip_suffix("/.default").unwrap_or(scope);
    let asked = Asked {
        servers,
        world,
        client_id,
        resource,
    };
    let endpoint = world.variable("IDENTITY_ENDPOINT");
    let header = world.variable("IDENTITY_HEADER");
    let older = world.variable("MSI_ENDPOINT");
    match (endpoint, header, older) {
        (Some(_), Some(_), _) if world.variable("IDENTITY_SERVER_THUMBPRINT").is_some() => Err(
            "this build lacks managed identities of Service Fabric: use workload_identity, oauth or certificate".into(),
        ),
        (Some(endpoint), Some(header), _) => {
            let header = ("X-IDENTITY-HEADER", header.as_str());
            asked.get(&endpoint, "2019-08-01", "client_id", header).await
        }
        (Some(endpoint), None, _) if world.variable("IMDS_ENDPOINT").is_some() => {
            asked.of_joined_machine(&endpoint).await
        }
        (_, _, Some(endpoint)) => asked.older(&endpoint).await,
        _ if Path::new(JOINED_AGENT).exists() => asked.of_joined_machine(JOINED).await,
        _ => {
            let host = world.variable("AZURE_POD_IDENTITY_AUTHORITY_HOST");
            let host = host.unwrap_or_else(|| MACHINES.into());
            let url = format!("{}/metadata/identity/oauth2/token", host.trim_end_matches('/'));
            asked.get(&url, "2018-02-01", "client_id", METADATA).await
        }
    }
}

struct Asked<'a> {
    servers: &'a TokenServers,
    world: &'a World,
    client_id: &'a str,
    resource: &'a str,
}

impl Asked<'_> {
    fn url(&self, endpoint: &str, version: &str, client: &str) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("api-version", version);
        query.append_pair("resource", self.resource);
        if !self.client_id.is_empty() {
            query.append_pair(client, self.client_id);
        }
        let sign = if endpoint.contains('?') { '&' } else { '?' };
        format!("{endpoint}{sign}{}", query.finish())
    }

    async fn get(
        &self,
        endpoint: &str,
        version: &str,
        client: &str,
        header: (&'static str, &str),
    ) -> Result<Lease<Secret>, String> {
        let url = self.url(endpoint, version, client);
        let (name, value) = header;
        let request = TokenRequest::get(&url);
        let request = match header == METADATA {
            true => request.header(name, value),
            false => request.secret_header(name, &Secret::new(value)),
        };
        let answer = self.servers.ask(request).await?;
        read_token(&answer.object()?, self.world.now()).map_err(|e| answer.wrong(&e))
    }

    /// Azure's machine learning, which has a secret, and its shell, which has none.
    async fn older(&self, endpoint: &str) -> Result<Lease<Secret>, String> {
        if let Some(secret) = self.world.variable("MSI_SECRET") {
            let own = self.world.variable("DEFAULT_IDENTITY_CLIENT_ID");
            let client_id = match self.client_id {
                "" => own.unwrap_or_default(),
                id => id.to_string(),
            };
            let asked = Asked {
                client_id: &client_id,
                ..*self
            };
            let header = ("secret", secret.as_str());
            return asked.get(endpoint, "2017-09-01", "clientid", header).await;
        }
        if !self.client_id.is_empty() {
            return Err("Cloud Shell has no identities but its own: managed_identity.client_id cannot be used there".into());
        }
        let fields = [("resource", self.resource)];
        let request = TokenRequest::form(endpoint, &fields, &[]).header(METADATA.0, METADATA.1);
        let answer = self.servers.ask(request).await?;
        read_token(&answer.object()?, self.world.now()).map_err(|e| answer.wrong(&e))
    }

    /// The agent writes a key where only the right users can read it, and wants to be told what is in it.
    async fn of_joined_machine(&self, endpoint: &str) -> Result<Lease<Secret>, String> {
        let url = self.url(endpoint, "2020-06-01", "client_id");
        let request = || TokenRequest {
            method: Method::GET,
            ..TokenRequest::get(&url).header(METADATA.0, METADATA.1)
        };
        let challenge = self.servers.ask(request()).await?;
        if challenge.status != StatusCode::UNAUTHORIZED {
            return Err(challenge.wrong(&format!(
                "expected a 401 response, received {}",
                challenge.status.as_u16()
            )));
        }
        let path = challenge
            .challenge
            .strip_prefix("Basic realm=")
            .unwrap_or("");
        let key = read_key(path).map_err(|e| challenge.wrong(&e))?;
        let basic = Secret::new(format!("Basic {}", key.reveal()));
        let mut again = request().secret_header("Authorization", &basic);
        again.secrets.push(key);
        let answer = self.servers.ask(again).await?;
        let object = answer.object()?;
        let confirmed = text_of(&object, "client_id").eq_ignore_ascii_case(self.client_id);
        if !self.client_id.is_empty() && !confirmed {
            return Err(answer.wrong("azure arc did not confirm the requested user-assigned managed identity in the token response"));
        }
        read_token(&object, self.world.now()).map_err(|e| answer.wrong(&e))
    }
}

fn read_key(path: &str) -> Result<Secret, String> {
    let file = Path::new(path);
    let is_key = file.extension().is_some_and(|ending| ending == "key");
    if !is_key || file.parent() != Some(Path::new(JOINED_KEYS)) {
        return Err(format!("the key is at an unexpected place: {path:?}"));
    }
    let about = std::fs::metadata(file).map_err(|e| format!("{path}: {e}"))?;
    if about.len() > MAX_KEY {
        return Err(format!("{path}: too large for a key"));
    }
    let key = std::fs::read_to_string(file).map_err(|e| format!("{path}: {e}"))?;
    Ok(Secret::new(key.trim()))
}
