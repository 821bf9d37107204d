//! What is asked: each request as it is sent, and as it is shown.
//!
//! `{etag}` and `{modified}` stand for what the server said of `/a.txt` before.

/// A request, or what is sent in place of one.
pub(super) struct Asked {
    pub(super) group: &'static str,
    pub(super) text: Vec<u8>,
    /// For people, on one line.
    pub(super) shown: String,
}

const PATHS: &str = "Paths";
const METHODS: &str = "Methods";
const DIRECTORIES: &str = "Directories and redirects";
const TYPES: &str = "Media types";
const RANGES: &str = "Ranges";
const CONDITIONS: &str = "Conditions";
const ENCODINGS: &str = "Encodings";
const HOSTS: &str = "Hosts";
const HEADS: &str = "Heads";
const BODIES: &str = "Bodies";

/// A request of a method for a target, with these fields besides Host.
fn ask(group: &'static str, method: &str, target: &str, fields: &[&str]) -> Asked {
    let mut text =
        format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n");
    let mut shown = format!("{method} {}", shortened(target));
    for field in fields {
        text.push_str(&format!("{field}\r\n"));
        shown.push_str(&format!("; {}", shortened(field)));
    }
    text.push_str("\r\n");
    Asked {
        group,
        text: text.into_bytes(),
        shown,
    }
}

/// Something that is sent as it is.
fn raw(group: &'static str, text: impl AsRef<[u8]>) -> Asked {
    let text = text.as_ref().to_vec();
    let shown = text.escape_ascii().to_string();
    // What is the same everywhere is not shown.
    let shown = shown.replace("\\r\\nHost: localhost\\r\\nConnection: close", "");
    Asked {
        group,
        shown: shortened(&shown),
        text,
    }
}

fn shortened(text: &str) -> String {
    const MOST: usize = 100;
    let escaped: String = text.chars().flat_map(char::escape_debug).collect();
    let escaped = escaped
        .replace("\\\\", "\\")
        .replace("\\\"", "\"")
        .replace("\\'", "'");
    match escaped.chars().count() > MOST {
        true => {
            let start: String = escaped.chars().take(MOST).collect();
            format!("{start}... ({} bytes)", text.len())
        }
        false => escaped,
    }
}

/// All of them.
pub(super) fn all() -> Vec<Asked> {
    let mut all = Vec::new();
    all.extend(paths());
    all.extend(methods());
    all.extend(directories());
    all.extend(types());
    all.extend(ranges());
    all.extend(conditions());
    all.extend(encodings());
    all.extend(hosts());
    all.extend(heads());
    all.extend(bodies());
    all
}

fn paths() -> Vec<Asked> {
    let long = format!("/{}", "x".repeat(300));
    let longest = format!("/{}", "x".repeat(5_000));
    let deep = "/dir".repeat(200);
    let targets = [
        "/a.txt",
        "//a.txt",
        "///a.txt",
        "/./a.txt",
        "/dir/../a.txt",
        "/dir/./b.txt",
        "/dir//b.txt",
        "/../a.txt",
        "/dir/../../a.txt",
        "/%2e%2e/a.txt",
        "/dir/%2e%2e/a.txt",
        "/..%2fa.txt",
        "/dir%2fb.txt",
        "/dir%2Fb.txt",
        "/%61.txt",
        "/a%2etxt",
        "/a%2Etxt",
        "/a.txt%00",
        "/a.txt%00.html",
        "/a.txt%0a",
        "/a.txt%20",
        "/a.txt/",
        "/a.txt//",
        "/a.txt/x",
        "/a.txt/..",
        "/a.txt/../a.txt",
        "/A.TXT",
        "/missing",
        "/missing/",
        "/dir/missing",
        "/missing/b.txt",
        "/empty",
        "/with%20space.txt",
        "/with+plus.txt",
        "/with%2bplus.txt",
        "/%C3%BCml%C3%A4ut.txt",
        "/%c3%bcml%c3%a4ut.txt",
        "/percent%25.txt",
        "/percent%.txt",
        "/a.txt?",
        "/a.txt?x=1",
        "/a.txt?x=1&y=../..",
        "/a.txt?%zz",
        "/a.txt?a?b",
        "/?",
        "/?x",
        "/a.txt#fragment",
        "/a.txt;x=1",
        "/;x",
        "/.hidden",
        "/.hidden/x",
        "/dir/.secret",
        "/%2ehidden",
        "/.well-known/x",
        "/link.txt",
        "/linkdir/b.txt",
        "/out.txt",
        "/dangling",
        "/a\\b",
        "/a%5cb",
        "/%",
        "/%2",
        "/%zz",
        "/a%zz.txt",
        "/~",
        "/..",
        "/../",
        "/...",
        "/.../a.txt",
        "/%2f",
        "/%2fa.txt",
        "/%2e",
        "/*",
        "/a.txt%c0%af",
        "/%ff",
        "/\u{fc}mlaut.txt",
        "https://localhost/a.txt",
        "http://localhost/a.txt",
        "HTTPS://LOCALHOST/a.txt",
        "https://localhost",
        "ftp://localhost/a.txt",
        "localhost/a.txt",
        "a.txt",
        "?x",
        "*",
        "/a.txt\"",
        "/a.txt|",
        "/a.txt^",
        "/<a>",
        "/{a}",
        "/a`b",
        &long,
        &longest,
        &deep,
    ];
    targets
        .iter()
        .map(|target| ask(PATHS, "GET", target, &[]))
        .collect()
}

fn methods() -> Vec<Asked> {
    let mut all = Vec::new();
    for method in [
        "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "FOO", "get",
        "Get",
    ] {
        for target in ["/a.txt", "/dir/", "/missing"] {
            all.push(ask(METHODS, method, target, &["Content-Length: 0"]));
        }
    }
    all.push(ask(METHODS, "HEAD", "/dir", &[]));
    all.push(ask(METHODS, "HEAD", "/empty", &[]));
    all.push(ask(
        METHODS,
        "HEAD",
        "/page.html",
        &["Accept-Encoding: gzip"],
    ));
    all.push(ask(METHODS, "OPTIONS", "*", &[]));
    all.push(ask(METHODS, "CONNECT", "localhost:443", &[]));
    all.push(ask(METHODS, "CONNECT", "/a.txt", &[]));
    all.push(ask(
        METHODS,
        "GET",
        "/a.txt",
        &["X-HTTP-Method-Override: DELETE"],
    ));
    all
}

fn directories() -> Vec<Asked> {
    let targets = [
        "/",
        "/dir",
        "/dir/",
        "/dir//",
        "//dir",
        "//dir/",
        "/dir?x=1",
        "/dir?",
        "/dir/?x=1",
        "/indexed",
        "/indexed/",
        "/indexed/index.html",
        "/dir/sub",
        "/dir/sub/",
        "/with%20space",
        "/%C3%BCdir",
        "/dir%3fx",
        "/linkdir",
        "/linkdir/",
        "/dir/../dir",
        "/./dir",
        "//localhost/dir",
        "//example.org/..",
        "/old",
        "/old?x=1",
        "/old/",
        "/OLD",
        "//old",
        "/%6fld",
        "/dir;x",
        "/dir/.",
        "/dir/..",
        "/empty-dir",
        "/empty-dir/",
        "/index.html/",
    ];
    targets
        .iter()
        .map(|target| ask(DIRECTORIES, "GET", target, &[]))
        .collect()
}

fn types() -> Vec<Asked> {
    let names = [
        "t.html",
        "t.htm",
        "t.css",
        "t.js",
        "t.mjs",
        "t.json",
        "t.xml",
        "t.svg",
        "t.png",
        "t.jpg",
        "t.gif",
        "t.webp",
        "t.avif",
        "t.ico",
        "t.woff",
        "t.woff2",
        "t.wasm",
        "t.pdf",
        "t.mp4",
        "t.webm",
        "t.mp3",
        "t.zip",
        "t.tar.gz",
        "t.md",
        "t.csv",
        "t.webmanifest",
        "t.unknown",
        "t",
        "T.HTML",
        "latin1.txt",
        "utf8.txt",
    ];
    names
        .iter()
        .map(|name| ask(TYPES, "GET", &format!("/types/{name}"), &[]))
        .collect()
}

fn ranges() -> Vec<Asked> {
    let many = format!("Range: bytes={}", ["0-0"; 100].join(","));
    let mut all: Vec<_> = [
        "bytes=0-0",
        "bytes=0-",
        "bytes=0-9",
        "bytes=-1",
        "bytes=-0",
        "bytes=-5000",
        "bytes=90-",
        "bytes=99-",
        "bytes=100-",
        "bytes=99-200",
        "bytes=0-99",
        "bytes=0-1000000000000000000000",
        "bytes=5-2",
        "bytes=abc",
        "bytes=",
        "bytes",
        "bytes=-",
        "bytes=0",
        "bytes= 0-1",
        "bytes=0 - 1",
        "Bytes=0-1",
        "BYTES=0-1",
        "lines=0-1",
        "bytes=0-1,3-4",
        "bytes=0-1, 3-4",
        "bytes=3-4,0-1",
        "bytes=0-4,2-6",
        "bytes=0-1,200-",
        "bytes=200-,300-",
        "bytes=0-1,x",
        "bytes=,0-1",
        "bytes=0-1,",
        "bytes=-1,0-0",
        "bytes=0-0,-1",
        "bytes=+0-1",
        "bytes=0x0-0x1",
    ]
    .iter()
    .map(|range| ask(RANGES, "GET", "/a.txt", &[&format!("Range: {range}")]))
    .collect();
    let one = "Range: bytes=0-1";
    all.extend([
        ask(RANGES, "GET", "/a.txt", &[&many]),
        ask(RANGES, "HEAD", "/a.txt", &[one]),
        ask(RANGES, "HEAD", "/a.txt", &["Range: bytes=200-"]),
        ask(RANGES, "GET", "/empty", &["Range: bytes=0-"]),
        ask(RANGES, "GET", "/empty", &["Range: bytes=-1"]),
        ask(RANGES, "GET", "/dir/", &[one]),
        ask(RANGES, "GET", "/indexed/", &[one]),
        ask(RANGES, "GET", "/missing", &[one]),
        ask(RANGES, "GET", "/dir", &[one]),
        ask(RANGES, "POST", "/a.txt", &[one, "Content-Length: 0"]),
        ask(RANGES, "GET", "/page.html", &[one, "Accept-Encoding: gzip"]),
        ask(RANGES, "GET", "/long.txt", &[one, "Accept-Encoding: gzip"]),
        ask(RANGES, "GET", "/a.txt", &[one, "Range: bytes=3-4"]),
        ask(RANGES, "GET", "/a.txt", &[one, "If-Range: {etag}"]),
        ask(RANGES, "GET", "/a.txt", &[one, "If-Range: W/{etag}"]),
        ask(RANGES, "GET", "/a.txt", &[one, "If-Range: \"other\""]),
        ask(RANGES, "GET", "/a.txt", &[one, "If-Range: {modified}"]),
        ask(
            RANGES,
            "GET",
            "/a.txt",
            &[one, "If-Range: Mon, 01 Jan 2001 00:00:00 GMT"],
        ),
        ask(
            RANGES,
            "GET",
            "/a.txt",
            &[one, "If-Range: Thu, 01 Jan 2037 00:00:00 GMT"],
        ),
        ask(RANGES, "GET", "/a.txt", &[one, "If-Range: nonsense"]),
        ask(RANGES, "GET", "/a.txt", &[one, "If-None-Match: {etag}"]),
        ask(RANGES, "GET", "/a.txt", &[one, "If-Match: \"other\""]),
        ask(
            RANGES,
            "GET",
            "/a.txt",
            &["Range: bytes=200-", "If-Range: \"other\""],
        ),
    ]);
    all
}

fn conditions() -> Vec<Asked> {
    let (past, future) = (
        "Mon, 01 Jan 2001 00:00:00 GMT",
        "Thu, 01 Jan 2037 00:00:00 GMT",
    );
    let one = |field: &str, value: &str| {
        ask(CONDITIONS, "GET", "/a.txt", &[&format!("{field}: {value}")])
    };
    let two = |first: &str, second: &str| ask(CONDITIONS, "GET", "/a.txt", &[first, second]);
    let mut all = Vec::new();
    for value in [
        "{etag}",
        "W/{etag}",
        "\"other\"",
        "W/\"other\"",
        "*",
        "\"x\", {etag}",
        "{etag}, \"x\"",
        "\"x\",{etag},\"y\"",
        "\"a,b\", {etag}",
        "nonsense",
        "\"\"",
        "",
        "\"unclosed",
        "*, {etag}",
        "w/{etag}",
    ] {
        all.push(one("If-None-Match", value));
        all.push(one("If-Match", value));
    }
    for value in [
        "{modified}",
        past,
        future,
        "nonsense",
        "",
        "0",
        "Monday, 01-Jan-01 00:00:00 GMT",
        "Mon Jan  1 00:00:00 2001",
        "Thursday, 01-Jan-37 00:00:00 GMT",
        "Thu Jan  1 00:00:00 2037",
        "Mon, 01 Jan 2001 00:00:00",
        "Mon, 01 Jan 2001 00:00:00 +0100",
    ] {
        all.push(one("If-Modified-Since", value));
        all.push(one("If-Unmodified-Since", value));
    }
    let since_past = format!("If-Modified-Since: {past}");
    all.extend([
        two("If-None-Match: \"other\"", "If-Modified-Since: {modified}"),
        two("If-None-Match: {etag}", &since_past),
        two(
            "If-Match: {etag}",
            "If-Unmodified-Since: Mon, 01 Jan 2001 00:00:00 GMT",
        ),
        two("If-Match: {etag}", "If-None-Match: {etag}"),
        two("If-Match: \"other\"", "If-None-Match: {etag}"),
        two("If-None-Match: \"x\"", "If-None-Match: {etag}"),
        ask(CONDITIONS, "HEAD", "/a.txt", &["If-None-Match: {etag}"]),
        ask(CONDITIONS, "HEAD", "/a.txt", &["If-Match: \"other\""]),
        ask(
            CONDITIONS,
            "HEAD",
            "/a.txt",
            &["If-Modified-Since: {modified}"],
        ),
        ask(CONDITIONS, "GET", "/missing", &["If-None-Match: *"]),
        ask(CONDITIONS, "GET", "/missing", &["If-Match: *"]),
        ask(CONDITIONS, "GET", "/dir", &["If-None-Match: *"]),
        ask(CONDITIONS, "GET", "/dir/", &["If-None-Match: *"]),
        ask(
            CONDITIONS,
            "GET",
            "/dir/",
            &["If-Modified-Since: Thu, 01 Jan 2037 00:00:00 GMT"],
        ),
        ask(
            CONDITIONS,
            "POST",
            "/a.txt",
            &["If-Match: \"other\"", "Content-Length: 0"],
        ),
    ]);
    all
}

fn encodings() -> Vec<Asked> {
    let mut all = Vec::new();
    for target in ["/page.html", "/long.txt", "/a.txt", "/image.png"] {
        for value in [
            "gzip",
            "identity",
            "gzip;q=0",
            "gzip;q=0.0",
            "gzip; q=0.001",
            "*",
            "*;q=0",
            "identity;q=0",
            "gzip, identity;q=0",
            "",
            "x-gzip",
            "GZIP",
            "deflate",
            "gzip;q=x",
            "gzip;q=2",
        ] {
            all.push(ask(
                ENCODINGS,
                "GET",
                target,
                &[&format!("Accept-Encoding: {value}")],
            ));
        }
    }
    all.extend([
        ask(ENCODINGS, "GET", "/page.html", &[]),
        ask(
            ENCODINGS,
            "GET",
            "/page.html",
            &["Accept-Encoding: identity", "Accept-Encoding: gzip"],
        ),
        ask(ENCODINGS, "GET", "/page.html.gz", &[]),
        ask(
            ENCODINGS,
            "GET",
            "/page.html.gz",
            &["Accept-Encoding: gzip"],
        ),
        ask(ENCODINGS, "GET", "/indexed/", &["Accept-Encoding: gzip"]),
        ask(ENCODINGS, "GET", "/missing", &["Accept-Encoding: gzip"]),
        ask(ENCODINGS, "GET", "/page.html", &["Accept: image/png"]),
        ask(
            ENCODINGS,
            "GET",
            "/page.html",
            &["TE: gzip", "Accept-Encoding: gzip"],
        ),
    ]);
    all
}

fn hosts() -> Vec<Asked> {
    let long = "x".repeat(300);
    let hosts = [
        "localhost",
        "LOCALHOST",
        "localhost:443",
        "localhost:1",
        "localhost:",
        "localhost:x",
        "localhost:99999",
        "localhost.",
        "b.example",
        "B.EXAMPLE:443",
        "unknown.example",
        "127.0.0.1",
        "[::1]",
        "[::1",
        "::1",
        "",
        " ",
        "local host",
        "localhost/a",
        "user@localhost",
        "localhost?x",
        "local_host",
        "l\u{f6}calhost",
        "localhost,b.example",
        "..",
        "-",
        "%6cocalhost",
        &long,
    ];
    let mut all: Vec<_> = hosts
        .iter()
        .map(|host| {
            let text = format!("GET /a.txt HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            Asked {
                group: HOSTS,
                text: text.into_bytes(),
                shown: format!("GET /a.txt, Host: {}", shortened(host)),
            }
        })
        .collect();
    all.extend([
        raw(HOSTS, "GET /a.txt HTTP/1.1\r\nConnection: close\r\n\r\n"),
        raw(HOSTS, "GET /a.txt HTTP/1.0\r\n\r\n"),
        raw(HOSTS, "GET /a.txt HTTP/1.0\r\nHost: b.example\r\n\r\n"),
        raw(HOSTS, "GET /a.txt HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        raw(HOSTS, "GET /a.txt HTTP/1.1\r\nHost: localhost\r\nHost: b.example\r\nConnection: close\r\n\r\n"),
        raw(HOSTS, "GET https://b.example/a.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
        raw(HOSTS, "GET https://localhost/a.txt HTTP/1.1\r\nHost: b.example\r\nConnection: close\r\n\r\n"),
        raw(HOSTS, "GET https://localhost:1/a.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"),
    ]);
    all
}

fn heads() -> Vec<Asked> {
    let head = |line: &str, rest: &str| {
        let text = format!("{line}\r\nHost: localhost\r\nConnection: close\r\n{rest}\r\n");
        raw(HEADS, text)
    };
    let get = |rest: &str| head("GET /a.txt HTTP/1.1", rest);
    let many = "A: b\r\n".repeat(200);
    let long = format!("A: {}\r\n", "x".repeat(10_000));
    let longest = format!("A: {}\r\n", "x".repeat(100_000));
    let mut all = vec![
        raw(
            HEADS,
            "GET /a.txt HTTP/1.1\nHost: localhost\nConnection: close\n\n",
        ),
        raw(
            HEADS,
            "\r\nGET /a.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        ),
        raw(
            HEADS,
            "\r\n\r\n\r\nGET /a.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        ),
        raw(
            HEADS,
            " GET /a.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        ),
        raw(HEADS, "GET /a.txt\r\n"),
        raw(HEADS, "GET\r\n\r\n"),
        raw(HEADS, "\r\n\r\n"),
        raw(
            HEADS,
            "GET /a.txt HTTP/1.1\r\nHost: localhost\r\n\r\nGET /empty HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        ),
        raw(HEADS, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        raw(HEADS, [0_u8, 1, 2, 3, 255, 254, 13, 10, 13, 10]),
    ];
    for line in [
        "GET /a.txt HTTP/1.0",
        "GET /a.txt HTTP/1.2",
        "GET /a.txt HTTP/1.9",
        "GET /a.txt HTTP/2.0",
        "GET /a.txt HTTP/3.0",
        "GET /a.txt HTTP/0.9",
        "GET /a.txt HTTP/1",
        "GET /a.txt HTTP/11",
        "GET /a.txt HTTP/1.10",
        "GET /a.txt http/1.1",
        "GET /a.txt HTTPS/1.1",
        "GET  /a.txt HTTP/1.1",
        "GET /a.txt  HTTP/1.1",
        "GET\t/a.txt HTTP/1.1",
        "GET /a.txt HTTP/1.1 ",
        "GET /a.txt HTTP/1.1 x",
        "GET /a txt HTTP/1.1",
        "GET /a\ttxt HTTP/1.1",
        "G\u{e9}T /a.txt HTTP/1.1",
        "GET: /a.txt HTTP/1.1",
        "GE(T /a.txt HTTP/1.1",
        "GET /a.txt\u{0}x HTTP/1.1",
        "GET /a.txt\u{7f} HTTP/1.1",
    ] {
        all.push(head(line, ""));
    }
    for rest in [
        "A : b\r\n",
        " A: b\r\n",
        "A: b\r\n c\r\n",
        "A\r\n",
        ": b\r\n",
        "A:\r\n",
        "A:b\r\n",
        "A: \t b \t\r\n",
        "A: b\u{0}c\r\n",
        "A: b\u{1}c\r\n",
        "A: b\rc\r\n",
        "A: b\u{7f}c\r\n",
        "A: \u{fc}\r\n",
        "\u{c4}: b\r\n",
        "A(: b\r\n",
        "A_B: c\r\n",
        "A.B: c\r\n",
        "A B: c\r\n",
        "A: b\n",
        &many,
        &long,
        &longest,
        "Expect: 100-continue\r\n",
        "Expect: other\r\n",
        "Upgrade: h2c\r\n",
        "Upgrade: websocket\r\n",
        "Connection: keep-alive\r\n",
        "Cookie: a=b\r\nCookie: c=d\r\n",
        "Authorization: Basic eDp5\r\n",
        "Max-Forwards: 0\r\n",
        "X-Forwarded-For: 1.2.3.4\r\n",
    ] {
        all.push(get(rest));
    }
    all
}

fn bodies() -> Vec<Asked> {
    let post = |fields: &str, body: &str| {
        let text = format!(
            "GET /a.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n{body}"
        );
        raw(BODIES, text)
    };
    vec![
        post("Content-Length: 5\r\n", "hello"),
        post("Content-Length: 0\r\n", ""),
        post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello"),
        post("Content-Length: 5\r\nContent-Length: 6\r\n", "hello!"),
        post("Content-Length: 5, 5\r\n", "hello"),
        post("Content-Length: -1\r\n", ""),
        post("Content-Length: +5\r\n", "hello"),
        post("Content-Length: 0x5\r\n", "hello"),
        post("Content-Length: 5x\r\n", "hello"),
        post("Content-Length: 99999999999999999999\r\n", ""),
        post("Content-Length:\r\n", ""),
        post("Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n0\r\n\r\n"),
        post(
            "Transfer-Encoding: chunked\r\n",
            "5;x=y\r\nhello\r\n0\r\nA: b\r\n\r\n",
        ),
        post("Transfer-Encoding: chunked\r\n", "x\r\nhello\r\n0\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "5\nhello\n0\n\n"),
        post("Transfer-Encoding: chunked\r\n", "-1\r\n\r\n"),
        post("Transfer-Encoding: chunked\r\n", "ffffffffffffffffff\r\n"),
        post("Transfer-Encoding: Chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: identity\r\n", ""),
        post("Transfer-Encoding: gzip, chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding: chunked, gzip\r\n", ""),
        post("Transfer-Encoding: xchunked\r\n", ""),
        post(
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "0\r\n\r\n",
        ),
        post(
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "0\r\n\r\n",
        ),
        post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
        post("Transfer-Encoding:\r\n", ""),
        raw(
            BODIES,
            "GET /a.txt HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
    ]
}
