//! The header fields of requests: `-H`, `-A`, `-e`.

use handfast::Explanation;
use handfast_https::client::DECODED_CODINGS;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, HeaderName, REFERER, USER_AGENT};
use http::{HeaderMap, HeaderValue};

use super::data::read;
use super::watch;
use crate::failure::{Failure, code};

#[derive(Debug, Default, clap::Args)]
#[command(next_help_heading = "Header fields")]
pub(super) struct FieldArgs {
    /// Send this header field; `Name:` removes a default field, `Name;` sends it empty; @FILE has one on each line
    #[arg(short = 'H', long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// Send this User-Agent; empty for none
    #[arg(short = 'A', long, value_name = "NAME")]
    user_agent: Option<String>,
    /// Send this Referer; with `;auto` behind it, redirects send the URL they came from
    #[arg(short = 'e', long, value_name = "URL")]
    referer: Option<String>,
}

/// The fields that are sent unless they are given or removed.
#[derive(Debug, Default)]
pub(super) struct Defaults {
    pub(super) content_type: Option<String>,
    pub(super) accepts_json: bool,
    pub(super) accepts_codings: bool,
}

/// Behind a referer: redirects set it.
const AUTO: &str = ";auto";

impl FieldArgs {
    /// Do redirects send the URL that they came from?
    pub(super) fn sets_referer(&self) -> bool {
        self.referer
            .as_deref()
            .is_some_and(|text| text.ends_with(AUTO))
    }

    /// Is there one of this name among those that were typed, even to remove it?
    pub(super) fn names(&self, name: &HeaderName) -> bool {
        let is_it = |text: &String| {
            let typed = text.split([':', ';']).next().unwrap_or_default();
            typed.trim().eq_ignore_ascii_case(name.as_str())
        };
        self.header.iter().any(is_it)
    }

    /// The fields. Reads the files of `-H @FILE`.
    pub(super) fn fields(&self, defaults: &Defaults) -> Result<HeaderMap, Failure> {
        let mut fields = HeaderMap::new();
        let agent = concat!("handfast/", env!("CARGO_PKG_VERSION"));
        let agent = self.user_agent.as_deref().unwrap_or(agent);
        let referer = self.referer.as_deref().unwrap_or_default();
        let referer = referer.strip_suffix(AUTO).unwrap_or(referer);
        for (name, option, text) in [(USER_AGENT, "-A", agent), (REFERER, "-e", referer)] {
            if text.is_empty() {
                continue;
            }
            let value = HeaderValue::try_from(text).map_err(|_| {
                Failure::usage(
                    format!("the text of {option} cannot be sent: it has control characters"),
                    "give it on one line",
                )
            })?;
            fields.insert(name, value);
        }
        let accept = match defaults.accepts_json {
            true => "application/json",
            false => "*/*",
        };
        fields.insert(ACCEPT, HeaderValue::from_static(accept));
        if defaults.accepts_codings {
            fields.insert(ACCEPT_ENCODING, HeaderValue::from_static(DECODED_CODINGS));
        }
        if let Some(kind) = &defaults.content_type {
            let value = HeaderValue::try_from(kind).map_err(|_| {
                Failure::new(
                    code::USAGE,
                    Explanation::new("usage", "the content type cannot be sent"),
                )
            })?;
            fields.insert(CONTENT_TYPE, value);
        }
        let mut typed = HeaderMap::new();
        for text in &self.header {
            match text.strip_prefix('@') {
                None => apply(text, &mut fields, &mut typed)?,
                Some(file) => {
                    let bytes = read(file)?;
                    let text = String::from_utf8_lossy(&bytes);
                    for line in text.lines().filter(|line| !line.is_empty()) {
                        apply(line, &mut fields, &mut typed)?;
                    }
                }
            }
        }
        fields.extend(typed);
        Ok(fields)
    }
}

/// Puts one field, as it was typed, to the others, or removes a default.
fn apply(text: &str, defaults: &mut HeaderMap, typed: &mut HeaderMap) -> Result<(), Failure> {
    let usage = |problem: &str| {
        // Not quoted: the value may be a secret.
        Failure::usage(
            format!("one of the -H cannot be sent: {problem}"),
            "write it as 'Name: value', 'Name;' for an empty one, 'Name:' to omit it",
        )
    };
    let (name, value) = match (text.split_once(':'), text.strip_suffix(';')) {
        (Some((name, value)), _) => (name, Some(value.trim()).filter(|v| !v.is_empty())),
        (None, Some(name)) => (name, Some("")),
        (None, None) => return Err(usage("it has no colon")),
    };
    let name: HeaderName = name.trim().parse().map_err(|_| usage("not a field name"))?;
    defaults.remove(&name);
    let Some(value) = value else { return Ok(()) };
    let mut value = HeaderValue::try_from(value).map_err(|_| usage("not a field value"))?;
    value.set_sensitive(watch::is_secret(&name));
    typed.append(name, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_curls_syntax() {
        let fields = |given: &[&str]| {
            let header = given.iter().map(ToString::to_string).collect();
            let args = FieldArgs {
                header,
                ..FieldArgs::default()
            };
            args.fields(&Defaults {
                content_type: Some("text/plain".into()),
                ..Defaults::default()
            })
        };
        let found = fields(&[
            "X-One: 1",
            "x-one: 2",
            "Accept:",
            "X-Empty;",
            "user-agent: me",
        ])
        .unwrap();
        let ones: Vec<_> = found.get_all("x-one").iter().collect();
        assert_eq!(ones, ["1", "2"]);
        assert!(!found.contains_key(ACCEPT));
        assert_eq!(found["x-empty"], "");
        assert_eq!(found[USER_AGENT], "me");
        assert_eq!(found[CONTENT_TYPE], "text/plain");
        for bad in ["no colon", "bad name: x", "x: a\u{1}b"] {
            assert!(fields(&[bad]).is_err(), "{bad}");
        }
    }
}
