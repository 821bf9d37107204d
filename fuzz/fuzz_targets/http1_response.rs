//! Response heads of HTTP/1: where they end does not depend on how they come; both readers of them, the client's and the
//! load tester's, agree on where the body ends; and what is told of one that is none is safe to print.
#![no_main]

use handfast_fuzz::{Input, prefixes};
use handfast_http::h1::Framing;
use handfast_http::h1::response::{Bounds, Head, Malformed, cut, find};
use http::Method;
use libfuzzer_sys::fuzz_target;

const BOUNDS: Bounds = Bounds {
    bytes_max: 300,
    fields_max: 8,
};

type Found = Option<Result<(Head, usize), Malformed>>;

fn in_pieces(bytes: &[u8], sizes: &[u8], to: &Method) -> Found {
    let mut seen = 0;
    for length in prefixes(bytes, sizes) {
        if let Some(found) = find(&bytes[..length], seen, BOUNDS, to) {
            return Some(found);
        }
        seen = length;
    }
    None
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let is_head = input.byte() & 1 != 0;
    let (sizes, bytes) = (input.sizes(), input.rest());
    let to = if is_head { Method::HEAD } else { Method::GET };
    let found = find(bytes, 0, BOUNDS, &to);
    match (&found, &in_pieces(bytes, sizes, &to)) {
        (None, None) => {}
        (Some(Ok((head, end))), Some(Ok((same, end_same)))) => {
            assert_eq!(end, end_same);
            assert_eq!(format!("{head:?}"), format!("{same:?}"));
        }
        // What is no response may be known before it has ended.
        (Some(Err(one)), Some(Err(other))) => {
            for malformed in [one, other] {
                assert!(!malformed.to_string().chars().any(char::is_control));
            }
        }
        (None, Some(Err(_))) | (Some(Err(_)), None) => panic!("{found:?}"),
        (whole, pieces) => panic!("{whole:?}\n{pieces:?}"),
    }
    let Some(Ok((head, end))) = found else {
        return;
    };
    assert!(end <= BOUNDS.bytes_max);
    let no_body =
        is_head || head.status.is_informational() || matches!(head.status.as_u16(), 204 | 304);
    assert_eq!(no_body, head.framing == Framing::None);
    assert!(!(head.framing == Framing::UntilClose && head.persistent));
    let mut count = 0;
    let brief = cut(&bytes[..end], BOUNDS.fields_max, |_, _| {
        count += 1;
        Ok(())
    });
    let brief = brief.expect("what was read once").expect("a whole head");
    assert_eq!(brief.length, end);
    assert_eq!(count, head.fields.len());
    assert_eq!(brief.status, head.status);
    assert_eq!(brief.facts.of_response(&to, brief.status), Ok(head.framing));
});
