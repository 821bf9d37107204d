//! Name constraints (RFC 5280, 4.2.1.10, 6.1.3 (b) and (c), 6.1.4 (g)).
//!
//! Owns checking names against an authority's constraints, for every form of name that the RFC has a rule for; other
//! constrained forms are refused, as it requires. Constraints are checked authority by authority, which amounts to
//! the intersection of the permitted and the union of the excluded subtrees (6.1.4 (g)).
//!
//! The caller decides which certificates are checked. Self-issued ones are exempt, except the end entity (6.1.3 (b)),
//! for authorities that change their key.
//!
//! Stricter than the RFC, on purpose:
//! - Constraints apply even if the extension is not critical (which the CA/Browser Forum allows).
//! - A name that cannot be compared (a malformed DNS name, a URI without a host name) is in no permitted subtree
//!   and in every excluded one.
//!
//! More lenient in one place, like OpenSSL, Go and webpki: a DNS constraint with a leading dot matches subdomains only.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::der::{CONTEXT_0, CONTEXT_1, Element, OBJECT_IDENTIFIER, Reader, SEQUENCE, SET};
use crate::hex;
use crate::x500;
use crate::x509::{self, escape_control};

/// emailAddress (PKCS #9), used in the subject of old certificates.
const EMAIL_ADDRESS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 1];
/// How many permitted subtrees an error lists: more of them do not help.
const SUBTREES_NAMED_MAX: usize = 8;

/// The forms of general names (RFC 5280, 4.2.1.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::verify) enum Form {
    Dns,
    Ip,
    Directory,
    Mail,
    Uri,
    /// One of those without a rule for constraints: otherName, x400Address, ediPartyName, registeredID.
    Other(&'static str),
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Dns => "DNS name",
            Self::Ip => "IP address",
            Self::Directory => "directory name",
            Self::Mail => "mail address",
            Self::Uri => "URI",
            Self::Other(form) => form,
        })
    }
}

/// How many comparisons of a name with a subtree one verification may need: without a limit, a chain of some KiB
/// takes seconds. Four times webpki's limit, so that chains that it accepts are accepted here.
const COMPARISONS_MAX: usize = 1_000_000;

/// The remaining comparisons.
#[derive(Debug)]
pub(in crate::verify) struct Budget {
    comparisons: usize,
}

impl Budget {
    pub(in crate::verify) fn new() -> Self {
        Self {
            comparisons: COMPARISONS_MAX,
        }
    }

    #[cfg(test)]
    fn of(comparisons: usize) -> Self {
        Self { comparisons }
    }
}

/// A name that an authority's constraints do not allow. `Display` describes it in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::verify) struct Violation {
    /// The certificate's name, escaped.
    pub(in crate::verify) name: String,
    pub(in crate::verify) form: Form,
    pub(in crate::verify) breach: Breach,
}

/// How a name violates constraints. Subtrees are escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::verify) enum Breach {
    /// It is in this excluded subtree.
    Excluded { subtree: String },
    /// It is in none of the permitted subtrees of its form; these are the first of them.
    NotPermitted { permitted: Vec<String> },
    /// It cannot be compared, and there are constraints on its form.
    NotComparable,
    /// There are constraints on its form that are not processed.
    NotProcessed,
    /// Not compared: there were too many names and subtrees.
    TooManyComparisons,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, form, breach } = self;
        write!(f, "{form} {name} ")?;
        match breach {
            Breach::Excluded { subtree } => write!(f, "is in the excluded subtree {subtree}"),
            Breach::NotPermitted { permitted } => {
                write!(
                    f,
                    "is not in the permitted subtrees: {}",
                    permitted.join(", ")
                )
            }
            Breach::NotComparable => write!(f, "is malformed and cannot be compared"),
            Breach::NotProcessed => write!(f, "is of a form whose constraints are not processed"),
            Breach::TooManyComparisons => {
                write!(f, "was not compared: too many names and subtrees")
            }
        }
    }
}

/// The name constraints of one authority's certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::verify) struct NameConstraints {
    permitted: Vec<Subtree>,
    excluded: Vec<Subtree>,
}

impl NameConstraints {
    /// Reads the value of the extension.
    ///
    /// # Errors
    /// A description, if it is malformed: a fault of the authority's certificate.
    pub(in crate::verify) fn from_der(value: &[u8]) -> Result<Self, String> {
        let malformed = |what: &str| format!("its name constraints are malformed: {what}");
        let mut lists = Element::only_of(value, SEQUENCE)
            .ok_or_else(|| malformed("not a sequence"))?
            .reader();
        let mut subtrees = |tag| match lists.take(tag) {
            Some(list) => Subtree::list(list)
                .map(Some)
                .map_err(|what| malformed(&what)),
            None => Ok(None),
        };
        let (permitted, excluded) = (subtrees(CONTEXT_0)?, subtrees(CONTEXT_1)?);
        if !lists.is_done() {
            return Err(malformed("bytes follow the subtrees"));
        }
        if permitted.is_none() && excluded.is_none() {
            return Err(malformed("they are empty"));
        }
        Ok(Self {
            permitted: permitted.unwrap_or_default(),
            excluded: excluded.unwrap_or_default(),
        })
    }

    /// Whether other forms than DNS names and IP addresses are constrained.
    pub(in crate::verify) fn has_other_forms(&self) -> bool {
        self.permitted
            .iter()
            .chain(&self.excluded)
            .any(|subtree| !matches!(subtree.form, Form::Dns | Form::Ip))
    }

    /// Whether every name is allowed.
    ///
    /// # Errors
    /// The first name that is not.
    pub(in crate::verify) fn check(
        &self,
        names: &Names<'_>,
        budget: &mut Budget,
    ) -> Result<(), Violation> {
        names.all.iter().try_for_each(|name| {
            self.check_one(name, budget).map_err(|breach| Violation {
                name: name.text(),
                form: name.form,
                breach,
            })
        })
    }

    fn check_one(&self, name: &Name<'_>, budget: &mut Budget) -> Result<(), Breach> {
        let of_form =
            |subtrees: &'_ [Subtree]| subtrees.iter().any(|subtree| subtree.form == name.form);
        if !of_form(&self.permitted) && !of_form(&self.excluded) {
            return budget.spend(self.permitted.len().saturating_add(self.excluded.len()));
        }
        let is_unprocessed =
            |subtree: &Subtree| subtree.form == name.form && subtree.base == Base::Unprocessed;
        if self
            .permitted
            .iter()
            .chain(&self.excluded)
            .any(is_unprocessed)
        {
            return Err(Breach::NotProcessed);
        }
        if name.value == Value::Malformed {
            return Err(Breach::NotComparable);
        }
        budget.spend(self.permitted.len().saturating_add(self.excluded.len()))?;
        let mut excluded = self.excluded.iter();
        if let Some(subtree) = excluded.find(|subtree| subtree.base.overlaps(&name.value)) {
            return Err(Breach::Excluded {
                subtree: subtree.text.clone(),
            });
        }
        let mut permitted = self
            .permitted
            .iter()
            .filter(|subtree| subtree.form == name.form);
        if of_form(&self.permitted) && !permitted.any(|subtree| subtree.base.contains(&name.value))
        {
            let permitted = self
                .permitted
                .iter()
                .filter(|subtree| subtree.form == name.form);
            return Err(Breach::NotPermitted {
                permitted: permitted
                    .take(SUBTREES_NAMED_MAX)
                    .map(|subtree| subtree.text.clone())
                    .collect(),
            });
        }
        Ok(())
    }
}

impl Budget {
    fn spend(&mut self, comparisons: usize) -> Result<(), Breach> {
        let left = self.comparisons.checked_sub(comparisons.max(1));
        self.comparisons = left.ok_or(Breach::TooManyComparisons)?;
        Ok(())
    }
}

/// One subtree of a constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Subtree {
    form: Form,
    base: Base,
    /// For messages, escaped.
    text: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Base {
    /// Lower case. With a leading dot: at least one more label.
    Dns(String),
    Ip {
        network: Vec<u8>,
        mask: Vec<u8>,
    },
    /// Canonical form.
    Directory(Vec<u8>),
    Mailbox {
        local: String,
        host: String,
    },
    /// All mailboxes, or URIs, of one host; with a leading dot, of its subdomains. Empty: of all hosts.
    Host(String),
    /// A form without a rule, or a base with a minimum or maximum.
    Unprocessed,
}

impl Subtree {
    fn list(list: Element<'_>) -> Result<Vec<Self>, String> {
        if list.content.is_empty() {
            return Err("an empty list of subtrees".to_owned());
        }
        let mut reader = list.reader();
        let mut subtrees = Vec::new();
        while !reader.is_done() {
            let subtree = reader
                .take(SEQUENCE)
                .ok_or("a subtree that is not a sequence")?;
            subtrees.push(Self::read(subtree)?);
        }
        Ok(subtrees)
    }

    fn read(subtree: Element<'_>) -> Result<Self, String> {
        let mut reader = subtree.reader();
        let base = reader.take_next().ok_or("a subtree without a base")?;
        let form = form(base.tag).ok_or("a base of an unknown form")?;
        // The minimum must be 0, which is the default and so not encoded, and the maximum must be absent.
        let is_plain = reader.is_done();
        let minimum = reader.take(0x80);
        let maximum = reader.take(0x81);
        let is_number =
            |field: Option<Element<'_>>| field.is_none_or(|field| !field.content.is_empty());
        if !reader.is_done() || !is_number(minimum) || !is_number(maximum) {
            return Err("bytes follow a base".to_owned());
        }
        let (base, text) = Base::read(form, base.content)?;
        Ok(Self {
            form,
            base: if is_plain { base } else { Base::Unprocessed },
            text,
        })
    }
}

impl Base {
    /// Returns also its text for messages.
    fn read(form: Form, content: &[u8]) -> Result<(Self, String), String> {
        let text = || ascii(content).ok_or_else(|| format!("a {form} that is not ASCII"));
        let hosts = |host: &str| {
            let below = host.strip_prefix('.').unwrap_or(host);
            host.is_empty() || is_host(below)
        };
        Ok(match form {
            Form::Dns => {
                let base = text()?;
                if !hosts(&base) {
                    return Err(format!("\"{}\" is not a DNS name", escape_control(&base)));
                }
                (Self::Dns(base.to_ascii_lowercase()), shown(&base))
            }
            Form::Ip => {
                let (network, mask) = content.split_at(content.len() / 2);
                let is_mask = matches!(content.len(), 8 | 32) && is_prefix(mask);
                if !is_mask {
                    return Err("an IP address range that is not an address and a mask".to_owned());
                }
                let bits: u32 = mask.iter().map(|octet| octet.count_ones()).sum();
                let shown = match ip_address(network) {
                    Some(address) => format!("{address}/{bits}"),
                    None => hex::encode(network),
                };
                let (network, mask) = (network.to_vec(), mask.to_vec());
                (Self::Ip { network, mask }, shown)
            }
            Form::Directory => {
                let canonical = x500::canonical(content).ok_or("a malformed directory name")?;
                (Self::Directory(canonical), directory_text(content))
            }
            Form::Mail => {
                let base = text()?;
                let read = match base.rsplit_once('@') {
                    Some((local, host)) if is_local_part(local) && is_host(host) => Self::Mailbox {
                        local: local.to_owned(),
                        host: host.to_ascii_lowercase(),
                    },
                    None if hosts(&base) => Self::Host(base.to_ascii_lowercase()),
                    _ => {
                        let base = escape_control(&base);
                        return Err(format!("\"{base}\" is neither a mailbox nor a host"));
                    }
                };
                (read, shown(&base))
            }
            Form::Uri => {
                let base = text()?;
                if !hosts(&base) {
                    return Err(format!("\"{}\" is not a host", escape_control(&base)));
                }
                (Self::Host(base.to_ascii_lowercase()), shown(&base))
            }
            Form::Other(form) => (Self::Unprocessed, form.to_owned()),
        })
    }

    /// Whether all names that it represents are in the subtree.
    fn contains(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Dns(base), Value::Dns(name)) => {
                // A base with a leading dot requires a label before it.
                base.is_empty()
                    || name == base
                    || name.strip_suffix(base.as_str()).is_some_and(|rest| {
                        !rest.is_empty() && (base.starts_with('.') || rest.ends_with('.'))
                    })
            }
            (Self::Ip { network, mask }, Value::Ip(address)) => {
                address.len() == network.len()
                    && address
                        .iter()
                        .zip(network)
                        .zip(mask)
                        .all(|((address, network), mask)| address & mask == network & mask)
            }
            (Self::Directory(base), Value::Directory(name)) => name.starts_with(base),
            (
                Self::Mailbox { local, host },
                Value::Mail {
                    local: name,
                    host: at,
                },
            ) => local == name && host == at,
            (Self::Host(base), Value::Mail { host, .. } | Value::Uri { host }) => {
                base.is_empty()
                    || host == base
                    || (base.starts_with('.')
                        && host
                            .strip_suffix(base.as_str())
                            .is_some_and(|rest| !rest.is_empty()))
            }
            _ => false,
        }
    }

    /// Whether any name that it represents is in the subtree, such as one name of a wildcard.
    fn overlaps(&self, value: &Value) -> bool {
        if self.contains(value) {
            return true;
        }
        // `*.example.com` represents names with exactly one more label.
        let (Self::Dns(base), Value::Dns(name)) = (self, value) else {
            return false;
        };
        match (name.strip_prefix("*."), base.split_once('.')) {
            (Some(parent), Some((label, rest))) => !label.is_empty() && rest == parent,
            _ => false,
        }
    }
}

/// The names of one certificate to which constraints apply: its subject and its alternative names.
#[derive(Clone, Debug)]
pub(in crate::verify) struct Names<'a> {
    all: Vec<Name<'a>>,
}

impl<'a> Names<'a> {
    /// From the DER of the subject, and the value of the subject alternative name extension, if present.
    ///
    /// A mail address in the subject is used if there is no such extension (4.2.1.10).
    ///
    /// # Errors
    /// A description, if it is malformed: a fault of this certificate.
    pub(in crate::verify) fn read(
        subject: &'a [u8],
        subject_alt_name: Option<&'a [u8]>,
    ) -> Result<Self, String> {
        let mut all = Vec::new();
        let is_empty =
            Element::only_of(subject, SEQUENCE).is_some_and(|name| name.content.is_empty());
        if !is_empty {
            all.push(Name::read(Form::Directory, subject));
        }
        match subject_alt_name {
            Some(value) => {
                let mut reader = Element::only_of(value, SEQUENCE)
                    .ok_or("its subject alternative names are malformed")?
                    .reader();
                while !reader.is_done() {
                    let name = reader.take_next();
                    let name =
                        name.and_then(|name| Some(Name::read(form(name.tag)?, name.content)));
                    all.push(name.ok_or("its subject alternative names are malformed")?);
                }
            }
            None => all.extend(
                mail_addresses(subject)
                    .into_iter()
                    .map(|address| Name::read(Form::Mail, address)),
            ),
        }
        Ok(Self { all })
    }
}

#[derive(Clone, Debug)]
struct Name<'a> {
    form: Form,
    value: Value,
    content: &'a [u8],
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    Dns(String),
    Ip(Vec<u8>),
    Directory(Vec<u8>),
    Mail {
        local: String,
        host: String,
    },
    Uri {
        host: String,
    },
    /// A name of an unknown form.
    Other,
    Malformed,
}

impl<'a> Name<'a> {
    fn read(form: Form, content: &'a [u8]) -> Self {
        let value = match form {
            Form::Dns => ascii(content)
                .map(|name| name.to_ascii_lowercase())
                .filter(|name| is_host(name.strip_prefix("*.").unwrap_or(name)))
                .map(Value::Dns),
            Form::Ip => ip_address(content).map(|_| Value::Ip(content.to_vec())),
            Form::Directory => x500::canonical(content).map(Value::Directory),
            Form::Mail => ascii(content).and_then(|address| {
                let (local, host) = address.rsplit_once('@')?;
                (is_local_part(local) && is_host(host)).then(|| Value::Mail {
                    local: local.to_owned(),
                    host: host.to_ascii_lowercase(),
                })
            }),
            Form::Uri => ascii(content)
                .as_deref()
                .and_then(uri_host)
                .map(|host| Value::Uri { host }),
            Form::Other(_) => Some(Value::Other),
        };
        Self {
            form,
            value: value.unwrap_or(Value::Malformed),
            content,
        }
    }

    /// For messages, escaped.
    fn text(&self) -> String {
        match self.form {
            Form::Dns | Form::Mail | Form::Uri => shown(&String::from_utf8_lossy(self.content)),
            Form::Ip => match ip_address(self.content) {
                Some(address) => address.to_string(),
                None => hex::encode(self.content),
            },
            Form::Directory => directory_text(self.content),
            Form::Other(_) => hex::encode(self.content.get(..16).unwrap_or(self.content)),
        }
    }
}

/// The form of a general name, from its tag.
fn form(tag: u8) -> Option<Form> {
    Some(match tag {
        0xa0 => Form::Other("otherName"),
        0x81 => Form::Mail,
        0x82 => Form::Dns,
        0xa3 => Form::Other("x400Address"),
        0xa4 => Form::Directory,
        0xa5 => Form::Other("ediPartyName"),
        0x86 => Form::Uri,
        0x87 => Form::Ip,
        0x88 => Form::Other("registeredID"),
        _ => return None,
    })
}

fn ascii(content: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(content).ok()?;
    text.is_ascii().then(|| text.to_owned())
}

/// Untrusted text, escaped for messages. Empty text is made visible.
fn shown(text: &str) -> String {
    if text.is_empty() {
        return "\"\"".to_owned();
    }
    escape_control(text).into_owned()
}

fn directory_text(der: &[u8]) -> String {
    match X509Name::from_der(der) {
        Ok((_, name)) => shown(&x509::describe_name(&name)),
        Err(_) => hex::encode(der.get(..16).unwrap_or(der)),
    }
}

fn ip_address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(|octets| Ipv4Addr::from(octets).into());
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(|octets| Ipv6Addr::from(octets).into()))
        .ok()
}

/// Whether the mask is contiguous.
fn is_prefix(mask: &[u8]) -> bool {
    let mut octets = mask.iter().skip_while(|octet| **octet == 0xff);
    let is_boundary = |octet: &u8| octet.count_ones() == octet.leading_ones();
    octets.next().is_none_or(is_boundary) && octets.all(|octet| *octet == 0)
}

/// Whether it is a DNS name as used in certificates: labels of letters, digits, hyphens and, in practice, underscores
/// (RFC 1034, 3.5, with its lengths), without trailing dot.
fn is_host(name: &str) -> bool {
    const NAME_BYTES_MAX: usize = 253;
    const LABEL_BYTES_MAX: usize = 63;
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    name.len() <= NAME_BYTES_MAX
        && name.split('.').all(|label| {
            !label.is_empty() && label.len() <= LABEL_BYTES_MAX && label.bytes().all(is_allowed)
        })
}

/// Whether it is an unquoted local part of a mail address (RFC 5321, 4.1.2). Quoted ones are not compared, because
/// the same mailbox can be quoted in many ways.
fn is_local_part(local: &str) -> bool {
    local.split('.').all(|atom| {
        !atom.is_empty()
            && atom
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~".contains(&byte))
    })
}

/// The host name of a URI (RFC 3986, 3.2), in lower case. `None` without one, also for an IP address, to which
/// constraints cannot be applied (4.2.1.10).
fn uri_host(uri: &str) -> Option<String> {
    let (scheme, rest) = uri.split_once(':')?;
    let mut letters = scheme.bytes();
    let is_scheme = letters
        .next()
        .is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let after = rest.strip_prefix("//").filter(|_| is_scheme)?;
    let authority = after.split(['/', '?', '#']).next()?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = match host.split_once(':') {
        Some((host, port)) => port
            .bytes()
            .all(|byte| byte.is_ascii_digit())
            .then_some(host)?,
        None => host,
    };
    // Four numbers are an address.
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let is_address = host.rsplit('.').next().is_some_and(is_number);
    (is_host(host) && !is_address).then(|| host.to_ascii_lowercase())
}

/// The mail addresses in a subject.
fn mail_addresses(subject: &[u8]) -> Vec<&[u8]> {
    let Some(name) = Element::only_of(subject, SEQUENCE) else {
        return Vec::new();
    };
    name.children()
        .filter(|relative_name| relative_name.tag == SET)
        .flat_map(Element::children)
        .filter_map(|attribute| {
            let mut reader = Reader::new(attribute.content);
            let kind = reader.take(OBJECT_IDENTIFIER)?;
            let value = reader.take_next()?;
            (kind.content == EMAIL_ADDRESS).then_some(value.content)
        })
        .collect()
}

#[cfg(test)]
mod tests;
