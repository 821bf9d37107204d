//! Credentials of requests: `-u`, bearer tokens, and what `.netrc` has for a host.

use std::fmt;
use std::fs;
use std::io;
use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use directories::BaseDirs;
use handfast::escape_control;
use handfast_https::client::{DigestCredentials, Request};
use http::HeaderValue;
use http::header::AUTHORIZATION;
use zeroize::Zeroizing;

use super::data::unreadable;
use crate::failure::{Failure, code};
use crate::passphrase::prompt;
use crate::secret::Secret;

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Credentials")]
pub(super) struct CredentialArgs {
    /// Send user name and password (Basic); without `:` the password is asked for
    #[arg(
        short,
        long,
        value_name = "USER[:PASSWORD]",
        allow_hyphen_values = true
    )]
    user: Option<Secret>,
    /// Use Basic authentication with -u (the default)
    #[arg(long)]
    basic: bool,
    /// With -u, -n or credentials in the URL: answer the server's challenge (Digest) instead of sending the password
    #[arg(long, conflicts_with = "basic")]
    digest: bool,
    /// The same; a server that asks for Basic and not for Digest gets the password
    #[arg(long)]
    anyauth: bool,
    /// Send this token (Bearer)
    #[arg(long, value_name = "TOKEN", conflicts_with = "user")]
    oauth2_bearer: Option<Secret>,
    /// Without -u, take user name and password for the URL's host from ~/.netrc
    #[arg(short, long)]
    netrc: bool,
    /// As -n, but credentials in the URL take precedence
    #[arg(long, conflicts_with = "netrc")]
    netrc_optional: bool,
    /// As -n, from FILE
    #[arg(long, value_name = "FILE")]
    netrc_file: Option<PathBuf>,
    /// With -L, also send credentials, cookies and the client certificate to other origins that a redirect leads to
    #[arg(long)]
    pub(super) location_trusted: bool,
    /// Refuse URLs with a user name or a password in them
    #[arg(long)]
    disallow_username_in_url: bool,
}

/// The credentials, once they are known.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    given: Option<HeaderValue>,
    /// Sent when the server asks for them.
    asked: Option<DigestCredentials>,
    /// How to send those of a URL or a file, unless they are sent at once.
    when_asked: Option<WhenAsked>,
    netrc: Option<Netrc>,
    /// Those of the URL take precedence over those of the file.
    is_optional: bool,
}

/// Makes credentials that wait for a challenge.
type WhenAsked = fn(&str, &str) -> DigestCredentials;

impl CredentialArgs {
    /// Refuses credentials in this URL, if there may be none.
    pub(super) fn check_url(&self, url: &str) -> Result<(), Failure> {
        let (_, rest) = url.split_once("://").unwrap_or_default();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if !self.disallow_username_in_url || !authority.contains('@') {
            return Ok(());
        }
        let mut failure = Failure::usage(
            "the URL has a user name in it, and --disallow-username-in-url forbids that",
            "give user name and password with -u, or in a file with --netrc-file",
        );
        failure.code = code::LOGIN_DENIED;
        Err(failure)
    }

    /// Reads `.netrc`, and asks for a password.
    pub(super) fn credentials(&self) -> Result<Credentials, Failure> {
        let when_asked: Option<WhenAsked> = match (self.anyauth, self.digest) {
            (true, _) => Some(DigestCredentials::or_basic),
            (_, true) => Some(DigestCredentials::new),
            _ => None,
        };
        let mut asked = None;
        let mut send = |user: &str, password: &str| match when_asked {
            Some(when_asked) => {
                asked = Some(when_asked(user, password));
                Ok(None)
            }
            None => basic(user, password).map(Some),
        };
        let given = match (&self.user, &self.oauth2_bearer) {
            (Some(Secret(user)), _) => match user.split_once(':') {
                Some((user, password)) => send(user, password)?,
                None => {
                    let shown = escape_control(user);
                    let password = prompt(&format!("Password for user {shown}: "))
                        .map_err(|error| no_password(&error))?;
                    send(user, &password)?
                }
            },
            (None, Some(Secret(token))) => {
                Some(field(Zeroizing::new(format!("Bearer {}", &**token)))?)
            }
            (None, None) => None,
        };
        let wants_file = self.netrc || self.netrc_optional || self.netrc_file.is_some();
        let netrc = match wants_file && given.is_none() && asked.is_none() {
            true => self.read_netrc()?,
            false => None,
        };
        Ok(Credentials {
            given,
            asked,
            when_asked,
            netrc,
            is_optional: self.netrc_optional,
        })
    }

    /// The file; `None` when there is none, and none was named.
    fn read_netrc(&self) -> Result<Option<Netrc>, Failure> {
        let (path, is_named) = match &self.netrc_file {
            Some(path) => (path.clone(), true),
            None => match BaseDirs::new() {
                Some(dirs) => (dirs.home_dir().join(NETRC), false),
                None => return Ok(None),
            },
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !is_named => return Ok(None),
            Err(error) => return Err(unreadable(&path.display().to_string(), &error)),
        };
        Ok(Some(Netrc::parse(&text)))
    }
}

const NETRC: &str = if cfg!(windows) { "_netrc" } else { ".netrc" };

impl Credentials {
    /// Puts them into a request that has those of its URL.
    pub(super) fn put_into(&self, request: &mut Request) -> Result<(), Failure> {
        if let Some(asked) = &self.asked {
            *request = request.clone().with_digest(asked.clone());
            return Ok(());
        }
        self.put_now(request)?;
        let Some(when_asked) = self.when_asked else {
            return Ok(());
        };
        let field = request.headers().get(AUTHORIZATION);
        let login = field
            .and_then(|field| field.as_bytes().strip_prefix(b"Basic "))
            .and_then(|coded| STANDARD.decode(coded).ok())
            .and_then(|login| String::from_utf8(login).ok())
            .map(Zeroizing::new);
        if let Some((user, password)) = login.as_ref().and_then(|login| login.split_once(':')) {
            *request = request.clone().with_digest(when_asked(user, password));
        }
        Ok(())
    }

    fn put_now(&self, request: &mut Request) -> Result<(), Failure> {
        let value = match (&self.given, &self.netrc) {
            (Some(given), _) => given.clone(),
            (None, Some(netrc)) => {
                let of_url = request.headers().get(AUTHORIZATION).and_then(of_basic);
                let (user, password) = of_url.as_ref().map_or(("", ""), |(user, password)| {
                    (user.as_str(), password.as_str())
                });
                if self.is_optional && !password.is_empty() {
                    return Ok(());
                }
                let user = Some(user).filter(|user| !user.is_empty());
                let host = url::Url::parse(request.url()).ok();
                let host = host.as_ref().and_then(url::Url::host_str);
                let Some(login) = host.and_then(|host| netrc.find(host, user)) else {
                    return Ok(());
                };
                basic(&login.user, &login.password)?
            }
            (None, None) => return Ok(()),
        };
        request.headers_mut().insert(AUTHORIZATION, value);
        Ok(())
    }
}

fn no_password(error: &io::Error) -> Failure {
    Failure::usage(
        format!(
            "no password can be asked for: {}",
            crate::failure::plain(error)
        ),
        "run it on a terminal, or put the password into a file for --netrc-file",
    )
}

/// RFC 7617.
fn basic(user: &str, password: &str) -> Result<HeaderValue, Failure> {
    let both = Zeroizing::new(format!("{user}:{password}"));
    let coded = Zeroizing::new(STANDARD.encode(both.as_bytes()));
    field(Zeroizing::new(format!("Basic {}", &*coded)))
}

/// User and password of a field's value.
fn of_basic(value: &HeaderValue) -> Option<(Zeroizing<String>, Zeroizing<String>)> {
    let coded = value.to_str().ok()?.strip_prefix("Basic ")?;
    let both = Zeroizing::new(STANDARD.decode(coded).ok()?);
    let (user, password) = std::str::from_utf8(&both).ok()?.split_once(':')?;
    Some((
        Zeroizing::new(user.to_owned()),
        Zeroizing::new(password.to_owned()),
    ))
}

fn field(text: Zeroizing<String>) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::try_from(text.as_str()).map_err(|_| {
        Failure::usage(
            "the token cannot be sent: it has control characters",
            "give the token alone, without line ends",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// A `.netrc`: who logs in where.
#[derive(Debug)]
struct Netrc(Vec<Login>);

struct Login {
    /// `None` for every host that is not named before.
    host: Option<String>,
    user: String,
    password: Zeroizing<String>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login")
            .field("host", &self.host)
            .finish_non_exhaustive()
    }
}

/// What the next word is.
enum Value {
    Machine,
    Login,
    Password,
    Account,
}

impl Netrc {
    fn parse(text: &str) -> Self {
        let mut logins: Vec<Login> = Vec::new();
        let begin = |logins: &mut Vec<Login>, host| {
            logins.push(Login {
                host,
                user: String::new(),
                password: Zeroizing::default(),
            });
        };
        // A word's value may stand on another line.
        let mut next = None;
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            for word in words(line) {
                match (next.take(), logins.last_mut()) {
                    (Some(Value::Machine), _) => begin(&mut logins, Some(word)),
                    (Some(Value::Login), Some(login)) => login.user = word,
                    (Some(Value::Password), Some(login)) => login.password = Zeroizing::new(word),
                    (Some(_), _) => {}
                    (None, _) => match word.as_str() {
                        "machine" => next = Some(Value::Machine),
                        "default" => begin(&mut logins, None),
                        "login" => next = Some(Value::Login),
                        "password" => next = Some(Value::Password),
                        "account" => next = Some(Value::Account),
                        // Commands for FTP, up to an empty line.
                        "macdef" => {
                            for line in lines.by_ref() {
                                if line.trim().is_empty() {
                                    break;
                                }
                            }
                            break;
                        }
                        _ => {}
                    },
                }
            }
        }
        Self(logins)
    }

    /// The first login for a host, of this user if one is given. An entry without a login is none.
    fn find(&self, host: &str, user: Option<&str>) -> Option<&Login> {
        // Of IPv6 a URL has the address in brackets.
        let bare = |host: &str| host.trim_matches(['[', ']']).to_owned();
        let is_it = |login: &&Login| {
            let is_here = match &login.host {
                Some(named) => bare(named).eq_ignore_ascii_case(&bare(host)),
                None => true,
            };
            is_here && !login.user.is_empty() && user.is_none_or(|user| user == login.user)
        };
        self.0.iter().find(is_it)
    }
}

/// The words of a line, up to a comment. A word in double quotes may have spaces; in it `\` stands before `"` and `\`.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = line.chars().peekable();
    loop {
        while chars.next_if(|char| char.is_whitespace()).is_some() {}
        let mut word = String::new();
        match chars.peek() {
            None | Some('#') => return words,
            Some('"') => {
                chars.next();
                while let Some(char) = chars.next() {
                    match char {
                        '"' => break,
                        '\\' => word.extend(chars.next().map(|char| match char {
                            'n' => '\n',
                            'r' => '\r',
                            't' => '\t',
                            other => other,
                        })),
                        other => word.push(other),
                    }
                }
            }
            Some(_) => {
                while let Some(char) = chars.next_if(|char| !char.is_whitespace()) {
                    word.push(char);
                }
            }
        }
        words.push(word);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn netrc_has_the_usual_syntax() {
        let netrc = Netrc::parse(
            "# comment\nmachine a.example login ann password p#1\n\
             machine b.example\n  login \"bob b\"\n  password \"q \\\"w\\\\\" account x\n\
             macdef init\nmachine evil login e password e\n\n\
             machine empty\n\
             machine\n  lines\n  login\n\n  ann\n  password\n  p\n\
             machine ::1 login six password 6\n\
             machine two login ann password a\nmachine two login bob password b\n\
             default login anonymous password guest\nmachine late login l password l\n",
        );
        for (host, user, password) in [
            ("a.example", "ann", "p#1"),
            ("A.EXAMPLE", "ann", "p#1"),
            ("b.example", "bob b", "q \"w\\"),
            ("evil", "anonymous", "guest"),
            ("empty", "anonymous", "guest"),
            ("lines", "ann", "p"),
            ("[::1]", "six", "6"),
            ("two", "ann", "a"),
            ("late", "anonymous", "guest"),
        ] {
            let login = netrc.find(host, None).unwrap();
            assert_eq!(
                (login.user.as_str(), login.password.as_str()),
                (user, password),
                "{host}"
            );
        }
        let bob = netrc.find("two", Some("bob")).unwrap();
        assert_eq!(bob.password.as_str(), "b");
        assert!(netrc.find("two", Some("eve")).is_none());
        assert!(Netrc::parse("machine a").find("a", None).is_none());
        assert!(Netrc::parse("machine a login b").find("c", None).is_none());
        assert!(!format!("{netrc:?}").contains("guest"));
        for cut in [
            "machine",
            "machine a login",
            "machine a password",
            "login x",
            "\"",
            "macdef",
        ] {
            let _ = Netrc::parse(cut);
        }
    }
}
