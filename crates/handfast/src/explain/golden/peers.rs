//! Peers that do not speak TLS, protocol errors, and the network.

use std::io;
use std::time::Duration;

use super::row::{Row, handshake, io_error};
use crate::alert::Alert;
use crate::error::{Error, LocalCause, LongMessage, Negotiated, NetworkCause, PeerCause};
use crate::phase::Phase;

pub(super) fn strangers() -> Vec<Row> {
    let not_tls = |bytes: &[u8]| {
        handshake(PeerCause::NotTls {
            first_bytes: bytes.to_vec(),
        })
    };
    let issuers = || {
        vec![vec![
            0x30, 0x0f, 0x31, 0x0d, 0x30, 0x0b, 0x06, 3, 0x55, 4, 3, 0x0c, 4, b'S', b't', b'a',
            b'f',
        ]]
    };
    vec![
        ("not-tls", not_tls(b"\x1b[2J\0\xff what is this")),
        (
            "not-tls.http",
            not_tls(b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n"),
        ),
        (
            "not-tls.smtp",
            not_tls(b"220 mail.example ESMTP Postfix\r\n"),
        ),
        ("not-tls.ssh", not_tls(b"SSH-2.0-OpenSSH_9.2\r\n")),
        (
            "captive-portal",
            not_tls(b"HTTP/1.1 302 Found\r\nLocation: http://login.hotel.example/\r\n\r\n"),
        ),
        (
            "closed-without-a-byte",
            handshake(PeerCause::ClosedInHandshake { bytes_received: 0 }),
        ),
        (
            "closed-in-handshake",
            handshake(PeerCause::ClosedInHandshake {
                bytes_received: 1234,
            }),
        ),
        (
            "reset-in-handshake",
            handshake(PeerCause::ResetInHandshake {
                bytes_received: 1234,
            }),
        ),
        (
            "premature-end",
            Error::new(
                Phase::Response,
                PeerCause::PrematureEnd {
                    bytes_received: 4321,
                },
            )
            .with_server_name("shop.example"),
        ),
        (
            "protocol-violation",
            handshake(PeerCause::ProtocolViolation {
                what: "missing key share".to_owned(),
            }),
        ),
        ("bad-record", handshake(PeerCause::BadRecord)),
        (
            "chain-too-large.message",
            handshake(PeerCause::MessageTooLarge {
                message: LongMessage::Certificate,
                limit: 0xffff,
            }),
        ),
        (
            "message-too-large",
            handshake(PeerCause::MessageTooLarge {
                message: LongMessage::CertificateRequest,
                limit: 0xffff,
            }),
        ),
        (
            "renegotiation-refused",
            Error::new(
                Phase::Response,
                PeerCause::RenegotiationRefused {
                    alert: Some(Alert::new(40)),
                },
            )
            .with_server_name("shop.example"),
        ),
        (
            "client-certificate-required",
            handshake(PeerCause::ClientCertificateRequired {
                alert: Alert::new(116),
                acceptable_issuers: issuers(),
            }),
        ),
        (
            "client-certificate-refused",
            handshake(PeerCause::ClientCertificateRefused {
                alert: Alert::new(48),
            }),
        ),
        (
            "client-certificate-refused.damaged",
            handshake(PeerCause::ClientCertificateRefused {
                alert: Alert::new(42),
            }),
        ),
        (
            "client-certificate-refused.unsupported",
            handshake(PeerCause::ClientCertificateRefused {
                alert: Alert::new(43),
            }),
        ),
        (
            "client-certificate-refused.revoked",
            handshake(PeerCause::ClientCertificateRefused {
                alert: Alert::new(44),
            }),
        ),
        (
            "client-certificate-refused.expired",
            handshake(PeerCause::ClientCertificateRefused {
                alert: Alert::new(45),
            }),
        ),
        (
            "client-certificate-refused.denied",
            handshake(PeerCause::ClientCertificateRefused {
                alert: Alert::new(49),
            }),
        ),
        (
            "client-certificate-refused.other-key",
            handshake(PeerCause::ClientCertificateRefused {
                alert: Alert::new(51),
            }),
        ),
        (
            "client-certificate-refused.unsaid",
            handshake(PeerCause::ClientCertificateRefused {
                alert: Alert::new(46),
            }),
        ),
        (
            "client-certificate-missing",
            Error::new(Phase::Handshake, PeerCause::ClientCertificateMissing),
        ),
    ]
}

/// No common parameters.
pub(super) fn offers() -> Vec<Row> {
    let lacking = |what| handshake(PeerCause::NothingInCommon { what });
    vec![
        (
            "protocol-version",
            handshake(PeerCause::ProtocolVersion {
                alert: None,
                theirs: None,
            }),
        ),
        ("no-shared-cipher-suite", lacking(Negotiated::CipherSuite)),
        ("no-shared-group", lacking(Negotiated::KeyExchangeGroup)),
        (
            "no-shared-signature-scheme",
            lacking(Negotiated::SignatureScheme),
        ),
        (
            "alert-received",
            handshake(PeerCause::Alert(Alert::new(80))),
        ),
        (
            "alert-received.unknown",
            handshake(PeerCause::Alert(Alert::new(200))),
        ),
        (
            "ech-rejected",
            handshake(PeerCause::EchRejected {
                retry_configs: None,
            }),
        ),
        (
            "ech-rejected.retry",
            handshake(PeerCause::EchRejected {
                retry_configs: Some(vec![0, 0]),
            }),
        ),
        ("name-unrecognised", handshake(PeerCause::NameUnrecognised)),
        (
            "name-needed",
            handshake(PeerCause::NameUnrecognised).with_server_name("192.0.2.7"),
        ),
        (
            "no-application-protocol",
            handshake(PeerCause::NoApplicationProtocol),
        ),
    ]
}

pub(super) fn networks() -> Vec<Row> {
    let connect = |cause| Error::new(Phase::Connect, cause).with_server_name("shop.example");
    vec![
        (
            "timed-out",
            handshake(NetworkCause::TimedOut {
                limit: Duration::from_secs(10),
            }),
        ),
        (
            "reset",
            Error::new(Phase::Response, NetworkCause::Reset).with_server_name("shop.example"),
        ),
        (
            "transport-error",
            connect(NetworkCause::Io(io_error(io::ErrorKind::PermissionDenied))),
        ),
        (
            "no-randomness",
            Error::new(Phase::Configure, LocalCause::RandomUnavailable),
        ),
        (
            "used-after-end",
            Error::new(Phase::Request, LocalCause::AfterEnd),
        ),
        (
            "key-worn-out",
            Error::new(Phase::Request, LocalCause::KeyWornOut),
        ),
        (
            "signing-failed",
            Error::new(
                Phase::Handshake,
                LocalCause::SigningFailed("the token is locked".to_owned()),
            ),
        ),
        (
            "server-stopping",
            Error::new(Phase::Handshake, LocalCause::Stopping),
        ),
        (
            "unrecognised",
            handshake(LocalCause::Unrecognised {
                said: "an error of tomorrow".to_owned(),
                first_bytes: b"\x16\x03\x03\0\x05hello".to_vec(),
            }),
        ),
        (
            "internal",
            Error::new(
                Phase::Handshake,
                LocalCause::Internal("two states at once".to_owned()),
            ),
        ),
    ]
}
