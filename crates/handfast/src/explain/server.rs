//! Explanations of failed handshakes for a server's administrator: the client's offer
//! is shown, and the fix is for the server.
//!
//! Only texts that differ for a server are here; all others are the same on both sides. The ids
//! are the same for the same cause, except alerts about our certificate, which only a server
//! receives.

use super::Explanation;
use super::first_bytes::{quote_bytes, spoken};
use crate::error::{Alert, Cause, Error, NetworkCause, PeerCause, Phase};
use crate::offer::ClientOffer;

/// The limit on shown names of a list.
const SHOWN_MAX: usize = 8;

/// Adapts the explanation of a handshake's failure to a server.
pub(super) fn retell(explanation: &mut Explanation, error: &Error) {
    if error.phase() != Phase::Handshake {
        return;
    }
    let offer = error.client_offer();
    let told = match error.cause() {
        Cause::Peer(cause) => peer(cause, offer),
        Cause::Network(NetworkCause::TimedOut { limit }) => Some(Told {
            what: format!("the client did not finish its handshake within {limit:?}"),
            evidence: vec![progress(offer)],
            fix: Some(
                "none needed for a few of these: slow clients and scanners cause them".into(),
            ),
            ..Told::default()
        }),
        Cause::Network(NetworkCause::Reset) => Some(Told {
            what: "the client reset the connection during the handshake".into(),
            evidence: vec![progress(offer)],
            fix: Some(LEFT_FIX.into()),
            ..Told::default()
        }),
        _ => None,
    };
    let Some(told) = told else { return };
    if let Some(id) = told.id {
        explanation.id = id;
    }
    // The requested name is evidence here: the failure is about the client, not the name.
    explanation.what = told.what;
    if !told.evidence.is_empty() {
        explanation.evidence = told.evidence;
    }
    // Advice about a chain is for its reader already.
    if !matches!(error.cause(), Cause::Peer(PeerCause::Certificate(_))) {
        explanation.fix = told.fix.into_iter().collect();
    }
    let asked_for = offer.and_then(|offer| offer.server_name.as_deref());
    if let Some(name) = asked_for.or_else(|| error.server_name()) {
        let name = crate::x509::escape_control(name);
        explanation.evidence.push(format!("it asked for {name}"));
    }
}

#[derive(Default)]
struct Told {
    id: Option<&'static str>,
    what: String,
    /// Empty: the evidence is the same on both sides.
    evidence: Vec<String>,
    fix: Option<String>,
}

const LEFT_FIX: &str =
    "see the client's log: a client that rejects the certificate may close without an alert";

fn peer(cause: &PeerCause, offer: Option<&ClientOffer>) -> Option<Told> {
    let told = match cause {
        PeerCause::Alert(alert) => return of_alert(*alert),
        PeerCause::Certificate(error) => Told {
            what: format!("the client's certificate was not accepted: {}", error.cause),
            ..Told::default()
        },
        PeerCause::NotTls { first_bytes } => Told {
            what: match spoken(first_bytes) {
                Some(protocol) => format!("the client speaks {protocol} on this port, not TLS"),
                None => "what the client sent is not TLS".into(),
            },
            evidence: vec![format!("its first bytes: {}", quote_bytes(first_bytes))],
            fix: Some("use https:// in the client, or another port".into()),
            ..Told::default()
        },
        PeerCause::ClosedInHandshake { bytes_received: 0 } => Told {
            what: "the client connected and closed without sending anything: a port scan or a health check"
                .into(),
            fix: Some("none needed".into()),
            ..Told::default()
        },
        PeerCause::ClosedInHandshake { bytes_received } => {
            let told = left("closed", *bytes_received, offer);
            match offer {
                Some(offer) if offer.complete => told,
                _ => Told {
                    id: Some("closed-in-hello"),
                    ..told
                },
            }
        }
        PeerCause::ResetInHandshake { bytes_received } => left("reset", *bytes_received, offer),
        PeerCause::ProtocolVersion { .. } => {
            let versions = offer.map(ClientOffer::version_names).unwrap_or_default();
            Told {
                what: match versions.as_slice() {
                    [] => "the client speaks no TLS version that is allowed here".into(),
                    [one] if one.starts_with("TLS 1.0") || one.starts_with("SSL") => {
                        format!("the client speaks {one} only")
                    }
                    [one] => format!("the client speaks {one} at most"),
                    many => format!("the client speaks {} only", many.join(", ")),
                },
                evidence: offered("versions", versions),
                fix: Some(
                    "use a client that supports TLS 1.2 or 1.3, and check that its version is enabled here; older versions are insecure"
                        .into(),
                ),
                ..Told::default()
            }
        }
        PeerCause::NothingInCommon { what } => {
            let (kind, names) = match *what {
                "cipher suite" => ("cipher suites", offer.map(ClientOffer::cipher_suite_names)),
                "key exchange group" => ("groups", offer.map(ClientOffer::group_names)),
                "signature scheme" => (
                    "signature schemes",
                    offer.map(ClientOffer::signature_scheme_names),
                ),
                _ => ("nothing", None),
            };
            Told {
                what: format!("the client offers no {what} that is allowed here"),
                evidence: offered(kind, names.unwrap_or_default()),
                fix: Some(match *what {
                    "signature scheme" => {
                        "the client cannot verify our certificate's kind of key: serve a certificate with an EC P-256 key, or update the client"
                            .into()
                    }
                    _ => "update the client, or allow more in its configuration".into(),
                }),
                ..Told::default()
            }
        }
        PeerCause::NameUnrecognised => {
            let name = offer.and_then(|offer| offer.server_name.as_deref());
            Told {
                what: match name {
                    Some(name) => format!(
                        "there is no certificate here for the name that the client asks for: {}",
                        crate::x509::escape_control(name)
                    ),
                    None => "the client sent no server name, and there is no certificate for such clients".into(),
                },
                fix: Some(
                    "add a certificate for this name, or a default one; scanners ask for any name".into(),
                ),
                ..Told::default()
            }
        }
        PeerCause::NoApplicationProtocol => Told {
            what: "the client offers no application protocol that is spoken here (ALPN)".into(),
            evidence: offered(
                "protocols",
                offer.map(ClientOffer::alpn_names).unwrap_or_default(),
            ),
            fix: Some("the client expects another service: check the port that it uses".into()),
            ..Told::default()
        },
        PeerCause::ProtocolViolation { what } => Told {
            what: format!(
                "the client violated the TLS protocol: {}",
                crate::x509::escape_control(what)
            ),
            fix: Some("see the client's log: it has a bug, or is a scanner".into()),
            ..Told::default()
        },
        PeerCause::BadRecord => Told {
            what: "a record from the client failed its integrity check: it was changed in transit, or encrypted with other keys"
                .into(),
            fix: Some("try another network: a middlebox that changes traffic causes this".into()),
            ..Told::default()
        },
        _ => return None,
    };
    Some(told)
}

/// Alerts of a client, about our certificate and others.
fn of_alert(alert: Alert) -> Option<Told> {
    let refused = |what: &str, fix: &str| {
        Some(Told {
            id: Some("certificate-refused-by-client"),
            what: what.to_owned(),
            evidence: vec![format!("the client's alert {alert}")],
            fix: Some(fix.to_owned()),
        })
    };
    match alert.name() {
        "unknown_ca" => Some(Told {
            id: Some("issuer-distrusted-by-client"),
            what: "the client does not trust the issuer of our certificate".into(),
            evidence: vec![format!("the client's alert {alert}")],
            fix: Some(
                "give the client the authority's certificate (--cacert FILE); if it has that, serve the \
                 intermediates too"
                    .into(),
            ),
        }),
        "certificate_expired" => refused(
            "the client says that our certificate is expired or not yet valid",
            "renew the certificate; if it is in order, the client's clock is wrong",
        ),
        "certificate_revoked" => refused(
            "the client says that our certificate is revoked",
            "get a new certificate with a new key",
        ),
        "unsupported_certificate" => refused(
            "the client does not support our kind of certificate",
            "check its purpose (serverAuth) and its kind of key",
        ),
        "bad_certificate" | "certificate_unknown" => refused(
            "the client does not accept our certificate",
            "check that it is for the name that the client asked for, in date, and served with its intermediates; browsers send this until the CA is trusted",
        ),
        "decrypt_error" => refused(
            "the client could not verify one of our signatures",
            "check that the certificates of the chain are unchanged copies of those that were issued",
        ),
        "user_canceled" => Some(Told {
            what: "the client cancelled the handshake".into(),
            evidence: vec![format!("the client's alert {alert}")],
            ..Told::default()
        }),
        _ => Some(Told {
            what: format!("the client ended the handshake with the alert {alert}"),
            fix: Some("see the client's log".into()),
            ..Told::default()
        }),
    }
}

fn left(how: &str, bytes_received: u64, offer: Option<&ClientOffer>) -> Told {
    let ended = match how {
        "reset" => "reset the connection",
        _ => "closed the connection",
    };
    let what = match offer {
        None => format!("the client {ended} before it sent a ClientHello"),
        Some(offer) if !offer.complete => {
            format!("the client {ended} in the middle of its ClientHello")
        }
        Some(_) => format!("the client {ended} after our answer, without saying why"),
    };
    let mut evidence = vec![match bytes_received {
        0 => "it sent no bytes".to_owned(),
        count => format!("after {count} bytes from it"),
    }];
    if offer.is_none() && bytes_received > 0 {
        evidence.push("these are not the start of a ClientHello".into());
    }
    Told {
        what,
        evidence,
        fix: Some(match offer {
            Some(offer) if offer.complete => LEFT_FIX.to_owned(),
            _ => "none needed for a few of these: scanners and broken networks cause them".into(),
        }),
        ..Told::default()
    }
}

/// The progress of a client that closed the connection.
fn progress(offer: Option<&ClientOffer>) -> String {
    match offer {
        None => "it sent no ClientHello".into(),
        Some(offer) if !offer.complete => "its ClientHello was incomplete".into(),
        Some(_) => "its ClientHello was answered".into(),
    }
}

fn offered(kind: &str, names: Vec<String>) -> Vec<String> {
    if names.is_empty() {
        return vec![format!("it offered no {kind}")];
    }
    let more = match names.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        count => format!(", and {count} more"),
    };
    let shown: Vec<_> = names.into_iter().take(SHOWN_MAX).collect();
    vec![format!("it offered {kind}: {}{more}", shown.join(", "))]
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::offer::sample::Hello;
    use crate::registry::{GroupId, SuiteId};
    use crate::side::Side;

    /// Each failure for a server, for the comparison with `tests/explanations`.
    pub(in super::super) fn rows() -> Vec<(&'static str, Error)> {
        let offer = |hello: Hello| ClientOffer::parse(&hello.encode());
        let modern = || {
            let mut hello = Hello::of(0x0304);
            hello.alpn = vec!["imap"];
            offer(hello)
        };
        let mut narrow = Hello::of(0x0303);
        narrow.suites = vec![SuiteId(0x002f), SuiteId(0xfefe)];
        narrow.groups = vec![GroupId(21)];
        narrow.schemes = vec![0x0202, 0x9999];
        let narrow = offer(narrow);
        let server = |cause: Cause, offer: Option<ClientOffer>| {
            Error::new(Phase::Handshake, cause).seen_by(Some(Side::Server), offer)
        };
        let alert = |code| PeerCause::Alert(Alert::new(code)).into();
        let nothing = |what| PeerCause::NothingInCommon { what }.into();
        let mut cut = Hello::of(0x0304).encode();
        cut.truncate(120);
        let cut = ClientOffer::parse(&cut);
        let closed = |bytes_received| PeerCause::ClosedInHandshake { bytes_received }.into();
        vec![
            ("issuer-distrusted-by-client", server(alert(48), modern())),
            ("certificate-refused-by-client", server(alert(42), modern())),
            (
                "certificate-refused-by-client.expired",
                server(alert(45), modern()),
            ),
            (
                "certificate-refused-by-client.revoked",
                server(alert(44), modern()),
            ),
            (
                "certificate-refused-by-client.unsupported",
                server(alert(43), modern()),
            ),
            ("alert-received.client", server(alert(80), modern())),
            ("alert-received.cancelled", server(alert(90), modern())),
            ("closed-without-a-byte.client", server(closed(0), None)),
            ("closed-in-hello", server(closed(120), cut.clone())),
            ("closed-in-hello.begun", server(closed(7), None)),
            ("closed-in-handshake.client", server(closed(512), modern())),
            (
                "reset-in-handshake.client",
                server(
                    PeerCause::ResetInHandshake {
                        bytes_received: 512,
                    }
                    .into(),
                    modern(),
                ),
            ),
            (
                "protocol-version.client",
                server(
                    PeerCause::ProtocolVersion { alert: None }.into(),
                    offer(Hello::of(0x0301)),
                ),
            ),
            (
                "protocol-version.client-tls12",
                server(
                    PeerCause::ProtocolVersion { alert: None }.into(),
                    offer(Hello::of(0x0303)),
                ),
            ),
            (
                "no-shared-cipher-suite.client",
                server(nothing("cipher suite"), narrow.clone()),
            ),
            (
                "no-shared-group.client",
                server(nothing("key exchange group"), narrow.clone()),
            ),
            (
                "no-shared-signature-scheme.client",
                server(nothing("signature scheme"), narrow),
            ),
            (
                "no-application-protocol.client",
                server(PeerCause::NoApplicationProtocol.into(), modern()),
            ),
            (
                "not-tls.client",
                server(
                    PeerCause::NotTls {
                        first_bytes: b"GET / HTTP/1.1\r\nHost: shop.example\r\n".to_vec(),
                    }
                    .into(),
                    None,
                ),
            ),
            (
                "timed-out.client",
                server(
                    NetworkCause::TimedOut {
                        limit: Duration::from_secs(15),
                    }
                    .into(),
                    cut,
                ),
            ),
            (
                "protocol-violation.client",
                server(
                    PeerCause::ProtocolViolation {
                        what: "missing key share".into(),
                    }
                    .into(),
                    modern(),
                ),
            ),
            (
                "bad-record.client",
                server(PeerCause::BadRecord.into(), modern()),
            ),
        ]
    }
}
