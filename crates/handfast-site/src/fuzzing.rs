//! Entry points for fuzz targets: forms, and redirects by patterns.

use crate::path::Path;
use crate::pattern::{Pattern, Target};
use crate::upload::fuzzing::parse;

/// A part of a form: its file's name, and its content.
pub type Part = (Option<String>, Vec<u8>);

/// The parts of a form of the boundary `b` that comes in pieces of so many bytes; `None` if it is none.
pub fn form(body: &[u8], piece: usize) -> Option<Vec<Part>> {
    parse(body, piece.max(1)).ok()
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
