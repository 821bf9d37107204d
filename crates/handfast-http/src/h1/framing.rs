//! Where a body ends (RFC 9112, section 6.3), and whether the connection persists after it (section 9.3):
//! decided in one place, for requests and responses.

use http::{Method, StatusCode, Version};

use crate::decimal;

/// How the end of a body is determined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Framing {
    /// No body.
    None,
    /// The announced number of bytes.
    Length(u64),
    /// Chunked transfer coding.
    Chunked,
    /// Everything until the end of the connection: responses only.
    UntilClose,
}

/// Why the end of a message cannot be determined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// `Transfer-Encoding` in HTTP/1.0, which does not define it.
    CodingInHttp10,
    /// Both `Transfer-Encoding` and `Content-Length`, in a request.
    BothCodingAndLength,
    /// A transfer coding other than `chunked`.
    UnknownCoding,
    /// `Content-Length` fields that differ.
    LengthsDiffer,
    /// A `Content-Length` that is not a number.
    LengthMalformed,
}

impl Fault {
    /// A description.
    pub const fn what(self) -> &'static str {
        match self {
            Self::CodingInHttp10 => "Transfer-Encoding in HTTP/1.0",
            Self::BothCodingAndLength => "both Transfer-Encoding and Content-Length",
            Self::UnknownCoding => "unsupported transfer coding: only chunked is supported",
            Self::LengthsDiffer => "several Content-Length fields that differ",
            Self::LengthMalformed => "the Content-Length is malformed",
        }
    }
}

/// The fields of one message that concern its framing and its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    length: Length,
    coding: Coding,
    close: bool,
    keep_alive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Length {
    #[default]
    None,
    One(u64),
    /// Several equal values in one field.
    List(u64),
    Differ,
    Malformed,
}

impl Length {
    /// Not a single number: several, or none.
    fn of_list(value: &[u8]) -> Self {
        let parts = value.split(|byte| *byte == b',');
        let mut parts = parts.map(|part| decimal(part.trim_ascii()));
        let Some(Some(first)) = parts.next() else {
            return Self::Malformed;
        };
        let all = parts.try_fold(true, |same, part| Some(same & (part? == first)));
        match all {
            None => Self::Malformed,
            Some(false) => Self::Differ,
            Some(true) => Self::List(first),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Coding {
    #[default]
    None,
    Chunked,
    /// Another coding, alone or with chunked, or chunked twice.
    Other,
}

impl Facts {
    /// Records a field; its name is compared case-insensitively.
    pub fn note(&mut self, name: &str, value: &[u8]) {
        // Comparing the length first is enough for most fields.
        match name.len() {
            14 if name.eq_ignore_ascii_case("content-length") => self.note_length(value),
            17 if name.eq_ignore_ascii_case("transfer-encoding") => self.note_coding(value),
            10 if name.eq_ignore_ascii_case("connection") => self.note_connection(value),
            _ => {}
        }
    }

    fn note_length(&mut self, value: &[u8]) {
        let value = match decimal(value.trim_ascii()) {
            Some(one) => Length::One(one),
            None => Length::of_list(value),
        };
        self.length = match (self.length, value) {
            (Length::None, one) | (one, Length::None) => one,
            (Length::Malformed, _) | (_, Length::Malformed) => Length::Malformed,
            (Length::Differ, _) | (_, Length::Differ) => Length::Differ,
            (Length::One(one) | Length::List(one), Length::One(other) | Length::List(other))
                if one != other =>
            {
                Length::Differ
            }
            (Length::One(one), Length::One(_)) => Length::One(one),
            (Length::List(one), _) | (_, Length::List(one)) => Length::List(one),
        };
    }

    fn note_coding(&mut self, value: &[u8]) {
        for coding in value.split(|byte| *byte == b',') {
            let is_chunked = coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
            self.coding = match (self.coding, is_chunked) {
                (Coding::None, true) => Coding::Chunked,
                _ => Coding::Other,
            };
        }
    }

    fn note_connection(&mut self, value: &[u8]) {
        for option in value.split(|byte| *byte == b',') {
            let option = option.trim_ascii();
            self.close |= option.eq_ignore_ascii_case(b"close");
            self.keep_alive |= option.eq_ignore_ascii_case(b"keep-alive");
        }
    }

    /// Whether the sender keeps the connection open (RFC 9112, section 9.3).
    pub fn persistent(&self, version: Version) -> bool {
        !self.close && (version >= Version::HTTP_11 || self.keep_alive)
    }

    /// Whether there are both a length and a transfer coding. Parsers may disagree about such a message,
    /// so the connection must not be used again (RFC 9112, section 6.3).
    pub fn has_length_and_coding(&self) -> bool {
        self.length != Length::None && self.coding != Coding::None
    }

    /// Where the body of a request ends. Ambiguous framing is refused, because it makes request smuggling
    /// possible.
    ///
    /// # Errors
    /// [`Fault`]: respond with 501 to [`Fault::UnknownCoding`], with 400 to the others.
    pub fn of_request(&self, version: Version) -> Result<Framing, Fault> {
        if self.coding != Coding::None {
            return match self.coding {
                _ if version < Version::HTTP_11 => Err(Fault::CodingInHttp10),
                _ if self.length != Length::None => Err(Fault::BothCodingAndLength),
                Coding::Other => Err(Fault::UnknownCoding),
                Coding::None | Coding::Chunked => Ok(Framing::Chunked),
            };
        }
        match self.length {
            Length::None | Length::One(0) => Ok(Framing::None),
            Length::One(length) => Ok(Framing::Length(length)),
            Length::Differ => Err(Fault::LengthsDiffer),
            Length::List(_) | Length::Malformed => Err(Fault::LengthMalformed),
        }
    }

    /// Where the body of a response with this status, to a request with this method, ends.
    ///
    /// # Errors
    /// [`Fault`]: a server must not use a transfer coding other than chunked unless the client asked for it.
    pub fn of_response(&self, to: &Method, status: StatusCode) -> Result<Framing, Fault> {
        if *to == Method::HEAD || has_no_body(status) {
            return Ok(Framing::None);
        }
        match (self.coding, self.length) {
            (Coding::Chunked, _) => Ok(Framing::Chunked),
            (Coding::Other, _) => Err(Fault::UnknownCoding),
            (Coding::None, Length::None) => Ok(Framing::UntilClose),
            // A list of equal values is one value (RFC 9110, section 8.6).
            (Coding::None, Length::One(length) | Length::List(length)) => {
                Ok(Framing::Length(length))
            }
            (Coding::None, Length::Differ) => Err(Fault::LengthsDiffer),
            (Coding::None, Length::Malformed) => Err(Fault::LengthMalformed),
        }
    }
}

/// Statuses whose responses have no body (RFC 9112, section 6.3).
fn has_no_body(status: StatusCode) -> bool {
    status.is_informational()
        || status == StatusCode::NO_CONTENT
        || status == StatusCode::NOT_MODIFIED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(fields: &[(&str, &str)]) -> Facts {
        let mut facts = Facts::default();
        for (name, value) in fields {
            facts.note(name, value.as_bytes());
        }
        facts
    }

    #[test]
    fn framing_of_requests_and_responses() {
        const V: &str = "Content-Length";
        const T: &str = "transfer-encoding";
        type Row<'r> = (
            &'r [(&'r str, &'r str)],
            Result<Framing, Fault>,
            Result<Framing, Fault>,
        );
        let rows: &[Row<'_>] = &[
            (&[], Ok(Framing::None), Ok(Framing::UntilClose)),
            (&[(V, "5")], Ok(Framing::Length(5)), Ok(Framing::Length(5))),
            (
                &[(V, "5"), (V, "5")],
                Ok(Framing::Length(5)),
                Ok(Framing::Length(5)),
            ),
            (
                &[(V, "5, 5")],
                Err(Fault::LengthMalformed),
                Ok(Framing::Length(5)),
            ),
            (
                &[(V, "5"), (V, "6")],
                Err(Fault::LengthsDiffer),
                Err(Fault::LengthsDiffer),
            ),
            (
                &[(V, "5, 6")],
                Err(Fault::LengthsDiffer),
                Err(Fault::LengthsDiffer),
            ),
            (
                &[(V, "+5")],
                Err(Fault::LengthMalformed),
                Err(Fault::LengthMalformed),
            ),
            (
                &[(V, "")],
                Err(Fault::LengthMalformed),
                Err(Fault::LengthMalformed),
            ),
            (
                &[(V, "x"), (V, "5")],
                Err(Fault::LengthMalformed),
                Err(Fault::LengthMalformed),
            ),
            (
                &[(T, "Chunked")],
                Ok(Framing::Chunked),
                Ok(Framing::Chunked),
            ),
            (
                &[(T, "chunked"), (V, "5")],
                Err(Fault::BothCodingAndLength),
                Ok(Framing::Chunked),
            ),
            (
                &[(T, "gzip, chunked")],
                Err(Fault::UnknownCoding),
                Err(Fault::UnknownCoding),
            ),
            (
                &[(T, "chunked, chunked")],
                Err(Fault::UnknownCoding),
                Err(Fault::UnknownCoding),
            ),
            (
                &[(T, "chunked"), (T, "gzip")],
                Err(Fault::UnknownCoding),
                Err(Fault::UnknownCoding),
            ),
            (
                &[(T, "")],
                Err(Fault::UnknownCoding),
                Err(Fault::UnknownCoding),
            ),
        ];
        for (fields, request, response) in rows {
            let facts = facts(fields);
            assert_eq!(facts.of_request(Version::HTTP_11), *request, "{fields:?}");
            let found = facts.of_response(&Method::GET, StatusCode::OK);
            assert_eq!(found, *response, "{fields:?}");
            let head = facts.of_response(&Method::HEAD, StatusCode::OK);
            assert_eq!(head, Ok(Framing::None), "{fields:?}");
            let unmodified = facts.of_response(&Method::GET, StatusCode::NOT_MODIFIED);
            assert_eq!(unmodified, Ok(Framing::None), "{fields:?}");
        }
        assert_eq!(
            facts(&[(T, "chunked")]).of_request(Version::HTTP_10),
            Err(Fault::CodingInHttp10)
        );
    }

    #[test]
    fn connections_persist_by_version_and_connection_field() {
        for (value, one, zero) in [
            (None, true, false),
            (Some("x, Close"), false, false),
            (Some("Keep-Alive"), true, true),
            (Some("keep-alive, close"), false, false),
        ] {
            let fields: Vec<_> = value
                .map(|value| ("Connection", value))
                .into_iter()
                .collect();
            let facts = facts(&fields);
            assert_eq!(facts.persistent(Version::HTTP_11), one, "{value:?}");
            assert_eq!(facts.persistent(Version::HTTP_10), zero, "{value:?}");
        }
    }
}
