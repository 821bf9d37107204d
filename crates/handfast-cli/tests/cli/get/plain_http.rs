//! `--allow-http`: without TLS, with the same verdicts, and only where it was allowed.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::{self, JoinHandle};

use handfast_testbed::misbehaving::Step;

use super::code;
use crate::common::Fixture;

/// Answers each connection with one of these, and gives what it was asked.
fn serve(replies: Vec<String>) -> (SocketAddr, JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serving = thread::spawn(move || {
        let mut requests = Vec::new();
        for reply in replies {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            let mut byte = [0];
            while !request.ends_with(b"\r\n\r\n") && socket.read(&mut byte).unwrap() > 0 {
                request.push(byte[0]);
            }
            socket.write_all(reply.as_bytes()).unwrap();
            requests.push(String::from_utf8(request).unwrap());
        }
        requests
    });
    (address, serving)
}

#[test]
fn plain_http_is_fetched_only_if_that_is_allowed() {
    let fixture = Fixture::new();
    for (reply, expected, out) in [
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody",
            0,
            "body",
        ),
        ("HTTP/1.0 200 OK\r\n\r\nup to the end", 0, "up to the end"),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nbody",
            18,
            "body",
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nbody\r\n",
            18,
            "body",
        ),
        ("", 52, ""),
    ] {
        let (address, serving) = serve(vec![reply.to_owned()]);
        let url = format!("http://{address}/path");
        let refused = fixture.get([&url]);
        assert_eq!(code(&refused), 1, "{refused}");
        assert!(refused.err().contains("--allow-http"), "{refused}");
        let finished = fixture.get(["--allow-http", "-v", &url]);
        assert_eq!(code(&finished), expected, "{reply}: {finished}");
        assert_eq!(finished.out(), out);
        let err = finished.err();
        assert!(err.contains("plain HTTP, neither encrypted"), "{finished}");
        assert!(
            !err.contains("note:") && !err.contains("although"),
            "{finished}"
        );
        let requests = serving.join().unwrap();
        assert!(requests[0].starts_with("GET /path HTTP/1.1\r\n"));
        assert!(requests[0].contains(&format!("host: {address}\r\n")));
    }
    // Allowed, and taken back.
    let finished = fixture.get(["--allow-http", "--proto", "=https", "http://localhost:1/"]);
    assert_eq!(code(&finished), 1, "{finished}");
}

#[test]
fn redirects_lead_out_of_https_only_if_they_are_told_to() {
    let fixture = Fixture::new();
    for (args, expected) in [
        (&["-L"][..], 1),
        (&["-L", "--allow-http"], 1),
        (&["-L", "--allow-http", "--proto-redir", "=https"], 1),
        (&["-L", "--proto-redir", "=http,https"], 1),
        (&["-L", "--allow-http", "--proto-redir", "=http,https"], 0),
    ] {
        let reply = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nbody".to_owned();
        let (address, serving) = serve(vec![reply]);
        let server = fixture.misbehaving().serve([
            Step::ReadHead,
            Step::send(format!(
                "HTTP/1.1 302 X\r\nlocation: http://{address}/\r\nset-cookie: s=1; Path=/; Secure\r\ncontent-length: 0\r\n\r\n"
            )),
        ]);
        let finished =
            fixture.get([args, &["-u", "ann:s3cret", "-c", "-", &server.url("/")]].concat());
        assert_eq!(code(&finished), expected, "{args:?}: {finished}");
        if expected == 0 {
            let requests = serving.join().unwrap();
            assert!(!requests[0].contains("authorization"), "{requests:?}");
            assert!(!requests[0].contains("cookie"), "{requests:?}");
        } else {
            assert!(
                finished.err().contains("[redirect-to-plain-http]"),
                "{finished}"
            );
        }
    }
    // From http to http it takes no more than the permission.
    let (last, serving_last) = serve(vec![
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".into(),
    ]);
    let (first, serving_first) = serve(vec![format!(
        "HTTP/1.1 302 X\r\nlocation: http://{last}/\r\ncontent-length: 0\r\n\r\n"
    )]);
    let finished = fixture.get(["-L", "--allow-http", &format!("http://{first}/")]);
    assert_eq!(code(&finished), 0, "{finished}");
    assert_eq!(finished.out(), "ok");
    serving_first.join().unwrap();
    serving_last.join().unwrap();
}
