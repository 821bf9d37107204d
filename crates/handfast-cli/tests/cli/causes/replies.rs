//! Replies that never come, or not as a whole: what the HTTP library, `get` and `bench` call them.

use handfast::{ClientContext, TrustAnchors};
use handfast_https::client::{ALPN, Client, Error, Request};
use handfast_testbed::misbehaving::{Served, Step};
use serde_json::Value;

use crate::common::Fixture;

const EMPTY_REPLY: i32 = 52;
const SHORT_BODY: i32 = 18;
const RECEIVE: i32 = 56;

/// The id that the library gives.
fn library(fixture: &Fixture, server: &Served) -> &'static str {
    let anchors = TrustAnchors::empty().with_file(&fixture.ca).unwrap();
    let context = ClientContext::builder().trust(anchors).alpn(ALPN);
    let client = Client::new(context.build().unwrap());
    let fetch = async {
        let mut response = client.send(Request::get(&server.url("/"))?).await?;
        response.bytes(1 << 20).await
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error: Error = runtime.block_on(fetch).unwrap_err();
    error.explain().id
}

/// Asks all three, and compares.
fn check(fixture: &Fixture, what: &str, server: &Served, id: &str, code: i32) {
    assert_eq!(library(fixture, server), id, "library: {what}");

    let got = fixture.run("get", [server.url("/")]);
    let told = format!("[{id}]");
    assert!(got.err().contains(&told), "get: {what}: {id} {got}");
    assert_eq!(got.code, Some(code), "get: {what} {got}");

    let measured = fixture.run("bench", ["-n", "3", "-c", "1", "--json", &server.url("/")]);
    let document: Value = serde_json::from_slice(&measured.stdout).unwrap();
    let failures = document["failures"].as_array().unwrap();
    let ids: Vec<&str> = failures
        .iter()
        .map(|failure| failure["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, [id], "bench: {what} {document:#}");
    let requests = &document["requests"];
    let truncated = if id == "truncated" { 3 } else { 0 };
    assert_eq!(requests["complete"], 0, "bench: {what} {document:#}");
    assert_eq!(
        requests["truncated"], truncated,
        "bench: {what} {document:#}"
    );
    assert!(!measured.succeeded(), "bench: {what} {measured}");
}

#[test]
fn replies_that_are_empty_or_cut_short() {
    let fixture = Fixture::new();
    let close_notify = || vec![Step::CloseNotify, Step::Fin];
    let fin = || vec![Step::Fin];
    let reset = || vec![Step::Reset];
    let length = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n01234";
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n01234\r\n";
    let until_close = "HTTP/1.1 200 OK\r\n\r\n01234";
    for (what, said, end, id, code) in [
        ("nothing", "", close_notify(), "empty-reply", EMPTY_REPLY),
        ("nothing, FIN", "", fin(), "empty-reply", EMPTY_REPLY),
        ("nothing, reset", "", reset(), "reset", RECEIVE),
        (
            "half a head",
            "HTTP/1.1 200 O",
            close_notify(),
            "truncated",
            RECEIVE,
        ),
        (
            "half a head, FIN",
            "HTTP/1.1 200 O",
            fin(),
            "truncated",
            RECEIVE,
        ),
        ("length", length, close_notify(), "truncated", SHORT_BODY),
        ("length, FIN", length, fin(), "truncated", SHORT_BODY),
        ("length, reset", length, reset(), "truncated", SHORT_BODY),
        ("chunks", chunks, close_notify(), "truncated", SHORT_BODY),
        ("chunks, FIN", chunks, fin(), "truncated", SHORT_BODY),
        ("chunks, reset", chunks, reset(), "truncated", SHORT_BODY),
        // Only close_notify could say that this was all.
        (
            "until the end, FIN",
            until_close,
            fin(),
            "truncated",
            RECEIVE,
        ),
        (
            "until the end, reset",
            until_close,
            reset(),
            "truncated",
            RECEIVE,
        ),
    ] {
        let mut script = vec![Step::ReadHead];
        if !said.is_empty() {
            script.push(Step::send(said));
        }
        script.extend(end);
        let tls13 = fixture.misbehaving().serve(script.clone());
        check(&fixture, what, &tls13, id, code);
        let tls12 = fixture.misbehaving().tls12().serve(script);
        check(&fixture, &format!("{what}, TLS 1.2"), &tls12, id, code);
    }
}
