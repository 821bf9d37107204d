//! The server that a request is for.

/// Host and port; the scheme is always https.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    /// A DNS name in ASCII, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
}
