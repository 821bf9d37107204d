//! What is to be sent, until the driver has sent it. While there is nothing, there is no buffer.

use std::cell::RefCell;

/// Bytes that are gathered before they are handed over: two full records of TLS. Who sends more with one system
/// call gathers records.
pub(super) const OUTPUT_MAX: usize = 32 * 1024;

/// Room for the frame that goes beyond it, and for the answers to as much as is read while it waits.
const ROOM: usize = OUTPUT_MAX + 16 * 1024 + 24 * 1024;

/// Buffers that a thread keeps; one is in use for each connection that is sending.
const KEPT: usize = 8;

thread_local! {
    /// Handing such buffers to the allocator makes the kernel clear their pages again each time. With them, how many
    /// have not been used since it was last looked.
    static BUFFERS: RefCell<(Vec<Vec<u8>>, usize)> = const { RefCell::new((Vec::new(), 0)) };
}

/// Gives buffers back to the allocator that this thread keeps and has not used since the last call. For servers with many connections to call now and then.
pub fn release_unused_buffers() {
    let _ = BUFFERS.try_with(|kept| {
        let (buffers, unused) = &mut *kept.borrow_mut();
        buffers.drain(..(*unused).min(buffers.len()));
        *unused = buffers.len();
    });
}

/// Bytes on their way out.
#[derive(Debug, Default)]
pub struct Output {
    bytes: Vec<u8>,
    taken: usize,
}

impl Output {
    /// The buffer, to be added to.
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

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.bytes.len() - self.taken
    }

    /// Is there nothing to be sent?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What waits.
    pub fn as_slice(&self) -> &[u8] {
        self.bytes.get(self.taken..).unwrap_or_default()
    }

    /// Bytes of memory that they take.
    pub fn memory_held(&self) -> usize {
        self.bytes.capacity()
    }

    /// So many bytes from the front were sent.
    pub fn sent(&mut self, count: usize) {
        self.taken = (self.taken + count).min(self.bytes.len());
        if self.taken == self.bytes.len() {
            self.taken = 0;
            self.bytes.clear();
        }
    }

    /// Gives the buffer back, if it is empty.
    pub fn rest(&mut self) {
        if !self.bytes.is_empty() {
            return;
        }
        let bytes = std::mem::take(&mut self.bytes);
        // One that grew for a burst of heads goes to the allocator.
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
