//! Writes the seeds of the targets that have their input from us: what the tests of the crates send, and the shapes
//! that a fuzzer would take long to find. `cargo run --example seeds` in this folder; the files are committed. Certificates and keys
//! are those of a test bed, made for this and used nowhere.

mod certificates;
mod client;
mod dialogues;

use std::fs;
use std::path::Path;

use handfast_fuzz::frame;
use handfast_http::h2::frame::{flag, kind, setting};
use handfast_http::h2::hpack::encode;
use http::Method;

struct Seeds {
    target: &'static str,
    count: usize,
}

impl Seeds {
    fn new(target: &'static str) -> Self {
        let directory = Path::new("seeds").join(target);
        let _ = fs::remove_dir_all(&directory);
        fs::create_dir_all(&directory).expect("a folder");
        Self { target, count: 0 }
    }

    fn add(&mut self, parts: &[&[u8]]) {
        let path = Path::new("seeds")
            .join(self.target)
            .join(format!("{:02}", self.count));
        fs::write(path, parts.concat()).expect("a file");
        self.count += 1;
    }
}

/// Pieces of 7 bytes.
const CUT: &[u8] = &[1, 7];

fn main() {
    requests();
    responses();
    bodies();
    header_blocks();
    frames();
    http2_requests();
    connections();
    files();
    redirects();
    uploads();
    site_requests();
    dialogues::write();
    client::write();
    certificates::write();
}

fn uploads() {
    let mut seeds = Seeds::new("upload");
    let part = |disposition: &str, content: &str| {
        format!(
            "--b\r\nContent-Disposition: {disposition}\r\nContent-Type: text/plain\r\n\r\n{content}\r\n"
        )
    };
    let forms = [
        part(
            "form-data; name=\"f\"; filename=\"a.txt\"",
            "one\r\n--not\r\n-",
        ),
        part("form-data; name=text", "value") + &part("form-data; name=f; filename=\"\"", ""),
        part(
            "Form-Data; filename=\"C:\\x\\a%22\\\"b.txt\"; name=f",
            "\r\n",
        ),
        part("form-data; name=f; filename=../.x", "x"),
        "--b\r\nContent-Disposition: form-data\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\r\n"
            .to_owned(),
        "preamble\r\n".to_owned(),
    ];
    for form in forms {
        seeds.add(&[&[6, 0], form.as_bytes(), b"--b--\r\nepilogue"]);
    }
    let kind = b" charset=utf-8; Boundary=\"a b\"";
    let count = u8::try_from(kind.len()).expect("a short string");
    seeds.add(&[
        &[0, count],
        kind,
        b"--a b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--a b--",
    ]);
}

fn site_requests() {
    let mut seeds = Seeds::new("site_request");
    let cases: [[&str; 8]; 6] = [
        [
            "/go/**",
            "/$1",
            "/go//evil.example/",
            "a.example",
            "a.example",
            "https://a.example",
            "text/html,*/*;q=0.8",
            "Basic YW5uOnNlY3JldA==",
        ],
        [
            "/private/*",
            "/",
            "/%70rivate//x",
            "x.b.example:8443",
            "X.B.Example.",
            "https://x.b.example:8443",
            "application/json, text/*;q=0",
            "basic  Ojo=",
        ],
        [
            "/**/a*b/c",
            "https://other.example/$1",
            "/x/y/a%2Ab/c/",
            "[::1]:443",
            "",
            "https://[0:0::1]",
            "*/*",
            "Bearer x",
        ],
        [
            "/a/index.html",
            "/b",
            "/a/",
            "127.0.0.1:80",
            "",
            "null",
            "",
            "Basic /////w==",
        ],
        [
            "/*",
            "/x?$1",
            "/.well-known/x",
            "A.EXAMPLE:",
            "a.example",
            "http://a.example",
            "TEXT/HTML ; q=0.5",
            "Basic ",
        ],
        [
            "/x",
            "/y#z",
            "/a/../b%00",
            "b.example",
            "b.example",
            "https://b.example:443",
            ";;q=,,",
            "",
        ],
    ];
    for case in cases {
        let mut seed = Vec::new();
        for (at, text) in case.iter().enumerate() {
            if at < 7 {
                seed.push(u8::try_from(text.len()).expect("a short string"));
            }
            seed.extend_from_slice(text.as_bytes());
        }
        seeds.add(&[&seed]);
    }
}

fn requests() {
    let mut seeds = Seeds::new("http1_request");
    for head in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\nGET /a?b=%20#c HTTP/1.1\nHost: a:8443\n\nGET",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: close, x\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: [::1]:443\r\n\r\n",
        "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n",
        "GET https://a/b HTTP/1.1\r\nHost: a\r\nX: \x7f\r\n folded\r\n\r\n",
        "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        "GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 1, 1\r\n\r\n",
    ] {
        seeds.add(&[CUT, head.as_bytes()]);
    }
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(300));
    seeds.add(&[CUT, long.as_bytes()]);
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "A: b\r\n".repeat(9));
    seeds.add(&[CUT, many.as_bytes()]);
}

fn responses() {
    let mut seeds = Seeds::new("http1_response");
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
        "HTTP/1.1 200\nTransfer-Encoding: chunked\nContent-Length: 4\n\n",
        "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 3, 3\r\n\r\n",
        "\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\tc\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        "HTTP/1.1 999 \u{e9}\r\nbad line\r\n\r\n",
        "HTTP/2 200 OK\r\n\r\n",
        "SSH-2.0-x\r\n",
    ] {
        seeds.add(&[&[0], CUT, head.as_bytes()]);
        seeds.add(&[&[1], CUT, head.as_bytes()]);
    }
}

fn bodies() {
    let mut seeds = Seeds::new("http1_body");
    for body in [
        "3\r\nabc\r\n0\r\n\r\nnext",
        "3;x=\"y\"\r\nabc\r\n00\r\nA: b\r\nC: \r\n\r\n",
        "A \t;\r\n0123456789\r\nffffffffffffffff\r\nx",
        "0\r\nGET / HTTP/1.1\r\n\r\n",
        "3\nabc\r\n0\r\n\r\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "11111111111111111\r\n",
        "0\r\n\rx",
    ] {
        seeds.add(&[&[0], CUT, body.as_bytes()]);
        seeds.add(&[&[2], CUT, body.as_bytes()]);
    }
    seeds.add(&[&[1, 5, 0], CUT, b"hello and more"]);
    seeds.add(&[&[1, 0xff, 0xff], CUT, b"until the end"]);
}

fn header_blocks() {
    let mut seeds = Seeds::new("hpack");
    // RFC 7541, appendix C.4, in three blocks.
    let blocks: [&[u8]; 3] = [
        b"\x82\x86\x84\x41\x8c\xf1\xe3\xc2\xe5\xf2\x3a\x6b\xa0\xab\x90\xf4\xff",
        b"\x82\x86\x84\xbe\x58\x86\xa8\xeb\x10\x64\x9c\xbf",
        b"\x82\x87\x85\xbf\x40\x88\x25\xa8\x49\xe9\x5b\xa9\x7d\x7f\x89\x25\xa8\x49\xe9\x5b\xb8\xe8\xb4\xbf",
    ];
    let mut all = Vec::new();
    for block in blocks {
        all.extend([block.len() as u8, 0]);
        all.extend(block);
    }
    seeds.add(&[&all]);
    for block in [
        &b"\x20\x88\x0f\x0d\x013"[..],
        b"\x3f\xe1\x1f\x40\x01a\x01b\xbe\xbe\xbe",
        b"\x10\x01a\x01b\x1f\x08\x01c",
        b"\x48\x82\x64\x02\x58\x85\xae\xc3\x77\x1a\x4b\x20\x88",
        b"\x7f\x80\x80\x01\x01x",
    ] {
        seeds.add(&[&[block.len() as u8, 0], block, &[1, 0, 0xbe]]);
    }
    let large = [
        &b"\x40\x7f\xa0\x1e"[..],
        &[b'n'; 4000],
        b"\x01v\xbe\xbe\xbe\xbe",
    ]
    .concat();
    seeds.add(&[&(large.len() as u16).to_le_bytes(), &large]);
}

fn all_frames() -> Vec<Vec<u8>> {
    let mut block = Vec::new();
    encode::put_request_line(&mut block, &Method::GET, b"a", b"/");
    let mut settings = setting::INITIAL_WINDOW_SIZE.to_be_bytes().to_vec();
    settings.extend(100u32.to_be_bytes());
    vec![
        frame(kind::SETTINGS, 0, 0, &settings),
        frame(kind::HEADERS, flag::END_HEADERS, 1, &block),
        frame(kind::DATA, 0, 1, b"body"),
        frame(
            kind::DATA,
            flag::PADDED | flag::END_STREAM,
            1,
            b"\x03body\0\0\0",
        ),
        frame(kind::PING, 0, 0, b"12345678"),
        frame(kind::WINDOW_UPDATE, 0, 1, &[0, 0, 1, 0]),
        frame(kind::PRIORITY, 0, 3, &[0, 0, 0, 1, 16]),
        frame(kind::HEADERS, flag::END_STREAM, 3, &block[..2]),
        frame(kind::CONTINUATION, flag::END_HEADERS, 3, &block[2..]),
        frame(kind::RST_STREAM, 0, 3, &[0, 0, 0, 8]),
        frame(kind::DATA, flag::END_STREAM, 1, b""),
        frame(11, 0xff, 5, b"unknown"),
        frame(kind::GOAWAY, 0, 0, &[0; 12]),
    ]
}

fn frames() {
    let mut seeds = Seeds::new("frames");
    let frames = all_frames();
    seeds.add(&[CUT, &frames.concat()]);
    for one in &frames {
        seeds.add(&[CUT, one, &frames[2], one]);
    }
    seeds.add(&[CUT, b"\0\x40\x01\x00\0\0\0\0\x01"]);
    seeds.add(&[CUT, &frame(kind::DATA, flag::PADDED, 1, b"")]);
    seeds.add(&[CUT, &frame(kind::DATA, flag::PADDED, 1, b"\x09x")]);
}

fn http2_requests() {
    let mut seeds = Seeds::new("http2_request");
    let field = |name: u8, value: &str| [&[name, value.len() as u8], value.as_bytes()].concat();
    let usual = [
        field(0, "GET"),
        field(1, "https"),
        field(2, "a:8443"),
        field(3, "/x?y"),
    ]
    .concat();
    seeds.add(&[&usual]);
    for more in [
        vec![field(4, "A:8443")],
        vec![field(4, "b")],
        vec![field(5, "7"), field(11, "100-continue")],
        vec![field(5, "7"), field(5, "7")],
        vec![field(6, "a=b"), field(6, "c=d"), field(7, "trailers")],
        vec![field(8, "close")],
        vec![field(9, "chunked"), field(12, "200")],
        vec![field(15, " x")],
        vec![field(2, "user@a")],
    ] {
        seeds.add(&[&usual, &more.concat()]);
    }
    seeds.add(&[&field(0, "CONNECT"), &field(2, "a:1")]);
    seeds.add(&[
        &field(0, "OPTIONS"),
        &field(1, "http"),
        &field(3, "*"),
        &field(4, "a"),
    ]);
    seeds.add(&[
        &field(0, "GET"),
        &field(1, "https"),
        &field(3, "/"),
        &field(4, "a b"),
    ]);
}

/// A step of a script: the operation, and its arguments.
fn step(op: u8, a: u8, b: u16) -> [u8; 4] {
    let [low, high] = b.to_le_bytes();
    [op, a, low, high]
}

fn connections() {
    let scripts: Vec<Vec<[u8; 4]>> = vec![
        // A request, a reply that waits for windows, updates, a slow end.
        vec![
            step(6, 0, 10),
            step(0, 0, 0x0102),
            step(18, 0, 5000),
            step(19, 9, 0),
            step(4, 0, 200),
            step(19, 9, 0),
            step(17, 255, 200),
            step(5, 0, 0x8001),
            step(4, 0, 0x7fff),
            step(19, 9, 0),
            step(21, 0, 0xffff),
        ],
        // Bodies, releases, trailers, a reset.
        vec![
            step(0, 0, 0),
            step(18, 2, 300),
            step(2, 0, 1000),
            step(22, 40, 1000),
            step(16, 0, 5),
            step(0, 0, 0),
            step(18, 2, 300),
            step(9, 0, 8),
            step(23, 3, 0),
            step(12, 0, 0x0012),
        ],
        // Winding up, the last call answered, requests beyond.
        vec![
            step(0, 0, 0x0102),
            step(24, 0, 0),
            step(0, 0, 0x0102),
            step(8, 0, 0x0100),
            step(0, 0, 0),
            step(2, 0, 10),
            step(18, 1, 10),
            step(19, 5, 0),
            step(25, 0, 0),
        ],
        // Resets with replies begun and no window, again and again.
        (0..40)
            .flat_map(|_| {
                [
                    step(0, 0, 0x0102),
                    step(18, 0, 16_000),
                    step(19, 9, 0),
                    step(21, 0, 0xffff),
                    step(9, 0, 8),
                ]
            })
            .collect(),
        // Everything that is little.
        vec![
            step(8, 200, 0),
            step(11, 0, 3),
            step(7, 0x13, 9),
            step(10, 0, 0),
            step(15, 3, 2),
            step(14, 0, 0),
            step(1, 210, 0xff10),
            step(20, 3, 0),
        ],
    ];
    for target in ["http2_server", "http2_client"] {
        let mut seeds = Seeds::new(target);
        for script in &scripts {
            seeds.add(&[&[5, 0, 0, 0], &script.concat()]);
            seeds.add(&[&[0, 9, 0, 0], &step(23, 7, 0), &script.concat()]);
        }
    }
}

fn files() {
    let mut seeds = Seeds::new("file_request");
    let field = |name: u8, value: &str| [&[name, value.len() as u8], value.as_bytes()].concat();
    let path = |text: &str| [&[text.len() as u8], text.as_bytes()].concat();
    let head = [0, 10, 0, 0, 0x55, 0x65, 0, 0];
    for (text, fields) in [
        ("/a/b%20c.txt", vec![field(0, "bytes=0-3")]),
        (
            "/..%2f..%2fetc/passwd",
            vec![field(0, "bytes=-3"), field(1, "@")],
        ),
        (
            "/.well-known/x/",
            vec![field(0, "bytes=5-"), field(1, "W/@")],
        ),
        ("/%2e%2e/", vec![field(2, "@"), field(3, "\"a,b\", W/@")]),
        ("//a\\b", vec![field(2, "\"x\""), field(3, "*")]),
        (
            "/%5c%00",
            vec![
                field(4, "Sun, 06 Nov 1994 08:49:37 GMT"),
                field(5, "Thu, 01 Jan 1970 00:00:00 GMT"),
            ],
        ),
        (
            "/",
            vec![
                field(0, "bytes=99999999999999999999-"),
                field(0, "bytes=0-0,2-3"),
            ],
        ),
    ] {
        seeds.add(&[&head, &path(text), &fields.concat()]);
    }
}

fn redirects() {
    let mut seeds = Seeds::new("redirect");
    for (choice, url, location) in [
        (0, "https://a.example/dir/page?q#frag", "other"),
        (
            6,
            "https://al%20ice:s3cret@example.org:8443/a?b#c",
            "//b.example/x",
        ),
        (9, "https://[::1]/", "https://u:p@[::1]:8443/\u{e9}"),
        (12, "https://EXAMPLE.org.:443", "?x#y"),
        (13, "https://a/%00|x", "http://a.example/"),
        (17, "ftp://u:p@h/", "file:///etc/passwd"),
        (1, "https://0x7f.1/", "https://[nonsense"),
        (2, "https://b\u{fc}cher.example/\u{fc}", "\\\\evil\\x"),
    ] {
        seeds.add(&[
            &[choice, url.len() as u8],
            url.as_bytes(),
            location.as_bytes(),
        ]);
    }
}
