//! `azuread`: tokens of Microsoft Entra.

mod application;
mod environment;
mod managed_identity;

use configfile::Secret;
use configfile::azuread::{AzureAdConfig, AzureCloud, AzureMethod};
use serde_json::{Map, Value};

use self::application::{Application, Proof};
use crate::cached::{Cached, Lease};
use crate::token_request::{TokenServers, number_of, text_of};
use crate::world::World;

/// Gets tokens.
pub struct AzureIdentity {
    config: AzureAdConfig,
    world: World,
    servers: TokenServers,
    token: Cached<Secret>,
}

impl AzureIdentity {
    /// Checks what can be known without asking anybody.
    pub fn new(config: &AzureAdConfig, world: &World) -> Result<AzureIdentity, String> {
        let identity = AzureIdentity {
            config: config.clone(),
            world: world.clone(),
            servers: TokenServers::new(world)?,
            token: Cached::default(),
        };
        if let Some(application) = identity.application() {
            application.check()?;
        }
        Ok(identity)
    }

    /// A token that is good now.
    pub async fn token(&self) -> Result<Secret, String> {
        let fetch = || async {
            let answer = self.ask().await;
            answer.map_err(|e| format!("Failed to get access token: {e}"))
        };
        self.token.get(&self.world, fetch).await
    }

    async fn ask(&self) -> Result<Lease<Secret>, String> {
        let (servers, world) = (&self.servers, &self.world);
        if let Some(application) = self.application() {
            return application.token(servers, world, self.scope()).await;
        }
        match &self.config.method {
            AzureMethod::ManagedIdentity { client_id } => {
                managed_identity::token(servers, world, client_id, self.scope()).await
            }
            AzureMethod::Sdk { tenant_id } => {
                let authority = self.authority();
                environment::token(servers, world, &authority, tenant_id, self.scope()).await
            }
            _ => Err("not an application".into()),
        }
    }

    /// The application that the section names, if it names one.
    fn application(&self) -> Option<Application> {
        let (client_id, tenant_id, proof) = match &self.config.method {
            AzureMethod::OAuth {
                client_id,
                client_secret,
                tenant_id,
            } => (client_id, tenant_id, Proof::Secret(client_secret.clone())),
            AzureMethod::WorkloadIdentity {
                client_id,
                tenant_id,
                token_file_path,
            } => (
                client_id,
                tenant_id,
                Proof::TokenFile(token_file_path.clone()),
            ),
            AzureMethod::Certificate {
                client_id,
                tenant_id,
                certificate_path,
                certificate_key_path,
                certificate_password,
                send_certificate_chain,
            } => (
                client_id,
                tenant_id,
                Proof::Certificate {
                    path: certificate_path.clone(),
                    key_path: certificate_key_path.clone(),
                    password: certificate_password.clone(),
                    send_chain: *send_certificate_chain,
                },
            ),
            AzureMethod::ManagedIdentity { .. } | AzureMethod::Sdk { .. } => return None,
        };
        Some(Application {
            authority: self.authority(),
            client_id: client_id.clone(),
            tenant_id: tenant_id.clone(),
            proof,
        })
    }

    /// The cloud's token server, without a slash at its end. The environment may name another for the cloud that holds
    /// where nothing is said: pods are told of theirs so.
    fn authority(&self) -> String {
        let host = match self.config.cloud {
            AzureCloud::China => "https://login.chinacloudapi.cn".into(),
            AzureCloud::Government => "https://login.microsoftonline.us".into(),
            AzureCloud::Public => self
                .world
                .variable("AZURE_AUTHORITY_HOST")
                .unwrap_or_else(|| "https://login.microsoftonline.com".into()),
        };
        host.trim_end_matches('/').to_string()
    }

    fn scope(&self) -> &str {
        match (self.config.scope.as_str(), self.config.cloud) {
            ("", AzureCloud::Public) => "https://monitor.azure.com//.default",
            ("", AzureCloud::China) => "https://monitor.azure.cn//.default",
            ("", AzureCloud::Government) => "https://monitor.azure.us//.default",
            (scope, _) => scope,
        }
    }
}

/// The token of an answer. It is renewed at half its time, as upstream does.
fn read_token(object: &Map<String, Value>, now: i64) -> Result<Lease<Secret>, String> {
    let token = text_of(object, "access_token");
    if token.is_empty() {
        return Err("access token is empty".into());
    }
    let until = match (
        number_of(object, "expires_in"),
        number_of(object, "expires_on"),
    ) {
        (Some(seconds), _) => now.saturating_add(seconds.saturating_mul(1000)),
        (None, Some(at)) => at.saturating_mul(1000),
        (None, None) => return Err("the answer does not say when the token ends".into()),
    };
    if until <= now {
        return Err("access token expiry is less than the current time".into());
    }
    Ok(Lease {
        value: Secret::new(token),
        renew_at: now + (until - now) / 2,
        until,
    })
}
