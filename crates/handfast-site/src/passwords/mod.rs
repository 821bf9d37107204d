//! Basic authentication (RFC 7617) with the hashes of a password file.

mod apr1;
mod checks;
mod hash;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;

use base64ct::{Base64, Encoding as _};
use handfast::escape_control;
use handfast_https::server::{Response, User};
use http::header::{AUTHORIZATION, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use zeroize::Zeroizing;

use self::checks::{Attempt, Checks, FAILURES_MAX, Refused};
use self::hash::Hash;
pub use self::hash::HashProblem;
use crate::page::status_page;

/// Of credentials, decoded: longer ones are refused.
const CREDENTIALS_MAX: usize = 1024;

/// Maximum size of a password file, in bytes: some 100,000 users.
const FILE_MAX: usize = 8 * 1024 * 1024;

/// A second is enough for the checks of some other clients.
const BUSY_SECONDS: u64 = 1;

/// Users and the hashes of their passwords, as `htpasswd` writes them: a line `user:hash` each.
///
/// Hashes are bcrypt (`$2y$`, `$2b$`, `$2a$`), SHA-256- and SHA-512-crypt (`$5$`, `$6$`), Apache's MD5 (`$apr1$`) and SHA-1
/// (`{SHA}`). A password that is not hashed is refused. Empty lines and those that begin with `#` are skipped.
///
/// Slow hashes are checked on other threads than those that serve, a few at a time, and once for each pair of user and password in
/// ten minutes. After ten different wrong passwords within a minute no more are checked from that address until the minute is over
/// (429); of channels without an address, such as Unix sockets, after ten times as many. A clone is the same.
#[derive(Clone)]
pub struct Passwords {
    users: Arc<HashMap<Box<str>, Hash>>,
    /// Of all hashes the one that takes longest to check.
    slowest: Option<Hash>,
    challenge: HeaderValue,
    failures_max: NonZeroU32,
    checks: Arc<Checks>,
}

/// A password file is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct PasswordsError {
    /// The number of the line, from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong with it.
    pub problem: PasswordsProblem,
}

/// What is wrong with a line of a password file. The line itself is not told: it may have a password in it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PasswordsProblem {
    /// It is not `user:hash`.
    NoColon,
    /// The user's name is empty or has control characters.
    Name,
    /// This user has two lines.
    Twice(String),
    /// The hash of this user.
    Hash(String, HashProblem),
    /// There is no user in the file.
    Empty,
    /// The file is longer than 8 MiB.
    TooLong,
}

impl fmt::Display for PasswordsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}: ", self.line)?;
        }
        match &self.problem {
            PasswordsProblem::NoColon => f.write_str("the line is not user:hash"),
            PasswordsProblem::Name => {
                f.write_str("the user's name is empty or has control characters")
            }
            PasswordsProblem::Twice(user) => write!(f, "the user {user} has two lines"),
            PasswordsProblem::Hash(user, problem) => write!(
                f,
                "user {user}: {problem}; `htpasswd -nB {user} > FILE` makes a file with a good hash"
            ),
            PasswordsProblem::Empty => f.write_str("there is no user in it"),
            PasswordsProblem::TooLong => f.write_str("it is longer than 8 MiB"),
        }
    }
}

impl std::error::Error for PasswordsError {}

impl Passwords {
    /// From the text of a password file.
    ///
    /// # Errors
    /// [`PasswordsError`] for the first line that is not accepted.
    pub fn parse(text: &str) -> Result<Self, PasswordsError> {
        let wrong = |line, problem| PasswordsError { line, problem };
        if text.len() > FILE_MAX {
            return Err(wrong(0, PasswordsProblem::TooLong));
        }
        let mut users = HashMap::new();
        for (at, line) in text.lines().enumerate() {
            let number = at + 1;
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (user, hash) = line
                .split_once(':')
                .ok_or_else(|| wrong(number, PasswordsProblem::NoColon))?;
            if user.is_empty() || user.chars().any(char::is_control) {
                return Err(wrong(number, PasswordsProblem::Name));
            }
            let shown = || escape_control(user).into_owned();
            let hash = Hash::parse(hash)
                .map_err(|problem| wrong(number, PasswordsProblem::Hash(shown(), problem)))?;
            if users.insert(Box::from(user), hash).is_some() {
                return Err(wrong(number, PasswordsProblem::Twice(shown())));
            }
        }
        if users.is_empty() {
            return Err(wrong(0, PasswordsProblem::Empty));
        }
        let slowest = users.values().max_by_key(|hash| hash.cost()).cloned();
        Ok(Self {
            users: Arc::new(users),
            slowest,
            challenge: challenge("restricted"),
            failures_max: FAILURES_MAX,
            checks: Arc::new(Checks::new()),
        })
    }

    /// What browsers show with their question for a password, and keep passwords by. Default: `restricted`.
    #[must_use]
    pub fn with_realm(mut self, realm: &str) -> Self {
        self.challenge = challenge(realm);
        self
    }

    /// How many different wrong passwords of one address are checked within a minute; all channels without an address have ten times as
    /// many together. Default: 10.
    #[must_use]
    pub fn with_failures_max(mut self, max: NonZeroU32) -> Self {
        self.failures_max = max;
        self
    }

    /// Goes on with what these have checked, and with the limits on failures: for the same file that was read again.
    #[must_use]
    pub fn succeeding(mut self, previous: &Self) -> Self {
        self.checks = Arc::clone(&previous.checks);
        self
    }

    /// The users' names, in order.
    pub fn users(&self) -> Vec<&str> {
        let mut users: Vec<&str> = self.users.keys().map(|user| &**user).collect();
        users.sort_unstable();
        users
    }

    /// Which user the request is from.
    ///
    /// # Errors
    /// The refusal.
    pub(crate) async fn check(
        &self,
        request: &HeaderMap,
        address: Option<IpAddr>,
    ) -> Result<User, Response> {
        let Some(credentials) = Credentials::of(request) else {
            return Err(self.demand(request));
        };
        let Some((hash, known, slowest)) = self.hash_for(credentials.user()) else {
            return Err(self.demand(request));
        };
        let attempt = Attempt {
            user: credentials.user(),
            password: credentials.password(),
            hash,
            known,
            slowest,
        };
        match self
            .checks
            .check(&attempt, address, self.failures_max)
            .await
        {
            Ok(true) => Ok(User::new(credentials.user())),
            Ok(false) => Err(self.demand(request)),
            Err(Refused::Failures(wait)) => Err(later(
                request,
                StatusCode::TOO_MANY_REQUESTS,
                "Too many wrong passwords came from this address. Try again in a minute.",
                wait.as_secs() + 1,
            )),
            Err(Refused::Busy) => Err(later(
                request,
                StatusCode::SERVICE_UNAVAILABLE,
                "Too many passwords are being checked. Try again in a moment.",
                BUSY_SECONDS,
            )),
        }
    }

    /// What to check a password against, whether there is such a user, and what to check besides when it is wrong: it takes about as long for
    /// each user as for one that does not exist, so that time does not tell who there is.
    fn hash_for(&self, user: &str) -> Option<(&Hash, bool, Option<&Hash>)> {
        let slowest = self.slowest.as_ref()?;
        Some(match self.users.get(user) {
            // One that takes almost as long is as near as it gets.
            Some(hash) => {
                let is_quicker = hash.cost() <= slowest.cost() / 2;
                (hash, true, Some(slowest).filter(|_| is_quicker))
            }
            None => (slowest, false, None),
        })
    }

    fn demand(&self, request: &HeaderMap) -> Response {
        let text = "This page needs a user name and a password.";
        let mut response = status_page(request, StatusCode::UNAUTHORIZED, text);
        response
            .headers_mut()
            .insert(WWW_AUTHENTICATE, self.challenge.clone());
        response
    }
}

/// Users, but no hashes.
impl fmt::Debug for Passwords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Passwords")
            .field("users", &self.users())
            .finish_non_exhaustive()
    }
}

fn later(request: &HeaderMap, status: StatusCode, text: &str, seconds: u64) -> Response {
    let mut response = status_page(request, status, text);
    response.headers_mut().insert(RETRY_AFTER, seconds.into());
    response
}

/// `Basic realm="...", charset="UTF-8"` (RFC 7617, section 2.1).
fn challenge(realm: &str) -> HeaderValue {
    let realm: String = realm
        .chars()
        .filter(|char| matches!(char, ' '..='~'))
        .flat_map(|char| {
            matches!(char, '"' | '\\')
                .then_some('\\')
                .into_iter()
                .chain([char])
        })
        .collect();
    HeaderValue::try_from(format!("Basic realm=\"{realm}\", charset=\"UTF-8\""))
        .unwrap_or_else(|_| HeaderValue::from_static("Basic realm=\"restricted\""))
}

/// For fuzz targets: user and password of a request.
#[cfg(fuzzing)]
pub(crate) fn credentials(request: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let credentials = Credentials::of(request)?;
    Some((
        credentials.user().to_owned(),
        credentials.password().to_vec(),
    ))
}

/// A user name and a password, as they were sent.
struct Credentials {
    text: Zeroizing<Vec<u8>>,
    colon: usize,
}

impl Credentials {
    fn of(request: &HeaderMap) -> Option<Self> {
        let mut fields = request.get_all(AUTHORIZATION).iter();
        let field = fields.next()?.as_bytes();
        if fields.next().is_some() {
            return None;
        }
        let (scheme, encoded) = field.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let encoded = encoded.trim_ascii();
        let mut text = Zeroizing::new(vec![0; CREDENTIALS_MAX]);
        let length = Base64::decode(encoded, &mut text).ok()?.len();
        text.truncate(length);
        // Neither has control characters (RFC 7617, section 2).
        let decoded = std::str::from_utf8(&text).ok()?;
        if decoded.chars().any(char::is_control) {
            return None;
        }
        let colon = decoded.find(':')?;
        Some(Self { text, colon })
    }

    fn user(&self) -> &str {
        self.text
            .get(..self.colon)
            .and_then(|user| std::str::from_utf8(user).ok())
            .unwrap_or_default()
    }

    fn password(&self) -> &[u8] {
        self.text.get(self.colon + 1..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, HeaderValue::try_from(value).unwrap());
        headers
    }

    #[test]
    fn in_a_file_of_several_kinds_of_hashes_no_user_is_found_by_the_time_of_a_check() {
        let bcrypt = |cost| bcrypt::hash("x", cost).unwrap();
        let sha512 = |rounds: u32| format!("$6$rounds={rounds}$ab${}", "a".repeat(86));
        let (slow, slower) = (bcrypt(4), bcrypt(6));
        let sha1 = "{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=";
        let file = format!(
            "a:{sha1}\nb:{slow}\nc:{slower}\nd:{sha1}\ne:{}\n",
            sha512(1000)
        );
        let passwords = Passwords::parse(&file).unwrap();
        for (user, hash, known, has_slowest) in [
            ("a", sha1, true, true),
            ("b", &slow, true, true),
            ("c", &slower, true, false),
            ("e", &sha512(1000), true, true),
            ("nobody", &slower, false, false),
        ] {
            let (found, is_known, slowest) = passwords.hash_for(user).unwrap();
            assert_eq!((found.text(), is_known), (hash, known), "{user}");
            let slowest = slowest.map(Hash::text);
            assert_eq!(slowest, has_slowest.then_some(&*slower), "{user}");
        }
        let costs = [
            sha1.to_owned(),
            format!("$5$ab${}", "a".repeat(43)),
            sha512(1_000_000),
        ];
        let costs = costs.map(|text| Hash::parse(&text).unwrap().cost());
        assert_eq!(costs, [1, 5000, 1_000_000]);
    }

    #[test]
    fn credentials_are_read_as_they_are_defined() {
        let encoded = |text: &str| Base64::encode_string(text.as_bytes());
        for (value, expected) in [
            (
                format!("Basic {}", encoded("ann:pass:word")),
                Some(("ann", "pass:word")),
            ),
            (format!("bAsIc  {}", encoded("jörg:ü")), Some(("jörg", "ü"))),
            (format!("Basic {}", encoded(":")), Some(("", ""))),
            (format!("Basic {}", encoded("ann")), None),
            (format!("Basic {}", encoded("ann:a\nb")), None),
            (format!("Basic {}", encoded(&"x".repeat(2000))), None),
            (format!("Bearer {}", encoded("ann:x")), None),
            ("Basic".to_owned(), None),
            ("Basic ???".to_owned(), None),
            ("Basic /////w==".to_owned(), None),
        ] {
            let credentials = Credentials::of(&headers(&value));
            let found = credentials
                .as_ref()
                .map(|it| (it.user(), std::str::from_utf8(it.password()).unwrap()));
            assert_eq!(found, expected, "{value}");
        }
        let mut twice = headers(&format!("Basic {}", encoded("a:b")));
        twice.append(AUTHORIZATION, twice[AUTHORIZATION].clone());
        assert!(Credentials::of(&twice).is_none());
    }

    #[test]
    fn files_are_refused_with_the_line_and_never_with_a_password() {
        let sha = "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=";
        let passwords = Passwords::parse(&format!("# users\n\nbob:{sha}\r\nann:{sha}\n")).unwrap();
        assert_eq!(passwords.users(), ["ann", "bob"]);
        assert!(!format!("{passwords:?}").contains("W6ph"));
        for (text, expected) in [
            ("", "there is no user in it"),
            ("secret", "line 1: the line is not user:hash"),
            (
                ":x",
                "line 1: the user's name is empty or has control characters",
            ),
            (
                "\nann:secret",
                "line 2: user ann: the password is not hashed; `htpasswd -nB ann > FILE` makes a file with a good hash",
            ),
        ] {
            assert_eq!(Passwords::parse(text).unwrap_err().to_string(), expected);
        }
        let twice = format!("ann:{sha}\nann:{sha}\n");
        assert_eq!(
            Passwords::parse(&twice).unwrap_err().to_string(),
            "line 2: the user ann has two lines"
        );
    }

    #[test]
    fn a_realm_stays_within_its_quotes() {
        assert_eq!(
            challenge("a \"b\\ \r\nX: ü"),
            "Basic realm=\"a \\\"b\\\\ X: \", charset=\"UTF-8\""
        );
    }
}
