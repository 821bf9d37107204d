//! The server that both programs are run against: what it answers depends on the path.

use std::time::Duration;

use handfast_testbed::misbehaving::Step;

pub(super) const TEXT: &str = "hello, hello, hello\n";

const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\xd7\x51\xc8\x40\xa2\xb8\x00\xe7\x42\x6e\x52\x14\x00\x00\x00";
const ZLIB: &[u8] = b"\x78\x9c\xcb\x48\xcd\xc9\xc9\xd7\x51\xc8\x40\xa2\xb8\x00\x4b\x07\x06\xdf";
const RAW_DEFLATE: &[u8] = b"\xcb\x48\xcd\xc9\xc9\xd7\x51\xc8\x40\xa2\xb8\x00";
/// As it is, in one meta-block, and the empty last one.
const BROTLI: &[u8] = b"\x30\x01\x10hello, hello, hello\n\x03";
const ZSTD: &[u8] =
    b"\x28\xb5\x2f\xfd\x24\x14\x75\x00\x00\x40hello, \x0a\x01\x00\xe2\x8a\x11\x21\x69\x9d\x87";

const MODIFIED: &str = "last-modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n";

/// The file of which parts can be had.
const DIGITS: &str = "1234567890";

struct Asked<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    head: &'a str,
    body: &'a str,
}

impl<'a> Asked<'a> {
    fn new(request: &'a str) -> Self {
        let (head, body) = request.split_once("\r\n\r\n").unwrap_or((request, ""));
        let mut line = head.split("\r\n").next().unwrap_or_default().split(' ');
        let method = line.next().unwrap_or_default();
        let target = line.next().unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method,
            path,
            query,
            head,
            body,
        }
    }

    fn field(&self, name: &str) -> Option<&'a str> {
        let mut fields = self.head.split("\r\n").skip(1);
        fields.find_map(|field| {
            let (found, value) = field.split_once(':')?;
            (found == name).then(|| value.trim())
        })
    }

    fn reply(&self, status: &str, fields: &str, body: impl AsRef<[u8]>) -> Vec<Step> {
        let body = body.as_ref();
        let head = format!(
            "HTTP/1.1 {status}\r\n{fields}content-length: {}\r\n\r\n",
            body.len()
        );
        let body = if self.method == "head" { &[] } else { body };
        vec![Step::send([head.as_bytes(), body].concat())]
    }

    /// With the words that belong to the status.
    fn status(&self, status: &str, fields: &str, body: &str) -> Vec<Step> {
        let known = status.parse().map(http::StatusCode::from_u16);
        let reason = known.ok().and_then(|known| known.ok()?.canonical_reason());
        let line = format!("{status} {}", reason.unwrap_or("Unknown"));
        self.reply(&line, fields, body)
    }

    fn ok(&self, fields: &str, body: impl AsRef<[u8]>) -> Vec<Step> {
        self.reply("200 OK", fields, body)
    }
}

/// Ends the connection behind what was sent.
fn end(sent: impl Into<Vec<u8>>) -> Vec<Step> {
    vec![Step::send(sent), Step::CloseNotify, Step::Fin]
}

/// What the server answers to a request, of which the head is in lower case; `number` came before.
pub(super) fn answer(request: &str, number: usize) -> Vec<Step> {
    let asked = Asked::new(request);
    let mut parts = asked.path.split('/').skip(1);
    let first = parts.next().unwrap_or_default();
    let second = parts.next().unwrap_or_default();
    match first {
        "status" => asked.status(second, "", &format!("{second}\n")),
        "reason" => asked.reply("200 Fine", "", TEXT),
        // Once, then it is well again.
        "busy" if number == 0 => asked.status(second, "", "busy\n"),
        "redirect" => {
            let fields = format!("location: {}\r\n", asked.query);
            asked.status(second, &fields, "elsewhere\n")
        }
        "circle" => asked.reply("302 Again", &format!("location: {}\r\n", asked.path), ""),
        "named" => asked.ok(
            "content-disposition: attachment; filename=\"named.txt\"\r\n",
            body(&asked),
        ),
        "named-old" => asked.ok(
            "content-disposition: attachment; filename=old\r\n",
            body(&asked),
        ),
        "of-1994" => asked.ok(MODIFIED, body(&asked)),
        "unchanged" => asked.reply("304 Not Modified", "etag: \"v1\"\r\n", ""),
        "etag" if asked.field("if-none-match") == Some("\"v1\"") => {
            asked.reply("304 Not Modified", "etag: \"v1\"\r\n", "")
        }
        "etag" => asked.ok("etag: \"v1\"\r\n", "tagged\n"),
        "ranges" => ranges(&asked, MODIFIED),
        "ranges-new" => ranges(&asked, "last-modified: Mon, 07 Nov 1994 08:49:37 GMT\r\n"),
        "shifted" if asked.field("range").is_none() => asked.ok(MODIFIED, DIGITS),
        "shifted" => asked.reply("206 Partial Content", "content-range: bytes 4-9/10\r\n", "567890"),
        "empty-document" => asked.ok("", ""),
        "no-content" => vec![Step::send("HTTP/1.1 204 No Content\r\n\r\n")],
        "json" => asked.ok(
            "content-type: application/json\r\n",
            "{\"a\": [1, 2], \"b\": null}\n",
        ),
        "fields" => asked.ok("x-two: 1\r\nx-two: 2\r\n", TEXT),
        "mixed-case" => asked.ok("X-Mixed-CASE: Yes\r\n", TEXT),
        "echo" => asked.ok("", asked.body),
        "large" => asked.ok("", "x".repeat(100_000)),
        "hints" => {
            let mut steps = vec![Step::send(
                "HTTP/1.1 103 Early Hints\r\nlink: </style.css>\r\n\r\n",
            )];
            steps.extend(asked.ok("", TEXT));
            steps
        }
        "chunked" => vec![Step::send(
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n7\r\n second\r\n0\r\n\r\n",
        )],
        "cookies" => asked.ok(
            "set-cookie: a=1; path=/\r\nset-cookie: s=2; path=/cookies; secure; httponly\r\n\
             set-cookie: gone=3; path=/; max-age=0\r\nset-cookie: no=4; domain=other.example\r\n",
            "set\n",
        ),
        // Without a path of its own, curl 7 keeps a cookie for `/dir/`, and not for `/dir` (RFC 6265, section 5.1.4).
        "journey" => match second {
            "one" => asked.reply(
                "302 Elsewhere",
                "location: /journey/two\r\nset-cookie: a=1; Path=/\r\nset-cookie: s=2; Path=/journey; Secure; HttpOnly\r\n\
                 set-cookie: gone=3; Path=/; Max-Age=0\r\nset-cookie: no=4; Domain=other.example\r\n",
                "",
            ),
            "two" => asked.ok(
                "set-cookie: a=5; path=/; expires=Fri, 31 Dec 2100 23:59:59 GMT\r\n\
                 set-cookie: kept=; max-age=-1; path=/\r\n",
                "",
            ),
            _ => asked.ok("set-cookie: here=6; path=/journey\r\n", ""),
        },
        "login" => asked.reply(
            "302 Welcome",
            "location: /\r\nset-cookie: session=7; path=/; expires=Fri, 31 Dec 2100 23:59:59 GMT\r\n",
            "",
        ),
        "basic" | "digest" | "old-digest" | "both" => challenged(&asked, first),
        "gzip" | "deflate" | "raw-deflate" | "br" | "zstd" | "identity" | "compress" => {
            coded(&asked, first, second)
        }
        "cut" => end("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"),
        "cut-chunked" => {
            end("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n")
        }
        "cut-head" => end("HTTP/1.1 200 OK\r\ncontent-"),
        "until-closed" => end("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello\n"),
        "until-fin" => vec![
            Step::send("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello\n"),
            Step::Fin,
        ],
        "no-answer" => end(""),
        "reset" => vec![Step::Reset],
        "reset-late" => vec![
            Step::send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello"),
            Step::Pause(Duration::from_millis(50)),
            Step::Reset,
        ],
        "garbage" => end("220 mail.example ESMTP\r\n"),
        "two-lengths" => end("HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello\n"),
        "never" => vec![Step::ReadToEnd],
        "slow" => vec![
            Step::send("HTTP/1.1 200 OK\r\ncontent-length: 600\r\n\r\n"),
            Step::ByteByByte(vec![b'x'; 600], Duration::from_millis(100)),
        ],
        _ => asked.ok("content-type: text/plain\r\n", body(&asked)),
    }
}

/// Tells the paths apart.
fn body(asked: &Asked<'_>) -> String {
    format!("{} {}\n", asked.method, asked.path)
}

/// The first digits, the rest, or what lies between.
fn ranges(asked: &Asked<'_>, modified: &str) -> Vec<Step> {
    let fields = format!("accept-ranges: bytes\r\n{modified}");
    let range = asked.field("range").and_then(|field| {
        let (from, to) = field.strip_prefix("bytes=")?.split_once('-')?;
        let to = to.parse().map_or(DIGITS.len(), |last: usize| last + 1);
        match from {
            "" => Some((
                DIGITS.len() - field.rsplit('-').next()?.parse::<usize>().ok()?,
                DIGITS.len(),
            )),
            from => Some((from.parse::<usize>().ok()?, to.min(DIGITS.len()))),
        }
    });
    match range {
        None => asked.ok(&fields, DIGITS),
        Some((from, to)) => match DIGITS.get(from..to).filter(|some| !some.is_empty()) {
            Some(some) => {
                let last = to - 1;
                let fields = format!("{fields}content-range: bytes {from}-{last}/10\r\n");
                asked.reply("206 Partial Content", &fields, some)
            }
            None => asked.reply("416 X", "content-range: bytes */10\r\n", "none\n"),
        },
    }
}

fn challenged(asked: &Asked<'_>, scheme: &str) -> Vec<Step> {
    let digest = "www-authenticate: Digest realm=\"a\", qop=\"auth\", nonce=\"n1\", opaque=\"o\", algorithm=SHA-256\r\n";
    let basic = "www-authenticate: Basic realm=\"a\"\r\n";
    let (fields, wanted) = match scheme {
        "basic" => (basic.to_owned(), "basic"),
        "digest" => (digest.to_owned(), "digest"),
        "old-digest" => (
            "www-authenticate: Digest realm=\"a b\", nonce=\"n1\"\r\n".to_owned(),
            "digest",
        ),
        _ => (format!("{basic}{digest}"), "digest"),
    };
    let is_given = asked
        .field("authorization")
        .is_some_and(|field| field.starts_with(wanted));
    match is_given {
        true => asked.ok("", "welcome\n"),
        false => asked.reply("401 Unauthorized", &fields, "who?\n"),
    }
}

fn coded(asked: &Asked<'_>, coding: &str, what: &str) -> Vec<Step> {
    let (name, body): (&str, &[u8]) = match coding {
        "gzip" => ("gzip", GZIP),
        "deflate" => ("deflate", ZLIB),
        "raw-deflate" => ("deflate", RAW_DEFLATE),
        "br" => ("br", BROTLI),
        "zstd" => ("zstd", ZSTD),
        other => (other, TEXT.as_bytes()),
    };
    let fields = format!("content-encoding: {name}\r\n");
    match what {
        "empty" => asked.ok(&fields, ""),
        "malformed" => asked.ok(&fields, "<p>not compressed</p>"),
        "cut" => {
            let head = format!(
                "HTTP/1.1 200 OK\r\n{fields}content-length: {}\r\n\r\n",
                body.len()
            );
            end([head.as_bytes(), &body[..body.len() - 3]].concat())
        }
        _ => asked.ok(&fields, body),
    }
}
