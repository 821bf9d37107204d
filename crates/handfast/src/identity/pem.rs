//! PEM (RFC 7468, and the headers of RFC 1421 that OpenSSL's old locked keys carry).
//!
//! The usual readers skip sections that they do not know; here every section is told, because what
//! a file holds instead of a key is what its owner needs to hear. Bodies are secret until proven
//! otherwise: they are wiped.

use base64ct::{Base64, Encoding as _};
use zeroize::Zeroizing;

use super::error::IdentityProblem;
use crate::x509::escape_control;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// One section of a PEM file.
pub(super) struct Section {
    /// The label, escaped.
    pub(super) label: String,
    /// `Proc-Type` says that the body is encrypted.
    pub(super) is_encrypted: bool,
    /// The value of `DEK-Info`.
    pub(super) dek_info: Option<String>,
    pub(super) body: Zeroizing<Vec<u8>>,
    /// Line of its beginning, from 1.
    pub(super) line: usize,
}

/// Whether anything in `bytes` looks like PEM.
pub(super) fn is_pem(bytes: &[u8]) -> bool {
    lines(bytes).any(|line| line.starts_with(BEGIN))
}

/// Reads every section; text outside of sections is skipped, as everybody does.
pub(super) fn sections(bytes: &[u8]) -> Result<Vec<Section>, IdentityProblem> {
    let mut sections = Vec::new();
    let mut numbered = lines(bytes).enumerate();
    while let Some((index, line)) = numbered.next() {
        if let Some(label) = marker(line, BEGIN) {
            let lines = numbered.by_ref();
            sections.push(section(label, index.saturating_add(1), lines)?);
        } else if line.starts_with(BEGIN) || line.starts_with(END) {
            let detail =
                "a BEGIN or END line that does not end in five dashes, or has no beginning";
            return Err(malformed(index, detail));
        }
    }
    Ok(sections)
}

/// The rest of a section, from the line after its BEGIN.
fn section<'a>(
    label: &[u8],
    line: usize,
    lines: impl Iterator<Item = (usize, &'a [u8])>,
) -> Result<Section, IdentityProblem> {
    let mut section = Section {
        label: escape_control(&String::from_utf8_lossy(label)).into_owned(),
        is_encrypted: false,
        dek_info: None,
        body: Zeroizing::default(),
        line,
    };
    // Never grows, so no copy of a key stays behind: base64 of what is left cannot be longer.
    let mut text: Zeroizing<Vec<u8>> = Zeroizing::default();
    let mut is_in_headers = true;
    for (index, content) in lines {
        if let Some(end) = marker(content, END) {
            if end != label {
                return Err(malformed(
                    index,
                    "the END line belongs to another BEGIN line",
                ));
            }
            section.body = decode(&text).ok_or_else(|| {
                malformed(index, &format!("the base64 of {} is broken", section.label))
            })?;
            return Ok(section);
        }
        if content.starts_with(BEGIN) {
            return Err(malformed(
                index,
                &format!("{} begun in line {line} has no END line", section.label),
            ));
        }
        if is_in_headers && content.contains(&b':') {
            header(&mut section, content);
            continue;
        }
        is_in_headers &= content.is_empty();
        grow_wiping(&mut text, content);
    }
    Err(malformed(
        line.saturating_sub(1),
        &format!("{} has no END line", section.label),
    ))
}

fn header(section: &mut Section, line: &[u8]) {
    let line = String::from_utf8_lossy(line);
    let Some((name, value)) = line.split_once(':') else {
        return;
    };
    let value = escape_control(value.trim());
    if name.eq_ignore_ascii_case("Proc-Type") {
        section.is_encrypted = value.ends_with("ENCRYPTED");
    } else if name.eq_ignore_ascii_case("DEK-Info") {
        section.dek_info = Some(value.into_owned());
    }
}

/// Appends without the white space; what was outgrown is wiped.
fn grow_wiping(text: &mut Zeroizing<Vec<u8>>, line: &[u8]) {
    if text.capacity().saturating_sub(text.len()) < line.len() {
        let capacity = text
            .capacity()
            .saturating_mul(2)
            .max(4096)
            .max(text.len().saturating_add(line.len()));
        let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
        larger.extend_from_slice(text);
        *text = larger;
    }
    text.extend(line.iter().filter(|byte| !byte.is_ascii_whitespace()));
}

/// Base64 in constant time: the body may be a key.
fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut body = Zeroizing::new(vec![0; text.len() / 4 * 3 + 3]);
    let length = Base64::decode(text, &mut body).ok()?.len();
    body.truncate(length);
    Some(body)
}

/// The label in a BEGIN or END line.
fn marker<'a>(line: &'a [u8], begins: &[u8]) -> Option<&'a [u8]> {
    line.trim_ascii_end()
        .strip_prefix(begins)?
        .strip_suffix(DASHES)
}

/// Lines without their ends, whichever of the three conventions they follow. CRLF makes an empty
/// line more, which counts for nothing but line numbers: so the LF alone is counted where there is
/// one.
fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let end = if bytes.contains(&b'\n') { b'\n' } else { b'\r' };
    bytes
        .split(move |byte| *byte == end)
        .map(|line| line.trim_ascii_end())
}

fn malformed(index: usize, detail: &str) -> IdentityProblem {
    IdentityProblem::MalformedPem {
        line: index.saturating_add(1),
        detail: detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line_at_fault(text: &str) -> usize {
        match sections(text.as_bytes()) {
            Err(IdentityProblem::MalformedPem { line, .. }) => line,
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{text} was read"),
        }
    }

    #[test]
    fn a3_sections_are_read_with_all_line_ends_and_text_around() {
        let text = "\u{feff}Bag Attributes\n  key: 1\n-----BEGIN A B-----\nAQID\nBAU=\n-----END A B-----\n\n\
                    -----BEGIN C-----\n-----END C-----";
        for text in [
            text.to_owned(),
            text.replace('\n', "\r\n"),
            text.replace('\n', "\r"),
        ] {
            let sections = sections(text.as_bytes()).ok().unwrap();
            assert_eq!(sections.len(), 2);
            assert_eq!(sections[0].label, "A B");
            assert_eq!(*sections[0].body, [1, 2, 3, 4, 5]);
            assert_eq!(sections[0].line, 3);
            assert!(sections[1].body.is_empty());
        }
    }

    #[test]
    fn a3_broken_pem_names_the_line() {
        for (text, line) in [
            ("-----BEGIN A-----\nAQID\n", 1),
            ("\n-----BEGIN A-----\nAQID\n-----BEGIN B-----\n", 4),
            ("-----BEGIN A-----\nAQID\n-----END B-----\n", 3),
            ("-----BEGIN A-----\nAQ*D\n-----END A-----\n", 3),
            ("-----BEGIN A----\nAQID\n-----END A-----\n", 1),
            ("AQID\n-----END A-----\n", 2),
        ] {
            assert_eq!(line_at_fault(text), line, "{text}");
        }
    }
}
