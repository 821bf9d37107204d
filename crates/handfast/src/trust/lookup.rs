//! A glance into the platform's store: which of its certificates could a given chain lead to?
//!
//! Owns finding the bundle's certificates and their names without parsing them. A store holds some 150
//! authorities, a chain ends at one: making trust anchors of all of them would take longer than
//! the handshake that needs one. Leaves the judgement to `verify`, and every refusal to the whole
//! store: what is found here can only be less than what is trusted, never more.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use memchr::{memchr, memmem};
use pki_types::CertificateDer;

use super::{Entry, entry, read_bounded};

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// As much of a certificate as is decoded to find its names: real ones end within the first 400 bytes.
const NAMES_WITHIN_BYTES: usize = 480;

/// The certificates of the platform's bundle, decoded only as far as their names.
pub(super) struct Lookup {
    pem: Vec<u8>,
    /// All subjects, one behind the other.
    subjects: Vec<u8>,
    certificates: Vec<Located>,
}

/// Where a certificate lies in the bundle, and what it turned out to be once somebody wanted it.
struct Located {
    text: Range<usize>,
    subject: Range<usize>,
    entry: OnceLock<Option<Arc<Entry>>>,
}

impl Lookup {
    /// Reads the platform's bundle; `None` where there is none or it cannot be read.
    pub(super) fn of_platform() -> Option<Self> {
        let file = platform_bundle()?;
        // What can be read only once, such as a pipe, belongs to the reading that counts.
        if !file.is_file() {
            return None;
        }
        let lookup = Self::of_pem(read_bounded(&file).ok()?);
        (!lookup.certificates.is_empty()).then_some(lookup)
    }

    /// Whatever bears no name that can be found is left out.
    fn of_pem(pem: Vec<u8>) -> Self {
        let mut subjects = Vec::new();
        let mut certificates = Vec::new();
        let mut der = Vec::new();
        let mut at = 0;
        while let Some(begin) = find(&pem, at, BEGIN) {
            let start = begin + BEGIN.len();
            let Some(end) = find(&pem, start, b"-----") else {
                break;
            };
            at = end;
            let Some(text) = pem.get(start..end) else {
                break;
            };
            if !pem.get(end..).is_some_and(|rest| rest.starts_with(END)) {
                continue;
            }
            let subject = subject_within(text, NAMES_WITHIN_BYTES, &mut der)
                .or_else(|| subject_within(text, usize::MAX, &mut der))
                .and_then(|subject| der.get(subject));
            if let Some(subject) = subject {
                let from = subjects.len();
                subjects.extend_from_slice(subject);
                certificates.push(Located {
                    text: start..end,
                    subject: from..subjects.len(),
                    entry: OnceLock::new(),
                });
            }
        }
        Self {
            pem,
            subjects,
            certificates,
        }
    }

    /// The certificates that could have issued one of the chain's, and those that are one of them.
    pub(super) fn matching(&self, chain: &Chain<'_>) -> impl Iterator<Item = Arc<Entry>> {
        self.certificates.iter().filter_map(|located| {
            let subject = self.subjects.get(located.subject.clone())?;
            if !chain.concerns(subject) {
                return None;
            }
            let wanted = located
                .entry
                .get_or_init(|| entry(located.decode(&self.pem)?).ok().map(Arc::new));
            wanted.clone()
        })
    }
}

impl Located {
    fn decode(&self, pem: &[u8]) -> Option<CertificateDer<'static>> {
        let mut der = Vec::new();
        decode_base64(pem.get(self.text.clone())?, usize::MAX, &mut der)?;
        Some(CertificateDer::from(der))
    }
}

/// Decodes so much into `der`, and finds the subject in it.
fn subject_within(text: &[u8], bytes_max: usize, der: &mut Vec<u8>) -> Option<Range<usize>> {
    der.clear();
    decode_base64(text, bytes_max, der)?;
    Some(names_of(der)?.subject)
}

fn find(haystack: &[u8], from: usize, needle: &[u8]) -> Option<usize> {
    let found = memmem::find(haystack.get(from..)?, needle)?;
    from.checked_add(found)
}

/// The names in a chain as a peer sent it.
pub(super) struct Chain<'a> {
    names: Vec<&'a [u8]>,
}

impl<'a> Chain<'a> {
    pub(super) fn of(certificates: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut chain = Self { names: Vec::new() };
        for (index, der) in certificates.enumerate() {
            let Some(names) = names_of(der) else {
                continue;
            };
            // The peer's own certificate may be trusted as itself.
            let subject = (index == 0).then_some(names.subject);
            for range in [Some(names.issuer), subject].into_iter().flatten() {
                if let Some(name) = der.get(range)
                    && !chain.names.contains(&name)
                {
                    chain.names.push(name);
                }
            }
        }
        chain
    }

    /// Is this, the contents of a `Name`, among the issuers, or that of the first certificate?
    pub(super) fn concerns(&self, subject: &[u8]) -> bool {
        self.names.contains(&subject)
    }
}

/// As rustls-native-certs looks for it.
#[cfg(all(unix, not(target_os = "macos")))]
fn platform_bundle() -> Option<PathBuf> {
    use std::env::var_os;
    let file = var_os(openssl_probe::ENV_CERT_FILE).map(PathBuf::from);
    if file.is_some() || var_os(openssl_probe::ENV_CERT_DIR).is_some_and(|dirs| !dirs.is_empty()) {
        return file;
    }
    openssl_probe::probe().cert_file
}

/// These systems answer by interfaces of their own.
#[cfg(not(all(unix, not(target_os = "macos"))))]
fn platform_bundle() -> Option<PathBuf> {
    None
}

/// No sextet.
const NONE: u8 = 0xff;

/// The value of each character of base64 (RFC 4648, section 4).
const SEXTETS: [u8; 256] = {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [NONE; 256];
    let mut value = 0;
    while value < 64 {
        table[alphabet[value] as usize] = value as u8;
        value += 1;
    }
    table
};

/// Appends what the text stands for, or the lines of it that make at least `bytes_max`; white space around
/// lines is passed over. These bytes are public: the time it takes gives nothing away.
fn decode_base64(text: &[u8], bytes_max: usize, target: &mut Vec<u8>) -> Option<()> {
    // Sextets in `bits`, and their number; four more for each `=`.
    let (mut bits, mut count) = (0_u32, 0_u32);
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr(b'\n', rest).unwrap_or(rest.len());
        let (line, after) = rest.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        let line = line.trim_ascii();
        if count == 0 && decode_quartets(line, target) {
            if target.len() >= bytes_max {
                return Some(());
            }
            continue;
        }
        for byte in line {
            match (*byte, sextet(*byte)) {
                (b'=', _) if count >= 2 => count += 4,
                (_, value) if value < 64 && count < 4 => {
                    bits = bits << 6 | value;
                    count += 1;
                }
                _ => return None,
            }
            if count == 4 {
                let [_, x, y, z] = bits.to_be_bytes();
                target.extend_from_slice(&[x, y, z]);
                (bits, count) = (0, 0);
            }
        }
    }
    match count {
        0 => {}
        7 => target.extend_from_slice(&((bits >> 2) as u16).to_be_bytes()),
        10 => target.push((bits >> 4) as u8),
        _ => return None,
    }
    Some(())
}

/// Takes a line of whole quartets without padding, of which bundles consist; nothing of any other.
fn decode_quartets(line: &[u8], target: &mut Vec<u8>) -> bool {
    let (quartets, []) = line.as_chunks::<4>() else {
        return false;
    };
    let start = target.len();
    target.resize(start + 3 * quartets.len(), 0);
    let room = target.get_mut(start..).unwrap_or_default();
    let mut seen = 0;
    for ([a, b, c, d], triple) in quartets.iter().zip(room.as_chunks_mut::<3>().0) {
        let (a, b, c, d) = (sextet(*a), sextet(*b), sextet(*c), sextet(*d));
        seen |= a | b | c | d;
        let [_, x, y, z] = (a << 18 | b << 12 | c << 6 | d).to_be_bytes();
        *triple = [x, y, z];
    }
    let good = seen < 64;
    if !good {
        target.truncate(start);
    }
    good
}

fn sextet(byte: u8) -> u32 {
    u32::from(SEXTETS[usize::from(byte)])
}

struct Names {
    issuer: Range<usize>,
    subject: Range<usize>,
}

/// Where the contents of the names lie in a certificate (RFC 5280, section 4.1), of which what
/// follows them need not be there.
fn names_of(der: &[u8]) -> Option<Names> {
    const INTEGER: u8 = 0x02;
    const SEQUENCE: u8 = 0x30;
    const VERSION: u8 = 0xa0;
    let certificate = begun(der, 0, SEQUENCE)?;
    let tbs = begun(der, certificate.start, SEQUENCE)?;
    let serial_at = element(der, tbs.start, VERSION).map_or(tbs.start, |version| version.end);
    let serial = element(der, serial_at, INTEGER)?;
    let algorithm = element(der, serial.end, SEQUENCE)?;
    let issuer = element(der, algorithm.end, SEQUENCE)?;
    let validity = element(der, issuer.end, SEQUENCE)?;
    let subject = element(der, validity.end, SEQUENCE)?;
    Some(Names { issuer, subject })
}

/// The contents of the element of this tag at `at`.
fn element(der: &[u8], at: usize, tag: u8) -> Option<Range<usize>> {
    begun(der, at, tag).filter(|contents| contents.end <= der.len())
}

/// The same, although not all of it may be there.
fn begun(der: &[u8], at: usize, tag: u8) -> Option<Range<usize>> {
    let (found, rest) = der.get(at..)?.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    let (octets, length) = match first {
        0..=0x7f => (0, usize::from(*first)),
        // No certificate has 16 MiB.
        0x81..=0x83 => {
            let octets = usize::from(first & 0x7f);
            let length = rest
                .get(..octets)?
                .iter()
                .fold(0, |length, octet| length << 8 | usize::from(*octet));
            (octets, length)
        }
        _ => return None,
    };
    let start = at + 2 + octets;
    Some(start..start.checked_add(length)?)
}

#[cfg(test)]
mod tests {
    use pki_types::pem::PemObject;

    use super::*;

    #[test]
    fn base64_is_decoded_whatever_its_lines_and_refused_when_broken() {
        for (text, expected) in [
            ("", Some("")),
            ("TQ==", Some("M")),
            ("TWE=", Some("Ma")),
            ("TWFu", Some("Man")),
            ("\r\nTWFu\r\nTWE=\r\n", Some("ManMa")),
            ("T\nW F\nu", None),
            ("T\nWF\nuTWF\nu", Some("ManMan")),
            ("TWF", None),
            ("TQ=", None),
            ("T===", None),
            ("TQ==TQ==", None),
            ("TW*u", None),
        ] {
            let mut decoded = Vec::new();
            let outcome = decode_base64(text.as_bytes(), usize::MAX, &mut decoded);
            let decoded = outcome.map(|()| String::from_utf8(decoded).expect("ASCII"));
            assert_eq!(decoded.as_deref(), expected, "{text:?}");
        }
    }

    #[test]
    fn a_bundle_gives_what_a_parser_of_certificates_finds_in_it_around_what_is_broken() {
        let pki = handfast_testbed::pki::Pki::new();
        let other = handfast_testbed::pki::Pki::new();
        let leaf = pki.server(&["localhost"]);
        let good = [pki.root.cert_pem(), leaf.cert_pem(), other.root.cert_pem()];
        let broken = pki.root.cert_pem().replacen("MII", "M*I", 1);
        let cut_off = &good[0][..good[0].len() / 2];
        let text = format!(
            "a - comment\n{}{broken}{}\n{cut_off}\n{}-----BEGIN CERTIFICATE-----",
            good[0], good[1], good[2]
        );
        let lookup = Lookup::of_pem(text.into_bytes());
        assert_eq!(lookup.certificates.len(), good.len());
        for (located, pem) in lookup.certificates.iter().zip(&good) {
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
            assert_eq!(located.decode(&lookup.pem).as_ref(), Some(&der));
            let parsed = crate::x509::parse(&der, crate::x509::Depth::Outline).expect("DER");
            let names = names_of(&der).expect("names");
            for (range, name) in [
                (names.subject.clone(), parsed.subject()),
                (names.issuer, parsed.issuer()),
            ] {
                // The parser gives the header, too.
                assert!(name.as_raw().ends_with(&der[range]));
            }
            assert_eq!(lookup.subjects[located.subject.clone()], der[names.subject]);
        }
        let chain = Chain::of([&leaf.der[..]].into_iter());
        let found: Vec<_> = lookup.matching(&chain).collect();
        // The roots of the testbed bear one name; the leaf is in the bundle, too.
        assert!(found.iter().any(|entry| entry.der == pki.root.der));
        assert!(found.iter().any(|entry| entry.der == leaf.der));
    }

    #[test]
    fn names_are_found_as_soon_as_they_are_there_and_never_beyond_the_end() {
        let pki = handfast_testbed::pki::Pki::new();
        let der = &pki.root.der[..];
        let whole = names_of(der).expect("names");
        for end in 0..der.len() {
            let found = names_of(&der[..end]);
            assert_eq!(found.is_some(), end >= whole.subject.end, "{end}");
        }
        assert!(names_of(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_none());
    }
}
