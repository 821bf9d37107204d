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
    /// Send this Referer; followed by `;auto`, redirects send the URL they came from
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

    /// The `User-Agent`; empty for none.
    pub(super) fn agent(&self) -> &str {
        let default = concat!("handfast/", env!("CARGO_PKG_VERSION"));
        self.user_agent.as_deref().unwrap_or(default)
    }

    /// The fields, and the names of those that were typed, even to remove them. Reads the files of `-H @FILE`.
    pub(super) fn fields(
        &self,
        defaults: &Defaults,
    ) -> Result<(HeaderMap, Vec<HeaderName>), Failure> {
        let mut fields = HeaderMap::new();
        let agent = self.agent();
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
        let (mut typed, mut names) = (HeaderMap::new(), Vec::new());
        for text in &self.header {
            match text.strip_prefix('@') {
                None => names.push(apply(text.as_bytes(), &mut fields, &mut typed)?),
                Some(file) => {
                    let bytes = read(file)?;
                    let lines = bytes.split(|byte| *byte == b'\n');
                    let lines = lines.map(|line| line.strip_suffix(b"\r").unwrap_or(line));
                    for line in lines.filter(|line| !line.is_empty()) {
                        names.push(apply(line, &mut fields, &mut typed)?);
                    }
                }
            }
        }
        fields.extend(typed);
        Ok((fields, names))
    }
}

/// Puts one field, as it was typed, to the others, or removes a default. Values may have bytes that are no UTF-8. Returns its name.
fn apply(
    text: &[u8],
    defaults: &mut HeaderMap,
    typed: &mut HeaderMap,
) -> Result<HeaderName, Failure> {
    let usage = |problem: &str| {
        // Not quoted: the value may be a secret.
        Failure::usage(
            format!("one of the -H cannot be sent: {problem}"),
            "write it as 'Name: value', 'Name;' for an empty one, 'Name:' to omit it",
        )
    };
    let mut parts = text.splitn(2, |byte| *byte == b':');
    let (name, value) = match (parts.next(), parts.next(), text.strip_suffix(b";")) {
        (Some(name), Some(value), _) => {
            let value = Some(value.trim_ascii());
            (name, value.filter(|value| !value.is_empty()))
        }
        (_, None, Some(name)) => (name, Some(&b""[..])),
        _ => return Err(usage("it has no colon")),
    };
    let name = HeaderName::from_bytes(name.trim_ascii()).map_err(|_| usage("not a field name"))?;
    defaults.remove(&name);
    if let Some(value) = value {
        let mut value = HeaderValue::from_bytes(value).map_err(|_| usage("not a field value"))?;
        value.set_sensitive(watch::is_secret(&name));
        typed.append(name.clone(), value);
    }
    Ok(name)
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
        let (found, names) = fields(&[
            "X-One: 1",
            "x-one: 2",
            "Accept:",
            "X-Empty;",
            "user-agent: me",
        ])
        .unwrap();
        let ones: Vec<_> = found.get_all("x-one").iter().collect();
        assert_eq!(ones, ["1", "2"]);
        assert!(!found.contains_key(ACCEPT) && names.contains(&ACCEPT));
        assert_eq!(found["x-empty"], "");
        assert_eq!(found[USER_AGENT], "me");
        assert_eq!(found[CONTENT_TYPE], "text/plain");
        let mut file = tempfile::NamedTempFile::new().unwrap();
        std::io::Write::write_all(&mut file, b"X-Bytes: \xe9\xff\r\nauthorization:\n\n").unwrap();
        let (found, names) = fields(&[&format!("@{}", file.path().display())]).unwrap();
        assert_eq!(found["x-bytes"].as_bytes(), b"\xe9\xff");
        assert!(names.contains(&http::header::AUTHORIZATION));
        for bad in ["no colon", "bad name: x", "x: a\u{1}b"] {
            assert!(fields(&[bad]).is_err(), "{bad}");
        }
    }
}
