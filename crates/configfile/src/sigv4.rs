//! `sigv4`: requests signed as Amazon's services want them.

use crate::decode::{ConfigError, Faults, Fields};
use crate::secret::Secret;
use crate::yaml::Node;

/// `sigv4`; what is empty comes from where Amazon's own tools look.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sigv4Config {
    /// The region that requests are signed for.
    pub region: String,
    /// The name of a key.
    pub access_key: String,
    /// The key; there exactly if its name is.
    pub secret_key: Secret,
    /// The profile of the shared files.
    pub profile: String,
    /// A role to take on.
    pub role_arn: String,
    /// What the role's owner wants to be told.
    pub external_id: String,
    /// Whether roles are asked for at the endpoint with validated cryptography.
    pub use_fips_sts_endpoint: bool,
    /// The service that requests are signed for; `aps` where it is empty.
    pub service_name: String,
}

impl Sigv4Config {
    pub(crate) fn read(node: &Node, faults: &mut Faults) -> Result<Sigv4Config, ConfigError> {
        let mut fields = Fields::open(node, "sigv4.plain", faults);
        let mut text = |name| fields.string(name, faults).unwrap_or_default();
        let config = Sigv4Config {
            region: text("region"),
            access_key: text("access_key"),
            secret_key: Secret::new(text("secret_key")),
            profile: text("profile"),
            role_arn: text("role_arn"),
            external_id: text("external_id"),
            service_name: text("service_name"),
            use_fips_sts_endpoint: fields
                .bool("use_fips_sts_endpoint", faults)
                .unwrap_or(false),
        };
        fields.close(faults);
        let refuse = |message: &str| Err(ConfigError::at(node.line, message));
        if config.access_key.is_empty() != config.secret_key.is_empty() {
            return refuse(
                "must provide a AWS SigV4 Access key and Secret Key if credentials are specified in the SigV4 config",
            );
        }
        if !config.external_id.is_empty() && config.role_arn.is_empty() {
            return refuse("external_id can only be used with role_arn");
        }
        Ok(config)
    }
}
