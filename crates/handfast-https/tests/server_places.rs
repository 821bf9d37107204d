//! More connections than there are places: those that wait are served as soon as one is free, and those that have
//! a place make room.

#![cfg(feature = "server")]

mod server_common;

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use handfast::{ClosePolicy, Ending, ReadOutcome, Stream};
use handfast_https::server::{CloseReason, Limits};
use server_common::{Fixture, PATIENCE, Setup};

const HEAD: &[u8] = b"GET /f HTTP/1.1\r\nHost: localhost\r\n\r\n";

fn server(connections_max: usize, threads: usize) -> Fixture {
    let mut limits = Limits::default();
    limits.connections_max = connections_max;
    let server = Fixture::shelf_with(Setup {
        limits,
        threads,
        ..Setup::default()
    });
    server.put("f", "served\n");
    server
}

/// Asks, on a connection that is kept, and gives the reply.
fn ask(stream: &mut Stream<TcpStream>) -> String {
    stream.write_all(HEAD).unwrap();
    stream.flush().unwrap();
    let mut reply = Vec::new();
    while !reply.ends_with(b"served\n") {
        let mut buffer = [0; 1000];
        match stream.read_some(&mut buffer).unwrap() {
            ReadOutcome::Data(count) => reply.extend_from_slice(&buffer[..count]),
            other => panic!("{other:?} after {:?}", String::from_utf8_lossy(&reply)),
        }
    }
    String::from_utf8(reply).unwrap()
}

/// The system gives a connection to the listener of one thread; whichever that is, the place that becomes
/// free is for this connection.
#[test]
fn a_waiting_connection_gets_a_free_place() {
    let server = server(4, 2);
    let client = server.client();
    let connect = || {
        let socket = TcpStream::connect(server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut stream = client.secure("localhost", socket).unwrap();
        assert!(ask(&mut stream).starts_with("HTTP/1.1 200"));
        stream
    };
    let mut held: Vec<_> = (0..4).map(|_| connect()).collect();
    for round in 0..30 {
        let waits = TcpStream::connect(server.address).unwrap();
        waits.set_read_timeout(Some(PATIENCE)).unwrap();
        drop(held.remove(round % held.len()));
        let mut stream = client.secure("localhost", waits).unwrap();
        assert!(
            ask(&mut stream).starts_with("HTTP/1.1 200"),
            "round {round}"
        );
        held.push(stream);
        assert!(server.running().connections() <= 4);
    }
}

#[test]
fn a_full_server_is_one_event_and_a_reply_makes_room() {
    let server = server(1, 1);
    let client = server.client();
    let mut kept = server.connect_with(&client);
    assert!(!ask(&mut kept).contains("connection: close"));
    let address = server.address;
    let waits = thread::spawn(move || {
        let socket = TcpStream::connect(address).unwrap();
        ask(&mut client.secure("localhost", socket).unwrap())
    });
    let more = TcpStream::connect(address).unwrap();
    server
        .witness
        .wait("no place left", |events| !events.full.is_empty());
    // Who has a place is served, and told that this was it.
    assert!(ask(&mut kept).contains("connection: close"));
    assert!(matches!(
        kept.read_some(&mut [0; 10]),
        Ok(ReadOutcome::End(Ending::CloseNotify))
    ));
    kept.close(ClosePolicy::Send);
    drop(more);
    assert!(waits.join().unwrap().starts_with("HTTP/1.1 200"));
    assert_eq!(server.witness.events().full, [1]);
}

#[test]
fn idle_connections_are_closed_when_others_wait() {
    let server = server(2, 1);
    let client = server.client();
    let mut kept: Vec<_> = (0..2).map(|_| server.connect_with(&client)).collect();
    for stream in &mut kept {
        ask(stream);
    }
    // Longer than a handshake takes anywhere: no connection ends but for this one.
    let socket = TcpStream::connect(server.address).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut served = client.secure("localhost", socket).unwrap();
    assert!(ask(&mut served).starts_with("HTTP/1.1 200"));
    let events = server
        .witness
        .wait("one that left", |events| !events.closes.is_empty());
    assert_eq!(events.closes[0].reason, CloseReason::MadeRoom);
    // The longest idle went, in order; the other one is kept.
    let read = kept[0].read_some(&mut [0; 10]);
    assert!(
        matches!(read, Ok(ReadOutcome::End(Ending::CloseNotify))),
        "{read:?}"
    );
    ask(&mut kept[1]);
}

/// So few are refused that a new connection is always accepted.
#[test]
fn the_last_places_are_for_one_request_each() {
    let server = server(16, 1);
    let client = server.client();
    let mut kept: Vec<_> = (0..15).map(|_| server.connect_with(&client)).collect();
    for stream in &mut kept {
        assert!(!ask(stream).contains("connection: close"));
    }
    for _ in 0..3 {
        let mut last = server.connect_with(&client);
        assert!(ask(&mut last).contains("connection: close"));
        last.close(ClosePolicy::Wait(Duration::from_secs(20)));
    }
    assert!(server.witness.events().full.len() <= 1);
}
