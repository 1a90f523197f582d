//! Interned label names and values of the head, and the label sets made of them.
//!
//! A label set is the number of its *shape* (the sorted tuple of label names, shared by thousands of series) and one
//! 32-bit symbol a value: 40 to 60 bytes a series where packed strings take 200 to 350. Symbols are counted, and their
//! room is reclaimed when series go.

use hashbrown::HashTable;
use hashbrown::hash_map::HashMap;
use model::Labels;

/// A page of symbol bytes.
const PAGE: usize = 1 << 20;
/// Dead bytes below which nothing is moved.
const COMPACT_FROM: usize = 4 << 20;

/// A label set in symbols.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct LabelSet {
    shape: u32,
    values: Box<[u32]>,
}

impl LabelSet {
    /// How many labels.
    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Page number in the upper 12 bits, offset in the lower 20.
    at: u32,
    /// Series that use the symbol, as name or value; 0 for a free entry.
    uses: u32,
}

#[derive(Debug)]
struct Shape {
    names: Box<[u32]>,
    uses: u32,
}

/// The interner of one head.
#[derive(Debug, Default)]
pub(crate) struct Symbols {
    pages: Vec<Vec<u8>>,
    entries: Vec<Entry>,
    free: Vec<u32>,
    by_text: HashTable<u32>,
    shapes: Vec<Shape>,
    free_shapes: Vec<u32>,
    by_names: HashMap<Box<[u32]>, u32>,
    live_bytes: usize,
    dead_bytes: usize,
    /// How often label sets were given back.
    removals: u64,
}

/// The interner holds as many distinct strings as it can address (4 GiB).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SymbolsFull;

fn hash(text: &[u8]) -> u64 {
    // FNV-1a with a final mix: strings are short, and the table wants its upper bits good.
    let mut h = 0xcbf2_9ce4_8422_2325u64;
    for chunk in text.chunks(8) {
        let mut word = [0u8; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        h = (h ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        h ^= h >> 29;
    }
    h
}

fn read(pages: &[Vec<u8>], at: u32) -> &[u8] {
    let page = &pages[(at >> 20) as usize];
    let mut offset = (at & 0xf_ffff) as usize;
    let (mut len, mut shift) = (0usize, 0);
    loop {
        let byte = page[offset];
        offset += 1;
        len |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte < 0x80 {
            return &page[offset..offset + len];
        }
    }
}

fn write(pages: &mut Vec<Vec<u8>>, text: &[u8]) -> Result<u32, SymbolsFull> {
    use ondisk::fields::PutFields as _;
    let need = text.len() + 5;
    let fits = pages
        .last()
        .is_some_and(|p| p.len() + need <= p.capacity().min(PAGE));
    if !fits {
        if pages.len() == 1 << 12 {
            return Err(SymbolsFull);
        }
        // The first pages grow with the head, so that a small one stays small.
        let size = (PAGE >> 4 << pages.len().min(4)).max(need);
        pages.push(Vec::with_capacity(size));
    }
    let number = pages.len() - 1;
    let page = &mut pages[number];
    let at = (number << 20 | page.len()) as u32;
    page.put_uvarint(text.len() as u64);
    page.extend_from_slice(text);
    Ok(at)
}

impl Symbols {
    /// The text of a symbol.
    pub(crate) fn text(&self, symbol: u32) -> &str {
        let bytes = read(&self.pages, self.entries[symbol as usize].at);
        // Only whole strings are ever written.
        std::str::from_utf8(bytes).unwrap_or_default()
    }

    /// The symbol of a text, if any series uses it.
    pub(crate) fn find(&self, text: &str) -> Option<u32> {
        let (pages, entries) = (&self.pages, &self.entries);
        let same = |s: &u32| read(pages, entries[*s as usize].at) == text.as_bytes();
        self.by_text.find(hash(text.as_bytes()), same).copied()
    }

    fn intern(&mut self, text: &str) -> Result<u32, SymbolsFull> {
        if let Some(symbol) = self.find(text) {
            self.entries[symbol as usize].uses += 1;
            return Ok(symbol);
        }
        let at = write(&mut self.pages, text.as_bytes())?;
        let entry = Entry { at, uses: 1 };
        let symbol = match self.free.pop() {
            Some(symbol) => {
                self.entries[symbol as usize] = entry;
                symbol
            }
            None => {
                self.entries.push(entry);
                (self.entries.len() - 1) as u32
            }
        };
        self.live_bytes += text.len();
        let (pages, entries) = (&self.pages, &self.entries);
        let rehash = |s: &u32| hash(read(pages, entries[*s as usize].at));
        self.by_text
            .insert_unique(hash(text.as_bytes()), symbol, rehash);
        Ok(symbol)
    }

    fn release(&mut self, symbol: u32) {
        let entry = &mut self.entries[symbol as usize];
        entry.uses -= 1;
        if entry.uses > 0 {
            return;
        }
        let text = read(&self.pages, self.entries[symbol as usize].at);
        if let Ok(found) = self.by_text.find_entry(hash(text), |s| *s == symbol) {
            found.remove();
        }
        self.live_bytes -= text.len();
        self.dead_bytes += text.len();
        self.free.push(symbol);
    }

    /// Interns a label set; every symbol in it counts one use more.
    pub(crate) fn add(&mut self, labels: &Labels) -> Result<LabelSet, SymbolsFull> {
        let n = labels.len();
        let (mut names, mut values) = (Vec::with_capacity(n), Vec::with_capacity(n));
        for (name, value) in labels.iter() {
            names.push(self.intern(name)?);
            values.push(self.intern(value)?);
        }
        let shape = match self.by_names.get(&names[..]) {
            Some(&shape) => {
                // The shape holds one use of each name for all its series.
                names.iter().for_each(|n| self.release(*n));
                self.shapes[shape as usize].uses += 1;
                shape
            }
            None => {
                let names: Box<[u32]> = names.into();
                let shape = Shape {
                    names: names.clone(),
                    uses: 1,
                };
                let number = match self.free_shapes.pop() {
                    Some(number) => {
                        self.shapes[number as usize] = shape;
                        number
                    }
                    None => {
                        self.shapes.push(shape);
                        (self.shapes.len() - 1) as u32
                    }
                };
                self.by_names.insert(names, number);
                number
            }
        };
        Ok(LabelSet {
            shape,
            values: values.into(),
        })
    }

    /// Gives a label set back.
    pub(crate) fn remove(&mut self, set: &LabelSet) {
        self.removals += 1;
        set.values.iter().for_each(|v| self.release(*v));
        let shape = &mut self.shapes[set.shape as usize];
        shape.uses -= 1;
        if shape.uses == 0 {
            let names = std::mem::take(&mut shape.names);
            names.iter().for_each(|n| self.release(*n));
            self.by_names.remove(&names);
            self.free_shapes.push(set.shape);
        }
    }

    /// Changes whenever a label set is given back: while it stays the same, sets read before are still good.
    pub(crate) fn removals(&self) -> u64 {
        self.removals
    }

    /// Moves the living together when the dead take much room. Symbols keep their numbers.
    pub(crate) fn compact(&mut self) {
        if self.dead_bytes < COMPACT_FROM || self.dead_bytes < self.live_bytes / 2 {
            return;
        }
        let old = std::mem::take(&mut self.pages);
        for entry in self.entries.iter_mut().filter(|e| e.uses > 0) {
            // All of it fitted before, so it fits now.
            if let Ok(at) = write(&mut self.pages, read(&old, entry.at)) {
                entry.at = at;
            }
        }
        self.dead_bytes = 0;
    }

    /// Pairs of name and value symbols, in label order.
    pub(crate) fn pairs<'a>(
        &'a self,
        set: &'a LabelSet,
    ) -> impl ExactSizeIterator<Item = (u32, u32)> + 'a {
        let names = &self.shapes[set.shape as usize].names;
        names.iter().copied().zip(set.values.iter().copied())
    }

    /// Pairs of name and value, in label order.
    pub(crate) fn texts<'a>(
        &'a self,
        set: &'a LabelSet,
    ) -> impl ExactSizeIterator<Item = (&'a str, &'a str)> + 'a {
        self.pairs(set).map(|(n, v)| (self.text(n), self.text(v)))
    }

    /// The label set in full.
    pub(crate) fn labels(&self, set: &LabelSet) -> Labels {
        let mut pairs: Vec<(&str, &str)> = self.texts(set).collect();
        Labels::from_refs(&mut pairs)
    }

    /// Whether a set is `labels`.
    pub(crate) fn is(&self, set: &LabelSet, labels: &Labels) -> bool {
        set.values.len() == labels.len() && self.texts(set).eq(labels.iter())
    }

    /// Distinct strings in use.
    pub(crate) fn len(&self) -> usize {
        self.by_text.len()
    }

    /// All symbols in use with their texts.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &str)> {
        let used = self.entries.iter().enumerate().filter(|(_, e)| e.uses > 0);
        used.map(|(symbol, _)| (symbol as u32, self.text(symbol as u32)))
    }

    /// One more than the largest symbol.
    pub(crate) fn bound(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_come_and_go() {
        let mut symbols = Symbols::default();
        let of = |i: usize| {
            Labels::from_pairs([("__name__", "up".to_owned()), ("pod", format!("pod-{i}"))])
        };
        let sets: Vec<LabelSet> = (0..1000).map(|i| symbols.add(&of(i)).unwrap()).collect();
        assert_eq!(symbols.len(), 1003);
        assert_eq!(symbols.shapes.len(), 1);
        for (i, set) in sets.iter().enumerate() {
            assert!(symbols.is(set, &of(i)));
            assert_eq!(symbols.labels(set), of(i));
        }
        for set in &sets[10..] {
            symbols.remove(set);
        }
        assert_eq!(symbols.len(), 13);
        symbols.dead_bytes = COMPACT_FROM;
        symbols.compact();
        let again = symbols.add(&of(500)).unwrap();
        assert_eq!(symbols.labels(&again), of(500));
        assert!(symbols.is(&sets[3], &of(3)) && !symbols.is(&sets[3], &of(4)));
        symbols.remove(&again);
        sets[..10].iter().for_each(|s| symbols.remove(s));
        assert_eq!(symbols.len(), 0);
        assert_eq!(symbols.find("up"), None);
    }
}
