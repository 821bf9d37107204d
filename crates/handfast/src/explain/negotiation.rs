//! What two ends do not have in common: on a server, with what the client offered.

use super::text::{Seen, Text};
use crate::alert::Alert;
use crate::error::Negotiated;
use crate::offer::ClientOffer;

/// Names shown of a list.
const SHOWN_MAX: usize = 8;

pub(super) fn version(alert: Option<Alert>, seen: &Seen<'_>) -> Text {
    const ID: &str = "protocol-version";
    if !seen.by_server() {
        return Text::new(ID, "client and server have no TLS version in common")
            .evidence(alert.map(|alert| format!("the peer's alert {alert}")))
            .fix("enable TLS 1.2 or 1.3 on the peer; older versions are insecure");
    }
    let versions = seen
        .offer
        .map(ClientOffer::version_names)
        .unwrap_or_default();
    let is_oldest = seen
        .offer
        .is_some_and(|offer| offer.versions().iter().all(|version| *version <= TLS10));
    let what = match versions.as_slice() {
        [] => "the client speaks no TLS version that is allowed here".to_owned(),
        [one] if is_oldest => format!("the client speaks {one} only"),
        [one] => format!("the client speaks {one} at most"),
        many => format!("the client speaks {} only", many.join(", ")),
    };
    Text::of_client(ID, what)
        .evidence([offered("versions", versions)])
        .fix(
            "use a client that supports TLS 1.2 or 1.3, and check that its version is enabled here; older versions are insecure",
        )
}

/// TLS 1.0 on the wire. Below it there is SSL.
const TLS10: u16 = 0x0301;

pub(super) fn nothing_in_common(what: Negotiated, seen: &Seen<'_>) -> Text {
    let id = match what {
        Negotiated::CipherSuite => "no-shared-cipher-suite",
        Negotiated::KeyExchangeGroup => "no-shared-group",
        Negotiated::SignatureScheme => "no-shared-signature-scheme",
    };
    if !seen.by_server() {
        return Text::new(id, format!("client and server have no {what} in common")).fix(match what {
            Negotiated::CipherSuite => {
                "allow a current cipher suite on the peer, such as TLS_AES_128_GCM_SHA256"
            }
            Negotiated::KeyExchangeGroup => {
                "allow a common group on the peer, such as x25519 or secp256r1"
            }
            Negotiated::SignatureScheme => {
                "have its certificate issued for a supported key: EC P-256, Ed25519, or RSA with 2048 bits"
            }
        });
    }
    let (kind, names) = match what {
        Negotiated::CipherSuite => (
            "cipher suites",
            seen.offer.map(ClientOffer::cipher_suite_names),
        ),
        Negotiated::KeyExchangeGroup => ("groups", seen.offer.map(ClientOffer::group_names)),
        Negotiated::SignatureScheme => (
            "signature schemes",
            seen.offer.map(ClientOffer::signature_scheme_names),
        ),
    };
    Text::of_client(id, format!("the client offers no {what} that is allowed here"))
        .evidence([offered(kind, names.unwrap_or_default())])
        .fix(match what {
            Negotiated::SignatureScheme => {
                "the client cannot verify our certificate's kind of key: serve a certificate with an EC P-256 key, or update the client"
            }
            Negotiated::CipherSuite | Negotiated::KeyExchangeGroup => {
                "update the client, or allow more in its configuration"
            }
        })
}

pub(super) fn application_protocol(seen: &Seen<'_>) -> Text {
    const ID: &str = "no-application-protocol";
    if !seen.by_server() {
        return Text::new(
            ID,
            "the peer speaks none of the application protocols offered (ALPN)",
        )
        .fix("offer a protocol that the server speaks, or none");
    }
    let names = seen.offer.map(ClientOffer::alpn_names).unwrap_or_default();
    Text::of_client(
        ID,
        "the client offers no application protocol that is spoken here (ALPN)",
    )
    .evidence([offered("protocols", names)])
    .fix("the client expects another service: check the port that it uses")
}

fn offered(kind: &str, names: Vec<String>) -> String {
    if names.is_empty() {
        return format!("it offered no {kind}");
    }
    let more = match names.len().saturating_sub(SHOWN_MAX) {
        0 => String::new(),
        count => format!(", and {count} more"),
    };
    let shown: Vec<_> = names.into_iter().take(SHOWN_MAX).collect();
    format!("it offered {kind}: {}{more}", shown.join(", "))
}
