//! Request heads of HTTP/1: where they end does not depend on how they come, and what was understood reads the
//! same when it is written out again.
#![no_main]

use handfast_fuzz::{Input, prefixes};
use handfast_http::h1::request::{Bounds, Head, find};
use libfuzzer_sys::fuzz_target;

const BOUNDS: Bounds = Bounds {
    bytes_max: 300,
    fields_max: 8,
};

type Found = Option<Result<(Head, usize), http::StatusCode>>;

fn whole(bytes: &[u8]) -> Found {
    find(bytes, 0, BOUNDS).map(|found| found.map_err(|refusal| refusal.status))
}

fn in_pieces(bytes: &[u8], sizes: &[u8]) -> Found {
    let mut seen = 0;
    for length in prefixes(bytes, sizes) {
        if let Some(found) = find(&bytes[..length], seen, BOUNDS) {
            return Some(found.map_err(|refusal| refusal.status));
        }
        seen = length;
    }
    None
}

fn written(head: &Head) -> Vec<u8> {
    let mut bytes = format!("{} {} {:?}\r\n", head.method, head.target, head.version).into_bytes();
    for (name, value) in &head.fields {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let (sizes, bytes) = (input.sizes(), input.rest());
    let found = whole(bytes);
    match (&found, &in_pieces(bytes, sizes)) {
        (None, None) => {}
        (Some(Ok((head, end))), Some(Ok((same, end_same)))) => {
            assert_eq!(end, end_same);
            assert_eq!(format!("{head:?}"), format!("{same:?}"));
        }
        // Both refuse, for the same reason.
        (Some(Err(status)), Some(Err(same))) => assert_eq!(status, same),
        (whole, pieces) => panic!("{whole:?}\n{pieces:?}"),
    }
    let Some(Ok((head, end))) = found else {
        return;
    };
    assert!(end <= BOUNDS.bytes_max && end <= bytes.len());
    // A target in absolute form adds the Host where none was sent (RFC 9112, section 3.2.2).
    let added = usize::from(head.target.authority().is_some());
    assert!(head.fields.len() <= BOUNDS.fields_max + added);
    let hosts = head.fields.get_all("host").iter().count();
    assert!(hosts == 1 || (hosts == 0 && head.version == http::Version::HTTP_10));
    let large = Bounds {
        bytes_max: 4 * BOUNDS.bytes_max,
        fields_max: BOUNDS.fields_max + 1,
    };
    let text = written(&head);
    let (again, length) = find(&text, 0, large)
        .expect("a whole head")
        .unwrap_or_else(|refusal| panic!("{refusal:?} {:?}", String::from_utf8_lossy(&text)));
    assert_eq!(length, text.len());
    assert_eq!(again.framing, head.framing);
    assert_eq!(again.persistent, head.persistent);
    assert_eq!(again.expects, head.expects);
    assert_eq!(again.fields, head.fields);
    assert_eq!(again.target, head.target);
});
