//! A server's answer to a ClientHello, parsed as it arrives. Nothing in it is authenticated.

use handfast::registry::{GroupId, SchemeId, SuiteId, WireVersion};
use handfast::wire::{Reader, bit_length};
use handfast::{Alert, CertificateFacts, KeyAlgorithm, SignedCertificateTimestamp};

/// The maximum length of a record (RFC 5246, section 6.2.3).
const RECORD_MAX: usize = 16 * 1024 + 2048;
/// More than any real first flight: chains have some KiB.
const FLIGHT_MAX: usize = 256 * 1024;
/// The first bytes of something that is not TLS, kept as evidence.
const FIRST_BYTES_MAX: usize = 256;

/// The random of a HelloRetryRequest: SHA-256 of "HelloRetryRequest" (RFC 8446, section 4.1.3).
const RETRY_RANDOM: [u8; 32] = [
    0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c, 0x02, 0x1e, 0x65, 0xb8, 0x91,
    0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb, 0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
];

/// A server's answer to a [`ClientHello`](super::ClientHello).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// The server's choice.
    Hello(ServerHello),
    /// An alert.
    Alert(Alert),
    /// The answer is not TLS.
    NotTls {
        /// What it sent, at most 256 bytes.
        first_bytes: Vec<u8>,
    },
    /// The answer begins as TLS and is malformed.
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
    /// The server closed or reset the connection before it answered.
    Closed {
        /// How many bytes it had sent before.
        bytes_received: usize,
    },
    /// The server did not answer within the time limit.
    Silent,
}

/// What a server chose.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerHello {
    /// The protocol version.
    pub version: WireVersion,
    /// The cipher suite.
    pub suite: SuiteId,
    /// The key exchange group, where the handshake has one.
    pub group: Option<GroupId>,
    /// The size of the prime of the server's own Diffie-Hellman group, in bits.
    pub dh_bits: Option<u32>,
    /// The application protocol; TLS 1.3 sends it later, encrypted.
    pub alpn: Option<Vec<u8>>,
    /// The signature scheme, in TLS 1.2.
    pub scheme: Option<SchemeId>,
    /// The kind of key in its certificate, before TLS 1.3.
    pub certificate_key: Option<KeyAlgorithm>,
    /// Signed certificate timestamps, if requested; empty if the list is malformed.
    pub timestamps: Vec<SignedCertificateTimestamp>,
    /// Whether it is a HelloRetryRequest, which requests another hello with a key share.
    pub is_retry: bool,
}

/// Parses an answer incrementally.
///
/// ```
/// use handfast_probe::{Answer, AnswerReader};
/// let mut reader = AnswerReader::new();
/// assert_eq!(reader.push(&[21, 3, 1, 0]), None);
/// let Some(Answer::Alert(alert)) = reader.push(&[2, 2, 70]) else { panic!() };
/// assert_eq!(alert.name(), "protocol_version");
/// ```
#[derive(Debug, Default)]
pub struct AnswerReader {
    received: Vec<u8>,
    /// How much of `received` was split into records.
    parsed: usize,
    handshake: Vec<u8>,
    hello: Option<ServerHello>,
}

impl AnswerReader {
    /// A reader without input.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds bytes; `Some` once the answer is complete. After that nothing more should be pushed.
    pub fn push(&mut self, bytes: &[u8]) -> Option<Answer> {
        self.received.extend_from_slice(bytes);
        if self.received.len() > FLIGHT_MAX {
            return Some(self.hello_or(Answer::Malformed {
                what: "a first flight that is too long",
            }));
        }
        loop {
            match self.next_record() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(answer) => return Some(answer),
            }
        }
    }

    /// The answer if the connection has ended.
    pub fn end(self) -> Answer {
        let bytes_received = self.received.len();
        self.hello_or(Answer::Closed { bytes_received })
    }

    /// The answer if the time limit has passed.
    pub fn give_up(self) -> Answer {
        match self.received.len() {
            0 => Answer::Silent,
            _ => self.end(),
        }
    }

    /// A ServerHello counts even if the rest of the flight is missing.
    fn hello_or(&self, otherwise: Answer) -> Answer {
        self.hello.clone().map_or(otherwise, Answer::Hello)
    }

    /// Parses one record. `Ok(false)`: incomplete; `Err`: the answer is known.
    fn next_record(&mut self) -> Result<bool, Answer> {
        let pending = self.received.get(self.parsed..).unwrap_or_default();
        let is_tls = |pending: &[u8]| {
            pending.first().is_none_or(|kind| (20..=23).contains(kind))
                && pending.get(1).is_none_or(|major| *major == 3)
        };
        if !is_tls(pending) {
            let first_bytes = self
                .received
                .iter()
                .take(FIRST_BYTES_MAX)
                .copied()
                .collect();
            return Err(if self.parsed == 0 {
                Answer::NotTls { first_bytes }
            } else {
                self.hello_or(Answer::Malformed {
                    what: "bytes that are not a record",
                })
            });
        }
        let mut reader = Reader::new(pending);
        let Some((kind, _version, length)) = record_header(&mut reader) else {
            return Ok(false);
        };
        if length > RECORD_MAX {
            return Err(self.hello_or(Answer::Malformed {
                what: "a record longer than TLS allows",
            }));
        }
        let Some(fragment) = reader.take(length) else {
            return Ok(false);
        };
        match (kind, fragment) {
            // A warning that the name is unknown: the handshake continues (RFC 6066, section 3).
            (21, [1, 112]) => {}
            (21, [_, code]) => return Err(Answer::Alert(Alert::new(*code))),
            (22, fragment) => self.handshake.extend_from_slice(fragment),
            (20, _) => {}
            _ => {
                return Err(self.hello_or(Answer::Malformed {
                    what: "a record of the wrong kind",
                }));
            }
        }
        self.parsed += length + 5;
        self.read_messages()?;
        Ok(true)
    }

    fn read_messages(&mut self) -> Result<(), Answer> {
        let messages = std::mem::take(&mut self.handshake);
        let mut reader = Reader::new(&messages);
        loop {
            let rest = reader.rest();
            let message = (|| Some((reader.u8()?, reader.vector::<3>()?)))();
            let Some((kind, body)) = message else {
                self.handshake = rest.to_vec();
                return Ok(());
            };
            self.read_message(kind, body)?;
        }
    }

    fn read_message(&mut self, kind: u8, body: &[u8]) -> Result<(), Answer> {
        match (kind, &mut self.hello) {
            (2, None) => {
                let hello = read_server_hello(body)?;
                let is_complete = !awaits_key_exchange(&hello);
                let hello = self.hello.insert(hello);
                if is_complete {
                    return Err(Answer::Hello(hello.clone()));
                }
                Ok(())
            }
            (_, None) => Err(Answer::Malformed {
                what: "a handshake that does not begin with ServerHello",
            }),
            (11, Some(hello)) => {
                hello.certificate_key = certificate_key(body);
                Ok(())
            }
            (12, Some(hello)) => {
                read_key_exchange(body, hello);
                Err(Answer::Hello(hello.clone()))
            }
            // ServerHelloDone without a ServerKeyExchange.
            (14, Some(hello)) => Err(Answer::Hello(hello.clone())),
            _ => Ok(()),
        }
    }
}

/// Whether the group comes later, in ServerKeyExchange.
fn awaits_key_exchange(hello: &ServerHello) -> bool {
    let name = hello.suite.name();
    hello.version < WireVersion::Tls13
        && (hello.suite.has_group() || name.starts_with("TLS_DHE_") || name.contains("DH_anon"))
}

fn read_server_hello(body: &[u8]) -> Result<ServerHello, Answer> {
    let malformed = |what| Answer::Malformed { what };
    let cut = || malformed("a truncated ServerHello");
    let mut reader = Reader::new(body);
    let mut number = reader.u16().ok_or_else(cut)?;
    let is_retry = reader.take(32).ok_or_else(cut)? == RETRY_RANDOM;
    reader.vector::<1>().ok_or_else(cut)?;
    let suite = SuiteId(reader.u16().ok_or_else(cut)?);
    reader.u8().ok_or_else(cut)?;
    let (mut group, mut alpn, mut timestamps) = (None, None, Vec::new());
    // SSL 3 has no extensions, and older servers omit an empty list.
    let mut extensions = Reader::new(match reader.rest() {
        [] => &[],
        _ => reader.vector::<2>().ok_or_else(cut)?,
    });
    while !extensions.is_empty() {
        let kind = extensions.u16().ok_or_else(cut)?;
        let content = extensions.vector::<2>().ok_or_else(cut)?;
        let mut content = Reader::new(content);
        match kind {
            16 => {
                alpn = content
                    .vector::<2>()
                    .and_then(|list| Reader::new(list).vector::<1>().map(<[u8]>::to_vec));
            }
            18 => {
                timestamps =
                    SignedCertificateTimestamp::list_from_bytes(content.rest()).unwrap_or_default();
            }
            43 => number = content.u16().ok_or_else(cut)?,
            // Only the group in a HelloRetryRequest, otherwise a share.
            51 => group = content.u16().map(GroupId),
            _ => {}
        }
    }
    let version = WireVersion::from_number(number)
        .ok_or_else(|| malformed("a protocol version that was not offered"))?;
    Ok(ServerHello {
        version,
        suite,
        group,
        dh_bits: None,
        alpn,
        scheme: None,
        certificate_key: None,
        timestamps,
        is_retry,
    })
}

/// The kind of key in the first certificate of a chain.
fn certificate_key(body: &[u8]) -> Option<KeyAlgorithm> {
    let mut chain = Reader::new(Reader::new(body).vector::<3>()?);
    let facts = CertificateFacts::from_der(chain.vector::<3>()?).ok()?;
    Some(facts.key_algorithm)
}

/// Reads the start of ServerKeyExchange.
fn read_key_exchange(body: &[u8], hello: &mut ServerHello) {
    const NAMED_CURVE: u8 = 3;
    let mut reader = Reader::new(body);
    let params = if hello.suite.has_group() {
        if reader.u8() != Some(NAMED_CURVE) {
            return;
        }
        hello.group = reader.u16().map(GroupId);
        reader.vector::<1>()
    } else {
        let prime = reader.vector::<2>();
        hello.dh_bits = prime.and_then(bit_length);
        prime
            .and_then(|_| reader.vector::<2>())
            .and_then(|_| reader.vector::<2>())
    };
    let is_signed = !hello.suite.name().contains("anon");
    if params.is_some() && is_signed && hello.version == WireVersion::Tls12 {
        hello.scheme = reader.u16().map(SchemeId);
    }
}

/// Content type, version and length of a record.
fn record_header(reader: &mut Reader<'_>) -> Option<(u8, u16, usize)> {
    Some((reader.u8()?, reader.u16()?, reader.number(2)?))
}
