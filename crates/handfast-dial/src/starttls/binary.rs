//! The protocols with binary messages: LDAP, PostgreSQL, MySQL.

use super::problem::StartTlsProblem;
use super::step::{Step, evidence};

/// `LDAPMessage { 1, extendedReq { requestName 1.3.6.1.4.1.1466.20037 } }` (RFC 4511, section 4.14).
pub(super) const LDAP_START_TLS: &[u8] =
    b"\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037";

/// Length 8, then the code 1234.5679 that no protocol version has.
pub(super) const POSTGRES_SSL_REQUEST: &[u8] = &[0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// MySQL's capability `CLIENT_SSL`.
const MYSQL_SSL: u32 = 0x0800;

/// `CLIENT_LONG_PASSWORD | CLIENT_PROTOCOL_41 | CLIENT_SSL | CLIENT_SECURE_CONNECTION |
/// CLIENT_PLUGIN_AUTH`: what every client since 5.5 sends. Only `CLIENT_SSL` matters here; the client
/// sends all of it again over TLS.
const MYSQL_CLIENT: u32 = 0x0001 | 0x0200 | MYSQL_SSL | 0x8000 | 0x0008_0000;

/// The first byte of MySQL's error packet, sent instead of a greeting.
const MYSQL_ERROR: u8 = 0xff;

/// utf8mb4, which every MySQL and MariaDB supports.
const MYSQL_CHARSET: u8 = 45;

pub(super) fn ldap(input: &[u8]) -> Result<Step, StartTlsProblem> {
    const AWAITED: &str = "the answer to StartTLS";
    let unexpected = || StartTlsProblem::Unexpected {
        awaited: AWAITED,
        answer: evidence(input),
    };
    let message = match element(input, 0x30) {
        Element::Whole(message) => message,
        Element::Partial => return Ok(Step::Wait),
        Element::Other => return Err(unexpected()),
    };
    let whole = |bytes, tag| match element(bytes, tag) {
        Element::Whole(found) => Ok(found),
        Element::Partial | Element::Other => Err(unexpected()),
    };
    let id = whole(message.content, 0x02)?;
    // A notice of disconnection has the id 0, and is also an ExtendedResponse.
    let response = whole(id.rest, 0x78)?;
    let code = whole(response.content, 0x0a)?;
    match (id.content, code.content) {
        ([1], [0]) => Ok(Step::Done {
            used: input.len() - message.rest.len(),
            last: Vec::new(),
        }),
        ([0 | 1], _) => {
            let diagnostic = whole(code.rest, 0x04)
                .and_then(|matched| whole(matched.rest, 0x04))
                .map(|text| text.content)
                .unwrap_or_default();
            let mut answer = format!("result code {}", number(code.content)).into_bytes();
            if !diagnostic.is_empty() {
                answer.extend_from_slice(b": ");
                answer.extend_from_slice(diagnostic);
            }
            let answer = evidence(&answer);
            Err(match id.content {
                [0] => StartTlsProblem::ClientRefused { answer },
                _ => StartTlsProblem::Refused { answer },
            })
        }
        _ => Err(unexpected()),
    }
}

fn number(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .take(8)
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

struct Found<'e> {
    content: &'e [u8],
    rest: &'e [u8],
}

enum Element<'e> {
    Whole(Found<'e>),
    Partial,
    Other,
}

/// One BER element of this tag, its length in the short form or in the long one with up to four bytes.
fn element(input: &[u8], tag: u8) -> Element<'_> {
    let (length, rest) = match input {
        [] => return Element::Partial,
        [first, ..] if *first != tag => return Element::Other,
        [_] => return Element::Partial,
        [_, length @ ..=0x7f, rest @ ..] => (usize::from(*length), rest),
        [_, long @ 0x81..=0x84, rest @ ..] => {
            let Some((digits, rest)) = rest.split_at_checked(usize::from(long & 0x7f)) else {
                return Element::Partial;
            };
            (usize::try_from(number(digits)).unwrap_or(usize::MAX), rest)
        }
        _ => return Element::Other,
    };
    match rest.split_at_checked(length) {
        Some((content, rest)) => Element::Whole(Found { content, rest }),
        None => Element::Partial,
    }
}

pub(super) fn postgres(input: &[u8]) -> Result<Step, StartTlsProblem> {
    match input {
        [] => Ok(Step::Wait),
        [b'S', ..] => Ok(Step::Done {
            used: 1,
            last: Vec::new(),
        }),
        [b'N', ..] => Err(StartTlsProblem::NotOffered {
            offered: evidence(input),
        }),
        // An ErrorResponse: the server failed, or is older than SSLRequest. Its text is unauthenticated, so
        // it is used only as evidence (CVE-2024-10977).
        [b'E', ..] => Err(StartTlsProblem::Refused {
            answer: evidence(input),
        }),
        _ => Err(StartTlsProblem::Unexpected {
            awaited: "the answer to SSLRequest",
            answer: evidence(input),
        }),
    }
}

pub(super) fn mysql(input: &[u8]) -> Result<Step, StartTlsProblem> {
    let unexpected = || StartTlsProblem::Unexpected {
        awaited: "the greeting",
        answer: evidence(input),
    };
    let Some(([low, middle, high, sequence], rest)) = input.split_first_chunk::<4>() else {
        return Ok(Step::Wait);
    };
    let length = usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16;
    // A greeting has about 100 bytes; text would parse as a very long packet.
    if *sequence != 0 || !(1..=4096).contains(&length) {
        return Err(unexpected());
    }
    let Some(packet) = rest.get(..length) else {
        return Ok(Step::Wait);
    };
    match packet {
        [MYSQL_ERROR, _, _, text @ ..] => Err(StartTlsProblem::ClientRefused {
            answer: evidence(text),
        }),
        [10, rest @ ..] => {
            let capabilities = mysql_capabilities(rest).ok_or_else(unexpected)?;
            if capabilities & MYSQL_SSL == 0 {
                let version = rest.split(|byte| *byte == 0).next().unwrap_or_default();
                return Err(StartTlsProblem::NotOffered {
                    offered: evidence(version),
                });
            }
            Ok(Step::Done {
                used: 4 + length,
                last: mysql_ssl_request(),
            })
        }
        _ => Err(unexpected()),
    }
}

/// The lower half of the server's capabilities, after version, connection id, eight bytes of salt
/// and a filler.
fn mysql_capabilities(greeting: &[u8]) -> Option<u32> {
    let version = greeting.iter().position(|byte| *byte == 0)?;
    let at = version + 1 + 4 + 8 + 1;
    match greeting.get(at..at + 2)? {
        [low, high] => Some(u32::from(*low) | u32::from(*high) << 8),
        _ => None,
    }
}

/// The packet before TLS: the server does not reply to it.
fn mysql_ssl_request() -> Vec<u8> {
    let mut packet = vec![32, 0, 0, 1];
    packet.extend_from_slice(&MYSQL_CLIENT.to_le_bytes());
    packet.extend_from_slice(&(16_u32 << 20).to_le_bytes());
    packet.push(MYSQL_CHARSET);
    packet.extend_from_slice(&[0; 23]);
    packet
}
