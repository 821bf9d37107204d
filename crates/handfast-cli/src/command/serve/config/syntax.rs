//! From text to a document, and from a document to values: what is not TOML.

use handfast::escape_control;
use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeTable, Deserializer};

use super::file::File;
use super::problem::Problem;
use super::value::Place;

/// The document, or what is wrong with it.
pub(super) fn parse(content: &str) -> Result<Spanned<DeTable<'_>>, Vec<Problem>> {
    let (document, errors) = DeTable::parse_recoverable(content);
    match errors.is_empty() {
        true => Ok(document),
        false => {
            let problems = errors.iter().map(|error| of_syntax(error, content));
            Err(problems.collect())
        }
    }
}

/// Its values. What the schema does not know of is a problem; nothing is today.
pub(super) fn values(document: Spanned<DeTable<'_>>, content: &str) -> Result<File, Box<Problem>> {
    File::deserialize(Deserializer::from(document))
        .map_err(|error| Box::new(of_syntax(&error, content)))
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
