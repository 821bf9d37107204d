//! docs/curl.md, made of what was seen.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::options;
use super::place::SERVERS;
use super::row::{Aspect, Row};
use super::topics::TOPICS;

/// If set, the document is written. Read what changes.
const WRITE: &str = "HANDFAST_WRITE_CURL";

/// A row that was run by both.
pub(super) struct Compared {
    line: &'static str,
    ours: i32,
    curls: i32,
}

impl Compared {
    pub(super) fn new(row: &Row, ours: i32, curls: i32) -> Self {
        Self {
            line: row.line,
            ours,
            curls,
        }
    }
}

/// The document must say what was seen.
pub(super) fn check(compared: &[Compared]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/curl.md");
    let mut text = include_str!("introduction.md").to_owned();
    text += &options::table();
    text += &lines(compared);
    if std::env::var_os(WRITE).is_some() {
        fs::write(&path, &text).unwrap();
    }
    let written = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == text,
        "docs/curl.md is out of date: {WRITE}=1 writes it; then read what has changed"
    );
}

/// The table of command lines.
fn lines(compared: &[Compared]) -> String {
    let differing = TOPICS
        .iter()
        .flat_map(|(_, rows)| rows.iter())
        .filter(|row| row.differs.is_some());
    let mut text = format!(
        "\n## Command lines\n\n\
         {} command lines, each run by both against the same servers: the requests that arrive, the exit code, stdout and\n\
         the files afterwards are compared. {} differ, each with its reason. What is on stderr is not compared. Before each\n\
         line stands `curl -q` or `handfast get`; these names stand for servers:\n\n",
        compared.len(),
        differing.count()
    );
    for (name, what) in SERVERS {
        writeln!(text, "- `{name}`: {what}").unwrap();
    }
    for (topic, rows) in TOPICS {
        writeln!(text, "\n### {topic}\n").unwrap();
        text += "| command line | exit code | compared with curl |\n|---|---:|---|\n";
        for row in rows {
            let Some(one) = compared.iter().find(|one| one.line == row.line) else {
                continue;
            };
            let input = if row.stdin.is_empty() { "" } else { " < stdin" };
            let line = row.line.replace('|', "\\|");
            let line = match line.as_str() {
                "" => "(nothing)".to_owned(),
                line => format!("`{line}{input}`"),
            };
            let verdict = match row.differs {
                None => "same".to_owned(),
                Some((aspects, why)) => format!("{}: {why}", words(aspects, one)),
            };
            writeln!(text, "| {line} | {} | {verdict} |", one.ours).unwrap();
        }
    }
    text
}

/// In what they differ.
fn words(aspects: &[Aspect], compared: &Compared) -> String {
    let words: Vec<_> = aspects
        .iter()
        .map(|aspect| match aspect {
            Aspect::Code => format!("exit code (curl: {})", compared.curls),
            other => other.word().to_owned(),
        })
        .collect();
    words.join(", ")
}
