//! A parser of TLS's presentation language (RFC 8446, section 3) for untrusted bytes.
//!
//! It reads numbers and vectors from the front. Nothing allocates by an encoded length, recurses or
//! panics.
//!
//! ```
//! use handfast::wire::Reader;
//! let mut reader = Reader::new(&[0, 2, 7, 8, 1]);
//! assert_eq!(reader.vector::<2>(), Some(&[7, 8][..])); // what a length of two bytes announces
//! assert_eq!((reader.u8(), reader.u8()), (Some(1), None));
//! ```

/// Reads bytes from the front; `None` if there are too few.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    /// A reader of these bytes.
    pub fn new(bytes: &'b [u8]) -> Self {
        Self(bytes)
    }

    /// The remaining bytes.
    pub fn rest(&self) -> &'b [u8] {
        self.0
    }

    /// Whether no bytes remain.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `count` bytes.
    pub fn take(&mut self, count: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    /// A number of `bytes` bytes.
    pub fn number(&mut self, bytes: usize) -> Option<usize> {
        let bytes = self.take(bytes)?.iter();
        Some(bytes.fold(0, |number, byte| number << 8 | usize::from(*byte)))
    }

    /// A number of one byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    /// A number of two bytes.
    pub fn u16(&mut self) -> Option<u16> {
        self.take(2)?
            .first_chunk()
            .map(|bytes| u16::from_be_bytes(*bytes))
    }

    /// A vector with a length of `LENGTH_BYTES` bytes; consumes nothing if it is incomplete.
    pub fn vector<const LENGTH_BYTES: usize>(&mut self) -> Option<&'b [u8]> {
        let mut ahead = *self;
        let length = ahead.number(LENGTH_BYTES)?;
        let content = ahead.take(length)?;
        *self = ahead;
        Some(content)
    }

    /// The same, possibly truncated, and whether it is complete. `None` without its length.
    pub fn vector_so_far<const LENGTH_BYTES: usize>(&mut self) -> Option<(Self, bool)> {
        let length = self.number(LENGTH_BYTES)?;
        let there = length.min(self.0.len());
        self.take(there)
            .map(|content| (Self(content), there == length))
    }

    /// The remaining bytes as numbers of two bytes.
    pub fn numbers(self) -> impl Iterator<Item = u16> + use<'b> {
        let pairs = self.0.chunks_exact(2);
        pairs.filter_map(|pair| pair.first_chunk().map(|pair| u16::from_be_bytes(*pair)))
    }
}

/// Whether a number is a GREASE value (RFC 8701).
pub fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

/// The length in bits of an unsigned big-endian number; `None` for zero.
pub fn bit_length(number: &[u8]) -> Option<u32> {
    let mut significant = number.iter().skip_while(|byte| **byte == 0);
    let first = significant.next()?;
    let rest = u32::try_from(significant.count()).ok()?.checked_mul(8)?;
    rest.checked_add(8 - first.leading_zeros())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_counted_from_the_first_one() {
        for (number, bits) in [
            (&[][..], None),
            (&[0, 0], None),
            (&[1], Some(1)),
            (&[0, 0x80], Some(8)),
            (&[0, 3, 0], Some(10)),
            (&[0xff; 256], Some(2048)),
        ] {
            assert_eq!(bit_length(number), bits, "{number:?}");
        }
    }

    #[test]
    fn incomplete_vectors_are_kept_or_truncated() {
        let mut reader = Reader::new(&[0, 2, 7, 8, 1, 2, 3]);
        assert_eq!(reader.vector::<2>(), Some(&[7, 8][..]));
        assert_eq!(reader.vector::<2>(), None);
        assert_eq!(reader.rest(), [1, 2, 3]);
        let (content, whole) = reader.vector_so_far::<1>().unwrap();
        assert_eq!((content.rest(), whole), (&[2][..], true));
        let (content, whole) = reader.vector_so_far::<1>().unwrap();
        assert_eq!(
            (content.rest(), whole, reader.is_empty()),
            (&[][..], false, true)
        );
        assert!(reader.vector_so_far::<1>().is_none());
        assert_eq!(
            Reader::new(&[1, 2, 3]).numbers().collect::<Vec<_>>(),
            [0x0102]
        );
        assert_eq!(Reader::new(&[1, 2, 3]).number(3), Some(0x010203));
    }
}
