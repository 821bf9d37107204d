//! From `host:port` to a TLS stream.

use std::net::TcpStream;

use handfast::{ClientContext, Stream, Timeouts};

use crate::address::split_authority;
use crate::dialer::Dialer;
use crate::error::{ConnectError, Error};

/// Connects to `host:port` over TCP and completes the handshake: resolves the name, races its addresses (RFC 8305),
/// and verifies the server's chain and name, each within the context's time limit.
///
/// For a proxy or fixed addresses, use a [`Dialer`] and pass its channel to [`ClientContext::secure`].
///
/// # Errors
/// With the phase in which it failed: resolve, connect or handshake.
pub fn connect(client: &ClientContext, authority: &str) -> Result<Stream<TcpStream>, ConnectError> {
    let (host, _) = split_authority(authority)?;
    Ok(client.secure(host, connect_tcp(authority, &client.timeouts())?)?)
}

/// The first half of [`connect`], for protocols that start in plaintext ([`StartTls`](crate::StartTls)). The second half is
/// [`ClientContext::secure`].
///
/// # Errors
/// With the phase in which it failed: resolve or connect.
pub fn connect_tcp(authority: &str, limits: &Timeouts) -> Result<TcpStream, Error> {
    let (host, port) = split_authority(authority)?;
    let dialled = Dialer::within(limits).dial(host, port);
    Ok(dialled
        .map_err(|error| error.with_server_name(host))?
        .channel)
}

/// As [`connect`], without blocking the thread.
///
/// # Errors
/// With the phase in which it failed: resolve, connect or handshake.
#[cfg(feature = "tokio")]
pub async fn connect_async(
    client: &ClientContext,
    authority: &str,
) -> Result<handfast::AsyncStream<tokio::net::TcpStream>, ConnectError> {
    let (host, _) = split_authority(authority)?;
    let socket = connect_tcp_async(authority, &client.timeouts()).await?;
    Ok(client.secure_async(host, socket).await?)
}

/// As [`connect_tcp`], without blocking the thread.
///
/// # Errors
/// With the phase in which it failed: resolve or connect.
#[cfg(feature = "tokio")]
pub async fn connect_tcp_async(
    authority: &str,
    limits: &Timeouts,
) -> Result<tokio::net::TcpStream, Error> {
    let (host, port) = split_authority(authority)?;
    let dialled = Dialer::within(limits).dial_async(host, port).await;
    Ok(dialled
        .map_err(|error| error.with_server_name(host))?
        .channel)
}
