//! `-K`: arguments from a file in curl's syntax, and those of the user's own file, put into the command line before it is
//! read.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read as _};

use clap::{ArgAction, Command};
use directories::BaseDirs;
use handfast::escape_control;

use crate::failure::code;

/// The user's own file, in the directory of configuration files (`~/.config` on Linux).
const OWN: [&str; 2] = ["handfast", "get"];

/// More is no list of arguments.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// Files that name others: so deep, and no deeper, that one which names itself ends.
const DEPTH_MAX: usize = 8;

/// What is wrong with a file of arguments, in words, and the exit code.
#[derive(Debug)]
pub(crate) struct Problem {
    pub(crate) what: String,
    pub(crate) code: u8,
}

impl Problem {
    fn malformed(what: String) -> Self {
        Self {
            what,
            code: code::USAGE,
        }
    }
}

/// What the arguments of `get` are with those of files in their place; what is wrong with a file otherwise.
///
/// `args` are those after the command's name. The arguments of the user's own file come first, so that others count more;
/// with `-q` it is left out.
pub(crate) fn expand(args: &[OsString], command: &Command) -> Result<Vec<OsString>, Problem> {
    let mut expanded = Vec::new();
    let leaves_own = walk(args, command).any(|word| {
        matches!(&word, Word::Flag(text) if text.as_os_str() == "--disable" || text.as_os_str() == "-q")
    });
    if !leaves_own && let Some(dirs) = BaseDirs::new() {
        let path = OWN
            .iter()
            .fold(dirs.config_dir().to_owned(), |path, part| path.join(part));
        if path.is_file() {
            let file = path.into_os_string();
            expand_file(&file, command, 1, &mut expanded)?;
        }
    }
    expand_into(args, command, 0, &mut expanded)?;
    Ok(expanded)
}

fn expand_into(
    args: &[OsString],
    command: &Command,
    depth: usize,
    expanded: &mut Vec<OsString>,
) -> Result<(), Problem> {
    for word in walk(args, command) {
        match word {
            Word::File(file) => expand_file(&file, command, depth + 1, expanded)?,
            Word::Flag(word) | Word::Other(word) => expanded.push(word),
            Word::Pair(option, value) => expanded.extend([option, value]),
        }
    }
    Ok(())
}

fn expand_file(
    file: &OsStr,
    command: &Command,
    depth: usize,
    expanded: &mut Vec<OsString>,
) -> Result<(), Problem> {
    let shown = escape_control(&file.to_string_lossy()).into_owned();
    if depth > DEPTH_MAX {
        let what = format!("{shown}: {DEPTH_MAX} files name one another with -K");
        return Err(Problem::malformed(what));
    }
    let text = read(file).map_err(|error| {
        let error = crate::failure::plain(&error);
        Problem {
            what: format!("{shown} cannot be read: {error}"),
            code: code::READ,
        }
    })?;
    let args = arguments(&text).map_err(|(line, problem)| {
        Problem::malformed(format!("{shown}, line {line}: {problem}"))
    })?;
    expand_into(&args, command, depth, expanded)
}

fn read(file: &OsStr) -> io::Result<String> {
    let mut text = String::new();
    let limit = FILE_BYTES_MAX + 1;
    match file == "-" {
        true => io::stdin().take(limit).read_to_string(&mut text)?,
        false => fs::File::open(file)?
            .take(limit)
            .read_to_string(&mut text)?,
    };
    match text.len() as u64 > FILE_BYTES_MAX {
        true => Err(io::Error::other("it is too large for a list of arguments")),
        false => Ok(text),
    }
}

/// An argument, or an option with its value.
enum Word {
    /// An option without a value.
    Flag(OsString),
    Pair(OsString, OsString),
    Other(OsString),
    /// The file of `-K`.
    File(OsString),
}

/// The words of a command line, as clap reads them: what follows an option that takes a value is its value.
fn walk<'a>(args: &'a [OsString], command: &'a Command) -> impl Iterator<Item = Word> + 'a {
    let mut rest = args.iter();
    let mut is_over = false;
    let mut waiting = std::collections::VecDeque::new();
    std::iter::from_fn(move || {
        if let Some(word) = waiting.pop_front() {
            return Some(word);
        }
        let word = rest.next()?;
        let Some(text) = word.to_str().filter(|text| !is_over && text.len() > 1) else {
            return Some(Word::Other(word.clone()));
        };
        if text == "--" {
            is_over = true;
            return Some(Word::Other(word.clone()));
        }
        if let Some(long) = text.strip_prefix("--") {
            let (name, value) = match long.split_once('=') {
                Some((name, value)) => (name, Some(OsString::from(value))),
                None => (long, None),
            };
            if name == "config" {
                let value = value.or_else(|| rest.next().cloned())?;
                return Some(Word::File(value));
            }
            let known = command
                .get_arguments()
                .find(|arg| arg.get_long() == Some(name));
            return Some(match (known.is_some_and(takes_value), value) {
                (true, None) => match rest.next() {
                    Some(value) => Word::Pair(word.clone(), value.clone()),
                    None => Word::Other(word.clone()),
                },
                (true, Some(_)) => Word::Other(word.clone()),
                (false, _) => Word::Flag(word.clone()),
            });
        }
        let Some(letters) = text.strip_prefix('-') else {
            return Some(Word::Other(word.clone()));
        };
        for (at, letter) in letters.char_indices() {
            let behind = letters.get(at + letter.len_utf8()..).unwrap_or_default();
            if letter == 'K' {
                let file = match behind {
                    "" => rest.next()?.clone(),
                    file => OsString::from(file),
                };
                waiting.push_back(Word::File(file));
                break;
            }
            let known = command
                .get_arguments()
                .find(|arg| arg.get_short() == Some(letter));
            let option = OsString::from(format!("-{letter}"));
            if known.is_some_and(takes_value) {
                waiting.push_back(match behind {
                    "" => match rest.next() {
                        Some(value) => Word::Pair(option, value.clone()),
                        None => Word::Other(option),
                    },
                    // Of two signs clap takes the first away; curl has no sign there that means anything.
                    behind if behind.starts_with('=') => {
                        Word::Other(format!("-{letter}={behind}").into())
                    }
                    behind => Word::Other(format!("-{letter}{behind}").into()),
                });
                break;
            }
            waiting.push_back(Word::Flag(option));
        }
        waiting.pop_front()
    })
}

fn takes_value(arg: &clap::Arg) -> bool {
    matches!(arg.get_action(), ArgAction::Set | ArgAction::Append)
}

/// The arguments that a file has: on each line an option, with or without its dashes, and its value behind spaces, `=` or `:`;
/// in double quotes with `\` before `"`, `\`, `t`, `n`, `r` and `v`. `#` begins a comment.
fn arguments(text: &str) -> Result<Vec<OsString>, (usize, String)> {
    let mut args = Vec::new();
    // Files of Windows begin with a mark.
    let text = text.trim_start_matches('\u{feff}');
    for (number, line) in text.lines().enumerate() {
        let problem = |problem: &str| (number + 1, problem.to_owned());
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let has_dash = line.starts_with('-');
        let ends = |c: char| c.is_whitespace() || !has_dash && matches!(c, '=' | ':');
        let (name, rest) = line.split_at(line.find(ends).unwrap_or(line.len()));
        let rest = rest.trim_start_matches(ends);
        let value = match rest.strip_prefix('"') {
            Some(quoted) => {
                Some(unquoted(quoted).ok_or_else(|| problem("the quotation mark is not closed"))?)
            }
            None if rest.is_empty() || rest.starts_with('#') => None,
            None => {
                let (value, behind) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
                if !behind.trim().is_empty() && !behind.trim_start().starts_with('#') {
                    return Err(problem("a value with spaces needs quotation marks"));
                }
                Some(value.to_owned())
            }
        };
        let is_short = has_dash && !name.starts_with("--");
        match (is_short, value) {
            (true, Some(value)) => args.extend([name.to_owned(), value]),
            (true, None) => args.push(name.to_owned()),
            (false, value) => {
                let name = name.trim_start_matches('-');
                match value {
                    // In one word: it may begin with a dash.
                    Some(value) => args.push(format!("--{name}={value}")),
                    None => args.push(format!("--{name}")),
                }
            }
        }
    }
    Ok(args.into_iter().map(OsString::from).collect())
}

/// What is in quotation marks, of which the first is gone; what follows the last is a comment.
fn unquoted(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some(value),
            '\\' => value.push(match chars.next()? {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                'v' => '\u{b}',
                other => other,
            }),
            other => value.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn words(args: &[OsString]) -> Vec<&str> {
        args.iter().filter_map(|arg| arg.to_str()).collect()
    }

    #[test]
    fn files_have_curls_syntax() {
        for (text, expected) in [
            (
                "# comment\n\n  silent\n--fail\n-L",
                &["--silent", "--fail", "-L"][..],
            ),
            (
                "url = \"https://a.example/?q=1\"",
                &["--url=https://a.example/?q=1"],
            ),
            (
                "url: https://a.example # behind",
                &["--url=https://a.example"],
            ),
            ("output=file", &["--output=file"]),
            (
                "header = \"X: a \\\"b\\\"\\t\\\\\"",
                &["--header=X: a \"b\"\t\\"],
            ),
            ("-H \"X: y\"\n-o -name", &["-H", "X: y", "-o", "-name"]),
            ("--user ann:p=w", &["--user=ann:p=w"]),
            ("data = \"\"", &["--data="]),
            ("\u{feff}silent\r\n", &["--silent"]),
        ] {
            assert_eq!(words(&arguments(text).unwrap()), expected, "{text}");
        }
        for (bad, line) in [("silent\nurl = \"x", 2), ("user-agent = my agent", 1)] {
            assert_eq!(arguments(bad).unwrap_err().0, line, "{bad}");
        }
    }

    #[test]
    fn files_take_the_place_of_their_option() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("args");
        fs::write(&file, "request = PUT\nurl = https://a.example/\n").unwrap();
        let file = file.to_str().unwrap();
        let cli = crate::cli::Cli::command();
        let command = cli.find_subcommand("get").unwrap();
        let joined = format!("-sSK{file}");
        let long = format!("--config={file}");
        let from_file = ["--request=PUT", "--url=https://a.example/"];
        for (args, before, after) in [
            (
                &["-q", "-v", "-K", file, "-o", "x"][..],
                &["-q", "-v"][..],
                &["-o", "x"][..],
            ),
            (
                &["-q", &joined, "-X", "GET"],
                &["-q", "-s", "-S"],
                &["-X", "GET"],
            ),
            (&["-q", &long], &["-q"], &[]),
            (
                &["-q", "-H", "-K", "--config", file],
                &["-q", "-H", "-K"],
                &[],
            ),
            (
                &["-qHK: v", "-K", file, "--", "-K"],
                &["-q", "-HK: v"],
                &["--", "-K"],
            ),
        ] {
            let args: Vec<OsString> = args.iter().map(OsString::from).collect();
            let expanded = expand(&args, command).unwrap();
            assert_eq!(words(&expanded), [before, &from_file, after].concat());
        }
        let itself = directory.path().join("itself");
        let name = itself.to_str().unwrap();
        fs::write(&itself, format!("config = \"{name}\"\n")).unwrap();
        let args = ["-q", "-K", name].map(OsString::from);
        assert!(expand(&args, command).is_err());
        let signs = ["-q", "-sd=a", "-d", "=b"].map(OsString::from);
        let expanded = expand(&signs, command).unwrap();
        assert_eq!(words(&expanded), ["-q", "-s", "-d==a", "-d", "=b"]);
        let none = ["-q", "-K", "/none/such"].map(OsString::from);
        assert!(expand(&none, command).is_err());
    }
}
