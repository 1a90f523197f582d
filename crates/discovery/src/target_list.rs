//! Lists of targets as files and servers hand them out: YAML, or JSON that is read by other rules than YAML's.

use std::path::Path;

use configfile::sd::{StaticConfig, parse_target_file};
use model::Labels;
use serde_json::error::Category;
use serde_json::{Map, Value};

/// What a group is, in errors that people know.
const GROUP: &str =
    r#"struct { Targets []string "json:\"targets\""; Labels model.LabelSet "json:\"labels\"" }"#;

/// The groups in a file's `content`; the name's ending tells which language it is in.
pub fn read_file(path: &Path, content: &[u8]) -> Result<Vec<StaticConfig>, String> {
    let json = path
        .extension()
        .is_some_and(|ending| ending.eq_ignore_ascii_case("json"));
    if json {
        return read_json(content);
    }
    let text = std::str::from_utf8(content).map_err(|e| e.to_string())?;
    parse_target_file(text).map_err(|e| e.to_string())
}

/// The groups in a JSON document.
pub fn read_json(content: &[u8]) -> Result<Vec<StaticConfig>, String> {
    let list = serde_json::from_str(&String::from_utf8_lossy(content));
    match list.map_err(|e| broken(&e))? {
        Value::Null => Ok(Vec::new()),
        Value::Array(groups) => groups.into_iter().map(read_group).collect(),
        other => Err(mismatch(&other, "value", "[]*targetgroup.Group")),
    }
}

fn broken(error: &serde_json::Error) -> String {
    match error.classify() {
        Category::Eof => "unexpected end of JSON input".into(),
        _ => error.to_string(),
    }
}

fn read_group(group: Value) -> Result<StaticConfig, String> {
    let fields = match group {
        Value::Null => return Err("nil target group item found".into()),
        Value::Object(fields) => fields,
        other => return Err(mismatch(&other, "value", GROUP)),
    };
    let (mut targets, mut labels) = (Vec::new(), Labels::empty());
    for (name, value) in fields {
        // Names are told apart without regard to case.
        match name.to_lowercase().as_str() {
            "targets" => targets = read_targets(value)?,
            "labels" => labels = read_labels(value)?,
            _ => return Err(format!("json: unknown field {name:?}")),
        }
    }
    Ok(StaticConfig { targets, labels })
}

fn read_targets(value: Value) -> Result<Vec<String>, String> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(targets) => targets
            .into_iter()
            .map(|target| read_text(target, "struct field .targets", "string"))
            .collect(),
        other => Err(mismatch(&other, "struct field .targets", "[]string")),
    }
}

fn read_labels(value: Value) -> Result<Labels, String> {
    const FIELD: &str = "struct field .labels";
    let pairs: Map<String, Value> = match value {
        Value::Null => Map::new(),
        Value::Object(pairs) => pairs,
        other => {
            let map = "map[model.LabelName]model.LabelValue";
            return Err(mismatch(&other, FIELD, map));
        }
    };
    let mut labels = Vec::with_capacity(pairs.len());
    for (name, value) in pairs {
        if name.is_empty() {
            return Err(format!("{name:?} is not a valid label name"));
        }
        labels.push((name, read_text(value, FIELD, "model.LabelValue")?));
    }
    Ok(Labels::from_pairs(labels))
}

fn read_text(value: Value, place: &str, wanted: &str) -> Result<String, String> {
    match value {
        Value::Null => Ok(String::new()),
        Value::String(text) => Ok(text),
        other => Err(mismatch(&other, place, wanted)),
    }
}

fn mismatch(found: &Value, place: &str, wanted: &str) -> String {
    let found = match found {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    format!("json: cannot unmarshal {found} into Go {place} of type {wanted}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match read_json(text.as_bytes()) {
            Ok(groups) => groups
                .iter()
                .map(|group| format!("{}{}", group.targets.join(","), group.labels))
                .collect::<Vec<_>>()
                .join(" "),
            Err(error) => error,
        }
    }

    #[test]
    fn json_is_read_as_json() {
        for (text, expected) in [
            (
                r#"[{"targets": ["a:1", "b:1"], "labels": {"x": "y"}}, {}]"#,
                r#"a:1,b:1{x="y"} {}"#,
            ),
            (
                r#"[{"Targets": ["a:1"], "LABELS": {"X": "y"}}]"#,
                r#"a:1{X="y"}"#,
            ),
            (
                r#"[{"targets": ["\ud83d\ude00"], "labels": {"a-b": null}}]"#,
                "\u{1f600}{}",
            ),
            (r#"[{"targets": [null], "labels": null}]"#, "{}"),
            ("null", ""),
            ("[]", ""),
            ("", "unexpected end of JSON input"),
            ("[{", "unexpected end of JSON input"),
            ("[] x", "trailing characters at line 1 column 4"),
            ("[null]", "nil target group item found"),
            (
                "{}",
                "json: cannot unmarshal object into Go value of type []*targetgroup.Group",
            ),
            (r#"[{"target": []}]"#, r#"json: unknown field "target""#),
            (r#"[{"source": "s"}]"#, r#"json: unknown field "source""#),
            (
                r#"[{"targets": [1]}]"#,
                "json: cannot unmarshal number into Go struct field .targets of type string",
            ),
            (
                r#"[{"targets": "a:1"}]"#,
                "json: cannot unmarshal string into Go struct field .targets of type []string",
            ),
            (
                r#"[{"labels": {"a": 1}}]"#,
                "json: cannot unmarshal number into Go struct field .labels of type model.LabelValue",
            ),
            (
                r#"[{"labels": ["a"]}]"#,
                "json: cannot unmarshal array into Go struct field .labels of type \
                 map[model.LabelName]model.LabelValue",
            ),
            (
                r#"[{"labels": {"": "a"}}]"#,
                r#""" is not a valid label name"#,
            ),
            (
                "[true]",
                r#"json: cannot unmarshal bool into Go value of type struct { Targets []string "json:\"targets\""; Labels model.LabelSet "json:\"labels\"" }"#,
            ),
        ] {
            assert_eq!(shown(text), expected, "{text}");
        }
    }

    #[test]
    fn the_ending_tells_the_language() {
        let yaml = b"- targets: [1]\n  labels: {a: 1}\n";
        let read = |name: &str, content: &[u8]| read_file(Path::new(name), content);
        let groups = read("t.yml", yaml).expect("YAML takes numbers for text");
        assert_eq!(groups[0].targets, ["1"]);
        assert!(read("t.json", yaml).is_err());
        assert!(read("t.YAML", yaml).is_ok());
        assert!(read("t.JSON", br#"[{"Targets": []}]"#).is_ok());
        let twice = read("t.yml", b"- labels: {a: b, a: c}\n").expect_err("refused");
        assert_eq!(
            twice,
            "yaml: unmarshal errors:\n  line 1: key \"a\" already set in map"
        );
    }
}
