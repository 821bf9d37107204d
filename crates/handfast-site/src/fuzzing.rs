//! Entry points for fuzz targets: what strangers send to a site.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderValue};

use crate::guard::{Clients, Guard};
use crate::passwords;
use crate::path::Path;
use crate::pattern::{Pattern, Target};
use crate::site::Site;
use crate::sites::SiteTable;
use crate::upload::fuzzing as upload;

/// A part of a form: its file's name, and its content.
pub type Part = (Option<String>, Vec<u8>);

/// The parts of a form of this type that comes in pieces of so many bytes; `None` if it is none.
pub fn form(content_type: &str, body: &[u8], piece: usize) -> Option<Vec<Part>> {
    upload::parse(content_type, body, piece.max(1)).ok()
}

/// The name that a file of a form is stored under; `None` if it is refused.
pub fn stored_name(file_name: &str) -> Option<String> {
    upload::stored_name(file_name)
}

/// Is this the origin of a request for this authority?
pub fn same_origin(authority: &str, origin: &str) -> bool {
    upload::same_origin(authority, origin)
}

/// Where a redirect leads to for a path; `None` if pattern, target or path is none, or the pattern does not match.
pub fn redirect(pattern: &str, target: &str, path: &str) -> Option<String> {
    let pattern = Pattern::parse(pattern).ok()?;
    let target = Target::parse(target, &pattern, true).ok()?;
    let path = Path::parse(path).ok()?;
    let captures = pattern.captures(&path)?;
    assert!(pattern.matches(&path) && pattern.covers(&path));
    Some(target.expand(&captures, None))
}

/// The names in a path.
pub fn names(path: &str) -> Option<Vec<Vec<u8>>> {
    Some(Path::parse(path).ok()?.segments)
}

/// Is a path guarded by a guard of this pattern? `None` if either is none.
pub fn is_guarded(pattern: &str, path: &str) -> Option<bool> {
    let guard = Guard::clients(pattern, Clients::any()).ok()?;
    Some(guard.covers(&Path::parse(path).ok()?, &[b"index.html"]))
}

/// User and password in a value of `Authorization`.
pub fn credentials(value: &[u8]) -> Option<(String, Vec<u8>)> {
    let mut request = HeaderMap::new();
    request.insert(AUTHORIZATION, HeaderValue::from_bytes(value).ok()?);
    passwords::credentials(&request)
}

/// The names of the site that answers, of three: the default, `a.example`, and `*.b.example`.
pub fn site(authority: Option<&str>, server_name: Option<&str>) -> Option<Vec<String>> {
    let site = |names: &[&str]| Site::new().with_names(names).ok();
    let table = SiteTable::new().with_default(site(&[])?).ok()?;
    let table = table.with(site(&["a.example"])?).ok()?;
    let table = table.with(site(&["*.b.example"])?).ok()?;
    let chosen = table.choose(authority, server_name)?;
    Some(chosen.names().collect())
}
