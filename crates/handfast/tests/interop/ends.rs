//! Endings by other implementations.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use handfast::{CloseOutcome, ClosePolicy, Ending, TlsVersion};
use handfast_testbed::launch::{Program, Running};

use crate::office::{Office, SOON, VERSIONS, openssl_server};

/// A Python server that sends a reply and ends each connection in the requested way.
const PYTHON_SERVER: &str = r"
import socket, ssl, struct, sys
chain, key, version, how = sys.argv[1:5]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(chain, key)
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
listener = socket.create_server(('127.0.0.1', 0))
print('ACCEPT', listener.getsockname()[1], flush=True)
plain, _ = listener.accept()
tls = context.wrap_socket(plain, server_side=True)
tls.recv(65536)
tls.sendall(b'reply' * 20000)
tls.recv(65536)
if how == 'close_notify':
    tls.unwrap()
elif how == 'reset':
    tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
tls.close()
";

#[test]
fn endings_by_python_are_recognized() {
    let office = Office::new();
    for version in VERSIONS {
        for (how, expected) in [
            ("close_notify", Ending::CloseNotify),
            ("fin", Ending::Premature),
            ("reset", Ending::Reset),
        ] {
            let Some(python) = Program::new("python3") else {
                return;
            };
            let name = match version {
                TlsVersion::Tls12 => "TLSv1_2",
                _ => "TLSv1_3",
            };
            let python: Running = python
                .args(["-c", PYTHON_SERVER])
                .arg(&office.server.chain_pem)
                .arg(&office.server.key_pem)
                .args([name, how])
                .start();
            let line = python.wait_for("ACCEPT ", SOON).expect("it listens");
            let port: u16 = line.rsplit(' ').next().unwrap().trim().parse().unwrap();
            let socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
            let client = office.client(version, false);
            let mut stream = client.secure("localhost", socket).unwrap();
            stream.write_all(b"request").unwrap();
            let mut reply = vec![0; 100_000];
            stream.read_exact(&mut reply).unwrap();
            stream.write_all(b"and now end").unwrap();
            let (rest, ending) = stream.read_to_ending().unwrap();
            assert_eq!((rest.len(), ending), (0, expected), "{version:?} {how}");
        }
    }
}

#[test]
fn openssl_killed_in_mid_exchange_is_a_premature_end() {
    let office = Office::new();
    for version in VERSIONS {
        let Some(mut server) = openssl_server(&office, false, &[]) else {
            return;
        };
        let socket = TcpStream::connect(server.address()).unwrap();
        let client = office.client(version, false);
        let mut stream = client.secure("localhost", socket).unwrap();
        stream.write_all(b"hello\n").unwrap();
        stream.flush().unwrap();
        server
            .process()
            .wait_for("hello", SOON)
            .expect("it receives");
        server.process().write("half a rep").unwrap();
        server.process().write("ly\n").unwrap();
        let mut reply = [0; 13];
        stream.read_exact(&mut reply).unwrap();
        assert_eq!(&reply, b"half a reply\n");
        drop(server);
        let (rest, ending) = stream.read_to_ending().unwrap();
        assert!(rest.is_empty());
        assert_eq!(ending, Ending::Premature, "{version:?}");
    }
}

/// `Q` makes s_server quit; it prints "shutting down SSL", but sends no `close_notify`.
#[test]
fn openssl_that_quits_without_close_notify_is_a_premature_end() {
    let office = Office::new();
    for version in VERSIONS {
        let Some(mut server) = openssl_server(&office, false, &[]) else {
            return;
        };
        let socket = TcpStream::connect(server.address()).unwrap();
        let client = office.client(version, false);
        let mut stream = client.secure("localhost", socket).unwrap();
        stream.write_all(b"hello\n").unwrap();
        stream.flush().unwrap();
        server
            .process()
            .wait_for("hello", SOON)
            .expect("it receives");
        server.process().write("Q\n").unwrap();
        let (rest, ending) = stream.read_to_ending().unwrap();
        assert!(rest.is_empty());
        assert_eq!(ending, Ending::Premature, "{version:?}");
        assert_ne!(
            stream.close(ClosePolicy::Wait(SOON)),
            CloseOutcome::Complete
        );
    }
}

#[test]
fn a_client_that_is_killed_is_a_premature_end_to_our_server() {
    let office = Office::new();
    for version in VERSIONS {
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
                "-quiet",
                "-CAfile",
            ])
            .arg(&office.root)
            .start();
        let server = office.server(version, false);
        let mut stream = server.accept(listener.accept().unwrap().0).unwrap();
        client.write("half a request\n").unwrap();
        let mut request = [0; 15];
        stream.read_exact(&mut request).unwrap();
        assert_eq!(&request, b"half a request\n");
        drop(client);
        let read = stream.read(&mut [0; 10]);
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
        assert_eq!(stream.ending(), Some(Ending::Premature), "{version:?}");
    }
}
