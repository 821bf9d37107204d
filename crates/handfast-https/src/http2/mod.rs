//! What both ends of HTTP/2 have in common: frames (RFC 9113) and the spelling of header blocks (RFC 7541).

pub(crate) mod frame;
pub(crate) mod hpack;
pub(crate) mod huffman;
