//! The same bytes in pieces of sizes that the input chooses.

/// Hands out a slice in pieces, the sizes of which repeat.
#[derive(Debug)]
pub struct Pieces<'b> {
    rest: &'b [u8],
    sizes: &'b [u8],
    at: usize,
}

impl<'b> Pieces<'b> {
    /// Pieces of `bytes`: each byte of `sizes` is a size, 0 stands for everything that is left. Without sizes
    /// the pieces have one byte.
    pub fn new(bytes: &'b [u8], sizes: &'b [u8]) -> Self {
        Self {
            rest: bytes,
            sizes,
            at: 0,
        }
    }
}

impl<'b> Iterator for Pieces<'b> {
    type Item = &'b [u8];

    fn next(&mut self) -> Option<&'b [u8]> {
        if self.rest.is_empty() {
            return None;
        }
        let size = match self.sizes {
            [] => 1,
            sizes => usize::from(sizes[self.at % sizes.len()]),
        };
        self.at += 1;
        let size = if size == 0 { self.rest.len() } else { size };
        let (front, rest) = self.rest.split_at(size.min(self.rest.len()));
        self.rest = rest;
        Some(front)
    }
}

/// The lengths of what was received so far, as the pieces come.
pub fn prefixes(bytes: &[u8], sizes: &[u8]) -> Vec<usize> {
    Pieces::new(bytes, sizes)
        .scan(0, |length, piece| {
            *length += piece.len();
            Some(*length)
        })
        .collect()
}
