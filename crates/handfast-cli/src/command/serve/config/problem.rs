//! What is wrong with a configuration, and how it is shown: file, line and column, the line with a mark beneath.

use std::fmt::Write as _;
use std::ops::Range;
use std::path::{Path, PathBuf};

use handfast::{Explanation, escape_control};

use super::value::Place;
use crate::failure::{Failure, code};

/// How much of a line is shown: what fits beside its number on a terminal.
const SHOWN_MAX: usize = 80;

/// The text of a configuration file.
#[derive(Debug, Clone)]
pub(crate) struct Text {
    pub(crate) path: PathBuf,
    pub(crate) content: String,
}

/// Something that is wrong, and where.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) place: Place,
    pub(crate) failure: Failure,
    /// Whether the text may be a secret.
    is_secret: bool,
    /// Whether it is a mistake in the configuration, not in what the configuration names.
    is_mistake: bool,
}

impl Problem {
    /// A mistake in the configuration or the arguments.
    pub(crate) fn new(place: Place, what: impl Into<String>) -> Self {
        let explanation = Explanation::new("configuration-invalid", what);
        Self {
            place,
            failure: Failure::new(code::USAGE, explanation),
            is_secret: false,
            is_mistake: true,
        }
    }

    /// A failure to use what was configured there.
    pub(crate) fn of(place: &Place, failure: impl Into<Failure>) -> Self {
        Self {
            place: place.clone(),
            failure: failure.into(),
            is_secret: false,
            is_mistake: false,
        }
    }

    /// A failure that is a mistake in the configuration: it names what cannot be.
    pub(crate) fn mistake(place: &Place, failure: Failure) -> Self {
        Self {
            is_mistake: true,
            ..Self::of(place, failure)
        }
    }

    pub(crate) fn with_fix(mut self, fix: impl Into<String>) -> Self {
        let explanation = self.failure.explanation;
        self.failure.explanation = explanation.with_fix(fix);
        self
    }

    /// Without the text, which may be a secret.
    pub(crate) fn hiding(mut self) -> Self {
        self.is_secret = true;
        self
    }

    /// With the position, and the line.
    pub(crate) fn into_failure(self, text: Option<&Text>) -> Failure {
        let Failure { code, explanation } = self.failure;
        let (what, evidence) = match (&self.place, text) {
            (Place::File(bytes), Some(text)) => {
                let (line, column) = position(&text.content, bytes.start);
                let what = format!(
                    "{}:{line}:{column}: {}",
                    shown_path(&text.path),
                    explanation.what
                );
                let evidence = match self.is_secret {
                    true => Vec::new(),
                    false => excerpt(&text.content, bytes),
                };
                (what, evidence)
            }
            (Place::Unset, Some(text)) if self.is_mistake => {
                let what = format!("{}: {}", shown_path(&text.path), explanation.what);
                (what, Vec::new())
            }
            (Place::Flag(flag), _) if self.is_mistake => {
                (format!("{flag}: {}", explanation.what), Vec::new())
            }
            _ => (explanation.what.clone(), Vec::new()),
        };
        let mut shown = Explanation::new(explanation.id, what);
        for line in evidence.into_iter().chain(explanation.evidence) {
            shown = shown.with_evidence(line);
        }
        for fix in explanation.fix {
            shown = shown.with_fix(fix);
        }
        Failure::new(code, shown)
    }
}

pub(crate) fn shown_path(path: &Path) -> String {
    escape_control(&path.display().to_string()).into_owned()
}

/// The line and the column of a byte, both from 1; columns are characters.
pub(crate) fn position(content: &str, byte: usize) -> (usize, usize) {
    let before = content.get(..byte).unwrap_or(content);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    (line, before[start..].chars().count() + 1)
}

/// The line with a mark beneath what is meant.
fn excerpt(content: &str, bytes: &Range<usize>) -> Vec<String> {
    let (number, column) = position(content, bytes.start);
    let Some(line) = content.split('\n').nth(number - 1) else {
        return Vec::new();
    };
    let line = line.trim_end_matches('\r');
    let meant = content.get(bytes.clone()).unwrap_or_default();
    let width = meant
        .lines()
        .next()
        .map_or(1, |first| first.chars().count());
    // The part of a long line that is meant.
    let skipped = match line.chars().count() > SHOWN_MAX {
        true => (column - 1).saturating_sub(SHOWN_MAX / 2),
        false => 0,
    };
    // Each character is shown as one, so that the mark stands beneath it.
    let visible = |c: char| if c.is_control() { ' ' } else { c };
    let shown: String = line
        .chars()
        .skip(skipped)
        .take(SHOWN_MAX)
        .map(visible)
        .collect();
    let shown = escape_control(&shown).into_owned();
    let mark = (column - 1 - skipped).min(SHOWN_MAX);
    let width = width.clamp(1, (SHOWN_MAX - mark).max(1));
    let number = number.to_string();
    let mut under = " ".repeat(number.len());
    let _ = write!(under, " | {}{}", " ".repeat(mark), "^".repeat(width));
    vec![format!("{number} | {shown}").trim_end().to_owned(), under]
}
