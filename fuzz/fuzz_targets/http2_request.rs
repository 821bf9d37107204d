//! The fields of an HTTP/2 request, judged: one that passes has one authority, one target, no field of a connection, and
//! no two readings of where its body ends (RFC 9113, section 8.3).
#![no_main]

use handfast_fuzz::Input;
use handfast_http::h2::hpack::{Decoder, encode};
use handfast_http::h2::{Bounds, Judged, Requests, Role};
use http::Method;
use http::uri::Authority;
use libfuzzer_sys::fuzz_target;

const BOUNDS: Bounds = Bounds {
    bytes_max: 4096,
    fields_max: 16,
};

/// Names that matter, so that the fuzzer need not spell them.
const NAMES: [&str; 16] = [
    ":method",
    ":scheme",
    ":authority",
    ":path",
    "host",
    "content-length",
    "cookie",
    "te",
    "connection",
    "transfer-encoding",
    "upgrade",
    "expect",
    ":status",
    "range",
    "accept",
    "x",
];

/// Does this name one server, without anything else?
fn is_authority(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return false;
    };
    text.parse::<Authority>()
        .is_ok_and(|authority| !authority.host().is_empty() && !text.contains('@'))
}

fuzz_target!(|bytes: &[u8]| {
    let mut input = Input(bytes);
    let mut fields = Vec::new();
    while !input.is_empty() {
        fields.push((input.byte(), input.string()));
    }
    let mut block = Vec::new();
    let mut count = 0;
    for (name, value) in &fields {
        let name = NAMES[usize::from(*name) % NAMES.len()];
        encode::put_field(&mut block, name, value, false);
        count += usize::from(!name.starts_with(':'));
    }
    let mut decoder = Decoder::<Requests>::default();
    let mut head = <Requests as Role>::Head::default();
    decoder
        .decode(&block, |field, size| {
            Requests::add(&mut head, field, size, BOUNDS)
        })
        .expect("what was encoded");
    let request = match Requests::judge(head, BOUNDS) {
        Judged::Message(request) => request,
        Judged::TooLarge => return,
        Judged::Malformed(what) => {
            assert!(!what.is_empty());
            return;
        }
    };
    let head = &request.head;
    let given = |wanted: &str| -> Vec<&[u8]> {
        fields
            .iter()
            .filter(|(name, _)| NAMES[usize::from(*name) % NAMES.len()] == wanted)
            .map(|(_, value)| *value)
            .collect()
    };
    let connects = head.method() == Method::CONNECT;
    for (name, most) in [
        (":method", 1),
        (":scheme", usize::from(!connects)),
        (":path", usize::from(!connects)),
    ] {
        assert_eq!(given(name).len(), most, "{name}");
    }
    assert_eq!(head.method().as_str().as_bytes(), given(":method")[0]);
    let (authorities, hosts) = (given(":authority"), given("host"));
    assert!(authorities.len() <= 1 && hosts.len() <= 1);
    for name in authorities.iter().chain(&hosts) {
        assert!(is_authority(name), "{:?}", String::from_utf8_lossy(name));
    }
    match (authorities.first(), hosts.first()) {
        (None, None) => panic!("a request for nobody"),
        (Some(one), Some(other)) => assert!(one.eq_ignore_ascii_case(other)),
        (Some(one), None) => {
            assert_eq!(
                head.uri().authority().map(|it| it.as_str().as_bytes()),
                Some(*one)
            );
        }
        (None, Some(_)) => assert!(head.uri().authority().is_none() && !connects),
    }
    if let Some(path) = given(":path").first() {
        assert!(path.starts_with(b"/") || (*path == b"*" && head.method() == Method::OPTIONS));
    }
    assert!(head.headers().len() <= count.min(BOUNDS.fields_max));
    for name in ["connection", "transfer-encoding", "upgrade"] {
        assert!(!head.headers().contains_key(name));
    }
    assert!(head.headers().get_all("cookie").iter().count() <= 1);
    for value in head.headers().values() {
        let bytes = value.as_bytes();
        assert_eq!(bytes, bytes.trim_ascii());
        assert!(!bytes.iter().any(|byte| matches!(byte, 0 | b'\r' | b'\n')));
    }
    match (given("content-length")[..].first(), request.length) {
        (None, None) => {}
        (Some(text), Some(length)) => {
            assert_eq!(given("content-length").len(), 1);
            let text = std::str::from_utf8(text).expect("digits");
            assert_eq!(text.parse::<u64>(), Ok(length));
        }
        (given, length) => panic!("{given:?} {length:?}"),
    }
});
