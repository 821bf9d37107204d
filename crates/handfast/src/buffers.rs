//! Byte buffers that are recycled per thread, so that no pages are cleared or faulted in a steady state.
//!
//! Every connection needs a large buffer during transfers and none while idle. Returning such
//! buffers back to the allocator costs more than the cryptography: the kernel clears every page
//! again. A thread keeps a few and lends them to whichever of its connections is active.
//!
//! A buffer's old content is cleared if its room is shown to a caller, unless it belonged to the same
//! window: so a steady transfer clears nothing. Room that only the operating system writes into is not shown, and not cleared.

use std::cell::RefCell;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// The size of a lent buffer: eight full records (16 KiB of plaintext, 5 bytes of header, at most
/// 256 of expansion) fit, so that one system call moves many; and it fits a core's second-level cache.
pub(crate) const BUFFER_SIZE: usize = 8 * (16 * 1024 + 5 + 256);

/// Content up to this size moves to memory of its size while a connection waits: part of a record and a whole one, so that
/// a partial record of the peer, or one of our own, holds no buffer.
const SMALL_MAX: usize = BUFFER_SIZE / 4;

/// How many buffers a thread keeps: enough for the connections that are active between two turns of
/// an event loop, without making memory of a past burst permanent (16 of them are 2 MiB).
const KEPT_MAX: usize = 16;

thread_local! {
    static KEPT: RefCell<Kept> = const { RefCell::new(Kept::new()) };
}

/// The buffers that a thread keeps.
struct Kept {
    buffers: Vec<Buffer>,
    /// How many of them were not lent since the last check.
    unused: usize,
}

impl Kept {
    const fn new() -> Self {
        Self {
            buffers: Vec::new(),
            unused: 0,
        }
    }

    /// The buffer of this owner; otherwise one of the same kind, whose content was probably small, too;
    /// otherwise any.
    fn take(&mut self, owner: Owner) -> Option<Buffer> {
        let is_shown = owner != Owner::Hidden;
        let all = &self.buffers;
        let place = all
            .iter()
            .rposition(|buffer| buffer.owner == owner)
            .or_else(|| {
                all.iter()
                    .rposition(|buffer| (buffer.owner != Owner::Hidden) == is_shown)
            });
        let found = match place {
            Some(place) => Some(self.buffers.swap_remove(place)),
            None => self.buffers.pop(),
        };
        self.unused = self.unused.min(self.buffers.len());
        found
    }
}

/// Returns the buffers to the allocator that this thread has not used since the last call, so that the memory of a burst of
/// connections is not kept permanently. Servers with many connections call it periodically, such as every ten
/// say.
pub fn release_unused_buffers() {
    let _ = KEPT.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        let unused = kept.unused.min(kept.buffers.len());
        // Those in front are the oldest.
        kept.buffers.drain(..unused);
        kept.buffers.shrink_to(KEPT_MAX);
        kept.unused = kept.buffers.len();
    });
}

/// The next id of a window whose room is shown. It is global, because windows move between threads.
static NEXT_OWNER: AtomicU64 = AtomicU64::new(1);

/// The connection whose bytes a buffer still holds.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Owner {
    /// A window whose room is not shown to the caller.
    #[default]
    Hidden,
    /// One whose room is shown, and that has had no buffer yet.
    Unnamed,
    /// One whose room is shown.
    Shown(u64),
}

#[derive(Default)]
struct Buffer {
    bytes: Vec<u8>,
    /// How many bytes from its front may be nonzero.
    used: usize,
    owner: Owner,
}

/// Bytes from `start` to `end` of a buffer that exists only while there are any.
#[derive(Default)]
pub(crate) struct Window {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    used: usize,
    owner: Owner,
    /// The unfilled part may contain bytes of other connections: it must not be shown.
    foreign: bool,
}

impl Window {
    /// A window whose room is shown to callers: it contains nothing of other connections.
    pub(crate) fn shown() -> Self {
        let mut window = Self::default();
        window.owner = Owner::Unnamed;
        window
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.end).unwrap_or_default()
    }

    /// At least `wanted` bytes of room behind what is filled.
    pub(crate) fn room(&mut self, wanted: usize) -> &mut [u8] {
        if self.foreign {
            self.clear_foreign();
        } else if self.bytes.is_empty() {
            if self.owner == Owner::Unnamed {
                self.owner = Owner::Shown(NEXT_OWNER.fetch_add(1, Ordering::Relaxed));
            }
            self.take(lend(self.owner));
        }
        self.behind(wanted)
    }

    /// The same for the operating system, which only writes into it: it may contain bytes of other connections, and must not be shown.
    pub(crate) fn unseen_room(&mut self, wanted: usize) -> &mut [u8] {
        if self.bytes.is_empty() {
            self.take(lend(Owner::Hidden));
            self.foreign = self.owner != Owner::Hidden;
        }
        self.behind(wanted)
    }

    fn take(&mut self, buffer: Buffer) {
        self.bytes = buffer.bytes;
        self.used = buffer.used;
    }

    /// From here on the room is shown.
    fn clear_foreign(&mut self) {
        let used = self.used.min(self.bytes.len());
        for unfilled in [0..self.start, self.end..used] {
            if let Some(bytes) = self.bytes.get_mut(unfilled) {
                bytes.fill(0);
            }
        }
        self.used = self.end;
        self.foreign = false;
        if self.owner == Owner::Unnamed {
            self.owner = Owner::Shown(NEXT_OWNER.fetch_add(1, Ordering::Relaxed));
        }
    }

    fn behind(&mut self, wanted: usize) -> &mut [u8] {
        if self.bytes.len() - self.end < wanted {
            self.make_room(wanted);
        }
        &mut self.bytes[self.end..]
    }

    fn make_room(&mut self, wanted: usize) {
        if self.bytes.len() < BUFFER_SIZE {
            // Content in memory of its size moves to a buffer.
            let small = std::mem::take(&mut self.bytes);
            let filled = self.start..self.end;
            self.take(lend(self.owner));
            (self.start, self.end) = (0, filled.len());
            self.bytes[..self.end].copy_from_slice(&small[filled]);
            self.used = self.used.max(self.end);
        }
        if self.bytes.len() - self.end < wanted {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
            if self.bytes.len() - self.end < wanted {
                self.bytes.resize(self.end + wanted, 0);
            }
        }
    }

    /// `count` bytes of the room were filled.
    pub(crate) fn fill(&mut self, count: usize) {
        debug_assert!(self.end + count <= self.bytes.len());
        self.end = (self.end + count).min(self.bytes.len());
        self.used = self.used.max(self.end);
    }

    /// Consumes `count` bytes at the front. An empty window returns its buffer.
    pub(crate) fn consume(&mut self, count: usize) {
        debug_assert!(count <= self.len());
        self.start = (self.start + count).min(self.end);
        if self.is_empty() {
            self.start = 0;
            self.end = 0;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.consume(self.len());
    }

    /// Returns the buffer if it is empty.
    #[cfg(feature = "tokio")]
    pub(crate) fn rest_if_empty(&mut self) {
        if self.is_empty() {
            self.give_back();
        }
    }

    /// The same; and small content moves to memory of its size.
    pub(crate) fn rest(&mut self) {
        if self.is_empty() {
            self.give_back();
        } else if self.bytes.len() >= BUFFER_SIZE && self.len() <= SMALL_MAX {
            let small = self.filled().to_vec();
            self.give_back();
            (self.start, self.end) = (0, small.len());
            self.used = small.len();
            self.bytes = small;
        }
    }

    fn give_back(&mut self) {
        if self.bytes.is_empty() {
            return;
        }
        let owner = match std::mem::take(&mut self.foreign) {
            true => Owner::Hidden,
            false => self.owner,
        };
        give_back(Buffer {
            bytes: std::mem::take(&mut self.bytes),
            used: std::mem::take(&mut self.used),
            owner,
        });
    }

    pub(crate) fn extend(&mut self, bytes: &[u8]) {
        if let Some(room) = self.room(bytes.len()).get_mut(..bytes.len()) {
            room.copy_from_slice(bytes);
            self.fill(bytes.len());
        }
    }

    /// Copies from the front into `target`, consuming what was copied.
    pub(crate) fn take_into(&mut self, target: &mut [u8]) -> usize {
        let count = self.len().min(target.len());
        target[..count].copy_from_slice(&self.filled()[..count]);
        self.consume(count);
        count
    }

    /// Memory held, in bytes.
    pub(crate) fn held(&self) -> usize {
        self.bytes.capacity()
    }
}

/// Prints no content: it is plaintext of this connection, and remains of others.
impl fmt::Debug for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Window")
            .field("filled", &self.len())
            .field("held", &self.held())
            .finish()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// A buffer for this window.
fn lend(owner: Owner) -> Buffer {
    let kept = KEPT.try_with(|kept| kept.borrow_mut().take(owner));
    let mut buffer = kept.ok().flatten().unwrap_or_else(|| Buffer {
        bytes: vec![0; BUFFER_SIZE],
        ..Buffer::default()
    });
    if owner != Owner::Hidden && buffer.owner != owner {
        let used = std::mem::take(&mut buffer.used);
        if let Some(used) = buffer.bytes.get_mut(..used) {
            used.fill(0);
        }
    }
    buffer
}

fn give_back(buffer: Buffer) {
    // Buffers of another size go to the allocator.
    if buffer.bytes.len() != BUFFER_SIZE {
        return;
    }
    // If the thread is ending and its pool is gone, the allocator takes the buffer.
    let _ = KEPT.try_with(|kept| {
        let mut kept = kept.borrow_mut();
        if kept.buffers.len() < KEPT_MAX {
            kept.buffers.push(buffer);
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_keeps_its_bytes_when_it_moves_grows_and_rests() {
        let mut window = Window::default();
        assert_eq!(window.held(), 0);
        window.extend(b"hello, world");
        window.consume(7);
        assert_eq!(window.filled(), b"world");
        window.rest();
        assert_eq!(window.filled(), b"world");
        assert!(window.held() < 64);
        window.extend(&vec![7; 2 * BUFFER_SIZE]);
        assert_eq!(window.len(), 5 + 2 * BUFFER_SIZE);
        assert_eq!(&window.filled()[..5], b"world");
        window.clear();
        window.rest();
        assert_eq!(window.held(), 0);
    }

    #[test]
    fn a_window_prints_no_content() {
        let mut window = Window::default();
        window.extend(&[77; 10]);
        let printed = format!("{window:?}");
        assert!(
            printed.contains("10") && !printed.contains("77"),
            "{printed}"
        );
    }

    #[test]
    fn a_thread_recycles_its_buffers() {
        let mut first = Window::default();
        first.extend(b"x");
        let address = first.bytes.as_ptr();
        drop(first);
        let mut second = Window::default();
        second.extend(b"y");
        assert_eq!(second.bytes.as_ptr(), address);
    }

    #[test]
    fn memory_of_a_burst_is_released() {
        let kept = || KEPT.with_borrow(|kept| kept.buffers.len());
        let burst = |count: usize| {
            let mut windows: Vec<Window> = (0..count).map(|_| Window::default()).collect();
            windows.iter_mut().for_each(|window| window.extend(b"x"));
        };
        burst(10);
        assert_eq!(kept(), 10);
        // Used since, whenever that was.
        release_unused_buffers();
        burst(3);
        release_unused_buffers();
        assert_eq!(kept(), 3);
        burst(2);
        release_unused_buffers();
        assert_eq!(kept(), 2);
        release_unused_buffers();
        assert_eq!(kept(), 0);
    }

    #[test]
    fn a_shown_window_has_no_content_of_others_and_keeps_its_own() {
        for first_is_shown in [true, false] {
            let fresh = || match first_is_shown {
                true => Window::shown(),
                false => Window::default(),
            };
            let mut first = fresh();
            first.extend(&[77; 3_000]);
            let address = first.bytes.as_ptr();
            first.consume(2_999);
            first.room(BUFFER_SIZE - 10); // moves what is left to the front
            first.clear();
            first.rest();
            let mut second = Window::shown();
            let room = second.room(1);
            assert_eq!(room.as_ptr(), address);
            assert!(room.iter().all(|byte| *byte == 0));
            second.extend(b"secret");
            drop(second);
            // A window that is not shown may have any content.
            let mut third = fresh();
            third.extend(&[77; 100]);
            assert_eq!(third.bytes.as_ptr(), address);
        }
        let mut unseen = Window::shown();
        unseen.unseen_room(1)[..6].copy_from_slice(b"secret");
        unseen.fill(6);
        unseen.consume(4);
        assert!(unseen.foreign, "what others left is still there");
        let room = unseen.room(BUFFER_SIZE - 5); // moves what is left to the front
        assert!(room.iter().skip(4).all(|byte| *byte == 0));
        assert_eq!(unseen.filled(), b"et");
        unseen.clear();
        unseen.rest();
        let mut after = Window::shown();
        assert!(after.room(1).iter().all(|byte| *byte == 0));
        drop(after);
        let mut own = Window::shown();
        own.extend(b"mine");
        own.clear();
        own.rest();
        assert_eq!(&own.room(1)[..4], b"mine", "its own is not cleared");
    }
}
