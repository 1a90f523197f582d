#![no_main]

#[path = "../../crates/ondisk/tests/support/decode.rs"]
mod decode;

use decode::{Format, decode, sealed};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    decode(Format::Meta, bytes);
    decode(Format::Meta, &sealed(Format::Meta, bytes));
});
