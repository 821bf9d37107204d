//! Maps errors of rustls to causes.
//!
//! The meaning of an error also depends on the connection's state (its side, a request
//! for a client certificate, the verifier's evidence).

use rustls::{
    AlertDescription, Error as TlsError, InvalidMessage, PeerIncompatible, PeerMisbehaved,
};

use crate::alert::Alert;
use crate::error::{Cause, LocalCause, LongMessage, Negotiated, PeerCause};
use crate::facts::Facts;
use crate::identity::SigningFailed;
use crate::offer::ClientOffer;
use crate::side::Side;
use crate::tls;
use crate::verify::VerifyError;
use crate::wire::Reader;

/// How many first bytes of an unknown failure are kept as evidence.
const FIRST_BYTES_MAX: usize = 256;

/// The longest handshake message that rustls accepts, and `connection/records.rs` after it.
pub(crate) const HANDSHAKE_MESSAGE_MAX: usize = 0xffff;

/// Messages of rustls for errors without a variant: a TLS 1.2 server finds no scheme
/// of the client for its key;
const INCOMPATIBLE_KEY: &str = "incompatible signing key";
/// none of the server's identities is for the name that it asks for;
const NO_IDENTITY: &str = "no server certificate chain resolved";
/// and no secret can be encapsulated for a key share of ML-KEM.
const UNUSABLE_KEY_SHARE: &str = "encaps failed";

/// TLS 1.2 on the wire: the oldest supported version.
const TLS12: u16 = 0x0303;

/// The cause for an error of rustls.
pub(crate) fn cause(error: TlsError, facts: &mut Facts, after_handshake: bool) -> Cause {
    if let Some(failure) = facts.failure.take() {
        return PeerCause::Certificate(failure).into();
    }
    match error {
        TlsError::AlertReceived(alert) => {
            let code = Alert::new(alert.into());
            facts.alert_received = Some(code);
            if facts.renegotiation_refused {
                return PeerCause::RenegotiationRefused { alert: Some(code) }.into();
            }
            alert_received(alert, facts, after_handshake).into()
        }
        TlsError::NoCertificatesPresented if facts.side == Some(Side::Client) => {
            let name = facts.server_name.clone();
            PeerCause::Certificate(Box::new(VerifyError::no_server_certificate(name))).into()
        }
        TlsError::NoCertificatesPresented => PeerCause::ClientCertificateMissing.into(),
        TlsError::PeerIncompatible(why) => incompatible(why).into(),
        TlsError::NoApplicationProtocol => PeerCause::NoApplicationProtocol.into(),
        TlsError::DecryptError => PeerCause::BadRecord.into(),
        TlsError::PeerSentOversizedRecord => violation("a record longer than TLS allows"),
        TlsError::InvalidMessage(
            InvalidMessage::HandshakePayloadTooLarge | InvalidMessage::CertificatePayloadTooLarge,
        ) => match facts.message_too_large {
            // Not a type that may be long: probably not a message.
            None => violation("a handshake message of more than 64 KiB"),
            Some(message) => PeerCause::MessageTooLarge {
                message,
                limit: HANDSHAKE_MESSAGE_MAX,
            }
            .into(),
        },
        TlsError::PeerMisbehaved(PeerMisbehaved::TooManyRenegotiationRequests) => {
            PeerCause::RenegotiationRefused { alert: None }.into()
        }
        TlsError::InvalidMessage(what) => violation(&words(&format!("{what:?}"))),
        TlsError::PeerMisbehaved(what) => violation(&words(&format!("{what:?}"))),
        TlsError::InappropriateMessage { got_type, .. } => {
            violation(&format!("an unexpected message of type {got_type:?}"))
        }
        TlsError::InappropriateHandshakeMessage { got_type, .. } => {
            violation(&format!("an unexpected handshake message {got_type:?}"))
        }
        // The chain is valid, but the handshake's signature is not by its key.
        TlsError::InvalidCertificate(_) => violation("an invalid handshake signature"),
        TlsError::FailedToGetRandomBytes => LocalCause::RandomUnavailable.into(),
        TlsError::General(said) if said == INCOMPATIBLE_KEY => PeerCause::NothingInCommon {
            what: Negotiated::SignatureScheme,
        }
        .into(),
        TlsError::General(said) if said == NO_IDENTITY => PeerCause::NameUnrecognised.into(),
        TlsError::General(said) if said == UNUSABLE_KEY_SHARE => {
            violation("a key share that is not a public key")
        }
        TlsError::Other(other) if other.0.is::<SigningFailed>() => {
            LocalCause::SigningFailed(other.to_string()).into()
        }
        other => LocalCause::Unrecognised {
            said: other.to_string(),
            first_bytes: facts
                .first_bytes
                .iter()
                .copied()
                .take(FIRST_BYTES_MAX)
                .collect(),
        }
        .into(),
    }
}

/// The first message that is longer than accepted, in records that rustls has decrypted in place.
/// `None` if none is found, such as when it does not begin in the first record.
pub(crate) fn message_too_large(records: &[u8]) -> Option<LongMessage> {
    let mut reader = Reader::new(records);
    let mut find = || {
        reader.u8().filter(|kind| matches!(kind, 22 | 23))?;
        reader.u16()?; // version
        let (mut messages, _) = reader.vector_so_far::<2>()?;
        loop {
            let kind = messages.u8()?;
            let length = messages.number(3)?;
            if length > HANDSHAKE_MESSAGE_MAX {
                return Some(kind);
            }
            messages.take(length)?;
        }
    };
    match find() {
        Some(11 | 25) => Some(LongMessage::Certificate),
        Some(13) => Some(LongMessage::CertificateRequest),
        Some(4) => Some(LongMessage::NewSessionTicket),
        _ => None,
    }
}

/// The cause for a refused offer of a client, from the offer. rustls reports the first missing parameter
/// in a fixed order: for an old client, signature schemes;
/// for a client whose suites need no groups, groups.
pub(crate) fn reconsidered(cause: Cause, offer: &ClientOffer) -> Cause {
    let Cause::Peer(peer) = &cause else {
        return cause;
    };
    let of_negotiation = matches!(
        peer,
        PeerCause::NothingInCommon { .. } | PeerCause::ProtocolViolation { .. }
    );
    if of_negotiation && offer.complete && offer.versions().iter().all(|version| *version < TLS12) {
        return PeerCause::ProtocolVersion {
            alert: None,
            theirs: None,
        }
        .into();
    }
    let without_groups =
        offer.complete && !offer.cipher_suites.iter().any(|suite| suite.has_group());
    match peer {
        PeerCause::NothingInCommon {
            what: Negotiated::KeyExchangeGroup,
        } if without_groups => PeerCause::NothingInCommon {
            what: Negotiated::CipherSuite,
        }
        .into(),
        _ => cause,
    }
}

/// The alert for this error (RFC 8446, section 6.2). Every error has one, except those that are
/// an alert of the peer.
pub(crate) fn alert_for(error: &TlsError) -> Option<Alert> {
    use AlertDescription as A;
    let alert = match error {
        TlsError::AlertReceived(_) => return None,
        TlsError::InvalidCertificate(error) => A::from(error.clone()),
        TlsError::NoCertificatesPresented => A::CertificateRequired,
        TlsError::DecryptError => A::BadRecordMac,
        TlsError::PeerSentOversizedRecord => A::RecordOverflow,
        // RFC 8446, section 5.
        TlsError::InvalidMessage(InvalidMessage::InvalidContentType) => A::UnexpectedMessage,
        TlsError::InvalidMessage(error) => A::from(*error),
        TlsError::PeerMisbehaved(
            PeerMisbehaved::IllegalMiddleboxChangeCipherSpec
            | PeerMisbehaved::IllegalTlsInnerPlaintext
            | PeerMisbehaved::KeyEpochWithPendingFragment
            | PeerMisbehaved::MessageInterleavedWithHandshakeMessage
            | PeerMisbehaved::RejectedEarlyDataInterleavedWithHandshakeMessage
            // Each was valid: one more was not.
            | PeerMisbehaved::TooManyEmptyFragments
            | PeerMisbehaved::TooManyKeyUpdateRequests
            | PeerMisbehaved::TooManyRenegotiationRequests
            | PeerMisbehaved::TooManyWarningAlertsReceived,
        )
        | TlsError::InappropriateMessage { .. }
        | TlsError::InappropriateHandshakeMessage { .. } => A::UnexpectedMessage,
        TlsError::PeerMisbehaved(_) => A::IllegalParameter,
        TlsError::PeerIncompatible(PeerIncompatible::ServerRejectedEncryptedClientHello(_)) => {
            A::EncryptedClientHelloRequired
        }
        TlsError::PeerIncompatible(_) => A::HandshakeFailure,
        TlsError::General(said) if said == INCOMPATIBLE_KEY => A::HandshakeFailure,
        TlsError::NoApplicationProtocol => A::NoApplicationProtocol,
        // Not an error of the peer.
        _ => A::InternalError,
    };
    Some(Alert::new(alert.into()))
}

fn violation(what: &str) -> Cause {
    PeerCause::ProtocolViolation {
        what: what.to_owned(),
    }
    .into()
}

fn alert_received(alert: AlertDescription, facts: &Facts, after_handshake: bool) -> PeerCause {
    use AlertDescription as A;
    let code = Alert::new(u8::from(alert));
    let asked = facts.side == Some(Side::Client) && facts.certificate_request.is_some();
    let none_sent = asked && !facts.client_certificate_sent;
    match alert {
        // Some peers end a handshake by close_notify.
        A::CloseNotify if !after_handshake => PeerCause::ClosedInHandshake {
            bytes_received: facts.bytes_received,
        },
        A::CertificateRequired => required(code, facts),
        // TLS 1.2 has no alert for it; servers use these after an empty Certificate message.
        A::HandshakeFailure | A::BadCertificate | A::AccessDenied | A::NoCertificate
            if none_sent =>
        {
            required(code, facts)
        }
        A::BadCertificate
        | A::UnsupportedCertificate
        | A::CertificateRevoked
        | A::CertificateExpired
        | A::CertificateUnknown
        | A::UnknownCA
        | A::AccessDenied
        | A::DecryptError
            if asked && facts.client_certificate_sent =>
        {
            PeerCause::ClientCertificateRefused { alert: code }
        }
        A::ProtocolVersion if !after_handshake => PeerCause::ProtocolVersion {
            alert: Some(code),
            theirs: None,
        },
        A::NoApplicationProtocol => PeerCause::NoApplicationProtocol,
        A::UnrecognisedName => PeerCause::NameUnrecognised,
        _ => PeerCause::Alert(code),
    }
}

fn required(alert: Alert, facts: &Facts) -> PeerCause {
    let acceptable_issuers = facts.certificate_request.clone().unwrap_or_default();
    PeerCause::ClientCertificateRequired {
        alert,
        acceptable_issuers,
    }
}

fn incompatible(why: PeerIncompatible) -> PeerCause {
    use PeerIncompatible as P;
    match why {
        P::ServerDoesNotSupportTls12Or13
        | P::ServerTlsVersionIsDisabledByOurConfig
        | P::SupportedVersionsExtensionRequired
        | P::Tls12NotOffered
        | P::Tls12NotOfferedOrEnabled => PeerCause::ProtocolVersion {
            alert: None,
            theirs: None,
        },
        P::ServerRejectedEncryptedClientHello(configs) => PeerCause::EchRejected {
            retry_configs: configs.map(|configs| tls::ech_config_list(&configs)),
        },
        P::NoCipherSuitesInCommon => PeerCause::NothingInCommon {
            what: Negotiated::CipherSuite,
        },
        P::NoKxGroupsInCommon => PeerCause::NothingInCommon {
            what: Negotiated::KeyExchangeGroup,
        },
        P::NoSignatureSchemesInCommon | P::NoCertificateRequestSignatureSchemesInCommon => {
            PeerCause::NothingInCommon {
                what: Negotiated::SignatureScheme,
            }
        }
        other => PeerCause::ProtocolViolation {
            what: words(&format!("{other:?}")),
        },
    }
}

/// `MissingKeyShare` -> `missing key share`: a variant's name as words.
fn words(name: &str) -> String {
    let mut text = String::with_capacity(name.len() + 8);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            if text.ends_with(|last: char| last.is_ascii_lowercase() || last.is_ascii_digit()) {
                text.push(' ');
            }
            text.push(c.to_ascii_lowercase());
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(requested: bool, sent: bool) -> Facts {
        Facts {
            side: Some(Side::Client),
            certificate_request: requested.then(Vec::new),
            client_certificate_sent: sent,
            ..Facts::default()
        }
    }

    #[test]
    fn the_meaning_of_an_alert_depends_on_the_handshake() {
        use AlertDescription as A;
        let name = |alert, facts: &Facts| match alert_received(alert, facts, false) {
            PeerCause::ClientCertificateRequired { .. } => "required",
            PeerCause::ClientCertificateRefused { .. } => "refused",
            PeerCause::ProtocolVersion { .. } => "version",
            PeerCause::NoApplicationProtocol => "alpn",
            PeerCause::NameUnrecognised => "name",
            PeerCause::Alert(_) => "alert",
            _ => "other",
        };
        for (alert, requested, sent, expected) in [
            (A::CertificateRequired, true, false, "required"),
            (A::HandshakeFailure, true, false, "required"),
            (A::HandshakeFailure, false, false, "alert"),
            (A::HandshakeFailure, true, true, "alert"),
            (A::UnknownCA, true, true, "refused"),
            (A::UnknownCA, false, false, "alert"),
            (A::CertificateRevoked, true, true, "refused"),
            (A::ProtocolVersion, false, false, "version"),
            (A::NoApplicationProtocol, false, false, "alpn"),
            (A::UnrecognisedName, false, false, "name"),
            (A::InternalError, true, true, "alert"),
        ] {
            assert_eq!(name(alert, &client(requested, sent)), expected, "{alert:?}");
        }
    }

    #[test]
    fn unknown_errors_are_unrecognised_with_evidence() {
        for error in [
            TlsError::General("a message from elsewhere".into()),
            TlsError::FailedToGetCurrentTime,
            TlsError::EncryptError,
            TlsError::UnsupportedNameType,
        ] {
            let mut facts = Facts {
                first_bytes: b"\x16\x03\x03".to_vec(),
                ..client(false, false)
            };
            let said = error.to_string();
            let cause = cause(error, &mut facts, false);
            let told = crate::Error::new(crate::Phase::Handshake, cause).explain();
            assert_eq!(told.id, "unrecognised");
            assert!(told.what.contains(&said), "{told}");
            assert!(told.to_string().contains("\\x16\\x03\\x03"), "{told}");
        }
    }

    #[test]
    fn names_become_words() {
        assert_eq!(words("MissingKeyShare"), "missing key share");
        assert_eq!(words("InvalidCcs"), "invalid ccs");
        assert_eq!(
            words("SelectedTls12UsingTls13VersionExtension"),
            "selected tls12 using tls13 version extension"
        );
    }
}
