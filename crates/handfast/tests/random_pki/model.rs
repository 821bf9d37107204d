//! The model of a small PKI, and its encoding.

use std::fmt;
use std::sync::OnceLock;

use handfast::{CertificateDer, Purpose};
use handfast_testbed::draft::{self, Draft, Extension, ListDraft, Pair, SignedAs, Text};
use pki_types::CertificateRevocationListDer;

/// When every chain is verified, unless the clock is set.
pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const DAY: i64 = 86_400;

pub(crate) const ORGANIZATION: &str = "handfast tests";
/// An organization that no certificate in these PKIs has.
pub(crate) const ELSEWHERE: &str = "Elsewhere Ltd";

/// How many keys there are: more than any PKI has certificates.
const KEYS: usize = 16;

/// The number of a key pair in the pool.
pub(crate) type Key = usize;
/// A certificate's position in [`Pki::certificates`].
pub(crate) type Id = usize;

/// A name and its spelling. Different spellings are equal by RFC 5280, 7.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) number: usize,
    pub(crate) spelling: Spelling,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spelling {
    Utf8,
    Printable,
    Capitals,
    Spaces,
}

impl Name {
    pub(crate) fn is(self, other: Self) -> bool {
        self.number == other.number
    }

    pub(crate) fn text(self) -> String {
        format!("Name {}", self.number)
    }

    fn der(self) -> Vec<u8> {
        let (kind, common_name, organization) = match self.spelling {
            Spelling::Utf8 => (Text::Utf8, self.text(), ORGANIZATION.to_owned()),
            Spelling::Printable => (Text::Printable, self.text(), ORGANIZATION.to_owned()),
            Spelling::Capitals => (
                Text::Utf8,
                self.text().to_uppercase(),
                ORGANIZATION.to_uppercase(),
            ),
            Spelling::Spaces => (
                Text::Printable,
                self.text().replace(' ', "  "),
                format!(" {ORGANIZATION} "),
            ),
        };
        draft::name(&[
            (draft::ORGANIZATION, kind, &organization),
            (draft::COMMON_NAME, kind, &common_name),
        ])
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signature {
    Good,
    /// One bit is flipped.
    Broken,
    /// Named as ECDSA with SHA-1.
    Sha1,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basic {
    Absent,
    EndEntity,
    Authority(Option<u8>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Usage {
    Absent,
    /// keyCertSign and cRLSign.
    Authority,
    CrlSign,
    CertificateSign,
    DigitalSignature,
    KeyEncipherment,
}

impl Usage {
    pub(crate) fn may_sign_certificates(self) -> bool {
        matches!(self, Self::Absent | Self::Authority | Self::CertificateSign)
    }

    pub(crate) fn may_sign_lists(self) -> bool {
        matches!(self, Self::Absent | Self::Authority | Self::CrlSign)
    }

    pub(crate) fn may_sign_handshakes(self) -> bool {
        matches!(self, Self::Absent | Self::DigitalSignature)
    }
}

/// A name of an end entity, or the base of a subtree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum General {
    Dns(&'static str),
    Email(&'static str),
    Uri(&'static str),
    Ip([u8; 4]),
    /// An address and a mask, only in constraints.
    Network([u8; 4], [u8; 4]),
    /// Only the organization, only in constraints.
    Organization(&'static str),
    Directory(Name),
}

impl General {
    fn der(&self) -> Vec<u8> {
        match self {
            Self::Dns(name) => draft::dns(name),
            Self::Email(name) => draft::email(name),
            Self::Uri(name) => draft::uri(name),
            Self::Ip(address) => draft::ip(address),
            Self::Network(address, mask) => draft::ip(&[&address[..], mask].concat()),
            Self::Organization(name) => {
                draft::directory(&draft::name(&[(draft::ORGANIZATION, Text::Utf8, name)]))
            }
            Self::Directory(name) => draft::directory(&name.der()),
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Constraints {
    pub(crate) permitted: Vec<General>,
    pub(crate) excluded: Vec<General>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Any,
    A,
    B,
}

impl Policy {
    fn oid(self) -> &'static [u64] {
        match self {
            Self::Any => draft::ANY_POLICY,
            Self::A => &[1, 3, 6, 1, 4, 1, 99_999, 1],
            Self::B => &[1, 3, 6, 1, 4, 1, 99_999, 2],
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Certificate {
    /// Its role, for messages.
    pub(crate) role: String,
    pub(crate) subject: Name,
    pub(crate) issuer: Name,
    pub(crate) key: Key,
    /// The certificate contains an RSA key of 1024 bits instead of `key`.
    pub(crate) shows_weak_key: bool,
    /// The key that made the signature.
    pub(crate) signer: Key,
    pub(crate) signature: Signature,
    pub(crate) version: u8,
    pub(crate) not_before: i64,
    pub(crate) not_after: i64,
    pub(crate) basic: Basic,
    pub(crate) usage: Usage,
    /// Purposes: 1 for serverAuth, 2 for clientAuth. Empty: no extension.
    pub(crate) purposes: Vec<u64>,
    pub(crate) names: Vec<General>,
    pub(crate) constraints: Constraints,
    pub(crate) policies: Vec<Policy>,
    pub(crate) policies_critical: bool,
    pub(crate) explicit_policy_after: Option<u8>,
    pub(crate) unknown_critical: bool,
    /// With key identifiers, as in real certificates.
    pub(crate) key_identifiers: bool,
    /// The authority key identifier is that of another key.
    pub(crate) misleading_identifier: bool,
}

impl Certificate {
    pub(crate) fn is_self_issued(&self) -> bool {
        self.subject.is(self.issuer)
    }

    pub(crate) fn is_authority(&self) -> bool {
        self.version == 3 && matches!(self.basic, Basic::Authority(_))
    }

    /// Serial numbers are assigned by position.
    pub(crate) fn serial(id: Id) -> Vec<u8> {
        vec![0x50, id as u8]
    }

    fn der(&self, id: Id, is_signer_weak: bool) -> CertificateDer<'static> {
        let mut made = Draft::new(self.subject.der(), self.issuer.der(), key(self.key));
        made.serial = Self::serial(id);
        made.version = self.version;
        made.validity = (self.not_before, self.not_after);
        if self.shows_weak_key {
            made.public_key = draft::weak_public_key();
        }
        made.signed_as = match (self.signature, is_signer_weak) {
            (Signature::Sha1, _) => SignedAs::EcdsaSha1,
            (_, true) => SignedAs::RsaSha256,
            (_, false) => SignedAs::EcdsaSha256,
        };
        made.extensions = self.extensions();
        let mut der = made.sign(key(self.signer)).to_vec();
        if self.signature == Signature::Broken {
            // Inside s of (r, s), never in the DER around it.
            let place = der.len() - 3;
            der[place] ^= 1;
        }
        CertificateDer::from(der)
    }

    fn extensions(&self) -> Vec<Extension> {
        let mut extensions = Vec::new();
        match self.basic {
            Basic::Absent => {}
            Basic::EndEntity => extensions.push(draft::basic_constraints(false, None)),
            Basic::Authority(path_len) => {
                extensions.push(draft::basic_constraints(true, path_len));
            }
        }
        match self.usage {
            Usage::Absent => {}
            Usage::Authority => extensions.push(draft::key_usage(&[5, 6])),
            Usage::CertificateSign => extensions.push(draft::key_usage(&[5])),
            Usage::CrlSign => extensions.push(draft::key_usage(&[6])),
            Usage::DigitalSignature => extensions.push(draft::key_usage(&[0])),
            Usage::KeyEncipherment => extensions.push(draft::key_usage(&[2])),
        }
        if !self.purposes.is_empty() {
            extensions.push(draft::extended_key_usage(&self.purposes));
        }
        if !self.names.is_empty() {
            extensions.push(draft::subject_alt_names(&general_names(&self.names)));
        }
        if self.constraints != Constraints::default() {
            extensions.push(draft::name_constraints(
                &general_names(&self.constraints.permitted),
                &general_names(&self.constraints.excluded),
            ));
        }
        if !self.policies.is_empty() {
            let ids: Vec<&[u64]> = self.policies.iter().map(|policy| policy.oid()).collect();
            extensions.push(draft::policies(&ids, self.policies_critical));
        }
        if let Some(after) = self.explicit_policy_after {
            extensions.push(draft::require_explicit_policy(after));
        }
        if self.unknown_critical {
            let value = vec![0x05, 0];
            extensions.push(Extension::new(&[1, 3, 6, 1, 4, 1, 99_999, 9], true, value));
        }
        if self.key_identifiers {
            extensions.push(draft::subject_key_id(&[0x4b, self.key as u8]));
            extensions.push(draft::authority_key_id(&[0x4b, self.signer as u8]));
        } else if self.misleading_identifier {
            extensions.push(draft::authority_key_id(&[0x4b, 0xff]));
        }
        extensions
    }
}

fn general_names(names: &[General]) -> Vec<Vec<u8>> {
    names.iter().map(General::der).collect()
}

fn key(number: Key) -> &'static Pair {
    static POOL: OnceLock<Vec<Pair>> = OnceLock::new();
    let pool = POOL.get_or_init(|| (0..KEYS).map(|_| Pair::new()).collect());
    &pool[number % KEYS]
}

/// A revocation list of the issuer with `name` and `key`.
#[derive(Clone, Debug)]
pub(crate) struct List {
    pub(crate) name: Name,
    pub(crate) key: Key,
    pub(crate) this_update: i64,
    pub(crate) next_update: i64,
    pub(crate) number: u8,
    pub(crate) revoked: Vec<Id>,
}

impl List {
    pub(crate) fn der(&self) -> CertificateRevocationListDer<'static> {
        ListDraft {
            issuer: self.name.der(),
            this_update: self.this_update,
            next_update: self.next_update,
            number: self.number,
            revoked: self
                .revoked
                .iter()
                .map(|id| Certificate::serial(*id))
                .collect(),
        }
        .sign(key(self.key))
    }
}

/// All certificates, which of them are sent and trusted, and the verifier's policy.
#[derive(Clone)]
pub(crate) struct Pki {
    pub(crate) certificates: Vec<Certificate>,
    /// The certificates that the peer sends: its own first, which is number 0.
    pub(crate) sent: Vec<Id>,
    pub(crate) trusted: Vec<Id>,
    pub(crate) lists: Vec<List>,
    pub(crate) purpose: Purpose,
    /// The expected server name.
    pub(crate) name: &'static str,
    pub(crate) depth_max: usize,
    pub(crate) now: i64,
}

impl Pki {
    pub(crate) fn certificate(&self, id: Id) -> &Certificate {
        &self.certificates[id]
    }

    /// Every certificate, signed once, because signatures are randomized.
    pub(crate) fn sign(&self) -> Vec<CertificateDer<'static>> {
        let all = self.certificates.iter().enumerate();
        all.map(|(id, certificate)| certificate.der(id, self.is_weak(certificate.signer)))
            .collect()
    }

    /// Whether a key of the pool is replaced by an RSA key of 1024 bits, whose signatures cannot be verified.
    pub(crate) fn is_weak(&self, key: Key) -> bool {
        let mut all = self.certificates.iter();
        all.any(|certificate| certificate.key == key && certificate.shows_weak_key)
    }

    /// The trusted certificates, except those that the library refuses to load: a certificate of version 1 that is
    /// not a root.
    pub(crate) fn anchors(&self) -> impl Iterator<Item = &Id> + Clone {
        self.trusted.iter().filter(|id| {
            let one = self.certificate(**id);
            one.version == 3 || one.is_self_issued()
        })
    }

    pub(crate) fn purpose_number(&self) -> u64 {
        match self.purpose {
            Purpose::ServerAuth => 1,
            _ => 2,
        }
    }
}

impl fmt::Debug for Pki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{self}")
    }
}

/// One certificate per line: issuer, subject, keys, and everything unusual.
impl fmt::Display for Pki {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.purpose)?;
        if self.purpose == Purpose::ServerAuth {
            write!(f, " of {}", self.name)?;
        }
        write!(
            f,
            ", sent {:?}, trusted {:?}, depth {}",
            self.sent, self.trusted, self.depth_max
        )?;
        if self.now != NOW {
            write!(f, ", clock {}", relative(self.now))?;
        }
        for (id, certificate) in self.certificates.iter().enumerate() {
            write!(f, "\n  {id} {}: {certificate}", certificate.role)?;
        }
        for list in &self.lists {
            write!(
                f,
                "\n  list of \"{}\" key {}: revokes {:?}, {} to {}, number {}",
                list.name.text(),
                list.key,
                list.revoked,
                relative(list.this_update),
                relative(list.next_update),
                list.number,
            )?;
        }
        Ok(())
    }
}

fn relative(time: i64) -> String {
    let days = (time - NOW).div_euclid(DAY);
    let rest = (time - NOW).rem_euclid(DAY);
    if rest == 0 {
        format!("{days:+}d")
    } else {
        format!("{days:+}d+{rest}s")
    }
}

impl fmt::Display for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |name: Name| match name.spelling {
            Spelling::Utf8 => format!("\"{}\"", name.text()),
            spelling => format!("\"{}\" ({spelling:?})", name.text()),
        };
        write!(
            f,
            "{} key {} by {} key {}",
            name(self.subject),
            self.key,
            name(self.issuer),
            self.signer
        )?;
        if self.shows_weak_key {
            f.write_str(", RSA 1024")?;
        }
        if self.signature != Signature::Good {
            write!(f, ", signature {:?}", self.signature)?;
        }
        if self.version != 3 {
            write!(f, ", version {}", self.version)?;
        }
        if (self.not_before, self.not_after) != (NOW - 100 * DAY, NOW + 100 * DAY) {
            let (from, to) = (relative(self.not_before), relative(self.not_after));
            write!(f, ", valid {from} to {to}")?;
        }
        write!(f, ", {:?}, usage {:?}", self.basic, self.usage)?;
        if !self.purposes.is_empty() {
            write!(f, ", purposes {:?}", self.purposes)?;
        }
        if !self.names.is_empty() {
            write!(f, ", names {:?}", self.names)?;
        }
        if !self.constraints.permitted.is_empty() {
            write!(f, ", permitted {:?}", self.constraints.permitted)?;
        }
        if !self.constraints.excluded.is_empty() {
            write!(f, ", excluded {:?}", self.constraints.excluded)?;
        }
        if !self.policies.is_empty() {
            let critical = if self.policies_critical {
                " critical"
            } else {
                ""
            };
            write!(f, ", policies {:?}{critical}", self.policies)?;
        }
        if let Some(after) = self.explicit_policy_after {
            write!(f, ", explicit policy after {after}")?;
        }
        if self.unknown_critical {
            f.write_str(", unknown critical extension")?;
        }
        if self.key_identifiers {
            f.write_str(", key identifiers")?;
        } else if self.misleading_identifier {
            f.write_str(", misleading key identifier")?;
        }
        Ok(())
    }
}
