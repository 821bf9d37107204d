//! What the peer did, sent or lacks: the whole match; what has many words is told in files of its own.

use super::first_bytes::{PlainProtocol, is_portal, not_tls_fix, quote_bytes};
use super::text::{Seen, Text};
use super::{alert, certificate, ended, negotiation};
use crate::alert::Alert;
use crate::error::{LongMessage, PeerCause};
use crate::side::Side;
use crate::x509::{describe_name_der, escape_control};

/// Alerts about certificates (RFC 8446, section 6).
const BAD_CERTIFICATE: u8 = 42;
const UNSUPPORTED_CERTIFICATE: u8 = 43;
const CERTIFICATE_REVOKED: u8 = 44;
const CERTIFICATE_EXPIRED: u8 = 45;
const UNKNOWN_CA: u8 = 48;
const ACCESS_DENIED: u8 = 49;
const DECRYPT_ERROR: u8 = 51;

/// Issuers shown of those that a server accepts.
const ISSUERS_SHOWN_MAX: usize = 5;

pub(super) fn explain(cause: &PeerCause, seen: &Seen<'_>) -> Text {
    match cause {
        PeerCause::Certificate(refused) => certificate::explain(refused, seen),
        PeerCause::Alert(alert) => alert::explain(*alert, seen),
        PeerCause::ClientCertificateRequired {
            alert,
            acceptable_issuers,
        } => {
            let mut lines = vec![format!("alert {alert}")];
            lines.extend(acceptable_issuers.iter().take(ISSUERS_SHOWN_MAX).map(
                |issuer| format!("accepts certificates from {}", describe_name_der(issuer)),
            ));
            let more = acceptable_issuers.len().saturating_sub(ISSUERS_SHOWN_MAX);
            if more > 0 {
                lines.push(format!("and from {more} more"));
            }
            Text::new(
                "client-certificate-required",
                "the server requires a client certificate, and none was sent",
            )
            .evidence(lines)
            .fix("give a certificate that the server accepts, and its key")
        }
        PeerCause::ClientCertificateRefused { alert } => Text::new(
            "client-certificate-refused",
            format!("the server did not accept our client certificate: alert {alert}"),
        )
        .fix(refused_client_certificate(*alert)),
        PeerCause::ClientCertificateMissing => Text::new(
            "client-certificate-missing",
            "the client sent no certificate, and one is required",
        )
        .fix(
            "give the client a certificate from a CA that is trusted here, for a key that is supported: EC P-256, P-384 or P-521, Ed25519, or RSA (clients send no other)",
        ),
        PeerCause::NotTls { first_bytes } => not_tls(first_bytes, seen),
        PeerCause::ClosedInHandshake { bytes_received } => {
            ended::closed_in_handshake(*bytes_received, seen)
        }
        PeerCause::ResetInHandshake { bytes_received } => {
            ended::reset_in_handshake(*bytes_received, seen)
        }
        PeerCause::PrematureEnd { bytes_received } => Text::new(
            "premature-end",
            "the connection ended without close_notify: the data may be truncated",
        )
        .evidence([format!("{bytes_received} bytes had arrived")])
        .fix("fetch it again; a server that always ends this way should send close_notify"),
        PeerCause::ProtocolVersion { alert, .. } => negotiation::version(*alert, seen),
        PeerCause::NothingInCommon { what } => negotiation::nothing_in_common(*what, seen),
        PeerCause::NoApplicationProtocol => negotiation::application_protocol(seen),
        PeerCause::EchRejected { retry_configs } => Text::new(
            "ech-rejected",
            "the server could not decrypt the ClientHello: it has other configurations for Encrypted Client Hello, or none",
        )
        .fix(match retry_configs {
            Some(_) => {
                "try once more with the configurations that the server sent, or look them up again"
            }
            None => {
                "look up the server's configurations again: it offers none, and may have switched it off"
            }
        }),
        PeerCause::NameUnrecognised if seen.by_server() => {
            let name = seen.offer.and_then(|offer| offer.server_name.as_deref());
            let what = match name {
                Some(name) => format!(
                    "there is no certificate here for the name that the client asks for: {}",
                    escape_control(name)
                ),
                None => {
                    "the client sent no server name, and there is no certificate for such clients"
                        .to_owned()
                }
            };
            Text::of_client("name-unrecognised", what).fix(
                "add a certificate for this name, or a default one; scanners ask for any name",
            )
        }
        PeerCause::NameUnrecognised if seen.asked_by_address() => Text::new(
            "name-needed",
            "the server requires a DNS name, and the request was for an IP address",
        )
        .fix(
            "use the server's DNS name: TLS does not send an IP address as the server name (RFC 6066, section 3)",
        ),
        PeerCause::NameUnrecognised => {
            Text::new("name-unrecognised", "the server has no site with this name")
                .fix("use a name that the server is configured for")
        }
        PeerCause::ProtocolViolation { what } => protocol_violation(what, seen),
        PeerCause::BadRecord => bad_record(seen),
        PeerCause::MessageTooLarge { message, limit } => message_too_large(*message, *limit),
        PeerCause::RenegotiationRefused { alert } => {
            let what = match alert {
                Some(_) => {
                    "the peer requested renegotiation, which is not supported, and then ended the connection"
                }
                None => {
                    "the peer requested renegotiation again, although it is not supported"
                }
            };
            Text::new("renegotiation-refused", what)
                .evidence(alert.map(|alert| format!("the peer's alert {alert}")))
                .fix(match seen.side {
                    Some(Side::Server) => {
                        "disable renegotiation in the client, or use TLS 1.3, which has none"
                    }
                    _ => {
                        "have the server ask for a client certificate in the first handshake, or use TLS 1.3"
                    }
                })
        }
    }
}

/// What to do, by the server's reason.
fn refused_client_certificate(alert: Alert) -> &'static str {
    match alert.code() {
        BAD_CERTIFICATE => {
            "check that the file has the whole chain, undamaged: the server cannot verify it"
        }
        UNSUPPORTED_CERTIFICATE => {
            "use a certificate whose purpose is clientAuth, with an EC P-256, Ed25519 or RSA key"
        }
        CERTIFICATE_REVOKED => {
            "the issuer has revoked it: have another one issued, for another key"
        }
        CERTIFICATE_EXPIRED => {
            "have a new certificate issued; if it is new, check the clocks of both machines"
        }
        UNKNOWN_CA => {
            "use a certificate whose issuer the server trusts; send its intermediates, too"
        }
        ACCESS_DENIED => {
            "the certificate is valid, and the server does not allow its owner access: ask its operator"
        }
        DECRYPT_ERROR => "check that the key belongs to the certificate",
        _ => "see the server's log: it does not say what is wrong with the certificate",
    }
}

fn not_tls(first_bytes: &[u8], seen: &Seen<'_>) -> Text {
    let evidence = [format!("its first bytes: {}", quote_bytes(first_bytes))];
    let protocol = PlainProtocol::of(first_bytes);
    if seen.by_server() {
        let what = match protocol {
            Some(protocol) => format!("the client speaks {protocol} on this port, not TLS"),
            None => "what the client sent is not TLS".to_owned(),
        };
        return Text::of_client("not-tls", what)
            .evidence(evidence)
            .fix("use https:// in the client, or another port");
    }
    if is_portal(first_bytes, seen.server_name) {
        return Text::new(
            "captive-portal",
            "a network's login page answered instead of the server, in plain HTTP",
        )
        .evidence(evidence)
        .fix("open a page in a browser, log in to the network, and try again");
    }
    let what = match protocol {
        Some(protocol) => format!("the peer speaks {protocol} here, not TLS"),
        None => "the peer's data is not TLS".to_owned(),
    };
    Text::new("not-tls", what)
        .evidence(evidence)
        .fix(not_tls_fix(protocol))
}

fn protocol_violation(what: &str, seen: &Seen<'_>) -> Text {
    const ID: &str = "protocol-violation";
    let what = escape_control(what);
    match seen.by_server() {
        true => Text::of_client(ID, format!("the client violated the TLS protocol: {what}"))
            .fix("see the client's log: it has a bug, or is a scanner"),
        false => Text::new(ID, format!("the peer violated the TLS protocol: {what}"))
            .fix("try another network; if it persists, the peer's software has a bug"),
    }
}

fn bad_record(seen: &Seen<'_>) -> Text {
    const ID: &str = "bad-record";
    match seen.by_server() {
        true => Text::of_client(
            ID,
            "a record from the client failed its integrity check: it was changed in transit, or encrypted with other keys",
        )
        .fix("try another network: a middlebox that changes traffic causes this"),
        false => Text::new(
            ID,
            "a record from the peer failed its integrity check: it was changed in transit, or encrypted with other keys",
        )
        .fix("try again; if it persists, try another network: something on the way changes the traffic"),
    }
}

fn message_too_large(message: LongMessage, limit: usize) -> Text {
    // A limit is a byte short of it.
    let kib = limit.div_ceil(1024);
    match message {
        LongMessage::Certificate => Text::new(
            "chain-too-large",
            format!("the peer's certificate chain is longer than the {kib} KiB that are accepted"),
        )
        .fix("the peer must send its own certificate and its intermediates only"),
        other => Text::new(
            "message-too-large",
            format!(
                "the peer's {} message is longer than the {kib} KiB that are accepted",
                other.name()
            ),
        )
        .fix("the peer must send less: fewer certificates or fewer CA names"),
    }
}
