//! `Content-Range` (RFC 9110, section 14.4).

use handfast_http::decimal;
use http::HeaderMap;
use http::header::CONTENT_RANGE;

/// Which bytes of a file a response has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ContentRange {
    /// The first and the last; `None` if there are no such bytes (416).
    pub bytes: Option<(u64, u64)>,
    /// The size of the whole file, if the server knows it.
    pub total: Option<u64>,
}

impl ContentRange {
    pub(super) fn of(fields: &HeaderMap) -> Option<Self> {
        Self::parse(fields.get(CONTENT_RANGE)?.to_str().ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (unit, rest) = text.trim().split_once(' ')?;
        let (bytes, total) = rest.trim().split_once('/')?;
        let decimal = |text: &str| decimal(text.as_bytes());
        let total = match total {
            "*" => None,
            total => Some(decimal(total)?),
        };
        let bytes = match bytes {
            "*" => None,
            bytes => {
                let (first, last) = bytes.split_once('-')?;
                Some((decimal(first)?, decimal(last)?))
            }
        };
        let is_right = bytes
            .is_none_or(|(first, last)| first <= last && total.is_none_or(|total| last < total));
        let is_bytes = unit.eq_ignore_ascii_case("bytes");
        (is_bytes && is_right).then_some(Self { bytes, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_those_of_rfc_9110() {
        for (text, bytes, total) in [
            ("bytes 0-0/1", Some((0, 0)), Some(1)),
            ("bytes 42-1233/1234", Some((42, 1233)), Some(1234)),
            ("Bytes 42-1233/*", Some((42, 1233)), None),
            ("bytes */1234", None, Some(1234)),
        ] {
            let expected = ContentRange { bytes, total };
            assert_eq!(ContentRange::parse(text), Some(expected), "{text}");
        }
        for bad in [
            "",
            "bytes",
            "bytes 1-2",
            "bytes 2-1/9",
            "bytes 0-9/9",
            "lines 0-1/9",
            "bytes -1/9",
            "bytes 0-18446744073709551616/*",
            "bytes +1-2/9",
        ] {
            assert_eq!(ContentRange::parse(bad), None, "{bad}");
        }
    }
}
