//! What a request asks of a file by `Range` (RFC 9110, section 14.2), and whether a response of 206 is that.

use handfast_http::decimal;
use http::header::{CONTENT_TYPE, RANGE};
use http::{HeaderMap, HeaderValue};

use super::content_range::ContentRange;
use super::error::Error;

/// What a request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AskedRange {
    /// The whole: it has no `Range`.
    Whole,
    /// From this byte on, up to this one or the end.
    From(u64, Option<u64>),
    /// So many bytes at the end.
    Last(u64),
    /// Several ranges, or another unit than bytes: the response says what it has.
    Other,
}

impl AskedRange {
    pub(super) fn of(fields: &HeaderMap) -> Self {
        match fields.get(RANGE) {
            None => Self::Whole,
            Some(value) => Self::parse(value).unwrap_or(Self::Other),
        }
    }

    fn parse(value: &HeaderValue) -> Option<Self> {
        let (unit, range) = value.to_str().ok()?.trim().split_once('=')?;
        if !unit.trim().eq_ignore_ascii_case("bytes") {
            return None;
        }
        let (first, last) = range.trim().split_once('-')?;
        let number = |text: &str| decimal(text.as_bytes());
        match (first, last) {
            ("", last) => Some(Self::Last(number(last)?)),
            (first, "") => Some(Self::From(number(first)?, None)),
            (first, last) => Some(Self::From(number(first)?, Some(number(last)?))),
        }
    }

    /// The first byte of it, in a file of `total` bytes.
    fn first(&self, total: Option<u64>) -> Option<u64> {
        match self {
            Self::From(first, _) => Some(*first),
            Self::Last(bytes) => Some(total?.saturating_sub(*bytes)),
            Self::Whole | Self::Other => None,
        }
    }

    /// The last byte of it, in a file of `total` bytes.
    fn last(&self, total: Option<u64>) -> Option<u64> {
        let end = total.and_then(|total| total.checked_sub(1));
        match (self, end) {
            (Self::From(_, Some(last)), Some(end)) => Some(end.min(*last)),
            (Self::From(_, last), end) => end.or(*last),
            (Self::Last(_), end) => end,
            (Self::Whole | Self::Other, _) => None,
        }
    }

    /// Does a response of 206 begin where it was asked to? Which bytes it has; `None` for several parts, each of which says it
    /// by itself.
    pub(super) fn check(&self, fields: &HeaderMap) -> Result<Option<ContentRange>, Error> {
        let range = ContentRange::of(fields);
        let wrong = |sent: String| {
            Err(Error::RangeNotSent {
                asked: self.to_string(),
                sent,
            })
        };
        match (self, range.and_then(|range| range.bytes)) {
            (Self::Whole, None) => wrong("a part of it, without saying which".into()),
            (Self::Other, None) => Ok(None),
            (_, None) if has_parts(fields) => wrong("several parts".into()),
            (_, None) => wrong("a part, without a valid Content-Range".into()),
            (Self::Whole, Some((first, last))) => {
                // All of it is what was asked for, whatever the status.
                let total = range.and_then(|range| range.total);
                match first == 0 && total.is_some_and(|total| total == last.saturating_add(1)) {
                    true => Ok(range),
                    false => wrong(format!("bytes {first} to {last}")),
                }
            }
            (_, Some((first, last))) => {
                let asked = self.first(range.and_then(|range| range.total));
                match asked.is_none_or(|asked| asked == first) {
                    true => Ok(range),
                    false => wrong(format!("bytes {first} to {last}")),
                }
            }
        }
    }

    /// Is less than was asked for in a response that has these bytes?
    pub(super) fn is_more_than(&self, range: ContentRange) -> bool {
        let sent = range.bytes.map(|(_, last)| last);
        let asked = self.last(range.total);
        matches!((asked, sent), (Some(asked), Some(sent)) if sent < asked)
    }
}

impl std::fmt::Display for AskedRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Whole => f.write_str("the whole file"),
            Self::From(first, None) => write!(f, "everything from byte {first} on"),
            Self::From(first, Some(last)) => write!(f, "bytes {first} to {last}"),
            Self::Last(bytes) => write!(f, "the last {bytes} bytes"),
            Self::Other => f.write_str("a range"),
        }
    }
}

fn has_parts(fields: &HeaderMap) -> bool {
    let kind = fields
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    kind.is_some_and(|kind| {
        let start = kind.trim_start().get(.."multipart/".len());
        start.is_some_and(|start| start.eq_ignore_ascii_case("multipart/"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::CONTENT_RANGE;

    fn fields(name: http::HeaderName, value: &str) -> HeaderMap {
        let mut fields = HeaderMap::new();
        if !value.is_empty() {
            fields.insert(name, value.parse().unwrap());
        }
        fields
    }

    #[test]
    fn a_response_has_what_was_asked_for_or_says_what_it_has_instead() {
        // Range, Content-Range; right, or short, or what is wrong.
        let right = "right";
        let short = "short";
        for (asked, sent, expected) in [
            ("", "bytes 0-9/10", right),
            ("", "bytes 0-9/1040", "bytes 0 to 9"),
            ("", "bytes 0-9/*", "bytes 0 to 9"),
            ("", "", "a part of it, without saying which"),
            ("bytes=0-9", "bytes 0-9/1040", right),
            ("bytes=0-9", "bytes 0-4/5", right),
            ("bytes=0-9", "bytes 0-4/1040", short),
            ("bytes=0-9", "bytes 0-4/*", short),
            ("bytes=0-9", "bytes 100-109/1040", "bytes 100 to 109"),
            ("bytes=0-9", "", "a part, without a valid Content-Range"),
            (
                "bytes=0-9",
                "bytes 9-0/10",
                "a part, without a valid Content-Range",
            ),
            ("bytes=100-", "bytes 100-1039/1040", right),
            ("bytes=100-", "bytes 100-199/1040", short),
            ("bytes=100-", "bytes 100-199/*", right),
            ("bytes=-10", "bytes 1030-1039/1040", right),
            ("bytes=-10", "bytes 0-3/4", right),
            ("bytes=-10", "bytes 1030-1031/1040", short),
            ("bytes=-10", "bytes 0-9/1040", "bytes 0 to 9"),
            ("BYTES = 5-6", "bytes 5-6/9", right),
            ("bytes=0-1,5-6", "", right),
            ("bytes=0-1,5-6", "bytes 0-6/9", right),
            ("lines=0-9", "", right),
            ("bytes=x-", "", right),
        ] {
            let range = AskedRange::of(&fields(RANGE, asked));
            let found = match range.check(&fields(CONTENT_RANGE, sent)) {
                Ok(Some(sent)) if range.is_more_than(sent) => short.to_owned(),
                Ok(_) => right.to_owned(),
                Err(Error::RangeNotSent { sent, .. }) => sent,
                Err(error) => panic!("{error}"),
            };
            assert_eq!(found, expected, "{asked}: {sent}");
        }
    }
}
