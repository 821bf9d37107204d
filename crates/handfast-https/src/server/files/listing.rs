//! What a directory holds, as a page.

use std::fmt::Write as _;
use std::fs::File;
use std::io;

use super::open::{FileFacts, Kind, Root, glance};
use super::path::{Target, encode, is_hidden};

/// More entries than this are not shown: a page must fit into memory, on both sides.
const ENTRIES_MAX: usize = 10_000;

/// The page runs nothing and loads nothing, whatever a name should contrive.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

const STYLE: &str = "body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:60rem;\
    padding:0 1rem;color-scheme:light dark}table{border-collapse:collapse;width:100%}\
    td,th{padding:.2rem .5rem;text-align:left}td+td,th+th{text-align:right;white-space:nowrap;\
    font-variant-numeric:tabular-nums}a{text-decoration:none}a:hover{text-decoration:underline}";

/// One entry.
#[derive(Debug)]
struct Entry {
    name: Vec<u8>,
    kind: Kind,
}

/// The page for a directory. May block.
pub(super) fn html(root: &Root, directory: &File, target: &Target) -> io::Result<String> {
    let mut names = names(root, directory, target)?;
    names.retain(|name| !is_hidden(name, target.is_root()));
    let left_out = names.len().saturating_sub(ENTRIES_MAX);
    names.sort_unstable();
    names.truncate(ENTRIES_MAX);
    let mut entries: Vec<Entry> = names
        .into_iter()
        .filter_map(|name| {
            // Found the way a request would find it: what would be refused is not shown.
            let kind = match glance(directory, &name) {
                Some(kind) => kind,
                None => root.find(&target.entry(&name)).ok()?.kind,
            };
            Some(Entry { name, kind })
        })
        .collect();
    // Directories first; the sort is stable.
    entries.sort_by_key(|entry| entry.kind != Kind::Directory);
    Ok(render(target, &entries, left_out))
}

fn render(target: &Target, entries: &[Entry], left_out: usize) -> String {
    let title = escape(&format!("{}/", display(target)));
    let mut page = String::with_capacity(1024 + entries.len() * 128);
    let _ = write!(
        page,
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>{title}</title><style>{STYLE}</style></head>\n\
         <body><h1>{title}</h1>\n<table>\n<tr><th>Name</th><th>Size</th><th>Modified (UTC)</th></tr>\n"
    );
    if !target.is_root() {
        page.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for entry in entries {
        let (slash, size, modified) = match &entry.kind {
            Kind::Directory => ("/", String::new(), String::new()),
            Kind::File(facts) => ("", facts.size.to_string(), modified(facts)),
        };
        let _ = writeln!(
            page,
            // "./" keeps a name with a colon from being read as a scheme.
            "<tr><td><a href=\"./{}{slash}\">{}{slash}</a></td><td>{size}</td><td>{modified}</td></tr>",
            encode(&entry.name),
            escape(&String::from_utf8_lossy(&entry.name)),
        );
    }
    page.push_str("</table>\n");
    if left_out > 0 {
        let _ = writeln!(page, "<p>and {left_out} more</p>");
    }
    page.push_str("</body></html>\n");
    page
}

fn display(target: &Target) -> String {
    let mut path = String::new();
    for name in target.names() {
        path.push('/');
        path.push_str(&String::from_utf8_lossy(name));
    }
    path
}

fn modified(facts: &FileFacts) -> String {
    let since = facts
        .modified()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    let text = handfast::format_utc(i64::try_from(since.as_secs()).unwrap_or(0));
    text.replace('T', " ").trim_end_matches('Z').to_owned()
}

/// For text and for attribute values in quotes. Control characters, and those that turn the direction
/// of writing, are made visible.
fn escape(text: &str) -> String {
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    if text.bytes().all(harmless) {
        return text.to_owned();
    }
    let text = handfast::escape_control(text);
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(unix)]
fn names(_root: &Root, directory: &File, _target: &Target) -> io::Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in rustix::fs::Dir::read_from(directory)? {
        names.push(entry?.file_name().to_bytes().to_vec());
    }
    Ok(names)
}

#[cfg(not(unix))]
fn names(root: &Root, _directory: &File, target: &Target) -> io::Result<Vec<Vec<u8>>> {
    root.names(target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn b1_a_listing_escapes_names_and_sorts() {
        let target = Target::parse("/a%3Cb/").unwrap();
        let facts = FileFacts {
            identity: (1, 2),
            size: 5,
            modified_ns: 1_700_000_000_000_000_000,
            changed_ns: 0,
        };
        let entries = [
            Entry {
                name: b"sub".to_vec(),
                kind: Kind::Directory,
            },
            Entry {
                name: b"<script>alert('x')</script>&\".txt".to_vec(),
                kind: Kind::File(facts),
            },
            Entry {
                name: b"javascript:\xff\x1b[2J".to_vec(),
                kind: Kind::File(facts),
            },
        ];
        let page = render(&target, &entries, 3);
        assert!(page.contains("<h1>/a&lt;b/</h1>"), "{page}");
        assert!(page.contains("<a href=\"./sub/\">sub/</a>"), "{page}");
        assert!(!page.contains("<script>"), "{page}");
        assert!(page.contains("href=\"./%3Cscript%3E"), "{page}");
        assert!(
            page.contains("href=\"./javascript%3A%FF%1B%5B2J\""),
            "{page}"
        );
        assert!(!page.contains('\x1b'), "{page}");
        assert!(page.contains("2023-11-14 22:13:20"), "{page}");
        assert!(page.contains("and 3 more"), "{page}");
    }
}
