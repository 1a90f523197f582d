//! `tracing`: checked as upstream checks it; this build exports no traces.

use crate::decode::{ConfigError, Faults, Fields};
use crate::http_client::TlsConfig;
use crate::yaml::Node;

/// Checks the section.
pub(crate) fn check(node: &Node, faults: &mut Faults) -> Result<(), ConfigError> {
    let refuse = |message: String| Err(ConfigError::at(node.line, message));
    let mut fields = Fields::open(node, "config.plain", faults);
    let client = fields.string("client_type", faults);
    let client = client.unwrap_or_else(|| "grpc".into());
    let endpoint = fields.string("endpoint", faults).unwrap_or_default();
    let compression = fields.string("compression", faults).unwrap_or_default();
    crate::remote::take_headers(
        &mut fields,
        "custom authorization header configuration is not yet supported",
        faults,
    )?;
    fields.float("sampling_fraction", faults);
    fields.bool("insecure", faults);
    fields.duration("timeout", faults)?;
    if let Some(tls) = fields.take("tls_config") {
        crate::decode::sound(TlsConfig::read(tls, faults))?;
    }
    fields.close_sound(faults)?;
    if !["grpc", "http"].contains(&client.as_str()) {
        return refuse(format!(
            "expected tracing client type to be to be http or grpc, but got {client}"
        ));
    }
    if endpoint.is_empty() {
        return refuse("tracing endpoint must be set".into());
    }
    if !["", "gzip"].contains(&compression.as_str()) {
        return refuse(format!(
            "invalid compression type {compression} provided, valid options: gzip"
        ));
    }
    Ok(())
}
