//! XMPP: a stream of XML, of which only tags matter until TLS begins.

use super::problem::StartTlsProblem;
use super::step::{Step, evidence};

const NAMESPACE: &str = "urn:ietf:params:xml:ns:xmpp-tls";

/// Where in the dialogue we are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Awaited {
    Features,
    Proceed,
}

impl Awaited {
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Features => "the stream's features",
            Self::Proceed => "the answer to starttls",
        }
    }
}

/// The opening of our stream (RFC 6120, section 4.2).
pub(super) fn header(server_name: &str) -> Vec<u8> {
    let mut to = String::with_capacity(server_name.len());
    for character in server_name.chars() {
        match character {
            '&' => to.push_str("&amp;"),
            '<' => to.push_str("&lt;"),
            '\'' => to.push_str("&apos;"),
            character if character.is_control() => {}
            character => to.push(character),
        }
    }
    format!(
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' \
         xmlns:stream='http://etherx.jabber.org/streams' to='{to}' version='1.0'>"
    )
    .into_bytes()
}

pub(super) fn step(awaited: &mut Awaited, input: &[u8]) -> Result<Step, StartTlsProblem> {
    let answer = || evidence(input);
    let first = input.iter().find(|byte| !byte.is_ascii_whitespace());
    if first.is_some_and(|byte| *byte != b'<') {
        return Err(StartTlsProblem::Unexpected {
            awaited: awaited.describe(),
            answer: answer(),
        });
    }
    let mut offered = false;
    let mut used = 0;
    while let Some(tag) = next_tag(input.get(used..).unwrap_or_default()) {
        used += tag.end;
        match (*awaited, tag.name) {
            (Awaited::Features, b"stream:error" | b"/stream:stream") => {
                return Err(StartTlsProblem::ClientRefused { answer: answer() });
            }
            (Awaited::Proceed, b"stream:error" | b"/stream:stream" | b"failure") => {
                return Err(StartTlsProblem::Refused { answer: answer() });
            }
            (Awaited::Features, b"starttls") => offered = true,
            (Awaited::Features, b"/stream:features") if offered => {
                *awaited = Awaited::Proceed;
                let next = format!("<starttls xmlns='{NAMESPACE}'/>").into_bytes();
                return Ok(Step::Say { used, next });
            }
            (Awaited::Features, b"/stream:features") => {
                return Err(StartTlsProblem::NotOffered { offered: answer() });
            }
            // No features at all.
            (Awaited::Features, b"stream:features") if tag.is_empty => {
                return Err(StartTlsProblem::NotOffered { offered: answer() });
            }
            (Awaited::Proceed, b"proceed") if tag.is_empty => return Ok(done(used)),
            (Awaited::Proceed, b"/proceed") => return Ok(done(used)),
            _ => {}
        }
    }
    Ok(Step::Wait)
}

fn done(used: usize) -> Step {
    Step::Done {
        used,
        last: Vec::new(),
    }
}

struct Tag<'t> {
    /// With a `/` before it when it closes an element.
    name: &'t [u8],
    /// `<name/>`
    is_empty: bool,
    /// Where the text behind it begins.
    end: usize,
}

/// The next tag, once it is whole. `>` does not end it inside of a quoted value.
fn next_tag(input: &[u8]) -> Option<Tag<'_>> {
    let start = input.iter().position(|byte| *byte == b'<')?;
    let inside = input.get(start + 1..)?;
    let mut quote = None;
    let length = inside.iter().position(|byte| {
        match (quote, *byte) {
            (None, b'>') => return true,
            (None, b'"' | b'\'') => quote = Some(*byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
        false
    })?;
    let inside = inside.get(..length)?;
    let name_end = inside
        .iter()
        .skip(1)
        .position(|byte| byte.is_ascii_whitespace() || *byte == b'/')
        .map_or(inside.len(), |position| position + 1);
    Some(Tag {
        name: inside.get(..name_end)?,
        is_empty: inside.last() == Some(&b'/'),
        end: start + 1 + length + 1,
    })
}
