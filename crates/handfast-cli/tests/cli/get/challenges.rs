//! Challenges of Digest authentication, limits on the rate, and arguments from files.

use std::fs;
use std::time::{Duration, Instant};

use handfast_testbed::misbehaving::Step;

use super::code;
use crate::common::Fixture;

fn challenge(fields: &str) -> Step {
    Step::send(format!(
        "HTTP/1.1 401 X\r\n{fields}content-length: 2\r\n\r\nno"
    ))
}

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes";

/// The parameters of `Authorization` fields that do not depend on chance, sorted.
fn answers(requests: &str) -> Vec<Vec<String>> {
    let fields = requests.lines().filter_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("authorization").then_some(value)
    });
    let parameters = |field: &str| {
        let mut all: Vec<_> = field
            .split(", ")
            .filter(|one| !one.starts_with("cnonce=") && !one.starts_with("response="))
            // curl quotes none of them or all: both are allowed.
            .map(|one| one.replace('"', ""))
            .collect();
        all.sort();
        all
    };
    fields.map(parameters).collect()
}

#[test]
fn wrong_credentials_are_sent_once_and_stale_nonces_renewed() {
    let fixture = Fixture::new();
    let fresh = "www-authenticate: Digest realm=\"a\", qop=\"auth\", nonce=\"n1\"\r\n";
    let stale = "www-authenticate: Digest realm=\"a\", qop=\"auth\", nonce=\"n2\", stale=true\r\n";
    for (script, expected, count) in [
        (vec![challenge(fresh), challenge(fresh)], "no", 1),
        (
            vec![challenge(fresh), challenge(stale), Step::send(OK)],
            "yes",
            2,
        ),
        (
            vec![challenge(stale), challenge(stale), challenge(stale)],
            "no",
            2,
        ),
        (
            vec![challenge("www-authenticate: Basic realm=\"a\"\r\n")],
            "no",
            0,
        ),
    ] {
        let steps = script.into_iter().flat_map(|step| [Step::ReadHead, step]);
        let server = fixture.misbehaving().serve(steps);
        let finished = fixture.get(["--digest", "-u", "ann:s3cret", &server.url("/")]);
        assert_eq!(finished.out(), expected, "{finished}");
        assert_eq!(answers(&server.received_text()).len(), count, "{finished}");
    }
    // The second URL is answered before it is asked, with the nonce that the server gave.
    let next =
        "HTTP/1.1 200 OK\r\nauthentication-info: nextnonce=\"n3\"\r\ncontent-length: 3\r\n\r\nyes";
    let server = fixture.misbehaving().serve([
        Step::ReadHead,
        challenge(fresh),
        Step::ReadHead,
        Step::send(next),
        Step::ReadHead,
        Step::send(OK),
    ]);
    let url = server.url("/");
    let finished = fixture.get(["--digest", "-u", "ann:s3cret", &url, &url]);
    assert_eq!(finished.out(), "yesyes", "{finished}");
    let all = answers(&server.received_text());
    assert!(all[1].contains(&"nonce=n3".to_owned()), "{all:?}");
    assert!(all[1].contains(&"nc=00000001".to_owned()), "{all:?}");
    // Another origin gets nothing.
    let other = fixture
        .misbehaving()
        .serve([Step::ReadHead, challenge(fresh)]);
    let server = fixture.misbehaving().serve([
        Step::ReadHead,
        Step::send(format!(
            "HTTP/1.1 302 X\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
            other.url("/")
        )),
    ]);
    let finished = fixture.get(["-L", "--digest", "-u", "ann:s3cret", &server.url("/")]);
    assert_eq!(finished.out(), "no", "{finished}");
    assert!(answers(&other.received_text()).is_empty());
}

#[test]
fn transfers_are_held_back_and_given_up() {
    let fixture = Fixture::new();
    let body = "x".repeat(200_000);
    let reply = format!("HTTP/1.1 200 OK\r\ncontent-length: 200000\r\n\r\n{body}");
    let server = fixture
        .misbehaving()
        .serve([Step::ReadHead, Step::send(reply)]);
    let began = Instant::now();
    let finished = fixture.get(["--limit-rate", "100k", &server.url("/")]);
    assert_eq!(code(&finished), 0, "{finished}");
    assert_eq!(finished.out().len(), body.len());
    assert!(
        began.elapsed() >= Duration::from_millis(1500),
        "{:?}",
        began.elapsed()
    );

    let file = fixture.write("body", &body).display().to_string();
    let data = format!("@{file}");
    for args in [["-T", &file], ["--data-binary", &data]] {
        let server = fixture
            .misbehaving()
            .serve([Step::ReadRequest, Step::send(OK)]);
        let began = Instant::now();
        let finished =
            fixture.get([&["--limit-rate", "100k", &server.url("/")], &args[..]].concat());
        assert_eq!(code(&finished), 0, "{finished}");
        assert!(server.received_text().ends_with(&body));
        assert!(
            began.elapsed() >= Duration::from_millis(1000),
            "{:?}",
            began.elapsed()
        );
    }

    let drip = Step::ByteByByte(vec![b'x'; 600], Duration::from_millis(100));
    let server = fixture.misbehaving().serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\ncontent-length: 600\r\n\r\n"),
        drip,
    ]);
    let finished = fixture.get(["-Y", "1000", "-y", "1", &server.url("/")]);
    assert_eq!(code(&finished), 28, "{finished}");
    let silent = fixture
        .misbehaving()
        .serve([Step::ReadHead, Step::ReadToEnd]);
    let finished = fixture.get(["-y", "1", &silent.url("/")]);
    assert_eq!(code(&finished), 28, "{finished}");
}

#[test]
fn arguments_come_from_files() {
    let fixture = Fixture::new();
    let serve = || {
        fixture
            .misbehaving()
            .serve([Step::ReadRequest, Step::send(OK)])
    };
    let server = serve();
    let text = format!(
        "# a request\nrequest = PUT\n-H \"X-One: 1\"\nurl = \"{}\"\n",
        server.url("/from-file")
    );
    let file = fixture.write("args", &text);
    let finished = fixture.get(["-q".as_ref(), "-K".as_ref(), file.as_os_str()]);
    assert_eq!(finished.out(), "yes", "{finished}");
    let seen = server.received_text();
    assert!(seen.starts_with("PUT /from-file HTTP/1.1\r\n"), "{seen}");
    assert!(seen.contains("x-one: 1\r\n"), "{seen}");

    let server = serve();
    let program = fixture.program("get").args(fixture.trust()).arg("-K-");
    let finished = program.stdin(format!("url: {}\n", server.url("/"))).run();
    assert_eq!(finished.out(), "yes", "{finished}");

    let bad = fixture.write("bad", "url = \"https://unclosed\n\nheader = \"x");
    let finished = fixture.get(["-K".as_ref(), bad.as_os_str()]);
    assert_eq!(code(&finished), 2, "{finished}");
    assert!(finished.err().contains("line 1"), "{finished}");

    for refused in ["--ignore-content-length", "--http0.9"] {
        let finished = fixture.get([refused, "https://localhost:1/"]);
        assert_eq!(code(&finished), 2, "{finished}");
        assert!(finished.err().contains(refused), "{finished}");
    }
    let server = serve();
    let args = [
        "-N",
        "--no-keepalive",
        "--keepalive-time",
        "9",
        "--tcp-nodelay",
        "--ssl-reqd",
    ];
    let url = server.url("/");
    let finished = fixture.get([&args[..], &[&url]].concat());
    assert_eq!(code(&finished), 0, "{finished}");

    // The user's own file.
    #[cfg(target_os = "linux")]
    {
        let home = fixture.directory().join("config");
        fs::create_dir_all(home.join("handfast")).unwrap();
        fs::write(home.join("handfast/get"), "user-agent = \"mine\"\n").unwrap();
        for (args, expected) in [
            (&[][..], "user-agent: mine"),
            (&["-q"], "user-agent: handfast"),
        ] {
            let server = serve();
            let program = fixture.program("get").args(fixture.trust()).args(args);
            let finished = program
                .env("XDG_CONFIG_HOME", &home)
                .arg(server.url("/"))
                .run();
            assert_eq!(code(&finished), 0, "{finished}");
            assert!(server.received_text().contains(expected), "{args:?}");
        }
    }
}
