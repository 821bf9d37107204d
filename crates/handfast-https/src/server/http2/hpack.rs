//! Header blocks (RFC 7541), the server's side: requests decoded into parts that are checked once and
//! then cloned, replies encoded without a table of ours to keep.

use std::collections::VecDeque;
use std::sync::LazyLock;

use bytes::Bytes;
use hyper::header::{DATE, HeaderMap, HeaderName, HeaderValue};
use hyper::http::uri::{Authority, PathAndQuery};
use hyper::http::{Method, StatusCode};

use super::super::date;
use crate::http2::hpack::{
    ENTRY_OVERHEAD, HpackString, STATIC_ENTRIES, TABLE_SIZE, integer, put_integer,
};

/// One field of a request, as it may be used. What must not be used is remembered as such: the table
/// has to stay in step with the client's.
#[derive(Debug, Clone)]
pub(super) enum Field {
    Method(Method),
    Scheme,
    Authority(Authority),
    Path(PathAndQuery),
    Plain(HeaderName, HeaderValue),
    Malformed(&'static str),
}

/// The name of a field that is still without a value.
#[derive(Debug, Clone)]
enum Name {
    Method,
    Scheme,
    Authority,
    Path,
    Plain(HeaderName),
    Malformed(&'static str),
}

#[derive(Debug, Clone)]
struct Entry {
    name: Name,
    field: Field,
    /// Of both strings.
    bytes: usize,
    name_bytes: usize,
}

/// Decodes the header blocks of one connection, in their order.
#[derive(Debug)]
pub(super) struct Decoder {
    entries: VecDeque<Entry>,
    size: usize,
    size_max: usize,
    scratch: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self {
            entries: VecDeque::new(),
            size: 0,
            size_max: TABLE_SIZE,
            scratch: Vec::new(),
        }
    }
}

impl Decoder {
    /// Hands every field to `each`, with what it counts for the size of the list (RFC 9113, section
    /// 10.5.1). `None` when the block cannot be decoded: the connection cannot go on then.
    pub(super) fn decode(
        &mut self,
        block: &[u8],
        mut each: impl FnMut(&Field, usize),
    ) -> Option<()> {
        let mut rest = block;
        let mut begun = false;
        while let Some(first) = rest.first().copied() {
            if first & 0x80 != 0 {
                begun = true;
                let entry = self.entry(integer(&mut rest, 7)?)?;
                each(&entry.field, entry.bytes + ENTRY_OVERHEAD);
            } else if first & 0xe0 == 0x20 {
                let size = integer(&mut rest, 5)?;
                // Only in front of the first field (RFC 7541, section 4.2).
                if size > TABLE_SIZE || begun {
                    return None;
                }
                self.size_max = size;
                self.evict(0);
            } else {
                begun = true;
                let adds = first & 0x40 != 0;
                let entry = self.literal(&mut rest, if adds { 6 } else { 4 })?;
                each(&entry.field, entry.bytes + ENTRY_OVERHEAD);
                if adds {
                    self.add(entry);
                }
            }
        }
        Some(())
    }

    fn literal(&mut self, rest: &mut &[u8], prefix: u32) -> Option<Entry> {
        let index = integer(rest, prefix)?;
        let (name, name_bytes) = if index == 0 {
            let string = self.string(rest)?;
            (parse_name(string), string.len())
        } else {
            let entry = self.entry(index)?;
            (entry.name.clone(), entry.name_bytes)
        };
        let value = self.string(rest)?;
        let bytes = name_bytes + value.len();
        let field = parse_value(&name, value);
        Some(Entry {
            name,
            field,
            bytes,
            name_bytes,
        })
    }

    /// A string, decoded into the scratch buffer where it must be.
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

    fn entry(&self, index: usize) -> Option<&Entry> {
        let index = index.checked_sub(1)?;
        match index.checked_sub(STATIC_ENTRIES) {
            None => STATIC.get(index),
            Some(index) => self.entries.get(index),
        }
    }

    fn add(&mut self, entry: Entry) {
        let size = entry.bytes + ENTRY_OVERHEAD;
        self.evict(size);
        // One that is larger than the table empties it (RFC 7541, section 4.4).
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
}

fn parse_name(name: &[u8]) -> Name {
    match name {
        b":method" => Name::Method,
        b":scheme" => Name::Scheme,
        b":authority" => Name::Authority,
        b":path" => Name::Path,
        [b':', ..] => Name::Malformed("a pseudo-header field that requests do not have"),
        // What belongs to the connection is HTTP/1's (RFC 9113, section 8.2.2).
        b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding" | b"upgrade" => {
            Name::Malformed("a header field that belongs to a connection of HTTP/1.1")
        }
        _ => match HeaderName::from_lowercase(name) {
            Ok(name) => Name::Plain(name),
            Err(_) => Name::Malformed("a header field's name is malformed"),
        },
    }
}

fn parse_value(name: &Name, value: &[u8]) -> Field {
    let parsed = match name {
        Name::Method => Method::from_bytes(value).ok().map(Field::Method),
        // Whatever is asked for over TLS is asked of this server: `http` comes from proxies.
        Name::Scheme => (value == b"https" || value == b"http").then_some(Field::Scheme),
        Name::Authority => Authority::from_maybe_shared(Bytes::copy_from_slice(value))
            .ok()
            .map(Field::Authority),
        Name::Path => (value.starts_with(b"/") || value == b"*")
            .then(|| PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(value)).ok())
            .flatten()
            .map(Field::Path),
        Name::Plain(name) => {
            let trimmed = value
                .first()
                .is_none_or(|byte| !matches!(byte, b' ' | b'\t'))
                && value
                    .last()
                    .is_none_or(|byte| !matches!(byte, b' ' | b'\t'));
            HeaderValue::from_maybe_shared(Bytes::copy_from_slice(value))
                .ok()
                .filter(|_| trimmed && (name != hyper::header::TE || value == b"trailers"))
                .map(|value| Field::Plain(name.clone(), value))
        }
        Name::Malformed(what) => return Field::Malformed(what),
    };
    parsed.unwrap_or(Field::Malformed(match name {
        Name::Method => "the :method is malformed",
        Name::Scheme => "the :scheme is neither https nor http",
        Name::Authority => "the :authority is malformed",
        Name::Path => "the :path is malformed",
        Name::Plain(_) | Name::Malformed(_) => "a header field's value is malformed",
    }))
}

/// The head of a reply. `first` on a connection says that no table is used: ours is never filled, so
/// that there is nothing to keep in step, to search or to guard (RFC 7541, section 4.2).
pub(super) fn put_reply(
    block: &mut Vec<u8>,
    first: bool,
    status: StatusCode,
    fields: &HeaderMap,
    length: Option<u64>,
) {
    if first {
        block.push(0x20);
    }
    match status.as_u16() {
        200 => block.push(0x88),
        204 => block.push(0x89),
        206 => block.push(0x8a),
        304 => block.push(0x8b),
        400 => block.push(0x8c),
        404 => block.push(0x8d),
        500 => block.push(0x8e),
        _ => {
            block.push(8);
            put_string(block, status.as_str().as_bytes());
        }
    }
    for (name, value) in fields {
        put_field(block, name.as_str(), value.as_bytes(), value.is_sensitive());
    }
    if let Some(length) = length {
        let mut digits = [0; DIGITS_MAX];
        put_field(block, "content-length", decimal(length, &mut digits), false);
    }
    if !fields.contains_key(DATE) {
        put_field(block, "date", &date::now(), false);
    }
}

/// What the largest number takes.
const DIGITS_MAX: usize = 20;

fn decimal(number: u64, digits: &mut [u8; DIGITS_MAX]) -> &[u8] {
    let mut left = number;
    let mut start = DIGITS_MAX;
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
        start = at;
        if left == 0 {
            break;
        }
    }
    digits.get(start..).unwrap_or_default()
}

/// A literal without indexing; one that must never be indexed says so (RFC 7541, section 6.2.3).
pub(super) fn put_field(block: &mut Vec<u8>, name: &str, value: &[u8], sensitive: bool) {
    let pattern = if sensitive { 0x10 } else { 0x00 };
    let index = static_name(name);
    put_integer(block, pattern, 4, index);
    if index == 0 {
        put_string(block, name.as_bytes());
    }
    put_string(block, value);
}

fn put_string(block: &mut Vec<u8>, bytes: &[u8]) {
    put_integer(block, 0, 7, bytes.len());
    block.extend_from_slice(bytes);
}

/// Static entries with names that replies use.
fn static_name(name: &str) -> usize {
    match name {
        "accept-ranges" => 18,
        "age" => 21,
        "allow" => 22,
        "cache-control" => 24,
        "content-disposition" => 25,
        "content-encoding" => 26,
        "content-language" => 27,
        "content-length" => 28,
        "content-location" => 29,
        "content-range" => 30,
        "content-type" => 31,
        "date" => 33,
        "etag" => 34,
        "expires" => 36,
        "last-modified" => 44,
        "link" => 45,
        "location" => 46,
        "retry-after" => 53,
        "server" => 54,
        "set-cookie" => 55,
        "strict-transport-security" => 56,
        "vary" => 59,
        "www-authenticate" => 61,
        _ => 0,
    }
}

static STATIC: LazyLock<Vec<Entry>> = LazyLock::new(|| {
    STATIC_TABLE
        .iter()
        .map(|(name, value)| {
            let parsed = parse_name(name.as_bytes());
            Entry {
                field: parse_value(&parsed, value.as_bytes()),
                name: parsed,
                bytes: name.len() + value.len(),
                name_bytes: name.len(),
            }
        })
        .collect()
});

/// RFC 7541, appendix A.
#[rustfmt::skip]
const STATIC_TABLE: [(&str, &str); STATIC_ENTRIES] = [
    (":authority", ""), (":method", "GET"), (":method", "POST"), (":path", "/"), (":path", "/index.html"),
    (":scheme", "http"), (":scheme", "https"), (":status", "200"), (":status", "204"), (":status", "206"),
    (":status", "304"), (":status", "400"), (":status", "404"), (":status", "500"), ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"), ("accept-language", ""), ("accept-ranges", ""), ("accept", ""),
    ("access-control-allow-origin", ""), ("age", ""), ("allow", ""), ("authorization", ""), ("cache-control", ""),
    ("content-disposition", ""), ("content-encoding", ""), ("content-language", ""), ("content-length", ""),
    ("content-location", ""), ("content-range", ""), ("content-type", ""), ("cookie", ""), ("date", ""),
    ("etag", ""), ("expect", ""), ("expires", ""), ("from", ""), ("host", ""), ("if-match", ""),
    ("if-modified-since", ""), ("if-none-match", ""), ("if-range", ""), ("if-unmodified-since", ""),
    ("last-modified", ""), ("link", ""), ("location", ""), ("max-forwards", ""), ("proxy-authenticate", ""),
    ("proxy-authorization", ""), ("range", ""), ("referer", ""), ("refresh", ""), ("retry-after", ""),
    ("server", ""), ("set-cookie", ""), ("strict-transport-security", ""), ("transfer-encoding", ""),
    ("user-agent", ""), ("vary", ""), ("via", ""), ("www-authenticate", ""),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(decoder: &mut Decoder, block: &[u8]) -> Option<Vec<String>> {
        let mut fields = Vec::new();
        decoder.decode(block, |field, _| {
            fields.push(match field {
                Field::Method(method) => format!(":method {method}"),
                Field::Scheme => ":scheme".into(),
                Field::Authority(authority) => format!(":authority {authority}"),
                Field::Path(path) => format!(":path {path}"),
                Field::Plain(name, value) => format!("{name} {}", value.to_str().unwrap()),
                Field::Malformed(what) => format!("! {what}"),
            });
        })?;
        Some(fields)
    }

    /// RFC 7541, appendix C.4: requests with Huffman coding.
    #[test]
    fn b1_the_requests_of_the_rfc_decode() {
        let mut decoder = Decoder::default();
        let first = [
            0x82, 0x86, 0x84, 0x41, 0x8c, 0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab,
            0x90, 0xf4, 0xff,
        ];
        let common = [
            ":method GET",
            ":scheme",
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

    #[test]
    fn a20_fields_table() {
        for (block, expected) in [
            (&b"\x00\x01a\x01b"[..], "a b"),
            (b"\x00\x01A\x01b", "! a header field's name is malformed"),
            (b"\x00\x01a\x02 b", "! a header field's value is malformed"),
            (b"\x00\x01a\x02b\n", "! a header field's value is malformed"),
            (b"\x00\x02te\x08trailers", "te trailers"),
            (
                b"\x00\x02te\x04gzip",
                "! a header field's value is malformed",
            ),
            (
                b"\x00\x07upgrade\x03h2c",
                "! a header field that belongs to a connection of HTTP/1.1",
            ),
            (b"\x88", "! a pseudo-header field that requests do not have"),
            (b"\x04\x00", "! the :path is malformed"),
            (b"\x04\x03a/b", "! the :path is malformed"),
            (b"\x04\x01*", ":path *"),
            (b"\x06\x03ftp", "! the :scheme is neither https nor http"),
            (b"\x02\x03A B", "! the :method is malformed"),
        ] {
            let fields = decode(&mut Decoder::default(), block).unwrap();
            assert_eq!(fields, [expected], "{block:x?}");
        }
        for undecodable in [
            &b"\x80"[..],
            b"\xbe",
            b"\x82\x20",          // a size update behind a field
            b"\x3f\xe2\x1f",      // a table larger than allowed
            b"\x00\x01a",         // cut off
            b"\x00\x81\x00\x01b", // malformed Huffman code
        ] {
            assert_eq!(
                decode(&mut Decoder::default(), undecodable),
                None,
                "{undecodable:x?}"
            );
        }
    }

    #[test]
    fn b1_a_reply_decodes_to_itself() {
        let mut fields = HeaderMap::new();
        fields.insert("content-type", HeaderValue::from_static("text/plain"));
        fields.insert("x-own", HeaderValue::from_static("value"));
        let mut block = Vec::new();
        put_reply(
            &mut block,
            true,
            StatusCode::IM_A_TEAPOT,
            &fields,
            Some(1_203),
        );
        let decoded = decode(&mut Decoder::default(), &block).unwrap();
        assert_eq!(
            decoded[1..4],
            [
                "content-type text/plain",
                "x-own value",
                "content-length 1203"
            ]
        );
        assert!(decoded[4].starts_with("date "));
        for number in [0, 7, 10, u64::MAX] {
            assert_eq!(
                decimal(number, &mut [0; DIGITS_MAX]),
                number.to_string().as_bytes()
            );
        }
        assert!(block.starts_with(b"\x20\x08\x03418"));
    }

    proptest! {
        #[test]
        fn a20_arbitrary_blocks_never_panic(blocks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..80), 0..8)) {
            let mut decoder = Decoder::default();
            for block in blocks {
                let _ = decoder.decode(&block, |_, _| {});
                prop_assert!(decoder.size <= decoder.size_max);
                let sum = decoder.entries.iter().map(|entry| entry.bytes + ENTRY_OVERHEAD).sum::<usize>();
                prop_assert_eq!(decoder.size, sum);
            }
        }
    }
}
