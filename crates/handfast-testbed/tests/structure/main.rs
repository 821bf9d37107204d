//! The shape of the code, read from its files: no circles, crates in layers, and a public surface that changes only on
//! purpose.

mod circles;
mod layers;
mod public;
mod source;
mod surface;
