//! What a terminal gets of a body: text without control characters, JSON in colour; what is not text is not written to it.

use std::str;

use crate::output::{Palette, Tone};

/// How much JSON may be nested until keys are no longer told from other strings: more than people read.
const DEPTH_MAX: usize = 256;

/// A body on its way to a terminal, or to a program that was promised colours.
#[derive(Debug)]
pub(super) struct Page {
    /// Control characters are escaped, and bytes that are not text end it.
    is_guarded: bool,
    json: Option<Json>,
    is_binary: bool,
    /// The beginning of a character whose end has not come, or a carriage return.
    rest: Vec<u8>,
}

/// The body is not text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Binary;

impl Page {
    /// `None` if the bytes are written as they come.
    pub(super) fn new(is_guarded: bool, is_json: bool) -> Option<Self> {
        let json = (is_json && Palette::stdout().is_coloured()).then(Json::default);
        (is_guarded || json.is_some()).then(|| Self {
            is_guarded,
            json,
            is_binary: false,
            rest: Vec::new(),
        })
    }

    /// Was it broken off because the body is not text?
    pub(super) fn is_binary(&self) -> bool {
        self.is_binary
    }

    /// The next piece as it is to be written.
    pub(super) fn render(&mut self, piece: &[u8]) -> Result<Vec<u8>, Binary> {
        // As curl decides; no text has it.
        if self.is_guarded && memchr::memchr(0, piece).is_some() {
            self.is_binary = true;
            return Err(Binary);
        }
        let mut bytes = std::mem::take(&mut self.rest);
        bytes.extend_from_slice(piece);
        let mut text = String::with_capacity(bytes.len());
        let mut chunks = bytes.utf8_chunks().peekable();
        let mut rest: &[u8] = b"";
        while let Some(chunk) = chunks.next() {
            text.push_str(chunk.valid());
            match chunk.invalid() {
                b"" => {}
                // The character may go on in the next piece.
                begun if chunks.peek().is_none() && is_beginning(begun) => rest = begun,
                _ => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        let mut out = String::with_capacity(text.len());
        let ends_with_return = self.is_guarded && rest.is_empty() && text.ends_with('\r');
        if ends_with_return {
            text.pop();
            rest = b"\r";
        }
        let mut characters = text.chars().peekable();
        while let Some(character) = characters.next() {
            let is_kept = match character {
                '\n' | '\t' => true,
                '\r' => characters.peek() == Some(&'\n'),
                other => !is_unprintable(other),
            };
            match &mut self.json {
                _ if self.is_guarded && !is_kept => out.extend(character.escape_unicode()),
                Some(json) => json.put(character, &mut out),
                None => out.push(character),
            }
        }
        self.rest = rest.to_vec();
        Ok(out.into_bytes())
    }

    /// What is left to be written at the end.
    pub(super) fn end(&mut self) -> Vec<u8> {
        let mut out = String::new();
        if !std::mem::take(&mut self.rest).is_empty() {
            out.push(char::REPLACEMENT_CHARACTER);
        }
        if let Some(json) = &mut self.json {
            json.close(&mut out);
        }
        out.into_bytes()
    }
}

/// Could these bytes be the beginning of a character? A whole one would be valid.
fn is_beginning(bytes: &[u8]) -> bool {
    str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

fn is_unprintable(character: char) -> bool {
    let mut buffer = [0; 4];
    let text: &str = character.encode_utf8(&mut buffer);
    matches!(handfast::escape_control(text), std::borrow::Cow::Owned(_))
}

/// JSON in colour, character by character; what is not JSON stays what it is.
#[derive(Debug, Default)]
struct Json {
    /// Objects (true) and lists that are open.
    open: Vec<bool>,
    /// Those beyond the limit.
    beyond: usize,
    expects_key: bool,
    inside: Option<Inside>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    /// Of a string; the next character is escaped.
    String { is_escaped: bool },
    /// Of a number or a word.
    Word,
}

impl Json {
    fn put(&mut self, character: char, out: &mut String) {
        match (self.inside, character) {
            (Some(Inside::String { is_escaped: false }), '"') => {
                out.push('"');
                self.close(out);
            }
            (Some(Inside::String { is_escaped }), _) => {
                let is_escaped = character == '\\' && !is_escaped;
                self.inside = Some(Inside::String { is_escaped });
                out.push(character);
            }
            (Some(Inside::Word), _) if is_of_word(character) => out.push(character),
            (Some(Inside::Word), _) => {
                self.close(out);
                self.outside(character, out);
            }
            (None, _) => self.outside(character, out),
        }
    }

    fn outside(&mut self, character: char, out: &mut String) {
        match character {
            '"' => {
                let tone = if self.expects_key {
                    Tone::Key
                } else {
                    Tone::Text
                };
                out.push_str(&tone.begin());
                self.inside = Some(Inside::String { is_escaped: false });
            }
            '{' | '[' => {
                self.expects_key = character == '{';
                match self.open.len() < DEPTH_MAX {
                    true => self.open.push(self.expects_key),
                    false => self.beyond += 1,
                }
            }
            '}' | ']' => {
                match self.beyond {
                    0 => drop(self.open.pop()),
                    _ => self.beyond -= 1,
                }
                self.expects_key = false;
            }
            ':' => self.expects_key = false,
            ',' => self.expects_key = self.beyond == 0 && self.open.last() == Some(&true),
            other if is_of_word(other) => {
                out.push_str(&Tone::Number.begin());
                self.inside = Some(Inside::Word);
            }
            _ => {}
        }
        out.push(character);
    }

    fn close(&mut self, out: &mut String) {
        if self.inside.take().is_some() {
            out.push_str(Tone::END);
        }
    }
}

fn is_of_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '-' | '+' | '.')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(json: bool) -> Page {
        Page {
            is_guarded: true,
            json: json.then(Json::default),
            is_binary: false,
            rest: Vec::new(),
        }
    }

    fn shown(pieces: &[&[u8]], json: bool) -> String {
        let mut page = page(json);
        let mut out = Vec::new();
        for piece in pieces {
            out.extend(page.render(piece).unwrap());
        }
        out.extend(page.end());
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_is_shown_without_control_characters() {
        for (pieces, expected) in [
            (&[&b"plain\r\n\ttext\n"[..]][..], "plain\r\n\ttext\n"),
            (&[b"a\x1b[2Jb"], "a\\u{1b}[2Jb"),
            (&[b"hidden\rshown\n"], "hidden\\u{d}shown\n"),
            (&[b"a\r", b"\nb"], "a\r\nb"),
            (&[b"a\r", b"b"], "a\\u{d}b"),
            (&["gr\u{fc}n".as_bytes()], "gr\u{fc}n"),
            (&[b"gr\xc3", b"\xbcn"], "gr\u{fc}n"),
            (&[b"gr\xfcn"], "gr\u{fffd}n"),
            (&[b"cut \xe2\x82"], "cut \u{fffd}"),
            (&["\u{9b}31m\u{202e}".as_bytes()], "\\u{9b}31m\\u{202e}"),
        ] {
            assert_eq!(shown(pieces, false), expected, "{pieces:?}");
        }
        assert_eq!(page(false).render(b"PNG\0"), Err(Binary));
    }

    #[test]
    fn keys_strings_and_numbers_have_colours() {
        let text = shown(
            &[b"{\"a\\\"b\": [1, \"x\", tr", b"ue], \"c\":{\"d\":-1.5e3}}"],
            true,
        );
        let key = |text: &str| format!("{}{text}\x1b[0m", Tone::Key.begin());
        let string = |text: &str| format!("{}{text}\x1b[0m", Tone::Text.begin());
        let number = |text: &str| format!("{}{text}\x1b[0m", Tone::Number.begin());
        let expected = format!(
            "{{{}: [{}, {}, {}], {}:{{{}:{}}}}}",
            key("\"a\\\"b\""),
            number("1"),
            string("\"x\""),
            number("true"),
            key("\"c\""),
            key("\"d\""),
            number("-1.5e3")
        );
        assert_eq!(text, expected);
    }

    proptest! {
        #[test]
        fn nothing_of_a_stranger_controls_the_terminal(pieces in prop::collection::vec(prop::collection::vec(1u8.., 0..20), 0..6)) {
            let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
            let text = shown(&pieces, false);
            prop_assert!(!text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r')));
            // In colour the same, but for the colours.
            let coloured = shown(&pieces, true);
            let mut plain = String::new();
            let mut rest = coloured.as_str();
            while let Some((before, behind)) = rest.split_once('\x1b') {
                plain.push_str(before);
                rest = behind.split_once('m').map_or("", |(_, behind)| behind);
            }
            plain.push_str(rest);
            prop_assert_eq!(plain, text);
        }
    }
}
