//! `handfast.toml`: from a file to values with their places, or to everything that is wrong with it.
//!
//! ```text
//! text -> document (toml) -> walk: beside the schema, which is made from the types of file.rs -> File
//! ```
//!
//! What the values mean, and whether they fit together, is `settings.rs`' business.

mod address;
pub(super) mod answers;
pub(super) mod choices;
#[cfg(test)]
mod documentation;
pub(super) mod file;
pub(super) mod problem;
pub(super) mod schema;
mod value;
mod walk;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use handfast::{Explanation, escape_control};
use serde::Deserialize as _;
use toml::de::{DeTable, Deserializer};

pub(super) use self::address::{Address, PORT_DEFAULT};
pub(super) use self::file::File;
pub(super) use self::problem::{Problem, Text};
pub(super) use self::value::{
    At, FilePath, LogTarget, Often, Place, Size, Source, StatusAddress, Time,
};
use crate::failure::{Failure, code, plain};

/// The largest file: a thousand sites take a tenth of it.
const BYTES_MAX: u64 = 4 * 1024 * 1024;

/// The most problems shown of one file.
const PROBLEMS_MAX: usize = 20;

/// A configuration file that was read.
#[derive(Debug, Clone)]
pub(super) struct Config {
    pub(super) text: Text,
    pub(super) file: File,
}

impl Config {
    /// Reads a file.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub(super) fn read(path: &Path) -> Result<Self, Vec<Failure>> {
        let text = read_text(path).map_err(|failure| vec![failure])?;
        match parse(&text.content) {
            Ok(file) => Ok(Self { text, file }),
            Err(problems) => Err(shown(problems, Some(&text))),
        }
    }

    /// The directory that paths in the file are relative to.
    pub(super) fn directory(&self) -> PathBuf {
        let parent = self.text.path.parent().unwrap_or_else(|| Path::new(""));
        parent.to_owned()
    }
}

/// Problems as failures, in the order of the file.
pub(super) fn shown(mut problems: Vec<Problem>, text: Option<&Text>) -> Vec<Failure> {
    let start = |problem: &Problem| match &problem.place {
        Place::File(bytes) => bytes.start,
        _ => 0,
    };
    problems.sort_by_key(start);
    let more = problems.len().saturating_sub(PROBLEMS_MAX);
    problems.truncate(PROBLEMS_MAX);
    let mut failures: Vec<_> = problems
        .into_iter()
        .map(|problem| problem.into_failure(text))
        .collect();
    if more > 0 {
        let what = format!("{more} more problems");
        failures.push(Failure::new(
            code::USAGE,
            Explanation::new("configuration-invalid", what),
        ));
    }
    failures
}

/// The content of a file, or what is wrong with it.
pub(super) fn parse(content: &str) -> Result<File, Vec<Problem>> {
    let (document, errors) = DeTable::parse_recoverable(content);
    if !errors.is_empty() {
        let problems = errors.iter().map(|error| of_syntax(error, content));
        return Err(problems.collect());
    }
    let problems = walk::judge(&document, schema::schema());
    if !problems.is_empty() {
        return Err(problems);
    }
    // What the schema does not know of; nothing today.
    File::deserialize(Deserializer::from(document))
        .map_err(|error| vec![of_syntax(&error, content)])
}

fn of_syntax(error: &toml::de::Error, content: &str) -> Problem {
    let message = error.message().trim().replace('\n', ", ");
    let bytes = error.span().unwrap_or_default();
    let fix = match message.starts_with("duplicate key") {
        true => of_duplicate(content, bytes.start),
        false => {
            "a line is `name = value`, with texts in quotes, or a [table]: see https://toml.io"
                .to_owned()
        }
    };
    let what = escape_control(&message).into_owned();
    Problem::new(Place::File(bytes), what).with_fix(fix)
}

/// What to do about a key, or the name of a table, that is there a second time.
fn of_duplicate(content: &str, byte: usize) -> String {
    let start = content
        .get(..byte)
        .and_then(|before| before.rfind('\n'))
        .map_or(0, |end| end + 1);
    let (before, line) = content.split_at_checked(start).unwrap_or((content, ""));
    let line = line.lines().next().unwrap_or_default();
    let Some(table) = table_of(line) else {
        return "remove one of the two".to_owned();
    };
    let is_within = |line: &&str| {
        table_of(line).is_some_and(|other| {
            let rest = other.strip_prefix(table);
            rest.is_some_and(|rest| rest.starts_with('.'))
        })
    };
    let table = escape_control(table);
    match before.lines().find(is_within) {
        Some(within) if line.trim_start().starts_with("[[") => {
            let within = escape_control(within.trim());
            format!("put [[{table}]] and its keys above {within}")
        }
        _ => format!("put the keys of both into one [{table}]"),
    }
}

/// The name of the table that a line begins.
fn table_of(line: &str) -> Option<&str> {
    let name = line.trim_start().strip_prefix('[')?;
    let name = name.strip_prefix('[').unwrap_or(name);
    Some(name.split(']').next().unwrap_or(name).trim())
}

fn read_text(path: &Path) -> Result<Text, Failure> {
    let unreadable = |error: &io::Error| {
        let what = format!(
            "the configuration file {} cannot be read",
            problem::shown_path(path)
        );
        let explanation = Explanation::new("configuration-unreadable", what)
            .with_evidence(plain(error))
            .with_fix("check the path, and that this user may read the file");
        Failure::new(code::READ, explanation)
    };
    let mut bytes = Vec::new();
    fs::File::open(path)
        .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 > BYTES_MAX {
        let too_long = format!("it is longer than {}", Size(BYTES_MAX));
        return Err(unreadable(&io::Error::other(too_long)));
    }
    let text = |content| Text {
        path: path.to_owned(),
        content,
    };
    String::from_utf8(bytes).map(text).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let content = String::from_utf8_lossy(error.as_bytes()).into_owned();
        Problem::new(Place::File(valid..valid + 1), "this is not UTF-8")
            .into_failure(Some(&text(content)))
    })
}
