//! HPACK, header compression (RFC 7541).
//!
//! One [`Decoder`] serves every reader. A reader's representation of a field ([`Fields`]) is computed once, when
//! the field enters the table, and cloned from then on: a server gets methods and validated header values, a
//! load tester keeps three numbers and no strings.

pub mod encode;
mod huffman;
mod primitive;
mod table;

use std::collections::VecDeque;
use std::fmt::Debug;

pub use self::primitive::{ENTRY_OVERHEAD, STATIC_ENTRIES, TABLE_SIZE, put_integer};
use self::primitive::{HpackString, integer};

/// A reader's representation of fields.
pub trait Fields: Sized + 'static {
    /// A name whose value is not yet known.
    type Name: Clone + Debug;
    /// A field, name and value. Malformed fields are represented, too, because the table has to stay
    /// synchronized with the peer's.
    type Field: Clone + Debug;

    /// A name, as decoded.
    fn name(name: &[u8]) -> Self::Name;

    /// A field, as decoded.
    fn field(name: &Self::Name, value: &[u8]) -> Self::Field;

    /// Whether the value of a field with this name is needed. If not, it is not decoded, and
    /// [`field`](Self::field) is given an empty one.
    fn wants(_name: &Self::Name) -> bool {
        true
    }

    /// The static table in this representation: a `LazyLock` of [`static_table`].
    fn table() -> &'static [Entry<Self>];
}

/// The static table in a reader's representation.
pub fn static_table<F: Fields>() -> Vec<Entry<F>> {
    table::STATIC
        .iter()
        .map(|(name, value)| {
            let parsed = F::name(name.as_bytes());
            Entry {
                field: F::field(&parsed, value.as_bytes()),
                name: parsed,
                bytes: name.len() + value.len(),
                name_bytes: name.len(),
            }
        })
        .collect()
}

/// An entry of a table.
#[derive(Debug)]
pub struct Entry<F: Fields> {
    name: F::Name,
    field: F::Field,
    /// The length of both strings.
    bytes: usize,
    name_bytes: usize,
}

/// Decodes the header blocks of one connection, in their order.
#[derive(Debug)]
pub struct Decoder<F: Fields> {
    entries: VecDeque<Entry<F>>,
    size: usize,
    size_max: usize,
    scratch: Vec<u8>,
}

impl<F: Fields> Default for Decoder<F> {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            size_max: TABLE_SIZE,
            scratch: Vec::new(),
        }
    }
}

impl<F: Fields> Decoder<F> {
    /// Calls `each` for every field, with its size in the header list (RFC 9113, section
    /// 10.5.1). `None` if the block cannot be decoded: the connection has to end then.
    ///
    /// One byte may represent a field of 4 KiB, so `each` must do almost no work once the list is too large.
    pub fn decode(&mut self, block: &[u8], mut each: impl FnMut(&F::Field, usize)) -> Option<()> {
        let mut rest = block;
        let mut begun = false;
        while let Some(first) = rest.first().copied() {
            if first & 0x80 != 0 {
                begun = true;
                let entry = self.entry(integer(&mut rest, 7)?)?;
                each(&entry.field, entry.bytes + ENTRY_OVERHEAD);
            } else if first & 0xe0 == 0x20 {
                let size = integer(&mut rest, 5)?;
                // Only before the first field (RFC 7541, section 4.2).
                if size > TABLE_SIZE || begun {
                    return None;
                }
                self.size_max = size;
                self.evict(0);
            } else {
                begun = true;
                let adds = first & 0x40 != 0;
                let entry = self.literal(&mut rest, if adds { 6 } else { 4 }, adds)?;
                each(&entry.field, entry.bytes + ENTRY_OVERHEAD);
                if adds {
                    self.add(entry);
                }
            }
        }
        Some(())
    }

    /// Bytes of memory, approximately, of the table and the scratch buffer.
    pub fn memory_held(&self) -> usize {
        self.entries.capacity() * size_of::<Entry<F>>() + self.size + self.scratch.capacity()
    }

    fn literal(&mut self, rest: &mut &[u8], prefix: u32, adds: bool) -> Option<Entry<F>> {
        let index = integer(rest, prefix)?;
        let (name, name_bytes) = if index == 0 {
            let string = self.string(rest)?;
            (F::name(string), string.len())
        } else {
            let entry = self.entry(index)?;
            (entry.name.clone(), entry.name_bytes)
        };
        let (field, value_bytes) = if F::wants(&name) {
            let value = self.string(rest)?;
            (F::field(&name, value), value.len())
        } else {
            // If the table needs its length, the value has to be decoded nevertheless.
            let value_bytes = HpackString::take(rest)?.len(adds)?;
            (F::field(&name, &[]), value_bytes)
        };
        Some(Entry {
            name,
            field,
            bytes: name_bytes + value_bytes,
            name_bytes,
        })
    }

    /// A string, decoded into the scratch buffer if it is coded.
    fn string<'s, 'b: 's>(&'s mut self, rest: &mut &'b [u8]) -> Option<&'s [u8]> {
        let string = HpackString::take(rest)?;
        if let Some(plain) = string.plain() {
            return Some(plain);
        }
        self.scratch.clear();
        let scratch = &mut self.scratch;
        string.decode(|byte| scratch.push(byte))?;
        Some(&self.scratch)
    }

    fn entry(&self, index: usize) -> Option<&Entry<F>> {
        let index = index.checked_sub(1)?;
        match index.checked_sub(STATIC_ENTRIES) {
            None => F::table().get(index),
            Some(index) => self.entries.get(index),
        }
    }

    fn add(&mut self, entry: Entry<F>) {
        let size = entry.bytes + ENTRY_OVERHEAD;
        self.evict(size);
        // An entry that is larger than the table empties it (RFC 7541, section 4.4).
        if size <= self.size_max {
            self.size += size;
            self.entries.push_front(entry);
        }
    }

    /// Makes room for an entry of this size.
    fn evict(&mut self, size: usize) {
        while self.size + size > self.size_max
            && let Some(entry) = self.entries.pop_back()
        {
            self.size -= entry.bytes + ENTRY_OVERHEAD;
        }
    }

    /// Releases the scratch buffer if it is large.
    pub(super) fn rest(&mut self) {
        if self.scratch.capacity() > SCRATCH_KEPT {
            self.scratch = Vec::new();
        }
    }
}

/// The size of the scratch buffer that an idle connection keeps, in bytes.
const SCRATCH_KEPT: usize = 256;

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::*;

    /// Represents fields as text.
    #[derive(Debug)]
    struct Text;

    impl Fields for Text {
        type Name = String;
        type Field = String;

        fn name(name: &[u8]) -> String {
            String::from_utf8_lossy(name).into_owned()
        }

        fn field(name: &String, value: &[u8]) -> String {
            format!("{name} {}", String::from_utf8_lossy(value))
        }

        fn table() -> &'static [Entry<Self>] {
            static TABLE: LazyLock<Vec<Entry<Text>>> = LazyLock::new(static_table);
            &TABLE
        }
    }

    /// Needs only sizes.
    #[derive(Debug)]
    struct Sizes;

    impl Fields for Sizes {
        type Name = ();
        type Field = ();

        fn name(_name: &[u8]) {}

        fn field(_name: &(), _value: &[u8]) {}

        fn wants(_name: &()) -> bool {
            false
        }

        fn table() -> &'static [Entry<Self>] {
            static TABLE: LazyLock<Vec<Entry<Sizes>>> = LazyLock::new(static_table);
            &TABLE
        }
    }

    fn decode(decoder: &mut Decoder<Text>, block: &[u8]) -> Option<Vec<String>> {
        let mut fields = Vec::new();
        decoder.decode(block, |field, _| fields.push(field.clone()))?;
        Some(fields)
    }

    /// RFC 7541, appendix C.4: requests with Huffman coding.
    #[test]
    fn the_requests_of_the_rfc_decode() {
        let mut decoder = Decoder::default();
        let first = [
            0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab,
            0x90, 0xf4, 0xff,
        ];
        let common = [
            ":method GET",
            ":scheme http",
            ":path /",
            ":authority www.example.com",
        ];
        assert_eq!(decode(&mut decoder, &first).unwrap(), common);
        assert_eq!(decoder.size, 57);
        let second = [
            0x82, 0x86, 0x84, 0xbe, 0x58, 0x86, 0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf,
        ];
        let fields = decode(&mut decoder, &second).unwrap();
        assert_eq!(fields[..4], common);
        assert_eq!(fields[4], "cache-control no-cache");
        assert_eq!(decoder.size, 110);
        let third = [
            0x82, 0x87, 0x85, 0xbf, 0x40, 0x88, 0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f,
            0x89, 0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf,
        ];
        let fields = decode(&mut decoder, &third).unwrap();
        assert_eq!(fields[2], ":path /index.html");
        assert_eq!(fields[4], "custom-key custom-value");
        assert_eq!(decoder.size, 164);
    }

    /// RFC 7541, appendix C.6: responses with Huffman coding and a table of 256 bytes.
    #[test]
    fn the_responses_of_the_rfc_decode() {
        let mut decoder = Decoder {
            size_max: 256,
            ..Decoder::default()
        };
        let first = [
            0x48, 0x82, 0x64, 0x02, 0x58, 0x85, 0xae, 0xc3, 0x77, 0x1a, 0x4b, 0x61, 0x96, 0xd0,
            0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04, 0x0b, 0x81,
            0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff, 0x6e, 0x91, 0x9d, 0x29, 0xad, 0x17, 0x18,
            0x63, 0xc7, 0x8f, 0x0b, 0x97, 0xc8, 0xe9, 0xae, 0x82, 0xae, 0x43, 0xd3,
        ];
        let fields = decode(&mut decoder, &first).unwrap();
        assert_eq!(fields[0], ":status 302");
        assert_eq!(fields[3], "location https://www.example.com");
        assert_eq!(decoder.size, 222);
        let second = [0x48, 0x83, 0x64, 0x0e, 0xff, 0xc1, 0xc0, 0xbf];
        let fields = decode(&mut decoder, &second).unwrap();
        assert_eq!(fields[0], ":status 307");
        assert_eq!(decoder.size, 222);
    }

    #[test]
    fn malformed_blocks_are_refused() {
        for block in [
            &b"\x80"[..],
            b"\xbe",
            b"\x82\x20",          // a size update behind a field
            b"\x3f\xe2\x1f",      // a table larger than allowed
            b"\x00\x01a",         // cut off
            b"\x00\x81\x00\x01b", // malformed Huffman code
            b"\x00\x01a\x81\x00",
        ] {
            assert_eq!(decode(&mut Decoder::default(), block), None, "{block:x?}");
        }
    }

    proptest! {
        /// Readers agree on which blocks can be decoded and on the size of the table, regardless of which values they
        /// need.
        #[test]
        fn arbitrary_blocks_never_panic_and_tables_stay_in_step(
            blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..8),
        ) {
            let mut decoder = Decoder::<Text>::default();
            let mut sizes = Decoder::<Sizes>::default();
            for block in blocks {
                let found = decoder.decode(&block, |_, _| {});
                prop_assert!(decoder.size <= decoder.size_max);
                let sum = decoder.entries.iter().map(|entry| entry.bytes + ENTRY_OVERHEAD).sum::<usize>();
                prop_assert_eq!(decoder.size, sum);
                let brief = sizes.decode(&block, |_, _| {});
                if found.is_none() || brief.is_none() {
                    // Values that are not needed are not decoded, so errors in them are not detected.
                    prop_assert!(found.is_none());
                    break;
                }
                prop_assert_eq!(decoder.size, sizes.size);
            }
        }
    }
}
