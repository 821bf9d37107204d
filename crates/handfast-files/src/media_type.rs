//! The media type of a file, by its name, and what follows from the type.

/// What is not known.
pub(crate) const UNKNOWN: &str = "application/octet-stream";

/// Types that the general table does not have, has by an old name, or takes for something else, and those that are asked for most, which
/// take it several times as long; by extension, sorted.
const OURS: &[(&str, &str)] = &[
    ("3mf", "model/3mf"),
    ("appimage", "application/vnd.appimage"),
    ("bib", "text/plain"),
    ("br", "application/x-brotli"),
    ("cjs", "text/javascript"),
    ("csr", "application/pkcs10"),
    ("css", "text/css"),
    ("deb", "application/vnd.debian.binary-package"),
    ("diff", "text/x-diff"),
    ("dmg", "application/x-apple-diskimage"),
    ("exe", "application/vnd.microsoft.portable-executable"),
    ("exr", "image/x-exr"),
    ("flatpak", "application/vnd.flatpak"),
    ("gif", "image/gif"),
    ("go", "text/plain"),
    ("html", "text/html"),
    ("ico", "image/x-icon"),
    ("ipynb", "application/x-ipynb+json"),
    ("iso", "application/x-iso9660-image"),
    ("java", "text/plain"),
    ("jpeg", "image/jpeg"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript"),
    ("json", "application/json"),
    ("jsonl", "application/jsonl"),
    ("jsx", "text/javascript"),
    ("ktx2", "image/ktx2"),
    ("m2ts", "video/mp2t"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("m4a", "audio/mp4"),
    ("m4s", "video/iso.segment"),
    ("m4v", "video/mp4"),
    ("map", "application/json"),
    // RFC 9239 retired the other spelling.
    ("mjs", "text/javascript"),
    ("mka", "audio/matroska"),
    ("mkv", "video/matroska"),
    ("mp4", "video/mp4"),
    ("msi", "application/x-msi"),
    ("mtl", "model/mtl"),
    ("mts", "video/mp2t"),
    ("ndjson", "application/x-ndjson"),
    ("obj", "model/obj"),
    ("org", "text/plain"),
    ("otf", "font/otf"),
    ("patch", "text/x-diff"),
    ("pdf", "application/pdf"),
    ("plist", "application/xml"),
    ("png", "image/png"),
    ("proto", "text/plain"),
    ("psd", "image/vnd.adobe.photoshop"),
    ("pub", "text/plain"),
    ("rpm", "application/x-rpm"),
    ("rst", "text/plain"),
    ("sha256", "text/plain"),
    ("sig", "application/octet-stream"),
    ("sqlite", "application/vnd.sqlite3"),
    ("step", "model/step"),
    ("stl", "model/stl"),
    ("stp", "model/step"),
    ("svg", "image/svg+xml"),
    ("tgz", "application/gzip"),
    ("toml", "application/toml"),
    ("topojson", "application/json"),
    // Segments of HTTP live streaming; TypeScript is compiled before it is published.
    ("ts", "video/mp2t"),
    ("txt", "text/plain"),
    ("usdz", "model/vnd.usdz+zip"),
    ("vcf", "text/vcard"),
    ("wasm", "application/wasm"),
    ("webp", "image/webp"),
    ("wgsl", "text/wgsl"),
    ("whl", "application/zip"),
    ("woff", "font/woff"),
    ("woff2", "font/woff2"),
    ("xml", "text/xml"),
    // RFC 9512.
    ("yaml", "application/yaml"),
    ("yml", "application/yaml"),
    ("zip", "application/zip"),
    // RFC 8878.
    ("zst", "application/zstd"),
];

/// The type for a name, without parameters.
pub(crate) fn of(name: &[u8]) -> &'static str {
    let Ok(name) = std::str::from_utf8(name) else {
        return UNKNOWN;
    };
    let Some((_, extension)) = name.rsplit_once('.') else {
        return UNKNOWN;
    };
    // None of ours is longer.
    let mut lower = [0_u8; 8];
    if let Some(lower) = lower.get_mut(..extension.len()) {
        lower.copy_from_slice(extension.as_bytes());
        lower.make_ascii_lowercase();
        let found = OURS.binary_search_by(|(key, _)| key.as_bytes().cmp(lower));
        if let Some((_, known)) = found.ok().and_then(|at| OURS.get(at)) {
            return known;
        }
    }
    mime_guess::from_ext(extension)
        .first_raw()
        .unwrap_or(UNKNOWN)
}

/// Whether a `charset` parameter says in which encoding the characters are. JSON has none (RFC 8259), and where types that
/// end in `+xml` are no text, the document itself says it.
pub(crate) fn is_text(media: &str) -> bool {
    media.starts_with("text/")
}

/// Whether content of this type becomes smaller by being compressed.
pub(crate) fn is_compressible(media: &str) -> bool {
    if is_text(media) || media.ends_with("+json") || media.ends_with("+xml") {
        return true;
    }
    matches!(
        media,
        "application/javascript"
            | "application/json"
            | "application/json5"
            | "application/jsonl"
            | "application/rtf"
            | "application/toml"
            | "application/vnd.apple.mpegurl"
            | "application/vnd.ms-fontobject"
            | "application/wasm"
            | "application/x-ndjson"
            | "application/x-sh"
            | "application/x-sql"
            | "application/x-subrip"
            | "application/x-tex"
            | "application/xml"
            | "application/yaml"
            | "font/otf"
            | "font/ttf"
            | "image/bmp"
            | "image/vnd.microsoft.icon"
            | "image/x-icon"
            | "model/mtl"
            | "model/obj"
            | "model/step"
            | "model/stl"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_determined_by_name() {
        assert!(OURS.is_sorted_by_key(|(extension, _)| extension));
        let cases = [
            ("index.html", "text/html"),
            ("a.JS", "text/javascript"),
            ("a.mjs", "text/javascript"),
            ("a.css", "text/css"),
            ("notes.md", "text/markdown"),
            ("a.json", "application/json"),
            ("app.js.map", "application/json"),
            ("a.wasm", "application/wasm"),
            ("a.webmanifest", "application/manifest+json"),
            ("a.svg", "image/svg+xml"),
            ("a.avif", "image/avif"),
            ("a.jxl", "image/jxl"),
            ("a.webp", "image/webp"),
            ("a.STL", "model/stl"),
            ("a.glb", "model/gltf-binary"),
            ("a.rpm", "application/x-rpm"),
            ("a.deb", "application/vnd.debian.binary-package"),
            ("a.woff", "font/woff"),
            ("a.woff2", "font/woff2"),
            ("a.otf", "font/otf"),
            ("a.ttf", "font/ttf"),
            ("a.m4s", "video/iso.segment"),
            ("a.mpd", "application/dash+xml"),
            ("a.m3u8", "application/vnd.apple.mpegurl"),
            ("a.ts", "video/mp2t"),
            ("a.mp4", "video/mp4"),
            ("a.opus", "audio/ogg"),
            ("a.flac", "audio/flac"),
            ("a.vtt", "text/vtt"),
            ("a.yaml", "application/yaml"),
            ("a.toml", "application/toml"),
            ("a.parquet", "application/vnd.apache.parquet"),
            ("a.zst", "application/zstd"),
            ("a.tar.gz", "application/gzip"),
            ("a.7z", "application/x-7z-compressed"),
            ("a.xhtml", "application/xhtml+xml"),
            ("a.bin", UNKNOWN),
            ("Makefile", UNKNOWN),
            ("a.flatpakref-and-more", UNKNOWN),
            ("a.", UNKNOWN),
        ];
        for (name, expected) in cases {
            assert_eq!(of(name.as_bytes()), expected, "{name}");
        }
        assert_eq!(of(b"\xff\xfe.html"), UNKNOWN);
    }

    #[test]
    fn types_that_are_here_for_speed_are_those_of_the_general_table() {
        for extension in [
            "css", "gif", "html", "ico", "jpeg", "jpg", "js", "json", "mp4", "pdf", "png", "svg",
            "txt", "wasm", "webp", "woff2", "xml", "zip",
        ] {
            let general = mime_guess::from_ext(extension).first_raw();
            assert_eq!(Some(of(format!("a.{extension}").as_bytes())), general);
        }
    }

    #[test]
    fn what_is_compressed_already_is_left_alone() {
        for name in [
            "a.html",
            "a.svg",
            "a.json",
            "a.wasm",
            "a.ttf",
            "a.webmanifest",
        ] {
            assert!(is_compressible(of(name.as_bytes())), "{name}");
        }
        for name in [
            "a.png", "a.woff2", "a.mp4", "a.gz", "a.zip", "a.bin", "a.pdf",
        ] {
            assert!(!is_compressible(of(name.as_bytes())), "{name}");
        }
    }
}
