//! The command line. Parsing has no side effect; each command's arguments are defined next to its code.

use clap::{Parser, Subcommand};

#[cfg(unix)]
use crate::command::connect;
use crate::command::{bench, ca, completions, demo, explain, get, inspect, man, serve};

/// HTTPS from both ends: a verified client, a server, a local certificate authority.
///
/// Both ends always know who the other is, how the exchange ended and whether all of it
/// arrived; and every failure is explained.
#[derive(Debug, Parser)]
#[command(name = "handfast", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    /// With --version: also revision, target, features and the versions of TLS and cryptography
    #[arg(short, long)]
    pub(crate) verbose: bool,

    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  handfast demo                            an exchange on loopback, seen from both ends
  handfast serve ./public                  a directory at https://localhost:8443/
  handfast get -O https://localhost:8443/page.html     page.html, once it is complete
  handfast get -v https://example.org/     what happened, phase by phase
  handfast ca issue db.internal 10.0.0.7   a certificate from your own authority";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Load-test a server
    Bench(bench::Args),
    /// Talk to a TLS client or server from the terminal, over any channel
    #[cfg(unix)]
    Connect(connect::Args),
    /// Show an exchange on loopback from both ends
    Demo(demo::Args),
    /// Explain an error's id: meaning, how to confirm it, how to fix it
    Explain(explain::Args),
    /// Fetch URLs; verify the server and that the response is complete
    Get(Box<get::Args>),
    /// Examine a TLS server, or a certificate chain in a file
    Inspect(inspect::Args),
    /// Serve a directory over HTTPS
    Serve(Box<serve::Args>),
    /// Listen for a server that may not: started by `serve`
    #[cfg(target_os = "linux")]
    #[command(hide = true)]
    OpenListeners(serve::HelperArgs),
    /// Manage a local certificate authority that can sign only for the names it was made for
    Ca(ca::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the manual page, or write all of them into a directory
    Man(man::Args),
}

impl Command {
    /// Its name, if the options of its own are the ones to advise. The demonstration's failures are other commands'.
    pub(crate) fn advises(&self) -> Option<&'static str> {
        match self {
            Self::Bench(_) => Some("bench"),
            #[cfg(unix)]
            Self::Connect(_) => Some("connect"),
            Self::Get(_) => Some("get"),
            Self::Inspect(_) => Some("inspect"),
            Self::Serve(_) => Some("serve"),
            Self::Ca(_) => Some("ca"),
            #[cfg(target_os = "linux")]
            Self::OpenListeners(_) => None,
            Self::Demo(_) | Self::Explain(_) | Self::Completions(_) | Self::Man(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use clap::{Command, CommandFactory, Parser as _};

    /// Flags that mean one thing here and another there, and why they may.
    const ALLOWED: &[(&str, &str)] = &[
        (
            "-d",
            "get: curl's body; bench: a load tester's duration, as in wrk and h2load",
        ),
        (
            "--http2",
            "get offers both versions; a measurement must not be of the other one",
        ),
        ("--http1.1", "as --http2"),
        ("-t", "only bench has it"),
        ("--verbose", "each says what it has more of"),
        ("-v", "as --verbose"),
        (
            "--timeout",
            "of a phase in inspect, of a request in bench: each has one limit",
        ),
        (
            "--name",
            "an authority's in ca, a server's in inspect: nothing is shared",
        ),
        ("--listen", "a session's channel, or a server's addresses"),
        ("--days", "of the authority, or of a certificate"),
        ("--json", "get: curl's body; elsewhere what is printed"),
        (
            "--user",
            "get: curl's credentials; serve: an account, as in every server",
        ),
        ("-n", "get: curl's --netrc; bench: as in wrk and h2load"),
        (
            "-c",
            "get: curl's jar of cookies; bench: as in wrk and h2load",
        ),
        ("-q", "get: curl's; elsewhere --quiet"),
        (
            "--config",
            "get: curl's arguments in a file; serve: its configuration",
        ),
        (
            "--connect-to",
            "get: curl's; inspect: one place for one host",
        ),
        ("-p", "get: curl's --proxytunnel; serve: a port"),
        ("--ciphers", "get: of TLS 1.2, as in curl; bench: of both"),
        ("--key-type", "of a key that is made, or of one in a file"),
        (
            "--data",
            "get joins several and takes line ends away, as curl does; bench sends it as it is",
        ),
    ];

    /// The meaning of a flag: its help without details of the command.
    fn meaning(help: &str) -> String {
        let end = [" [", "; ", ", ", ": ", " ("]
            .into_iter()
            .filter_map(|mark| help.find(mark))
            .min();
        help[..end.unwrap_or(help.len())].to_owned()
    }

    fn collect(
        command: &Command,
        path: &str,
        found: &mut BTreeMap<String, BTreeMap<String, Vec<String>>>,
    ) {
        for arg in command.get_arguments() {
            let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
            let long = arg.get_long().map(|long| format!("--{long}"));
            let short = arg.get_short().map(|short| format!("-{short}"));
            for flag in long.into_iter().chain(short) {
                let meanings = found.entry(flag).or_default();
                meanings
                    .entry(meaning(&help))
                    .or_default()
                    .push(path.to_owned());
            }
        }
        for inner in command.get_subcommands() {
            collect(inner, &format!("{path} {}", inner.get_name()), found);
        }
    }

    #[test]
    fn the_same_flag_means_the_same_in_every_command() {
        let mut found = BTreeMap::new();
        collect(&super::Cli::command(), "handfast", &mut found);
        assert!(found.len() > 60, "{} flags", found.len());
        let allowed = |flag: &str| ALLOWED.iter().any(|(known, _)| *known == flag);
        let differing: Vec<_> = found
            .iter()
            .filter(|(flag, meanings)| meanings.len() > 1 && !allowed(flag))
            .collect();
        assert!(differing.is_empty(), "{differing:#?}");
    }

    #[test]
    fn a_limit_on_connecting_takes_the_same_values_in_every_command() {
        for command in ["get", "connect"] {
            for (value, is_right) in [
                ("0", true),
                ("1.5", true),
                ("1e19", true),
                ("-1", false),
                ("x", false),
            ] {
                let given = format!("--connect-timeout={value}");
                let parsed =
                    super::Cli::try_parse_from(["handfast", command, &given, "localhost:1"]);
                assert_eq!(parsed.is_ok(), is_right, "{command} {given}");
            }
        }
    }

    #[test]
    fn every_exit_code_that_a_help_text_names_exists() {
        fn check(command: &Command, found: &mut usize) {
            let help = command.get_after_help().map(ToString::to_string);
            let help = help.unwrap_or_default();
            let (_, codes) = help.split_once("Exit codes").unwrap_or_default();
            for number in codes.split(|c: char| !c.is_ascii_digit()) {
                let Ok(number) = number.parse::<u8>() else {
                    continue;
                };
                let known = crate::exit_codes::ALL.iter();
                let is_known = known.into_iter().any(|code| code.number == number);
                assert!(is_known, "{}: {number}", command.get_name());
                *found += 1;
            }
            for inner in command.get_subcommands() {
                check(inner, found);
            }
        }
        let mut found = 0;
        check(&super::Cli::command(), &mut found);
        assert!(found > 15, "{found}");
    }

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
