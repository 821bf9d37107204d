//! What happens while a file is fetched in ranges, and why it is not.

use std::fmt;
use std::ops::Range;

use http::StatusCode;

/// What happens while a file is fetched in ranges.
#[derive(Debug)]
#[non_exhaustive]
pub enum SegmentEvent<'e> {
    /// It has been divided into so many; how many bytes are to come.
    Divided {
        /// How many ranges.
        count: usize,
        /// Their bytes.
        bytes: u64,
    },
    /// A piece of one of them has come.
    Received {
        /// The piece.
        piece: &'e [u8],
    },
    /// A range could not be had: it is left to the others.
    Refused {
        /// Which bytes.
        range: Range<u64>,
        /// Why.
        why: &'e NotSegmented,
    },
    /// The ranges are not believed: the first response is read to its end.
    OneTransfer {
        /// Why.
        why: &'e NotSegmented,
    },
}

/// Why a file is not fetched in ranges.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotSegmented {
    /// One range was asked for.
    NotWanted,
    /// The request is no `GET` without a body, or for a part of the file.
    Request,
    /// The target is no file.
    Target,
    /// The response is no whole file, nor the rest of one.
    Status(StatusCode),
    /// Its size is not known.
    NoLength,
    /// It has a content coding.
    Coded,
    /// The server does not say that it sends ranges (`Accept-Ranges: bytes`).
    NoRanges,
    /// There is no strong validator (a strong `ETag`, or a `Last-Modified` that is old enough).
    NoValidator,
    /// So few bytes are to come.
    Small(u64),
    /// The server has refused a range with this status.
    Refused(StatusCode),
    /// The request for a range failed.
    Failed(String),
    /// The server has sent something else than the range.
    Disagrees(String),
}

impl fmt::Display for NotSegmented {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWanted => f.write_str("one range was asked for"),
            Self::Request => f.write_str("the request is not a GET for the whole file"),
            Self::Target => f.write_str("the target is not a file"),
            Self::Status(status) => write!(f, "the status is {status}"),
            Self::NoLength => f.write_str("the server does not announce the size"),
            Self::Coded => f.write_str("the response has a content coding"),
            Self::NoRanges => f.write_str("the server does not announce that it sends ranges"),
            Self::NoValidator => f.write_str(
                "the server sends neither a strong ETag nor a Last-Modified that is old enough",
            ),
            Self::Small(bytes) => write!(f, "{bytes} bytes are too few to divide"),
            Self::Refused(status) => write!(f, "the server answered {status} to a range"),
            Self::Failed(problem) => write!(f, "a range could not be requested: {problem}"),
            Self::Disagrees(problem) => write!(
                f,
                "the server sent something else than the range: {problem}"
            ),
        }
    }
}
