//! Parses a ClientHello, to report a client's offer if a handshake fails.
//!
//! rustls rejects some hellos before the application can see them, so this is a separate parser. It
//! trusts nothing, allocates no more than the input, and parses truncated
//! hellos. It affects no decision.

use crate::registry::{GroupId, SchemeId, SuiteId, WireVersion};
use crate::wire::{Reader, is_grease};

/// The longest fragment of a record (RFC 5246, section 6.2.3).
const FRAGMENT_MAX: usize = 16 * 1024 + 2048;

/// What a client offered in its (first) ClientHello, in its order, as far as it arrived.
///
/// All of it is untrusted. Names that are printed or written to a log
/// must be escaped ([`escape_control`](crate::escape_control)); the lists of names that the methods
/// return are escaped already.
///
/// ```
/// use handfast::ClientOffer;
/// let mut hello = vec![22, 3, 1, 0, 47, 1, 0, 0, 43, 3, 1]; // a record, a ClientHello, TLS 1.0
/// hello.extend([7; 32]); // random
/// hello.extend([0, 0, 4, 0xc0, 0x13, 0, 0x2f, 1, 0]); // no session, two suites, no compression
/// let offer = ClientOffer::parse(&hello).expect("a ClientHello");
/// assert_eq!(offer.version_names(), ["TLS 1.0"]);
/// assert_eq!(offer.cipher_suites.len(), 2);
/// assert!(offer.complete && offer.server_name.is_none());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ClientOffer {
    /// Whether all of the hello arrived and is well-formed.
    pub complete: bool,
    /// The legacy version field, which is 1.2 in TLS 1.3.
    pub legacy_version: u16,
    /// The versions of `supported_versions` (RFC 8446, section 4.2.1); empty without it.
    pub supported_versions: Vec<u16>,
    /// Cipher suites.
    pub cipher_suites: Vec<SuiteId>,
    /// Key exchange groups.
    pub groups: Vec<GroupId>,
    /// Signature schemes; clients before TLS 1.2 have none.
    pub signature_schemes: Vec<SchemeId>,
    /// Application protocols (RFC 7301), as bytes.
    pub alpn: Vec<Vec<u8>>,
    /// The requested server name (RFC 6066, section 3), with invalid UTF-8 replaced.
    pub server_name: Option<String>,
}

/// A reader at the cipher suites of the hello in a client's first flight, which may be truncated.
pub(crate) fn from_suites(flight: &[u8]) -> Option<Reader<'_>> {
    let mut reader = Reader::new(flight);
    let is_handshake = reader.u8()? == 22;
    reader.take(2 + 2)?; // version and length of the record
    let is_hello = reader.u8()? == 1;
    reader.take(3 + 2 + 32)?; // length of the message, version, random
    reader.vector::<1>()?; // session id
    (is_handshake && is_hello).then_some(reader)
}

impl ClientOffer {
    /// Parses a client's first bytes: records of a handshake that begins with a ClientHello.
    /// `None` if they are something else, or too short.
    pub fn parse(received: &[u8]) -> Option<Self> {
        let message = handshake_bytes(received)?;
        let mut reader = Reader::new(&message);
        if reader.u8()? != 1 {
            return None; // not client_hello
        }
        let (mut body, whole) = reader.vector_so_far::<3>()?;
        let mut offer = Self::default();
        offer.complete = offer.read(&mut body).is_some() && whole && body.is_empty();
        Some(offer)
    }

    /// `None` if it is truncated; earlier fields are kept.
    fn read(&mut self, body: &mut Reader<'_>) -> Option<()> {
        self.legacy_version = body.u16()?;
        body.take(32)?; // random
        let session = body.u8()?;
        body.take(session.into())?;
        let (suites, whole) = body.vector_so_far::<2>()?;
        self.cipher_suites = suites.numbers().map(SuiteId).collect();
        whole.then_some(())?;
        let compressions = body.u8()?;
        body.take(compressions.into())?;
        if body.is_empty() {
            return Some(()); // without extensions
        }
        let (mut extensions, whole) = body.vector_so_far::<2>()?;
        while !extensions.is_empty() {
            let number = extensions.u16()?;
            let (content, whole) = extensions.vector_so_far::<2>()?;
            self.extension(number, content);
            whole.then_some(())?;
        }
        whole.then_some(())
    }

    fn extension(&mut self, number: u16, mut content: Reader<'_>) -> Option<()> {
        match number {
            0 => {
                let (mut names, _) = content.vector_so_far::<2>()?;
                let kind = names.u8()?;
                let (name, _) = names.vector_so_far::<2>()?;
                if kind == 0 && self.server_name.is_none() {
                    self.server_name = Some(String::from_utf8_lossy(name.rest()).into_owned());
                }
            }
            10 => {
                self.groups = content
                    .vector_so_far::<2>()?
                    .0
                    .numbers()
                    .map(GroupId)
                    .collect()
            }
            13 => {
                let (schemes, _) = content.vector_so_far::<2>()?;
                self.signature_schemes = schemes.numbers().map(SchemeId).collect();
            }
            16 => {
                let (mut protocols, _) = content.vector_so_far::<2>()?;
                self.alpn.clear();
                while let Some(length) = protocols.u8() {
                    self.alpn.push(protocols.take(length.into())?.to_vec());
                }
            }
            43 => {
                let (versions, _) = content.vector_so_far::<1>()?;
                self.supported_versions = versions.numbers().collect();
            }
            _ => {}
        }
        Some(())
    }

    /// The versions offered, the newest first: those of the extension, or all up to the legacy version.
    /// GREASE values (RFC 8701) are omitted.
    pub fn versions(&self) -> Vec<u16> {
        if self.supported_versions.is_empty() {
            return match self.legacy_version {
                0 => Vec::new(),
                version => vec![version],
            };
        }
        let mut versions = self.supported_versions.clone();
        versions.retain(|version| !is_grease(*version));
        versions.sort_unstable_by(|a, b| b.cmp(a));
        versions
    }

    /// [`versions`](Self::versions) by name: `TLS 1.3`, or the number if unknown.
    ///
    /// A client without the extension sends only its newest version.
    pub fn version_names(&self) -> Vec<String> {
        let name = |number: u16| match WireVersion::from_number(number) {
            Some(version) => version.name().to_owned(),
            None => format!("0x{number:04x}"),
        };
        self.versions().into_iter().map(name).collect()
    }

    /// The cipher suites by their names in IANA's registry, unknown ones by number.
    pub fn cipher_suite_names(&self) -> Vec<String> {
        let known = self
            .cipher_suites
            .iter()
            .filter(|suite| !is_grease(suite.0));
        known.map(|suite| suite.name()).collect()
    }

    /// The groups by name, unknown ones by number.
    pub fn group_names(&self) -> Vec<String> {
        let known = self.groups.iter().filter(|group| !is_grease(group.0));
        known.map(|group| group.name()).collect()
    }

    /// The signature schemes by name, unknown ones by number.
    pub fn signature_scheme_names(&self) -> Vec<String> {
        let known = self
            .signature_schemes
            .iter()
            .filter(|scheme| !is_grease(scheme.0));
        known.map(|scheme| scheme.name()).collect()
    }

    /// The application protocols as text; bytes that are not printable ASCII are escaped.
    pub fn alpn_names(&self) -> Vec<String> {
        self.alpn
            .iter()
            .filter(|protocol| !matches!(protocol.as_slice(), [a, b] if is_grease(u16::from_be_bytes([*a, *b]))))
            .map(|protocol| protocol.escape_ascii().to_string())
            .collect()
    }
}

/// The handshake messages within the first records, possibly truncated. `None` if the bytes
/// are not handshake records.
fn handshake_bytes(received: &[u8]) -> Option<Vec<u8>> {
    let mut message = Vec::new();
    let mut rest = Reader::new(received);
    while let Some(kind) = rest.u8() {
        if kind != 22 {
            break;
        }
        match rest.u8() {
            None | Some(3) => {}
            Some(_) => break,
        }
        let (Some(_), Some(length)) = (rest.u8(), rest.u16()) else {
            break;
        };
        let length = usize::from(length);
        if length > FRAGMENT_MAX {
            break;
        }
        let there = length.min(rest.rest().len());
        message.extend_from_slice(rest.take(there)?);
    }
    (!message.is_empty()).then_some(message)
}

#[cfg(test)]
pub(crate) mod sample;

#[cfg(test)]
mod tests {
    use super::sample::Hello;
    use super::*;
    use proptest::prelude::*;

    fn hello() -> Vec<u8> {
        let mut hello = Hello::of(0x0303);
        hello.versions = vec![0x0304, 0x0303, 0x0302, 0x0301];
        hello.suites.extend(SuiteId::all(true));
        hello.alpn = vec!["h2", "http/1.1"];
        hello.encode()
    }

    #[test]
    fn a_hello_round_trips() {
        let offer = ClientOffer::parse(&hello()).unwrap();
        assert!(offer.complete);
        assert_eq!(offer.server_name.as_deref(), Some("shop.example"));
        assert_eq!(
            offer.version_names(),
            ["TLS 1.3", "TLS 1.2", "TLS 1.1", "TLS 1.0"]
        );
        assert_eq!(offer.alpn_names(), ["h2", "http/1.1"]);
        let has = |names: Vec<String>, name: &str| names.iter().any(|found| found == name);
        assert!(has(offer.cipher_suite_names(), "TLS_AES_128_GCM_SHA256"));
        assert!(has(offer.signature_scheme_names(), "ed25519"));
        assert!(!offer.groups.is_empty());
    }

    #[test]
    fn a_hello_in_records_of_one_byte_is_the_same() {
        let whole = hello();
        let mut split = Vec::new();
        for byte in &whole[5..] {
            split.extend_from_slice(&[22, 3, 1, 0, 1, *byte]);
        }
        assert_eq!(ClientOffer::parse(&split), ClientOffer::parse(&whole));
    }

    #[test]
    fn a_truncated_hello_is_parsed_partially() {
        let whole = hello();
        let full = ClientOffer::parse(&whole).unwrap();
        for end in 0..whole.len() {
            let Some(offer) = ClientOffer::parse(&whole[..end]) else {
                assert!(end < 9, "{end}");
                continue;
            };
            assert!(!offer.complete, "{end}");
            assert!(full.cipher_suites.starts_with(&offer.cipher_suites));
            assert!(full.groups.starts_with(&offer.groups));
            assert!(full.alpn.starts_with(&offer.alpn));
        }
    }

    #[test]
    fn other_bytes_are_none() {
        for bytes in [
            &b""[..],
            b"\x16",
            b"\x16\x03\x01\x00\x02\x02\x00",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\x15\x03\x01\x00\x02\x02\x28",
            b"\x80\x2e\x01\x00\x02",
        ] {
            assert_eq!(ClientOffer::parse(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn numbers_without_meaning_are_not_named() {
        let offer = ClientOffer {
            supported_versions: vec![0x1a1a, 0x0303, 0x0304, 0x7f1c],
            groups: vec![GroupId(0xbaba), GroupId(0x9999)],
            alpn: vec![b"\x1a\x1a".to_vec(), b"\x1b[2J".to_vec()],
            ..ClientOffer::default()
        };
        assert_eq!(offer.version_names(), ["0x7f1c", "TLS 1.3", "TLS 1.2"]);
        assert_eq!(offer.group_names(), ["0x9999"]);
        assert_eq!(offer.alpn_names(), ["\\x1b[2J"]);
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2048)) {
            let _ = ClientOffer::parse(&bytes);
            // The same as the body of a hello, because random bytes rarely are a record.
            let mut framed = vec![22, 3, 1];
            framed.extend_from_slice(&(bytes.len() as u16).to_be_bytes());
            framed.extend_from_slice(&bytes);
            if let Some(first) = framed.get_mut(5) { *first = 1; }
            if let Some(offer) = ClientOffer::parse(&framed) {
                prop_assert!(offer.cipher_suites.len() * 2 <= bytes.len());
                let _ = (offer.version_names(), offer.alpn_names());
            }
        }

        #[test]
        fn no_altered_hello_causes_a_panic(at in 0..400_usize, to: u8, cut in 0..1200_usize) {
            let mut bytes = hello();
            if let Some(byte) = bytes.get_mut(at) { *byte = to; }
            bytes.truncate(cut);
            if let Some(offer) = ClientOffer::parse(&bytes) {
                prop_assert!(offer.cipher_suites.len() * 2 <= bytes.len());
            }
        }
    }
}
