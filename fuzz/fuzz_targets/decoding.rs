//! Bodies in content codings: where they are cut changes nothing, no more is decoded than is allowed, what ends early is told as
//! that, and what was encoded is what is decoded.
#![no_main]

use std::io::Write as _;

use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use handfast_fuzz::{Input, Pieces};
use handfast_https::client::{DecodingLimits, Error};
use handfast_https::fuzzing::decoded;
use libfuzzer_sys::fuzz_target;

/// Inputs of 4 KiB can be made of 100 MB of content: less is enough here.
const BYTES_MAX: usize = 1 << 20;

type Decoded = (Vec<u8>, Result<(), Error>);

fn decode(codings: &[u8], body: &[u8], sizes: &[u8]) -> Option<Decoded> {
    let limits = DecodingLimits::new().with_bytes_max(BYTES_MAX as u64);
    decoded(codings, limits, Pieces::new(body, sizes)).ok()?
}

/// The content in these codings; `None` if it is to be taken for coded already.
fn encode(choice: u8, content: &[u8]) -> Option<(&'static str, Vec<u8>)> {
    let level = Compression::fast();
    Some(match choice {
        0 => {
            let mut encoder = GzEncoder::new(Vec::new(), level);
            encoder.write_all(content).ok()?;
            ("gzip", encoder.finish().ok()?)
        }
        1 => {
            let mut encoder = ZlibEncoder::new(Vec::new(), level);
            encoder.write_all(content).ok()?;
            ("deflate", encoder.finish().ok()?)
        }
        2 => {
            let mut encoder = DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(content).ok()?;
            ("deflate", encoder.finish().ok()?)
        }
        3 => {
            let mut encoder = brotli::CompressorWriter::new(Vec::new(), 512, 1, 16);
            encoder.write_all(content).ok()?;
            ("br", encoder.into_inner())
        }
        4 => ("zstd", zstd::encode_all(content, 1).ok()?),
        // Two members, two frames.
        5 => {
            let (first, second) = content.split_at(content.len() / 2);
            ("gzip", [encode(0, first)?.1, encode(0, second)?.1].concat())
        }
        6 => {
            let (first, second) = content.split_at(content.len() / 2);
            ("zstd", [encode(4, first)?.1, encode(4, second)?.1].concat())
        }
        7 => ("zstd, gzip", encode(0, &encode(4, content)?.1)?.1),
        _ => return None,
    })
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let (choice, cut, flip) = (input.byte() % 16, input.short(), input.byte());
    let sizes = input.sizes();
    let (codings, body, is_ours) = match encode(choice, input.0) {
        Some((codings, mut body)) => {
            let is_ours = flip == 0;
            let place = usize::from(cut) % body.len().max(1);
            if let Some(byte) = body.get_mut(place) {
                *byte ^= flip;
            }
            (codings.as_bytes().to_vec(), body, is_ours)
        }
        None => (input.string().to_vec(), input.0.to_vec(), false),
    };
    let Some((content, end)) = decode(&codings, &body, &[0]) else {
        return;
    };
    assert!(content.len() <= BYTES_MAX);
    if is_ours {
        assert!(end.is_ok(), "{end:?}");
    }
    if choice < 7 && is_ours {
        assert_eq!(content, input.0);
    }
    if let Err(error) = &end {
        let told = error.explain().to_string();
        let is_control = |c: char| c.is_control() && c != '\n';
        assert!(!told.chars().any(is_control), "{told:?}");
    }

    // In pieces, what precedes a fault is decoded further; that there is one is found, too. Except by zstd: it compares the
    // size that a frame announces with its content only where it sees all of the frame, or a last block with content.
    let (pieces, pieces_end) = decode(&codings, &body, sizes).expect("known codings");
    let has_zstd = codings
        .to_ascii_lowercase()
        .windows(4)
        .any(|name| name == b"zstd");
    assert!(
        end.is_ok() == pieces_end.is_ok() || end.is_err() && has_zstd,
        "{end:?} {pieces_end:?}"
    );
    let common = content.len().min(pieces.len());
    assert!(content[..common] == pieces[..common]);
    if end.is_err() {
        return;
    }
    assert!(content.len() == pieces.len());

    // A part of a whole body is whole itself only if another whole one follows.
    let (front, rest) = body.split_at(usize::from(cut) % (body.len() + 1));
    let (front, front_end) = decode(&codings, front, sizes).expect("known codings");
    assert!(content.starts_with(&front));
    match front_end {
        Ok(()) => {
            let (rest, rest_end) = decode(&codings, rest, sizes).expect("known codings");
            assert!(rest_end.is_ok(), "{rest_end:?}");
            assert!([front, rest].concat() == content);
        }
        Err(Error::BrokenCoding { problem, .. }) => assert_eq!(problem, "it ends early"),
        Err(other) => panic!("{other:?}"),
    }
});
