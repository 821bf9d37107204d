//! One trusted certificate: whether it is a trust anchor, and its limits.
//!
//! Owns that decision and parsing the limits, once, when the certificate is loaded: verification only
//! compares them. `verify/anchor.rs` applies them to a path.

use std::sync::Arc;

use pki_types::{CertificateDer, TrustAnchor};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::KeyUsage;
use x509_parser::oid_registry as oids;
use x509_parser::prelude::X509Version;

use super::problem::AnchorProblemKind;
use crate::key_algorithm::KeyAlgorithm;
use crate::x500;
use crate::x509::{self, Depth, RSA_BITS};

/// Further extensions that may be critical, besides those that are processed on every certificate. They do not
/// limit what an authority may issue: subject directory attributes, key identifiers, the private key usage
/// period, alternative names, locations.
const HARMLESS: [&str; 10] = [
    "2.5.29.9",
    "2.5.29.14",
    "2.5.29.16",
    "2.5.29.18",
    "2.5.29.35",
    "2.5.29.46",
    "1.3.6.1.5.5.7.1.1",
    "1.3.6.1.5.5.7.1.11",
    // Netscape's comment and certificate type, in old roots.
    "2.16.840.1.113730.1.13",
    "2.16.840.1.113730.1.1",
];

/// The limits in a trust anchor's own certificate. RFC 5280, 6.1.1 (d), leaves it to the verifier
/// whether to apply them; RFC 5937 and OpenSSL do.
#[derive(Clone, Debug)]
pub(crate) struct AnchorLimits {
    pub(crate) der: CertificateDer<'static>,
    /// First second of its validity, unix.
    pub(crate) not_before: i64,
    /// Last second of its validity, unix.
    pub(crate) not_after: i64,
    /// How many intermediates it allows below it.
    pub(crate) path_len: Option<u32>,
    /// Its key usage, if present.
    pub(crate) key_usage: Option<KeyUsage>,
    /// Its extended key usage, by name, if present.
    pub(crate) extended_key_usage: Option<Vec<String>>,
    /// A critical extension that is not processed: a limit that cannot be applied.
    pub(crate) unknown_critical_extension: Option<String>,
    /// Whether it may require a certificate policy for every path below it.
    pub(crate) may_demand_policy: bool,
}

impl AnchorLimits {
    fn read(der: &CertificateDer<'static>, certificate: &X509Certificate<'_>) -> Self {
        let unknown_critical_extension = certificate.extensions().iter().find_map(|extension| {
            let id = extension.oid.to_id_string();
            let is_unknown = extension.critical
                && !x509::is_processed(&extension.oid)
                && !HARMLESS.contains(&id.as_str());
            is_unknown.then_some(id)
        });
        Self {
            der: der.clone(),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            path_len: x509::path_len(certificate),
            key_usage: x509::key_usage(certificate),
            extended_key_usage: x509::extended_key_usage(certificate),
            unknown_critical_extension,
            may_demand_policy: certificate
                .extensions()
                .iter()
                .any(|extension| extension.oid == oids::OID_X509_EXT_POLICY_CONSTRAINTS),
        }
    }

    /// Why no path can end at it, for any peer and purpose.
    fn problem(&self, certificate: &X509Certificate<'_>) -> Option<AnchorProblemKind> {
        if let Some(usage) = self.key_usage.filter(|usage| !usage.key_cert_sign()) {
            let presented = x509::describe_key_usage(&usage);
            return Some(AnchorProblemKind::NoCertificateSigning { presented });
        }
        if let Some(oid) = self.unknown_critical_extension.clone() {
            return Some(AnchorProblemKind::UnknownCriticalExtension { oid });
        }
        let (algorithm, bits) = x509::describe_key(certificate.public_key());
        let bits = match (&algorithm, bits) {
            (KeyAlgorithm::Rsa, Some(size)) if RSA_BITS.contains(&size) => return None,
            (KeyAlgorithm::Rsa, size) => size,
            (usable, _) if usable.is_supported() => return None,
            _ => None,
        };
        Some(AnchorProblemKind::UnusableKey {
            algorithm: algorithm.to_string(),
            bits,
        })
    }

    /// Its name, escaped.
    pub(crate) fn subject(&self) -> String {
        x509::subject_of(&self.der)
    }
}

/// How a certificate became trusted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Chosen {
    /// A user or a program gave this certificate, or its file or directory.
    ByName,
    /// It is in the platform's store, which may also contain certificates of single servers: only
    /// certificates with CA:TRUE are authorities.
    InStore,
}

/// One trusted certificate.
pub(super) struct Entry {
    pub(super) der: CertificateDer<'static>,
    pub(super) standing: Standing,
}

/// The role of a trusted certificate.
pub(super) enum Standing {
    /// A trust anchor, within its limits; also trusted as an end-entity certificate.
    Anchor {
        /// In webpki's form; `None` if webpki cannot parse it, so that only our own validation uses it.
        webpki: Option<TrustAnchor<'static>>,
        limits: Arc<AnchorLimits>,
    },
    /// Trusted only as an end-entity certificate, and why it cannot be an anchor.
    Itself(AnchorProblemKind),
}

impl Entry {
    /// Why it cannot be an anchor, with its name; `None` if it can.
    pub(super) fn problem(&self) -> Option<(String, AnchorProblemKind)> {
        let certificate = x509::parse(&self.der, Depth::Outline).ok()?;
        let kind = match &self.standing {
            Standing::Itself(kind) => kind.clone(),
            Standing::Anchor { limits, .. } => limits.problem(&certificate)?,
        };
        Some((x509::describe_name(certificate.subject()), kind))
    }
}

/// Parses one trusted certificate.
///
/// # Errors
/// If it cannot be used. The name, escaped, is empty if it could not be parsed.
pub(super) fn read(
    der: CertificateDer<'static>,
    chosen: Chosen,
) -> Result<Entry, (String, AnchorProblemKind)> {
    let standing = {
        let certificate = x509::parse(&der, Depth::Outline).map_err(|malformed| {
            let detail = malformed.detail;
            (String::new(), AnchorProblemKind::Malformed { detail })
        })?;
        let unusable = |kind| (x509::describe_name(certificate.subject()), kind);
        if let Some(detail) = contradiction(&certificate) {
            return Err(unusable(AnchorProblemKind::Malformed { detail }));
        }
        match why_no_anchor(&certificate, chosen) {
            None => Standing::Anchor {
                webpki: webpki::anchor_from_trusted_cert(&der)
                    .ok()
                    .map(|anchor| anchor.to_owned()),
                limits: Arc::new(AnchorLimits::read(&der, &certificate)),
            },
            // A peer cannot present one of these as its own either: without extensions it names no
            // server.
            Some(kind @ AnchorProblemKind::OldVersion { .. }) => return Err(unusable(kind)),
            Some(kind) => Standing::Itself(kind),
        }
    };
    Ok(Entry { der, standing })
}

/// Whether the certificate's limits are ambiguous.
fn contradiction(certificate: &X509Certificate<'_>) -> Option<String> {
    // RFC 5280, 4.2: no more than one instance of an extension.
    let extensions = certificate.extensions();
    extensions
        .iter()
        .enumerate()
        .find_map(|(index, extension)| {
            let is_repeated = extensions
                .iter()
                .take(index)
                .any(|earlier| earlier.oid == extension.oid);
            is_repeated.then(|| format!("it has the extension {} twice", extension.oid))
        })
}

/// Why a trusted certificate is trusted only as an end-entity certificate; `None` if it is an anchor.
///
/// Basic constraints decide, if present. Without them, only an anchor's name and key are needed (RFC 5280,
/// 6.1.1 d), so a root that the user gives explicitly is one, of any version; but a trusted server certificate
/// must never become an authority. So it must be self-issued, and its key usage, if present, must include
/// keyCertSign; without key usage, it must not have a purpose of TLS or the name of a server.
fn why_no_anchor(certificate: &X509Certificate<'_>, chosen: Chosen) -> Option<AnchorProblemKind> {
    let has_constraints = certificate
        .extensions()
        .iter()
        .any(|extension| extension.oid == oids::OID_X509_EXT_BASIC_CONSTRAINTS);
    if certificate.version() == X509Version::V3 && has_constraints {
        return (!x509::is_authority(certificate)).then_some(AnchorProblemKind::NotAnAuthority);
    }
    let name = certificate.subject();
    let is_root = x500::equal(name.as_raw(), certificate.issuer().as_raw())
        && name.iter_rdn().next().is_some();
    if certificate.version() != X509Version::V3 {
        let version = certificate.version().0.saturating_add(1);
        return (!is_root || chosen == Chosen::InStore)
            .then_some(AnchorProblemKind::OldVersion { version, is_root });
    }
    let may_sign = match x509::key_usage(certificate) {
        Some(usage) => usage.key_cert_sign(),
        None => {
            x509::extended_key_usage(certificate).is_none() && !x509::names_servers(certificate)
        }
    };
    (!is_root || !may_sign || chosen == Chosen::InStore).then_some(
        AnchorProblemKind::NoBasicConstraints {
            is_root: is_root && may_sign,
        },
    )
}
