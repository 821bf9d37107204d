//! The exit codes, which are curl's.

use std::net::SocketAddr;

use handfast_testbed::launch::free_address;
use handfast_testbed::misbehaving::{Misbehaving, Step};
use handfast_testbed::pki::Spec;

use super::code;
use crate::common::{Fixture, localhost};

#[test]
fn exit_codes_are_curls() {
    let fixture = Fixture::new();
    let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let good = fixture
        .misbehaving()
        .serve([Step::ReadHead, Step::send(ok)]);
    let not_found = fixture.misbehaving().serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 404 Not Found\r\ncontent-length: 4\r\n\r\ngone"),
    ]);
    let issue = |spec: Spec| Misbehaving::new(&fixture.pki.root.issue(spec), &[]);
    let script = || [Step::ReadHead, Step::send(ok)];
    let wrong_name = issue(Spec::server(&["other.example"])).serve(script());
    let expired = issue(Spec::server(&["localhost"]).expired()).serve(script());
    let other_root = Spec::authority("Other Root").self_signed();
    let stranger = other_root.issue(Spec::server(&["localhost"]));
    let untrusted = Misbehaving::new(&stranger, &[]).serve(script());
    let plain = plain_server();
    let unused = free_address();
    let empty = fixture.write("empty.pem", "");

    let good_url = good.url("/");
    let url = |address: SocketAddr| format!("https://{}/", localhost(address));
    let cases: Vec<(&str, Vec<String>, i32, &str)> = vec![
        ("good", vec![good_url.clone()], 0, ""),
        ("404", vec![not_found.url("/")], 0, ""),
        (
            "404 -f",
            vec!["-f".into(), not_found.url("/")],
            22,
            "[http-status]",
        ),
        (
            "usage",
            vec!["--no-such-flag".into(), good_url.clone()],
            2,
            "--no-such-flag",
        ),
        ("no url", vec![], 2, "URL"),
        ("bad url", vec!["https://".into()], 3, "[invalid-url]"),
        (
            "bad port",
            vec!["https://localhost:99999/".into()],
            3,
            "[invalid-url]",
        ),
        (
            "plain http",
            vec!["http://localhost/".into()],
            1,
            "[plain-http]",
        ),
        (
            "ftp",
            vec!["ftp://localhost/".into()],
            1,
            "[unsupported-scheme]",
        ),
        (
            "resolve",
            vec!["https://nothing.invalid/".into()],
            6,
            "[name-not-resolved]",
        ),
        ("refused", vec![url(unused)], 7, "[connection-refused]"),
        ("not TLS", vec![url(plain)], 35, "[not-tls]"),
        (
            "wrong name",
            vec![wrong_name.url("/")],
            60,
            "[name-mismatch]",
        ),
        (
            "expired",
            vec![expired.url("/")],
            60,
            "[certificate-expired]",
        ),
        (
            "untrusted",
            vec![untrusted.url("/")],
            60,
            "[unknown-issuer]",
        ),
        (
            "pin",
            vec![
                "--pin".into(),
                "sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".into(),
                good_url.clone(),
            ],
            90,
            "[pin-mismatch]",
        ),
        (
            "no CA file",
            vec![
                "--cacert".into(),
                fixture.path("nothing").display().to_string(),
                good_url.clone(),
            ],
            77,
            "",
        ),
        (
            "empty CA file",
            vec![
                "--cacert".into(),
                empty.display().to_string(),
                good_url.clone(),
            ],
            77,
            "",
        ),
        (
            "own certificate",
            vec![
                "--cert".into(),
                fixture.path("nothing").display().to_string(),
                good_url.clone(),
            ],
            58,
            "",
        ),
        (
            "no such directory",
            vec![
                "-o".into(),
                fixture.path("no/such").display().to_string(),
                good_url.clone(),
            ],
            23,
            "[file-unusable]",
        ),
        (
            "no name",
            vec!["-O".into(), good_url.clone()],
            23,
            "[no-remote-name]",
        ),
        (
            "data file",
            vec!["-d".into(), "@/no/such/file".into(), good_url],
            26,
            "",
        ),
    ];
    for (name, args, expected, id) in cases {
        let finished = fixture.get(&args);
        assert_eq!(code(&finished), expected, "{name}: {finished}");
        assert!(finished.err().contains(id), "{name}: {finished}");
        if expected > 2 {
            // -s says nothing, -sS says it.
            let mut silent = vec!["-s".to_owned()];
            silent.extend(args.clone());
            let finished = fixture.get(&silent);
            assert_eq!(
                (code(&finished), finished.err()),
                (expected, String::new()),
                "{name}"
            );
        }
    }
}

/// A server that answers in the clear, whatever it is asked.
fn plain_server() -> SocketAddr {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for socket in listener.incoming() {
            let mut socket = socket.unwrap();
            let _ = socket.read(&mut [0; 1024]);
            let _ = socket.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    address
}
