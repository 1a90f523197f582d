//! Any bytes as a query: parsed, printed and parsed back, or refused with a place.
#![no_main]

#[path = "../../crates/promql-syntax/tests/support/query.rs"]
mod query;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    query::check(bytes);
});
