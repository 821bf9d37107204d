//! What several targets need: bytes cut into pieces, HTTP/2 frames spelled and read by hand.

mod frames;
mod http2;
mod input;
mod pieces;

pub use frames::{Seen, frame, seen};
pub use http2::{Driver, Script};
pub use input::Input;
pub use pieces::{Pieces, prefixes};
