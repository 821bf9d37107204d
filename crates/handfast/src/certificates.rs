//! Reads certificates from files of any common format: PEM with any number of them, DER, or a PKCS#7
//! bundle in either.
//!
//! It also reports other content, and parses no certificate: a malformed one is returned
//! as well, so that the caller can report what is wrong with it.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use pki_types::CertificateDer;

use crate::der::{Element, SEQUENCE};
use crate::identity::der::{self, Kind, recognise};
use crate::{pem, pkcs7};

/// The limit on a file's size: the largest real bundles are under 1 MiB.
pub(crate) const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The limit on reported labels.
const LABELS_MAX: usize = 8;

/// A certificate and its position.
pub(crate) struct Placed {
    pub(crate) der: CertificateDer<'static>,
    /// Line of its BEGIN, from 1, in PEM.
    pub(crate) line: Option<usize>,
}

/// The content of a file.
#[derive(Default)]
pub(crate) struct Contents {
    /// The certificates, in order.
    pub(crate) certificates: Vec<Placed>,
    /// Whether the format has no order.
    pub(crate) is_unordered: bool,
    /// The certificates of OpenSSL's `TRUSTED CERTIFICATE` sections, without the settings behind them.
    pub(crate) openssl_trusted: Vec<Placed>,
    /// Malformed PEM sections.
    pub(crate) broken: Vec<pem::Broken>,
    /// How many bytes follow the DER that are not DER.
    pub(crate) trailing: usize,
    /// Labels of the other PEM sections, each once, and descriptions of other content.
    pub(crate) others: Vec<String>,
}

impl Contents {
    /// Parses the content.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut contents = Self::default();
        if contents.add_der(bytes) {
            return contents;
        }
        for section in pem::sections(bytes) {
            match section {
                Ok(section) => contents.add_section(&section),
                Err(broken) => contents.broken.push(broken),
            }
        }
        if contents.is_empty() {
            let damaged = (bytes.first() == Some(&SEQUENCE))
                .then(|| format!("DER that cannot be read: {}", der::complaint(bytes)));
            contents.others.extend(pem::near_miss(bytes).or(damaged));
        }
        contents
    }

    /// Whether nothing was found, including other content.
    pub(crate) fn is_empty(&self) -> bool {
        self.certificates.is_empty()
            && self.openssl_trusted.is_empty()
            && self.broken.is_empty()
            && self.others.is_empty()
    }

    fn add_section(&mut self, section: &pem::Section) {
        let line = Some(section.line);
        match section.label.as_str() {
            "CERTIFICATE" | "X509 CERTIFICATE" => match pkcs7::certificates(&section.body) {
                // Some Windows tools use this label for a bundle.
                Some(bundled) => self.add_bundle(bundled, line),
                None => self.certificates.push(Placed {
                    der: section.body.to_vec().into(),
                    line,
                }),
            },
            "PKCS7" | "CMS" | "PKCS #7 SIGNED DATA" => match pkcs7::certificates(&section.body) {
                Some(bundled) => self.add_bundle(bundled, line),
                None => self.add_other(&section.label),
            },
            "TRUSTED CERTIFICATE" => self.openssl_trusted.push(Placed {
                der: before_settings(&section.body).to_vec().into(),
                line,
            }),
            other => self.add_other(other),
        }
    }

    fn add_bundle(&mut self, bundled: Vec<CertificateDer<'static>>, line: Option<usize>) {
        self.is_unordered = true;
        let placed = bundled.into_iter().map(|der| Placed { der, line });
        self.certificates.extend(placed);
    }

    fn add_other(&mut self, label: &str) {
        if self.others.len() < LABELS_MAX && !self.others.iter().any(|known| known == label) {
            self.others.push(label.to_owned());
        }
    }

    /// Parses DER: concatenated certificates, or one bundle. Returns whether it was DER.
    fn add_der(&mut self, bytes: &[u8]) -> bool {
        let mut rest = bytes;
        while let Some((element, after)) = Element::first(rest) {
            match recognise(element.raw) {
                Some(Kind::Certificate) => self.certificates.push(Placed {
                    der: element.raw.to_vec().into(),
                    line: None,
                }),
                Some(Kind::Pkcs7) => match pkcs7::certificates(element.raw) {
                    Some(bundled) => self.add_bundle(bundled, None),
                    None => self.add_other(Kind::Pkcs7.describe()),
                },
                Some(kind) => self.add_other(kind.describe()),
                None => break,
            }
            rest = after;
        }
        if rest.len() == bytes.len() {
            return false;
        }
        // Some programs append a line end.
        self.trailing = rest.trim_ascii().len();
        true
    }
}

/// The certificate in an OpenSSL `TRUSTED CERTIFICATE`: settings that only OpenSSL reads follow it.
pub(crate) fn before_settings(body: &[u8]) -> &[u8] {
    Element::first(body).map_or(body, |(certificate, _)| certificate.raw)
}

/// Reads a whole file up to the limit; otherwise returns its size.
///
/// # Errors
/// What the operating system says.
pub(crate) fn read_file(path: &Path) -> io::Result<Result<Vec<u8>, u64>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut bytes = Vec::new();
    // Only a regular file has a size.
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    Ok(match bytes.len() as u64 {
        ..=FILE_BYTES_MAX => Ok(bytes),
        more => Err(size.max(more)),
    })
}
