//! HPACK's Huffman code (RFC 7541, appendix B), decoding only.
//!
//! The code is canonical: symbols of one length have consecutive codes in order of their value. So
//! the lengths define the code, and a symbol is found by comparing with one limit per length.

/// The end-of-string symbol, which must not occur in a string.
const EOS: usize = 256;

/// The longest code.
const BITS_MAX: usize = 30;

/// The length in bits of each symbol's code; the last is EOS.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
    28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
    7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
    21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];

/// For one length: the first code of it, the code after the last, and where its symbols begin.
#[derive(Clone, Copy)]
struct Class {
    first: u32,
    end: u32,
    symbols_at: u16,
}

const CLASSES: [Class; BITS_MAX + 1] = classes();
const SYMBOLS: [u16; EOS + 1] = symbols();

const fn classes() -> [Class; BITS_MAX + 1] {
    let mut classes = [Class {
        first: 0,
        end: 0,
        symbols_at: 0,
    }; BITS_MAX + 1];
    let mut code = 0;
    let mut symbols_at = 0;
    let mut bits = 1;
    while bits <= BITS_MAX {
        code <<= 1;
        classes[bits].first = code;
        classes[bits].symbols_at = symbols_at;
        let mut symbol = 0;
        while symbol <= EOS {
            if LENGTHS[symbol] as usize == bits {
                code += 1;
                symbols_at += 1;
            }
            symbol += 1;
        }
        classes[bits].end = code;
        bits += 1;
    }
    classes
}

const fn symbols() -> [u16; EOS + 1] {
    let mut symbols = [0; EOS + 1];
    let mut at = 0;
    let mut bits = 1;
    while bits <= BITS_MAX {
        let mut symbol = 0;
        while symbol <= EOS {
            if LENGTHS[symbol] as usize == bits {
                symbols[at] = symbol as u16;
                at += 1;
            }
            symbol += 1;
        }
        bits += 1;
    }
    symbols
}

/// Calls `each` for every byte of the decoded string; `None` if the string is malformed.
pub(super) fn decode(encoded: &[u8], mut each: impl FnMut(u8)) -> Option<()> {
    let mut code = 0u32;
    let mut bits = 0usize;
    for byte in encoded {
        for shift in (0..8).rev() {
            code = code << 1 | u32::from(byte >> shift & 1);
            bits += 1;
            let class = CLASSES.get(bits)?;
            if code < class.end {
                let index = usize::from(class.symbols_at) + (code - class.first) as usize;
                // Fails for EOS, which does not fit a byte.
                each(u8::try_from(*SYMBOLS.get(index)?).ok()?);
                code = 0;
                bits = 0;
            }
        }
    }
    // The rest must be padding: fewer than eight bits, all ones.
    (bits < 8 && code == (1 << bits) - 1).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(encoded: &[u8]) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        decode(encoded, |byte| text.push(byte)).map(|()| text)
    }

    /// The examples of RFC 7541, appendix C.
    #[test]
    fn the_examples_of_the_rfc_decode() {
        for (encoded, expected) in [
            (
                &[
                    0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff,
                ][..],
                "www.example.com",
            ),
            (&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf], "no-cache"),
            (
                &[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf],
                "custom-value",
            ),
            (&[0x64, 0x02], "302"),
            (&[0x64, 0x0e, 0xff], "307"),
            (
                &[
                    0xd0, 0x7a, 0xbe, 0x94, 0x10, 0x54, 0xd4, 0x44, 0xa8, 0x20, 0x05, 0x95, 0x04,
                    0x0b, 0x81, 0x66, 0xe0, 0x82, 0xa6, 0x2d, 0x1b, 0xff,
                ],
                "Mon, 21 Oct 2013 20:13:21 GMT",
            ),
        ] {
            assert_eq!(text(encoded).as_deref(), Some(expected.as_bytes()));
        }
        assert_eq!(text(&[]), Some(Vec::new()));
        // Padding of zeros, a whole byte of padding, EOS.
        for malformed in [
            &[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xb0][..],
            &[0x64, 0x02, 0xff],
            &[0xff; 4],
        ] {
            assert_eq!(text(malformed), None);
        }
    }
}
