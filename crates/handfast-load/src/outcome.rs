//! The result of one request.

use handfast::{Ending, Explanation};
use handfast_http::h2::frame::code;

/// A complete response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) body_bytes: u64,
}

/// Why there is no complete response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Broken {
    /// It is incomplete.
    Truncated(Ending),
    /// There is none: the connection ended like this.
    Empty(Ending),
    /// It is not HTTP.
    Malformed(String),
    /// HTTP/2: the server reset the stream with this error code, after or before the response began.
    StreamReset { code: u32, begun: bool },
    /// HTTP/2: the server closed the connection (GOAWAY). It did not process the request when its
    /// stream was refused; otherwise it may have processed it.
    GoAway { code: u32, refused: bool },
}

impl Broken {
    pub(super) fn malformed(what: &str) -> Self {
        Self::Malformed(handfast::escape_control(what).into_owned())
    }

    /// Whether a response began and is incomplete.
    pub(super) fn is_truncated(&self) -> bool {
        matches!(
            self,
            Self::Truncated(_) | Self::StreamReset { begun: true, .. }
        )
    }

    /// Whether the server did not process the request, so that it can be sent again
    /// (RFC 9113, section 8.7)?
    pub(super) fn is_refused(&self) -> bool {
        /// RFC 9113, section 7.
        const REFUSED_STREAM: u32 = 7;
        matches!(
            self,
            Self::GoAway { refused: true, .. }
                | Self::StreamReset {
                    code: REFUSED_STREAM,
                    begun: false,
                }
        )
    }

    pub(super) fn explain(&self) -> Explanation {
        match self {
            Self::Truncated(ending) => {
                Explanation::new("truncated", "a response ended before it was complete")
                    .with_evidence(format!("the stream ended by {ending}"))
            }
            Self::Empty(Ending::Reset) => {
                Explanation::new("reset", "the connection was reset before a response came")
            }
            Self::Empty(ending) => Explanation::new(
                "empty-reply",
                "the server ended the connection without a response",
            )
            .with_evidence(format!("the stream ended by {ending}")),
            Self::Malformed(what) => Explanation::new(
                "malformed-response",
                "what the server sent is not a response",
            )
            .with_evidence(what.clone()),
            Self::StreamReset { code, .. } => {
                Explanation::new("stream-reset", "the server reset the request's stream")
                    .with_evidence(format!("RST_STREAM with {}", code::name(*code)))
            }
            Self::GoAway { code, refused } => Explanation::new(
                "go-away",
                match refused {
                    true => "the server closes the connection and did not process the request",
                    false => "the server closed the connection without answering the request",
                },
            )
            .with_evidence(format!("GOAWAY with {}", code::name(*code))),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use handfast_testbed::golden;

    use super::*;

    #[test]
    fn explanations_match_the_golden_files() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explanations");
        let reset = |code, begun| Broken::StreamReset { code, begun };
        let texts = [
            ("truncated", Broken::Truncated(Ending::Premature)),
            ("reset", Broken::Empty(Ending::Reset)),
            ("empty-reply", Broken::Empty(Ending::CloseNotify)),
            (
                "malformed-response",
                Broken::malformed("the status line is \u{1b}[2J"),
            ),
            ("stream-reset", reset(7, false)),
            ("stream-reset.unknown", reset(0x1234, true)),
            (
                "go-away",
                Broken::GoAway {
                    code: 11,
                    refused: true,
                },
            ),
            (
                "go-away.unanswered",
                Broken::GoAway {
                    code: 0,
                    refused: false,
                },
            ),
        ];
        let texts = texts.map(|(name, broken)| {
            let explanation = broken.explain();
            assert_eq!(Some(explanation.id), name.split('.').next(), "{name}");
            (name.to_owned(), format!("{explanation}\n"))
        });
        golden::compare(&directory, 3, texts);
    }
}
