//! Conditions: what of a file a request gets (RFC 9110, section 13; ranges: `ranges.rs`).

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderMap;
use http::header::{
    HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE,
    IF_UNMODIFIED_SINCE, RANGE,
};

use crate::coding::Coding;
use crate::open::FileFacts;
use crate::ranges::{self, Ranges, Span};

/// After this time a file with another content has another date, whose resolution is a second (section 8.8.2.2).
const DATE_SETTLED: Duration = Duration::from_secs(2);

/// What a request gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Whole,
    Part(Span),
    /// Two or more.
    Parts(Vec<Span>),
    NotModified,
    PreconditionFailed,
    OutOfRange,
}

/// What tells one state of a file from another.
#[derive(Debug)]
pub(crate) struct Validators {
    /// Size and both times, to the nanosecond. The time of the inode's change is in it because tools that copy or unpack
    /// files give them whatever time of modification they like. With the name of the coding, because representations of
    /// the same file differ (section 8.8.3.3).
    ///
    /// Strong if another change would have other times. Otherwise weak (section 8.8.1): after a change of less than 3
    /// seconds ago where the file system's clock knows whole seconds only, and of a file that is being written all the time.
    pub(crate) etag: HeaderValue,
    pub(crate) last_modified: HeaderValue,
    /// What `last_modified` says.
    modified: SystemTime,
}

impl Validators {
    pub(crate) fn new(facts: &FileFacts, coding: Option<Coding>, now: SystemTime) -> Self {
        let mut etag = Vec::with_capacity(ETAG_MAX);
        etag.extend_from_slice(if facts.is_settled(now) {
            b"\""
        } else {
            b"W/\""
        });
        put_hex(&mut etag, facts.size.into());
        for time_ns in [facts.modified_ns, facts.changed_ns] {
            etag.push(b'-');
            put_hex(&mut etag, time_ns);
        }
        if let Some(coding) = coding {
            etag.push(b'-');
            etag.extend_from_slice(coding.name().as_bytes());
        }
        etag.push(b'"');
        // A date in the future would never be earlier than a client's: the time of the reply is sent (section 8.8.2.1).
        let modified = whole_second(facts.modified().min(now));
        let value = |text: &[u8]| {
            HeaderValue::from_bytes(text).unwrap_or_else(|_| HeaderValue::from_static(""))
        };
        Self {
            etag: value(&etag),
            last_modified: value(httpdate::fmt_http_date(modified).as_bytes()),
            modified,
        }
    }

    /// Of the file compressed while it is sent: weak, because another release or level makes other bytes of it.
    pub(crate) fn compressed(&self, coding: Coding) -> Self {
        let opaque = Tag::new(self.etag.as_bytes()).opaque;
        let opaque = opaque.strip_suffix(b"\"").unwrap_or(opaque);
        let etag = [b"W/", opaque, b"-", coding.name().as_bytes(), b"\""].concat();
        Self {
            etag: HeaderValue::try_from(etag).unwrap_or_else(|_| HeaderValue::from_static("")),
            last_modified: self.last_modified.clone(),
            modified: self.modified,
        }
    }

    pub(crate) fn is_weak(&self) -> bool {
        Tag::new(self.etag.as_bytes()).weak
    }
}

/// Room for an entity tag: three numbers of at most 16 digits as a rule, and what is around them.
const ETAG_MAX: usize = 64;

/// A number in hexadecimal digits. A tag is made for each file that is opened, and the general formatter takes several times as long.
fn put_hex(out: &mut Vec<u8>, number: u128) {
    let mut digits = [b'0'; 32];
    let (mut rest, mut used) = (number, 0);
    for digit in digits.iter_mut().rev() {
        let value = (rest & 15) as u8;
        *digit = value + if value < 10 { b'0' } else { b'a' - 10 };
        (rest, used) = (rest >> 4, used + 1);
        if rest == 0 {
            break;
        }
    }
    let unused = digits.len() - used;
    out.extend_from_slice(digits.get(unused..).unwrap_or_default());
}

fn whole_second(time: SystemTime) -> SystemTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// In the order of RFC 9110, section 13.2.2. Ranges count for GET only (section 14.2).
pub(crate) fn judge(
    request: &HeaderMap,
    validators: &Validators,
    size: u64,
    head: bool,
) -> Verdict {
    // Nearly all requests have no condition.
    let etag = Tag::new(validators.etag.as_bytes());
    if request.contains_key(IF_MATCH) {
        if !lists(request, &IF_MATCH, etag, Comparison::Strong) {
            return Verdict::PreconditionFailed;
        }
    } else if let Some(date) = date(request, &IF_UNMODIFIED_SINCE)
        && validators.modified > date
    {
        return Verdict::PreconditionFailed;
    }
    if request.contains_key(IF_NONE_MATCH) {
        if lists(request, &IF_NONE_MATCH, etag, Comparison::Weak) {
            return Verdict::NotModified;
        }
    } else if let Some(date) = date(request, &IF_MODIFIED_SINCE)
        && validators.modified <= date
    {
        return Verdict::NotModified;
    }
    match only(request, &RANGE) {
        Some(range) if !head && same_representation(request, validators) => {
            match ranges::parse(range.as_bytes(), size) {
                Ranges::Ignored => Verdict::Whole,
                Ranges::One(span) => Verdict::Part(span),
                Ranges::Several(spans) => Verdict::Parts(spans),
                Ranges::Unsatisfiable => Verdict::OutOfRange,
            }
        }
        _ => Verdict::Whole,
    }
}

/// An entity tag (section 8.8.3).
#[derive(Debug, Clone, Copy)]
struct Tag<'t> {
    weak: bool,
    opaque: &'t [u8],
}

impl<'t> Tag<'t> {
    fn new(bytes: &'t [u8]) -> Self {
        let strong = bytes.strip_prefix(b"W/");
        Self {
            weak: strong.is_some(),
            opaque: strong.unwrap_or(bytes),
        }
    }

    /// Section 8.8.3.2.
    fn equals(self, other: Tag<'_>, comparison: Comparison) -> bool {
        let strong = !self.weak && !other.weak;
        self.opaque == other.opaque && (strong || comparison == Comparison::Weak)
    }
}

/// Do the conditions hold under which a request changes a file (sections 13.1.1, 13.1.2 and 13.1.4)? `current` are the validators of
/// its representations; none if there is no file.
pub(crate) fn holds(request: &HeaderMap, current: &[Validators]) -> bool {
    let matches = |name, comparison| {
        let is_listed =
            |one: &Validators| lists(request, name, Tag::new(one.etag.as_bytes()), comparison);
        current.iter().any(is_listed)
    };
    if request.contains_key(IF_MATCH) {
        if !matches(&IF_MATCH, Comparison::Strong) {
            return false;
        }
    } else if let Some(date) = date(request, &IF_UNMODIFIED_SINCE)
        && current
            .first()
            .is_none_or(|current| current.modified > date)
    {
        return false;
    }
    !(request.contains_key(IF_NONE_MATCH) && matches(&IF_NONE_MATCH, Comparison::Weak))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Is the tag, or `*`, among those of a field?
fn lists(request: &HeaderMap, name: &HeaderName, etag: Tag<'_>, comparison: Comparison) -> bool {
    request.get_all(name).iter().any(|value| {
        let mut rest = value.as_bytes().trim_ascii();
        if rest == b"*" {
            return true;
        }
        // Tags may contain commas, so that they are walked through instead of split.
        while !rest.is_empty() {
            let quoted = Tag::new(rest).opaque;
            let Some(end) = quoted
                .strip_prefix(b"\"")
                .and_then(|inner| memchr::memchr(b'"', inner))
            else {
                return false;
            };
            let (tag, after) = rest.split_at(rest.len() - quoted.len() + end + 2);
            if Tag::new(tag).equals(etag, comparison) {
                return true;
            }
            rest = after.trim_ascii();
            while let Some(after) = rest.strip_prefix(b",") {
                rest = after.trim_ascii();
            }
        }
        false
    })
}

/// Does `If-Range`, if there is one, mean what the file is now? By a strong comparison (section 13.1.5).
fn same_representation(request: &HeaderMap, validators: &Validators) -> bool {
    if !request.contains_key(IF_RANGE) {
        return true;
    }
    let Some(condition) = only(request, &IF_RANGE) else {
        return false;
    };
    let bytes = condition.as_bytes();
    if bytes.starts_with(b"\"") || bytes.starts_with(b"W/") {
        let etag = Tag::new(validators.etag.as_bytes());
        return Tag::new(bytes).equals(etag, Comparison::Strong);
    }
    let settled = SystemTime::now()
        .duration_since(validators.modified)
        .is_ok_and(|age| age >= DATE_SETTLED);
    settled && date(request, &IF_RANGE) == Some(validators.modified)
}

/// A field that may come once. Of several, none is better than the others.
fn only<'r>(request: &'r HeaderMap, name: &HeaderName) -> Option<&'r HeaderValue> {
    let mut values = request.get_all(name).iter();
    let value = values.next()?;
    values.next().is_none().then_some(value)
}

/// The date in a field; what is no date is ignored (sections 13.1.3 and 13.1.4).
fn date(request: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    if !request.contains_key(name) {
        return None;
    }
    httpdate::parse_http_date(only(request, name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODIFIED_NS: u128 = 1_700_000_000_500_000_000;
    const AT: &str = "Tue, 14 Nov 2023 22:13:20 GMT";
    const BEFORE: &str = "Tue, 14 Nov 2023 22:13:19 GMT";
    const FUTURE: &str = "Fri, 14 Nov 2223 22:13:20 GMT";

    #[test]
    fn numbers_in_tags_are_hexadecimal() {
        for number in [0, 1, 9, 10, 15, 16, 0xabc, u128::from(u64::MAX), u128::MAX] {
            let mut made = Vec::new();
            put_hex(&mut made, number);
            assert_eq!(String::from_utf8(made).unwrap(), format!("{number:x}"));
        }
    }

    fn facts() -> FileFacts {
        FileFacts {
            identity: (1, 2),
            size: 10,
            modified_ns: MODIFIED_NS,
            changed_ns: MODIFIED_NS + 1_000_000_000,
        }
    }

    fn verdict(validators: &Validators, fields: &[(&str, &str)], head: bool) -> Verdict {
        let mut request = HeaderMap::new();
        for (name, value) in fields {
            request.append(
                HeaderName::try_from(*name).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        judge(&request, validators, facts().size, head)
    }

    /// Each sentence of RFC 9110 about a condition, and the steps of section 13.2.2 in their order.
    #[test]
    fn conditions_table() {
        use Verdict::{NotModified, OutOfRange, PreconditionFailed, Whole};
        let validators = Validators::new(&facts(), None, SystemTime::now());
        let etag = validators.etag.to_str().unwrap().to_owned();
        assert!(etag.starts_with('"'), "{etag}");
        let weak = format!("W/{etag}");
        let both = format!("\"a,b\", W/\"x\" ,, {etag}");
        let lower = format!("w/{etag}");
        assert_eq!(validators.last_modified, AT);
        let part = || {
            Verdict::Part(Span {
                start: 1,
                length: 2,
            })
        };
        let parts = Verdict::Parts(vec![
            Span {
                start: 0,
                length: 1,
            },
            Span {
                start: 9,
                length: 1,
            },
        ]);
        let (range, beyond) = (("range", "bytes=1-2"), ("range", "bytes=10-"));
        let (matches, unmodified) = ("if-match", "if-unmodified-since");
        let (none, since, same) = ("if-none-match", "if-modified-since", "if-range");
        let other = "\"x\"";
        type Case<'c> = (&'c str, Vec<(&'c str, &'c str)>, Verdict);
        let cases: Vec<Case<'_>> = vec![
            ("", vec![], Whole),
            // Step 1.
            ("13.1.1", vec![(matches, &etag)], Whole),
            ("13.1.1", vec![(matches, &both)], Whole),
            ("13.1.1", vec![(matches, other)], PreconditionFailed),
            ("13.1.1", vec![(matches, "*")], Whole),
            (
                "13.1.1, strong comparison",
                vec![(matches, &weak)],
                PreconditionFailed,
            ),
            ("13.1.1", vec![(matches, "nonsense")], PreconditionFailed),
            ("13.1.1", vec![(matches, other), (matches, &etag)], Whole),
            // Step 2, only without If-Match.
            ("13.1.4", vec![(unmodified, AT)], Whole),
            ("13.1.4", vec![(unmodified, FUTURE)], Whole),
            ("13.1.4", vec![(unmodified, BEFORE)], PreconditionFailed),
            ("13.1.4", vec![(unmodified, "yesterday")], Whole),
            (
                "13.1.4, several",
                vec![(unmodified, BEFORE), (unmodified, BEFORE)],
                Whole,
            ),
            (
                "13.1.4",
                vec![(matches, &etag), (unmodified, BEFORE)],
                Whole,
            ),
            (
                "13.2.2",
                vec![(matches, other), (unmodified, AT)],
                PreconditionFailed,
            ),
            // Step 3.
            ("13.1.2", vec![(none, &etag)], NotModified),
            ("13.1.2, weak comparison", vec![(none, &weak)], NotModified),
            ("13.1.2", vec![(none, &both)], NotModified),
            ("13.1.2", vec![(none, "*")], NotModified),
            ("13.1.2", vec![(none, other)], Whole),
            ("13.1.2", vec![(none, "nonsense")], Whole),
            ("8.8.3, case-sensitive", vec![(none, &lower)], Whole),
            ("13.1.2", vec![(none, other), (none, &weak)], NotModified),
            // Step 4, only without If-None-Match.
            ("13.1.3", vec![(since, AT)], NotModified),
            ("13.1.3", vec![(since, FUTURE)], NotModified),
            ("13.1.3", vec![(since, BEFORE)], Whole),
            ("13.1.3", vec![(since, "yesterday")], Whole),
            ("13.1.3, several", vec![(since, AT), (since, AT)], Whole),
            ("13.1.3", vec![(none, other), (since, AT)], Whole),
            (
                "5.6.7",
                vec![(since, "Tuesday, 14-Nov-23 22:13:20 GMT")],
                NotModified,
            ),
            ("5.6.7", vec![(since, "Tue Nov 14 22:13:19 2023")], Whole),
            // The earlier step decides.
            (
                "13.2.2",
                vec![(matches, other), (none, &etag)],
                PreconditionFailed,
            ),
            ("13.2.2", vec![(matches, &etag), (none, &etag)], NotModified),
            (
                "13.2.2",
                vec![(unmodified, BEFORE), (since, AT)],
                PreconditionFailed,
            ),
            ("13.2.2", vec![(unmodified, AT), (since, AT)], NotModified),
            ("13.2.2", vec![range, (none, &etag)], NotModified),
            ("13.2.2", vec![beyond, (none, &etag)], NotModified),
            ("13.2.2", vec![range, (matches, other)], PreconditionFailed),
            // Step 5.
            ("14.2", vec![range], part()),
            ("14.2", vec![("range", "bytes=0-0,9-9")], parts),
            ("14.2", vec![beyond], OutOfRange),
            ("14.2", vec![("range", "lines=1-2")], Whole),
            ("14.2, several fields", vec![range, range], Whole),
            ("13.2.2", vec![range, (matches, &etag)], part()),
            ("13.2.2", vec![range, (none, other)], part()),
            ("13.1.5", vec![range, (same, &etag)], part()),
            (
                "13.1.5, strong comparison",
                vec![range, (same, &weak)],
                Whole,
            ),
            ("13.1.5", vec![range, (same, other)], Whole),
            ("13.1.5, no list", vec![range, (same, &both)], Whole),
            ("13.1.5", vec![range, (same, "*")], Whole),
            ("13.1.5", vec![range, (same, AT)], part()),
            ("13.1.5, exact", vec![range, (same, FUTURE)], Whole),
            ("13.1.5", vec![range, (same, BEFORE)], Whole),
            ("13.1.5", vec![range, (same, "nonsense")], Whole),
            (
                "13.1.5, several",
                vec![range, (same, &etag), (same, &etag)],
                Whole,
            ),
            ("13.1.5, without a range", vec![(same, other)], Whole),
            ("13.1.5", vec![beyond, (same, other)], Whole),
        ];
        for (section, fields, expected) in &cases {
            let got = verdict(&validators, fields, false);
            assert_eq!(got, *expected, "section {section}: {fields:?}");
            // Of HEAD the same, but no ranges (14.2).
            let expected = match expected {
                Verdict::Part(_) | Verdict::Parts(_) | OutOfRange => &Whole,
                other => other,
            };
            let got = verdict(&validators, fields, true);
            assert_eq!(got, *expected, "HEAD, section {section}: {fields:?}");
        }
    }

    /// Else it is weak: the next change might have the same.
    #[test]
    fn a_tag_is_strong_when_another_change_would_have_another() {
        let changed = UNIX_EPOCH + Duration::from_nanos(u64::try_from(facts().changed_ns).unwrap());
        let validators = |after| Validators::new(&facts(), None, changed + after);
        let young = validators(Duration::from_millis(5));
        assert!(young.is_weak());
        let etag = young.etag.to_str().unwrap();
        let range = ("range", "bytes=1-2");
        for (name, expected) in [
            ("if-none-match", Verdict::NotModified),
            ("if-match", Verdict::PreconditionFailed),
            ("if-range", Verdict::Whole),
        ] {
            assert_eq!(
                verdict(&young, &[range, (name, etag)], false),
                expected,
                "{name}"
            );
        }
        assert!(!validators(Duration::from_millis(50)).is_weak());
        // Its clock may know whole seconds only.
        let coarse = FileFacts {
            changed_ns: 1_700_000_001_000_000_000,
            ..facts()
        };
        for (seconds, weak) in [(2, true), (4, false)] {
            let now = UNIX_EPOCH + Duration::from_secs(1_700_000_001 + seconds);
            assert_eq!(Validators::new(&coarse, None, now).is_weak(), weak);
        }
    }

    #[test]
    fn a_file_of_the_future_was_modified_now() {
        let now = UNIX_EPOCH + Duration::from_secs(1_600_000_000);
        let validators = Validators::new(&facts(), None, now);
        assert_eq!(validators.last_modified, "Sun, 13 Sep 2020 12:26:40 GMT");
        let now = validators.last_modified.to_str().unwrap();
        let condition = [("if-modified-since", now)];
        assert_eq!(
            verdict(&validators, &condition, false),
            Verdict::NotModified
        );
    }
}
