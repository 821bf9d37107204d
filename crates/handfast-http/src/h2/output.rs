//! What is to be sent, until the driver has sent it. While there is nothing, there is no buffer.

use std::cell::RefCell;

/// Bytes that are gathered before they are sent: four full records of TLS, for one system call.
pub(super) const OUTPUT_MAX: usize = 64 * 1024;

/// Room for the frame that goes beyond it.
const ROOM: usize = OUTPUT_MAX + OUTPUT_MAX / 4 + 1024;

/// Buffers that a thread keeps; one is in use for each connection that is sending.
const KEPT: usize = 8;

thread_local! {
    /// Handing such buffers to the allocator makes the kernel clear their pages again each time.
    static BUFFERS: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
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
                .try_with(|kept| kept.try_borrow_mut().ok()?.pop())
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
                    && kept.len() < KEPT
                {
                    kept.push(bytes);
                }
            });
        }
    }
}
