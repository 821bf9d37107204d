//! Typical chains of servers, and the verdicts of handfast and other verifiers: the table in
//! `docs/verification.md`.
//!
//! The chains are generated for every run. A test checks handfast's column; the others are from the run that
//! wrote the table.

mod chains;
pub mod others;

use std::fmt;
use std::path::{Path, PathBuf};

use handfast::{CertificateDer, ServerName, TrustAnchors, UnixTime, VerificationPolicy};

pub use chains::all;

/// The table is between these lines of the document.
const BEGIN: &str = "<!-- the table begins -->";
const END: &str = "<!-- the table ends -->";

/// Why the table could not be generated.
#[derive(Debug)]
pub struct Problem(pub String);

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Problem {}

impl Problem {
    /// A problem of `what`.
    pub fn of<E: fmt::Display>(what: &str) -> impl Fn(E) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

/// What a server sends, and the client's expectations.
#[derive(Debug, Clone)]
pub struct Chain {
    /// A description: a cell of the table.
    pub what: &'static str,
    /// The server name that the client expects.
    pub name: &'static str,
    /// As sent, the server's own certificate first, unless that is the fault.
    pub sent: Vec<CertificateDer<'static>>,
    /// The client's trust anchors.
    pub trusted: Vec<CertificateDer<'static>>,
}

impl Chain {
    /// Handfast's verdict with a client's default policy: `accepted`, or the id of the cause and, if any, the position
    /// of the certificate at fault.
    pub fn verdict(&self) -> String {
        let mut anchors = TrustAnchors::empty();
        for der in &self.trusted {
            match anchors.with_certificate_der(der.clone()) {
                Ok(more) => anchors = more,
                Err(error) => return format!("cannot be trusted: {}", error.problem),
            }
        }
        let Ok(name) = ServerName::parse(self.name) else {
            return "no server name".to_owned();
        };
        match VerificationPolicy::new(anchors).check_server_chain(
            &self.sent,
            &name,
            UnixTime::now(),
        ) {
            Ok(_) => "accepted".to_owned(),
            Err(refused) => match refused.at_index {
                Some(index) => format!("`{}` (at {index})", refused.cause.id()),
                None => format!("`{}`", refused.cause.id()),
            },
        }
    }
}

/// A line of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What the server sends.
    pub what: String,
    /// Handfast's verdict.
    pub handfast: String,
    /// Those of others.
    pub others: Vec<String>,
}

/// `docs/verification.md`.
pub fn document() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/verification.md")
}

/// The rows of the table in a document.
///
/// # Errors
/// A document without the table.
pub fn rows(document: &str) -> Result<Vec<Row>, Problem> {
    let (_, table, _) = split(document)?;
    let lines = table.lines().filter(|line| line.starts_with('|')).skip(2);
    Ok(lines
        .map(|line| {
            let mut cells = line
                .trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned());
            Row {
                what: cells.next().unwrap_or_default(),
                handfast: cells.next().unwrap_or_default(),
                others: cells.collect(),
            }
        })
        .collect())
}

/// The document with these rows in place of its own.
///
/// # Errors
/// A document without the table.
pub fn with_rows(document: &str, rows: &[Row]) -> Result<String, Problem> {
    let (before, _, after) = split(document)?;
    let mut table = format!(
        "\n| what the server sends | handfast | {} |\n",
        others::NAMES.join(" | ")
    );
    table.push_str("|---|---|---|---|---|\n");
    for row in rows {
        table.push_str(&format!(
            "| {} | {} | {} |\n",
            row.what,
            row.handfast,
            row.others.join(" | ")
        ));
    }
    Ok(format!("{before}{BEGIN}\n{table}\n{END}{after}"))
}

fn split(document: &str) -> Result<(&str, &str, &str), Problem> {
    let missing =
        || Problem("the document has no table: its first and last lines are missing".to_owned());
    let (before, rest) = document.split_once(BEGIN).ok_or_else(missing)?;
    let (table, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok((before, table, after))
}
