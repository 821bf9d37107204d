//! Which site a request is for.
//!
//! The name in the request (`:authority` or Host) decides. The server name of the connection (SNI) must lead to the same site,
//! because the handshake was done by that site's rules: its certificates, and what it demands of clients. A request that
//! leads to another one is answered with 421 (Misdirected Request; RFC 9110, section 15.5.20), and the client repeats it on a
//! connection of its own. This is what RFC 9113, section 9.1.1, provides for clients that use one HTTP/2 connection for several
//! names of its certificate: they may for the names of one site.
//!
//! Clients send no server name for IP addresses, and some never do. Then the name in the request decides alone, unless the site
//! [needs the server name](Site::with_server_name_needed). What a site demands of each request (client identities, passwords)
//! is checked for each request and holds in any case.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use handfast_https::server::{ConnectionInfo, Handler, Request, Response, plain};
use http::StatusCode;
use http::header::HOST;

use crate::name::{self, SiteName};
use crate::site::Site;

/// Answers requests by the site that they are for.
///
/// A clone is the same: keep one to [`replace`](Self::replace) what the server serves.
///
/// The name in the request (`:authority` or Host; its port is ignored) chooses the site: an exact name, then `*.` and its
/// parent, then the default. Where the server name that the client sent in the handshake (SNI) leads to another site, or
/// where there is no site, the answer is 421 (Misdirected Request).
#[derive(Debug, Clone)]
pub struct Sites {
    /// Read without a lock, and without a counter that threads contend for.
    table: Arc<ArcSwap<SiteTable>>,
}

impl Sites {
    /// These sites.
    pub fn new(table: SiteTable) -> Self {
        Self {
            table: Arc::new(ArcSwap::from_pointee(table)),
        }
    }

    /// Requests that come from now on are answered by these sites; running ones end with those that they began with.
    pub fn replace(&self, table: SiteTable) {
        self.table.store(Arc::new(table));
    }

    /// The [label](Site::with_label) of the site that a request with this authority is for, over a connection with this server
    /// name; for logs. `None` also where the answer is 421.
    pub fn label(&self, authority: Option<&str>, server_name: Option<&str>) -> Option<u32> {
        self.table.load().choose(authority, server_name)?.label
    }
}

impl Handler for Sites {
    async fn handle(&self, request: Request, connection: &Arc<ConnectionInfo>) -> Response {
        let table = self.table.load();
        let server_name = connection.report.server_name.as_deref();
        let site = if table.has_no_names() {
            table.only(server_name)
        } else {
            let authority = request
                .uri()
                .authority()
                .map(http::uri::Authority::as_str)
                .or_else(|| request.headers().get(HOST)?.to_str().ok());
            table.choose(authority, server_name)
        };
        match site {
            Some(site) => site.answer(request, connection).await,
            None => plain(
                StatusCode::MISDIRECTED_REQUEST,
                "this connection is not for that host\n",
            ),
        }
    }
}

/// Sites by their names.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct SiteTable {
    sites: Vec<Site>,
    exact: HashMap<Box<str>, usize>,
    /// By the name without its first label.
    beneath: HashMap<Box<str>, usize>,
    default: Option<usize>,
}

/// A [`SiteTable`] would be ambiguous.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TableError {
    /// Two sites have this name.
    NameTaken(String),
    /// There is a default site already.
    SecondDefault,
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NameTaken(name) => write!(f, "two sites have the name {name}"),
            Self::SecondDefault => f.write_str("two sites are the default site"),
        }
    }
}

impl std::error::Error for TableError {}

impl SiteTable {
    /// No site: every request is answered with 421.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a site for its names.
    ///
    /// # Errors
    /// [`TableError`] if one of its names is taken.
    pub fn with(mut self, site: Site) -> Result<Self, TableError> {
        let at = self.sites.len();
        for name in &site.names {
            let before = match name {
                SiteName::Exact(name) => self.exact.insert(name.clone(), at),
                SiteName::Beneath(parent) => self.beneath.insert(parent.clone(), at),
            };
            if before.is_some() {
                return Err(TableError::NameTaken(name.to_string()));
            }
        }
        self.sites.push(site);
        Ok(self)
    }

    /// Adds a site for its names, and for requests and connections for which there is no other one.
    ///
    /// # Errors
    /// [`TableError`] if one of its names is taken, or if there is a default site already.
    pub fn with_default(mut self, site: Site) -> Result<Self, TableError> {
        if self.default.is_some() {
            return Err(TableError::SecondDefault);
        }
        self.default = Some(self.sites.len());
        self.with(site)
    }

    /// The sites, in the order in which they were added.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// The site of a request; `None` if this connection must not be used for it.
    pub(crate) fn choose(
        &self,
        authority: Option<&str>,
        server_name: Option<&str>,
    ) -> Option<&Site> {
        let at = match (authority, server_name) {
            (Some(authority), Some(server_name)) => {
                let at = self.find(&name::host_of(authority))?;
                if self.find(&name::plain(server_name)) != Some(at) {
                    return None;
                }
                at
            }
            (Some(authority), None) => self.find(&name::host_of(authority))?,
            // HTTP/1.0.
            (None, Some(server_name)) => self.find(&name::plain(server_name))?,
            (None, None) => self.default?,
        };
        self.allowed(at, server_name)
    }

    /// With one site for all names there is nothing to look up.
    fn has_no_names(&self) -> bool {
        self.exact.is_empty() && self.beneath.is_empty()
    }

    /// The site of every request, whatever the names.
    fn only(&self, server_name: Option<&str>) -> Option<&Site> {
        self.allowed(self.default?, server_name)
    }

    fn allowed(&self, at: usize, server_name: Option<&str>) -> Option<&Site> {
        self.sites
            .get(at)
            .filter(|site| !(site.needs_server_name && server_name.is_none()))
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.exact
            .get(name)
            .or_else(|| {
                let (label, parent) = name.split_once('.')?;
                // The label of a wildcard is not empty (RFC 6125, section 6.4.3).
                (!label.is_empty())
                    .then(|| self.beneath.get(parent))
                    .flatten()
            })
            .copied()
            .or(self.default)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn site(names: &[&str]) -> Site {
        Site::new().with_names(names).unwrap()
    }

    fn chosen(table: &SiteTable, authority: Option<&str>, server_name: Option<&str>) -> String {
        let site = if table.has_no_names() {
            table.only(server_name)
        } else {
            table.choose(authority, server_name)
        };
        site.map_or_else(|| "421".to_owned(), |site| site.names().next().unwrap())
    }

    #[test]
    fn the_site_is_the_one_that_both_names_lead_to() {
        let table = SiteTable::new()
            .with_default(site(&["default.example", "also.example", "127.0.0.1"]))
            .and_then(|table| table.with(site(&["a.example", "*.a.example"])))
            .and_then(|table| table.with(site(&["www.a.example"])))
            .and_then(|table| table.with(site(&["strict.example"]).with_server_name_needed(true)))
            .unwrap();
        for (authority, server_name, expected) in [
            (Some("a.example"), Some("a.example"), "a.example"),
            (Some("A.EXAMPLE.:8443"), Some("a.example"), "a.example"),
            (Some("x.a.example"), Some("a.example"), "a.example"),
            (
                Some("www.a.example"),
                Some("www.a.example"),
                "www.a.example",
            ),
            (Some("www.a.example"), Some("x.a.example"), "421"),
            (
                Some("x.y.a.example"),
                Some("x.y.a.example"),
                "default.example",
            ),
            (Some(".a.example"), None, "default.example"),
            (Some("a.example"), Some("default.example"), "421"),
            (Some("a.example"), Some("unknown.example"), "421"),
            (Some("unknown.example"), Some("a.example"), "421"),
            (
                Some("unknown.example"),
                Some("also.example"),
                "default.example",
            ),
            (
                Some("unknown.example"),
                Some("other.example"),
                "default.example",
            ),
            (Some("a.example"), None, "a.example"),
            (Some("127.0.0.1:8443"), None, "default.example"),
            (Some("[::1]:8443"), None, "default.example"),
            (Some("strict.example"), None, "421"),
            (
                Some("strict.example"),
                Some("strict.example"),
                "strict.example",
            ),
            (None, Some("a.example"), "a.example"),
            (None, None, "default.example"),
        ] {
            assert_eq!(
                chosen(&table, authority, server_name),
                expected,
                "{authority:?} {server_name:?}"
            );
        }
    }

    #[test]
    fn a_request_is_known_by_the_label_of_its_site() {
        let table = SiteTable::new()
            .with_default(site(&["default.example"]))
            .and_then(|table| table.with(site(&["a.example"]).with_label(7)))
            .unwrap();
        let sites = Sites::new(table);
        let name = Some("a.example");
        assert_eq!(sites.label(name, name), Some(7));
        assert_eq!(sites.label(Some("b.example"), None), None);
        assert_eq!(sites.label(name, Some("default.example")), None);
        sites.replace(SiteTable::new());
        assert_eq!(sites.label(name, name), None);
    }

    #[test]
    fn without_a_default_other_names_are_misdirected() {
        let table = SiteTable::new().with(site(&["a.example"])).unwrap();
        for (authority, server_name, expected) in [
            (Some("a.example"), Some("a.example"), "a.example"),
            (Some("b.example"), Some("b.example"), "421"),
            (Some("b.example"), Some("a.example"), "421"),
            (Some("a.example"), Some("b.example"), "421"),
            (None, None, "421"),
        ] {
            assert_eq!(
                chosen(&table, authority, server_name),
                expected,
                "{authority:?} {server_name:?}"
            );
        }
        assert_eq!(chosen(&SiteTable::new(), Some("a.example"), None), "421");
    }

    #[test]
    fn ambiguous_tables_are_refused() {
        let table = SiteTable::new().with(site(&["a.example"])).unwrap();
        assert_eq!(
            table.clone().with(site(&["A.example."])).unwrap_err(),
            TableError::NameTaken("a.example".to_owned())
        );
        let table = table.with_default(site(&["b.example"])).unwrap();
        assert_eq!(
            table.with_default(site(&["c.example"])).unwrap_err(),
            TableError::SecondDefault
        );
    }
}
