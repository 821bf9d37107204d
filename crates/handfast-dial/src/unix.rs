//! Unix sockets, by their path.

use std::os::unix::net::UnixStream;
use std::path::Path;

use handfast::Phase;

use crate::error::{Cause, Error};

/// Connects to a Unix socket.
///
/// # Errors
/// [`Cause::UnixSocket`], in [`Phase::Connect`].
pub fn connect_unix(path: impl AsRef<Path>) -> Result<UnixStream, Error> {
    let path = path.as_ref();
    UnixStream::connect(path).map_err(|source| failed(path, source))
}

/// As [`connect_unix`], without blocking the thread.
///
/// # Errors
/// As [`connect_unix`].
#[cfg(feature = "tokio")]
pub async fn connect_unix_async(path: impl AsRef<Path>) -> Result<tokio::net::UnixStream, Error> {
    let path = path.as_ref();
    let connected = tokio::net::UnixStream::connect(path).await;
    connected.map_err(|source| failed(path, source))
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    let path = path.to_owned();
    Error::new(Phase::Connect, Cause::UnixSocket { path, source })
}
