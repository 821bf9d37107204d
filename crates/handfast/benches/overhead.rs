//! What the library costs over bare rustls, both ends in memory: handshakes, writing and reading.
//!
//!     cargo bench -p handfast --bench overhead

use std::io::{IoSlice, Read as _, Write as _};
use std::sync::Arc;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use handfast::{
    ClientContext, Connection, Identity, Passphrase, Read, ServerContext, TrustAnchors,
};
use handfast_testbed::pki::Pki;
use pki_types::{CertificateDer, PrivateKeyDer};

/// As much as a caller hands over at once: four full records.
const PIECE: usize = 64 * 1024;

struct Ends {
    client: ClientContext,
    server: ServerContext,
    bare_client: Arc<rustls::ClientConfig>,
    bare_server: Arc<rustls::ServerConfig>,
}

fn ends() -> Ends {
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

fn carry(from: &mut Connection, to: &mut Connection) {
    to.receive(from.outgoing());
    from.sent(from.outgoing().len());
}

fn ours(ends: &Ends) -> (Connection, Connection) {
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

fn bare(ends: &Ends) -> (rustls::ClientConnection, rustls::ServerConnection) {
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

fn handshakes(criterion: &mut Criterion) {
    let ends = ends();
    let mut group = criterion.benchmark_group("full handshake, both ends");
    group.bench_function("handfast", |b| {
        b.iter_batched(|| (), |()| ours(&ends), BatchSize::SmallInput)
    });
    group.bench_function("rustls", |b| {
        b.iter_batched(|| (), |()| bare(&ends), BatchSize::SmallInput)
    });
    group.finish();
}

fn records(criterion: &mut Criterion) {
    let ends = ends();
    let piece = vec![0x5a; PIECE];
    let mut sink = vec![0; PIECE];
    let mut group = criterion.benchmark_group("64 KiB written, carried and read");
    group.throughput(Throughput::Bytes(PIECE as u64));
    let (mut client, mut server) = ours(&ends);
    group.bench_function("handfast", |b| {
        b.iter(|| {
            assert_eq!(server.write(&[IoSlice::new(&piece)]).expect("open"), PIECE);
            server.flush().expect("open");
            carry(&mut server, &mut client);
            let mut read = 0;
            while let Read::Data(count) = client.read(&mut sink).expect("open") {
                read += count;
            }
            assert_eq!(read, PIECE);
        });
    });
    let (mut client, mut server) = bare(&ends);
    server.set_buffer_limit(None);
    let mut wire = Vec::with_capacity(2 * PIECE);
    group.bench_function("rustls", |b| {
        b.iter(|| {
            server.writer().write_all(&piece).expect("open");
            wire.clear();
            while server.wants_write() {
                server.write_tls(&mut wire).expect("memory");
            }
            let mut rest = &wire[..];
            let mut read = 0;
            while !rest.is_empty() {
                client.read_tls(&mut rest).expect("memory");
                client.process_new_packets().expect("open");
                while let Ok(count) = client.reader().read(&mut sink) {
                    read += count;
                }
            }
            assert_eq!(read, PIECE);
        });
    });
    group.finish();
}

criterion_group!(benches, handshakes, records);
criterion_main!(benches);
