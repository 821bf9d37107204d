//! Rules: what is answered, or changed of an answer, for the paths that a pattern matches.

use std::fmt;

use handfast::escape_control;
use http::header::{CACHE_CONTROL, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::path::Path;
use crate::pattern::{Pattern, PatternProblem, Target, TargetProblem};

/// Fields that are the server's own: they say where a message ends and what becomes of the connection.
const RESERVED: [HeaderName; 8] = [
    http::header::CONNECTION,
    http::header::CONTENT_LENGTH,
    http::header::TE,
    http::header::TRAILER,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What is done for the paths that a pattern matches.
///
/// A pattern begins with a slash and is matched segment by segment against the decoded path. `*` stands for anything within
/// a segment, `**`, a segment of its own, for any number of segments. `/a` and `/a/` are different paths; `/a/**` matches both
/// and everything beneath. Doubled slashes count as one, `%2A` is a star. Case counts, also where the file system ignores it: what some
/// clients must not reach is for a [`Guard`](crate::Guard).
///
/// ```
/// # use handfast_site::{Rule, RuleError, Site};
/// # fn rules() -> Result<Site, RuleError> {
/// let site = Site::new()
///     .with_rule(Rule::redirect("/blog/*/**", "https://blog.example/$1/$2", 301)?)
///     .with_rule(Rule::rewrite("/latest/**", "/releases/2.4/$1")?)
///     .with_rule(Rule::status("/gone/**", 410)?)
///     .with_rule(Rule::set_header("/**", "Referrer-Policy", "no-referrer")?)
///     .with_rule(Rule::cache_control("/assets/**", "max-age=31536000, immutable")?);
/// # Ok(site)
/// # }
/// # rules().unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Rule {
    pattern: Pattern,
    action: Action,
}

#[derive(Debug, Clone)]
pub(crate) enum Action {
    Redirect(StatusCode, Target),
    Rewrite(Target),
    Status(StatusCode),
    Set(HeaderName, HeaderValue),
    Add(HeaderName, HeaderValue),
    Remove(HeaderName),
    CacheControl(HeaderValue),
}

/// A rule makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RuleError {
    /// The pattern.
    Pattern {
        /// As it was given, escaped.
        pattern: String,
        /// What is wrong with it.
        problem: PatternProblem,
    },
    /// The target of a redirect or a rewrite.
    Target {
        /// As it was given, escaped.
        target: String,
        /// What is wrong with it.
        problem: TargetProblem,
    },
    /// Not a status of a redirect: 301, 302, 303, 307, 308.
    RedirectStatus(u16),
    /// Not a status of an error: 400 to 599.
    ErrorStatus(u16),
    /// Not the name of a header field; escaped.
    FieldName(String),
    /// A header field that only the server sets.
    ReservedField(String),
    /// The value of this header field has control characters in it.
    FieldValue(String),
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pattern { pattern, problem } => write!(f, "the pattern {pattern}: {problem}"),
            Self::Target { target, problem } => write!(f, "the target {target}: {problem}"),
            Self::RedirectStatus(status) => write!(
                f,
                "{status} is not the status of a redirect (301, 302, 303, 307 or 308)"
            ),
            Self::ErrorStatus(status) => {
                write!(f, "{status} is not the status of an error (400 to 599)")
            }
            Self::FieldName(name) => write!(f, "{name} is not the name of a header field"),
            Self::ReservedField(name) => {
                write!(f, "the header field {name} is set by the server alone")
            }
            Self::FieldValue(name) => write!(
                f,
                "the value of the header field {name} has characters that it must not have"
            ),
        }
    }
}

impl std::error::Error for RuleError {}

pub(crate) fn pattern(text: &str) -> Result<Pattern, RuleError> {
    Pattern::parse(text).map_err(|problem| RuleError::Pattern {
        pattern: escape_control(text).into_owned(),
        problem,
    })
}

fn target(text: &str, pattern: &Pattern, allow_url: bool) -> Result<Target, RuleError> {
    Target::parse(text, pattern, allow_url).map_err(|problem| RuleError::Target {
        target: escape_control(text).into_owned(),
        problem,
    })
}

fn field_name(text: &str) -> Result<HeaderName, RuleError> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| RuleError::FieldName(escape_control(text).into_owned()))?;
    if RESERVED.contains(&name) {
        return Err(RuleError::ReservedField(name.as_str().to_owned()));
    }
    Ok(name)
}

fn field_value(name: &HeaderName, value: &str) -> Result<HeaderValue, RuleError> {
    HeaderValue::from_str(value.trim()).map_err(|_| RuleError::FieldValue(name.as_str().to_owned()))
}

impl Rule {
    /// Redirects to another path or to a URL (`https://` or `http://`). `$1` to `$9` in it stand for what the wildcards
    /// matched, percent-encoded; `$$` is a `$`. The request's query is appended, unless the target has one. The status is 301 or
    /// 308 (permanently), 302 or 307 (for now), 303 (see other); 307 and 308 keep the method.
    ///
    /// A redirect to the same URL does not apply.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn redirect(pattern: &str, to: &str, status: u16) -> Result<Self, RuleError> {
        let status = match status {
            301 | 302 | 303 | 307 | 308 => StatusCode::from_u16(status).ok(),
            _ => None,
        }
        .ok_or(RuleError::RedirectStatus(status))?;
        let pattern = self::pattern(pattern)?;
        let to = target(to, &pattern, true)?;
        Ok(Self {
            pattern,
            action: Action::Redirect(status, to),
        })
    }

    /// Answers as if another path had been asked for. `to` is as for [`redirect`](Self::redirect), and a path. The rules
    /// after this one see the new path, so that rules cannot go round in circles.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn rewrite(pattern: &str, to: &str) -> Result<Self, RuleError> {
        let pattern = self::pattern(pattern)?;
        let to = target(to, &pattern, false)?;
        Ok(Self {
            pattern,
            action: Action::Rewrite(to),
        })
    }

    /// Answers with an error: 410 (Gone), 404 (Not Found) and others from 400 to 599.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn status(pattern: &str, status: u16) -> Result<Self, RuleError> {
        let pattern = self::pattern(pattern)?;
        let status = StatusCode::from_u16(status)
            .ok()
            .filter(|status| status.is_client_error() || status.is_server_error())
            .ok_or(RuleError::ErrorStatus(status))?;
        Ok(Self {
            pattern,
            action: Action::Status(status),
        })
    }

    /// Sets a header field of the response, in place of those of that name. Rules for header fields apply to the path that is
    /// answered in the end, after rewrites, and to errors, too.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn set_header(pattern: &str, name: &str, value: &str) -> Result<Self, RuleError> {
        let name = field_name(name)?;
        let value = field_value(&name, value)?;
        Ok(Self {
            pattern: self::pattern(pattern)?,
            action: Action::Set(name, value),
        })
    }

    /// Adds a header field to the response, beside those of that name.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn add_header(pattern: &str, name: &str, value: &str) -> Result<Self, RuleError> {
        let name = field_name(name)?;
        let value = field_value(&name, value)?;
        Ok(Self {
            pattern: self::pattern(pattern)?,
            action: Action::Add(name, value),
        })
    }

    /// Removes a header field from the response.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn remove_header(pattern: &str, name: &str) -> Result<Self, RuleError> {
        Ok(Self {
            pattern: self::pattern(pattern)?,
            action: Action::Remove(field_name(name)?),
        })
    }

    /// Sets `Cache-Control` (RFC 9111, section 5.2.2) of successful responses and of 304. An error is never kept by it: a file
    /// that is missing for a moment would be missing for the whole time.
    ///
    /// # Errors
    /// [`RuleError`].
    pub fn cache_control(pattern: &str, value: &str) -> Result<Self, RuleError> {
        Ok(Self {
            pattern: self::pattern(pattern)?,
            action: Action::CacheControl(field_value(&CACHE_CONTROL, value)?),
        })
    }

    /// Does it decide what is answered, and not only which header fields the response has?
    pub(crate) fn routes(&self) -> bool {
        matches!(
            self.action,
            Action::Redirect(..) | Action::Rewrite(_) | Action::Status(_)
        )
    }

    pub(crate) fn action(&self) -> &Action {
        &self.action
    }

    pub(crate) fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// The status of the error that this path is answered with. What holds a file in a content coding is refused with the file.
    pub(crate) fn refuses(&self, path: &Path) -> Option<StatusCode> {
        let Action::Status(status) = self.action else {
            return None;
        };
        let is_refused = self.pattern.matches(path)
            || path
                .uncoded()
                .is_some_and(|uncoded| self.refuses(&uncoded).is_some());
        is_refused.then_some(status)
    }

    /// Whether it refuses a file that may be sent in place of this one, and not this one.
    pub(crate) fn refuses_coded_alone(&self, path: &Path, indexes: &[&[u8]]) -> bool {
        let is = |path: &Path| self.pattern.matches(path);
        let of = |file: &Path| !is(file) && file.coded().any(|coded| is(&coded));
        matches!(self.action, Action::Status(_))
            && match path.directory {
                true => indexes.iter().any(|index| of(&path.index(index))),
                false => of(path),
            }
    }

    /// Changes the header fields of a response to this path.
    pub(crate) fn apply(&self, path: &Path, status: StatusCode, headers: &mut HeaderMap) {
        if !self.pattern.matches(path) {
            return;
        }
        match &self.action {
            Action::Set(name, value) => {
                headers.insert(name.clone(), value.clone());
            }
            Action::Add(name, value) => {
                headers.append(name.clone(), value.clone());
            }
            Action::Remove(name) => {
                headers.remove(name);
            }
            Action::CacheControl(value) => {
                if status.is_success() || status == StatusCode::NOT_MODIFIED {
                    headers.insert(CACHE_CONTROL, value.clone());
                }
            }
            Action::Redirect(..) | Action::Rewrite(_) | Action::Status(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_checked_when_they_are_made() {
        let errors = [
            (
                Rule::redirect("x", "/", 301),
                "the pattern x: it does not begin with /",
            ),
            (
                Rule::redirect("/x", "//evil.example", 301),
                "the target //evil.example: it is not a path that begins with one /, or a URL with https:// and a host",
            ),
            (
                Rule::redirect("/x", "/$1", 301),
                "the target /$1: a $ is not followed by the number of a wildcard in the pattern ($$ stands for $)",
            ),
            (
                Rule::redirect("/x", "/", 304),
                "304 is not the status of a redirect (301, 302, 303, 307 or 308)",
            ),
            (
                Rule::rewrite("/x", "https://a.example/"),
                "the target https://a.example/: it is not a path that begins with one /, or a URL with https:// and a host",
            ),
            (
                Rule::status("/x", 200),
                "200 is not the status of an error (400 to 599)",
            ),
            (
                Rule::set_header("/x", "A B", "c"),
                "A B is not the name of a header field",
            ),
            (
                Rule::set_header("/x", "Content-Length", "1"),
                "the header field content-length is set by the server alone",
            ),
            (
                Rule::add_header("/x", "A", "b\r\nC: d"),
                "the value of the header field a has characters that it must not have",
            ),
        ];
        for (result, expected) in errors {
            assert_eq!(result.unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn cache_control_is_for_successful_responses() {
        let rule = Rule::cache_control("/**", "max-age=60").unwrap();
        let path = Path::parse("/x").unwrap();
        for (status, expected) in [
            (StatusCode::OK, true),
            (StatusCode::PARTIAL_CONTENT, true),
            (StatusCode::NOT_MODIFIED, true),
            (StatusCode::NOT_FOUND, false),
            (StatusCode::UNAUTHORIZED, false),
        ] {
            let mut headers = HeaderMap::new();
            rule.apply(&path, status, &mut headers);
            assert_eq!(headers.contains_key(CACHE_CONTROL), expected, "{status}");
        }
    }
}
