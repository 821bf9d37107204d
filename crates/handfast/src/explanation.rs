//! An explanation as a value: a stable id, what happened, what shows it, what to do.

use std::{fmt, io};

use crate::phase::Phase;
use crate::x509::escape_control;

/// The explanation of an error for users.
///
/// `Display` prints all of it, in plain text without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// A stable id in kebab-case: part of the interface, for scripts and for documentation.
    pub id: &'static str,
    /// What happened, in one sentence without a full stop.
    pub what: String,
    /// The evidence, a line each.
    pub evidence: Vec<String>,
    /// What to do, a line each; may be empty.
    pub fix: Vec<String>,
}

impl Explanation {
    /// An explanation of an error outside this library, in the same form.
    ///
    /// Text from a peer must be escaped by [`escape_control`] before.
    pub fn new(id: &'static str, what: impl Into<String>) -> Self {
        Self {
            id,
            what: what.into(),
            evidence: Vec::new(),
            fix: Vec::new(),
        }
    }

    /// Adds a line of evidence.
    #[must_use]
    pub fn with_evidence(mut self, line: impl Into<String>) -> Self {
        self.evidence.push(line.into());
        self
    }

    /// Adds a line about what to do.
    #[must_use]
    pub fn with_fix(mut self, line: impl Into<String>) -> Self {
        self.fix.push(line.into());
        self
    }

    /// The same for the server with this name, which is prepended unless the sentence has it already.
    #[must_use]
    pub fn about(mut self, server_name: &str) -> Self {
        if !mentions(&self.what, server_name) {
            self.what = format!("{}: {}", escape_control(server_name), self.what);
        }
        self
    }

    /// One line: the phase, the id, what happened.
    pub fn one_line(&self, phase: Phase) -> String {
        format!("{phase}: {} [{}]", self.what, self.id)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.what, self.id)?;
        for line in &self.evidence {
            write!(f, "\n  {line}")?;
        }
        for line in &self.fix {
            write!(f, "\n  fix: {line}")?;
        }
        Ok(())
    }
}

/// The operating system's message without the number that Rust adds, escaped.
pub fn plain_io_error(error: &io::Error) -> String {
    let text = error.to_string();
    escape_control(text.split(" (os error").next().unwrap_or(&text)).into_owned()
}

/// Whether a text contains a name, not as a part of another name.
fn mentions(text: &str, name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    text.match_indices(name).any(|(at, found)| {
        let before = text.get(..at).and_then(|text| text.chars().next_back());
        let mut after = text.get(at + found.len()..).unwrap_or_default().chars();
        let ends = match after.next() {
            // The end of a sentence is not another label.
            Some('.') => !after.next().is_some_and(is_part),
            Some(c) => !is_part(c),
            None => true,
        };
        !before.is_some_and(is_part) && ends
    })
}
