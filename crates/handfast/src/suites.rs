//! rustls' cipher suites, observed during the handshake.
//!
//! rustls does not report which encrypted alert it sent; some of its failures have
//! none; and it does not report which records it skipped as rejected early data. Every record passes
//! here, so they are recorded here ([`callback_data`]); so does the master secret of TLS 1.2, which keying material is
//! exported from. Keys, records and their order are rustls'.

use rustls::crypto::aws_lc_rs::cipher_suite;
use rustls::crypto::cipher::{
    AeadKey, InboundOpaqueMessage, InboundPlainMessage, Iv, KeyBlockShape, MessageDecrypter,
    MessageEncrypter, OutboundChunks, OutboundOpaqueMessage, OutboundPlainMessage,
    Tls12AeadAlgorithm, Tls13AeadAlgorithm, UnsupportedOperationError,
};
use rustls::crypto::tls12::Prf;
use rustls::crypto::{ActiveKeyExchange, CipherSuiteCommon};
use rustls::{
    CipherSuite, ContentType, Error, PeerMisbehaved, SupportedCipherSuite, Tls12CipherSuite,
    Tls13CipherSuite,
};

use crate::callback_data;
use crate::exporter::ExporterSecret;
use crate::tls::TrafficSecrets;

/// rustls' suite with this name, with observed protection.
macro_rules! observed13 {
    ($name:ident) => {{
        static RUSTLS: &Tls13CipherSuite = tls13(&cipher_suite::$name);
        static PROTECTION: Observed13 = Observed13(RUSTLS.aead_alg);
        static SUITE: Tls13CipherSuite = Tls13CipherSuite {
            common: common(&RUSTLS.common),
            hkdf_provider: RUSTLS.hkdf_provider,
            aead_alg: &PROTECTION,
            quic: None,
        };
        SupportedCipherSuite::Tls13(&SUITE)
    }};
}
macro_rules! observed12 {
    ($name:ident) => {{
        static RUSTLS: &Tls12CipherSuite = tls12(&cipher_suite::$name);
        static PROTECTION: Observed12 = Observed12(RUSTLS.aead_alg);
        static PRF: ObservedPrf = ObservedPrf(RUSTLS.prf_provider);
        static SUITE: Tls12CipherSuite = Tls12CipherSuite {
            common: common(&RUSTLS.common),
            prf_provider: &PRF,
            kx: RUSTLS.kx,
            sign: RUSTLS.sign,
            aead_alg: &PROTECTION,
        };
        SupportedCipherSuite::Tls12(&SUITE)
    }};
}
/// Every suite that rustls has, in its order.
pub(crate) static ALL: [SupportedCipherSuite; 9] = [
    observed13!(TLS13_AES_256_GCM_SHA384),
    observed13!(TLS13_AES_128_GCM_SHA256),
    observed13!(TLS13_CHACHA20_POLY1305_SHA256),
    observed12!(TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384),
    observed12!(TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256),
    observed12!(TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256),
    observed12!(TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384),
    observed12!(TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256),
    observed12!(TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256),
];

/// The suite of this name.
pub(crate) fn find(name: CipherSuite) -> Option<SupportedCipherSuite> {
    ALL.iter().find(|suite| suite.suite() == name).copied()
}

// Evaluated at compile time: the panics are compile errors.
const fn tls13(suite: &SupportedCipherSuite) -> &'static Tls13CipherSuite {
    match suite {
        SupportedCipherSuite::Tls13(suite) => suite,
        SupportedCipherSuite::Tls12(_) => panic!("a suite of TLS 1.2"),
    }
}

const fn tls12(suite: &SupportedCipherSuite) -> &'static Tls12CipherSuite {
    match suite {
        SupportedCipherSuite::Tls12(suite) => suite,
        SupportedCipherSuite::Tls13(_) => panic!("a suite of TLS 1.3"),
    }
}

const fn common(of: &CipherSuiteCommon) -> CipherSuiteCommon {
    CipherSuiteCommon {
        suite: of.suite,
        hash_provider: of.hash_provider,
        confidentiality_limit: of.confidentiality_limit,
    }
}

struct Observed13(&'static dyn Tls13AeadAlgorithm);

impl Tls13AeadAlgorithm for Observed13 {
    fn encrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageEncrypter> {
        Box::new(Encrypter(self.0.encrypter(key, iv)))
    }

    fn decrypter(&self, key: AeadKey, iv: Iv) -> Box<dyn MessageDecrypter> {
        Box::new(Decrypter {
            inner: self.0.decrypter(key, iv),
            messages: Some(Messages::default()),
        })
    }

    fn key_len(&self) -> usize {
        self.0.key_len()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: Iv,
    ) -> Result<TrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv)
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

struct Observed12(&'static dyn Tls12AeadAlgorithm);

impl Tls12AeadAlgorithm for Observed12 {
    fn encrypter(&self, key: AeadKey, iv: &[u8], extra: &[u8]) -> Box<dyn MessageEncrypter> {
        Box::new(Encrypter(self.0.encrypter(key, iv, extra)))
    }

    fn decrypter(&self, key: AeadKey, iv: &[u8]) -> Box<dyn MessageDecrypter> {
        Box::new(Decrypter {
            inner: self.0.decrypter(key, iv),
            messages: None,
        })
    }

    fn key_block_shape(&self) -> KeyBlockShape {
        self.0.key_block_shape()
    }

    fn extract_keys(
        &self,
        key: AeadKey,
        iv: &[u8],
        explicit: &[u8],
    ) -> Result<TrafficSecrets, UnsupportedOperationError> {
        self.0.extract_keys(key, iv, explicit)
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

/// TLS 1.2's pseudo-random function (RFC 5246, section 5): what it is called with is what keying material is exported
/// from.
struct ObservedPrf(&'static dyn Prf);

impl Prf for ObservedPrf {
    fn for_key_exchange(
        &self,
        output: &mut [u8; 48],
        exchange: Box<dyn ActiveKeyExchange>,
        peer_key: &[u8],
        label: &[u8],
        seed: &[u8],
    ) -> Result<(), Error> {
        callback_data::note_master_secret(label);
        self.0
            .for_key_exchange(output, exchange, peer_key, label, seed)
    }

    fn for_secret(&self, output: &mut [u8], secret: &[u8], label: &[u8], seed: &[u8]) {
        if label == b"key expansion" {
            callback_data::note_exporter(ExporterSecret::Tls12 {
                master: secret.to_vec().into(),
                randoms: seed.to_vec(),
            });
        }
        self.0.for_secret(output, secret, label, seed);
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }
}

struct Encrypter(Box<dyn MessageEncrypter>);

impl MessageEncrypter for Encrypter {
    fn encrypt(
        &mut self,
        message: OutboundPlainMessage<'_>,
        sequence: u64,
    ) -> Result<OutboundOpaqueMessage, Error> {
        if message.typ != ContentType::Alert {
            return self.0.encrypt(message, sequence);
        }
        let mut content = message.payload.to_vec();
        if let ([_, code], Some(instead)) = (&mut content[..], callback_data::alert_wanted()) {
            *code = instead.code();
        }
        let message = OutboundPlainMessage {
            payload: OutboundChunks::Single(&content),
            ..message
        };
        let sealed = self.0.encrypt(message, sequence)?;
        callback_data::note_alert(&content, sealed.payload.as_ref());
        Ok(sealed)
    }

    fn encrypted_payload_len(&self, length: usize) -> usize {
        self.0.encrypted_payload_len(length)
    }
}

struct Decrypter {
    inner: Box<dyn MessageDecrypter>,
    /// TLS 1.3 changes keys with the last message. TLS 1.2 does not, and other messages may follow.
    messages: Option<Messages>,
}

impl MessageDecrypter for Decrypter {
    fn decrypt<'a>(
        &mut self,
        message: InboundOpaqueMessage<'a>,
        sequence: u64,
    ) -> Result<InboundPlainMessage<'a>, Error> {
        let opened = self.inner.decrypt(message, sequence);
        match (&opened, &mut self.messages) {
            (Err(Error::DecryptError), _) => callback_data::note_unopened(),
            (Ok(message), Some(messages)) if message.typ == ContentType::Handshake => {
                messages.pass(message.payload)?;
            }
            _ => {}
        }
        opened
    }
}

/// Tracks the handshake messages of one direction under one key.
///
/// Nothing may follow Finished in its record, because the keys change (RFC 8446, section 5.1). rustls detects that, too; but
/// as a client only after it has answered, and with an alert under keys that the server no longer accepts.
#[derive(Default)]
struct Messages {
    /// The bytes of a partial header, and their number.
    header: ([u8; 4], usize),
    /// The remaining length of the message.
    left: usize,
}

impl Messages {
    fn pass(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        const FINISHED: u8 = 20;
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let passed = self.left.min(bytes.len());
                self.left -= passed;
                bytes = bytes.get(passed..).unwrap_or_default();
            } else {
                let (header, seen) = &mut self.header;
                if *seen == header.len() {
                    *seen = 0;
                }
                if let Some(place) = header.get_mut(*seen) {
                    *place = *first;
                    *seen += 1;
                }
                bytes = rest;
                if let ([_, high, middle, low], 4) = (*header, *seen) {
                    self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
                }
            }
            let (header, seen) = self.header;
            let is_over = self.left == 0 && seen == header.len();
            if is_over && header[0] == FINISHED && !bytes.is_empty() {
                return Err(PeerMisbehaved::KeyEpochWithPendingFragment.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES;

    use super::{ALL, Messages};

    #[test]
    fn no_suite_of_rustls_is_missing_and_their_order_is_kept() {
        let names = |suites: &[rustls::SupportedCipherSuite]| {
            suites.iter().map(|suite| suite.suite()).collect::<Vec<_>>()
        };
        assert_eq!(names(&ALL), names(ALL_CIPHER_SUITES));
    }

    #[test]
    fn nothing_follows_finished_in_any_fragmentation() {
        let flight = [&[8, 0, 0, 2, 0, 0][..], &[15, 0, 0, 3, 1, 2, 3]].concat();
        let finished = [20, 0, 0, 2, 7, 7];
        for (behind, passes) in [(&[][..], true), (&[0], false), (&[24, 0, 0, 1, 0], false)] {
            let whole = [&flight[..], &finished, behind].concat();
            for cut in 0..=flight.len() + finished.len() {
                let mut messages = Messages::default();
                let (first, second) = whole.split_at(cut);
                let passed = messages.pass(first).and_then(|()| messages.pass(second));
                // The next record begins at the cut.
                let expected = passes || cut == flight.len() + finished.len();
                assert_eq!(passed.is_ok(), expected, "{cut} {behind:?}");
            }
        }
    }
}
