//! What came of an exchange over HTTP/2 that did not end well.

use std::io;

use super::super::error::Error;

/// Why an exchange has no response, and what may be done about it.
#[derive(Debug)]
pub(in super::super) struct NoResponse {
    pub(in super::super) error: Error,
    pub(in super::super) again: Again,
}

/// May a request be sent again?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Again {
    /// The server has not processed it (RFC 9113, section 8.7).
    Unprocessed,
    /// The server asks for it over HTTP/1.1 (RFC 9113, section 7).
    OverHttp1,
    /// Nothing came, and it is not known what the server did: only what does no harm.
    IfHarmless,
    No,
}

/// Why a body does not go on.
#[derive(Debug)]
pub(in super::super) enum Broken {
    /// The connection ended, or failed.
    Ended(Option<handfast::Error>),
    /// The stream was reset.
    Reset(String),
    /// What came breaks the rules.
    Malformed(String),
    /// The request's body ended before its end.
    Upload(io::Error),
}
