//! Bodies that are given as data: `-d` and similar options, in the order in which they were typed, and `-T`.

use std::fs;
use std::io::{self, Read};

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use handfast::Explanation;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};

use crate::failure::{Failure, code, plain};

/// Where these options stand in the help.
pub(super) const HEADING: &str = "Body";

/// What each of the options makes of its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `@FILE` is read without its line ends.
    Form,
    Raw,
    /// `@FILE` is read as it is.
    Binary,
    Encoded,
    Json,
}

/// Option, kind, help.
const OPTIONS: [(&str, Kind, &str); 5] = [
    (
        "data",
        Kind::Form,
        "Body to send (POST); @FILE reads it from a file without line ends, @- from stdin; several are joined by `&`",
    ),
    ("data-raw", Kind::Raw, "As -d, but `@` has no meaning"),
    (
        "data-binary",
        Kind::Binary,
        "As -d, but files are sent as they are",
    ),
    (
        "data-urlencode",
        Kind::Encoded,
        "As -d, percent-encoded: TEXT, =TEXT, NAME=TEXT, @FILE or NAME@FILE",
    ),
    (
        "json",
        Kind::Json,
        "JSON to send (POST), with Content-Type and Accept; @FILE as --data-binary; several are joined as they are",
    ),
];

/// What was given, in the order in which it was typed.
#[derive(Debug, Default)]
pub(super) struct DataArgs(Vec<(Kind, String)>);

/// The texts of these options in the order in which they were typed.
pub(super) fn typed<K: Copy>(
    matches: &ArgMatches,
    options: &[(&'static str, K, &'static str)],
) -> Vec<(K, String)> {
    let mut found = Vec::new();
    for (name, kind, _) in options {
        let texts = matches.get_many::<String>(name).into_iter().flatten();
        let places = matches.indices_of(name).into_iter().flatten();
        found.extend(
            places
                .zip(texts)
                .map(|(place, text)| (place, (*kind, text.clone()))),
        );
    }
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, one)| one).collect()
}

/// One of them.
pub(super) fn option(name: &'static str, value: &'static str, help: &'static str) -> Arg {
    Arg::new(name)
        .long(name)
        .value_name(value)
        .action(ArgAction::Append)
        .allow_hyphen_values(true)
        .help(help)
        .help_heading(HEADING)
}

impl FromArgMatches for DataArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self(typed(matches, &OPTIONS)))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for DataArgs {
    fn augment_args(command: Command) -> Command {
        OPTIONS
            .into_iter()
            .fold(command, |command, (name, _, help)| {
                command.arg(match name {
                    "data" => option(name, "DATA", help).short('d').alias("data-ascii"),
                    "json" => option(name, "JSON", help),
                    _ => option(name, "DATA", help),
                })
            })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl DataArgs {
    pub(super) fn is_json(&self) -> bool {
        self.0.iter().any(|(kind, _)| *kind == Kind::Json)
    }

    /// All of it; `None` if none was given. Reads the files.
    pub(super) fn bytes(&self) -> Result<Option<Vec<u8>>, Failure> {
        let mut all: Option<Vec<u8>> = None;
        for (kind, text) in &self.0 {
            let piece = piece(*kind, text)?;
            match &mut all {
                None => all = Some(piece),
                Some(all) => {
                    if *kind != Kind::Json {
                        all.push(b'&');
                    }
                    all.extend_from_slice(&piece);
                }
            }
        }
        Ok(all)
    }
}

fn piece(kind: Kind, text: &str) -> Result<Vec<u8>, Failure> {
    match (kind, text.strip_prefix('@')) {
        (Kind::Encoded, _) => encoded(text),
        (Kind::Raw, _) | (_, None) => Ok(text.as_bytes().to_vec()),
        (_, Some(name)) => {
            let mut bytes = read(name)?;
            if kind == Kind::Form {
                // As curl for forms: line ends belong to the file, not to the value.
                bytes.retain(|byte| !matches!(byte, b'\r' | b'\n' | 0));
            }
            Ok(bytes)
        }
    }
}

/// What stays as it is (RFC 3986, section 2.3). A space becomes `+`, as in forms.
const ENCODED: AsciiSet = NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b' ');

pub(super) fn encoded(text: &str) -> Result<Vec<u8>, Failure> {
    let (name, value) = match (text.split_once('='), text.split_once('@')) {
        (Some((name, value)), _) => (name, value.as_bytes().to_vec()),
        (None, Some((name, file))) => (name, read(file)?),
        (None, None) => ("", text.as_bytes().to_vec()),
    };
    let value = percent_encode(&value, &ENCODED)
        .to_string()
        .replace(' ', "+");
    Ok(match name {
        "" => value,
        name => format!("{name}={value}"),
    }
    .into_bytes())
}

/// All of a file; `-` is stdin.
pub(super) fn read(name: &str) -> Result<Vec<u8>, Failure> {
    let read = match name {
        "-" => {
            let mut bytes = Vec::new();
            io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
        }
        name => fs::read(name),
    };
    read.map_err(|error| unreadable(name, &error))
}

pub(super) fn unreadable(name: &str, error: &io::Error) -> Failure {
    let what = format!("cannot read {}: {}", name.escape_debug(), plain(error));
    Failure::new(code::READ, Explanation::new("file-unusable", what))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(args: &[&str]) -> String {
        let command = <DataArgs as clap::Args>::augment_args(Command::new("get"));
        let matches = command.get_matches_from([&["get"], args].concat());
        let data = DataArgs::from_arg_matches(&matches).unwrap();
        String::from_utf8(data.bytes().unwrap().unwrap()).unwrap()
    }

    #[test]
    fn data_is_joined_in_the_order_in_which_it_was_typed() {
        for (args, expected) in [
            (
                &["--data-raw", "@1", "-d", "2", "--data-raw", "3"][..],
                "@1&2&3",
            ),
            (&["-d", "", "-d", "a"], "&a"),
            (&["--json", "{", "--json", "}"], "{}"),
            (&["--json", "{}", "-d", "a"], "{}&a"),
            (&["-d", "-1", "--data-ascii", "2"], "-1&2"),
            (&["--data-urlencode", "a b&c"], "a+b%26c"),
            (&["--data-urlencode", "=a=b"], "a%3Db"),
            (&["--data-urlencode", "n=é~-._@"], "n=%C3%A9~-._%40"),
        ] {
            assert_eq!(bytes(args), expected, "{args:?}");
        }
    }
}
