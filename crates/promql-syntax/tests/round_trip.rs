//! What is printed parses back to the same tree, and no bytes make the parser panic.

use promql_syntax::{ParserOptions, parse, parse_metric, parse_series, pretty, to_json};
use proptest::prelude::*;

fn selector() -> impl Strategy<Value = String> {
    let matcher = prop_oneof![
        Just("a=\"b\""),
        Just("\"x y\"!=\"\""),
        Just("job=~\"a|b\""),
        Just("c!~\"d.*\""),
        Just("\"n\u{e9}\"=\"\\\"\"")
    ];
    let shift = prop_oneof![
        Just(""),
        Just(" offset 5m"),
        Just(" offset -1h30m"),
        Just(" @ 12.5"),
        Just(" @ start() offset 1d"),
        Just(" offset (5m * 2 + step())"),
        Just(" @ -3")
    ];
    (
        prop_oneof![
            Just("up"),
            Just("a:b"),
            Just("sum"),
            Just("fill"),
            Just("step")
        ],
        proptest::collection::vec(matcher, 0..3),
        shift,
    )
        .prop_map(|(name, matchers, shift)| format!("{name}{{{}}}{shift}", matchers.join(",")))
}

fn range() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        Just("[5m]"),
        Just("[1h:5m]"),
        Just("[90s:]"),
        Just("[5m + 1h / 2]"),
        Just("[max_of(step(), 1m) : -(1 - 2m)]")
    ]
}

fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => selector(),
        1 => prop_oneof![Just("1"), Just("0x1F"), Just("-1.5e9"), Just("5m"), Just("Inf"), Just("NaN")]
            .prop_map(String::from),
    ];
    leaf.prop_recursive(5, 40, 3, |inner| {
        let binary = prop_oneof![
            Just("+"),
            Just("- on (a)"),
            Just("* ignoring (a, \"b c\") group_left (d)"),
            Just("/ on () group_right ()"),
            Just("^"),
            Just("%"),
            Just("atan2"),
            Just("> bool"),
            Just("=="),
            Just("and"),
            Just("or on (a)"),
            Just("unless"),
            Just("</"),
            Just("+ fill (1)"),
            Just("- fill_left (-1) fill_right (5m)")
        ];
        let head = prop_oneof![
            Just("sum"),
            Just("avg by (a, \"b c\")"),
            Just("max without ()"),
            Just("topk by (a) (3, "),
            Just("count_values(\"x\", "),
            Just("abs"),
            Just("-"),
            Just("+"),
            Just("")
        ];
        prop_oneof![
            (inner.clone(), binary, inner.clone()).prop_map(|(l, op, r)| format!("({l}) {op} {r}")),
            (head, inner.clone()).prop_map(|(head, e)| {
                match head.strip_suffix(", ") {
                    Some(open) => format!("{open}, {e})"),
                    None => format!("{head}({e})"),
                }
            }),
            (inner.clone(), range()).prop_map(|(e, r)| format!("rate(({e}){r})")),
            (selector(), range()).prop_map(|(e, r)| format!("rate({e}{r})")),
        ]
    })
}

/// Printing sorts matchers; their order means nothing.
fn sorted(mut tree: serde_json::Value) -> serde_json::Value {
    match &mut tree {
        serde_json::Value::Object(fields) => {
            for (name, value) in fields.iter_mut() {
                *value = sorted(value.take());
                if let ("matchers", Some(list)) = (name.as_str(), value.as_array_mut()) {
                    list.sort_by_key(ToString::to_string);
                }
            }
        }
        serde_json::Value::Array(items) => {
            for item in items {
                *item = sorted(item.take());
            }
        }
        _ => {}
    }
    tree
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn printed_expressions_parse_back(query in expression()) {
        let options = ParserOptions::all();
        let Ok(expr) = parse(&query, &options) else { return Ok(()) };
        let printed = expr.to_string();
        let again = parse(&printed, &options);
        prop_assert!(again.is_ok(), "{query}\n{printed}\n{again:?}");
        let again = again.unwrap();
        prop_assert_eq!(again.to_string(), printed.clone());
        prop_assert_eq!(sorted(to_json(&again)), sorted(to_json(&expr)), "{}", printed);
        let split = pretty(&expr);
        let again = parse(&split, &options).map(|e| e.to_string());
        prop_assert_eq!(again, Ok(printed));
    }

    #[test]
    fn any_text_is_refused_or_parsed(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let text = String::from_utf8_lossy(&bytes);
        let _ = parse(&text, &ParserOptions::all()).map(|e| (e.to_string(), pretty(&e), to_json(&e)));
        let _ = parse_series(&text);
        let _ = parse_metric(&text);
    }

    #[test]
    fn any_words_are_refused_or_parsed(words in proptest::collection::vec(prop_oneof![
        Just("sum"), Just("by"), Just("("), Just(")"), Just("{"), Just("}"), Just("["), Just("]"), Just("5m"), Just("x"),
        Just("="), Just("=~"), Just("\"a"), Just("\""), Just("'\\"), Just("@"), Just("offset"), Just("-"), Just(":"),
        Just(","), Just("step"), Just("fill"), Just("rate"), Just("#"), Just("\n"), Just("\u{e9}"), Just("_"), Just("x3"),
        Just("{{"), Just("}}"), Just("stale"), Just("0x"), Just("1e"), Just(".")
    ], 0..25)) {
        for separator in ["", " "] {
            let text = words.join(separator);
            let _ = parse(&text, &ParserOptions::all()).map(|e| (e.to_string(), pretty(&e), to_json(&e)));
            let _ = parse_series(&text);
        }
    }
}
