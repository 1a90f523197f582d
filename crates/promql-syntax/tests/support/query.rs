//! What has to hold for any bytes taken as a query; tests and fuzzing targets share it.

use promql_syntax::{ParserOptions, parse, parse_metric, parse_selector, pretty, to_json};

/// Parses the bytes as servers do, those that are no UTF-8 replaced. An expression has to survive printing; an error has to
/// be short and say where. Gives whether it is an expression.
pub fn check(bytes: &[u8]) -> bool {
    let query = String::from_utf8_lossy(bytes);
    let options = ParserOptions::all();
    let _ = parse_metric(&query);
    let _ = parse_selector(&query);
    match parse(&query, &options) {
        Ok(expr) => {
            let printed = expr.to_string();
            let again = parse(&printed, &options)
                .unwrap_or_else(|e| panic!("{query:?} printed as {printed:?}: {e}"));
            // Times beyond 2^53 ms are printed by upstream's arithmetic, which loses their last digits.
            let exact = !printed.contains(" @ ");
            assert!(
                !exact || again.to_string() == printed,
                "{query:?}: {printed:?}"
            );
            let wrapped = pretty(&expr);
            let again = parse(&wrapped, &options)
                .unwrap_or_else(|e| panic!("{query:?} pretty as {wrapped:?}: {e}"));
            assert!(
                !exact || again.to_string() == printed,
                "{query:?}: {wrapped:?}"
            );
            let _ = to_json(&expr);
            true
        }
        Err(error) => {
            let text = error.to_string();
            let (place, message) = text
                .split_once(": parse error: ")
                .unwrap_or_else(|| panic!("{query:?}: no place in {text:?}"));
            let is_number = |part: &str| part.parse::<usize>().is_ok_and(|n| n > 0);
            let placed = place
                .split_once(':')
                .is_some_and(|(line, column)| is_number(line) && is_number(column));
            assert!(
                placed || place == "unknown position" || place == "invalid position",
                "{query:?}: {text}"
            );
            assert!(!message.is_empty(), "{query:?}");
            false
        }
    }
}
