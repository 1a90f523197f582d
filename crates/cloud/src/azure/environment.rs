//! `sdk`: the first identity that the environment offers, in the order of Azure's own libraries.

use configfile::Secret;

use super::application::{Application, Proof};
use super::{managed_identity, read_token};
use crate::cached::Lease;
use crate::outside_program::run;
use crate::token_request::TokenServers;
use crate::world::World;

/// Asks for a token: as an application of the environment, as a pod, as the platform's identity, as whoever is logged in
/// to Azure's command line. `tenant_id` may be empty.
pub async fn token(
    servers: &TokenServers,
    world: &World,
    authority: &str,
    tenant_id: &str,
    scope: &str,
) -> Result<Lease<Secret>, String> {
    let client_id = world.variable("AZURE_CLIENT_ID");
    let tenant = world.variable("AZURE_TENANT_ID");
    let application = |tenant_id: String, proof| Application {
        authority: authority.to_string(),
        client_id: client_id.clone().unwrap_or_default(),
        tenant_id,
        proof,
    };
    let named = tenant.clone().filter(|_| client_id.is_some());
    // What is configured is what is meant: if it fails, nobody else is asked.
    if let Some(tenant) = &named {
        if let Some(secret) = world.variable("AZURE_CLIENT_SECRET") {
            let application = application(tenant.clone(), Proof::Secret(Secret::new(secret)));
            return application.token(servers, world, scope).await;
        }
        if let Some(path) = world.variable("AZURE_CLIENT_CERTIFICATE_PATH") {
            let password = world.variable("AZURE_CLIENT_CERTIFICATE_PASSWORD");
            let proof = Proof::Certificate {
                path,
                key_path: String::new(),
                password: Secret::new(password.unwrap_or_default()),
                send_chain: world.is_on("AZURE_CLIENT_SEND_CERTIFICATE_CHAIN"),
            };
            let application = application(tenant.clone(), proof);
            return application.token(servers, world, scope).await;
        }
    }
    let configured = Some(tenant_id.to_string()).filter(|tenant| !tenant.is_empty());
    if let (Some(path), Some(tenant), true) = (
        world.variable("AZURE_FEDERATED_TOKEN_FILE"),
        configured.clone().or(tenant),
        client_id.is_some(),
    ) {
        let application = application(tenant, Proof::TokenFile(path));
        return application.token(servers, world, scope).await;
    }
    let own = client_id.clone().unwrap_or_default();
    let platform = match managed_identity::token(servers, world, &own, scope).await {
        Ok(token) => return Ok(token),
        Err(reason) => reason,
    };
    command_line(world, configured.as_deref(), scope)
        .await
        .map_err(|reason| {
            format!(
                "DefaultAzureCredential: failed to acquire a token: the environment has no AZURE_TENANT_ID, AZURE_CLIENT_ID and proof of it; managed identity: {platform}; Azure CLI: {reason}"
            )
        })
}

async fn command_line(
    world: &World,
    tenant_id: Option<&str>,
    scope: &str,
) -> Result<Lease<Secret>, String> {
    let mut arguments = vec![
        "account",
        "get-access-token",
        "-o",
        "json",
        "--scope",
        scope,
    ];
    if let Some(tenant) = tenant_id {
        arguments.extend(["--tenant", tenant]);
    }
    let said = run("az", &arguments).await?;
    let mut object: serde_json::Map<_, _> =
        serde_json::from_slice(&said).map_err(|_| "az: its answer is no JSON".to_string())?;
    if let Some(token) = object.remove("accessToken") {
        object.insert("access_token".into(), token);
    }
    read_token(&object, world.now()).map_err(|e| format!("az: {e}"))
}
