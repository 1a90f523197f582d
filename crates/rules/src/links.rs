//! Links from alerts back to the server.

/// Where an alert's expression can be looked at.
pub fn generator_url(external_url: &str, expr: &str) -> String {
    format!("{external_url}{}", gotemplate::alerting::link(expr, 1))
}
