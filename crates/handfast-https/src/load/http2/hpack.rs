//! HPACK as a load generator needs it (RFC 7541): requests that are the same every time, and of
//! responses nothing but the status.
//!
//! The dynamic table of the decoder keeps sizes and statuses, no strings: enough to stay in step
//! with the server's encoder, whatever it indexes.

use std::collections::VecDeque;

use crate::http2::hpack::{
    ENTRY_OVERHEAD, HpackString, STATIC_ENTRIES, TABLE_SIZE, integer, put_integer,
};

/// One request, encoded for each situation of the connection.
#[derive(Debug, Clone)]
pub(super) struct RequestBlocks {
    /// Puts what is worth it into the dynamic table: for the first request.
    pub(super) first: Vec<u8>,
    /// Refers to it: for those after it.
    pub(super) again: Vec<u8>,
    /// Without the dynamic table: for servers that make it small.
    pub(super) literal: Vec<u8>,
    /// How much of the dynamic table `again` relies on.
    pub(super) table_bytes: usize,
}

impl RequestBlocks {
    /// Fields in the order in which they are to be sent, pseudo-header fields first, names in
    /// lower case. Sensitive ones are never indexed (RFC 7541, section 7.1.3).
    pub(super) fn new<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8], bool)>) -> Self {
        let mut first = Vec::new();
        let mut again = Vec::new();
        let mut literal = Vec::new();
        // Whether an entry is indexed is known before where it ends up: the last one is first.
        let mut indexed = Vec::new();
        let mut table_bytes = 0;
        for (name, value, sensitive) in fields {
            if let Some(index) = static_pair(name, value) {
                for block in [&mut first, &mut literal] {
                    put_integer(block, 0x80, 7, index);
                }
                indexed.push(Reference::Static(index));
                continue;
            }
            let pattern = if sensitive { 0x10 } else { 0x00 };
            put_literal(&mut literal, pattern, 4, name, value);
            let size = name.len() + value.len() + ENTRY_OVERHEAD;
            if sensitive || table_bytes + size > TABLE_SIZE {
                put_literal(&mut first, pattern, 4, name, value);
                let mut bytes = Vec::new();
                put_literal(&mut bytes, pattern, 4, name, value);
                indexed.push(Reference::Literal(bytes));
            } else {
                put_literal(&mut first, 0x40, 6, name, value);
                table_bytes += size;
                indexed.push(Reference::Dynamic);
            }
        }
        let entries = indexed
            .iter()
            .filter(|reference| matches!(reference, Reference::Dynamic))
            .count();
        let mut before = 0;
        for reference in indexed {
            match reference {
                Reference::Static(index) => put_integer(&mut again, 0x80, 7, index),
                Reference::Literal(bytes) => again.extend_from_slice(&bytes),
                Reference::Dynamic => {
                    put_integer(&mut again, 0x80, 7, STATIC_ENTRIES + entries - before);
                    before += 1;
                }
            }
        }
        Self {
            first,
            again,
            literal,
            table_bytes,
        }
    }
}

enum Reference {
    Static(usize),
    Dynamic,
    Literal(Vec<u8>),
}

/// Static entries that requests use with name and value.
fn static_pair(name: &[u8], value: &[u8]) -> Option<usize> {
    Some(match (name, value) {
        (b":method", b"GET") => 2,
        (b":method", b"POST") => 3,
        (b":path", b"/") => 4,
        (b":path", b"/index.html") => 5,
        (b":scheme", b"https") => 7,
        (b"accept-encoding", b"gzip, deflate") => 16,
        _ => return None,
    })
}

/// Static entries that requests use for the name alone.
fn static_name(name: &[u8]) -> usize {
    match name {
        b":authority" => 1,
        b":method" => 2,
        b":path" => 4,
        b"accept-encoding" => 16,
        b"accept-language" => 17,
        b"accept" => 19,
        b"authorization" => 23,
        b"content-length" => 28,
        b"content-type" => 31,
        b"cookie" => 32,
        b"user-agent" => 58,
        _ => 0,
    }
}

fn put_literal(block: &mut Vec<u8>, pattern: u8, prefix: u32, name: &[u8], value: &[u8]) {
    let index = static_name(name);
    put_integer(block, pattern, prefix, index);
    if index == 0 {
        put_integer(block, 0, 7, name.len());
        block.extend_from_slice(name);
    }
    put_integer(block, 0, 7, value.len());
    block.extend_from_slice(value);
}

/// What a header block says that matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Head {
    /// The status; trailers have none.
    pub(super) status: Option<u16>,
}

/// An entry of the dynamic table.
#[derive(Debug, Clone, Copy)]
struct Entry {
    size: usize,
    name_len: usize,
    /// Is its name `:status`, and what is then its value?
    status: Option<u16>,
    is_status: bool,
}

/// Decodes the header blocks of one connection, in their order.
#[derive(Debug)]
pub(super) struct Decoder {
    entries: VecDeque<Entry>,
    size: usize,
    size_max: usize,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            size_max: TABLE_SIZE,
        }
    }
}

impl Decoder {
    /// `None` when the block is malformed: the connection cannot go on then.
    pub(super) fn decode(&mut self, block: &[u8]) -> Option<Head> {
        let mut head = Head::default();
        let mut rest = block;
        while let Some(first) = rest.first().copied() {
            if first & 0x80 != 0 {
                let index = integer(&mut rest, 7)?;
                let status = match index {
                    8..=14 => STATIC_STATUS.get(index - 8).copied(),
                    1..=STATIC_ENTRIES => None,
                    _ => self.dynamic(index)?.status,
                };
                head.status = head.status.or(status);
            } else if first & 0xe0 == 0x20 {
                let size = integer(&mut rest, 5)?;
                if size > TABLE_SIZE {
                    return None;
                }
                self.size_max = size;
                self.evict();
            } else {
                let adds = first & 0x40 != 0;
                let entry = self.literal(&mut rest, if adds { 6 } else { 4 }, adds)?;
                if entry.is_status {
                    head.status = head.status.or(entry.status);
                }
                if adds {
                    self.size += entry.size;
                    self.entries.push_front(entry);
                    self.evict();
                }
            }
        }
        Some(head)
    }

    fn literal(&self, rest: &mut &[u8], prefix: u32, adds: bool) -> Option<Entry> {
        let index = integer(rest, prefix)?;
        let (name_len, is_status) = match index {
            0 => {
                let name = HpackString::take(rest)?;
                // Responses name `:status` by its index; a literal name is still a name.
                let is_status = name.equals(b":status")?;
                (name.len(adds)?, is_status)
            }
            1..=STATIC_ENTRIES => {
                let len = STATIC_NAME_LENS.get(index - 1).copied()?;
                (usize::from(len), (8..=14).contains(&index))
            }
            _ => {
                let entry = self.dynamic(index)?;
                (entry.name_len, entry.is_status)
            }
        };
        let value = HpackString::take(rest)?;
        let status = if is_status {
            Some(status(&value)?)
        } else {
            None
        };
        Some(Entry {
            size: name_len + value.len(adds)? + ENTRY_OVERHEAD,
            name_len,
            status,
            is_status,
        })
    }

    fn dynamic(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index.checked_sub(STATIC_ENTRIES + 1)?)
    }

    fn evict(&mut self) {
        while self.size > self.size_max {
            match self.entries.pop_back() {
                Some(entry) => self.size -= entry.size,
                None => break,
            }
        }
    }
}

/// The status that a string spells.
fn status(value: &HpackString<'_>) -> Option<u16> {
    let mut digits = 0;
    let mut status = 0u16;
    value.decode(|byte| {
        digits += if byte.is_ascii_digit() { 1 } else { 4 };
        status = status.wrapping_mul(10).wrapping_add(u16::from(byte & 0x0f));
    })?;
    (digits == 3 && status >= 100).then_some(status)
}

/// The values of the static entries 8 to 14.
const STATIC_STATUS: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];

/// The lengths of the names of the static table (RFC 7541, appendix A).
#[rustfmt::skip]
const STATIC_NAME_LENS: [u8; STATIC_ENTRIES] = [
    10, 7, 7, 5, 5, 7, 7, // :authority :method :method :path :path :scheme :scheme
    7, 7, 7, 7, 7, 7, 7, // :status
    14, 15, 15, 13, 6, // accept-charset -encoding -language -ranges accept
    27, 3, 5, 13, 13, // access-control-allow-origin age allow authorization cache-control
    19, 16, 16, 14, 16, 13, 12, // content-disposition -encoding -language -length -location -range -type
    6, 4, 4, 6, 7, 4, 4, // cookie date etag expect expires from host
    8, 17, 13, 8, 19, // if-match if-modified-since if-none-match if-range if-unmodified-since
    13, 4, 8, 12, 18, // last-modified link location max-forwards proxy-authenticate
    19, 5, 7, 7, 11, 6, // proxy-authorization range referer refresh retry-after server
    10, 25, 17, // set-cookie strict-transport-security transfer-encoding
    10, 4, 3, 16, // user-agent vary via www-authenticate
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn head_status(decoder: &mut Decoder, block: &[u8]) -> Option<Option<u16>> {
        decoder.decode(block).map(|head| head.status)
    }

    /// RFC 7541, appendix C.6: responses with Huffman coding and, in the RFC, a table of 256 bytes.
    #[test]
    fn b6_the_responses_of_the_rfc_decode() {
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
        assert_eq!(head_status(&mut decoder, &first), Some(Some(302)));
        assert_eq!(decoder.size, 222);
        let second = [0x48, 0x83, 0x64, 0x0e, 0xff, 0xc1, 0xc0, 0xbf];
        assert_eq!(head_status(&mut decoder, &second), Some(Some(307)));
        assert_eq!(decoder.size, 222);
        let third = [
            0x88, 0xc1, 0x61, 0x96, 0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20,
            0x05, 0x95, 0x04, 0x0b, 0x81, 0x66, 0xe0, 0x84, 0xa6, 0x2d, 0x1b, 0xff, 0xc0, 0x5a,
            0x83, 0x9b, 0xd9, 0xab, 0x77, 0xad, 0x94, 0xe7, 0x82, 0x1d, 0xd7, 0xf2, 0xe6, 0xc7,
            0xb3, 0x35, 0xdf, 0xdf, 0xcd, 0x5b, 0x39, 0x60, 0xd5, 0xaf, 0x27, 0x08, 0x7f, 0x36,
            0x72, 0xc1, 0xab, 0x27, 0x0f, 0xb5, 0x29, 0x1f, 0x95, 0x87, 0x31, 0x60, 0x65, 0xc0,
            0x03, 0xed, 0x4e, 0xe5, 0xb1, 0x06, 0x3d, 0x50, 0x07,
        ];
        assert_eq!(head_status(&mut decoder, &third), Some(Some(200)));
        assert_eq!(decoder.size, 215);
    }

    #[test]
    fn b6_a_status_comes_in_every_form() {
        let mut decoder = Decoder::default();
        for (block, expected) in [
            (&[0x88][..], Some(200)),
            (b"\x08\x03503", Some(503)),
            (b"\x48\x03418", Some(418)),
            (b"\xbe", Some(418)),
            (b"\x0f\x2f\x03429", Some(429)), // named by the dynamic entry
            (b"\x00\x07:status\x03201", Some(201)),
            (b"\x00\x01a\x01b", None),
            (b"\x3f\xe1\x1f\x88", Some(200)), // table size 4096
            (b"\x20\x88", Some(200)),         // table emptied
        ] {
            assert_eq!(
                head_status(&mut decoder, block),
                Some(expected),
                "{block:x?}"
            );
        }
        for malformed in [
            &b"\xbe"[..],     // nothing there any more
            b"\x08\x0420000", // four digits
            b"\x08\x03",      // cut off
            b"\x3f\xe2\x1f",  // a table larger than allowed
            b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
        ] {
            assert_eq!(head_status(&mut decoder, malformed), None, "{malformed:x?}");
        }
    }

    /// h2's own encoder and decoder are private; hyper's end of a connection checks the rest in
    /// the integration tests. Here: the references of `again` count from the newest entry.
    #[test]
    fn b6_a_repeated_request_refers_to_the_first() {
        let fields: [(&[u8], &[u8], bool); 5] = [
            (b":method", b"GET", false),
            (b":path", b"/x", false),
            (b":authority", b"a", false),
            (b"authorization", b"secret", true),
            (b"x-y", b"z", false),
        ];
        let blocks = RequestBlocks::new(fields.into_iter());
        assert_eq!(
            blocks.first,
            b"\x82\x44\x02/x\x41\x01a\x1f\x08\x06secret\x40\x03x-y\x01z"
        );
        assert_eq!(blocks.again, b"\x82\xc0\xbf\x1f\x08\x06secret\xbe");
        assert_eq!(
            blocks.literal,
            b"\x82\x04\x02/x\x01\x01a\x1f\x08\x06secret\x00\x03x-y\x01z"
        );
        assert_eq!(blocks.table_bytes, 3 * 32 + 7 + 11 + 4);
    }

    proptest! {
        #[test]
        fn b6_arbitrary_blocks_never_panic(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..8)) {
            let mut decoder = Decoder::default();
            for block in blocks {
                decoder.decode(&block);
                prop_assert!(decoder.size <= decoder.size_max);
                prop_assert_eq!(decoder.size, decoder.entries.iter().map(|entry| entry.size).sum::<usize>());
            }
        }
    }
}
