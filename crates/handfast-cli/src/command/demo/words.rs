//! What both the servers and the client of the demonstration say.

use std::io;

use handfast::{Explanation, Report};

use crate::failure::{Failure, code};

/// One line about a handshake; the same for both ends.
pub(super) fn agreed(report: &Report) -> String {
    let group = report
        .group
        .map(|group| format!(", {group}"))
        .unwrap_or_default();
    let kind = if report.resumed {
        "resumed session"
    } else {
        "full handshake"
    };
    let millis = report.handshake.as_secs_f64() * 1e3;
    format!(
        "{}, {kind} in {millis:.1} ms: {}{group}",
        report.version, report.cipher_suite
    )
}

pub(super) fn cannot(what: &str, error: &io::Error) -> Failure {
    let explanation = Explanation::new("demo-failed", format!("the demonstration cannot {what}"))
        .with_evidence(error.to_string());
    Failure::new(code::OTHER, explanation)
}
