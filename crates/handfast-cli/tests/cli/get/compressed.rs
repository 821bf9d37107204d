//! `--compressed` and `--max-filesize`: every coding, whole, cut and broken, beside curl.

use handfast_testbed::launch::Program;
use handfast_testbed::misbehaving::Step;

use super::code;
use crate::common::Fixture;

const TEXT: &str = "hello, hello, hello\n";

const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\xd7\x51\xc8\x40\xa2\xb8\x00\xe7\x42\x6e\x52\x14\x00\x00\x00";
const ZLIB: &[u8] = b"\x78\x9c\xcb\x48\xcd\xc9\xc9\xd7\x51\xc8\x40\xa2\xb8\x00\x4b\x07\x06\xdf";
const RAW_DEFLATE: &[u8] = b"\xcb\x48\xcd\xc9\xc9\xd7\x51\xc8\x40\xa2\xb8\x00";
/// As it is, in one meta-block, and the empty last one.
const BROTLI: &[u8] = b"\x30\x01\x10hello, hello, hello\n\x03";
const ZSTD: &[u8] =
    b"\x28\xb5\x2f\xfd\x24\x14\x75\x00\x00\x40hello, \x0a\x01\x00\xe2\x8a\x11\x21\x69\x9d\x87";

const CODINGS: [(&str, &[u8]); 5] = [
    ("gzip", GZIP),
    ("deflate", ZLIB),
    ("deflate", RAW_DEFLATE),
    ("br", BROTLI),
    ("zstd", ZSTD),
];

fn reply(coding: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// What a response is for `get --compressed`, and for curl: exit code and output. `None` without curl.
fn both(fixture: &Fixture, args: &[&str], reply: &[u8]) -> Option<[(i32, String); 2]> {
    let curl = Program::new("curl")?
        .args(["-q", "-sS", "--cacert"])
        .arg(&fixture.ca);
    let ours = fixture.program("get").args(fixture.trust());
    Some([ours, curl].map(|program| {
        let server = fixture.misbehaving().serve([
            Step::ReadHead,
            Step::send(reply),
            Step::CloseNotify,
            Step::Fin,
        ]);
        let finished = program.args(args).arg(server.url("/")).run();
        (code(&finished), finished.out())
    }))
}

#[test]
fn bodies_are_decoded_as_by_curl() {
    let fixture = Fixture::new();
    for (coding, body) in CODINGS {
        for (what, reply, expected) in [
            ("whole", reply(coding, body), 0),
            ("empty", reply(coding, b""), 0),
            ("malformed", reply(coding, b"<p>not compressed</p>"), 61),
            (
                "cut off by the connection",
                reply(coding, body)[..reply(coding, body).len() - 3].to_vec(),
                18,
            ),
        ] {
            let Some([ours, curl]) = both(&fixture, &["--compressed"], &reply) else {
                return;
            };
            assert_eq!(ours.0, expected, "{coding}, {what}");
            // curl says 23 where nothing of it could be written.
            let same = curl.0 == ours.0 || expected == 61 && curl.0 == 23;
            assert!(same, "{coding}, {what}: {curl:?}");
            if expected == 0 {
                assert_eq!(ours.1, curl.1, "{coding}, {what}");
                assert_eq!(ours.1, if what == "empty" { "" } else { TEXT });
            }
        }
        // Without the option it is passed through.
        let file = fixture.directory().join("raw");
        let server = fixture
            .misbehaving()
            .serve([Step::ReadHead, Step::send(reply(coding, body))]);
        let finished = fixture.get(["-o".as_ref(), file.as_os_str(), server.url("/").as_ref()]);
        assert_eq!(code(&finished), 0, "{finished}");
        assert_eq!(std::fs::read(&file).unwrap(), body);
    }
    for (args, reply, expected) in [
        (&["--compressed"][..], reply("identity", b"as it is"), 0),
        (&["--compressed"], reply("compress", b"\x1f\x9d"), 61),
        (&["--compressed", "-i"], reply("gzip", GZIP), 0),
        (&["--max-filesize", "29"], reply("gzip", GZIP), 63),
        (&["--max-filesize", "1k"], reply("identity", b"small"), 0),
    ] {
        let Some([ours, curl]) = both(&fixture, args, &reply) else {
            return;
        };
        assert_eq!(ours.0, expected, "{args:?}: {}", ours.1);
        assert_eq!(ours.0, curl.0, "{args:?}");
        assert_eq!(ours.1.to_lowercase(), curl.1.to_lowercase(), "{args:?}");
    }
}

#[test]
fn what_is_broken_gets_no_name_and_says_what_it_is() {
    let fixture = Fixture::new();
    let chunked = |rest: &str| {
        let head =
            "HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n";
        let chunk = [format!("{:x}\r\n", GZIP.len()).as_bytes(), GZIP, b"\r\n"].concat();
        [head.as_bytes(), &chunk, rest.as_bytes()].concat()
    };
    // 100 MiB of zeros, as zstd makes them: blocks that repeat a byte.
    let mut bomb = b"\x28\xb5\x2f\xfd\x00\x58".to_vec();
    for number in 0..800_u32 {
        let header = (128 << 10) << 3 | 1 << 1 | u32::from(number == 799);
        bomb.extend_from_slice(&header.to_le_bytes()[..3]);
        bomb.push(0);
    }
    for (args, reply, expected, id) in [
        (&[][..], chunked("0\r\n\r\n"), 0, ""),
        // The coded content is complete; the body is not.
        (&[], chunked(""), 18, "[truncated]"),
        (
            &[],
            reply("gzip", &GZIP[..20]),
            61,
            "[broken-content-coding]",
        ),
        (&[], reply("lzma", b"x"), 61, "[unsupported-content-coding]"),
        (&[], reply("zstd", &bomb), 63, "[decompression-bomb]"),
        (&["--max-filesize", "100M"], reply("zstd", &bomb), 0, ""),
        (
            &["--max-filesize", "99M"],
            reply("zstd", &bomb),
            63,
            "[response-too-large]",
        ),
        (
            &["--max-filesize", "19"],
            chunked("0\r\n\r\n"),
            63,
            "[response-too-large]",
        ),
    ] {
        let server =
            fixture
                .misbehaving()
                .serve([Step::ReadHead, Step::send(reply), Step::CloseNotify]);
        let file = fixture.directory().join("file");
        let name = file.display().to_string();
        let url = server.url("/");
        let finished = fixture.get([&["--compressed", "-o", &name, &url], args].concat());
        assert_eq!(code(&finished), expected, "{id}: {finished}");
        assert!(finished.err().contains(id), "{finished}");
        assert_eq!(file.exists(), expected == 0, "{finished}");
        let _ = std::fs::remove_file(&file);
    }
}
