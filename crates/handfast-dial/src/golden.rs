//! Every explanation as printed, compared with the files in `tests/explanations`.

use std::io;
use std::path::Path;
use std::time::Duration;

use handfast::Phase;
use handfast_testbed::golden;

use crate::error::{Cause, Error};
use crate::local::LocalEnd;
use crate::proxy::{ProxyError, ProxyProblem, Target};
use crate::starttls::{StartTls, StartTlsError, StartTlsProblem};

/// The limit on an explanation's length.
const LINES_MAX: usize = 6;

/// A file name (the id, perhaps with a variant behind a dot) and the error.
type Row = (&'static str, Error);

fn servers() -> Vec<Row> {
    let starttls = |problem| {
        Error::from(StartTlsError {
            protocol: StartTls::Smtp,
            problem,
        })
        .with_server_name("mail.example")
    };
    let answer = || b"454 4.7.0 TLS not available\r\n".to_vec();
    let awaited = "the answer to STARTTLS";
    vec![
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

fn networks() -> Vec<Row> {
    let configure = |cause| Error::new(Phase::Configure, cause);
    let connect = |cause| Error::new(Phase::Connect, cause).with_server_name("shop.example");
    let addresses = || {
        vec![
            "192.0.2.7:443".parse().unwrap(),
            "[2001:db8::7]:443".parse().unwrap(),
        ]
    };
    let proxy = |problem| {
        connect(Cause::Proxy(Box::new(ProxyError {
            target: Target::new("proxy.example:3128", "shop.example", 443),
            problem,
        })))
    };
    vec![
        (
            "invalid-address",
            configure(Cause::Address {
                text: "shop.example:https".to_owned(),
            }),
        ),
        (
            "invalid-server-name",
            crate::address::refuse_number("8443").unwrap_err(),
        ),
        (
            "name-not-resolved",
            Error::new(
                Phase::Resolve,
                Cause::NotResolved {
                    host: "shop.exmaple".to_owned(),
                    source: io::Error::other("Name or service not known"),
                },
            ),
        ),
        (
            "connection-refused",
            connect(Cause::Refused {
                addresses: addresses(),
            }),
        ),
        (
            "unreachable",
            connect(Cause::Unreachable {
                addresses: addresses(),
                source: io::Error::from_raw_os_error(101),
            }),
        ),
        (
            "timed-out.connect",
            connect(Cause::TimedOut {
                limit: Duration::from_millis(2500),
            }),
        ),
        (
            "transport-error",
            connect(Cause::Io(io::Error::from_raw_os_error(13))),
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
                challenges: Vec::new(),
                was_sent: false,
            }),
        ),
        (
            "proxy-authentication-required.sent",
            proxy(ProxyProblem::AuthenticationRequired {
                schemes: vec!["Negotiate".to_owned()],
                challenges: Vec::new(),
                was_sent: true,
            }),
        ),
        (
            "proxy-authentication-required.digest",
            proxy(ProxyProblem::AuthenticationRequired {
                schemes: vec!["Digest".to_owned()],
                challenges: Vec::new(),
                was_sent: false,
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
            "proxy-refused.socks",
            proxy(ProxyProblem::SocksRefused { reply: 2 }),
        ),
        (
            "proxy-refused.socks-unreachable",
            proxy(ProxyProblem::SocksRefused { reply: 4 }),
        ),
        (
            "proxy-request-too-long",
            proxy(ProxyProblem::TooLong { what: "password" }),
        ),
        (
            "proxy-refused.socks4",
            proxy(ProxyProblem::SocksRefused { reply: 91 }),
        ),
        ("proxy-needs-ipv4", proxy(ProxyProblem::NeedsIpv4)),
        (
            "proxy-not-socks.other-version",
            proxy(ProxyProblem::NotSocks {
                first_bytes: vec![5, 0xff],
            }),
        ),
        (
            "proxy-not-socks",
            proxy(ProxyProblem::NotSocks {
                first_bytes: b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
            }),
        ),
        (
            "channel-unusable",
            Error::new(
                Phase::Connect,
                Cause::UnixSocket {
                    path: "/run/db.sock".into(),
                    source: io::Error::from_raw_os_error(111),
                },
            ),
        ),
        (
            "local-end-unusable",
            Error::new(
                Phase::Connect,
                Cause::LocalEnd {
                    local: LocalEnd::default()
                        .with_address("192.0.2.7".parse().unwrap())
                        .with_device("wg0")
                        .with_ports(4000..=4010),
                    source: io::Error::from_raw_os_error(99),
                },
            ),
        ),
        ("proxy-needs-tls", proxy(ProxyProblem::NeedsTls)),
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
            "too-many-open-files",
            Error::new(
                Phase::Connect,
                Cause::DescriptorsUsedUp {
                    source: io::Error::from_raw_os_error(24),
                },
            ),
        ),
        (
            "local-ports-used-up",
            Error::new(
                Phase::Connect,
                Cause::PortsUsedUp {
                    address: "192.0.2.7:443".parse().unwrap(),
                },
            ),
        ),
    ]
}

#[test]
fn explanations_match_the_golden_files() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explanations");
    let texts = servers()
        .into_iter()
        .chain(networks())
        .map(|(name, error)| {
            let explanation = error.explain();
            assert_eq!(Some(explanation.id), name.split('.').next(), "{name}");
            (name.to_owned(), format!("{explanation}\n"))
        });
    golden::compare(&directory, LINES_MAX, texts);
}
