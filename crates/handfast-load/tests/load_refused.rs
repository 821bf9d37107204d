//! The load tester against HTTP/2 servers that refuse requests without processing them: those are
//! sent again and counted apart, never as failed (RFC 9113, sections 6.8 and 8.7).

#![allow(missing_docs)]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use handfast::{ClientContext, Identity, Passphrase, ServerContext, Stream, TrustAnchors};
use handfast_load::{Handshake, Measurements, Plan, Protocol, Stop, Target, run};
use handfast_testbed::pki::Pki;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;

const NO_ERROR: u32 = 0;
const REFUSED_STREAM: u32 = 7;

/// The server's end of an HTTP/2 connection, frame by frame (RFC 9113, section 4.1).
struct Http2(Stream<TcpStream>);

impl Http2 {
    fn begin(mut stream: Stream<TcpStream>) -> Option<Self> {
        stream.read_exact(&mut [0; 24]).ok()?;
        let mut http = Self(stream);
        http.send(SETTINGS, 0, 0, b"");
        Some(http)
    }

    fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut frame = length[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        let _ = self.0.write_all(&frame).and_then(|()| self.0.flush());
    }

    /// The stream of the next request; none at the end.
    fn request(&mut self) -> Option<u32> {
        loop {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; length as usize];
            self.0.read_exact(&mut payload).ok()?;
            if head[3] == HEADERS {
                return Some(u32::from_be_bytes([head[5], head[6], head[7], head[8]]));
            }
        }
    }

    /// `:status: 200`, and a body of a byte.
    fn answer(&mut self, stream: u32) {
        self.send(HEADERS, 4, stream, b"\x88");
        self.send(DATA, 1, stream, b"x");
    }

    fn refuse(&mut self, stream: u32) {
        self.send(RST_STREAM, 0, stream, &REFUSED_STREAM.to_be_bytes());
    }

    fn go_away(&mut self, last: u32) {
        let mut payload = last.to_be_bytes().to_vec();
        payload.extend(NO_ERROR.to_be_bytes());
        self.send(GOAWAY, 0, 0, &payload);
    }
}

struct Server {
    pki: Pki,
    address: SocketAddr,
}

impl Server {
    fn new(serve: impl Fn(Http2) + Send + Sync + 'static) -> Self {
        let pki = Pki::new();
        let issued = pki.server(&["localhost"]);
        let identity = Identity::from_bytes(
            issued.chain_pem(&[]).as_bytes(),
            issued.key_pem().as_bytes(),
            Passphrase::none(),
        );
        let context = ServerContext::builder()
            .identity(identity.unwrap())
            .alpn(["h2"])
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let serve = Arc::new(serve);
        thread::spawn(move || {
            for socket in listener.incoming().flatten() {
                let (context, serve) = (context.clone(), Arc::clone(&serve));
                thread::spawn(move || {
                    let _ = socket.set_nodelay(true);
                    if let Some(http) = context.accept(socket).ok().and_then(Http2::begin) {
                        serve(http);
                    }
                });
            }
        });
        Self { pki, address }
    }

    fn measure(&self, requests: u64, handshake: Handshake) -> Measurements {
        let url = format!("https://localhost:{}/", self.address.port());
        let mut plan = Plan::new(Target::parse(&url).unwrap());
        (plan.connections, plan.threads, plan.streams) = (2, 1, 50);
        plan.protocol = Protocol::Http2;
        plan.requests = Some(requests);
        plan.duration = None;
        plan.handshake = handshake;
        let anchors = TrustAnchors::empty().with_pem(self.pki.root.cert_pem().as_bytes());
        let tls = ClientContext::builder().trust(anchors.unwrap());
        run(&plan, tls, &Stop::new(), &mut ()).unwrap()
    }
}

#[track_caller]
fn assert_all_complete(measured: &Measurements, requests: u64) {
    assert_eq!(measured.requests.complete, requests, "{measured:#?}");
    assert_eq!(measured.requests.started, requests, "{measured:#?}");
    assert!(!measured.any_failed() && measured.failures.is_empty());
}

#[test]
fn requests_beyond_the_last_stream_of_a_goaway_are_sent_again() {
    for served in [1, 40] {
        let server = Server::new(move |mut http| {
            for _ in 1..served {
                let Some(stream) = http.request() else { return };
                http.answer(stream);
            }
            let Some(last) = http.request() else { return };
            http.answer(last);
            http.go_away(last);
            while http.request().is_some() {}
        });
        let requests = 5 * served;
        let measured = server.measure(requests, Handshake::KeepAlive);
        assert_all_complete(&measured, requests);
        assert!(measured.requests.resent > 0, "{measured:#?}");
        assert!(measured.connections >= 5, "{measured:#?}");
    }
}

#[test]
fn refused_streams_are_sent_again_on_the_same_connection_or_another() {
    for handshake in [Handshake::KeepAlive, Handshake::Full] {
        let turn = std::sync::atomic::AtomicU32::new(0);
        let server = Server::new(move |mut http| {
            while let Some(stream) = http.request() {
                // Every third request, whichever connection it comes on.
                match turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 3 {
                    0 => http.refuse(stream),
                    _ => http.answer(stream),
                }
            }
        });
        let measured = server.measure(60, handshake);
        assert_all_complete(&measured, 60);
        assert!(measured.requests.resent >= 20, "{measured:#?}");
    }
}

#[test]
fn a_server_that_refuses_everything_is_not_asked_for_ever() {
    let server = Server::new(|mut http| {
        while let Some(stream) = http.request() {
            http.refuse(stream);
        }
    });
    // Fewer than the ten failures after which the load tester gives up.
    let measured = server.measure(8, Handshake::KeepAlive);
    assert_eq!(measured.requests.failed, 8, "{measured:#?}");
    assert_eq!(measured.requests.resent, 8 * 100, "{measured:#?}");
    let ids: Vec<_> = measured.failures.keys().collect();
    assert_eq!(ids, [&"stream-reset"], "{measured:#?}");
}

/// What the server had taken on may have been processed: only its sender knows whether to repeat it.
#[test]
fn a_request_that_the_server_took_and_left_unanswered_is_a_failure() {
    let server = Server::new(|mut http| {
        let Some(stream) = http.request() else { return };
        http.go_away(stream);
        http.0.close(handfast::ClosePolicy::Send);
    });
    let measured = server.measure(2, Handshake::Full);
    assert_eq!(measured.requests.failed, 2, "{measured:#?}");
    assert_eq!(measured.requests.resent, 0, "{measured:#?}");
    let what = &measured.failures["go-away"].explanation.what;
    assert!(what.contains("without answering"), "{what}");
}
