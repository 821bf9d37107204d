//! Ledgers of known deviations: files of three columns, a line for each test.
//!
//! The columns are the test, our result and the reason, with a tab between them.
//!
//! New deviations and deviations that no longer occur are both reported, so that a ledger is exact.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The result of a test.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TestResult {
    /// As the suite expects.
    Passed,
    /// Not run: it needs an unsupported feature.
    Skipped,
    /// Deviates: a short description, the same in every run.
    Deviates(String),
}

/// The results of a run, by the names of the tests.
pub type Results = BTreeMap<String, TestResult>;

/// The placeholder of a missing reason.
const NO_REASON: &str = "?";

/// One known deviation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Our result.
    pub result: String,
    /// The reason.
    pub reason: String,
}

/// A ledger: known deviations by the names of the tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Lines at the top that begin with `#`.
    pub preface: Vec<String>,
    /// The deviations.
    pub entries: BTreeMap<String, Entry>,
}

/// An error in a ledger.
#[derive(Debug)]
pub enum LedgerError {
    /// The file cannot be read or written.
    Io(PathBuf, io::Error),
    /// A malformed line.
    Line {
        /// Its number, from 1.
        line: usize,
        /// The problem.
        problem: &'static str,
    },
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Line { line, problem } => write!(f, "line {line}: {problem}"),
        }
    }
}

impl std::error::Error for LedgerError {}

/// A difference between a ledger and a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// A deviation that is not in the ledger.
    New {
        /// The test.
        test: String,
        /// What happened.
        result: String,
    },
    /// A deviation that no longer occurs, or whose test no longer exists.
    Gone {
        /// The test.
        test: String,
    },
    /// It deviates in a different way.
    Changed {
        /// The test.
        test: String,
        /// The result in the ledger.
        before: String,
        /// What happened.
        result: String,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New { test, result } => write!(f, "new: {test}: {result}"),
            Self::Gone { test } => write!(f, "gone: {test}"),
            Self::Changed {
                test,
                before,
                result,
            } => write!(f, "changed: {test}: {result} (the ledger has: {before})"),
        }
    }
}

impl Ledger {
    /// Reads a ledger; a missing file is an empty one.
    ///
    /// # Errors
    /// A file that cannot be read, or a malformed line.
    pub fn read(path: &Path) -> Result<Self, LedgerError> {
        match fs::read_to_string(path) {
            Ok(text) => Self::parse(&text),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(LedgerError::Io(path.to_owned(), error)),
        }
    }

    /// Writes it, in the order of the tests' names.
    ///
    /// # Errors
    /// Those of the operating system.
    pub fn write(&self, path: &Path) -> Result<(), LedgerError> {
        fs::write(path, self.to_string()).map_err(|error| LedgerError::Io(path.to_owned(), error))
    }

    /// Parses a ledger.
    ///
    /// # Errors
    /// The first malformed line.
    pub fn parse(text: &str) -> Result<Self, LedgerError> {
        let mut ledger = Self::default();
        for (number, line) in text.lines().enumerate() {
            let bad = |problem| LedgerError::Line {
                line: number + 1,
                problem,
            };
            if line.starts_with('#') {
                if !ledger.entries.is_empty() {
                    return Err(bad("a comment between the entries"));
                }
                ledger.preface.push(line.to_owned());
                continue;
            }
            let mut columns = line.split('\t');
            let (Some(test), Some(result), Some(reason), None) = (
                columns.next(),
                columns.next(),
                columns.next(),
                columns.next(),
            ) else {
                return Err(bad("not three columns"));
            };
            if [test, result, reason]
                .iter()
                .any(|text| text.trim().is_empty())
            {
                return Err(bad("an empty column"));
            }
            let entry = Entry {
                result: result.to_owned(),
                reason: reason.to_owned(),
            };
            if ledger.entries.insert(test.to_owned(), entry).is_some() {
                return Err(bad("a duplicate test"));
            }
        }
        Ok(ledger)
    }

    /// The tests that have no reason yet.
    pub fn without_reason(&self) -> Vec<&str> {
        self.entries
            .iter()
            .filter(|(_, entry)| entry.reason == NO_REASON)
            .map(|(test, _)| test.as_str())
            .collect()
    }

    /// The differences between a run and the ledger. With `whole`, every test was run.
    pub fn compare(&self, results: &Results, whole: bool) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (test, result) in results {
            let known = self.entries.get(test);
            match (result, known) {
                (TestResult::Deviates(result), None) => differences.push(Difference::New {
                    test: test.clone(),
                    result: result.clone(),
                }),
                (TestResult::Deviates(result), Some(entry)) if *result != entry.result => {
                    differences.push(Difference::Changed {
                        test: test.clone(),
                        before: entry.result.clone(),
                        result: result.clone(),
                    });
                }
                (TestResult::Passed | TestResult::Skipped, Some(_)) => {
                    differences.push(Difference::Gone { test: test.clone() });
                }
                _ => {}
            }
        }
        if whole {
            let absent = self
                .entries
                .keys()
                .filter(|test| !results.contains_key(*test));
            differences.extend(absent.map(|test| Difference::Gone { test: test.clone() }));
        }
        differences
    }

    /// The ledger of this run: reasons are kept, and new entries have none yet.
    #[must_use]
    pub fn updated(&self, results: &Results) -> Self {
        let entries = results
            .iter()
            .filter_map(|(test, result)| match result {
                TestResult::Deviates(result) => {
                    let reason = self
                        .entries
                        .get(test)
                        .map_or(NO_REASON, |known| &known.reason);
                    let entry = Entry {
                        result: result.clone(),
                        reason: reason.to_owned(),
                    };
                    Some((test.clone(), entry))
                }
                TestResult::Passed | TestResult::Skipped => None,
            })
            .collect();
        Self {
            preface: self.preface.clone(),
            entries,
        }
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.preface {
            writeln!(f, "{line}")?;
        }
        for (test, entry) in &self.entries {
            writeln!(f, "{test}\t{}\t{}", entry.result, entry.reason)?;
        }
        Ok(())
    }
}

/// Text for a column: on one line, without tabs, not long.
pub fn column(text: &str) -> String {
    const CHARS_MAX: usize = 160;
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "# test\tresult\treason\na\tfails\tpolicy: so it is\nb\talert 40\topen: to be mended\n";

    fn results(list: &[(&str, Option<&str>)]) -> Results {
        list.iter()
            .map(|(test, result)| {
                let result = match result {
                    None => TestResult::Passed,
                    Some(text) => TestResult::Deviates((*text).to_owned()),
                };
                ((*test).to_owned(), result)
            })
            .collect()
    }

    #[test]
    fn a_ledger_round_trips() {
        let ledger = Ledger::parse(TEXT).expect("a ledger");
        assert_eq!(ledger.to_string(), TEXT);
    }

    #[test]
    fn a_malformed_line_is_refused_with_its_number() {
        for (text, problem) in [
            ("a\tfails\n", "line 1: not three columns"),
            ("a\tfails\tpolicy\tmore\n", "line 1: not three columns"),
            ("a\tfails\t \n", "line 1: an empty column"),
            ("a\tx\ty\na\tx\ty\n", "line 2: a duplicate test"),
            ("a\tx\ty\n# late\n", "line 2: a comment between the entries"),
            ("\n", "line 1: not three columns"),
        ] {
            let error = Ledger::parse(text).expect_err(text);
            assert_eq!(error.to_string(), problem, "{text:?}");
        }
    }

    #[test]
    fn new_gone_and_changed_deviations_are_reported() {
        let ledger = Ledger::parse(TEXT).expect("a ledger");
        let known = results(&[("a", Some("fails")), ("b", Some("alert 40")), ("c", None)]);
        assert_eq!(ledger.compare(&known, true), []);
        let other = results(&[("b", Some("alert 50")), ("c", Some("hangs"))]);
        let reported: Vec<_> = ledger
            .compare(&other, true)
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            reported,
            [
                "changed: b: alert 50 (the ledger has: alert 40)",
                "new: c: hangs",
                "gone: a",
            ]
        );
        let fixed = results(&[("a", None), ("b", Some("alert 40"))]);
        assert_eq!(ledger.compare(&fixed, true).len(), 1);
        // A run of some tests does not affect the other entries.
        assert_eq!(ledger.compare(&results(&[("c", None)]), false), []);
    }

    #[test]
    fn an_update_keeps_reasons_and_marks_missing_ones() {
        let ledger = Ledger::parse(TEXT).expect("a ledger");
        let run = results(&[
            ("a", Some("fails otherwise")),
            ("b", None),
            ("c", Some("hangs")),
        ]);
        let updated = ledger.updated(&run);
        assert_eq!(updated.entries["a"].reason, "policy: so it is");
        assert_eq!(updated.entries["a"].result, "fails otherwise");
        assert!(!updated.entries.contains_key("b"));
        assert_eq!(updated.without_reason(), ["c"]);
        assert_eq!(updated.compare(&run, true), []);
    }

    #[test]
    fn text_is_shortened_to_one_column() {
        assert_eq!(column("two\n\tlines  of text "), "two lines of text");
    }
}
