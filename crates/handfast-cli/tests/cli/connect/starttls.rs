//! STARTTLS with a scripted peer for each protocol: what leads to TLS, and what must not.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use handfast::{ClosePolicy, Ending, ServerContext};

use super::support::{Finished, run, serve};
use crate::common::Fixture;

/// One turn of a server: what it waits for (nothing, for a greeting), and what it says.
type Turn = (&'static [u8], &'static [u8]);

const MYSQL_GREETING: &[u8] =
    b"\x1e\0\0\0\x0a8.0\0\x01\0\0\0saltsalt\0\xff\xff\x2d\x02\0\xff\xcf\x15\0\0\0\0";

/// What MySQL's client says last before TLS, with nothing to answer it.
const MYSQL_REQUEST: &[u8] = b"\x20\0\0\x01\x01\x8a\x08\0\0\0\0\x01\x2d";

/// Each protocol's way to TLS.
const WAYS: &[(&str, &[Turn])] = &[
    (
        "smtp",
        &[
            (b"", b"220-mail.example ESMTP\r\n220 ready\r\n"),
            (
                b"EHLO localhost\r\n",
                b"250-mail.example\r\n250-STARTTLS\r\n250 HELP\r\n",
            ),
            (b"STARTTLS\r\n", b"220 go ahead\r\n"),
        ],
    ),
    (
        "imap",
        &[
            (b"", b"* OK ready\r\n"),
            (
                b"a CAPABILITY\r\n",
                b"* CAPABILITY IMAP4rev1 STARTTLS\r\na OK done\r\n",
            ),
            (b"b STARTTLS\r\n", b"b OK begin\r\n"),
        ],
    ),
    (
        "pop3",
        &[
            (b"", b"+OK ready\r\n"),
            (b"CAPA\r\n", b"+OK\r\nTOP\r\nSTLS\r\n.\r\n"),
            (b"STLS\r\n", b"+OK begin\r\n"),
        ],
    ),
    (
        "ftp",
        &[(b"", b"220 ready\r\n"), (b"AUTH TLS\r\n", b"234 go\r\n")],
    ),
    (
        "ldap",
        &[(
            b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037",
            b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
        )],
    ),
    (
        "xmpp",
        &[
            (
                b"<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
                  xmlns:stream='http://etherx.jabber.org/streams' to='localhost' version='1.0'>",
                b"<?xml version='1.0'?><stream:stream id='x'><stream:features>\
                  <starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>\
                  </stream:features>",
            ),
            (
                b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
                b"<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            ),
        ],
    ),
    ("postgres", &[(b"\0\0\0\x08\x04\xd2\x16\x2f", b"S")]),
    ("mysql", &[(b"", MYSQL_GREETING)]),
    (
        "sieve",
        &[
            (
                b"",
                b"\"IMPLEMENTATION\" \"x\"\r\n\"STARTTLS\"\r\nOK \"ready\"\r\n",
            ),
            (b"STARTTLS\r\n", b"OK \"begin\"\r\n"),
        ],
    ),
    (
        "nntp",
        &[
            (b"", b"200 news\r\n"),
            (b"STARTTLS\r\n", b"382 continue\r\n"),
        ],
    ),
];

fn expect(socket: &mut TcpStream, bytes: &[u8]) {
    let mut came = vec![0; bytes.len()];
    socket.read_exact(&mut came).unwrap();
    assert_eq!(
        came.escape_ascii().to_string(),
        bytes.escape_ascii().to_string()
    );
}

/// What the client said under TLS and how it ended; or what it said in plain text to a server that
/// did not begin TLS.
type Came = Result<(Vec<u8>, Ending), Vec<u8>>;

/// Plays the turns, then TLS with `then`, if it is to come to that.
fn connect(
    fixture: &Fixture,
    protocol: &str,
    turns: Vec<(Vec<u8>, Vec<u8>)>,
    then: Option<ServerContext>,
) -> (Finished, Came) {
    let is_mysql = protocol == "mysql";
    let (address, server) = serve(move |mut socket| {
        for (awaited, said) in turns {
            expect(&mut socket, &awaited);
            socket.write_all(&said).unwrap();
        }
        let Some(context) = then else {
            let mut rest = Vec::new();
            let _ = socket.read_to_end(&mut rest);
            return Err(rest);
        };
        if is_mysql {
            expect(&mut socket, MYSQL_REQUEST);
            expect(&mut socket, &[0; 23]);
        }
        let mut stream = context.accept(socket).unwrap();
        let came = stream.read_to_ending().unwrap();
        stream.write_all(b"secured").unwrap();
        stream.close(ClosePolicy::default());
        Ok(came)
    });
    let port = address.port();
    let target = format!("localhost:{port}");
    let mut command = fixture.connect(["--starttls", protocol, &target]);
    let finished = run(&mut command, b"typed");
    (finished, server.join().unwrap())
}

fn owned(turns: &[Turn]) -> Vec<(Vec<u8>, Vec<u8>)> {
    turns
        .iter()
        .map(|(awaited, said)| (awaited.to_vec(), said.to_vec()))
        .collect()
}

#[test]
fn every_protocol_leads_to_a_session() {
    let fixture = Fixture::new();
    for (protocol, turns) in WAYS {
        let context = fixture.server_context();
        let (finished, came) = connect(&fixture, protocol, owned(turns), Some(context));
        let finished = finished.expect(0, &["verified for localhost", "close: complete"]);
        assert_eq!(finished.out(), "secured", "{protocol}");
        assert_eq!(
            came,
            Ok((b"typed".to_vec(), Ending::CloseNotify)),
            "{protocol}"
        );
    }
    assert_eq!(WAYS.len(), handfast_dial::StartTls::ALL.len());
}

#[test]
fn plain_text_injected_behind_the_answer_is_refused_in_every_protocol() {
    let fixture = Fixture::new();
    for (protocol, turns) in WAYS {
        let mut turns = owned(turns);
        let (_, last) = turns.last_mut().unwrap();
        last.extend_from_slice(b"a OK \x1b[2Jinjected\r\n");
        let (finished, said) = connect(&fixture, protocol, turns, None);
        let finished = finished.expect(8, &["starttls-injection", "injected", "another network"]);
        assert_eq!(finished.stdout, b"", "{protocol}");
        // Neither a ClientHello nor any input was sent to that peer.
        assert_eq!(said, Err(Vec::new()), "{protocol}");
    }
}

#[test]
fn a_server_that_refuses_or_does_not_offer_tls_is_sent_nothing() {
    let fixture = Fixture::new();
    // The protocol, how many of its turns go as they should, what is said instead of the next.
    let cases: &[(&str, usize, &[u8], i32, &str)] = &[
        ("smtp", 0, b"554 go away\r\n", 64, "starttls-client-refused"),
        (
            "smtp",
            1,
            b"250-mail\r\n250 HELP\r\n",
            64,
            "starttls-not-offered",
        ),
        ("smtp", 2, b"454 no key\r\n", 64, "starttls-refused"),
        ("imap", 0, b"* PREAUTH welcome\r\n", 64, "starttls-refused"),
        (
            "imap",
            1,
            b"* CAPABILITY IMAP4rev1\r\na OK\r\n",
            64,
            "starttls-not-offered",
        ),
        ("imap", 2, b"b NO not now\r\n", 64, "starttls-refused"),
        (
            "pop3",
            1,
            b"+OK\r\nTOP\r\n.\r\n",
            64,
            "starttls-not-offered",
        ),
        ("pop3", 2, b"-ERR no\r\n", 64, "starttls-refused"),
        ("ftp", 1, b"530 no\r\n", 64, "starttls-refused"),
        (
            "ldap",
            0,
            b"\x30\x0e\x02\x01\x01\x78\x09\x0a\x01\x02\x04\x00\x04\x02no",
            64,
            "starttls-refused",
        ),
        (
            "xmpp",
            0,
            b"<stream:stream><stream:features/>",
            64,
            "starttls-not-offered",
        ),
        (
            "xmpp",
            1,
            b"<failure/></stream:stream>",
            64,
            "starttls-refused",
        ),
        ("postgres", 0, b"N", 64, "starttls-not-offered"),
        (
            "mysql",
            0,
            b"\x0a\0\0\0\xff\x6a\x04blocked",
            64,
            "starttls-client-refused",
        ),
        (
            "sieve",
            0,
            b"\"SIEVE\" \"x\"\r\nOK\r\n",
            64,
            "starttls-not-offered",
        ),
        ("sieve", 1, b"NO \"no key\"\r\n", 64, "starttls-refused"),
        ("nntp", 1, b"580 no\r\n", 64, "starttls-refused"),
        // What is not this protocol at all.
        ("smtp", 0, b"SSH-2.0-x\r\n", 8, "starttls-unexpected-answer"),
        (
            "postgres",
            0,
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            8,
            "starttls-unexpected-answer",
        ),
        (
            "imap",
            0,
            b"\x15\x03\x03\0\x02\x02\x28",
            8,
            "starttls-already-tls",
        ),
    ];
    for (protocol, good, instead, code, id) in cases {
        let (_, turns) = WAYS.iter().find(|(name, _)| name == protocol).unwrap();
        let mut turns = owned(turns);
        turns.truncate(good + 1);
        turns[*good].1 = instead.to_vec();
        let (finished, said) = connect(&fixture, protocol, turns, None);
        let finished = finished.expect(*code, &[id]);
        assert_eq!(finished.stdout, b"", "{protocol}");
        assert_eq!(said, Err(Vec::new()), "{protocol}");
    }
}

/// It waits for a ClientHello, so both ends wait.
#[test]
fn a_server_that_speaks_tls_from_the_first_byte_is_told_as_that() {
    let fixture = Fixture::new();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = format!("localhost:{}", listener.local_addr().unwrap().port());
    let context = fixture.server_context();
    std::thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let context = context.clone();
            std::thread::spawn(move || context.accept(socket).map(drop));
        }
    });
    for (protocol, _) in WAYS {
        let mut command = fixture.connect(["--starttls", protocol, &target]);
        let finished = run(&mut command, b"").expect(8, &["starttls-already-tls"]);
        assert_eq!(finished.stdout, b"", "{protocol}");
    }
    let mut command = fixture.command("inspect");
    command.args(fixture.trust());
    command.args(["--starttls", "imap", &target]);
    run(&mut command, b"").expect(8, &["starttls-already-tls"]);
    // Not asked when it was not to be.
    let mut command = fixture.connect(["--starttls", "imap", "--no-probe", &target]);
    command.args(["--connect-timeout", "2.5"]);
    run(&mut command, b"").expect(28, &["timed-out"]);
}

#[test]
fn a_server_that_hangs_up_or_says_nothing_is_not_waited_for() {
    let fixture = Fixture::new();
    for (protocol, turns) in WAYS {
        let (awaited, _) = turns[0];
        let (address, _server) = serve(move |mut socket| expect(&mut socket, awaited));
        let target = format!("localhost:{}", address.port());
        let mut command = fixture.connect(["--starttls", protocol, &target]);
        run(&mut command, b"").expect(8, &["starttls-ended"]);
    }
    let (address, _server) = serve(|mut socket| drop(socket.read_to_end(&mut Vec::new())));
    let target = format!("localhost:{}", address.port());
    let mut command = fixture.connect(["--starttls", "smtp", "--connect-timeout", "0.2", &target]);
    run(&mut command, b"").expect(28, &["timed-out"]);
    let mut command = fixture.connect(["--starttls", "gopher", "localhost"]);
    run(&mut command, b"").expect(2, &["gopher", "sieve"]);
}
