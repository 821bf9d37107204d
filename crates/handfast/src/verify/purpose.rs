//! Purposes of certificates.

/// The purpose of a certificate (RFC 5280, 4.2.1.12).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// Authentication of a server.
    ServerAuth,
    /// Authentication of a client.
    ClientAuth,
}

impl Purpose {
    /// The purpose's name as RFC 5280 spells it.
    pub fn name(self) -> &'static str {
        match self {
            Self::ServerAuth => "serverAuth",
            Self::ClientAuth => "clientAuth",
        }
    }

    pub(crate) fn key_usage(self) -> webpki::KeyUsage {
        match self {
            Self::ServerAuth => webpki::KeyUsage::server_auth(),
            Self::ClientAuth => webpki::KeyUsage::client_auth(),
        }
    }
}
