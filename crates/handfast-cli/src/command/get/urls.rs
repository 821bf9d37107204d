//! Which URLs are fetched, and by which protocols that may happen: of those that curl knows, https alone is spoken.

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};

use super::data::typed;
use crate::failure::{Failure, code};

/// The URLs, in the order in which they were typed.
#[derive(Debug, Default)]
pub(super) struct UrlArgs(Vec<String>);

/// Option, nothing, help.
const OPTIONS: [(&str, (), &str); 2] = [
    ("urls", (), "URLs to fetch; https if there is no scheme"),
    ("url", (), "The same as an option"),
];

impl FromArgMatches for UrlArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let urls = typed(matches, &OPTIONS).into_iter().map(|((), url)| url);
        Ok(Self(urls.collect()))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl clap::Args for UrlArgs {
    fn augment_args(command: Command) -> Command {
        let [(urls, (), urls_help), (url, (), url_help)] = OPTIONS;
        command
            .arg(
                Arg::new(urls)
                    .value_name("URL")
                    .action(ArgAction::Append)
                    .num_args(1..)
                    .required_unless_present(url)
                    .help(urls_help),
            )
            .arg(
                Arg::new(url)
                    .long(url)
                    .value_name("URL")
                    .action(ArgAction::Append)
                    .help(url_help)
                    .help_heading("Request"),
            )
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl UrlArgs {
    pub(super) fn iter(&self) -> std::slice::Iter<'_, String> {
        self.0.iter()
    }
}

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Request")]
pub(super) struct ProtocolArgs {
    /// Allow these protocols, in curl's syntax, such as `=https`; plain HTTP is never spoken
    #[arg(long, value_name = "PROTOCOLS", value_parser = allows_https, allow_hyphen_values = true)]
    proto: Option<bool>,
    /// The same for redirects
    #[arg(long, value_name = "PROTOCOLS", value_parser = allows_https, allow_hyphen_values = true)]
    proto_redir: Option<bool>,
    /// Read no configuration file: none is read
    #[arg(short = 'q', long)]
    disable: bool,
}

impl ProtocolArgs {
    /// Refuses to work without https.
    pub(super) fn check(&self, follows: bool) -> Result<(), Failure> {
        let option = match (self.proto, self.proto_redir) {
            (Some(false), _) => "--proto",
            (_, Some(false)) if follows => "--proto-redir",
            _ => return Ok(()),
        };
        let mut failure = Failure::usage(
            format!("{option} does not allow https, and nothing else is spoken"),
            format!("add https to {option}, or leave it out"),
        );
        // As curl, which calls it an unsupported protocol.
        failure.code = code::OTHER;
        Err(failure)
    }
}

/// Does this list allow https? Protocols and `all`, separated by commas; `+` adds, `-` takes away, `=` starts over.
fn allows_https(text: &str) -> Result<bool, String> {
    let mut allowed = true;
    for one in text.split(',') {
        let name = one.trim_start_matches(['+', '-', '=']);
        let signs = one.get(..one.len() - name.len()).unwrap_or_default();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(
                "expected protocols separated by commas, such as =https or -all,https".into(),
            );
        }
        let means_it = name.eq_ignore_ascii_case("https") || name.eq_ignore_ascii_case("all");
        // Of several signs the last one counts, but `=` has started over.
        if signs.contains('=') {
            allowed = false;
        }
        if means_it {
            allowed = !signs.ends_with('-');
        }
    }
    Ok(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn protocols_have_curls_syntax() {
        for (text, expected) in [
            ("=https", true),
            ("https", true),
            ("http", true),
            ("=http", false),
            ("=http,https", true),
            ("-all,https", true),
            ("-all", false),
            ("-https", false),
            ("-http", true),
            ("-all,+HTTPS", true),
            ("=all,-https", false),
        ] {
            assert_eq!(allows_https(text), Ok(expected), "{text}");
        }
        for bad in ["", "=", "https,", "a b"] {
            assert!(allows_https(bad).is_err(), "{bad}");
        }
    }
}
