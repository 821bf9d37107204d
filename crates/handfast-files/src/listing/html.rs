//! A listing as a page for people.

use std::fmt::Write as _;

use crate::open::Kind;
use crate::options::Link;
use crate::page::{self, SCRIPT, escape_html};
use crate::path::{Target, encode_segment};

/// Seconds of what ages are told in, with the name of one.
const AGES: [(i64, &str); 6] = [
    (365 * 86_400, "year"),
    (30 * 86_400, "month"),
    (7 * 86_400, "week"),
    (86_400, "day"),
    (3600, "hour"),
    (60, "minute"),
];

/// A file whose time is this far ahead is new all the same: clocks differ.
const CLOCKS_DIFFER: i64 = 60;

/// What there is besides the entries that are shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct More {
    pub(super) shown: usize,
    /// All entries, or those that were read.
    pub(super) all: usize,
    pub(super) cut: bool,
}

pub(super) fn put_head(
    page: &mut String,
    target: &Target,
    link: Option<&Link>,
    more: Option<More>,
) {
    let names: Vec<_> = target
        .names()
        .iter()
        .map(|name| String::from_utf8_lossy(name))
        .collect();
    let title = format!("/{}", names.join("/"));
    page::put_head(page, &escape_html(&title));
    // Each step of the way here, by a reference that is relative to here.
    page.push_str("<nav aria-label=Path><h1>");
    put_step(page, names.len(), "Files");
    for (index, name) in names.iter().enumerate() {
        page.push_str("<i>/</i>");
        put_step(page, names.len() - index - 1, name);
    }
    page.push_str("</h1></nav>\n");
    if let Some(Link { url, text }) = link {
        let (url, text) = (escape_html(url), escape_html(text));
        let _ = writeln!(page, "<p><a href=\"{url}\">{text}</a></p>");
    }
    // Where it is read before the entries, and not only after thousands of them.
    if let Some(More { shown, all, cut }) = more {
        let at_least = if cut { "more than " } else { "" };
        let _ = writeln!(
            page,
            "<p class=dim id=more>The first {shown} of {at_least}{all} entries are shown. The filter searches only these.</p>"
        );
    }
    page.push_str(
        "<form hidden><label>Filter<input type=search name=filter autocomplete=off></label>\
         <output aria-live=polite></output></form>\n\
         <main><table><caption>Files in this directory</caption>\n\
         <thead><tr><th scope=col>Name</th><th scope=col>Size</th><th scope=col>Modified</th></tr></thead>\n<tbody>\n",
    );
    if !target.is_root() {
        page.push_str("<tr class=\"d u\"><td><a href=\"../\">../</a><td><td>\n");
    }
}

/// The directory that is so many levels above this one.
fn put_step(page: &mut String, up: usize, name: &str) {
    let name = escape_html(name);
    let _ = match up {
        0 => write!(page, "<span aria-current=page>{name}</span>"),
        _ => write!(page, "<a href=\"{}\">{name}</a>", "../".repeat(up)),
    };
}

/// `now` in seconds since 1970.
pub(super) fn put_row(page: &mut String, name: &[u8], kind: &Kind, now: i64) {
    let text = String::from_utf8_lossy(name);
    let (reference, text) = (encode_segment(name), escape_html(&text));
    // "./" keeps a name with a colon from being read as a scheme.
    let _ = match kind {
        Kind::Directory { .. } => {
            let _ = write!(
                page,
                "<tr class=d><td><a href=\"./{reference}/\">{text}/</a><td>"
            );
            put_time(page, modified(kind), now);
            writeln!(page)
        }
        Kind::File(facts) => {
            let _ = write!(page, "<tr><td><a href=\"./{reference}\">{text}</a>");
            put_size(page, facts.size);
            put_time(page, modified(kind), now);
            writeln!(page)
        }
    };
}

/// For people, in powers of 1024 and two or three digits; exact when pointed at.
fn put_size(page: &mut String, bytes: u64) {
    const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let exact = u128::from(bytes);
    let (mut unit, mut size) = (0, 1_u128);
    while exact >= size * 1024 && unit + 1 < UNITS.len() {
        size *= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    let tenths = (exact * 10 + size / 2) / size;
    let _ = write!(page, "<td data-v={bytes} title=\"{bytes} bytes\">");
    let _ = match unit > 0 && tenths < 1000 {
        true => write!(page, "{}.{} {name}", tenths / 10, tenths % 10),
        false => write!(page, "{} {name}", (exact + size / 2) / size),
    };
}

/// How long ago; exact when pointed at.
fn put_time(page: &mut String, at: i64, now: i64) {
    let exact = handfast::format_utc(at);
    let (day, time) = exact.split_once('T').unwrap_or_default();
    let time = time.trim_end_matches('Z');
    let _ = write!(
        page,
        "<td data-v={at}><time datetime={exact} title=\"{day} {time} UTC\">"
    );
    let age = now.saturating_sub(at);
    let _ = match AGES.iter().find(|(seconds, _)| age >= *seconds) {
        Some((seconds, unit)) => {
            let count = age / seconds;
            let plural = if count == 1 { "" } else { "s" };
            write!(page, "{count} {unit}{plural} ago")
        }
        None if age >= -CLOCKS_DIFFER => write!(page, "just now"),
        None => write!(page, "{day}"),
    };
    page.push_str("</time>");
}

pub(super) fn put_foot(page: &mut String, left_out: usize, cut: bool) {
    page.push_str("</tbody></table>\n");
    if left_out > 0 || cut {
        let at_least = if cut { "at least " } else { "" };
        let _ = writeln!(page, "<p class=dim>and {at_least}{left_out} more</p>");
    }
    let _ = writeln!(page, "</main>\n<script>{SCRIPT}</script>\n</body></html>");
}

/// In seconds since 1970.
pub(super) fn modified(kind: &Kind) -> i64 {
    let unix = kind.modified().duration_since(std::time::UNIX_EPOCH);
    unix.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::open::FileFacts;

    #[test]
    fn names_are_escaped() {
        let target = Target::parse("/a%3Cb/c/").unwrap();
        let facts = FileFacts {
            identity: (1, 2),
            size: 5,
            modified_ns: 1_700_000_000_000_000_000,
            changed_ns: 0,
        };
        let mut page = String::new();
        let link = Link {
            url: "/up?a&b".to_owned(),
            text: "Upload <files>".to_owned(),
        };
        put_head(&mut page, &target, Some(&link), None);
        let file = Kind::File(facts);
        let now = 1_700_000_000 + 3 * 86_400;
        let directory = Kind::Directory {
            modified_ns: 1_700_000_000_000_000_000,
        };
        put_row(&mut page, b"sub", &directory, now);
        put_row(&mut page, b"<script>alert('x')</script>&\".txt", &file, now);
        put_row(&mut page, b"javascript:\xff\x1b[2J", &file, now);
        for expected in [
            "<title>/a&lt;b/c</title>",
            "<a href=\"../../\">Files</a><i>/</i><a href=\"../\">a&lt;b</a><i>/</i><span aria-current=page>c</span>",
            "<p><a href=\"/up?a&amp;b\">Upload &lt;files&gt;</a></p>",
            "<tr class=d><td><a href=\"./sub/\">sub/</a><td><td data-v=1700000000>\
             <time datetime=2023-11-14T22:13:20Z title=\"2023-11-14 22:13:20 UTC\">3 days ago</time>\n",
            "href=\"./%3Cscript%3E",
            "href=\"./javascript%3A%FF%1B%5B2J\"",
            "<td data-v=5 title=\"5 bytes\">5 B<td data-v=1700000000>\
             <time datetime=2023-11-14T22:13:20Z title=\"2023-11-14 22:13:20 UTC\">3 days ago</time>\n",
        ] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        assert!(
            !page.contains("<script>") && !page.contains('\x1b'),
            "{page}"
        );
        put_foot(&mut page, 3, true);
        assert!(page.contains("and at least 3 more"), "{page}");
    }

    fn shown(put: impl Fn(&mut String)) -> String {
        let mut cell = String::new();
        put(&mut cell);
        let text = cell.trim_end_matches("</time>");
        text.rsplit('>').next().unwrap().to_owned()
    }

    #[test]
    fn sizes_and_ages_are_told_as_people_say_them() {
        for (bytes, expected) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1024, "1.0 KiB"),
            (1075, "1.0 KiB"),
            (1076, "1.1 KiB"),
            (102_348, "99.9 KiB"),
            (102_349, "100 KiB"),
            ((1 << 20) - 1, "1024 KiB"),
            (1 << 20, "1.0 MiB"),
            (12_345_678, "11.8 MiB"),
            (u64::MAX, "16.0 EiB"),
        ] {
            assert_eq!(shown(|cell| put_size(cell, bytes)), expected, "{bytes}");
        }
        const NOW: i64 = 2_000_000_000;
        for (age, expected) in [
            (-60, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (3599, "59 minutes ago"),
            (7200, "2 hours ago"),
            (86_400, "1 day ago"),
            (13 * 86_400, "1 week ago"),
            (29 * 86_400, "4 weeks ago"),
            (364 * 86_400, "12 months ago"),
            (730 * 86_400, "2 years ago"),
            (-86_400, "2033-05-19"),
        ] {
            let told = shown(|cell| put_time(cell, NOW - age, NOW));
            assert_eq!(told, expected, "{age}");
        }
        for at in [i64::MIN, i64::MAX] {
            assert!(!shown(|cell| put_time(cell, at, 0)).is_empty());
        }
    }
}
