//! From the client's errors to curl's exit codes, and remarks after a success.

use std::time::Duration;

use handfast::Explanation;
use handfast_dial::Cause;
use handfast_dial::proxy::ProxyProblem;
use handfast_https::client::{Error, Finished, Framing};

use crate::advice::Advised as _;
use crate::failure::{Failure, code, exit_code, exit_code_of_dial};
use crate::output;

/// A failure of the client with its exit code.
pub(super) fn explained(error: Error) -> Failure {
    let code = match &error {
        Error::Dial(error) => exit_code_of_dial(error),
        Error::Connection(error) | Error::ProxyTls { source: error, .. } => exit_code(error),
        // As curl, which calls it an unsupported protocol.
        Error::PlainHttp { .. } | Error::UnsupportedScheme { .. } => code::OTHER,
        Error::InvalidUrl { .. } | Error::InvalidRedirect { .. } => code::BAD_URL,
        Error::InvalidRequest { .. } => code::USAGE,
        Error::Upload { .. } => code::READ,
        Error::TooManyRedirects { .. } => code::REDIRECTS,
        Error::Status { .. } => code::HTTP_STATUS,
        Error::EmptyReply { .. } => code::EMPTY_REPLY,
        Error::GoAway { .. } => code::HTTP2,
        Error::StreamReset { .. } => code::HTTP2_STREAM,
        Error::UnsupportedCoding { .. } | Error::BrokenCoding { .. } => code::CONTENT_CODING,
        Error::RangeNotSent { .. } => code::RANGE,
        Error::TooLarge { .. } | Error::DecompressionBomb { .. } => code::TOO_LARGE,
        Error::File { .. } | Error::DownloadRunning { .. } => code::WRITE,
        Error::Truncated(truncation) => match (&truncation.failure, truncation.framing) {
            (Some(failure), _) => exit_code(failure),
            (None, None | Some(Framing::UntilClose | Framing::UntilFin)) => code::RECEIVE,
            (None, Some(_)) => code::SHORT_BODY,
        },
        _ => code::RECEIVE,
    };
    Failure::new(code, error.advise())
}

/// Has an HTTP proxy answered with a status instead of making a tunnel? For `--fail` that is a status like a server's.
pub(super) fn is_refused_by_proxy(error: &Error) -> bool {
    let Error::Dial(error) = error else {
        return false;
    };
    let Cause::Proxy(error) = error.cause() else {
        return false;
    };
    let is_status = matches!(
        error.problem,
        ProxyProblem::Refused { .. } | ProxyProblem::AuthenticationRequired { .. }
    );
    is_status && !error.is_of_socks()
}

/// The time limit passed while our output was not read.
pub(super) fn unread(limit: Duration) -> Failure {
    let what = format!("the time limit of {limit:?} passed while standard output was not read");
    let explanation = Explanation::new("timed-out", what)
        .with_fix("check the program that reads the output, or allow more time (-m)");
    Failure::new(code::TIMED_OUT, explanation)
}

/// The reader of standard output closed it before the end of the body.
pub(super) fn reader_gone() -> Failure {
    let what = "standard output was closed before the whole response was written to it";
    let explanation = Explanation::new("output-closed", what)
        .with_fix("if the reader needs no more than that, add --allow-closed-pipe");
    Failure::new(code::WRITE, explanation)
}

/// The body is not text, and would be written to a terminal.
pub(super) fn binary() -> Failure {
    let what = "the body is not text, and was not written to the terminal";
    let explanation = Explanation::new("binary-output", what)
        .with_evidence("it has a byte 0")
        .with_fix("save it with -o FILE or -O, or write it to the terminal nevertheless with -o -");
    Failure::new(code::WRITE, explanation)
}

/// Prints irregularities although the response is complete.
pub(super) fn remark(finished: &Finished) {
    if let Some(ending) = finished.whole.remark() {
        output::note(format!(
            "note: the response is complete ({} bytes), but the connection ended by {ending}",
            finished.whole.bytes()
        ));
    }
    for oddity in &finished.oddities {
        output::note(format!("note: {oddity}"));
    }
    if finished.request_cut_short {
        output::note(
            "note: the server responded before it had read the whole request; the rest was not sent",
        );
    }
}

/// Adds the path of the part that arrived; `goes_on`: the same command with -C - continues it.
pub(super) fn kept_in(failure: Failure, part: &std::path::Path, goes_on: bool) -> Failure {
    let Failure { code, explanation } = failure;
    let path = part.display().to_string();
    let line = format!(
        "the part that arrived is kept in {}",
        handfast::escape_control(&path)
    );
    let mut explanation: Explanation = explanation.with_evidence(line);
    if goes_on {
        if explanation.id == "truncated" && explanation.fix.len() == 1 {
            // Less is to be fetched again than all of it.
            explanation.fix.clear();
        }
        explanation = explanation.with_fix("go on where it stopped: the same command with -C -");
    }
    Failure::new(code, explanation)
}
