//! The reader of HTTP/2's frames: cut anywhere, it finds what one finds that sees everything at once.
#![no_main]

use handfast_fuzz::{Input, Pieces};
use handfast_http::h2::frame::{FrameReader, Piece, Unframed};
use libfuzzer_sys::fuzz_target;

/// A frame; DATA of one stream in a row is one, because its pieces are cut wherever the bytes were.
#[derive(Debug, PartialEq, Eq)]
enum Frame {
    Data {
        stream: u32,
        body: Vec<u8>,
        flow: u32,
        end: bool,
    },
    Other {
        kind: u8,
        flags: u8,
        stream: u32,
        payload: Vec<u8>,
    },
}

type Frames = (Vec<Frame>, Option<Unframed>);

fn push_data(frames: &mut Vec<Frame>, id: u32, part: &[u8], count: u32, last: bool) {
    if let Some(Frame::Data {
        stream,
        body,
        flow,
        end,
    }) = frames.last_mut()
        && *stream == id
        && !*end
    {
        body.extend_from_slice(part);
        *flow += count;
        *end = last;
        return;
    }
    frames.push(Frame::Data {
        stream: id,
        body: part.to_vec(),
        flow: count,
        end: last,
    });
}

fn read(bytes: &[u8], sizes: &[u8]) -> Frames {
    let mut reader = FrameReader::default();
    let mut frames = Vec::new();
    for piece in Pieces::new(bytes, sizes) {
        let mut rest = piece;
        loop {
            let before = rest.len();
            match reader.next(&mut rest) {
                Ok(None) => {
                    assert!(rest.is_empty());
                    break;
                }
                Ok(Some(Piece::Data {
                    stream,
                    body,
                    flow,
                    end,
                })) => {
                    assert!(body.len() as u64 <= u64::from(flow));
                    assert!(before >= rest.len());
                    push_data(&mut frames, stream, body, flow, end);
                }
                Ok(Some(Piece::Frame(frame))) => {
                    let _ = frame.unpadded();
                    assert_eq!(frame.settings().count(), frame.payload.len() / 6);
                    frames.push(Frame::Other {
                        kind: frame.kind,
                        flags: frame.flags,
                        stream: frame.stream,
                        payload: frame.payload.to_vec(),
                    });
                }
                Err(error) => return (frames, Some(error)),
            }
        }
    }
    (frames, None)
}

/// Sees everything at once. Of a DATA frame that is cut short by the end it tells nothing.
fn expected(mut rest: &[u8]) -> Frames {
    let mut frames = Vec::new();
    while let [l0, l1, l2, kind, flags, s0, s1, s2, s3, after @ ..] = rest {
        let length = u32::from_be_bytes([0, *l0, *l1, *l2]);
        let stream = u32::from_be_bytes([*s0, *s1, *s2, *s3]) & 0x7fff_ffff;
        if length > 16_384 {
            return (frames, Some(Unframed::TooLarge));
        }
        if *kind == 0 && flags & 8 != 0 {
            if length == 0 {
                return (frames, Some(Unframed::TooShort));
            }
            if after
                .first()
                .is_some_and(|padding| u32::from(*padding) > length - 1)
            {
                return (frames, Some(Unframed::Padding));
            }
        }
        let Some((payload, after)) = after.split_at_checked(length as usize) else {
            break;
        };
        rest = after;
        if *kind == 0 {
            let body = match flags & 8 {
                0 => payload,
                _ => &payload[1..payload.len() - usize::from(payload[0])],
            };
            push_data(&mut frames, stream, body, length, flags & 1 != 0);
        } else {
            frames.push(Frame::Other {
                kind: *kind,
                flags: *flags,
                stream,
                payload: payload.to_vec(),
            });
        }
    }
    (frames, None)
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let (sizes, bytes) = (input.sizes(), input.rest());
    let whole = read(bytes, &[0]);
    assert_eq!(whole, read(bytes, sizes));
    assert_eq!(whole, read(bytes, &[]));
    let expected = expected(bytes);
    assert_eq!(whole.1, expected.1);
    // What the end of the bytes cuts off is told in part.
    let common = expected.0.len().saturating_sub(1);
    assert_eq!(whole.0[..common], expected.0[..common]);
    assert!(whole.0.len() <= expected.0.len() + 1);
});
