//! Guards: what is demanded of a client before anything is answered for a path.
//!
//! Guards are not rules in an order: each that covers the path is satisfied, or the request is refused. They see every path
//! that a request takes, the one that was asked for and those that it is rewritten to.

use handfast::{SubjectAltName, VerifiedPeer};
use handfast_https::server::{ConnectionInfo, Response, User};
use http::{HeaderMap, StatusCode};

use crate::page::{refusal_page, status_page};
use crate::passwords::Passwords;
use crate::path::{IGNORES_CASE, Path};
use crate::pattern::Pattern;
use crate::rule::{self, Rule, RuleError};

/// Demands something of clients for the paths that a pattern matches and everything beneath them.
///
/// Patterns are those of a [`Rule`], with or without a slash at the end. A guard holds for the names of files: it
/// knows nothing of symbolic links that lead to the same file by another name. On Windows and macOS it holds for names in upper and
/// lower case alike. Elsewhere case counts: what is guarded must not lie on a file system, or in a directory of one, that ignores it
/// (vfat, ntfs, ext4 with casefold).
#[derive(Debug, Clone)]
pub struct Guard {
    pattern: Pattern,
    /// The pattern is [folded](Pattern::folded), and so is what it is compared with.
    ignores_case: bool,
    demand: Demand,
}

#[derive(Debug, Clone)]
enum Demand {
    Clients(Clients),
    Passwords(Passwords),
}

impl Guard {
    /// Only for these clients. Others, and those without a client certificate, are answered with 403 (Forbidden).
    ///
    /// The certificate is the one that the server has verified in the handshake: its context must ask for one.
    ///
    /// # Errors
    /// [`RuleError`] for the pattern.
    pub fn clients(pattern: &str, clients: Clients) -> Result<Self, RuleError> {
        Self::new(pattern, Demand::Clients(clients))
    }

    /// Only with one of these passwords (Basic authentication, RFC 7617).
    ///
    /// # Errors
    /// [`RuleError`] for the pattern.
    pub fn passwords(pattern: &str, passwords: &Passwords) -> Result<Self, RuleError> {
        Self::new(pattern, Demand::Passwords(passwords.clone()))
    }

    fn new(pattern: &str, demand: Demand) -> Result<Self, RuleError> {
        Ok(Self {
            pattern: rule::pattern(pattern)?,
            ignores_case: false,
            demand,
        }
        .with_case_ignored(IGNORES_CASE))
    }

    fn with_case_ignored(mut self, on: bool) -> Self {
        if on {
            self.pattern = self.pattern.folded();
        }
        self.ignores_case = on;
        self
    }

    /// `indexes` are the names of what a directory may be served as. What holds a file in a content coding is covered with the file.
    pub(crate) fn covers(&self, path: &Path, indexes: &[&[u8]]) -> bool {
        let is_index_covered = |index: &&[u8]| self.covers_name(&path.index(index));
        self.covers_name(path)
            || (path.directory && indexes.iter().any(is_index_covered))
            || path
                .uncoded()
                .is_some_and(|uncoded| self.covers(&uncoded, indexes))
    }

    fn covers_name(&self, path: &Path) -> bool {
        match self.ignores_case {
            true => self.pattern.covers(&path.folded()),
            false => self.pattern.covers(path),
        }
    }

    /// Whether it covers a file that may be sent in place of this one, and not this one: what is demanded for it was not looked at.
    pub(crate) fn covers_coded_alone(&self, path: &Path, indexes: &[&[u8]]) -> bool {
        let of = |file: &Path| {
            !self.covers_name(file) && file.coded().any(|coded| self.covers_name(&coded))
        };
        match path.directory {
            true => indexes.iter().any(|index| of(&path.index(index))),
            false => of(path),
        }
    }

    /// # Errors
    /// The refusal.
    async fn check(
        &self,
        request: &HeaderMap,
        connection: &ConnectionInfo,
        user: &mut Option<User>,
    ) -> Result<(), Response> {
        match &self.demand {
            Demand::Clients(clients) => match clients.refuse(request, connection.client()) {
                Some(refusal) => Err(refusal),
                None => Ok(()),
            },
            Demand::Passwords(passwords) => {
                let address = connection.peer.socket().map(|address| address.ip());
                *user = Some(passwords.check(request, address).await?);
                Ok(())
            }
        }
    }
}

/// What a request has to satisfy at each path that it takes: the one that was asked for, those that it is rewritten to, and those that
/// the files of a form are stored at.
pub(crate) struct Gate<'g> {
    pub(crate) guards: &'g [Guard],
    /// Redirects, rewrites, errors.
    pub(crate) routes: &'g [Rule],
    /// The names of what a directory may be served as.
    pub(crate) indexes: Vec<&'g [u8]>,
    pub(crate) connection: &'g ConnectionInfo,
    /// The client that was recognized.
    pub(crate) user: &'g mut Option<User>,
}

impl Gate<'_> {
    /// Is everything satisfied that is demanded for a path?
    ///
    /// # Errors
    /// The refusal.
    pub(crate) async fn admit(&mut self, path: &Path, request: &HeaderMap) -> Result<(), Response> {
        for guard in self.guards {
            if guard.covers(path, &self.indexes) {
                guard.check(request, self.connection, self.user).await?;
            }
        }
        Ok(())
    }

    /// May a file be stored at a path? What a rule answers with an error is not there to be written, either.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) async fn admit_file(
        &mut self,
        path: &Path,
        request: &HeaderMap,
    ) -> Result<(), Response> {
        self.admit(path, request).await?;
        match self.routes.iter().find_map(|rule| rule.refuses(path)) {
            Some(status) => Err(refusal_page(request, status)),
            None => Ok(()),
        }
    }
}

/// Which clients are allowed: by their verified certificate.
///
/// Without names every verified client is. With [names](Self::with_name), one of them must be in the certificate; with
/// [issuers](Self::with_issuer), one of them must have issued it.
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct Clients {
    names: Vec<ClientName>,
    issuers: Vec<String>,
}

/// A name in a client's certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientName {
    /// A DNS name among the subject alternative names, without regard to case.
    Dns(String),
    /// A mailbox among the subject alternative names; case counts before the `@` only (RFC 5280, section 7.5).
    Email(String),
    /// A URI among the subject alternative names, character by character, such as `spiffe://example.org/backup`.
    Uri(String),
    /// The subject's common name, character by character.
    CommonName(String),
}

impl Clients {
    /// Every client that was verified.
    pub fn any() -> Self {
        Self::default()
    }

    /// Adds a name that is allowed.
    pub fn with_name(mut self, name: ClientName) -> Self {
        self.names.push(name);
        self
    }

    /// Adds an issuer that is allowed: its distinguished name in the form of RFC 4514, as
    /// [`CertificateFacts::issuer`](handfast::CertificateFacts::issuer) has it.
    pub fn with_issuer(mut self, name: impl Into<String>) -> Self {
        self.issuers.push(name.into());
        self
    }

    /// The refusal, if this client is not allowed.
    fn refuse(&self, request: &HeaderMap, client: Option<&VerifiedPeer>) -> Option<Response> {
        let refusal = match client {
            None => {
                "This page needs a client certificate, and this connection has none. \
                 The client must choose one when it connects."
            }
            Some(client) if !self.allow(client) => {
                "The client certificate of this connection is not allowed here."
            }
            Some(_) => return None,
        };
        Some(status_page(request, StatusCode::FORBIDDEN, refusal))
    }

    fn allow(&self, client: &VerifiedPeer) -> bool {
        let has_name = self.names.is_empty()
            || self
                .names
                .iter()
                .any(|name| name.is_in(client.names(), client.common_name()));
        let has_issuer = self.issuers.is_empty() || self.issuers.contains(&client.facts().issuer);
        has_name && has_issuer
    }
}

impl ClientName {
    fn is_in(&self, names: &[SubjectAltName], common_name: Option<&str>) -> bool {
        names.iter().any(|name| match (self, name) {
            (Self::Dns(allowed), SubjectAltName::Dns(name)) => allowed.eq_ignore_ascii_case(name),
            (Self::Email(allowed), SubjectAltName::Email(name)) => is_same_mailbox(allowed, name),
            (Self::Uri(allowed), SubjectAltName::Uri(name)) => allowed == name,
            _ => false,
        }) || matches!(self, Self::CommonName(allowed) if common_name == Some(allowed))
    }
}

fn is_same_mailbox(one: &str, other: &str) -> bool {
    match (one.rsplit_once('@'), other.rsplit_once('@')) {
        (Some((local, host)), Some((other_local, other_host))) => {
            local == other_local && host.eq_ignore_ascii_case(other_host)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_clients_are_compared_as_their_kind_is() {
        let names = [
            SubjectAltName::Dns("Backup.Example".to_owned()),
            SubjectAltName::Email("Ann@Example.org".to_owned()),
            SubjectAltName::Uri("spiffe://example.org/a".to_owned()),
        ];
        let name = |text: &str| text.to_owned();
        for (allowed, expected) in [
            (ClientName::Dns(name("backup.example")), true),
            (ClientName::Dns(name("other.example")), false),
            (ClientName::Dns(name("Ann")), false),
            (ClientName::Email(name("Ann@example.ORG")), true),
            (ClientName::Email(name("ann@example.org")), false),
            (ClientName::Email(name("backup.example")), false),
            (ClientName::Uri(name("spiffe://example.org/a")), true),
            (ClientName::Uri(name("spiffe://example.org/A")), false),
            (ClientName::CommonName(name("Ann")), true),
            (ClientName::CommonName(name("ann")), false),
        ] {
            assert_eq!(allowed.is_in(&names, Some("Ann")), expected, "{allowed:?}");
        }
        assert!(!ClientName::CommonName(name("Ann")).is_in(&names, None));
    }

    #[test]
    fn a_guard_of_an_index_holds_for_its_directory() {
        let guard = Guard::clients("/a/index.html", Clients::any()).unwrap();
        for (path, expected) in [
            ("/a/index.html", true),
            ("/a/", true),
            ("//a//", true),
            ("/%61/index%2ehtml", true),
            ("/a", false),
            ("/a/other.html", false),
        ] {
            let path = Path::parse(path).unwrap();
            assert_eq!(guard.covers(&path, &[b"index.html"]), expected, "{path:?}");
        }
    }

    #[test]
    fn a_guard_of_a_file_holds_for_what_holds_it_in_a_coding() {
        let guard = Guard::clients("/a/index.html", Clients::any()).unwrap();
        for (path, expected) in [
            ("/a/index.html.gz", true),
            ("/a/index.html.BR", true),
            ("/a/index.html.zst.gz", true),
            ("/a/index.html.txt", false),
            ("/a/.gz", false),
            ("/a.gz/", false),
        ] {
            let path = Path::parse(path).unwrap();
            assert_eq!(guard.covers(&path, &[b"index.html"]), expected, "{path:?}");
            assert!(!guard.covers_coded_alone(&path, &[b"index.html"]));
        }
        for (pattern, path, expected) in [
            ("/a/index.html.gz", "/a/", true),
            ("/a/index.html.gz", "/a/index.html", true),
            ("/**/*.zst", "/a/b", true),
            ("/**/*.zip", "/a/b", false),
            ("/a", "/a/b", false),
            ("/a/index.html.gz", "/a", false),
        ] {
            let guard = Guard::clients(pattern, Clients::any()).unwrap();
            let path = Path::parse(path).unwrap();
            let covers = guard.covers_coded_alone(&path, &[b"index.html"]);
            assert_eq!(covers, expected, "{pattern} {path:?}");
        }
    }

    #[test]
    fn where_case_is_ignored_a_guard_holds_for_every_spelling() {
        let of = |pattern| Guard::clients(pattern, Clients::any()).unwrap();
        for (pattern, path, without_case) in [
            ("/Private", "/pRIVATE/x", true),
            ("/private", "/Private", true),
            ("/a/Default.htm", "/A/", true),
            ("/a/default.htm", "/a/", true),
            ("/secret/*.txt", "/\u{17f}ecret/X.TXT", true),
            ("/private", "/public", false),
        ] {
            let path = Path::parse(path).unwrap();
            let covers = |guard: Guard| guard.covers(&path, &[b"Default.htm"]);
            assert_eq!(covers(of(pattern).with_case_ignored(true)), without_case);
            if !IGNORES_CASE {
                assert!(!covers(of(pattern)), "{pattern} {path:?}");
            }
        }
    }
}
