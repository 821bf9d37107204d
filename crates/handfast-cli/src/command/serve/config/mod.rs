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
mod partly;
pub(super) mod problem;
pub(super) mod schema;
mod syntax;
mod value;
mod walk;

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use handfast::Explanation;

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

    /// Reads a file as far as it can be used: what is wrong with it comes second, and the tables with mistakes are left out. Nothing comes first if
    /// that leaves nothing to judge.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub(super) fn read_partly(path: &Path) -> Result<(Text, Option<Self>, Vec<Problem>), Failure> {
        let text = read_text(path)?;
        let (file, problems) = partly::parse(&text.content);
        let config = file.map(|file| Self {
            text: text.clone(),
            file,
        });
        Ok((text, config, problems))
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
    let document = syntax::parse(content)?;
    let problems = walk::judge(&document, schema::schema());
    match problems.is_empty() {
        true => syntax::values(document, content).map_err(|problem| vec![*problem]),
        false => Err(problems),
    }
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
