//! Which bytes of a file are there: ranges that neither meet nor overlap, in order.

use std::fmt;
use std::ops::Range;

use handfast_http::decimal;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Range<u64>>);

impl Spans {
    /// The first `end` bytes.
    pub(super) fn up_to(end: u64) -> Self {
        let mut spans = Self::default();
        spans.add(0..end);
        spans
    }

    /// These bytes are there, too.
    pub(super) fn add(&mut self, mut span: Range<u64>) {
        if span.is_empty() {
            return;
        }
        let first = self.0.partition_point(|one| one.end < span.start);
        let last = self.0.partition_point(|one| one.start <= span.end);
        if let Some(met) = self.0.get(first..last).filter(|met| !met.is_empty()) {
            span.start = met
                .first()
                .map_or(span.start, |one| one.start.min(span.start));
            span.end = met.last().map_or(span.end, |one| one.end.max(span.end));
        }
        self.0.splice(first..last.max(first), [span]);
    }

    /// How many bytes there are from the first one on without a gap.
    pub(super) fn prefix(&self) -> u64 {
        match self.0.first() {
            Some(first) if first.start == 0 => first.end,
            _ => 0,
        }
    }

    /// How many bytes there are.
    pub(super) fn count(&self) -> u64 {
        self.0.iter().map(|one| one.end - one.start).sum()
    }

    /// What lacks up to `end`.
    pub(super) fn gaps(&self, end: u64) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut at = 0;
        for span in &self.0 {
            gaps.push(at..span.start.min(end));
            at = span.end;
        }
        gaps.push(at..end);
        gaps.retain(|gap| !gap.is_empty());
        gaps
    }

    /// What is behind `end` is not there.
    pub(super) fn cut(&mut self, end: u64) {
        self.0.retain_mut(|one| {
            one.end = one.end.min(end);
            !one.is_empty()
        });
    }

    /// Reads what [`Display`](fmt::Display) writes.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut spans = Self::default();
        if text == NONE {
            return Some(spans);
        }
        for one in text.split(',') {
            let (first, last) = one.split_once('-')?;
            let (first, last) = (decimal(first.as_bytes())?, decimal(last.as_bytes())?);
            let is_behind = spans.0.last().is_none_or(|before| before.end < first);
            let end = last.checked_add(1)?;
            if !is_behind || end <= first {
                return None;
            }
            spans.0.push(first..end);
        }
        Some(spans)
    }
}

const NONE: &str = "none";

/// As in `Range`: the first and the last byte of each, with commas between them.
impl fmt::Display for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str(NONE);
        }
        for (number, one) in self.0.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            write!(f, "{comma}{}-{}", one.start, one.end - 1)?;
        }
        Ok(())
    }
}

/// Divides what lacks into at most `count` pieces of about the same size, as long as no piece becomes smaller than
/// `bytes_min`; but each gap is a piece at least.
pub(super) fn pieces(gaps: Vec<Range<u64>>, count: usize, bytes_min: u64) -> Vec<Range<u64>> {
    let sizes = |parts: &[(Range<u64>, u64)]| -> Option<usize> {
        let size = |(gap, parts): &(Range<u64>, u64)| (gap.end - gap.start) / parts;
        let divisible = parts
            .iter()
            .enumerate()
            .filter(|(_, (gap, parts))| (gap.end - gap.start) / (parts + 1) >= bytes_min.max(1));
        let largest = divisible.max_by_key(|(_, part)| size(part));
        largest.map(|(at, _)| at)
    };
    let mut parts: Vec<_> = gaps.into_iter().map(|gap| (gap, 1)).collect();
    for _ in parts.len()..count {
        let Some(at) = sizes(&parts) else { break };
        if let Some((_, parts)) = parts.get_mut(at) {
            *parts += 1;
        }
    }
    let mut pieces = Vec::new();
    for (gap, parts) in parts {
        let size = (gap.end - gap.start).div_ceil(parts).max(1);
        let mut at = gap.start;
        while at < gap.end {
            let end = at.saturating_add(size).min(gap.end);
            pieces.push(at..end);
            at = end;
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_lacks_is_divided_evenly_and_not_too_finely() {
        for (gaps, count, expected) in [
            (&[(0, 100)][..], 1, &[(0, 100)][..]),
            (&[(0, 100)], 4, &[(0, 25), (25, 50), (50, 75), (75, 100)]),
            (&[(0, 101)], 4, &[(0, 26), (26, 52), (52, 78), (78, 101)]),
            (&[(0, 39)], 4, &[(0, 13), (13, 26), (26, 39)]),
            (&[(0, 19)], 4, &[(0, 19)]),
            (&[(0, 1), (50, 100)], 3, &[(0, 1), (50, 75), (75, 100)]),
            (&[(0, 40), (50, 100)], 3, &[(0, 40), (50, 75), (75, 100)]),
            (&[(0, 1), (2, 3), (4, 5)], 2, &[(0, 1), (2, 3), (4, 5)]),
            (&[], 2, &[]),
        ] {
            let ranges = |pairs: &[(u64, u64)]| -> Vec<_> {
                pairs.iter().map(|(start, end)| *start..*end).collect()
            };
            let expected = ranges(expected);
            let gaps = ranges(gaps);
            assert_eq!(
                pieces(gaps.clone(), count, 10),
                expected,
                "{gaps:?} {count}"
            );
        }
    }

    #[test]
    fn ranges_are_read_as_they_were_written_and_nothing_else_is() {
        for text in ["none", "0-0", "0-99,200-299", "7-7,9-18446744073709551614"] {
            assert_eq!(Spans::parse(text).unwrap().to_string(), text);
        }
        for bad in [
            "",
            "1",
            "2-1",
            "0-1,1-2",
            "0-1,2-3",
            "5-6,0-1",
            "0-18446744073709551615",
            "x-1",
            "0-1,",
        ] {
            assert_eq!(Spans::parse(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn they_are_the_bytes_that_were_added(added in prop::collection::vec((0_u64..60, 0_u64..20), 0..12), end in 0_u64..90) {
            let mut spans = Spans::default();
            let mut bytes = [false; 90];
            for (start, length) in added {
                spans.add(start..start + length);
                bytes[start as usize..(start + length) as usize].fill(true);
            }
            prop_assert_eq!(Spans::parse(&spans.to_string()), Some(spans.clone()));
            prop_assert_eq!(spans.count(), bytes.iter().filter(|it| **it).count() as u64);
            prop_assert_eq!(spans.prefix(), bytes.iter().take_while(|it| **it).count() as u64);
            let gaps = spans.gaps(end);
            for (at, is_there) in bytes.iter().enumerate().take(end as usize) {
                prop_assert_eq!(gaps.iter().any(|gap| gap.contains(&(at as u64))), !is_there);
            }
            spans.cut(end);
            prop_assert_eq!(spans.count(), bytes.iter().take(end as usize).filter(|it| **it).count() as u64);
            let gaps = spans.gaps(end);
            let lacking: u64 = gaps.iter().map(|gap| gap.end - gap.start).sum();
            let pieces = pieces(gaps.clone(), 4, 3);
            prop_assert!(pieces.len() <= gaps.len().max(4));
            prop_assert_eq!(pieces.iter().map(|one| one.end - one.start).sum::<u64>(), lacking);
        }
    }
}
