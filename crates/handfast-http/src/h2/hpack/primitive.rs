//! HPACK's encoding of integers and strings (RFC 7541, section 5).

use super::huffman;

/// The initial table size of both directions (RFC 9113, section 6.5.2).
pub const TABLE_SIZE: usize = 4096;

/// The overhead of an entry (RFC 7541, section 4.1).
pub const ENTRY_OVERHEAD: usize = 32;

/// The number of entries of the static table.
pub const STATIC_ENTRIES: usize = 61;

/// The largest integer: a string must fit a header block.
const INTEGER_MAX: usize = 1 << 24;

/// An integer after the high bits of `pattern` (RFC 7541, section 5.1).
#[inline]
pub fn put_integer(block: &mut Vec<u8>, pattern: u8, prefix: u32, value: usize) {
    let full = (1usize << prefix) - 1;
    if value < full {
        block.push(pattern | value as u8);
        return;
    }
    block.push(pattern | full as u8);
    let mut left = value - full;
    while left >= 0x80 {
        block.push(left as u8 | 0x80);
        left >>= 7;
    }
    block.push(left as u8);
}

/// An integer with a prefix of `prefix` bits.
pub(super) fn integer(rest: &mut &[u8], prefix: u32) -> Option<usize> {
    let (first, mut after) = rest.split_first()?;
    let full = (1usize << prefix) - 1;
    let mut value = usize::from(*first) & full;
    if value == full {
        let mut shift = 0;
        loop {
            let (byte, next) = after.split_first()?;
            after = next;
            value += usize::from(byte & 0x7f) << shift;
            shift += 7;
            if value > INTEGER_MAX || shift > 28 {
                return None;
            }
            if byte & 0x80 == 0 {
                break;
            }
        }
    }
    *rest = after;
    Some(value)
}

/// An encoded string.
pub(super) struct HpackString<'b> {
    bytes: &'b [u8],
    huffman: bool,
}

impl<'b> HpackString<'b> {
    pub(super) fn take(rest: &mut &'b [u8]) -> Option<Self> {
        let huffman = rest.first()? & 0x80 != 0;
        let length = integer(rest, 7)?;
        let (bytes, after) = rest.split_at_checked(length)?;
        *rest = after;
        Some(Self { bytes, huffman })
    }

    /// Its decoded length; not computed if it is not needed (`exact` is false).
    pub(super) fn len(&self, exact: bool) -> Option<usize> {
        if !self.huffman || !exact {
            return Some(self.bytes.len());
        }
        let mut count = 0;
        huffman::decode(self.bytes, |_| count += 1)?;
        Some(count)
    }

    /// Its bytes, if they are not coded.
    pub(super) fn plain(&self) -> Option<&'b [u8]> {
        (!self.huffman).then_some(self.bytes)
    }

    /// Calls `each` for every byte; `None` if the string is malformed.
    pub(super) fn decode(&self, mut each: impl FnMut(u8)) -> Option<()> {
        if self.huffman {
            return huffman::decode(self.bytes, each);
        }
        self.bytes.iter().copied().for_each(&mut each);
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_round_trip(value in 0usize..INTEGER_MAX, prefix in 4u32..8) {
            let mut block = Vec::new();
            put_integer(&mut block, 0, prefix, value);
            let mut rest = &block[..];
            prop_assert_eq!(integer(&mut rest, prefix), Some(value));
            prop_assert!(rest.is_empty());
        }
    }
}
