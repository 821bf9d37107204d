//! What servers and proxies say before TLS, and the first messages of TLS in both directions.

use handfast::{ClientContext, Connection, Identity, Passphrase, ServerContext, TlsVersion};
use handfast_dial::StartTls;
use handfast_probe::{ClientHello, WireVersion};
use handfast_testbed::pki::Pki;

use crate::Seeds;

pub(crate) fn write() {
    starttls();
    proxies();
    lines();
    hellos();
}

/// A dialogue that leads to TLS, and what else its server may say, for each protocol.
fn scripts(protocol: StartTls) -> Vec<&'static [u8]> {
    match protocol {
        StartTls::Smtp => vec![
            b"220-mail.example ESMTP\r\n220 ready\r\n250-mail.example\r\n250-STARTTLS\r\n250 HELP\r\n220 go\r\n",
            b"220 x\r\n250 STARTTLS\r\n454 no key\r\n",
            b"554 5.7.1 go away\r\n",
        ],
        StartTls::Imap => vec![
            b"* OK ready\r\n* CAPABILITY IMAP4rev1 STARTTLS\r\na OK done\r\nb OK begin TLS\r\n",
            b"* PREAUTH hello\r\n",
        ],
        StartTls::Pop3 => vec![
            b"+OK ready\r\n+OK list\r\nTOP\r\nSTLS\r\n.\r\n+OK begin\r\n",
            b"-ERR no\r\n",
        ],
        StartTls::Ftp => vec![b"220-hello\r\n and welcome\r\n220 ready\r\n234 go\r\n"],
        StartTls::Ldap => vec![b"\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00"],
        StartTls::Xmpp => vec![
            b"<?xml version='1.0'?><stream:stream id='>' from='x'><stream:features><starttls \
              xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features><proceed \
              xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
            b"<stream:stream><!-- > --><stream:error><host-unknown/></stream:error></stream:stream>",
        ],
        StartTls::Postgres => vec![b"S", b"N", b"E\0\0\0\x08Sx\0\0"],
        StartTls::Mysql => vec![
            b"\x1e\0\0\0\x0a8.0\0\x01\0\0\0saltsalt\0\xff\xff\x2d\x02\0\xff\xcf\x15\0\0\0\0",
            b"\x0b\0\0\0\xff\x69\x04Host no",
        ],
        StartTls::Sieve => vec![
            b"\"IMPLEMENTATION\" \"x OK\"\r\n\"STARTTLS\"\r\nOK \"ready\"\r\nOK \"begin\"\r\n",
            b"NO {5}\r\nlater\r\n",
        ],
        StartTls::Nntp => vec![b"200 news.example\r\n382 continue\r\n", b"400 no\r\n"],
        _ => Vec::new(),
    }
}

fn starttls() {
    let mut seeds = Seeds::new("starttls");
    for (number, protocol) in (0..).zip(StartTls::ALL) {
        for script in scripts(protocol) {
            seeds.add(&[&[number], script]);
            seeds.add(&[&[number], script, b"\x16\x03\x03injected"]);
        }
    }
    seeds.add(&[&[0], &b"220-and\r\n".repeat(40)]);
}

fn proxies() {
    let mut seeds = Seeds::new("proxy");
    for answer in [
        "HTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.0 200 Connection established\r\nVia: x\r\n\r\nearly",
        "HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=\"a, b\"\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 302 Found\r\nLocation: https://login.example/\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 502 Bad\u{7}\r\n\r\n",
        "\x05\x00",
    ] {
        seeds.add(&[&[0], answer.as_bytes()]);
    }
    let bound = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x1f\x90";
    for kind in [1, 2] {
        seeds.add(&[&[kind], b"\x05\x00", bound]);
        seeds.add(&[&[kind], b"\x05\x02\x01\x00", bound]);
        seeds.add(&[&[kind], b"\x05\x02\x01\x01"]);
        seeds.add(&[&[kind], b"\x05\xff"]);
        seeds.add(&[&[kind], b"\x05\x00\x05\x04\x00\x03\x09shop.test\x00\x50"]);
        seeds.add(&[&[kind], b"\x05\x00\x05\x05\x00\x04", &[0; 18]]);
        seeds.add(&[&[kind], b"HTTP/1.1 400 Bad Request\r\n\r\n"]);
    }
}

fn lines() {
    let mut seeds = Seeds::new("lines");
    // The target takes the numbers from the end of its input: the longest line, the size of pieces.
    for text in [
        &b"one\r\ntwo\n\nfour\r\n"[..],
        b"no end",
        b"\r\r\n\0\n",
        b"caf\xc3\xa9\r\n\xff\xfe\n",
        b"a line that is longer than it may be\r\nnext\r\n",
    ] {
        seeds.add(&[text, &[80, 3]]);
        seeds.add(&[text, &[8, 1]]);
    }
}

/// ClientHellos of ours, and what servers of ours answer to them.
fn hellos() {
    let context = ClientContext::builder().alpn(["h2", "http/1.1"]);
    let context = context.build().expect("a context");
    let connection = context.connection("shop.example").expect("a connection");
    let own = connection.outgoing().to_vec();
    let probe = |version| ClientHello::new(version).with_server_name("shop.example");
    let all = [
        own,
        probe(WireVersion::Tls13).encode(),
        probe(WireVersion::Tls13).with_key_shares().encode(),
        probe(WireVersion::Tls12)
            .with_alpn(["h2"])
            .asking_for_timestamps()
            .encode(),
        probe(WireVersion::Tls10).encode(),
        ClientHello::of_all_versions().with_key_shares().encode(),
    ];
    let mut seeds = Seeds::new("client_hello");
    for hello in &all {
        seeds.add(&[hello]);
        // The message without the headers of its record and its own.
        seeds.add(&[hello.get(9..).unwrap_or_default()]);
    }

    let mut seeds = Seeds::new("answer");
    for version in [TlsVersion::Tls13, TlsVersion::Tls12] {
        let server = Pki::new().server(&["shop.example"]);
        let (chain, key) = (server.cert_pem(), server.key_pem());
        let identity = Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none());
        let server = ServerContext::builder()
            .identity(identity.expect("an identity"))
            .versions([version])
            .build()
            .expect("a context");
        for hello in &all {
            let answer = answer(server.connection().expect("a connection"), hello);
            seeds.add(&[&answer]);
        }
    }
    for text in [
        &b"\x15\x03\x03\x00\x02\x02\x28"[..],
        b"\x15\x03\x01\x00\x02\x01\x00",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"220 mail.example ESMTP\r\n",
        b"\x16\x03\x03\x40\x01\x02",
    ] {
        seeds.add(&[text]);
    }
}

fn answer(mut connection: Connection, hello: &[u8]) -> Vec<u8> {
    connection.receive(hello);
    // Where it fails, its alert is the answer.
    let _ = connection.process();
    connection.outgoing().to_vec()
}
