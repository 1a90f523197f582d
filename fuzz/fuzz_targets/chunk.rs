#![no_main]

#[path = "../../crates/ondisk/tests/support/decode.rs"]
mod decode;

use decode::{Format, decode, sealed};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    decode(Format::Chunk, bytes);
    decode(Format::Chunk, &sealed(Format::Chunk, bytes));
});
