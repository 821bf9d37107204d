//! Bodies of HTTP/1, by length and in chunks: cut anywhere, the reader finds the same body and the same end as one that
//! sees everything at once and goes by RFC 9112, section 7.1, letter by letter. The same for trailer fields.
#![no_main]

use handfast_fuzz::{Input, Pieces};
use handfast_http::h1::{Body, Found, Framing};
use libfuzzer_sys::fuzz_target;

/// Trailer fields in the order of their names.
type Fields = Vec<(String, Vec<u8>)>;

/// The body; what follows it, in bytes, `None` while it has not ended; its trailer fields.
type Read = Result<(Vec<u8>, Option<usize>, Fields), ()>;

fn read(strict: bool, framing: Framing, bytes: &[u8], sizes: &[u8]) -> Read {
    let mut reader = match strict {
        true => Body::of_request(framing),
        false => Body::new(framing),
    };
    let mut body = Vec::new();
    let mut used = 0;
    for piece in Pieces::new(bytes, sizes) {
        let mut rest = piece;
        loop {
            let before = rest.len();
            match reader.read(&mut rest) {
                Ok(Found::Piece(part)) => {
                    assert!(reader.take_trailers().is_none());
                    assert!(!part.is_empty() && before > rest.len());
                    body.extend_from_slice(part);
                }
                Ok(Found::More) => {
                    assert!(rest.is_empty());
                    break;
                }
                Ok(Found::End) => {
                    assert!(reader.is_done());
                    // It stays where it is.
                    let left = rest;
                    assert_eq!(reader.read(&mut rest), Ok(Found::End));
                    assert_eq!(left, rest);
                    used += piece.len() - rest.len();
                    let mut fields: Fields = reader
                        .take_trailers()
                        .iter()
                        .flatten()
                        .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
                        .collect();
                    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
                    return Ok((body, Some(bytes.len() - used), fields));
                }
                Err(malformed) => {
                    assert!(malformed.line.len() <= 48);
                    assert!(!malformed.to_string().chars().any(char::is_control));
                    return Err(());
                }
            }
        }
        used += piece.len();
    }
    Ok((body, None, Vec::new()))
}

/// One line without its CR LF, and the rest; `Ok(None)` where it is not complete and could still be one.
fn line(bytes: &[u8]) -> Result<Option<(&[u8], &[u8])>, ()> {
    let Some(cr) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) else {
        return Ok(None);
    };
    match &bytes[cr..] {
        [b'\r', b'\n', after @ ..] => Ok(Some((&bytes[..cr], after))),
        [b'\r'] => Ok(None),
        _ => Err(()),
    }
}

/// chunk-size [ BWS chunk-ext ]; of a response, with blanks alone behind the size, which old servers send.
fn size(line: &[u8], strict: bool) -> Result<u64, ()> {
    let digits = line
        .iter()
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let (number, rest) = line.split_at(digits);
    let text = std::str::from_utf8(number).map_err(|_| ())?;
    if digits == 0 || digits > 16 {
        return Err(());
    }
    let blanks = rest
        .iter()
        .take_while(|byte| matches!(byte, b' ' | b'\t'))
        .count();
    let rest = &rest[blanks..];
    let is_text = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
    if strict && rest.is_empty() && blanks > 0 {
        return Err(());
    }
    if !(rest.is_empty() || rest[0] == b';' && rest.iter().all(is_text)) {
        return Err(());
    }
    u64::from_str_radix(text, 16).map_err(|_| ())
}

/// Sees everything at once. Lines that are incomplete may be refused early or not: `None` for those.
fn chunks(mut rest: &[u8], strict: bool) -> Option<Read> {
    let mut body = Vec::new();
    loop {
        let (first, after) = match line(rest) {
            Ok(Some(found)) => found,
            Ok(None) => return None,
            Err(()) => return Some(Err(())),
        };
        if first.len() > 4000 {
            return None;
        }
        let Ok(length) = size(first, strict) else {
            return Some(Err(()));
        };
        if length == 0 {
            rest = after;
            break;
        }
        let Some((data, after)) = usize::try_from(length)
            .ok()
            .and_then(|length| after.split_at_checked(length))
        else {
            body.extend_from_slice(after);
            return Some(Ok((body, None, Vec::new())));
        };
        body.extend_from_slice(data);
        rest = match after {
            [b'\r', b'\n', after @ ..] => after,
            [] | [b'\r'] => return Some(Ok((body, None, Vec::new()))),
            _ => return Some(Err(())),
        };
    }
    let trailers = rest.len();
    let mut fields = Fields::new();
    loop {
        match line(rest) {
            Ok(Some(([], after))) => {
                fields.sort_by(|(one, _), (other, _)| one.cmp(other));
                return Some(Ok((body, Some(after.len()), fields)));
            }
            Ok(Some((field, after))) => {
                let colon = field.iter().position(|byte| *byte == b':');
                let Some((name, value)) = colon.map(|at| field.split_at(at)) else {
                    return Some(Err(()));
                };
                let is_token =
                    |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
                let is_text = |byte: &u8| matches!(byte, b'\t' | 0x20..=0x7e | 0x80..);
                if name.is_empty() || !name.iter().all(is_token) || !value.iter().all(is_text) {
                    return Some(Err(()));
                }
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                fields.push((name, value[1..].trim_ascii().to_vec()));
                rest = after;
            }
            Ok(None) => return None,
            Err(()) => return Some(Err(())),
        }
        // Beyond these bounds it may be refused.
        if fields.len() > 100 {
            return None;
        }
        if trailers - rest.len() > 8000 {
            return None;
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let kind = input.byte() % 4;
    let strict = kind == 2;
    let length = (kind == 1).then(|| input.short());
    let (sizes, bytes) = (input.sizes(), input.rest());
    let framing = match length {
        None => Framing::Chunked,
        Some(u16::MAX) => Framing::UntilClose,
        Some(length) => Framing::Length(u64::from(length)),
    };
    let whole = read(strict, framing, bytes, &[0]);
    assert_eq!(whole, read(strict, framing, bytes, sizes));
    match framing {
        Framing::Chunked => {
            if let Some(expected) = chunks(bytes, strict) {
                assert_eq!(whole, expected);
            }
            if let Ok((body, Some(_), _)) = &whole {
                let mut spelled = format!("{:x}\r\n", body.len()).into_bytes();
                spelled.extend_from_slice(body);
                spelled.extend_from_slice(if body.is_empty() {
                    b"\r\n"
                } else {
                    b"\r\n0\r\n\r\n"
                });
                assert_eq!(
                    read(strict, framing, &spelled, sizes),
                    Ok((body.clone(), Some(0), Vec::new()))
                );
            }
        }
        Framing::UntilClose => assert_eq!(whole, Ok((bytes.to_vec(), None, Vec::new()))),
        _ => {
            let length = usize::from(length.unwrap_or_default());
            let expected = match bytes.split_at_checked(length) {
                Some((body, rest)) => (body.to_vec(), Some(rest.len()), Vec::new()),
                None => (bytes.to_vec(), None, Vec::new()),
            };
            // The end is found by the next read, where there is one.
            match whole {
                Ok((body, end, _)) if end.is_none() => assert_eq!(body, expected.0),
                found => assert_eq!(found, Ok(expected)),
            }
        }
    }
});
