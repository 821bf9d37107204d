//! Bytes as hexadecimal text.

use std::fmt::Write as _;

/// Lower-case hexadecimal without separators.
pub(crate) fn encode(bytes: &[u8]) -> String {
    bytes.iter().fold(
        String::with_capacity(bytes.len().saturating_mul(2)),
        |mut text, byte| {
            // Writing to a String cannot fail.
            let _ = write!(text, "{byte:02x}");
            text
        },
    )
}
