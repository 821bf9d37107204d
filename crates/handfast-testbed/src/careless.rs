//! Peers that present any chain with any key: rustls without its checks of its own identity. For chains that
//! a careful server or client would refuse to load.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
pub use rustls::version;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, ServerConfig, ServerConnection,
    SignatureScheme, SupportedProtocolVersion,
};

/// A chain and a key, which need not match.
#[derive(Debug, Clone)]
pub struct Careless(Arc<CertifiedKey>);

impl Careless {
    /// # Panics
    /// When the key is no private key.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: &PrivateKeyDer<'_>) -> Self {
        let key = aws_lc_rs::sign::any_supported_type(key).expect("a private key");
        Self(Arc::new(CertifiedKey::new(chain, key)))
    }

    /// A server that presents it, over this version.
    ///
    /// # Panics
    /// Never, unless rustls changes.
    pub fn server(&self, version: &'static SupportedProtocolVersion) -> ServerConnection {
        let config = ServerConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(&[version])
            .expect("the version is supported")
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(self.clone()));
        ServerConnection::new(Arc::new(config)).expect("a server")
    }

    /// A client that presents it to every server that requests a certificate, without verifying the server.
    ///
    /// # Panics
    /// Never, unless rustls changes.
    pub fn client(&self, version: &'static SupportedProtocolVersion) -> ClientConnection {
        let config = ClientConfig::builder_with_provider(aws_lc_rs::default_provider().into())
            .with_protocol_versions(&[version])
            .expect("the version is supported")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(AcceptsAll))
            .with_client_cert_resolver(Arc::new(self.clone()));
        let name = ServerName::try_from("localhost").expect("a name");
        ClientConnection::new(Arc::new(config), name).expect("a client")
    }

    /// A server on loopback that performs a handshake with `count` clients, one after the other, and sends
    /// `hello` to those that complete it. It ends after the last.
    ///
    /// # Panics
    /// When loopback has no port left.
    pub fn serve(&self, version: &'static SupportedProtocolVersion, count: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
        let address = listener.local_addr().expect("a bound port");
        let this = self.clone();
        thread::spawn(move || {
            for socket in listener.incoming().take(count) {
                // Tests expect clients to refuse us.
                let _ = socket.and_then(|socket| converse(socket, this.server(version).into()));
            }
        });
        address
    }

    /// Performs a handshake with the server at `address`, presenting the chain, and reads its reply.
    ///
    /// # Errors
    /// Any failure, in particular an alert.
    pub fn call(
        &self,
        address: SocketAddr,
        version: &'static SupportedProtocolVersion,
    ) -> io::Result<Vec<u8>> {
        let socket = TcpStream::connect(address)?;
        converse(socket, self.client(version).into())
    }
}

/// Sends `hello` and `close_notify`, and reads to the peer's end.
fn converse(mut socket: TcpStream, mut tls: rustls::Connection) -> io::Result<Vec<u8>> {
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    tls.writer().write_all(b"hello")?;
    tls.send_close_notify();
    while tls.wants_write() {
        tls.write_tls(&mut socket)?;
    }
    let mut reply = Vec::new();
    loop {
        match tls.reader().read_to_end(&mut reply) {
            Ok(_) => return Ok(reply),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                tls.read_tls(&mut socket)?;
                tls.process_new_packets().map_err(io::Error::other)?;
            }
            Err(error) => return Err(error),
        }
    }
}

impl ResolvesServerCert for Careless {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

impl ResolvesClientCert for Careless {
    fn resolve(&self, _issuers: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Accepts every server.
#[derive(Debug)]
struct AcceptsAll;

impl ServerCertVerifier for AcceptsAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}
