//! Record protection: plaintext into records, records into plaintext, one key for each direction.
//!
//! RFC 8446, section 5.2, for TLS 1.3; RFC 5288 (AES-GCM) and RFC 7905 (ChaCha20-Poly1305) for TLS 1.2.
//! The keys are from rustls' handshake. Its own record layer copies every byte once more and allocates
//! for every record; here plaintext is encrypted from the caller's memory into the buffer that is sent.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey,
};
use rustls::{ContentType, Error, PeerMisbehaved};
use zeroize::Zeroizing;

use crate::record::RECORD_MAX;

/// Content type, version and length.
pub(crate) const HEADER: usize = 5;

/// The limit on a record's payload (RFC 5246, section 6.2.3).
pub(crate) const PAYLOAD_MAX: usize = RECORD_MAX + 2048;

pub(crate) const TAG: usize = 16;

/// The length of the explicit nonce of AES-GCM in TLS 1.2.
const EXPLICIT_NONCE: usize = 8;

/// The limit on records for each key, so that sequence numbers do not wrap.
const SEQUENCE_MAX: u64 = u64::MAX - 0xffff;

/// The version of TLS 1.2, and the legacy version of TLS 1.3 (RFC 8446, section 5.1).
const LEGACY_VERSION: [u8; 2] = [3, 3];

/// The AEAD algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Aes128Gcm,
    Aes256Gcm,
    ChaCha20Poly1305,
}

impl Algorithm {
    fn aead(self) -> &'static aws_lc_rs::aead::Algorithm {
        match self {
            Self::Aes128Gcm => &AES_128_GCM,
            Self::Aes256Gcm => &AES_256_GCM,
            Self::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        }
    }
}

/// How a suite makes nonces and records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// The content type is encrypted after the plaintext.
    Tls13,
    Tls12Gcm,
    Tls12ChaCha,
}

impl Scheme {
    /// The scheme of TLS 1.2 for this algorithm.
    pub(crate) fn of_tls12(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::ChaCha20Poly1305 => Self::Tls12ChaCha,
            Algorithm::Aes128Gcm | Algorithm::Aes256Gcm => Self::Tls12Gcm,
        }
    }

    fn nonce(self) -> usize {
        match self {
            Self::Tls12Gcm => EXPLICIT_NONCE,
            Self::Tls13 | Self::Tls12ChaCha => 0,
        }
    }
}

/// The keys of one direction, from a certain record on.
pub(crate) struct Keys {
    pub(crate) algorithm: Algorithm,
    pub(crate) scheme: Scheme,
    /// The first bytes, as many as the algorithm needs.
    pub(crate) key: Zeroizing<[u8; 32]>,
    pub(crate) iv: [u8; 12],
    /// The number of the next record.
    pub(crate) sequence: u64,
    /// How many records the key may protect (RFC 8446, section 5.5).
    pub(crate) records_max: u64,
}

/// One direction's key and sequence number.
struct Key {
    aead: LessSafeKey,
    iv: [u8; 12],
    /// The number of the next record.
    sequence: u64,
    scheme: Scheme,
}

impl Key {
    fn new(keys: &Keys) -> Result<Self, Error> {
        let aead = keys.algorithm.aead();
        let bytes = keys.key.get(..aead.key_len()).unwrap_or_default();
        let key = UnboundKey::new(aead, bytes).map_err(|_| Error::EncryptError)?;
        Ok(Self {
            aead: LessSafeKey::new(key),
            iv: keys.iv,
            sequence: keys.sequence,
            scheme: keys.scheme,
        })
    }

    /// The nonce of the next record (RFC 8446, section 5.3): the initialisation vector, and the sequence
    /// number in its last eight bytes.
    fn nonce(&self) -> [u8; 12] {
        let mut nonce = self.iv;
        let (_, last) = nonce.split_at_mut(4);
        for (place, byte) in last.iter_mut().zip(self.sequence.to_be_bytes()) {
            *place ^= byte;
        }
        nonce
    }

    /// The associated data of the next record.
    fn associated(
        &self,
        content_type: ContentType,
        version: [u8; 2],
        content: usize,
        payload: usize,
    ) -> Associated {
        match self.scheme {
            Scheme::Tls13 => Associated::Tls13(header(ContentType::ApplicationData, payload)),
            Scheme::Tls12Gcm | Scheme::Tls12ChaCha => {
                let mut bytes = [0; 13];
                let (sequence, rest) = bytes.split_at_mut(8);
                sequence.copy_from_slice(&self.sequence.to_be_bytes());
                rest.copy_from_slice(&header(content_type, content));
                if let [_, major, minor, ..] = rest {
                    [*major, *minor] = version;
                }
                Associated::Tls12(bytes)
            }
        }
    }
}

/// The header of a record. The payload's length fits two bytes.
fn header(content_type: ContentType, payload: usize) -> [u8; HEADER] {
    let [major, minor] = LEGACY_VERSION;
    let [.., high, low] = payload.to_be_bytes();
    [u8::from(content_type), major, minor, high, low]
}

/// Associated data of a record.
enum Associated {
    Tls12([u8; 13]),
    Tls13([u8; 5]),
}

impl AsRef<[u8]> for Associated {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Tls12(bytes) => bytes,
            Self::Tls13(bytes) => bytes,
        }
    }
}

/// Makes records.
pub(crate) struct Sealer {
    key: Key,
    sequence_max: u64,
}

impl Sealer {
    pub(crate) fn new(keys: &Keys) -> Result<Self, Error> {
        Ok(Self {
            key: Key::new(keys)?,
            sequence_max: keys.records_max.min(SEQUENCE_MAX),
        })
    }

    /// Whether it is the record protocol of TLS 1.3.
    pub(crate) fn is_tls13(&self) -> bool {
        self.key.scheme == Scheme::Tls13
    }

    /// Whether the next record is the last one that the key may protect (RFC 8446, section 5.5).
    pub(crate) fn is_worn(&self) -> bool {
        self.key.sequence + 1 >= self.sequence_max
    }

    /// Sets the key's limit to `count` more records.
    #[cfg(test)]
    pub(crate) fn limit_to(&mut self, count: u64) {
        self.sequence_max = self.key.sequence + count;
    }

    /// The overhead of a record.
    pub(crate) fn overhead(&self) -> usize {
        let content_type = usize::from(self.key.scheme == Scheme::Tls13);
        HEADER + self.key.scheme.nonce() + content_type + TAG
    }

    /// Makes a record at the front of `room`, and returns its length.
    ///
    /// # Errors
    /// The plaintext is too long for one record, the room too small, or the key's limit reached.
    pub(crate) fn seal(
        &mut self,
        content_type: ContentType,
        plaintext: &[u8],
        room: &mut [u8],
    ) -> Result<usize, Error> {
        let key = &mut self.key;
        let worn = key.sequence >= self.sequence_max;
        if worn || plaintext.len() > RECORD_MAX {
            return Err(Error::EncryptError);
        }
        let kind = [u8::from(content_type)];
        let inner_type: &[u8] = match key.scheme {
            Scheme::Tls13 => &kind,
            Scheme::Tls12Gcm | Scheme::Tls12ChaCha => &[],
        };
        let nonce = key.nonce();
        let payload = key.scheme.nonce() + plaintext.len() + inner_type.len() + TAG;
        let record = room
            .get_mut(..HEADER + payload)
            .ok_or(Error::EncryptError)?;
        let (front, rest) = record.split_at_mut(HEADER);
        let (explicit, rest) = rest.split_at_mut(key.scheme.nonce());
        let (ciphertext, tail) = rest.split_at_mut(plaintext.len());
        let outer_type = match key.scheme {
            Scheme::Tls13 => ContentType::ApplicationData,
            Scheme::Tls12Gcm | Scheme::Tls12ChaCha => content_type,
        };
        front.copy_from_slice(&header(outer_type, payload));
        explicit.copy_from_slice(&nonce[nonce.len() - explicit.len()..]);
        let version = LEGACY_VERSION;
        let sealed = key.aead.seal_out_of_place_scatter(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(key.associated(content_type, version, plaintext.len(), payload)),
            plaintext,
            ciphertext,
            inner_type,
            tail,
        );
        sealed.map_err(|_| Error::EncryptError)?;
        key.sequence += 1;
        Ok(HEADER + payload)
    }
}

/// Opens records.
pub(crate) struct Opener(Key);

impl Opener {
    pub(crate) fn new(keys: &Keys) -> Result<Self, Error> {
        Key::new(keys).map(Self)
    }

    /// Decrypts a whole record in place: its content type and content.
    ///
    /// # Errors
    /// It was not sealed with the peer's key at this sequence number, or is malformed.
    pub(crate) fn open<'r>(
        &mut self,
        record: &'r mut [u8],
    ) -> Result<(ContentType, &'r mut [u8]), Error> {
        let key = &mut self.0;
        let Some((header, payload)) = record.split_first_chunk_mut::<HEADER>() else {
            return Err(Error::DecryptError);
        };
        if key.sequence >= SEQUENCE_MAX {
            return Err(Error::DecryptError);
        }
        let outer = ContentType::from(header[0]);
        let is_expected = match key.scheme {
            Scheme::Tls13 => outer == ContentType::ApplicationData,
            Scheme::Tls12Gcm | Scheme::Tls12ChaCha => outer != ContentType::ChangeCipherSpec,
        };
        if !is_expected {
            return Err(unexpected(outer));
        }
        let explicit = key.scheme.nonce();
        let mut nonce = key.nonce();
        if let Some(sent) = payload.get(..explicit).filter(|sent| !sent.is_empty()) {
            nonce[..4].copy_from_slice(&key.iv[..4]);
            nonce[4..].copy_from_slice(sent);
        }
        let version = [header[1], header[2]];
        let whole = payload.len();
        let length = whole
            .checked_sub(explicit + TAG)
            .ok_or(Error::DecryptError)?;
        let associated = key.associated(outer, version, length, whole);
        let opened = key.aead.open_in_place(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(associated),
            &mut payload[explicit..],
        );
        let content = opened.map_err(|_| Error::DecryptError)?;
        key.sequence += 1;
        match key.scheme {
            Scheme::Tls13 => unpadded(content),
            _ if content.len() > RECORD_MAX => Err(Error::PeerSentOversizedRecord),
            _ => Ok((outer, content)),
        }
    }
}

/// The content type is the last byte that is not zero (RFC 8446, section 5.4).
fn unpadded(inner: &mut [u8]) -> Result<(ContentType, &mut [u8]), Error> {
    if inner.len() > RECORD_MAX + 1 {
        return Err(Error::PeerSentOversizedRecord);
    }
    let Some(end) = inner.iter().rposition(|byte| *byte != 0) else {
        return Err(PeerMisbehaved::IllegalTlsInnerPlaintext.into());
    };
    match ContentType::from(inner[end]) {
        ContentType::ChangeCipherSpec => {
            Err(PeerMisbehaved::IllegalMiddleboxChangeCipherSpec.into())
        }
        content_type => Ok((content_type, &mut inner[..end])),
    }
}

/// A record of an unexpected type.
pub(crate) fn unexpected(got_type: ContentType) -> Error {
    Error::InappropriateMessage {
        expect_types: vec![ContentType::ApplicationData, ContentType::Handshake],
        got_type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALGORITHMS: [Algorithm; 3] = [
        Algorithm::Aes128Gcm,
        Algorithm::Aes256Gcm,
        Algorithm::ChaCha20Poly1305,
    ];

    /// Both sides of one direction, at the same sequence number, for every algorithm in both versions.
    fn ends() -> impl Iterator<Item = ((Algorithm, Scheme), Sealer, Opener)> {
        let both = |algorithm| {
            [Scheme::Tls13, Scheme::of_tls12(algorithm)].map(|scheme| (algorithm, scheme))
        };
        ALGORITHMS
            .into_iter()
            .flat_map(both)
            .map(|(algorithm, scheme)| {
                let keys = Keys {
                    algorithm,
                    scheme,
                    key: Zeroizing::new([5; 32]),
                    iv: [9; 12],
                    sequence: 7,
                    records_max: u64::MAX,
                };
                let sealer = Sealer::new(&keys).unwrap();
                ((algorithm, scheme), sealer, Opener::new(&keys).unwrap())
            })
    }

    fn sealed(sealer: &mut Sealer, content_type: ContentType, plaintext: &[u8]) -> Vec<u8> {
        let mut record = vec![0; plaintext.len() + sealer.overhead()];
        let length = sealer.seal(content_type, plaintext, &mut record).unwrap();
        assert_eq!(length, record.len(), "the overhead is exact");
        record
    }

    #[test]
    fn a_sealed_record_opens_once_in_order_and_unchanged() {
        for (suite, mut sealer, mut opener) in ends() {
            for length in [0, 1, 5, 1_000, RECORD_MAX] {
                let plaintext = vec![3; length];
                let record = sealed(&mut sealer, ContentType::ApplicationData, &plaintext);
                let (content_type, content) = opener
                    .open(&mut record.clone())
                    .map(|(kind, content)| (kind, content.to_vec()))
                    .unwrap();
                assert_eq!(content_type, ContentType::ApplicationData);
                assert_eq!(content, plaintext);
                let again = opener.open(&mut record.clone()).err();
                assert_eq!(again, Some(Error::DecryptError), "{suite:?}: replayed");
            }
            let record = sealed(&mut sealer, ContentType::Handshake, b"message");
            for place in 0..record.len() {
                let mut changed = record.clone();
                changed[place] ^= 1;
                // In TLS 1.3 the associated data is the expected header, which the caller has checked.
                let is_header = place < HEADER;
                assert!(
                    is_header || opener.open(&mut changed).is_err(),
                    "{suite:?}: {place}"
                );
            }
            for length in 0..record.len() {
                assert!(opener.open(&mut record[..length].to_vec()).is_err());
            }
            let (content_type, content) = opener
                .open(&mut record.clone())
                .map(|(kind, content)| (kind, content.to_vec()))
                .unwrap();
            assert_eq!(
                (content_type, &content[..]),
                (ContentType::Handshake, &b"message"[..])
            );
        }
    }

    #[test]
    fn a_key_seals_no_more_than_its_limit() {
        for (_, mut sealer, _) in ends() {
            sealer.limit_to(2);
            let mut room = [0; 100];
            assert!(!sealer.is_worn());
            sealer
                .seal(ContentType::ApplicationData, b"x", &mut room)
                .unwrap();
            assert!(sealer.is_worn());
            sealer.seal(ContentType::Alert, b"x", &mut room).unwrap();
            let third = sealer.seal(ContentType::Alert, b"x", &mut room);
            assert_eq!(third, Err(Error::EncryptError));
        }
    }

    #[test]
    fn records_keep_to_their_room_and_their_length() {
        for (_, mut sealer, _) in ends() {
            let kind = ContentType::ApplicationData;
            let mut small = vec![0; 4 + sealer.overhead()];
            assert!(sealer.seal(kind, b"12345", &mut small).is_err());
            let long = vec![0; RECORD_MAX + 1];
            let mut room = vec![0; 2 * RECORD_MAX];
            assert!(sealer.seal(kind, &long, &mut room).is_err());
            assert!(sealer.seal(kind, b"1234", &mut small).is_ok());
        }
    }
}
