//! Revocation lists of every kind, encoded byte by byte: valid ones and ones that no tool would make.

use pki_types::CertificateRevocationListDer;
use rcgen::date_time_ymd;
use std::time::Duration;

use crate::der::{content, der, elements};
use crate::pki::{DAY_SECS, Issued, now_secs, pem};

/// `uniformResourceIdentifier`, a general name.
const URI: u8 = 0x86;
const DIRECTORY_NAME: u8 = 0xa4;
const INTEGER: u8 = 2;
const ENUMERATED: u8 = 10;
/// The AlgorithmIdentifier of signatures by P-256 keys.
pub const ECDSA_WITH_SHA256: [u8; 12] = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];

/// Extensions of lists and entries, below 2.5.29.
pub mod id {
    /// CRL number.
    pub const NUMBER: u8 = 20;
    /// Delta CRL indicator.
    pub const DELTA: u8 = 27;
    /// Issuing distribution point.
    pub const SCOPE: u8 = 28;
    /// Authority key identifier.
    pub const KEY_ID: u8 = 35;
}

/// A list that is being built. Default: version 2, issued yesterday, valid for a week, number 1, empty.
#[derive(Clone)]
pub struct Crl<'a> {
    signer: &'a Issued,
    issuer: Vec<u8>,
    /// Version 1 has no version, no number and no extensions.
    is_version_1: bool,
    this_update: u64,
    next_update: Option<u64>,
    entries: Vec<u8>,
    extensions: Vec<(u8, Vec<u8>)>,
}

impl<'a> Crl<'a> {
    /// Signed by `issuer`, which has to have a P-256 key, in its name.
    pub fn by(issuer: &'a Issued) -> Self {
        let now = now_secs();
        Self {
            signer: issuer,
            issuer: subject(issuer),
            is_version_1: false,
            this_update: now - DAY_SECS,
            next_update: Some(now + 7 * DAY_SECS),
            entries: Vec::new(),
            extensions: Vec::new(),
        }
        .number(1)
    }

    /// In the name of another.
    #[must_use]
    pub fn in_name_of(mut self, other: &Issued) -> Self {
        self.issuer = subject(other);
        self
    }

    /// Version 1.
    #[must_use]
    pub fn version_1(mut self) -> Self {
        self.is_version_1 = true;
        self.extensions.clear();
        self
    }

    /// Issued then, in unix seconds, and to be replaced then.
    #[must_use]
    pub fn between(mut self, this_update: u64, next_update: Option<u64>) -> Self {
        self.this_update = this_update;
        self.next_update = next_update;
        self
    }

    /// With this number, below 128.
    #[must_use]
    pub fn number(self, number: u8) -> Self {
        self.extension(id::NUMBER, false, &der(INTEGER, &[number]))
    }

    /// A change to the list of this number, below 128.
    #[must_use]
    pub fn delta_of(self, number: u8) -> Self {
        self.extension(id::DELTA, true, &der(INTEGER, &[number]))
    }

    /// Limited to some certificates: `parts` of an issuing distribution point.
    #[must_use]
    pub fn scope(self, parts: &[Vec<u8>]) -> Self {
        self.extension(id::SCOPE, true, &der(0x30, &parts.concat()))
    }

    /// With this extension below 2.5.29, in place of one that it has.
    #[must_use]
    pub fn extension(mut self, id: u8, critical: bool, value: &[u8]) -> Self {
        self.extensions.retain(|(known, _)| *known != id);
        self.extensions.push((id, extension(id, critical, value)));
        self
    }

    /// Without this one.
    #[must_use]
    pub fn without(mut self, id: u8) -> Self {
        self.extensions.retain(|(known, _)| *known != id);
        self
    }

    /// Revokes a certificate without a reason code.
    #[must_use]
    pub fn revoking(self, revoked: &Issued) -> Self {
        self.entry(&revoked.serial, &[])
    }

    /// Revokes it for this reason, a number of RFC 5280, 5.3.1.
    #[must_use]
    pub fn revoking_for(self, revoked: &Issued, reason: u8) -> Self {
        self.entry(&revoked.serial, &[reason_code(reason)])
    }

    /// An entry with extensions.
    #[must_use]
    pub fn entry(mut self, serial: &[u8], extensions: &[Vec<u8>]) -> Self {
        let mut fields = [der(INTEGER, serial), time(self.this_update)].concat();
        if !extensions.is_empty() {
            fields.extend(der(0x30, &extensions.concat()));
        }
        self.entries.extend(der(0x30, &fields));
        self
    }

    /// Entries as they are.
    #[must_use]
    pub fn raw_entries(mut self, entries: &[u8]) -> Self {
        self.entries.extend(entries);
        self
    }

    /// Signs it.
    pub fn der(&self) -> CertificateRevocationListDer<'static> {
        let mut fields = Vec::new();
        if !self.is_version_1 {
            fields.extend(der(INTEGER, &[1]));
        }
        fields.extend(ECDSA_WITH_SHA256);
        fields.extend(&self.issuer);
        fields.extend(time(self.this_update));
        fields.extend(self.next_update.into_iter().flat_map(time));
        if !self.entries.is_empty() {
            fields.extend(der(0x30, &self.entries));
        }
        if !self.extensions.is_empty() {
            let all: Vec<u8> = self
                .extensions
                .iter()
                .flat_map(|one| one.1.clone())
                .collect();
            fields.extend(der(0xa0, &der(0x30, &all)));
        }
        let body = der(0x30, &fields);
        let signature = self.signer.sign(&body);
        let signature = der(3, &[&[0][..], &signature].concat());
        let whole = [&body[..], &ECDSA_WITH_SHA256, &signature].concat();
        der(0x30, &whole).into()
    }

    /// The same as PEM.
    pub fn pem(&self) -> String {
        pem("X509 CRL", &self.der())
    }
}

/// One extension below 2.5.29.
pub fn extension(id: u8, critical: bool, value: &[u8]) -> Vec<u8> {
    let mut fields = vec![6, 3, 0x55, 0x1d, id];
    if critical {
        fields.extend([1, 1, 0xff]);
    }
    fields.extend(der(4, value));
    der(0x30, &fields)
}

/// The extension of an entry that gives a reason.
pub fn reason_code(reason: u8) -> Vec<u8> {
    extension(21, false, &der(ENUMERATED, &[reason]))
}

/// The extension of an entry of an indirect list: the issuer of the certificates that follow.
pub fn certificate_issuer(issuer: &Issued) -> Vec<u8> {
    let name = der(DIRECTORY_NAME, &subject(issuer));
    extension(29, true, &der(0x30, &name))
}

/// A distribution point's name: URLs.
pub fn point(urls: &[&str]) -> Vec<u8> {
    let names: Vec<u8> = urls
        .iter()
        .flat_map(|url| der(URI, url.as_bytes()))
        .collect();
    der(0xa0, &der(0xa0, &names))
}

/// A distribution point's name: what is added to the issuer's, a common name.
pub fn relative_point(common_name: &str) -> Vec<u8> {
    let value = der(0x0c, common_name.as_bytes());
    let attribute = der(0x30, &[&[6, 3, 0x55, 4, 3][..], &value].concat());
    der(0xa0, &der(0xa1, &attribute))
}

/// A distribution point's name: the whole name of a directory, of `base` and a common name.
pub fn directory_point(base: &Issued, common_name: &str) -> Vec<u8> {
    let value = der(0x0c, common_name.as_bytes());
    let attribute = der(0x30, &[&[6, 3, 0x55, 4, 3][..], &value].concat());
    let name = [content(&subject(base)), &der(0x31, &attribute)].concat();
    der(0xa0, &der(0xa0, &der(DIRECTORY_NAME, &der(0x30, &name))))
}

/// `[TAG] TRUE`, for the flags of an issuing distribution point.
pub fn flag(number: u8) -> Vec<u8> {
    der(0x80 | number, &[0xff])
}

/// Reasons, of which bit 1 is keyCompromise and bit 8 aACompromise: `[3]` in a list, `[1]` in a certificate.
pub fn reasons(tag: u8, bits: &[u8]) -> Vec<u8> {
    let mut octets = [0u8; 2];
    for bit in bits {
        octets[usize::from(bit / 8)] |= 0x80 >> (bit % 8);
    }
    der(0x80 | tag, &[7, octets[0], octets[1]])
}

/// `cRLIssuer` of a certificate's distribution point.
pub fn crl_issuer(issuer: &Issued) -> Vec<u8> {
    der(0xa2, &der(DIRECTORY_NAME, &subject(issuer)))
}

/// The value of a certificate's distribution points, each of its parts.
pub fn points(all: &[&[Vec<u8>]]) -> Vec<u8> {
    let all: Vec<u8> = all
        .iter()
        .flat_map(|parts| der(0x30, &parts.concat()))
        .collect();
    der(0x30, &all)
}

/// The subject of a certificate, DER.
pub fn subject(issued: &Issued) -> Vec<u8> {
    let whole = elements(content(&issued.der));
    elements(content(&whole[0]))[5].clone()
}

/// A UTCTime until 2049, then a GeneralizedTime.
fn time(unix_seconds: u64) -> Vec<u8> {
    let text = generalized(unix_seconds);
    match &text[..2] {
        "19" | "20" if &text[..4] < "2050" => der(0x17, &text.as_bytes()[2..]),
        _ => der(0x18, text.as_bytes()),
    }
}

/// A GeneralizedTime, DER.
pub fn generalized_time(unix_seconds: u64) -> Vec<u8> {
    der(0x18, generalized(unix_seconds).as_bytes())
}

fn generalized(unix_seconds: u64) -> String {
    let at = date_time_ymd(1970, 1, 1) + Duration::from_secs(unix_seconds);
    format!(
        "{:04}{:02}{:02}{:02}{:02}{:02}Z",
        at.year(),
        u8::from(at.month()),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}
