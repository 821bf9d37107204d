//! An observer that panics at every event: the events are lost, and nothing else is.

#![cfg(feature = "server")]

mod server_common;

use std::io::Write as _;
use std::net::TcpStream;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use handfast_https::server::{
    Body, CloseEvent, ConnectionInfo, HandshakeEvent, LimitEvent, Limits, Listener, Observer,
    Redirect, RedirectEvent, Request, RequestEvent, Response, Running, Server, ServerConfig,
};
use server_common::{Fixture, PATIENCE, Reply, Setup, identity, read_plain};

/// Counts events by their kind, and panics at each.
#[derive(Default)]
struct Panics([AtomicUsize; 8]);

impl Panics {
    fn panic(&self, kind: usize) -> ! {
        self.0[kind].fetch_add(1, Ordering::SeqCst);
        // Without a message on stderr.
        resume_unwind(Box::new("an observer's"))
    }
}

struct Shared(Arc<Panics>);

impl Observer for Shared {
    fn wants_fields(&self) -> bool {
        self.0.panic(0)
    }

    fn connection_opened(&self, _: &ConnectionInfo) {
        self.0.panic(1)
    }

    fn request(&self, _: &RequestEvent<'_>) {
        self.0.panic(2)
    }

    fn connection_closed(&self, _: &CloseEvent<'_>) {
        self.0.panic(3)
    }

    fn handshake_failed(&self, _: &HandshakeEvent<'_>) {
        self.0.panic(4)
    }

    fn redirected(&self, _: &RedirectEvent<'_>) {
        self.0.panic(5)
    }

    fn connections_full(&self, _: usize) {
        self.0.panic(6)
    }

    fn address_limited(&self, _: &LimitEvent) {
        self.0.panic(7)
    }
}

async fn answer(request: Request, _: Arc<ConnectionInfo>) -> Response {
    if request.uri().path() == "/panic" {
        resume_unwind(Box::new("a handler's"));
    }
    Response::new(Body::from("served"))
}

fn server(fixture: &Fixture, change: impl FnOnce(&mut Limits)) -> (Running, Arc<Panics>) {
    let identity = identity(&fixture.issued);
    let context = handfast::ServerContext::builder().identity(identity);
    let mut limits = Limits::default();
    limits.head = Duration::from_millis(300);
    change(&mut limits);
    let panics = Arc::new(Panics::default());
    // With one thread, a task that ends is missed at once.
    let config = ServerConfig::new(context.build().unwrap())
        .threads(NonZeroUsize::MIN)
        .limits(limits)
        .observer(Shared(Arc::clone(&panics)))
        .listen("127.0.0.1:0".parse().unwrap())
        .listener(
            Listener::address("127.0.0.1:0".parse().unwrap()).redirecting(Redirect::to_port(443)),
        );
    (
        Server::bind(config, answer).unwrap().start().unwrap(),
        panics,
    )
}

#[test]
fn an_observer_that_panics_ends_nothing() {
    let fixture = Fixture::start(Setup::default(), |_| answer);
    let (running, panics) = server(&fixture, |limits| {
        limits.connections_max = 2;
        limits.connections_per_address_max = NonZeroUsize::new(3);
    });
    let listening = running.listeners();
    let [https, plain] = [0, 1].map(|at: usize| listening[at].address.socket().unwrap());
    let client = fixture.client();
    let ask = |target: &str| {
        let socket = TcpStream::connect(https).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = client.secure("localhost", socket).unwrap();
        let head = format!("GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        let (bytes, ending) = stream.read_to_ending().ok()?;
        (!bytes.is_empty()).then(|| Reply::parse(&bytes, ending).status)
    };
    for round in 0..3 {
        assert_eq!(ask("/"), Some(200), "round {round}");
        // A connection that is dropped because of a panic is reported while it unwinds.
        assert_eq!(ask("/panic"), None);
        let mut socket = TcpStream::connect(plain).unwrap();
        socket
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        assert!(read_plain(socket).starts_with("HTTP/1.1 308 "));
        let mut socket = TcpStream::connect(https).unwrap();
        socket.write_all(b"SSH-2.0-x\r\n").unwrap();
        let _ = read_plain(socket);
        // Two have a place, at each listener one waits, and one is one too many of its address.
        let crowd = [https, https, https, https, plain, plain];
        for socket in crowd.map(|address| TcpStream::connect(address).unwrap()) {
            let _ = read_plain(socket);
        }
        let deadline = Instant::now() + PATIENCE;
        while running.connections() > 0 {
            assert!(Instant::now() < deadline, "connections do not end");
            std::thread::yield_now();
        }
    }
    running.shutdown(PATIENCE);
    running.join();
    for (kind, count) in panics.0.iter().enumerate() {
        assert!(count.load(Ordering::SeqCst) > 0, "no event of kind {kind}");
    }
}
