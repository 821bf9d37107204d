//! Forms with files in them: `multipart/form-data` (RFC 7578, RFC 2046, section 5.1), without I/O.
//!
//! Bytes go in as they come, events come out, and no more is kept than one head of a part or a delimiter. (Parsers that are
//! crates keep a head of any length.)

use std::fmt;

use bytes::{Buf as _, Bytes, BytesMut};

/// Maximum length of a part's head, in bytes: a field name and a file name.
const HEAD_MAX: usize = 8 * 1024;

/// Of what stands before the first part. Nothing, usually.
const PREAMBLE_MAX: usize = 1024;

/// Fields of a part's head: it has two or three.
const FIELDS_MAX: usize = 16;

/// RFC 2046, section 5.1.1.
const BOUNDARY_MAX: usize = 70;

/// What is kept of a form at most, in bytes: the head of a part, and a delimiter.
#[cfg(fuzzing)]
pub(crate) const WAITING_MAX: usize = HEAD_MAX + BOUNDARY_MAX + 8;

/// The parts of a form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A part begins.
    Part {
        /// Of the file, if it is one. Empty if none was chosen.
        file_name: Option<String>,
    },
    /// Of the part that has begun.
    Data(Bytes),
    /// The part is whole.
    End,
}

/// Why a body is no form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FormError {
    /// The field `Content-Type` names no boundary.
    NoBoundary,
    /// The head of a part is longer than [`HEAD_MAX`].
    HeadTooLong,
    /// The head of a part is malformed.
    Head,
    /// A part is encoded for e-mail.
    Encoded,
    /// What follows a delimiter is neither a part nor the end, or there is none where the form begins.
    Delimiter,
    /// It ends within a part.
    Cut,
}

impl fmt::Display for FormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoBoundary => "The form has no boundary.",
            Self::HeadTooLong => "The head of a part of the form is too long.",
            Self::Head => "The head of a part of the form is malformed.",
            Self::Encoded => "A part of the form has a transfer encoding, which forms do not have.",
            Self::Delimiter => "The form is malformed at a boundary.",
            Self::Cut => "The form ends within a file.",
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble {
        seen: usize,
    },
    Delimiter,
    Head,
    /// The line break at the end of the head is not taken yet: it belongs to the delimiter, if the part is empty.
    Begin,
    Data,
    PartOver,
    Over,
}

/// A form that comes in pieces.
#[derive(Debug)]
pub(crate) struct Form {
    /// With the line break before it, which belongs to it.
    delimiter: Vec<u8>,
    state: State,
    buffer: BytesMut,
}

impl Form {
    /// With the boundary of this `Content-Type`; `None` if it is another type.
    pub(crate) fn new(content_type: &str) -> Option<Result<Self, FormError>> {
        let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
        if !kind.trim().eq_ignore_ascii_case("multipart/form-data") {
            return None;
        }
        Some(boundary(parameters).map(|boundary| Self {
            delimiter: [b"\r\n--", boundary.as_bytes()].concat(),
            state: State::Preamble { seen: 0 },
            // So that the first delimiter is like all others.
            buffer: BytesMut::from(&b"\r\n"[..]),
        }))
    }

    /// Takes what has come. [`next`](Self::next) has to have given everything of what came before.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.state != State::Over {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// What is in it; `None` when more has to come.
    pub(crate) fn next(&mut self) -> Result<Option<Event>, FormError> {
        loop {
            match self.state {
                State::Preamble { seen } => {
                    let (skipped, found) = self.until_delimiter();
                    let seen = seen + skipped.len();
                    if seen > PREAMBLE_MAX {
                        return Err(FormError::Delimiter);
                    }
                    if !found {
                        self.state = State::Preamble { seen };
                        return Ok(None);
                    }
                    self.state = State::Delimiter;
                }
                State::Delimiter => {
                    // Spaces may follow (transport padding); no client sends them.
                    match self.buffer.get(..2) {
                        Some(b"\r\n") => {
                            self.buffer.advance(2);
                            self.state = State::Head;
                        }
                        Some(b"--") => {
                            self.buffer.clear();
                            self.state = State::Over;
                        }
                        Some(_) => return Err(FormError::Delimiter),
                        None => return Ok(None),
                    }
                }
                State::Head => {
                    let Some(length) = head_length(&self.buffer) else {
                        if self.buffer.len() > HEAD_MAX {
                            return Err(FormError::HeadTooLong);
                        }
                        return Ok(None);
                    };
                    if length > HEAD_MAX {
                        return Err(FormError::HeadTooLong);
                    }
                    let file_name = read_head(self.buffer.get(..length).unwrap_or_default())?;
                    self.buffer.advance(length - 2);
                    self.state = State::Begin;
                    return Ok(Some(Event::Part { file_name }));
                }
                State::Begin => {
                    let compared = self.buffer.len().min(self.delimiter.len());
                    let is_delimiter =
                        self.buffer.get(..compared) == self.delimiter.get(..compared);
                    if is_delimiter && compared < self.delimiter.len() {
                        return Ok(None);
                    }
                    if !is_delimiter {
                        self.buffer.advance(2);
                    }
                    self.state = State::Data;
                }
                State::Data => {
                    let (data, found) = self.until_delimiter();
                    if found {
                        self.state = State::PartOver;
                    }
                    if !data.is_empty() {
                        return Ok(Some(Event::Data(data)));
                    }
                    if !found {
                        return Ok(None);
                    }
                }
                State::PartOver => {
                    self.state = State::Delimiter;
                    return Ok(Some(Event::End));
                }
                State::Over => return Ok(None),
            }
        }
    }

    /// Bytes that are kept until more comes.
    #[cfg(fuzzing)]
    pub(crate) fn waiting(&self) -> usize {
        self.buffer.len()
    }

    /// Nothing more comes.
    pub(crate) fn finish(&self) -> Result<(), FormError> {
        match self.state {
            State::Over => Ok(()),
            _ => Err(FormError::Cut),
        }
    }

    /// What stands before the next delimiter, which is taken out, too; or as much as cannot be a part of one.
    fn until_delimiter(&mut self) -> (Bytes, bool) {
        match memchr::memmem::find(&self.buffer, &self.delimiter) {
            Some(at) => {
                let before = self.buffer.split_to(at).freeze();
                self.buffer.advance(self.delimiter.len());
                (before, true)
            }
            None => {
                let kept = self.delimiter.len() - 1;
                let sure = self.buffer.len().saturating_sub(kept);
                (self.buffer.split_to(sure).freeze(), false)
            }
        }
    }
}

/// Up to and with the blank line.
fn head_length(buffer: &[u8]) -> Option<usize> {
    if buffer.starts_with(b"\r\n") {
        return Some(2);
    }
    memchr::memmem::find(buffer, b"\r\n\r\n").map(|at| at + 4)
}

/// The boundary among the parameters of a media type (RFC 9110, section 5.6.6).
fn boundary(parameters: &str) -> Result<String, FormError> {
    let mut rest = parameters;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ';']);
        let Some((name, value, after)) = parameter(rest) else {
            return Err(FormError::NoBoundary);
        };
        rest = after;
        if name.eq_ignore_ascii_case("boundary") {
            let is_plain =
                |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
            let fits = (1..=BOUNDARY_MAX).contains(&value.len())
                && value.bytes().all(is_plain)
                && !value.ends_with(' ');
            return fits.then_some(value).ok_or(FormError::NoBoundary);
        }
    }
}

/// `name=value` or `name="value"`, and what follows.
fn parameter(text: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = text.split_once('=')?;
    let name = name.trim();
    let Some(quoted) = rest.strip_prefix('"') else {
        let end = rest.find(';').unwrap_or(rest.len());
        let (value, after) = rest.split_at(end);
        return Some((name, value.trim().to_owned(), after));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, char)) = chars.next() {
        match char {
            '"' => return Some((name, value, quoted.get(at + 1..).unwrap_or_default())),
            // Browsers escape neither; a path of Windows has them as they are.
            '\\' if matches!(quoted.get(at + 1..at + 2), Some("\"" | "\\")) => {
                value.extend(chars.next().map(|(_, char)| char));
            }
            char => value.push(char),
        }
    }
    None
}

/// The name of the file of a part.
fn read_head(head: &[u8]) -> Result<Option<String>, FormError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELDS_MAX];
    let Ok(httparse::Status::Complete((_, fields))) = httparse::parse_headers(head, &mut fields)
    else {
        return Err(FormError::Head);
    };
    let mut file_name = None;
    let mut is_form_data = false;
    for field in fields {
        let value = std::str::from_utf8(field.value).map_err(|_| FormError::Head)?;
        if field.name.eq_ignore_ascii_case("content-transfer-encoding") {
            let plain = ["binary", "8bit", "7bit"];
            if !plain
                .iter()
                .any(|kind| value.trim().eq_ignore_ascii_case(kind))
            {
                return Err(FormError::Encoded);
            }
        } else if field.name.eq_ignore_ascii_case("content-disposition") {
            if is_form_data {
                return Err(FormError::Head);
            }
            let (kind, mut rest) = value.split_once(';').unwrap_or((value, ""));
            is_form_data = kind.trim().eq_ignore_ascii_case("form-data");
            loop {
                rest = rest.trim_start_matches([' ', '\t', ';']);
                if rest.is_empty() {
                    break;
                }
                let (name, value, after) = parameter(rest).ok_or(FormError::Head)?;
                // `filename*` is not used in forms (RFC 7578, section 4.2).
                if name.eq_ignore_ascii_case("filename") {
                    if file_name.is_some() {
                        return Err(FormError::Head);
                    }
                    file_name = Some(unescape(&value));
                }
                rest = after;
            }
        }
    }
    is_form_data.then_some(file_name).ok_or(FormError::Head)
}

/// What browsers escape in a name (the HTML standard, "multipart/form-data").
fn unescape(name: &str) -> String {
    name.replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A part's file name and content.
    type Part = (Option<String>, Vec<u8>);

    /// The parts, however the body is cut.
    fn parse(body: &[u8], piece: usize) -> Result<Vec<Part>, FormError> {
        let mut form = Form::new("multipart/form-data; boundary=b").unwrap()?;
        let mut parts = Vec::new();
        let mut open = None;
        for bytes in body.chunks(piece) {
            form.push(bytes);
            while let Some(event) = form.next()? {
                match event {
                    Event::Part { file_name } => {
                        assert!(open.is_none());
                        open = Some((file_name, Vec::new()));
                    }
                    Event::Data(data) => open.as_mut().unwrap().1.extend_from_slice(&data),
                    Event::End => parts.push(open.take().unwrap()),
                }
            }
            assert!(form.buffer.len() <= HEAD_MAX + piece + 16);
        }
        form.finish()?;
        assert!(open.is_none());
        Ok(parts)
    }

    fn part(disposition: &str, content: &str) -> String {
        format!(
            "--b\r\nContent-Disposition: {disposition}\r\nContent-Type: text/plain\r\n\r\n{content}\r\n"
        )
    }

    #[test]
    fn parts_come_out_however_the_body_is_cut() {
        let file = |name: &str, content: &str| (Some(name.to_owned()), content.as_bytes().to_vec());
        let body = [
            part(
                "form-data; name=\"f\"; filename=\"a.txt\"",
                "one\r\n--not\r\n-",
            ),
            part("form-data; name=text", "value"),
            part("form-data; name=\"f\"; filename=\"\"", ""),
            part(
                "Form-Data; filename=\"C:\\x\\a%22\\\"b.txt\"; name=f",
                "\r\n",
            ),
            part("form-data; name=\"f\"; filename=plain", "--x--"),
            "--b--\r\nepilogue".to_owned(),
        ]
        .concat();
        let expected = [
            file("a.txt", "one\r\n--not\r\n-"),
            (None, b"value".to_vec()),
            file("", ""),
            file("C:\\x\\a\"\"b.txt", "\r\n"),
            file("plain", "--x--"),
        ];
        for piece in [1, 2, 3, 5, 7, 16, 64, 10_000] {
            assert_eq!(parse(body.as_bytes(), piece).unwrap(), expected, "{piece}");
        }
        assert_eq!(parse(b"--b--", 1).unwrap(), []);
        assert_eq!(parse(b"preamble\r\n--b--\r\n", 1).unwrap(), []);
    }

    #[test]
    fn what_is_no_form_is_refused() {
        use FormError as E;
        let long = format!("--b\r\nX: {}\r\n\r\n", "x".repeat(HEAD_MAX));
        let start = "--b\r\nContent-Disposition: form-data; name=f\r\n\r\n";
        for (body, expected) in [
            ("", E::Cut),
            ("--b", E::Cut),
            ("--b\r\n", E::Cut),
            (start, E::Cut),
            (&format!("{start}content"), E::Cut),
            (&format!("{start}content\r\n--b"), E::Cut),
            (&format!("{start}content\r\n--bxx"), E::Delimiter),
            (&"x".repeat(2000), E::Delimiter),
            ("--b\r\n\r\n\r\n--b--", E::Head),
            ("--b\r\nX\r\n\r\n", E::Head),
            (
                "--b\r\nContent-Disposition: attachment; filename=a\r\n\r\n",
                E::Head,
            ),
            (
                "--b\r\nContent-Disposition: form-data; filename=a; filename=b\r\n\r\n",
                E::Head,
            ),
            (
                "--b\r\nContent-Disposition: form-data; filename=\"a\r\n\r\n",
                E::Head,
            ),
            (
                "--b\r\nContent-Disposition: form-data; name=f\r\nContent-Transfer-Encoding: base64\r\n\r\n",
                E::Encoded,
            ),
            (&long, E::HeadTooLong),
        ] {
            for piece in [1, 100_000] {
                assert_eq!(parse(body.as_bytes(), piece), Err(expected), "{body:.80}");
            }
        }
    }

    #[test]
    fn boundaries_are_found() {
        for (value, expected) in [
            ("multipart/form-data; boundary=abc", Ok("abc")),
            (
                "Multipart/Form-Data;charset=utf-8; Boundary=\"a b\"",
                Ok("a b"),
            ),
            ("multipart/form-data", Err(FormError::NoBoundary)),
            ("multipart/form-data; boundary=", Err(FormError::NoBoundary)),
            (
                "multipart/form-data; boundary=\"a",
                Err(FormError::NoBoundary),
            ),
            (
                "multipart/form-data; boundary=a\u{e9}",
                Err(FormError::NoBoundary),
            ),
        ] {
            let form = Form::new(value).unwrap();
            let found = form.map(|form| String::from_utf8(form.delimiter[4..].to_vec()).unwrap());
            assert_eq!(found, expected.map(str::to_owned), "{value}");
        }
        assert!(Form::new("application/x-www-form-urlencoded").is_none());
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        assert!(matches!(Form::new(&long), Some(Err(FormError::NoBoundary))));
    }

    proptest! {
        #[test]
        fn a_form_of_any_contents_is_read_back(
            contents in proptest::collection::vec(proptest::collection::vec("(\r|\n|-|b|x)", 0..40), 0..4),
            piece in 1_usize..20,
        ) {
            let contents: Vec<String> = contents.into_iter().map(|it| it.concat()).collect();
            // A boundary is one that the contents do not have.
            prop_assume!(contents.iter().all(|it| !format!("\r\n{it}").contains("\r\n--b")));
            let mut body = String::new();
            for content in &contents {
                body.push_str(&part("form-data; name=f; filename=x", content));
            }
            body.push_str("--b--\r\n");
            let parts = parse(body.as_bytes(), piece).unwrap();
            let found: Vec<Vec<u8>> = parts.into_iter().map(|(_, content)| content).collect();
            let expected: Vec<Vec<u8>> = contents.into_iter().map(String::into_bytes).collect();
            prop_assert_eq!(found, expected);
        }

        #[test]
        fn no_body_panics_or_depends_on_its_pieces(body in "(--b|\r\n|-|:|Content-Disposition: form-data|;|x){0,30}", piece in 1_usize..20) {
            prop_assert_eq!(parse(body.as_bytes(), piece), parse(body.as_bytes(), 1_000_000));
        }
    }
}
