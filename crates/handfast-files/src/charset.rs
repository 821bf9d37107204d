//! In which encoding the characters of a text are, where that is known.
//!
//! A `charset` parameter counts more for a browser than what a document says of itself (HTML, "determining the character
//! encoding"), so that a wrong one does harm where none would do none. UTF-8 is said of a text that
//! - declares no encoding itself, by a `meta` element, `@charset`, an XML declaration, or a UTF-16 byte order mark, and
//! - is valid UTF-8: all of it, or, of a long one, its beginning with at least one character beyond ASCII. Other
//!   encodings do not look like that by chance. A long text whose beginning is ASCII may be anything.

use http::header::HeaderValue;

use crate::media_type::is_text;

/// How much of a text is looked at. Nearly all are smaller; copying and checking so much takes about 10 microseconds.
pub(crate) const LOOK_MAX: usize = 64 * 1024;

/// Where a document has to declare its encoding, and four times as much: browsers differ in how far they look.
const DECLARATION_MAX: usize = 4 * 1024;

/// The `charset` parameter of texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Charset {
    /// `utf-8` for texts that declare no encoding themselves and are valid UTF-8; none for others. The file is looked at,
    /// up to 64 KiB of it.
    #[default]
    Detected,
    /// None: browsers find out themselves.
    Unstated,
    /// The same for every text, whatever it says itself.
    Always(String),
}

impl Charset {
    /// Whether a file of this type must be looked at.
    pub(crate) fn needs_content(&self, media: &str) -> bool {
        *self == Self::Detected && is_text(media)
    }

    /// The `Content-Type` of a file with this type, of which this is the beginning.
    pub(crate) fn content_type(
        &self,
        media: &'static str,
        beginning: &[u8],
        is_whole: bool,
    ) -> HeaderValue {
        let charset = match self {
            _ if !is_text(media) => None,
            Self::Detected if is_utf8(media, beginning, is_whole) => Some("utf-8"),
            Self::Detected | Self::Unstated => None,
            Self::Always(charset) => Some(charset.as_str()),
        };
        // The frequent ones without an allocation.
        let text = match (media, charset) {
            (media, None) => return HeaderValue::from_static(media),
            ("text/html", Some("utf-8")) => "text/html; charset=utf-8",
            ("text/css", Some("utf-8")) => "text/css; charset=utf-8",
            ("text/javascript", Some("utf-8")) => "text/javascript; charset=utf-8",
            ("text/plain", Some("utf-8")) => "text/plain; charset=utf-8",
            (media, Some(charset)) => {
                return HeaderValue::try_from(format!("{media}; charset={charset}"))
                    .unwrap_or_else(|_| HeaderValue::from_static(media));
            }
        };
        HeaderValue::from_static(text)
    }
}

fn is_utf8(media: &str, beginning: &[u8], is_whole: bool) -> bool {
    let declaration = beginning.get(..DECLARATION_MAX).unwrap_or(beginning);
    if declares_encoding(media, declaration) {
        return false;
    }
    match std::str::from_utf8(beginning) {
        Ok(text) => is_whole || !text.is_ascii(),
        // It may be cut within a character.
        Err(error) => {
            let valid = beginning.get(..error.valid_up_to()).unwrap_or_default();
            !is_whole && error.error_len().is_none() && !valid.is_ascii()
        }
    }
}

fn declares_encoding(media: &str, text: &[u8]) -> bool {
    // UTF-16; that of UTF-8 agrees with what would be said.
    if text.starts_with(b"\xfe\xff") || text.starts_with(b"\xff\xfe") {
        return true;
    }
    match media {
        "text/html" => has_meta_charset(text) || has_xml_encoding(text),
        "text/css" => text.starts_with(b"@charset"),
        "text/xml" => has_xml_encoding(text),
        _ => false,
    }
}

/// `<meta charset=...>`, or `<meta http-equiv=content-type content="...; charset=...">`.
fn has_meta_charset(text: &[u8]) -> bool {
    memchr::memchr_iter(b'<', text).any(|at| {
        let tag = text.get(at + 1..).unwrap_or_default();
        let tag = memchr::memchr(b'>', tag).map_or(tag, |end| tag.get(..end).unwrap_or(tag));
        tag.get(..4)
            .is_some_and(|name| name.eq_ignore_ascii_case(b"meta"))
            && tag
                .windows(b"charset".len())
                .any(|word| word.eq_ignore_ascii_case(b"charset"))
    })
}

fn has_xml_encoding(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.strip_prefix(b"<?xml").is_some_and(|rest| {
        let end = memchr::memchr(b'>', rest).unwrap_or(rest.len());
        let declaration = rest.get(..end).unwrap_or_default();
        memchr::memmem::find(declaration, b"encoding").is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn utf8_is_said_where_it_is_known_and_the_document_says_nothing() {
        let html = "text/html";
        let cases: &[(&str, &[u8], bool)] = &[
            ("text/plain", b"", true),
            ("text/plain", b"plain", true),
            ("text/plain", "gr\u{fc}n".as_bytes(), true),
            ("text/plain", b"\xef\xbb\xbfmarked", true),
            ("text/plain", b"gr\xfcn", false),
            ("text/plain", b"cut \xc3", false),
            ("text/plain", b"\xff\xfea\0", false),
            ("text/plain", b"\xfe\xff\0a", false),
            ("text/plain", b"<meta charset=latin1>", true),
            (html, b"<!doctype html><p>text", true),
            (html, b"<p>gr\xfcn", false),
            (html, b"<meta charset=utf-8><p>", false),
            (
                html,
                b"<head>\n<META name=x>\n<Meta  CharSet='ISO-8859-1'>",
                false,
            ),
            (
                html,
                b"<meta http-equiv=\"Content-Type\" content=\"text/html; charset=windows-1251\">",
                false,
            ),
            (html, b"<p>the charset of <metal>", true),
            (html, b"<metadata><p>charset", true),
            (
                html,
                b"<?xml version='1.0' encoding='iso-8859-1'?><html>",
                false,
            ),
            ("text/css", b"@charset \"iso-8859-1\"; a {}", false),
            ("text/css", b"a { color: red }", true),
            (
                "text/xml",
                b"<?xml version=\"1.0\" encoding=\"iso-8859-1\"?><a/>",
                false,
            ),
            (
                "text/xml",
                b"<?xml version=\"1.0\"?><a encoding=\"x\"/>",
                true,
            ),
            ("text/javascript", b"const charset = '<meta>';", true),
        ];
        for (media, content, expected) in cases {
            let shown = String::from_utf8_lossy(content);
            assert_eq!(is_utf8(media, content, true), *expected, "{media}: {shown}");
        }
        // If it is long, this is its beginning.
        let cases: &[(&[u8], bool)] = &[
            ("gr\u{fc}n".as_bytes(), true),
            (b"gr\xc3\xbcn, cut \xe2\x82", true),
            (b"ascii", false),
            (b"ascii, cut \xc3", false),
            (b"gr\xc3\xbcn, then \xfc\xfc", false),
        ];
        for (content, expected) in cases {
            assert_eq!(is_utf8("text/plain", content, false), *expected);
        }
    }

    #[test]
    fn other_types_have_no_charset_and_a_program_may_say_it_for_all() {
        let always = Charset::Always("iso-8859-1".to_owned());
        let latin = always.content_type("text/html", b"<meta charset=utf-8>", true);
        assert_eq!(latin, "text/html; charset=iso-8859-1");
        for charset in [always, Charset::Detected, Charset::Unstated] {
            let json = charset.content_type("application/json", b"{}", true);
            assert_eq!(json, "application/json");
            assert!(!charset.needs_content("image/svg+xml"));
        }
        let none = Charset::Unstated.content_type("text/plain", b"a", true);
        assert_eq!(none, "text/plain");
        let bad = Charset::Always("\n".to_owned()).content_type("text/csv", b"", true);
        assert_eq!(bad, "text/csv", "what no field can hold");
    }
}
