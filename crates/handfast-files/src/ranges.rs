//! Which parts of a representation a `Range` field asks for (RFC 9110, section 14.2).
//!
//! What is not understood is ignored: the whole is sent, which every client must expect. So are more than [`RANGES_MAX`] ranges.
//! Ranges that overlap or touch are sent as one; of many ranges, also those whose gap is smaller than what a part costs
//! (section 15.3.7.2). So a reply is never much longer than what it is a part of, however often a client asks for the same
//! bytes.

/// The limit on ranges in a field: what tools for updates by difference ask for at once (zchunk, zsync).
const RANGES_MAX: usize = 256;

/// Up to this many ranges are sent as they were requested, unless they overlap or touch; more are suspect (section 14.2).
const FEW: usize = 8;

/// What the delimiter and the fields of a part take, about.
const PART_OVERHEAD: u64 = 128;

/// A part of a representation: at least one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: u64,
    pub(crate) length: u64,
}

impl Span {
    /// The position after the last byte.
    fn end(self) -> u64 {
        self.start + self.length
    }

    /// As in `Content-Range` (section 14.4).
    pub(crate) fn content_range(self, size: u64) -> String {
        let last = self.end().saturating_sub(1);
        format!("bytes {}-{last}/{size}", self.start)
    }
}

/// What a field asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ranges {
    /// Nothing that is understood.
    Ignored,
    One(Span),
    /// Two or more, in the order of the request.
    Several(Vec<Span>),
    /// Only what lies beyond the end.
    Unsatisfiable,
}

pub(crate) fn parse(value: &[u8], size: u64) -> Ranges {
    let Some(set) = set_of(value) else {
        return Ranges::Ignored;
    };
    if !set.contains(',') {
        return match one(set.trim(), size) {
            Some(Some(span)) => Ranges::One(span),
            Some(None) => Ranges::Unsatisfiable,
            None => Ranges::Ignored,
        };
    }
    let (mut spans, mut count) = (Vec::new(), 0);
    // Empty elements of a list are ignored (section 5.6.1.2).
    for text in set
        .split(',')
        .map(str::trim)
        .filter(|text| !text.is_empty())
    {
        count += 1;
        match one(text, size) {
            Some(span) if count <= RANGES_MAX => spans.extend(span),
            _ => return Ranges::Ignored,
        }
    }
    if count == 0 {
        return Ranges::Ignored;
    }
    let gap = if count > FEW { PART_OVERHEAD } else { 0 };
    let spans = coalesce(&spans, gap);
    match *spans.as_slice() {
        [] => Ranges::Unsatisfiable,
        [span] => Ranges::One(span),
        _ => Ranges::Several(spans),
    }
}

/// The ranges of a field whose unit is bytes.
fn set_of(value: &[u8]) -> Option<&str> {
    let (unit, set) = std::str::from_utf8(value).ok()?.split_once('=')?;
    unit.trim().eq_ignore_ascii_case("bytes").then_some(set)
}

/// A single range; `None` if it is malformed, `Some(None)` if it begins beyond the end.
fn one(text: &str, size: u64) -> Option<Option<Span>> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    let numbers = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !numbers(first) || !numbers(last) {
        return None;
    }
    // Only digits: what does not fit is larger than any file.
    let number = |text: &str| text.parse::<u64>().unwrap_or(u64::MAX);
    let (start, end) = match (first.is_empty(), last.is_empty()) {
        (true, true) => return None,
        (true, false) => (size - number(last).min(size), size),
        (false, true) => (number(first), size),
        (false, false) if number(first) > number(last) => return None,
        (false, false) => (number(first), number(last).saturating_add(1).min(size)),
    };
    Some((start < end).then(|| Span {
        start,
        length: end - start,
    }))
}

/// Joins spans between which there are at most `gap` bytes. Each comes where the first of those that it was made of stood.
fn coalesce(spans: &[Span], gap: u64) -> Vec<Span> {
    let mut by_start: Vec<(usize, Span)> = spans.iter().copied().enumerate().collect();
    by_start.sort_unstable_by_key(|(_, span)| span.start);
    let mut joined: Vec<(usize, Span)> = Vec::with_capacity(spans.len());
    for (place, span) in by_start {
        match joined.last_mut() {
            Some((first, before)) if span.start <= before.end().saturating_add(gap) => {
                before.length = before.length.max(span.end() - before.start);
                *first = place.min(*first);
            }
            _ => joined.push((place, span)),
        }
    }
    joined.sort_unstable_by_key(|(place, _)| *place);
    joined.into_iter().map(|(_, span)| span).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span((start, length): (u64, u64)) -> Span {
        Span { start, length }
    }

    #[test]
    fn ranges_table() {
        use Ranges::{Ignored, Unsatisfiable};
        let one = |start, length| Ranges::One(span((start, length)));
        let several =
            |spans: &[(u64, u64)]| Ranges::Several(spans.iter().copied().map(span).collect());
        let many = |count: usize, step: usize| {
            let ranges: Vec<_> = (0..count).map(|n| format!("{0}-{0}", n * step)).collect();
            format!("bytes={}", ranges.join(","))
        };
        let cases = [
            ("bytes=0-0", 10, one(0, 1)),
            ("bytes=0-", 10, one(0, 10)),
            ("bytes=3-5", 10, one(3, 3)),
            ("Bytes=3-5", 10, one(3, 3)),
            ("bytes= 3-5 ", 10, one(3, 3)),
            ("bytes=9-100", 10, one(9, 1)),
            ("bytes=-3", 10, one(7, 3)),
            ("bytes=-100", 10, one(0, 10)),
            ("bytes=5-99999999999999999999999", 10, one(5, 5)),
            ("bytes=10-", 10, Unsatisfiable),
            ("bytes=10-12", 10, Unsatisfiable),
            ("bytes=-0", 10, Unsatisfiable),
            ("bytes=99999999999999999999999-", 10, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-1", 0, Unsatisfiable),
            ("bytes=5-3", 10, Ignored),
            ("bytes=-", 10, Ignored),
            ("bytes=a-b", 10, Ignored),
            ("bytes=+1-2", 10, Ignored),
            ("bytes=1--2", 10, Ignored),
            ("bytes=1-2-3", 10, Ignored),
            ("bytes", 10, Ignored),
            ("lines=0-1", 10, Ignored),
            ("", 10, Ignored),
            // The examples of section 14.1.2, for 10,000 bytes.
            ("bytes=0-499", 10_000, one(0, 500)),
            ("bytes=500-999", 10_000, one(500, 500)),
            ("bytes=-500", 10_000, one(9500, 500)),
            ("bytes=9500-", 10_000, one(9500, 500)),
            ("bytes=0-0,-1", 10_000, several(&[(0, 1), (9999, 1)])),
            (
                "bytes= 0-999, 4500-5499, -1000",
                10_000,
                several(&[(0, 1000), (4500, 1000), (9000, 1000)]),
            ),
            ("bytes=500-600,601-999", 10_000, one(500, 500)),
            ("bytes=500-700,601-999", 10_000, one(500, 500)),
            // Several: in the order of the request; what overlaps or touches is one.
            ("bytes=5-6,0-1", 10, several(&[(5, 2), (0, 2)])),
            (
                "bytes=8-9,0-1,4-5,1-2",
                10,
                several(&[(8, 2), (0, 3), (4, 2)]),
            ),
            ("bytes=0-,0-,0-,0-", 10, one(0, 10)),
            ("bytes=0-1,,\t3-4 ,", 10, several(&[(0, 2), (3, 2)])),
            ("bytes=0-1,20-30", 10, one(0, 2)),
            ("bytes=20-30,10-", 10, Unsatisfiable),
            ("bytes=,", 10, Ignored),
            ("bytes=0-1,x", 10, Ignored),
            ("bytes=0-1,5-3", 10, Ignored),
            // Many: those that are close are one, too.
            (
                &many(FEW, 3),
                1000,
                several(&[0, 3, 6, 9, 12, 15, 18, 21].map(|at| (at, 1))),
            ),
            (&many(FEW + 1, 3), 1000, one(0, 25)),
            (&many(RANGES_MAX, 3), 1000, one(0, 766)),
            (&many(RANGES_MAX + 1, 3), 1000, Ignored),
        ];
        for (range, size, expected) in cases {
            assert_eq!(parse(range.as_bytes(), size), expected, "{range}");
        }
    }

    proptest! {
        /// What is sent is what was requested: every byte of it, once, and little more.
        #[test]
        fn spans_hold_each_requested_byte_once(
            ranges in prop::collection::vec((0_u64..3000, 0_u64..300), 1..40),
            size in 1_u64..2500,
        ) {
            let text: Vec<_> = ranges.iter().map(|(at, more)| format!("{at}-{}", at + more)).collect();
            let spans = match parse(format!("bytes={}", text.join(",")).as_bytes(), size) {
                Ranges::One(span) => vec![span],
                Ranges::Several(spans) => spans,
                other => {
                    prop_assert!(other == Ranges::Unsatisfiable && ranges.iter().all(|(at, _)| *at >= size));
                    vec![]
                }
            };
            let times = |byte: u64| spans.iter().filter(|it| it.start <= byte && byte < it.end()).count();
            for byte in 0..size {
                let requested = ranges.iter().any(|(at, more)| *at <= byte && byte <= at + more);
                prop_assert!(times(byte) <= 1 && (!requested || times(byte) == 1), "{byte}");
                prop_assert!(requested || times(byte) == 0 || ranges.len() > FEW);
            }
            prop_assert!(spans.iter().all(|it| it.length > 0 && it.end() <= size));
        }
    }
}
