//! From a cause to what a person needs: a stable id, what happened, the evidence, what to do.
//!
//! One total match over the causes; nothing of this is said anywhere else. What the other end did
//! wrong and what we did wrong never share a message, and no fix advises switching verification off.

mod certificate;
// The operating system's words are Linux's.
#[cfg(all(test, target_os = "linux"))]
mod golden;
mod hearsay;
mod identity;
mod probed;
mod proxy;
mod server;
mod starttls;

use std::fmt;

use crate::error::{
    Alert, Cause, ConfigurationCause, Error, LocalCause, NetworkCause, PeerCause, Phase,
};
use crate::report::Side;
use crate::trust::{TrustError, TrustProblem};
use crate::verify::Purpose;
use crate::x509::escape_control;

/// What a person should be told about an error.
///
/// `Display` prints all of it, in plain text without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// A stable id in kebab-case: part of the interface, for scripts and for documentation.
    pub id: &'static str,
    /// What happened, in one sentence without a full stop.
    pub what: String,
    /// What shows it, a line each.
    pub evidence: Vec<String>,
    /// What to do about it, a line each; empty where nothing is known.
    pub fix: Vec<String>,
}

impl Explanation {
    /// An explanation of something that happened outside this library, told in the same shape.
    ///
    /// Text that a stranger wrote must have gone through [`escape_control`] before.
    pub fn new(id: &'static str, what: impl Into<String>) -> Self {
        Self {
            id,
            what: what.into(),
            evidence: Vec::new(),
            fix: Vec::new(),
        }
    }

    /// Adds a line of evidence.
    #[must_use]
    pub fn with_evidence(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }

    /// Adds a line of what to do.
    #[must_use]
    pub fn with_fix(mut self, line: impl Into<String>) -> Self {
        self.fix.push(line.into());
        self
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.what, self.id)?;
        for line in &self.evidence {
            write!(f, "\n  {line}")?;
        }
        for line in &self.fix {
            write!(f, "\n  fix: {line}")?;
        }
        Ok(())
    }
}

pub(crate) fn explain(error: &Error) -> Explanation {
    let Told { id, fix } = told(error);
    let mut explanation = Explanation {
        id,
        what: sentence(error),
        evidence: evidence(error.cause()),
        fix: fix.into_iter().collect(),
    };
    if error.side() == Some(Side::Server) {
        server::retell(&mut explanation, error);
    }
    if let Some(probed) = error.probed() {
        probed::add(&mut explanation, probed);
    }
    hearsay::add(&mut explanation, error);
    explanation
}

fn sentence(error: &Error) -> String {
    let mut what = what(error.cause());
    if let Cause::Network(NetworkCause::TimedOut { .. }) = error.cause() {
        what = format!("{what} during the {}", error.phase());
    }
    if matches!(error.cause(), Cause::Peer(PeerCause::NameUnrecognised)) && asked_by_address(error)
    {
        what = "the server requires a DNS name, and was asked by IP address".into();
    }
    if let Cause::Peer(PeerCause::NotTls { first_bytes }) = error.cause()
        && is_portal(first_bytes, error.server_name())
    {
        what = "a network's login page answered instead of the server, in plain HTTP".into();
    }
    match error.server_name() {
        // Some causes name the host themselves.
        Some(name) if !mentions(&what, name) => format!("{}: {what}", escape_control(name)),
        _ => what,
    }
}

/// Whether a name stands in a text by itself, not as a part of another name.
fn mentions(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    text.match_indices(name).any(|(at, found)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let mut after = text.get(at + found.len()..).unwrap_or_default().chars();
        let ends = match after.next() {
            // The end of a sentence is no further label.
            Some('.') => !after.next().is_some_and(is_part),
            Some(c) => !is_part(c),
            None => true,
        };
        !before.is_some_and(is_part) && ends
    })
}

fn asked_by_address(error: &Error) -> bool {
    error
        .server_name()
        .is_some_and(|name| name.parse::<std::net::IpAddr>().is_ok())
}

/// What happened, in one sentence.
pub(crate) fn what(cause: &Cause) -> String {
    match cause {
        Cause::Configuration(cause) => configuration(cause),
        Cause::Peer(cause) => peer(cause),
        Cause::Network(cause) => network(cause),
        Cause::Local(cause) => match cause {
            LocalCause::RandomUnavailable => {
                "the operating system gave no random bytes, so TLS cannot be used".into()
            }
            LocalCause::AfterEnd => "the connection was used after its end".into(),
            LocalCause::KeyWornOut => {
                "the connection has sent as much as one key may protect, and TLS 1.2 cannot change the key".into()
            }
            LocalCause::Unrecognised { said, .. } => {
                format!("an unknown error: {}", escape_control(said))
            }
            LocalCause::Stopping => "the handshake was ended because the server is stopping".into(),
            LocalCause::DescriptorsUsedUp { .. } => {
                "the program has reached its limit of open files and connections".into()
            }
            LocalCause::PortsUsedUp { .. } => {
                "this machine has no local port left for another connection to this address".into()
            }
            LocalCause::Internal(what) => format!("an internal error: {what}"),
        },
    }
}

fn configuration(cause: &ConfigurationCause) -> String {
    match cause {
        ConfigurationCause::Identity(error) => identity::what(error),
        ConfigurationCause::Trust(error) => error.to_string(),
        ConfigurationCause::IdentityMissing => "a server needs a certificate and its key".into(),
        ConfigurationCause::ServerName { text, problem } => {
            format!(
                "`{}` is not the name of a server: {problem}",
                escape_control(text)
            )
        }
        ConfigurationCause::Address { text } => {
            format!("`{}` is not of the form HOST:PORT", escape_control(text))
        }
        ConfigurationCause::UnknownName { what, name, .. } => {
            format!("there is no {what} called `{}`", escape_control(name))
        }
        ConfigurationCause::NothingLeft { what } => format!("there is no {what} left to use"),
        ConfigurationCause::File { path, .. } => {
            format!(
                "the file {} cannot be opened",
                escape_control(&path.display().to_string())
            )
        }
    }
}

fn peer(cause: &PeerCause) -> String {
    match cause {
        PeerCause::Certificate(error) => {
            let holder = match error.purpose {
                Purpose::ServerAuth => "server",
                Purpose::ClientAuth => "client",
            };
            format!(
                "the {holder}'s certificate was not accepted: {}",
                error.cause
            )
        }
        PeerCause::Alert(alert) => format!("the peer ended the connection with the alert {alert}"),
        PeerCause::ClientCertificateRequired { .. } => {
            "the server requires a client certificate, and none was sent".into()
        }
        PeerCause::ClientCertificateRefused { alert } => {
            format!("the server did not accept our client certificate: alert {alert}")
        }
        PeerCause::ClientCertificateMissing => {
            "the client sent no certificate, and one is required".into()
        }
        PeerCause::StartTls(error) => error.to_string(),
        PeerCause::NotTls { first_bytes } => match spoken(first_bytes) {
            Some(protocol) => format!("the peer speaks {protocol} here, not TLS"),
            None => "what the peer sent is not TLS".into(),
        },
        PeerCause::ClosedInHandshake { bytes_received: 0 } => {
            "the peer closed the connection without having sent a byte".into()
        }
        PeerCause::ClosedInHandshake { .. } => {
            "the peer closed the connection during the handshake".into()
        }
        PeerCause::ResetInHandshake { .. } => {
            "the connection was reset during the handshake".into()
        }
        PeerCause::PrematureEnd { .. } => {
            "the connection ended without close_notify: what arrived may be cut off".into()
        }
        PeerCause::ProtocolVersion { .. } => "the two ends have no TLS version in common".into(),
        PeerCause::NothingInCommon { what } => format!("the two ends have no {what} in common"),
        PeerCause::NoApplicationProtocol => {
            "the peer speaks none of the application protocols offered (ALPN)".into()
        }
        PeerCause::NameUnrecognised => "the server has no site of this name".into(),
        PeerCause::ProtocolViolation { what } => {
            format!("the peer violated the TLS protocol: {}", escape_control(what))
        }
        PeerCause::BadRecord => {
            "a record from the peer failed its integrity check: it was changed in transit, or encrypted with other keys"
                .into()
        }
        PeerCause::MessageTooLarge { message, limit } => match *message {
            "Certificate" => format!(
                "the peer's certificate chain is longer than the {} KiB that are accepted",
                kib(*limit)
            ),
            name => format!(
                "the peer's {name} message is longer than the {} KiB that are accepted",
                kib(*limit)
            ),
        },
        PeerCause::RenegotiationRefused { alert: Some(_) } => {
            "the peer asked to renegotiate, which is not supported, and then ended the connection"
                .into()
        }
        PeerCause::RenegotiationRefused { alert: None } => {
            "the peer asked to renegotiate again after it was told that this is not supported"
                .into()
        }
    }
}

/// A limit that is a byte short of it, in KiB.
fn kib(bytes: usize) -> usize {
    bytes.div_ceil(1024)
}

fn network(cause: &NetworkCause) -> String {
    match cause {
        NetworkCause::NotResolved { host, .. } => {
            format!("the name {} could not be resolved", escape_control(host))
        }
        NetworkCause::Refused { .. } => {
            "connection refused: nothing listens on this address and port".into()
        }
        NetworkCause::Unreachable { .. } => "no address of the server could be reached".into(),
        NetworkCause::TimedOut { limit } => format!("the time limit of {limit:?} passed"),
        NetworkCause::Proxy(error) => error.to_string(),
        NetworkCause::Reset => "the connection was reset".into(),
        NetworkCause::Io(error) => match error.kind() {
            std::io::ErrorKind::UnexpectedEof => "the connection ended too early".into(),
            _ => format!("the operating system reports: {}", plain(error)),
        },
    }
}

/// The operating system's words without the number that Rust adds.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    escape_control(text.split(" (os error").next().unwrap_or(&text)).into_owned()
}

struct Told {
    id: &'static str,
    fix: Option<String>,
}

/// The id, and what to do.
fn told(error: &Error) -> Told {
    let (id, fix) = match error.cause() {
        Cause::Configuration(cause) => match cause {
            ConfigurationCause::Identity(error) => (error.id(), identity::fix(error)),
            ConfigurationCause::Trust(error) => (error.problem.id(), Some(trust_fix(error).into())),
            ConfigurationCause::IdentityMissing => {
                ("identity-missing", Some("give a certificate chain and its private key".into()))
            }
            ConfigurationCause::ServerName { .. } => (
                "invalid-server-name",
                Some("give a DNS name such as example.org, or an IP address".into()),
            ),
            ConfigurationCause::Address { .. } => {
                ("invalid-address", Some("write it as example.org:443 or [::1]:443".into()))
            }
            ConfigurationCause::UnknownName { known, .. } => {
                ("unknown-name", Some(format!("choose among {}", known.join(", "))))
            }
            ConfigurationCause::NothingLeft { .. } => {
                ("nothing-left-to-negotiate", Some("allow more, or choose values that fit together".into()))
            }
            ConfigurationCause::File { .. } => ("file-unusable", Some("check the path and its permissions".into())),
        },
        Cause::Peer(cause) => match cause {
            PeerCause::Certificate(refused) => (refused.cause.id(), certificate::fix(error, refused)),
            PeerCause::Alert(alert) => ("alert-received", alert_fix(*alert)),
            PeerCause::ClientCertificateRequired { .. } => (
                "client-certificate-required",
                Some("give a certificate that the server accepts, and its key".into()),
            ),
            PeerCause::ClientCertificateRefused { .. } => (
                "client-certificate-refused",
                Some("check that it is valid, not revoked, and from an issuer that the server trusts".into()),
            ),
            PeerCause::ClientCertificateMissing => (
                "client-certificate-missing",
                Some("give the client a certificate from a CA that is trusted here, for a key that is supported: EC P-256, P-384 or P-521, Ed25519, or RSA (clients send no other)".into()),
            ),
            PeerCause::StartTls(error) => (error.problem.id(), starttls::fix(error)),
            PeerCause::NotTls { first_bytes } if is_portal(first_bytes, error.server_name()) => (
                "captive-portal",
                Some("open a page in a browser, log in to the network, and try again".into()),
            ),
            PeerCause::NotTls { first_bytes } => ("not-tls", not_tls_fix(first_bytes)),
            PeerCause::ClosedInHandshake { bytes_received: 0 } => (
                "closed-without-a-byte",
                Some("check the port, and see the server's log; a middlebox that filters by name also causes this".into()),
            ),
            PeerCause::ClosedInHandshake { .. } => (
                "closed-in-handshake",
                Some("see the other end's log; a middlebox that filters by name also causes this".into()),
            ),
            PeerCause::ResetInHandshake { .. } => (
                "reset-in-handshake",
                Some("see the other end's log; a firewall or a crashed process causes this".into()),
            ),
            PeerCause::PrematureEnd { .. } => (
                "premature-end",
                Some("fetch it again; a server that always ends this way should send close_notify".into()),
            ),
            PeerCause::ProtocolVersion { .. } => (
                "protocol-version",
                Some("enable TLS 1.2 or 1.3 at the other end; older versions are insecure".into()),
            ),
            PeerCause::NothingInCommon { what: "cipher suite" } => (
                "no-shared-cipher-suite",
                Some("allow a current cipher suite at the other end, such as TLS_AES_128_GCM_SHA256".into()),
            ),
            PeerCause::NothingInCommon { what: "key exchange group" } => (
                "no-shared-group",
                Some("allow a common group at the other end, such as x25519 or secp256r1".into()),
            ),
            PeerCause::NothingInCommon { what: "signature scheme" } => (
                "no-shared-signature-scheme",
                Some("have its certificate issued for a supported key: EC P-256, Ed25519, or RSA with 2048 bits".into()),
            ),
            PeerCause::NothingInCommon { .. } => {
                ("nothing-in-common", Some("allow more at one of the two ends".into()))
            }
            PeerCause::NoApplicationProtocol => (
                "no-application-protocol",
                Some("offer a protocol that the server speaks, or none".into()),
            ),
            PeerCause::NameUnrecognised if asked_by_address(error) => (
                "name-needed",
                Some("use the server's DNS name: TLS does not send an IP address as the server name (RFC 6066, section 3)".into()),
            ),
            PeerCause::NameUnrecognised => {
                ("name-unrecognised", Some("use a name that the server is configured for".into()))
            }
            PeerCause::ProtocolViolation { .. } => (
                "protocol-violation",
                Some("try another network; if it stays, the peer's software has a bug".into()),
            ),
            PeerCause::BadRecord => (
                "bad-record",
                Some("try again; if it stays, try another network: something on the way changes the traffic".into()),
            ),
            PeerCause::MessageTooLarge { message: "Certificate", .. } => (
                "chain-too-large",
                Some("the peer must send its own certificate and its intermediates only".into()),
            ),
            PeerCause::MessageTooLarge { .. } => (
                "message-too-large",
                Some("the peer must send less: fewer certificates or fewer CA names".into()),
            ),
            PeerCause::RenegotiationRefused { .. } if error.side() == Some(Side::Server) => (
                "renegotiation-refused",
                Some("disable renegotiation in the client, or use TLS 1.3, which has none".into()),
            ),
            PeerCause::RenegotiationRefused { .. } => (
                "renegotiation-refused",
                Some("have the server ask for a client certificate in the first handshake, or use TLS 1.3".into()),
            ),
        },
        Cause::Network(cause) => match cause {
            NetworkCause::NotResolved { .. } => {
                ("name-not-resolved", Some("check the spelling and this machine's DNS".into()))
            }
            NetworkCause::Refused { .. } => (
                "connection-refused",
                Some("check the port, and that the server is running".into()),
            ),
            NetworkCause::Unreachable { .. } => (
                "unreachable",
                Some("check this machine's network and the server's addresses".into()),
            ),
            NetworkCause::TimedOut { .. } => ("timed-out", Some(timed_out_fix(error.phase()).into())),
            NetworkCause::Proxy(error) => (error.problem.id(), proxy::fix(error)),
            NetworkCause::Reset => (
                "reset",
                Some("try again; if it stays, see the other end's log: its process may have crashed".into()),
            ),
            NetworkCause::Io(_) => (
                "transport-error",
                Some("see the operating system's message above".into()),
            ),
        },
        Cause::Local(cause) => match cause {
            LocalCause::RandomUnavailable => (
                "no-randomness",
                Some("allow the program to call getrandom or to read /dev/urandom".into()),
            ),
            LocalCause::AfterEnd => (
                "used-after-end",
                Some("this is a bug in the program: it must not use a connection after its end".into()),
            ),
            LocalCause::KeyWornOut => (
                "key-worn-out",
                Some("open a new connection, or use TLS 1.3, which can change keys during a connection".into()),
            ),
            LocalCause::Unrecognised { .. } => (
                "unrecognised",
                Some("please report this with the lines above".into()),
            ),
            LocalCause::Stopping => (
                "server-stopping",
                Some("none needed: the client can connect again when the server is back".into()),
            ),
            LocalCause::DescriptorsUsedUp { .. } => (
                "too-many-open-files",
                Some("raise the limit of open files (ulimit -n), or open fewer connections at once; the server is not the cause".into()),
            ),
            LocalCause::PortsUsedUp { .. } => (
                "local-ports-used-up",
                Some("keep connections instead of opening new ones, wait a minute for the ports of those that have ended, or widen net.ipv4.ip_local_port_range; the server is not the cause".into()),
            ),
            LocalCause::Internal(_) => {
                ("internal", Some("please report this, and what led to it".into()))
            }
        },
    };
    Told { id, fix }
}

fn alert_fix(alert: Alert) -> Option<String> {
    let fix = match alert.name() {
        "unknown_ca" => "give the peer the CA's certificate: it does not trust our issuer",
        "certificate_expired" => "renew our certificate: the peer says that it is expired",
        "certificate_unknown" | "bad_certificate" | "unsupported_certificate" => {
            "the peer does not accept our certificate: see the other end's log"
        }
        "certificate_revoked" => "get a new certificate: the peer says that ours is revoked",
        "insufficient_security" => "allow stronger cipher suites: the peer requires them",
        "internal_error" => "see the other end's log: the failure is internal to it",
        "handshake_failure" => {
            "see the other end's log: usually no common version, cipher suite or group, or a missing certificate"
        }
        _ => "see the other end's log",
    };
    Some(fix.to_owned())
}

fn timed_out_fix(phase: Phase) -> &'static str {
    match phase {
        Phase::Resolve => "check this machine's DNS",
        Phase::Connect => {
            "check the address and the port; a firewall that drops packets causes this"
        }
        Phase::StartTls => {
            "check that this port is for this protocol: the server accepts connections but sends nothing"
        }
        Phase::Handshake => {
            "check that this port is for TLS: the server accepts connections but sends nothing"
        }
        _ => "see the other end's log, or allow more time",
    }
}

fn trust_fix(error: &TrustError) -> &'static str {
    match &error.problem {
        TrustProblem::Unreadable(_) => "check the path, and that this user may read the file",
        TrustProblem::TooLarge { .. } => "check the path",
        TrustProblem::OpensslTrustedCertificate => {
            "convert it into a plain certificate: openssl x509 -in OLD -out NEW"
        }
        TrustProblem::Pem { .. } | TrustProblem::Malformed { .. } => {
            "the file is damaged or was only partly copied: copy or export it again"
        }
        TrustProblem::NoneUsable { .. } => {
            "trust the certificate of a CA: of version 3 with CA:TRUE, or a self-signed root"
        }
        TrustProblem::NothingTrusted(_) => {
            "install the platform's CA certificates, or trust some (--cacert FILE)"
        }
        TrustProblem::Empty
        | TrustProblem::NoCertificate
        | TrustProblem::OtherPemSections { .. } => {
            "give a file with the authority's certificate: -----BEGIN CERTIFICATE-----"
        }
    }
}

/// The protocol that first bytes give away.
fn spoken(first_bytes: &[u8]) -> Option<&'static str> {
    const OPENINGS: &[(&[u8], &str)] = &[
        (b"HTTP/", "plain HTTP"),
        (b"GET ", "plain HTTP"),
        (b"POST ", "plain HTTP"),
        (b"HEAD ", "plain HTTP"),
        (b"PUT ", "plain HTTP"),
        (b"OPTIONS ", "plain HTTP"),
        (b"CONNECT ", "plain HTTP"),
        (b"PRI * HTTP/2", "plain HTTP/2"),
        (b"<!DOCTYPE", "plain HTTP (version 0.9)"),
        (b"SSH-", "SSH"),
        (b"* OK", "IMAP"),
        (b"+OK", "POP3"),
        (b"-ERR", "Redis or POP3"),
        (b"RFB ", "VNC"),
        (b"AMQP", "AMQP"),
        (b"* PREAUTH", "IMAP"),
        (b"* BYE", "IMAP"),
        (b"-NOAUTH", "Redis"),
        (b"-DENIED", "Redis"),
        (b"ERROR\r\n", "memcached"),
        (b"200 ", "NNTP"),
        (b"201 ", "NNTP"),
        (b"421 ", "SMTP"),
        (b"554 ", "SMTP"),
        (b"<?xml", "XMPP"),
        (b"<stream", "XMPP"),
        (b"\"IMPLEMENTATION\"", "ManageSieve"),
        (b"\xff\xfb", "Telnet"),
        (b"\xff\xfd", "Telnet"),
        (b"@RSYNCD:", "rsync"),
    ];
    let opening = OPENINGS
        .iter()
        .find(|(bytes, _)| first_bytes.starts_with(bytes));
    if let Some((_, name)) = opening {
        return Some(name);
    }
    match first_bytes {
        // SMTP and FTP greet alike; what follows the code tells them apart, if anything does.
        [b'2', b'2', b'0', ..] => {
            let text = String::from_utf8_lossy(first_bytes).to_ascii_uppercase();
            Some(if text.contains("FTP") { "FTP" } else { "SMTP" })
        }
        // A packet's length in three bytes, its number, and version 10 of the protocol.
        [_, _, 0, 0, 10, b'0'..=b'9', ..] => Some("MySQL"),
        // An error with its severity, or the refusal of a byte to go on with TLS.
        [b'E', 0, 0, _, _, b'S' | b'F', ..] | [b'N'] => Some("PostgreSQL"),
        // The SETTINGS frame that an HTTP/2 server begins with.
        [0, 0, _, 4, 0, 0, 0, 0, 0, ..] => Some("plain HTTP/2"),
        _ => None,
    }
}

fn not_tls_fix(first_bytes: &[u8]) -> Option<String> {
    let Some(protocol) = spoken(first_bytes) else {
        return Some(
            "check the host and the port: what answers there speaks something else".to_owned(),
        );
    };
    let starttls = |name: &str| {
        format!(
            "{protocol} begins in plain text: use its TLS port, or STARTTLS (--starttls {name})"
        )
    };
    Some(match protocol {
        protocol if protocol.starts_with("plain HTTP") => {
            "use the port that speaks HTTPS: 443 is the usual one".to_owned()
        }
        "SMTP" => starttls("smtp"),
        "FTP" => starttls("ftp"),
        "IMAP" => starttls("imap"),
        "POP3" => starttls("pop3"),
        "NNTP" => starttls("nntp"),
        "XMPP" => starttls("xmpp"),
        "ManageSieve" => starttls("sieve"),
        "MySQL" => starttls("mysql"),
        "PostgreSQL" => starttls("postgres"),
        _ => format!("this port is for {protocol}: check the port"),
    })
}

/// Whether plain HTTP on a TLS port is that of a network that wants a login: it says so (RFC 6585,
/// section 6), or sends everybody to a host of its own.
fn is_portal(first_bytes: &[u8], server_name: Option<&str>) -> bool {
    let text = String::from_utf8_lossy(first_bytes);
    let Some(rest) = text.strip_prefix("HTTP/1.").and_then(|text| text.get(2..)) else {
        return false;
    };
    if rest.starts_with("511") {
        return true;
    }
    let redirects = ["302", "303", "307"]
        .iter()
        .any(|status| rest.starts_with(status));
    redirects
        && rest.lines().skip(1).any(|line| {
            let Some((name, target)) = line.split_once(':') else {
                return false;
            };
            let host = target.trim().split_once("://").map(|(_, rest)| {
                let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
                authority
                    .rsplit_once(':')
                    .map_or(authority, |(host, _)| host)
            });
            name.eq_ignore_ascii_case("location")
                && host.is_some_and(|host| {
                    !host.is_empty()
                        && server_name.is_none_or(|name| !name.eq_ignore_ascii_case(host))
                })
        })
}

fn evidence(cause: &Cause) -> Vec<String> {
    match cause {
        Cause::Configuration(ConfigurationCause::Identity(error)) => identity::evidence(error),
        Cause::Configuration(ConfigurationCause::Trust(error)) => sources(error),
        Cause::Configuration(ConfigurationCause::File { source, .. }) => vec![plain(source)],
        Cause::Peer(PeerCause::Certificate(error)) => certificate::evidence(error),
        Cause::Peer(PeerCause::ClientCertificateRequired {
            alert,
            acceptable_issuers,
        }) => {
            let mut lines = vec![format!("alert {alert}")];
            lines.extend(acceptable_issuers.iter().take(5).map(|issuer| {
                format!(
                    "accepts certificates from {}",
                    crate::x509::describe_name_der(issuer)
                )
            }));
            if acceptable_issuers.len() > 5 {
                lines.push(format!("and from {} more", acceptable_issuers.len() - 5));
            }
            lines
        }
        Cause::Peer(PeerCause::StartTls(error)) => starttls::evidence(error),
        Cause::Peer(PeerCause::NotTls { first_bytes }) => {
            vec![format!("its first bytes: {}", quoted(first_bytes))]
        }
        // What happened says it.
        Cause::Peer(PeerCause::ClosedInHandshake { bytes_received: 0 }) => Vec::new(),
        Cause::Peer(
            PeerCause::ClosedInHandshake { bytes_received }
            | PeerCause::ResetInHandshake { bytes_received },
        ) => vec![match bytes_received {
            0 => "it sent no bytes".to_owned(),
            count => format!("after {count} bytes from it"),
        }],
        Cause::Peer(PeerCause::PrematureEnd { bytes_received }) => {
            vec![format!("{bytes_received} bytes had arrived")]
        }
        Cause::Peer(PeerCause::ProtocolVersion { alert: Some(alert) }) => {
            vec![format!("the peer's alert {alert}")]
        }
        Cause::Peer(PeerCause::RenegotiationRefused { alert: Some(alert) }) => {
            vec![format!("the peer's alert {alert}")]
        }
        Cause::Local(LocalCause::Unrecognised { first_bytes, .. }) if !first_bytes.is_empty() => {
            vec![format!(
                "what the peer had sent begins: {}",
                quoted(first_bytes)
            )]
        }
        Cause::Network(NetworkCause::NotResolved { source, .. })
        | Cause::Local(LocalCause::DescriptorsUsedUp { source }) => vec![plain(source)],
        Cause::Local(LocalCause::PortsUsedUp { address }) => vec![format!("to {address}")],
        Cause::Network(NetworkCause::Refused { addresses }) => vec![tried(addresses)],
        Cause::Network(NetworkCause::Proxy(error)) => proxy::evidence(error),
        Cause::Network(NetworkCause::Unreachable { addresses, source }) => {
            vec![tried(addresses), plain(source)]
        }
        _ => Vec::new(),
    }
}

fn tried(addresses: &[std::net::SocketAddr]) -> String {
    let list: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    format!("tried {}", list.join(", "))
}

/// The levels below an error, a line each.
fn sources(error: &(dyn std::error::Error + 'static)) -> Vec<String> {
    std::iter::successors(error.source(), |error| error.source())
        .map(|error| {
            let text = error.to_string();
            escape_control(text.split(" (os error").next().unwrap_or(&text)).into_owned()
        })
        .collect()
}

/// Bytes as a person can read them: text with escapes, cut after 60 characters.
fn quoted(bytes: &[u8]) -> String {
    let text: String = bytes
        .iter()
        .take(60)
        .flat_map(|byte| std::ascii::escape_default(*byte))
        .map(char::from)
        .collect();
    let more = if bytes.len() > 60 { "..." } else { "" };
    format!("\"{text}{more}\"")
}

/// In which phase: for lines of a log.
impl Explanation {
    /// One line: the phase, the id, what happened.
    pub fn one_line(&self, phase: Phase) -> String {
        format!("{phase}: {} [{}]", self.what, self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_bytes_are_named_and_quoted_without_control_characters() {
        for (bytes, id, says) in [
            (
                &b"HTTP/1.1 400 Bad Request\r\n"[..],
                "not-tls",
                "plain HTTP",
            ),
            (b"SSH-2.0-OpenSSH_9.2\r\n", "not-tls", "SSH"),
            (b"220 mail.example ESMTP\r\n", "not-tls", "SMTP"),
            (b"220 (vsFTPd 3.0.3)\r\n", "not-tls", "FTP"),
            (
                b"HTTP/1.1 511 Network Authentication Required\r\n",
                "captive-portal",
                "plain HTTP",
            ),
            (
                b"HTTP/1.1 302 Found\r\nLocation: http://login.hotel.example/\r\n\r\n",
                "captive-portal",
                "login page",
            ),
            (
                b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\n\r\n",
                "not-tls",
                "plain HTTP",
            ),
            (b"\x4a\0\0\0\x0a8.0.36\0", "not-tls", "MySQL"),
            (b"E\0\0\0\x8dSFATAL\0", "not-tls", "PostgreSQL"),
            (b"\0\0\x12\x04\0\0\0\0\0", "not-tls", "HTTP/2"),
            (b"-NOAUTH Authentication required.\r\n", "not-tls", "Redis"),
            (
                b"\"IMPLEMENTATION\" \"Dovecot Pigeonhole\"\r\n",
                "not-tls",
                "ManageSieve",
            ),
            (b"\x1b[2J\0\xff", "not-tls", "is not TLS"),
        ] {
            let cause = PeerCause::NotTls {
                first_bytes: bytes.to_vec(),
            };
            let explanation = Error::new(Phase::Handshake, cause).explain();
            assert_eq!(explanation.id, id);
            assert!(explanation.what.contains(says), "{explanation}");
            assert!(
                !explanation
                    .to_string()
                    .chars()
                    .any(|c| c.is_control() && c != '\n')
            );
        }
    }

    #[test]
    fn the_server_s_name_is_told_once() {
        let cause = NetworkCause::Refused {
            addresses: vec!["127.0.0.1:9".parse().unwrap()],
        };
        let error = Error::new(Phase::Connect, cause).with_server_name("example.org");
        assert_eq!(
            error.explain().to_string(),
            "example.org: connection refused: nothing listens on this address and port [connection-refused]\n  \
             tried 127.0.0.1:9\n  fix: check the port, and that the server is running"
        );
        assert_eq!(error.to_string(), "connect with example.org failed");
    }
}
