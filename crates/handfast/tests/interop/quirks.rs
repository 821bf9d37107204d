//! Other features of real peers: key updates, renegotiation requests, key logs.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;

use handfast::{
    Cause, ClientContext, ClosePolicy, Error, KeyLog, PeerCause, ServerContext, Stream, TlsVersion,
};
use handfast_testbed::launch::{OpensslServer, Program};

use crate::office::{Office, REQUEST, SOON, VERSIONS, openssl_server};

/// Our client connected to `s_server`, which reads commands from its input.
fn conversation(
    office: &Office,
    version: TlsVersion,
) -> Option<(OpensslServer, Stream<TcpStream>)> {
    let mut server = openssl_server(office, false, &[])?;
    let socket = TcpStream::connect(server.address()).unwrap();
    let mut stream = office
        .client(version, false)
        .secure("localhost", socket)
        .unwrap();
    stream.write_all(b"hello\n").unwrap();
    stream.flush().unwrap();
    server
        .process()
        .wait_for("hello", SOON)
        .expect("it receives");
    Some((server, stream))
}

fn line(stream: &mut Stream<TcpStream>) -> String {
    let mut line = String::new();
    BufReader::with_capacity(1, stream)
        .read_line(&mut line)
        .unwrap();
    line
}

/// `K` makes s_server update its keys and request an update of ours; `k` updates only its own.
#[test]
fn key_updates_of_openssl_are_applied_and_answered() {
    let office = Office::new();
    let Some((mut server, mut stream)) = conversation(&office, TlsVersion::Tls13) else {
        return;
    };
    // This reads its tickets, too.
    server.process().write("ready\n").unwrap();
    assert_eq!(line(&mut stream), "ready\n");
    for command in ["K\n", "k\n", "K\n"] {
        server.process().write(command).unwrap();
        // Its input is either a command or text at a time: wait for the KeyUpdate.
        stream.channel().set_read_timeout(Some(SOON)).unwrap();
        assert_eq!(stream.channel().peek(&mut [0]).unwrap(), 1);
        server.process().write("fresh keys\n").unwrap();
        assert_eq!(line(&mut stream), "fresh keys\n");
        stream.write_all(b"mine, too\n").unwrap();
        stream.flush().unwrap();
    }
    let heard = server.process().wait_until(SOON, |explanation| {
        (explanation.matches("mine, too").count() == 3).then_some(())
    });
    assert!(heard.is_some(), "{}", server.process().output());
}

/// `R` and `r` make s_server request renegotiation: TLS 1.2 lets us decline (RFC 5246, 7.4.1.1).
#[test]
fn renegotiation_is_declined() {
    let office = Office::new();
    for splits in [false, true] {
        let Some((mut server, mut stream)) = conversation(&office, TlsVersion::Tls12) else {
            return;
        };
        server.process().write("R\n").unwrap();
        let mut rest = Vec::new();
        let end = match splits {
            false => stream.read_to_end(&mut rest),
            true => {
                let again = stream.channel().try_clone().unwrap();
                let (mut read, _write) = stream.into_split(again);
                read.read_to_end(&mut rest)
            }
        };
        assert!(rest.is_empty());
        assert_closed_after_decline(&end.unwrap_err());
    }
}

/// OpenSSL closes the connection after our `no_renegotiation`. Its alert, `handshake_failure`, is about that, and not
/// about the parameters of the handshake.
fn assert_closed_after_decline(error: &std::io::Error) {
    let error = Error::from_io(error).expect("one of our errors");
    let Cause::Peer(PeerCause::RenegotiationRefused { alert: Some(alert) }) = error.cause() else {
        panic!("{error:?}");
    };
    assert_eq!(alert.name(), "handshake_failure");
    assert_eq!(error.explain().id, "renegotiation-refused");
}

/// Its signature is not supported, so the error is the key, not the signature.
#[test]
fn a_key_that_is_too_small_is_reported_even_without_verification() {
    let directory = tempfile::tempdir().unwrap();
    let Some(server) = OpensslServer::with_unusual_key(directory.path(), &["-newkey", "rsa:1024"])
    else {
        return;
    };
    for version in VERSIONS {
        let client = ClientContext::builder()
            .danger()
            .accept_any_certificate()
            .versions([version])
            .build()
            .unwrap();
        let socket = TcpStream::connect(server.address()).unwrap();
        let failure = client.secure("localhost", socket).unwrap_err();
        let explanation = failure.error.explain();
        assert_eq!(explanation.id, "weak-key", "{explanation}");
        assert!(explanation.what.contains("1024 bits"), "{explanation}");
    }
}

/// The same for our server, by `s_client`.
#[test]
fn renegotiation_requested_by_a_client_is_declined() {
    let office = Office::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let Some(openssl) = Program::new("openssl") else {
        return;
    };
    let mut client = openssl
        .args([
            "s_client",
            "-connect",
            &address.to_string(),
            "-tls1_2",
            "-CAfile",
        ])
        .arg(&office.root)
        .start();
    let server = office.server(TlsVersion::Tls12, false);
    let mut stream = server.accept(listener.accept().unwrap().0).unwrap();
    client.write("R\n").unwrap();
    let mut rest = Vec::new();
    let end = stream.read_to_end(&mut rest);
    assert!(rest.is_empty(), "received data");
    assert_closed_after_decline(&end.unwrap_err());
    stream.close(ClosePolicy::default());
}

/// The lines of a key log, without comments.
fn secrets(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .filter(|line| !line.starts_with('#') && !line.is_empty())
        .map(str::to_ascii_lowercase)
        .collect()
}

#[test]
fn our_key_log_and_openssls_hold_the_same_secrets() {
    let office = Office::new();
    for version in VERSIONS {
        let name = |what: &str| {
            office
                .directory
                .path()
                .join(format!("{what}-{version:?}.log"))
        };
        let (ours, theirs) = (name("ours"), name("theirs"));
        let flag = match version {
            TlsVersion::Tls12 => "-tls1_2",
            _ => "-tls1_3",
        };

        let server = ServerContext::builder()
            .identity(office.server_identity.clone())
            .key_log(KeyLog::to_file(&ours).unwrap())
            .build()
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let Some(openssl) = Program::new("openssl") else {
            return;
        };
        let client = openssl
            .args([
                "s_client",
                "-connect",
                &address,
                flag,
                "-ign_eof",
                "-keylogfile",
            ])
            .arg(&theirs)
            .stdin(REQUEST)
            .start();
        let mut stream = server.accept(listener.accept().unwrap().0).unwrap();
        stream.close(ClosePolicy::default());
        drop(client);
        assert_eq!(secrets(&ours), secrets(&theirs), "{version:?}");
        assert!(!secrets(&ours).is_empty());

        let (ours, theirs) = (name("our-client"), name("their-server"));
        let keylog = ["-www", "-keylogfile", theirs.to_str().unwrap()];
        let Some(server) = openssl_server(&office, false, &keylog) else {
            return;
        };
        let client = ClientContext::builder()
            .trust(office.trust.clone())
            .versions([version])
            .key_log(KeyLog::to_file(&ours).unwrap())
            .build()
            .unwrap();
        let socket = TcpStream::connect(server.address()).unwrap();
        let mut stream = client.secure("localhost", socket).unwrap();
        stream.write_all(REQUEST.as_bytes()).unwrap();
        stream.read_to_ending().unwrap();
        drop(server);
        assert_eq!(secrets(&ours), secrets(&theirs), "{version:?}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&ours).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "the file decrypts the traffic");
        }
    }
}
