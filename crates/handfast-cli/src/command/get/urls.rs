//! Which URLs are fetched, and by which protocols that may happen: of those that curl knows https, and http if it is allowed.

use std::path::PathBuf;

use clap::{Arg, ArgAction, ArgMatches, Command, FromArgMatches};
use handfast_https::client::Request;
use http::Method;

use super::data::typed;
use super::outcome::explained;
use crate::failure::{Failure, code};

/// The URLs, in the order in which they were typed.
#[derive(Debug, Default)]
pub(super) struct UrlArgs(Vec<String>);

/// Option, nothing, help.
const OPTIONS: [(&str, (), &str); 2] = [
    ("urls", (), "URLs to fetch; https if there is no scheme"),
    ("url", (), "URL to fetch, as an option"),
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
    /// Also fetch http:// URLs, without TLS: neither encrypted nor verified
    #[arg(long)]
    allow_http: bool,
    /// Allow these protocols, in curl's syntax, such as `=https`; http takes --allow-http as well
    #[arg(long, value_name = "PROTOCOLS", value_parser = protocols, allow_hyphen_values = true)]
    proto: Option<Protocols>,
    /// The same for redirects; those from https to http are followed only if http is named here
    #[arg(long, value_name = "PROTOCOLS", value_parser = protocols, allow_hyphen_values = true)]
    proto_redir: Option<Protocols>,
    /// Take arguments from FILE too, in curl's syntax; `-` is stdin
    #[arg(short = 'K', long, value_name = "FILE")]
    config: Vec<PathBuf>,
    /// Do not read the user's own file (`handfast/get` in the directory of configuration files)
    #[arg(short = 'q', long)]
    disable: bool,
}

impl ProtocolArgs {
    /// Refuses to work without https, unless http is spoken.
    pub(super) fn check(&self, follows: bool) -> Result<(), Failure> {
        let leaves_none = |allowed: &Option<Protocols>| match allowed {
            Some(allowed) => !(allowed.https || self.allow_http && allowed.http),
            None => false,
        };
        let option = match (leaves_none(&self.proto), leaves_none(&self.proto_redir)) {
            (true, _) => "--proto",
            (_, true) if follows => "--proto-redir",
            _ => return Ok(()),
        };
        Err(unsupported(
            format!("{option} does not allow https, and nothing else is spoken"),
            format!("add https to {option}, or leave it out"),
        ))
    }

    /// May URLs have the scheme http?
    pub(super) fn allows_http(&self) -> bool {
        self.allow_http
    }

    /// A request of this URL, if its protocol is allowed.
    pub(super) fn request(&self, method: Method, url: &str) -> Result<Request, Failure> {
        let request = match self.allow_http {
            true => Request::new_allowing_http(method, url),
            false => Request::new(method, url),
        };
        let request = request.map_err(explained)?;
        let is_allowed = self.proto.is_none_or(|allowed| match request.is_plain() {
            true => allowed.http,
            false => allowed.https,
        });
        match is_allowed {
            true => Ok(request),
            false => Err(unsupported(
                format!("--proto does not allow {}", request.url()),
                "add its protocol to --proto, or leave that out".to_owned(),
            )),
        }
    }

    /// May redirects lead to http? `None` where nothing is said of it.
    pub(super) fn redirects_to_http(&self) -> Option<bool> {
        let allowed = self.proto_redir?;
        match allowed.names_http {
            true => Some(allowed.http),
            false => (!allowed.http).then_some(false),
        }
    }
}

/// As curl, which calls it an unsupported protocol.
fn unsupported(what: String, fix: String) -> Failure {
    let mut failure = Failure::usage(what, fix);
    failure.code = code::OTHER;
    failure
}

/// Which protocols are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Protocols {
    https: bool,
    http: bool,
    /// http is there by its own name.
    names_http: bool,
}

/// Protocols and `all`, separated by commas; `+` adds, `-` takes away, `=` starts over.
fn protocols(text: &str) -> Result<Protocols, String> {
    let mut allowed = Protocols {
        https: true,
        http: true,
        names_http: false,
    };
    for one in text.split(',') {
        let name = one.trim_start_matches(['+', '-', '=']);
        let signs = one.get(..one.len() - name.len()).unwrap_or_default();
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(
                "expected protocols separated by commas, such as =https or -all,https".into(),
            );
        }
        // Of several signs the last one counts, but `=` has started over.
        if signs.contains('=') {
            (allowed.https, allowed.http) = (false, false);
        }
        let is = |protocol: &str| name.eq_ignore_ascii_case(protocol);
        let is_added = !signs.ends_with('-');
        if is("https") || is("all") {
            allowed.https = is_added;
        }
        if is("http") || is("all") {
            allowed.http = is_added;
        }
        allowed.names_http |= is("http");
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
            assert_eq!(protocols(text).map(|it| it.https), Ok(expected), "{text}");
        }
        for (text, http, names_http) in [
            ("=https", false, false),
            ("=http", true, true),
            ("all", true, false),
            ("-http", false, true),
        ] {
            let found = protocols(text).unwrap();
            assert_eq!((found.http, found.names_http), (http, names_http), "{text}");
        }
        for bad in ["", "=", "https,", "a b"] {
            assert!(protocols(bad).is_err(), "{bad}");
        }
    }
}
