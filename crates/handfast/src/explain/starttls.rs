//! What to say about a plain-text dialogue that did not come to TLS.

use super::quoted;
use crate::starttls::{StartTlsError, StartTlsProblem};

pub(super) fn evidence(error: &StartTlsError) -> Vec<String> {
    match &error.problem {
        StartTlsProblem::NotOffered { offered: bytes } => {
            vec![format!("what it offers: {}", quoted(bytes))]
        }
        StartTlsProblem::Refused { answer: bytes }
        | StartTlsProblem::ClientRefused { answer: bytes } => {
            vec![format!("its answer: {}", quoted(bytes))]
        }
        StartTlsProblem::Unexpected { answer: bytes, .. } => {
            vec![format!("what came: {}", quoted(bytes))]
        }
        StartTlsProblem::Injected { bytes } => {
            vec![format!("what followed: {}", quoted(bytes))]
        }
        StartTlsProblem::TooLong { .. }
        | StartTlsProblem::Ended { .. }
        | StartTlsProblem::AlreadyTls => Vec::new(),
    }
}

pub(super) fn fix(error: &StartTlsError) -> Option<String> {
    let protocol = error.protocol;
    Some(match &error.problem {
        StartTlsProblem::NotOffered { .. } => format!(
            "switch TLS on at the {protocol} server; if it is on, something between removes the offer, \
             and the port that speaks TLS from the start is the way round it"
        ),
        StartTlsProblem::Refused { .. } => {
            "see the server's log: its certificate or key may be missing".into()
        }
        StartTlsProblem::ClientRefused { .. } => {
            "its answer says why, as far as it tells: a block list, too many connections, maintenance; \
             ask whoever runs it, or try from another address"
                .into()
        }
        StartTlsProblem::Unexpected { .. } | StartTlsProblem::TooLong { .. } => {
            format!("check that {protocol} is what is spoken on this port")
        }
        StartTlsProblem::Injected { .. } => {
            "somebody on the way may be inserting commands: try from another network; if it stays, the \
             server is broken and must not be used"
                .into()
        }
        StartTlsProblem::Ended { .. } => "see the server's log".into(),
        StartTlsProblem::AlreadyTls => "connect without STARTTLS on this port".into(),
    })
}
