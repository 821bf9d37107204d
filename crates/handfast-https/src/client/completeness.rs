//! Is a response whole? The one place that decides.
//!
//! It follows only from the framing of a body together with how the stream ended. Nothing here
//! reads or waits: [`judge`] is a total function from what was seen to a verdict.
//!
//! | how the stream ended | length or chunks, all there | length or chunks, short | ends with the connection |
//! |---|---|---|---|
//! | it did not, yet | complete | not an end | not an end |
//! | `close_notify` | complete | truncated | complete |
//! | FIN without `close_notify` | complete, remark | truncated | truncated |
//! | reset | complete, remark | truncated | truncated |
//!
//! Without TLS a body that ends with the connection is complete by a FIN: there is no other end.
//!
//! Over HTTP/2 the stream's own end decides, and what the connection does is a remark at most.

use std::fmt;

use handfast::Ending;
use handfast_http::h1;

/// How the end of a response's body is known (RFC 9112, section 6.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Framing {
    /// There is none: the answer to `HEAD`, or a status that has no body.
    NoBody,
    /// So many bytes were announced.
    Length(u64),
    /// Chunks, the last of which is empty.
    Chunked,
    /// Everything up to the end of the connection.
    UntilClose,
    /// Everything up to the end of a connection without TLS: nothing shows that this was all.
    UntilFin,
    /// An HTTP/2 stream, which ends with `END_STREAM` (RFC 9113, section 5.1), and the length that was
    /// announced besides.
    Stream(Option<u64>),
}

impl Framing {
    /// How many bytes the body must have, where that was announced.
    pub fn expected(self) -> Option<u64> {
        match self {
            Self::NoBody => Some(0),
            Self::Length(length) => Some(length),
            Self::Stream(length) => length,
            Self::Chunked | Self::UntilClose | Self::UntilFin => None,
        }
    }

    /// Does the body bring its own end, without the help of the connection's?
    pub fn ends_itself(self) -> bool {
        !matches!(self, Self::UntilClose | Self::UntilFin)
    }
}

impl fmt::Display for Framing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoBody => f.write_str("no body"),
            Self::Length(length) => write!(f, "content-length: {length}"),
            Self::Chunked => f.write_str("chunked"),
            Self::UntilClose => f.write_str("until the connection ends"),
            Self::UntilFin => f.write_str("until the connection ends, without TLS"),
            Self::Stream(Some(length)) => {
                write!(f, "HTTP/2 stream, content-length: {length}")
            }
            Self::Stream(None) => f.write_str("HTTP/2 stream"),
        }
    }
}

impl From<h1::Framing> for Framing {
    fn from(framing: h1::Framing) -> Self {
        match framing {
            h1::Framing::None => Self::NoBody,
            h1::Framing::Length(length) => Self::Length(length),
            h1::Framing::Chunked => Self::Chunked,
            h1::Framing::UntilClose => Self::UntilClose,
        }
    }
}

/// Proof that a response arrived whole. Only the judgement in this module makes one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    bytes: u64,
    remark: Option<Ending>,
}

impl Whole {
    /// How many bytes the body had, as framed.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How the connection ended after the body, where that was not as it should be: the body is whole
    /// by its own framing, but the peer did not say `close_notify`.
    pub fn remark(&self) -> Option<Ending> {
        self.remark
    }
}

/// What is to be thought of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// All of it arrived.
    Whole(Whole),
    /// It ended before its end.
    #[non_exhaustive]
    Truncated {
        /// How many bytes should have come, where that was announced.
        expected: Option<u64>,
        /// How many came.
        received: u64,
        /// How the connection ended; `None` when it was the stream or its framing that broke off.
        ending: Option<Ending>,
    },
}

/// Judges a body that will not go on: `received` bytes of it arrived, `framed_end` says whether its
/// own last mark was seen (all bytes of the length, the last chunk, `END_STREAM`), and `ending` how the
/// connection's incoming direction ended, if it did.
pub fn judge(framing: Framing, received: u64, framed_end: bool, ending: Option<Ending>) -> Verdict {
    let whole = match framing {
        Framing::NoBody => true,
        Framing::Length(length) => received == length,
        Framing::Chunked => framed_end,
        Framing::Stream(length) => framed_end && length.is_none_or(|length| length == received),
        Framing::UntilClose => ending == Some(Ending::CloseNotify),
        // RFC 9112, section 9.8: without TLS there is no more to be had than a close that is no reset.
        Framing::UntilFin => matches!(ending, Some(Ending::CloseNotify | Ending::Premature)),
    };
    if whole {
        Verdict::Whole(Whole {
            bytes: received,
            remark: ending.filter(|ending| match framing {
                Framing::UntilFin => *ending == Ending::Reset,
                _ => *ending != Ending::CloseNotify,
            }),
        })
    } else {
        Verdict::Truncated {
            expected: framing.expected(),
            received,
            ending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ENDINGS: [Option<Ending>; 4] = [
        None,
        Some(Ending::CloseNotify),
        Some(Ending::Premature),
        Some(Ending::Reset),
    ];

    /// `=` whole, `~` whole with a remark, `-` truncated.
    fn symbol(verdict: Verdict) -> char {
        match verdict {
            Verdict::Whole(whole) if whole.remark().is_none() => '=',
            Verdict::Whole(_) => '~',
            Verdict::Truncated { .. } => '-',
        }
    }

    #[test]
    fn the_table_of_endings_cell_by_cell() {
        // Columns: the connection goes on, close_notify, FIN, reset.
        for (framing, received, framed_end, expected) in [
            (Framing::NoBody, 0, true, "==~~"),
            (Framing::Length(10), 10, true, "==~~"),
            (Framing::Length(10), 9, false, "----"),
            (Framing::Length(0), 0, true, "==~~"),
            (Framing::Chunked, 10, true, "==~~"),
            (Framing::Chunked, 10, false, "----"),
            (Framing::UntilClose, 10, true, "-=--"),
            (Framing::UntilClose, 10, false, "-=--"),
            (Framing::UntilClose, 0, false, "-=--"),
            (Framing::UntilFin, 10, false, "-==-"),
            (Framing::Stream(None), 10, true, "==~~"),
            (Framing::Stream(None), 10, false, "----"),
            (Framing::Stream(Some(10)), 10, true, "==~~"),
            (Framing::Stream(Some(10)), 10, false, "----"),
            (Framing::Stream(Some(10)), 9, true, "----"),
        ] {
            let row: String = ENDINGS
                .into_iter()
                .map(|ending| symbol(judge(framing, received, framed_end, ending)))
                .collect();
            assert_eq!(row, expected, "{framing} {received} {framed_end}");
        }
    }

    fn any_framing() -> impl Strategy<Value = Framing> {
        prop_oneof![
            Just(Framing::NoBody),
            any::<u64>().prop_map(Framing::Length),
            Just(Framing::Chunked),
            Just(Framing::UntilClose),
            Just(Framing::UntilFin),
            any::<Option<u64>>().prop_map(Framing::Stream),
        ]
    }

    proptest! {
        /// Without the framing's own end, nothing but `close_notify` makes a body whole.
        #[test]
        fn nothing_short_is_ever_whole(
            framing in any_framing(),
            received: u64,
            framed_end: bool,
            ending in prop::sample::select(&ENDINGS[..]),
        ) {
            let verdict = judge(framing, received, framed_end, ending);
            if let Verdict::Whole(whole) = verdict {
                prop_assert!(framing == Framing::NoBody
                    || framing.expected().is_none_or(|expected| expected == received));
                prop_assert!(framed_end
                    || framing == Framing::NoBody
                    || framing == Framing::Length(received)
                    || ending == Some(Ending::CloseNotify)
                    || framing == Framing::UntilFin && ending == Some(Ending::Premature));
                prop_assert_eq!(whole.remark().is_some(),
                    matches!(ending, Some(Ending::Premature | Ending::Reset))
                        && framing != Framing::UntilFin);
            }
        }
    }
}
