//! Parses a certificate's DER into facts.
//!
//! Names, times, purposes, fingerprints, and the escaping of untrusted text so that it is
//! safe to print. Nothing is verified here: that is
//! in `verify`, with its own parser (rustls-webpki). A certificate that no verifier would accept can
//! still be parsed here, so that a report can show what is wrong with it.

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest;
use x509_parser::certificate::{X509Certificate, X509CertificateParser};
use x509_parser::der_parser::Oid;
use x509_parser::extensions::{
    BasicConstraints, ExtendedKeyUsage, GeneralName, KeyUsage, ParsedExtension,
    SubjectAlternativeName,
};
use x509_parser::nom::Parser as _;
use x509_parser::oid_registry as oids;
use x509_parser::prelude::{FromDer, X509Version};
use x509_parser::public_key::PublicKey;
use x509_parser::x509::{AttributeTypeAndValue, SubjectPublicKeyInfo, X509Name};

use crate::der::{Element, INTEGER, SEQUENCE};
use crate::hex;
use crate::key_algorithm::KeyAlgorithm;
use crate::presented;
use crate::sct::SignedCertificateTimestamp;
use crate::wire::bit_length;
use crate::x500;

/// Supported sizes of RSA keys in bits: smaller ones are rejected by every verifier, larger ones
/// are not supported by aws-lc-rs.
pub(crate) const RSA_BITS: std::ops::RangeInclusive<u32> = 2048..=8192;

/// Features that a server must support (RFC 7633).
const TLS_FEATURE: &str = "1.3.6.1.5.5.7.1.24";

/// The facts of one certificate.
///
/// Text fields are as in the certificate. [`subject`](Self::subject) and
/// [`issuer`](Self::issuer) are escaped already; pass anything else through [`escape_control`] before
/// it reaches a terminal or a log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CertificateFacts {
    /// X.509 version: 1, 2 or 3.
    pub version: u32,
    /// Subject name in the manner of RFC 4514, most specific part first, escaped. May be empty.
    pub subject: String,
    /// Issuer name in the manner of RFC 4514, most specific part first, escaped.
    pub issuer: String,
    /// The subject's most specific common name, as written.
    pub common_name: Option<String>,
    /// Serial number in lower-case hexadecimal, two digits per byte, without separators.
    pub serial: String,
    /// First second of validity, in unix seconds.
    pub not_before: i64,
    /// Last second of validity, in unix seconds.
    pub not_after: i64,
    /// Subject alternative names, in the certificate's order (RFC 5280, 4.2.1.6).
    pub names: Vec<SubjectAltName>,
    /// Public key algorithm.
    pub key_algorithm: KeyAlgorithm,
    /// Size of the public key in bits, if the algorithm has one.
    pub key_bits: Option<u32>,
    /// Signature algorithm: `ecdsa-with-SHA256`, or a dotted object identifier.
    pub signature_algorithm: String,
    /// Whether basic constraints say that this is a certificate authority (RFC 5280, 4.2.1.9).
    pub is_ca: bool,
    /// The limit on intermediates below this authority, if any.
    pub path_len: Option<u32>,
    /// Key usage bits that are set; `None` without the extension (RFC 5280, 4.2.1.3).
    pub key_usage: Option<Vec<&'static str>>,
    /// Extended key usages by name or dotted identifier; `None` without the extension.
    pub extended_key_usage: Option<Vec<String>>,
    /// Subject key identifier in hexadecimal.
    pub subject_key_id: Option<String>,
    /// Authority key identifier in hexadecimal.
    pub authority_key_id: Option<String>,
    /// Where the issuer's certificate can be fetched (authority information access).
    pub ca_issuer_urls: Vec<String>,
    /// OCSP responders (authority information access).
    pub ocsp_urls: Vec<String>,
    /// Whether signed certificate timestamps are embedded (RFC 6962).
    pub has_scts: bool,
    /// Those timestamps; empty when their list is malformed.
    pub timestamps: Vec<SignedCertificateTimestamp>,
    /// Whether a server must staple an OCSP response to it (TLS feature extension, RFC 7633).
    pub must_staple: bool,
    /// Critical extensions that handfast does not process, as dotted identifiers.
    pub unknown_critical_extensions: Vec<String>,
    /// SHA-256 of the whole certificate.
    pub sha256: [u8; 32],
    /// SHA-256 of the subject public key info: what pins compare.
    pub spki_sha256: [u8; 32],
    /// Whether subject and issuer are the same name. The signature is not checked.
    pub is_self_issued: bool,
}

impl CertificateFacts {
    /// Reads one DER certificate.
    ///
    /// # Errors
    /// [`MalformedCertificate`] if the bytes are not a certificate, or bytes follow it. A malformed
    /// extension is not an error: its facts are absent.
    pub fn from_der(der: &[u8]) -> Result<Self, MalformedCertificate> {
        let certificate = parse(der, Depth::Extensions)?;
        let (key_algorithm, key_bits) = describe_key(certificate.public_key());
        let mut facts = Self {
            version: certificate.version().0.saturating_add(1),
            subject: describe_name(certificate.subject()),
            issuer: describe_name(certificate.issuer()),
            common_name: common_name(certificate.subject()),
            serial: hex::encode(certificate.raw_serial()),
            not_before: certificate.validity().not_before.timestamp(),
            not_after: certificate.validity().not_after.timestamp(),
            names: Vec::new(),
            key_algorithm,
            key_bits,
            signature_algorithm: describe_signature_algorithm(
                &certificate.signature_algorithm.algorithm,
            ),
            is_ca: false,
            path_len: None,
            key_usage: None,
            extended_key_usage: None,
            subject_key_id: None,
            authority_key_id: None,
            ca_issuer_urls: Vec::new(),
            ocsp_urls: Vec::new(),
            has_scts: false,
            timestamps: Vec::new(),
            must_staple: false,
            unknown_critical_extensions: Vec::new(),
            sha256: sha256(der),
            spki_sha256: sha256(certificate.public_key().raw),
            is_self_issued: x500::equal(
                certificate.subject().as_raw(),
                certificate.issuer().as_raw(),
            ),
        };
        for extension in certificate.extensions() {
            if extension.critical && !is_processed(&extension.oid) {
                facts
                    .unknown_critical_extensions
                    .push(extension.oid.to_id_string());
            }
            if extension.oid == oids::OID_CT_LIST_SCT {
                facts.timestamps = SignedCertificateTimestamp::list_from_extension(extension.value)
                    .unwrap_or_default();
            }
            if extension.oid.to_id_string() == TLS_FEATURE {
                facts.must_staple = asks_for_status(extension.value);
            }
            facts.read_extension(extension.parsed_extension());
        }
        Ok(facts)
    }

    /// Whether any subject alternative name is a DNS name or an IP address: then the subject's
    /// common name is ignored (RFC 9525, section 6.3).
    pub fn has_server_names(&self) -> bool {
        self.names
            .iter()
            .any(|name| matches!(name, SubjectAltName::Dns(_) | SubjectAltName::Ip(_)))
    }

    fn read_extension(&mut self, extension: &ParsedExtension<'_>) {
        match extension {
            ParsedExtension::BasicConstraints(constraints) => {
                self.is_ca = constraints.ca;
                self.path_len = constraints.path_len_constraint;
            }
            ParsedExtension::KeyUsage(usage) => self.key_usage = Some(describe_key_usage(usage)),
            ParsedExtension::ExtendedKeyUsage(usage) => {
                self.extended_key_usage = Some(describe_purposes(usage));
            }
            ParsedExtension::SubjectAlternativeName(names) => {
                self.names = names
                    .general_names
                    .iter()
                    .map(SubjectAltName::read)
                    .collect();
            }
            ParsedExtension::SubjectKeyIdentifier(id) => {
                self.subject_key_id = Some(hex::encode(id.0))
            }
            ParsedExtension::AuthorityKeyIdentifier(id) => {
                self.authority_key_id = id.key_identifier.as_ref().map(|id| hex::encode(id.0));
            }
            ParsedExtension::AuthorityInfoAccess(access) => {
                for description in access.iter() {
                    let GeneralName::URI(url) = description.access_location else {
                        continue;
                    };
                    if description.access_method == oids::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS {
                        self.ca_issuer_urls.push(url.to_owned());
                    } else if description.access_method == oids::OID_PKIX_ACCESS_DESCRIPTOR_OCSP {
                        self.ocsp_urls.push(url.to_owned());
                    }
                }
            }
            ParsedExtension::SCT(timestamps) => self.has_scts = !timestamps.is_empty(),
            _ => {}
        }
    }
}

/// One subject alternative name. `Display` escapes control characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SubjectAltName {
    /// A DNS name, perhaps with a wildcard as its left-most label.
    Dns(String),
    /// An IP address.
    Ip(IpAddr),
    /// A mailbox.
    Email(String),
    /// A URI.
    Uri(String),
    /// Any other kind, described.
    Other(String),
}

impl SubjectAltName {
    fn read(name: &GeneralName<'_>) -> Self {
        match name {
            GeneralName::DNSName(name) => Self::Dns((*name).to_owned()),
            GeneralName::RFC822Name(mailbox) => Self::Email((*mailbox).to_owned()),
            GeneralName::URI(uri) => Self::Uri((*uri).to_owned()),
            GeneralName::IPAddress(octets) => ip_address(octets).map_or_else(
                || Self::Other(format!("IP address {}", hex::encode(octets))),
                Self::Ip,
            ),
            GeneralName::DirectoryName(name) => Self::Other(describe_name(name)),
            GeneralName::OtherName(oid, _) => Self::Other(format!("name of type {oid}")),
            GeneralName::RegisteredID(oid) => Self::Other(oid.to_id_string()),
            _ => Self::Other("name of an unknown type".to_owned()),
        }
    }

    /// Why this name never matches, in a few words: a URL, a host with a port, an address, a
    /// name that ends with a dot or a wildcard that covers nothing, entered as a DNS name (RFC 9525,
    /// section 6.3). `None` for valid names, and for names of other types.
    pub fn never_matches(&self) -> Option<String> {
        match self {
            Self::Dns(name) => presented::never_matches(name),
            _ => None,
        }
    }

    /// For a name that [never matches](Self::never_matches): the intended name, if it can be
    /// recognized, such as the host of a URL.
    pub fn meant(&self) -> Option<&str> {
        match self {
            Self::Dns(name) if presented::never_matches(name).is_some() => {
                Some(presented::meant(name)).filter(|meant| !meant.is_empty())
            }
            _ => None,
        }
    }
}

impl fmt::Display for SubjectAltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Dns(text) | Self::Email(text) | Self::Uri(text) | Self::Other(text) => {
                f.write_str(&escape_control(text))
            }
        }
    }
}

/// The bytes are not an X.509 certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MalformedCertificate {
    /// The parser's error.
    pub detail: String,
}

impl fmt::Display for MalformedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the certificate cannot be read: {}", self.detail)
    }
}

impl std::error::Error for MalformedCertificate {}

/// Makes untrusted text safe to print: control characters, and invisible ones that
/// reorder or hide others, become `\u{..}`.
///
/// ```
/// # use handfast::escape_control;
/// assert_eq!(escape_control("shop.example"), "shop.example");
/// assert_eq!(escape_control("a\u{1b}[2Jb\u{202e}"), "a\\u{1b}[2Jb\\u{202e}");
/// ```
pub fn escape_control(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unprintable) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len().saturating_add(16));
    for character in text.chars() {
        if is_unprintable(character) {
            escaped.extend(character.escape_unicode());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

/// Unix seconds as `2026-11-24T14:39:41Z`, the form of times in errors and reports.
pub fn format_utc(unix_seconds: i64) -> String {
    // Days to civil date, proleptic Gregorian: H. Hinnant, "chrono-compatible low-level date
    // algorithms". Years count from March so that the leap day comes last. i128 cannot overflow.
    let seconds = i128::from(unix_seconds);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    let year = year_of_era + era * 400 + i128::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// How much of a certificate [`parse`] reads. Extensions are the slowest part, and a verifier that only needs
/// validity and the issuer's name does not use them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    Outline,
    Extensions,
}

/// Parses exactly one certificate, nothing after it.
pub(crate) fn parse(der: &[u8], depth: Depth) -> Result<X509Certificate<'_>, MalformedCertificate> {
    let mut parser =
        X509CertificateParser::new().with_deep_parse_extensions(depth == Depth::Extensions);
    match parser.parse(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok((rest, _)) => Err(MalformedCertificate {
            detail: format!("{} bytes follow it", rest.len()),
        }),
        Err(error) => Err(MalformedCertificate {
            detail: escape_control(&error.to_string()).into_owned(),
        }),
    }
}

/// Whether this is a version 3 certificate with CA:TRUE in its basic constraints: only these
/// may issue. Malformed or repeated constraints are not accepted.
pub(crate) fn is_authority(certificate: &X509Certificate<'_>) -> bool {
    certificate.version() == X509Version::V3
        && basic_constraints(certificate).is_some_and(|constraints| constraints.ca)
}

/// The limit on intermediates below an authority, if any.
pub(crate) fn path_len(certificate: &X509Certificate<'_>) -> Option<u32> {
    basic_constraints(certificate)?.path_len_constraint
}

pub(crate) fn basic_constraints(certificate: &X509Certificate<'_>) -> Option<BasicConstraints> {
    unique_extension(certificate, &oids::OID_X509_EXT_BASIC_CONSTRAINTS)
        .and_then(|value| BasicConstraints::from_der(value).ok())
        .map(|(_, constraints)| constraints)
}

/// Whether this authority has name constraints, well-formed or not.
pub(crate) fn has_name_constraints(certificate: &X509Certificate<'_>) -> bool {
    certificate
        .extensions()
        .iter()
        .any(|extension| extension.oid == oids::OID_X509_EXT_NAME_CONSTRAINTS)
}

/// The key usage extension, if present. A malformed one allows nothing.
pub(crate) fn key_usage(certificate: &X509Certificate<'_>) -> Option<KeyUsage> {
    unique_extension(certificate, &oids::OID_X509_EXT_KEY_USAGE)
        .map(|value| KeyUsage::from_der(value).map_or(KeyUsage { flags: 0 }, |(_, usage)| usage))
}

/// The purposes of the extended key usage extension, by name or dotted identifier, if present. A malformed one
/// allows nothing.
pub(crate) fn extended_key_usage(certificate: &X509Certificate<'_>) -> Option<Vec<String>> {
    let value = unique_extension(certificate, &oids::OID_X509_EXT_EXTENDED_KEY_USAGE)?;
    Some(match ExtendedKeyUsage::from_der(value) {
        Ok((_, usage)) => describe_purposes(&usage),
        Err(_) => Vec::new(),
    })
}

fn describe_purposes(usage: &ExtendedKeyUsage<'_>) -> Vec<String> {
    [
        (usage.any, "anyExtendedKeyUsage"),
        (usage.server_auth, "serverAuth"),
        (usage.client_auth, "clientAuth"),
        (usage.code_signing, "codeSigning"),
        (usage.email_protection, "emailProtection"),
        (usage.time_stamping, "timeStamping"),
        (usage.ocsp_signing, "OCSPSigning"),
    ]
    .into_iter()
    .filter(|(is_set, _)| *is_set)
    .map(|(_, name)| name.to_owned())
    .chain(usage.other.iter().map(Oid::to_id_string))
    .collect()
}

/// Whether any subject alternative name is a DNS name or an IP address, or they are malformed.
pub(crate) fn names_servers(certificate: &X509Certificate<'_>) -> bool {
    let Some(value) = unique_extension(certificate, &oids::OID_X509_EXT_SUBJECT_ALT_NAME) else {
        return false;
    };
    SubjectAlternativeName::from_der(value).map_or(true, |(_, names)| {
        names
            .general_names
            .iter()
            .any(|name| matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_)))
    })
}

/// Names of the bits that are set, as in RFC 5280.
pub(crate) fn describe_key_usage(usage: &KeyUsage) -> Vec<&'static str> {
    [
        (usage.digital_signature(), "digitalSignature"),
        (usage.non_repudiation(), "nonRepudiation"),
        (usage.key_encipherment(), "keyEncipherment"),
        (usage.data_encipherment(), "dataEncipherment"),
        (usage.key_agreement(), "keyAgreement"),
        (usage.key_cert_sign(), "keyCertSign"),
        (usage.crl_sign(), "cRLSign"),
        (usage.encipher_only(), "encipherOnly"),
        (usage.decipher_only(), "decipherOnly"),
    ]
    .into_iter()
    .filter_map(|(is_set, name)| is_set.then_some(name))
    .collect()
}

/// Algorithm and size in bits of a public key.
pub(crate) fn describe_key(key: &SubjectPublicKeyInfo<'_>) -> (KeyAlgorithm, Option<u32>) {
    let algorithm = KeyAlgorithm::of(key);
    let bits = match &algorithm {
        KeyAlgorithm::Rsa | KeyAlgorithm::RsaPss => rsa_modulus_bits(key),
        KeyAlgorithm::EcP256 | KeyAlgorithm::Ed25519 => Some(256),
        KeyAlgorithm::EcP384 => Some(384),
        KeyAlgorithm::Ed448 => Some(456),
        KeyAlgorithm::EcP521 => Some(521),
        KeyAlgorithm::EcOther(_) | KeyAlgorithm::Other(_) => None,
    };
    (algorithm, bits)
}

/// The usual name of a signature algorithm.
pub(crate) fn describe_signature_algorithm(oid: &Oid<'_>) -> String {
    let id = oid.to_id_string();
    match id.as_str() {
        "1.2.840.113549.1.1.2" => "md2WithRSAEncryption",
        "1.2.840.113549.1.1.4" => "md5WithRSAEncryption",
        "1.2.840.113549.1.1.5" => "sha1WithRSAEncryption",
        "1.2.840.113549.1.1.10" => "rsassaPss",
        "1.2.840.113549.1.1.11" => "sha256WithRSAEncryption",
        "1.2.840.113549.1.1.12" => "sha384WithRSAEncryption",
        "1.2.840.113549.1.1.13" => "sha512WithRSAEncryption",
        "1.2.840.10040.4.3" => "dsa-with-SHA1",
        "1.2.840.10045.4.1" => "ecdsa-with-SHA1",
        "1.2.840.10045.4.3.2" => "ecdsa-with-SHA256",
        "1.2.840.10045.4.3.3" => "ecdsa-with-SHA384",
        "1.2.840.10045.4.3.4" => "ecdsa-with-SHA512",
        "1.3.101.112" => "Ed25519",
        "1.3.101.113" => "Ed448",
        "2.16.840.1.101.3.4.3.17" => "ML-DSA-44",
        "2.16.840.1.101.3.4.3.18" => "ML-DSA-65",
        "2.16.840.1.101.3.4.3.19" => "ML-DSA-87",
        _ => return id,
    }
    .to_owned()
}

/// A name as in RFC 4514: most specific part first, escaped, without control
/// characters.
pub(crate) fn describe_name(name: &X509Name<'_>) -> String {
    let mut parts: Vec<String> = name
        .iter_rdn()
        .map(|rdn| {
            rdn.iter()
                .map(describe_attribute)
                .collect::<Vec<_>>()
                .join("+")
        })
        .collect();
    parts.reverse();
    parts.join(", ")
}

/// The same from a name's DER.
pub(crate) fn describe_name_der(der: &[u8]) -> String {
    match X509Name::from_der(der) {
        Ok((_, name)) => describe_name(&name),
        Err(_) => format!("a name of {} bytes that cannot be read", der.len()),
    }
}

/// The name of a certificate's subject; empty if it is malformed.
pub(crate) fn subject_of(der: &[u8]) -> String {
    parse(der, Depth::Outline).map_or_else(
        |_| String::new(),
        |certificate| describe_name(certificate.subject()),
    )
}

/// Puts the header of a DER SEQUENCE before `content`.
pub(crate) fn wrap_sequence(content: &[u8]) -> Vec<u8> {
    let mut der = Vec::with_capacity(content.len().saturating_add(6));
    der.push(0x30);
    let length = content.len().to_be_bytes();
    let significant: Vec<u8> = length
        .iter()
        .copied()
        .skip_while(|byte| *byte == 0)
        .collect();
    match u8::try_from(content.len()) {
        Ok(short) if short < 0x80 => der.push(short),
        _ => {
            // At most eight bytes of length: the cast cannot truncate.
            der.push(0x80 | significant.len() as u8);
            der.extend_from_slice(&significant);
        }
    }
    der.extend_from_slice(content);
    der
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

/// Only where a standard requires SHA-1, and security does not depend on it.
pub(crate) fn sha1(bytes: &[u8]) -> [u8; 20] {
    let mut hash = [0; 20];
    hash.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref());
    hash
}

/// Whether the features that a server must support include `status_request` (RFC 7633, 4.2.3.1).
fn asks_for_status(value: &[u8]) -> bool {
    const STATUS_REQUEST: &[u8] = &[5];
    Element::only_of(value, SEQUENCE).is_some_and(|features| {
        features
            .children()
            .any(|feature| feature.tag == INTEGER && feature.content == STATUS_REQUEST)
    })
}

/// Extensions that verification processes, or that need no processing.
pub(crate) fn is_processed(oid: &Oid<'_>) -> bool {
    [
        oids::OID_X509_EXT_KEY_USAGE,
        oids::OID_X509_EXT_SUBJECT_ALT_NAME,
        oids::OID_X509_EXT_BASIC_CONSTRAINTS,
        oids::OID_X509_EXT_NAME_CONSTRAINTS,
        oids::OID_X509_EXT_EXTENDED_KEY_USAGE,
        oids::OID_X509_EXT_CRL_DISTRIBUTION_POINTS,
        oids::OID_X509_EXT_CERTIFICATE_POLICIES,
        oids::OID_X509_EXT_POLICY_MAPPINGS,
        oids::OID_X509_EXT_POLICY_CONSTRAINTS,
        oids::OID_X509_EXT_INHIBIT_ANY_POLICY,
        oids::OID_CT_LIST_SCT,
    ]
    .contains(oid)
}

pub(crate) fn unique_extension<'a>(
    certificate: &X509Certificate<'a>,
    oid: &Oid<'_>,
) -> Option<&'a [u8]> {
    certificate
        .get_extension_unique(oid)
        .ok()
        .flatten()
        .map(|extension| extension.value)
}

fn common_name(subject: &X509Name<'_>) -> Option<String> {
    subject.iter_common_name().last().and_then(attribute_text)
}

fn describe_attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let id = attribute.attr_type().to_id_string();
    let short = match id.as_str() {
        "2.5.4.3" => "CN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "STREET",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.97" => "organizationIdentifier",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        _ => id.as_str(),
    };
    match attribute_text(attribute) {
        Some(text) => format!("{short}={}", escape_attribute(&text)),
        None => format!("{short}=#{}", hex::encode(attribute.as_slice())),
    }
}

/// The text of an attribute in any string type of certificates.
fn attribute_text(attribute: &AttributeTypeAndValue<'_>) -> Option<String> {
    const TELETEX_STRING: u32 = 20;
    const BMP_STRING: u32 = 30;
    if let Ok(text) = attribute.as_str() {
        return Some(text.to_owned());
    }
    let bytes = attribute.as_slice();
    match attribute.attr_value().tag().0 {
        // All implementations read it as Latin-1, not as T.61.
        TELETEX_STRING => Some(bytes.iter().copied().map(char::from).collect()),
        BMP_STRING => {
            let units = bytes.chunks_exact(2).map(|pair| match pair {
                [high, low] => u16::from_be_bytes([*high, *low]),
                _ => 0xfffd,
            });
            char::decode_utf16(units)
                .collect::<Result<String, _>>()
                .ok()
        }
        _ => None,
    }
}

/// RFC 4514, section 2.4, and control characters as well.
fn escape_attribute(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(text.len());
    for (index, character) in text.chars().enumerate() {
        let at_edge =
            (index == 0 && matches!(character, ' ' | '#')) || (index == last && character == ' ');
        if at_edge || matches!(character, '"' | '+' | ',' | ';' | '<' | '>' | '\\') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escape_control(&escaped).into_owned()
}

fn is_unprintable(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e0000}'..='\u{e007f}')
}

fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        return Some(IpAddr::V4(Ipv4Addr::from(octets)));
    }
    <[u8; 16]>::try_from(octets)
        .ok()
        .map(|octets| IpAddr::V6(Ipv6Addr::from(octets)))
}

fn rsa_modulus_bits(key: &SubjectPublicKeyInfo<'_>) -> Option<u32> {
    match key.parsed() {
        Ok(PublicKey::RSA(rsa)) => bit_length(rsa.modulus),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_formatted() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_399, "2000-02-28T23:59:59Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (4_102_444_800, "2100-01-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(format_utc(seconds), text);
        }
    }

    #[test]
    fn garbage_is_not_a_certificate() {
        for garbage in [
            &[][..],
            &[0x30],
            &[0x30, 0x80, 0, 0],
            b"-----BEGIN CERTIFICATE-----",
        ] {
            assert!(CertificateFacts::from_der(garbage).is_err(), "{garbage:?}");
        }
    }

    #[test]
    fn sequences_get_the_shortest_length() {
        assert_eq!(wrap_sequence(&[1, 2]), [0x30, 2, 1, 2]);
        assert_eq!(wrap_sequence(&[0; 0x7f])[..2], [0x30, 0x7f]);
        assert_eq!(wrap_sequence(&[0; 0x80])[..3], [0x30, 0x81, 0x80]);
        assert_eq!(wrap_sequence(&[0; 0x100])[..4], [0x30, 0x82, 1, 0]);
    }
}
