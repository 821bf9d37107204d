//! Conditions and ranges: what of a file a request gets (RFC 9110, sections 13 and 14).

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{
    HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};

use crate::open::FileFacts;

/// What a request gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Whole,
    Part { start: u64, length: u64 },
    NotModified,
    PreconditionFailed,
    OutOfRange,
}

/// What tells one state of a file from another.
#[derive(Debug)]
pub(crate) struct Validators {
    /// Strong: size and both times, to the nanosecond. The time of the inode's change is in it because
    /// tools that copy or unpack files give them whatever time of modification they like.
    pub(crate) etag: HeaderValue,
    pub(crate) last_modified: HeaderValue,
}

impl Validators {
    pub(crate) fn new(facts: &FileFacts) -> Self {
        let etag = format!(
            "\"{:x}-{:x}-{:x}\"",
            facts.size, facts.modified_ns, facts.changed_ns
        );
        let last_modified = httpdate::fmt_http_date(facts.modified());
        let value = |text: String| {
            HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static(""))
        };
        Self {
            etag: value(etag),
            last_modified: value(last_modified),
        }
    }
}

/// In the order of RFC 9110, section 13.2.2. Ranges count for GET only (section 14.2).
pub(crate) fn judge(
    request: &HeaderMap,
    validators: &Validators,
    facts: &FileFacts,
    head: bool,
) -> Verdict {
    // Nearly all requests have no condition.
    let etag = validators.etag.as_bytes();
    if request.contains_key(IF_MATCH) {
        if !lists(request, &IF_MATCH, etag, Comparison::Strong) {
            return Verdict::PreconditionFailed;
        }
    } else if let Some(date) = date(request.get(IF_UNMODIFIED_SINCE))
        && facts.modified_second() > date
    {
        return Verdict::PreconditionFailed;
    }
    if request.contains_key(IF_NONE_MATCH) {
        if lists(request, &IF_NONE_MATCH, etag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if let Some(date) = date(request.get(IF_MODIFIED_SINCE))
        && facts.modified_second() <= date
    {
        return Verdict::NotModified;
    }
    match request.get(RANGE) {
        Some(range) if !head && same_representation(request, validators, facts) => {
            parse_range(range.as_bytes(), facts.size)
        }
        _ => Verdict::Whole,
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Is the tag, or `*`, among those of a field?
fn lists(
    request: &HeaderMap,
    name: &http::header::HeaderName,
    etag: &[u8],
    comparison: Comparison,
) -> bool {
    request.get_all(name).iter().any(|value| {
        let mut rest = value.as_bytes().trim_ascii();
        if rest == b"*" {
            return true;
        }
        // Tags may contain commas, so that they are walked through instead of split.
        while !rest.is_empty() {
            let (weak, quoted) = match rest.strip_prefix(b"W/") {
                Some(quoted) => (true, quoted),
                None => (false, rest),
            };
            let Some(end) = quoted
                .strip_prefix(b"\"")
                .and_then(|inner| memchr::memchr(b'"', inner))
            else {
                return false;
            };
            let (tag, after) = quoted.split_at(end + 2);
            if tag == etag && !(weak && comparison == Comparison::Strong) {
                return true;
            }
            rest = after.trim_ascii();
            rest = rest.strip_prefix(b",").unwrap_or(rest).trim_ascii();
        }
        false
    })
}

/// Does `If-Range`, if there is one, mean what the file is now?
fn same_representation(request: &HeaderMap, validators: &Validators, facts: &FileFacts) -> bool {
    let Some(condition) = request.get(IF_RANGE) else {
        return true;
    };
    let bytes = condition.as_bytes();
    if bytes.starts_with(b"\"") || bytes.starts_with(b"W/") {
        return bytes == validators.etag.as_bytes();
    }
    // A date is a strong validator only when the file cannot have changed again within its second
    // (RFC 9110, section 8.8.2.2).
    let settled = SystemTime::now()
        .duration_since(facts.modified())
        .is_ok_and(|age| age >= Duration::from_secs(2));
    settled && date(Some(condition)).is_some_and(|date| date == facts.modified_second())
}

fn date(value: Option<&HeaderValue>) -> Option<SystemTime> {
    httpdate::parse_http_date(value?.to_str().ok()?).ok()
}

/// One range of bytes. What is not understood, and several ranges at once, mean the whole file, as
/// RFC 9110, section 14.2 allows.
fn parse_range(value: &[u8], size: u64) -> Verdict {
    let Some((unit, set)) = std::str::from_utf8(value)
        .ok()
        .and_then(|text| text.split_once('='))
    else {
        return Verdict::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || set.contains(',') {
        return Verdict::Whole;
    }
    let Some((first, last)) = set.trim().split_once('-') else {
        return Verdict::Whole;
    };
    let (first, last) = (first.trim(), last.trim());
    let numbers = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !numbers(first) || !numbers(last) {
        return Verdict::Whole;
    }
    // Only digits: what does not fit is larger than any file.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let (start, end) = match (first.is_empty(), last.is_empty()) {
        (true, true) => return Verdict::Whole,
        (true, false) => {
            let suffix = number(last).min(size);
            (size - suffix, size)
        }
        (false, true) => (number(first), size),
        (false, false) => {
            if number(first) > number(last) {
                return Verdict::Whole;
            }
            (number(first), number(last).saturating_add(1).min(size))
        }
    };
    if start >= end {
        return Verdict::OutOfRange;
    }
    Verdict::Part {
        start,
        length: end - start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_table() {
        use Verdict::{OutOfRange, Whole};
        let part = |start, length| Verdict::Part { start, length };
        let cases = [
            ("bytes=0-0", 10, part(0, 1)),
            ("bytes=0-", 10, part(0, 10)),
            ("bytes=3-5", 10, part(3, 3)),
            ("Bytes=3-5", 10, part(3, 3)),
            ("bytes= 3-5 ", 10, part(3, 3)),
            ("bytes=9-100", 10, part(9, 1)),
            ("bytes=-3", 10, part(7, 3)),
            ("bytes=-100", 10, part(0, 10)),
            ("bytes=5-99999999999999999999999", 10, part(5, 5)),
            ("bytes=10-", 10, OutOfRange),
            ("bytes=10-12", 10, OutOfRange),
            ("bytes=-0", 10, OutOfRange),
            ("bytes=99999999999999999999999-", 10, OutOfRange),
            ("bytes=0-", 0, OutOfRange),
            ("bytes=-1", 0, OutOfRange),
            ("bytes=5-3", 10, Whole),
            ("bytes=0-1,3-4", 10, Whole),
            ("bytes=-", 10, Whole),
            ("bytes=a-b", 10, Whole),
            ("bytes=+1-2", 10, Whole),
            ("bytes", 10, Whole),
            ("lines=0-1", 10, Whole),
            ("", 10, Whole),
        ];
        for (range, size, expected) in cases {
            assert_eq!(parse_range(range.as_bytes(), size), expected, "{range}");
        }
    }

    #[test]
    fn conditions_table() {
        let facts = FileFacts {
            identity: (1, 2),
            size: 10,
            modified_ns: 1_700_000_000_500_000_000,
            changed_ns: 1_700_000_001_000_000_000,
        };
        let validators = Validators::new(&facts);
        let etag = validators.etag.to_str().unwrap().to_owned();
        let weak = format!("W/{etag}");
        let both = format!("\"a,b\", {etag}");
        let at = "Tue, 14 Nov 2023 22:13:20 GMT";
        let before = "Tue, 14 Nov 2023 22:13:19 GMT";
        assert_eq!(validators.last_modified, at);
        use Verdict::{NotModified, PreconditionFailed, Whole};
        let part = Verdict::Part {
            start: 1,
            length: 2,
        };
        let range = ("range", "bytes=1-2");
        let cases: &[(&[(&str, &str)], Verdict)] = &[
            (&[], Whole),
            (&[("if-none-match", &etag)], NotModified),
            (&[("if-none-match", &weak)], NotModified),
            (&[("if-none-match", &both)], NotModified),
            (&[("if-none-match", "*")], NotModified),
            (&[("if-none-match", "\"x\"")], Whole),
            (&[("if-none-match", "nonsense")], Whole),
            (&[("if-modified-since", at)], NotModified),
            (&[("if-modified-since", before)], Whole),
            (&[("if-modified-since", "yesterday")], Whole),
            (
                &[("if-none-match", "\"x\""), ("if-modified-since", at)],
                Whole,
            ),
            (&[("if-match", &etag)], Whole),
            (&[("if-match", &weak)], PreconditionFailed),
            (&[("if-match", "\"x\"")], PreconditionFailed),
            (&[("if-match", "*")], Whole),
            (&[("if-unmodified-since", at)], Whole),
            (&[("if-unmodified-since", before)], PreconditionFailed),
            (&[range], part),
            (&[range, ("if-range", &etag)], part),
            (&[range, ("if-range", &weak)], Whole),
            (&[range, ("if-range", "\"x\"")], Whole),
            (&[range, ("if-range", at)], part),
            (&[range, ("if-range", before)], Whole),
            (&[range, ("if-none-match", &etag)], NotModified),
        ];
        for (fields, expected) in cases {
            let mut request = HeaderMap::new();
            for (name, value) in *fields {
                request.append(
                    http::header::HeaderName::try_from(*name).unwrap(),
                    HeaderValue::from_str(value).unwrap(),
                );
            }
            let verdict = judge(&request, &validators, &facts, false);
            assert_eq!(verdict, *expected, "{fields:?}");
        }
        let mut request = HeaderMap::new();
        request.insert(RANGE, HeaderValue::from_static("bytes=1-2"));
        assert_eq!(judge(&request, &validators, &facts, true), Whole);
    }
}
