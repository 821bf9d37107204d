//! Dialogues with proxies as tests play them: the proxy's bytes are given, in pieces of any size.

use super::problem::ProxyProblem;
use crate::dialogue::Dialogue;
use crate::error::{Cause, Error};

/// What the client sends, how it ends, and how many of the bytes were read, at most so many at a time.
pub(super) fn play(
    mut dialogue: impl Dialogue,
    answers: &[u8],
    most: usize,
) -> (Vec<u8>, Result<(), ProxyProblem>, usize) {
    let (mut sent, mut used) = (Vec::new(), 0);
    loop {
        sent.extend_from_slice(dialogue.outgoing());
        dialogue.sent(usize::MAX);
        if dialogue.is_done() {
            return (sent, Ok(()), used);
        }
        let rest = &answers[used..];
        if rest.is_empty() {
            return (sent, Err(problem(&dialogue.received_end())), used);
        }
        let piece = &rest[..dialogue.wanted().min(most).min(rest.len())];
        used += piece.len();
        if let Err(error) = dialogue.received(piece) {
            return (sent, Err(problem(&error)), used);
        }
    }
}

fn problem(error: &Error) -> ProxyProblem {
    match error.cause() {
        Cause::Proxy(error) => error.problem.clone(),
        _ => panic!("{error}"),
    }
}
