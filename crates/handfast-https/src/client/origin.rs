//! The server that a request is for.

use std::borrow::Cow;

/// Host, port, and whether by https.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Origin {
    /// A DNS name in ASCII, or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// By the scheme http: without TLS.
    pub(super) is_plain: bool,
    /// The zone of a link-local IPv6 address (RFC 6874): it means something on this machine only, and is not sent.
    pub(super) zone: Option<String>,
    /// A redirect of another origin leads to it: it gets no client certificate.
    pub(super) is_anonymous: bool,
}

impl Origin {
    /// The host to connect to, with its zone.
    pub(super) fn place(&self) -> Cow<'_, str> {
        match &self.zone {
            Some(zone) => Cow::Owned(format!("{}%{zone}", self.host)),
            None => Cow::Borrowed(&self.host),
        }
    }
}
