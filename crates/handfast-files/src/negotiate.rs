//! Which representation of a file a request gets: as it is, compressed beforehand, or compressed while it is sent.
//!
//! Of the codings that the client likes best, what lies beside the file comes first (`app.js.br` beside `app.js`): it costs
//! nothing and is the smallest. Then the file is compressed. Both only for types that become smaller (`media_type.rs`),
//! so that the type alone decides whether a reply has `Vary`.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use handfast_https::server::{Body, Request, Response};
use http::Version;
use http::header::{ACCEPT_ENCODING, CONTENT_LENGTH, RANGE};

use crate::coding::{Accepted, Coding};
use crate::compress::{self, Compressed};
use crate::hot;
use crate::open::{FileFacts, Kind, Root};
use crate::opening::{open, settle};
use crate::options::Options;
use crate::ready::{Labels, Ready};
use crate::reply::{self, Verdict};
use crate::respond::{self, coded_fields, not_acceptable, not_modified, precondition_failed};
use crate::results::{Key, Results};

/// Less than this fits in the first packets of a reply, compressed or not.
const COMPRESSED_MIN: u64 = 1024;

/// A file up to this size is compressed before its reply begins, within about 3 ms: its length is known then, and
/// whether it became smaller.
const WHOLE_MAX: u64 = 128 * 1024;

/// Whether a request gets a file as it is, whatever there is beside.
pub(crate) fn has_one_form(ready: &Ready, request: &Request) -> bool {
    match request.headers().get(ACCEPT_ENCODING) {
        None => true,
        Some(_) if ready.labels.varies => false,
        // The file as it is can only be refused with a weight of 0.
        Some(value) => memchr::memmem::find(value.as_bytes(), b"=0").is_none(),
    }
}

/// A request for a file, and what can be done about it.
pub(crate) struct Negotiation<'n> {
    pub(crate) root: &'n Arc<Root>,
    pub(crate) options: &'n Arc<Options>,
    pub(crate) results: &'n Arc<Results>,
    pub(crate) request: &'n Request,
    pub(crate) head: bool,
}

impl Negotiation<'_> {
    pub(crate) async fn reply(&self, ready: Rc<Ready>) -> Response {
        let fields = self.request.headers();
        let accepted = Accepted::of(fields);
        let has_ranges = !self.head && fields.contains_key(RANGE);
        for group in accepted.groups() {
            if ready.labels.varies && self.options.precompressed {
                for coding in group.clone() {
                    if let Some(beside) = self.beside(&ready, coding).await {
                        return respond::file(beside, fields, self.head);
                    }
                }
            }
            // There are no ranges of what is not there yet: then rather a part of the file as it is.
            let wanted = match accepted.accepts_identity() {
                true => ready.labels.varies && ready.facts.size >= COMPRESSED_MIN && !has_ranges,
                false => true,
            };
            if wanted
                && self.options.compression
                && let Some(coding) = compress::fastest(group)
                && let Some(response) = self.compressed(&ready, coding, &accepted).await
            {
                return response;
            }
        }
        match accepted.accepts_identity() {
            true => respond::file(ready, fields, self.head),
            false => not_acceptable(),
        }
    }

    /// The file that holds this one in a coding, found by the same rules, if there is one that is not older.
    async fn beside(&self, ready: &Rc<Ready>, coding: Coding) -> Option<Rc<Ready>> {
        let now = Instant::now();
        if ready.is_absent(coding, now) {
            return None;
        }
        // No path in a request begins like that.
        let key = format!("{coding}:{}", self.request.uri().path());
        if let Some(kept) = hot::find(self.root, self.options, &key, now)
            && is_not_older(&kept.facts, &ready.facts)
            && !kept.is_outdated()
        {
            return Some(kept);
        }
        let target = ready.target.beside(coding.suffix());
        if let Ok(found) = open(self.root, &target).await
            && let Kind::File(facts) = found.kind
            && is_not_older(&facts, &ready.facts)
            && let Ok(facts) = settle(&found.file, facts).await
        {
            let labels = Labels {
                coding: Some(coding),
                ..ready.labels.clone()
            };
            let beside = Ready::new(Arc::new(found.file), facts, target, labels);
            hot::keep(self.root, self.options, &key, &beside);
            return Some(beside);
        }
        ready.set_absent(coding, now);
        None
    }

    /// The file, compressed now or before. `None` if it does not become smaller, or too much is being compressed.
    async fn compressed(
        &self,
        ready: &Rc<Ready>,
        coding: Coding,
        accepted: &Accepted,
    ) -> Option<Response> {
        let validators = ready.validators.compressed(coding);
        let key = Key::new(&ready.facts, coding);
        let mut known = self.results.find(&key);
        if known == Some(None) && accepted.accepts_identity() {
            return None;
        }
        let fields = coded_fields(ready, coding, &validators);
        // Judged before anything is compressed. There are no ranges.
        match reply::judge(self.request.headers(), &validators, ready.facts.size, true) {
            Verdict::NotModified => return Some(not_modified(&fields)),
            Verdict::PreconditionFailed => return Some(precondition_failed()),
            _ => {}
        }
        if known.is_none() && ready.facts.size <= WHOLE_MAX {
            let whole = Compressed::new(ready, coding, self.results)?;
            let content = whole.collect().await.ok()?;
            known = Some(Some(content).filter(|content| compress::gains(content.len(), ready)));
            if known == Some(None) && accepted.accepts_identity() {
                return None;
            }
        }
        let mut response = match known {
            Some(Some(content)) => {
                let length = content.len();
                let body = if self.head {
                    Body::empty()
                } else {
                    content.into()
                };
                let mut response = Response::new(body);
                *response.headers_mut() = fields;
                if self.head {
                    response.headers_mut().insert(CONTENT_LENGTH, length.into());
                }
                return Some(response);
            }
            // Its end could not be told from a loss of the connection.
            _ if self.request.version() < Version::HTTP_11 => return None,
            _ if self.head => Response::new(Body::empty()),
            _ => Response::new(Body::pulled(Compressed::new(ready, coding, self.results)?)),
        };
        *response.headers_mut() = fields;
        Some(response)
    }
}

/// Whether a file was made from another one as that is now, to judge by their times. Programs that compress give the result
/// the time of the file; some of them (zstd, brotli) to the second.
fn is_not_older(beside: &FileFacts, file: &FileFacts) -> bool {
    const SECOND: u128 = 1_000_000_000;
    let cut = beside.modified_ns.is_multiple_of(SECOND);
    beside.modified_ns >= file.modified_ns
        || cut && beside.modified_ns / SECOND == file.modified_ns / SECOND
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_beside_is_older_only_beyond_the_precision_of_its_time() {
        let facts = |modified_ns| FileFacts {
            identity: (1, 2),
            size: 3,
            modified_ns,
            changed_ns: 0,
        };
        let cases = [
            (5_500_000_000, 5_500_000_000, true),
            (5_500_000_001, 5_500_000_000, true),
            (9_000_000_000, 5_500_000_000, true),
            (5_000_000_000, 5_500_000_000, true),
            (5_499_999_999, 5_500_000_000, false),
            (4_000_000_000, 5_500_000_000, false),
            (0, 5_000_000_000, false),
        ];
        for (beside, file, expected) in cases {
            assert_eq!(
                is_not_older(&facts(beside), &facts(file)),
                expected,
                "{beside} {file}"
            );
        }
    }
}
