//! Assembling a response from the fields of a header block (RFC 9113, section 8.3.2).

use std::sync::LazyLock;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue};
use http::{StatusCode, Version};

use super::hpack::{Entry, Fields, static_table};
use super::{Bounds, Judged, Role};
use crate::decimal;

/// The client's role: it receives responses.
#[derive(Debug)]
pub struct Responses;

/// A response without its body.
#[derive(Debug)]
#[non_exhaustive]
pub struct Response {
    /// Its status.
    pub status: StatusCode,
    /// Its header fields.
    pub fields: HeaderMap,
    /// The length of the body, if it is announced.
    pub length: Option<u64>,
}

impl Response {
    /// Converts it to the type of the `http` crate.
    pub fn into_http(self) -> http::Response<()> {
        let mut response = http::Response::new(());
        *response.status_mut() = self.status;
        *response.version_mut() = Version::HTTP_2;
        *response.headers_mut() = self.fields;
        response
    }
}

/// One field of a response.
#[derive(Debug, Clone)]
pub enum Field {
    Status(StatusCode),
    Plain(HeaderName, HeaderValue),
    Malformed(&'static str),
}

/// The name of a field whose value is not yet known.
#[derive(Debug, Clone)]
pub enum Name {
    Status,
    Plain(HeaderName),
    Malformed(&'static str),
}

/// A head that is being assembled.
#[derive(Debug, Default)]
pub struct Head {
    status: Option<StatusCode>,
    fields: HeaderMap,
    count: usize,
    size: usize,
    malformed: Option<&'static str>,
}

impl Fields for Responses {
    type Name = Name;
    type Field = Field;

    fn name(name: &[u8]) -> Name {
        match name {
            b":status" => Name::Status,
            [b':', ..] => Name::Malformed("a pseudo-header field that responses do not have"),
            b"connection" | b"keep-alive" | b"proxy-connection" | b"transfer-encoding"
            | b"upgrade" => {
                Name::Malformed("a header field that belongs to a connection of HTTP/1.1")
            }
            _ => match HeaderName::from_lowercase(name) {
                Ok(name) => Name::Plain(name),
                Err(_) => Name::Malformed("a header field's name is malformed"),
            },
        }
    }

    fn field(name: &Name, value: &[u8]) -> Field {
        match name {
            Name::Status => match StatusCode::from_bytes(value) {
                Ok(status) => Field::Status(status),
                Err(_) => Field::Malformed("the :status is malformed"),
            },
            Name::Plain(name) => {
                match HeaderValue::from_maybe_shared(Bytes::copy_from_slice(value)) {
                    Ok(value) => Field::Plain(name.clone(), value),
                    Err(_) => Field::Malformed("a header field's value is malformed"),
                }
            }
            Name::Malformed(what) => Field::Malformed(what),
        }
    }

    fn table() -> &'static [Entry<Self>] {
        static TABLE: LazyLock<Vec<Entry<Responses>>> = LazyLock::new(static_table);
        &TABLE
    }
}

impl Role for Responses {
    const IS_SERVER: bool = false;
    type Head = Head;
    type Message = Response;

    fn add(head: &mut Head, field: &Field, size: usize, bounds: Bounds) {
        head.size = head.size.saturating_add(size);
        if head.is_too_large(bounds) || head.malformed.is_some() {
            return;
        }
        match field {
            Field::Status(status) => {
                if head.status.replace(*status).is_some() || head.count > 0 {
                    head.malformed = Some(":status twice, or after a header field");
                }
            }
            Field::Plain(name, value) => {
                head.count += 1;
                if head.count <= bounds.fields_max {
                    head.fields.append(name.clone(), value.clone());
                }
            }
            Field::Malformed(what) => head.malformed = Some(what),
        }
    }

    fn judge(head: Head, bounds: Bounds) -> Judged<Response> {
        if let Some(what) = head.malformed {
            return Judged::Malformed(what);
        }
        if head.is_too_large(bounds) {
            return Judged::TooLarge;
        }
        let Some(status) = head.status else {
            return Judged::Malformed("no :status");
        };
        // HTTP/2 has no upgrades (RFC 9113, section 8.6).
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return Judged::Malformed("101 Switching Protocols, which HTTP/2 does not have");
        }
        let length = match length(&head.fields) {
            Ok(length) => length,
            Err(what) => return Judged::Malformed(what),
        };
        Judged::Message(Response {
            status,
            fields: head.fields,
            length,
        })
    }

    fn trailers(head: Head, bounds: Bounds) -> Result<HeaderMap, &'static str> {
        match head.malformed {
            Some(what) => Err(what),
            None if head.is_too_large(bounds) => {
                Err("trailer fields that are too many or too long")
            }
            None if head.status.is_some() => Err("a pseudo-header field in a trailer section"),
            None => Ok(head.fields),
        }
    }

    fn length(response: &Response) -> Option<u64> {
        // The length in a 304 is that of a body that is not sent.
        match response.status {
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED => Some(0),
            _ => response.length,
        }
    }

    fn is_interim(response: &Response) -> bool {
        response.status.is_informational()
    }
}

impl Head {
    fn is_too_large(&self, bounds: Bounds) -> bool {
        self.size > bounds.bytes_max || self.count > bounds.fields_max
    }
}

/// One length: equal ones may be repeated (RFC 9110, section 8.6).
fn length(fields: &HeaderMap) -> Result<Option<u64>, &'static str> {
    let mut length = None;
    for value in fields.get_all(CONTENT_LENGTH) {
        for part in value.as_bytes().split(|byte| *byte == b',') {
            match decimal(part.trim_ascii()) {
                Some(one) if length.is_none_or(|before| before == one) => length = Some(one),
                _ => return Err("the content-length is malformed"),
            }
        }
    }
    Ok(length)
}
