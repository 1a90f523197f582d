//! Keys of a task or a pod, from a server beside it.

use configfile::Secret;
use signing::aws_v4::Keys;

use super::key_answer::read_keys;
use crate::cached::Lease;
use crate::token_request::{TokenRequest, TokenServers, host_of, is_loopback, text_of};
use crate::world::{World, read_text};

/// Where tasks ask.
const TASKS: &str = "http://169.254.170.2";
/// Hosts beside the machine that are asked without TLS.
const TRUSTED: [&str; 3] = ["169.254.170.2", "169.254.170.23", "fd00:ec2::23"];

/// The server's address, where the environment names one.
pub fn place(world: &World) -> Result<Option<String>, String> {
    if let Some(path) = world.variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") {
        let slash = if path.starts_with('/') { "" } else { "/" };
        return Ok(Some(format!("{TASKS}{slash}{path}")));
    }
    let name = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
    let Some(url) = world.variable(name) else {
        return Ok(None);
    };
    let host = host_of(&url).unwrap_or("");
    let private = url.starts_with("https://") || is_loopback(host) || TRUSTED.contains(&host);
    if host.is_empty() || !private {
        return Err(format!(
            "{name}: invalid endpoint host, {host:?}, only loopback/ecs/eks hosts are allowed without https"
        ));
    }
    Ok(Some(url))
}

/// Asks for keys.
pub async fn keys(
    servers: &TokenServers,
    world: &World,
    place: &str,
) -> Result<Lease<Keys>, String> {
    let mut request = TokenRequest::get(place).header("Accept", "application/json");
    let authorization = match world.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE") {
        Some(path) => Some(read_text(&path, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")?),
        None => world.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
    };
    if let Some(token) = authorization {
        request = request.secret_header("Authorization", &Secret::new(token));
    }
    let answer = servers.ask(request).await?;
    let object = answer.object()?;
    let token = text_of(&object, "Token").to_string();
    read_keys(&object, &token, world.now()).map_err(|e| answer.wrong(&e))
}
