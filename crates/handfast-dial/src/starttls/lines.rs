//! The line-based protocols: SMTP, IMAP, POP3, FTP, ManageSieve, NNTP.
//!
//! Each is a table of rounds: the command, the shape of the answer, and its check.

use super::problem::StartTlsProblem;
use super::protocol::StartTls;
use super::step::{Step, evidence};

/// One round of a dialogue: a command (none before a greeting) and the expected answer.
#[derive(Debug)]
pub(super) struct Round {
    send: &'static str,
    /// The answer, for messages.
    pub(super) awaited: &'static str,
    shape: Shape,
    check: fn(&[&str]) -> Outcome,
}

/// Where an answer ends.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// With its first line.
    Line,
    /// `250-first`, `250 last` (RFC 5321, section 4.2.1; RFC 959, section 4.2).
    Coded,
    /// With the line of this tag (RFC 9051, section 2.2.2).
    Tagged(&'static str),
    /// With a line that is a dot, unless it begins with an error (RFC 1939, section 3).
    Dotted,
    /// With a line of `OK`, `NO` or `BYE` (RFC 5804, section 1.3).
    Sieve,
}

enum Outcome {
    Fine,
    NotOffered,
    /// The client, or TLS if that was requested.
    Refused,
    /// TLS is not possible on this connection.
    NoTls,
    /// Not an answer of this protocol.
    Invalid,
}

/// `localhost`: the client's name is not sent before TLS, and servers that check it check
/// it again afterwards (RFC 3207, section 4.2).
const SMTP: &[Round] = &[
    round("", "the greeting", Shape::Coded, greeting_220),
    round(
        "EHLO localhost\r\n",
        "the answer to EHLO",
        Shape::Coded,
        ehlo,
    ),
    round(
        "STARTTLS\r\n",
        "the answer to STARTTLS",
        Shape::Coded,
        code_220,
    ),
];

const IMAP: &[Round] = &[
    round("", "the greeting", Shape::Line, imap_greeting),
    round(
        "a CAPABILITY\r\n",
        "the capabilities",
        Shape::Tagged("a"),
        imap_capability,
    ),
    round(
        "b STARTTLS\r\n",
        "the answer to STARTTLS",
        Shape::Tagged("b"),
        imap_ok,
    ),
];

const POP3: &[Round] = &[
    round("", "the greeting", Shape::Line, pop3_ok),
    round(
        "CAPA\r\n",
        "the capabilities",
        Shape::Dotted,
        pop3_capabilities,
    ),
    round("STLS\r\n", "the answer to STLS", Shape::Line, pop3_ok),
];

const FTP: &[Round] = &[
    round("", "the greeting", Shape::Coded, greeting_220),
    round(
        "AUTH TLS\r\n",
        "the answer to AUTH TLS",
        Shape::Coded,
        ftp_auth,
    ),
];

const SIEVE: &[Round] = &[
    round("", "the capabilities", Shape::Sieve, sieve_capabilities),
    round(
        "STARTTLS\r\n",
        "the answer to STARTTLS",
        Shape::Sieve,
        sieve_ok,
    ),
];

const NNTP: &[Round] = &[
    round("", "the greeting", Shape::Line, nntp_greeting),
    round(
        "STARTTLS\r\n",
        "the answer to STARTTLS",
        Shape::Line,
        nntp_starttls,
    ),
];

const fn round(
    send: &'static str,
    awaited: &'static str,
    shape: Shape,
    check: fn(&[&str]) -> Outcome,
) -> Round {
    Round {
        send,
        awaited,
        shape,
        check,
    }
}

pub(super) fn rounds(protocol: StartTls) -> &'static [Round] {
    match protocol {
        StartTls::Imap => IMAP,
        StartTls::Pop3 => POP3,
        StartTls::Ftp => FTP,
        StartTls::Sieve => SIEVE,
        StartTls::Nntp => NNTP,
        _ => SMTP,
    }
}

pub(super) fn step(rounds: &mut &'static [Round], input: &[u8]) -> Result<Step, StartTlsProblem> {
    let Some((round, rest)) = rounds.split_first() else {
        return Ok(Step::Wait);
    };
    // No answer of these protocols begins like this: do not wait for the end of the line, and accept none behind it, either.
    if input.first().is_some_and(|byte| !byte.is_ascii_graphic()) {
        return Err(StartTlsProblem::Unexpected {
            awaited: round.awaited,
            answer: evidence(input),
        });
    }
    let Some(used) = answer_len(round.shape, input) else {
        return Ok(Step::Wait);
    };
    let answer = input.get(..used).unwrap_or_default();
    let text = String::from_utf8_lossy(answer);
    let lines: Vec<&str> = text.lines().collect();
    let answer = || evidence(answer);
    match (round.check)(&lines) {
        Outcome::Fine => {}
        Outcome::NotOffered => return Err(StartTlsProblem::NotOffered { offered: answer() }),
        // Only the last round asks for TLS.
        Outcome::Refused if !rest.is_empty() => {
            return Err(StartTlsProblem::ClientRefused { answer: answer() });
        }
        Outcome::Refused | Outcome::NoTls => {
            return Err(StartTlsProblem::Refused { answer: answer() });
        }
        Outcome::Invalid => {
            return Err(StartTlsProblem::Unexpected {
                awaited: round.awaited,
                answer: answer(),
            });
        }
    }
    *rounds = rest;
    Ok(match rest.first() {
        Some(next) => Step::Say {
            used,
            next: next.send.as_bytes().to_vec(),
        },
        None => Step::Done {
            used,
            last: Vec::new(),
        },
    })
}

/// The length of the answer, once complete.
fn answer_len(shape: Shape, input: &[u8]) -> Option<usize> {
    let mut end = 0;
    let mut first: Option<&[u8]> = None;
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let text = line.strip_suffix(b"\n")?;
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        end += line.len();
        let is_first = first.is_none();
        let first = *first.get_or_insert(text);
        let last = match shape {
            Shape::Line => true,
            // FTP allows any text between the first and the last line.
            Shape::Coded if is_first => text.get(3) != Some(&b'-') || !begins_with_code(text),
            Shape::Coded => text.get(3) != Some(&b'-') && text.get(..3) == first.get(..3),
            Shape::Tagged(tag) => {
                text.strip_prefix(tag.as_bytes())
                    .is_some_and(|rest| rest.first() == Some(&b' '))
                    // A server that closes the connection or reports a syntax error answers without the tag.
                    || text.starts_with(b"* BYE")
                    || text.starts_with(b"* BAD")
            }
            Shape::Dotted => text == b"." || (is_first && !text.starts_with(b"+OK")),
            Shape::Sieve => {
                [&b"OK"[..], b"NO", b"BYE"]
                    .iter()
                    .any(|word| is_word(text, word))
                    || (is_first && text.first() != Some(&b'"'))
            }
        };
        if last {
            return Some(end);
        }
    }
    None
}

fn begins_with_code(line: &[u8]) -> bool {
    line.get(..3)
        .is_some_and(|code| code.iter().all(u8::is_ascii_digit))
}

fn is_word(line: &[u8], word: &[u8]) -> bool {
    line.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
        && line
            .get(word.len())
            .is_none_or(|next| !next.is_ascii_alphanumeric())
}

/// The three digits at the start of the last line.
fn code(lines: &[&str]) -> Option<u16> {
    let digits = lines.last()?.get(..3)?;
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    all_digits.then(|| digits.parse().ok()).flatten()
}

/// Checks a code: these are successes, error codes are refusals.
fn coded(lines: &[&str], fine: &[u16]) -> Outcome {
    match code(lines) {
        Some(code) if fine.contains(&code) => Outcome::Fine,
        Some(400..=599) => Outcome::Refused,
        _ => Outcome::Invalid,
    }
}

fn greeting_220(lines: &[&str]) -> Outcome {
    coded(lines, &[220])
}

fn code_220(lines: &[&str]) -> Outcome {
    coded(lines, &[220])
}

fn ehlo(lines: &[&str]) -> Outcome {
    match code(lines) {
        Some(250) => offered(lines.iter().any(|line| {
            line.get(4..)
                .is_some_and(|keyword| first_word_is(keyword, "STARTTLS"))
        })),
        // A server without EHLO has no extensions (RFC 5321, section 3.2).
        Some(500..=504) => Outcome::NotOffered,
        Some(400..=599) => Outcome::Refused,
        _ => Outcome::Invalid,
    }
}

fn offered(yes: bool) -> Outcome {
    if yes {
        Outcome::Fine
    } else {
        Outcome::NotOffered
    }
}

fn first_word_is(line: &str, word: &str) -> bool {
    line.split_whitespace()
        .next()
        .is_some_and(|first| first.eq_ignore_ascii_case(word))
}

/// `PREAUTH` excludes TLS: STARTTLS is forbidden in the authenticated state, so an
/// attacker may send it (RFC 9051, section 11.1).
fn imap_greeting(lines: &[&str]) -> Outcome {
    let line = lines.first().copied().unwrap_or_default();
    let mut words = line.split_whitespace();
    match (
        words.next(),
        words.next().map(str::to_ascii_uppercase).as_deref(),
    ) {
        (Some("*"), Some("OK")) => Outcome::Fine,
        (Some("*"), Some("PREAUTH")) => Outcome::NoTls,
        (Some("*"), Some("BYE")) => Outcome::Refused,
        _ => Outcome::Invalid,
    }
}

fn imap_capability(lines: &[&str]) -> Outcome {
    match imap_ok(lines) {
        Outcome::Fine => offered(lines.iter().any(|line| {
            line.starts_with("* ")
                && line
                    .split_whitespace()
                    .any(|word| word.eq_ignore_ascii_case("STARTTLS"))
        })),
        other => other,
    }
}

fn imap_ok(lines: &[&str]) -> Outcome {
    let last = lines.last().copied().unwrap_or_default();
    match last.split_whitespace().nth(1) {
        Some(word) if word.eq_ignore_ascii_case("OK") => Outcome::Fine,
        Some(_) => Outcome::Refused,
        None => Outcome::Invalid,
    }
}

fn pop3_ok(lines: &[&str]) -> Outcome {
    let line = lines.first().copied().unwrap_or_default();
    if line.starts_with("+OK") {
        Outcome::Fine
    } else if line.starts_with("-ERR") {
        Outcome::Refused
    } else {
        Outcome::Invalid
    }
}

fn pop3_capabilities(lines: &[&str]) -> Outcome {
    match pop3_ok(lines) {
        Outcome::Fine => offered(lines.iter().skip(1).any(|line| first_word_is(line, "STLS"))),
        // The server is older than CAPA (RFC 2449), which STLS does not require.
        Outcome::Refused => Outcome::Fine,
        other => other,
    }
}

fn ftp_auth(lines: &[&str]) -> Outcome {
    coded(lines, &[234])
}

fn nntp_greeting(lines: &[&str]) -> Outcome {
    coded(lines, &[200, 201])
}

fn nntp_starttls(lines: &[&str]) -> Outcome {
    coded(lines, &[382])
}

fn sieve_capabilities(lines: &[&str]) -> Outcome {
    match sieve_ok(lines) {
        Outcome::Fine => offered(
            lines
                .iter()
                .any(|line| line.trim().eq_ignore_ascii_case("\"STARTTLS\"")),
        ),
        other => other,
    }
}

fn sieve_ok(lines: &[&str]) -> Outcome {
    let last = lines.last().copied().unwrap_or_default().as_bytes();
    if is_word(last, b"OK") {
        Outcome::Fine
    } else if is_word(last, b"NO") || is_word(last, b"BYE") {
        Outcome::Refused
    } else {
        Outcome::Invalid
    }
}
