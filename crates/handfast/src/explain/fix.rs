//! The id of a cause, and what to do: one total match.

use super::first_bytes::{is_portal, not_tls_fix};
use super::{certificate, identity};
use crate::error::{
    Alert, Cause, ConfigurationCause, Error, LocalCause, NetworkCause, PeerCause, Phase,
};
use crate::side::Side;
use crate::trust::{TrustError, TrustProblem};

/// The id, and what to do.
pub(super) struct Told {
    pub(super) id: &'static str,
    pub(super) fix: Option<String>,
}

/// The id, and what to do.
pub(super) fn told(error: &Error) -> Told {
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
                Some("see the peer's log; a middlebox that filters by name also causes this".into()),
            ),
            PeerCause::ResetInHandshake { .. } => (
                "reset-in-handshake",
                Some("see the peer's log; a firewall or a crashed process causes this".into()),
            ),
            PeerCause::PrematureEnd { .. } => (
                "premature-end",
                Some("fetch it again; a server that always ends this way should send close_notify".into()),
            ),
            PeerCause::ProtocolVersion { .. } => (
                "protocol-version",
                Some("enable TLS 1.2 or 1.3 on the peer; older versions are insecure".into()),
            ),
            PeerCause::NothingInCommon { what: "cipher suite" } => (
                "no-shared-cipher-suite",
                Some("allow a current cipher suite on the peer, such as TLS_AES_128_GCM_SHA256".into()),
            ),
            PeerCause::NothingInCommon { what: "key exchange group" } => (
                "no-shared-group",
                Some("allow a common group on the peer, such as x25519 or secp256r1".into()),
            ),
            PeerCause::NothingInCommon { what: "signature scheme" } => (
                "no-shared-signature-scheme",
                Some("have its certificate issued for a supported key: EC P-256, Ed25519, or RSA with 2048 bits".into()),
            ),
            PeerCause::NothingInCommon { .. } => {
                ("nothing-in-common", Some("allow more on one side".into()))
            }
            PeerCause::NoApplicationProtocol => (
                "no-application-protocol",
                Some("offer a protocol that the server speaks, or none".into()),
            ),
            PeerCause::EchRejected { retry_configs: Some(_) } => (
                "ech-rejected",
                Some("try once more with the configurations that the server sent, or look them up again".into()),
            ),
            PeerCause::EchRejected { retry_configs: None } => (
                "ech-rejected",
                Some("look up the server's configurations again: it offers none, and may have switched it off".into()),
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
                Some("try another network; if it persists, the peer's software has a bug".into()),
            ),
            PeerCause::BadRecord => (
                "bad-record",
                Some("try again; if it persists, try another network: something on the way changes the traffic".into()),
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
            NetworkCause::TimedOut { .. } => ("timed-out", Some(timed_out_fix(error.phase()).into())),
            NetworkCause::Reset => (
                "reset",
                Some("try again; if it persists, see the peer's log: its process may have crashed".into()),
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
            LocalCause::SigningFailed(_) => (
                "signing-failed",
                Some("check the device or agent that holds the private key: is it there, unlocked, and does it allow this signature?".into()),
            ),
            LocalCause::Unrecognised { .. } => (
                "unrecognised",
                Some("please report this with the lines above".into()),
            ),
            LocalCause::Stopping => (
                "server-stopping",
                Some("none needed: the client can connect again when the server is back".into()),
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
            "the peer does not accept our certificate: see the peer's log"
        }
        "certificate_revoked" => "get a new certificate: the peer says that ours is revoked",
        "insufficient_security" => "allow stronger cipher suites: the peer requires them",
        "internal_error" => "see the peer's log: the failure is internal to it",
        "handshake_failure" => {
            "see the peer's log: usually no common version, cipher suite or group, or a missing certificate"
        }
        _ => "see the peer's log",
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
        _ => "see the peer's log, or allow more time",
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

/// Whether the server was requested by its address, for which no server name is sent.
pub(super) fn asked_by_address(error: &Error) -> bool {
    error
        .server_name()
        .is_some_and(|name| name.parse::<std::net::IpAddr>().is_ok())
}
