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
        let mut paths: Vec<&str> = rule.http.paths.iter().map(|p| p.path.as_str()).collect();
        if paths.is_empty() {
            paths.push("/");
        }
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

/// Whether a certificate's host is that of a rule; `*.` stands for one element.
fn matches_host(pattern: &str, host: &str) -> bool {
    if pattern == host {
        return true;
    }
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(pattern), Some((first, rest))) => !first.is_empty() && pattern == rest,
        _ => false,
    }
}
