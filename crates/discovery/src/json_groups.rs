//! Target groups in JSON, which is read more strictly than YAML: texts are texts, and fields have to be known.

use std::collections::BTreeMap;

use configfile::sd::StaticConfig;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    #[serde(rename = "targets")]
    _targets: Option<Vec<Option<String>>>,
    #[serde(rename = "labels")]
    _labels: Option<BTreeMap<String, Option<String>>>,
}

/// Reads a list of groups.
pub fn parse(body: &[u8]) -> Result<Vec<StaticConfig>, String> {
    // JSON proper first, so that faults are told in its terms; the reader of target files takes it from there.
    let groups: Option<Vec<Option<Group>>> =
        serde_json::from_slice(body).map_err(|e| e.to_string())?;
    if groups.iter().flatten().any(Option::is_none) {
        return Err("nil target group item found".into());
    }
    let text = std::str::from_utf8(body).map_err(|e| e.to_string())?;
    configfile::sd::parse_target_file(text).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_group() {
        let good = br#"[{"targets": ["a:1"], "labels": {"env": "x"}}, {}]"#;
        assert_eq!(parse(good).map(|groups| groups.len()), Ok(2));
        for bad in [
            "",
            "{}",
            "[null]",
            r#"[{"targets": "a:1"}]"#,
            r#"[{"targets": [1]}]"#,
            r#"[{"targets": [], "labels": {"a": 1}}]"#,
            r#"[{"targets": [], "labels": {"a": true}}]"#,
            r#"[{"targets": [], "label": {}}]"#,
            r#"[] x"#,
            "- targets: ['a:1']",
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
