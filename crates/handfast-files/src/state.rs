//! The state of a file, for those that change files: its entity tag, and conditions on it.

use std::fs::File;
use std::io;
use std::time::SystemTime;

use http::{HeaderMap, HeaderValue};

use crate::coding::Coding;
use crate::open::look_at;
use crate::reply::{self, Validators};

/// The entity tag that [`Files`](crate::Files) gives a file in its present state.
///
/// Waits some milliseconds if the file was changed just now: before that another change might have the same times, and the
/// tag would be weak.
///
/// # Errors
/// If it is not a regular file.
pub fn entity_tag(file: &File) -> io::Result<HeaderValue> {
    let mut facts = look_at(file)?;
    if let Some(wait) = facts.settles_soon(SystemTime::now()) {
        std::thread::sleep(wait);
        facts = look_at(file)?;
    }
    Ok(Validators::new(&facts, None, SystemTime::now()).etag)
}

/// Whether the conditions of a request hold that would change this file, or make it if there is none: `If-Match`,
/// `If-None-Match`, `If-Unmodified-Since` (RFC 9110, section 13.1).
pub fn condition_holds(request: &HeaderMap, file: Option<&File>) -> bool {
    let Some(file) = file else {
        return reply::holds(request, &[]);
    };
    // What cannot be looked at is in no known state.
    let Ok(facts) = look_at(file) else {
        return false;
    };
    // A client may know it compressed: another tag, and the same state.
    let now = SystemTime::now();
    let known = [None]
        .into_iter()
        .chain(Coding::ALL.map(Some))
        .map(|coding| Validators::new(&facts, coding, now));
    reply::holds(request, &known.collect::<Vec<_>>())
}
