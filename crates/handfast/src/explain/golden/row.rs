//! What every row of the golden files is made of.

use std::io;

use crate::error::{Cause, Error};
use crate::phase::Phase;

pub(super) const DAY: i64 = 86_400;
/// A day in November 2023.
pub(super) const NOW: i64 = 1_700_000_000;
/// A file name (the id, perhaps with a variant behind a dot) and the error.
pub(super) type Row = (&'static str, Error);

pub(super) fn handshake(cause: impl Into<Cause>) -> Error {
    Error::new(Phase::Handshake, cause).with_server_name("shop.example")
}

/// As the operating system gives it.
pub(super) fn io_error(kind: io::ErrorKind) -> io::Error {
    let number = match kind {
        io::ErrorKind::NotFound => 2,
        io::ErrorKind::PermissionDenied => 13,
        io::ErrorKind::NetworkUnreachable => 101,
        _ => 5,
    };
    io::Error::from_raw_os_error(number)
}
