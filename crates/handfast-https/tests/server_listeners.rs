//! Where a server listens: sockets that others have bound, Unix sockets, listeners that redirect, and sets of them that
//! change while it serves.

#![cfg(feature = "server")]

mod server_common;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use handfast::{ClientContext, ClosePolicy, Stream};
use handfast_https::server::{
    Body, ConnectionInfo, Limits, Listener, LocalAddress, PeerAddress, Redirect, Request, Response,
    Running, Server, ServerConfig,
};
use server_common::{Fixture, PATIENCE, Reply, Setup, identity, read_plain};

const HEAD: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// Answers with the client's and the server's address.
async fn addresses(_: Request, info: Arc<ConnectionInfo>) -> Response {
    Response::new(Body::from(format!("{} {}", info.peer, info.local)))
}

fn server() -> Fixture {
    Fixture::start(Setup::default(), |_| addresses)
}

/// Another server with the same certificate, and the listeners of the first.
fn successor(first: &Fixture, listeners: Vec<Listener>, threads: usize) -> Running {
    let context = handfast::ServerContext::builder()
        .identity(identity(&first.issued))
        .build()
        .unwrap();
    let mut config = ServerConfig::new(context).threads(threads.try_into().unwrap());
    for listener in listeners {
        config = config.listener(listener);
    }
    Server::bind(config, addresses).unwrap().start().unwrap()
}

fn ask<S: handfast::Channel>(client: &ClientContext, socket: S) -> Result<String, String> {
    let mut stream = client
        .secure("localhost", socket)
        .map_err(|failure| failure.to_string())?;
    stream.write_all(HEAD).map_err(|error| error.to_string())?;
    let (bytes, ending) = stream.read_to_ending().map_err(|error| error.to_string())?;
    stream.close(ClosePolicy::Send);
    let reply = Reply::parse(&bytes, ending);
    match reply.status {
        200 => Ok(reply.text()),
        other => Err(format!("status {other}")),
    }
}

fn ask_at(client: &ClientContext, address: SocketAddr) -> Result<String, String> {
    let socket = TcpStream::connect(address).map_err(|error| error.to_string())?;
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    ask(client, socket)
}

/// Asks for as long as it lives, from several threads, on a connection for each request; every request has to succeed.
struct Load {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
    threads: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Load {
    fn on(server: &Fixture) -> Self {
        let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let threads = (0..4).map(|_| {
            let (stop, served) = (Arc::clone(&stop), Arc::clone(&served));
            let (client, address) = (server.client(), server.address);
            thread::spawn(move || {
                let mut failures = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    match ask_at(&client, address) {
                        Ok(_) => _ = AtomicUsize::fetch_add(&served, 1, Ordering::Relaxed),
                        Err(failure) => failures.push(failure),
                    }
                }
                failures
            })
        });
        let threads = threads.collect();
        Self {
            stop,
            served,
            threads,
        }
    }

    /// Waits until so many more were served.
    fn wait(&self, count: usize) {
        let from = self.served.load(Ordering::Relaxed);
        let deadline = std::time::Instant::now() + PATIENCE;
        while self.served.load(Ordering::Relaxed) < from + count {
            assert!(std::time::Instant::now() < deadline, "nothing is served");
            thread::yield_now();
        }
    }

    fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.threads.into_iter().map(|one| one.join().unwrap());
        assert_eq!(failures.flatten().collect::<Vec<_>>(), [""; 0]);
        assert!(self.served.load(Ordering::Relaxed) > 0);
    }
}

#[test]
fn a_socket_that_was_bound_before_is_served_by_all_threads() {
    let first = server();
    let socket = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    // What came before there was a server is served, too.
    let early = TcpStream::connect(address).unwrap();
    let id = first.running().listen(&Listener::socket(socket)).unwrap();
    let text = ask(&first.client(), early).unwrap();
    assert!(text.ends_with(&address.to_string()), "{text}");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    ask_at(&first.client(), address).unwrap();
                }
            });
        }
    });
    assert!(first.running().stop_listening(id));
    assert!(!first.running().stop_listening(id));
    // The caller's socket is gone with the server's duplicates.
    TcpStream::connect(address).unwrap_err();
    ask_at(&first.client(), first.address).unwrap();
}

#[test]
fn what_does_not_listen_is_no_listener() {
    let first = server();
    let address = "127.0.0.1:0".parse::<SocketAddr>().unwrap();
    let taken = TcpListener::bind(address).unwrap();
    let busy = Listener::address(taken.local_addr().unwrap());
    let error = first.running().listen(&busy).unwrap_err();
    assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
    assert_eq!(
        error.to_string(),
        format!("cannot listen on {}", taken.local_addr().unwrap())
    );
    let listening = first.running().listeners();
    assert_eq!(listening.len(), 1);
    assert_eq!(listening[0].address.socket(), Some(first.address));
}

#[test]
fn listeners_come_and_go_and_no_client_of_the_others_notices() {
    let first = server();
    let load = Load::on(&first);
    let client = first.client();
    for round in 0..20 {
        load.wait(2);
        let https = Listener::address("127.0.0.1:0".parse().unwrap());
        let redirects = https.clone().redirecting(Redirect::to_port(443));
        let added = [&https, &redirects].map(|one| first.running().listen(one).unwrap());
        let listening = first.running().listeners();
        assert_eq!(listening.len(), 3, "round {round}");
        assert!(!listening[1].redirects && listening[2].redirects);
        assert_eq!(first.running().local_addrs().len(), 2);
        let address = listening[1].address.socket().unwrap();
        // In the queue, or accepted just now: served either way.
        let connected: Vec<_> = (0..10)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        for id in added {
            assert!(first.running().stop_listening(id));
        }
        // It is free for another one.
        let again = Listener::address(address).redirecting(Redirect::to_port(1));
        let id = first.running().listen(&again).unwrap();
        first.running().stop_listening(id);
        for socket in connected {
            ask(&client, socket).unwrap();
        }
    }
    load.end();
}

#[test]
fn a_listener_that_was_opened_before_is_served_later() {
    let first = server();
    let opened = Listener::address("127.0.0.1:0".parse().unwrap())
        .open(2)
        .unwrap();
    #[cfg(unix)]
    let opened = {
        let descriptors = opened.into_fds().unwrap();
        Listener::from_fds(descriptors).unwrap().remove(0)
    };
    let id = first.running().listen(&opened).unwrap();
    let address = first.running().local_addrs()[1];
    assert!(ask_at(&first.client(), address).is_ok());
    let taken = Listener::address(address).open(2).unwrap_err();
    assert_eq!(taken.source.kind(), std::io::ErrorKind::AddrInUse);
    drop(opened);
    assert!(first.running().stop_listening(id));
    TcpStream::connect(address).unwrap_err();
}

#[cfg(target_os = "linux")]
#[test]
fn all_addresses_take_the_place_of_one_without_a_moment_of_none() {
    let first = server();
    let client = first.client();
    let ask = || ask_at(&client, first.address).unwrap();
    for threads in [1, 2] {
        let everywhere: SocketAddr = ([0, 0, 0, 0], first.address.port()).into();
        let taken = Listener::address(everywhere).open(threads).unwrap_err();
        assert_eq!(taken.source.kind(), std::io::ErrorKind::AddrInUse);
        let beside = Listener::address(everywhere).beside_own();
        let beside = beside.open(threads).unwrap();
        let one = first.running().listeners()[0].id;
        ask();
        first.running().listen(&beside).unwrap();
        ask();
        assert!(first.running().stop_listening(one));
        ask();
        // And back.
        let one = Listener::address(first.address).beside_own();
        let everywhere = first.running().listeners()[0].id;
        first.running().listen(&one).unwrap();
        assert!(first.running().stop_listening(everywhere));
        ask();
    }
}

#[test]
fn a_listener_redirects_from_now_on_or_no_more() {
    let first = server();
    let load = Load::on(&first);
    let listener = Listener::address("127.0.0.1:0".parse().unwrap());
    let listener = listener.redirecting(Redirect::to_port(1));
    let id = first.running().listen(&listener).unwrap();
    let address = first.running().listeners()[1].address.socket().unwrap();
    let location = || {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket.write_all(HEAD).unwrap();
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        let text = text.to_ascii_lowercase();
        let line = text.lines().find(|line| line.starts_with("location: "));
        line.map(str::to_owned)
    };
    assert_eq!(location().unwrap(), "location: https://localhost:1/");
    let running = first.running();
    let redirect = Redirect::to_port(2);
    assert!(running.set_redirect(id, Some(redirect)).unwrap());
    assert_eq!(location().unwrap(), "location: https://localhost:2/");
    assert!(running.set_redirect(id, None).unwrap());
    assert!(!running.listeners()[1].redirects);
    assert!(ask_at(&first.client(), address).is_ok());
    // It is the same listener.
    assert!(running.stop_listening(id));
    TcpStream::connect(address).unwrap_err();
    assert!(!running.set_redirect(id, None).unwrap());
    load.end();
}

#[test]
fn clients_wait_while_nothing_is_accepted() {
    let first = server();
    first.running().stop_accepting();
    let client = first.client();
    let waiting: Vec<_> = (0..10)
        .map(|_| TcpStream::connect(first.address).unwrap())
        .collect();
    // Added now, it is not accepted from either.
    let more = Listener::address("127.0.0.1:0".parse().unwrap());
    first.running().listen(&more).unwrap();
    let address = first.running().local_addrs()[1];
    let other = TcpStream::connect(address).unwrap();
    assert_eq!(first.running().connections(), 0);
    first.running().accept_again().unwrap();
    for socket in waiting.into_iter().chain([other]) {
        ask(&client, socket).unwrap();
    }
}

#[test]
fn a_successor_takes_over_and_no_client_notices() {
    let first = server();
    let load = Load::on(&first);
    load.wait(10);
    // Fewer threads than sockets, as many, and more.
    let second = successor(&first, first.running().hand_over(), 1);
    load.wait(10);
    first.running().retire(PATIENCE);
    load.wait(20);
    let third = successor(&first, second.hand_over(), 2);
    second.stop_accepting();
    load.wait(20);
    second.retire(PATIENCE);
    second.join();
    load.wait(20);
    let fourth = successor(&first, third.hand_over(), 5);
    third.retire(PATIENCE);
    third.join();
    load.wait(20);
    load.end();
    drop(fourth);
    TcpStream::connect(first.address).unwrap_err();
}

#[test]
fn a_retiring_server_answers_one_more_request_of_each_connection() {
    let mut first = server();
    let client = first.client();
    let connect = || {
        let socket = TcpStream::connect(first.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        client.secure("localhost", socket).unwrap()
    };
    let kept_head = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let ask = |stream: &mut Stream<TcpStream>| {
        stream.write_all(kept_head).unwrap();
        stream.flush().unwrap();
    };
    let (mut fresh, mut kept, mut idle) = (connect(), connect(), connect());
    let mut replies = Vec::new();
    for (number, stream) in [&mut kept, &mut idle].into_iter().enumerate() {
        ask(stream);
        first
            .witness
            .wait("the reply", |events| events.requests.len() == number + 1);
        let mut buffer = [0; 1000];
        let Ok(handfast::ReadOutcome::Data(count)) = stream.read_some(&mut buffer) else {
            panic!("no reply");
        };
        replies.push(buffer[..count].to_vec());
    }
    assert!(!String::from_utf8_lossy(&replies[0]).contains("connection: close"));
    let running = first.running.take().unwrap();
    running.retire(PATIENCE);
    // One that is kept, and one that has not asked for anything yet.
    for stream in [&mut kept, &mut fresh] {
        ask(stream);
        let (bytes, ending) = stream.read_to_ending().unwrap();
        let reply = Reply::parse(&bytes, ending);
        assert_eq!(
            (reply.status, reply.field("connection")),
            (200, Some("close"))
        );
    }
    // One that idles is closed.
    assert_eq!(idle.read_to_ending().unwrap().0, b"");
    running.join();
    // A stop has no use for a connection that has asked for nothing.
    let second = server();
    let mut fresh = second.connect();
    second.running().retire(PATIENCE);
    second.running().shutdown(PATIENCE);
    assert_eq!(fresh.read_to_ending().unwrap().0, b"");
}

#[test]
fn while_there_is_no_successor_yet_connections_wait_for_it() {
    let first = server();
    let handed_over = first.running().hand_over();
    first.running().stop_accepting();
    let waiting: Vec<_> = (0..20)
        .map(|_| TcpStream::connect(first.address).unwrap())
        .collect();
    let client = first.client();
    first.running().shutdown(Duration::ZERO);
    let _second = successor(&first, handed_over, 3);
    for socket in waiting {
        ask(&client, socket).unwrap();
    }
}

#[test]
fn a_client_that_speaks_tls_to_a_redirecting_listener_is_answered_at_once() {
    let mut limits = Limits::default();
    // It would be waited for so long.
    limits.head = Duration::from_secs(600);
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    let first = Fixture::start(setup, |_| addresses);
    let to = Redirect::to_port(8443);
    let listener = Listener::address("127.0.0.1:0".parse().unwrap()).redirecting(to);
    first.running().listen(&listener).unwrap();
    let address = first.running().listeners()[1].address.socket().unwrap();
    for (sent, expected) in [
        (&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"[..], "not TLS\n"),
        (b"\x80\x2e\x01\x03\x01", ""),
    ] {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(sent).unwrap();
        let reply = read_plain(socket);
        assert!(reply.ends_with(expected), "{reply}");
        assert_eq!(reply.is_empty(), expected.is_empty(), "{reply}");
    }
}

#[test]
fn a_redirecting_listener_leads_to_https_and_nowhere_else() {
    let mut limits = Limits::default();
    limits.head = Duration::from_millis(300);
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    let first = Fixture::start(setup, |_| addresses);
    let to = Redirect::to_port(8443).only_for(|host| matches!(host, "files.test" | "[::1]"));
    let listener = Listener::address("127.0.0.1:0".parse().unwrap()).redirecting(to);
    first.running().listen(&listener).unwrap();
    let listening = first.running().listeners();
    let address = listening[1].address.socket().unwrap();
    // What is sent, the status, and where it leads.
    let cases: [(&str, Option<u16>, Option<&str>); 10] = [
        (
            "GET /a?b=c HTTP/1.1\r\nHost: Files.test:80\r\n\r\n",
            Some(308),
            Some("https://Files.test:8443/a?b=c"),
        ),
        (
            "POST / HTTP/1.0\r\nHost: [::1]\r\nContent-Length: 4\r\n\r\nabcd",
            Some(308),
            Some("https://[::1]:8443/"),
        ),
        (
            "GET //evil.test/%0d%0aX:y HTTP/1.1\r\nHost: files.test\r\n\r\n",
            Some(308),
            Some("https://files.test:8443//evil.test/%0d%0aX:y"),
        ),
        ("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", Some(421), None),
        (
            "GET / HTTP/1.1\r\nHost: files.test@evil.test\r\n\r\n",
            Some(400),
            None,
        ),
        ("GET / HTTP/1.1\r\n\r\n", Some(400), None),
        (
            "GET / HTTP/1.1\r\nHost: files.test\r\nHost: evil.test\r\n\r\n",
            Some(400),
            None,
        ),
        // Cut off by the deadline.
        ("GET /slow HTTP/1.1\r\nHost: fil", Some(400), None),
        ("\x16\x03\x01\x02\x00\x01", Some(400), None),
        ("\0\0\0\0", None, None),
    ];
    for (number, (sent, status, location)) in cases.into_iter().enumerate() {
        let mut socket = TcpStream::connect(address).unwrap();
        socket.write_all(sent.as_bytes()).unwrap();
        let reply = read_plain(socket);
        let expected = status.map_or(String::new(), |status| format!("HTTP/1.1 {status} "));
        assert!(reply.starts_with(&expected), "{sent:?}: {reply}");
        assert_eq!(reply.is_empty(), status.is_none(), "{sent:?}: {reply}");
        let found = reply
            .lines()
            .find_map(|line| line.strip_prefix("Location: "));
        assert_eq!(found, location, "{sent:?}");
        let events = first
            .witness
            .wait("the event", |events| events.redirects.len() > number);
        let seen = &events.redirects[number];
        assert_eq!((seen.status, seen.location.as_deref()), (status, location));
        if status.is_some() {
            assert_eq!(Some(&*seen.line), sent.lines().next());
        }
    }
    first.wait_idle();
    assert!(first.witness.events().handshakes.is_empty());
}

#[cfg(unix)]
mod unix {
    use std::os::fd::OwnedFd;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::{UnixListener, UnixStream};

    use super::*;

    fn connect(path: &std::path::Path) -> UnixStream {
        let socket = UnixStream::connect(path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }

    #[test]
    fn a_unix_socket_is_served_and_its_clients_have_a_user() {
        let first = server();
        let path = first.directory.path().join("s");
        let listener = Listener::path(&path).mode(0o660);
        let id = first.running().listen(&listener).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o660);
        let text = ask(&first.client(), connect(&path)).unwrap();
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(text, format!("unix:uid={uid} unix:{}", path.display()));
        let expected = LocalAddress::Unix(path.as_path().into());
        assert_eq!(first.running().listeners()[1].address, expected);
        // One at which a server listens is not taken away from it.
        let error = first.running().listen(&listener).unwrap_err();
        assert_eq!(error.source.kind(), std::io::ErrorKind::AddrInUse);
        // What is in the queue is served.
        let waiting: Vec<_> = (0..20).map(|_| connect(&path)).collect();
        assert!(first.running().stop_listening(id));
        assert!(!path.exists());
        for socket in waiting {
            ask(&first.client(), socket).unwrap();
        }
    }

    #[test]
    fn a_large_reply_over_a_unix_socket_arrives_whole() {
        let first = Fixture::shelf();
        first.put("large", vec![b'x'; 5_000_000]);
        let path = first.directory.path().join("s");
        first.running().listen(&Listener::path(&path)).unwrap();
        let mut stream: Stream<UnixStream> =
            first.client().secure("localhost", connect(&path)).unwrap();
        let head = "GET /large HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        let (bytes, ending) = stream.read_to_ending().unwrap();
        assert_eq!(Reply::parse(&bytes, ending).body.len(), 5_000_000);
    }

    #[test]
    fn the_file_of_a_server_that_was_killed_is_replaced_and_the_last_server_removes_it() {
        let mut first = server();
        let path = first.directory.path().join("s");
        // Dropping a socket leaves its file.
        drop(UnixListener::bind(&path).unwrap());
        first.running().listen(&Listener::path(&path)).unwrap();
        ask(&first.client(), connect(&path)).unwrap();
        let second = successor(&first, first.running().hand_over(), 2);
        first.running.take().unwrap().shutdown(PATIENCE);
        ask(&first.client(), connect(&path)).unwrap();
        drop(second);
        assert!(!path.exists());
    }

    #[test]
    fn a_successor_that_does_not_start_leaves_the_sockets_file() {
        let first = server();
        let path = first.directory.path().join("s");
        first.running().listen(&Listener::path(&path)).unwrap();
        let busy = TcpListener::bind("127.0.0.1:0").unwrap();
        let busy = Listener::address(busy.local_addr().unwrap());
        let config = |listeners: Vec<Listener>| {
            let identity = identity(&first.issued);
            let context = handfast::ServerContext::builder()
                .identity(identity)
                .build();
            let listeners = listeners.into_iter();
            listeners.fold(ServerConfig::new(context.unwrap()), ServerConfig::listener)
        };
        // One that cannot bind another address, and one that is not started.
        let mut listeners = first.running().hand_over();
        listeners.push(busy.clone());
        Server::bind(config(listeners), addresses).unwrap_err();
        drop(Server::bind(config(first.running().hand_over()), addresses).unwrap());
        // In another process: it is told to remove the file.
        let descriptors = first.running().hand_over().into_iter();
        let descriptors: Vec<_> = descriptors
            .flat_map(|one| one.into_fds().unwrap())
            .collect();
        let listeners = Listener::from_fds(descriptors).unwrap().into_iter();
        let mut listeners: Vec<_> = listeners.map(|one| one.removes_file(true)).collect();
        listeners.push(busy);
        Server::bind(config(listeners), addresses).unwrap_err();
        ask(&first.client(), connect(&path)).unwrap();
        // There is no successor: it is removed by who has made it.
        first.running().accept_again().unwrap();
        drop(first.running);
        assert!(!path.exists());
    }

    #[test]
    fn a_unix_socket_that_was_given_keeps_its_file() {
        let first = server();
        let path = first.directory.path().join("s");
        let given = UnixListener::bind(&path).unwrap();
        let id = first
            .running()
            .listen(&Listener::unix_socket(given))
            .unwrap();
        ask(&first.client(), connect(&path)).unwrap();
        first.running().stop_listening(id);
        assert!(path.exists());
    }

    #[test]
    fn descriptors_of_one_address_are_one_listener() {
        let first = server();
        let path = first.directory.path().join("s");
        first.running().listen(&Listener::path(&path)).unwrap();
        let handed_over = first.running().hand_over().into_iter();
        let descriptors: Vec<OwnedFd> = handed_over
            .flat_map(|one| one.into_fds().unwrap())
            .collect();
        // On Linux, one for each thread.
        assert!((2..=3).contains(&descriptors.len()));
        let listeners = Listener::from_fds(descriptors).unwrap();
        assert_eq!(listeners.len(), 2);
        let second = successor(&first, listeners, 2);
        let addresses = |running: &Running| {
            let listening = running.listeners().into_iter();
            listening.map(|one| one.address).collect::<Vec<_>>()
        };
        assert_eq!(addresses(&second), addresses(first.running()));
        first.running().stop_accepting();
        ask_at(&first.client(), first.address).unwrap();
        ask(&first.client(), connect(&path)).unwrap();
        assert!(path.exists());
    }

    #[test]
    fn descriptors_that_are_no_listeners_are_refused() {
        let (one, _other) = UnixStream::pair().unwrap();
        let listeners = Listener::from_fds([OwnedFd::from(one)]).unwrap();
        let first = server();
        first.running().listen(&listeners[0]).unwrap_err();
        let file = std::fs::File::open("/dev/null").unwrap();
        Listener::from_fds([OwnedFd::from(file)]).unwrap_err();
        let datagrams = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        Listener::from_fds([OwnedFd::from(datagrams)]).unwrap_err();
    }

    #[test]
    fn a_failed_handshake_over_a_unix_socket_is_reported_with_its_path() {
        let first = server();
        let path = first.directory.path().join("s");
        first.running().listen(&Listener::path(&path)).unwrap();
        let mut socket = connect(&path);
        // Without a port there is no URL that it could be redirected to.
        socket
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            .unwrap();
        let mut text = String::new();
        let _ = socket.read_to_string(&mut text);
        assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
        let events = first
            .witness
            .wait("it", |events| events.handshakes.len() == 1);
        let seen = &events.handshakes[0];
        assert_eq!(seen.local, format!("unix:{}", path.display()));
        assert!(matches!(seen.peer, PeerAddress::Unix(Some(_))));
    }
}
