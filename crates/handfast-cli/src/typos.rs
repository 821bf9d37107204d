//! Suggestions for unknown arguments and commands.
//!
//! clap suggests similar names, such as `--insecure` for `--interface` and `revoke` for `renew`. A suggestion is
//! often followed without thought: it must be right, and must not reduce security.

use std::ffi::OsString;
use std::process;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Parser};

use crate::cli::Cli;
use crate::command::get::{Problem, absent, expand};
use crate::nearest::nearest;
use crate::{output, version};

/// The names in other programs, except those for "do not verify".
const ELSEWHERE: [(&str, &str); 21] = [
    ("CAfile", "cacert"),
    ("ca", "cacert"),
    ("ca-cert", "cacert"),
    ("ca-certificate", "cacert"),
    ("ca-file", "cacert"),
    ("cafile", "cacert"),
    ("certificate", "cert"),
    ("client-cert", "cert"),
    ("private-key", "key"),
    ("pinnedpubkey", "pin"),
    ("user-agent", "header"),
    ("method", "request"),
    ("post-data", "data"),
    ("output-document", "output"),
    ("http1", "http1.1"),
    ("no-proxy", "noproxy"),
    ("server-name", "sni"),
    ("servername", "sni"),
    ("concurrency", "connections"),
    ("timeout", "max-time"),
    ("port", "listen"),
];

/// The arguments of this process, or an end with a message.
pub(crate) fn parse() -> Cli {
    let args = with_files(std::env::args_os().collect());
    parse_from(&args).unwrap_or_else(|error| {
        let mut before_command = args
            .iter()
            .skip(1)
            .take_while(|arg| arg.to_str().is_some_and(|arg| arg.starts_with('-')));
        if error.kind() == ErrorKind::DisplayVersion
            && before_command.any(|arg| version::is_verbose(arg))
        {
            match output::write_stdout(version::verbose().as_bytes()) {
                Ok(()) => process::exit(0),
                Err(failure) => {
                    output::failure(&failure);
                    process::exit(failure.code.into())
                }
            }
        }
        error.exit()
    })
}

/// The same with the arguments of `get`'s files in their place, or an end with a message.
fn with_files(mut args: Vec<OsString>) -> Vec<OsString> {
    if args.get(1).is_none_or(|command| command != "get") {
        return args;
    }
    let mut root = Cli::command();
    let Some(get) = root.find_subcommand_mut("get") else {
        return args;
    };
    match expand(&args.split_off(2), get) {
        Ok(expanded) => args.extend(expanded),
        Err(Problem { what, code }) => {
            // Nothing is left to do if it cannot be written.
            let _ = root.error(ErrorKind::Io, what).print();
            process::exit(code.into())
        }
    }
    args
}

fn parse_from(args: &[OsString]) -> Result<Cli, clap::Error> {
    let cli = Cli::try_parse_from(args).map_err(|error| {
        let words: Vec<&str> = args.iter().filter_map(|word| word.to_str()).collect();
        better(error, &words)
    })?;
    if cli.verbose {
        let message = "--verbose before a command goes with --version alone: \
                       give it after the command";
        return Err(Cli::command().error(ErrorKind::ArgumentConflict, message));
    }
    Ok(cli)
}

/// The origin after `--cors` without the equals sign that an option with an optional value needs.
fn separate_origin<'w>(words: &[&'w str]) -> Option<&'w str> {
    let mut pairs = words.windows(2);
    pairs.find_map(|pair| match pair {
        ["--cors", origin] if origin.contains("://") => Some(*origin),
        _ => None,
    })
}

/// An error with the usage of a command.
fn of_command(name: &str, kind: ErrorKind, message: String) -> clap::Error {
    let mut root = Cli::command();
    root.build();
    match root.find_subcommand_mut(name) {
        Some(command) => command.error(kind, message),
        None => root.error(kind, message),
    }
}

/// What else can be given in place of what is missing.
fn instead_of_missing(error: &clap::Error, words: &[&str]) -> Option<&'static str> {
    let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let root = Cli::command();
    match (command_of(&root, words).get_name(), missing.as_slice()) {
        ("serve", [one]) if one == "<DIR>" => Some(
            "'handfast serve .' serves this directory; --config FILE serves the sites of a file",
        ),
        ("inspect", [one]) if one.starts_with('<') => {
            Some("give a server, such as example.org; --file FILE is for a certificate in a file")
        }
        _ => None,
    }
}

/// The same error with our own suggestions.
fn better(mut error: clap::Error, words: &[&str]) -> clap::Error {
    if let (ErrorKind::UnknownArgument, Some(origin)) = (error.kind(), separate_origin(words)) {
        let message = format!("--cors and its origin are one word: use --cors={origin}");
        return of_command("serve", ErrorKind::UnknownArgument, message);
    }
    if error.kind() == ErrorKind::MissingRequiredArgument
        && let Some(tip) = instead_of_missing(&error, words)
    {
        let tip = ContextValue::StyledStrs(vec![tip.into()]);
        error.insert(ContextKind::Suggested, tip);
        return error;
    }
    let kinds = match error.kind() {
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, ContextKind::SuggestedArg),
        ErrorKind::InvalidSubcommand => (
            ContextKind::InvalidSubcommand,
            ContextKind::SuggestedSubcommand,
        ),
        _ => return error,
    };
    let (typed, suggested) = kinds;
    let Some(ContextValue::String(typed)) = error.get(typed).cloned() else {
        return error;
    };
    error.remove(suggested);
    error.remove(ContextKind::Suggested);
    let root = Cli::command();
    let command = command_of(&root, words);
    if command.get_name() == "get"
        && let Some((why, instead)) = absent(&typed)
    {
        let message = format!("curl's '{typed}' is not supported: {why}\n\n  tip: {instead}");
        return of_command("get", ErrorKind::UnknownArgument, message);
    }
    if suggested == ContextKind::SuggestedSubcommand {
        let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        if let Some(near) = nearest(&typed, &names) {
            let near = vec![near.to_owned()];
            error.insert(suggested, ContextValue::Strings(near));
        }
        return error;
    }
    let Some(name) = typed.strip_prefix("--") else {
        return error;
    };
    let name = name.split('=').next().unwrap_or(name);
    let known: Vec<&str> = command
        .get_arguments()
        .filter_map(clap::Arg::get_long)
        .collect();
    let elsewhere = ELSEWHERE
        .iter()
        .find(|(theirs, ours)| *theirs == name && known.contains(ours))
        .map(|(_, ours)| *ours);
    if let Some(near) = elsewhere.or_else(|| nearest(name, &known)) {
        let near = ContextValue::String(format!("--{near}"));
        error.insert(suggested, near);
    }
    error
}

/// The innermost command of the arguments.
fn command_of<'c>(root: &'c Command, words: &[&str]) -> &'c Command {
    let words = words.iter().skip(1).filter(|word| !word.starts_with('-'));
    words.fold(root, |command, word| {
        command.find_subcommand(word).unwrap_or(command)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nearest::DANGEROUS;

    fn told(line: &str) -> String {
        let args: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        match parse_from(&args) {
            Err(error) => error.to_string(),
            Ok(_) => panic!("`{line}` is understood"),
        }
    }

    #[test]
    fn typos_get_the_right_suggestion() {
        for (line, meant) in [
            ("handfast get --cacrt x https://a", "'--cacert'"),
            ("handfast get --outptu x https://a", "'--output'"),
            ("handfast get --insecrue https://a", "'--insecure'"),
            ("handfast get --CAfile x https://a", "'--cacert'"),
            (
                "handfast get --connect-timout 3 https://a",
                "'--connect-timeout'",
            ),
            ("handfast inspect --servername x a", "'--sni'"),
            (
                "handfast bench --concurrency 3 https://a",
                "'--connections'",
            ),
            ("handfast ca issue --cleint ada", "'--client'"),
            ("handfast ca isue ada", "'issue'"),
            ("handfast insepct a", "'inspect'"),
            ("handfast serv .", "'serve'"),
        ] {
            assert!(told(line).contains(meant), "{line}: {}", told(line));
        }
    }

    #[test]
    fn what_is_missing_is_told_with_what_else_there_is() {
        for (line, tip) in [
            ("handfast serve", "'handfast serve .'"),
            ("handfast serve --listen :1", "--config FILE"),
            ("handfast inspect", "--file FILE"),
        ] {
            let told = told(line);
            assert!(
                told.contains("tip: ") && told.contains(tip),
                "{line}: {told}"
            );
        }
        let told = told("handfast serve --cors https://a.example www");
        assert!(told.contains("Usage: handfast serve"), "{told}");
    }

    #[test]
    fn options_of_curl_that_are_not_there_are_told_with_what_to_use() {
        for (line, says) in [
            ("handfast get --http3 https://a", "HTTP/2 or HTTP/1.1"),
            ("handfast get -s --doh-url=https://b https://a", "--resolve"),
            ("handfast get -sl ftp://a", "curl's '-l'"),
        ] {
            let told = told(line);
            assert!(told.contains("tip: ") && told.contains(says), "{told}");
            assert!(told.contains("Usage: handfast get"), "{told}");
        }
    }

    #[test]
    fn numbers_are_refused_in_words() {
        for (line, says) in [
            (
                "handfast serve --threads 0 .",
                "expected a number of 1 or more",
            ),
            (
                "handfast serve --connections-max 0 .",
                "expected a number of 1 or more",
            ),
            ("handfast ca issue --days 4000 a", "expected 1 to 825 days"),
        ] {
            assert!(told(line).contains(says), "{line}: {}", told(line));
        }
    }

    #[test]
    fn verbose_before_a_command_goes_with_version_alone() {
        assert!(told("handfast -v get https://a").contains("after the command"));
        assert!(told("handfast --verbose").contains("Usage"));
        for line in [
            "handfast -vV",
            "handfast --verbose --version",
            "handfast -V -v",
        ] {
            assert!(
                told(line).starts_with("handfast "),
                "{line}: {}",
                told(line)
            );
        }
    }

    #[test]
    fn no_typo_gets_a_dangerous_suggestion() {
        for line in [
            "handfast get --insurface eth0 https://a",
            "handfast get --secure https://a",
            "handfast get --insec https://a",
            "handfast get --no-check-certificate https://a",
            "handfast connect --interface eth0 a:1",
            "handfast bench --no-verify https://a",
            "handfast ca issue --for ada a",
            "handfast ca renew",
            "handfast ca remove a.pem",
        ] {
            let told = told(line);
            let tip = told.lines().filter(|line| line.contains("tip:"));
            for tip in tip {
                for dangerous in DANGEROUS {
                    assert!(!tip.contains(dangerous), "{line}: {tip}");
                }
            }
        }
    }
}
