//! From what discovery finds to the URLs of Alertmanagers.

use std::collections::BTreeSet;
use std::sync::Arc;

use configfile::alerting::AlertmanagerConfig;
use discovery::TargetGroup;
use discovery::group::ADDRESS;
use model::relabel::relabel;
use model::{Labels, LabelsBuilder};

const SCHEME: &str = "__scheme__";
const PATH: &str = "__alerts_path__";

/// What became of the targets of a set.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    /// Where to send.
    pub urls: BTreeSet<String>,
    /// What relabelling dropped.
    pub dropped: Vec<String>,
}

/// `/` + prefix + `/api/v2/alerts`, without doubled slashes.
fn post_path(prefix: &str) -> String {
    let mut path = String::new();
    for part in prefix.split('/').chain(["api", "v2", "alerts"]) {
        match part {
            "" | "." => {}
            ".." => path.truncate(path.rfind('/').unwrap_or(0)),
            part => {
                path.push('/');
                path.push_str(part);
            }
        }
    }
    path
}

fn url_of(labels: &Labels) -> String {
    let get = |name| labels.get(name).unwrap_or("");
    let path = get(PATH);
    let slash = if path.starts_with('/') { "" } else { "/" };
    format!("{}://{}{slash}{path}", get(SCHEME), get(ADDRESS))
}

/// The first of a group's addresses, after relabelling, that cannot be one: what is wrong with it.
pub fn fault_of(group: &TargetGroup, config: &AlertmanagerConfig) -> Option<String> {
    labels_of(group, config).find_map(|before| {
        let labels = relabel(&before, &config.relabel_configs)?;
        let address = labels.get(ADDRESS).unwrap_or("");
        let quoted = model::labels::go_quote(address);
        address
            .contains('/')
            .then(|| format!("{quoted} is not a valid hostname"))
    })
}

/// The labels of a group's targets before relabelling.
fn labels_of<'a>(
    group: &'a TargetGroup,
    config: &'a AlertmanagerConfig,
) -> impl Iterator<Item = Labels> + 'a {
    group.targets.iter().map(move |target| {
        let mut builder = LabelsBuilder::new(&group.labels);
        for (name, value) in target {
            builder.set(name, value);
        }
        builder.set(SCHEME, config.scheme.as_str());
        builder.set(PATH, post_path(&config.path_prefix));
        builder.build()
    })
}

/// The Alertmanagers of a set's groups.
pub(super) fn alertmanagers_of(groups: &[Arc<TargetGroup>], config: &AlertmanagerConfig) -> Found {
    let mut found = Found::default();
    for group in groups {
        for before in labels_of(group, config) {
            let Some(labels) = relabel(&before, &config.relabel_configs) else {
                found.dropped.push(url_of(&before));
                continue;
            };
            let address = labels.get(ADDRESS).unwrap_or("");
            if address.is_empty() || address.contains('/') {
                tracing::error!(
                    component = "notifier",
                    address,
                    "Creating alertmanagers failed: not a valid address"
                );
                continue;
            }
            found.urls.insert(url_of(&labels));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use configfile::Config;

    #[test]
    fn urls_and_what_is_dropped() {
        let text = "alerting:\n  alertmanagers:\n  - path_prefix: /am/\n    scheme: https\n    static_configs: [{targets: ['a:1', 'b:2', 'a:1', 'c:3']}]\n    relabel_configs:\n    - {source_labels: [__address__], regex: 'b.*', action: drop}\n    - {source_labels: [__address__], regex: 'c.*', target_label: __alerts_path__, replacement: /x}\n";
        let config = Config::parse(text, &|_| None).expect("loads");
        let set = &config.alerting.alertmanagers[0];
        let configfile::sd::SdConfig::Static(targets) = &set.sd_configs[0] else {
            panic!("static")
        };
        let group = Arc::new(TargetGroup::from_static("0".into(), targets));
        let found = alertmanagers_of(&[group], set);
        let urls: Vec<&str> = found.urls.iter().map(String::as_str).collect();
        assert_eq!(urls, ["https://a:1/am/api/v2/alerts", "https://c:3/x"]);
        assert_eq!(found.dropped, ["https://b:2/am/api/v2/alerts"]);
        assert_eq!(post_path(""), "/api/v2/alerts");
    }
}
