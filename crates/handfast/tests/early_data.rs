//! Rejecting early data, which clients with another server's tickets send: it is skipped, however it is split, and the
//! connection continues normally.

use std::io::{IoSlice, Read as _, Write as _};
use std::sync::Arc;

use handfast::{
    Cause, Connection, Ending, Identity, Passphrase, PeerCause, ReadOutcome, ServerContext,
};
use handfast_testbed::pki::Pki;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

/// The early data that the earlier server would have accepted.
const ALLOWED: u32 = 16 * 1024;

/// A client with a ticket of a server that accepts early data, which now connects to ours, of the same name.
struct Visit {
    client: ClientConnection,
    ours: Connection,
}

impl Visit {
    fn new(retries: bool) -> Self {
        let pki = Pki::new();
        let issued = pki.server(&["localhost"]);
        let mut roots = RootCertStore::empty();
        roots.add(pki.root.der.clone()).unwrap();
        let mut config = ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.enable_early_data = true;
        let config = Arc::new(config);
        let name = || ServerName::try_from("localhost").unwrap();
        let connect = || ClientConnection::new(Arc::clone(&config), name()).unwrap();

        let mut before = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![issued.der.clone()], issued.key_der())
            .unwrap();
        before.max_early_data_size = ALLOWED;
        let mut before = ServerConnection::new(Arc::new(before)).unwrap();
        let mut client = connect();
        for _ in 0..4 {
            let mut bytes = Vec::new();
            client.write_tls(&mut bytes).unwrap();
            before.read_tls(&mut &bytes[..]).unwrap();
            before.process_new_packets().unwrap();
            let mut bytes = Vec::new();
            while before.wants_write() {
                before.write_tls(&mut bytes).unwrap();
            }
            client.read_tls(&mut &bytes[..]).unwrap();
            client.process_new_packets().unwrap();
        }

        let (chain, key) = (issued.cert_pem(), issued.key_pem());
        let identity = Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none());
        let mut server = ServerContext::builder().identity(identity.unwrap());
        if retries {
            // The first hello has no key share for it.
            server = server.groups(["secp384r1"]);
            // rustls requires the ticket in the second hello, too, so the hash must be the same.
            server = server.cipher_suites(["TLS_AES_256_GCM_SHA384"]);
        }
        Self {
            client: connect(),
            ours: server.build().unwrap().connection().unwrap(),
        }
    }

    fn take_client(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.client.wants_write() {
            self.client.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    fn carry_ours(&mut self) {
        let bytes = self.ours.outgoing().to_vec();
        self.ours.sent(bytes.len());
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            self.client.read_tls(&mut rest).unwrap();
            self.client.process_new_packets().unwrap();
        }
    }

    /// Completes the handshake, with the client's bytes in pieces.
    fn shake(&mut self, piece: usize) -> Result<(), handfast::Error> {
        for _ in 0..4 {
            for piece in self.take_client().chunks(piece) {
                self.ours.receive(piece);
                self.ours.process()?;
            }
            self.carry_ours();
        }
        assert!(!self.client.is_handshaking() && !self.ours.is_handshaking());
        Ok(())
    }
}

#[test]
fn rejected_early_data_is_skipped_however_it_is_split() {
    for retries in [false, true] {
        for (records, length) in [(0, 0), (1, 1), (1, 16_000), (15, 1_000), (200, 10)] {
            for piece in [1, 500, usize::MAX] {
                let what = format!("{records} of {length}, in {piece}, retries: {retries}");
                let mut visit = Visit::new(retries);
                // A record for each write.
                for _ in 0..records {
                    let mut early = visit.client.early_data().expect("it has a ticket for it");
                    early.write_all(&vec![7; length]).unwrap();
                }
                visit
                    .shake(piece)
                    .unwrap_or_else(|error| panic!("{what}: {error:?}"));
                assert!(!visit.client.is_early_data_accepted(), "{what}");

                // None of it is returned as data.
                visit.client.writer().write_all(b"request").unwrap();
                let bytes = visit.take_client();
                visit.ours.receive(&bytes);
                let mut buffer = [0; 100];
                assert_eq!(
                    visit.ours.read(&mut buffer).unwrap(),
                    ReadOutcome::Data(7),
                    "{what}"
                );
                assert_eq!(&buffer[..7], b"request");
                visit.ours.write(&[IoSlice::new(b"reply")]).unwrap();
                visit.ours.flush().unwrap();
                visit.carry_ours();
                let mut reply = [0; 5];
                visit.client.reader().read_exact(&mut reply).unwrap();
                assert_eq!(&reply, b"reply");

                // Its keys, its end, and early data of unknown length.
                visit.client.refresh_traffic_keys().unwrap();
                let bytes = visit.take_client();
                visit.ours.receive(&bytes);
                assert_eq!(
                    visit.ours.read(&mut buffer).unwrap(),
                    ReadOutcome::WouldBlock
                );
                visit.ours.send_close_notify().unwrap();
                visit.carry_ours();
                visit.client.send_close_notify();
                let bytes = visit.take_client();
                visit.ours.receive(&bytes);
                let end = visit.ours.read(&mut buffer).unwrap();
                assert_eq!(end, ReadOutcome::End(Ending::CloseNotify));
            }
        }
    }
}

/// rustls asserts in debug builds that nothing fails after `close_notify` was sent. It must not receive such a record,
/// also after early data; our build and those of others have these assertions enabled.
#[test]
fn a_bad_record_after_our_close_notify_is_an_error_and_no_panic() {
    for early in [true, false] {
        let mut visit = Visit::new(false);
        if early {
            let mut data = visit.client.early_data().unwrap();
            data.write_all(b"early").unwrap();
        }
        visit.shake(usize::MAX).unwrap();
        visit.ours.send_close_notify().unwrap();
        visit.ours.receive(&[23, 3, 3, 0, 20]);
        visit.ours.receive(&[7; 20]);
        let error = visit.ours.read(&mut [0; 10]).unwrap_err();
        assert!(
            matches!(error.cause(), Cause::Peer(PeerCause::BadRecord)),
            "{error:?}"
        );
        // Nothing follows close_notify.
        assert_eq!(visit.ours.alert_sent(), None);
    }
}

/// Skipping is bounded, and a record that is not early data ends it.
#[test]
fn early_data_above_the_limit_is_a_bad_record() {
    for record in [
        [&[23, 3, 3, 0, 40][..], &[7; 40]].concat(),
        vec![23, 3, 3, 0, 0],
    ] {
        let mut visit = Visit::new(false);
        visit
            .client
            .early_data()
            .unwrap()
            .write_all(b"early")
            .unwrap();
        let bytes = visit.take_client();
        visit.ours.receive(&bytes);
        visit.ours.process().unwrap();
        let mut received = 0;
        let error = loop {
            assert!(received < 1 << 20, "a megabyte of it was skipped");
            visit.ours.receive(&record);
            received += record.len();
            assert!(visit.ours.memory_held() < 1 << 20);
            if let Err(error) = visit.ours.process() {
                break error;
            }
        };
        assert!(
            matches!(error.cause(), Cause::Peer(PeerCause::BadRecord)),
            "{error:?}"
        );
        assert_eq!(visit.ours.alert_sent().unwrap().name(), "bad_record_mac");
        assert!(received > 10_000, "{received}");
    }
}
