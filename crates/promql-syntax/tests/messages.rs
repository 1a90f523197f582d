//! The messages users and tools see for queries that are not right.

use promql_syntax::{ParserOptions, parse};

fn error(query: &str) -> String {
    match parse(query, &ParserOptions::all()) {
        Ok(expr) => format!("parsed as {expr}"),
        Err(e) => e.to_string(),
    }
}

#[test]
fn messages_and_positions() {
    for (query, want) in [
        (
            "",
            "unknown position: parse error: no expression found in input",
        ),
        (
            "# nothing\n",
            "1:1: parse error: no expression found in input",
        ),
        ("1+", "1:3: parse error: unexpected end of input"),
        ("(1", "1:3: parse error: unclosed left parenthesis"),
        (
            "999e",
            "1:1: parse error: bad number or duration syntax: \"999e",
        ),
        (
            "1 and 1",
            "1:1: parse error: set operator \"and\" not allowed in binary scalar expression",
        ),
        (
            "1 == 1",
            "1:3: parse error: comparisons between scalars must use BOOL modifier",
        ),
        (
            "foo + bool bar",
            "1:5: parse error: bool modifier can only be used on comparison operators",
        ),
        (
            "a and on(b) group_left c",
            "1:1: parse error: no grouping allowed for \"and\" operation",
        ),
        (
            "1 + on(a) b",
            "1:1: parse error: vector matching only allowed between instant vectors",
        ),
        ("foo[5m:1m", "1:10: parse error: unexpected end of input"),
        (
            "foo[5m] + 1",
            "1:1: parse error: binary expression must contain only scalar and instant vector types",
        ),
        (
            "foo offset 5m[5m]",
            "1:14: parse error: no offset modifiers allowed before range",
        ),
        (
            "foo @ 5[5m]",
            "1:8: parse error: no @ modifiers allowed before range",
        ),
        (
            "(foo + bar)[5m]",
            "1:12: parse error: ranges only allowed for vector selectors",
        ),
        (
            "foo offset 1m offset 1m",
            "1:1: parse error: offset may not be set multiple times",
        ),
        (
            "foo @ 1 @ 2",
            "1:1: parse error: @ <timestamp> may not be set multiple times",
        ),
        (
            "foo @ NaN",
            "1:1: parse error: timestamp out of bounds for @ modifier: NaN",
        ),
        (
            "(foo) offset 1m",
            "1:1: parse error: offset modifier must be preceded by an instant vector selector or range vector selector or a subquery",
        ),
        (
            "rate(foo)",
            "1:6: parse error: expected type range vector in call to function \"rate\", got instant vector",
        ),
        (
            "nope(foo)",
            "1:1: parse error: unknown function with name \"nope\"",
        ),
        (
            "rate(foo[5m],)",
            "1:13: parse error: trailing commas not allowed in function call args",
        ),
        (
            "floor()",
            "1:1: parse error: expected 1 argument(s) in call to \"floor\", got 0",
        ),
        (
            "round()",
            "1:1: parse error: expected at least 1 argument(s) in call to \"round\", got 0",
        ),
        (
            "hour(a, b)",
            "1:1: parse error: expected at most 1 argument(s) in call to \"hour\", got 2",
        ),
        (
            "sum()",
            "1:1: parse error: no arguments for aggregate expression provided",
        ),
        (
            "topk(a)",
            "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, got 1",
        ),
        (
            "sum by b (a)",
            "1:8: parse error: unexpected identifier \"b\" in grouping opts, expected \"(\"",
        ),
        (
            "sum by (a) b",
            "1:12: parse error: unexpected identifier \"b\" in aggregation",
        ),
        ("sum a", "1:5: parse error: unexpected identifier \"a\""),
        (
            "{}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "{a=~\".*\"}",
            "1:1: parse error: vector selector must contain at least one non-empty matcher",
        ),
        (
            "a{__name__=\"b\"}",
            "1:1: parse error: metric name must not be set twice: \"a\" or \"b\"",
        ),
        (
            "a{b}",
            "1:4: parse error: unexpected \"}\" in label matching, expected label matching operator",
        ),
        (
            "a{b=c}",
            "1:5: parse error: unexpected identifier \"c\" in label matching, expected string",
        ),
        (
            "a{b=\"c\"",
            "1:8: parse error: unexpected end of input inside braces",
        ),
        (
            "foo[5m",
            "1:7: parse error: unexpected end of input in duration expression",
        ),
        (
            "foo[0]",
            "1:5: parse error: duration must be greater than 0",
        ),
        (
            "foo[x]",
            "1:5: parse error: unexpected character in duration expression: 'x'",
        ),
        (
            "foo[5y1hs]",
            "1:5: parse error: unknown unit \"hs\" in duration \"5y1hs\"",
        ),
        (
            "-\"x\"",
            "1:1: parse error: unary expression only allowed on expressions of type scalar or instant vector, got \"string\"",
        ),
        (
            "1 !~ 2",
            "1:3: parse error: unexpected character after '!': '~'",
        ),
        (
            "a\n+\n)",
            "3:2: parse error: unexpected right parenthesis ')'",
        ),
        (
            "foo[5m:][1m:] anchored",
            "1:1: parse error: anchored modifier not supported for subqueries",
        ),
    ] {
        let got = error(query);
        assert!(got.starts_with(want), "{query}\n want {want}\n got  {got}");
    }
}

#[test]
fn flags_gate_what_is_experimental() {
    for (query, want) in [
        (
            "mad_over_time(x[5m])",
            "1:1: parse error: function \"mad_over_time\" is not enabled",
        ),
        (
            "limitk(1, x)",
            "1:1: parse error: limitk() is experimental and must be enabled with --enable-feature=promql-experimental-functions",
        ),
        (
            "a + fill(0) b",
            "1:5: parse error: binop fill modifiers are experimental and not enabled",
        ),
    ] {
        let got = parse(query, &ParserOptions::stable())
            .unwrap_err()
            .to_string();
        assert_eq!(got, want, "{query}");
        assert!(parse(query, &ParserOptions::all()).is_ok(), "{query}");
    }
}

#[test]
fn depth_is_limited() {
    for query in [
        "(".repeat(100_000),
        "-".repeat(100_000),
        format!("{}1{}", "(".repeat(5_000), ")".repeat(5_000)),
        format!("x{}", "+x".repeat(100_000)),
        format!("x[{}1", "(".repeat(100_000)),
        format!("x[1{}]", "+1".repeat(100_000)),
        format!("x{}", "[5m:]".repeat(10_000)),
        "sum(".repeat(100_000),
        format!("{}x{}", "abs(".repeat(1_000), ")".repeat(1_000)),
        "x ^ ".repeat(100_000),
    ] {
        assert!(parse(&query, &ParserOptions::all()).is_err());
    }
    let long = format!("x{}", " or x".repeat(280));
    let expr = parse(&long, &ParserOptions::all()).unwrap();
    assert_eq!(expr.to_string(), long);
}
