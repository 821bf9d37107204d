//! Explanations of [`StartTlsError`].

use crate::starttls::problem::{StartTlsError, StartTlsProblem};
use handfast::quote_bytes;

pub(super) fn evidence(error: &StartTlsError) -> Vec<String> {
    match &error.problem {
        StartTlsProblem::NotOffered { offered: bytes } => {
            vec![format!("what it offers: {}", quote_bytes(bytes))]
        }
        StartTlsProblem::Refused { answer: bytes }
        | StartTlsProblem::ClientRefused { answer: bytes } => {
            vec![format!("its answer: {}", quote_bytes(bytes))]
        }
        StartTlsProblem::Unexpected { answer: bytes, .. } => {
            vec![format!("received: {}", quote_bytes(bytes))]
        }
        StartTlsProblem::Injected { bytes } => {
            vec![format!("what followed: {}", quote_bytes(bytes))]
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
            "enable TLS on the {protocol} server; if it is enabled, something on the network removes the offer: use the port with TLS from the start"
        ),
        StartTlsProblem::Refused { .. } => {
            "see the server's log: its certificate or key may be missing".into()
        }
        StartTlsProblem::ClientRefused { .. } => {
            "read its answer: block lists, too many connections and maintenance are usual reasons; ask the server's administrator, or try from another address"
                .into()
        }
        StartTlsProblem::Unexpected { .. } | StartTlsProblem::TooLong { .. } => {
            format!("check the port: it should be a port for {protocol}")
        }
        StartTlsProblem::Injected { .. } => {
            "something on the network may be inserting commands: try another network; if it persists, the server is broken: do not use it"
                .into()
        }
        StartTlsProblem::Ended { .. } => "see the server's log".into(),
        StartTlsProblem::AlreadyTls => "connect without STARTTLS on this port".into(),
    })
}
