//! `alerting`: where alerts go and how they are rewritten on the way.

use std::path::Path;

use model::relabel::{NameValidation, RelabelRule};

use crate::decode::{ConfigError, Faults, Fields, sound, text};
use crate::http_client::HttpClientConfig;
use crate::relabel::read_rules;
use crate::sd::{SdConfig, take_sd_configs};
use crate::sigv4::Sigv4Config;
use crate::yaml::Node;

/// `alerting`
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AlertingConfig {
    /// Rules for every alert.
    pub alert_relabel_configs: Vec<RelabelRule>,
    /// Sets of Alertmanagers; an alert goes to all of every set.
    pub alertmanagers: Vec<AlertmanagerConfig>,
}

/// `alerting.alertmanagers[]`
#[derive(Clone, Debug, PartialEq)]
pub struct AlertmanagerConfig {
    /// `http` or `https`.
    pub scheme: String,
    /// Before `/api/v2/alerts`.
    pub path_prefix: String,
    /// Milliseconds that a request may take.
    pub timeout: i64,
    /// How to ask.
    pub http: HttpClientConfig,
    /// Whose signature requests carry.
    pub sigv4: Option<Sigv4Config>,
    /// Where Alertmanagers are found.
    pub sd_configs: Vec<SdConfig>,
    /// Rules for what is found.
    pub relabel_configs: Vec<RelabelRule>,
    /// Rules for the alerts sent to this set.
    pub alert_relabel_configs: Vec<RelabelRule>,
}

impl AlertingConfig {
    pub(crate) fn read(
        node: &Node,
        validation: NameValidation,
        faults: &mut Faults,
    ) -> Result<AlertingConfig, ConfigError> {
        let mut fields = Fields::open(node, "config.plain", faults);
        let rules = fields.list("alert_relabel_configs", "[]*relabel.Config", faults);
        let sets = fields.list("alertmanagers", "config.AlertmanagerConfigs", faults);
        fields.close(faults);
        let alert_relabel_configs = read_rules(
            &rules,
            "empty or null alert relabeling rule",
            validation,
            faults,
        )?;
        let mut alertmanagers = Vec::new();
        for node in sets {
            alertmanagers.extend(sound(AlertmanagerConfig::read(node, validation, faults))?);
        }
        Ok(AlertingConfig {
            alert_relabel_configs,
            alertmanagers,
        })
    }

    pub(crate) fn resolve_paths(&mut self, dir: &Path) {
        for set in &mut self.alertmanagers {
            set.http.resolve_paths(dir);
            set.sd_configs
                .iter_mut()
                .for_each(|sd| sd.resolve_paths(dir));
        }
    }
}

impl AlertmanagerConfig {
    fn read(
        node: &Node,
        validation: NameValidation,
        faults: &mut Faults,
    ) -> Result<AlertmanagerConfig, ConfigError> {
        let mut fields = Fields::open(node, "config.AlertmanagerConfig", faults);
        let scheme = fields.string("scheme", faults).unwrap_or_default();
        let version = fields
            .take("api_version")
            .and_then(|node| text(node, "config.plain", faults));
        if let Some(version) = version.filter(|version| version != "v2") {
            return Err(ConfigError::at(
                node.line,
                format!("expected Alertmanager api version to be one of [v2] but got {version}"),
            ));
        }
        let http = HttpClientConfig::take(&mut fields, faults)?;
        let sigv4 = match fields.take("sigv4") {
            Some(node) => Some(Sigv4Config::read(node, faults)?),
            None => None,
        };
        let has_other =
            http.basic_auth.is_some() || http.authorization.is_some() || http.oauth2.is_some();
        if has_other && sigv4.is_some() {
            return Err(ConfigError::at(
                node.line,
                "at most one of basic_auth, authorization, oauth2, & sigv4 must be configured",
            ));
        }
        let sd_configs = take_sd_configs(&mut fields, faults)?;
        let target_rules = fields.list("relabel_configs", "[]*relabel.Config", faults);
        let alert_rules = fields.list("alert_relabel_configs", "[]*relabel.Config", faults);
        let config = AlertmanagerConfig {
            scheme: if scheme.is_empty() {
                "http".into()
            } else {
                scheme
            },
            path_prefix: fields.string("path_prefix", faults).unwrap_or_default(),
            timeout: fields.duration("timeout", faults)?.unwrap_or(10_000),
            relabel_configs: read_rules(
                &target_rules,
                "empty or null Alertmanager target relabeling rule",
                validation,
                faults,
            )?,
            alert_relabel_configs: read_rules(
                &alert_rules,
                "empty or null Alertmanager alert relabeling rule",
                validation,
                faults,
            )?,
            http,
            sigv4,
            sd_configs,
        };
        fields.close_sound(faults)?;
        if config.relabel_configs.is_empty() {
            crate::scrape::check_static_addresses(&config.sd_configs)
                .map_err(|e| ConfigError::at(node.line, e))?;
        }
        Ok(config)
    }
}
