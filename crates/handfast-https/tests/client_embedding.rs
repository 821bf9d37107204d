//! What programs that embed the client build on: bodies that are made while they are sent.

#![cfg(all(feature = "client", feature = "server"))]

mod client_common;

use std::future::{Future, ready};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use client_common::{Fixture, PATIENCE, VERSIONS, context, text};
use handfast_https::client::{Client, Error, Event, Request, Response, Upload};
use handfast_testbed::misbehaving::{Misbehaving, Served, Step, http2};
use handfast_testbed::pki::Pki;
use http::header::{HeaderValue, TRANSFER_ENCODING};
use http::{Method, StatusCode};
use tokio::io::{AsyncRead, ReadBuf};

/// As many bytes as no socket and no window holds.
const PIECES: usize = 1024;
const PIECE: usize = 64 * 1024;

#[tokio::test]
async fn a_server_that_does_not_read_holds_back_the_maker_of_the_body() {
    for alpn in VERSIONS {
        let fixture = Fixture::new();
        let client = fixture.client(alpn).build();
        let (mut sender, upload) = Upload::channel();
        let taken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&taken);
        let making = tokio::spawn(async move {
            for _ in 0..PIECES {
                sender.send(Bytes::from(vec![1; PIECE])).await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
            }
            sender.finish();
        });
        let request = fixture.put(upload);
        let sending = tokio::spawn(async move { text(&client, request).await });
        // Until nothing more is taken.
        let mut last = 0;
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = taken.load(Ordering::SeqCst);
            if now == last && now > 0 {
                break;
            }
            last = now;
        }
        assert!(!making.is_finished(), "{alpn}: all of it was taken");
        assert!(last < PIECES / 2, "{alpn}: {last} pieces are in memory");
        fixture.seen.gate.add_permits(1);
        let told = sending.await.unwrap().unwrap();
        making.await.unwrap();
        let bytes = PIECES * PIECE;
        assert_eq!(told, format!("{bytes} {bytes} none"), "{alpn}");
    }
}

#[tokio::test]
async fn a_request_tells_its_own_observer_alone() {
    for alpn in VERSIONS {
        let fixture = Fixture::new();
        let client = fixture.client(alpn).build();
        fixture.seen.gate.add_permits(2);
        let requests = [3_usize, 5].map(|length| {
            let told = Arc::new(Mutex::new(Vec::new()));
            let log = Arc::clone(&told);
            let upload = Upload::repeatable(move || io::Cursor::new(vec![b'x'; length]));
            let first = Arc::clone(&told);
            let request = fixture.put(upload).with_observer(move |event| {
                if let Event::Requesting { .. } = event {
                    first.lock().unwrap().push("requesting".to_owned());
                }
            });
            let request = request.with_observer(move |event| {
                let line = match event {
                    Event::Uploading { piece } => format!("{} bytes", piece.len()),
                    Event::Secured { .. } => "secured".into(),
                    Event::Reused { .. } => "reused".into(),
                    Event::Responding { .. } => "responding".into(),
                    Event::Completed { whole, .. } => format!("{} came", whole.bytes()),
                    _ => return,
                };
                log.lock().unwrap().push(line);
            });
            (request, told)
        });
        for ((request, told), expected) in requests.into_iter().zip([
            ["secured", "requesting", "3 bytes", "responding", "10 came"],
            ["reused", "requesting", "5 bytes", "responding", "10 came"],
        ]) {
            assert_eq!(text(&client, request).await.unwrap().len(), 10, "{alpn}");
            assert_eq!(*told.lock().unwrap(), expected, "{alpn}");
        }
        client.close().await;
    }
}

#[tokio::test]
async fn a_body_is_read_from_a_reader_and_has_the_length_that_is_announced() {
    for alpn in VERSIONS {
        let fixture = Fixture::new();
        fixture.seen.gate.add_permits(100);
        let client = fixture.client(alpn).build();
        let content = vec![7_u8; 300_001];
        let reader = io::Cursor::new(content.clone());
        let upload = Upload::from_reader(reader).with_length(300_001);
        let told = text(&client, fixture.put(upload)).await.unwrap();
        assert_eq!(told, format!("300001 {} 300001", 7 * 300_001), "{alpn}");

        let empty = Upload::from_reader(tokio::io::empty());
        let told = text(&client, fixture.put(empty)).await.unwrap();
        assert_eq!(told, "0 0 none", "{alpn}");

        // With chunks that its caller asks for, and a length besides.
        let upload = Upload::from_reader(io::Cursor::new(content)).with_length(300_001);
        let chunked = HeaderValue::from_static("chunked");
        let request = fixture.put(upload).with_header(TRANSFER_ENCODING, chunked);
        let told = text(&client, request).await.unwrap();
        assert!(told.starts_with("300001 "), "{alpn}: {told}");
    }
}

#[tokio::test]
async fn a_body_that_fails_is_never_taken_for_a_whole_one() {
    for alpn in VERSIONS {
        for (what, length) in [("short", Some(20)), ("long", Some(5)), ("dropped", None)] {
            let fixture = Fixture::new();
            fixture.seen.gate.add_permits(100);
            let client = fixture.client(alpn).build();
            let upload = match length {
                Some(length) => {
                    let reader = io::Cursor::new(b"ten bytes!");
                    Upload::from_reader(reader).with_length(length)
                }
                None => {
                    let (mut sender, upload) = Upload::channel();
                    sender.send("some").await.unwrap();
                    upload
                }
            };
            let error = text(&client, fixture.put(upload)).await.unwrap_err();
            assert!(
                matches!(error, Error::Upload { .. }),
                "{alpn} {what}: {error:?}"
            );
            assert_eq!(error.explain().id, "upload-failed");
            client.close().await;
            let ended = tokio::time::timeout(PATIENCE, async {
                while fixture.seen.now.load(Ordering::SeqCst) > 0 {
                    tokio::task::yield_now().await;
                }
            });
            let _ = ended.await;
            assert_eq!(fixture.seen.now.load(Ordering::SeqCst), 0, "{alpn} {what}");
            assert_eq!(
                fixture.seen.whole.load(Ordering::SeqCst),
                0,
                "{alpn} {what}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_that_was_sent_is_not_sent_again() {
    let fixture = Fixture::new();
    fixture.seen.gate.add_permits(100);
    let client = fixture.client("h2").build();
    let request = fixture.put(Upload::from_reader(io::Cursor::new(b"once")));
    assert_eq!(text(&client, request.clone()).await.unwrap(), "4 421 none");
    let error = text(&client, request).await.unwrap_err();
    assert!(matches!(error, Error::InvalidRequest { .. }), "{error:?}");

    let server = Misbehaving::new(&fixture.pki.server(&["localhost"]), &[]).serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 307 Elsewhere\r\nlocation: /\r\ncontent-length: 0\r\n\r\n"),
    ]);
    let client = fixture.client("http/1.1").follow_redirects(true).build();
    let request = Request::new(Method::PUT, &server.url("/")).unwrap();
    let request = request.with_upload(Upload::from_reader(io::Cursor::new(b"once")));
    let error = text(&client, request).await.unwrap_err();
    assert!(matches!(error, Error::InvalidRequest { .. }), "{error:?}");
}

#[tokio::test]
async fn a_refusal_comes_before_the_body_was_sent_and_ends_it() {
    let pki = Pki::new();
    let server = Misbehaving::new(&pki.server(&["localhost"]), &[]).serve([
        Step::ReadHead,
        Step::send("HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\n\r\n"),
    ]);
    let client = Client::new(context(&pki, "http/1.1"));
    let (mut sender, upload) = Upload::channel();
    let request = Request::new(Method::PUT, &server.url("/")).unwrap();
    let response = client.send(request.with_upload(upload)).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let finished = response.finish().await.unwrap();
    assert!(finished.request_cut_short);
    assert!(sender.send("more").await.is_err());
}

#[tokio::test]
async fn a_caller_that_takes_its_time_is_no_silence_of_the_server() {
    for alpn in VERSIONS {
        let fixture = Fixture::new();
        fixture.seen.gate.add_permits(100);
        let silence = Duration::from_millis(200);
        let client = fixture.client(alpn).silence_max(Some(silence)).build();
        let (mut sender, upload) = Upload::channel();
        let making = tokio::spawn(async move {
            sender.send("a").await.unwrap();
            tokio::time::sleep(silence * 4).await;
            sender.send("b").await.unwrap();
            sender.finish();
        });
        let told = text(&client, fixture.put(upload)).await.unwrap();
        making.await.unwrap();
        assert_eq!(told, "2 195 none", "{alpn}");
    }
}

/// A server that answers before it has read the request's body, and waits for the rest of it.
fn answers_early(pki: &Pki, alpn: &str, is_whole: bool) -> Served {
    let script = match alpn {
        "h2" => vec![
            Step::send(http2::settings()),
            Step::Read(200),
            Step::send(
                [
                    http2::headers(1, &[], false),
                    http2::data(1, b"ok", is_whole),
                ]
                .concat(),
            ),
            Step::ReadToEnd,
        ],
        _ => vec![
            Step::ReadHead,
            Step::send(format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\nok",
                if is_whole { 2 } else { 3 }
            )),
            Step::ReadToEnd,
        ],
    };
    let server = Misbehaving::new(&pki.server(&["localhost"]), &[]);
    server.alpn(&[alpn]).serve(script)
}

#[tokio::test]
async fn a_body_that_fails_after_the_answer_is_told_as_what_it_is() {
    let pki = Pki::new();
    for alpn in VERSIONS {
        for is_whole in [false, true] {
            let server = answers_early(&pki, alpn, is_whole);
            let client = Client::builder(context(&pki, alpn))
                .silence_max(None)
                .build();
            let (mut sender, upload) = Upload::channel();
            sender.send(vec![0; 100]).await.unwrap();
            let request = Request::new(Method::PUT, &server.url("/")).unwrap();
            let sent = client.send(request.with_upload(upload)).await;
            let mut response = sent.unwrap();
            assert_eq!(response.chunk().await.unwrap().unwrap().as_ref(), b"ok");
            // Without an end.
            drop(sender);
            let finished = tokio::time::timeout(PATIENCE, response.finish()).await;
            let error = finished.unwrap().unwrap_err();
            assert_eq!(
                error.explain().id,
                "upload-failed",
                "{alpn} {is_whole}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_body_that_its_caller_never_ends_is_given_up_after_the_answer() {
    let pki = Pki::new();
    for alpn in VERSIONS {
        let server = answers_early(&pki, alpn, true);
        let client = Client::builder(context(&pki, alpn));
        // The response does not depend on it: silence has no limit here.
        let client = client.silence_max(None).build();
        let (mut sender, upload) = Upload::channel();
        sender.send(vec![0; 100]).await.unwrap();
        let request = Request::new(Method::PUT, &server.url("/")).unwrap();
        let response = client.send(request.with_upload(upload)).await.unwrap();
        let finished = tokio::time::timeout(PATIENCE, response.finish()).await;
        assert!(finished.unwrap().unwrap().request_cut_short, "{alpn}");
        assert!(sender.send("more").await.is_err(), "{alpn}");
    }
}

/// A response that is the body of another request.
struct Copied {
    next: Pin<Box<dyn Future<Output = (Response, Option<Bytes>)> + Send>>,
}

impl Copied {
    fn new(response: Response) -> Self {
        Self {
            next: Box::pin(Self::next(response)),
        }
    }

    async fn next(mut response: Response) -> (Response, Option<Bytes>) {
        let piece = response.chunk().await.unwrap();
        (response, piece)
    }
}

impl AsyncRead for Copied {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let (response, piece) = ready!(self.next.as_mut().poll(cx));
        if let Some(mut piece) = piece {
            buf.put_slice(&piece.split_to(buf.remaining().min(piece.len())));
            if !piece.is_empty() {
                self.next = Box::pin(ready((response, Some(piece))));
                return Poll::Ready(Ok(()));
            }
        }
        self.next = Box::pin(Self::next(response));
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_response_can_be_the_body_of_a_request_over_the_same_connection() {
    // In a thread of its own, as a deadlock stops a whole runtime.
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        runtime.block_on(async {
            let fixture = Fixture::new();
            let client = fixture.client("h2").build();
            let large = || client.send(Request::get(&fixture.url("/large")).unwrap());
            let upload = Upload::from_reader(Copied::new(large().await.unwrap()));
            fixture.seen.gate.add_permits(1);
            let copied = text(&client, fixture.put(upload)).await.unwrap();
            assert_eq!(copied, format!("{} 0 none", 32 << 20));

            // Given up while it is sent.
            let upload = Upload::from_reader(Copied::new(large().await.unwrap()));
            let (sender, request) = (client.clone(), fixture.put(upload));
            let sending = tokio::spawn(async move { text(&sender, request).await });
            while fixture.seen.now.load(Ordering::SeqCst) < 1 {
                tokio::task::yield_now().await;
            }
            sending.abort();
            assert!(sending.await.unwrap_err().is_cancelled());
            let response = client.send(Request::get(&fixture.url("/")).unwrap());
            let response = response.await.unwrap();
            assert_eq!(response.connection().number, 1);
            response.finish().await.unwrap();
        });
        tell.send(()).unwrap();
    });
    told.recv_timeout(PATIENCE).unwrap();
}
