//! The functions of rule templates.

use gotemplate::alerting::{ALERT_PRELUDE, AlertData, QuerySample, RuleFunctions, SampleValue};
use gotemplate::{Limits, Template, Value};
use model::Labels;

fn samples() -> Vec<QuerySample> {
    [("b", 11.0), ("a", 21.0)]
        .map(|(instance, v)| QuerySample {
            labels: Labels::from_pairs([("__name__", "metric"), ("instance", instance)]),
            value: SampleValue::Float(v),
        })
        .to_vec()
}

fn run(text: &str) -> Result<String, String> {
    let query = |expr: &str| match expr {
        "metric" => Ok(samples()),
        "none" => Ok(Vec::new()),
        _ => Err("parse error".to_string()),
    };
    let functions = RuleFunctions {
        query: &query,
        now_ms: 1_500_000,
        external_url: "http://host:9090/p/x",
    };
    let data = AlertData {
        labels: Labels::from_pairs([("instance", "h1:9100"), ("job", "node")]),
        external_labels: Labels::from_pairs([("cluster", "c1")]),
        external_url: "http://host:9090/p/x".into(),
        value: Value::Float(0.1234),
    };
    let text = format!("{ALERT_PRELUDE}{text}");
    let template = Template::parse("__alert_X", &text, &functions).map_err(|e| e.to_string())?;
    template
        .execute(&data.value(), &functions, Limits::default())
        .map_err(|e| e.to_string())
}

#[test]
fn functions() {
    for (text, wanted) in [
        (
            "{{$labels.instance}} {{.Labels.job}} {{$labels.none}}|{{$value}} {{$externalLabels.cluster}} {{$externalURL}}",
            "h1:9100 node |0.1234 c1 http://host:9090/p/x",
        ),
        (
            "{{range query \"metric\" | sortByLabel \"instance\"}}{{.Labels.instance}}:{{.Value}} {{end}}",
            "a:21 b:11 ",
        ),
        (
            "{{with query \"metric\"}}{{. | first | value | humanize}}{{end}}",
            "11",
        ),
        (
            "{{query \"metric\" | first | label \"instance\"}} {{with query \"none\"}}x{{else}}no{{end}}",
            "b no",
        ),
        (
            "{{humanize 1234567.0}} {{humanize 0.12}} {{humanize 0.0}} {{humanize 1e21}} {{humanize \"1000\"}}",
            "1.235M 120m 0 1Z 1k",
        ),
        ("{{humanize1024 1048576.0}} {{humanize1024 0.5}}", "1Mi 0.5"),
        (
            "{{humanizeDuration 86400}} {{humanizeDuration 0.0001}} {{humanizeDuration 0}} {{humanizeDuration -61.5}} {{humanizeDuration 3.5}}",
            "1d 0h 0m 0s 100us 0s -1m 1s 3.5s",
        ),
        (
            "{{humanizePercentage 0.125}} {{$value | humanizePercentage}}",
            "12.5% 12.34%",
        ),
        (
            "{{humanizeTimestamp 1435065584.128}} {{(toTime 1435065584.5).Format \"15:04\"}} {{toDuration 90}}",
            "2015-06-23 13:19:44.128 +0000 UTC 13:19 1m30s",
        ),
        (
            "{{now}} {{parseDuration \"1h\"}} {{parseDuration \"-2m\"}}",
            "1500 3600 -120",
        ),
        (
            "{{title \"aa bB CC\"}} {{toUpper \"a\"}} {{toLower \"B\"}}",
            "Aa BB CC A b",
        ),
        (
            "{{match \"a+\" \"baab\"}} {{reReplaceAll \"(a)b\" \"${1}x\" \"abab\"}}",
            "true axax",
        ),
        (
            "{{stripPort \"h.b:1\"}} {{stripDomain \"a.b.c:1\"}} {{stripDomain \"1.2.3.4:5\"}} {{stripPort \"[::1]:5\"}}",
            "h.b a:1 1.2.3.4:5 ::1",
        ),
        (
            "{{graphLink \"up == 0\"}} {{tableLink \"up\"}} {{pathPrefix}} {{externalURL}}",
            "/graph?g0.expr=up+%3D%3D+0&g0.tab=0 /graph?g0.expr=up&g0.tab=1 /p/x http://host:9090/p/x",
        ),
        (
            "{{define \"a\"}}{{.arg0}}-{{.arg1}}{{end}}{{template \"a\" (args 1 \"b\")}}",
            "1-b",
        ),
        (
            "{{printf \"%.1f\" $value}} {{urlQueryEscape \"a b\"}}",
            "0.1 a+b",
        ),
        (
            "{{ $value | printf \"%.2f\" }}% of {{ printf `node{job=%q}` $labels.job }}",
            "0.12% of node{job=\"node\"}",
        ),
    ] {
        assert_eq!(run(text), Ok(wanted.to_string()), "{text}");
    }
}

#[test]
fn faults() {
    assert_eq!(
        run("{{query \"none\" | first}}"),
        Err(format!(
            "template: __alert_X:1:{}: executing \"__alert_X\" at <first>: error calling first: first() called on vector with no elements",
            ALERT_PRELUDE.len() + 17
        ))
    );
    assert!(run("{{query \"}\"}}").is_err_and(|e| e.ends_with("error calling query: parse error")));
    assert!(run("{{match \"(\" \"a\"}}").is_err_and(|e| e.contains("error parsing regexp")));
    assert!(
        run("{{.Foo}}").is_err_and(|e| e.contains("can't evaluate field Foo in type struct {"))
    );
    assert!(run("{{humanize \"x\"}}").is_err_and(|e| e.contains("invalid syntax")));
    assert!(run("{{toTime 1e300}}").is_err());
}

#[test]
fn all_names_are_known() {
    use gotemplate::Functions as _;
    for name in gotemplate::alerting::FUNCTIONS {
        assert!(
            gotemplate::alerting::KnownFunctions
                .signature(name)
                .is_some(),
            "{name}"
        );
    }
}
