//! The shape of the code, read from its files: no circles, and a public surface that changes only on purpose.

mod circles;
mod source;
mod surface;
