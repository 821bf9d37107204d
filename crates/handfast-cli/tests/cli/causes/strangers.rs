//! Peers that do not speak TLS, or stop: other protocols, silence, every alert there is.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use handfast_testbed::launch::free_address;

use super::{Case, HANDSHAKE, NAME, Peer, fin, serve};
use crate::common::Fixture;

/// A server that reads a ClientHello, says this, and does that.
fn stranger(greeting: &'static [u8], then: impl Fn(TcpStream) + Send + Sync + 'static) -> Peer {
    serve(move |mut socket| {
        let _ = socket.read(&mut [0; 64 * 1024]);
        let _ = socket.write_all(greeting);
        then(socket);
    })
}

/// Every alert that there is, as the answer to a ClientHello.
#[test]
fn no_alert_is_taken_for_another_cause() {
    let fixture = Fixture::new();
    for code in 0..=255u8 {
        let peer = serve(move |mut socket| {
            let _ = socket.read(&mut [0; 64 * 1024]);
            let _ = socket.write_all(&[0x15, 3, 3, 0, 2, 2, code]);
            fin(socket);
        });
        let expected = match code {
            // The end of a stream that had not begun.
            0 => "closed-in-handshake",
            70 => "protocol-version",
            112 => "name-unrecognised",
            116 => "client-certificate-required",
            120 => "no-application-protocol",
            _ => "alert-received",
        };
        let case = Case::new(expected, HANDSHAKE);
        assert_eq!(
            fixture.library(&peer, &case),
            Some(expected),
            "alert {code}"
        );
    }
}

#[test]
fn peers_that_do_not_speak_tls_or_stop() {
    let fixture = Fixture::new();
    let failed = |id| Case::new(id, HANDSHAKE);
    for (greeting, says) in [
        (&b"HTTP/1.1 400 Bad Request\r\n\r\n"[..], "plain HTTP"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "SSH"),
        (b"220 mail.example ESMTP\r\n", "--starttls smtp"),
        (b"* OK IMAP4rev1 ready\r\n", "--starttls imap"),
        (b"+OK POP3 ready\r\n", "--starttls pop3"),
        (b"220 (vsFTPd 3.0.3)\r\n", "--starttls ftp"),
        (
            b"HTTP/1.1 511 Network Authentication Required\r\n\r\n",
            "login page",
        ),
        (
            b"HTTP/1.0 302 Found\r\nLocation: http://login.hotel.example/?from=x\r\n\r\n",
            "login page",
        ),
    ] {
        let peer = stranger(greeting, fin);
        let id = match says {
            "login page" => "captive-portal",
            _ => "not-tls",
        };
        fixture.check(says, &peer, &failed(id));
        let args = [
            "--connect-to".to_owned(),
            peer.address.to_string(),
            NAME.to_owned(),
        ];
        let told = fixture.run("inspect", &args);
        assert!(told.err().contains(says), "{says} {told}");
        assert!(told.err().contains("its first bytes: "), "{told}");
    }
    fixture.check(
        "closed",
        &stranger(b"", fin),
        &failed("closed-without-a-byte"),
    );
    // The head of a record, and of a ServerHello in it.
    let begun = stranger(&[0x16, 3, 3, 0, 0x5a, 2, 0, 0, 0x56, 3, 3], fin);
    fixture.check("begun", &begun, &failed("closed-in-handshake"));
    // A close with bytes unread is a reset.
    fixture.check(
        "reset",
        &serve(|mut socket| drop(socket.read(&mut [0; 1]))),
        &failed("reset-in-handshake"),
    );
    let silent = stranger(b"", |mut socket| {
        let _ = socket.set_read_timeout(Some(Duration::from_secs(20)));
        let _ = socket.read(&mut [0; 1024]);
    });
    fixture.check("silent", &silent, &Case::new("timed-out", 28).seconds(1));
    let garbage = stranger(&[0x16, 3, 3, 0, 4, 2, 0, 0, 0], fin);
    fixture.check("garbage", &garbage, &failed("protocol-violation"));
    let alert = stranger(&[0x15, 3, 3, 0, 2, 2, 80], fin);
    fixture.check("internal_error", &alert, &failed("alert-received"));
    let unused = Peer::at(free_address());
    fixture.check("unused-port", &unused, &Case::new("connection-refused", 7));
}
