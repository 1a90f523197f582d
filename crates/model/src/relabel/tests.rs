use super::*;

fn rule(change: impl FnOnce(&mut RuleFields)) -> RelabelRule {
    let mut fields = RuleFields::default();
    change(&mut fields);
    RelabelRule::new(fields, NameValidation::Utf8).expect("valid rule")
}

fn sources(fields: &mut RuleFields, names: &[&str]) {
    fields.source_labels = names.iter().map(|n| n.to_string()).collect();
}

fn run(input: &[(&str, &str)], rules: &[RelabelRule]) -> Option<String> {
    relabel(&Labels::from_pairs(input.iter().copied()), rules).map(|l| l.to_string())
}

#[test]
fn every_action() {
    let input = [("a", "foo"), ("b", "bar"), ("c", "baz")];
    let replace = rule(|f| {
        sources(f, &["a", "b"]);
        f.regex = "f(.*);(.*)r".into();
        f.target_label = "a".into();
        f.replacement = "b${1}${2}m".into();
    });
    assert_eq!(
        run(&input, &[replace]).as_deref(),
        Some(r#"{a="boobam", b="bar", c="baz"}"#)
    );
    let by_regex = |action, regex: &str| {
        rule(|f| {
            sources(f, &["a"]);
            f.regex = regex.into();
            f.action = action;
        })
    };
    assert_eq!(run(&input, &[by_regex(Action::Drop, ".*o.*")]), None);
    assert!(
        run(&input, &[by_regex(Action::Drop, "o")]).is_some(),
        "the regex is anchored"
    );
    assert_eq!(run(&input, &[by_regex(Action::Keep, "no-match")]), None);
    assert!(run(&input, &[by_regex(Action::Keep, "f.*")]).is_some());
    let equal = |action, target: &str| {
        rule(|f| {
            sources(f, &["a"]);
            f.target_label = target.into();
            f.action = action;
        })
    };
    assert_eq!(run(&input, &[equal(Action::KeepEqual, "b")]), None);
    assert!(run(&input, &[equal(Action::DropEqual, "b")]).is_some());
    assert_eq!(
        run(&[("a", "x"), ("b", "x")], &[equal(Action::DropEqual, "b")]),
        None
    );
    let hashmod = rule(|f| {
        sources(f, &["c"]);
        f.target_label = "d".into();
        f.action = Action::HashMod;
        f.modulus = 1000;
    });
    assert_eq!(
        run(&input, &[hashmod]).as_deref(),
        Some(r#"{a="foo", b="bar", c="baz", d="976"}"#)
    );
    let labelmap = rule(|f| {
        f.regex = "(b.*)".into();
        f.replacement = "bar_${1}".into();
        f.action = Action::LabelMap;
    });
    assert_eq!(
        run(&[("a", "foo"), ("b1", "bar"), ("b2", "baz")], &[labelmap]).as_deref(),
        Some(r#"{a="foo", b1="bar", b2="baz", bar_b1="bar", bar_b2="baz"}"#)
    );
    let names = |action, regex: &str| {
        rule(|f| {
            f.regex = regex.into();
            f.action = action;
        })
    };
    assert_eq!(
        run(&input, &[names(Action::LabelDrop, "[ab]")]).as_deref(),
        Some(r#"{c="baz"}"#)
    );
    assert_eq!(
        run(&input, &[names(Action::LabelKeep, "[ab]")]).as_deref(),
        Some(r#"{a="foo", b="bar"}"#)
    );
    assert_eq!(
        run(&[("a", "fÖo")], &[equal(Action::Uppercase, "u")]).as_deref(),
        Some(r#"{a="fÖo", u="FÖO"}"#)
    );
    assert_eq!(
        run(&[("a", "FÖo")], &[equal(Action::Lowercase, "l")]).as_deref(),
        Some(r#"{a="FÖo", l="föo"}"#)
    );
}

#[test]
fn templates_expand_like_go() {
    let with = |replacement: &str| {
        let replacement = replacement.to_string();
        let rule = rule(move |f| {
            sources(f, &["a"]);
            f.regex = "(?P<first>.)(.*)".into();
            f.target_label = "t".into();
            f.replacement = replacement;
        });
        let out = relabel(&Labels::from_pairs([("a", "xyz")]), &[rule]).expect("kept");
        out.get("t").unwrap_or("<none>").to_string()
    };
    assert_eq!(with("$1-$2"), "x-yz");
    assert_eq!(with("${first}!"), "x!");
    assert_eq!(
        with("$1x"),
        "<none>",
        "a group named 1x does not exist; an empty result deletes"
    );
    assert_eq!(with("$$1"), "$1");
    assert_eq!(with("a$"), "a$");
    assert_eq!(with("${1"), "${1");
}

#[test]
fn dots_match_newlines_and_targets_may_be_templates() {
    let drop = rule(|f| {
        sources(f, &["a"]);
        f.regex = "x.y".into();
        f.action = Action::Drop;
    });
    assert_eq!(run(&[("a", "x\ny")], &[drop]), None);
    let target = rule(|f| {
        sources(f, &["a"]);
        f.regex = "(.*)".into();
        f.target_label = "got_$1".into();
        f.replacement = "1".into();
    });
    assert_eq!(
        run(&[("a", "v")], &[target]).as_deref(),
        Some(r#"{a="v", got_v="1"}"#)
    );
}

#[test]
fn refusals_read_like_upstream() {
    let refused = |change: fn(&mut RuleFields)| {
        let mut fields = RuleFields::default();
        change(&mut fields);
        RelabelRule::new(fields, NameValidation::Legacy)
            .expect_err("refused")
            .to_string()
    };
    assert_eq!(
        refused(|_| {}),
        "relabel configuration for replace action requires 'target_label' value"
    );
    assert_eq!(
        refused(|f| f.action = Action::HashMod),
        "relabel configuration for hashmod requires non-zero modulus"
    );
    assert_eq!(
        refused(|f| {
            f.action = Action::Lowercase;
            f.target_label = "a".into();
            f.replacement = "x".into();
        }),
        "'replacement' can not be set for lowercase action"
    );
    assert_eq!(
        refused(|f| {
            f.action = Action::LabelDrop;
            f.modulus = 1;
        }),
        "labeldrop action requires only 'regex', and no other fields"
    );
    assert_eq!(
        refused(|f| f.target_label = "a-b".into()),
        "\"a-b\" is invalid 'target_label' for replace action"
    );
    assert_eq!(
        Action::parse("nope").unwrap_err().to_string(),
        "unknown relabel action \"nope\""
    );
    assert!(
        RelabelRule::new(
            RuleFields {
                target_label: "a".into(),
                regex: "(".into(),
                ..RuleFields::default()
            },
            NameValidation::Utf8
        )
        .unwrap_err()
        .to_string()
        .starts_with("error parsing regexp: ")
    );
}
