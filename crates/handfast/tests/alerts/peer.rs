//! A peer based on rustls whose encrypted records can be changed by a test.
//!
//! The suites are rustls' own, except that each record's content type and content pass through a function of
//! the test before encryption.

use std::cell::RefCell;
use std::io::Read as _;
use std::sync::Arc;

use handfast::{
    ClientContext, Connection, Identity, Passphrase, ServerContext, TlsVersion, TrustAnchors,
};
use handfast_testbed::pki::Pki;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::crypto::cipher::{
    AeadKey, Iv, KeyBlockShape, MessageDecrypter, MessageEncrypter, OutboundChunks,
    OutboundOpaqueMessage, OutboundPlainMessage, Tls12AeadAlgorithm, Tls13AeadAlgorithm,
    UnsupportedOperationError,
};
use rustls::crypto::{CipherSuiteCommon, CryptoProvider};
use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, ConnectionTrafficSecrets, ContentType, Error,
    RootCertStore, ServerConfig, ServerConnection, SupportedCipherSuite, Tls12CipherSuite,
    Tls13CipherSuite,
};

/// Changes a record before encryption, given its sequence number under the current key, its content type and its
/// content.
pub(crate) type Change = fn(u64, &mut ContentType, &mut Vec<u8>);

thread_local! {
    static CHANGE: RefCell<Change> = const { RefCell::new(|_, _, _| ()) };
}

struct Forging13(&'static dyn Tls13AeadAlgorithm);
struct Forging12(&'static dyn Tls12AeadAlgorithm);
struct Forging(Box<dyn MessageEncrypter>);

impl MessageEncrypter for Forging {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        let (mut typ, mut content) = (message.typ, message.payload.to_vec());
        CHANGE.with_borrow(|change| change(sequence, &mut typ, &mut content));
        let message = OutboundPlainMessage {
            typ,
            version: message.version,
            payload: OutboundChunks::Single(&content),
        };
        self.0.encrypt(message, sequence)
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        self.0.encrypted_payload_len(length)
    }
}

impl Tls13AeadAlgorithm for Forging13 {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Forging(self.0.encrypter(key, iv)))
    }
    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        self.0.decrypter(key, iv)
    }
    fn key_len(&self) -> usize {
        self.0.key_len()
    }
    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }
}

impl Tls12AeadAlgorithm for Forging12 {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(Forging(self.0.encrypter(key, iv, extra)))
    }
    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        self.0.decrypter(key, iv)
    }
    fn key_block_shape(&self) -> KeyBlockShape {
        self.0.key_block_shape()
    }
    fn extract_keys(
        &self,
        key: AeadKey,
        iv: &[u8],
        explicit: &[u8],
    ) -> Result<ConnectionTrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv, explicit)
    }
}

fn common(of: &CipherSuiteCommon) -> CipherSuiteCommon {
    CipherSuiteCommon {
        suite: of.suite,
        hash_provider: of.hash_provider,
        confidentiality_limit: of.confidentiality_limit,
    }
}

/// One suite of each version. They live as long as the tests.
fn provider(version: TlsVersion) -> Arc<CryptoProvider> {
    let of = match version {
        TlsVersion::Tls12 => cipher_suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
        _ => cipher_suite::TLS13_AES_128_GCM_SHA256,
    };
    let suite = match of {
        SupportedCipherSuite::Tls13(of) => {
            SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                common: common(&of.common),
                hkdf_provider: of.hkdf_provider,
                aead_alg: Box::leak(Box::new(Forging13(of.aead_alg))),
                quic: None,
            })))
        }
        SupportedCipherSuite::Tls12(of) => {
            SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                common: common(&of.common),
                prf_provider: of.prf_provider,
                kx: of.kx,
                sign: of.sign,
                aead_alg: Box::leak(Box::new(Forging12(of.aead_alg))),
            })))
        }
    };
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![suite];
    Arc::new(provider)
}

/// Both ends, ours as the client or as the server, before their handshake.
pub(crate) struct Pair {
    pub(crate) ours: Connection,
    pub(crate) theirs: rustls::Connection,
    /// The error of their end.
    pub(crate) failed: Option<Error>,
}

impl Pair {
    pub(crate) fn new(version: TlsVersion, is_client: bool, change: Change) -> Self {
        CHANGE.set(change);
        let pki = Pki::new();
        let issued = pki.server(&["localhost"]);
        let provider = provider(version);
        let (ours, theirs) = if is_client {
            let trust = TrustAnchors::empty().with_certificate_der(pki.root.der.clone());
            let context = ClientContext::builder().trust(trust.unwrap());
            let config = ServerConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(vec![issued.der.clone()], issued.key_der())
                .unwrap();
            let theirs = ServerConnection::new(Arc::new(config)).unwrap();
            let context = context.build().unwrap();
            (context.connection("localhost").unwrap(), theirs.into())
        } else {
            let (chain, key) = (issued.cert_pem(), issued.key_pem());
            let identity =
                Identity::from_bytes(chain.as_bytes(), key.as_bytes(), Passphrase::none());
            let context = ServerContext::builder().identity(identity.unwrap());
            let mut roots = RootCertStore::empty();
            roots.add(pki.root.der.clone()).unwrap();
            let config = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let name = ServerName::try_from("localhost").unwrap();
            let theirs = ClientConnection::new(Arc::new(config), name).unwrap();
            let context = context.build().unwrap();
            (context.connection().unwrap(), theirs.into())
        };
        Self {
            ours,
            theirs,
            failed: None,
        }
    }

    /// The output of their end.
    pub(crate) fn take_theirs(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.theirs.wants_write() {
            self.theirs.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// Transfers our output to their end.
    pub(crate) fn carry_ours(&mut self) {
        let bytes = self.ours.outgoing().to_vec();
        self.ours.sent(bytes.len());
        let mut rest = &bytes[..];
        while !rest.is_empty() && self.failed.is_none() {
            if self.theirs.read_tls(&mut rest).unwrap() == 0 {
                break;
            }
            self.failed = self.theirs.process_new_packets().err();
            let _ = self.theirs.reader().read_to_end(&mut Vec::new());
        }
    }

    /// Performs the handshake and reads on both sides until there is no more output. Returns our error.
    pub(crate) fn run(&mut self) -> Result<(), handfast::Error> {
        let mut result = Ok(());
        for _ in 0..6 {
            let bytes = self.take_theirs();
            self.ours.receive(&bytes);
            if result.is_ok() {
                result = match self.ours.is_handshaking() {
                    true => self.ours.process(),
                    false => self.ours.read(&mut [0; 100]).map(|_| ()),
                };
            }
            self.carry_ours();
        }
        result
    }

    /// The alert that ended their connection.
    pub(crate) fn alert_at_theirs(&self) -> Option<AlertDescription> {
        match self.failed {
            Some(Error::AlertReceived(alert)) => Some(alert),
            _ => None,
        }
    }
}
