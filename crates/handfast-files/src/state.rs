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
    let identity = Validators::new(&facts, None, SystemTime::now());
    // A client may know it compressed: other tags, weak ones, and the same state.
    let coded = Coding::ALL.map(|coding| identity.compressed(coding));
    let known: Vec<Validators> = [identity].into_iter().chain(coded).collect();
    reply::holds(request, &known)
}

#[cfg(test)]
mod tests {
    use http::header::{ETAG, IF_MATCH, IF_NONE_MATCH};

    use super::*;

    #[test]
    fn a_file_is_known_by_the_tags_that_were_given_for_it() {
        let file = tempfile::tempfile().unwrap();
        let tag = entity_tag(&file).unwrap();
        let tag = tag.to_str().unwrap().trim_end_matches('"').to_owned();
        // A file system that knows whole seconds only.
        let is_strong = !tag.starts_with("W/");
        let compressed = tag.trim_start_matches("W/");
        for (field, tag, expected) in [
            (IF_MATCH, format!("{tag}\""), is_strong),
            (IF_MATCH, "*".to_owned(), true),
            (IF_MATCH, format!("W/{compressed}-gzip\""), false),
            // Never given: a strong comparison is one of bytes, which differ with each release that compresses.
            (IF_MATCH, format!("{compressed}-gzip\""), false),
            (IF_NONE_MATCH, format!("{tag}\""), false),
            (IF_NONE_MATCH, format!("W/{compressed}-zstd\""), false),
            (IF_NONE_MATCH, format!("W/{compressed}-other\""), true),
            (ETAG, "none of these".to_owned(), true),
        ] {
            let mut request = HeaderMap::new();
            request.insert(&field, tag.parse().unwrap());
            let holds = condition_holds(&request, Some(&file));
            assert_eq!(holds, expected, "{field}: {tag}");
        }
    }
}
