//! One address that takes too much, and another one that is served all the same.

#![cfg(all(feature = "server", target_os = "linux"))]

mod server_common;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use handfast::{ClosePolicy, ReadOutcome, Stream};
use handfast_https::server::{AddressLimit, Body, ConnectionInfo, Limits, Rate, Request, Response};
use server_common::{Fixture, PATIENCE, Reply, Setup};
use socket2::{Domain, Socket, Type};

/// All of 127.0.0.0/8 is this machine.
const ABUSER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 1);
const INNOCENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

fn server(change: impl FnOnce(&mut Limits)) -> (Fixture, Arc<AtomicUsize>) {
    let mut limits = Limits::default();
    change(&mut limits);
    let handled = Arc::new(AtomicUsize::new(0));
    let setup = Setup {
        limits,
        ..Setup::default()
    };
    let count = Arc::clone(&handled);
    let server = Fixture::start(setup, |_| {
        move |_: Request, _: Arc<ConnectionInfo>| {
            count.fetch_add(1, Ordering::Relaxed);
            async { Response::new(Body::from("served\n")) }
        }
    });
    (server, handled)
}

fn rate(per_second: u32, burst: u32) -> Option<Rate> {
    Some(Rate::new(per_second.try_into().unwrap(), burst))
}

fn connect(server: &Fixture, from: Ipv4Addr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&server.address.into()).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.into()
}

/// Asks once; whether it was served, or its connection was reset.
fn is_served(server: &Fixture, from: Ipv4Addr) -> bool {
    let Ok(mut stream) = server.client().secure("localhost", connect(server, from)) else {
        return false;
    };
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .unwrap();
    let (bytes, ending) = stream.read_to_ending().unwrap();
    stream.close(ClosePolicy::Send);
    Reply::parse(&bytes, ending).status == 200
}

fn limited(server: &Fixture) -> Vec<(AddressLimit, Option<IpAddr>, u64)> {
    server.witness.events().limited
}

#[test]
fn too_many_connections_of_one_address_are_reset_and_others_are_served() {
    let (server, _) = server(|limits| limits.connections_per_address_max = 3.try_into().ok());
    let held: Vec<_> = (0..3).map(|_| connect(&server, ABUSER)).collect();
    while server.running().connections() < 3 {
        std::thread::yield_now();
    }
    for _ in 0..50 {
        let mut refused = connect(&server, ABUSER);
        // Before TLS: not a byte comes.
        let error = refused.read(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        assert!(server.running().connections() <= 4);
    }
    assert!(!is_served(&server, ABUSER) && is_served(&server, INNOCENT));
    let told = (AddressLimit::Connections, Some(ABUSER.into()), 1);
    assert_eq!(limited(&server), [told]);
    drop(held);
    server.wait_idle();
    assert!(is_served(&server, ABUSER));
    // Those that were refused are no failed handshakes.
    assert_eq!(server.witness.events().handshakes.len(), 3);
}

#[test]
fn too_many_handshakes_of_one_address_are_refused_and_others_are_served() {
    let (server, _) = server(|limits| limits.handshakes_per_address = rate(1, 5));
    let began = Instant::now();
    let served = (0..40).filter(|_| is_served(&server, ABUSER)).count();
    let at_most = 5 + began.elapsed().as_secs() as usize + 1;
    assert!((5..=at_most).contains(&served), "{served}");
    assert!(is_served(&server, INNOCENT));
    let told = (AddressLimit::Handshakes, Some(ABUSER.into()), 1);
    assert_eq!(limited(&server), [told]);
    assert!(server.witness.events().handshakes.is_empty());
}

#[test]
fn too_many_requests_of_one_address_get_429_and_no_handler_sees_them() {
    let (server, handled) = server(|limits| limits.requests_per_address = rate(1, 4));
    let began = Instant::now();
    let client = server.client();
    let mut statuses = Vec::new();
    // Over two connections: it is the address that counts.
    for _ in 0..2 {
        let socket = connect(&server, ABUSER);
        let mut stream = client.secure("localhost", socket).unwrap();
        for _ in 0..10 {
            let reply = ask(&mut stream);
            let is_refused = reply.status == 429;
            let wait = reply.field("retry-after").map(str::to_owned);
            assert_eq!(wait.as_deref(), is_refused.then_some("1"), "{reply:?}");
            statuses.push(reply.status);
        }
    }
    let served = statuses.iter().filter(|status| **status == 200).count();
    let at_most = 4 + began.elapsed().as_secs() as usize + 1;
    assert!((4..=at_most).contains(&served), "{statuses:?}");
    assert_eq!(handled.load(Ordering::Relaxed), served);
    assert!(is_served(&server, INNOCENT));
    let told = (AddressLimit::Requests, Some(ABUSER.into()), 1);
    assert_eq!(limited(&server), [told]);
}

/// One request on a kept connection.
fn ask(stream: &mut Stream<TcpStream>) -> Reply {
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    stream.flush().unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 1000];
        match stream.read_some(&mut buffer).unwrap() {
            ReadOutcome::Data(count) => bytes.extend_from_slice(&buffer[..count]),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&bytes)),
        }
        // Each body ends with the only newline after the head.
        let text = String::from_utf8_lossy(&bytes);
        if let Some((_, body)) = text.split_once("\r\n\r\n")
            && body.ends_with('\n')
        {
            return Reply::parse(&bytes, handfast::Ending::Premature);
        }
    }
}
