//! A public key infrastructure made at run time, with every fault that a certificate can have.
//!
//! Certificates are made by rcgen. Faults that it refuses (version 1, wrong signatures, keys
//! too small, contradictions) are made by parsing its certificate, changing the bytes and, unless
//! the fault is the signature, signing again.
//!
//! ```
//! use handfast_testbed::pki::{Pki, Spec};
//!
//! let pki = Pki::new();
//! let intermediate = pki.root.issue(Spec::authority("Test Intermediate"));
//! let server = intermediate.issue(Spec::server(&["shop.example", "127.0.0.1"]));
//! let chain = [server.der.clone(), intermediate.der.clone()];
//! assert!(server.cert_pem().starts_with("-----BEGIN CERTIFICATE-----"));
//! # assert_eq!(chain.len(), 2);
//! ```

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CustomExtension,
    DistinguishedName, DnType, GeneralSubtree, IsCa, Issuer, KeyIdMethod, KeyPair, NameConstraints,
    PublicKeyData, RevokedCertParams, SanType, SerialNumber, SignatureAlgorithm, SigningKey,
    date_time_ymd,
};
pub use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};

pub use crate::der::der;
use crate::der::{content, elements};

/// Unix seconds as rcgen's date type. A macro, because rcgen does not re-export the type.
macro_rules! at {
    ($unix_seconds:expr) => {
        date_time_ymd(1970, 1, 1) + Duration::from_secs($unix_seconds)
    };
}

/// One day, in seconds.
pub const DAY_SECS: u64 = 86_400;

/// Unix seconds now.
pub fn now_secs() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |elapsed| elapsed.as_secs())
}

/// A root, and methods for the usual certificates below it.
pub struct Pki {
    /// A self-signed authority, P-256.
    pub root: Issued,
}

impl Pki {
    /// A fresh root named `Test Root`, with a key of its own.
    pub fn new() -> Self {
        Self {
            root: Spec::authority("Test Root").self_signed(),
        }
    }

    /// A server certificate issued by the root.
    pub fn server(&self, names: &[&str]) -> Issued {
        self.root.issue(Spec::server(names))
    }

    /// A client certificate issued by the root.
    pub fn client(&self, common_name: &str) -> Issued {
        self.root.issue(Spec::client(common_name))
    }

    /// A chain of `count` authorities below the root, the lowest last.
    pub fn intermediates(&self, count: usize) -> Vec<Issued> {
        let mut chain: Vec<Issued> = Vec::with_capacity(count);
        for number in 1..=count {
            let issuer = chain.last().unwrap_or(&self.root);
            let next = issuer.issue(Spec::authority(&format!("Test Intermediate {number}")));
            chain.push(next);
        }
        chain
    }
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}

/// A certificate with its key: it can issue others, even if it is not a CA certificate.
pub struct Issued {
    /// The certificate.
    pub der: CertificateDer<'static>,
    /// The specification that it was made from.
    pub spec: Spec,
    /// Its serial number.
    pub serial: Vec<u8>,
    key: KeyPair,
}

impl Issued {
    /// Issues a certificate. Nothing is checked: an end entity can issue, too.
    pub fn issue(&self, mut spec: Spec) -> Self {
        if self.spec.key == Key::ShownAsRsa1024 {
            spec.faults.insert(0, Fault::SaysRsa);
        }
        spec.issue(&self.spec.params(&[0]), &self.key)
    }

    /// Issues another certificate for the names and the key of `other`, by this issuer, as in
    /// cross-signing.
    ///
    /// # Panics
    /// Never, unless rcgen changes.
    pub fn cross_sign(&self, other: &Self) -> Self {
        let key = KeyPair::try_from(other.key.serialize_der()).expect("the key can be read back");
        let spec = other.spec.clone();
        spec.issue_for(key, &self.spec.params(&[0]), &self.key)
    }

    /// A chain to send: this certificate, then `issuers` in the given order.
    pub fn chain_with(&self, issuers: &[&Self]) -> Vec<CertificateDer<'static>> {
        std::iter::once(self)
            .chain(issuers.iter().copied())
            .map(|one| one.der.clone())
            .collect()
    }

    /// The certificate as PEM.
    pub fn cert_pem(&self) -> String {
        pem("CERTIFICATE", &self.der)
    }

    /// The private key, PKCS#8 DER.
    pub fn key_der(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.serialize_der()))
    }

    /// The private key, PKCS#8 PEM.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The key pair.
    pub fn key(&self) -> &KeyPair {
        &self.key
    }

    /// Signs `bytes` with the private key.
    ///
    /// # Panics
    /// Never, unless rcgen changes.
    pub fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        self.key.sign(bytes).expect("the key can sign")
    }

    /// The certificate followed by `issuers`, as PEM.
    pub fn chain_pem(&self, issuers: &[&Self]) -> String {
        issuers
            .iter()
            .fold(self.cert_pem(), |text, issuer| text + &issuer.cert_pem())
    }

    /// Writes `NAME.pem` (this and `issuers`), `NAME.der` and `NAME.key` into a directory.
    pub fn write(&self, directory: &Path, name: &str, issuers: &[&Self]) -> IssuedFiles {
        let files = IssuedFiles {
            chain_pem: directory.join(format!("{name}.pem")),
            der: directory.join(format!("{name}.der")),
            key_pem: directory.join(format!("{name}.key")),
        };
        write(&files.chain_pem, self.chain_pem(issuers).as_bytes());
        write(&files.der, &self.der);
        write(&files.key_pem, self.key_pem().as_bytes());
        files
    }

    /// A revocation list of this authority, valid from yesterday for a week.
    pub fn crl(&self, revoked: &[&Self]) -> CertificateRevocationListDer<'static> {
        let now = now_secs();
        self.crl_between(revoked, now - DAY_SECS, now + 7 * DAY_SECS)
    }

    /// A revocation list of this authority; times in unix seconds.
    pub fn crl_between(
        &self,
        revoked: &[&Self],
        this_update: u64,
        next_update: u64,
    ) -> CertificateRevocationListDer<'static> {
        let params = CertificateRevocationListParams {
            this_update: at!(this_update),
            next_update: at!(next_update),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: revoked
                .iter()
                .map(|one| RevokedCertParams {
                    serial_number: SerialNumber::from_slice(&one.serial),
                    revocation_time: at!(this_update),
                    reason_code: None,
                    invalidity_date: None,
                })
                .collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let mut issuer_params = self.spec.params(&[0]);
        // rcgen would refuse lists of an issuer without cRLSign, which verifiers are tested with.
        issuer_params.key_usages = Vec::new();
        let issuer = Issuer::from_params(&issuer_params, &self.key);
        params
            .signed_by(&issuer)
            .expect("the list can be signed")
            .der()
            .clone()
    }
}

/// Files that [`Issued::write`] made.
#[derive(Debug)]
pub struct IssuedFiles {
    /// The certificate and the issuers given, PEM.
    pub chain_pem: PathBuf,
    /// The certificate alone, DER.
    pub der: PathBuf,
    /// The private key, PKCS#8 PEM.
    pub key_pem: PathBuf,
}

/// The content of a certificate, and its faults.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Subject common name; none makes an empty subject.
    pub common_name: Option<String>,
    /// Subject alternative names: DNS names and IP addresses.
    pub names: Vec<String>,
    /// Basic constraints.
    pub basic: Basic,
    /// Key usage; empty: no extension.
    pub key_usage: Vec<KeyUsagePurpose>,
    /// Extended key usage; empty: no extension.
    pub extended_key_usage: Vec<ExtendedKeyUsagePurpose>,
    /// The DNS names under which this authority may issue: permitted subtrees.
    pub permitted_names: Vec<String>,
    /// First second of validity, unix.
    pub not_before: u64,
    /// Last second of validity, unix.
    pub not_after: u64,
    /// Kind of key.
    pub key: Key,
    /// Further extensions.
    pub extensions: Vec<CustomExtension>,
    /// Faults, before or after signing.
    pub faults: Vec<Fault>,
}

/// Basic constraints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Basic {
    /// No extension.
    Absent,
    /// CA:FALSE.
    NotAuthority,
    /// CA:TRUE.
    Authority,
    /// CA:TRUE with a path length.
    AuthorityWithin(u8),
}

/// Kinds of key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    /// ECDSA on P-256, the default.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// RSA, 2048 bits.
    Rsa2048,
    /// A P-256 key signs, while the certificate contains a 1024-bit RSA key without a private key:
    /// enough for every check before the handshake's signature.
    ShownAsRsa1024,
    /// Likewise, with a key that browsers distrust and that webpki therefore lists.
    ShownAsDistrusted,
}

/// Faults that rcgen does not make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// One bit of the signature is flipped.
    SignatureBitFlipped,
    /// Both algorithm fields say ECDSA with SHA-1; the signature is not one.
    SaysSha1,
    /// Both algorithm fields say RSA with SHA-256; the signature is not one. Certificates of an issuer whose key
    /// is [`Key::ShownAsRsa1024`] have it.
    SaysRsa,
    /// Both algorithm fields say an unassigned algorithm.
    SaysUnknownAlgorithm,
    /// The algorithm inside the signed part differs from the one outside.
    AlgorithmsDisagree,
    /// The issuer's name in upper case and in another type of string: the same name (RFC 5280, 7.1). Properly
    /// signed.
    IssuerRespelled,
    /// Valid since 1950, as devices without a clock make them. Properly signed.
    Since1950,
    /// Version 1: no version field, no extensions. Properly signed.
    Version1,
    /// A byte follows the certificate.
    TrailingByte,
    /// The last ten bytes are missing.
    CutOff,
    /// Every byte after the header is replaced.
    Garbage,
}

impl Spec {
    /// A server's certificate for DNS names and IP addresses: CA:FALSE, serverAuth.
    pub fn server(names: &[&str]) -> Self {
        Self {
            common_name: names.first().map(|name| (*name).to_owned()),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            extended_key_usage: vec![ExtendedKeyUsagePurpose::ServerAuth],
            key_usage: vec![KeyUsagePurpose::DigitalSignature],
            ..Self::plain()
        }
    }

    /// A client's certificate: CA:FALSE, clientAuth, no names but the common one.
    pub fn client(common_name: &str) -> Self {
        Self {
            common_name: Some(common_name.to_owned()),
            extended_key_usage: vec![ExtendedKeyUsagePurpose::ClientAuth],
            key_usage: vec![KeyUsagePurpose::DigitalSignature],
            ..Self::plain()
        }
    }

    /// An authority: CA:TRUE without path length, keyCertSign and cRLSign.
    pub fn authority(common_name: &str) -> Self {
        Self {
            common_name: Some(common_name.to_owned()),
            basic: Basic::Authority,
            key_usage: vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign],
            ..Self::plain()
        }
    }

    /// What `openssl req -x509` makes by default: self-signed, CA:TRUE, no key usage.
    pub fn openssl_req(names: &[&str]) -> Self {
        Self {
            basic: Basic::Authority,
            key_usage: Vec::new(),
            extended_key_usage: Vec::new(),
            ..Self::server(names)
        }
    }

    fn plain() -> Self {
        let now = now_secs();
        Self {
            common_name: None,
            names: Vec::new(),
            basic: Basic::NotAuthority,
            key_usage: Vec::new(),
            extended_key_usage: Vec::new(),
            permitted_names: Vec::new(),
            not_before: now - DAY_SECS,
            not_after: now + 365 * DAY_SECS,
            key: Key::P256,
            extensions: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Sets validity, in unix seconds.
    #[must_use]
    pub fn valid_between(mut self, not_before: u64, not_after: u64) -> Self {
        (self.not_before, self.not_after) = (not_before, not_after);
        self
    }

    /// Expired yesterday.
    #[must_use]
    pub fn expired(self) -> Self {
        let now = now_secs();
        self.valid_between(now - 30 * DAY_SECS, now - DAY_SECS)
    }

    /// Valid from tomorrow.
    #[must_use]
    pub fn not_yet_valid(self) -> Self {
        let now = now_secs();
        self.valid_between(now + DAY_SECS, now + 30 * DAY_SECS)
    }

    /// Sets basic constraints.
    #[must_use]
    pub fn basic(mut self, basic: Basic) -> Self {
        self.basic = basic;
        self
    }

    /// Sets key usage; empty: no extension.
    #[must_use]
    pub fn key_usage(mut self, usage: &[KeyUsagePurpose]) -> Self {
        self.key_usage = usage.to_vec();
        self
    }

    /// Sets extended key usage; empty: no extension.
    #[must_use]
    pub fn extended_key_usage(mut self, purposes: &[ExtendedKeyUsagePurpose]) -> Self {
        self.extended_key_usage = purposes.to_vec();
        self
    }

    /// Sets the kind of key.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        self.key = key;
        self
    }

    /// Sets the subject common name; `None` makes an empty subject.
    #[must_use]
    pub fn common_name(mut self, common_name: Option<&str>) -> Self {
        self.common_name = common_name.map(str::to_owned);
        self
    }

    /// Sets the subject alternative names.
    #[must_use]
    pub fn names(mut self, names: &[&str]) -> Self {
        self.names = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Constrains an authority to issue below these DNS names.
    #[must_use]
    pub fn permitting(mut self, names: &[&str]) -> Self {
        self.permitted_names = names.iter().map(|name| (*name).to_owned()).collect();
        self
    }

    /// Adds an extension; `content` is DER.
    #[must_use]
    pub fn extension(mut self, oid: &[u64], content: &[u8], critical: bool) -> Self {
        let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
        extension.set_criticality(critical);
        self.extensions.push(extension);
        self
    }

    /// Adds authority information access with the URL of the issuer's certificate.
    #[must_use]
    pub fn ca_issuers(self, url: &str) -> Self {
        const CA_ISSUERS: [u8; 10] = [6, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 2];
        let description = [CA_ISSUERS.to_vec(), der(0x86, url.as_bytes())].concat();
        let content = der(0x30, &der(0x30, &description));
        self.extension(&[1, 3, 6, 1, 5, 5, 7, 1, 1], &content, false)
    }

    /// Adds a fault.
    #[must_use]
    pub fn fault(mut self, fault: Fault) -> Self {
        self.faults.push(fault);
        self
    }

    /// Makes a self-signed certificate.
    pub fn self_signed(self) -> Issued {
        let key = new_key(self.key);
        let serial = next_serial();
        let params = self.params(&serial);
        let issuer = Issuer::from_params(&params, &key);
        let certificate = params
            .self_signed(&key)
            .expect("the certificate can be made");
        let der = self.spoil(certificate.der().to_vec(), issuer.key());
        Issued {
            der: CertificateDer::from(der),
            spec: self,
            serial,
            key,
        }
    }

    fn issue(self, issuer: &CertificateParams, issuer_key: &KeyPair) -> Issued {
        let key = new_key(self.key);
        self.issue_for(key, issuer, issuer_key)
    }

    fn issue_for(self, key: KeyPair, issuer: &CertificateParams, issuer_key: &KeyPair) -> Issued {
        let serial = next_serial();
        let params = self.params(&serial);
        let signer = Issuer::from_params(issuer, issuer_key);
        let certificate = match self.key {
            Key::ShownAsRsa1024 => params.signed_by(&Rsa1024, &signer),
            Key::ShownAsDistrusted => params.signed_by(&Distrusted, &signer),
            _ => params.signed_by(&key, &signer),
        }
        .expect("the certificate can be made");
        let der = self.spoil(certificate.der().to_vec(), issuer_key);
        Issued {
            der: CertificateDer::from(der),
            spec: self,
            serial,
            key,
        }
    }

    fn params(&self, serial: &[u8]) -> CertificateParams {
        let mut params = CertificateParams::default();
        if self.key == Key::ShownAsRsa1024 {
            // The same for the key in the certificate and for the one that signs.
            params.key_identifier_method = KeyIdMethod::PreSpecified(vec![0x5a; 20]);
        }
        params.distinguished_name = DistinguishedName::new();
        if let Some(name) = &self.common_name {
            params
                .distinguished_name
                .push(DnType::CommonName, name.as_str());
            params
                .distinguished_name
                .push(DnType::OrganizationName, "handfast tests");
        }
        params.subject_alt_names = self
            .names
            .iter()
            .map(|name| match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().expect("names are ASCII")),
            })
            .collect();
        params.is_ca = match self.basic {
            Basic::Absent => IsCa::NoCa,
            Basic::NotAuthority => IsCa::ExplicitNoCa,
            Basic::Authority => IsCa::Ca(BasicConstraints::Unconstrained),
            Basic::AuthorityWithin(length) => IsCa::Ca(BasicConstraints::Constrained(length)),
        };
        params.key_usages = self.key_usage.clone();
        params.extended_key_usages = self.extended_key_usage.clone();
        if !self.permitted_names.is_empty() {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: self
                    .permitted_names
                    .iter()
                    .map(|name| GeneralSubtree::DnsName(name.clone()))
                    .collect(),
                excluded_subtrees: Vec::new(),
            });
        }
        params.not_before = at!(self.not_before);
        params.not_after = at!(self.not_after);
        params.serial_number = Some(SerialNumber::from_slice(serial));
        params.custom_extensions = self.extensions.clone();
        // Every real certificate has an authority key identifier.
        params.use_authority_key_identifier_extension = true;
        params
    }

    fn spoil(&self, mut certificate: Vec<u8>, issuer_key: &KeyPair) -> Vec<u8> {
        for fault in &self.faults {
            certificate = fault.inflict(certificate, issuer_key);
        }
        certificate
    }
}

const ECDSA_SHA256: &[u8] = &[0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
const ECDSA_SHA1: &[u8] = &[0x30, 9, 6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 1];
const RSA_SHA256: &[u8] = &[
    0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11, 5, 0,
];
/// Tags of the string types in names.
const UTF8: u8 = 0x0c;
const PRINTABLE: u8 = 0x13;
const UNKNOWN_ALGORITHM: &[u8] = &[0x30, 6, 6, 4, 0x2a, 3, 4, 5];

impl Fault {
    fn inflict(&self, mut certificate: Vec<u8>, issuer_key: &KeyPair) -> Vec<u8> {
        match self {
            Self::SignatureBitFlipped => {
                // Inside s of (r, s), never in the DER around it.
                let place = certificate.len() - 3;
                certificate[place] ^= 1;
                certificate
            }
            Self::SaysSha1 => resigned(&certificate, issuer_key, |parts| {
                parts.replace_algorithms(ECDSA_SHA1, ECDSA_SHA1);
            }),
            Self::SaysRsa => resigned(&certificate, issuer_key, |parts| {
                parts.replace_algorithms(RSA_SHA256, RSA_SHA256);
            }),
            Self::SaysUnknownAlgorithm => resigned(&certificate, issuer_key, |parts| {
                parts.replace_algorithms(UNKNOWN_ALGORITHM, UNKNOWN_ALGORITHM);
            }),
            Self::AlgorithmsDisagree => resigned(&certificate, issuer_key, |parts| {
                parts.replace_algorithms(ECDSA_SHA1, ECDSA_SHA256);
            }),
            Self::IssuerRespelled => resigned(&certificate, issuer_key, |parts| {
                let name = &mut parts.fields[3];
                let texts: Vec<usize> = (0..name.len()).filter(|at| name[*at] == UTF8).collect();
                for at in texts {
                    let end = at + 2 + usize::from(name[at + 1]);
                    name[at] = PRINTABLE;
                    name[at + 2..end].make_ascii_uppercase();
                }
            }),
            Self::Since1950 => resigned(&certificate, issuer_key, |parts| {
                let not_after = elements(content(&parts.fields[4])).swap_remove(1);
                let not_before = der(0x17, b"500101000000Z");
                parts.fields[4] = der(0x30, &[not_before, not_after].concat());
            }),
            Self::Version1 => resigned(&certificate, issuer_key, |parts| {
                parts
                    .fields
                    .retain(|field| !matches!(field.first(), Some(0xa0 | 0xa3)));
            }),
            Self::TrailingByte => {
                certificate.push(0);
                certificate
            }
            Self::CutOff => {
                certificate.truncate(certificate.len() - 10);
                certificate
            }
            Self::Garbage => {
                certificate.iter_mut().skip(4).for_each(|byte| *byte = 0x55);
                certificate
            }
        }
    }
}

/// A parsed certificate.
struct Parts {
    /// Fields of the signed part, each with its header.
    fields: Vec<Vec<u8>>,
    /// The algorithm outside the signed part.
    algorithm: Vec<u8>,
}

impl Parts {
    fn replace_algorithms(&mut self, inner: &[u8], outer: &[u8]) {
        // version, serial number, algorithm
        self.fields[2] = inner.to_vec();
        self.algorithm = outer.to_vec();
    }
}

fn resigned(certificate: &[u8], key: &KeyPair, change: impl FnOnce(&mut Parts)) -> Vec<u8> {
    let whole = elements(content(certificate));
    let mut parts = Parts {
        fields: elements(content(&whole[0])),
        algorithm: whole[1].clone(),
    };
    change(&mut parts);
    let signed_part = der(0x30, &parts.fields.concat());
    let signature = key.sign(&signed_part).expect("the key can sign");
    let signature = der(3, &[&[0][..], &signature].concat());
    der(0x30, &[signed_part, parts.algorithm, signature].concat())
}

/// A public key that is too small, without a private key.
struct Rsa1024;

impl PublicKeyData for Rsa1024 {
    fn der_bytes(&self) -> &[u8] {
        // RSAPublicKey { modulus: an odd number of 1024 bits, exponent: 65537 }
        const KEY: [u8; 140] = {
            let mut key = [0xc5; 140];
            let head = [0x30, 0x81, 137, 0x02, 0x81, 129, 0x00];
            let tail = [0x02, 3, 1, 0, 1];
            let mut at = 0;
            while at < head.len() {
                key[at] = head[at];
                at += 1;
            }
            at = 0;
            while at < tail.len() {
                key[135 + at] = tail[at];
                at += 1;
            }
            key
        };
        &KEY
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_RSA_SHA256
    }
}

/// The key of an intermediate of eMudhra's (P-384).
struct Distrusted;

impl PublicKeyData for Distrusted {
    fn der_bytes(&self) -> &[u8] {
        &[
            0x04, 0xe7, 0x9e, 0xd9, 0xc0, 0x4a, 0x97, 0x73, 0xc4, 0x73, 0x5e, 0x51, 0x11, 0x1d,
            0xa8, 0x5a, 0xc2, 0xbd, 0x5e, 0x64, 0xab, 0x37, 0x4b, 0x80, 0xe1, 0x2c, 0xbc, 0x20,
            0x38, 0xec, 0x1e, 0x4f, 0x0e, 0x3b, 0x81, 0x2f, 0xc9, 0x85, 0x9e, 0x1e, 0x67, 0xaf,
            0xb0, 0x4e, 0x2f, 0x8b, 0xc9, 0x7f, 0x74, 0x85, 0xba, 0x65, 0xaa, 0x91, 0x1e, 0xe8,
            0xa4, 0xe4, 0x5b, 0x62, 0xd5, 0xcc, 0x03, 0xd5, 0x6b, 0xe6, 0x78, 0xb3, 0xc3, 0x8c,
            0xb4, 0xdc, 0x93, 0x7c, 0xa2, 0x46, 0x0e, 0x23, 0x84, 0x53, 0xc8, 0x92, 0x93, 0x5d,
            0x29, 0xd4, 0x4f, 0x91, 0xe1, 0x56, 0x06, 0xb6, 0x3c, 0xce, 0xda, 0xb4, 0x68,
        ]
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P384_SHA384
    }
}

fn new_key(kind: Key) -> KeyPair {
    let algorithm = match kind {
        Key::P256 | Key::ShownAsRsa1024 | Key::ShownAsDistrusted => &rcgen::PKCS_ECDSA_P256_SHA256,
        Key::P384 => &rcgen::PKCS_ECDSA_P384_SHA384,
        Key::Ed25519 => &rcgen::PKCS_ED25519,
        Key::Rsa2048 => &rcgen::PKCS_RSA_SHA256,
    };
    KeyPair::generate_for(algorithm).expect("a key can be made")
}

/// Serial numbers differ within a run and, by the clock, between runs. The top bit is never set.
fn next_serial() -> Vec<u8> {
    static COUNTER: AtomicU64 = AtomicU64::new(1);
    let counter = COUNTER.fetch_add(1, Ordering::Relaxed);
    let mut serial = vec![0x5a];
    serial.extend_from_slice(&now_secs().to_be_bytes()[4..]);
    serial.extend_from_slice(&counter.to_be_bytes()[4..]);
    serial
}

/// PEM, 64 columns.
pub fn pem(label: &str, der: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut symbols = String::new();
    for group in der.chunks(3) {
        let bits = group
            .iter()
            .fold(0u32, |bits, byte| (bits << 8) | u32::from(*byte))
            << (8 * (3 - group.len()));
        for position in 0..4 {
            let index = (bits >> (18 - 6 * position)) & 63;
            symbols.push(if position <= group.len() {
                char::from(ALPHABET[index as usize])
            } else {
                '='
            });
        }
    }
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in symbols.as_bytes().chunks(64) {
        text.push_str(&String::from_utf8_lossy(line));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

fn write(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
