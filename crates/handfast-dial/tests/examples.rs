//! The example runs, against mail servers of every kind.
//!
//! `cargo test` builds it beforehand; after `cargo test --test examples` alone it may be missing (and is then asked
//! for) or old.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use handfast::{ClosePolicy, Identity, Passphrase, ServerContext};
use handfast_testbed::launch::{Finished, Program};
use handfast_testbed::pki::{Pki, Spec};

/// What a mail server does.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// All of it, in order.
    Proper,
    /// It does not list STARTTLS.
    WithoutTls,
    /// It is gone after the greeting under TLS.
    CutOff,
    /// Its certificate has expired.
    Expired,
}

fn line(reader: &mut impl Read) -> String {
    let mut line = String::new();
    BufReader::with_capacity(1, reader)
        .read_line(&mut line)
        .unwrap();
    line
}

fn serve(kind: Kind, context: &ServerContext, mut socket: TcpStream) {
    socket.write_all(b"220 mail.example ESMTP\r\n").unwrap();
    assert!(line(&mut socket).starts_with("EHLO "));
    if kind == Kind::WithoutTls {
        socket
            .write_all(b"250-mail.example\r\n250 SIZE 1000\r\n")
            .unwrap();
        return;
    }
    socket
        .write_all(b"250-mail.example\r\n250 STARTTLS\r\n")
        .unwrap();
    assert_eq!(line(&mut socket), "STARTTLS\r\n");
    socket.write_all(b"220 go ahead\r\n").unwrap();
    let Ok(mut stream) = context.accept(socket) else {
        return;
    };
    assert!(line(&mut stream).starts_with("EHLO "));
    if kind == Kind::CutOff {
        return;
    }
    stream
        .write_all(b"250-mail.example\r\n250-8BITMIME\r\n250 AUTH PLAIN\r\n")
        .unwrap();
    stream.flush().unwrap();
    assert_eq!(line(&mut stream), "QUIT\r\n");
    stream.write_all(b"221 bye\r\n").unwrap();
    stream.close(ClosePolicy::Wait(Duration::from_secs(10)));
}

/// What the example says of such a server.
fn smtp(kind: Kind) -> Finished {
    let directory = tempfile::tempdir().unwrap();
    let pki = Pki::new();
    let spec = Spec::server(&["localhost"]);
    let issued = pki.root.issue(match kind {
        Kind::Expired => spec.expired(),
        _ => spec,
    });
    let (chain, key) = (issued.cert_pem(), issued.key_pem());
    let identity = Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none());
    let context = ServerContext::builder().identity(identity.unwrap());
    let context = context.build().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serving = thread::spawn(move || serve(kind, &context, listener.accept().unwrap().0));
    let finished = example("smtp")
        .arg(format!("localhost:{port}"))
        .arg(&pki.root.write(directory.path(), "root", &[]).chain_pem)
        .run();
    serving.join().unwrap();
    finished
}

/// Examples lie beside the directory of the tests.
fn example(name: &str) -> Program {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = profile
        .join("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let there = path.is_file();
    assert!(
        there,
        "{} is missing: cargo build --examples",
        path.display()
    );
    Program::at(path)
}

#[test]
fn smtp_says_what_a_mail_server_offers_and_how_it_ended() {
    let finished = smtp(Kind::Proper);
    assert!(finished.succeeded(), "{finished}");
    for text in [
        "secured: TLS 1.3",
        "offers: mail.example, 8BITMIME, AUTH PLAIN",
        "the server ended by close_notify; closed: complete",
    ] {
        assert!(finished.out().contains(text), "no {text:?}: {finished}");
    }
}

#[test]
fn smtp_says_why_there_is_no_mail() {
    for (kind, text) in [
        (
            Kind::WithoutTls,
            "localhost: the SMTP server does not offer TLS [starttls-not-offered]",
        ),
        (Kind::CutOff, "without close_notify"),
        (Kind::Expired, "[certificate-expired]"),
    ] {
        let finished = smtp(kind);
        assert_eq!(finished.code, Some(1), "{finished}");
        assert!(finished.printed(text), "no {text:?}: {finished}");
    }
}
