//! Labels that tell what is known of an object.

use std::collections::BTreeMap;

use model::Labels;

use super::object::{Kind, Meta};

/// What all of a cluster's labels begin with.
const PREFIX: &str = "__meta_kubernetes_";

/// Labels while they are put together: what is set later wins.
#[derive(Clone, Debug, Default)]
pub struct LabelMap(BTreeMap<String, String>);

impl LabelMap {
    /// Sets `name` as it stands.
    pub fn set_plain(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.into(), value.into());
    }

    /// Sets `__meta_kubernetes_<name>`.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(format!("{PREFIX}{name}"), value.into());
    }

    /// As [`LabelMap::set`], if there is a value.
    pub fn set_some(&mut self, name: &str, value: Option<impl Into<String>>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// Adds an object's name, labels and annotations.
    pub fn set_meta(&mut self, kind: Kind, meta: &Meta) {
        self.set(&format!("{}_name", kind.as_str()), &meta.name);
        self.set_tags(kind, meta);
    }

    /// Adds an object's labels and annotations.
    pub fn set_tags(&mut self, kind: Kind, meta: &Meta) {
        let kind = kind.as_str();
        for (what, tags) in [("label", &meta.labels), ("annotation", &meta.annotations)] {
            for (name, value) in tags {
                let name = sanitized(name);
                self.set(&format!("{kind}_{what}_{name}"), value);
                self.set(&format!("{kind}_{what}present_{name}"), "true");
            }
        }
    }

    /// Takes all of `other`.
    pub fn merge(&mut self, other: &LabelMap) {
        let pairs = other.0.iter().map(|(n, v)| (n.clone(), v.clone()));
        self.0.extend(pairs);
    }

    /// The labels.
    pub fn build(&self) -> Labels {
        Labels::from_pairs(&self.0)
    }
}

/// A name as a label may have it: what else than ASCII letters, digits and `_` is in it becomes `_`.
pub fn sanitized(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

/// `host:port`, with brackets around an IPv6 address.
pub fn join_host_port(host: &str, port: i32) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}
