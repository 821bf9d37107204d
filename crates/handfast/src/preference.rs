//! Which cipher suites a server prefers.
//!
//! With AES in hardware, which nearly every client has, `TLS_AES_128_GCM_SHA256` is the fastest: its
//! hash is in hardware as well, and hashing is a third of a handshake with a SHA-384 suite. A client
//! without it offers ChaCha20-Poly1305 first, and gets it.

use rustls::{CipherSuite, SupportedCipherSuite};

use crate::offer::from_suites;
use crate::wire::is_grease;

/// The server's order: AES-128 before the rest, in each version and type.
pub(crate) fn order(suites: &mut [SupportedCipherSuite]) {
    suites.sort_by_key(|suite| {
        let is_tls12 = suite.tls13().is_none();
        let is_aes128 = matches!(
            suite.suite(),
            CipherSuite::TLS13_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
                | CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
        );
        (is_tls12, !is_aes128)
    });
}

/// Whether a client with this first flight prefers ChaCha20-Poly1305. `None` if that is not
/// known (yet).
pub(crate) fn prefers_chacha(flight: &[u8]) -> Option<bool> {
    let mut reader = from_suites(flight)?;
    reader.take(2)?; // their length
    let first = reader.numbers().find(|suite| !is_grease(*suite))?;
    Some(matches!(
        CipherSuite::from(first),
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256
            | CipherSuite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flight(session_id: usize, suites: &[u8]) -> Vec<u8> {
        let mut flight = vec![22, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
        flight.extend([7; 32]);
        flight.push(session_id as u8);
        flight.extend(vec![9; session_id]);
        flight.extend((suites.len() as u16).to_be_bytes());
        flight.extend(suites);
        flight
    }

    #[test]
    fn the_first_known_suite_decides() {
        for (suites, expected) in [
            (&[0x13, 0x02, 0x13, 0x03][..], Some(false)),
            (&[0x13, 0x03, 0x13, 0x01], Some(true)),
            (&[0x3a, 0x3a, 0x13, 0x03], Some(true)),
            (&[0xfa, 0xfa, 0x13, 0x01], Some(false)),
            (&[0xcc, 0xa9, 0xc0, 0x2b], Some(true)),
            (&[0xcc, 0xa8], Some(true)),
            (&[0x0a, 0x0a], None),
            (&[], None),
        ] {
            for session_id in [0, 32] {
                let flight = flight(session_id, suites);
                assert_eq!(prefers_chacha(&flight), expected, "{suites:x?}");
            }
        }
        let whole = flight(32, &[0x13, 0x03]);
        for end in 0..whole.len() {
            assert_eq!(prefers_chacha(&whole[..end]), None);
        }
        assert_eq!(prefers_chacha(b"GET / HTTP/1.1\r\n"), None);
    }

    #[test]
    fn aes_128_comes_first_in_each_version() {
        let mut suites = rustls::crypto::aws_lc_rs::ALL_CIPHER_SUITES.to_vec();
        order(&mut suites);
        assert_eq!(suites[0].suite(), CipherSuite::TLS13_AES_128_GCM_SHA256);
        assert_eq!(suites[1].suite(), CipherSuite::TLS13_AES_256_GCM_SHA384);
        let tls12 = suites.iter().find(|suite| suite.tls13().is_none()).unwrap();
        assert!(format!("{:?}", tls12.suite()).contains("AES_128_GCM"));
    }
}
