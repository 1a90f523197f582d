//! Label sets: opaque, immutable, one shared allocation, cheap to clone, compare and hash.
//!
//! The encoding is `(len name len value)*` sorted by name, lengths in LEB128. Two equal sets have equal bytes, so
//! equality and hashing look at bytes only. A label with an empty value is the same as no label (upstream's rule), so
//! empty values never enter a set.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

/// The label that holds the metric name.
pub const METRIC_NAME: &str = "__name__";
/// The label with a classic histogram bucket's upper bound.
pub const BUCKET_LABEL: &str = "le";
/// The label with a summary's quantile.
pub const QUANTILE_LABEL: &str = "quantile";

/// An immutable, sorted set of labels.
#[derive(Clone)]
pub struct Labels(Arc<[u8]>);

static EMPTY: LazyLock<Labels> = LazyLock::new(|| Labels(Arc::from(&[][..])));

impl Labels {
    /// The set without labels.
    pub fn empty() -> Labels {
        EMPTY.clone()
    }

    /// Builds a set from pairs in any order. Of two pairs with one name the later wins; empty values are dropped.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Labels {
        let pairs: Vec<(N, V)> = pairs.into_iter().collect();
        let mut refs: Vec<(&str, &str)> = pairs
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
            .collect();
        Labels::from_refs(&mut refs)
    }

    /// As [`Labels::from_pairs`], without copying the pairs; sorts `pairs` in place.
    pub fn from_refs(pairs: &mut [(&str, &str)]) -> Labels {
        if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
            pairs.sort_by(|a, b| a.0.cmp(b.0)); // stable: the later of two equal names stays later
        }
        let mut bytes = Vec::with_capacity(
            pairs
                .iter()
                .map(|(n, v)| n.len() + v.len() + 4)
                .sum::<usize>(),
        );
        for (i, (name, value)) in pairs.iter().enumerate() {
            if value.is_empty() || pairs.get(i + 1).is_some_and(|next| next.0 == *name) {
                continue;
            }
            put_str(&mut bytes, name);
            put_str(&mut bytes, value);
        }
        Labels::from_sorted_bytes(bytes)
    }

    /// Builds a set from pairs that are sorted by name, each name once, without empty values. `scratch` is emptied and used.
    pub fn from_sorted<'a>(
        pairs: impl Iterator<Item = (&'a str, &'a str)>,
        scratch: &mut Vec<u8>,
    ) -> Labels {
        scratch.clear();
        for (name, value) in pairs {
            put_str(scratch, name);
            put_str(scratch, value);
        }
        debug_assert!(Labels::from_bytes(scratch).is_some());
        match scratch.is_empty() {
            true => Labels::empty(),
            false => Labels(Arc::from(&scratch[..])),
        }
    }

    fn from_sorted_bytes(bytes: Vec<u8>) -> Labels {
        if bytes.is_empty() {
            Labels::empty()
        } else {
            Labels(Arc::from(bytes))
        }
    }

    /// Reads an encoding that [`Labels::as_bytes`] gave out, checking everything. `None` when it is not one.
    pub fn from_bytes(bytes: &[u8]) -> Option<Labels> {
        let mut rest = bytes;
        let mut last: Option<&str> = None;
        while !rest.is_empty() {
            let name = take_checked(&mut rest)?;
            let value = take_checked(&mut rest)?;
            if value.is_empty() || last.is_some_and(|last| last >= name) {
                return None;
            }
            last = Some(name);
        }
        Some(Labels::from_sorted_bytes(bytes.to_vec()))
    }

    /// The canonical encoding, for hashing, comparing for equality, and keys.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The value of `name`, if the set has it.
    pub fn get(&self, name: &str) -> Option<&str> {
        for (n, v) in self.iter() {
            match n.cmp(name) {
                Ordering::Less => {}
                Ordering::Equal => return Some(v),
                Ordering::Greater => return None,
            }
        }
        None
    }

    /// The metric name, or `""`.
    pub fn metric_name(&self) -> &str {
        self.get(METRIC_NAME).unwrap_or("")
    }

    /// Labels in order of their names.
    pub fn iter(&self) -> LabelIter<'_> {
        LabelIter { rest: &self.0 }
    }

    /// How many labels there are. Walks the set.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A 64-bit hash (xxHash64) of the canonical encoding. Stable across processes; not upstream's `Hash`.
    pub fn hash64(&self) -> u64 {
        xxhash_rust::xxh64::xxh64(&self.0, 0)
    }

    /// Upstream's stable hash: xxHash64 over `name \xff value \xff` of every label.
    pub fn stable_hash(&self) -> u64 {
        let mut buffer = Vec::with_capacity(self.0.len() + 8);
        for (name, value) in self.iter() {
            buffer.extend_from_slice(name.as_bytes());
            buffer.push(0xff);
            buffer.extend_from_slice(value.as_bytes());
            buffer.push(0xff);
        }
        xxhash_rust::xxh64::xxh64(&buffer, 0)
    }

    /// The set without the labels in `names`.
    pub fn without(&self, names: &[impl AsRef<str>]) -> Labels {
        self.filtered(|name| !names.iter().any(|n| n.as_ref() == name))
    }

    /// The set with only the labels in `names`.
    pub fn keep(&self, names: &[impl AsRef<str>]) -> Labels {
        self.filtered(|name| names.iter().any(|n| n.as_ref() == name))
    }

    /// The set without the metric name.
    pub fn drop_metric_name(&self) -> Labels {
        if self.get(METRIC_NAME).is_none() {
            return self.clone();
        }
        self.filtered(|name| name != METRIC_NAME)
    }

    /// The set with the labels whose name passes `keep`.
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Labels {
        let mut bytes = Vec::with_capacity(self.0.len());
        for (name, value) in self.iter() {
            if keep(name) {
                put_str(&mut bytes, name);
                put_str(&mut bytes, value);
            }
        }
        if bytes.len() == self.0.len() {
            self.clone()
        } else {
            Labels::from_sorted_bytes(bytes)
        }
    }

    /// The first name that occurs twice; never for a set built here, so a check for foreign input before building.
    pub fn duplicate_name<'a>(pairs: &[(&'a str, &str)]) -> Option<&'a str> {
        let mut names: Vec<&str> = pairs.iter().map(|(n, _)| *n).collect();
        names.sort_unstable();
        names.windows(2).find(|w| w[0] == w[1]).map(|w| w[0])
    }
}

fn put_str(out: &mut Vec<u8>, s: &str) {
    let mut n = s.len();
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
    out.extend_from_slice(s.as_bytes());
}

/// How many bytes at the start of both are the same.
fn common_prefix(a: &[u8], b: &[u8]) -> usize {
    const WORD: usize = 8;
    let words = a.chunks_exact(WORD).zip(b.chunks_exact(WORD));
    let same = WORD * words.take_while(|(x, y)| x == y).count();
    let rest = a[same..].iter().zip(&b[same..]);
    same + rest.take_while(|(x, y)| x == y).count()
}

/// Reads one string of the encoding. Only called on bytes written by [`put_str`].
fn take_str<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (mut length, mut shift, mut at) = (0usize, 0, 0);
    loop {
        let byte = *rest.get(at)?;
        at += 1;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
    }
    let bytes = rest.get(at..at + length)?;
    *rest = &rest[at + length..];
    // SAFETY: a `Labels` is only built from `&str`s by `put_str`, or by `from_bytes`, which checks UTF-8; the bytes are
    // never changed afterwards (`Arc<[u8]>` without interior mutability).
    Some(unsafe { std::str::from_utf8_unchecked(bytes) })
}

fn take_checked<'a>(rest: &mut &'a [u8]) -> Option<&'a str> {
    let (mut length, mut shift, mut at) = (0usize, 0u32, 0);
    loop {
        let byte = *rest.get(at)?;
        at += 1;
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            // A second spelling of one length would break "equal sets have equal bytes".
            if byte == 0 && at > 1 {
                return None;
            }
            break;
        }
        shift += 7;
        if shift > 28 {
            return None;
        }
    }
    let bytes = rest.get(at..at.checked_add(length)?)?;
    *rest = &rest[at + length..];
    std::str::from_utf8(bytes).ok()
}

/// Iterates over a set's labels in order of their names.
#[derive(Clone)]
pub struct LabelIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for LabelIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        Some((take_str(&mut self.rest)?, take_str(&mut self.rest)?))
    }
}

impl<'a> IntoIterator for &'a Labels {
    type Item = (&'a str, &'a str);
    type IntoIter = LabelIter<'a>;

    fn into_iter(self) -> LabelIter<'a> {
        self.iter()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Labels) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

/// Upstream's order (`labels.Compare`): by name, then value, label by label; a prefix comes first.
impl Ord for Labels {
    fn cmp(&self, other: &Labels) -> Ordering {
        let (a, b) = (&self.0[..], &other.0[..]);
        let differ = if Arc::ptr_eq(&self.0, &other.0) {
            a.len()
        } else {
            common_prefix(a, b)
        };
        if differ == a.len() || differ == b.len() {
            return a.len().cmp(&b.len());
        }
        // What lies before the string with the first difference is equal and need not be looked at.
        let mut at = 0;
        loop {
            let (mut left, mut right) = (&a[at..], &b[at..]);
            let (Some(x), Some(y)) = (take_str(&mut left), take_str(&mut right)) else {
                return a.len().cmp(&b.len());
            };
            let end = a.len() - left.len();
            if differ < end || differ < b.len() - right.len() {
                return x.cmp(y);
            }
            at = end;
        }
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Labels) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Default for Labels {
    fn default() -> Labels {
        Labels::empty()
    }
}

/// `{a="b", c="d"}`; names that are not legacy names are quoted.
impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(", ")?;
            }
            if is_valid_label_name_legacy(name) {
                f.write_str(name)?;
            } else {
                f.write_str(&go_quote(name))?;
            }
            write!(f, "={}", go_quote(value))?;
        }
        f.write_str("}")
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl serde::Serialize for Labels {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

/// Changes a label set: cheap when nothing changes.
#[derive(Clone, Debug)]
pub struct LabelsBuilder<'a> {
    base: Labels,
    // Few changes at a time, so a list beats a map. `None` deletes.
    changes: Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>,
}

impl<'a> LabelsBuilder<'a> {
    /// Starts from `base`.
    pub fn new(base: &Labels) -> LabelsBuilder<'a> {
        LabelsBuilder {
            base: base.clone(),
            changes: Vec::new(),
        }
    }

    /// Sets a label; an empty value deletes it.
    pub fn set(
        &mut self,
        name: impl Into<Cow<'a, str>>,
        value: impl Into<Cow<'a, str>>,
    ) -> &mut Self {
        let value = value.into();
        self.change(
            name.into(),
            if value.is_empty() { None } else { Some(value) },
        );
        self
    }

    /// Deletes a label.
    pub fn del(&mut self, name: impl Into<Cow<'a, str>>) -> &mut Self {
        self.change(name.into(), None);
        self
    }

    fn change(&mut self, name: Cow<'a, str>, value: Option<Cow<'a, str>>) {
        match self.changes.iter_mut().find(|(n, _)| *n == name) {
            Some(slot) => slot.1 = value,
            None => self.changes.push((name, value)),
        }
    }

    /// The value of `name` as it stands, `""` when absent.
    pub fn get(&self, name: &str) -> &str {
        match self.changes.iter().find(|(n, _)| n == name) {
            Some((_, value)) => value.as_deref().unwrap_or(""),
            None => self.base.get(name).unwrap_or(""),
        }
    }

    /// The pairs as they stand, in no particular order.
    pub fn pairs(&self) -> Vec<(&str, &str)> {
        let mut pairs: Vec<(&str, &str)> = self
            .base
            .iter()
            .filter(|(name, _)| !self.changes.iter().any(|(n, _)| n == name))
            .collect();
        pairs.extend(
            self.changes
                .iter()
                .filter_map(|(name, value)| Some((&**name, value.as_deref()?))),
        );
        pairs
    }

    /// The changed set.
    pub fn build(&self) -> Labels {
        if self.changes.is_empty() {
            return self.base.clone();
        }
        Labels::from_refs(&mut self.pairs())
    }
}

/// Quotes like Go's `strconv.Quote`, which upstream uses wherever a label value is shown.
pub fn go_quote(s: &str) -> String {
    let mut out = String::with_capacity(s.len() + 2);
    out.push('"');
    for c in s.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\u{b}' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c as u32 == 0x7f => {
                out.push_str(&format!("\\x{:02x}", c as u32));
            }
            // Go quotes what it does not count as printable; spaces other than ' ' and format characters are the ones
            // met in practice.
            c if is_unprintable(c) && (c as u32) < 0x10000 => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c if is_unprintable(c) => out.push_str(&format!("\\U{:08x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn is_unprintable(c: char) -> bool {
    let n = c as u32;
    if n < 0x7f {
        return false;
    }
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || n == 0xad
        || (0x200b..=0x200f).contains(&n)
        || (0x202a..=0x202e).contains(&n)
        || (0x2060..=0x206f).contains(&n)
        || n == 0xfeff
        || (0xe000..=0xf8ff).contains(&n)
        || (0xfff0..=0xfffb).contains(&n)
        || n >= 0xe0000
        || n & 0xfffe == 0xfffe
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`
pub fn is_valid_label_name_legacy(name: &str) -> bool {
    let bytes = name.as_bytes();
    !bytes.is_empty()
        && !bytes[0].is_ascii_digit()
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
pub fn is_valid_metric_name_legacy(name: &str) -> bool {
    let bytes = name.as_bytes();
    !bytes.is_empty()
        && !bytes[0].is_ascii_digit()
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b == b':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_deduplicates_and_drops_empty_values() {
        let labels = Labels::from_pairs([("b", "1"), ("a", "x"), ("b", "2"), ("c", "")]);
        assert_eq!(labels.to_string(), r#"{a="x", b="2"}"#);
        assert_eq!(labels.get("b"), Some("2"));
        assert_eq!(labels.get("c"), None);
        assert_eq!(labels, Labels::from_pairs([("a", "x"), ("b", "2")]));
    }

    #[test]
    fn orders_like_upstream() {
        let set = |pairs: &[(&str, &str)]| Labels::from_pairs(pairs.iter().copied());
        assert!(set(&[("a", "1")]) < set(&[("a", "1"), ("b", "1")]));
        assert!(set(&[("a", "2")]) > set(&[("a", "10")]));
        assert!(set(&[("aa", "1")]) > set(&[("a", "9")]));
        assert!(set(&[]) < set(&[("a", "1")]));
    }

    #[test]
    fn builder_changes_only_what_it_is_told() {
        let base = Labels::from_pairs([("__name__", "up"), ("job", "x")]);
        let mut builder = LabelsBuilder::new(&base);
        assert_eq!(builder.build(), base);
        builder
            .set("job", "y")
            .del("__name__")
            .set("new", "z")
            .set("gone", "");
        assert_eq!(builder.get("job"), "y");
        assert_eq!(builder.get("__name__"), "");
        assert_eq!(builder.build().to_string(), r#"{job="y", new="z"}"#);
    }

    #[test]
    fn long_values_and_foreign_bytes() {
        let long = "x".repeat(70_000);
        let labels = Labels::from_pairs([("a", long.as_str()), ("b", "ü")]);
        assert_eq!(labels.get("a"), Some(long.as_str()));
        assert_eq!(Labels::from_bytes(labels.as_bytes()), Some(labels.clone()));
        let bytes = labels.as_bytes();
        for cut in [1, 2, 100, bytes.len() - 1] {
            assert_eq!(Labels::from_bytes(&bytes[..cut]), None);
        }
        assert_eq!(Labels::from_bytes(&[1, b'a', 1, 0xff]), None);
        assert_eq!(Labels::from_bytes(&[0x81, 0x00, b'a', 1, b'b']), None);
    }

    #[test]
    fn quotes_like_go() {
        assert_eq!(
            go_quote("a\"b\\c\nd\u{1}é\u{a0}"),
            "\"a\\\"b\\\\c\\nd\\x01é\\u00a0\""
        );
    }
}
