//! Time limits of blocking questions: one limit for all steps, of any size.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use handfast::{
    Channel, ClientContext, ClosePolicy, Error, Identity, Passphrase, ServerContext, TlsVersion,
    TrustAnchors,
};
use handfast_probe::{clarify, with_unverified_reply};
use handfast_testbed::pki::Pki;

/// A server of TLS 1.3 that wants each client to log in to its network, after this delay, and what trusts it.
fn server(delay: Duration) -> (SocketAddr, TrustAnchors) {
    let pki = Pki::new();
    let issued = pki.server(&["localhost"]);
    let (chain, key) = (issued.cert_pem(), issued.key_pem());
    let identity = Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none());
    let context = ServerContext::builder()
        .identity(identity.unwrap())
        .versions([TlsVersion::Tls13])
        .build()
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            thread::sleep(delay);
            if let Ok(mut stream) = context.accept(socket.unwrap()) {
                let _ = stream.read(&mut [0; 1000]);
                let _ = stream.write_all(b"HTTP/1.1 511 x\r\n\r\n");
                stream.close(ClosePolicy::default());
            }
        }
    });
    let trust = TrustAnchors::empty().with_certificate_der(pki.root.der.clone());
    (address, trust.unwrap())
}

fn failed(client: &ClientContext, name: &str, address: SocketAddr) -> Error {
    let socket = TcpStream::connect(address).unwrap();
    client.secure(name, socket).unwrap_err().error
}

/// A socket that notes the limits that are set on it.
struct Noting {
    socket: TcpStream,
    limits: Arc<Mutex<Vec<Duration>>>,
}

impl Read for Noting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.socket.read(buffer)
    }
}

impl Write for Noting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Channel for Noting {
    fn limit_read(&mut self, limit: Option<Duration>) -> io::Result<()> {
        self.limits.lock().unwrap().extend(limit);
        self.socket.limit_read(limit)
    }
}

#[test]
fn the_time_that_one_step_takes_is_not_given_to_the_next() {
    const LIMIT: Duration = Duration::from_secs(10);
    const DELAY: Duration = Duration::from_millis(1_500);
    let (address, trust) = server(DELAY);
    let client = ClientContext::builder().trust(trust);
    let error = failed(&client.build().unwrap(), "other.example", address);
    let limits = Arc::default();
    let connect = || {
        let socket = TcpStream::connect(address)?;
        let limits = Arc::clone(&limits);
        Ok::<_, io::Error>(Noting { socket, limits })
    };
    let error = with_unverified_reply(error, "other.example", 443, LIMIT, connect);
    assert_eq!(error.explain().id, "captive-portal");
    let last = *limits.lock().unwrap().last().unwrap();
    assert!(last <= LIMIT - DELAY, "{last:?}");
}

#[test]
fn the_longest_limit_is_no_limit() {
    let (address, trust) = server(Duration::ZERO);
    let client = || ClientContext::builder().trust(trust.clone());
    let error = failed(&client().build().unwrap(), "other.example", address);
    let connect = || TcpStream::connect(address);
    let error = with_unverified_reply(error, "other.example", 443, Duration::MAX, connect);
    assert_eq!(error.explain().id, "captive-portal");

    let old = client().versions([TlsVersion::Tls12]).build().unwrap();
    let error = failed(&old, "localhost", address);
    let error = clarify(error, &old, "localhost", Duration::MAX, connect);
    assert!(error.is_explained(), "{error:?}");
}
