//! PEM (RFC 7468, and the headers of RFC 1421 in OpenSSL's legacy encrypted keys): the only parser for
//! identities, trusted certificates, chains and revocation lists.
//!
//! Owns finding sections in files as users have them: with a byte order mark or as UTF-16, indented, with
//! other text, lines of any length and end, blank lines and white space anywhere. Malformed sections are
//! returned with their line, and parsing continues after them: the caller decides whether one malformed
//! section makes the file unusable. Sections of every label are returned, so that an error can name what a
//! file holds instead of a certificate.
//!
//! Bodies may be secret, so they are wiped.

use std::fmt;
use std::ops::Deref;

use base64ct::{Base64, Encoding as _};
use memchr::memmem;
use zeroize::Zeroizing;

use crate::x509::escape_control;

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// Used by word processors and web pages instead of a blank.
const NO_BREAK_SPACE: &[u8] = b"\xc2\xa0";

/// A line must contain one of these to be treated as a damaged BEGIN or END line instead of text.
const LABELS: [&[u8]; 4] = [b"CERTIFICATE", b"PRIVATE KEY", b"X509 CRL", b"PKCS7"];

/// Labels have a few words; messages truncate longer ones.
const LABEL_SHOWN_MAX: usize = 60;

/// One section of a PEM file.
pub(crate) struct Section {
    /// The label, escaped.
    pub(crate) label: String,
    /// `Proc-Type` expected that the body is encrypted.
    pub(crate) is_encrypted: bool,
    /// The value of `DEK-Info`.
    pub(crate) dek_info: Option<String>,
    pub(crate) body: Zeroizing<Vec<u8>>,
    /// Line of its beginning, from 1.
    pub(crate) line: usize,
}

/// A malformed section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    /// Line at fault, from 1.
    pub(crate) line: usize,
    /// The problem.
    pub(crate) detail: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.detail)
    }
}

/// Every section, in order, including malformed ones. Empty: there is no PEM in it. Text outside of
/// sections is skipped.
pub(crate) fn sections(bytes: &[u8]) -> Vec<Result<Section, Broken>> {
    let text = text(bytes);
    let mut found = Vec::new();
    let mut open: Option<Open<'_>> = None;
    for (number, line) in Lines::of(&text) {
        match Line::of(line) {
            Line::Begin(label) => {
                found.extend(open.replace(Open::at(number, label)).map(|open| {
                    Err(open.broken(format!(
                        "has no END line before the next BEGIN in line {number}"
                    )))
                }));
            }
            Line::End(label) => found.push(match open.take() {
                Some(open) => open.end(number, label),
                None => Err(Broken {
                    line: number,
                    detail: format!("the END line of {} has no BEGIN line", shown(label)),
                }),
            }),
            Line::Malformed(detail) => {
                open = None;
                found.push(Err(Broken {
                    line: number,
                    detail,
                }));
            }
            Line::Text(content) => {
                if let Some(open) = &mut open {
                    open.add(number, content);
                }
            }
        }
    }
    found.extend(open.map(|open| Err(open.broken("has no END line".to_owned()))));
    found
}

/// A description of bytes without any section, if they look like PEM in an unsupported form.
pub(crate) fn near_miss(bytes: &[u8]) -> Option<String> {
    let text = text(bytes);
    // Enough to recognize it; the file may be anything.
    let trimmed = trim(text.get(..4096).unwrap_or(&text));
    let has_base64 = |text: &[u8]| {
        text.iter()
            .all(|byte| is_base64(*byte) || byte.is_ascii_whitespace())
    };
    if trimmed.starts_with(b"LS0tLS1CRUdJTi") && has_base64(trimmed) {
        return Some("the base64 of PEM: decode it first (base64 -d)".to_owned());
    }
    if trimmed.starts_with(b"MII") && has_base64(trimmed) {
        return Some("base64 without a BEGIN and an END line".to_owned());
    }
    for (number, line) in Lines::of(&text) {
        if let Some(at) = memmem::find(line, BEGIN) {
            let has_escapes = memmem::find(line, b"-----\\n").is_some();
            return Some(match (at, has_escapes) {
                (_, true) => format!("PEM with line ends written as \\n, in line {number}"),
                (0, _) => format!("PEM with other text on the BEGIN line, in line {number}"),
                _ => format!("PEM with text before a BEGIN line, in line {number}"),
            });
        }
    }
    None
}

/// The kind of a line.
enum Line<'a> {
    Begin(&'a [u8]),
    End(&'a [u8]),
    Malformed(String),
    Text(&'a [u8]),
}

impl<'a> Line<'a> {
    fn of(line: &'a [u8]) -> Self {
        let marker = |begins: &[u8]| {
            let label = line.strip_prefix(begins)?.strip_suffix(DASHES)?;
            (!label.is_empty() && memmem::find(label, DASHES).is_none()).then_some(label)
        };
        if let Some(label) = marker(BEGIN) {
            return Self::Begin(label);
        }
        if let Some(label) = marker(END) {
            return Self::End(label);
        }
        if line.starts_with(BEGIN) || line.starts_with(END) {
            let behind = line.get(DASHES.len()..).unwrap_or_default();
            let detail = match memmem::find(behind, DASHES) {
                Some(_) if memmem::find(behind, b"-----\\n").is_some() => {
                    "its line ends are written as \\n: replace them by line ends"
                }
                Some(_) => "a BEGIN or END line with other text after it",
                None => "a BEGIN or END line that does not end with five dashes",
            };
            return Self::Malformed(detail.to_owned());
        }
        // Otherwise damaged markers would be treated as text, and their section would be ignored silently.
        let dashes = line.iter().take_while(|byte| **byte == b'-').count();
        let undashed = line.get(dashes..).unwrap_or_default();
        let label = undashed
            .strip_prefix(b"BEGIN ")
            .or_else(|| undashed.strip_prefix(b"END "));
        if let Some(label) = label
            && dashes > 0
            && LABELS
                .iter()
                .any(|known| memmem::find(label, known).is_some())
        {
            return Self::Malformed(format!(
                "a BEGIN or END line must start with five dashes, not {dashes}"
            ));
        }
        Self::Text(line)
    }
}

/// A section whose END line was not found yet.
struct Open<'a> {
    raw_label: &'a [u8],
    section: Section,
    /// Base64 without white space. When it grows, the old buffer is wiped.
    text: Zeroizing<Vec<u8>>,
    is_in_headers: bool,
    /// The first byte that is not base64, and its line.
    stray: Option<(usize, u8)>,
}

impl<'a> Open<'a> {
    fn at(line: usize, label: &'a [u8]) -> Self {
        Self {
            raw_label: label,
            section: Section {
                label: shown(label),
                is_encrypted: false,
                dek_info: None,
                body: Zeroizing::default(),
                line,
            },
            text: Zeroizing::default(),
            is_in_headers: true,
            stray: None,
        }
    }

    fn broken(&self, what: String) -> Broken {
        Broken {
            line: self.section.line,
            detail: format!("{} {what}", self.section.label),
        }
    }

    fn add(&mut self, number: usize, line: &[u8]) {
        if self.is_in_headers && line.contains(&b':') {
            self.header(line);
            return;
        }
        self.is_in_headers &= line.is_empty();
        if self.text.capacity().saturating_sub(self.text.len()) < line.len() {
            let capacity = self
                .text
                .capacity()
                .saturating_mul(2)
                .max(4096)
                .max(self.text.len().saturating_add(line.len()));
            let mut larger = Zeroizing::new(Vec::with_capacity(capacity));
            larger.extend_from_slice(&self.text);
            self.text = larger;
        }
        let mut rest = line;
        while let Some((byte, after)) = rest.split_first() {
            if let Some(after) = blank_at(rest) {
                rest = after;
                continue;
            }
            rest = after;
            if is_base64(*byte) {
                self.text.push(*byte);
            } else {
                self.stray.get_or_insert((number, *byte));
            }
        }
    }

    fn header(&mut self, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let Some((name, value)) = line.split_once(':') else {
            return;
        };
        let value = escape_control(value.trim());
        if name.eq_ignore_ascii_case("Proc-Type") {
            self.section.is_encrypted = value.ends_with("ENCRYPTED");
        } else if name.eq_ignore_ascii_case("DEK-Info") {
            self.section.dek_info = Some(value.into_owned());
        }
    }

    fn end(self, number: usize, label: &[u8]) -> Result<Section, Broken> {
        if label != self.raw_label {
            let detail = format!(
                "the END line is that of {}, and line {} begins {}",
                shown(label),
                self.section.line,
                self.section.label
            );
            return Err(Broken {
                line: number,
                detail,
            });
        }
        if let Some((line, byte)) = self.stray {
            let what = match byte {
                0x21..=0x7e => format!("the character {}", char::from(byte)),
                _ => format!("the byte 0x{byte:02x}"),
            };
            let detail = format!("{} has {what}, which is not base64", self.section.label);
            return Err(Broken { line, detail });
        }
        let Some(body) = decode(&self.text) else {
            let length = self.text.len();
            let detail = match length % 4 {
                0 => format!(
                    "the base64 of {} has = in the wrong place",
                    self.section.label
                ),
                _ => format!(
                    "the base64 of {} is truncated: {length} characters are not a multiple of 4",
                    self.section.label
                ),
            };
            return Err(Broken {
                line: number,
                detail,
            });
        };
        Ok(Section {
            body,
            ..self.section
        })
    }
}

/// Base64 in constant time: the body may be a key.
fn decode(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut body = Zeroizing::new(vec![0; text.len() / 4 * 3 + 3]);
    let length = Base64::decode(text, &mut body).ok()?.len();
    body.truncate(length);
    Some(body)
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

fn shown(label: &[u8]) -> String {
    let text = String::from_utf8_lossy(label);
    let shown: String = text.chars().take(LABEL_SHOWN_MAX).collect();
    escape_control(&shown).into_owned()
}

/// The bytes after leading white space, if there is any.
fn blank_at(bytes: &[u8]) -> Option<&[u8]> {
    if let [first, rest @ ..] = bytes
        && (first.is_ascii_whitespace() || *first == b'\x0b')
    {
        return Some(rest);
    }
    bytes
        .strip_prefix(BYTE_ORDER_MARK)
        .or_else(|| bytes.strip_prefix(NO_BREAK_SPACE))
}

/// Removes white space at both ends, and byte order marks, which also occur in the middle of concatenated
/// files.
fn trim(mut line: &[u8]) -> &[u8] {
    while let Some(rest) = blank_at(line) {
        line = rest;
    }
    loop {
        line = line.trim_ascii_end();
        match line
            .strip_suffix(BYTE_ORDER_MARK)
            .or_else(|| line.strip_suffix(NO_BREAK_SPACE))
        {
            Some(rest) => line = rest,
            None => return line,
        }
    }
}

/// Trimmed lines with any of the three line ends, numbered from 1.
struct Lines<'a> {
    rest: Option<&'a [u8]>,
    number: usize,
    /// A BEGIN line that follows an END line without a line end.
    joined: Option<&'a [u8]>,
}

impl<'a> Lines<'a> {
    fn of(text: &'a [u8]) -> Self {
        Self {
            rest: Some(text),
            number: 0,
            joined: None,
        }
    }
}

impl<'a> Iterator for Lines<'a> {
    type Item = (usize, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(line) = self.joined.take() {
            return Some((self.number, line));
        }
        let rest = self.rest?;
        self.number += 1;
        let line = match memchr::memchr2(b'\n', b'\r', rest) {
            Some(end) => {
                let (line, after) = rest.split_at(end);
                self.rest = after.strip_prefix(b"\r\n").or_else(|| after.get(1..));
                line
            }
            None => {
                self.rest = None;
                rest
            }
        };
        let line = trim(line);
        // `cat` joins them if the last line of a file has no end.
        if line.starts_with(END)
            && let Some(at) = memmem::find(line, b"----------BEGIN ")
        {
            let (end, begin) = line.split_at(at.saturating_add(DASHES.len()));
            self.joined = Some(begin);
            return Some((self.number, end));
        }
        Some((self.number, line))
    }
}

/// Bytes to read lines from; converted ones may be a key, so they are wiped.
enum Text<'a> {
    Given(&'a [u8]),
    Converted(Zeroizing<Vec<u8>>),
}

impl Deref for Text<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Given(bytes) => bytes,
            Self::Converted(text) => text,
        }
    }
}

/// The bytes as text of one byte per character. UTF-16, as some shells of Windows write it, is converted
/// as far as PEM needs it: characters that are not ASCII become a question mark.
fn text(bytes: &[u8]) -> Text<'_> {
    if memmem::find(bytes, BEGIN).is_some() {
        return Text::Given(bytes);
    }
    let unit: fn([u8; 2]) -> u16 = match bytes {
        [0xff, 0xfe, ..] => u16::from_le_bytes,
        [0xfe, 0xff, ..] => u16::from_be_bytes,
        _ if has_marker(bytes, |byte| [byte, 0]) => u16::from_le_bytes,
        _ if has_marker(bytes, |byte| [0, byte]) => u16::from_be_bytes,
        _ => return Text::Given(bytes),
    };
    let mut text = Zeroizing::new(Vec::with_capacity(bytes.len() / 2));
    for pair in bytes.chunks_exact(2) {
        let pair = [
            pair.first().copied().unwrap_or(0),
            pair.get(1).copied().unwrap_or(0),
        ];
        text.push(match unit(pair) {
            0xfeff | 0xa0 => b' ',
            ascii @ 0..=0x7f => ascii as u8,
            _ => b'?',
        });
    }
    Text::Converted(text)
}

fn has_marker(bytes: &[u8], unit: impl Fn(u8) -> [u8; 2]) -> bool {
    let marker: Vec<u8> = BEGIN.iter().flat_map(|byte| unit(*byte)).collect();
    memmem::find_iter(bytes, &marker).any(|at| at % 2 == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn line_at_fault(text: &str) -> usize {
        match sections(text.as_bytes()).into_iter().find_map(Result::err) {
            Some(broken) => broken.line,
            None => panic!("{text} was read"),
        }
    }

    /// Label, body and line of each.
    fn read(bytes: &[u8]) -> Vec<(String, Vec<u8>, usize)> {
        sections(bytes)
            .into_iter()
            .map(|section| {
                let section = section.unwrap();
                (section.label, section.body.to_vec(), section.line)
            })
            .collect()
    }

    #[test]
    fn sections_are_read_with_all_line_ends_and_text_around() {
        let text = "\u{feff}Bag Attributes\n  key: 1\n-----BEGIN A B-----\nAQID\nBAU=\n-----END A B-----\n\n\
                    -----BEGIN C-----\n-----END C-----";
        let expected = [
            ("A B".to_owned(), vec![1, 2, 3, 4, 5], 3),
            ("C".to_owned(), vec![], 8),
        ];
        let utf16 = |to_bytes: fn(u16) -> [u8; 2], text: &str| -> Vec<u8> {
            text.encode_utf16().flat_map(to_bytes).collect()
        };
        let unmarked = text.trim_start_matches('\u{feff}');
        for text in [
            text.as_bytes().to_vec(),
            text.replace('\n', "\r\n").into_bytes(),
            text.replace('\n', "\r").into_bytes(),
            text.replace('\n', "  \t\n").into_bytes(),
            text.replace('\n', "\n    ").into_bytes(),
            text.replace('\n', "\n\u{a0}\u{feff}\t").into_bytes(),
            text.replace("AQID", " A Q\tI D ").into_bytes(),
            utf16(u16::to_le_bytes, text),
            utf16(u16::to_be_bytes, text),
            utf16(u16::to_le_bytes, unmarked),
            utf16(u16::to_be_bytes, unmarked),
        ] {
            assert_eq!(read(&text), expected, "{}", String::from_utf8_lossy(&text));
        }
        // Joined by `cat`, with no line end or with a mark between them.
        let joined =
            "-----BEGIN A-----\nAQ==\n-----END A----------BEGIN B-----\nAg==\n-----END B-----";
        let expected = [("A".to_owned(), vec![1], 1), ("B".to_owned(), vec![2], 3)];
        assert_eq!(read(joined.as_bytes()), expected);
        let marked = joined.replace("----------", "-----\u{feff}-----");
        assert!(sections(marked.as_bytes()).iter().any(Result::is_err));
        let marked = joined.replace("----------", "-----\n\u{feff}-----");
        assert_eq!(read(marked.as_bytes()).len(), 2);
    }

    #[test]
    fn broken_sections_name_the_line_and_do_not_affect_others() {
        for (text, line, expected) in [
            ("-----BEGIN A-----\nAQID\n", 1, "no END line"),
            (
                "\n-----BEGIN A-----\nAQID\n-----BEGIN B-----\n",
                2,
                "next BEGIN in line 4",
            ),
            (
                "-----BEGIN A-----\nAQID\n-----END B-----\n",
                3,
                "END line is that of B",
            ),
            (
                "-----BEGIN A-----\nAQ*D\n-----END A-----\n",
                2,
                "the character *",
            ),
            (
                "-----BEGIN A-----\n\nAQ\u{7}D\n-----END A-----\n",
                3,
                "the byte 0x07",
            ),
            (
                "-----BEGIN A-----\nAQI\n-----END A-----\n",
                3,
                "truncated: 3 characters",
            ),
            (
                "-----BEGIN A-----\nAQ=D\n-----END A-----\n",
                3,
                "wrong place",
            ),
            (
                "-----BEGIN A----\nAQID\n-----END A-----\n",
                1,
                "five dashes",
            ),
            (
                "-----BEGIN A----- x\nAQID\n-----END A-----\n",
                1,
                "with other text after it",
            ),
            ("AQID\n-----END A-----\n", 2, "no BEGIN line"),
            (
                "----BEGIN CERTIFICATE-----\nAQID\n-----END CERTIFICATE-----\n",
                1,
                "not 4",
            ),
            (
                "-----BEGIN A-----\nAQID\nB: C\n-----END A-----\n",
                3,
                "the character :",
            ),
        ] {
            assert_eq!(line_at_fault(text), line, "{text}");
            let whole = format!("{text}\n-----BEGIN Z-----\nAQID\n-----END Z-----\n");
            let found = sections(whole.as_bytes());
            let broken = found.iter().find_map(|one| one.as_ref().err()).unwrap();
            assert!(broken.to_string().contains(expected), "{text}: {broken}");
            let last = found.last().unwrap().as_ref().unwrap();
            assert_eq!(
                (last.label.as_str(), &last.body[..]),
                ("Z", &[1, 2, 3][..]),
                "{text}"
            );
        }
    }

    #[test]
    fn the_headers_of_legacy_keys_are_parsed() {
        let text = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,AB\n\nAQID\n\
                    -----END RSA PRIVATE KEY-----\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n\t")] {
            let section = sections(text.as_bytes()).remove(0).ok().unwrap();
            assert!(section.is_encrypted);
            assert_eq!(section.dek_info.as_deref(), Some("AES-128-CBC,AB"));
            assert_eq!(*section.body, [1, 2, 3]);
        }
    }

    #[test]
    fn unsupported_forms_of_pem_are_recognized() {
        for (text, expected) in [
            (
                "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0t",
                Some("base64 of PEM"),
            ),
            ("MIIBszCCAVmgAwIBAgIU\nabc=\n", Some("without a BEGIN")),
            (
                "ca: -----BEGIN CERTIFICATE-----",
                Some("before a BEGIN line, in line 1"),
            ),
            (
                "x\n\"-----BEGIN A-----\\nAQID\\n-----END A-----\"",
                Some("written as \\n, in line 2"),
            ),
            ("nothing at all", None),
        ] {
            assert!(sections(text.as_bytes()).is_empty(), "{text}");
            let found = near_miss(text.as_bytes());
            match expected {
                Some(expected) => assert!(
                    found.as_ref().is_some_and(|found| found.contains(expected)),
                    "{found:?}"
                ),
                None => assert_eq!(found, None),
            }
        }
    }

    /// Text outside of sections.
    fn prose() -> impl Strategy<Value = String> {
        prop_oneof![
            Just(String::new()),
            "[ a-zA-Z0-9:#=.]{0,40}",
            Just("Bag Attributes\n    friendlyName: a\nsubject=CN = b".to_owned()),
        ]
    }

    proptest! {
        #[test]
        fn text_around_sections_does_not_change_them(
            bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..5),
            between in prop::collection::vec(prose(), 6),
            width in 1..100usize,
            indent in "[ \t]{0,5}",
            trail in "[ \t]{0,3}",
            blanks in any::<bool>(),
            end in prop_oneof![Just("\n"), Just("\r\n"), Just("\r")],
            mark in any::<bool>(),
            wide in 0..3u8,
        ) {
            let mut lines: Vec<String> = Vec::new();
            for (body, prose) in bodies.iter().zip(&between) {
                lines.extend(prose.lines().map(str::to_owned));
                lines.push("-----BEGIN CERTIFICATE-----".to_owned());
                let base64 = Base64::encode_string(body);
                for chunk in base64.as_bytes().chunks(width) {
                    lines.push(String::from_utf8(chunk.to_vec()).unwrap());
                    if blanks {
                        lines.push(String::new());
                    }
                }
                lines.push("-----END CERTIFICATE-----".to_owned());
            }
            let mut text: String = if mark { "\u{feff}".to_owned() } else { String::new() };
            for line in lines {
                text.push_str(&format!("{indent}{line}{trail}{end}"));
            }
            let bytes: Vec<u8> = match wide {
                0 => text.into_bytes(),
                1 => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
                _ => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            };
            let found: Vec<Vec<u8>> = read(&bytes).into_iter().map(|(_, body, _)| body).collect();
            prop_assert_eq!(found, bodies);
        }

        #[test]
        fn arbitrary_bytes_never_panic_and_bodies_are_bounded(bytes in prop::collection::vec(prop_oneof![
            any::<u8>().prop_map(|byte| vec![byte]),
            Just(b"-----BEGIN A-----\n".to_vec()),
            Just(b"-----END A-----".to_vec()),
            Just(b"-----BEGIN ".to_vec()),
            Just(b"-----".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"\xff\xfe".to_vec()),
            Just(b"AQID".to_vec()),
        ], 0..60)) {
            let bytes = bytes.concat();
            let found = sections(&bytes);
            let held: usize = found.iter().flatten().map(|section| section.body.len()).sum();
            prop_assert!(held <= bytes.len());
            prop_assert!(found.len() <= bytes.len() / DASHES.len() + 1);
            let _ = near_miss(&bytes);
        }
    }
}
