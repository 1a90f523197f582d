//! Keys and region of a virtual machine, from its metadata service.

use configfile::Secret;
use http::{Method, StatusCode};
use signing::aws_v4::Keys;

use super::key_answer::read_keys;
use crate::cached::Lease;
use crate::token_request::{TokenRequest, TokenServers, text_of};
use crate::world::World;

const ROLES: &str = "/latest/meta-data/iam/security-credentials/";
const REGION: &str = "/latest/meta-data/placement/region";

/// Where the service is, if it may be asked.
fn endpoint(world: &World) -> Result<String, String> {
    if world.is_on("AWS_EC2_METADATA_DISABLED") {
        return Err("access disabled to EC2 IMDS via AWS_EC2_METADATA_DISABLED".into());
    }
    let named = world.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    let mode = world.variable("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    let default = match mode.map(|mode| mode.to_ascii_lowercase()).as_deref() {
        Some("ipv6") => "http://[fd00:ec2::254]",
        _ => "http://169.254.169.254",
    };
    let endpoint = named.unwrap_or_else(|| default.into());
    Ok(endpoint.trim_end_matches('/').to_string())
}

/// A session with the service; none where it only speaks the first version.
async fn session(
    servers: &TokenServers,
    world: &World,
    endpoint: &str,
) -> Result<Option<Secret>, String> {
    let url = format!("{endpoint}/latest/api/token");
    let request = TokenRequest {
        method: Method::PUT,
        ..TokenRequest::get(&url)
    };
    let request = request.header("X-aws-ec2-metadata-token-ttl-seconds", "21600");
    let answer = servers.ask(request).await?;
    let first = [
        StatusCode::FORBIDDEN,
        StatusCode::NOT_FOUND,
        StatusCode::METHOD_NOT_ALLOWED,
    ];
    if first.contains(&answer.status) && !world.is_on("AWS_EC2_METADATA_V1_DISABLED") {
        return Ok(None);
    }
    Ok(Some(Secret::new(answer.text()?.trim())))
}

fn ask<'a>(url: &'a str, session: Option<&Secret>) -> TokenRequest<'a> {
    let request = TokenRequest::get(url);
    match session {
        Some(session) => request.secret_header("X-aws-ec2-metadata-token", session),
        None => request,
    }
}

/// The keys of the machine's role.
pub async fn keys(servers: &TokenServers, world: &World) -> Result<Lease<Keys>, String> {
    let no_role = |e: String| format!("no EC2 IMDS role found: {e}");
    let endpoint = endpoint(world).map_err(no_role)?;
    let session = session(servers, world, &endpoint).await.map_err(no_role)?;
    let list = format!("{endpoint}{ROLES}");
    let answer = servers.ask(ask(&list, session.as_ref())).await?;
    let role = answer.text().map_err(no_role)?;
    let role = role.lines().next().unwrap_or("").trim();
    if role.is_empty() || role.contains(['/', '?', '#']) {
        return Err(no_role("the machine has no role".into()));
    }
    let url = format!("{list}{role}");
    let answer = servers.ask(ask(&url, session.as_ref())).await?;
    let object = answer.object()?;
    let code = text_of(&object, "Code");
    if !code.is_empty() && !code.eq_ignore_ascii_case("success") {
        let message = text_of(&object, "Message");
        return Err(answer.wrong(&format!("{code}: {message}")));
    }
    let token = text_of(&object, "Token").to_string();
    read_keys(&object, &token, world.now()).map_err(|e| answer.wrong(&e))
}

/// The machine's region.
pub async fn region(servers: &TokenServers, world: &World) -> Result<String, String> {
    let endpoint = endpoint(world)?;
    let session = session(servers, world, &endpoint).await?;
    let url = format!("{endpoint}{REGION}");
    let answer = servers.ask(ask(&url, session.as_ref())).await?;
    let region = answer.text()?.trim().to_string();
    super::region::check(&region).map_err(|e| answer.wrong(&e))?;
    Ok(region)
}
