//! Slices to be written, split into records without copying them together first.

use std::io::IoSlice;

use crate::buffers::Window;

/// Several slices read as one, from the front.
pub(super) struct Pieces<'p> {
    slices: &'p [IoSlice<'p>],
    offset: usize,
    left: usize,
}

impl<'p> Pieces<'p> {
    pub(super) fn new(slices: &'p [IoSlice<'p>]) -> Self {
        let left = slices.iter().map(|slice| slice.len()).sum();
        Self {
            slices,
            offset: 0,
            left,
        }
    }

    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// The first slice's rest, without empty ones before it.
    fn front(&mut self) -> &'p [u8] {
        while let Some((first, rest)) = self.slices.split_first() {
            if let Some(front) = first.get(self.offset..)
                && !front.is_empty()
            {
                return front;
            }
            self.slices = rest;
            self.offset = 0;
        }
        &[]
    }

    /// A whole record without copying, when it lies in one slice or is all that is left.
    pub(super) fn contiguous(&mut self, record: usize) -> Option<&'p [u8]> {
        let left = self.left;
        let front = self.front();
        if front.len() >= record {
            front.get(..record)
        } else {
            (front.len() == left).then_some(front)
        }
    }

    pub(super) fn advance(&mut self, count: usize) {
        self.offset += count;
        self.left -= count.min(self.left);
    }

    pub(super) fn append_to(&mut self, target: &mut Window, limit: usize) {
        let mut wanted = limit.min(self.left);
        while wanted > 0 {
            let front = self.front();
            let count = front.len().min(wanted);
            if count == 0 {
                break;
            }
            target.extend(&front[..count]);
            self.advance(count);
            wanted -= count;
        }
    }
}
