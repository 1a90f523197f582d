//! Who one is to a cloud: at most one of `sigv4`, `azuread` and `google_iam`, and then nothing else.

use crate::azuread::AzureAdConfig;
use crate::decode::{ConfigError, Faults, Fields};
use crate::google_iam::GoogleIamConfig;
use crate::http_client::HttpClientConfig;
use crate::sigv4::Sigv4Config;

/// The identity that requests are made with.
#[derive(Clone, Debug, PartialEq)]
pub enum CloudIdentity {
    /// `sigv4`
    Sigv4(Sigv4Config),
    /// `azuread`
    AzureAd(AzureAdConfig),
    /// `google_iam`
    GoogleIam(GoogleIamConfig),
}

impl CloudIdentity {
    /// Takes the three sections out of a section's fields; `http` is what it says of authentication otherwise, where that
    /// is sound.
    pub(crate) fn take(
        fields: &mut Fields<'_>,
        http: Option<&HttpClientConfig>,
        environment: &dyn Fn(&str) -> Option<String>,
        faults: &mut Faults,
    ) -> Result<Option<CloudIdentity>, ConfigError> {
        let line = fields.line;
        let mut given = Vec::new();
        if let Some(node) = fields.take("sigv4") {
            let config = Sigv4Config::read(node, faults)?;
            given.push(("sigv4", CloudIdentity::Sigv4(config)));
        }
        if let Some(node) = fields.take("azuread") {
            let config = AzureAdConfig::read(node, environment, faults)?;
            given.push(("azuread", CloudIdentity::AzureAd(config)));
        }
        if let Some(node) = fields.take("google_iam") {
            let config = GoogleIamConfig::read(node, faults);
            given.push(("google_iam", CloudIdentity::GoogleIam(config)));
        }
        let others = [
            (
                "basic_auth",
                http.is_some_and(|http| http.basic_auth.is_some()),
            ),
            (
                "authorization",
                http.is_some_and(|http| http.authorization.is_some()),
            ),
            ("oauth2", http.is_some_and(|http| http.oauth2.is_some())),
        ];
        let others = others.iter().filter(|(_, is)| *is).map(|(name, _)| *name);
        let names: Vec<&str> = others.chain(given.iter().map(|(name, _)| *name)).collect();
        if names.len() > 1 {
            return Err(ConfigError::at(
                line,
                format!(
                    "at most one of basic_auth, authorization, oauth2, sigv4, azuread or google_iam must be configured. Currently configured: [{}]",
                    names.join(" ")
                ),
            ));
        }
        Ok(given.pop().map(|(_, identity)| identity))
    }
}
