//! What servers send to a client besides heads and bodies: coded content, cookies, challenges; and URLs that users type.

use crate::{CUT, Seeds};

pub(crate) fn write() {
    contents();
    cookies();
    challenges();
    globs();
}

fn contents() {
    let mut seeds = Seeds::new("decoding");
    let text = b"one line\nanother line\nand another line\n".repeat(4);
    for coding in 0..8 {
        seeds.add(&[&[coding, 20, 0, 0], CUT, &text]);
        seeds.add(&[&[coding, 20, 0, 1], CUT, &text]);
    }
    // As it comes: the codings, the body.
    let raw = |codings: &str, body: &[u8]| {
        let count = u8::try_from(codings.len()).expect("a short text");
        [&[count], codings.as_bytes(), body].concat()
    };
    let gzip = b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xcb\x48\xcd\xc9\xc9\x07\0\x86\xa6\x10\x36\x05\0\0\0";
    for body in [
        raw("gzip", gzip),
        raw("x-gzip, identity", &[&gzip[..], gzip].concat()),
        raw(
            "deflate",
            b"x\x9c\xcb\x48\xcd\xc9\xc9\x07\0\x06\x2c\x02\x15",
        ),
        raw("deflate", b"\xcb\x48\xcd\xc9\xc9\x07\0"),
        raw("br", b"\x0f\x02\x80hello\x03"),
        raw("zstd", b"\x28\xb5\x2f\xfd\x20\x05\x29\0\0hello"),
        raw(
            "zstd",
            b"\x50\x2a\x4d\x18\x02\0\0\0xx\x28\xb5\x2f\xfd\x20\x05\x29\0\0hello",
        ),
        // A run of 128 KiB in four bytes.
        raw("zstd", b"\x28\xb5\x2f\xfd\0\x58\x02\0\x10x\x03\0\x10x"),
        raw("br, gzip", gzip),
        raw("compress", b"x"),
    ] {
        seeds.add(&[&[15, 5, 0, 0], CUT, &body]);
    }
}

fn cookies() {
    let mut seeds = Seeds::new("cookies");
    let texts = |texts: &[&str]| {
        let with_length = |text: &&str| {
            let count = u8::try_from(text.len()).expect("a short text");
            [&[count], text.as_bytes()].concat()
        };
        texts.iter().flat_map(with_length).collect::<Vec<u8>>()
    };
    for is_plain in [0, 1] {
        let all = texts(&[
            "a=1",
            "b=\"2; x\"; Path=/; Secure; HttpOnly; SameSite=Lax",
            "__Host-c=3; Secure; Path=/",
            "d=4; Domain=.a.co.uk; Max-Age=100",
            "e=5; Domain=\u{ff43}o.uk; Path=/",
            "f=6; Expires=Thu, 01-Jan-2099 00:00:00 GMT; path=/a\tb",
        ]);
        seeds.add(&[&[0, is_plain], &all]);
    }
    seeds.add(&[
        &[1],
        b"# Netscape HTTP Cookie File\n\
          .a.example\tTRUE\t/\tTRUE\t4102444800\tall\t1\n\
          #HttpOnly_www.a.example\tFALSE\t/a\tFALSE\t0\ts\t\n\
          ::1\tFALSE\t/\tFALSE\t0\tv6\t1\n\
          Set-Cookie: f=1; Path=/; Secure\n",
    ]);
    // Steps: host and path, flags, domain, name, value.
    let steps: [&[[u8; 5]]; 4] = [
        &[
            [0x01, 0x20, 0, 5, 1],
            [0x11, 0x21, 1, 6, 2],
            [0x02, 0x3f, 4, 7, 3],
        ],
        &[
            [0x05, 0x21, 9, 5, 1],
            [0x05, 0x21, 10, 5, 1],
            [0x07, 0x21, 9, 6, 1],
        ],
        &[
            [0x00, 0x31, 0, 16, 1],
            [0x00, 0x01, 1, 16, 2],
            [0x01, 0x01, 1, 16, 3],
        ],
        &[
            [0x00, 0x21, 0, 5, 1],
            [0x00, 0xe1, 0, 5, 1],
            [0x0b, 0xa1, 17, 5, 9],
        ],
    ];
    for steps in steps {
        seeds.add(&[&[2], &steps.concat()]);
    }
}

fn challenges() {
    let mut seeds = Seeds::new("challenges");
    for fields in [
        "Digest realm=\"http-auth@example.org\", qop=\"auth, auth-int\", algorithm=SHA-256, nonce=\"7ypf/xlj9XXwfD\", opaque=\"FQhe\"",
        "Basic realm=\"x, y\", Digest realm=\"q\\\"r\", nonce=\"1=\", algorithm=MD5-sess",
        "Digest realm=a, nonce=1",
        "Negotiate abc==, Basic realm=x",
        "Digest realm=a, nonce=1, userhash=true, stale=true, qop=auth, algorithm=SHA-512-256",
    ] {
        for choice in [0, 1] {
            seeds.add(&[&[choice, 3], b"a?b", fields.as_bytes()]);
        }
    }
    // Written by the target: kind, style, realm, nonce.
    let one = |kind: u8, style: u8| [&[kind, style, 3], &b"a\"b"[..], &[2], b"n="].concat();
    for choice in [2, 3] {
        for (kind, style) in [
            (0, 0),
            (1, 0x1d),
            (2, 0x72),
            (4, 0xa1),
            (3, 0x83),
            (0x31, 1),
        ] {
            seeds.add(&[&[choice, 0], &one(kind, style), &one(0x10, 1), &one(2, 3)]);
        }
    }
}

fn globs() {
    let mut seeds = Seeds::new("globs");
    for (pattern, url) in [
        ("#1_#2.html", "https://{a,b}.example/[08-10]"),
        ("#2#1#3#", "https://a.example/[a-e:2]{x,}/[1-9:3]"),
        ("x", "https://[::1]:8443/\\{a\\}"),
        ("#0", "https://[fe80::1%25eth0]/[001-100:10]"),
        ("", "{a,{b}}"),
        ("", "[0-18446744073709551615][0-9]"),
        ("", "[3-1]"),
        ("#1", "{}"),
    ] {
        let count = u8::try_from(pattern.len()).expect("a short text");
        seeds.add(&[&[7, 0, count], pattern.as_bytes(), url.as_bytes()]);
    }
}
