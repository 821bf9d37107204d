//! Searching the platform's store for the certificates to which a given chain could lead.
//!
//! Owns finding the bundle's certificates and their names without parsing them. A store holds some 150
//! authorities, and a chain needs one: parsing all of them would take longer than the handshake. `verify`
//! decides, and refuses only after reading the whole store: the search finds a subset of the trusted
//! certificates.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use memchr::memmem;
use pki_types::CertificateDer;

use super::anchor::{self, Chosen, Entry};
use super::platform;
use crate::certificates::{self, Contents};
use crate::der::{CONTEXT_0, Element, INTEGER, Reader, SEQUENCE};

const BEGIN: &[u8] = b"-----BEGIN CERTIFICATE-----";
const END: &[u8] = b"-----END CERTIFICATE-----";

/// After this many bytes a certificate's names may be complete; real ones end within 200 to 400 bytes.
const NAMES_FROM_BYTES: usize = 240;

/// The longest decoded line: bundles have lines of 64 characters, and RFC 7468 allows no longer ones.
const LINE_MAX: usize = 96;

/// The certificates of the platform's bundle, decoded only as far as their names.
pub(super) struct Lookup {
    pem: Vec<u8>,
    /// All subjects, concatenated.
    subjects: Vec<u8>,
    certificates: Vec<Located>,
}

/// The position of a certificate in the bundle, and the parsed certificate once needed.
struct Located {
    text: Range<usize>,
    subject: Range<usize>,
    entry: OnceLock<Option<Arc<Entry>>>,
}

impl Lookup {
    /// Reads the platform's bundle; `None` if there is none or it cannot be read.
    pub(super) fn of_platform() -> Option<Self> {
        let file = platform::bundle()?;
        // A file that can be read only once, such as a pipe, must be left to the complete parser.
        if !file.is_file() {
            return None;
        }
        let lookup = Self::of_pem(certificates::read_file(&file).ok()?.ok()?);
        (!lookup.certificates.is_empty()).then_some(lookup)
    }

    /// Finds sections in the form that tools write, which the PEM parser finds, too, regardless of the other
    /// content. Other sections, and certificates whose names are not found, are ignored.
    fn of_pem(pem: Vec<u8>) -> Self {
        // DER is always parsed as DER.
        let pem = match pem.first() {
            Some(&SEQUENCE) => Vec::new(),
            _ => pem,
        };
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
            if ![text.start, end].iter().all(|at| begins_line(&pem, *at))
                || ![start, text.end].iter().all(|at| ends_line(&pem, *at))
            {
                continue;
            }
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

    /// The certificates that could have issued one of the chain's, and those that are in the chain.
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

/// Decodes with the parser of the whole store, so that no other certificate is trusted.
fn decode(pem: &[u8], text: Range<usize>) -> Option<CertificateDer<'static>> {
    let mut found = Contents::of(pem.get(text)?).certificates;
    (found.len() == 1).then(|| found.pop())?.map(|one| one.der)
}

fn begins_line(pem: &[u8], at: usize) -> bool {
    match at.checked_sub(1) {
        Some(before) => pem.get(before) == Some(&b'\n'),
        None => true,
    }
}

fn ends_line(pem: &[u8], at: usize) -> bool {
    matches!(pem.get(at), None | Some(b'\n' | b'\r'))
}

/// Decodes line by line, in groups of four characters as tools write them, until the names are complete.
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
            // The peer's own certificate may be trusted.
            let subject = (index == 0).then_some(names.subject);
            for name in [Some(names.issuer), subject].into_iter().flatten() {
                if !chain.names.contains(&name) {
                    chain.names.push(name);
                }
            }
        }
        chain
    }

    /// Whether this, the contents of a `Name`, is one of the issuers, or the subject of the first certificate.
    pub(super) fn concerns(&self, subject: &[u8]) -> bool {
        self.names.contains(&subject)
    }
}

/// The contents of both names.
struct Names<'d> {
    issuer: &'d [u8],
    subject: &'d [u8],
}

/// The names in a certificate (RFC 5280, section 4.1), which may be truncated after them.
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
    use pki_types::pem::PemObject as _;
    use proptest::prelude::*;

    #[test]
    fn the_search_finds_the_valid_certificates_of_a_bundle() {
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
            // The parser includes the header.
            assert!(parsed.subject().as_raw().ends_with(names.subject));
            assert!(parsed.issuer().as_raw().ends_with(names.issuer));
            assert_eq!(lookup.subjects[located.subject.clone()], *names.subject);
        }
        let chain = Chain::of([&leaf.der[..]].into_iter());
        let found: Vec<_> = lookup.matching(&chain).collect();
        // The testbed's roots have the same name; the leaf is in the bundle, too.
        assert!(found.iter().any(|entry| entry.der == pki.root.der));
        assert!(found.iter().any(|entry| entry.der == leaf.der));
    }

    proptest! {
        /// Otherwise a peer could be verified that the store does not verify.
        #[test]
        fn found_certificates_are_found_by_the_complete_parser_too(
            parts in prop::collection::vec(0..9usize, 0..12),
        ) {
            static CERTIFICATES: OnceLock<[String; 2]> = OnceLock::new();
            let [one, other] = CERTIFICATES.get_or_init(|| {
                [(); 2].map(|()| handfast_testbed::pki::Pki::new().root.cert_pem())
            });
            let mut bundle = String::new();
            for part in parts {
                bundle.push_str(&match part {
                    0 => one.clone(),
                    1 => other.replace('\n', "\r\n"),
                    2 => other.replace('\n', "\n  "),
                    3 => one.trim_end().to_owned(),
                    4 => one[..one.len() / 2].to_owned(),
                    5 => "x ".to_owned(),
                    6 => one.replacen("MII", "Proc-Type: 4\n\nMII", 1),
                    7 => "-----BEGIN OTHER-----\n".to_owned(),
                    _ => other.replacen("MII", "M-I", 1),
                });
            }
            let whole: Vec<_> = Contents::of(bundle.as_bytes())
                .certificates
                .into_iter()
                .map(|one| one.der)
                .collect();
            let lookup = Lookup::of_pem(bundle.into_bytes());
            for located in &lookup.certificates {
                if let Some(der) = decode(&lookup.pem, located.text.clone()) {
                    prop_assert!(whole.contains(&der));
                }
            }
        }
    }

    #[test]
    fn names_are_found_as_soon_as_they_are_complete() {
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
