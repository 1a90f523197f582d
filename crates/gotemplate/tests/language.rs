//! The template language, case by case: what Go's `text/template` writes, and what it says when something is wrong.

use gotemplate::time::Time;
use gotemplate::{Limits, NoFunctions, Template, Value};

fn data() -> Value {
    Value::map([
        ("Name".to_string(), Value::from("World")),
        ("N".to_string(), Value::Int(3)),
        ("F".to_string(), Value::Float(1234567.0)),
        ("Yes".to_string(), Value::Bool(true)),
        ("Empty".to_string(), Value::from("")),
        (
            "List".to_string(),
            Value::list(vec!["a".into(), "b".into(), "c".into()]),
        ),
        ("KV".to_string(), Value::texts([("b", "2"), ("a", "1")])),
        (
            "T".to_string(),
            Time::utc(1_136_239_445, 120_000_000).value(),
        ),
    ])
}

fn run(text: &str) -> Result<String, String> {
    let template = Template::parse("t", text, &NoFunctions).map_err(|e| e.to_string())?;
    template
        .execute(&data(), &NoFunctions, Limits::default())
        .map_err(|e| e.to_string())
}

#[test]
fn output() {
    for (text, wanted) in [
        ("Hello, {{.Name}}!", "Hello, World!"),
        ("a {{- .Name -}} b", "aWorldb"),
        ("a{{/* no */}}b {{- /* no */ -}} c", "abc"),
        ("{{.F}} {{.N}} {{.Yes}}", "1.234567e+06 3 true"),
        ("{{.Missing}} {{.KV.missing}}|{{.KV.a}}", "<no value> |1"),
        ("{{.List}} {{.KV}}", "[a b c] map[a:1 b:2]"),
        ("{{if .Empty}}x{{else if .Yes}}y{{else}}z{{end}}", "y"),
        (
            "{{if and .Yes (eq .N 3)}}y{{end}}{{if or .Empty .Missing}}n{{else}}!{{end}}",
            "y!",
        ),
        (
            "{{with .Name}}{{.}}{{else}}none{{end}}{{with .Empty}}x{{else}}none{{end}}",
            "Worldnone",
        ),
        ("{{with .Empty}}a{{else with .Name}}{{.}}{{end}}", "World"),
        ("{{range .List}}<{{.}}>{{end}}", "<a><b><c>"),
        (
            "{{range $i, $v := .List}}{{$i}}={{$v}} {{end}}",
            "0=a 1=b 2=c ",
        ),
        ("{{range $k, $v := .KV}}{{$k}}={{$v}} {{end}}", "a=1 b=2 "),
        ("{{range .Missing}}x{{else}}empty{{end}}", "empty"),
        (
            "{{range .List}}{{if eq . \"b\"}}{{continue}}{{end}}{{.}}{{end}}",
            "ac",
        ),
        (
            "{{range .List}}{{if eq . \"b\"}}{{break}}{{end}}{{.}}{{end}}",
            "a",
        ),
        ("{{range 3}}{{.}}{{end}}", "012"),
        ("{{$x := 1}}{{range .List}}{{$x = .}}{{end}}{{$x}}", "c"),
        ("{{$x := 1}}{{if .Yes}}{{$x := 2}}{{end}}{{$x}}", "1"),
        (
            "{{define \"a\"}}[{{.}}]{{end}}{{template \"a\" .Name}}{{template \"a\"}}",
            "[World][<no value>]",
        ),
        ("{{block \"b\" .N}}<{{.}}>{{end}}", "<3>"),
        ("{{.Name | printf \"%s-%s\" \"x\"}}", "x-World"),
        (
            "{{printf \"%.2f %d %x %t %q %v %T\" 3.14159 42 255 true \"q\" .F .N}}",
            "3.14 42 ff true \"q\" 1.234567e+06 int",
        ),
        (
            "{{printf \"%5d|%-5d|%05d|%+d\" 42 42 42 42}}",
            "   42|42   |00042|+42",
        ),
        (
            "{{printf \"%d\" \"x\"}} {{printf \"%d\"}} {{printf \"%d\" 1 2}} {{printf \"%\"}}",
            "%!d(string=x) %!d(MISSING) 1%!(EXTRA int=2) %!(NOVERB)",
        ),
        (
            "{{printf \"%[2]s %[1]s\" \"a\" \"b\"}} {{printf \"%*d\" 5 42}}",
            "b a    42",
        ),
        (
            "{{printf \"%e %g %6.2f|%x\" 1234.5 0.00001 3.14159 \"hi\"}}",
            "1.234500e+03 1e-05   3.14|6869",
        ),
        (
            "{{printf \"%c %U %q\" 65 65 'x'}} {{printf \"%v\" .KV}}",
            "A U+0041 'x' map[a:1 b:2]",
        ),
        (
            "{{len .Name}} {{len .List}} {{index .List 1}} {{index .KV \"a\"}} {{slice .Name 1 3}}",
            "5 3 b 1 or",
        ),
        (
            "{{print 1 2 \"a\" \"b\" 3 4}}|{{println .N}}",
            "1 2ab3 4|3\n",
        ),
        (
            "{{html \"<a & 'b'>\"}} {{js \"it's <b>\"}} {{urlquery \"a b&c\"}}",
            "&lt;a &amp; &#39;b&#39;&gt; it\\'s \\u003Cb\\u003E a+b%26c",
        ),
        (
            "{{eq .N 1 2 3}} {{ne .N 3}} {{lt 1 2}} {{ge 2.5 2.5}} {{gt \"b\" \"a\"}} {{not .Yes}}",
            "true false true true true false",
        ),
        (
            "{{`raw \\n`}} {{\"\\u00e9\\n\"}}{{'a'}} {{0x10}} {{1_000}} {{1e3}}",
            "raw \\n é\n97 16 1000 1000",
        ),
        (
            "{{.T.Format \"2006-01-02 15:04:05.000 Mon Jan _2 MST -0700\"}}",
            "2006-01-02 22:04:05.120 Mon Jan  2 UTC +0000",
        ),
        (
            "{{(.T.Add 28800e9).Format \"15:04 PM 3:04pm\"}} {{.T.Unix}} {{.T.Year}}",
            "06:04 AM 6:04am 1136239445 2006",
        ),
        (
            "{{.T}} {{.T.UTC.Weekday}} {{.T.IsZero}}",
            "2006-01-02 22:04:05.12 +0000 UTC Monday false",
        ),
        ("{{with $x := 5}}{{$x}}{{.}}{{end}}{{$.Name}}", "55World"),
        (
            "{{(index .List 0) | print}}{{(printf \"%s\" .Name)}}",
            "aWorld",
        ),
        ("{{- /* only */ -}}", ""),
    ] {
        assert_eq!(run(text), Ok(wanted.to_string()), "{text}");
    }
}

#[test]
fn faults_of_form() {
    for (text, wanted) in [
        ("{{foo}}", "template: t:1: function \"foo\" not defined"),
        ("a\n{{$x}}", "template: t:2: undefined variable \"$x\""),
        ("{{if .A}}", "template: t:1: unexpected EOF"),
        ("{{end}}", "template: t:1: unexpected {{end}}"),
        ("{{.A", "template: t:1: unclosed action"),
        ("{{\"abc}}", "template: t:1: unterminated quoted string"),
        ("{{}}", "template: t:1: missing value for command"),
        ("{{(.A}}", "template: t:1: unclosed left paren"),
        ("{{.A)}}", "template: t:1: unexpected right paren"),
        ("{{/* a }}", "template: t:1: unclosed comment"),
        (
            "{{1 | 2}}",
            "template: t:1: non executable command in pipeline stage 2",
        ),
        ("{{break}}", "template: t:1: {{break}} outside {{range}}"),
        ("{{12a}}", "template: t:1: bad number syntax: \"12a\""),
        ("{{.A @}}", "template: t:1: unexpected \"@\" in operand"),
        (
            "{{template .A}}",
            "template: t:1: unexpected \".A\" in template clause",
        ),
        (
            "{{\"a\".B}}",
            "template: t:1: unexpected . after term \"\\\"a\\\"\"",
        ),
        (
            "{{define \"a\"}}x{{end}}{{define \"a\"}}y{{end}}",
            "template: t:1: template: multiple definition of template \"a\"",
        ),
    ] {
        assert_eq!(run(text), Err(wanted.to_string()), "{text}");
    }
    assert!(run(&"{{if .A}}".repeat(1000)).is_err_and(|e| e.contains("nested more than")));
    assert!(
        run(&format!(
            "{{{{{}1{}}}}}",
            "(".repeat(5000),
            ")".repeat(5000)
        ))
        .is_err()
    );
}

#[test]
fn faults_of_execution() {
    for (text, wanted) in [
        (
            "a\nb{{.KV.a.Foo}}",
            "template: t:2:6: executing \"t\" at <.KV.a.Foo>: can't evaluate field Foo in type string",
        ),
        (
            "{{index .List 5}}",
            "template: t:1:2: executing \"t\" at <index .List 5>: error calling index: index out of range: 5",
        ),
        (
            "{{len 3}}",
            "template: t:1:2: executing \"t\" at <len 3>: error calling len: len of type int",
        ),
        (
            "{{eq 1 \"a\"}}",
            "template: t:1:2: executing \"t\" at <eq 1 \"a\">: error calling eq: incompatible types for comparison: int and string",
        ),
        (
            "{{template \"x\"}}",
            "template: t:1:11: executing \"t\" at <{{template \"x\"}}>: template \"x\" not defined",
        ),
        (
            "{{not}}",
            "template: t:1:2: executing \"t\" at <not>: wrong number of args for not: want 1 got 0",
        ),
        (
            "{{.Name 1}}",
            "template: t:1:2: executing \"t\" at <.Name>: Name is not a method but has arguments",
        ),
        (
            "{{printf 1}}",
            "template: t:1:9: executing \"t\" at <1>: expected string; found 1",
        ),
        (
            "{{range .Yes}}{{end}}",
            "template: t:1:8: executing \"t\" at <.Yes>: range can't iterate over true",
        ),
    ] {
        assert_eq!(run(text), Err(wanted.to_string()), "{text}");
    }
}

#[test]
fn limits_hold() {
    let endless = "{{define \"x\"}}{{template \"x\" .}}{{end}}{{template \"x\" .}}";
    assert!(run(endless).is_err_and(|e| e.contains("exceeded maximum template depth")));
    let loops = "{{range 1000}}{{range 1000}}{{range 1000}}{{end}}{{end}}{{end}}";
    assert!(run(loops).is_err_and(|e| e.contains("steps")));
    let long = "{{range 2000}}{{printf \"%1000d\" 1}}{{end}}";
    assert!(run(long).is_err_and(|e| e.contains("longer than")));
    let doubling = format!(
        "{{{{$x := \"aaaaaaaa\"}}}}{}",
        "{{$x = print $x $x}}".repeat(60)
    );
    assert!(run(&doubling).is_err_and(|e| e.contains("longer than")));
    assert!(run("{{range 99999999999}}{{end}}").is_err());
}
