//! One certificate, parsed once for path validation: a sent one or that of a trust anchor.
//!
//! Owns the properties of a single certificate: its names, its key, its extensions, and whether it can
//! be used at all. A certificate that cannot be parsed completely may still have readable names: it may
//! be on a path, and is then the fault of the path.

use std::cell::OnceCell;

use pki_types::CertificateDer;
use webpki::EndEntityCert;
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry as oids;
use x509_parser::prelude::X509Version;

use super::super::constraints::{NameConstraints, Names};
use super::super::error::VerifyCause;
use super::super::policies::is_policy_extension;
use crate::der::{CONTEXT_0, Element, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, Reader, SEQUENCE};
use crate::x500;
use crate::x509::{self, CertificateFacts, Depth};

/// The key identifier in an authority key identifier (RFC 5280, 4.2.1.1).
const KEY_IDENTIFIER: u8 = 0x80;

/// The largest path length: webpki parses no larger one, and no real authority has one.
const PATH_LEN_MAX: u32 = 255;

/// One certificate.
pub(in crate::verify) struct Certificate<'a> {
    /// Its position in the chain as sent; `None` for a trusted one.
    pub(super) index: Option<usize>,
    pub(super) der: &'a [u8],
    /// The subject's and the issuer's name, DER.
    pub(super) subject: &'a [u8],
    pub(super) issuer: &'a [u8],
    /// The canonical forms, which are the same for equal names.
    pub(super) subject_form: Vec<u8>,
    pub(super) issuer_form: Vec<u8>,
    /// The subject public key info, DER; empty if it cannot be parsed.
    pub(super) key: &'a [u8],
    /// The certificate, unless it cannot be parsed.
    pub(super) outline: Option<X509Certificate<'a>>,
    /// Why it cannot be used, regardless of its position; computed on demand.
    fault: OnceCell<Option<VerifyCause>>,
    /// Why it cannot be parsed.
    unreadable: Option<String>,
    /// Whether both ends of its validity are encoded as RFC 5280, 4.1.2.5, requires.
    has_proper_times: bool,
}

impl<'a> Certificate<'a> {
    /// Parses one certificate; `None` if not even its names can be parsed.
    pub(super) fn read(index: Option<usize>, der: &'a [u8]) -> Option<Self> {
        let skeleton = Skeleton::read(der)?;
        let (outline, unreadable) = match x509::parse(der, Depth::Outline) {
            Ok(outline) => (Some(outline), None),
            Err(malformed) => (None, Some(malformed.detail)),
        };
        Some(Self {
            index,
            der,
            subject: skeleton.subject,
            issuer: skeleton.issuer,
            subject_form: form(skeleton.subject),
            issuer_form: form(skeleton.issuer),
            key: skeleton.key,
            outline,
            fault: OnceCell::new(),
            unreadable,
            has_proper_times: skeleton.has_proper_times,
        })
    }

    pub(super) fn subject_text(&self) -> String {
        x509::describe_name_der(self.subject)
    }

    pub(super) fn issuer_text(&self) -> String {
        x509::describe_name_der(self.issuer)
    }

    /// Whether subject and issuer are equal. Such certificates do not count for path lengths (RFC 5280,
    /// 6.1).
    pub(super) fn is_self_issued(&self) -> bool {
        self.subject_form == self.issuer_form
    }

    /// Whether this is the same authority: name and key.
    pub(super) fn is_same_authority(&self, subject_form: &[u8], key: &[u8]) -> bool {
        self.subject_form == subject_form && self.key == key
    }

    /// The first and the last second of its validity, unix.
    pub(super) fn lifetime(&self) -> (i64, i64) {
        self.outline
            .as_ref()
            .map_or((i64::MAX, i64::MIN), |outline| {
                let validity = outline.validity();
                (
                    validity.not_before.timestamp(),
                    validity.not_after.timestamp(),
                )
            })
    }

    /// The value of an extension that occurs once.
    pub(super) fn extension(&self, oid: &oids::Oid<'_>) -> Option<&'a [u8]> {
        x509::unique_extension(self.outline.as_ref()?, oid)
    }

    /// Purposes by name; `None` without the extension.
    pub(super) fn purposes(&self) -> Option<Vec<String>> {
        self.extension(&oids::OID_X509_EXT_EXTENDED_KEY_USAGE)?;
        Some(
            CertificateFacts::from_der(self.der)
                .ok()
                .and_then(|facts| facts.extended_key_usage)
                .unwrap_or_default(),
        )
    }

    pub(super) fn path_len(&self) -> Option<u32> {
        x509::path_len(self.outline.as_ref()?)
    }

    pub(super) fn is_authority(&self) -> bool {
        self.outline.as_ref().is_some_and(x509::is_authority)
    }

    /// Whether any extension about certificate policies is marked critical.
    pub(super) fn has_critical_policies(&self) -> bool {
        self.outline.as_ref().is_some_and(|outline| {
            outline
                .extensions()
                .iter()
                .any(|extension| extension.critical && is_policy_extension(&extension.oid))
        })
    }

    /// Its name constraints, if present, or a description if they are malformed.
    pub(super) fn name_constraints(&self) -> Option<Result<NameConstraints, String>> {
        if !x509::has_name_constraints(self.outline.as_ref()?) {
            return None;
        }
        let value = self.extension(&oids::OID_X509_EXT_NAME_CONSTRAINTS);
        Some(value.map_or_else(
            || Err("it has name constraints twice".to_owned()),
            NameConstraints::from_der,
        ))
    }

    /// The names to which constraints apply.
    pub(super) fn names(&self) -> Result<Names<'a>, String> {
        Names::read(
            self.subject,
            self.extension(&oids::OID_X509_EXT_SUBJECT_ALT_NAME),
        )
    }

    /// Its subject key identifier, if present.
    pub(super) fn key_id(&self) -> Option<&'a [u8]> {
        let value = self.extension(&oids::OID_X509_EXT_SUBJECT_KEY_IDENTIFIER)?;
        Element::only_of(value, OCTET_STRING).map(|id| id.content)
    }

    /// Its authority key identifier, if present.
    fn issuer_key_id(&self) -> Option<&'a [u8]> {
        let value = self.extension(&oids::OID_X509_EXT_AUTHORITY_KEY_IDENTIFIER)?;
        let id = Element::only_of(value, SEQUENCE)?.children().next()?;
        (id.tag == KEY_IDENTIFIER).then_some(id.content)
    }

    /// Whether the key identifiers show that a key other than that of `issuer` signed this certificate
    /// (RFC 5280, 4.2.1.1).
    pub(super) fn names_another_key_than(&self, issuer: &Self) -> bool {
        matches!((self.issuer_key_id(), issuer.key_id()), (Some(named), Some(own)) if named != own)
    }

    /// Why it cannot be used: it cannot be parsed, its version is not 3, it is inconsistent, or it has a
    /// critical extension that is not processed (RFC 5280, 4.1, 4.2, 6.1.4 k and o).
    pub(super) fn fault(&self) -> Option<&VerifyCause> {
        self.fault.get_or_init(|| self.find_fault()).as_ref()
    }

    fn find_fault(&self) -> Option<VerifyCause> {
        let malformed = |detail: String| Some(VerifyCause::Malformed { detail });
        let Some(outline) = &self.outline else {
            return malformed(self.unreadable.clone().unwrap_or_default());
        };
        let subject = || self.subject_text();
        if outline.version() != X509Version::V3 {
            return Some(VerifyCause::UnsupportedVersion {
                subject: subject(),
                version: outline.version().0.saturating_add(1),
            });
        }
        if outline.signature_algorithm != outline.tbs_certificate.signature {
            return Some(VerifyCause::SignatureAlgorithmMismatch { subject: subject() });
        }
        let extensions = outline.extensions();
        for (position, extension) in extensions.iter().enumerate() {
            let oid = extension.oid.to_id_string();
            let is_processed = x509::is_processed(&extension.oid);
            if extension.critical && !is_processed {
                let subject = subject();
                return Some(VerifyCause::UnknownCriticalExtension { subject, oid });
            }
            if is_processed
                && extensions
                    .iter()
                    .take(position)
                    .any(|earlier| earlier.oid == extension.oid)
            {
                return malformed(format!("it has the extension {oid} twice"));
            }
        }
        if let Some(detail) = self.unreadable_extension() {
            return malformed(detail);
        }
        // The outline's parser accepts other forms, too: without seconds, with an offset, with fractions.
        if !self.has_proper_times {
            return malformed(in_words(&webpki::Error::BadDerTime));
        }
        // webpki must be able to parse it, too: a certificate about which two parsers disagree is not
        // accepted.
        match EndEntityCert::try_from(&CertificateDer::from(self.der)) {
            Ok(_) => None,
            Err(webpki::Error::UnsupportedCriticalExtension) if self.has_critical_policies() => {
                None
            }
            Err(webpki::Error::SignatureAlgorithmMismatch) => {
                Some(VerifyCause::SignatureAlgorithmMismatch { subject: subject() })
            }
            Err(error) => malformed(in_words(&error)),
        }
    }

    /// The fault of an extension whose value is used.
    fn unreadable_extension(&self) -> Option<String> {
        if self
            .extension(&oids::OID_X509_EXT_BASIC_CONSTRAINTS)
            .is_some()
        {
            let Some(constraints) = x509::basic_constraints(self.outline.as_ref()?) else {
                return Some("its basic constraints cannot be read".to_owned());
            };
            if constraints
                .path_len_constraint
                .is_some_and(|path_len| path_len > PATH_LEN_MAX)
            {
                return Some(format!("its path length is over {PATH_LEN_MAX}"));
            }
        }
        if let Some(value) = self.extension(&oids::OID_X509_EXT_EXTENDED_KEY_USAGE)
            && !is_list_of(value, OBJECT_IDENTIFIER)
        {
            return Some("its extended key usage cannot be read".to_owned());
        }
        None
    }
}

/// The parts of a certificate that determine its position in a path. They are parsed from the front, so that
/// they are found even if the rest is damaged or truncated.
struct Skeleton<'a> {
    issuer: &'a [u8],
    subject: &'a [u8],
    key: &'a [u8],
    has_proper_times: bool,
}

impl<'a> Skeleton<'a> {
    fn read(der: &'a [u8]) -> Option<Self> {
        let to_be_signed = Element::begun(Element::begun(der, SEQUENCE)?, SEQUENCE)?;
        let mut reader = Reader::new(to_be_signed);
        // The default, if absent, is version 1.
        let _version = reader.take(CONTEXT_0);
        let _serial_number = reader.take(INTEGER)?;
        let _signature_algorithm = reader.take(SEQUENCE)?;
        let issuer = reader.take(SEQUENCE)?.raw;
        let validity = reader.take(SEQUENCE)?;
        let subject = reader.take(SEQUENCE)?.raw;
        let key = reader.take(SEQUENCE).map_or(&[][..], |key| key.raw);
        Some(Self {
            issuer,
            subject,
            key,
            has_proper_times: validity.children().all(|time| time.any_time().is_some()),
        })
    }
}

/// The canonical form of the subject's name, if it can be parsed.
pub(super) fn subject_form(der: &[u8]) -> Option<Vec<u8>> {
    Skeleton::read(der).map(|skeleton| form(skeleton.subject))
}

/// The canonical form of a name; a malformed name is compared as bytes.
fn form(name: &[u8]) -> Vec<u8> {
    x500::canonical(name).unwrap_or_else(|| name.to_vec())
}

/// Whether this is a SEQUENCE of elements of one tag.
fn is_list_of(value: &[u8], tag: u8) -> bool {
    let Some(mut reader) = Element::only_of(value, SEQUENCE).map(Element::reader) else {
        return false;
    };
    while !reader.is_done() {
        if reader.take(tag).is_none() {
            return false;
        }
    }
    true
}

/// Describes webpki's parse error.
fn in_words(error: &webpki::Error) -> String {
    use webpki::Error;
    match error {
        Error::BadDer => "its DER encoding is invalid",
        Error::BadDerTime => "a time in it is wrongly encoded",
        Error::ExtensionValueInvalid => "an extension in it has no valid value",
        Error::MalformedExtensions => "its extensions are wrongly encoded",
        Error::InvalidSerialNumber => "its serial number is wrongly encoded",
        Error::TrailingData(_) => "it has trailing bytes",
        _ => "it is not encoded according to RFC 5280",
    }
    .to_owned()
}
