//! Lists of targets as files and servers hand them out.

use std::path::Path;

use configfile::sd::{parse_json_target_file, read_target_file};

fn shown(text: &str) -> String {
    match parse_json_target_file(text) {
        Ok(groups) => groups
            .iter()
            .map(|group| format!("{}{}", group.targets.join(","), group.labels))
            .collect::<Vec<_>>()
            .join(" "),
        Err(error) => error.to_string(),
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
        ("[null]", "nil target group item found (index 0)"),
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
    let read = |name: &str, content: &[u8]| {
        read_target_file(Path::new(name), content).map_err(|e| e.to_string())
    };
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
