//! The request, encoded once for every state of a connection.

use bytes::Bytes;
use handfast_http::h2::hpack::{ENTRY_OVERHEAD, STATIC_ENTRIES, TABLE_SIZE, encode, put_integer};
use http::Method;

use super::super::plan::Plan;

/// The encoded request.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(super) blocks: RequestBlocks,
    pub(super) body: Bytes,
    /// Whether it is HEAD, so that responses have no body.
    pub(super) is_head: bool,
}

impl Encoded {
    pub(crate) fn new(plan: &Plan) -> Self {
        let request = &plan.request;
        let length = request.content_length().map(|length| length.to_string());
        let pseudo: [(&[u8], &[u8], bool); 4] = [
            (b":method", request.method.as_str().as_bytes(), false),
            (b":scheme", b"https", false),
            (b":path", plan.target.path.as_bytes(), false),
            (b":authority", request.authority(&plan.target), false),
        ];
        let length = length
            .as_deref()
            .map(|length| (&b"content-length"[..], length.as_bytes(), false));
        let fields = request.fields().map(|(name, value)| {
            let secret = [http::header::AUTHORIZATION, http::header::COOKIE].contains(name);
            (
                name.as_str().as_bytes(),
                value.as_bytes(),
                secret || value.is_sensitive(),
            )
        });
        Self {
            blocks: RequestBlocks::new(pseudo.into_iter().chain(fields).chain(length)),
            body: request.body.clone(),
            is_head: request.method == Method::HEAD,
        }
    }
}

/// The header block, for each state of the connection.
#[derive(Debug, Clone)]
pub(super) struct RequestBlocks {
    /// Adds fields to the dynamic table: for the first request.
    pub(super) first: Vec<u8>,
    /// Refers to the dynamic table: for later requests.
    pub(super) again: Vec<u8>,
    /// Without the dynamic table: for servers with a small one.
    pub(super) literal: Vec<u8>,
    /// The size of the dynamic table that `again` needs.
    pub(super) table_bytes: usize,
}

impl RequestBlocks {
    /// Fields in the order in which they are sent, pseudo-header fields first, names in
    /// lower case. Sensitive ones are never indexed (RFC 7541, section 7.1.3).
    pub(super) fn new<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8], bool)>) -> Self {
        let mut first = Vec::new();
        let mut again = Vec::new();
        let mut literal = Vec::new();
        // The index of an entry depends on the later ones: the last one is first.
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

fn put_literal(block: &mut Vec<u8>, pattern: u8, prefix: u32, name: &[u8], value: &[u8]) {
    let index = std::str::from_utf8(name).map_or(0, encode::static_name);
    put_integer(block, pattern, prefix, index);
    if index == 0 {
        encode::put_string(block, name);
    }
    encode::put_string(block, value);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The references of `again` count from the newest entry.
    #[test]
    fn a_repeated_request_refers_to_the_first() {
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
}
