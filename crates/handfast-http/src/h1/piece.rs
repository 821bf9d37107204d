//! The results of the parsers of bodies.

/// What the received bytes begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'b> {
    /// A piece of the body.
    Piece(&'b [u8]),
    /// Nothing until more bytes arrive.
    More,
    /// The end of the body.
    End,
}

/// Takes up to `count` bytes from the front.
pub(super) fn take<'b>(rest: &mut &'b [u8], count: u64) -> &'b [u8] {
    let count = usize::try_from(count).map_or(rest.len(), |count| count.min(rest.len()));
    let (front, after) = rest.split_at_checked(count).unwrap_or((*rest, &[]));
    *rest = after;
    front
}
