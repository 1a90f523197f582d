//! JSON web tokens signed with RSA keys.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use configfile::Secret;
use serde_json::{Map, Value};

use crate::rsa_key::{Algorithm, KeyError, RsaKey};

/// A signed token. `header` is what it has beside `alg` and `typ`.
pub fn encode(
    key: &RsaKey,
    algorithm: Algorithm,
    mut header: Map<String, Value>,
    claims: Map<String, Value>,
) -> Result<Secret, KeyError> {
    header.insert("alg".into(), algorithm.as_str().into());
    header.insert("typ".into(), "JWT".into());
    let part =
        |fields: Map<String, Value>| URL_SAFE_NO_PAD.encode(Value::Object(fields).to_string());
    let signed = format!("{}.{}", part(header), part(claims));
    let signature = key.sign(algorithm, signed.as_bytes())?;
    let signature = URL_SAFE_NO_PAD.encode(signature);
    Ok(Secret::new(format!("{signed}.{signature}")))
}
