//! `meta.json`: what a block is, where it came from, and what other programs noted about it.
//!
//! Keys we do not know, the whole `thanos` section among them, are kept and written back in their place.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value};

/// A block's name: 48 bits of unix milliseconds and 80 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Ulid(pub u128);

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl Ulid {
    /// The zero ULID, which upstream writes as the parent of blocks cut from out-of-order data.
    pub const ZERO: Ulid = Ulid(0);

    /// Joins a time and randomness.
    pub fn new(unix_ms: i64, random: [u8; 10]) -> Ulid {
        let mut low = [0u8; 16];
        low[6..].copy_from_slice(&random);
        Ulid(((unix_ms as u128) & 0xffff_ffff_ffff) << 80 | u128::from_be_bytes(low))
    }

    /// When it was made, unix milliseconds.
    pub fn unix_ms(self) -> i64 {
        (self.0 >> 80) as i64
    }
}

impl fmt::Display for Ulid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for i in (0..26).rev() {
            let digit = (self.0 >> (5 * i)) as usize & 31;
            fmt::Write::write_char(f, char::from(ALPHABET[digit]))?;
        }
        Ok(())
    }
}

/// A text that is no ULID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("ulid: bad data")]
pub struct NotUlid;

impl FromStr for Ulid {
    type Err = NotUlid;

    /// Strict: 26 characters of the alphabet, upper or lower case, at most 128 bits.
    fn from_str(text: &str) -> Result<Ulid, NotUlid> {
        let bytes: &[u8; 26] = text.as_bytes().try_into().map_err(|_| NotUlid)?;
        if bytes[0] > b'7' {
            return Err(NotUlid);
        }
        bytes.iter().try_fold(Ulid(0), |ulid, c| {
            let upper = c.to_ascii_uppercase();
            let digit = ALPHABET.iter().position(|a| *a == upper).ok_or(NotUlid)?;
            Ok(Ulid(ulid.0 << 5 | digit as u128))
        })
    }
}

impl Serialize for Ulid {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Ulid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Ulid, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A block's description.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// The block's name.
    pub ulid: Ulid,
    /// First instant it may hold, unix milliseconds.
    pub min_time: i64,
    /// First instant after it.
    pub max_time: i64,
    /// What is in it.
    #[serde(default)]
    pub stats: Stats,
    /// How it came to be.
    #[serde(default)]
    pub compaction: Compaction,
    /// Always 1.
    pub version: u32,
    /// Everything else, in its order; Thanos' section is here.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// Contents of a block; what is zero is not written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Stats {
    /// Samples of all kinds.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_samples: u64,
    /// Float samples.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_float_samples: u64,
    /// Histogram samples.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_histogram_samples: u64,
    /// Series.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_series: u64,
    /// Chunks.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_chunks: u64,
    /// Deleted intervals.
    #[serde(skip_serializing_if = "is_zero")]
    pub num_tombstones: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

fn is_false(b: &bool) -> bool {
    !b
}

/// A block's ancestry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Compaction {
    /// 1 for a block cut from the head, one more than its highest parent for others.
    pub level: u32,
    /// All level-1 ancestors, sorted.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub sources: Vec<Ulid>,
    /// The compaction left nothing: the block is to be deleted.
    #[serde(skip_serializing_if = "is_false")]
    pub deletable: bool,
    /// Direct inputs.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub parents: Vec<Parent>,
    /// A compaction of this block failed; it is left alone.
    #[serde(skip_serializing_if = "is_false")]
    pub failed: bool,
    /// Where the samples came from, sorted; see the `HINT_` constants.
    #[serde(
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_is_empty"
    )]
    pub hints: Vec<String>,
}

/// Hint of blocks whose samples came out of order.
pub const HINT_OUT_OF_ORDER: &str = "from-out-of-order";
/// Hint of blocks with series that were stale.
pub const HINT_STALE: &str = "from-stale-series";
/// Hint of blocks with series that were selected for eviction.
pub const HINT_SELECTED: &str = "from-selected-series";

impl Compaction {
    /// Whether the block carries a hint.
    pub fn has_hint(&self, hint: &str) -> bool {
        self.hints.iter().any(|h| h == hint)
    }
}

fn null_is_empty<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A direct input of a compaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Parent {
    /// Its name.
    pub ulid: Ulid,
    /// Its first instant.
    pub min_time: i64,
    /// The first instant after it.
    pub max_time: i64,
}

/// What is wrong with a meta file.
#[derive(Debug, thiserror::Error)]
pub enum MetaError {
    /// No JSON, or not of this shape.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A version nobody knows.
    #[error("unexpected meta file version {0}")]
    Version(u32),
}

impl Meta {
    /// A fresh level-1 block that is its own source.
    pub fn new(ulid: Ulid, min_time: i64, max_time: i64) -> Meta {
        Meta {
            ulid,
            min_time,
            max_time,
            stats: Stats::default(),
            compaction: Compaction {
                level: 1,
                sources: vec![ulid],
                ..Compaction::default()
            },
            version: 1,
            others: Map::new(),
        }
    }

    /// Reads the file.
    pub fn from_json(bytes: &[u8]) -> Result<Meta, MetaError> {
        let meta: Meta = serde_json::from_slice(bytes)?;
        match meta.version {
            1 => Ok(meta),
            other => Err(MetaError::Version(other)),
        }
    }

    /// The file as Prometheus writes it: indented by tabs, no newline at the end.
    pub fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::new();
        let tabs = serde_json::ser::PrettyFormatter::with_indent(b"\t");
        let mut serializer = serde_json::Serializer::with_formatter(&mut out, tabs);
        // Writing numbers, strings and maps with string keys to memory cannot fail.
        let written = self.serialize(&mut serializer);
        debug_assert!(written.is_ok());
        out
    }

    /// What a compaction lists as its input.
    pub fn as_parent(&self) -> Parent {
        Parent {
            ulid: self.ulid,
            min_time: self.min_time,
            max_time: self.max_time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ulids() {
        let text = "01BKGTZQ1SYQJTR4PB43C8PD98";
        let ulid: Ulid = text.parse().unwrap();
        assert_eq!(ulid.to_string(), text);
        assert_eq!(
            Ulid::new(ulid.unix_ms(), [0; 10]).to_string()[..10],
            text[..10]
        );
        for bad in [
            "",
            "01BKGTZQ1SYQJTR4PB43C8PD9",
            "81BKGTZQ1SYQJTR4PB43C8PD98",
            "01BKGTZQ1SYQJTR4PB43C8PD9U",
        ] {
            assert_eq!(bad.parse::<Ulid>(), Err(NotUlid), "{bad}");
        }
    }

    #[test]
    fn a_file_is_written_back_as_it_was() {
        let file = "{\n\t\"ulid\": \"01BKGTZQ1SYQJTR4PB43C8PD98\",\n\t\"minTime\": -5,\n\t\"maxTime\": 7200000,\n\t\"stats\": {},\n\t\"compaction\": {\n\t\t\"level\": 2,\n\t\t\"sources\": [\n\t\t\t\"01BKGTZQ1SYQJTR4PB43C8PD98\"\n\t\t],\n\t\t\"parents\": [\n\t\t\t{\n\t\t\t\t\"ulid\": \"00000000000000000000000000\",\n\t\t\t\t\"minTime\": 0,\n\t\t\t\t\"maxTime\": 0\n\t\t\t}\n\t\t],\n\t\t\"hints\": [\n\t\t\t\"from-out-of-order\"\n\t\t]\n\t},\n\t\"version\": 1,\n\t\"thanos\": {\n\t\t\"labels\": {\n\t\t\t\"z\": \"1\",\n\t\t\t\"a\": \"2\"\n\t\t},\n\t\t\"unheard\": null\n\t}\n}";
        let meta = Meta::from_json(file.as_bytes()).unwrap();
        assert!(meta.compaction.has_hint(HINT_OUT_OF_ORDER));
        assert_eq!(String::from_utf8(meta.to_json()).unwrap(), file);
        let other = file.replace("\"version\": 1", "\"version\": 2");
        let err = Meta::from_json(other.as_bytes()).unwrap_err();
        assert_eq!(err.to_string(), "unexpected meta file version 2");
        assert!(Meta::from_json(b"{").is_err());
    }
}
