//! A minimal DER parser for structures that the dependencies do not parse.
//!
//! Elements, their content and their children. Nothing here allocates by an encoded length,
//! recurses, or panics: the input is untrusted.

use x509_parser::der_parser::Oid;

pub(crate) const BOOLEAN: u8 = 0x01;
pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;
pub(crate) const CONTEXT_0: u8 = 0xa0;
pub(crate) const CONTEXT_1: u8 = 0xa1;
pub(crate) const CONTEXT_2: u8 = 0xa2;

/// One element: its tag and content.
#[derive(Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) content: &'a [u8],
    /// Header and content.
    pub(crate) raw: &'a [u8],
}

/// Tag and length, and what follows them.
fn header(bytes: &[u8]) -> Option<(u8, usize, &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&length, rest) = rest.split_first()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (octets, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            let length = octets
                .iter()
                .fold(0usize, |length, octet| (length << 8) | usize::from(*octet));
            (length, rest)
        }
        _ => return None,
    };
    Some((tag, length, rest))
}

impl<'a> Element<'a> {
    /// Reads the first element, and returns what follows it.
    pub(crate) fn first(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (tag, length, rest) = header(bytes)?;
        let (content, rest) = rest.split_at_checked(length)?;
        let raw = bytes.get(..bytes.len() - rest.len())?;
        Some((Self { tag, content, raw }, rest))
    }

    /// The content of the first element, of this tag, which may be truncated.
    pub(crate) fn begun(bytes: &'a [u8], tag: u8) -> Option<&'a [u8]> {
        let (found, length, content) = header(bytes)?;
        (found == tag).then(|| content.get(..length).unwrap_or(content))
    }

    /// Reads exactly one element.
    pub(crate) fn only(bytes: &'a [u8]) -> Option<Self> {
        match Self::first(bytes)? {
            (element, []) => Some(element),
            _ => None,
        }
    }

    /// The same, of this tag.
    pub(crate) fn only_of(bytes: &'a [u8], tag: u8) -> Option<Self> {
        Self::only(bytes).filter(|element| element.tag == tag)
    }

    /// The elements inside; ends early at anything malformed.
    pub(crate) fn children(self) -> impl Iterator<Item = Self> + Clone + use<'a> {
        let mut rest = self.content;
        std::iter::from_fn(move || {
            let (element, after) = Self::first(rest)?;
            rest = after;
            Some(element)
        })
    }

    /// A cursor over the elements inside.
    pub(crate) fn reader(self) -> Reader<'a> {
        Reader(self.content)
    }

    /// The dotted form of an object identifier.
    pub(crate) fn oid(self) -> Option<String> {
        (self.tag == OBJECT_IDENTIFIER).then(|| Oid::new(self.content.into()).to_id_string())
    }

    /// The bytes of a BIT STRING without unused bits.
    pub(crate) fn bits(self) -> Option<&'a [u8]> {
        match (self.tag, self.content) {
            (BIT_STRING, [0, bits @ ..]) => Some(bits),
            _ => None,
        }
    }

    /// A GeneralizedTime in the only form that RFC 5280 allows, `YYYYMMDDHHMMSSZ`, in unix seconds.
    pub(crate) fn time(self) -> Option<i64> {
        if self.tag != GENERALIZED_TIME {
            return None;
        }
        seconds(digits(self.content)?)
    }

    /// A `Time` (RFC 5280, 4.1.2.5): the same, or a UTCTime, `YYMMDDHHMMSSZ`, from 1950 to 2049.
    pub(crate) fn any_time(self) -> Option<i64> {
        if self.tag != UTC_TIME {
            return self.time();
        }
        let [year, rest @ ..]: [i64; 6] = digits(self.content)?;
        let [month, day, hour, minute, second] = rest;
        let century = if year < 50 { 20 } else { 19 };
        seconds([century, year, month, day, hour, minute, second])
    }

    /// The value of a BOOLEAN.
    pub(crate) fn boolean(self) -> Option<bool> {
        match (self.tag, self.content) {
            (BOOLEAN, [0]) => Some(false),
            (BOOLEAN, [0xff]) => Some(true),
            _ => None,
        }
    }
}

/// Numbers of two digits each, followed by `Z`.
fn digits<const COUNT: usize>(content: &[u8]) -> Option<[i64; COUNT]> {
    let pairs = content.strip_suffix(b"Z")?;
    if pairs.len() != COUNT * 2 || !pairs.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let mut numbers = [0; COUNT];
    for (number, pair) in numbers.iter_mut().zip(pairs.chunks_exact(2)) {
        *number = std::str::from_utf8(pair).ok()?.parse().ok()?;
    }
    Some(numbers)
}

fn seconds([century, year, month, day, hour, minute, second]: [i64; 7]) -> Option<i64> {
    let is_in_range = (1..=12).contains(&month)
        && (1..=31).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    is_in_range
        .then(|| days_since_1970(century * 100 + year, month, day) * 86_400)
        .map(|midnight| midnight + hour * 3600 + minute * 60 + second)
}

/// Reads elements in sequence, by the expected tag.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(elements: &'a [u8]) -> Self {
        Self(elements)
    }

    /// The next element, if it has this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        self.take_any(&[tag])
    }

    /// The next element, if it has one of these tags.
    pub(crate) fn take_any(&mut self, tags: &[u8]) -> Option<Element<'a>> {
        let (element, rest) = Element::first(self.0)?;
        if !tags.contains(&element.tag) {
            return None;
        }
        self.0 = rest;
        Some(element)
    }

    /// The next element, of any tag.
    pub(crate) fn take_next(&mut self) -> Option<Element<'a>> {
        let (element, rest) = Element::first(self.0)?;
        self.0 = rest;
        Some(element)
    }

    /// The content of an explicit tag: exactly one element of `tag`. `None` without the explicit tag, and if
    /// it contains something else, which is then not consumed: see [`is_done`](Self::is_done).
    pub(crate) fn take_wrapped(&mut self, wrapper: u8, tag: u8) -> Option<Element<'a>> {
        let (element, rest) = Element::first(self.0)?;
        let inner = (element.tag == wrapper).then(|| Element::only_of(element.content, tag))??;
        self.0 = rest;
        Some(inner)
    }

    /// Whether all input was read: trailing bytes make a structure malformed.
    pub(crate) fn is_done(&self) -> bool {
        self.0.is_empty()
    }
}

/// Days from 1970-01-01 to a date of the Gregorian calendar: the inverse of
/// [`format_utc`](crate::format_utc), by the same author's algorithm.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (month + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format_utc;

    #[test]
    fn times_are_parsed_strictly() {
        for (text, expected) in [
            ("19700101000000Z", Some("1970-01-01T00:00:00Z")),
            ("20000229235959Z", Some("2000-02-29T23:59:59Z")),
            ("20261125130501Z", Some("2026-11-25T13:05:01Z")),
            ("99991231235959Z", Some("9999-12-31T23:59:59Z")),
            ("00000101000000Z", Some("0000-01-01T00:00:00Z")),
            ("20261325130501Z", None),
            ("20260025130501Z", None),
            ("20261125240501Z", None),
            ("20261125130501", None),
            ("20261125130501.5Z", None),
            ("+2261125130501Z", None),
            ("2026112513050 Z", None),
            ("", None),
        ] {
            let element = Element {
                tag: GENERALIZED_TIME,
                content: text.as_bytes(),
                raw: &[],
            };
            let read = element.time().map(format_utc);
            assert_eq!(read.as_deref(), expected, "{text}");
        }
        for (text, expected) in [
            ("500101000000Z", Some("1950-01-01T00:00:00Z")),
            ("491231235959Z", Some("2049-12-31T23:59:59Z")),
            ("700101000000Z", Some("1970-01-01T00:00:00Z")),
            ("20500101000000Z", None),
            ("5001010000Z", None),
            ("500101000000", None),
        ] {
            let element = Element {
                tag: UTC_TIME,
                content: text.as_bytes(),
                raw: &[],
            };
            let read = element.any_time().map(format_utc);
            assert_eq!(read.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn a_reader_takes_the_expected_tag_and_leaves_the_rest() {
        let bytes = [0x30, 9, 0xa0, 3, 2, 1, 7, 4, 2, 5, 6];
        let outer = Element::only(&bytes).unwrap();
        assert_eq!(outer.raw, bytes);
        let mut reader = outer.reader();
        assert!(reader.take(OCTET_STRING).is_none());
        assert!(reader.take_wrapped(CONTEXT_0, OCTET_STRING).is_none());
        let wrapped = reader.take_wrapped(CONTEXT_0, INTEGER).unwrap();
        assert_eq!(wrapped.content, [7]);
        assert!(!reader.is_done());
        assert_eq!(reader.take(OCTET_STRING).unwrap().content, [5, 6]);
        assert!(reader.is_done());
    }
}
