//! `--compressed` and `--max-filesize`: what is broken, and what is too large.

use handfast_testbed::misbehaving::Step;

use super::code;
use crate::common::Fixture;

const GZIP: &[u8] = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\xcb\x48\xcd\xc9\xc9\xd7\x51\xc8\x40\xa2\xb8\x00\xe7\x42\x6e\x52\x14\x00\x00\x00";

fn reply(coding: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-encoding: {coding}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
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
