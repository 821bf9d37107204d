//! Which end of a connection one is.

/// Which end of the connection we are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// We opened the handshake.
    Client,
    /// We answered it.
    Server,
}
