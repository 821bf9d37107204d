//! A command line, run by both programs, and what came of it.

use std::collections::BTreeMap;

use handfast_testbed::launch::Program;

use super::place::{Place, World};
use super::row::{Aspect, Row, words};

/// What is sent, and does not need to be the same: the client's name, and a field for proxies of the 1990s that curl sends.
const APART: [&str; 3] = [
    "user-agent: handfast",
    "user-agent: curl",
    "proxy-connection: keep-alive",
];

#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) code: i32,
    requests: Vec<String>,
    stdout: String,
    files: BTreeMap<String, String>,
    stderr: String,
}

impl Outcome {
    /// An aspect of it, as text.
    fn text(&self, aspect: Aspect) -> String {
        match aspect {
            Aspect::Code => self.code.to_string(),
            Aspect::Requests => self.requests.join("\n"),
            Aspect::Stdout => self.stdout.clone(),
            Aspect::Files => format!("{:#?}", self.files),
        }
    }
}

/// The aspects in which two differ.
pub(super) fn differing(one: &Outcome, other: &Outcome) -> Vec<Aspect> {
    let differs = |aspect: &Aspect| one.text(*aspect) != other.text(*aspect);
    Aspect::ALL.into_iter().filter(differs).collect()
}

/// How they differ, for whoever has to find out why.
pub(super) fn evidence(ours: &Outcome, curls: Option<&Outcome>) -> String {
    let Some(curls) = curls else {
        return format!("{ours:#?}\n");
    };
    let mut text = String::new();
    for aspect in differing(ours, curls) {
        let (ours, curls) = (ours.text(aspect), curls.text(aspect));
        text += &format!("  {}:\n", aspect.word());
        for (mark, one, other) in [("get ", &ours, &curls), ("curl", &curls, &ours)] {
            let mut known: Vec<_> = other.lines().collect();
            for line in one.lines() {
                match known.iter().position(|other| *other == line) {
                    Some(at) => {
                        known.swap_remove(at);
                    }
                    None => text += &format!("    {mark}: {line}\n"),
                }
            }
        }
    }
    for (name, outcome) in [("get", ours), ("curl", curls)] {
        let said = outcome.stderr.lines().filter(|line| !is_meter(line));
        let said: Vec<_> = said.take(4).collect();
        text += &format!("  {name} says: {}\n", said.join("\n    "));
    }
    text
}

/// Lines of curl's progress meter.
fn is_meter(line: &str) -> bool {
    line.contains("--:--") || line.contains("% Total") || line.contains("Dload") || line.is_empty()
}

/// `None` where a server is named that is not installed.
pub(super) fn run(world: &World, row: &Row, program: Program) -> Option<Outcome> {
    let place = Place::new(world, &format!("{} {}", row.line, row.stdin))?;
    let words = words(row.line);
    let directory = place.directory.path();
    let mut program = program
        .current_dir(directory)
        .env("HOME", directory)
        .env("XDG_CONFIG_HOME", directory.join("none"))
        .env("SSL_CERT_FILE", &world.fixture.ca)
        .env("no_proxy", "")
        .env("NO_PROXY", "")
        .stdin(place.filled(row.stdin));
    for (name, value) in &words.variables {
        program = program.env(name, place.filled(value));
    }
    let args = words.args.iter().map(|word| place.filled(word));
    let finished = program.args(args).run();
    assert!(!finished.timed_out, "{}: {finished}", row.line);
    let mut requests = Vec::new();
    for (server, received) in place.received() {
        let mut of_server: Vec<_> = split(&received)
            .iter()
            .map(|request| format!("{server}: {}", place.named(&comparable(request))))
            .collect();
        if words
            .args
            .iter()
            .any(|word| word.starts_with("-Z") || word == "--parallel")
        {
            of_server.sort();
        }
        requests.extend(of_server);
    }
    let files = place.files().into_iter();
    Some(Outcome {
        code: finished.code.unwrap_or(-1),
        requests,
        stdout: place.named(&finished.out()),
        files: files
            .map(|(name, text)| (name, place.named(&text)))
            .collect(),
        stderr: place.named(&finished.err()),
    })
}

/// Requests that came one after another: head and body of each, the body without chunks.
fn split(mut received: &str) -> Vec<(String, String)> {
    let mut requests = Vec::new();
    while let Some((head, rest)) = received.split_once("\r\n\r\n") {
        let field = |name: &str| {
            let fields = head.split("\r\n").skip(1);
            let mut named = fields.filter_map(|field| field.split_once(": "));
            named.find_map(|(found, value)| found.eq_ignore_ascii_case(name).then_some(value))
        };
        let (body, rest) = match (field("transfer-encoding"), field("content-length")) {
            (Some("chunked"), _) => without_chunks(rest),
            (_, Some(length)) => {
                let length = length.parse().unwrap_or(0).min(rest.len());
                // Of bytes that are no text nothing but their number is right.
                let length = (length..=rest.len()).find(|at| rest.is_char_boundary(*at));
                let (body, rest) = rest.split_at(length.unwrap_or(rest.len()));
                (body.to_owned(), rest)
            }
            _ => (String::new(), rest),
        };
        requests.push((head.to_owned(), body));
        received = rest;
    }
    requests
}

fn without_chunks(mut rest: &str) -> (String, &str) {
    let mut body = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        let Some((piece, behind)) = behind.split_at_checked(size) else {
            break;
        };
        body.push_str(piece);
        rest = behind.strip_prefix("\r\n").unwrap_or(behind);
        if size == 0 {
            break;
        }
    }
    (body, rest)
}

/// A request in a form that can be compared: the line, the fields sorted and in lower case, the body.
fn comparable((head, body): &(String, String)) -> String {
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default();
    let mut fields: Vec<String> = lines
        .map(|field| match field.split_once(':') {
            Some((name, value)) => format!("{}: {}", name.to_lowercase(), value.trim()),
            None => field.to_lowercase(),
        })
        .map(|field| unordered(&field))
        .filter(|field| {
            let field = field.to_lowercase();
            !APART.iter().any(|start| field.starts_with(start))
        })
        .collect();
    fields.sort();
    let mut text = format!("{line}\n{}\n\n{body}", fields.join("\n"));
    if let Some((_, boundary)) = text.split_once("boundary=") {
        let boundary = boundary.lines().next().unwrap_or_default().to_owned();
        // The boundaries are not of the same length.
        let lines: Vec<_> = text
            .lines()
            .filter(|line| !line.starts_with("content-length"))
            .collect();
        text = lines.join("\n").replace(&boundary, "BOUNDARY");
    }
    text
}

/// A field without the order that means nothing, and without what depends on chance.
fn unordered(field: &str) -> String {
    let (separator, value) = match field.split_once(": ") {
        // curl sends first what came last, against RFC 6265, section 5.4.
        Some(("cookie", value)) => ("; ", value),
        Some(("authorization", value)) if value.starts_with("Digest ") => (", ", value),
        _ => return field.to_owned(),
    };
    let (name, _) = field.split_once(": ").unwrap_or_default();
    let mut parts: Vec<_> = value
        .split(separator)
        .map(|one| one.trim_start_matches("Digest "))
        .filter(|one| !one.starts_with("cnonce=") && !one.starts_with("response="))
        // curl quotes none of them or all: both are allowed.
        .map(|one| one.replace('"', ""))
        .collect();
    parts.sort();
    format!("{name}: {}", parts.join(separator))
}
