//! What readers of bodies give.

/// What is at the front of the bytes that were received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found<'b> {
    /// A piece of the body.
    Piece(&'b [u8]),
    /// Nothing before more arrives.
    More,
    /// The body's end.
    End,
}

/// Up to `count` bytes off the front.
pub(super) fn take<'b>(rest: &mut &'b [u8], count: u64) -> &'b [u8] {
    let count = usize::try_from(count).map_or(rest.len(), |count| count.min(rest.len()));
    let (front, after) = rest.split_at_checked(count).unwrap_or((*rest, &[]));
    *rest = after;
    front
}
