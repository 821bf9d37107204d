//! Both ends in memory, ours and bare rustls, for the measurements beside this file.

use std::io::{IoSlice, Read as _, Write as _};
use std::sync::Arc;

use handfast::{
    ClientContext, Connection, Identity, Passphrase, ReadOutcome, ServerContext, TrustAnchors,
};
use handfast_testbed::pki::Pki;
use pki_types::{CertificateDer, PrivateKeyDer};

/// As much as a caller hands over at once: four full records.
pub(crate) const PIECE: usize = 64 * 1024;

pub(crate) struct Ends {
    client: ClientContext,
    server: ServerContext,
    bare_client: Arc<rustls::ClientConfig>,
    bare_server: Arc<rustls::ServerConfig>,
}

pub(crate) fn ends() -> Ends {
    let pki = Pki::new();
    let issued = pki.server(&["localhost"]);
    let identity = Identity::from_bytes(
        issued.chain_pem(&[]).as_bytes(),
        issued.key_pem().as_bytes(),
        Passphrase::none(),
    )
    .expect("the identity is good");
    let trust = TrustAnchors::empty()
        .with_pem(pki.root.cert_pem().as_bytes())
        .expect("a root");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(pki.root.der.clone()).expect("a root");
    let mut bare_client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    bare_client.resumption = rustls::client::Resumption::disabled();
    let chain: Vec<CertificateDer<'static>> = vec![issued.der.clone()];
    let key: PrivateKeyDer<'static> = issued.key_der();
    let mut bare_server = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the identity is good");
    bare_server.send_tls13_tickets = 0;
    Ends {
        client: ClientContext::builder()
            .trust(trust)
            .resumption(false)
            .build()
            .expect("a client"),
        server: ServerContext::builder()
            .identity(identity)
            .resumption(false)
            .build()
            .expect("a server"),
        bare_client: Arc::new(bare_client),
        bare_server: Arc::new(bare_server),
    }
}

pub(crate) fn carry(from: &mut Connection, to: &mut Connection) {
    to.receive(from.outgoing());
    from.sent(from.outgoing().len());
}

pub(crate) fn ours(ends: &Ends) -> (Connection, Connection) {
    let mut client = ends.client.connection("localhost").expect("a name");
    let mut server = ends.server.connection().expect("a connection");
    while client.is_handshaking() || server.is_handshaking() {
        carry(&mut client, &mut server);
        server.process().expect("a handshake");
        carry(&mut server, &mut client);
        client.process().expect("a handshake");
    }
    (client, server)
}

pub(crate) fn bare(ends: &Ends) -> (rustls::ClientConnection, rustls::ServerConnection) {
    let name = "localhost".try_into().expect("a name");
    let mut client =
        rustls::ClientConnection::new(Arc::clone(&ends.bare_client), name).expect("a client");
    let mut server =
        rustls::ServerConnection::new(Arc::clone(&ends.bare_server)).expect("a server");
    let mut wire = Vec::new();
    while client.is_handshaking() || server.is_handshaking() {
        wire.clear();
        while client.wants_write() {
            client.write_tls(&mut wire).expect("memory");
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            server.read_tls(&mut rest).expect("memory");
            server.process_new_packets().expect("a handshake");
        }
        wire.clear();
        while server.wants_write() {
            server.write_tls(&mut wire).expect("memory");
        }
        let mut rest = &wire[..];
        while !rest.is_empty() {
            client.read_tls(&mut rest).expect("memory");
            client.process_new_packets().expect("a handshake");
        }
    }
    (client, server)
}

/// Our server writes a piece; it lies in its outgoing bytes then.
pub(crate) fn write_ours(server: &mut Connection, piece: &[u8]) {
    let written = server.write(&[IoSlice::new(piece)]).expect("open");
    assert_eq!(written, piece.len());
    server.flush().expect("open");
}

/// Our client reads all that has come.
pub(crate) fn read_ours(client: &mut Connection, sink: &mut [u8]) -> usize {
    let mut read = 0;
    while let ReadOutcome::Data(count) = client.read(sink).expect("open") {
        read += count;
    }
    read
}

/// The bare server writes a piece onto the wire.
pub(crate) fn write_bare(server: &mut rustls::ServerConnection, piece: &[u8], wire: &mut Vec<u8>) {
    server.writer().write_all(piece).expect("open");
    wire.clear();
    while server.wants_write() {
        server.write_tls(wire).expect("memory");
    }
}

/// The bare client reads what is on the wire.
pub(crate) fn read_bare(
    client: &mut rustls::ClientConnection,
    wire: &[u8],
    sink: &mut [u8],
) -> usize {
    let mut rest = wire;
    let mut read = 0;
    while !rest.is_empty() {
        client.read_tls(&mut rest).expect("memory");
        client.process_new_packets().expect("open");
        while let Ok(count) = client.reader().read(sink) {
            read += count;
        }
    }
    read
}
