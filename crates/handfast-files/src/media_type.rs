//! The media type of a file, by its name.

use http::header::HeaderValue;

use crate::path::Target;

const UNKNOWN: &str = "application/octet-stream";

/// The `Content-Type` for a name. Text is assumed to be UTF-8.
pub(crate) fn of(target: &Target) -> HeaderValue {
    let known = std::str::from_utf8(target.name())
        .ok()
        .and_then(|name| mime_guess::from_path(name).first_raw())
        .unwrap_or(UNKNOWN);
    match known {
        // The frequent ones without an allocation.
        "text/html" => HeaderValue::from_static("text/html; charset=utf-8"),
        "text/css" => HeaderValue::from_static("text/css; charset=utf-8"),
        // RFC 9239 retired the second spelling.
        "text/javascript" | "application/javascript" => {
            HeaderValue::from_static("text/javascript; charset=utf-8")
        }
        "text/plain" => HeaderValue::from_static("text/plain; charset=utf-8"),
        text if text.starts_with("text/") => {
            HeaderValue::try_from(format!("{text}; charset=utf-8"))
                .unwrap_or_else(|_| HeaderValue::from_static(UNKNOWN))
        }
        other => HeaderValue::from_static(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_determined_by_name() {
        let cases = [
            ("/index.html", "text/html; charset=utf-8"),
            ("/a.JS", "text/javascript; charset=utf-8"),
            ("/a.mjs", "text/javascript; charset=utf-8"),
            ("/a.css", "text/css; charset=utf-8"),
            ("/notes.md", "text/markdown; charset=utf-8"),
            ("/a.json", "application/json"),
            ("/a.wasm", "application/wasm"),
            ("/a.svg", "image/svg+xml"),
            ("/a.tar.gz", "application/gzip"),
            ("/a.bin", "application/octet-stream"),
            ("/Makefile", "application/octet-stream"),
            ("/%ff%fe.html", "application/octet-stream"),
        ];
        for (path, expected) in cases {
            assert_eq!(of(&Target::parse(path).unwrap()), expected, "{path}");
        }
    }
}
