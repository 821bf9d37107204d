//! A forger with the server's keys of a TLS 1.3 connection, who sends records that no library sends.
//!
//! The keys are from the key log: after a real handshake, the forger replaces the server.

use std::io::IoSlice;

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk};
use handfast::{
    ClientContext, Connection, Identity, KeyLog, Passphrase, ServerContext, TlsVersion,
    TrustAnchors,
};
use handfast_testbed::pki::Pki;

pub(crate) const ALERT: u8 = 21;
pub(crate) const HANDSHAKE: u8 = 22;
pub(crate) const APPLICATION_DATA: u8 = 23;

/// One direction's keys (RFC 8446, section 7.3).
struct Keys {
    secret: Vec<u8>,
    key: LessSafeKey,
    nonce: [u8; 12],
    sequence: u64,
}

/// Sends as the server, and can read what the client sends.
pub(crate) struct Forger {
    ours: Keys,
    theirs: Keys,
}

impl Forger {
    /// A client after its handshake, and the forger in place of its server.
    pub(crate) fn new(pki: &Pki) -> (Connection, Self) {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("keys.log");
        let issued = pki.server(&["localhost"]);
        let (chain, key) = (issued.cert_pem(), issued.key_pem());
        let identity = Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none());
        let server = ServerContext::builder()
            .identity(identity.unwrap())
            .versions([TlsVersion::Tls13])
            .cipher_suites(["TLS_AES_128_GCM_SHA256"])
            // No tickets: our first record has sequence number 0.
            .resumption(false)
            .build()
            .unwrap();
        let trust = TrustAnchors::empty().with_certificate_der(pki.root.der.clone());
        let client = ClientContext::builder()
            .trust(trust.unwrap())
            .key_log(KeyLog::to_file(&log).unwrap())
            .build()
            .unwrap();
        let mut client = client.connection("localhost").unwrap();
        let mut server = server.connection().unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            server.receive(client.outgoing());
            client.sent(client.outgoing().len());
            server.process().unwrap();
            client.receive(server.outgoing());
            server.sent(server.outgoing().len());
            client.process().unwrap();
        }
        let log = std::fs::read_to_string(&log).unwrap();
        let mut forger = Self {
            ours: Keys::new(secret(&log, "SERVER_TRAFFIC_SECRET_0")),
            theirs: Keys::new(secret(&log, "CLIENT_TRAFFIC_SECRET_0")),
        };
        // Check the sequence numbers: the real server can decrypt the client's output.
        client.write(&[IoSlice::new(b"hello")]).unwrap();
        client.flush().unwrap();
        server.receive(client.outgoing());
        let mut bytes = [0; 5];
        server.read(&mut bytes).unwrap();
        assert_eq!(&bytes, b"hello");
        client.sent(client.outgoing().len());
        forger.theirs.sequence = 1;
        (client, forger)
    }

    /// A record of this content type.
    pub(crate) fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        self.padded(kind, content, 0)
    }

    /// The same with this many zeros of padding.
    pub(crate) fn padded(&mut self, kind: u8, content: &[u8], zeros: usize) -> Vec<u8> {
        let inner = [content, &[kind], &vec![0; zeros]].concat();
        self.ours.seal(inner)
    }

    /// A KeyUpdate; switches to the next keys.
    pub(crate) fn key_update(&mut self, requested: bool) -> Vec<u8> {
        let record = self.record(HANDSHAKE, &[24, 0, 0, 1, u8::from(requested)]);
        self.ours.renew();
        record
    }

    /// The alert in the client's next record.
    pub(crate) fn alert_in(&mut self, bytes: &[u8]) -> Option<u8> {
        let inner = self.theirs.open(bytes)?;
        match inner[..] {
            [2, code, ALERT] => Some(code),
            _ => None,
        }
    }
}

impl Keys {
    fn new(secret: Vec<u8>) -> Self {
        let key = expand(&secret, b"key", 16);
        let nonce = expand(&secret, b"iv", 12);
        Self {
            key: LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &key).unwrap()),
            nonce: nonce.try_into().unwrap(),
            sequence: 0,
            secret,
        }
    }

    fn renew(&mut self) {
        *self = Self::new(expand(&self.secret, b"traffic upd", 32));
    }

    fn nonce(&mut self) -> Nonce {
        let mut nonce = self.nonce;
        for (byte, counter) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= counter;
        }
        self.sequence += 1;
        Nonce::assume_unique_for_key(nonce)
    }

    fn seal(&mut self, mut inner: Vec<u8>) -> Vec<u8> {
        let head = head(inner.len() + 16);
        let nonce = self.nonce();
        self.key
            .seal_in_place_append_tag(nonce, Aad::from(head), &mut inner)
            .unwrap();
        [&head[..], &inner].concat()
    }

    fn open(&mut self, record: &[u8]) -> Option<Vec<u8>> {
        let (head, body) = record.split_at_checked(5)?;
        let length = usize::from(u16::from_be_bytes([head[3], head[4]]));
        let mut body = body.get(..length)?.to_vec();
        let nonce = self.nonce();
        let inner = self.key.open_in_place(nonce, Aad::from(head), &mut body);
        inner.ok().map(|inner| inner.to_vec())
    }
}

fn head(length: usize) -> [u8; 5] {
    let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
    [APPLICATION_DATA, 3, 3, high, low]
}

/// The secret of this label, from the only connection in the log.
fn secret(log: &str, label: &str) -> Vec<u8> {
    let line = log.lines().find(|line| line.starts_with(label)).unwrap();
    let digits = line.rsplit(' ').next().unwrap();
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

/// HKDF-Expand-Label without context (RFC 8446, section 7.1).
fn expand(secret: &[u8], label: &[u8], length: u8) -> Vec<u8> {
    struct Length(usize);
    impl KeyType for Length {
        fn len(&self) -> usize {
            self.0
        }
    }
    let label_length = u8::try_from(6 + label.len()).unwrap();
    let info = [&[0, length, label_length][..], b"tls13 ", label, &[0]];
    let mut bytes = vec![0; usize::from(length)];
    Prk::new_less_safe(HKDF_SHA256, secret)
        .expand(&info, Length(usize::from(length)))
        .unwrap()
        .fill(&mut bytes)
        .unwrap();
    bytes
}
