//! The server that a request is for.

/// Host, port, and whether by https.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    /// A DNS name in ASCII, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// By the scheme http: without TLS.
    pub(super) is_plain: bool,
}
