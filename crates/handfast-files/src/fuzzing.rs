//! Entry points for fuzz targets: paths, conditions, ranges and content codings.

use std::time::SystemTime;

use http::HeaderMap;

use crate::coding::{Accepted, Coding};
use crate::open::FileFacts;
use crate::path::Target;
use crate::reply::{Validators, Verdict, judge as judge_request};

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Part {
    Whole,
    /// Start and length of each.
    Ranges(Vec<(u64, u64)>),
    NotModified,
    Failed,
    OutOfRange,
}

/// The segments of a path, and the path made of them.
pub fn path(path: &str) -> Option<(Vec<Vec<u8>>, String)> {
    let target = Target::parse(path).ok()?;
    Some((target.names().to_vec(), target.url_path()))
}

/// The content codings that a request accepts, in the order of their weights.
pub fn codings(request: &HeaderMap) -> Vec<&'static str> {
    let accepted = Accepted::of(request);
    accepted.groups().flatten().map(Coding::name).collect()
}

fn facts(size: u64, modified: u32) -> FileFacts {
    let ns = u128::from(modified) * 1_000_000_000;
    FileFacts {
        identity: (1, 2),
        size,
        modified_ns: ns,
        changed_ns: ns,
    }
}

/// The entity tag of a file of this size that was last modified in this second.
pub fn tag(size: u64, modified: u32) -> String {
    let validators = Validators::new(&facts(size, modified), None, SystemTime::now());
    String::from_utf8_lossy(validators.etag.as_bytes()).into_owned()
}

/// The result of a request with these fields.
pub fn judge(request: &HeaderMap, size: u64, modified: u32, head: bool) -> Part {
    let facts = facts(size, modified);
    let validators = Validators::new(&facts, None, SystemTime::now());
    match judge_request(request, &validators, size, head) {
        Verdict::Whole => Part::Whole,
        Verdict::Part(span) => Part::Ranges(vec![(span.start, span.length)]),
        Verdict::Parts(spans) => {
            Part::Ranges(spans.iter().map(|span| (span.start, span.length)).collect())
        }
        Verdict::NotModified => Part::NotModified,
        Verdict::PreconditionFailed => Part::Failed,
        Verdict::OutOfRange => Part::OutOfRange,
    }
}
