//! Keys in the JSON that containers, machines and programs answer with.

use configfile::Secret;
use model::calendar::parse_rfc3339;
use serde_json::{Map, Value};
use signing::aws_v4::Keys;

use super::lease;
use crate::cached::Lease;
use crate::token_request::text_of;

/// Keys with the time of their end, if they have one; `now` is unix milliseconds.
pub fn read_keys(
    object: &Map<String, Value>,
    session_token: &str,
    now: i64,
) -> Result<Lease<Keys>, String> {
    let keys = Keys {
        access_key: text_of(object, "AccessKeyId").into(),
        secret_key: Secret::new(text_of(object, "SecretAccessKey")),
        session_token: Secret::new(session_token),
    };
    if keys.access_key.is_empty() || keys.secret_key.is_empty() {
        return Err("the answer has no AccessKeyId and SecretAccessKey".into());
    }
    until_expiration(keys, text_of(object, "Expiration"), now)
}

/// Keys with their `Expiration` as text; empty where they do not end.
pub fn until_expiration(keys: Keys, expiration: &str, now: i64) -> Result<Lease<Keys>, String> {
    if expiration.is_empty() {
        return Ok(lease(keys, now, None));
    }
    let until = parse_rfc3339(expiration)
        .ok_or_else(|| format!("the answer's Expiration {expiration:?} is no time"))?;
    if until <= now {
        return Err(format!("the credentials ended at {expiration}"));
    }
    Ok(lease(keys, now, Some(until)))
}
