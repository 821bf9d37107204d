//! User names and passwords in URLs: hidden from messages, moved into a header field.

use base64ct::{Base64, Encoding as _};

/// For messages: what looks like `user:secret@` is hidden, whether or not the rest is a URL.
pub(super) fn without_credentials(text: &str) -> String {
    let start = text.find("//").map_or(0, |place| place + 2);
    let (scheme, rest) = text.split_at(start);
    let authority_end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest[..authority_end].rfind('@') {
        Some(at) => format!("{scheme}{}", &rest[at + 1..]),
        None => text.to_owned(),
    }
}

/// The value of an `Authorization` field (RFC 7617) for a name and a password as a URL writes them.
pub(super) fn basic(name: &str, password: &str) -> String {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let mut pair = decode(name);
    pair.push(b':');
    pair.extend(decode(password));
    format!("Basic {}", Base64::encode_string(&pair))
}
