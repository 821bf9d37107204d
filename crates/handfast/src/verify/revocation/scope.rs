//! To which certificates a list applies, and to which lists a certificate points (RFC 5280, 4.2.1.13,
//! 5.2.5 and 6.3.3).
//!
//! Owns the two extensions, issuing distribution point and CRL distribution points, and comparing them.

use std::fmt;

use crate::der::{CONTEXT_0, CONTEXT_1, CONTEXT_2, Element, Reader, SEQUENCE};
use crate::hex;
use crate::{x500, x509};

/// `[0]` to `[5]`, of a primitive type.
const PRIMITIVE_1: u8 = 0x81;
const PRIMITIVE_2: u8 = 0x82;
const PRIMITIVE_3: u8 = 0x83;
const PRIMITIVE_4: u8 = 0x84;
const PRIMITIVE_5: u8 = 0x85;
/// `directoryName` and `uniformResourceIdentifier` among the general names.
const DIRECTORY_NAME: u8 = 0xa4;
const URI: u8 = 0x86;
const SET: u8 = 0x31;

/// A set of reasons for a revocation (`ReasonFlags`), without bit 0, "unused".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reasons(u8);

impl Reasons {
    pub(super) const NONE: Self = Self(0);
    pub(super) const ALL: Self = Self(0xff);

    /// From the content of a BIT STRING: bits 1 to 8, keyCompromise to aACompromise.
    fn read(content: &[u8]) -> Option<Self> {
        let (unused, octets) = content.split_first()?;
        if *unused > 7 || octets.is_empty() && *unused != 0 {
            return None;
        }
        let first = octets.first().copied().unwrap_or(0);
        let second = octets.get(1).copied().unwrap_or(0);
        Some(Self((first << 1) | (second >> 7)))
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Display for Reasons {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 8] = [
            "keyCompromise",
            "cACompromise",
            "affiliationChanged",
            "superseded",
            "cessationOfOperation",
            "certificateHold",
            "privilegeWithdrawn",
            "aACompromise",
        ];
        let names = (0u32..).zip(NAMES);
        let set: Vec<&str> = names
            .filter_map(|(bit, name)| (self.0 & (0x80 >> bit) != 0).then_some(name))
            .collect();
        match set.is_empty() {
            true => f.write_str("none"),
            false => f.write_str(&set.join(", ")),
        }
    }
}

/// A general name that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// A `Name`, DER, with its SEQUENCE.
    Directory(Vec<u8>),
    /// Any other: tag, length and content.
    Other(Vec<u8>),
}

impl Place {
    fn read(element: Element<'_>) -> Option<Self> {
        Some(match element.tag {
            DIRECTORY_NAME => {
                Self::Directory(Element::only_of(element.content, SEQUENCE)?.raw.to_vec())
            }
            _ => Self::Other(element.raw.to_vec()),
        })
    }

    fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Directory(one), Self::Directory(other)) => x500::equal(one, other),
            (Self::Other(one), Self::Other(other)) => one == other,
            _ => false,
        }
    }

    fn is_directory(&self, name: &[u8]) -> bool {
        matches!(self, Self::Directory(own) if x500::equal(own, name))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(name) => f.write_str(&x509::describe_name_der(name)),
            Self::Other(raw) => match Element::only(raw) {
                Some(element) if element.tag == URI => {
                    let text = String::from_utf8_lossy(element.content);
                    f.write_str(&x509::escape_control(&text))
                }
                _ => write!(f, "a name {}", hex::encode(raw)),
            },
        }
    }
}

fn describe(places: &[Place]) -> String {
    let texts: Vec<String> = places.iter().map(Place::to_string).collect();
    texts.join(", ")
}

fn any_of(some: &[Place], others: &[Place]) -> bool {
    some.iter()
        .any(|one| others.iter().any(|other| one.is(other)))
}

/// GeneralNames, at least one.
fn places(content: &[u8]) -> Option<Vec<Place>> {
    let mut reader = Reader::new(content);
    let mut places = Vec::new();
    while !reader.is_done() {
        places.push(Place::read(reader.take_next()?)?);
    }
    (!places.is_empty()).then_some(places)
}

/// The first name that a list's `certificateIssuer` gives (RFC 5280, 5.3.3).
pub(super) fn directory_name(general_names: &[u8]) -> Option<Vec<u8>> {
    let names = Element::only_of(general_names, SEQUENCE)?;
    places(names.content)?
        .into_iter()
        .find_map(|place| match place {
            Place::Directory(name) => Some(name),
            Place::Other(_) => None,
        })
}

/// DistributionPointName: the full names, or `base` with a relative name appended.
fn point_name(content: &[u8], base: Option<&[u8]>) -> Option<Vec<Place>> {
    let choice = Element::only(content)?;
    match choice.tag {
        CONTEXT_0 => places(choice.content),
        CONTEXT_1 => {
            let base = Element::only_of(base?, SEQUENCE)?;
            let mut relative = x509::wrap_sequence(choice.content);
            *relative.first_mut()? = SET;
            let name = x509::wrap_sequence(&[base.content, &relative].concat());
            Some(vec![Place::Directory(name)])
        }
        _ => None,
    }
}

fn flag(content: &[u8]) -> Option<bool> {
    match content {
        [0] => Some(false),
        [0xff] => Some(true),
        _ => None,
    }
}

/// The kind of certificates that a list covers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Any,
    User,
    Authority,
    Attribute,
}

/// The scope of a list, from its issuing distribution point; without one: all certificates of its issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// The distribution points; if empty: any.
    points: Vec<Place>,
    kind: Kind,
    /// The reasons that it covers; `None`: all.
    reasons: Option<Reasons>,
    /// Whether it covers certificates of other issuers, too.
    pub(super) is_indirect: bool,
}

impl Scope {
    /// Parses the extension in a list of `issuer` (DER name).
    pub(super) fn read(value: &[u8], issuer: &[u8]) -> Option<Self> {
        let content = Element::only_of(value, SEQUENCE)?;
        let mut fields = content.reader();
        // RFC 5280, 5.2.5: it MUST NOT be an empty sequence.
        if fields.is_done() {
            return None;
        }
        let mut scope = Self::default();
        if let Some(name) = fields.take(CONTEXT_0) {
            scope.points = point_name(name.content, Some(issuer))?;
        }
        let is_set = |fields: &mut Reader<'_>, tag| match fields.take(tag) {
            Some(element) => flag(element.content),
            None => Some(false),
        };
        let user = is_set(&mut fields, PRIMITIVE_1)?;
        let authority = is_set(&mut fields, PRIMITIVE_2)?;
        if let Some(reasons) = fields.take(PRIMITIVE_3) {
            scope.reasons = Some(Reasons::read(reasons.content)?);
        }
        scope.is_indirect = is_set(&mut fields, PRIMITIVE_4)?;
        let attribute = is_set(&mut fields, PRIMITIVE_5)?;
        scope.kind = match (user, authority, attribute) {
            (false, false, false) => Kind::Any,
            (true, false, false) => Kind::User,
            (false, true, false) => Kind::Authority,
            (false, false, true) => Kind::Attribute,
            // At most one of them may be true.
            _ => return None,
        };
        fields.is_done().then_some(scope)
    }

    /// The reasons for which a list of this scope and of `issuer` covers `target`, or why it does not cover it
    /// (RFC 5280, 6.3.3, b and d).
    pub(super) fn covers(&self, issuer: &[u8], target: &Target<'_>) -> Result<Reasons, String> {
        match self.kind {
            Kind::User if target.is_authority => {
                return Err("it covers only end-entity certificates".to_owned());
            }
            Kind::Authority if !target.is_authority => {
                return Err("it covers only CA certificates".to_owned());
            }
            Kind::Attribute => {
                return Err("it covers only attribute certificates".to_owned());
            }
            _ => {}
        }
        let Some(points) = &target.points else {
            return Err("the certificate's distribution points cannot be read".to_owned());
        };
        let own = self.reasons.unwrap_or(Reasons::ALL);
        let is_own_issuer = x500::equal(issuer, target.issuer);
        let mut reasons = Reasons::NONE;
        let mut is_about = false;
        for point in points {
            let is_its_issuer = match point.issuers.is_empty() {
                true => is_own_issuer,
                false => {
                    let is_named = point.issuers.iter().any(|one| one.is_directory(issuer));
                    self.is_indirect && is_named
                }
            };
            let its_names = match point.names.is_empty() {
                true => &point.issuers,
                false => &point.names,
            };
            if is_its_issuer && (self.points.is_empty() || any_of(&self.points, its_names)) {
                is_about = true;
                reasons = reasons.or(own.and(point.reasons));
            }
        }
        // A list of the certificate's issuer that no point names is treated as if there were a point with
        // the issuer's name.
        let names_issuer = self
            .points
            .iter()
            .any(|one| one.is_directory(target.issuer));
        if is_own_issuer && (self.points.is_empty() || names_issuer) {
            is_about = true;
            // If the certificate points only to other issuers' lists, this one does not cover it; but its
            // entries apply.
            let is_elsewhere = !points.is_empty()
                && points.iter().all(|point| {
                    !point.issuers.is_empty()
                        && !point.issuers.iter().any(|one| one.is_directory(issuer))
                });
            if !is_elsewhere {
                reasons = reasons.or(own);
            }
        }
        if is_about {
            return Ok(reasons);
        }
        let asked: Vec<Place> = points
            .iter()
            .flat_map(|point| point.names.iter().chain(&point.issuers).cloned())
            .collect();
        Err(match (self.points.is_empty(), asked.is_empty()) {
            (false, true) => format!(
                "it covers only the distribution point {}, and the certificate has none",
                describe(&self.points)
            ),
            (false, false) => format!(
                "it covers only the distribution point {}, and the certificate has {}",
                describe(&self.points),
                describe(&asked)
            ),
            _ => format!("the certificate has {}", describe(&asked)),
        })
    }
}

/// `all certificates`, or its restrictions.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Any => "all certificates",
            Kind::User => "end-entity certificates",
            Kind::Authority => "CA certificates",
            Kind::Attribute => "attribute certificates",
        })?;
        if self.is_indirect {
            f.write_str(", of other issuers too")?;
        }
        if !self.points.is_empty() {
            write!(f, ", distribution point {}", describe(&self.points))?;
        }
        match self.reasons {
            Some(reasons) => write!(f, ", for the reasons {reasons}"),
            None => Ok(()),
        }
    }
}

/// The certificate that is looked up.
pub(super) struct Target<'a> {
    /// DER name.
    pub(super) issuer: &'a [u8],
    pub(super) is_authority: bool,
    /// Its distribution points; `None` if they are malformed.
    pub(super) points: Option<Vec<Point>>,
}

impl Target<'_> {
    /// Whether a list of this issuer (DER name) could cover it.
    pub(super) fn may_be_on_list_of(&self, issuer: &[u8]) -> bool {
        x500::equal(self.issuer, issuer)
            || self.points.iter().flatten().any(|point| {
                let mut issuers = point.issuers.iter();
                issuers.any(|one| one.is_directory(issuer))
            })
    }
}

/// A distribution point of a certificate.
#[derive(Clone, Debug)]
pub(super) struct Point {
    names: Vec<Place>,
    reasons: Reasons,
    /// The issuer of the list (`cRLIssuer`), if it is not the certificate's.
    issuers: Vec<Place>,
}

impl Point {
    /// Parses the extension in a certificate of `issuer` (DER name).
    pub(super) fn read_all(value: &[u8], issuer: &[u8]) -> Option<Vec<Self>> {
        let mut list = Element::only_of(value, SEQUENCE)?.reader();
        let mut points = Vec::new();
        while !list.is_done() {
            points.push(Self::read(list.take(SEQUENCE)?, issuer)?);
        }
        (!points.is_empty()).then_some(points)
    }

    fn read(element: Element<'_>, issuer: &[u8]) -> Option<Self> {
        let mut fields = element.reader();
        let name = fields.take(CONTEXT_0);
        let reasons = match fields.take(PRIMITIVE_1) {
            Some(reasons) => Reasons::read(reasons.content)?,
            None => Reasons::ALL,
        };
        let issuers = match fields.take(CONTEXT_2) {
            Some(issuers) => places(issuers.content)?,
            None => Vec::new(),
        };
        let base = match issuers.as_slice() {
            [] => Some(issuer),
            [Place::Directory(name), ..] => Some(name.as_slice()),
            _ => None,
        };
        let names = match name {
            Some(name) => point_name(name.content, base)?,
            None => Vec::new(),
        };
        // RFC 5280, 4.2.1.13: it MUST NOT consist of only the reasons field.
        let is_about_something = !names.is_empty() || !issuers.is_empty();
        (is_about_something && fields.is_done()).then_some(Self {
            names,
            reasons,
            issuers,
        })
    }
}
