//! Certificates and revocation lists written field by field: what can be encoded can be made.
//!
//! `pki` makes certificates with rcgen and damages them. This module checks nothing: a name in any
//! string type, any version, any extension, signed by any key. The caller keeps the keys and reuses
//! them, so that a certificate costs one signature.
//!
//! ```
//! use handfast_testbed::draft::{self, Draft, Pair, Text};
//!
//! let key = Pair::new();
//! let name = draft::name(&[(draft::COMMON_NAME, Text::Printable, "Test Root")]);
//! let root = Draft::new(name.clone(), name, &key)
//!     .extension(draft::basic_constraints(true, Some(1)))
//!     .sign(&key);
//! assert_eq!(root[0], 0x30);
//! ```

use pki_types::{CertificateDer, CertificateRevocationListDer};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PublicKeyData as _, SigningKey as _};

use crate::pki::{DAY_SECS, der, now_secs};

/// `commonName`, dotted as OIDs are.
pub const COMMON_NAME: &[u64] = &[2, 5, 4, 3];
/// `organizationName`.
pub const ORGANIZATION: &[u64] = &[2, 5, 4, 10];
/// `anyPolicy` (RFC 5280, 4.2.1.4).
pub const ANY_POLICY: &[u64] = &[2, 5, 29, 32, 0];

/// A P-256 key pair.
pub struct Pair(KeyPair);

impl Pair {
    /// A new one.
    ///
    /// # Panics
    /// Where the system has no randomness.
    #[allow(clippy::new_without_default)] // two of them differ
    pub fn new() -> Self {
        Self(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key can be made"))
    }

    /// SubjectPublicKeyInfo, DER.
    pub fn public_key(&self) -> Vec<u8> {
        self.0.subject_public_key_info()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).expect("the key can sign")
    }
}

/// SubjectPublicKeyInfo of an RSA key of 1024 bits without a private key.
pub fn weak_public_key() -> Vec<u8> {
    // An odd modulus of 1024 bits.
    let modulus = [&[0x00][..], &[0xc5; 128]].concat();
    let key = sequence(&[der(0x02, &modulus), der(0x02, &[1, 0, 1])]);
    let algorithm = sequence(&[oid(&[1, 2, 840, 113_549, 1, 1, 1]), der(0x05, &[])]);
    sequence(&[algorithm, bit_string(&key, 0)])
}

/// The signature algorithm that a certificate names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignedAs {
    /// The actual algorithm.
    EcdsaSha256,
    /// Not the actual one: only named, in both places.
    EcdsaSha1,
    /// Likewise.
    RsaSha256,
}

impl SignedAs {
    fn der(self) -> Vec<u8> {
        match self {
            Self::EcdsaSha256 => sequence(&[oid(&[1, 2, 840, 10_045, 4, 3, 2])]),
            Self::EcdsaSha1 => sequence(&[oid(&[1, 2, 840, 10_045, 4, 1])]),
            Self::RsaSha256 => sequence(&[oid(&[1, 2, 840, 113_549, 1, 1, 11]), der(0x05, &[])]),
        }
    }
}

/// An extension: identifier, criticality, value.
#[derive(Clone, Debug)]
pub struct Extension {
    oid: Vec<u8>,
    critical: bool,
    value: Vec<u8>,
}

impl Extension {
    /// Any extension.
    pub fn new(id: &[u64], critical: bool, value: Vec<u8>) -> Self {
        Self {
            oid: oid(id),
            critical,
            value,
        }
    }

    fn der(&self) -> Vec<u8> {
        let critical = if self.critical {
            der(0x01, &[0xff])
        } else {
            Vec::new()
        };
        sequence(&[self.oid.clone(), critical, der(0x04, &self.value)])
    }
}

/// A certificate before it is signed. Version 3, valid from yesterday for a year, without extensions.
#[derive(Clone, Debug)]
pub struct Draft {
    /// 1 to 3, not the encoded value. Version 1 omits the extensions.
    pub version: u8,
    /// Serial number: big-endian, the top bit not set.
    pub serial: Vec<u8>,
    /// DER name.
    pub subject: Vec<u8>,
    /// DER name.
    pub issuer: Vec<u8>,
    /// First and last second of validity, unix.
    pub validity: (i64, i64),
    /// DER in place of the first of the two.
    pub not_before: Option<Vec<u8>>,
    /// SubjectPublicKeyInfo, DER.
    pub public_key: Vec<u8>,
    /// In this order.
    pub extensions: Vec<Extension>,
    /// The signature algorithm that is named.
    pub signed_as: SignedAs,
}

impl Draft {
    /// A certificate of `subject` by `issuer` (DER names), for `key`.
    pub fn new(subject: Vec<u8>, issuer: Vec<u8>, key: &Pair) -> Self {
        let (now, day) = (now_secs() as i64, DAY_SECS as i64);
        Self {
            version: 3,
            serial: vec![1],
            subject,
            issuer,
            validity: (now - day, now + 365 * day),
            not_before: None,
            public_key: key.public_key(),
            extensions: Vec::new(),
            signed_as: SignedAs::EcdsaSha256,
        }
    }

    /// Adds an extension.
    #[must_use]
    pub fn extension(mut self, extension: Extension) -> Self {
        self.extensions.push(extension);
        self
    }

    /// Signs it, without checking that `key` is the issuer's.
    pub fn sign(&self, key: &Pair) -> CertificateDer<'static> {
        let version = match self.version {
            1 => Vec::new(),
            version => der(0xa0, &der(0x02, &[version.saturating_sub(1)])),
        };
        let (not_before, not_after) = self.validity;
        let extensions: Vec<u8> = self.extensions.iter().flat_map(Extension::der).collect();
        let extensions = if self.version == 1 || extensions.is_empty() {
            Vec::new()
        } else {
            der(0xa3, &der(0x30, &extensions))
        };
        CertificateDer::from(signed(key, self.signed_as, |algorithm| {
            sequence(&[
                version,
                der(0x02, &self.serial),
                algorithm,
                self.issuer.clone(),
                sequence(&[
                    self.not_before.clone().unwrap_or_else(|| time(not_before)),
                    time(not_after),
                ]),
                self.subject.clone(),
                self.public_key.clone(),
                extensions,
            ])
        }))
    }
}

/// A revocation list before it is signed.
#[derive(Clone, Debug)]
pub struct ListDraft {
    /// DER name.
    pub issuer: Vec<u8>,
    /// When it was made, unix.
    pub this_update: i64,
    /// When the next one is due, unix.
    pub next_update: i64,
    /// Its number.
    pub number: u8,
    /// Serial numbers, as [`Draft::serial`].
    pub revoked: Vec<Vec<u8>>,
}

impl ListDraft {
    /// Signs it.
    pub fn sign(&self, key: &Pair) -> CertificateRevocationListDer<'static> {
        let revoked: Vec<u8> = self
            .revoked
            .iter()
            .flat_map(|serial| sequence(&[der(0x02, serial), time(self.this_update)]))
            .collect();
        let revoked = if revoked.is_empty() {
            revoked
        } else {
            der(0x30, &revoked)
        };
        let number = Extension::new(&[2, 5, 29, 20], false, der(0x02, &[self.number & 0x7f]));
        CertificateRevocationListDer::from(signed(key, SignedAs::EcdsaSha256, |algorithm| {
            sequence(&[
                der(0x02, &[1]),
                algorithm,
                self.issuer.clone(),
                time(self.this_update),
                time(self.next_update),
                revoked,
                der(0xa0, &der(0x30, &number.der())),
            ])
        }))
    }
}

fn signed(key: &Pair, signed_as: SignedAs, content: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Vec<u8> {
    let content = content(signed_as.der());
    let signature = key.sign(&content);
    sequence(&[content, signed_as.der(), bit_string(&signature, 0)])
}

/// String types of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Text {
    /// PrintableString.
    Printable,
    /// UTF8String.
    Utf8,
    /// TeletexString, for ASCII.
    Teletex,
    /// BMPString.
    Bmp,
}

/// A DER name: one attribute for each relative distinguished name.
pub fn name(attributes: &[(&[u64], Text, &str)]) -> Vec<u8> {
    let parts: Vec<Vec<u8>> = attributes
        .iter()
        .map(|(kind, text, value)| {
            let value = match text {
                Text::Printable => der(0x13, value.as_bytes()),
                Text::Utf8 => der(0x0c, value.as_bytes()),
                Text::Teletex => der(0x14, value.as_bytes()),
                Text::Bmp => {
                    let units: Vec<u8> = value.encode_utf16().flat_map(u16::to_be_bytes).collect();
                    der(0x1e, &units)
                }
            };
            der(0x31, &sequence(&[oid(kind), value]))
        })
        .collect();
    sequence(&parts)
}

/// `dNSName` of a GeneralName.
pub fn dns(name: &str) -> Vec<u8> {
    der(0x82, name.as_bytes())
}

/// `rfc822Name` of a GeneralName.
pub fn email(name: &str) -> Vec<u8> {
    der(0x81, name.as_bytes())
}

/// `uniformResourceIdentifier` of a GeneralName.
pub fn uri(name: &str) -> Vec<u8> {
    der(0x86, name.as_bytes())
}

/// `iPAddress` of a GeneralName: an address, or in constraints an address and a mask.
pub fn ip(bytes: &[u8]) -> Vec<u8> {
    der(0x87, bytes)
}

/// `directoryName` of a GeneralName.
pub fn directory(name: &[u8]) -> Vec<u8> {
    der(0xa4, name)
}

/// Basic constraints, critical.
pub fn basic_constraints(is_authority: bool, path_len: Option<u8>) -> Extension {
    let flag = if is_authority {
        der(0x01, &[0xff])
    } else {
        Vec::new()
    };
    let path_len = path_len.map_or_else(Vec::new, |length| der(0x02, &[length & 0x7f]));
    Extension::new(&[2, 5, 29, 19], true, sequence(&[flag, path_len]))
}

/// Key usage, critical: the numbers of the bits that are set (RFC 5280, 4.2.1.3), all below 8.
pub fn key_usage(bits: &[u8]) -> Extension {
    let byte = bits.iter().fold(0, |byte, bit| byte | (0x80 >> (bit & 7)));
    let value = bit_string(&[byte], byte.trailing_zeros());
    Extension::new(&[2, 5, 29, 15], true, value)
}

/// Extended key usage: the last number of each purpose below id-kp, such as 1 for serverAuth.
pub fn extended_key_usage(purposes: &[u64]) -> Extension {
    let purposes: Vec<Vec<u8>> = purposes
        .iter()
        .map(|purpose| oid(&[1, 3, 6, 1, 5, 5, 7, 3, *purpose]))
        .collect();
    Extension::new(&[2, 5, 29, 37], false, sequence(&purposes))
}

/// Subject alternative names: GeneralNames.
pub fn subject_alt_names(names: &[Vec<u8>]) -> Extension {
    Extension::new(&[2, 5, 29, 17], false, sequence(names))
}

/// Name constraints, critical: GeneralNames, each the base of a subtree.
pub fn name_constraints(permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Extension {
    let subtrees = |tag, bases: &[Vec<u8>]| {
        let subtrees: Vec<u8> = bases.iter().flat_map(|base| der(0x30, base)).collect();
        if subtrees.is_empty() {
            subtrees
        } else {
            der(tag, &subtrees)
        }
    };
    let value = sequence(&[subtrees(0xa0, permitted), subtrees(0xa1, excluded)]);
    Extension::new(&[2, 5, 29, 30], true, value)
}

/// Certificate policies.
pub fn policies(policies: &[&[u64]], critical: bool) -> Extension {
    let policies: Vec<Vec<u8>> = policies.iter().map(|id| sequence(&[oid(id)])).collect();
    Extension::new(&[2, 5, 29, 32], critical, sequence(&policies))
}

/// Policy constraints, critical: an explicit policy is required after this many certificates.
pub fn require_explicit_policy(after: u8) -> Extension {
    let value = sequence(&[der(0x80, &[after & 0x7f])]);
    Extension::new(&[2, 5, 29, 36], true, value)
}

/// Policy mappings, critical: each of the policies to the ten that follow it, around the end.
pub fn policy_mappings(policies: &[&[u64]]) -> Extension {
    let mappings: Vec<Vec<u8>> = (0..policies.len())
        .flat_map(|from| (1..=10).map(move |step| (from, (from + step) % policies.len())))
        .map(|(from, to)| sequence(&[oid(policies[from]), oid(policies[to])]))
        .collect();
    Extension::new(&[2, 5, 29, 33], true, sequence(&mappings))
}

/// Subject key identifier.
pub fn subject_key_id(id: &[u8]) -> Extension {
    Extension::new(&[2, 5, 29, 14], false, der(0x04, id))
}

/// Authority key identifier.
pub fn authority_key_id(id: &[u8]) -> Extension {
    Extension::new(&[2, 5, 29, 35], false, sequence(&[der(0x80, id)]))
}

/// An object identifier, DER.
pub fn oid(numbers: &[u64]) -> Vec<u8> {
    let (first, rest) = match numbers {
        [first, second, rest @ ..] => (first * 40 + second, rest),
        _ => panic!("{numbers:?} is no object identifier"),
    };
    let mut content = Vec::new();
    for number in std::iter::once(&first).chain(rest) {
        let groups = (0..9)
            .rev()
            .map(|group| (number >> (7 * group)) as u8 & 0x7f);
        let mut digits: Vec<u8> = groups.skip_while(|digit| *digit == 0).collect();
        if digits.is_empty() {
            digits.push(0);
        }
        let last = digits.len() - 1;
        digits[..last].iter_mut().for_each(|digit| *digit |= 0x80);
        content.extend_from_slice(&digits);
    }
    der(0x06, &content)
}

fn sequence(elements: &[Vec<u8>]) -> Vec<u8> {
    der(0x30, &elements.concat())
}

fn bit_string(bytes: &[u8], unused_bits: u32) -> Vec<u8> {
    der(0x03, &[&[unused_bits as u8][..], bytes].concat())
}

/// UTCTime for the years 1950 to 2049, GeneralizedTime for others (RFC 5280, 4.1.2.5).
fn time(unix: i64) -> Vec<u8> {
    let (year, month, day) = date(unix.div_euclid(86_400));
    let seconds = unix.rem_euclid(86_400);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    if (1950..2050).contains(&year) {
        der(0x17, format!("{:02}{rest}", year % 100).as_bytes())
    } else {
        der(0x18, format!("{year:04}{rest}").as_bytes())
    }
}

/// Year, month and day of a day counted from 1970, found by iterating over years and months.
fn date(mut day: i64) -> (i64, i64, i64) {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    let days_of = |year| if is_leap(year) { 366 } else { 365 };
    while day < 0 {
        year -= 1;
        day += days_of(year);
    }
    while day >= days_of(year) {
        day -= days_of(year);
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let months = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 1;
    for days in months {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    (year, month, day + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_match_the_calendar() {
        for (unix, expected) in [
            (0, &b"700101000000Z"[..]),
            (951_782_400, b"000229000000Z"),
            (2_524_607_999, b"491231235959Z"),
            (2_524_608_000, b"20500101000000Z"),
            (-1, b"691231235959Z"),
            (4_107_542_400, b"21000301000000Z"),
        ] {
            assert_eq!(&time(unix)[2..], expected, "{unix}");
        }
    }

    #[test]
    fn identifiers_are_written_in_base_128() {
        let expected = [6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11];
        assert_eq!(oid(&[1, 2, 840, 113_549, 1, 1, 11]), expected);
    }
}
