//! The fields of responses that a load tester reads: status and content length. The table of
//! header compression has numbers and no strings.

use std::sync::LazyLock;

use handfast_http::decimal;
use handfast_http::h2::hpack::{Entry, Fields, static_table};
use handfast_http::h2::{Bounds, Judged, Role};
use http::{HeaderMap, StatusCode};

/// The load tester's side of a connection.
#[derive(Debug)]
pub(super) struct Measured;

/// The relevant names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Name {
    Status,
    Length,
    Other,
}

/// The relevant fields.
#[derive(Debug, Clone, Copy)]
pub(super) enum Field {
    Status(Option<StatusCode>),
    Length(Option<u64>),
    Other,
}

/// A head while it is parsed; then the data of a response.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Head {
    /// Its status; 0 if there is none, as in trailers.
    pub(super) status: u16,
    length: Option<u64>,
    size: usize,
    malformed: Option<&'static str>,
}

impl Fields for Measured {
    type Name = Name;
    type Field = Field;

    fn name(name: &[u8]) -> Name {
        match name {
            b":status" => Name::Status,
            b"content-length" => Name::Length,
            _ => Name::Other,
        }
    }

    fn field(name: &Name, value: &[u8]) -> Field {
        match name {
            Name::Status => Field::Status(StatusCode::from_bytes(value).ok()),
            Name::Length => Field::Length(decimal(value)),
            Name::Other => Field::Other,
        }
    }

    fn wants(name: &Name) -> bool {
        *name != Name::Other
    }

    fn table() -> &'static [Entry<Self>] {
        static TABLE: LazyLock<Vec<Entry<Measured>>> = LazyLock::new(static_table);
        &TABLE
    }
}

impl Role for Measured {
    const IS_SERVER: bool = false;
    type Head = Head;
    type Message = Head;

    fn add(head: &mut Head, field: &Field, size: usize, _bounds: Bounds) {
        head.size = head.size.saturating_add(size);
        match field {
            Field::Status(Some(status)) if head.status == 0 => head.status = status.as_u16(),
            Field::Status(_) => head.malformed = Some("the :status is malformed"),
            Field::Length(Some(length)) => head.length = Some(*length),
            Field::Length(None) => head.malformed = Some("the content-length is malformed"),
            Field::Other => {}
        }
    }

    fn judge(head: Head, bounds: Bounds) -> Judged<Head> {
        match head.malformed {
            Some(what) => Judged::Malformed(what),
            None if head.size > bounds.bytes_max => Judged::TooLarge,
            None if head.status == 0 => Judged::Malformed("a response without a status"),
            None => Judged::Message(head),
        }
    }

    fn trailers(head: Head, _bounds: Bounds) -> Result<HeaderMap, &'static str> {
        match head.status {
            0 => Ok(HeaderMap::new()),
            _ => Err("a pseudo-header field in a trailer section"),
        }
    }

    fn length(head: &Head) -> Option<u64> {
        match head.status {
            204 | 304 => Some(0),
            _ => head.length,
        }
    }

    fn is_interim(head: &Head) -> bool {
        head.status < 200
    }
}
