//! Any bytes as a query, evaluated over a little data of every kind: answered or refused, within a bounded time.
#![no_main]

#[path = "../../crates/promql/tests/support/little_data.rs"]
mod little_data;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    little_data::ask(&String::from_utf8_lossy(bytes));
});
