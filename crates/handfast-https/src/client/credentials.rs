//! User names and passwords in URLs: hidden from messages, moved into a header field.

use base64ct::{Base64, Encoding as _};
use url::Url;

/// For messages: a text that is not the URL that its author meant. Where its authority ends is not known, as a password may
/// contain `/`, `?` and `#` unescaped: everything before the last `@` is hidden, except a scheme.
pub(super) fn text_without_credentials(text: &str) -> String {
    let is_scheme = |scheme: &str| {
        let mut bytes = scheme.bytes();
        let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic()) && bytes.all(is_inner)
    };
    let Some((before, shown)) = text.rsplit_once('@') else {
        return text.to_owned();
    };
    match before.split_once("://") {
        Some((scheme, _)) if is_scheme(scheme) => format!("{scheme}://{shown}"),
        _ => shown.to_owned(),
    }
}

/// For messages: a URL without user name and password.
pub(super) fn without_credentials(url: &Url) -> String {
    if !url.has_authority() {
        // `htps:/user:secret@host` is a URL, too, and to it all of that is a path.
        let scheme = url.scheme();
        let rest = url.as_str().get(scheme.len() + 1..).unwrap_or_default();
        return format!("{scheme}:{}", text_without_credentials(rest));
    }
    let mut url = url.clone();
    // They fail only for URLs that have no host, and thus no user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}

/// The value of an `Authorization` field (RFC 7617) for a name and a password as a URL writes them.
pub(super) fn basic(name: &str, password: &str) -> String {
    let decode = |text: &str| percent_encoding::percent_decode_str(text).collect::<Vec<u8>>();
    let mut pair = decode(name);
    pair.push(b':');
    pair.extend(decode(password));
    format!("Basic {}", Base64::encode_string(&pair))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_hidden_whatever_characters_it_contains() {
        for (text, shown) in [
            ("https://u:s3cret@h:99999/", "https://h:99999/"),
            ("https://u:s3/cret@h/", "https://h/"),
            ("https://u:s3?cret@h/", "https://h/"),
            ("https://u:s3#cret@h/", "https://h/"),
            ("https://u:s3@cret@h/", "https://h/"),
            ("https://u:s3//cret@h/", "https://h/"),
            ("https:/u:s3cret@h:99999/", "h:99999/"),
            ("u:s3cret@h", "h"),
            ("u:s3://cret@h", "h"),
            ("//u:s3cret@h", "h"),
            ("https://h:99999/a?b#c", "https://h:99999/a?b#c"),
            ("", ""),
        ] {
            assert_eq!(text_without_credentials(text), shown, "{text}");
        }
        for (url, shown) in [
            ("http://u:s3cret@h/@a", "http://h/@a"),
            ("ftp://u:s3cret@h/@a", "ftp://h/@a"),
            ("htps://u:s3cret@h/@a", "htps://h/@a"),
            ("htps:/u:s3cret@h/", "htps:h/"),
            ("u:s3cret@h", "u:h"),
            ("file:///a", "file:///a"),
        ] {
            assert_eq!(
                without_credentials(&Url::parse(url).unwrap()),
                shown,
                "{url}"
            );
        }
    }
}
