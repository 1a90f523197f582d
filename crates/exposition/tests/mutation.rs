//! Damaged bodies: whatever the bytes, parsers end with entries or an error, never with a panic or without end.
//!
//! Deterministic: the corpus is mutated by a fixed generator, so a failure repeats.

use exposition::{
    Entry, Escaping, OpenMetricsParser, ProtobufBody, ProtobufEntry, ProtobufOptions, TextParser,
    read_families, write_protobuf, write_text,
};

const ROUNDS: usize = 20_000;

/// xorshift64*: small, fixed, good enough to move bytes about.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn mutate(seed: &[u8], chance: &mut Chance) -> Vec<u8> {
    const SPICE: &[u8] = b"\"\\{}=,# \n\t\0\xff0eE+-._1aNI";
    let mut bytes = seed.to_vec();
    for _ in 0..=chance.below(6) {
        let at = chance.below(bytes.len());
        match chance.below(5) {
            0 if !bytes.is_empty() => bytes[at] = chance.next() as u8,
            1 if !bytes.is_empty() => bytes[at] = SPICE[chance.below(SPICE.len())],
            2 => bytes.insert(at, SPICE[chance.below(SPICE.len())]),
            3 if !bytes.is_empty() => {
                let end = (at + chance.below(20)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = (at + chance.below(60)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = chance.below(bytes.len());
                bytes.splice(to..to, copy);
            }
        }
    }
    bytes
}

/// How many entries came before the end or the error; checks what every entry promises.
fn drain<'a>(
    body: &'a [u8],
    mut next: impl FnMut() -> Result<Option<Entry<'a>>, exposition::ParseError>,
) -> usize {
    let mut entries = 0;
    loop {
        match next() {
            Ok(Some(Entry::Series { series, .. })) => {
                let range = body.as_ptr_range();
                assert!(
                    range.contains(&series.as_ptr()),
                    "series text lies in the body"
                );
            }
            Ok(Some(_)) => {}
            Ok(None) => return entries,
            Err(error) => {
                assert!(error.line >= 1 && error.message.len() < 8192);
                return entries;
            }
        }
        entries += 1;
        assert!(entries <= body.len(), "every entry consumes something");
    }
}

#[test]
fn damaged_bodies_end_in_order() {
    let corpus: [&[u8]; 2] = [
        include_bytes!("corpus/plain.txt"),
        include_bytes!("corpus/openmetrics.txt"),
    ];
    let mut chance = Chance(0x5eed_0001);
    let mut entries = 0;
    for round in 0..ROUNDS {
        let body = mutate(corpus[round % corpus.len()], &mut chance);
        let mut text = TextParser::new(&body);
        entries += drain(&body, || {
            let entry = text.next();
            if matches!(entry, Ok(Some(Entry::Series { .. }))) {
                text.labels();
                let _ = text.distinct_labels();
            }
            entry
        });
        let mut openmetrics = OpenMetricsParser::new(&body).with_start_timestamps();
        entries += drain(&body, || {
            let entry = openmetrics.next();
            if matches!(entry, Ok(Some(Entry::Series { .. }))) {
                openmetrics.labels();
                openmetrics.exemplar();
                openmetrics.start_timestamp();
            }
            entry
        });
    }
    eprintln!("{ROUNDS} damaged bodies, {entries} entries read");
}

#[test]
fn damaged_files_and_protobuf_bodies_end_in_order() {
    let plain = include_str!("corpus/plain.txt");
    // The reader of files knows legacy names only.
    let plain: String = plain
        .lines()
        .filter(|line| !line.starts_with('{'))
        .map(|l| format!("{l}\n"))
        .collect();
    let families = read_families(plain.as_bytes()).unwrap();
    let mut binary = Vec::new();
    write_protobuf(&families, Escaping::AllowUtf8, &mut binary);
    let mut chance = Chance(0x5eed_0002);
    let options = ProtobufOptions {
        native_histograms: true,
        always_classic: true,
    };
    let (mut read, mut entries) = (0, 0);
    for _ in 0..ROUNDS / 4 {
        if let Ok(families) = read_families(&mutate(plain.as_bytes(), &mut chance)) {
            // What was read can be written, and is read again.
            let mut page = Vec::new();
            write_text(&families, Escaping::Underscores, &mut page);
            read_families(&page).unwrap();
            read += 1;
        }
        if let Ok(body) = ProtobufBody::decode(&mutate(&binary, &mut chance), options) {
            let mut parser = body.entries();
            while let Some(entry) = parser.next() {
                if let ProtobufEntry::Plain(Entry::Series { .. }) = entry {
                    parser.labels();
                    let _ = parser.distinct_labels();
                }
                entries += 1;
            }
        }
    }
    eprintln!(
        "{read} damaged files read all the same, {entries} entries of damaged protobuf bodies"
    );
    assert!(read > 0 && entries > 0);
}
