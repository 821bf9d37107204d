//! Recorded ClientHellos of browsers, libraries and other programs, from testssl.sh: each is sent to
//! `handfast serve`, which must respond with a ServerHello. The handshake is not continued, since the keys are
//! unknown.
//!
//! Each is sent to a server with an ECDSA certificate and to one with an RSA certificate; one ServerHello is
//! enough. Clients of protocols other than HTTP are included: TLS is the same.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use handfast_probe::{Answer, AnswerReader};
use handfast_testbed::pki::{Key, Spec};

use crate::ledger::{Results, TestResult, column};
use crate::serving::Serving;
use crate::suite_run::{Run, SuiteError};

/// How long a response may take, on a loaded machine.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// The names of the test server.
const NAMES: &[&str] = &["localhost", "127.0.0.1"];

/// Runs it.
///
/// # Errors
/// A server that does not start, or a file without hellos.
pub fn run(run: &Run) -> Result<Results, SuiteError> {
    let text = fs::read_to_string(&run.with).map_err(|error| SuiteError::at(&run.with, error))?;
    let clients = clients_of(&text);
    if clients.is_empty() {
        return Err(SuiteError::at(&run.with, "no hellos in it"));
    }
    let servers = match run.port {
        Some(port) => vec![Serving::elsewhere(port)],
        None => vec![
            Serving::start(&run.program, &[])?,
            Serving::with_certificate(&run.program, Spec::server(NAMES).key(Key::Rsa2048), &[])?,
        ],
    };
    let mut results = Results::new();
    for (name, hello) in clients {
        if run.only.as_ref().is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let answers = servers.iter().map(|server| ask(server.port(), &hello));
        let answers: Vec<_> = answers.collect();
        let result = match answers
            .iter()
            .any(|answer| matches!(answer, Answer::Hello(_)))
        {
            true => TestResult::Passed,
            false => TestResult::Deviates(describe(answers.last())),
        };
        results.insert(column(&name), result);
    }
    Ok(results)
}

fn describe(answer: Option<&Answer>) -> String {
    match answer {
        Some(Answer::Alert(alert)) => format!("alert: {}", alert.name()),
        Some(Answer::Closed { .. }) => "closed".to_owned(),
        Some(Answer::Silent) => "silence".to_owned(),
        Some(other) => column(&format!("{other:?}")),
        None => "nothing".to_owned(),
    }
}

fn ask(port: u16, hello: &[u8]) -> Answer {
    let until = Instant::now() + ANSWER_WITHIN;
    let mut reader = AnswerReader::new();
    let Ok(mut socket) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) else {
        return reader.end();
    };
    if socket.write_all(hello).is_err() {
        return reader.end();
    }
    let mut buffer = [0; 16 * 1024];
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() || socket.set_read_timeout(Some(left)).is_err() {
            return reader.give_up();
        }
        match socket.read(&mut buffer) {
            Ok(0) => return reader.end(),
            Ok(count) => {
                if let Some(answer) = reader.push(&buffer[..count]) {
                    return answer;
                }
            }
            Err(_) => return reader.give_up(),
        }
    }
}

/// Names and hellos from the shell's arrays. Clients without a recorded hello are omitted.
fn clients_of(text: &str) -> Vec<(String, Vec<u8>)> {
    let mut clients: Vec<(String, Vec<u8>)> = Vec::new();
    let mut name = None;
    for line in text.lines().map(str::trim) {
        if let Some(value) = value_of(line, "names") {
            name = Some(value.to_owned());
        } else if let Some(value) = value_of(line, "handshakebytes")
            && let Some(hello) = from_hex(value)
            && let Some(name) = name.take()
        {
            // Some names occur twice, with different hellos.
            let repeated = clients
                .iter()
                .filter(|(known, _)| *known == name || known.starts_with(&format!("{name} #")));
            let name = match repeated.count() {
                0 => name,
                count => format!("{name} #{}", count + 1),
            };
            clients.push((name, hello));
        }
    }
    clients
}

fn value_of<'a>(line: &'a str, array: &str) -> Option<&'a str> {
    line.strip_prefix(array)?
        .strip_prefix("+=(\"")?
        .strip_suffix("\")")
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || !text.len().is_multiple_of(2) {
        return None;
    }
    let digits: Option<Vec<u8>> = text.chars().map(|c| Some(c.to_digit(16)? as u8)).collect();
    Some(
        digits?
            .chunks(2)
            .map(|pair| pair[0] << 4 | pair[1])
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_hellos_are_found_among_the_arrays() {
        let text = r#"
            # names+=("Not this one")
            names+=("Browser 1")
            short+=("b1")
            handshakebytes+=("160301")
            names+=("Old")
            handshakebytes+=("")
            names+=("Browser 1")
            handshakebytes+=("1603ff")
        "#;
        assert_eq!(
            clients_of(text),
            [
                ("Browser 1".to_owned(), vec![0x16, 3, 1]),
                ("Browser 1 #2".to_owned(), vec![0x16, 3, 0xff]),
            ]
        );
    }

    #[test]
    fn hellos_that_are_not_hexadecimal_are_ignored() {
        for text in ["", "1", "1g", "ä1"] {
            assert_eq!(from_hex(text), None, "{text}");
        }
    }
}
