//! A listing for programs.

use std::fmt::Write as _;

use super::html::modified;
use crate::open::Kind;
use crate::path::{Target, encode_segment};

pub(super) fn put_head(text: &mut String, target: &Target) {
    let names = target.names().iter();
    let mut path: String = names
        .map(|name| format!("/{}", String::from_utf8_lossy(name)))
        .collect();
    path.push('/');
    text.push_str("{\"path\":");
    put_string(text, &path);
    text.push_str(",\"entries\":[");
}

/// `first`: of all entries.
pub(super) fn put_row(text: &mut String, name: &[u8], kind: &Kind, first: bool) {
    text.push_str(if first {
        "\n{\"name\":"
    } else {
        ",\n{\"name\":"
    });
    put_string(text, &String::from_utf8_lossy(name));
    let reference = encode_segment(name);
    let modified = handfast::format_utc(modified(kind));
    let _ = match kind {
        Kind::Directory { .. } => write!(
            text,
            ",\"href\":\"./{reference}/\",\"type\":\"directory\",\"modified\":\"{modified}\"}}"
        ),
        Kind::File(facts) => write!(
            text,
            ",\"href\":\"./{reference}\",\"type\":\"file\",\"size\":{},\"modified\":\"{modified}\"}}",
            facts.size
        ),
    };
}

/// `omitted` is how many entries are not listed; with `cut` there may be more of them.
pub(super) fn put_foot(text: &mut String, omitted: usize, cut: bool) {
    let complete = omitted == 0 && !cut;
    let _ = writeln!(text, "\n],\"complete\":{complete},\"omitted\":{omitted}}}");
}

/// RFC 8259, section 7.
fn put_string(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            control if control < ' ' => {
                let _ = write!(text, "\\u{:04x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}
