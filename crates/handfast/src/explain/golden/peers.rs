//! Peers that do not speak TLS, or not for long; proxies, and the network in between.

use std::io;
use std::time::Duration;

use super::{Row, handshake, io_error};
use crate::error::{Alert, Error, LocalCause, NetworkCause, PeerCause, Phase};
use crate::proxy::{ProxyError, ProxyProblem, Target};
use crate::starttls::{StartTls, StartTlsError, StartTlsProblem};

pub(super) fn strangers() -> Vec<Row> {
    let not_tls = |bytes: &[u8]| {
        handshake(PeerCause::NotTls {
            first_bytes: bytes.to_vec(),
        })
    };
    let starttls = |problem| {
        Error::from(StartTlsError {
            protocol: StartTls::Smtp,
            problem,
        })
        .with_server_name("mail.example")
    };
    let answer = || b"454 4.7.0 TLS not available\r\n".to_vec();
    let awaited = "the answer to STARTTLS";
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
                message: "Certificate",
                limit: 0xffff,
            }),
        ),
        (
            "message-too-large",
            handshake(PeerCause::MessageTooLarge {
                message: "CertificateRequest",
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
            "client-certificate-missing",
            Error::new(Phase::Handshake, PeerCause::ClientCertificateMissing),
        ),
        (
            "starttls-not-offered",
            starttls(StartTlsProblem::NotOffered {
                offered: b"250-mail\r\n250 SIZE\r\n".to_vec(),
            }),
        ),
        (
            "starttls-refused",
            starttls(StartTlsProblem::Refused { answer: answer() }),
        ),
        (
            "starttls-client-refused",
            starttls(StartTlsProblem::ClientRefused {
                answer: b"554 5.7.1 blocked by policy\r\n".to_vec(),
            }),
        ),
        (
            "starttls-unexpected-answer",
            starttls(StartTlsProblem::Unexpected {
                awaited,
                answer: answer(),
            }),
        ),
        (
            "starttls-injection",
            starttls(StartTlsProblem::Injected {
                bytes: b"250 OK\r\n".to_vec(),
            }),
        ),
        (
            "starttls-ended",
            starttls(StartTlsProblem::Ended { awaited }),
        ),
        (
            "starttls-already-tls",
            starttls(StartTlsProblem::AlreadyTls),
        ),
    ]
}

pub(super) fn networks() -> Vec<Row> {
    let connect = |cause| Error::new(Phase::Connect, cause).with_server_name("shop.example");
    let addresses = || {
        vec![
            "192.0.2.7:443".parse().unwrap(),
            "[2001:db8::7]:443".parse().unwrap(),
        ]
    };
    let proxy = |problem| {
        connect(NetworkCause::Proxy(Box::new(ProxyError {
            target: Target::new("proxy.example:3128", "shop.example", 443),
            problem,
        })))
    };
    vec![
        (
            "name-not-resolved",
            Error::new(
                Phase::Resolve,
                NetworkCause::NotResolved {
                    host: "shop.exmaple".to_owned(),
                    source: io::Error::other("Name or service not known"),
                },
            ),
        ),
        (
            "connection-refused",
            connect(NetworkCause::Refused {
                addresses: addresses(),
            }),
        ),
        (
            "unreachable",
            connect(NetworkCause::Unreachable {
                addresses: addresses(),
                source: io_error(io::ErrorKind::NetworkUnreachable),
            }),
        ),
        (
            "timed-out",
            handshake(NetworkCause::TimedOut {
                limit: Duration::from_secs(10),
            }),
        ),
        (
            "timed-out.connect",
            connect(NetworkCause::TimedOut {
                limit: Duration::from_millis(2500),
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
        ("proxy-not-resolved", proxy(ProxyProblem::NotResolved)),
        (
            "proxy-unreachable",
            proxy(ProxyProblem::Unreachable {
                why: "the connection was refused".to_owned(),
            }),
        ),
        (
            "proxy-authentication-required",
            proxy(ProxyProblem::AuthenticationRequired {
                schemes: vec!["Basic".to_owned(), "Negotiate".to_owned()],
                was_sent: false,
            }),
        ),
        (
            "proxy-authentication-required.sent",
            proxy(ProxyProblem::AuthenticationRequired {
                schemes: vec!["Negotiate".to_owned()],
                was_sent: true,
            }),
        ),
        (
            "proxy-refused",
            proxy(ProxyProblem::Refused {
                status: 403,
                reason: "Forbidden\u{1b}[2J".to_owned(),
                body: b"<h1>Blocked by policy 7</h1>\r\n".to_vec(),
            }),
        ),
        (
            "proxy-refused.gateway",
            proxy(ProxyProblem::Refused {
                status: 502,
                reason: String::new(),
                body: Vec::new(),
            }),
        ),
        (
            "proxy-not-http",
            proxy(ProxyProblem::NotHttp {
                first_bytes: b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(),
            }),
        ),
        ("proxy-ended", proxy(ProxyProblem::Ended)),
        (
            "no-randomness",
            Error::new(Phase::Configure, LocalCause::RandomUnavailable),
        ),
        (
            "too-many-open-files",
            Error::new(
                Phase::Connect,
                LocalCause::DescriptorsUsedUp {
                    source: io::Error::from_raw_os_error(24),
                },
            ),
        ),
        (
            "local-ports-used-up",
            Error::new(
                Phase::Connect,
                LocalCause::PortsUsedUp {
                    address: "192.0.2.7:443".parse().unwrap(),
                },
            ),
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
