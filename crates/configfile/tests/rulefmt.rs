//! Rule files: upstream's own, those that people run, and broken ones.

use std::path::{Path, PathBuf};

use configfile::rules::{RuleFile, RuleFileOptions, RuleKind};
use configfile::yaml;
use model::relabel::NameValidation;

fn corpus(name: &str) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/conformance")
        .join(name);
    if !dir.is_dir() {
        eprintln!("skipped: ../shared/conformance/{name} is not there");
        return None;
    }
    Some(dir)
}

fn files(dir: &Path) -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> = std::fs::read_dir(dir)
        .expect("readable")
        .flatten()
        .filter(|entry| entry.path().is_file())
        .map(|entry| {
            let text = std::fs::read(entry.path()).expect("readable");
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, String::from_utf8_lossy(&text).into_owned())
        })
        .collect();
    all.sort();
    all
}

#[test]
fn upstreams_files() {
    let Some(dir) = corpus("rulefmt") else { return };
    let wanted = [
        (
            "bad_expr.bad.yaml",
            "5:15: group \"yolo\", rule 1, \"yolo\": could not parse expression: 1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "bad_field.bad.yaml",
            "yaml: unmarshal errors:\n  line 8: field annotation not found in type rulefmt.Rule",
        ),
        (
            "duplicate_grp.bad.yaml",
            "3:5: groupname: \"yolo\" is repeated in the same file",
        ),
        (
            "invalid_label_name.bad.yaml",
            "group \"yolo\", rule 1, \"hola\": invalid label name: __name__",
        ),
        (
            "invalid_record_name.bad.yaml",
            "4:17: group \"yolo\", rule 1, \"strawberry{flavor=\\\"sweet\\\"}\": braces present in the recording rule name; should it be in expr?: strawberry{flavor=\"sweet\"}",
        ),
        (
            "legacy_validation_annotation.bad.yaml",
            "group \"yolo\", rule 1, \"hola\": invalid annotation name: ins-tance",
        ),
        (
            "no_rec_alert.bad.yaml",
            "0:0: 0:0: group \"yolo\", rule 1, \"\": one of 'record' or 'alert' must be set",
        ),
        (
            "noexpr.bad.yaml",
            "0:0: group \"yolo\", rule 1, \"ylo\": field 'expr' must be set in rule",
        ),
        (
            "record_and_alert.bad.yaml",
            "4:17: 5:16: group \"yolo\", rule 1, \"Hello\": only one of 'record' and 'alert' must be set",
        ),
        (
            "record_and_for.bad.yaml",
            "4:17: group \"yolo\", rule 1, \"Hello\": invalid field 'for' in recording rule",
        ),
        (
            "record_and_keep_firing_for.bad.yaml",
            "4:17: group \"yolo\", rule 1, \"Hello\": invalid field 'keep_firing_for' in recording rule",
        ),
    ];
    let mut refused = 0;
    for (name, text) in files(&dir) {
        let options = RuleFileOptions {
            names: if name.starts_with("legacy_") {
                NameValidation::Legacy
            } else {
                NameValidation::Utf8
            },
            ..RuleFileOptions::default()
        };
        let result = RuleFile::parse(&text, &options);
        match wanted.iter().find(|(bad, _)| *bad == name) {
            Some((_, message)) => {
                refused += 1;
                assert_eq!(result.expect_err(&name)[0], *message, "{name}");
            }
            None => {
                let file = result.unwrap_or_else(|e| panic!("{name}: {e:?}"));
                assert!(!file.groups.is_empty(), "{name}");
            }
        }
    }
    assert_eq!(refused, wanted.len());
}

#[test]
fn rules_that_people_run() {
    let (mut objects, mut rules) = (0, 0);
    for folder in ["rules", "stack-manifests", "stack-manifests/thanos"] {
        let Some(dir) = corpus(folder) else { return };
        for (name, text) in files(&dir) {
            if !text.contains("kind: PrometheusRule") {
                continue;
            }
            let node = yaml::parse(&text).unwrap_or_else(|e| panic!("{name}: {e}"));
            let spec = node.get("spec").expect("spec");
            let file = RuleFile::from_node(spec, &RuleFileOptions::default())
                .unwrap_or_else(|e| panic!("{name}: {e:?}"));
            objects += 1;
            rules += file.groups.iter().map(|g| g.rules.len()).sum::<usize>();
        }
    }
    println!("{objects} objects, {rules} rules");
    assert!(objects >= 8 && rules > 200, "{objects} {rules}");
}

#[test]
fn fields() {
    let text = "groups:\n- name: g\n  interval: 1m30s\n  query_offset: 10s\n  limit: 5\n  labels: {team: a}\n  rules:\n  - alert: A\n    expr: up == 0\n    for: 5m\n    keep_firing_for: 1h\n    labels: {severity: '{{ $value }}'}\n    annotations: {summary: x}\n  - record: r:s\n    expr: 1\n- name: empty\n";
    let file = RuleFile::parse(text, &RuleFileOptions::default()).expect("loads");
    let group = &file.groups[0];
    assert_eq!(
        (group.interval, group.query_offset, group.limit),
        (Some(90_000), Some(10_000), 5)
    );
    assert_eq!(group.labels, [("team".to_string(), "a".to_string())]);
    assert_eq!(group.rules[0].kind, RuleKind::Alert("A".into()));
    assert_eq!(
        (group.rules[0].hold_for, group.rules[0].keep_firing_for),
        (300_000, 3_600_000)
    );
    assert_eq!(group.rules[1].kind, RuleKind::Record("r:s".into()));
    assert!(file.groups[1].rules.is_empty());
    assert_eq!(
        RuleFile::parse("", &RuleFileOptions::default()),
        Ok(RuleFile::default())
    );
    let twice = "groups: []\n---\nnonsense\n";
    assert!(RuleFile::parse(twice, &RuleFileOptions::default()).is_ok());
}

#[test]
fn refusals() {
    for (text, message) in [
        ("groups:\n- rules: []\n", "2:3: Groupname must not be empty"),
        (
            "groups:\n- name: a\n  rules:\n  - alert: X\n    expr: 1\n    annotations:\n      s: '{{ foo }}'\n",
            "group \"a\", rule 1, \"X\": annotation \"s\": template: __alert_X:1: function \"foo\" not defined",
        ),
        (
            "groups:\n- name: a\n  rules:\n  - alert: X\n    expr: 1\n    labels:\n      s: '{{ if }}'\n",
            "group \"a\", rule 1, \"X\": label \"s\": template: __alert_X:1: missing value for if",
        ),
        (
            "groups:\n- name: a\n  rules:\n  - record: x\n    expr: 1\n    annotations: {a: b}\n",
            "4:13: group \"a\", rule 1, \"x\": invalid field 'annotations' in recording rule",
        ),
        (
            "groups:\n- name: a\n  labels: {__name__: x}\n",
            "invalid label name: __name__",
        ),
        (
            "groups:\n- name: a\n  interval: 5x\n",
            "unknown unit \"x\" in duration \"5x\" (line 3: interval)",
        ),
        (
            "groups:\n- name: a\n  rules: [{record: '', expr: up}]\n",
            "3:20: 0:0: group \"a\", rule 1, \"\": one of 'record' or 'alert' must be set",
        ),
        (
            "groups:\n- name: a\n  name: b\n",
            "yaml: unmarshal errors:\n  line 3: mapping key \"name\" already defined at line 2",
        ),
        (
            "groups:\n- name: a\n  rules: []\n   limit: 5\n",
            "yaml: line 1: did not find expected key",
        ),
        (
            "groups:\n- name: a\n  rules:\n  - alert: X\n    expr: sum(\n",
            "5:11: group \"a\", rule 1, \"X\": could not parse expression: 1:5: parse error: unclosed left parenthesis",
        ),
        (
            "group:\n- name: a\n",
            "yaml: unmarshal errors:\n  line 1: field group not found in type rulefmt.RuleGroups",
        ),
    ] {
        let errors = RuleFile::parse(text, &RuleFileOptions::default()).expect_err(text);
        assert_eq!(errors[0], message, "{text}");
    }
    // What upstream tells of both its readings, and what only of the strict one.
    for (text, again) in [
        (
            "groups: a\n",
            Some(
                "yaml: unmarshal errors:\n  line 1: cannot unmarshal !!str `a` into []rulefmt.RuleGroupNode",
            ),
        ),
        (
            "groups: [\n",
            Some("yaml: line 1: did not find expected node content"),
        ),
        ("foo: 1\n", None),
    ] {
        let errors = RuleFile::parse(text, &RuleFileOptions::default()).expect_err(text);
        assert_eq!(errors.get(1).map(String::as_str), again, "{text}");
    }
    // Nothing is no group and no rule.
    for text in ["groups: [~]\n", "groups: [{name: a, rules: [~]}]\n", "~\n"] {
        assert!(
            RuleFile::parse(text, &RuleFileOptions::default()).is_ok(),
            "{text}"
        );
    }
    let options = RuleFileOptions {
        ignore_unknown_fields: true,
        ..RuleFileOptions::default()
    };
    assert!(RuleFile::parse("group: 1\ngroups: []\n", &options).is_ok());
}

#[test]
fn mutated_files_never_panic() {
    let seed = "groups:\n- name: g\n  interval: 1m\n  rules:\n  - alert: A\n    expr: rate(up[5m]) == 0\n    for: 5m\n    labels: {a: '{{ $labels.x }}'}\n  - &r\n    record: r:s\n    expr: sum by (job) (up)\n  - *r\n";
    let mut state = 12345u64;
    let mut next = |n: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as usize % n
    };
    let mut loaded = 0;
    for _ in 0..5000 {
        let mut bytes = seed.as_bytes().to_vec();
        for _ in 0..1 + next(3) {
            if bytes.is_empty() {
                break;
            }
            let at = next(bytes.len());
            match next(3) {
                0 => bytes[at] = b" \n-:{}[]'\"&*<>x0"[next(16)],
                1 => {
                    bytes.remove(at);
                }
                _ => bytes.truncate(at.max(1)),
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        loaded += usize::from(RuleFile::parse(&text, &RuleFileOptions::default()).is_ok());
    }
    assert!(loaded > 100, "{loaded}");
}
