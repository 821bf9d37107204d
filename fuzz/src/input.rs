//! A target's input, taken apart from the front, so that seeds can be written by hand.

/// What is left of an input. Where there is nothing left, numbers are 0.
#[derive(Debug, Clone, Copy)]
pub struct Input<'b>(pub &'b [u8]);

impl<'b> Input<'b> {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn byte(&mut self) -> u8 {
        self.some(1).first().copied().unwrap_or_default()
    }

    /// A number of two bytes, little end first.
    pub fn short(&mut self) -> u16 {
        u16::from(self.byte()) | u16::from(self.byte()) << 8
    }

    /// Up to so many bytes.
    pub fn some(&mut self, count: usize) -> &'b [u8] {
        let (front, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        front
    }

    /// A string with its length in front, in one byte.
    pub fn string(&mut self) -> &'b [u8] {
        let count = usize::from(self.byte());
        self.some(count)
    }

    /// Up to seven sizes of pieces, their count in front.
    pub fn sizes(&mut self) -> &'b [u8] {
        let count = usize::from(self.byte() % 8);
        self.some(count)
    }

    pub fn rest(self) -> &'b [u8] {
        self.0
    }
}
