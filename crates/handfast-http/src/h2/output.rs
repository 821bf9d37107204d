//! The output buffer. It is released while it is empty.

use std::cell::RefCell;

/// How many bytes are collected before the driver should send them: two full TLS records. A driver that sends
/// more with one system call collects records.
pub(super) const OUTPUT_MAX: usize = 32 * 1024;

/// With room for the frame that exceeds it, and for the responses to input that is read in the meantime.
const ROOM: usize = OUTPUT_MAX + 16 * 1024 + 24 * 1024;

/// Buffers that a thread keeps; each connection that is sending uses one.
const KEPT: usize = 8;

thread_local! {
    /// Returning such buffers to the allocator would make the kernel zero their pages each time. The number is how
    /// many have not been used since the last call of [`release_unused_buffers`].
    static BUFFERS: RefCell<(Vec<Vec<u8>>, usize)> = const { RefCell::new((Vec::new(), 0)) };
}

/// Returns buffers to the allocator that this thread has not used since the last call. Servers with many
/// connections should call it regularly.
pub fn release_unused_buffers() {
    let _ = BUFFERS.try_with(|kept| {
        let (buffers, unused) = &mut *kept.borrow_mut();
        buffers.drain(..(*unused).min(buffers.len()));
        *unused = buffers.len();
    });
}

/// Bytes to be sent.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    taken: usize,
}

impl Output {
    /// The buffer, to append to.
    pub(super) fn bytes(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes = BUFFERS
                .try_with(|kept| {
                    let (buffers, unused) = &mut *kept.try_borrow_mut().ok()?;
                    let buffer = buffers.pop();
                    *unused = buffers.len().min(*unused);
                    buffer
                })
                .ok()
                .flatten()
                .unwrap_or_else(|| Vec::with_capacity(ROOM));
        }
        &mut self.bytes
    }

    /// The number of bytes to be sent.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// Whether there is nothing to be sent.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes to be sent.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// Bytes of memory that the buffer takes.
    pub fn memory_held(&self) -> usize {
        self.bytes.capacity()
    }

    /// Reports that `count` bytes from the front were sent.
    pub fn sent(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.bytes.len());
        if self.taken == self.bytes.len() {
            self.taken = 0;
            self.bytes.clear();
        }
    }

    /// Returns the buffer to the thread if it is empty.
    pub fn rest(&mut self) {
        if !self.bytes.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        // A buffer that grew for a burst of heads is freed.
        if bytes.capacity() == ROOM {
            let _ = BUFFERS.try_with(|kept| {
                if let Ok(mut kept) = kept.try_borrow_mut()
                    && kept.0.len() < KEPT
                {
                    kept.0.push(bytes);
                }
            });
        }
    }
}
