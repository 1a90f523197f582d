//! Templates that users mistype in every way: an answer or an error, never a panic or a hang.

use env::Random;
use gotemplate::alerting::{AlertData, KnownFunctions, RuleFunctions};
use gotemplate::{Limits, Template, Value};
use model::Labels;

const SEEDS: [&str; 11] = [
    "{{ $x := .Labels.job }}{{ if eq $x \"a\" }}x{{ else if lt 1 2 }}y{{ else }}{{ printf \"%5.2f|%-10s|%+d\" .Value $x 3 }}{{ end }}",
    "{{ range $i, $s := query \"up\" }}{{ $i }}{{ $s.Labels.instance }}{{ break }}{{ end }}{{- /* c */ -}}",
    "{{ define \"a\" }}{{ . | humanize1024 }}{{ end }}{{ template \"a\" 1e9 }}{{ block \"b\" 'x' }}{{ . }}{{ end }}",
    "{{ with (index (args 1 2) \"arg0\") }}{{ slice \"hello\" 1 3 }}{{ end }}{{ reReplaceAll \"(a+)\" \"$1\" \"baa\" }}",
    "{{ (toTime 1.5e9).Format \"2006-01-02T15:04:05.999Z07:00 Monday January __2 PM\" }}{{ toDuration 0x1p3 }}",
    "{{ humanizeDuration -1e10 }} {{ humanizeTimestamp -9e15 }} {{ printf \"%[3]*.[2]*[1]f|%x|% x|%#q|%U\" 12.0 2 6 }}",
    "{{ printf \"%!\" }}{{ printf \"%z %*d\" 1 }}{{ len .ExternalLabels }}{{ stripDomain \"a.b:1\" }}",
    "<p title='{{ .Labels.job }}' href=\"/a?{{ .Value }}\" onclick=f({{ . }})>{{ $ }}</p><!-- {{ . }} --><a style={{ .Value }}",
    "<script>var a = {{ .Labels }}, b = '{{ .Value }}' / /{{ . }}/ // {{ . }}\n/* */ `{{ .Value }}`</script>{{ . }}",
    "<style>p { x: {{ .Value }} }</style><textarea>{{ . }}</textarea><{{ .Value }} {{ .Value }}={{ .Value }}>{{ html . }}",
    "{{ and .Value 0 | or 1 | not }}{{ index .Labels \"x\" }}{{ $ }}{{ . }}",
];

#[test]
fn mutated_templates() {
    let mut random = Random::from_seed(20);
    let limits = Limits {
        depth: 20,
        output: 10_000,
        steps: 5_000,
    };
    let query = |_: &str| Ok(Vec::new());
    let functions = RuleFunctions {
        query: &query,
        now_ms: 0,
        external_url: "",
    };
    let (mut parsed, mut ran) = (0, 0);
    for _ in 0..40_000 {
        let mut bytes = SEEDS[random.below(11) as usize].as_bytes().to_vec();
        for _ in 0..1 + random.below(4) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes[at] = b" {}()|.$\"'`-%*[]0129eE:=,ax\\\n"[random.below(29) as usize],
                1 => {
                    bytes.remove(at);
                }
                2 => {
                    let other = SEEDS[random.below(11) as usize].as_bytes();
                    let from = random.below(other.len() as u64) as usize;
                    let to = (from + 1 + random.below(20) as usize).min(other.len());
                    bytes.splice(at..at, other[from..to].iter().copied());
                }
                _ => bytes.truncate(at.max(1)),
            }
            if bytes.is_empty() {
                bytes.push(b'{');
            }
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Ok(template) = Template::parse("t", &text, &KnownFunctions) {
            parsed += 1;
            let data = AlertData {
                labels: Labels::from_pairs([("job", "a")]),
                external_labels: Labels::empty(),
                external_url: "".into(),
                value: Value::Float(1.5),
            };
            let data = data.value();
            if let Ok(out) = template.execute(&data, &functions, limits) {
                assert!(out.len() <= 10_000);
                ran += 1;
            }
            if let Ok(page) = template.execute_html("t", &data, &functions, limits) {
                assert!(page.len() <= 10_000);
            }
        }
    }
    assert!(parsed > 1000 && ran > 300, "{parsed} {ran}");
}
