//! Every coding, whole, cut, damaged and exaggerated, however it is cut into pieces.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use http::HeaderValue;
use proptest::prelude::*;

use super::*;

fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn zlib(content: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn raw(content: &[u8]) -> Vec<u8> {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content).unwrap();
    encoder.finish().unwrap()
}

fn br(content: &[u8]) -> Vec<u8> {
    let mut encoder = brotli::CompressorWriter::new(Vec::new(), 4096, 4, 20);
    encoder.write_all(content).unwrap();
    encoder.into_inner()
}

fn zstd(content: &[u8]) -> Vec<u8> {
    ::zstd::encode_all(content, 3).unwrap()
}

type Encode = fn(&[u8]) -> Vec<u8>;

const CODINGS: [(&str, Encode); 6] = [
    ("gzip", gzip),
    ("x-gzip", gzip),
    ("deflate", zlib),
    ("deflate", raw),
    ("br", br),
    ("zstd", zstd),
];

fn decoder(coding: &str, limits: DecodingLimits) -> Result<Option<Decoder>, Error> {
    let mut fields = HeaderMap::new();
    fields.insert(CONTENT_ENCODING, HeaderValue::try_from(coding).unwrap());
    Decoder::new(&fields, limits)
}

/// Decodes a body that comes in pieces of this size.
fn decode(coding: &str, body: &[u8], piece: usize) -> Result<Vec<u8>, Error> {
    let mut decoder = decoder(coding, DecodingLimits::new())?.unwrap();
    let mut content = Vec::new();
    for piece in body.chunks(piece.max(1)) {
        decoder.feed(Bytes::copy_from_slice(piece));
        while decoder.step()? {
            content.extend_from_slice(decoder.piece());
        }
    }
    decoder.end()?;
    Ok(content)
}

/// Does not shrink to nothing.
fn text() -> Vec<u8> {
    let lines = (0_u32..20_000).map(|n| format!("{n} {}\n", n.wrapping_mul(2_654_435_761)));
    lines.collect::<String>().into_bytes()
}

#[test]
fn every_coding_is_decoded_in_pieces_of_any_size() {
    let text = text();
    for (coding, encode) in CODINGS {
        for content in [&text[..], b"", b"x"] {
            let body = encode(content);
            for piece in [1, 7, 4096, usize::MAX] {
                let decoded = decode(coding, &body, piece).unwrap();
                assert!(decoded == content, "{coding}, {piece}");
            }
        }
        assert_eq!(decode(coding, b"", 1).unwrap(), b"", "{coding}");
    }
    // Applied one after the other.
    let both = br(&gzip(&text));
    assert!(decode("gzip, Br", &both, 100).unwrap() == text);
    for (coding, body) in [
        ("gzip", [gzip(b"one, "), gzip(b"two")].concat()),
        ("zstd", [zstd(b"one, "), zstd(b"two")].concat()),
    ] {
        for piece in [1, 1000] {
            assert_eq!(decode(coding, &body, piece).unwrap(), b"one, two");
        }
    }
}

#[test]
fn what_ends_early_or_goes_on_is_broken() {
    let text = text();
    for (coding, encode) in CODINGS {
        let body = encode(&text);
        let length = body.len();
        for at in [1, 2, 5, length / 2, length - 1] {
            let cut = decode(coding, &body[..at], 1000);
            assert!(
                matches!(cut, Err(Error::BrokenCoding { .. })),
                "{coding} cut at {at}: {:?}",
                cut.map(|decoded| decoded.len())
            );
        }
        for more in [&b"\0"[..], b"more"] {
            let more = [&body, more].concat();
            for piece in [1, usize::MAX] {
                let decoded = decode(coding, &more, piece);
                assert!(
                    matches!(decoded, Err(Error::BrokenCoding { .. })),
                    "{coding}"
                );
            }
        }
        let other = decode(coding, b"<html>not compressed</html>", 1000);
        assert!(
            matches!(other, Err(Error::BrokenCoding { .. })),
            "{coding}: {other:?}"
        );
    }
    // The checksums of gzip, zlib and zstd.
    let mut damaged = gzip(&text);
    let at = damaged.len() - 6;
    damaged[at] ^= 1;
    assert!(decode("gzip", &damaged, 1000).is_err());
}

#[test]
fn more_codings_than_any_real_body_has_are_refused_as_that() {
    let refused = decoder("gzip,gzip,gzip,gzip", DecodingLimits::new());
    let text = format!("{:?}", refused.err());
    assert!(text.contains("more than 3 codings"), "{text}");
}

#[test]
fn codings_that_are_not_known_are_refused() {
    for coding in ["compress", "gzip, dcb", "gz\"ip"] {
        let refused = decoder(coding, DecodingLimits::new());
        assert!(
            matches!(refused, Err(Error::UnsupportedCoding { .. })),
            "{coding}"
        );
    }
    for none in ["identity", "", " , "] {
        assert!(
            decoder(none, DecodingLimits::new()).unwrap().is_none(),
            "{none}"
        );
    }
}

#[test]
fn bombs_are_stopped_at_their_limits() {
    let zeros = vec![0; 100 << 20];
    for (coding, encode) in CODINGS {
        let body = encode(&zeros);
        for (limits, most) in [
            (DecodingLimits::new(), EXPANDED_BYTES),
            (DecodingLimits::new().with_bytes_max(1000), 0),
        ] {
            let mut decoder = decoder(coding, limits).unwrap().unwrap();
            decoder.feed(Bytes::copy_from_slice(&body));
            let mut decoded = 0;
            let error = loop {
                match decoder.step() {
                    Ok(true) => decoded += decoder.piece().len() as u64,
                    Ok(false) => panic!("{coding}: {decoded} bytes were decoded"),
                    Err(error) => break error,
                }
            };
            let is_it = matches!(
                error,
                Error::DecompressionBomb { .. } | Error::TooLarge { limit: 1000, .. }
            );
            assert!(is_it, "{coding}: {error}");
            assert!(decoded <= most, "{coding}: {decoded} bytes were decoded");
        }
    }
    // With an explicit limit, what is below it is decoded.
    let limits = DecodingLimits::new().with_bytes_max(zeros.len() as u64);
    let mut decoder = decoder("zstd", limits).unwrap().unwrap();
    decoder.feed(zstd(&zeros).into());
    while decoder.step().unwrap() {}
    decoder.end().unwrap();
}

#[test]
fn windows_that_would_take_much_memory_are_refused() {
    let mut encoder = ::zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    encoder.window_log(27).unwrap();
    encoder.write_all(&vec![0; 1000]).unwrap();
    // Content is flushed before its size is known: the frame states its window.
    encoder.flush().unwrap();
    let body = encoder.finish().unwrap();
    assert!(matches!(
        decode("zstd", &body, 1000),
        Err(Error::BrokenCoding { .. })
    ));
}

proptest! {
    #[test]
    fn nothing_makes_it_fail_otherwise_than_by_an_error(
        coding in prop::sample::select(&CODINGS[..]),
        bytes: Vec<u8>,
        at: prop::sample::Index,
        to: u8,
        piece in 1_usize..100,
    ) {
        let _ = decode(coding.0, &bytes, piece);
        let mut body = coding.1(&bytes);
        prop_assert_eq!(decode(coding.0, &body, piece).unwrap(), bytes);
        let at = at.index(body.len());
        body[at] = to;
        let _ = decode(coding.0, &body, piece);
    }
}
