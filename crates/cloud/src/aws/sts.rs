//! Roles, taken on at the security token service.

use configfile::Secret;
use signing::aws_v4::{Call, Keys, Purpose, sign};

use super::key_answer::until_expiration;
use super::source::Role;
use crate::cached::Lease;
use crate::token_request::{TokenAnswer, TokenRequest, TokenServers, check_private, xml_text};
use crate::world::World;

/// Where the service is.
pub struct Place {
    url: String,
    region: String,
}

impl Place {
    /// The region's own, or the one that the environment names.
    pub fn of(world: &World, region: String, fips: bool) -> Place {
        let named = world
            .variable("AWS_ENDPOINT_URL_STS")
            .or_else(|| world.variable("AWS_ENDPOINT_URL"))
            .filter(|_| !world.is_on("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"));
        Place {
            url: named.unwrap_or_else(|| endpoint(&region, fips)),
            region,
        }
    }
}

fn endpoint(region: &str, fips: bool) -> String {
    let suffix = [
        ("cn-", "amazonaws.com.cn"),
        ("us-isob-", "sc2s.sgov.gov"),
        ("us-isof-", "csp.hci.ic.gov"),
        ("eu-isoe-", "cloud.adc-e.uk"),
        ("us-iso-", "c2s.ic.gov"),
        ("eusc-", "amazonaws.eu"),
    ]
    .iter()
    .find(|(start, _)| region.starts_with(start))
    .map_or("amazonaws.com", |(_, suffix)| suffix);
    // The government's endpoints are all of the validated kind.
    let service = match fips && !region.starts_with("us-gov-") {
        true => "sts-fips",
        false => "sts",
    };
    format!("https://{service}.{region}.{suffix}/")
}

/// The role's keys for whoever has `keys`.
pub async fn with_keys(
    servers: &TokenServers,
    world: &World,
    place: &Place,
    role: &Role,
    keys: &Keys,
) -> Result<Lease<Keys>, String> {
    let mut fields = fields(role, "AssumeRole");
    if !role.external_id.is_empty() {
        fields.push(("ExternalId", role.external_id.clone()));
    }
    let mut request = request(place, &fields)?;
    let url = &place.url;
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let (host, path) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    // What is signed is what is sent, and the port that goes without saying is not.
    let usual = if scheme == "https" { ":443" } else { ":80" };
    let host = host.strip_suffix(usual).unwrap_or(host);
    let purpose = Purpose {
        region: &place.region,
        service: "sts",
    };
    let signed = sign(
        keys,
        purpose,
        &Call {
            method: "POST",
            path,
            query: "",
            headers: &[
                ("Host", host),
                ("Content-Type", "application/x-www-form-urlencoded"),
            ],
            body: request.body.as_bytes(),
        },
        world.now(),
    );
    request = request
        .header("X-Amz-Date", signed.date)
        .header("Authorization", signed.authorization);
    if let Some(token) = &signed.security_token {
        request = request.secret_header("X-Amz-Security-Token", token);
    }
    request.secrets.push(keys.secret_key.clone());
    read(&servers.ask(request).await?, world.now())
}

/// The role's keys for whoever has `token`.
pub async fn with_web_identity(
    servers: &TokenServers,
    world: &World,
    place: &Place,
    role: &Role,
    token: &str,
) -> Result<Lease<Keys>, String> {
    let mut fields = fields(role, "AssumeRoleWithWebIdentity");
    fields.push(("WebIdentityToken", token.into()));
    read(&servers.ask(request(place, &fields)?).await?, world.now())
}

fn fields(role: &Role, action: &str) -> Vec<(&'static str, String)> {
    let mut fields = vec![
        ("Action", action.to_string()),
        ("Version", "2011-06-15".into()),
        ("RoleArn", role.arn.clone()),
        ("RoleSessionName", role.session.clone()),
    ];
    if let Some(seconds) = role.seconds {
        fields.push(("DurationSeconds", seconds.to_string()));
    }
    fields
}

fn request<'a>(
    place: &'a Place,
    fields: &[(&'static str, String)],
) -> Result<TokenRequest<'a>, String> {
    check_private(&place.url)?;
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, v)| (*name, v.as_str())).collect();
    Ok(TokenRequest::form(
        &place.url,
        &fields,
        &["WebIdentityToken", "ExternalId"],
    ))
}

fn read(answer: &TokenAnswer, now: i64) -> Result<Lease<Keys>, String> {
    let document = answer.text()?;
    let text = |tag: &str| xml_text(document, tag).unwrap_or_default();
    let keys = Keys {
        access_key: text("AccessKeyId"),
        secret_key: Secret::new(text("SecretAccessKey")),
        session_token: Secret::new(text("SessionToken")),
    };
    if keys.access_key.is_empty() || keys.secret_key.is_empty() {
        return Err(answer.wrong("the answer has no credentials"));
    }
    until_expiration(keys, &text("Expiration"), now).map_err(|e| answer.wrong(&e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints() {
        for (region, fips, host) in [
            ("eu-west-1", false, "sts.eu-west-1.amazonaws.com"),
            ("us-east-2", true, "sts-fips.us-east-2.amazonaws.com"),
            ("us-gov-west-1", true, "sts.us-gov-west-1.amazonaws.com"),
            ("cn-north-1", false, "sts.cn-north-1.amazonaws.com.cn"),
            ("us-iso-east-1", false, "sts.us-iso-east-1.c2s.ic.gov"),
            ("us-isob-east-1", false, "sts.us-isob-east-1.sc2s.sgov.gov"),
        ] {
            assert_eq!(endpoint(region, fips), format!("https://{host}/"));
        }
    }
}
