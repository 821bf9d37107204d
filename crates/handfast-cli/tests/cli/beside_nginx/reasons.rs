//! Why the two differ.

use super::Difference;
use super::requests::Asked;

/// Something in which they differ, on purpose.
pub(super) struct Reason {
    pub(super) title: &'static str,
    pub(super) text: &'static str,
    /// Whether this is the reason. The first that fits is the one.
    pub(super) fits: fn(&Asked, &Difference) -> bool,
}

pub(super) fn introduction(version: &str, count: usize, equal: usize) -> String {
    format!(
        "# The same requests at nginx\n\n\
         The same directory is served by `handfast serve` and by nginx {version} as Debian has it, and {count} requests are sent to both over\n\
         HTTP/1.1 in TLS. {equal} are answered alike; this is about the others, and why they differ. The test\n\
         `what_differs_from_nginx_is_known_and_argued` writes this file (`HANDFAST_WRITE_DOCS=1`), and fails when a difference is new or gone.\n\n\
         Compared are the status, `Location`, `Allow`, the validators, `Cache-Control`, `Vary`, `Accept-Ranges`, and what describes the content: its type,\n\
         coding, range, length, and bytes. Not compared are listings and error pages, which look as each server has them. nginx is configured alike as far\n\
         as it can be: `autoindex`, `index`, `gzip`, `gzip_static`, `gzip_vary`, `charset utf-8`, `Cache-Control: no-cache`, relative redirects, no names\n\
         that begin with a dot, a second server by its name.\n\n"
    )
}

fn has(asked: &Asked, part: &str) -> bool {
    asked.shown.contains(part)
}

fn is_in(asked: &Asked, group: &str) -> bool {
    asked.group == group
}

fn statuses(one: &Difference, nginx: &str, ours: &str) -> bool {
    one.aspect == "status" && one.nginx == nginx && one.ours == ours
}

fn becomes(one: &Difference, ours: &str) -> bool {
    one.aspect == "status" && one.ours == ours
}

/// Has the target a segment that is `.` or `..`, escaped or not?
fn has_dots(asked: &Asked) -> bool {
    let target = asked.shown.split([' ', ';']).nth(1).unwrap_or_default();
    let target = target.to_ascii_lowercase().replace("%2e", ".");
    let mut segments = target.split('/');
    segments.any(|segment| segment == "." || segment == "..")
}

pub(super) const REASONS: &[Reason] = &[
    Reason {
        title: "Dot segments",
        text: "Clients resolve `.` and `..` before they send a path (RFC 3986, section 5.2.4). handfast resolves none: there is no file of that \
               name. So no two parts of a server, and no proxy before it, can differ about what a path means. nginx resolves them, and answers 400 where \
               they lead above the root.",
        fits: |asked, one| has_dots(asked) && becomes(one, "404"),
    },
    Reason {
        title: "Escaped slashes",
        text: "`%2F` is not `/` (RFC 3986, section 2.2), and no name of a file has it. nginx takes it for a separator, so that what was a single \
               segment for a proxy is a path for the server.",
        fits: |asked, one| asked.shown.to_ascii_lowercase().contains("%2f") && becomes(one, "400"),
    },
    Reason {
        title: "Characters that are not in a URI",
        text: "Neither may be sent unescaped (RFC 3986, appendix A), and a request with them is malformed. nginx looks for such a file.",
        fits: |asked, one| (has(asked, "/<a>") || has(asked, "a`b")) && becomes(one, "400"),
    },
    Reason {
        title: "Links that lead out of the directory",
        text: "Nothing outside the served directory is served, whichever way a link leads there, unless `follow_links` says so. nginx follows links \
               unless `disable_symlinks` says otherwise.",
        fits: |asked, one| has(asked, "/out.txt") && statuses(one, "200", "404"),
    },
    Reason {
        title: "Redirects to a directory keep the method",
        text: "308 is 301 without the permission to make a GET of a POST (RFC 9110, section 15.4.9).",
        fits: |_, one| statuses(one, "301", "308"),
    },
    Reason {
        title: "An empty query is kept",
        text: "`/dir?` and `/dir` are different URIs (RFC 3986, section 6.2.3): what was asked comes back with a slash, and nothing else changed.",
        fits: |asked, one| has(asked, "/dir?") && one.aspect == "Location",
    },
    Reason {
        title: "405 has Allow",
        text: "A server must say which methods there are (RFC 9110, section 15.5.6). nginx does not.",
        fits: |_, one| one.aspect == "Allow" && one.nginx == "none",
    },
    Reason {
        title: "A method that is not for files is 405",
        text: "Whether there is a file or not, GET and HEAD are all that is there; names of methods are case-sensitive, so `get` is another \
               method (RFC 9110, section 9.1), not a malformed request. nginx answers 403 for a listing and 404 for a missing file, and 400 where the \
               name is in lower case.",
        fits: |asked, one| is_in(asked, "Methods") && becomes(one, "405"),
    },
    Reason {
        title: "CONNECT to a path",
        text: "The target of CONNECT is a host and a port (RFC 9112, section 3.2.3): a path is malformed.",
        fits: |asked, one| has(asked, "CONNECT /a.txt") && becomes(one, "400"),
    },
    Reason {
        title: "Listings vary by Accept",
        text: "A listing is a page or JSON, as the client prefers. Both may compress it.",
        fits: |_, one| one.aspect == "Vary" && one.ours == "accept, accept-encoding",
    },
    Reason {
        title: "Vary, wherever a client may get something else",
        text: "Files of a type that can be compressed have `Vary: Accept-Encoding`, whether this one was or not, and 304 has what 200 would have \
               (RFC 9110, section 15.4.5). nginx has it only for files of at least 20 bytes of the types in `gzip_types`, and not in 304.",
        fits: |_, one| one.aspect == "Vary" && one.nginx == "none" && one.ours == "accept-encoding",
    },
    Reason {
        title: "Current media types",
        text: "JavaScript is `text/javascript` (RFC 9239), also as a module; Markdown, CSV, web manifests and gzip have types of their own. nginx takes \
               them from a file of the distribution, which does not know these.",
        fits: |asked, one| {
            one.aspect == "Content-Type"
                && (is_in(asked, "Media types") || has(asked, ".gz"))
                && !has(asked, "latin1")
        },
    },
    Reason {
        title: "A charset only where it is known",
        text: "The text is not UTF-8, so nothing is claimed. nginx adds what is configured to each file.",
        fits: |asked, one| has(asked, "latin1") && one.aspect == "Content-Type",
    },
    Reason {
        title: "Ranges that are invalid are ignored",
        text: "A `Range` that is not understood is as if it were not there (RFC 9110, section 14.2). 416 is for ranges that are valid and of which the \
               file has none.",
        fits: |asked, one| {
            has(asked, "Range: bytes") && statuses(one, "416", "200") && !has(asked, "HEAD")
        },
    },
    Reason {
        title: "Ranges that are valid are answered",
        text: "A last position may be any number (RFC 9110, section 14.1.2), and a list may have empty elements (section 5.6.1.2).",
        fits: |asked, one| has(asked, "Range: bytes") && statuses(one, "416", "206"),
    },
    Reason {
        title: "Ranges that overlap are sent once",
        text: "A client that asks for the same bytes a hundred times would have the server send a hundred times as much (RFC 9110, section 14.2 and \
               17.15). nginx sends each until they are more than the file.",
        fits: |asked, one| {
            (has(asked, "bytes=0-4,2-6") || has(asked, "bytes=0-0,0-0")) && one.aspect != "status"
        },
    },
    Reason {
        title: "Several ranges",
        text: "The parts are the same. The boundary is random and longer, so that no file can have it within, and there is no empty line \
               before the first.",
        fits: |asked, one| {
            is_in(asked, "Ranges")
                && has(asked, ",")
                && matches!(one.aspect, "Content-Length" | "body")
        },
    },
    Reason {
        title: "Ranges are for GET",
        text: "For other methods `Range` means nothing (RFC 9110, section 14.2).",
        fits: |asked, one| has(asked, "HEAD") && has(asked, "Range:") && becomes(one, "200"),
    },
    Reason {
        title: "Ranges of an empty file",
        text: "It has no byte that could be sent, and `Content-Range` cannot express nothing: 416 says that it is empty. nginx sends nothing \
               with 200. Clients that resume a download take either for its end.",
        fits: |asked, one| has(asked, "/empty; Range") && becomes(one, "416"),
    },
    Reason {
        title: "Ranges of what could be compressed",
        text: "A file that was compressed beforehand has ranges like any other, by the tag of its own; of one that would be compressed while it is \
               sent, a range is one of the file itself. nginx has neither with `gzip` and `gzip_static`.",
        fits: |asked, one| {
            has(asked, "Accept-Encoding")
                && (statuses(one, "200", "206")
                    || (one.aspect == "Accept-Ranges"
                        && one.ours == "bytes"
                        && has(asked, "/page.html")))
        },
    },
    Reason {
        title: "Several Range fields",
        text: "The field may be there once (RFC 9110, section 14.2): two of them are invalid, and ignored. nginx uses the first.",
        fits: |asked, one| has(asked, "Range: bytes=0-1; Range:") && statuses(one, "206", "200"),
    },
    Reason {
        title: "Modified since: an order, not equality",
        text: "A file that has not been modified since a later time is not modified (RFC 9110, section 13.1.3). nginx compares for equality \
               unless `if_modified_since before` is configured.",
        fits: |asked, one| {
            has(asked, "If-Modified-Since: ")
                && !has(asked, "If-None-Match")
                && statuses(one, "200", "304")
        },
    },
    Reason {
        title: "Dates that are invalid are ignored",
        text: "A condition whose date cannot be read is as if it were not there (RFC 9110, section 13.1.4). nginx lets it fail.",
        fits: |asked, one| {
            has(asked, "If-Unmodified-Since: ")
                && !has(asked, "If-Match")
                && statuses(one, "412", "200")
        },
    },
    Reason {
        title: "Tags come before dates",
        text: "Where a condition has tags, that with a date is not looked at (RFC 9110, section 13.2.2). nginx demands both.",
        fits: |asked, one| {
            (has(asked, "If-None-Match: {etag}; If-Modified-Since")
                || has(asked, "If-Match: {etag}; If-Unmodified-Since"))
                && one.aspect == "status"
        },
    },
    Reason {
        title: "Lists in several fields",
        text: "Fields with lists may be there several times, and are one list (RFC 9110, section 5.3). nginx answers 400, or uses the first.",
        fits: |asked, _| {
            has(asked, "If-None-Match: \"x\"; If-None-Match")
                || has(asked, "Accept-Encoding: identity; Accept-Encoding")
        },
    },
    Reason {
        title: "An asterisk beside tags",
        text: "`*` stands alone, or it is not valid (RFC 9110, section 13.1.1): then it is a tag like others, and matches none.",
        fits: |asked, one| has(asked, "Match: *, ") && one.aspect == "status",
    },
    Reason {
        title: "Conditions of a listing",
        text: "A listing is made for each request and has no validator, so a client cannot know that its copy is current.",
        fits: |asked, one| has(asked, "/dir/; If-None-Match: *") && statuses(one, "304", "200"),
    },
    Reason {
        title: "Clients that accept no coding at all",
        text: "A client that refuses the file as it is and does not accept it compressed gets 406 (RFC 9110, section 12.5.3). nginx sends what was refused.",
        fits: |asked, one| has(asked, "q=0") && becomes(one, "406"),
    },
    Reason {
        title: "Clients that accept compressed files only",
        text: "A file that would not be compressed otherwise, as it is an image, is compressed for a client that refuses it as it is.",
        fits: |asked, _| has(asked, "/image.png") && has(asked, "gzip, identity;q=0"),
    },
    Reason {
        title: "x-gzip is gzip",
        text: "It is another name of it (RFC 9110, section 8.4.1.3).",
        fits: |asked, _| has(asked, "Accept-Encoding: x-gzip"),
    },
    Reason {
        title: "What is too small to gain is not compressed",
        text: "A file that fits into one packet does not arrive earlier when it is smaller. nginx compresses from 20 bytes on (`gzip_min_length`).",
        fits: |asked, one| {
            is_in(asked, "Encodings")
                && (has(asked, "/a.txt") || has(asked, "/indexed/"))
                && one.aspect != "status"
        },
    },
    Reason {
        title: "Another site than that of the handshake",
        text: "The connection was made for `localhost`: its certificate, and the demands on the client, were those of that site. 421 has the client \
               make another connection for the other name (RFC 9110, section 15.5.20). nginx serves the other site's files over it.",
        fits: |_, one| becomes(one, "421"),
    },
    Reason {
        title: "A Host that is none",
        text: "A request with an invalid Host is answered with 400 (RFC 9112, section 3.2): a port that is no number of one, a name with other \
               characters, or with a user. nginx serves the default site.",
        fits: |asked, one| is_in(asked, "Hosts") && statuses(one, "200", "400"),
    },
    Reason {
        title: "A Host that could be one",
        text: "`..` is a registered name by the grammar of RFC 3986. No site has it, so the default one answers.",
        fits: |asked, one| has(asked, "Host: ..") && becomes(one, "200"),
    },
    Reason {
        title: "HTTP/0.9",
        text: "A request without a version was HTTP/0.9, whose replies have no status and no end. nginx answers it; handfast closes.",
        fits: |asked, one| has(asked, "GET /a.txt\\r\\n") && one.ours == "closed without a reply",
    },
    Reason {
        title: "Other versions",
        text: "A version that is not spoken is refused, and so is what is none; which of 400 and 505 says so is of no consequence. `HTTP/1.10` is none: \
               a version is a digit, a dot and a digit (RFC 9112, section 2.3). nginx takes it.",
        fits: |asked, one| {
            one.aspect == "status"
                && (becomes(one, "505") || has(asked, "HTTP/11\\r") || has(asked, "HTTP/1.10\\r"))
        },
    },
    Reason {
        title: "Heads with errors",
        text: "Two spaces, one at the end of the line, a line without a colon, names of fields that are no tokens, control characters: each is a chance that \
               a proxy before the server understands something else (RFC 9112, section 11.2). They are refused. nginx ignores such fields, or takes \
               them.",
        fits: |asked, one| is_in(asked, "Heads") && statuses(one, "200", "400"),
    },
    Reason {
        title: "Large heads",
        text: "handfast takes 32 KiB and 100 fields, and answers 431 to more (RFC 6585). nginx takes 8 KiB for a line, any number of fields within \
               32 KiB, and answers 400.",
        fits: |asked, one| {
            is_in(asked, "Heads") && (becomes(one, "431") || has(asked, "A: xxxxxxxx"))
        },
    },
    Reason {
        title: "A length that is there twice",
        text: "The same number twice can be taken for it (RFC 9112, section 6.3); handfast does, and refuses two that differ. nginx refuses both.",
        fits: |asked, one| {
            has(asked, "Content-Length: 5\\r\\nContent-Length:") && becomes(one, "200")
        },
    },
    Reason {
        title: "Bodies that are not needed",
        text: "The reply to a GET does not depend on its body, and does not wait for it. If what comes then is no body, the connection ends \
               behind the reply. nginx reads it first.",
        fits: |asked, one| is_in(asked, "Bodies") && statuses(one, "400", "200"),
    },
    Reason {
        title: "Transfer codings",
        text: "`chunked` twice is a coding that is not understood: 501 (RFC 9112, section 6.1).",
        fits: |asked, one| is_in(asked, "Bodies") && becomes(one, "501"),
    },
];
