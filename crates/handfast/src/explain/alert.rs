//! Alerts that the peer ended with: what a client thinks of our certificate only a server is told.

use super::text::{Seen, Text};
use crate::alert::Alert;

pub(super) fn explain(alert: Alert, seen: &Seen<'_>) -> Text {
    if seen.by_server() {
        return of_client(alert);
    }
    Text::new(
        "alert-received",
        format!("the peer ended the connection with the alert {alert}"),
    )
    .fix(match alert {
        Alert::UNKNOWN_CA => "give the peer the CA's certificate: it does not trust our issuer",
        Alert::CERTIFICATE_EXPIRED => "renew our certificate: the peer says that it is expired",
        Alert::CERTIFICATE_UNKNOWN | Alert::BAD_CERTIFICATE | Alert::UNSUPPORTED_CERTIFICATE => {
            "the peer does not accept our certificate: see the peer's log"
        }
        Alert::CERTIFICATE_REVOKED => {
            "get a new certificate: the peer says that ours is revoked"
        }
        Alert::INSUFFICIENT_SECURITY => "allow stronger cipher suites: the peer requires them",
        Alert::INTERNAL_ERROR => "see the peer's log: the failure is internal to it",
        Alert::HANDSHAKE_FAILURE => {
            "see the peer's log: usually no common version, cipher suite or group, or a missing certificate"
        }
        _ => "see the peer's log",
    })
}

fn of_client(alert: Alert) -> Text {
    const REFUSED: &str = "certificate-refused-by-client";
    let evidence = [format!("the client's alert {alert}")];
    let (id, what, fix) = match alert {
        Alert::UNKNOWN_CA => (
            "issuer-distrusted-by-client",
            "the client does not trust the issuer of our certificate",
            "serve the intermediates, too; if they are served, give the client the authority's certificate",
        ),
        Alert::CERTIFICATE_EXPIRED => (
            REFUSED,
            "the client says that our certificate is expired or not yet valid",
            "renew the certificate; if it is in order, the client's clock is wrong",
        ),
        Alert::CERTIFICATE_REVOKED => (
            REFUSED,
            "the client says that our certificate is revoked",
            "get a new certificate with a new key",
        ),
        Alert::UNSUPPORTED_CERTIFICATE => (
            REFUSED,
            "the client does not support our kind of certificate",
            "check its purpose (serverAuth) and its kind of key",
        ),
        Alert::BAD_CERTIFICATE | Alert::CERTIFICATE_UNKNOWN => (
            REFUSED,
            "the client does not accept our certificate",
            "check that it is for the name that the client asked for, in date, and served with its intermediates; browsers send this until the CA is trusted",
        ),
        Alert::DECRYPT_ERROR => (
            REFUSED,
            "the client could not verify one of our signatures",
            "check that the certificates of the chain are unchanged copies of those that were issued",
        ),
        Alert::USER_CANCELED => {
            return Text::of_client("alert-received", "the client cancelled the handshake")
                .evidence(evidence);
        }
        _ => {
            return Text::of_client(
                "alert-received",
                format!("the client ended the handshake with the alert {alert}"),
            )
            .fix("see the client's log");
        }
    };
    Text::of_client(id, what).evidence(evidence).fix(fix)
}
