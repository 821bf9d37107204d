//! Replaces the keys of issuers and signs their lists again.
//!
//! The corpus of lists has RSA keys of 1024 bits, which are not supported: every case would be refused for that.
//! So each issuer gets a new key on P-256, and its lists are signed again with it. Nothing else is changed. A list
//! that none of them signed, or that cannot be parsed, is left unchanged.

use aws_lc_rs::signature::{RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY, UnparsedPublicKey};
use handfast::CertificateDer;
use handfast_testbed::pki::{Issued, Spec, der};

const ECDSA_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const VERSION: u8 = 0xa0;

/// An issuer of the corpus, and its new key.
struct Issuer<'a> {
    certificate: &'a [u8],
    key: Issued,
}

/// The issuers' certificates, whose own signatures are now invalid, and the lists.
pub(super) fn resigned(
    issuers: &[Vec<u8>],
    lists: &[Vec<u8>],
) -> (Vec<CertificateDer<'static>>, Vec<Vec<u8>>) {
    let issuers: Vec<Issuer<'_>> = issuers
        .iter()
        .map(|certificate| Issuer {
            certificate,
            key: Spec::authority("Another key").self_signed(),
        })
        .collect();
    let certificates = issuers
        .iter()
        .map(|issuer| {
            issuer
                .rekeyed()
                .unwrap_or_else(|| issuer.certificate.to_vec())
                .into()
        })
        .collect();
    let lists = lists
        .iter()
        .map(|list| {
            issuers
                .iter()
                .find_map(|issuer| issuer.sign_again(list))
                .unwrap_or_else(|| list.clone())
        })
        .collect();
    (certificates, lists)
}

impl Issuer<'_> {
    /// The certificate with the new key.
    fn rekeyed(&self) -> Option<Vec<u8>> {
        let whole = elements(only(self.certificate, SEQUENCE)?)?;
        let [signed_part, algorithm, signature] = whole[..] else {
            return None;
        };
        let (place, _) = key_of(self.certificate)?;
        let (_, new_key) = key_of(&self.key.der)?;
        let mut fields = elements(only(signed_part, SEQUENCE)?)?;
        *fields.get_mut(place)? = new_key;
        let signed_part = der(SEQUENCE, &fields.concat());
        Some(der(
            SEQUENCE,
            &[&signed_part, algorithm, signature].concat(),
        ))
    }

    /// The list signed again, if this issuer's old key signed it.
    fn sign_again(&self, list: &[u8]) -> Option<Vec<u8>> {
        let whole = elements(only(list, SEQUENCE)?)?;
        let [signed_part, algorithm, signature] = whole[..] else {
            return None;
        };
        let (_, key) = key_of(self.certificate)?;
        let key = *elements(only(key, SEQUENCE)?)?.get(1)?;
        let [bits_of_key, bits] =
            [key, signature].map(|bits| only(bits, BIT_STRING)?.strip_prefix(&[0]));
        UnparsedPublicKey::new(
            &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            bits_of_key?,
        )
        .verify(signed_part, bits?)
        .ok()?;
        let mut fields = elements(only(signed_part, SEQUENCE)?)?;
        let has_version = fields.first()?.first() == Some(&INTEGER);
        let inner = fields.get_mut(usize::from(has_version))?;
        // If the two algorithms differ, the case is about that.
        if *inner == algorithm {
            *inner = ECDSA_SHA256;
        }
        let signed_part = der(SEQUENCE, &fields.concat());
        let signature = [vec![0], self.key.sign(&signed_part)].concat();
        let signature = der(BIT_STRING, &signature);
        Some(der(
            SEQUENCE,
            &[&signed_part, ECDSA_SHA256, &signature].concat(),
        ))
    }
}

/// The subject public key info of a certificate, and its position in the signed part.
fn key_of(certificate: &[u8]) -> Option<(usize, &[u8])> {
    let signed_part = *elements(only(certificate, SEQUENCE)?)?.first()?;
    let fields = elements(only(signed_part, SEQUENCE)?)?;
    // Version (unless it is 1), serial number, algorithm, issuer, validity and subject precede it.
    let place = if fields.first()?.first() == Some(&VERSION) {
        6
    } else {
        5
    };
    Some((place, fields.get(place)?))
}

/// The content of a single element.
fn only(bytes: &[u8], tag: u8) -> Option<&[u8]> {
    match first(bytes)? {
        (element, content, []) if element.first() == Some(&tag) => Some(content),
        _ => None,
    }
}

fn elements(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (element, _, rest) = first(bytes)?;
        found.push(element);
        bytes = rest;
    }
    Some(found)
}

/// The first element, its content, and what follows it.
fn first(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (header, length) = match *bytes.get(1)? {
        0x81 => (3, usize::from(*bytes.get(2)?)),
        0x82 => (
            4,
            usize::from(*bytes.get(2)?) * 256 + usize::from(*bytes.get(3)?),
        ),
        length @ 0..=0x7f => (2, usize::from(length)),
        _ => return None,
    };
    let (element, rest) = bytes.split_at_checked(header + length)?;
    Some((element, element.get(header..)?, rest))
}
