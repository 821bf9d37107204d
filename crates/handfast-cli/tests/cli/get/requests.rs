//! What is sent, where to, and what is said on the way: fields, redirects, kept connections, `-v`.

use handfast_testbed::misbehaving::{Misbehaving, Step};
use handfast_testbed::pki::Pki;

use super::code;
use crate::common::Fixture;

#[test]
fn requests_are_sent_as_typed() {
    let fixture = Fixture::new();
    let server = fixture.misbehaving().serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    ]);
    let file = fixture.write("data", "two\nlines\n");
    let data = format!("@{}", file.display());
    let port = server.address().port();
    let url = format!("https://user:s3cret@localhost:{port}/a%20b?q=1");
    let args = [
        "-d", "one", "-d", &data, "-H", "X-Two: 2", "-H", "Accept:", "-v", &url,
    ];
    let finished = fixture.get(args);
    assert_eq!(code(&finished), 0, "{finished}");
    let seen = server.received_text();
    assert!(seen.starts_with("POST /a%20b?q=1 HTTP/1.1\r\n"), "{seen}");
    for field in [
        &format!("host: localhost:{port}\r\n"),
        "content-type: application/x-www-form-urlencoded\r\n",
        "content-length: 12\r\n",
        "x-two: 2\r\n",
        "authorization: Basic dXNlcjpzM2NyZXQ=\r\n",
        "user-agent: handfast/",
    ] {
        assert!(seen.contains(field), "{field} is not in {seen}");
    }
    assert!(!seen.contains("accept:"), "{seen}");
    for secret in ["s3cret", "dXNlcjpzM2NyZXQ="] {
        assert!(!finished.err().contains(secret), "{finished}");
    }
}

/// As in curl and browsers: how one command is left out of a log that a whole shell has.
#[test]
fn an_empty_name_of_the_log_of_secrets_is_none() {
    let fixture = Fixture::new();
    for (command, input) in [("get", ""), ("connect", "GET / HTTP/1.0\r\n\r\n")] {
        let server = fixture.misbehaving().serve([
            Step::ReadHead,
            Step::send("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody"),
            Step::CloseNotify,
        ]);
        let program = fixture.program(command).env("SSLKEYLOGFILE", "");
        let program = program.args(fixture.trust()).stdin(input);
        let finished = match command {
            "get" => program.arg(server.url("/")).run(),
            _ => program.arg(server.address().to_string()).run(),
        };
        assert!(finished.out().ends_with("body"), "{command}: {finished}");
    }
}

#[test]
fn a_password_in_a_text_that_is_no_url_is_not_shown() {
    let fixture = Fixture::new();
    for url in [
        "https://user:s3cret/rest@127.0.0.1/",
        "https://user:s3cret?rest@127.0.0.1/",
        "https://user:s3cret#rest@127.0.0.1/",
        "user:s3cret/rest@127.0.0.1/",
    ] {
        let finished = fixture.get([url]);
        assert_eq!(code(&finished), 3, "{finished}");
        assert!(finished.err().contains("127.0.0.1"), "{finished}");
        assert!(!finished.err().contains("s3cret"), "{finished}");
    }
}

#[test]
fn redirects_are_followed_and_secrets_stay_behind() {
    let fixture = Fixture::new();
    let other = fixture.misbehaving().serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother"),
    ]);
    let location = other.url("/there");
    let server = fixture.misbehaving().serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 307 X\r\nlocation: /again\r\ncontent-length: 4\r\n\r\ngone"),
        Step::ReadHead,
        Step::send(format!(
            "HTTP/1.1 303 X\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n"
        )),
    ]);
    let secret = "Authorization: Bearer s3cret";
    let url = server.url("/");
    let finished = fixture.get(["-L", "-H", secret, "-d", "", &url]);
    assert_eq!(code(&finished), 0, "{finished}");
    assert_eq!(finished.out(), "other");
    // The second request went over the same connection.
    assert_eq!(server.connections(), 1);
    let first = server.received_text();
    assert!(first.contains("POST /again HTTP/1.1\r\n"), "{first}");
    assert_eq!(first.matches("Bearer s3cret").count(), 2, "{first}");
    let last = other.received_text();
    assert!(last.starts_with("GET /there HTTP/1.1\r\n"), "{last}");
    assert!(
        !last.contains("s3cret") && !last.contains("content-"),
        "{last}"
    );
}

#[test]
fn credentials_are_sent_to_other_origins_only_if_they_are_trusted() {
    let fixture = Fixture::new();
    let netrc = fixture.write("netrc", "default login ann password s3cret\n");
    let netrc = netrc.display().to_string();
    for (args, trusted) in [
        (&["-L", "-u", "ann:s3cret"][..], false),
        (&["-L", "-n", "--netrc-file", &netrc], false),
        (&["-L", "--oauth2-bearer", "s3cret"], false),
        (&["--location-trusted", "-u", "ann:s3cret"], true),
    ] {
        let other = fixture.misbehaving().serve([
            Step::ReadHead,
            Step::send("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother"),
        ]);
        let server = fixture.misbehaving().serve([
            Step::ReadHead,
            Step::send(format!(
                "HTTP/1.1 302 X\r\nlocation: {}\r\ncontent-length: 0\r\n\r\n",
                other.url("/")
            )),
        ]);
        let url = server.url("/from?a#b");
        let finished = fixture.get([args, &["-v", "-e", ";auto", &url]].concat());
        assert_eq!((code(&finished), finished.out()), (0, "other".into()));
        assert!(server.received_text().contains("\r\nauthorization: "));
        let seen = other.received_text();
        assert_eq!(seen.contains("authorization"), trusted, "{args:?} {seen}");
        assert!(seen.contains("/from?a\r\n"), "{seen}");
        for secret in ["s3cret", "YW5uOnMzY3JldA"] {
            assert!(!finished.err().contains(secret), "{finished}");
        }
    }
}

#[test]
fn urls_are_fetched_in_the_order_in_which_they_are_typed() {
    let fixture = Fixture::new();
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
    let step = || [Step::ReadHead, Step::send(answer)];
    let server = fixture
        .misbehaving()
        .serve([step(), step(), step()].into_iter().flatten());
    let [one, two, three] = ["/1", "/2", "/3"].map(|path| server.url(path));
    let finished = fixture.get([
        "-q", "--url", &one, &two, "--url", &three, "--proto", "=https",
    ]);
    assert_eq!(code(&finished), 0, "{finished}");
    let seen = server.received_text();
    let asked: Vec<_> = seen
        .lines()
        .filter(|line| line.starts_with("GET"))
        .collect();
    assert_eq!(
        asked,
        ["GET /1 HTTP/1.1", "GET /2 HTTP/1.1", "GET /3 HTTP/1.1"]
    );
    for (args, expected) in [
        (&["--proto", "=http", &one][..], 1),
        (&["-L", "--proto-redir", "-all", &one], 1),
        (&["--proto", "?", &one], 2),
        (&["-q"], 2),
    ] {
        let finished = fixture.get(args);
        assert_eq!(code(&finished), expected, "{args:?}: {finished}");
    }
}

#[test]
fn a_post_stays_one_if_asked() {
    let fixture = Fixture::new();
    for status in ["301", "302", "303"] {
        let option = format!("--post{status}");
        for (args, expected) in [
            (&["-L", "-d", "a"][..], "GET /b"),
            (&["-L", "-d", "a", &option], "POST /b"),
        ] {
            let server = fixture.misbehaving().serve([
                Step::ReadRequest,
                Step::send(format!(
                    "HTTP/1.1 {status} X\r\nlocation: /b\r\ncontent-length: 0\r\n\r\n"
                )),
                Step::ReadRequest,
                Step::send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
            ]);
            let finished = fixture.get([args, &[&server.url("/a")]].concat());
            assert_eq!(code(&finished), 0, "{finished}");
            let seen = server.received_text();
            assert!(seen.contains(expected), "{args:?} {seen}");
        }
    }
}

#[test]
fn the_body_of_an_error_is_written_if_asked() {
    let fixture = Fixture::new();
    for (option, out) in [("--fail", ""), ("--fail-with-body", "sorry")] {
        let server = fixture.misbehaving().serve([
            Step::ReadHead,
            Step::send("HTTP/1.1 404 X\r\ncontent-length: 5\r\n\r\nsorry"),
        ]);
        let finished = fixture.get([option, &server.url("/")]);
        assert_eq!((code(&finished), finished.out()), (22, out.into()));
    }
}

#[test]
fn redirects_in_a_circle_or_out_of_tls_end() {
    let fixture = Fixture::new();
    let again = "HTTP/1.1 302 X\r\nlocation: /\r\ncontent-length: 0\r\n\r\n";
    let mut script = Vec::new();
    for _ in 0..10 {
        script.extend([Step::ReadHead, Step::send(again)]);
    }
    let server = fixture.misbehaving().serve(script);
    let finished = fixture.get(["-L", "--max-redirs", "5", &server.url("/")]);
    assert_eq!(code(&finished), 47, "{finished}");

    let server = fixture.misbehaving().serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 302 X\r\nlocation: http://localhost/\r\ncontent-length: 0\r\n\r\n"),
    ]);
    let finished = fixture.get(["-L", &server.url("/")]);
    assert_eq!(code(&finished), 1, "{finished}");
    assert!(
        finished.err().contains("[redirect-to-plain-http]"),
        "{finished}"
    );
    // Without -L it is a response like any other.
    assert_eq!(code(&fixture.get([server.url("/")])), 0);
}

#[test]
fn a_kept_connection_that_had_gone_is_replaced() {
    let fixture = Fixture::new();
    let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    let server = fixture.misbehaving().serve_each([
        // Announces nothing, and closes when the second request comes.
        vec![
            Step::ReadHead,
            Step::send(answer),
            Step::ReadHead,
            Step::Fin,
        ],
        vec![Step::ReadHead, Step::send(answer)],
    ]);
    let url = server.url("/");
    let finished = fixture.get(["-v", &url, &url]);
    assert_eq!(code(&finished), 0, "{finished}");
    assert_eq!(finished.out(), "okok");
    assert_eq!(server.connections(), 2);
    let told = finished.err().contains("sending the request again");
    assert!(told, "{finished}");
}

#[test]
fn resolve_leads_elsewhere_and_the_name_still_counts() {
    let fixture = Fixture::new();
    let shop = Misbehaving::new(&fixture.pki.server(&["shop.example"]), &[]);
    let server = shop.serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ]);
    let port = server.address().port();
    for (name, expected) in [("shop.example", 0), ("bank.example", 60)] {
        let finished = fixture.get([
            "--resolve",
            &format!("{name}:{port}:127.0.0.1"),
            &format!("https://{name}:{port}/"),
        ]);
        assert_eq!(code(&finished), expected, "{finished}");
    }
}

#[test]
fn insecure_warns_loudly_even_when_silent() {
    let fixture = Fixture::new();
    let stranger = Pki::new().server(&["other.example"]);
    let server = Misbehaving::new(&stranger, &[]).serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"),
    ]);
    let finished = fixture.get(["-s", "--insecure", &server.url("/")]);
    assert_eq!(code(&finished), 0, "{finished}");
    assert_eq!(finished.out(), "ok");
    assert!(finished.err().contains("NOT verified"), "{finished}");
}

#[test]
fn a_reader_that_closes_stdout_is_a_failure_unless_that_is_allowed() {
    use std::io::Read;
    use std::process::Stdio;
    let fixture = Fixture::new();
    for (args, expected, told) in [
        (&[][..], 23, "[output-closed]"),
        (&["-s"], 23, ""),
        (&["--allow-closed-pipe"], 0, ""),
    ] {
        let server = fixture.misbehaving().serve([
            Step::ReadHead,
            Step::send("HTTP/1.1 200 OK\r\n\r\n"),
            Step::Forever(vec![b'x'; 16 * 1024]),
        ]);
        let mut child = fixture
            .command("get")
            .args(fixture.trust())
            .args(args)
            .arg(server.url("/"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut first = [0; 10];
        child.stdout.take().unwrap().read_exact(&mut first).unwrap();
        let output = child.wait_with_output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(expected), "{args:?}: {stderr}");
        assert_eq!(told.is_empty(), stderr.is_empty(), "{args:?}: {stderr}");
        assert!(stderr.contains(told), "{args:?}: {stderr}");
    }
}

#[test]
fn verbose_tells_every_phase() {
    let fixture = Fixture::new();
    let server = fixture.misbehaving().serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 200 OK\r\nset-cookie: s3cret\r\nconnection: close\r\ncontent-length: 2\r\n\r\nok"),
        Step::CloseNotify,
        Step::Fin,
    ]);
    let finished = fixture.get(["-v", &server.url("/path")]);
    assert_eq!(code(&finished), 0, "{finished}");
    let said = finished.err();
    let mut rest = said.as_str();
    for part in [
        "resolve: localhost",
        "connect: 127.0.0.1:",
        "handshake: TLS 1.3",
        "verified for localhost",
        "names:   localhost, 127.0.0.1",
        "anchor:  O=handfast tests, CN=Test Root",
        "> GET https://localhost",
        "< HTTP/1.1 200 OK",
        "set-cookie: (hidden)",
        "content-length: 2",
        "response: complete, 2 bytes",
        "end: close_notify",
        "close: 127.0.0.1:",
        "complete",
    ] {
        let place = rest
            .find(part)
            .unwrap_or_else(|| panic!("{part} is missing in {said}"));
        rest = &rest[place..];
    }
}
