//! Errors of proxies.

use std::fmt;

use handfast::escape_control;

use super::target::Target;

/// Why a proxy made no tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyError {
    /// The proxy and the requested server.
    pub target: Target,
    /// What happened.
    pub problem: ProxyProblem,
}

/// What a proxy did instead of opening a tunnel. Text and bytes are as it sent them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProxyProblem {
    /// Its name has no address.
    NotResolved,
    /// It could not be reached.
    Unreachable {
        /// Why, in words.
        why: String,
    },
    /// It requires a user name and a password, or rejected those sent.
    AuthenticationRequired {
        /// The schemes that it accepts.
        schemes: Vec<String>,
        /// Its challenges: `Proxy-Authenticate` (RFC 9110, section 11.7.1).
        challenges: Vec<String>,
        /// Whether any were sent.
        was_sent: bool,
    },
    /// It responded with an error status.
    Refused {
        /// The status.
        status: u16,
        /// The reason phrase.
        reason: String,
        /// How the body began, at most 512 bytes.
        body: Vec<u8>,
    },
    /// It refused over SOCKS.
    SocksRefused {
        /// Its reply: of SOCKS5 (RFC 1928, section 6), or from 91 on of SOCKS4.
        reply: u8,
    },
    /// A field is longer than the 255 bytes that SOCKS allows, or has a NUL, which would end it.
    TooLong {
        /// "server's name", "user name" or "password".
        what: &'static str,
    },
    /// The server has IPv6 addresses alone, which SOCKS4 cannot express.
    NeedsIpv4,
    /// Its reply is not SOCKS.
    NotSocks {
        /// What it sent, at most 256 bytes.
        first_bytes: Vec<u8>,
    },
    /// Its response is not HTTP.
    NotHttp {
        /// What it sent, at most 256 bytes.
        first_bytes: Vec<u8>,
    },
    /// It is to be reached over TLS, which is not possible here.
    NeedsTls,
    /// It closed the connection without a response.
    Ended,
}

impl ProxyProblem {
    /// Whether the proxy wants to be told who asks, and takes a user name and password for it (RFC 7617). One that
    /// names no scheme is asked so.
    pub fn takes_basic(&self) -> bool {
        match self {
            Self::AuthenticationRequired { schemes, .. } => {
                let is_basic = |scheme: &String| scheme.eq_ignore_ascii_case("basic");
                schemes.is_empty() || schemes.iter().any(is_basic)
            }
            _ => false,
        }
    }

    /// Whether the proxy takes a user name and a password as a hash (RFC 7616).
    pub fn takes_digest(&self) -> bool {
        match self {
            Self::AuthenticationRequired { schemes, .. } => {
                let mut schemes = schemes.iter();
                schemes.any(|scheme| scheme.eq_ignore_ascii_case("digest"))
            }
            _ => false,
        }
    }

    /// A stable id in kebab-case.
    pub fn id(&self) -> &'static str {
        match self {
            Self::NotResolved => "proxy-not-resolved",
            Self::Unreachable { .. } => "proxy-unreachable",
            Self::AuthenticationRequired { .. } => "proxy-authentication-required",
            Self::Refused { .. } | Self::SocksRefused { .. } => "proxy-refused",
            Self::TooLong { .. } => "proxy-request-too-long",
            Self::NeedsIpv4 => "proxy-needs-ipv4",
            Self::NotSocks { .. } => "proxy-not-socks",
            Self::NotHttp { .. } => "proxy-not-http",
            Self::NeedsTls => "proxy-needs-tls",
            Self::Ended => "proxy-ended",
        }
    }
}

impl ProxyError {
    /// Whether the proxy was asked over SOCKS, not over HTTP.
    pub fn is_of_socks(&self) -> bool {
        self.target.is_socks
    }
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let proxy = escape_control(&self.target.proxy);
        let server = self.target.authority();
        let server = escape_control(&server);
        match &self.problem {
            ProxyProblem::NotResolved => {
                write!(f, "the name of the proxy {proxy} could not be resolved")
            }
            ProxyProblem::Unreachable { why } => {
                write!(f, "the proxy {proxy} could not be reached: {why}")
            }
            ProxyProblem::AuthenticationRequired {
                was_sent: false, ..
            } => {
                write!(f, "the proxy {proxy} requires a user name and password")
            }
            ProxyProblem::AuthenticationRequired { .. } => {
                write!(
                    f,
                    "the proxy {proxy} did not accept the user name and password"
                )
            }
            ProxyProblem::Refused { status, reason, .. } => {
                let reason = escape_control(reason);
                let gap = if reason.is_empty() { "" } else { " " };
                write!(
                    f,
                    "the proxy {proxy} refused to connect to {server}: {status}{gap}{reason}"
                )
            }
            ProxyProblem::SocksRefused { reply } => {
                let why = meaning(*reply);
                write!(
                    f,
                    "the proxy {proxy} refused to connect to {server}: {why} ({reply})"
                )
            }
            ProxyProblem::TooLong { what } => {
                write!(
                    f,
                    "the {what} is longer than the 255 bytes that SOCKS allows, or has a NUL"
                )
            }
            ProxyProblem::NeedsIpv4 => {
                write!(
                    f,
                    "{server} has no IPv4 address, and the SOCKS4 proxy {proxy} connects to no other"
                )
            }
            ProxyProblem::NotSocks { .. } => {
                write!(
                    f,
                    "{proxy} does not speak SOCKS, so it cannot be used as a proxy for {server}"
                )
            }
            ProxyProblem::NotHttp { .. } => {
                write!(
                    f,
                    "{proxy} does not speak HTTP, so it cannot be used as a proxy for {server}"
                )
            }
            ProxyProblem::NeedsTls => {
                write!(
                    f,
                    "the proxy {proxy} is to be reached over TLS, which is not possible here"
                )
            }
            ProxyProblem::Ended => {
                write!(
                    f,
                    "the proxy {proxy} closed the connection instead of connecting to {server}"
                )
            }
        }
    }
}

impl std::error::Error for ProxyError {}

/// The meaning of a reply (RFC 1928, section 6; those of SOCKS4).
fn meaning(reply: u8) -> &'static str {
    match reply {
        1 => "general failure",
        2 => "not allowed by its rules",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        91 => "rejected or failed",
        92 => "it cannot reach an ident server here",
        93 => "the ident server here names another user",
        _ => "unknown reply",
    }
}
