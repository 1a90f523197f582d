//! Role `ingress`: a target for each rule and path.

use super::Draft;
use super::labels::LabelMap;
use super::object::{Ingress, Kind};

/// The ingress's targets.
pub fn draft(ingress: &Ingress) -> Draft {
    let mut draft = Draft::default();
    let (meta, spec) = (&ingress.metadata, &ingress.spec);
    draft.labels.set("namespace", &meta.namespace);
    draft
        .labels
        .set_some("ingress_class_name", spec.ingress_class_name.as_ref());
    draft.labels.set_meta(Kind::Ingress, meta);
    for rule in &spec.rules {
        let mut encrypted = spec.tls.iter().flat_map(|tls| &tls.hosts);
        let scheme = match encrypted.any(|pattern| matches_host(pattern, &rule.host)) {
            true => "https",
            false => "http",
        };
        // A rule that says nothing of paths is for all of them; one with an empty list is for none.
        let paths: Vec<&str> = match &rule.http {
            None => vec!["/"],
            Some(http) => http.paths.iter().map(|p| p.path.as_str()).collect(),
        };
        for path in paths {
            let mut target = LabelMap::default();
            target.set_plain("__address__", &rule.host);
            target.set("ingress_scheme", scheme);
            target.set("ingress_host", &rule.host);
            target.set("ingress_path", if path.is_empty() { "/" } else { path });
            draft.targets.push(target);
        }
    }
    draft
}

/// Whether a certificate's host is that of a rule; a `*` in front stands for one element, be it empty.
fn matches_host(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    let (first, rest) = split(pattern);
    first == "*" && rest == split(host).1
}

/// The first element of a host, and the others.
fn split(host: &str) -> (&str, Option<&str>) {
    match host.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (host, None),
    }
}
