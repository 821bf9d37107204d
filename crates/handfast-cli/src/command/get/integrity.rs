//! What a complete body is checked against besides its framing: the end of the connection (`--strict-close`), a digest that was
//! given (`--sha256`), and the server's own (`Repr-Digest`; RFC 9530).

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::str::FromStr;

use aws_lc_rs::digest::{Algorithm, Context, SHA256, SHA512};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use handfast::Explanation;
use handfast_https::client::{Finished, Request, Response};
use http::header::CONNECTION;
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use super::destination::unusable;
use crate::failure::{Failure, code};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Integrity")]
pub(super) struct IntegrityArgs {
    /// Fail if the connection ends without close_notify, even if the body is complete by its framing
    #[arg(long)]
    strict_close: bool,
    /// Fail if the body does not have this SHA-256
    #[arg(long, value_name = "HEX")]
    sha256: Option<Sha256>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Sha256(Vec<u8>);

impl FromStr for Sha256 {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let usage = || "expected 64 hexadecimal digits".to_owned();
        let pairs = text.as_bytes().chunks(2);
        let bytes: Option<Vec<u8>> = pairs
            .map(|pair| {
                let pair = std::str::from_utf8(pair).ok()?;
                let is_hex = pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
                is_hex.then(|| u8::from_str_radix(pair, 16).ok())?
            })
            .collect();
        bytes
            .filter(|bytes| bytes.len() == 32)
            .map(Self)
            .ok_or_else(usage)
    }
}

impl IntegrityArgs {
    /// A server that ends the connection after its response shows how it does that.
    pub(super) fn put_into(&self, request: &mut Request) {
        if self.strict_close && !request.headers().contains_key(CONNECTION) {
            let close = HeaderValue::from_static("close");
            request.headers_mut().insert(CONNECTION, close);
        }
    }

    /// The digest that was given.
    pub(super) fn given(&self) -> Digests {
        let checks = self
            .sha256
            .iter()
            .map(|Sha256(expected)| Check::new(&SHA256, expected.clone(), "--sha256"));
        Digests(checks.collect())
    }

    /// The file that stays, as the server has nothing newer, has the digest that was given.
    pub(super) fn check_file(&self, path: Option<&Path>) -> Result<(), Failure> {
        let mut digests = self.given();
        if let Some(path) = path
            && let Ok(found) = path.metadata()
        {
            digests.update_from(path, found.len())?;
        }
        digests.check()
    }

    /// What the body of this response is checked against. `is_rest`: it goes on with a file.
    pub(super) fn digests(&self, method: &Method, response: &Response, is_rest: bool) -> Digests {
        let Digests(mut checks) = self.given();
        // It is that of the whole file, in the content coding in which it was sent.
        let is_whole = response.status() == StatusCode::OK || is_rest;
        if is_whole && *method != Method::HEAD && !response.is_decoded() {
            checks.extend(announced(response.headers()));
        }
        Digests(checks)
    }

    /// Did the connection end as it should?
    pub(super) fn check_close(&self, finished: &Finished) -> Result<(), Failure> {
        let Some(ending) = finished.whole.remark().filter(|_| self.strict_close) else {
            return Ok(());
        };
        let what = format!("the response is complete, but the connection ended by {ending}");
        let explanation = Explanation::new("unclean-end", what)
            .with_evidence(format!(
                "{} bytes arrived, as announced",
                finished.whole.bytes()
            ))
            .with_fix("tell the server's administrator; without --strict-close it is a note");
        Err(Failure::new(code::RECEIVE, explanation))
    }
}

/// What a body is checked against while it arrives.
pub(super) struct Digests(Vec<Check>);

struct Check {
    context: Context,
    expected: Vec<u8>,
    origin: &'static str,
}

impl Check {
    fn new(algorithm: &'static Algorithm, expected: Vec<u8>, origin: &'static str) -> Self {
        Self {
            context: Context::new(algorithm),
            expected,
            origin,
        }
    }
}

impl Digests {
    pub(super) fn update(&mut self, piece: &[u8]) {
        for check in &mut self.0 {
            check.context.update(piece);
        }
    }

    /// The first `held` bytes of a file are the beginning.
    pub(super) fn update_from(&mut self, path: &Path, held: u64) -> Result<(), Failure> {
        if self.0.is_empty() || held == 0 {
            return Ok(());
        }
        let mut read = || {
            let mut file = File::open(path)?.take(held);
            let mut piece = vec![0; 64 * 1024];
            loop {
                let count = match file.read(&mut piece) {
                    Ok(0) => return Ok(()),
                    Ok(count) => count,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => return Err(error),
                };
                self.update(piece.get(..count).unwrap_or_default());
            }
        };
        read().map_err(|error| unusable(path, "read", &error))
    }

    /// All of it has arrived.
    pub(super) fn check(self) -> Result<(), Failure> {
        for check in self.0 {
            let found = check.context.finish();
            if found.as_ref() != check.expected {
                let explanation = Explanation::new(
                    "digest-mismatch",
                    "the body does not have the digest that it must have",
                )
                .with_evidence(format!(
                    "expected by {}: {}",
                    check.origin,
                    hex(&check.expected)
                ))
                .with_evidence(format!("it has: {}", hex(found.as_ref())))
                .with_fix("do not use the file; fetch it again, or ask its publisher");
                return Err(Failure::new(code::RECEIVE, explanation));
            }
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The digests in `Repr-Digest` of which the algorithm is known: a dictionary of byte sequences (RFC 8941, section 3.2).
fn announced(fields: &HeaderMap) -> Vec<Check> {
    let mut found = Vec::new();
    for value in fields.get_all("repr-digest") {
        let Ok(text) = value.to_str() else { continue };
        for member in text.split(',') {
            let Some((name, value)) = member.trim().split_once('=') else {
                continue;
            };
            let (algorithm, origin) = match name {
                "sha-256" => (&SHA256, "Repr-Digest, sha-256"),
                "sha-512" => (&SHA512, "Repr-Digest, sha-512"),
                // Those that are broken are not checked.
                _ => continue,
            };
            let bytes = value
                .strip_prefix(':')
                .and_then(|rest| rest.split_once(':'));
            let Some(expected) = bytes.and_then(|(bytes, _)| STANDARD.decode(bytes).ok()) else {
                continue;
            };
            // The last member of a name counts.
            match found
                .iter_mut()
                .find(|one: &&mut Check| one.origin == origin)
            {
                Some(check) => check.expected = expected,
                None => found.push(Check::new(algorithm, expected, origin)),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sha256_is_64_hexadecimal_digits() {
        let text = "0aF".to_owned() + &"0".repeat(61);
        assert_eq!(text.parse::<Sha256>().unwrap().0[..2], [0x0a, 0xf0]);
        for bad in [
            "",
            "0",
            &"0".repeat(63),
            &"0".repeat(66),
            &"+1".repeat(32),
            &"\u{e9}".repeat(32),
        ] {
            assert!(bad.parse::<Sha256>().is_err(), "{bad}");
        }
    }

    #[test]
    fn announced_digests_are_those_of_rfc_9530() {
        const OF_NOTHING: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";
        for (value, expected) in [
            (format!("sha-256=:{OF_NOTHING}:"), Some(true)),
            (
                format!("unixsum=:AA==:, sha-256=:{OF_NOTHING}:;x=1"),
                Some(true),
            ),
            ("sha-256=:AAAA:".to_owned(), Some(false)),
            ("sha-512=:AAAA:".to_owned(), Some(false)),
            (
                format!("sha-256=:AAAA:, sha-256=:{OF_NOTHING}:"),
                Some(true),
            ),
            (
                format!("sha-256=:{OF_NOTHING}:,sha-256=:AAAA:"),
                Some(false),
            ),
            ("md5=:AAAA:".to_owned(), None),
            ("sha-256=AAAA".to_owned(), None),
            ("sha-256=:A:".to_owned(), None),
            ("nonsense".to_owned(), None),
        ] {
            let mut fields = HeaderMap::new();
            fields.insert("repr-digest", HeaderValue::try_from(&value).unwrap());
            let checks = announced(&fields);
            let is_checked = !checks.is_empty();
            assert_eq!(is_checked, expected.is_some(), "{value}");
            assert_eq!(
                Digests(checks).check().is_ok(),
                expected.unwrap_or(true),
                "{value}"
            );
        }
    }
}
