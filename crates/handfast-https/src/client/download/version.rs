//! Which version of a file a part belongs to: what the server said of it, kept beside the part in `NAME.part.state`.
//!
//! The state is written before the first byte of the part: a process that is killed leaves a part with its state, or an empty
//! part. A part without a state may belong to anything, and is not continued.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use handfast_http::decimal;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, DATE, ETAG, HeaderName, LAST_MODIFIED};
use http::{HeaderMap, HeaderValue, StatusCode};

use super::part::create_unlinked;
use crate::client::content_range::ContentRange;
use crate::client::spans::Spans;

/// The first line of a state. Another format has another.
const FORMAT: &str = "handfast download 1";

/// A state is a few short fields; what is longer was not written here.
const STATE_BYTES_MAX: u64 = 16 * 1024;

/// A file of this size arrives again before its state would have been of use.
pub(super) const KEPT_FROM_BYTES: u64 = 64 * 1024;

/// A `Last-Modified` is a strong validator if the response was made so much later (RFC 9110, section 8.8.2.2): within a second
/// a file may change twice.
const STRONG_AFTER: Duration = Duration::from_secs(1);

/// What a server says of a version.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Version {
    /// Of which URL, without a query: signatures that expire are there.
    pub(super) url: String,
    etag: Option<String>,
    last_modified: Option<String>,
    /// Whether `last_modified` identifies the version.
    is_date_strong: bool,
    coding: Option<String>,
    pub(super) total: Option<u64>,
}

/// A part belongs to the version that the server has now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Evidence {
    /// What is there is believed to belong to it: its caller says so.
    Trusted,
    /// The server was asked to compare a strong validator (`If-Range`).
    Compared,
    /// What is there was last written at this time: a version that is not newer was the same then.
    Written(SystemTime),
    None,
}

impl Version {
    /// That of a response, `url` being the one that was requested.
    pub(super) fn of(url: &str, status: StatusCode, fields: &HeaderMap) -> Self {
        let last_modified = text(fields, &LAST_MODIFIED);
        let total = match status {
            StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                ContentRange::of(fields).and_then(|range| range.total)
            }
            _ => {
                let length = fields.get(CONTENT_LENGTH);
                length.and_then(|length| decimal(length.as_bytes()))
            }
        };
        Self {
            url: without_query(url).to_owned(),
            etag: text(fields, &ETAG),
            is_date_strong: last_modified
                .as_deref()
                .zip(text(fields, &DATE).as_deref())
                .and_then(|(modified, now)| {
                    let age = http_date(now)?.duration_since(http_date(modified)?);
                    Some(age.is_ok_and(|age| age >= STRONG_AFTER))
                })
                .unwrap_or(false),
            last_modified,
            coding: text(fields, &CONTENT_ENCODING),
            total,
        }
    }

    pub(super) fn is_coded(&self) -> bool {
        self.coding.is_some()
    }

    /// The value of `If-Range`: a strong validator (RFC 9110, section 13.1.5).
    pub(super) fn if_range(&self) -> Option<HeaderValue> {
        let etag = self.etag.as_deref().filter(|etag| !etag.starts_with("W/"));
        let date = self
            .last_modified
            .as_deref()
            .filter(|_| self.is_date_strong);
        HeaderValue::try_from(etag.or(date)?).ok()
    }

    /// Does a field of one differ from that of the other? A field that one of them lacks says nothing.
    pub(super) fn contradicts(&self, now: &Self) -> bool {
        let differs = |one: &Option<String>, other: &Option<String>| {
            one.as_deref()
                .zip(other.as_deref())
                .is_some_and(|(one, other)| one != other)
        };
        differs(&self.etag, &now.etag)
            || differs(&self.last_modified, &now.last_modified)
            || self
                .total
                .zip(now.total)
                .is_some_and(|(one, other)| one != other)
    }

    /// Does what is there belong to the version that a response is of?
    pub(super) fn is_that_of(&self, now: &Self, evidence: Evidence) -> bool {
        // A part without a coding does not go on with one: some servers have one validator for both. The rest of one with a
        // coding may come without the field.
        let is_coded_otherwise = now.coding.is_some() && self.coding != now.coding;
        if is_coded_otherwise || self.contradicts(now) {
            return false;
        }
        match evidence {
            Evidence::Trusted | Evidence::Compared => true,
            Evidence::Written(then) => {
                let modified = now.last_modified.as_deref().and_then(http_date);
                modified.is_some_and(|modified| modified <= then)
            }
            Evidence::None => false,
        }
    }

    /// Writes the state of a part; `arrived`: which bytes are there, if they did not come in order.
    pub(super) fn write(&self, path: &Path, arrived: Option<&Spans>) -> io::Result<()> {
        let mut lines = format!("{FORMAT}\nurl {}\n", self.url);
        let total = self.total.map(|total| total.to_string());
        let arrived = arrived.map(Spans::to_string);
        let date = match self.is_date_strong {
            true => "last-modified",
            false => "last-modified-weak",
        };
        for (name, value) in [
            ("etag", &self.etag),
            (date, &self.last_modified),
            ("coding", &self.coding),
            ("length", &total),
            ("arrived", &arrived),
        ] {
            if let Some(value) = value {
                lines.push_str(&format!("{name} {value}\n"));
            }
        }
        create_unlinked(path)?.write_all(lines.as_bytes())
    }

    /// Reads the state of a part, and which bytes are there, if they did not come in order; `None` if there is none that can be
    /// used.
    pub(super) fn read(path: &Path) -> Option<(Self, Option<Spans>)> {
        let mut content = String::new();
        let file = fs::File::open(path).ok()?;
        file.take(STATE_BYTES_MAX)
            .read_to_string(&mut content)
            .ok()?;
        let mut lines = content.lines();
        if lines.next() != Some(FORMAT) {
            return None;
        }
        let mut version = Self::default();
        let mut arrived = None;
        for line in lines {
            let (name, value) = line.split_once(' ')?;
            match name {
                "url" => value.clone_into(&mut version.url),
                "etag" => version.etag = Some(value.to_owned()),
                "last-modified" | "last-modified-weak" => {
                    version.last_modified = Some(value.to_owned());
                    version.is_date_strong = name == "last-modified";
                }
                "coding" => version.coding = Some(value.to_owned()),
                "length" => version.total = Some(decimal(value.as_bytes())?),
                "arrived" => arrived = Some(Spans::parse(value)?),
                _ => return None,
            }
        }
        (!version.url.is_empty()).then_some((version, arrived))
    }
}

/// Where the state of a part is.
pub(super) fn state_of(part: &Path) -> PathBuf {
    let mut name = part.as_os_str().to_owned();
    name.push(".state");
    name.into()
}

/// A URL without its query and fragment.
pub(super) fn without_query(url: &str) -> &str {
    url.split_once(['?', '#']).map_or(url, |(before, _)| before)
}

fn text(fields: &HeaderMap, name: &HeaderName) -> Option<String> {
    let value = fields.get(name)?.to_str().ok()?;
    Some(value.to_owned()).filter(|value| !value.is_empty())
}

fn http_date(text: &str) -> Option<SystemTime> {
    httpdate::parse_http_date(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(fields: &[(HeaderName, &str)]) -> Version {
        let mut all = HeaderMap::new();
        for (name, value) in fields {
            all.insert(name.clone(), HeaderValue::try_from(*value).unwrap());
        }
        Version::of("https://h/a?q", StatusCode::OK, &all)
    }

    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    #[test]
    fn only_strong_validators_are_compared_by_the_server() {
        for (fields, expected) in [
            (&[(ETAG, "\"a\"")][..], Some("\"a\"")),
            (&[(ETAG, "W/\"a\"")], None),
            (&[(LAST_MODIFIED, MODIFIED)], None),
            (&[(LAST_MODIFIED, MODIFIED), (DATE, MODIFIED)], None),
            (&[(LAST_MODIFIED, MODIFIED), (DATE, LATER)], Some(MODIFIED)),
            (
                &[(ETAG, "W/\"a\""), (LAST_MODIFIED, MODIFIED), (DATE, LATER)],
                Some(MODIFIED),
            ),
            (&[(LAST_MODIFIED, "yesterday"), (DATE, LATER)], None),
            (&[], None),
        ] {
            let value = version(fields).if_range();
            let value = value.as_ref().map(|value| value.to_str().unwrap());
            assert_eq!(value, expected, "{fields:?}");
        }
    }

    #[test]
    fn a_version_is_recognised_by_its_fields_and_the_evidence() {
        let first = version(&[
            (ETAG, "\"a\""),
            (LAST_MODIFIED, MODIFIED),
            (CONTENT_LENGTH, "9"),
        ]);
        let date = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        for (now, evidence, expected) in [
            (&[(ETAG, "\"a\"")][..], Evidence::Compared, true),
            (&[(ETAG, "\"b\"")], Evidence::Compared, false),
            (&[(CONTENT_LENGTH, "8")], Evidence::Compared, false),
            (&[(CONTENT_LENGTH, "8")], Evidence::Trusted, false),
            (&[(LAST_MODIFIED, LATER)], Evidence::Compared, false),
            (&[(CONTENT_ENCODING, "gzip")], Evidence::Compared, false),
            (&[], Evidence::Compared, true),
            (&[], Evidence::None, false),
            (
                &[(LAST_MODIFIED, MODIFIED)],
                Evidence::Written(date(784_111_777)),
                true,
            ),
            (
                &[(LAST_MODIFIED, MODIFIED)],
                Evidence::Written(date(784_111_776)),
                false,
            ),
            (&[], Evidence::Written(date(784_111_777)), false),
        ] {
            let is_same = first.is_that_of(&version(now), evidence);
            assert_eq!(is_same, expected, "{now:?} {evidence:?}");
        }
    }

    #[test]
    fn a_state_is_read_as_it_was_written_and_nothing_else_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("x.part.state");
        for fields in [
            &[][..],
            &[(ETAG, "\"a b\""), (CONTENT_LENGTH, "9")],
            &[
                (LAST_MODIFIED, MODIFIED),
                (DATE, LATER),
                (CONTENT_ENCODING, "gzip"),
            ],
            &[(LAST_MODIFIED, MODIFIED)],
        ] {
            let written = version(fields);
            for arrived in [None, Some(Spans::default()), Some(Spans::up_to(7))] {
                written.write(&path, arrived.as_ref()).unwrap();
                assert_eq!(Version::read(&path), Some((written.clone(), arrived)));
            }
        }
        for bad in [
            "",
            "x",
            "handfast download 2\nurl https://h/a\n",
            "handfast download 1\n",
            "handfast download 1\nurl h\nlength x\n",
            "handfast download 1\nurl h\narrived 5-2\n",
        ] {
            fs::write(&path, bad).unwrap();
            assert_eq!(Version::read(&path), None, "{bad}");
        }
    }
}
