//! A jar of cookies (RFC 6265): which cookie of which response goes into which request, within limits; and the text of
//! Netscape's format for files.
//!
//! The crate `cookie_store` matches domains, paths and times. Added here is what keeps cookies from other sites and from
//! plain HTTP: public suffixes, the prefixes of names (draft-ietf-httpbis-rfc6265bis, section 4.1.3), `Secure`, limits.

use std::fmt;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cookie_store::{Cookie, CookieDomain, CookieExpiration, CookieStore, RawCookie};
use http::header::{COOKIE, SET_COOKIE};
use http::{HeaderMap, HeaderValue};
use time::OffsetDateTime;
use url::Url;

/// How many cookies a response may set, as in curl.
const PER_RESPONSE_MAX: usize = 50;

/// The longest name with its value, in bytes: what RFC 6265, section 6.1, asks for.
const COOKIE_BYTES_MAX: usize = 4096;

/// How many cookies of one domain are kept: three times what RFC 6265, section 6.1, asks for.
const PER_DOMAIN_MAX: usize = 150;

/// How many are kept in all: as many as RFC 6265, section 6.1, asks for.
const COOKIES_MAX: usize = 3000;

/// The longest `Cookie` field: servers accept heads of 8 KiB.
const FIELD_BYTES_MAX: usize = 8190;

/// Cookies, shared by the clones of it. Given to [`ClientBuilder::cookies`](super::ClientBuilder::cookies), each response
/// adds to it and each request gets what is for its URL, also on the way through redirects.
///
/// A cookie never goes to another site than it came from: domains that are public suffixes (of the list at
/// publicsuffix.org, as it was when the crate `psl` was published) are refused, as are domains of one label. Cookies that
/// are `Secure` neither come nor go without TLS.
#[derive(Clone, Default)]
pub struct CookieJar(Arc<Mutex<CookieStore>>);

/// Values are secret.
impl fmt::Debug for CookieJar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieJar")
            .field("cookies", &self.len())
            .finish_non_exhaustive()
    }
}

impl CookieJar {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many cookies are in it that have not expired.
    pub fn len(&self) -> usize {
        self.store().iter_unexpired().count()
    }

    /// Is there none?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes what a response from this URL sets (the value of a `Set-Cookie` field), and says whether it was taken. Text that
    /// is no URL sets nothing.
    pub fn set(&self, url: &str, set_cookie: &str) -> bool {
        Url::parse(url).is_ok_and(|url| self.set_from(&url, set_cookie))
    }

    /// The `Cookie` field of a request for this URL; `None` without cookies for it.
    pub fn cookies_for(&self, url: &str) -> Option<HeaderValue> {
        Url::parse(url).ok().and_then(|url| self.field(&url))
    }

    /// Adds the cookies of a file in Netscape's format, as curl and browsers' extensions write it, or with a `Set-Cookie:`
    /// field in each line, which then counts as one of a response from `url`. Lines that are neither are passed over. Says
    /// how many cookies were added.
    pub fn read(&self, text: &str, url: Option<&str>) -> usize {
        let url = url.and_then(|url| Url::parse(url).ok());
        let mut added = 0;
        for line in text.lines() {
            let field = line
                .get(..SET_COOKIE_PREFIX.len())
                .filter(|start| start.eq_ignore_ascii_case(SET_COOKIE_PREFIX));
            let is_added = match (field, &url) {
                (Some(field), Some(url)) => {
                    let value = line.get(field.len()..).unwrap_or_default();
                    self.set_from(url, value.trim())
                }
                (Some(_), None) => false,
                (None, _) => self.read_netscape(line).is_some(),
            };
            added += usize::from(is_added);
        }
        added
    }

    /// All cookies that have not expired, in Netscape's format.
    pub fn to_netscape(&self) -> String {
        let mut text = "# Netscape HTTP Cookie File\n# Written by a program: changes are lost when it writes it again\n\n".to_owned();
        let store = self.store();
        for cookie in store.iter_unexpired() {
            let (domain, is_suffix) = match &cookie.domain {
                CookieDomain::HostOnly(host) => (host.as_str(), false),
                CookieDomain::Suffix(domain) => (domain.as_str(), true),
                CookieDomain::NotPresent | CookieDomain::Empty => continue,
            };
            let flag = |is_so: bool| if is_so { "TRUE" } else { "FALSE" };
            let _ = writeln!(
                text,
                "{}{}{domain}\t{}\t{}\t{}\t{}\t{}\t{}",
                if cookie.http_only() == Some(true) {
                    HTTP_ONLY_PREFIX
                } else {
                    ""
                },
                if is_suffix { "." } else { "" },
                flag(is_suffix),
                String::from(&cookie.path),
                flag(cookie.secure() == Some(true)),
                match cookie.expires {
                    CookieExpiration::AtUtc(at) => at.unix_timestamp(),
                    CookieExpiration::SessionEnd => 0,
                },
                cookie.name(),
                cookie.value(),
            );
        }
        text
    }

    /// Removes cookies that are for one session: they have no time of expiry.
    pub fn forget_session(&self) {
        remove(&mut self.store(), |cookie| !cookie.is_persistent());
    }

    /// Takes what a response sets.
    pub(super) fn take(&self, url: &Url, fields: &HeaderMap) {
        for value in fields.get_all(SET_COOKIE).iter().take(PER_RESPONSE_MAX) {
            if let Ok(text) = std::str::from_utf8(value.as_bytes()) {
                self.set_from(url, text);
            }
        }
    }

    /// Puts those for this URL before the cookies that a request already has.
    pub(super) fn put_into(&self, url: &Url, fields: &mut HeaderMap) {
        let Some(field) = self.field(url) else {
            return;
        };
        let mut all = field.as_bytes().to_vec();
        for given in fields.get_all(COOKIE) {
            all.extend_from_slice(b"; ");
            all.extend_from_slice(given.as_bytes());
        }
        if let Ok(mut field) = HeaderValue::from_bytes(&all) {
            field.set_sensitive(true);
            fields.insert(COOKIE, field);
        }
    }

    fn field(&self, url: &Url) -> Option<HeaderValue> {
        let store = self.store();
        let mut cookies = store.matches(url);
        // The crate counts plain HTTP on loopback as secure.
        cookies.retain(|cookie| is_secure(url) || cookie.secure() != Some(true));
        // RFC 6265, section 5.4: longer paths first, then those that came first.
        cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
        let mut text = String::new();
        for cookie in cookies {
            let (name, value) = (cookie.name(), cookie.value());
            if text.len() + name.len() + value.len() + 3 > FIELD_BYTES_MAX {
                break;
            }
            if !text.is_empty() {
                text.push_str("; ");
            }
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
        let mut value = HeaderValue::try_from(text).ok()?;
        value.set_sensitive(true);
        Some(value).filter(|value| !value.is_empty())
    }

    fn set_from(&self, url: &Url, text: &str) -> bool {
        let Ok(raw) = RawCookie::parse(text) else {
            return false;
        };
        self.insert(url, raw.into_owned())
    }

    fn insert(&self, url: &Url, raw: RawCookie<'static>) -> bool {
        if !is_acceptable(url, &raw) {
            return false;
        }
        // Its domain is that of the attribute as resolvers and other cookies have it: in lower case, in ASCII.
        let Ok(mut cookie) = Cookie::try_from_raw_cookie(&raw, url) else {
            return false;
        };
        let domain = cookie.domain.as_cow().unwrap_or_default().into_owned();
        if matches!(cookie.domain, CookieDomain::Suffix(_)) && is_public(&domain) {
            // RFC 6265, section 5.3, step 5: its own host may set it, for itself alone.
            let host = CookieDomain::host_only(url).ok();
            match host.filter(|host| host.as_cow().as_deref() == Some(&*domain)) {
                Some(host) => cookie.domain = host,
                None => return false,
            }
        }
        let mut store = self.store();
        // Without TLS what came with it is not replaced, or sent beside another of its name
        // (draft-ietf-httpbis-rfc6265bis, section 5.7, step 16).
        let is_for_more = matches!(cookie.domain, CookieDomain::Suffix(_));
        let is_protected = |old: &Cookie<'_>| {
            old.name() == cookie.name()
                && old.secure() == Some(true)
                && (old.domain.matches(url) || is_for_more && is_beneath(old, &domain))
        };
        if !is_secure(url) && store.iter_unexpired().any(is_protected) {
            return false;
        }
        let is_new = !store.contains_any(&domain, &cookie.path, cookie.name());
        if is_new && !cookie.is_expired() {
            let of_domain = |old: &&Cookie<'_>| old.domain.as_cow().as_deref() == Some(&*domain);
            let is_full = |store: &CookieStore| {
                store.iter_any().count() >= COOKIES_MAX
                    || store.iter_any().filter(of_domain).count() >= PER_DOMAIN_MAX
            };
            if is_full(&store) {
                remove(&mut store, |cookie| cookie.is_expired());
            }
            if is_full(&store) {
                return false;
            }
        }
        store.insert(cookie, url).is_ok()
    }

    /// A line of a file: domain, whether for its subdomains too, path, whether for TLS only, time of expiry, name, value.
    fn read_netscape(&self, line: &str) -> Option<()> {
        let (line, is_http_only) = match line.strip_prefix(HTTP_ONLY_PREFIX) {
            Some(line) => (line, true),
            None => (line, false),
        };
        if line.starts_with('#') {
            return None;
        }
        let mut columns = line.split('\t');
        let domain = columns.next()?.trim_start_matches('.');
        let is_suffix = columns.next()?.eq_ignore_ascii_case("TRUE");
        let path = columns.next()?;
        let is_secure = columns.next()?.eq_ignore_ascii_case("TRUE");
        let expires: i64 = columns.next()?.trim().parse().ok()?;
        let name = columns.next()?;
        let value = columns.next().unwrap_or_default();
        let host = match domain.contains(':') && !domain.starts_with('[') {
            true => format!("[{domain}]"),
            false => domain.to_owned(),
        };
        let url = Url::parse(&format!("https://{host}/")).ok()?;
        let mut raw = RawCookie::new(name.to_owned(), value.to_owned());
        raw.set_path(path.to_owned());
        if is_suffix {
            raw.set_domain(url.host_str()?.to_owned());
        }
        raw.set_secure(is_secure);
        raw.set_http_only(is_http_only);
        if expires != 0 {
            raw.set_expires(OffsetDateTime::from_unix_timestamp(expires).ok()?);
        }
        self.insert(&url, raw).then_some(())
    }

    fn store(&self) -> MutexGuard<'_, CookieStore> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Before the domain of a cookie that scripts of a page do not see.
const HTTP_ONLY_PREFIX: &str = "#HttpOnly_";

const SET_COOKIE_PREFIX: &str = "set-cookie:";

fn is_secure(url: &Url) -> bool {
    url.scheme() == "https"
}

/// May a response from this URL set it, whatever its domain?
fn is_acceptable(url: &Url, raw: &RawCookie<'_>) -> bool {
    let (name, value) = (raw.name(), raw.value());
    let is_sendable = |text: &str| {
        text.bytes()
            .all(|byte| byte >= b' ' && byte != b';' && byte != 0x7f)
    };
    let begins = |prefix: &str| {
        let start = name.get(..prefix.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    let is_for_tls = raw.secure() == Some(true);
    let is_for_host = is_for_tls && raw.domain().is_none() && raw.path() == Some("/");
    name.len() + value.len() <= COOKIE_BYTES_MAX
        && is_sendable(name)
        && is_sendable(value)
        // In a file a tab would begin another column, and a line end another cookie.
        && raw.path().is_none_or(is_sendable)
        && raw.domain().is_none_or(is_sendable)
        && (!is_for_tls || is_secure(url))
        && (!begins("__Secure-") || is_for_tls)
        && (!begins("__Host-") || is_for_host)
}

/// Removes those that this holds for: the store keeps the expired ones.
fn remove(store: &mut CookieStore, is_unwanted: impl Fn(&Cookie<'_>) -> bool) {
    let unwanted: Vec<_> = store
        .iter_any()
        .filter(|cookie| is_unwanted(cookie))
        .filter_map(|cookie| {
            let domain = cookie.domain.as_cow()?.into_owned();
            Some((domain, String::from(&cookie.path), cookie.name().to_owned()))
        })
        .collect();
    for (domain, path, name) in unwanted {
        store.remove(&domain, &path, &name);
    }
}

/// Is a cookie of this domain, or of one beneath it?
fn is_beneath(cookie: &Cookie<'_>, domain: &str) -> bool {
    let own = cookie.domain.as_cow().unwrap_or_default();
    let rest = own.strip_suffix(domain);
    rest.is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Would a cookie of this domain be for hosts of different owners?
fn is_public(domain: &str) -> bool {
    let domain = domain.trim_start_matches('.').trim_end_matches('.');
    // An address is one host.
    domain.parse::<std::net::Ipv4Addr>().is_err() && psl::suffix_str(domain) == Some(domain)
}

#[cfg(test)]
mod tests;
