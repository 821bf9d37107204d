//! A glance into the platform's store: which of its certificates could a given chain lead to?
//!
//! Owns finding the bundle's certificates and their names without parsing them. A store holds some 150
//! authorities, a chain ends at one: making trust anchors of all of them would take longer than
//! the handshake that needs one. Leaves the judgement to `verify`, and every refusal to the whole
//! store: what is found here can only be less than what is trusted, never more.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use memchr::memmem;
use pki_types::CertificateDer;
use pki_types::pem::PemObject as _;

use super::anchor::{self, Chosen, Entry};
use super::read_bounded;
use crate::der::{CONTEXT_0, Element, INTEGER, Reader, SEQUENCE};

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// With so much of a certificate decoded its names may be there; real ones end within 200 to 400 bytes.
const NAMES_FROM_BYTES: usize = 240;

/// What one line decodes to at most: bundles have lines of 64 characters, RFC 7468 allows no longer ones.
const LINE_MAX: usize = 96;

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
            if !pem.get(end..).is_some_and(|rest| rest.starts_with(END)) {
                continue;
            }
            let text = begin..end + END.len();
            decode_beginning(pem.get(start..end).unwrap_or_default(), &mut der);
            if names_of(&der).is_none() {
                der = decode(&pem, text.clone()).map_or_else(Vec::new, |whole| whole.to_vec());
            }
            if let Some(names) = names_of(&der) {
                let from = subjects.len();
                subjects.extend_from_slice(names.subject);
                certificates.push(Located {
                    text,
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
            let wanted = located.entry.get_or_init(|| {
                anchor::read(decode(&self.pem, located.text.clone())?, Chosen::InStore)
                    .ok()
                    .map(Arc::new)
            });
            wanted.clone()
        })
    }
}

fn decode(pem: &[u8], text: Range<usize>) -> Option<CertificateDer<'static>> {
    CertificateDer::from_pem_slice(pem.get(text)?).ok()
}

/// Decodes line by line, in whole quartets as every tool writes them, until the names are there.
fn decode_beginning(text: &[u8], der: &mut Vec<u8>) {
    der.clear();
    let mut room = [0; LINE_MAX];
    for line in text.trim_ascii().split(|byte| *byte == b'\n') {
        let Ok(count) = BASE64_STANDARD.decode_slice(line.trim_ascii(), &mut room) else {
            return;
        };
        der.extend_from_slice(room.get(..count).unwrap_or_default());
        if der.len() >= NAMES_FROM_BYTES && names_of(der).is_some() {
            return;
        }
    }
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
            for name in [Some(names.issuer), subject].into_iter().flatten() {
                if !chain.names.contains(&name) {
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

/// The contents of both names.
struct Names<'d> {
    issuer: &'d [u8],
    subject: &'d [u8],
}

/// The names in a certificate (RFC 5280, section 4.1), of which what follows them need not be there.
fn names_of(der: &[u8]) -> Option<Names<'_>> {
    let certificate = Element::begun(der, SEQUENCE)?;
    let mut tbs = Element::begun(certificate, SEQUENCE).map(Reader::new)?;
    let _version = tbs.take(CONTEXT_0);
    let _serial = tbs.take(INTEGER)?;
    let _algorithm = tbs.take(SEQUENCE)?;
    let issuer = tbs.take(SEQUENCE)?;
    let _validity = tbs.take(SEQUENCE)?;
    let subject = tbs.take(SEQUENCE)?;
    Some(Names {
        issuer: issuer.content,
        subject: subject.content,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_gives_what_a_parser_of_certificates_finds_in_it_around_what_is_broken() {
        let pki = handfast_testbed::pki::Pki::new();
        let other = handfast_testbed::pki::Pki::new();
        let leaf = pki.server(&["localhost"]);
        let good = [pki.root.cert_pem(), leaf.cert_pem(), other.root.cert_pem()];
        let broken = pki.root.cert_pem().replacen("MII", "M*I", 1);
        // Lines of any length and end.
        let rewrapped = good[1].replace('\n', "\r\n").replacen("MII", "M\r\nII", 1);
        let cut_off = &good[0][..good[0].len() / 2];
        let text = format!(
            "a - comment\n{}{broken}{}\n{cut_off}\n{}-----BEGIN CERTIFICATE-----",
            good[0], rewrapped, good[2]
        );
        let lookup = Lookup::of_pem(text.into_bytes());
        assert_eq!(lookup.certificates.len(), good.len());
        for (located, pem) in lookup.certificates.iter().zip(&good) {
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).expect("PEM");
            let decoded = decode(&lookup.pem, located.text.clone());
            assert_eq!(decoded.as_ref(), Some(&der));
            let parsed = crate::x509::parse(&der, crate::x509::Depth::Outline).expect("DER");
            let names = names_of(&der).expect("names");
            // The parser gives the header, too.
            assert!(parsed.subject().as_raw().ends_with(names.subject));
            assert!(parsed.issuer().as_raw().ends_with(names.issuer));
            assert_eq!(lookup.subjects[located.subject.clone()], *names.subject);
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
        let subject = names_of(der).expect("names").subject;
        let subject_end = subject.as_ptr().addr() + subject.len() - der.as_ptr().addr();
        for end in 0..der.len() {
            let found = names_of(&der[..end]);
            assert_eq!(found.is_some(), end >= subject_end, "{end}");
        }
        assert!(names_of(&[0x30, 0x84, 0xff, 0xff, 0xff, 0xff]).is_none());
    }
}
