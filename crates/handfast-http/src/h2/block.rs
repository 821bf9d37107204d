//! A header block that arrives in several frames.

/// A header block that is arriving.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) stream: u32,
    pub(super) end_stream: bool,
    pub(super) bytes: Vec<u8>,
    pub(super) frames: u32,
}

impl Block {
    pub(super) fn memory_held(&self) -> usize {
        self.bytes.capacity()
    }
}
