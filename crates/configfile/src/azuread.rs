//! `azuread`: tokens of a Microsoft Entra identity.

use crate::decode::{ConfigError, Faults, Fields};
use crate::secret::Secret;
use crate::yaml::Node;

/// Where pods find their token if nothing names another place.
const TOKEN_FILE: &str = "/var/run/secrets/azure/tokens/azure-identity-token";

/// `azuread`
#[derive(Clone, Debug, PartialEq)]
pub struct AzureAdConfig {
    /// Whose token servers are asked.
    pub cloud: AzureCloud,
    /// What tokens are for; the cloud's monitoring where it is empty.
    pub scope: String,
    /// Who one is.
    pub method: AzureMethod,
}

/// Microsoft's clouds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AzureCloud {
    /// The one for everybody.
    #[default]
    Public,
    /// China's.
    China,
    /// That of the United States' government.
    Government,
}

/// The ways to be somebody; a section has exactly one.
#[derive(Clone, Debug, PartialEq)]
pub enum AzureMethod {
    /// `managed_identity`: the machine's identity, or the one with this client ID.
    ManagedIdentity {
        /// Empty for the machine's own.
        client_id: String,
    },
    /// `workload_identity`: a pod's token, exchanged.
    WorkloadIdentity {
        /// The application.
        client_id: String,
        /// Its directory.
        tenant_id: String,
        /// The file with the pod's token.
        token_file_path: String,
    },
    /// `oauth`: an application and its secret.
    OAuth {
        /// The application.
        client_id: String,
        /// Its secret.
        client_secret: Secret,
        /// Its directory.
        tenant_id: String,
    },
    /// `sdk`: what the environment offers.
    Sdk {
        /// The directory, where the environment does not say.
        tenant_id: String,
    },
    /// `certificate`: an application and its certificate.
    Certificate {
        /// The application.
        client_id: String,
        /// Its directory.
        tenant_id: String,
        /// The certificate, in PEM or PFX form.
        certificate_path: String,
        /// Its key, in PEM form; empty where it is in the same file.
        certificate_key_path: String,
        /// What opens a PFX file.
        certificate_password: Secret,
        /// Whether the whole chain is shown to the token server.
        send_certificate_chain: bool,
    },
}

impl AzureCloud {
    const ALL: [(&'static str, AzureCloud); 3] = [
        ("AzurePublic", AzureCloud::Public),
        ("AzureChina", AzureCloud::China),
        ("AzureGovernment", AzureCloud::Government),
    ];

    /// Upstream's name.
    pub fn as_str(self) -> &'static str {
        let found = AzureCloud::ALL.iter().find(|(_, cloud)| *cloud == self);
        found.map_or("", |(name, _)| name)
    }
}

impl AzureAdConfig {
    /// `environment` knows where the pod's token is, if it is in one.
    pub(crate) fn read(
        node: &Node,
        environment: &dyn Fn(&str) -> Option<String>,
        faults: &mut Faults,
    ) -> Result<AzureAdConfig, ConfigError> {
        let refuse = |message: &str| Err(ConfigError::at(node.line, message));
        let mut fields = Fields::open(node, "azuread.plain", faults);
        let cloud = fields.string("cloud", faults).unwrap_or_default();
        let scope = fields.string("scope", faults).unwrap_or_default();
        let methods = [
            read_managed_identity(&mut fields, faults),
            read_workload_identity(&mut fields, environment, faults),
            read_oauth(&mut fields, faults),
            read_sdk(&mut fields, faults),
            read_certificate(&mut fields, faults),
        ];
        fields.close(faults);
        let known = AzureCloud::ALL.iter().find(|(name, _)| *name == cloud);
        let cloud = match known {
            Some((_, cloud)) => *cloud,
            None if cloud.is_empty() => AzureCloud::Public,
            None => return refuse("must provide a cloud in the Azure AD config"),
        };
        let mut given = methods.into_iter().flatten();
        let Some(method) = given.next() else {
            return refuse(
                "must provide an Azure Managed Identity, Azure Workload Identity, Azure OAuth, Azure Certificate or Azure SDK in the Azure AD config",
            );
        };
        if given.next().is_some() {
            return refuse("cannot provide multiple authentication methods in the Azure AD config");
        }
        method
            .check()
            .map_err(|message| ConfigError::at(node.line, message))?;
        if !scope.chars().all(is_of_scope) {
            return refuse("the provided scope contains invalid characters");
        }
        Ok(AzureAdConfig {
            cloud,
            scope,
            method,
        })
    }
}

fn text(fields: &mut Fields<'_>, name: &str, faults: &mut Faults) -> String {
    fields.string(name, faults).unwrap_or_default()
}

fn read_managed_identity(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<AzureMethod> {
    let node = fields.take("managed_identity")?;
    let mut inner = Fields::open(node, "azuread.ManagedIdentityConfig", faults);
    let client_id = text(&mut inner, "client_id", faults);
    inner.close(faults);
    Some(AzureMethod::ManagedIdentity { client_id })
}

fn read_workload_identity(
    fields: &mut Fields<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
    faults: &mut Faults,
) -> Option<AzureMethod> {
    let node = fields.take("workload_identity")?;
    let mut inner = Fields::open(node, "azuread.WorkloadIdentityConfig", faults);
    let client_id = text(&mut inner, "client_id", faults);
    let tenant_id = text(&mut inner, "tenant_id", faults);
    let mut token_file_path = text(&mut inner, "token_file_path", faults);
    inner.close(faults);
    if token_file_path.is_empty() {
        let advertised = environment("AZURE_FEDERATED_TOKEN_FILE");
        let advertised = advertised.filter(|path| !path.is_empty());
        token_file_path = advertised.unwrap_or_else(|| TOKEN_FILE.into());
    }
    Some(AzureMethod::WorkloadIdentity {
        client_id,
        tenant_id,
        token_file_path,
    })
}

fn read_oauth(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<AzureMethod> {
    let node = fields.take("oauth")?;
    let mut inner = Fields::open(node, "azuread.OAuthConfig", faults);
    let method = AzureMethod::OAuth {
        client_id: text(&mut inner, "client_id", faults),
        client_secret: Secret::new(text(&mut inner, "client_secret", faults)),
        tenant_id: text(&mut inner, "tenant_id", faults),
    };
    inner.close(faults);
    Some(method)
}

fn read_sdk(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<AzureMethod> {
    let node = fields.take("sdk")?;
    let mut inner = Fields::open(node, "azuread.SDKConfig", faults);
    let tenant_id = text(&mut inner, "tenant_id", faults);
    inner.close(faults);
    Some(AzureMethod::Sdk { tenant_id })
}

fn read_certificate(fields: &mut Fields<'_>, faults: &mut Faults) -> Option<AzureMethod> {
    let node = fields.take("certificate")?;
    let mut inner = Fields::open(node, "azuread.CertificateConfig", faults);
    let method = AzureMethod::Certificate {
        client_id: text(&mut inner, "client_id", faults),
        tenant_id: text(&mut inner, "tenant_id", faults),
        certificate_path: text(&mut inner, "certificate_path", faults),
        certificate_key_path: text(&mut inner, "certificate_key_path", faults),
        certificate_password: Secret::new(text(&mut inner, "certificate_password", faults)),
        send_certificate_chain: inner
            .bool("send_certificate_chain", faults)
            .unwrap_or(false),
    };
    inner.close(faults);
    Some(method)
}

impl AzureMethod {
    /// What is missing or cannot be, in upstream's words and order.
    fn check(&self) -> Result<(), String> {
        let required = |what: &str, fields: &[(&str, bool)]| match fields.iter().find(|(_, is)| !is)
        {
            Some((field, _)) => Err(format!(
                "must provide an Azure {what} {field} in the Azure AD config"
            )),
            None => Ok(()),
        };
        let valid = |what: &str, field: &str, is: bool| {
            is.then_some(())
                .ok_or_else(|| format!("the provided Azure {what} {field} is invalid"))
        };
        match self {
            AzureMethod::ManagedIdentity { client_id } => valid(
                "Managed Identity",
                "client_id",
                client_id.is_empty() || is_uuid(client_id),
            ),
            AzureMethod::WorkloadIdentity {
                client_id,
                tenant_id,
                ..
            } => {
                let what = "Workload Identity";
                let given = [
                    ("client_id", !client_id.is_empty()),
                    ("tenant_id", !tenant_id.is_empty()),
                ];
                required(what, &given)?;
                valid(what, "client_id", is_uuid(client_id))?;
                valid(what, "tenant_id", is_uuid(tenant_id))
            }
            AzureMethod::OAuth {
                client_id,
                client_secret,
                tenant_id,
            } => {
                let given = [
                    ("client_id", !client_id.is_empty()),
                    ("client_secret", !client_secret.is_empty()),
                    ("tenant_id", !tenant_id.is_empty()),
                ];
                required("OAuth", &given)?;
                valid("OAuth", "client_id", is_uuid(client_id))?;
                valid("OAuth", "tenant_id", is_tenant(tenant_id))
            }
            AzureMethod::Sdk { tenant_id } => valid(
                "SDK",
                "tenant_id",
                tenant_id.is_empty() || is_tenant(tenant_id),
            ),
            AzureMethod::Certificate {
                client_id,
                tenant_id,
                certificate_path,
                ..
            } => {
                let what = "Certificate";
                let given = [
                    ("client_id", !client_id.is_empty()),
                    ("tenant_id", !tenant_id.is_empty()),
                    ("certificate_path", !certificate_path.is_empty()),
                ];
                required(what, &given)?;
                valid(what, "client_id", is_uuid(client_id))?;
                valid(what, "tenant_id", is_tenant(tenant_id))
            }
        }
    }
}

/// A UUID in one of the four spellings that upstream's library takes.
fn is_uuid(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let bare = lower
        .strip_prefix("urn:uuid:")
        .or_else(|| lower.strip_prefix('{')?.strip_suffix('}'));
    let dashed = bare.unwrap_or(&lower);
    let is_hex = |part: &str| part.bytes().all(|b| b.is_ascii_hexdigit());
    if bare.is_none() && dashed.len() == 32 {
        return is_hex(dashed);
    }
    let lengths: Vec<usize> = dashed.split('-').map(str::len).collect();
    lengths == [8, 4, 4, 4, 12] && dashed.split('-').all(is_hex)
}

/// A directory's ID or domain. Upstream's loader looks at it too, but finds fault only when a server starts.
fn is_tenant(text: &str) -> bool {
    text.chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.'))
}

/// Go's `\w` and `\s` are ASCII.
fn is_of_scope(c: char) -> bool {
    c.is_ascii_alphanumeric()
        || matches!(c, '_' | ':' | '/' | '.' | '-' | ' ' | '\t'..='\n' | '\x0c'..='\r')
}
